"""A training kernel as V Λ Vᵀ: one decomposition serves every penalty and every subject that saw the stimuli.

Symbols as in :mod:`.ridge`. Three ways lead there, with the same results: eigenvectors, for few stimuli and where nothing
else will do; of many stimuli and few features, the eigenvectors that features reach (:mod:`.low_rank`); of many stimuli and
more features, a band matrix instead of a diagonal one (:mod:`.band`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .compute import Compute
from .errors import ModelOutputError, StimulusKernelError
from .low_rank import low_rank_eigh

if TYPE_CHECKING:
    from .band import BandMatrix

ROW_BLOCK = 1024

MANY = 1500
"""Training stimuli from which the CPU avoids decomposing all of the kernel; of fewer, it takes as long."""

FEW_FEATURES = 1 / 3
"""Features per training stimulus up to which only those eigenvectors are made that features reach, in two matrices of n × n."""

BAND_WIDTH = 64
"""Diagonals of the band below the main one."""


@dataclass(frozen=True)
class Spectrum:
    """A diagonal Λ.

    Attributes
    ----------
    eigenvalues : numpy.ndarray of float64, shape (r,)
        Ascending, not negative; those below n·ε·λ_max are zero.
    """

    eigenvalues: np.ndarray

    @property
    def trace(self) -> float:
        return float(self.eigenvalues.sum())

    def solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """(Λ+α)⁻¹ C, for C of shape (r, m)."""
        return right / (self.eigenvalues + alpha)[:, None]

    def weights(self, vectors: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        """The diagonal of V (Λ+α)⁻¹ Vᵀ for each α; shape (n, n_alphas)."""
        return _squared_times(vectors, 1.0 / (self.eigenvalues[:, None] + alphas[None, :]))


@dataclass(frozen=True)
class RidgeDecomposition:
    """A training kernel as V Λ Vᵀ in the complement of the constant vector.

    Where V has fewer than n - 1 columns, Λ is zero on everything that they do not reach: K̃ + α is α alone there.

    Attributes
    ----------
    vectors : numpy.ndarray of float64, shape (n, r)
        V, orthonormal columns, each orthogonal to the constant vector; r at most n - 1.
    middle : Spectrum or BandMatrix
        Λ, of r × r.
    column_mean : numpy.ndarray of float64, shape (n,)
        r, the mean of K_TT over its rows.
    compute : Compute
        Where products with V run.
    """

    vectors: np.ndarray
    middle: Spectrum | BandMatrix
    column_mean: np.ndarray
    compute: Compute = Compute()

    @property
    def is_complete(self) -> bool:
        """Whether V reaches all responses."""
        return self.vectors.shape[1] == len(self.vectors) - 1

    @property
    def mean_eigenvalue(self) -> float:
        """Of the centred training kernel, over its n - 1 dimensions."""
        return self.middle.trace / (len(self.vectors) - 1)

    def coordinates(self, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vᵀ (Y - Ȳ) and Ȳ, of responses of shape (n, neuroids).

        Shape (r, neuroids) and (neuroids,). If V is not complete, what it does not reach follows below: n rows more.
        """
        mean = responses.mean(axis=0, dtype=float)
        centred = responses - mean
        inside = self.compute.matmul(self.vectors.T, centred)
        if self.is_complete:
            return inside, mean
        centred -= self.compute.matmul(self.vectors, inside)
        return np.concatenate([inside, centred]), mean

    def solve(self, coordinates: np.ndarray, alpha: float) -> np.ndarray:
        """(K̃+α)⁻¹ (Y - Ȳ), in coordinates."""
        rank = self.vectors.shape[1]
        inside = self.middle.solve(coordinates[:rank], alpha)
        return inside if self.is_complete else np.concatenate([inside, coordinates[rank:] / alpha])

    def expand(self, coordinates: np.ndarray) -> np.ndarray:
        """What has these coordinates, shape (n, neuroids)."""
        rank = self.vectors.shape[1]
        values = self.compute.matmul(self.vectors, coordinates[:rank])
        if not self.is_complete:
            values += coordinates[rank:]
        return values

    def weights(self, alphas: np.ndarray) -> np.ndarray:
        """The diagonal of (K̃+α)⁻¹ without the constant vector, for each α; shape (n, n_alphas)."""
        weights = self.middle.weights(self.vectors, alphas)
        if not self.is_complete:
            n = len(self.vectors)
            reached = _squared_times(self.vectors, np.ones((self.vectors.shape[1], 1)))
            missed = 1 - 1 / n - reached
            # where V reaches a stimulus wholly, what is left is rounding, which a small penalty would blow up
            missed[missed < n * np.finfo(float).eps] = 0.0
            weights += missed / alphas
        return weights


