"""Which results may stand on one leaderboard, and under which name a model does."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import peewee
from brainscore_core.plugin_management.import_plugin import ImportPlugin
from brainscore_core.submission import database_models as tables

from brainscore_vision.data.laion_fmri_7t.source import marked_as_simulated

from ..identifiers import parse
from ..results import Result, of_two_networks
from ..results.names import NAME
from .errors import LeaderboardError

NETWORK = "network"
"""Before a network's digest, in comments and messages."""


def check_recordable(results: Sequence[Result], allow_simulated: bool = False) -> None:
    """Raise LeaderboardError for results whose numbers cannot stand on one leaderboard."""
    simulated = [result for result in results if result.is_simulated]
    if simulated and not allow_simulated:
        raise LeaderboardError(
            f"A leaderboard is of measured responses; {len(simulated)} of {len(results)} results are of simulated data, the "
            f"first {result_name(simulated[0])}. Choose others, or allow simulated data for a trial (--allow-simulated)."
        )
    for result in results:
        if result.dropped_stimuli:
            raise LeaderboardError(
                f"Models of a benchmark are compared on the same stimuli; {result_name(result)} was scored without "
                f"{len(result.dropped_stimuli)} of them. Choose other results."
            )
        _check_length("benchmark", benchmark_name(result), tables.BenchmarkType.identifier)
        _check_length("model", model_name(result), tables.Model.name)
    models: dict[str, Result] = {}
    seen: dict[tuple[str, str], Result] = {}
    datasets: dict[str, Result] = {}
    for result in results:
        other = datasets.setdefault(result.benchmark, result)
        if other.dataset_fingerprint != result.dataset_fingerprint:
            raise LeaderboardError(
                f"Models of a benchmark are compared on the same data; {result_name(other)} has data "
                f"{other.dataset_fingerprint}, {result_name(result)} has {result.dataset_fingerprint}. Choose one of them "
                f"(--dataset)."
            )
        other = models.setdefault(model_name(result), result)
        if of_two_networks(other, result):
            raise LeaderboardError(
                f"A model of a leaderboard is one network; {model_name(result)} is two: {result_name(other)} comes from "
                f"{source(other)}, {result_name(result)} from {source(result)}. Choose one of them (--model), score both "
                f"benchmarks with it, or give each a name of its own in a list of models."
            )
        other = seen.setdefault((model_name(result), result.benchmark), result)
        if other is not result:
            raise LeaderboardError(
                f"A model has one score on a benchmark; {result_name(result)} has several, results {other.id} and {result.id}. "
                f"Choose one of them."
            )


def source(result: Result) -> str:
    """What a result's model was asked for as, with the digests that are known."""
    facts = [repr(result.requested_model)]
    facts += [f"revision {result.model_revision}"] * bool(result.model_revision)
    facts += [f"{NETWORK} {result.network_digest}"] * bool(result.network_digest)
    return ", ".join(facts)


def model_name(result: Result) -> str:
    """A model's name on the leaderboard.

    The registered one, under which Brain-Score would score it; else the one that a list of models gives it, as in results; else
    its own. Of a layer that results tell from another one of the model, the layer follows in brackets.
    """
    registered = is_registered(result.requested_model)
    name = result.requested_model if registered else str(result.properties.get(NAME) or result.model_identifier)
    return f"{name} (layer {result.layer})" if result.layer_in_name else name


def benchmark_name(result: Result) -> str:
    """A benchmark's name on the leaderboard: as Brain-Score's endpoint records it, simulated data stand in it."""
    if not result.is_simulated:
        return result.benchmark
    return replace(parse(result.benchmark), dataset=marked_as_simulated(str(result.dataset["name"]))).identifier


@functools.cache
def is_registered(name: str) -> bool:
    try:
        ImportPlugin("brainscore_vision", "models", name)
    except AssertionError:  # Brain-Score's search asserts that exactly one registration exists
        return False
    return True


def result_name(result: Result) -> str:
    """A result in messages."""
    return f"{model_name(result)} on {result.benchmark}"


def _check_length(what: str, name: str, column: peewee.CharField) -> None:
    if len(name) > column.max_length:
        raise LeaderboardError(
            f"A {what} has a name of at most {column.max_length} characters in Brain-Score's database; received "
            f"{len(name)}: {name[:60]}... Choose other results."
        )
