"""Estimates that know what each stimulus contributes, and so how they vary over stimuli.

Sums over pairs of stimuli (a CKA, the reliability of an RDM) cannot be resampled by drawing stimuli with replacement: a
stimulus drawn twice forms a pair with itself, which no real data hold. To first order a draw changes an estimate by
Σ_i (W_i - 1) l_i / n, with W_i how often stimulus i is drawn and l_i its influence: the infinitesimal jackknife
(Jaeckel 1972; Efron & Tibshirani 1993, chapter 22). No pair is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ceilings import STANDARD_ERRORS


@dataclass(frozen=True)
class Estimate:
    """A number computed from n stimuli.

    Attributes
    ----------
    value : float
    influence : numpy.ndarray of float64, shape (n,)
        l, with a mean of 0 to first order.
    """

    value: float
    influence: np.ndarray

    @property
    def standard_error(self) -> float:
        """Over other stimuli of the same kind."""
        return float(self.influence.std(ddof=1) / np.sqrt(len(self.influence)))

    @property
    def is_known(self) -> bool:
        """Whether the value is above 0 by ``STANDARD_ERRORS``; else a ratio to it says little."""
        return bool(self.value > STANDARD_ERRORS * self.standard_error)

    def draws(self, counts: np.ndarray) -> np.ndarray:
        """The estimate in each draw; ``counts`` as from :func:`.bootstrap.resampled_counts`, float64, shape (draws, n)."""
        return self.value + (counts - 1) @ (self.influence - self.influence.mean()) / len(self.influence)

    def to(self, exponent: float) -> Estimate:
        """The estimate to a power; one above 0 unless the exponent is 1."""
        value = self.value**exponent
        return Estimate(value, exponent * self.value ** (exponent - 1) * self.influence)

    def among(self, rows: np.ndarray, n: int) -> Estimate:
        """The same number as an estimate from n stimuli, of which ``rows`` (int, in order) are its own."""
        influence = np.zeros(n)
        influence[rows] = (self.influence - self.influence.mean()) * n / len(rows)
        return Estimate(self.value, influence)

    def times(self, other: Estimate) -> Estimate:
        """The product of two estimates from the same stimuli."""
        return Estimate(self.value * other.value, self.value * other.influence + other.value * self.influence)


def mean_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates from the same stimuli."""
    return Estimate(
        float(np.mean([one.value for one in estimates])), np.mean([one.influence for one in estimates], axis=0)
    )


def pair_covariance(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Covariance of two values of each pair of stimuli, over pairs.

    Parameters
    ----------
    a, b : numpy.ndarray of float64, shape (n, n)
        Symmetric; the diagonal does not count.
    """
    n = len(a)
    rows = []  # means of the pairs of each stimulus
    for product in (a * b, a, b):
        rows.append((product.sum(axis=1) - np.diagonal(product)) / (n - 1))
    (ab, mean_a, mean_b) = (row.mean() for row in rows)
    influence = 2 * (rows[0] - ab - mean_b * (rows[1] - mean_a) - mean_a * (rows[2] - mean_b))
    return Estimate(float(ab - mean_a * mean_b), influence)