def decompose(
    kernel: np.ndarray, train: np.ndarray, compute: Compute | None = None, n_features: int | None = None
) -> RidgeDecomposition:
    """Decompose the training part of a kernel.

    Parameters
    ----------
    kernel : numpy.ndarray of float64, shape (m, m)
    train : numpy.ndarray of int, shape (n,)
        Rows of the training stimuli.
    compute : Compute, optional
        Where to compute; the CPU if None.
    n_features : int, optional
        Features that the kernel was made of, if known: with fewer than n, Λ is singular.

    Returns
    -------
    RidgeDecomposition

    Raises
    ------
    StimulusKernelError
        Fewer than three training stimuli.
    ModelOutputError
        Features that do not vary over the training stimuli.

    Notes
    -----
    Peak memory beyond ``kernel``: three matrices of n × n for eigenvectors, or two (:meth:`~.compute.Compute.eigh_driver`),
    two for the other ways. A band matrix is made where all eigenvalues are certain to exceed n·ε·λ_max, so that none would
    be set to zero.
    """
    compute = compute if compute is not None else Compute()
    n = len(train)
    if n < 3:
        raise StimulusKernelError(f"Ridge with an intercept needs at least 3 training stimuli, received {n}.")
    compute.eigh_driver(n - 1)  # raises if the budget is too small for any way
    householder = np.full(n, 1 / np.sqrt(n))
    householder[0] += 1.0
    beta = 2 / (householder @ householder)
    product, column_mean = np.empty(n), np.empty(n)
    for start in range(0, n, ROW_BLOCK):
        rows = kernel[np.ix_(train[start : start + ROW_BLOCK], train)]
        product[start : start + ROW_BLOCK] = rows @ householder
        column_mean[start : start + ROW_BLOCK] = rows.mean(axis=1)  # K is symmetric
    product *= beta
    product -= beta / 2 * (product @ householder) * householder

    vectors = middle = None
    way = way_to_decompose(n, compute, n_features)
    if way != "eigenvectors":
        vectors, middle = (_low_rank if way == "low rank" else _band)(_reflected(kernel, train, householder, product))
    if middle is None:
        vectors, middle = _eigenvectors(_reflected(kernel, train, householder, product), compute)
    loading = beta * (householder[1:] @ vectors[1:])
    vectors[0] = -householder[0] * loading
    for start in range(1, n, ROW_BLOCK):
        rows = slice(start, min(start + ROW_BLOCK, n))
        vectors[rows] -= np.outer(householder[rows], loading)
    return RidgeDecomposition(vectors=vectors, middle=middle, column_mean=column_mean, compute=compute)


def way_to_decompose(n: int, compute: Compute, n_features: int | None = None) -> str:
    """What :func:`decompose` tries first: "eigenvectors", "low rank" or "band"."""
    if compute.device != "cpu" or n < MANY:
        return "eigenvectors"
    if n_features is None or n_features >= n:
        return "band"
    return "low rank" if n_features <= FEW_FEATURES * n else "eigenvectors"


def _eigenvectors(reflected: np.ndarray, compute: Compute) -> tuple[np.ndarray, Spectrum]:
    n = len(reflected) + 1
    eigenvalues, complement = compute.eigh(reflected)
    del reflected
    largest = eigenvalues[-1]
    if not largest > 0:
        raise ModelOutputError(
            f"Features must differ between stimuli, but over the {n} training stimuli they do not vary at all. "
            f"Check that the model sees the images and that the recorded layer is not dead."
        )
    eigenvalues[eigenvalues < n * np.finfo(float).eps * largest] = 0.0
    return _below_a_row(complement), Spectrum(eigenvalues)


def _low_rank(reflected: np.ndarray) -> tuple[np.ndarray, Spectrum] | tuple[None, None]:
    found = low_rank_eigh(reflected)
    if found is None:
        return None, None
    eigenvalues, complement = found
    return _below_a_row(complement), Spectrum(eigenvalues)


def _band(reflected: np.ndarray) -> tuple[np.ndarray, BandMatrix] | tuple[None, None]:
    from .band import reduce_to_band  # with torch: seconds to import, which the command line's help can do without

    n = len(reflected) + 1
    vectors = np.empty((n, n - 1))
    band = reduce_to_band(reflected, vectors[1:], BAND_WIDTH)
    return (vectors, band) if band.is_above(n * np.finfo(float).eps) else (None, None)


def _below_a_row(complement: np.ndarray) -> np.ndarray:
    vectors = np.empty((len(complement) + 1, complement.shape[1]))
    vectors[1:] = complement
    return vectors


def _squared_times(vectors: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(V ∘ V) C, shape (n, m), without V ∘ V in memory."""
    product = np.empty((len(vectors), right.shape[1]))
    for start in range(0, len(vectors), ROW_BLOCK):
        rows = vectors[start : start + ROW_BLOCK]
        product[start : start + ROW_BLOCK] = (rows * rows) @ right
    return product


def _reflected(kernel: np.ndarray, train: np.ndarray, householder: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Bᵀ K_TT B, in Fortran order: the reflection P K P = K - v wᵀ - w vᵀ without its first row and column, which belong
    to the constant vector; P = I - β v vᵀ."""
    n = len(train)
    reflected = np.empty((n - 1, n - 1), order="F")
    for start in range(1, n, ROW_BLOCK):
        columns = slice(start, min(start + ROW_BLOCK, n))
        block = kernel[np.ix_(train[1:], train[columns])]
        block -= np.outer(householder[1:], product[columns])
        block -= np.outer(product[1:], householder[columns])
        reflected[:, columns.start - 1 : columns.stop - 1] = block
    return reflected
