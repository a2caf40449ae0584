"""How well any model could predict the subjects' RDMs and kernels: bounds from other subjects, reliability from repetitions.

:func:`rdm_reliability` and :func:`cka_reliability` estimate what the subject's own true signal would score, from two halves of
the trials, whose noise is independent. The other bounds stand beside the ceiling that a score is divided by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # scipy.stats is loaded at its first use: lists of results need not wait 0.3 s for it

from ..errors import ResponsesError
from .similarity import Estimate, hsic_estimate, mean_estimate, pair_covariance, unit_ranks

LEAST_ENERGY = 0.25
"""Least energy of a pattern's signal, as a fraction of the mean: what is estimated to be less would be divided by."""


def nili_bounds(ranks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound of the noise ceiling of RDM correlations, per subject (Nili et al. 2014).

    The mean of the subjects' rank-transformed RDMs is the RDM that correlates best with all of them. Each subject's
    Spearman correlation with it is the upper bound (the subject is part of the mean, so it overfits); with the mean of the
    other subjects, the lower bound.

    Parameters
    ----------
    ranks : sequence of numpy.ndarray, shape (pairs,)
        One per subject, of the same stimuli: ranks of the RDM's upper triangle (:func:`~.similarity.response_ranks`), or whole
        multiples of them.

    Returns
    -------
    lower, upper : numpy.ndarray of float64, shape (subjects,)
        Their means over subjects are the bounds of a mean score.

    Raises
    ------
    ResponsesError
        Fewer than two subjects, or RDMs of different size.
    """
    if len(ranks) < 2:
        raise ResponsesError(f"Bounds from other subjects need at least two subjects; received {len(ranks)}.")
    if len({len(r) for r in ranks}) > 1:
        raise ResponsesError(f"RDMs of the same stimuli have as many pairs; received {[len(r) for r in ranks]}.")
    total = np.sum(ranks, axis=0, dtype=float)  # sums of ranks are exact, so that equal means stay ties
    total_ranks = unit_ranks(scipy.stats.rankdata(total))
    subjects = [unit_ranks(own) for own in ranks]
    upper = np.array([total_ranks @ own for own in subjects])
    lower = np.array(
        [unit_ranks(scipy.stats.rankdata(total - own)) @ unit for own, unit in zip(ranks, subjects, strict=True)]
    )
    return lower, upper


def split_half_reliability(ranks_a: np.ndarray, ranks_b: np.ndarray) -> float:
    """Reliability of a subject's RDM, from the RDMs of two halves of its trials.

    The Spearman correlation r of the halves, corrected to the full number of trials by Spearman and Brown's 2 r / (1 + r).

    Parameters
    ----------
    ranks_a, ranks_b : numpy.ndarray, shape (pairs,)
        Ranks of the upper triangles.
    """
    r = float(unit_ranks(ranks_a) @ unit_ranks(ranks_b))
    return 2 * r / (1 + r)


@dataclass(frozen=True)
class Halves:
    """Averages of the same stimuli over all trials, and over two halves of them.

    Attributes
    ----------
    stimulus_ids : numpy.ndarray of str, shape (n,)
    whole, first, second : numpy.ndarray, shape (n, neuroids)
    n_whole, n_first, n_second : numpy.ndarray of int, shape (n,)
        Repetitions behind them.
    """

    stimulus_ids: np.ndarray
    whole: np.ndarray
    first: np.ndarray
    second: np.ndarray
    n_whole: np.ndarray
    n_first: np.ndarray
    n_second: np.ndarray


def rdm_reliability(halves: Halves) -> Estimate | None:
    """Spearman correlation of a subject's measured Pearson RDM with that of its true signal, estimated from halves.

    With y_i = s_i + e_i the mean-free pattern of stimulus i over neuroids, an entry of the measured RDM is
    1 - y_i · y_j / (|y_i| |y_j|), of the true one 1 - s_i · s_j / (|s_i| |s_j|). Noise does two things. It adds s_i · e_j,
    whose variance falls with the repetitions, and e_i · e_j, whose variance falls with their square. And it makes |y_i| larger
    than |s_i|, more so for stimuli with little signal or few repetitions. Halves a and b have independent noise, so that
    products of a_i · a_j and b_i · b_j hold that of the signal alone, and no extrapolation over repetitions is needed:

        cov(true, measured) = cov(a_i · a_j / (|s_i| |s_j|), b_i · b_j / (|y_i| |y_j|)), averaged with a and b exchanged
        var(true) = cov(a_i · a_j / (|s_i| |s_j|), b_i · b_j / (|s_i| |s_j|))

    |s_i|² is |y_i|² less the noise's energy (from the difference of the halves), drawn to its mean over stimuli by the share
    of its variance that the halves do not have in common, and not below ``LEAST_ENERGY`` of it. The Pearson correlation c
    becomes Spearman's as for normal variables, 6/π asin(c/2).

    Parameters
    ----------
    halves : Halves
        Of 3 or more stimuli.

    Returns
    -------
    Estimate or None
        None where the halves have no variance of dissimilarities in common.
    """
    whole, first, second = (
        values - values.mean(axis=1, keepdims=True, dtype=float)
        for values in (halves.whole, halves.first, halves.second)
    )
    inverse = [1.0 / counts for counts in (halves.n_whole, halves.n_first, halves.n_second)]
    trial = (np.square(first - second).sum(axis=1) / (inverse[1] + inverse[2])).mean()  # energy of a trial's noise
    energies = [
        np.square(values).sum(axis=1) - trial * share
        for values, share in zip((whole, first, second), inverse, strict=True)
    ]
    mean, spread = energies[0].mean(), energies[0].var(ddof=1)
    if not (mean > 0 and spread > 0):
        return None
    common = np.clip(np.cov(energies[1], energies[2])[0, 1] / spread, 0, 1)
    energy = np.maximum(mean + common * (energies[0] - mean), LEAST_ENERGY * mean)
    true, measured = 1 / np.sqrt(energy), 1 / np.linalg.norm(whole, axis=1)
    a, b = ((values * true[:, None]) @ (values * true[:, None]).T for values in (first, second))
    variance_true = pair_covariance(a, b)
    scale = np.outer(measured / true, measured / true)
    both = [pair_covariance(a, b * scale), pair_covariance(a * scale, b)]
    entries = (whole * measured[:, None]) @ (whole * measured[:, None]).T
    variance = pair_covariance(entries, entries)
    covariance = mean_estimate(both)
    if not (variance_true.value > 0 and covariance.value > 0 and variance.value > 0):
        return None
    pearson = covariance.times(variance_true.to(-0.5)).times(variance.to(-0.5))
    c = min(pearson.value, 1.0)
    return Estimate(6 / np.pi * np.arcsin(c / 2), 6 / np.pi / np.sqrt(4 - c * c) * pearson.influence)


def cka_reliability(halves: Halves) -> Estimate | None:
    """Unbiased CKA of a subject's measured responses with its true signal, estimated from halves.

    HSIC of kernels with independent noise is that of the signal in the mean, so that the square of the CKA is
    HSIC(a, b) / HSIC(y, y): a and b the halves, y the averages over all trials.

    Returns
    -------
    Estimate or None
        None where the halves have no HSIC in common.
    """
    kernels = []
    for values in (halves.whole, halves.first, halves.second):
        centred = values - values.mean(axis=0, dtype=float)
        kernels.append(centred @ centred.T)
    common, whole = hsic_estimate(kernels[1], kernels[2]), hsic_estimate(kernels[0], kernels[0])
    if not (common.value > 0 and whole.value > 0):
        return None
    return common.times(whole.to(-1)).to(0.5)
