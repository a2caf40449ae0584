"""Names of models in results: the identifier, and what tells networks of one identifier apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath

from ..networks.revision import MADE
from .result import Result

NAME = "name"
"""Property of a model that is its name in results (:mod:`.properties`)."""

SHOWN_DIGITS = 8
"""Of revisions and digests in a name."""


def tell_apart(results: Sequence[Result]) -> list[Result]:
    """The results, named so that two of one ``model`` come from one network, as far as it is known.

    A model's name is the one that a list of models gives it, else its identifier, what it says of itself. Results of one name
    that were asked for in different ways, with different code, or (on one dataset) with different weights are of different
    networks, and those of one network in other layers are other results on a benchmark: what differs follows the name in
    brackets. Weights and layers that are not known, as in files of earlier versions, count as those that are, if there is
    one kind.
    """
    known = _with_made_revisions(results)
    asked = _kinds(known, lambda r: (_base(r),), lambda r: r.requested_model)
    revisions = _kinds(known, _request, lambda r: r.model_revision)
    networks = _kinds(known, _code, lambda r: r.network_digest)
    layers = _kinds(known, _cell, lambda r: r.layer or None)

    def name(result: Result) -> str:
        parts = []
        requests = asked[_base(result),]
        if len(requests) > 1:
            parts.append(_shortest(result.requested_model, requests))
        if len(revisions[_request(result)]) > 1:
            parts.append(f"revision {_digits(result.model_revision)}")
        digests = networks[_code(result)] - {None}
        if len(digests) > 1:
            parts.append(f"network {_digits(result.network_digest)}")
        if len(layers[_cell(result)] - {None}) > 1:
            parts.append(f"layer {result.layer or 'unknown'}")
        return f"{_base(result)} ({', '.join(parts)})" if parts else _base(result)

    named = ((result, name(as_known)) for result, as_known in zip(results, known, strict=True))
    return [result if result.model == model else replace(result, model=model) for result, model in named]


def _with_made_revisions(results: Sequence[Result]) -> list[Result]:
    """Results whose revision is that of what was made, where another result of the same weights says it.

    In files of earlier versions, revisions of functions are those of their file.
    """
    made = _kinds(
        (r for r in results if (r.model_revision or "").startswith(MADE)),
        lambda r: (*_request(r), r.network_digest),
        lambda r: r.model_revision,
    )

    def known(result: Result) -> Result:
        of_weights = made.get((*_request(result), result.network_digest), set())
        if len(of_weights) != 1 or result.model_revision in of_weights:
            return result
        return replace(result, model_revision=next(iter(of_weights)))

    return list(map(known, results)) if made else list(results)


def of_two_networks(a: Result, b: Result) -> bool:
    """Whether two results of one identifier come from different networks: other requests, weights, or unknown code."""
    if a.requested_model != b.requested_model:
        return True
    digests = (a.network_digest, b.network_digest)
    if None not in digests and a.dataset_fingerprint == b.dataset_fingerprint:
        return digests[0] != digests[1]
    return a.model_revision != b.model_revision


def _base(result: Result) -> str:
    """The name that a list of models gives, else what the model says of itself."""
    return str(result.properties.get(NAME) or result.model_identifier)


def _request(result: Result) -> tuple:
    return _base(result), result.requested_model


def _code(result: Result) -> tuple:
    # features that come with a dataset are another "network" on each
    return *_request(result), result.model_revision, result.dataset_fingerprint


def _cell(result: Result) -> tuple:
    return (*_code(result), result.benchmark)


def _kinds(results: Iterable[Result], key: Callable, value: Callable) -> dict[tuple, set]:
    kinds: dict[tuple, set] = {}
    for result in results:
        kinds.setdefault(key(result), set()).add(value(result))
    return kinds


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
