"""Ctrl-C and SIGTERM that cannot get lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM)
"""SIGTERM ends jobs on clusters."""


@contextmanager
def interrupts() -> Iterator[Callable[[], None]]:
    """Turn both signals into KeyboardInterrupt, with the signal's number, within a ``with`` block of the main thread.

    An exception that a signal raises is lost if it comes while Python runs a destructor or a weak reference's callback. So a
    signal is remembered too.

    Yields
    ------
    callable
        Raises KeyboardInterrupt if there was a signal. Long loops call it.
    """
    received: list[int] = []

    def interrupt(number: int, frame) -> None:
        received.append(number)
        raise KeyboardInterrupt(number)

    def check() -> None:
        if received:
            raise KeyboardInterrupt(received[0])

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
