"""Names of models in results: the identifier, and what tells networks of one identifier apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath

from .result import Result

SHOWN_DIGITS = 8
"""Of revisions and digests in a name."""


def tell_apart(results: Sequence[Result]) -> list[Result]:
    """The results, named so that two of one ``model`` come from one network, as far as it is known.

    An identifier is what a model says of itself. Results of one identifier that were asked for in different ways, with
    different code, or (on one dataset) with different weights are of different networks, and those of one network in other
    layers are other results on a benchmark: what differs follows the identifier in brackets. Weights and layers that are not
    known, as in files of earlier versions, count as those that are, if there is one kind.
    """
    asked = _kinds(results, lambda r: (r.model_identifier,), lambda r: r.requested_model)
    revisions = _kinds(results, lambda r: (r.model_identifier, r.requested_model), lambda r: r.model_revision)
    networks = _kinds(results, _code, lambda r: r.network_digest)
    layers = _kinds(results, _cell, lambda r: r.layer or None)

    def name(result: Result) -> str:
        parts = []
        requests = asked[result.model_identifier,]
        if len(requests) > 1:
            parts.append(_shortest(result.requested_model, requests))
        if len(revisions[result.model_identifier, result.requested_model]) > 1:
            parts.append(f"revision {_digits(result.model_revision)}")
        known = networks[_code(result)] - {None}
        if len(known) > 1:
            parts.append(f"network {_digits(result.network_digest)}")
        if len(layers[_cell(result)] - {None}) > 1:
            parts.append(f"layer {result.layer or 'unknown'}")
        return f"{result.model_identifier} ({', '.join(parts)})" if parts else result.model_identifier

    named = ((result, name(result)) for result in results)
    return [result if result.model == model else replace(result, model=model) for result, model in named]


def of_two_networks(a: Result, b: Result) -> bool:
    """Whether two results of one identifier come from different networks: other requests, weights, or unknown code."""
    if a.requested_model != b.requested_model:
        return True
    digests = (a.network_digest, b.network_digest)
    if None not in digests and a.dataset_fingerprint == b.dataset_fingerprint:
        return digests[0] != digests[1]
    return a.model_revision != b.model_revision


def _code(result: Result) -> tuple:
    # features that come with a dataset are another "network" on each
    return result.model_identifier, result.requested_model, result.model_revision, result.dataset_fingerprint


def _cell(result: Result) -> tuple:
    return (*_code(result), result.benchmark)


def _kinds(results: Iterable[Result], key: Callable, value: Callable) -> dict[tuple, set]:
    kinds: dict[tuple, set] = {}
    for result in results:
        kinds.setdefault(key(result), set()).add(value(result))
    return kinds


def _digits(digest: str | None) -> str:
    return "unknown" if digest is None else digest[:SHOWN_DIGITS]


def _shortest(requested: str, others: set[str]) -> str:
    """The end of a path that no other request has; other requests as they are."""
    parts = PurePath(requested).parts
    for n in range(1, len(parts)):
        ending = str(PurePath(*parts[-n:]))
        if sum(PurePath(other).parts[-n:] == parts[-n:] for other in others) == 1:
            return ending
    return requested
