"""Ridge regression with an unpenalised intercept and its exact leave-one-out error, from a kernel.

Symbols, as in METHODS.md: T the n training stimuli, Q the query (test) stimuli, K the kernel, Y the responses
(n × neuroids), α the penalty.

- Centring on the training stimuli: K̃_TT = H K_TT H with H = I - 11ᵀ/n.
- Every vector that matters is orthogonal to the constant vector 1, so the decomposition is done in its complement:
  B (n × n-1) is an orthonormal basis of it (a Householder reflection without its first column),
  Bᵀ K_TT B = U Λ Uᵀ and V = B U. This removes the constant eigenvector exactly, where subtracting 1/(nα) from the
  diagonal afterwards would lose every digit for small α.
- For many stimuli Λ may be a band matrix instead (:mod:`.band`), or leave out its zeros (:mod:`.decomposition`): the
  formulas stay.
- Ŷ_Q = Ȳ + (K_QT - 1rᵀ) V (Λ+α)⁻¹ Vᵀ (Y - Ȳ), with r the mean of K_TT over its rows (Vᵀ1 = 0 takes care of the rest).
- Leave-one-out: e_i = c_i / d_i with c = V w Vᵀ(Y - Ȳ), d = diag(V w Vᵀ), w = (Λ+α)⁻¹
  (Golub, Heath & Wahba 1979; Rifkin & Lippert 2007).
- One α for all neuroids: the smallest mean e², the first in the grid on a tie (scikit-learn's RidgeCV).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .decomposition import RidgeDecomposition, decompose
from .penalty_samples import promising_penalties

__all__ = [
    "AlphaSelection",
    "RidgeDecomposition",
    "decompose",
    "edge_of_grid",
    "predict",
    "select_alpha",
]

NEUROID_BLOCK = 1024


@dataclass(frozen=True)
class AlphaSelection:
    """Outcome of the leave-one-out search.

    Attributes
    ----------
    alpha : float
    dual_coefficients : numpy.ndarray of float64, shape (n, neuroids)
        The fit with ``alpha``, for :func:`predict`.
    evaluated : tuple of float
        The penalties that samples left (see :mod:`.penalty_samples`), between which exact errors decided.
    errors : tuple of float
        The mean squared leave-one-out error over stimuli and neuroids of each; empty if only one was left.
    """

    alpha: float
    dual_coefficients: np.ndarray
    evaluated: tuple
    errors: tuple = ()


def select_alpha(decomposition: RidgeDecomposition, coordinates: np.ndarray, alphas: Sequence[float]) -> AlphaSelection:
    """The penalty with the smallest mean leave-one-out error over stimuli and neuroids, and the fit with it.

    Parameters
    ----------
    decomposition : RidgeDecomposition
    coordinates : numpy.ndarray of float64, shape (rows, neuroids)
        Vᵀ (Y - Ȳ), as :meth:`RidgeDecomposition.coordinates` gives them.
    alphas : sequence of float
        The grid, positive.

    Returns
    -------
    AlphaSelection

    Notes
    -----
    An exact error costs 2 n² × neuroids operations per penalty and the weights of all stimuli, so samples sort out first
    which penalties cannot win (:func:`.penalty_samples.promising_penalties`), unless the decomposition is to be ``exact``.
    """
    alphas = np.asarray(alphas, dtype=float)
    candidates = alphas if decomposition.exact else alphas[promising_penalties(decomposition, coordinates, alphas)]
    alpha, errors = float(candidates[0]), []
    if len(candidates) > 1:
        diagonal = decomposition.weights(candidates)
        errors = [
            _mean_squared_error(decomposition, coordinates, a, d) for a, d in zip(candidates, diagonal.T, strict=True)
        ]
        alpha = float(candidates[np.argmin(errors)])
    dual = np.empty((decomposition.basis.shape[0], coordinates.shape[1]))
    for columns in _blocks(coordinates):
        dual[:, columns] = decomposition.dual_coefficients(coordinates[:, columns], alpha)
    return AlphaSelection(alpha, dual, tuple(candidates.tolist()), tuple(errors))


def edge_of_grid(alpha: float, alphas: Sequence[float]) -> str | None:
    """ "smallest" or "largest" if a penalty is the last of its grid on that side: a better one may lie beyond."""
    low, high = min(alphas), max(alphas)
    if low == high or low < alpha < high:
        return None
    return "smallest" if alpha == low else "largest"


def predict(
    decomposition: RidgeDecomposition,
    cross_kernel: np.ndarray,
    dual_coefficients: np.ndarray,
    response_mean: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Ŷ_Q for query stimuli.

    Parameters
    ----------
    cross_kernel : numpy.ndarray of float64, shape (n_query, n)
        K_QT.
    dual_coefficients : numpy.ndarray of float64, shape (n, neuroids)
        V (Λ+α)⁻¹ Vᵀ (Y - Ȳ), as :meth:`RidgeDecomposition.dual_coefficients` gives them.
    response_mean : numpy.ndarray of float64, shape (neuroids,), optional
        Ȳ. Without it, predictions are those of Y - Ȳ: all that a correlation needs, with every digit kept where
        predictions are far smaller than the mean.

    Returns
    -------
    numpy.ndarray of float64, shape (n_query, neuroids)
    """
    centred = cross_kernel - decomposition.column_mean
    # dual coefficients sum to zero: what all stimuli share only costs digits
    centred -= centred.mean(axis=1, keepdims=True)
    prediction = centred @ dual_coefficients
    prediction += response_mean
    return prediction


def _mean_squared_error(decomposition, coordinates, alpha, diagonal) -> float:
    total = 0.0
    for columns in _blocks(coordinates):
        residuals = decomposition.expand(decomposition.solve(coordinates[:, columns], alpha))
        residuals /= diagonal[:, None]
        total += np.einsum("ij,ij->", residuals, residuals)
    return float(total / (len(diagonal) * coordinates.shape[1]))


def _blocks(coordinates: np.ndarray) -> Iterator[slice]:
    """Neuroids to treat together, which bounds the memory that they take."""
    for start in range(0, coordinates.shape[1], NEUROID_BLOCK):
        yield slice(start, start + NEUROID_BLOCK)
