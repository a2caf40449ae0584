"""Messages to the user: name an option as the user wrote it, and show each warning once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_logger = logging.getLogger(__name__)
_typed: ContextVar[bool] = ContextVar("typed", default=False)
said: set[str] = set()
_model: ContextVar[str | None] = ContextVar("model", default=None)
_saying = threading.RLock()  # a handler of log messages may warn itself


@contextmanager
def command_line() -> Iterator[None]:
    """Inside this block, messages use the command line's names of options (``--columns``, not ``columns``)."""
    token = _typed.set(True)
    try:
        yield
    finally:
        _typed.reset(token)


def asked_as(argument: str, typed: str) -> str:
    """What the user calls an option: ``argument`` in Python, ``typed`` on the command line."""
    return typed if _typed.get() else argument


def warn_once(what: str) -> None:
    """Say something once in a process, whichever of its threads is first."""
    with _saying:
        if what not in said:
            said.add(what)
            _logger.warning("%s", what)


@contextmanager
def one_of_many(model: str) -> Iterator[None]:
    """Inside this block, a model of several is worked on: what is said of it names it."""
    token = _model.set(model)
    try:
        yield
    finally:
        _model.reset(token)


def warn_of_model(kind: str, what: str) -> None:
    """:func:`warn_once` about the model at hand; of several, which are named, one message of a kind for each."""
    model = _model.get()
    if model is None:
        warn_once(what)
        return
    with _saying:
        if f"{kind} of {model}" not in said:
            said.add(f"{kind} of {model}")
            _logger.warning("%s: %s", model, what)
