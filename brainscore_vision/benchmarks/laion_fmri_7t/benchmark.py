"""Benchmarks of the dataset: from an identifier, or from region, split and metric, to something that scores models.

A benchmark is a :class:`~.identifiers.Cell`. Resolving it opens the dataset once and finds subjects, pools and splits: the
plan that comes of it names what has to be compared for each subject, and nothing is looked up again.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    CKAMetric,
    EngineOptions,
    KFoldNeuralBenchmark,
    MultiSubjectNeuralBenchmark,
    RDMMetric,
    Responses,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    SubjectTask,
    block_diagonal_concat,
    score_plans,
    to_assembly,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import BenchmarkInfo, FoldsPlan, Plan
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import MemoryForecast, forecast
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import asked_as
from brainscore_vision.data.laion_fmri_7t.constants import BIBTEX, FOLD_FAMILIES, N_FOLDS, SUBJECTS, VISUAL_DEGREES
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.ids import families
from brainscore_vision.data.laion_fmri_7t.released.features import bind
from brainscore_vision.data.laion_fmri_7t.source import Dataset, open_dataset, simulated_name

from .identifiers import DEFAULT_THRESHOLD, MODEL_REGIONS, STORED_REGIONS, Cell, IdentifierError, parse

VERSION = 1
"""Increased when scores change."""

OPTIONS = ("pool", "subjects", "normalization", "noise_ceiling_threshold", "alphas", "record", "dataset")
"""Settings of a benchmark beside its region, split and metric; keyword-only."""

BUNDLED_OPTIONS = {
    "dataset_prefix": "the images are chosen by pool='shared' or pool='persubject'",
    "noise_ceiling_coord": "voxels are chosen by nc_12rep, with noise_ceiling_threshold",
    "average_repetitions": "repetitions are always averaged",
    "n_folds": "all five folds are taken; LAIONfMRI(region, 'cluster_k5_0') is one of them",
}
"""Options that the plugin which brainscore-vision bundles has, and this one has not -> what to do here."""

FAMILY = "LAION_fMRI"
"""Node ``LAION_fMRI.<region>`` of Brain-Score's tree holds a region's benchmarks: one dataset among those of the region."""

SHARED_METRIC_SPLIT = "tau"
"""rdm-pearson and cka use the shared non-OOD images: the training and test images of this split together."""

_logger = logging.getLogger(__name__)


class _OnDataset:
    """What benchmarks of one split and means over folds have in common: both are resolved on one open dataset."""

    cell: Cell

    @property
    def identifier(self) -> str:
        """The cell's. Simulated data are named in it, also those that the environment chooses.

        Brain-Score's leaderboard shows the identifier, and its ``score`` writes over a Score's comment: a score that says
        nothing about brains must not stand below the name of one that does.
        """
        name = simulated_name(self.cell.dataset)
        return (self.cell if name is None else replace(self.cell, dataset=name)).identifier

    @property
    def region(self) -> str:
        """The region that models are asked to record, under the name that Brain-Score's choice of layers asks for."""
        return self.cell.model_region

    def __call__(self, candidate) -> Score:
        dataset = open_dataset(self.cell.dataset)
        ((_, score),) = score_plans(bind(candidate, dataset), [self.resolve(dataset)], self.options)
        return score

    def forecast(self, candidate) -> MemoryForecast:
        """What scoring ``candidate`` will need of memory."""
        dataset = open_dataset(self.cell.dataset)
        return forecast(bind(candidate, dataset), self.resolve(dataset).tasks, self.options)


class SingleSplitBenchmark(_OnDataset, MultiSubjectNeuralBenchmark):
    """A cell with one split (or none): the mean over subjects."""

    def __init__(self, cell: Cell, engine: EngineOptions | None = None):
        self.cell = cell
        super().__init__(_info(cell), self._tasks, normalization=cell.normalization, options=engine)

    def _tasks(self) -> tuple[SubjectTask, ...]:
        return self.resolve().tasks

    def resolve(self, dataset: Dataset | None = None) -> Plan:
        """What to compare on the cell's dataset, which may be open already; reads splits and headers."""
        dataset = open_dataset(self.cell.dataset) if dataset is None else dataset
        return Plan(self.identifier, make_tasks(self.cell, dataset), self.normalization, _facts(dataset))


