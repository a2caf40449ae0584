"""One thread at a time asks a model: hooks, batch sizes and regions are set on it meanwhile."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

_locks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_surroundings: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_lock_of_others, _looking_for_locks = threading.RLock(), threading.Lock()


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
