"""What a network holds: whether a pass has left something behind."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Mapping

from brainscore_vision.utils import LazyLoad

from .network import asked
from .source_text import is_own

HELD_AS_IT_IS = (bool, int, float, complex, str, bytes, type(None))
"""Of what a network holds, what has no inside."""


def held_state(network) -> list[tuple]:
    """What a network's modules hold: attributes, what is in containers and in objects of the user's, and how often tensors
    were written."""
    import torch

    state, seen, waiting = [], set(), list(network.modules())
    while waiting:
        value = waiting.pop()
        if type(value) is LazyLoad:  # to ask it for anything, even its class, loads what it stands for
            continue
        if isinstance(value, HELD_AS_IT_IS):
            state.append((None, repr(value)))
            continue
        is_tensor = isinstance(value, torch.Tensor)
        state.append((value, value._version if is_tensor and not value.is_inference() else None))
        if is_tensor or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            inner = [read_item(value, key) for key in value]
        elif isinstance(value, list | tuple | set | frozenset | collections.deque):
            inner = list(value)
        elif isinstance(value, torch.nn.Module) or (not isinstance(value, type) and is_own(type(value).__module__)):
            inner = list(asked(value, "__dict__", {}).values())
        else:
            continue
        state.append((None, len(inner)))
        waiting += inner
    return state


def same_state(state: list[tuple], other: list[tuple]) -> bool:
    """Whether nothing was written or exchanged between two calls of :func:`held_state`."""
    return len(state) == len(other) and all(a is b and m == n for (a, m), (b, n) in zip(state, other, strict=True))


def read_item(mapping: Mapping, key):
    """An item of a mapping, or "unreadable", as a setting that is still to be given: mappings raise what they like."""
    with contextlib.suppress(Exception):
        return mapping[key]
    return "unreadable"
