"""Benchmarks of the dataset: from an identifier, or from region, split and metric, to something that scores models."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from dataclasses import replace

from brainscore_core.metrics import Score

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    KFoldNeuralBenchmark,
    MultiSubjectNeuralBenchmark,
    block_diagonal_concat,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import BenchmarkInfo
from brainscore_vision.data.laion_fmri_7t.constants import BIBTEX, FOLD_FAMILIES, N_FOLDS, SUBJECTS
from brainscore_vision.data.laion_fmri_7t.dataset import Dataset
from brainscore_vision.data.laion_fmri_7t.released.features import bind
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from .cells import MODEL_REGION, make_tasks
from .identifiers import DEFAULT_THRESHOLD, Cell, IdentifierError, parse

VERSION = 1
"""Increased when scores change."""

OPTIONS = ("pool", "subjects", "normalization", "noise_ceiling_threshold", "alphas", "dataset")
"""Settings of a benchmark beside its region, split and metric; keyword-only."""

_logger = logging.getLogger(__name__)


class _DatasetScores:
    """Binds models whose features come with a dataset to the benchmark's, and writes on every Score which data it is of."""

    cell: Cell

    def __call__(self, candidate) -> Score:
        return super().__call__(bind(candidate, self.cell.dataset))

    def preallocate_memory(self, candidate, raise_if_oom: bool = True):
        return super().preallocate_memory(bind(candidate, self.cell.dataset), raise_if_oom)

    def annotate(self, score: Score) -> Score:
        dataset = open_dataset(self.cell.dataset)
        score.attrs["dataset"] = dataset.describe()
        if dataset.is_simulated:
            score.attrs["comment"] = "simulated data: says nothing about brains"
            _warn_once_of_simulation(dataset.name)
        return score


class SingleSplitBenchmark(_DatasetScores, MultiSubjectNeuralBenchmark):
    """A cell with one split (or none): the mean over subjects."""

    def __init__(self, cell: Cell, engine: EngineOptions | None = None):
        self.cell = cell
        super().__init__(
            info=_info(cell),
            make_tasks=lambda: make_tasks(cell, open_dataset(cell.dataset)),
            normalization=cell.normalization,
            options=engine,
        )


class FoldsBenchmark(_DatasetScores, KFoldNeuralBenchmark):
    """A cell whose split is a family of folds: the mean over folds of the mean over subjects."""

    def __init__(self, cell: Cell, engine: EngineOptions | None = None):
        self.cell = cell
        folds = [SingleSplitBenchmark(replace(cell, split=f"{cell.split}_{k}"), engine) for k in range(N_FOLDS)]
        super().__init__(info=_info(cell), folds=folds, options=engine)


@functools.cache
def _warn_once_of_simulation(dataset: str) -> None:
    _logger.warning("Simulated data (%s): scores on them say nothing about brains.", dataset)


def build(cell: Cell, engine: EngineOptions | None = None) -> SingleSplitBenchmark | FoldsBenchmark:
    """The benchmark of a cell. Loads nothing."""
    return (FoldsBenchmark if cell.split in FOLD_FAMILIES else SingleSplitBenchmark)(cell, engine)


def benchmark(identifier: str, **options) -> SingleSplitBenchmark | FoldsBenchmark:
    """Any benchmark of the grammar from its identifier; ``options`` as for :func:`LAIONfMRI`."""
    return build(parse(identifier, **_tidy(options)))


def LAIONfMRI(
    region: str,
    split: str,
    metric_type: str = "ridgecv",
    *,
    pool: str = "shared",
    subjects: tuple[str, ...] = SUBJECTS,
    normalization: str = "published",
    noise_ceiling_threshold: float = DEFAULT_THRESHOLD,
    alphas: tuple[float, ...] | None = None,
    dataset=None,
):
    """Ridge benchmark of one region and split.

    Parameters
    ----------
    region : str
        V1, V2, V3, V4, IT, or IT_full (V4 and IT together; models record IT).
    split : str
        ``tau``, ``ood``, ``ood_<type>``, ``cluster_k5``, ``cluster_k5_<k>``, ``random`` or ``random_<k>``.
    metric_type : str
        ``ridgecv`` (alpha by leave-one-out) or ``ridge`` (alpha 1).
    pool : str
        ``shared`` (images that all subjects saw) or ``persubject`` (each subject's own pool).
    subjects : tuple of str
    normalization : str
        ``published``, ``explained_variance`` or ``correlation``; all three are in the Score's attrs whichever is chosen.
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it are scored.
    alphas : tuple of float, optional
        Penalties instead of the metric's own.
    dataset : str, pathlib.Path or Dataset, optional
        ``simulated``, ``published`` or a folder; None for the configured one.

    Returns
    -------
    SingleSplitBenchmark or FoldsBenchmark
        The latter for ``cluster_k5`` and ``random``, which are means over five folds.

    Raises
    ------
    IdentifierError
        A value outside the grammar.
    """
    if metric_type not in ("ridgecv", "ridge"):
        raise IdentifierError(
            f"metric_type is ridgecv or ridge; received {metric_type!r}. LAIONfMRIRSA and LAIONfMRICKA build the others."
        )
    return build(
        Cell(
            region=region,
            split=split,
            metric=metric_type,
            pool=pool,
            subjects=subjects,
            normalization=normalization,
            noise_ceiling_threshold=noise_ceiling_threshold,
            alphas=alphas,
            dataset=_dataset_option(dataset),
        )
    )


