"""Words of the user: an option has one name in Python and another on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_typed: ContextVar[bool] = ContextVar("typed", default=False)


@contextmanager
def command_line() -> Iterator[None]:
    """Messages that are made inside name options as they are typed."""
    token = _typed.set(True)
    try:
        yield
    finally:
        _typed.reset(token)


def asked_as(argument: str, typed: str) -> str:
    """What the user calls an option: ``argument`` in Python, ``typed`` on the command line."""
    return typed if _typed.get() else argument
