"""Embeddings of the simulated images, in the released form: four spaces that know different parts of the truth."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..released.features import EMBEDDING_MODELS, FEATURE_FILES
from .rng import generator
from .scales import Scale
from .visual_features import feature_set
from .voxels import mixtures


@dataclass(frozen=True)
class Space:
    """What an embedding is made of.

    Attributes
    ----------
    families : tuple of str
        Families of visual features that it sees, through random projections.
    mixtures : float
        Share of its signal that comes from the saturating mixtures of coarse features that drive V4 and IT.
    noise : float
        Standard deviation of its noise, where the signal has 1.
    normalised : bool
        Whether rows have length 1, as the released spaces have except DINOv2.
    """

    families: tuple[str, ...]
    mixtures: float
    noise: float
    normalised: bool = True


SPACES = {
    "CLIP": Space(("gabor16", "gabor32", "colour", "global"), mixtures=0.6, noise=0.6),
    "DINOv2": Space(("gabor8", "gabor16", "contrast", "luminance"), mixtures=0.3, noise=0.3, normalised=False),
    "PEcore": Space(
        ("gabor4", "gabor8", "gabor16", "gabor32", "contrast", "colour", "global"), mixtures=0.5, noise=0.2
    ),
    "SigLIP2": Space(("gabor32", "colour", "global"), mixtures=0.5, noise=1.0),
}

_LENGTH = 40.0  # of an image's features before they are normalised; DINOv2's rows are about as long


def write_embeddings(folder: Path, stimulus_ids: np.ndarray, features: np.ndarray, scale: Scale, seed: int) -> None:
    """Write one file per space.

    Parameters
    ----------
    folder : Path
        The dataset's ``stimuli`` folder.
    stimulus_ids : numpy.ndarray of str, shape (n,)
    features : numpy.ndarray of float32, shape (n, n_features)
        Columns as in `visual_features.feature_set`, standardised over all stimuli.
    scale : Scale
    seed : int
    """
    for name, width in zip(EMBEDDING_MODELS, scale.embedding_widths, strict=True):
        with h5py.File(folder / FEATURE_FILES[name], "w") as file:
            file.create_dataset("embedding", data=embedding(SPACES[name], name, features, width, seed))
            file.create_dataset("image_ids", data=stimulus_ids.astype(object), dtype=h5py.string_dtype())
            file.create_dataset("valid", data=np.ones(len(stimulus_ids), bool))


def embedding(space: Space, name: str, features: np.ndarray, width: int, seed: int) -> np.ndarray:
    """A space's features of the stimuli: float16, shape (n, width)."""
    rng, described = generator(seed, "embedding", name), feature_set()
    seen = features[:, described.columns(space.families)]
    mixed = mixtures(features, described, seed)
    values = _projected(rng, seen, width) * np.float32(np.sqrt(1 - space.mixtures))
    values += _projected(rng, mixed, width) * np.float32(np.sqrt(space.mixtures))
    values += rng.standard_normal(values.shape, dtype=np.float32) * np.float32(space.noise)
    values += rng.standard_normal(width, dtype=np.float32)  # embeddings are not centred
    length = np.linalg.norm(values, axis=1, keepdims=True) if space.normalised else np.sqrt(np.float32(width)) / _LENGTH
    return (values / length).astype(np.float16)


def _projected(rng: np.random.Generator, values: np.ndarray, width: int) -> np.ndarray:
    """(n, width) float32 random projections whose columns have standard deviation 1."""
    projected = values @ rng.standard_normal((values.shape[1], width), dtype=np.float32)
    return projected / np.maximum(projected.std(0, dtype=np.float64), 1e-6).astype(np.float32)
