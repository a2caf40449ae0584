"""Names of models in results: the identifier, and what tells networks of one identifier apart."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ..identifiers import IdentifierError, parse
from ..networks.finding import MADE
from ..networks.sources import path_and_rest
from .result import Result, Summary

NAME = "name"
"""Property of a model that is its name in results (:mod:`.properties`)."""

SHOWN_DIGITS = 8
"""Of revisions and digests in a name."""


def tell_apart(results: Sequence[Result]) -> list[Result]:
    """The results, those of one name told apart by :func:`names_of`; what their file has told apart keeps its name."""
    found = names_and_layers(results, [result for result in results if not result.layer_in_name])
    return [
        result if result.model != _request(result)[0] else replace(result, model=name)
        for result, (name, _) in zip(results, found, strict=True)
    ]


def names_of(results: Sequence[Result | Summary]) -> list[str]:
    """Names of the results' models, :func:`names_and_layers` of these results alone."""
    return [name for name, _ in names_and_layers(results, results)]


def names_and_layers(
    results: Sequence[Result | Summary], of_file: Sequence[Result | Summary]
) -> list[tuple[str, bool]]:
    """Names of the results' models, two of which are one only of one network, and whether the layer is a part of them.

    A model's name is the one that a list of models gives it, else its identifier, what it says of itself. Results of one name
    that were asked for in different ways, with different code, or (on one dataset) with different weights are of different
    networks: what differs in ``of_file`` follows the name in brackets, whichever of them are asked for. So do layers, in a
    region with results of several on one benchmark; the one layer that has results on most benchmarks there keeps the name, so
    that trying another changes no row. Weights and layers that are not known, as in files of earlier versions, count as those
    that are, if there is one kind.
    """
    asked, revisions, digests = (defaultdict(set) for _ in range(3))
    networks: dict[tuple, _Network] = {}  # few, where results are many
    layers = _Layers(of_file)
    for facts in dict.fromkeys(map(_facts, (*results, *of_file))):
        base, requested, _, _, digest = facts
        code = layers.code(facts)
        networks[facts] = _Network(base, requested, code[2], code, digest)
        asked[base].add(requested)
        revisions[base, requested].add(code[2])
        digests[code].add(digest)
    for network in networks.values():
        if len(asked[network.base]) > 1:
            network.parts.append(_shortest(network.requested, asked[network.base]))
        if len(revisions[network.base, network.requested]) > 1:
            network.parts.append(f"revision {_digits(network.revision)}")
        if len(digests[network.code] - {None}) > 1:
            network.parts.append(f"network {_digits(network.digest)}")

    def name(network: _Network, result: Result | Summary) -> tuple[str, bool]:
        in_name = getattr(result, "layer_in_name", False) or layers.are_told(network.code, result)
        parts = [*network.parts, f"layer {result.layer or 'unknown'}"] if in_name else network.parts
        if parts and _in_brackets(network.base, parts) in asked:  # somebody gave this name to another one
            parts = [network.requested, *parts]
        return _in_brackets(network.base, parts) if parts else network.base, in_name

    return [name(networks[_facts(result)], result) for result in results]


def _in_brackets(base: str, parts: Sequence[str]) -> str:
    return f"{base} ({', '.join(parts)})"


def _facts(result: Result | Summary) -> tuple:
    return *_request(result), result.model_revision, result.dataset_fingerprint, result.network_digest


class _Layers:
    """Which layers of networks there are results of."""

    def __init__(self, results: Sequence[Result | Summary]):
        self._revision_of, self._texts = _made_revisions(results), {}  # many results share what they say of layers
        cells, layers_of = defaultdict(set), defaultdict(lambda: defaultdict(set))
        for result in results:
            code, layer = self.code(_facts(result)), self._layer(result)
            cells[code, result.benchmark].add(layer)
            if layer is not None:
                layers_of[code, _region(result)][layer].add(result.benchmark)
        self._several = {cell for cell, layers in cells.items() if len(layers - {None}) > 1}
        self._most = {
            (code, region): _most(benchmarks_of)
            for (code, region), benchmarks_of in layers_of.items()
            if any((code, benchmark) in self._several for benchmark in set().union(*benchmarks_of.values()))
        }

    def code(self, facts: tuple) -> tuple:
        """What a network is known by, but for its weights. Features that come with a dataset are another one on each."""
        base, requested, revision, dataset, _ = facts
        return base, requested, self._revision_of.get(facts[:3], revision), dataset

    def are_told(self, code: tuple, result: Result | Summary) -> bool:
        """Whether a result is told by its layer from others of its network."""
        layer = self._layer(result)
        if layer is None:
            return (code, result.benchmark) in self._several
        return self._most.get((code, _region(result)), layer) != layer

    def _layer(self, result: Result | Summary) -> str | None:
        if id(result.layers) not in self._texts:
            self._texts[id(result.layers)] = result.layers, result.layer or None  # kept, so that no other gets its id
        return self._texts[id(result.layers)][1]


