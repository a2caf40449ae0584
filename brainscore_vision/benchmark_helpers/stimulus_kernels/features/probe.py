"""A fingerprint of a model: its features of a handful of stimuli, compared at each use of what is stored.

An identifier can lie: weights change under the same name, dropout stays on. The features of a few stimuli show it, or, where
they hide it, digests of the weights and of what prepares images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..pool import StimulusPart
from .preprocessing import same_code

N_STIMULI = 8
N_FEATURES = 512
TOLERANCE = 1e-2
"""Difference of features, in units of their own spread over stimuli, above which a model is another one. Batches of other
sizes, other numbers of threads and other convolutions stay well below; dropout and other weights are far above."""

ROUNDING = {8: 2**-6, 11: 2**-9}
"""Of a feature's size, by bits of precision: four units in the last place of bfloat16 and of half precision."""

FULL_ROUNDING = 1e-4
"""Likewise for other floating-point numbers: GPUs multiply them in lower precision (TF32)."""

SHARE = 0.99
"""Of single features, so many differ by no more than ``TOLERANCE``, and all by no more than ``SINGLE`` times as much."""

SINGLE = 20

FLOOR = 0.1
"""Features that hardly vary are judged by this part of the typical feature's spread: theirs may be rounding."""

DIGEST_SIGNS = 56
SCALE_STEPS = 8
"""Of the digest's number for the size of the features, per factor of two."""


