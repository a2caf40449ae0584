"""Which neuroids a model predicts at all: a p value per neuroid, and how many are significant among all of a region.

Under the null hypothesis the prediction has nothing to do with the measurement, and r √(df / (1 − r²)) is Student's t with
df = n − 2 (Pearson), to which the permutations of stimuli agree (Pitman 1937). Stimuli that come in groups are worth fewer
independent ones: with u_i the influence of stimulus i on r (:func:`.bootstrap.influences`),

    n_eff = n Σ_i u_i² / Σ_g (Σ_{i in g} u_i)²     sums over neuroids too; at most n

takes the place of n (the design effect of Kish 1965); the tail is that of t with at most as many degrees of freedom as there
are groups, less 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control, t

from ..errors import StimulusKernelError
from .bootstrap import MIN_DISTINCT, count_groups, has_groups, influences, sum_groups

CORRECTIONS = ("fdr", "holm", "none")

LEVEL = 0.05
"""Share of false discoveries (Benjamini & Hochberg 1995) among neuroids that count as significant."""

_WIDTH = 512
"""Neuroids whose influences are in memory at a time."""


def effective_stimuli(
    prediction: np.ndarray, measured: np.ndarray, correlations: np.ndarray, groups: Sequence[str] | None
) -> float:
    """n_eff: how many independent stimuli the test stimuli are worth for a correlation.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
        Neither constant over stimuli.
    correlations : numpy.ndarray of float64, shape (neuroids,)
    groups : sequence of str or None
        Label of each stimulus's group.
    """
    n = len(prediction)
    if not has_groups(groups):
        return float(n)
    single = grouped = 0.0
    for start in range(0, prediction.shape[1], _WIDTH):
        columns = slice(start, start + _WIDTH)
        moved = influences(prediction[:, columns], measured[:, columns], correlations[columns])
        single += np.square(moved).sum()
        grouped += np.square(sum_groups(moved, groups)).sum()
    return float(n * min(1.0, single / grouped))


def p_values(
    prediction: np.ndarray, measured: np.ndarray, correlations: np.ndarray, groups: Sequence[str] | None = None
) -> np.ndarray | None:
    """One-sided p value of each neuroid, of a correlation that is not positive; parameters as :func:`effective_stimuli`.

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,), or None
        None if there are fewer than ``MIN_DISTINCT`` groups: nothing can be said from them.
    """
    if count_groups(range(len(prediction)), groups) < MIN_DISTINCT:
        return None
    n_eff, n_groups = effective_stimuli(prediction, measured, correlations, groups), len(prediction)
    if has_groups(groups):
        n_groups = count_groups(groups, groups)
    r = np.clip(correlations, -1, 1)
    with np.errstate(divide="ignore"):  # r = 1 has t = infinity and p = 0
        scaled = r * np.sqrt(max(1.0, n_eff - 2) / (1 - r * r))
    return t.sf(scaled, min(max(1.0, n_eff - 2), n_groups - 2))


def count_significant(values: np.ndarray) -> int:
    """How many of p values (float64, shape (neuroids,)) are significant at ``LEVEL`` of false discoveries."""
    return int((false_discovery_control(values) <= LEVEL).sum())


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
        return false_discovery_control(p)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
