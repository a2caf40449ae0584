"""Images prepared before the network asks for them, one by one, by threads.

Brain-Score's extractor decodes and prepares the images of a batch one after the other, while the network waits, and then lets
one processor prepare while the others wait. Threads do, since Pillow, torch and numpy release the interpreter's lock while they
decode, resize and normalise: two of them prepare JPEGs of 1000 pixels twice as fast as one.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..parallel import worker_count

WAITING_BYTES = 2**26
"""Prepared images that wait for the network take as much at most, or as much as a batch, beside one batch."""


MOST_TURNS = 20_000
"""Instructions after which two threads that are watched go on as they like."""

LONGEST_TURN = 2.0
"""Seconds: more than one function of a library takes for an image."""


TRUSTED = sys.stdlib_module_names | {"PIL", "brainscore_core", "numpy", "torch", "torchvision"}
"""Packages that are known to prepare images in several threads at once."""


class Ahead:
    """Prepares images in the order in which they will be asked for. A context manager: leaving it ends the threads.

    Parameters
    ----------
    prepare : callable
        From a list of one path to a list or array of one image, called by several threads at once.
    paths : sequence of str
        What will be asked for; some may be left out.
    """

    def __init__(self, prepare: Callable, paths: Sequence[str]):
        self._prepare, self._paths = prepare, list(paths)
        self._taken = 0  # paths up to here are done with
        self._waiting: deque[Future] = deque()  # of the paths from there on
        self._room = 0
        self._threads = ThreadPoolExecutor(worker_count(), "images", _use_one_processor)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def take(self, paths: Sequence[str], go_on: bool = True) -> list | None:
        """Images of a batch, as tensors of one shape and type; None if there are none, whatever the reason.

        Parameters
        ----------
        paths : sequence of str
            Paths that stand twice are prepared once.
        go_on : bool
            Whether the images behind them are prepared from now on.
        """
        coming = {str(path): None for path in paths}
        for path in coming:
            try:
                position = self._paths.index(path, self._taken)
            except ValueError:  # nobody said that it would come
                return None
            while self._taken < position:
                if self._waiting:
                    self._waiting.popleft().cancel()
                self._taken += 1
            coming[path] = self._waiting.popleft() if self._waiting else self._submit(path)
            self._taken += 1
        if go_on:
            self._go_on()
        try:
            images = {path: future.result() for path, future in coming.items()}
        except Exception:  # noqa: BLE001 - the one who asks tries another way, and says what is wrong
            return None
        first = next(iter(images.values()))
        if any((image.shape, image.dtype) != (first.shape, first.dtype) for image in images.values()):
            return None
        self._room = max(len(coming), WAITING_BYTES // max(1, first.numel() * first.element_size()))
        return [images[str(path)] for path in paths]

    def independent(self, path: str, other: str) -> bool:
        """:func:`are_independent`, of two of the images."""
        return are_independent(self._prepare, path, other)

    def stop(self) -> None:
        """Prepare nothing more, and wait until nothing is being prepared: other code may use what it uses."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _go_on(self) -> None:
        while len(self._waiting) < self._room and self._taken + len(self._waiting) < len(self._paths):
            self._waiting.append(self._submit(self._paths[self._taken + len(self._waiting)]))

    def _submit(self, path: str) -> Future:
        return self._threads.submit(lambda: as_tensor(self._prepare([path])[0]))


def are_independent(prepare: Callable, path: str, other: str) -> bool:
    """Whether two threads that prepare images in turns, step by step, make what one makes of them after the other.

    The turn passes at each instruction but those of known libraries, so that whatever an image puts somewhere for a moment, the
    other one meets: an attribute that is taken away again, a list, a buffer, a random generator that is put back.

    Parameters
    ----------
    prepare : callable
        From a list of one path to a list or array of one image.
    path, other : str
    """
    expected = [as_tensor(prepare([one])[0]).clone() for one in (path, other)]
    turns, found = _Turns(), [None, None]

    def run(i: int, own: str) -> None:
        sys.settrace(turns.tracer(i))
        try:
            found[i] = as_tensor(prepare([own])[0]).clone()
        except Exception:  # noqa: BLE001 - it has none alone
            found[i] = None
        finally:
            sys.settrace(None)
            turns.leave()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate((path, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all(image is not None and same_bits(image, one) for image, one in zip(found, expected, strict=True))


class _Turns:
    """Lets two threads run in turns: each instruction that is not of :data:`TRUSTED` packages passes the turn to the other."""

    def __init__(self):
        self._condition, self._turn, self._n_left = threading.Condition(), 0, MOST_TURNS

    def tracer(self, me: int) -> Callable:
        """For ``sys.settrace`` of thread ``me``, 0 or 1."""

        def step(_frame, event: str, _argument):
            if event == "opcode":
                self._pass(me)
            return step if self._n_left else None

        def follow(frame, _event: str, _argument):
            package = (frame.f_globals.get("__name__") or "").partition(".")[0]
            if not self._n_left or package in TRUSTED:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return step

        return follow

    def _pass(self, me: int) -> None:
        with self._condition:
            if self._n_left:
                self._n_left -= 1
                self._turn = 1 - me
                self._condition.notify()
                if not self._condition.wait_for(lambda: self._turn == me or not self._n_left, LONGEST_TURN):
                    self._n_left = 0  # the other one waits for something that this one holds: both go on as they can

    def leave(self) -> None:
        """There is nobody to pass the turn to any more."""
        with self._condition:
            self._n_left = 0
            self._condition.notify()


def as_tensor(image):
    """A prepared image, shape (n_channels, height, width)."""
    import torch

    return image if isinstance(image, torch.Tensor) else torch.from_numpy(np.require(image, requirements="CW"))


def same_bits(image, other) -> bool:
    """Whether two prepared images are equal to the last bit."""
    import torch

    image, other = as_tensor(image), as_tensor(other)
    if (image.shape, image.dtype) != (other.shape, other.dtype):
        return False
    image, other = (each.detach().reshape(-1).view(torch.uint8) for each in (image, other))
    return torch.equal(image, other)


def _use_one_processor() -> None:
    """Products and sums of a thread that prepares images stay on its own processor: the others have images too."""
    import torch

    torch.get_num_threads()  # sets the thread up as all others, so what follows is not undone
    _thread_pools().limit(limits=1, user_api="openmp")  # of this thread alone


@functools.cache
def _thread_pools():
    """Found once, torch loaded: finding them takes as long as preparing several images."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
