"""Which of a network's layers are meant: all, its blocks, or names and patterns.

Blocks are what a network repeats: residual blocks, transformer layers, inception modules. They are found by structure alone,
whatever their classes are called:

- a module that holds others, whose class occurs twice or more among the modules that are called, and which is no mere
  container (Sequential, ModuleList), may be a block;
- a class that occurs once is a block too if it stands among them: what it holds occurs outside of it as well;
- a class that only chains others, so that each module of it answers as a block inside it does, is a stage and no block;
- blocks inside blocks do not count;
- what comes before the first block is a stem. It is cut as a network without blocks; of a stem with weights in one layer alone,
  such as one that embeds patches, it matters whether it computes something: whether there is an activation in it.

A network without blocks is cut after each layer with weights and what belongs to it (normalisation, activation, pooling, but
for a pooling that leaves one place of the whole image).
"""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import UnmappedRegionError
from ..features.hooks import CALL_MARK
from .listing import Layer

ALL, BLOCKS = "all", "blocks"

ACTIVATIONS = frozenset({"torch.nn.modules.activation", "timm.layers.activations", "timm.layers.activations_me"})
"""Modules of Python whose classes are activations."""


@dataclass(frozen=True)
class Choice:
    """Layers that are to be recorded, and those that were meant and are not.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which they answer; no two answer alike.
    skipped : dict of str to str
        Name of a layer that was meant to the reason why it is not recorded.
    """

    layers: tuple[Layer, ...]
    skipped: dict[str, str]


def choose(listed: Sequence[Layer], wanted: str | Sequence[str], model: str) -> Choice:
    """Layers by what the user calls them.

    Parameters
    ----------
    listed : sequence of Layer
        All of the network.
    wanted : str or sequence of str
        "all", "blocks", or names and patterns of names (``layer4.*``).
    model : str
        Identifier, for messages.

    Raises
    ------
    UnmappedRegionError
        A pattern that matches no layer, or no layer that can be recorded.
    """
    if isinstance(wanted, str) and wanted == BLOCKS:
        # what would be a block, if its numbers were of use, is said to be left out; the others are chosen as without it
        named = [*blocks(listed), *(layer for layer in _blocks(_called(listed, True)) if layer.is_broken)]
    elif isinstance(wanted, str) and wanted == ALL:
        named = list(listed)
    else:
        named = _matching(listed, [wanted] if isinstance(wanted, str) else list(wanted), model)
    usable = [layer for layer in named if not layer.problem]
    skipped = {layer.name: layer.problem for layer in named if layer.problem}
    alike: dict[str, list[Layer]] = defaultdict(list)
    for layer in usable:
        alike[layer.digest].append(layer)
    kept = {digest: _spokesman(layers) for digest, layers in alike.items()}
    for layer in usable:
        if kept[layer.digest] is not layer:
            skipped[layer.name] = f"it answers as {kept[layer.digest].name} does, which is recorded"
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise UnmappedRegionError(
            f"At least one layer is recorded; of {model}, none can be{f' ({reasons})' if reasons else ''}. "
            f"Name other layers, or wrap the network in one that has modules."
        )
    return Choice(tuple(layer for layer in usable if kept[layer.digest] is layer), skipped)


def blocks(listed: Sequence[Layer]) -> list[Layer]:
    """The layers by which a network is usually described: see the module's docstring."""
    return _blocks(_called(listed))


def _called(listed: Sequence[Layer], with_broken: bool = False) -> list[Layer]:
    """Layers that answer to images, perhaps with numbers that are of no use."""
    return [layer for layer in listed if not layer.problem or (with_broken and layer.is_broken)]


def _blocks(called: Sequence[Layer]) -> list[Layer]:
    may_be = [layer for layer in called if not _is_leaf(layer) and not _is_container(layer) and _has_weights(layer)]
    repeated = {kind for kind, n in Counter(_class(module) for module in {b.module for b in may_be}).items() if n > 1}
    candidates = [layer for layer in may_be if _class(layer.module) in repeated]
    stages = {
        kind
        for kind in repeated
        if all(_chains(layer, candidates) for layer in candidates if _class(layer.module) is kind)
    }
    found = _outermost([layer for layer in candidates if _class(layer.module) not in stages])
    if not found:
        return _cut_after_weights(called)
    singles = [layer for layer in may_be if _class(layer.module) not in repeated and not _chains(layer, candidates)]
    found = _outermost([*found, *(layer for layer in singles if _is_one_of(layer, found, candidates))])
    found.sort(key=called.index)
    return [*_stem(called, found), *found]


def _outermost(layers: Sequence[Layer]) -> list[Layer]:
    names = {layer.name for layer in layers}
    return [layer for layer in layers if not any(outer in names for outer in _outer_names(layer.name))]


