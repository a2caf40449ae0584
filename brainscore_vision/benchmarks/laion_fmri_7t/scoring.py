"""Scoring a model on one or many benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from brainscore_core.metrics import Score
from brainscore_vision.model_interface import BrainModel

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, score_benchmarks
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import KernelBenchmark
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.partition import MeanPartition, Partition
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.partition import partition as partition_tasks
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel, bind

from .benchmark import benchmark as build_benchmark
from .identifiers import IdentifierError
from .networks.sources import ModelSourceError, locate_model

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
    return benchmark(_model_for(model, [benchmark]))


def score_all(
    model, identifiers: Sequence[str], dataset=None, engine: EngineOptions | None = None
) -> Iterator[tuple[str, Score]]:
    """Score one model on many benchmarks, which share forward passes and kernels.

    Yields
    ------
    tuple of str and Score
        Identifier as given, and Score; in the order in which they are done.
    """
    benchmarks = build_all(identifiers, dataset)
    names = {id(benchmark): identifier for identifier, benchmark in benchmarks.items()}
    candidate = ready_model(model, benchmarks.values())
    for benchmark, score in score_benchmarks(candidate, list(benchmarks.values()), engine):
        yield names[id(benchmark)], score


def partition(
    model_a, model_b, benchmark: str | KernelBenchmark, dataset=None, engine: EngineOptions | None = None
) -> dict[str, Partition | MeanPartition]:
    """Partition the variance that two models explain: unique to each, shared, and together.

    Parameters
    ----------
    model_a, model_b : str or brainscore_vision.model_interface.BrainModel
    benchmark : str or benchmark
        A ridge benchmark with one split.
    dataset : str, pathlib.Path or Dataset, optional
        As for :func:`score_model`.
    engine : EngineOptions, optional

    Returns
    -------
    dict
        A Partition per subject, and their MeanPartition under "mean"; see
        :mod:`brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.partition` for the formulas.
    """
    return dict(partition_all(model_a, model_b, [benchmark], dataset, engine))[_name(benchmark)]


def partition_all(
    model_a, model_b, benchmarks: Sequence, dataset=None, engine: EngineOptions | None = None
) -> Iterator[tuple[str, dict[str, Partition | MeanPartition]]]:
    """:func:`partition` on many benchmarks, which share kernels and decompositions; yields each when it is done."""
    options = {} if dataset is None else {"dataset": dataset}
    built = [build_benchmark(b, **options) if isinstance(b, str) else b for b in benchmarks]
    names = [_name(b) for b in benchmarks]
    waiting, order = {}, {}
    for name, one in zip(names, built, strict=True):
        order[name] = one.tasks()
        if len({task.subject for task in order[name]}) < len(order[name]):
            raise IdentifierError(
                f"Variance is partitioned on one split; {name} is a mean over folds. Name one of them."
            )
        waiting[name] = dict.fromkeys(order[name])
    models = [_bound(_model_for(model, built), built) for model in (model_a, model_b)]
    _check_names(*models)
    every_task = [task for tasks in order.values() for task in tasks]
    for task, done in partition_tasks(*models, every_task, engine):
        for name in [name for name, tasks in waiting.items() if task in tasks]:
            waiting[name][task] = done
            if None not in waiting[name].values():
                parts = [waiting[name][task] for task in order[name]]
                del waiting[name]
                yield name, {**{p.subject: p for p in parts}, "mean": MeanPartition.of(parts)}


def _check_names(model_a: BrainModel, model_b: BrainModel) -> None:
    """Raise if one identifier stands for two networks: kernels go by it, but for tables, which their content names too."""
    if isinstance(model_a, LookupModel) or isinstance(model_b, LookupModel):
        return
    if model_a.identifier == model_b.identifier and network_digest(model_a) != network_digest(model_b):
        raise ModelSourceError(
            f"Two networks have two identifiers; both of these say {model_a.identifier!r}, and their weights differ. Give each "
            f"an identifier of its own; if they are meant to be one network, seed its weights (torch.manual_seed in the "
            f"function that makes it), or save and load them."
        )


def build_all(identifiers: Iterable[str], dataset=None) -> dict[str, KernelBenchmark]:
    """Benchmarks by the identifiers given, each once; loads nothing."""
    options = {} if dataset is None else {"dataset": dataset}
    return {identifier: build_benchmark(identifier, **options) for identifier in dict.fromkeys(identifiers)}


def ready_model(model, benchmarks: Iterable[KernelBenchmark]) -> BrainModel:
    """The model of a name, or a model itself, checked and given the features that come with the benchmarks' dataset."""
    benchmarks = list(benchmarks)
    return _bound(_model_for(model, benchmarks), benchmarks)


def _name(benchmark) -> str:
    return benchmark if isinstance(benchmark, str) else benchmark.identifier


def _bound(model, benchmarks: Iterable) -> BrainModel:
    """A model whose features come with a dataset gets those of the dataset that it is scored on."""
    datasets = list(dict.fromkeys(one.cell.dataset for one in benchmarks))
    if isinstance(model, DatasetModel) and len(datasets) > 1:
        raise IdentifierError(
            f"The features of {model.identifier} come with a dataset, so it is scored on one at a time; received benchmarks "
            f"on {', '.join(str(dataset) for dataset in datasets)}. Score each by itself."
        )
    return bind(model, datasets[0]) if datasets else model


def _model_for(model, benchmarks) -> BrainModel:
    """The model, made after its name, the datasets and the splits are found: weights may be a long download."""
    make = locate_model(model) if isinstance(model, str) else lambda: model
    for benchmark in benchmarks:
        if isinstance(benchmark, KernelBenchmark):
            benchmark.tasks()
    return check_model(make())


def check_model(model) -> BrainModel:
    """Return ``model`` if it is a BrainModel, else raise ModelSourceError."""
    missing = [name for name in MODEL_INTERFACE if not hasattr(model, name)]
    if missing:
        raise ModelSourceError(
            f"A model is a registered identifier or a BrainModel; received a {type(model).__name__}, which has no "
            f"{', '.join(missing)}. Commit a network to brain regions with Brain-Score's ModelCommitment."
        )
    return model
