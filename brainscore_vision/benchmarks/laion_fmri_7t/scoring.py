"""Scoring a model on one or many benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from brainscore_core.metrics import Score

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, score_benchmarks

from .benchmark import benchmark as build_benchmark
from .models import ModelSourceError, find_model

MODEL_INTERFACE = ("identifier", "visual_degrees", "start_recording", "look_at")
"""What scoring needs of a BrainModel."""


def score_model(model, benchmark, dataset=None) -> Score:
    """Score a model on a benchmark.

    Parameters
    ----------
    model : str or brainscore_vision.model_interface.BrainModel
        A registered identifier, or a model.
    benchmark : str or benchmark
        Any identifier of the grammar, or a benchmark object.
    dataset : str, pathlib.Path or Dataset, optional
        ``simulated``, ``published`` or a folder; None for the configured one. Belongs with an identifier.

    Returns
    -------
    Score
        See the README of the benchmark for its attributes.
    """
    if isinstance(benchmark, str):
        benchmark = build_benchmark(benchmark, **({} if dataset is None else {"dataset": dataset}))
    elif dataset is not None:
        raise ValueError(
            f"A benchmark object brings its own dataset; received dataset={dataset!r} besides {benchmark.identifier}. "
            f"Pass the dataset when building the benchmark, or pass the identifier."
        )
    return benchmark(resolve_model(model))


def score_all(
    model, identifiers: Sequence[str], dataset=None, engine: EngineOptions | None = None
) -> Iterator[tuple[str, Score]]:
    """Score one model on many benchmarks, which share forward passes and kernels.

    Yields
    ------
    tuple of str and Score
        Identifier as given, and Score; in the order in which they are done.
    """
    options = {} if dataset is None else {"dataset": dataset}
    benchmarks = {identifier: build_benchmark(identifier, **options) for identifier in dict.fromkeys(identifiers)}
    names = {id(benchmark): identifier for identifier, benchmark in benchmarks.items()}
    for benchmark, score in score_benchmarks(resolve_model(model), list(benchmarks.values()), engine):
        yield names[id(benchmark)], score


def resolve_model(model):
    """A BrainModel from a registered identifier (or what else :func:`.models.find_model` takes) or from itself.

    Raises
    ------
    ModelSourceError
        No such model, or something that is none.
    """
    model = find_model(model) if isinstance(model, str) else model
    missing = [name for name in MODEL_INTERFACE if not hasattr(model, name)]
    if missing:
        raise ModelSourceError(
            f"A model is a registered identifier or a BrainModel; received a {type(model).__name__}, which has no "
            f"{', '.join(missing)}. Commit a network to brain regions with Brain-Score's ModelCommitment."
        )
    return model