def LAIONfMRIClusterCV(region: str, metric_type: str = "ridgecv", **options) -> FoldsBenchmark:
    """Mean over the five folds whose test images are one cluster of the images; ``options`` as for :func:`LAIONfMRI`."""
    return LAIONfMRI(region, "cluster_k5", metric_type, **options)


def LAIONfMRIRSA(region: str, **options) -> SingleSplitBenchmark:
    """Rank correlation of RDMs on the shared non-OOD images; ``options`` as for :func:`LAIONfMRI`, shared pool only."""
    return build(Cell(region=region, split=None, metric="rdm-pearson", **_known(options)))


def LAIONfMRICKA(region: str, **options) -> SingleSplitBenchmark:
    """Unbiased linear CKA on the shared non-OOD images; ``options`` as for :func:`LAIONfMRI`, shared pool only."""
    return build(Cell(region=region, split=None, metric="cka", **_known(options)))


def load_assembly(region: str, split: str, side: str, **options):
    """Responses of several subjects in one assembly, for people with a metric of their own.

    Parameters
    ----------
    region, split : str
        As for :func:`LAIONfMRI`; a single split.
    side : str
        ``train`` or ``test``.
    **options
        ``pool``, ``subjects``, ``noise_ceiling_threshold`` and ``dataset`` of :func:`LAIONfMRI`.

    Returns
    -------
    NeuroidAssembly
        (presentation × neuroid), averages over repetitions, each subject on its own block, nan elsewhere.
        ``attrs['stimulus_set']`` holds the images, under a name that other images do not have: Brain-Score keeps a model's
        activations by it.
    """
    if side not in ("train", "test"):
        raise IdentifierError(f"side is train or test; received {side!r}.")
    cell = Cell(region=region, split=split, metric="ridgecv", **_known(options))
    if cell.split in FOLD_FAMILIES:
        raise IdentifierError(f"An assembly belongs to one fold; received {split!r}. Use e.g. {split}_0.")
    dataset = open_dataset(cell.dataset)
    slices, stimulus_ids = [], {}
    for task in make_tasks(cell, dataset):
        ids = task.train_ids if side == "train" else task.test_ids
        stimulus_ids.update(dict.fromkeys(ids))
        slices.append(
            dataset.responses(task.subject, region, noise_ceiling_threshold=cell.noise_ceiling_threshold)
            .select(ids)
            .to_assembly()
        )
    assembly = block_diagonal_concat(slices)
    stimulus_set = dataset.stimulus_set(list(stimulus_ids))
    shown = dataset.stimulus_fingerprints(list(stimulus_ids))
    digest = hashlib.sha1("\n".join(f"{name} {sha1}" for name, sha1 in shown.items()).encode()).hexdigest()[:12]
    stimulus_set.identifier = f"{stimulus_set.identifier}-{digest}"
    assembly.attrs["stimulus_set"] = stimulus_set
    assembly.attrs["stimulus_set_identifier"] = stimulus_set.identifier
    return assembly


def _info(cell: Cell) -> BenchmarkInfo:
    return BenchmarkInfo(
        identifier=cell.identifier, version=VERSION, parent=MODEL_REGION.get(cell.region, cell.region), bibtex=BIBTEX
    )


def _known(options: dict) -> dict:
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise TypeError(f"Options of a benchmark are {', '.join(OPTIONS)}; received {', '.join(unknown)}.")
    return _tidy(options)


def _tidy(options: dict) -> dict:
    if "dataset" in options:
        options = {**options, "dataset": _dataset_option(options["dataset"])}
    return options


def _dataset_option(dataset) -> str | None:
    """Datasets stand in identifiers, so an open one is named by what opens it again."""
    if isinstance(dataset, Dataset):
        return dataset.name
    if dataset is not None and not isinstance(dataset, (str, os.PathLike)):
        raise IdentifierError(
            f"dataset is 'simulated', 'published', a folder or an open Dataset; received {dataset!r}, a "
            f"{type(dataset).__name__}."
        )
    return None if dataset is None else str(dataset)
