"""Ridge on two kernels with a weight for each (banded ridge; Nunez-Elizalde et al. 2019; Dupré la Tour et al. 2022).

Features of two models have a penalty each where K = w K_a / u_a + (1 - w) K_b / u_b, with u the mean eigenvalue of a centred
training kernel: the penalties are α u_a / w and α u_b / (1 - w). A few weights are tried, each with its own decomposition, and
the leave-one-out error on the training stimuli chooses weight and α together. One kernel alone is among the choices (w = 0, 1),
so that features that say nothing are left out instead of fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..kernels.compute import Compute
from . import fit as ridge

WEIGHTS = tuple(ratio / (1 + ratio) for ratio in (0.01, 0.1, 1.0, 10.0, 100.0))
"""w of kernels side by side: w : (1 - w) from 1 : 100 to 100 : 1."""


@dataclass(frozen=True)
class WeightedFit:
    """A fit on the weighted sum of two kernels.

    Attributes
    ----------
    weight : float
        w; 1 for the first kernel alone, 0 for the second.
    alpha : float
        As the grid has it, in mean eigenvalues of the weighted kernel.
    error : float
        Mean squared leave-one-out error over training stimuli and neuroids.
    prediction : numpy.ndarray of float32, shape (n_query, neuroids)
        Of the query stimuli, without the mean over training stimuli: single precision then keeps what a strong penalty leaves.
    """

    weight: float
    alpha: float
    error: float
    prediction: np.ndarray


@dataclass(frozen=True)
class Target:
    """What is fitted and predicted.

    Attributes
    ----------
    load_responses : callable
        Gives responses to the training stimuli, shape (n, neuroids); called for each decomposition, which keeps none.
    query : numpy.ndarray of int, shape (n_query,)
        Rows of the stimuli to predict.
    alphas : tuple of float
        The grid, in mean eigenvalues.
    """

    load_responses: Callable[[], np.ndarray]
    query: np.ndarray
    alphas: Sequence[float]


def banded_fits(
    grams: tuple[np.ndarray, np.ndarray],
    train: np.ndarray,
    targets: Sequence[Target],
    compute: Compute | None = None,
    n_features: tuple[int | None, int | None] = (None, None),
    weights: Sequence[float] = WEIGHTS,
) -> list[tuple[WeightedFit, WeightedFit, WeightedFit]]:
    """Fit targets on the first kernel, on the second, and on the best weighted sum.

    Parameters
    ----------
    grams : two numpy.ndarray of float64, shape (m, m)
        Of the same stimuli.
    train : numpy.ndarray of int, shape (n,)
        Rows of the training stimuli.
    targets : sequence of Target
        They share the decompositions: two, and one for each of ``weights``.
    compute : Compute, optional
    n_features : tuple of int, optional
        Features behind each kernel, if known.
    weights : sequence of float
        Between 0 and 1.

    Returns
    -------
    list of three WeightedFit
        Per target. The third has the smallest error of all fits, the first two among them.

    Notes
    -----
    Peak memory beyond ``grams`` and a decomposition: one matrix of m × m.
    """
    alone, units = [], []
    for gram, width, weight in zip(grams, n_features, (1.0, 0.0), strict=True):
        decomposition = ridge.decompose(gram, train, compute, width)
        units.append(decomposition.mean_eigenvalue)
        alone.append([_fit(decomposition, gram, train, target, weight) for target in targets])
    best = [min(pair, key=lambda fit: fit.error) for pair in zip(*alone, strict=True)]
    width = None if None in n_features else sum(n_features)
    for weight, mixed in _mixtures(grams, units, weights):
        decomposition = ridge.decompose(mixed, train, compute, width)
        found = (_fit(decomposition, mixed, train, target, weight) for target in targets)
        best = [min(pair, key=lambda fit: fit.error) for pair in zip(best, found, strict=True)]
    return list(zip(*alone, best, strict=True))


def _mixtures(grams, units: Sequence[float], weights: Iterable[float]) -> Iterator[tuple[float, np.ndarray]]:
    """Each weight and its sum of kernels, all in one matrix."""
    mixed = np.empty_like(grams[0])
    for weight in weights:
        np.multiply(grams[0], weight / units[0], out=mixed)
        for start in range(0, len(mixed), ridge.NEUROID_BLOCK):  # another whole matrix would be the largest of all
            rows = slice(start, start + ridge.NEUROID_BLOCK)
            mixed[rows] += grams[1][rows] * ((1 - weight) / units[1])
        yield weight, mixed


def _fit(decomposition, gram: np.ndarray, train: np.ndarray, target: Target, weight: float) -> WeightedFit:
    training = ridge.TrainingResponses(decomposition, target.load_responses())
    unit = decomposition.mean_eigenvalue
    selection = ridge.select_alpha(training, target.alphas, unit)
    if selection.errors:
        error = min(selection.errors)
    else:
        error = float(
            np.mean(ridge.leave_one_out_errors(decomposition, training.coordinates, selection.alpha * unit) ** 2)
        )
    prediction = training.predict(gram[np.ix_(target.query, train)], selection.alpha * unit)
    return WeightedFit(weight, selection.alpha, error, prediction.astype(np.float32))
