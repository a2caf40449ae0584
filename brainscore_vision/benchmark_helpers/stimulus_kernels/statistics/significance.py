"""Which neuroids a model predicts at all: a p value per neuroid, and how many are significant among all of a region.

Under the null hypothesis the prediction has nothing to do with the measurement, and r √(df / (1 − r²)) is Student's t with
df = n − 2 (Pearson), to which the permutations of stimuli agree (Pitman 1937). Stimuli that come in groups are worth fewer
independent ones: with c the correlation of two stimuli of one group, of predictions and of measurements of a neuroid, 0 if it
is negative, and m the ordered pairs of stimuli that share a group,

    n_eff = n / (1 + c_prediction c_measured m / n)

takes the place of n (Clifford, Richardson & Hémon 1989); the tail is that of t with at most as many degrees of freedom as there
are groups, less 2. Each neuroid has its own: noise has no groups, so that they count for more where there is more signal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import scipy  # scipy.stats is loaded at its first use: lists of results need not wait 0.3 s for it
from scipy import special

from ..errors import StimulusKernelError
from .bootstrap import MIN_DISTINCT, count_groups, has_groups, sum_groups

CORRECTIONS = ("fdr", "holm", "none")

LEVEL = 0.05
"""Share of false discoveries (Benjamini & Hochberg 1995) among neuroids that count as significant."""

_WIDTH = 512
"""Neuroids that are centred at a time."""


def effective_stimuli(prediction: np.ndarray, measured: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """n_eff: how many independent stimuli the test stimuli are worth for a correlation.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
        Neither constant over stimuli.
    groups : sequence of str or None
        Label of each stimulus's group.

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,)
    """
    n, n_neuroids = prediction.shape
    if not has_groups(groups):
        return np.full(n_neuroids, float(n))
    n_pairs = sum(count * (count - 1) for count in Counter(groups).values())
    product = np.ones(n_neuroids)
    for values in (prediction, measured):
        for start in range(0, n_neuroids, _WIDTH):
            columns = slice(start, start + _WIDTH)
            centred = values[:, columns] - values[:, columns].mean(axis=0, dtype=float)
            squares = np.square(centred).sum(axis=0)
            alike = (np.square(sum_groups(centred, groups)).sum(axis=0) - squares) / n_pairs
            product[columns] *= np.maximum(0.0, alike) / (squares / n)
    return n / (1 + product * n_pairs / n)


def p_values(
    prediction: np.ndarray, measured: np.ndarray, correlations: np.ndarray, groups: Sequence[str] | None = None
) -> np.ndarray | None:
    """One-sided p value of each neuroid, of a correlation that is not positive.

    Parameters
    ----------
    prediction, measured, groups
        As for :func:`effective_stimuli`.
    correlations : numpy.ndarray of float64, shape (neuroids,)

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,), or None
        None if there are fewer than ``MIN_DISTINCT`` groups: nothing can be said from them.
    """
    if count_groups(range(len(prediction)), groups) < MIN_DISTINCT:
        return None
    df = np.maximum(1.0, effective_stimuli(prediction, measured, groups) - 2)
    r = np.clip(correlations, -1, 1)
    with np.errstate(divide="ignore"):  # r = 1 has t = infinity and p = 0
        scaled = r * np.sqrt(df / (1 - r * r))
    return special.stdtr(np.minimum(df, count_groups(range(len(prediction)), groups) - 2), -scaled)


def count_significant(values: np.ndarray) -> int:
    """How many of p values (float64, shape (neuroids,)) are significant at ``LEVEL`` of false discoveries."""
    return int((scipy.stats.false_discovery_control(values) <= LEVEL).sum())


def adjusted(values: Sequence[float], method: str) -> np.ndarray:
    """p values corrected for how many there are.

    Parameters
    ----------
    values : sequence of float
    method : {"fdr", "holm", "none"}
        Bound the share of false discoveries (Benjamini & Hochberg 1995), or the chance of a single one (Holm 1979), or correct
        nothing.

    Returns
    -------
    numpy.ndarray of float64
    """
    p = np.asarray(values, dtype=float)
    if method not in CORRECTIONS:
        raise StimulusKernelError(f"p values are corrected by one of {', '.join(CORRECTIONS)}; received {method!r}.")
    if method == "none" or not len(p):
        return p
    if method == "fdr":
        return scipy.stats.false_discovery_control(p)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
