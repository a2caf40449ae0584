"""How networks are asked: by one thread at a time, and so that they compute what their code says, whatever the program that
uses them has set of torch.
"""

from __future__ import annotations

import contextlib
import operator
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

PRODUCTS = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
"""Parts of torch.backends that may multiply float32 with fewer digits."""

_locks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_surroundings: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_lock_of_others, _looking_for_locks = threading.RLock(), threading.Lock()


class _AsWritten:
    """Inside, networks compute what their code says: with all digits of float32, and not as torch.compile would have it.

    No TF32 and no bfloat16 inside of convolutions and products of float32, which answer with three digits instead of seven: a
    GPU's convolutions use TF32 unless told otherwise, and programs allow the others: set_float32_matmul_precision("high").
    Compiled code calls no hooks. The settings are the process': they are as they were when the last thread is out.
    """

    def __init__(self):
        self._lock, self._n_inside, self._changes = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._set()
            self._n_inside += 1

    def __exit__(self, *error) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._changes.close()

    def _set(self) -> None:
        from torch import backends, compiler, get_float32_matmul_precision, set_float32_matmul_precision

        if hasattr(backends, "fp32_precision"):  # torch 2.9
            for owner in [operator.attrgetter(name)(backends) for name in PRODUCTS]:
                self._changes.callback(setattr, owner, "fp32_precision", owner.fp32_precision)
                owner.fp32_precision = "ieee"
        else:
            self._changes.callback(set_float32_matmul_precision, get_float32_matmul_precision())
            set_float32_matmul_precision("highest")
            kept = {name: getattr(backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
            self._changes.enter_context(backends.cudnn.flags(**kept, allow_tf32=False))
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and to ask would take a second
            self._changes.enter_context(compiler.set_stance("force_eager"))


AS_WRITTEN = _AsWritten()


@contextlib.contextmanager
def alone_with(owners: Iterable) -> Iterator[None]:
    """No other thread is inside with one of these models and networks: what is set on them is of one thread at a time.

    What surrounds them (:func:`surround`) is open.
    """
    owners = list(owners)
    locks = {id(lock): lock for lock in map(_lock_of, owners)}
    with contextlib.ExitStack() as held:
        for number in sorted(locks):  # in one order everywhere
            held.enter_context(locks[number])
        for opened in dict.fromkeys(filter(None, map(_surrounding_of, owners))):
            held.enter_context(opened())
        yield


def surround(owners: Iterable, opened: Callable[[], contextlib.AbstractContextManager]) -> None:
    """What ``opened`` makes is open whenever one of these models and networks works: its code may import when it runs."""
    for owner in owners:
        with contextlib.suppress(TypeError):  # an object that nothing can refer to weakly
            _surroundings[owner] = opened


def _surrounding_of(owner) -> Callable | None:
    try:
        return _surroundings.get(owner)
    except TypeError:
        return None


def _lock_of(owner):
    with _looking_for_locks:
        try:
            return _locks.setdefault(owner, threading.RLock())
        except TypeError:  # an object that nothing can refer to weakly
            return _lock_of_others
