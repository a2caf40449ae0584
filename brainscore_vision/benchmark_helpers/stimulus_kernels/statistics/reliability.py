"""Noise-ceiling signal-to-noise ratio (ncsnr) from single trials.

Per neuroid, with x_ik trial k of stimulus i, n_i its repetitions and x̄_i their mean, in units in which a neuroid's trials
have variance 1 (z-scored within session):

- noise variance σ² = Σ_i Σ_k (x_ik - x̄_i)² / Σ_i (n_i - 1), the unbiased variance within stimuli (ddof = 1 for each of
  them), pooled by degrees of freedom, so that stimuli with different repetitions go together;
- signal variance = max(0, 1 - σ²);
- ncsnr = √(signal variance / σ²) (Allen et al. 2022; Prince et al. 2022).

Dividing by n_i instead of n_i - 1 would lose the share of the noise that x̄_i follows, 1/n_i of it.

Σ_k (x_ik - x̄_i)² = Σ_k x_ik² - S_i² / n_i with S_i = Σ_k x_ik, so sums and sums of squares suffice: one pass over the
trials, and no more memory than averages take. For z-scored data in float64 the subtraction costs no digits that matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ResponsesError
from ..named_rows import misnamed_rows, row_indexes
from .ceilings import NoiseCeiling, mean_inverse_repetitions

ZSCORE_TOLERANCE = 0.1
"""How far a neuroid's variance over all trials may be from 1."""


@dataclass(frozen=True)
class Reliability:
    """How much of the neuroids' single trials the stimulus explains.

    Attributes
    ----------
    noise_variance : numpy.ndarray of float64, shape (neuroids,)
        σ², of a trial around its stimulus, as a fraction of the variance of all trials.
    degrees_of_freedom : int
        Σ_i (n_i - 1).
    """

    noise_variance: np.ndarray
    degrees_of_freedom: int

    @property
    def signal_variance(self) -> np.ndarray:
        """max(0, 1 - σ²)."""
        return np.maximum(0.0, 1.0 - self.noise_variance)

    @property
    def ncsnr(self) -> np.ndarray:
        """√(signal variance / σ²)."""
        return np.sqrt(self.signal_variance / self.noise_variance)

    def at(self, n_repetitions: np.ndarray) -> NoiseCeiling:
        """The ceiling of averages over ``n_repetitions`` (int, shape (stimuli,)) trials, equal or mixed."""
        return NoiseCeiling.from_ncsnr(self.ncsnr, mean_inverse_repetitions(n_repetitions))


def reliability_from_sums(sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> Reliability:
    """Reliability from sums per stimulus.

    Parameters
    ----------
    sums : numpy.ndarray of float64, shape (stimuli, neuroids)
        S_i, over the trials of each stimulus, z-scored.
    squares : numpy.ndarray of float64, shape (neuroids,)
        Σ_i Σ_k x_ik², over all trials of these stimuli.
    n_repetitions : numpy.ndarray of int, shape (stimuli,)

    Returns
    -------
    Reliability

    Raises
    ------
    ResponsesError
        No stimulus with two trials, or a neuroid whose trials never differ within a stimulus.
    """
    counts = np.asarray(n_repetitions)
    repeated = int((counts - 1).sum())
    if len(counts) == 0 or counts.min() < 1 or repeated < 1:
        raise ResponsesError(
            f"Reliability needs stimuli that were shown more than once; received {len(counts)} stimuli and "
            f"{int(counts.sum())} trials."
        )
    within = squares_within(sums, squares, counts)
    # what rounding leaves of a difference of equal numbers is not noise
    silent = np.flatnonzero(~(within > len(counts) * np.finfo(float).eps * squares))
    if len(silent):
        raise ResponsesError(
            f"Trials of a stimulus differ, or there would be no noise to measure; {len(silent)} of {len(within)} neuroids "
            f"repeat themselves exactly (the first: neuroid {silent[0]}). Leave constant neuroids out."
        )
    return Reliability(within / repeated, repeated)


def squares_within(sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> np.ndarray:
    """Σ_i Σ_k (x_ik - x̄_i)² of each neuroid, from sums as for :func:`reliability_from_sums`; float64, shape (neuroids,)."""
    return squares - np.einsum("ij,ij,i->j", sums, sums, 1.0 / n_repetitions)


def noise_variance(sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> np.ndarray | None:
    """σ² of each neuroid in the squared units of the trials, which need not be z-scored; None if no stimulus was repeated.

    Parameters
    ----------
    sums, squares, n_repetitions
        As for :func:`reliability_from_sums`.

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,), or None
        0 where a neuroid's trials repeat themselves.
    """
    repeated = int((np.asarray(n_repetitions) - 1).sum())
    return np.maximum(0.0, squares_within(sums, squares, n_repetitions)) / repeated if repeated else None


def reliability_from_trials(trials: np.ndarray, stimulus_ids: np.ndarray) -> Reliability:
    """Reliability from single trials in memory.

    Parameters
    ----------
    trials : numpy.ndarray, shape (trials, neuroids)
        z-scored (per session): a variance of about 1 over all trials.
    stimulus_ids : numpy.ndarray, shape (trials,)

    Returns
    -------
    Reliability

    Raises
    ------
    ResponsesError
        As :func:`reliability_from_sums`; or trials that are not z-scored.
    """
    values = np.asarray(trials, dtype=float)
    if len(values) != len(stimulus_ids):
        raise ResponsesError(f"Each trial has a stimulus: {len(values)} trials, {len(stimulus_ids)} stimulus ids.")
    if misnamed_rows(row_indexes(trials), stimulus_ids) is not None:
        raise ResponsesError(
            "Rows of trials are those of stimulus_ids, in their order; the table has other names, or another order. Take "
            "stimulus_ids from the table, or give an array without names."
        )
    n_missing = np.count_nonzero(~np.isfinite(values).all(axis=1))
    if n_missing:
        raise ResponsesError(
            f"Trials are finite numbers; {n_missing} of {len(values)} hold nan or infinity. Leave these trials or neuroids out."
        )
    variance = values.var(axis=0)
    off = np.flatnonzero(~(np.abs(variance - 1) < ZSCORE_TOLERANCE))
    if len(off):
        raise ResponsesError(
            f"The signal's variance is what the noise leaves of 1, so trials must be z-scored; {len(off)} of "
            f"{len(variance)} neuroids have another variance (the first: {variance[off[0]]:.3g}). z-score within sessions."
        )
    _, codes, counts = np.unique(np.asarray(stimulus_ids), return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), values.shape[1]))
    for code, trial in zip(codes, values, strict=True):
        sums[code] += trial
    return reliability_from_sums(sums, np.einsum("ij,ij->j", values, values), counts)
