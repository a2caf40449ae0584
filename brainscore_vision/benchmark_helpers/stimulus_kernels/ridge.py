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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .decomposition import RidgeDecomposition, decompose

__all__ = [
    "AlphaSelection",
    "RidgeDecomposition",
    "decompose",
    "leave_one_out_errors",
    "leave_one_out_weights",
    "predict",
    "select_alpha",
]

NEUROID_BLOCK = 1024

SKETCH_SIZE = 128
SKETCH_MARGIN = 6.0
SKETCH_SEED = 20260516


@dataclass(frozen=True)
class AlphaSelection:
    """Outcome of the leave-one-out search.

    Attributes
    ----------
    alpha : float
    mean_squared_error : float
        Mean over training stimuli and neuroids of e² at ``alpha``, in squared units of the responses.
    evaluated : tuple of float
        The penalties whose error was computed in full (see :func:`select_alpha`).
    """

    alpha: float
    mean_squared_error: float
    evaluated: tuple


def leave_one_out_weights(decomposition: RidgeDecomposition, alphas: np.ndarray) -> np.ndarray:
    """d_i(α), the diagonal of V (Λ+α)⁻¹ Vᵀ, for each α; shape (n, n_alphas)."""
    return decomposition.weights(alphas)


def leave_one_out_errors(decomposition: RidgeDecomposition, responses: np.ndarray, alpha: float) -> np.ndarray:
    """e_i of each training stimulus and neuroid; ``responses`` of shape (n, neuroids), centred or not."""
    coordinates, _ = decomposition.coordinates(responses)
    diagonal = leave_one_out_weights(decomposition, np.array([alpha]))
    return _scaled_residuals(decomposition, coordinates, alpha, diagonal[:, 0])


def select_alpha(decomposition: RidgeDecomposition, coordinates: np.ndarray, alphas: Sequence[float]) -> AlphaSelection:
    """The penalty with the smallest mean leave-one-out error over stimuli and neuroids.

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
    An exact error costs 2 n² × neuroids operations per penalty. With many neuroids, the errors of ``SKETCH_SIZE`` random
    mixtures of them are computed first. For mixing weights of zero mean and unit variance, the error of a mixture has
    the summed error of the neuroids as its expectation, so the mixtures are independent samples of what decides, and
    paired between penalties. A penalty is dropped only if its error exceeds that of the sketch's best by more than
    ``SKETCH_MARGIN`` standard errors of the paired difference; all others are computed in full, and those exact values
    decide. The mixtures are seeded: the same data give the same choice.
    """
    alphas = np.asarray(alphas, dtype=float)
    diagonal = leave_one_out_weights(decomposition, alphas)
    candidates = np.arange(len(alphas))
    n_neuroids = coordinates.shape[1]
    if len(alphas) > 1 and n_neuroids > 2 * SKETCH_SIZE:
        rng = np.random.default_rng(SKETCH_SEED)
        mixing = rng.choice(np.array([-1.0, 1.0]), size=(n_neuroids, SKETCH_SIZE))
        mixtures = coordinates @ mixing
        samples = _sampled_errors(decomposition, mixtures, alphas, diagonal)
        best = samples.mean(axis=1).argmin()
        excess = samples - samples[best]
        standard_error = excess.std(axis=1, ddof=1) / np.sqrt(SKETCH_SIZE)
        candidates = np.flatnonzero(excess.mean(axis=1) <= SKETCH_MARGIN * standard_error)
    errors = np.array([_squared_error(decomposition, coordinates, alphas[i], diagonal[:, i]) for i in candidates])
    chosen = candidates[errors.argmin()]
    return AlphaSelection(
        alpha=float(alphas[chosen]),
        mean_squared_error=float(errors.min() / (len(diagonal) * n_neuroids)),
        evaluated=tuple(float(alphas[i]) for i in candidates),
    )


def predict(
    decomposition: RidgeDecomposition,
    cross_kernel: np.ndarray,
    coordinates: np.ndarray,
    alpha: float,
    response_mean: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Ŷ_Q for query stimuli.

    Parameters
    ----------
    cross_kernel : numpy.ndarray of float64, shape (n_query, n)
        K_QT.
    coordinates : numpy.ndarray of float64, shape (rows, neuroids)
        Vᵀ (Y - Ȳ), as :meth:`RidgeDecomposition.coordinates` gives them.
    alpha : float
    response_mean : numpy.ndarray of float64, shape (neuroids,), optional
        Ȳ. Without it, predictions are those of Y - Ȳ: all that a correlation needs, with every digit kept where
        predictions are far smaller than the mean.

    Returns
    -------
    numpy.ndarray of float64, shape (n_query, neuroids)
    """
    projected = (cross_kernel - decomposition.column_mean) @ decomposition.vectors
    prediction = projected @ decomposition.solve(coordinates, alpha)[: projected.shape[1]]
    prediction += response_mean
    return prediction


def _sampled_errors(decomposition, mixtures, alphas, diagonal) -> np.ndarray:
    """Summed squared leave-one-out error of each mixture, shape (n_alphas, mixtures); several penalties in one product."""
    n_mixtures = mixtures.shape[1]
    together = max(1, NEUROID_BLOCK // n_mixtures)
    samples = np.empty((len(alphas), n_mixtures))
    for start in range(0, len(alphas), together):
        chosen = range(start, min(start + together, len(alphas)))
        solved = np.concatenate([decomposition.solve(mixtures, alphas[i]) for i in chosen], axis=1)
        residuals = decomposition.expand(solved).reshape(len(diagonal), len(chosen), n_mixtures)
        residuals /= diagonal[:, chosen, None]
        samples[chosen] = np.einsum("ijk,ijk->jk", residuals, residuals)
    return samples


def _scaled_residuals(decomposition, coordinates, alpha, diagonal) -> np.ndarray:
    residuals = decomposition.expand(decomposition.solve(coordinates, alpha))
    residuals /= diagonal[:, None]
    return residuals


def _squared_error(decomposition, coordinates, alpha, diagonal) -> float:
    total = 0.0
    for start in range(0, coordinates.shape[1], NEUROID_BLOCK):
        residuals = _scaled_residuals(decomposition, coordinates[:, start : start + NEUROID_BLOCK], alpha, diagonal)
        total += np.einsum("ij,ij->", residuals, residuals)
    return total
