"""A dataset of another shape: three subjects, two folds, images in two parts, its own names for everything."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from PIL import Image

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    CKAMetric,
    EngineOptions,
    KFoldNeuralBenchmark,
    MultiSubjectNeuralBenchmark,
    NoiseCeiling,
    RDMMetric,
    Responses,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    SubjectTask,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import BenchmarkInfo

from .models import pixel_features

N_COMMON, N_OWN, N_FOLDS = 44, 12, 2
SITES = {"anna": 18, "ben": 11, "cleo": 25}
DEGREES = 5.0
REFERENCE_REPETITIONS = 6

QUIET = EngineOptions(store=False, progress=False)
METRICS = {"ridge": RidgeMetric((1.0,)), "ridgecv": RidgeMetric(), "rdm": RDMMetric(), "cka": CKAMetric()}


@dataclass(frozen=True)
class Images:
    """Image files of a folder, by name."""

    folder: Path

    def load_stimuli(self, stimulus_ids):
        stimuli = StimulusSet({"stimulus_id": list(stimulus_ids)})
        stimuli.stimulus_paths = {name: str(self.folder / f"{name}.png") for name in stimulus_ids}
        stimuli.identifier = "second"
        return stimuli

    def content_hashes(self, stimulus_ids):
        return {name: hashlib.sha256((self.folder / f"{name}.png").read_bytes()).hexdigest() for name in stimulus_ids}


class Study:
    """Images on disk and responses in memory; counts how often each subject's are asked for."""

    def __init__(self, folder: Path, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.images = Images(folder)
        self.common = tuple(f"common-{i:02d}" for i in range(N_COMMON))
        self.own = {subject: tuple(f"{subject}-{i:02d}" for i in range(N_OWN)) for subject in SITES}
        everything = [*self.common, *(name for names in self.own.values() for name in names)]
        for name in everything:
            pixels = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)  # coarse: a few features tell images apart
            Image.fromarray(pixels).resize((20, 20)).save(folder / f"{name}.png")
        self.features = {name: pixel_features(folder / f"{name}.png") for name in everything}
        self.responses = {subject: self._measure(rng, subject, n) for subject, n in SITES.items()}
        self.asked: Counter = Counter()

    def _measure(self, rng, subject: str, n_sites: int) -> Responses:
        names = [*self.common, *self.own[subject]]
        signal = np.stack([self.features[name] for name in names]) @ rng.standard_normal((108, n_sites))
        signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
        counts = rng.integers(2, REFERENCE_REPETITIONS + 1, size=len(names))
        ncsnr = rng.uniform(0.5, 2.0, size=n_sites)
        noise = rng.standard_normal(signal.shape) / np.sqrt(counts)[:, None]
        order = rng.permutation(len(names))  # rows need not be sorted
        return Responses(
            subject=subject,
            stimulus_ids=np.array(names)[order],
            values=(signal * ncsnr + noise)[order].astype(np.float32),
            n_repetitions=counts[order],
            neuroids=pd.DataFrame({"voxel": rng.permutation(n_sites), "site": np.resize(["left", "right"], n_sites)}),
            noise_ceiling=NoiseCeiling.from_ncsnr(ncsnr, 1 / REFERENCE_REPETITIONS),
        )

    def pool(self, subject: str | None = None) -> StimulusPool:
        """The images that all saw, and those of one subject if one is named."""
        parts = (StimulusPart("common", self.common),)
        if subject is not None:
            parts += (StimulusPart(f"of {subject}", self.own[subject]),)
        return StimulusPool(f"images of {subject or 'all'}", parts, DEGREES, self.images)

    def fold(self, k: int, subject: str | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Training and test images of a fold: every second one, of the common or of a subject's own as well."""
        names = self.pool(subject).stimulus_ids
        return names[1 - k :: N_FOLDS], names[k::N_FOLDS]

    def tasks(self, metric, k: int = 0, own_pool: bool = False, region: str = "IT", subjects=tuple(SITES)):
        """One task per subject."""
        for subject in subjects:
            train, test = self.fold(k, subject if own_pool else None)
            yield SubjectTask(
                subject=subject,
                region="inferior temporal",
                model_region=region,
                pool=self.pool(subject if own_pool else None),
                train_ids=train if isinstance(metric, RidgeMetric) else (),
                test_ids=test if isinstance(metric, RidgeMetric) else self.common,
                metric=metric,
                load_responses=Recorded(self, subject),
            )

    def benchmark(self, metric, normalization: str = "published", name: str = "Second2026.IT", options=None, **which):
        """A benchmark of one fold."""
        info = BenchmarkInfo(name, version=1, parent="IT", bibtex="")
        return MultiSubjectNeuralBenchmark(info, lambda: self.tasks(metric, **which), normalization, options)

    def folds(self, metric, normalization: str = "published", options=None, **which):
        """A benchmark of all folds."""
        info = BenchmarkInfo("Second2026.IT-folds", version=1, parent="IT", bibtex="")
        folds = [self.benchmark(metric, normalization, f"Second2026.IT-{k}", k=k, **which) for k in range(N_FOLDS)]
        return KFoldNeuralBenchmark(info, folds, options)


@dataclass(frozen=True)
class Recorded:
    """Loads one subject's responses; equal for equal subjects."""

    study: Study
    subject: str

    def __call__(self) -> Responses:
        self.study.asked[self.subject] += 1
        return self.study.responses[self.subject]


def assembly(n_images: int, n_voxels: int, subject: str, first_image: int = 0, dtype=np.float32) -> NeuroidAssembly:
    """A slice of one subject in this dataset's own coordinates."""
    values = np.arange(n_images * n_voxels, dtype=dtype).reshape(n_images, n_voxels) + 100 * len(subject)
    return NeuroidAssembly(
        values,
        dims=["presentation", "neuroid"],
        coords={
            "image_id": ("presentation", [f"image-{first_image + i}" for i in range(n_images)]),
            "shown": ("presentation", np.arange(n_images) + 2),
            "voxel": ("neuroid", np.arange(n_voxels) * 3),
            "side": ("neuroid", np.resize(["left", "right"], n_voxels)),
            "site": ("neuroid", [subject] * n_voxels),
        },
    )