def _chains(layer: Layer, candidates: Sequence[Layer]) -> bool:
    """Whether a module answers as a possible block of another class in it does."""
    return any(
        inner.digest == layer.digest and layer.name in _outer_names(inner.name)
        for inner in candidates
        if _class(inner.module) is not _class(layer.module)
    )


def _is_one_of(layer: Layer, found: Sequence[Layer], candidates: Sequence[Layer]) -> bool:
    """Whether a class that occurs once stands among blocks: what is found in it occurs outside of it too."""
    inside = {_class(b.module) for b in found if layer.name in _outer_names(b.name)}
    outside = {_class(b.module) for b in candidates if layer.name not in _outer_names(b.name)}
    return bool(inside) and inside <= outside


def _stem(called: Sequence[Layer], found: Sequence[Layer]) -> list[Layer]:
    pieces = _pieces([layer for layer in called if layer.started < min(b.started for b in found)])
    if len(pieces) == 1 and not any(map(_is_activation, pieces[0])):
        return []
    ends = [_end(piece).digest for piece in pieces]
    return [_spokesman([layer for layer in called if layer.digest == digest]) for digest in dict.fromkeys(ends)]


def _cut_after_weights(called: Sequence[Layer]) -> list[Layer]:
    return [_end(piece) for piece in _pieces(called)] or list(called)


def _pieces(layers: Sequence[Layer]) -> list[Sequence[Layer]]:
    """Layers with weights that hold no others, each with what follows it before the next."""
    leaves = [layer for layer in layers if _is_leaf(layer)]
    starts = [i for i, leaf in enumerate(leaves) if _has_weights(leaf)]
    return [leaves[start:end] for start, end in pairwise([*starts, len(leaves)])]


def _end(piece: Sequence[Layer]) -> Layer:
    return _changing(_before_global_pooling(piece))[-1]


def _before_global_pooling(leaves: Sequence[Layer]) -> Sequence[Layer]:
    """Leaves up to one that leaves a single place of many (channels × height × width): a score is to see the places."""
    for i in range(1, len(leaves)):
        before, after = leaves[i - 1].shape, leaves[i].shape
        if len(before) == 3 and math.prod(before[1:]) > 1 and math.prod(after) == before[0]:
            return leaves[:i]
    return leaves


def _changing(leaves: Sequence[Layer]) -> list[Layer]:
    """Those that do not answer as the one before them."""
    return [leaf for i, leaf in enumerate(leaves) if i == 0 or leaf.digest != leaves[i - 1].digest]


def _spokesman(alike: Sequence[Layer]) -> Layer:
    """Of layers that answer alike, in order: the first, or the block that it ends."""
    spokesman = alike[0]
    for layer in alike[1:]:
        if layer.name in _outer_names(spokesman.name) and not _is_container(layer):
            spokesman = layer
    return spokesman


def _matching(listed: Sequence[Layer], patterns: Sequence[str], model: str) -> list[Layer]:
    names, wanted = [layer.name for layer in listed], set()
    n_before = Counter(name.rpartition(CALL_MARK)[0] for name in names if CALL_MARK in name)
    last_calls = {f"{name}{CALL_MARK}{n_before[name]}": name for name in names}
    for pattern in patterns:
        found = [pattern] if pattern in names else fnmatch.filter(names, pattern)
        if CALL_MARK in str(pattern):
            found = [*found, *(last_calls[one] for one in fnmatch.filter(last_calls, pattern))]
        if not found:
            folded = {name.casefold(): name for name in names}
            nearest = difflib.get_close_matches(str(pattern).casefold(), folded, n=3, cutoff=0.0)
            raise UnmappedRegionError(
                f"Layers are {ALL!r}, {BLOCKS!r}, or names or patterns of names; {pattern!r} matches none of the "
                f"{len(names)} layers of {model}. The nearest are {', '.join(repr(folded[name]) for name in nearest)}."
            )
        wanted.update(found)
    return [layer for layer in listed if layer.name in wanted]


def _outer_names(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _class(module) -> type:
    """A module's class; where torch computes its weights of others, the one that it was made with."""
    from torch.nn.utils import parametrize

    return parametrize.type_before_parametrizations(module)


def _is_leaf(layer: Layer) -> bool:
    """Whether a module holds no others, but for those that torch computes its weights with."""
    return not {name for name, _ in layer.module.named_children()} - {"parametrizations"}


def _is_container(layer: Layer) -> bool:
    import torch

    return _class(layer.module) in (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


def _is_activation(layer: Layer) -> bool:
    return _class(layer.module).__module__ in ACTIVATIONS


def _has_weights(layer: Layer) -> bool:
    """Whether a layer mixes features, as convolutions and linear layers do; scales and offsets have one dimension."""
    return any(parameter.ndim > 1 for parameter in layer.module.parameters())
