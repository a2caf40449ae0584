"""A benchmark of a made-up dataset, small enough to be scored many times: for tests of the store and of interruptions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    MultiSubjectNeuralBenchmark,
    NoiseCeiling,
    Responses,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    SubjectTask,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import BenchmarkInfo

from .second_dataset import Images

DEGREES = 8.0
SUBJECTS = ("A", "B")


@dataclass(frozen=True)
class MadeResponses:
    """Responses that follow the mean colours of the images, with noise."""

    provider: Images
    subject: str
    stimulus_ids: tuple

    def __call__(self) -> Responses:
        rng = np.random.default_rng([7, ord(self.subject)])
        stimuli = self.provider.load_stimuli(self.stimulus_ids)
        colours = np.array(
            [np.asarray(Image.open(stimuli.get_stimulus(i))).mean(axis=(0, 1)) for i in self.stimulus_ids]
        )
        values = (colours - colours.mean(axis=0)) @ rng.standard_normal((3, 4)) / 10
        values += rng.standard_normal(values.shape)
        return Responses(
            subject=self.subject,
            stimulus_ids=np.array(self.stimulus_ids),
            values=values,
            n_repetitions=np.full(len(values), 4),
            neuroids=pd.DataFrame({"site": np.arange(4)}),
            noise_ceiling=NoiseCeiling(np.full(4, 0.5), 0.25),
        )


def make_images(folder: Path, n: int, seed: int = 0) -> Path:
    """``n`` images whose colours differ."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        pixels = rng.integers(0, 256, 3) / 2 + rng.integers(0, 128, (16, 16, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"image {i}.png")
    return folder


def make_benchmark(folder: Path, n_common: int = 20, n_own: int = 12, **engine) -> MultiSubjectNeuralBenchmark:
    """Two subjects with common images and images of their own; ``engine`` are EngineOptions."""
    provider = Images(folder)
    common = StimulusPart("common images", tuple(f"image {i}" for i in range(n_common)))

    def tasks():
        for k, subject in enumerate(SUBJECTS):
            first = n_common + k * n_own
            own = StimulusPart(f"images of {subject}", tuple(f"image {i}" for i in range(first, first + n_own)))
            pool = StimulusPool(f"pool {subject}", (common, own), DEGREES, provider)
            ids = pool.stimulus_ids
            yield SubjectTask(
                subject=subject,
                region="V1",
                model_region="V1",
                pool=pool,
                train_ids=ids[: n_common + n_own - 8],
                test_ids=ids[n_common + n_own - 8 :],
                metric=RidgeMetric(),
                load_responses=MadeResponses(provider, subject, ids),
            )

    info = BenchmarkInfo("small-ridge", 1, "V1", "")
    return MultiSubjectNeuralBenchmark(info, tasks, options=EngineOptions(progress=False, **engine))


N_IMAGES = 20 + 2 * 12