class FoldsBenchmark(_OnDataset, KFoldNeuralBenchmark):
    """A cell whose split is a family of folds: the mean over folds of the mean over subjects."""

    def __init__(self, cell: Cell, engine: EngineOptions | None = None):
        self.cell = cell
        folds = [SingleSplitBenchmark(replace(cell, split=f"{cell.split}_{k}"), engine) for k in range(N_FOLDS)]
        super().__init__(info=_info(cell), folds=folds, options=engine)

    def resolve(self, dataset: Dataset | None = None) -> FoldsPlan:
        """The plans of the folds on one dataset; as that of :class:`SingleSplitBenchmark`."""
        dataset = open_dataset(self.cell.dataset) if dataset is None else dataset
        return FoldsPlan(self.identifier, tuple(fold.resolve(dataset) for fold in self.folds))


def make_tasks(cell: Cell, dataset: Dataset) -> tuple[SubjectTask, ...]:
    """One task per subject of a cell with a single split; reads splits and headers, neither images nor responses."""
    check_subjects(cell.identifier, cell.subjects, dataset)
    if cell.region not in STORED_REGIONS:
        check_region(cell, dataset)
    # pool of the cell -> its stimuli, the two sides of the split and the families of its test images: the same for all
    # subjects where they share the pool
    stimuli: dict[str, tuple] = {}
    tasks = []
    for subject in cell.subjects:
        pool = "shared" if cell.pool == "shared" else subject
        if pool not in stimuli:
            train, test = _sides(cell, dataset, pool)
            stimuli[pool] = stimulus_pool(dataset, pool), train, test, families(test)
        measured = dataset, subject, cell.region, cell.noise_ceiling_threshold
        of_pool, train, test, groups = stimuli[pool]
        tasks.append(
            SubjectTask(
                subject=subject,
                region=cell.region,
                model_region=cell.model_region,
                pool=of_pool,
                train_ids=train,
                test_ids=test,
                metric=_metric(cell),
                load_responses=RegionResponses(*measured),
                load_halves=RegionHalves(*measured),
                bootstrap_groups=groups,
            )
        )
    return tuple(tasks)


def check_subjects(what: str, subjects: Sequence[str], dataset: Dataset) -> None:
    """Raise MissingDataError if ``dataset`` lacks the assembly of one of the subjects that ``what`` needs."""
    missing = [subject for subject in subjects if subject not in dataset.subjects]
    if missing:
        raise MissingDataError(
            f"{what} needs the assembly of each of its subjects; {dataset.name} lacks {', '.join(missing)} and has "
            f"{', '.join(dataset.subjects) or 'none'}. Add assemblies/{missing[0]}.nc, or choose subjects "
            f"(subjects={dataset.subjects!r})."
        )


def check_region(cell: Cell, dataset: Dataset) -> None:
    """Raise if a subject lacks the cell's region of interest or category: a mean over fewer people is for the user to choose.

    Raises
    ------
    MissingDataError
        Assemblies without regions of interest, or a subject that lacks the region; the message names those who have it.
    DatasetError
        A subject without a voxel of the region above the threshold.
    """
    tables = {subject: dataset.region_table(subject) for subject in dataset.subjects}
    without = [subject for subject in cell.subjects if tables[subject] is None]
    if without:
        raise MissingDataError(
            f"{cell.identifier} needs assemblies that say which voxels are in {cell.region}; those of {dataset.name} "
            f"({', '.join(without)}) were built without regions of interest and have {', '.join(STORED_REGIONS)}. Build them "
            f"with them from the released files: python rebuild_assemblies.py {dataset.root or 'FOLDER'} --regions all "
            f"--start-over."
        )
    have = tuple(subject for subject, table in tables.items() if table is not None and table.members(cell.region))
    lacking = [subject for subject in cell.subjects if subject not in have]
    if lacking and not have:
        names = dict.fromkeys(name for table in tables.values() if table is not None for name in table.names())
        raise MissingDataError(
            f"{cell.identifier}: no subject of {dataset.name} has {cell.region}. Regions of interest and their categories are "
            f"{', '.join(names)} there."
        )
    if lacking:
        chosen = asked_as(f"subjects={have!r}", f"--subjects {','.join(have)}")
        raise MissingDataError(
            f"{cell.identifier} needs {cell.region} in each of its subjects; {', '.join(lacking)} "
            f"{'lacks' if len(lacking) == 1 else 'lack'} it, {', '.join(have)} {'has' if len(have) == 1 else 'have'} it. "
            f"Choose subjects: {chosen}."
        )
    for subject in cell.subjects:
        dataset.count_voxels(subject, cell.region, noise_ceiling_threshold=cell.noise_ceiling_threshold)


