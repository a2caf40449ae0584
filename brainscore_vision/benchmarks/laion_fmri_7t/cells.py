"""From a cell's settings to the tasks that the engine evaluates: the dataset meets the kernels here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    CKAMetric,
    NoiseCeiling,
    RDMMetric,
    Responses,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    SubjectTask,
)
from brainscore_vision.data.laion_fmri_7t.assemblies.responses import SubjectResponses
from brainscore_vision.data.laion_fmri_7t.constants import VISUAL_DEGREES
from brainscore_vision.data.laion_fmri_7t.dataset import Dataset
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError

from .identifiers import Cell

PUBLISHED_REPETITIONS = 12
"""The repetitions that nc_12rep refers to: its maps leave images out that lost one (DATASET facts, README of the data)."""

MODEL_REGION = {"IT_full": "IT"}
"""Regions that models know under another name."""

SHARED_METRIC_SPLIT = "tau"
"""rdm-pearson and cka use the shared non-OOD images: the training and test images of this split together."""


@dataclass(frozen=True)
class DatasetStimuli:
    """Images of a dataset, as the engine asks for them."""

    dataset: Dataset

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
        measured = self.dataset.responses(
            self.subject, self.region, noise_ceiling_threshold=self.noise_ceiling_threshold
        )
        return _as_responses(measured)


@dataclass(frozen=True)
class RegionHalves:
    """Reads averages over two halves of the trials, as :class:`RegionResponses` reads averages over all of them."""

    dataset: Dataset
    subject: str
    region: str
    noise_ceiling_threshold: float

    def __call__(self, stimulus_ids: Sequence[str]) -> tuple[Responses, Responses]:
        halves = self.dataset.half_responses(
            self.subject, self.region, stimulus_ids, noise_ceiling_threshold=self.noise_ceiling_threshold
        )
        return _as_responses(halves.first), _as_responses(halves.second)


def _as_responses(measured: SubjectResponses) -> Responses:
    ceiling = NoiseCeiling(measured.neuroids["nc_12rep"].to_numpy(dtype=float) / 100, 1 / PUBLISHED_REPETITIONS)
    return Responses(
        subject=measured.subject,
        stimulus_ids=measured.stimulus_ids,
        values=measured.values,
        n_repetitions=measured.n_repetitions,
        neuroids=measured.neuroids,
        noise_ceiling=ceiling,
    )


def make_tasks(cell: Cell, dataset: Dataset) -> list[SubjectTask]:
    """One task per subject of a cell with a single split; reads splits and headers, neither images nor responses."""
    check_subjects(cell.identifier, cell.subjects, dataset)
    tasks = []
    for subject in cell.subjects:
        pool = "shared" if cell.pool == "shared" else subject
        train, test = _stimuli(cell, dataset, pool)
        tasks.append(
            SubjectTask(
                subject=subject,
                region=cell.region,
                model_region=MODEL_REGION.get(cell.region, cell.region),
                pool=stimulus_pool(dataset, pool),
                train_ids=tuple(train),
                test_ids=tuple(test),
                metric=_metric(cell),
                load_responses=RegionResponses(dataset, subject, cell.region, cell.noise_ceiling_threshold),
                load_halves=RegionHalves(dataset, subject, cell.region, cell.noise_ceiling_threshold),
            )
        )
    return tasks


def check_subjects(what: str, subjects: Sequence[str], dataset: Dataset) -> None:
    """Raise MissingDataError if ``dataset`` lacks the assembly of one of the subjects that ``what`` needs."""
    missing = [subject for subject in subjects if subject not in dataset.subjects]
    if missing:
        raise MissingDataError(
            f"{what} needs the assembly of each of its subjects; {dataset.name} lacks {', '.join(missing)} and has "
            f"{', '.join(dataset.subjects) or 'none'}. Add assemblies/{missing[0]}.nc, or choose subjects "
            f"(subjects={dataset.subjects!r})."
        )


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


def _stimuli(cell: Cell, dataset: Dataset, pool: str) -> tuple[Sequence[str], Sequence[str]]:
    if cell.split is not None:
        return dataset.split_ids(pool, cell.split)
    train, test = dataset.split_ids(pool, SHARED_METRIC_SPLIT)
    return (), sorted((*train, *test))


def _metric(cell: Cell):
    if cell.alphas is not None:
        return RidgeMetric(alphas=cell.alphas)
    return {"rdm-pearson": RDMMetric, "cka": CKAMetric}[cell.metric]()
