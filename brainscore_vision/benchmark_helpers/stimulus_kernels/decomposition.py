"""A training kernel as V Λ Vᵀ: one decomposition serves every penalty and every subject that saw the stimuli.

Symbols as in :mod:`.ridge`. Λ is diagonal for few stimuli, or if it is singular; else a band matrix (:mod:`.band`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .compute import Compute
from .errors import ModelOutputError, StimulusKernelError

if TYPE_CHECKING:
    from .band import BandMatrix

ROW_BLOCK = 1024

BAND_FROM = 1500
"""Training stimuli from which a band matrix is made on the CPU; of fewer, an eigendecomposition takes as long."""

BAND_WIDTH = 64
"""Diagonals of the band below the main one."""


@dataclass(frozen=True)
class Spectrum:
    """A diagonal Λ.

    Attributes
    ----------
    eigenvalues : numpy.ndarray of float64, shape (n - 1,)
        Ascending, not negative; those below n·ε·λ_max are zero.
    """

    eigenvalues: np.ndarray

    @property
    def mean_eigenvalue(self) -> float:
        return float(self.eigenvalues.mean())

    def solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """(Λ+α)⁻¹ C, for C of shape (n - 1, m)."""
        return right / (self.eigenvalues + alpha)[:, None]

    def weights(self, vectors: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        """The diagonal of V (Λ+α)⁻¹ Vᵀ for each α; shape (n, n_alphas)."""
        inverse = 1.0 / (self.eigenvalues[:, None] + alphas[None, :])
        diagonal = np.empty((len(vectors), len(alphas)))
        for start in range(0, len(diagonal), ROW_BLOCK):
            rows = vectors[start : start + ROW_BLOCK]
            diagonal[start : start + ROW_BLOCK] = (rows * rows) @ inverse
        return diagonal


@dataclass(frozen=True)
class RidgeDecomposition:
    """A training kernel as V Λ Vᵀ in the complement of the constant vector.

    Attributes
    ----------
    vectors : numpy.ndarray of float64, shape (n, n - 1)
        V, orthonormal columns, each orthogonal to the constant vector.
    middle : Spectrum or BandMatrix
        Λ, of (n - 1) × (n - 1).
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
    def mean_eigenvalue(self) -> float:
        """Of the centred training kernel, over its n - 1 dimensions."""
        return self.middle.mean_eigenvalue

    def coordinates(self, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vᵀ (Y - Ȳ), shape (n - 1, neuroids), and Ȳ, of responses of shape (n, neuroids)."""
        mean = responses.mean(axis=0, dtype=float)
        return self.compute.matmul(self.vectors.T, responses - mean), mean


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
    Peak memory beyond ``kernel``: two matrices of n × n for a band matrix, three for eigenvectors
    (:meth:`~.compute.Compute.eigh_driver`). A band matrix is made where all eigenvalues are certain to exceed n·ε·λ_max,
    so that none would be set to zero.
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

    vectors, middle = None, None
    if takes_band(n, compute, n_features):
        from .band import (
            reduce_to_band,  # with torch, which takes seconds to import and the command line can do without
        )

        reflected = _reflected(kernel, train, householder, product)
        vectors = np.empty((n, n - 1))
        middle = reduce_to_band(reflected, vectors[1:], BAND_WIDTH)
        if not middle.is_above(n * np.finfo(float).eps):
            vectors, middle = None, None
        del reflected
    if middle is None:
        eigenvalues, complement = compute.eigh(_reflected(kernel, train, householder, product))
        largest = eigenvalues[-1]
        if not largest > 0:
            raise ModelOutputError(
                f"Features must differ between stimuli, but over the {n} training stimuli they do not vary at all. "
                f"Check that the model sees the images and that the recorded layer is not dead."
            )
        eigenvalues[eigenvalues < n * np.finfo(float).eps * largest] = 0.0
        vectors, middle = np.empty((n, n - 1)), Spectrum(eigenvalues)
        vectors[1:] = complement
        del complement
    loading = beta * (householder[1:] @ vectors[1:])
    vectors[0] = -householder[0] * loading
    for start in range(1, n, ROW_BLOCK):
        rows = slice(start, min(start + ROW_BLOCK, n))
        vectors[rows] -= np.outer(householder[rows], loading)
    return RidgeDecomposition(vectors=vectors, middle=middle, column_mean=column_mean, compute=compute)


def takes_band(n: int, compute: Compute, n_features: int | None = None) -> bool:
    """Whether :func:`decompose` tries a band matrix first."""
    return compute.device == "cpu" and n >= BAND_FROM and (n_features is None or n_features >= n)


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
