"""Names of models in results: the identifier, and what tells networks of one identifier apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ..networks.finding import MADE
from ..networks.sources import path_and_rest
from .result import Result, Summary

NAME = "name"
"""Property of a model that is its name in results (:mod:`.properties`)."""

SHOWN_DIGITS = 8
"""Of revisions and digests in a name."""


def tell_apart(results: Sequence[Result]) -> list[Result]:
    """The results, each named by :func:`names_of`."""
    named = zip(results, names_of(results), strict=True)
    return [result if result.model == model else replace(result, model=model) for result, model in named]


def names_of(results: Sequence[Result | Summary]) -> list[str]:
    """Names of the results' models: two of one name come from one network, as far as it is known.

    A model's name is the one that a list of models gives it, else its identifier, what it says of itself. Results of one name
    that were asked for in different ways, with different code, or (on one dataset) with different weights are of different
    networks: what differs follows the name in brackets. So do layers, in a region with results of several on one benchmark;
    the one layer that has results on most benchmarks there keeps the name, so that trying another changes no row. Weights and
    layers that are not known, as in files of earlier versions, count as those that are, if there is one kind.
    """
    asked, revisions, digests, cells = (defaultdict(set) for _ in range(4))
    layers_of: dict = defaultdict(lambda: defaultdict(set))  # network and region -> layer -> benchmarks
    networks: dict[tuple, _Network] = {}  # few, where results are many
    texts: dict[int, str | None] = {}  # many results share what they say of layers
    known, revision_of = [], _made_revisions(results)
    for result in results:
        facts = *_request(result), result.model_revision, result.dataset_fingerprint, result.network_digest
        if facts not in networks:
            base, requested, revision, dataset, digest = facts
            revision = revision_of.get(facts[:3], revision)
            # features that come with a dataset are another "network" on each
            code = base, requested, revision, dataset
            networks[facts] = _Network(base, requested, revision, code, digest)
            asked[base].add(requested)
            revisions[base, requested].add(revision)
            digests[code].add(digest)
        if id(result.layers) not in texts:
            texts[id(result.layers)] = result.layer or None
        network, layer = networks[facts], texts[id(result.layers)]
        cells[network.code, result.benchmark].add(layer)
        region = next(iter(result.layers or ()), None)
        if layer is not None:
            layers_of[network.code, region][layer].add(result.benchmark)
        known.append((network, region, layer, result.benchmark))
    for network in networks.values():
        if len(asked[network.base]) > 1:
            network.parts.append(_shortest(network.requested, asked[network.base]))
        if len(revisions[network.base, network.requested]) > 1:
            network.parts.append(f"revision {_digits(network.revision)}")
        if len(digests[network.code] - {None}) > 1:
            network.parts.append(f"network {_digits(network.digest)}")

    several = {cell for cell, layers in cells.items() if len(layers - {None}) > 1}
    most = {
        region: _most(benchmarks_of)
        for region, benchmarks_of in layers_of.items()
        if any((region[0], benchmark) in several for benchmarks in benchmarks_of.values() for benchmark in benchmarks)
    }

    def name(network: _Network, region: str | None, layer: str | None, benchmark: str) -> str:
        parts = network.parts
        if layer is None and (network.code, benchmark) in several:
            parts = [*parts, "layer unknown"]
        elif layer is not None and most.get((network.code, region), layer) != layer:
            parts = [*parts, f"layer {layer}"]
        return f"{network.base} ({', '.join(parts)})" if parts else network.base

    return [name(*one) for one in known]


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
    """Whether two results of one identifier come from different networks: other requests, weights, or unknown code."""
    if a.requested_model != b.requested_model:
        return True
    revisions = a.model_revision or "", b.model_revision or ""
    if all(revision.startswith(MADE) for revision in revisions):
        return revisions[0] != revisions[1]
    digests = (a.network_digest, b.network_digest)
    if None not in digests and a.dataset_fingerprint == b.dataset_fingerprint:
        return digests[0] != digests[1]
    return a.model_revision != b.model_revision


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
