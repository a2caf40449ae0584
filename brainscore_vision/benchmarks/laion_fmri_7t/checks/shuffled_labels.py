"""A control: responses that are shuffled over stimuli cannot be predicted, whatever the data and the features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid
from brainscore_vision.data.laion_fmri_7t.constants import REGIONS
from brainscore_vision.data.laion_fmri_7t.source import Dataset

from ..identifiers import DEFAULT_THRESHOLD

SPLIT = "tau"
PIXELS = 8
"""Width and height of the reduced images: features that cost nothing and still predict something."""

N_SHUFFLES = 20
MAX_NEUROIDS = 300  # of a region, drawn at random: enough for a mean
STANDARD_ERRORS = 4.0
SEED = 20260516


@dataclass(frozen=True)
class ShuffledScore:
    """Mean correlations over voxels of one subject's region.

    Attributes
    ----------
    subject, region : str
    shuffled : float
        Mean over ``N_SHUFFLES`` shuffles.
    unshuffled : float
        With the right labels, to compare.
    noise : float
        Chance keeps ``shuffled`` below ``STANDARD_ERRORS`` / √(shuffles × (test stimuli - 1)). The correlation of n unrelated
        values has the standard deviation 1/√(n - 1). The mean over voxels has at most the same, even if voxels share noise.
    """

    subject: str
    region: str
    shuffled: float
    unshuffled: float
    noise: float


def shuffled_scores(dataset: Dataset) -> Iterator[ShuffledScore]:
    """Ridge from reduced pixels to shuffled responses, on the shared pool, per subject and region.

    Parameters
    ----------
    dataset : Dataset

    Yields
    ------
    ShuffledScore
    """
    train, test = dataset.split_ids("shared", SPLIT)
    features = reduced_pixels(dataset, [*train, *test])
    kernel = features @ features.T
    n_train = len(train)
    decomposition = ridge.decompose(kernel, np.arange(n_train))
    cross = kernel[n_train:, :n_train]
    alpha = decomposition.mean_eigenvalue  # any penalty of the kernel's scale will do for a control
    noise = STANDARD_ERRORS / np.sqrt(N_SHUFFLES * (len(test) - 1))
    for subject in dataset.subjects:
        for region in REGIONS:
            responses = dataset.responses(subject, region, noise_ceiling_threshold=DEFAULT_THRESHOLD).select(
                [*train, *test]
            )
            rng = np.random.default_rng(SEED)
            n_neuroids = responses.values.shape[1]
            chosen = np.sort(rng.permutation(n_neuroids)[:MAX_NEUROIDS])
            values = responses.values[:, chosen].astype(float)

            def score(values: np.ndarray, subject: str = subject) -> float:
                coordinates, mean = decomposition.coordinates(values[:n_train])
                dual = decomposition.dual_coefficients(coordinates, alpha)
                prediction = ridge.predict(decomposition, cross, dual, mean)
                return float(pearson_per_neuroid(prediction, values[n_train:], subject).mean())

            shuffled = [score(values[permutation(len(values), rng)]) for _ in range(N_SHUFFLES)]
            yield ShuffledScore(subject, region, float(np.mean(shuffled)), score(values), noise)


def permutation(n: int, rng: np.random.Generator) -> np.ndarray:
    """The order in which responses are given to stimuli."""
    return rng.permutation(n)


def reduced_pixels(dataset: Dataset, stimulus_ids: list[str]) -> np.ndarray:
    """Displayed images at ``PIXELS`` × ``PIXELS``, RGB; float64, shape (n, 3 PIXELS²)."""
    stimuli = dataset.stimulus_set(stimulus_ids)
    features = []
    for stimulus_id in tqdm(stimulus_ids, desc="reading images", unit="image", leave=False, disable=None):
        with Image.open(stimuli.get_stimulus(stimulus_id)) as image:
            image.draft("RGB", (8 * PIXELS, 8 * PIXELS))  # JPEG decodes at a fraction of its size
            features.append(np.asarray(image.convert("RGB").resize((PIXELS, PIXELS), Image.Resampling.BOX)).ravel())
    return np.array(features, dtype=float) / 255
