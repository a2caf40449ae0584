"""Scoring a model on one or many benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from brainscore_core.metrics import Score
from brainscore_vision.model_interface import BrainModel

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, score_plans
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import FoldsPlan, Plan
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import committed_layers, mapped_regions
from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import MeanPartition, Partition
from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import partition as partition_tasks
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.overlap import note_on_subjects, overlap_widening
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel, bind
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from .benchmark import FoldsBenchmark, SingleSplitBenchmark
from .benchmark import benchmark as build_benchmark
from .identifiers import IdentifierError
from .layer_maps import with_best_layers
from .networks.errors import ModelSourceError
from .networks.finding import find_model
from .networks.network import AUTO
from .networks.region_layers import check_region_names

LAIONBenchmark = SingleSplitBenchmark | FoldsBenchmark


def score_model(model, benchmark, dataset=None, *, layers=None) -> Score:
    """Score a model on a benchmark.

    Parameters
    ----------
    model : str, torch.nn.Module or brainscore_vision.model_interface.BrainModel
        A model, or the name of one: see :func:`~.networks.finding.find_model`.
    benchmark : str or benchmark
        Any identifier of the grammar, or a benchmark object.
    dataset : str, pathlib.Path or Dataset, optional
        ``simulated``, ``published`` or a folder; None for the configured one. Belongs with an identifier.
    layers : dict of str to str or list of str, or "auto", optional
        Region to the layer that is recorded for it, or to several. A network needs them; those of a BrainModel that has a
        network and regions already come after these.

    Returns
    -------
    Score
        See the README of the benchmark for its attributes.
    """
    _check_one(benchmark)
    if isinstance(benchmark, str):
        benchmark = build_benchmark(benchmark, **({} if dataset is None else {"dataset": dataset}))
    else:
        _check_dataset(benchmark, dataset)
    if not isinstance(benchmark, LAIONBenchmark):
        if layers == AUTO:
            raise ModelSourceError(
                f"layers={AUTO!r} chooses on the training images of LAION-fMRI; {benchmark.identifier} is a benchmark on other "
                f"data. Name the layers of its regions, layers={{'IT': 'LAYER'}}, or let map_layers of "
                f"brainscore_vision.benchmark_helpers.stimulus_kernels.layers.mapping compare some on its tasks."
            )
        return benchmark(find_model(model).model(layers))
    candidate, plans = prepare(model, [benchmark], layers)
    ((_, score),) = score_plans(candidate, plans, benchmark.options)
    return score


def score_all(
    model, identifiers: Sequence[str], dataset=None, engine: EngineOptions | None = None, *, layers=None
) -> Iterator[tuple[str, Score]]:
    """Score one model on many benchmarks, which share forward passes and kernels; ``layers`` as for :func:`score_model`.

    Yields
    ------
    tuple of str and Score
        Identifier as given, and Score; in the order in which they are done.
    """
    benchmarks = build_all(identifiers, dataset)
    candidate, plans = prepare(model, benchmarks.values(), layers, engine)
    names = list(benchmarks)
    for i, score in score_plans(candidate, plans, engine):
        yield names[i], score


def partition(
    model_a,
    model_b,
    benchmark: str | LAIONBenchmark,
    dataset=None,
    engine: EngineOptions | None = None,
    *,
    layers_a=None,
    layers_b=None,
) -> dict[str, Partition | MeanPartition]:
    """Partition the variance that two models explain: unique to each, shared, and together.

    Parameters
    ----------
    model_a, model_b : str, torch.nn.Module or brainscore_vision.model_interface.BrainModel
    benchmark : str or benchmark
        A ridge benchmark with one split; a benchmark of one's own brings its data, and takes no ``dataset``.
    dataset : str, pathlib.Path or Dataset, optional
        As for :func:`score_model`.
    engine : EngineOptions, optional
    layers_a, layers_b : dict or "auto", optional
        As ``layers`` of :func:`score_model`.

    Returns
    -------
    dict
        A Partition per subject, and their MeanPartition under "mean"; see
        :mod:`brainscore_vision.benchmark_helpers.stimulus_kernels.partition` for the formulas.
    """
    _check_one(benchmark)
    _check_dataset(benchmark, dataset)
    if isinstance(benchmark, str | LAIONBenchmark):
        ((_, parts),) = partition_all(
            model_a, model_b, [benchmark], dataset, engine, layers_a=layers_a, layers_b=layers_b
        )
        return parts
    plan = benchmark.resolve()
    if isinstance(plan, FoldsPlan):
        raise IdentifierError(
            f"Variance is partitioned on one split; {benchmark.identifier} is a mean over folds. Give one of its folds."
        )
    models = [find_model(model).model(layers) for model, layers in ((model_a, layers_a), (model_b, layers_b))]
    _check_names(*models)
    found = dict(partition_tasks(*models, plan.tasks, engine if engine is not None else benchmark.options))
    return _by_subject(plan, [found[i] for i in range(len(plan.tasks))])


def partition_all(
    model_a,
    model_b,
    benchmarks: Sequence,
    dataset=None,
    engine: EngineOptions | None = None,
    *,
    layers_a=None,
    layers_b=None,
) -> Iterator[tuple[str, dict[str, Partition | MeanPartition]]]:
    """:func:`partition` on many benchmarks, which share kernels and decompositions; yields each when it is done."""
    for one in benchmarks:
        _check_one(one)
        _check_dataset(one, dataset)
    options = {} if dataset is None else {"dataset": dataset}
    built = [build_benchmark(b, **options) if isinstance(b, str) else b for b in benchmarks]
    names = [b if isinstance(b, str) else b.identifier for b in benchmarks]
    for name, one in zip(names, built, strict=True):
        if isinstance(one, FoldsBenchmark):
            raise IdentifierError(
                f"Variance is partitioned on one split; {name} is a mean over folds. Name one of them."
            )
    first, plans = prepare(model_a, built, layers_a, engine)
    second, others = prepare(model_b, built, layers_b, engine)
    if not (
        answers_to(first, plans, others) if layers_a == AUTO else layers_b != AUTO or answers_to(second, others, plans)
    ):
        raise IdentifierError(
            f"Layers that are chosen ({AUTO}) depend on the benchmark's test images; partition {', '.join(names)} one by one."
        )
    plans = others if layers_a == AUTO else plans
    _check_names(first, second)
    places = [(i, j) for i, plan in enumerate(plans) for j in range(len(plan.tasks))]
    parts: list[list] = [[None] * len(plan.tasks) for plan in plans]
    for position, part in partition_tasks(first, second, [task for plan in plans for task in plan.tasks], engine):
        i, j = places[position]
        parts[i][j] = part
        if all(done is not None for done in parts[i]):
            yield names[i], _by_subject(plans[i], parts[i])


def _by_subject(plan: Plan, parts: list[Partition]) -> dict[str, Partition | MeanPartition]:
    mean = MeanPartition.of(parts)
    mean = replace(mean, notes=(*mean.notes, *note_on_subjects(overlap_widening(plan.tasks))))
    return {**{part.subject: part for part in parts}, "mean": mean}


def answers_to(model: BrainModel, own: Sequence[Plan], others: Sequence[Plan]) -> bool:
    """Let a model whose layers were chosen for plans of its ``own`` record them by the names that ``others`` ask for.

    Returns
    -------
    bool
        False if one of the names would stand for several layers; the model is as it was then.
    """
    pairs = [zip(plan.tasks, other.tasks, strict=True) for plan, other in zip(own, others, strict=True)]
    known, wanted = model.layer_model.region_layer_map, {}
    for task, other in chain.from_iterable(pairs):
        if wanted.setdefault(other.model_region, known[task.model_region]) != known[task.model_region]:
            return False
    known.update(wanted)
    return True


def _check_one(benchmark) -> None:
    """Raise IdentifierError for what is neither a name nor a benchmark."""
    if not isinstance(benchmark, str) and not hasattr(benchmark, "identifier"):
        raise IdentifierError(
            f"A benchmark is an identifier, or what benchmark(...) makes of one; received a {type(benchmark).__name__}. "
            f"score_all and partition_all take several."
        )


def _check_dataset(benchmark, dataset) -> None:
    if dataset is not None and not isinstance(benchmark, str):
        raise ValueError(
            f"A benchmark object brings its own dataset; received dataset={dataset!r} besides {benchmark.identifier}. "
            f"Pass the dataset when building the benchmark, or pass the identifier."
        )


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


def build_all(identifiers: Iterable[str], dataset=None) -> dict[str, LAIONBenchmark]:
    """Benchmarks by the identifiers given, each once; loads nothing."""
    options = {} if dataset is None else {"dataset": dataset}
    return {identifier: build_benchmark(identifier, **options) for identifier in dict.fromkeys(identifiers)}


def prepare(
    model, benchmarks: Iterable[LAIONBenchmark], layers=None, engine: EngineOptions | None = None
) -> tuple[BrainModel, list[Plan | FoldsPlan]]:
    """Find the model's name, then the data, then make the model: its weights may be a long download.

    Parameters
    ----------
    model : str, torch.nn.Module or brainscore_vision.model_interface.BrainModel
    benchmarks : iterable of benchmark
    layers : dict or "auto", optional
        As for :func:`score_model`.
    engine : EngineOptions, optional
        Of the search for layers.

    Returns
    -------
    BrainModel
        With the features of the benchmarks' dataset, where its features come with one.
    list of Plan or FoldsPlan
        One per benchmark; each dataset is opened once.

    Raises
    ------
    ModelSourceError, DatasetError, IdentifierError
    """
    benchmarks, found = list(benchmarks), find_model(model)
    regions = list(dict.fromkeys(one.region for one in benchmarks))
    found.check_layers(layers, regions)
    check_region_names(layers, regions, [one.cell.region for one in benchmarks])
    datasets = _datasets(benchmarks)
    plans = resolve_all(benchmarks, datasets)
    if layers == AUTO:
        said = [one.identifier for one in benchmarks if one.cell.record is not None]
        if said:
            raise IdentifierError(
                f"Layers that are chosen ({AUTO}) are those of the region itself, so {said[0]} cannot say what is recorded. "
                f"Leave record out."
            )
        if len(datasets) > 1:
            raise IdentifierError(
                f"Layers are chosen on the training images of one dataset; received benchmarks on "
                f"{', '.join(map(str, datasets))}. Score each by itself."
            )
        return with_best_layers(found.network(), plans, *datasets.values(), engine)
    made = found.model(layers)
    measured = [one.cell.region for one in benchmarks]
    if layers is None:  # those that the model was committed with
        check_region_names(committed_layers(made, mapped_regions(made, [*regions, *measured])), regions, measured)
    if isinstance(made, DatasetModel) and len(datasets) > 1:
        raise IdentifierError(
            f"The features of {made.identifier} come with a dataset, so it is scored on one at a time; received benchmarks "
            f"on {', '.join(map(str, datasets))}. Score each by itself."
        )
    return (bind(made, next(iter(datasets.values()))) if datasets else made), plans


def resolve_all(benchmarks: Iterable[LAIONBenchmark], datasets: dict | None = None) -> list[Plan | FoldsPlan]:
    """The benchmarks' plans, in order; each dataset is opened once."""
    benchmarks = list(benchmarks)
    datasets = _datasets(benchmarks) if datasets is None else datasets
    return [one.resolve(datasets[one.cell.dataset]) for one in benchmarks]


def _datasets(benchmarks: Iterable[LAIONBenchmark]) -> dict:
    """What a benchmark calls its dataset (a name, a folder, None for the configured one) -> the dataset, open."""
    return {name: open_dataset(name) for name in dict.fromkeys(one.cell.dataset for one in benchmarks)}
