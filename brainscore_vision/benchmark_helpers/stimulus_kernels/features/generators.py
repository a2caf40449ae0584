"""Random generators that a model may draw from: where they stand, and how they are put elsewhere and back."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

ELSEWHERE = 0x5EED2026
"""A seed that nobody else uses."""

NEW_BYTES = 8


@dataclass(frozen=True)
class Generator:
    """Ways to get the state of a random generator, to put it back, and to seed it."""

    get: Callable[[], object]
    put: Callable[[object], object]
    seed: Callable[[int], object]

    def where(self) -> str | bytes:
        """The state, to be compared."""
        state = self.get()
        if hasattr(state, "numpy"):  # of torch
            return state.numpy().tobytes()
        with np.printoptions(threshold=sys.maxsize):
            return repr(state)


PYTHONS = Generator(random.getstate, random.setstate, random.seed)
"""The one that Python's functions draw from, those of schedulers in other threads too."""


def shared_generators() -> list[Generator]:
    """Those of Python, numpy and torch that all draw from who name none."""
    torch, shared = sys.modules.get("torch"), np.random
    found = [PYTHONS, Generator(shared.get_state, shared.set_state, shared.seed)]
    return [*found, generator_of(torch.default_generator)] if torch else found


@contextlib.contextmanager
def python_calls() -> Iterator[list[str]]:
    """Methods of :data:`PYTHONS` that this thread calls inside; all that may be called, where a profiler is at work."""
    shared, found, profiler = random.random.__self__, [], sys.getprofile()
    if profiler is not None:
        yield ["random"]
        return

    def note(frame, event: str, called):
        if event == "c_call" and getattr(called, "__self__", None) is shared:
            found.append(called.__name__)
        # gauss hands out every second number without a call into C
        elif event == "call" and frame.f_code.co_filename == random.__file__ and frame.f_locals.get("self") is shared:
            found.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


def generator_of(value) -> Generator | None:
    """A random generator of the user's; None of anything else, and of one without a state."""
    torch = sys.modules.get("torch")
    if isinstance(value, np.random.Generator | np.random.RandomState):
        bits = getattr(value, "bit_generator", None) or value._bit_generator
        move = functools.partial(setattr, bits, "state")
        get, put = lambda: bits.state, move
        if isinstance(value, np.random.RandomState):  # which keeps a number for the next time
            get, put = functools.partial(value.get_state, legacy=False), value.set_state
        return Generator(get, put, lambda seed: move(type(bits)(seed).state))
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return Generator(value.getstate, value.setstate, value.seed)
    if torch and isinstance(value, torch.Generator):
        return Generator(value.get_state, value.set_state, value.manual_seed)
    return None


def states_of(values: Iterable) -> list[str | bytes]:
    """Where the shared generators stand, Python's first, and those among some objects."""
    values = list(values)
    own = [generator for generator in map(generator_of, values) if generator is not None]
    # the system's has no state, and draws anew each time
    unknown = [os.urandom(NEW_BYTES) for value in values if isinstance(value, random.SystemRandom)]
    return [generator.where() for generator in (*shared_generators(), *own)] + unknown


@contextlib.contextmanager
def moved(values: Iterable) -> Iterator[None]:
    """The shared generators, and those among some objects, stand elsewhere inside, and where they were after it.

    A function that seeds one for each image leaves it as the image before did. Standing elsewhere, it changes, and shows that
    threads which prepare images would draw from it in turns.
    """
    generators = [*shared_generators(), *filter(None, map(generator_of, values))]
    before = [generator.get() for generator in generators]
    try:
        for generator in generators:
            generator.seed(ELSEWHERE)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.put(state)