def _region(result: Result | Summary) -> str | None:
    """The region that models record. Layers of folds may be called otherwise."""
    return _recorded(result.benchmark) or next(iter(result.layers or ()), None)


@functools.lru_cache(maxsize=4096)
def _recorded(benchmark: str) -> str | None:
    try:
        return parse(benchmark).model_region
    except IdentifierError:  # of another dataset
        return None


def _most(benchmarks_of: dict[str, set[str]]) -> str | None:
    """The layer with the most benchmarks; None of several with as many."""
    most = max(map(len, benchmarks_of.values()))
    found = [layer for layer, benchmarks in benchmarks_of.items() if len(benchmarks) == most]
    return found[0] if len(found) == 1 else None


@dataclass
class _Network:
    """What results say of a network; ``parts`` tell it from others."""

    base: str
    requested: str
    revision: str | None
    code: tuple
    digest: str | None
    parts: list[str] = field(default_factory=list)


def _made_revisions(results: Sequence[Result | Summary]) -> dict[tuple, str]:
    """What was made, by request and code, where all results that say it agree.

    In files of earlier versions, revisions of functions are those of their file; these results are of what the others say that
    the same file makes.
    """
    made = defaultdict(set)
    for result in results:
        if (result.model_revision or "").startswith(MADE):
            made[*_request(result), result.model_code].add(result.model_revision)
    return {key: revisions.pop() for key, revisions in made.items() if len(revisions) == 1}


def of_two_networks(a: Result, b: Result) -> bool:
    """Whether two results of one identifier come from different networks: other requests, code or weights.

    The code around weights prepares images and computes with them, so that other code is another network. Revisions of two
    kinds, as earlier versions and this one give them, say nothing of each other.
    """
    if a.requested_model != b.requested_model:
        return True
    on_one_dataset = a.dataset_fingerprint == b.dataset_fingerprint
    digests = (a.network_digest, b.network_digest) if on_one_dataset else (None, None)
    return what_differs((a.model_revision, b.model_revision), digests) is not None


def what_differs(revisions: tuple[str | None, str | None], digests: tuple[str | None, str | None]) -> str | None:
    """What says that two results of one request are of different networks: ``revision`` or ``network``; None if nothing does.

    Parameters
    ----------
    revisions, digests : tuple of (str or None)
        Of the models and of their weights; None where they are not known.
    """
    made = {revision.startswith(MADE) for revision in revisions if revision}
    if all(revisions) and len(made) == 1 and revisions[0] != revisions[1]:
        return "revision"
    if all(revisions) and made == {True}:
        return None
    if None not in digests:
        return "network" if digests[0] != digests[1] else None
    return "revision" if revisions[0] != revisions[1] else None


def _request(result: Result | Summary) -> tuple[str, str]:
    """The name that a list of models gives, else what the model says of itself; and what was asked for."""
    return str(result.properties.get(NAME) or result.model_identifier), result.requested_model


def tells_apart(pattern: str) -> bool:
    """Whether a model is asked for by what tells it from others: its name with brackets, or a digest or revision alone."""
    return pattern.endswith(")") or re.fullmatch(rf"[0-9a-f]{{{SHOWN_DIGITS},}}", pattern) is not None


def all_names(result: Result | Summary) -> list[str]:
    """What the model of a result may be asked for by; digests and revisions in full, and as names show them."""
    digests = [digest for digest in (result.model_revision, result.network_digest) if digest is not None]
    shown = [text for digest in digests for text in (digest.removeprefix(MADE), _digits(digest))]
    return [result.model, result.model_identifier, result.requested_model, *shown]


def _digits(digest: str | None) -> str:
    return "unknown" if digest is None else digest.removeprefix(MADE)[:SHOWN_DIGITS]


def _shortest(requested: str, others: set[str]) -> str:
    """The end of a path that no other request has, with what follows it; other requests as they are."""
    path, rest = path_and_rest(requested)
    parts, split = PurePath(path).parts, [path_and_rest(other) for other in others]
    for n in range(1, len(parts)):
        same = [(other, its) for other, its in split if PurePath(other).parts[-n:] == parts[-n:] and its == rest]
        if len(same) == 1:
            return f"{PurePath(*parts[-n:])}{rest}"
    return requested