def stimulus_pool(dataset: Dataset, pool: str) -> StimulusPool:
    """The stimuli of a pool; those that all subjects saw are a part of their own, which all pools share."""
    shared = StimulusPart("shared images", tuple(dataset.pool_stimuli("shared")))
    parts = (shared,)
    if pool != "shared":
        common = set(shared.stimulus_ids)
        unique = tuple(s for s in dataset.pool_stimuli(pool) if s not in common)
        parts = (shared, StimulusPart(f"images of {pool}", unique))
    return StimulusPool(
        name=f"pool {pool}", parts=parts, visual_degrees=VISUAL_DEGREES, provider=DatasetStimuli(dataset)
    )


def _sides(cell: Cell, dataset: Dataset, pool: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and test stimuli of a cell."""
    train, test = dataset.split_ids(pool, SHARED_METRIC_SPLIT if cell.split is None else cell.split)
    return (tuple(train), tuple(test)) if cell.split is not None else ((), tuple(sorted((*train, *test))))


def _metric(cell: Cell):
    if cell.alphas is not None:
        return RidgeMetric(alphas=cell.alphas)
    return {"rdm-pearson": RDMMetric, "cka": CKAMetric}[cell.metric]()


@dataclass(frozen=True)
class DatasetStimuli:
    """Images of a dataset, as the engine asks for them: plain copies where a file is not plain."""

    dataset: Dataset
    images_are_plain: ClassVar[bool] = True

    def load_stimuli(self, stimulus_ids: Sequence[str]) -> StimulusSet:
        return self.dataset.stimulus_set(stimulus_ids)

    def content_hashes(self, stimulus_ids: Sequence[str]) -> dict[str, str]:
        return self.dataset.stimulus_fingerprints(stimulus_ids)


@dataclass(frozen=True)
class RegionResponses:
    """Reads one subject's responses in one region when called; equal settings are equal loaders."""

    dataset: Dataset
    subject: str
    region: str
    noise_ceiling_threshold: float

    def __call__(self) -> Responses:
        return self.dataset.responses(self.subject, self.region, noise_ceiling_threshold=self.noise_ceiling_threshold)

    @property
    def n_neuroids(self) -> int:
        """Of the responses; reads none of them."""
        threshold = self.noise_ceiling_threshold
        return self.dataset.count_voxels(self.subject, self.region, noise_ceiling_threshold=threshold)


@dataclass(frozen=True)
class RegionHalves:
    """Reads averages over two halves of the trials, as :class:`RegionResponses` reads averages over all of them."""

    dataset: Dataset
    subject: str
    region: str
    noise_ceiling_threshold: float

    def __call__(self, stimulus_ids: Sequence[str]) -> tuple[Responses, Responses]:
        return self.dataset.half_responses(
            self.subject, self.region, stimulus_ids, noise_ceiling_threshold=self.noise_ceiling_threshold
        )


def _facts(dataset: Dataset) -> dict:
    """What every Score says of the data behind it."""
    facts: dict = {"dataset": dataset.describe()}
    if dataset.is_simulated:
        facts["comment"] = "simulated data: says nothing about brains"
        warn_once_of_simulation(dataset.name)
    return facts


@functools.cache
def warn_once_of_simulation(dataset: str) -> None:
    """What a reader of any number on made-up data should know first."""
    _logger.warning("Simulated data (%s): scores on them say nothing about brains.", dataset)


def build(cell: Cell, engine: EngineOptions | None = None) -> SingleSplitBenchmark | FoldsBenchmark:
    """The benchmark of a cell. Loads nothing."""
    return (FoldsBenchmark if cell.split in FOLD_FAMILIES else SingleSplitBenchmark)(cell, engine)


def benchmark(identifier: str, **options) -> SingleSplitBenchmark | FoldsBenchmark:
    """Any benchmark of the grammar from its identifier; ``options`` as for :func:`LAIONfMRI`."""
    return build(parse(identifier, **_known(options, (*OPTIONS, "region", "split", "metric"))))


def LAIONfMRI(
    region: str,
    split: str,
    metric_type: str = "ridgecv",
    *,
    pool: str = "shared",
    subjects: tuple[str, ...] = SUBJECTS,
    normalization: str = "published",
    noise_ceiling_threshold: float = DEFAULT_THRESHOLD,
    alphas: tuple[float, ...] | str | None = None,
    record: str | None = None,
    dataset=None,
    **unknown,
):
    """Ridge benchmark of one region and split.

    Parameters
    ----------
    region : str
        V1, V2, V3, V4, IT, or IT_full (V4 and IT together; models record IT); a region of interest such as FFA1, or a
        category of them such as face (the union of those that the subject has), where the assemblies were built with them.
    split : str
        ``tau``, ``ood``, ``ood_<type>``, ``cluster_k5``, ``cluster_k5_<k>``, ``random`` or ``random_<k>``.
    metric_type : str
        ``ridgecv`` (alpha by leave-one-out) or ``ridge`` (alpha 1).
    pool : str
        ``shared`` (images that all subjects saw) or ``persubject`` (each subject's own pool).
    subjects : tuple of str
    normalization : str
        ``published``, ``explained_variance`` or ``correlation``; all of them are in the Score's attrs whichever is chosen.
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it are scored.
    alphas : tuple of float or "relative", optional
        Penalties instead of the metric's own. "relative": from 1e-6 to 1e6 mean eigenvalues of the centred training kernel,
        two per decade, so that the unit of the features does not matter.
    record : str, optional
        The region that the model records, V1, V2, V4 or IT, or another that it has a layer for. By default that of the table
        in METHODS ("Regions of interest").
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
    TypeError
        An option that is none of these.
    """
    _known(unknown)
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
            record=record,
            dataset=_dataset_option(dataset),
        )
    )


