"""Names of models in results: the identifier, and what tells networks of one identifier apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from ..networks.revision import MADE
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
    networks, and those of one network in other layers are other results on a benchmark: what differs follows the name in
    brackets. Weights and layers that are not known, as in files of earlier versions, count as those that are, if there is
    one kind.
    """
    asked, revisions, networks, choices = (defaultdict(set) for _ in range(4))
    codes: dict[tuple, int] = {}
    texts: dict[int, str | None] = {}  # many results share what they say of layers
    known, revision_of = [], _made_revisions(results)
    for result in results:
        base, requested = request = _request(result)
        revision = revision_of.get((*request, result.model_revision), result.model_revision)
        # features that come with a dataset are another "network" on each
        code = (*request, revision, result.dataset_fingerprint)
        if code not in codes:
            codes[code] = len(codes)
            asked[base].add(requested)
            revisions[request].add(revision)
        if id(result.layers) not in texts:
            texts[id(result.layers)] = result.layer or None
        number, layer = codes[code], texts[id(result.layers)]
        networks[number].add(result.network_digest)
        choices[number, result.benchmark].add(layer)
        known.append((result, revision, number, layer))

    def name(result: Result | Summary, revision: str | None, number: int, layer: str | None) -> str:
        base, requested = _request(result)
        parts = []
        if len(asked[base]) > 1:
            parts.append(_shortest(requested, asked[base]))
        if len(revisions[base, requested]) > 1:
            parts.append(f"revision {_digits(revision)}")
        if len(networks[number] - {None}) > 1:
            parts.append(f"network {_digits(result.network_digest)}")
        if len(choices[number, result.benchmark] - {None}) > 1:
            parts.append(f"layer {layer or 'unknown'}")
        return f"{base} ({', '.join(parts)})" if parts else base

    return [name(*one) for one in known]


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


def _digits(digest: str | None) -> str:
    return "unknown" if digest is None else digest.removeprefix(MADE)[:SHOWN_DIGITS]


def _shortest(requested: str, others: set[str]) -> str:
    """The end of a path that no other request has; other requests as they are."""
    parts = PurePath(requested).parts
    for n in range(1, len(parts)):
        ending = str(PurePath(*parts[-n:]))
        if sum(PurePath(other).parts[-n:] == parts[-n:] for other in others) == 1:
            return ending
    return requested