@dataclass(frozen=True)
class Probe:
    """What is kept of the features of a few stimuli.

    Attributes
    ----------
    sample : numpy.ndarray of float64, shape (N_STIMULI, at most N_FEATURES)
        Features at evenly spaced positions.
    mean, norm : numpy.ndarray of float64, shape (N_STIMULI,)
        Mean and Euclidean norm of all features.
    n_features : int
    network : str or None
        Digest of the model's weights (:func:`~.network.network_digest`): features of a large constant, and changes of a
        few units of many, hide from the samples. None if it is not known.
    preprocessing : str or None
        Digest of what prepares images (:func:`~.preprocessing.preprocessing_digest`), likewise.
    structure : str or None
        Digest of code and settings (:func:`~.preprocessing.structure_digest`), likewise. None of kernels of earlier versions.
    """

    sample: np.ndarray
    mean: np.ndarray
    norm: np.ndarray
    n_features: int
    network: str | None = None
    preprocessing: str | None = None
    structure: str | None = None

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        network: str | None = None,
        preprocessing: str | None = None,
        structure: str | None = None,
    ) -> Probe:
        """Of features of shape (N_STIMULI, n_features)."""
        n_features = features.shape[1]
        positions = np.linspace(0, n_features - 1, min(N_FEATURES, n_features)).astype(int)
        # row by row: a wide layer must not be held a second time in float64
        rows = [np.asarray(row, dtype=float) for row in features[:, positions]]
        wide = [
            (float(np.mean(row, dtype=float)), float(np.sqrt(np.sum(np.square(row, dtype=float))))) for row in features
        ]
        mean, norm = np.array(wide).T
        return cls(np.array(rows), mean, norm, n_features, network, preprocessing, structure)

    def as_json(self) -> dict:
        """What JSON can hold, every bit of it."""
        return {
            "sample": self.sample.tolist(),
            "mean": self.mean.tolist(),
            "norm": self.norm.tolist(),
            "n_features": self.n_features,
            "network": self.network,
            "preprocessing": self.preprocessing,
            "structure": self.structure,
        }

    @classmethod
    def from_json(cls, held: dict) -> Probe:
        """Of what :meth:`as_json` gave."""
        arrays = (np.array(held[name], dtype=float) for name in ("sample", "mean", "norm"))
        digests = (held.get(name) for name in ("network", "preprocessing", "structure"))
        return cls(*arrays, held["n_features"], *digests)

    def difference(self, other: Probe) -> float:
        """How far features are apart, 0 if they are the same and at most ``TOLERANCE`` if only rounding tells them apart.

        The largest of three: of the differences of single features, what is more than rounding, divided by the feature's own
        spread over stimuli (its 99th percentile, and a twentieth of its largest); of the means, and of the norms, relative to
        the largest norm. A feature's own spread, because one that is large and constant would hide all others.
        Infinite if the features are not of the same width.
        """
        if self.n_features != other.n_features or self.sample.shape != other.sample.shape:
            return float("inf")
        rounding = max(_rounding(self.sample), _rounding(other.sample))
        largest = max(self.norm.max(), other.norm.max())
        wide = [
            np.abs(a - b).max() / scale - rounding if scale > 0 else float((a != b).any())
            for a, b, scale in (
                (self.mean, other.mean, largest / np.sqrt(self.n_features)),
                (self.norm, other.norm, largest),
            )
        ]
        return float(max(_difference(self.sample, other.sample, rounding), *wide))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, a label of these features for people and tables.

        Two digits are the size of the features in steps of 9 %, the others are signs of random projections of the sample
        (Charikar 2002). Rounding on another machine changes one sign in less than one of 1,000 digests; features of another
        network or layer change about half of them. A difference of a few percent may leave the digest as it is:
        :meth:`agrees` decides whether two fingerprints are of one model.
        """
        n = self.sample.size
        bits = np.frombuffer(hashlib.shake_256(b"probe").digest(-(-DIGEST_SIGNS * n // 8)), np.uint8)
        signs = 2.0 * np.unpackbits(bits)[: DIGEST_SIGNS * n].reshape(DIGEST_SIGNS, n) - 1
        projected = signs @ (self.sample - self.sample.mean()).ravel() > 0
        largest = self.norm.max()
        scale = round(SCALE_STEPS * float(np.log2(largest))) % 256 if largest > 0 else 0
        return f"{scale:02x}{np.packbits(projected).tobytes().hex()}"

    def agrees(self, other: Probe) -> bool:
        """Whether both can be features of one model."""
        return self.same_structure(other) and self.answers_as(other)

    def answers_as(self, other: Probe) -> bool:
        """Whether both can be features of one model, whatever code and settings say."""
        return self.same_network(other) and self.same_preprocessing(other) and self.difference(other) <= TOLERANCE

    def same_structure(self, other: Probe) -> bool:
        """Whether code and settings are the same, as far as they are known."""
        return same_code(self.structure, other.structure)

    def same_network(self, other: Probe) -> bool:
        """Whether the weights are the same, as far as they are known."""
        return None in (self.network, other.network) or self.network == other.network

    def same_preprocessing(self, other: Probe) -> bool:
        """Whether images are prepared in the same way, as far as it is known."""
        return same_code(self.preprocessing, other.preprocessing)


def _difference(a: np.ndarray, b: np.ndarray, rounding: float) -> float:
    """Of samples (N_STIMULI, at most N_FEATURES): see :meth:`Probe.difference`."""
    spread = np.maximum(a.std(axis=0), b.std(axis=0))
    size = np.maximum(np.abs(a), np.abs(b)).max(axis=0)
    scale = np.maximum(spread, FLOOR * (_typical(spread) or _typical(size) or 1.0))
    apart = np.maximum(np.abs(a - b) - rounding * np.maximum(size, _typical(size)), 0) / scale
    return max(float(np.quantile(apart, SHARE)), float(apart.max()) / SINGLE)


def _typical(values: np.ndarray) -> float:
    """Median of those that are not zero: rectified features may be silent for all of a few stimuli."""
    return float(np.median(values[values > 0])) if (values > 0).any() else 0.0


def _rounding(sample: np.ndarray) -> float:
    """What rounding may change of features, relative to their size: their values show their precision."""
    if (sample == np.round(sample)).all():
        return FULL_ROUNDING  # counts and labels, which every precision has
    mantissas, _ = np.frexp(sample)
    known = (ROUNDING[bits] for bits in ROUNDING if not np.fmod(mantissas * 2**bits, 1).any())
    return next(known, FULL_ROUNDING)


def probe_rows(part: StimulusPart) -> np.ndarray:
    """Rows of a part whose features are its fingerprint, evenly spaced; int, ascending."""
    n = len(part.stimulus_ids)
    return np.unique(np.linspace(0, n - 1, min(N_STIMULI, n)).astype(int))


def probe_ids(part: StimulusPart) -> Sequence[str]:
    """Stimuli of :func:`probe_rows`."""
    return [part.stimulus_ids[row] for row in probe_rows(part)]
