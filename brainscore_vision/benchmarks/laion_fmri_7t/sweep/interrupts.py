"""Ctrl-C and SIGTERM that cannot get lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM)
"""SIGTERM ends jobs on clusters."""


@contextmanager
def interrupts() -> Iterator[Callable[[], None]]:
    """Remember both signals within a ``with`` block of the main thread, and end it with KeyboardInterrupt where it is safe.

    If a signal arrives while Python runs a destructor or a callback of a weak reference, Python only prints the exception
    and drops it. So the first signal raises nothing by itself: the block calls ``check``, and so does its end. A second
    signal raises at once.

    Yields
    ------
    callable
        Raises KeyboardInterrupt, with the signal's number, if there was a signal. Long loops call it.
    """
    received: list[int] = []

    def interrupt(number: int, frame) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt(number)

    def check() -> None:
        if received:
            raise KeyboardInterrupt(received[0])

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield check
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