def LAIONfMRIClusterCV(region: str, metric_type: str = "ridgecv", **options) -> FoldsBenchmark:
    """Mean over the five folds whose test images are one cluster of the images; ``options`` as for :func:`LAIONfMRI`."""
    return LAIONfMRI(region, "cluster_k5", metric_type, **options)


def LAIONfMRIRSA(region: str, **options) -> SingleSplitBenchmark:
    """Rank correlation of RDMs on the shared non-OOD images; ``options`` as for :func:`LAIONfMRI`, shared pool only.

    ``normalization`` is ``published`` or ``reliability``, under which the subject's own true signal scores 1.
    """
    return build(Cell(region=region, split=None, metric="rdm-pearson", **_known(options)))


def LAIONfMRICKA(region: str, **options) -> SingleSplitBenchmark:
    """Unbiased linear CKA on the shared non-OOD images; ``options`` and ``normalization`` as for :func:`LAIONfMRIRSA`."""
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
        slices.append(to_assembly(task.load_responses().select(ids)))
    assembly = block_diagonal_concat(slices)
    stimulus_set = dataset.stimulus_set(list(stimulus_ids))
    assembly.attrs["stimulus_set"] = stimulus_set
    assembly.attrs["stimulus_set_identifier"] = stimulus_set.identifier
    return assembly


def _info(cell: Cell) -> BenchmarkInfo:
    region = MODEL_REGIONS[cell.region]
    return BenchmarkInfo(identifier=cell.identifier, version=VERSION, parent=f"{FAMILY}.{region}", bibtex=BIBTEX)


def _known(options: dict, known: tuple[str, ...] = OPTIONS) -> dict:
    unknown = [name for name in options if name not in known]
    if unknown:
        hints = [
            f" {name} is the bundled plugin's: here {BUNDLED_OPTIONS[name]}."
            for name in unknown
            if name in BUNDLED_OPTIONS
        ]
        raise TypeError(
            f"Options of a benchmark are {', '.join(OPTIONS)}; received {', '.join(unknown)}.{''.join(hints)}"
        )
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
