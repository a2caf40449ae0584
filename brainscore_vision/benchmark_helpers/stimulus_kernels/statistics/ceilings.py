"""Noise ceilings: as published, and from the test stimuli themselves.

A published ceiling is NC = ncsnr² / (ncsnr² + m) per neuroid, the fraction of the variance of repetition averages that the
stimulus explains, with m the mean over stimuli of 1/n_repetitions. Source: the NSD data manual's rule for mixed repetitions
(Allen et al. 2022). It holds for the stimuli that it was estimated from. Other stimuli, such as one cluster or one kind of
them, may vary more or less, so :class:`ExplainableVariance` measures how much they vary: with v the variance of their
averages and σ² that of single trials around their stimulus, v - σ²m is an unbiased estimate of the signal's variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ResponsesError

STANDARD_ERRORS = 2.0
"""A divisor that is not above 0 by so many standard errors may be 0: a ratio to it says little."""

ENOUGH_STANDARD_ERRORS = 5.0
"""With fewer, even the true signal's own score is often off by a tenth and more (METHODS.md, Differences, item 8)."""


@dataclass(frozen=True)
class NoiseCeiling:
    """Explainable fraction of variance per neuroid, at a known number of repetitions.

    Attributes
    ----------
    fraction : numpy.ndarray of float64, shape (neuroids,)
        NC between 0 and 1.
    mean_inverse_repetitions : float
        m, the mean over stimuli of 1/n_repetitions that ``fraction`` refers to.
    """

    fraction: np.ndarray
    mean_inverse_repetitions: float

    def __post_init__(self):
        fraction = np.asarray(self.fraction, dtype=float)
        if not ((fraction >= 0) & (fraction <= 1)).all():
            known = fraction[~np.isnan(fraction)]
            extent = f"values from {known.min():g} to {known.max():g}" if len(known) else "no values"
            raise ResponsesError(
                f"A noise ceiling is a fraction of variance between 0 and 1; received {extent}, "
                f"{fraction.size - len(known)} nan. Divide percent by 100, and leave neuroids without a ceiling out."
            )
        if not 0 < self.mean_inverse_repetitions <= 1:
            raise ResponsesError(
                f"A noise ceiling refers to a mean of 1/n_repetitions, above 0 and at most 1; received "
                f"{self.mean_inverse_repetitions!r}. For 12 repetitions pass 1/12."
            )
        object.__setattr__(self, "fraction", fraction)

    @classmethod
    def from_ncsnr(cls, ncsnr: np.ndarray, mean_inverse_repetitions: float) -> NoiseCeiling:
        """NC = ncsnr² / (ncsnr² + m)."""
        squared = np.square(np.asarray(ncsnr, dtype=float))
        return cls(squared / (squared + mean_inverse_repetitions), mean_inverse_repetitions)

    @property
    def ncsnr(self) -> np.ndarray:
        """Signal-to-noise ratio per neuroid, sqrt(m NC / (1 - NC)); infinite where NC is 1."""
        with np.errstate(divide="ignore"):
            return np.sqrt(self.mean_inverse_repetitions * self.fraction / (1 - self.fraction))

    def at(self, n_repetitions: np.ndarray) -> NoiseCeiling:
        """The ceiling of averages over ``n_repetitions`` (int, shape (stimuli,)) of the same neuroids.

        Written without ncsnr itself, so that NC = 1 stays 1: f m₀ / (f m₀ + (1 - f) m).
        """
        target = mean_inverse_repetitions(n_repetitions)
        signal = self.fraction * self.mean_inverse_repetitions
        return NoiseCeiling(signal / (signal + (1 - self.fraction) * target), target)

    def select(self, neuroids) -> NoiseCeiling:
        """The ceiling of some of the neuroids."""
        return NoiseCeiling(self.fraction[neuroids], self.mean_inverse_repetitions)


@dataclass(frozen=True)
class ExplainableVariance:
    """How much the test stimuli's averages vary, and how much of it a model could explain; from these stimuli alone.

    Attributes
    ----------
    variance : numpy.ndarray of float64, shape (neuroids,)
        v, of the averages over the test stimuli (ddof 1).
    noise_variance : numpy.ndarray of float64, shape (neuroids,)
        σ², of a single trial around its stimulus.
    mean_inverse_repetitions : float
        m of the test stimuli.
    n_stimuli : int
        Test stimuli.
    standard_error : float
        Of the sum of :attr:`explainable` over neuroids, over other stimuli of the same kind.
    """

    variance: np.ndarray
    noise_variance: np.ndarray
    mean_inverse_repetitions: float
    n_stimuli: int
    standard_error: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray, n_repetitions: np.ndarray, noise_variance: np.ndarray) -> ExplainableVariance:
        """Of averages over ``n_repetitions`` (int, shape (n,)) trials: ``values``, shape (n, neuroids), n of 2 or more."""
        centred = values - values.mean(axis=0, dtype=float)
        squares = np.einsum("ij,ij->i", centred, centred)  # each stimulus's share of the sum over neuroids
        return cls(
            variance=np.einsum("ij,ij->j", centred, centred) / (len(values) - 1),
            noise_variance=noise_variance,
            mean_inverse_repetitions=mean_inverse_repetitions(n_repetitions),
            n_stimuli=len(values),
            standard_error=float(squares.std(ddof=1) / np.sqrt(len(values))),
        )

    @property
    def explainable(self) -> np.ndarray:
        """v - σ²m; unbiased, so that it may be below 0 for a neuroid with little signal or few stimuli."""
        return self.variance - self.noise_variance * self.mean_inverse_repetitions

    @property
    def fraction(self) -> np.ndarray:
        """(v - σ²m) / v: the noise ceiling of these stimuli, at most 1; below 0 where :attr:`explainable` is."""
        return self.explainable / self.variance

    @property
    def is_positive(self) -> bool:
        """Whether Σ (v - σ²m) is above 0; else nothing can be divided by it."""
        return bool(self.explainable.sum() > 0)

    @property
    def is_known(self) -> bool:
        """Whether Σ (v - σ²m) is above 0 by ``STANDARD_ERRORS``; else a ratio to it says little."""
        return bool(self.explainable.sum() > STANDARD_ERRORS * self.standard_error)

    @property
    def is_precise(self) -> bool:
        """Whether Σ (v - σ²m) is ``ENOUGH_STANDARD_ERRORS`` above 0."""
        return bool(self.explainable.sum() > ENOUGH_STANDARD_ERRORS * self.standard_error)


def mean_inverse_repetitions(n_repetitions: np.ndarray) -> float:
    """m, the mean over stimuli of 1/n_repetitions."""
    counts = np.asarray(n_repetitions)
    if counts.size == 0 or (counts < 1).any():
        raise ResponsesError(
            f"Each stimulus of an average was shown at least once; received {counts.size} counts"
            + (f" with a minimum of {counts.min()}." if counts.size else ".")
        )
    return float((1.0 / counts).mean())
