"""Orthonormal bases of what is orthogonal to the constant vector, or of a part of it: V of a decomposition.

Two forms with the same methods: a matrix, and the reflections that it is the product of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import blas

from ..kernels.compute import Compute

if TYPE_CHECKING:
    from .reflections import BlockReflections

ROW_BLOCK = 256
"""Rows of V that exist at once where V is no matrix."""


@dataclass(frozen=True)
class ConstantReflection:
    """The reflection P = I - β v vᵀ that swaps the constant vector of length one and minus the first unit vector.

    Its columns but the first are orthonormal and orthogonal to the constant vector.

    Attributes
    ----------
    vector : numpy.ndarray of float64, shape (n,)
        v.
    beta : float
    """

    vector: np.ndarray
    beta: float

    @classmethod
    def of_size(cls, n: int) -> ConstantReflection:
        vector = np.full(n, 1 / np.sqrt(n))
        vector[0] += 1.0
        return cls(vector, 2 / (vector @ vector))

    def apply(self, matrix: np.ndarray) -> None:
        """C ← P C, for C of shape (n, m), float64 in C order."""
        if not (matrix.flags.c_contiguous and matrix.dtype == float):  # dger would update a copy
            raise ValueError(f"The matrix has to be float64 in C order; received {matrix.dtype}, {matrix.strides}.")
        loading = self.beta * (self.vector @ matrix)
        blas.dger(-1.0, loading, self.vector, a=matrix.T, overwrite_a=True)


@dataclass(frozen=True)
class MatrixBasis:
    """V as a matrix.

    Attributes
    ----------
    vectors : numpy.ndarray of float64, shape (n, r)
        Orthonormal columns, each orthogonal to the constant vector; r at most n - 1.
    compute : Compute
        Where products with V run.
    """

    vectors: np.ndarray
    compute: Compute = Compute()

    @classmethod
    def below_a_row(
        cls, complement: np.ndarray, constant: ConstantReflection, compute: Compute | None = None
    ) -> MatrixBasis:
        """Of vectors of shape (n - 1, r), given in the columns of the reflection but the first."""
        vectors = np.zeros((len(complement) + 1, complement.shape[1]))
        vectors[1:] = complement
        constant.apply(vectors)
        return cls(vectors, compute if compute is not None else Compute())

    @property
    def shape(self) -> tuple[int, int]:
        return self.vectors.shape

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """Vᵀ C, for C of shape (n, m)."""
        return self.compute.matmul(self.vectors.T, values)

    def combine(self, coordinates: np.ndarray) -> np.ndarray:
        """V C, for C of shape (r, m)."""
        return self.compute.matmul(self.vectors, coordinates)

    def rows(self, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Some rows of V, or all, in blocks of shape (rows, r)."""
        for start in range(0, len(self.vectors) if rows is None else len(rows), ROW_BLOCK):
            block = slice(start, start + ROW_BLOCK)
            yield self.vectors[block if rows is None else rows[block]]


@dataclass(frozen=True)
class ReflectedBasis:
    """V as the columns but the first of P times an orthonormal Q, all of it reflections; r = n - 1.

    Attributes
    ----------
    constant : ConstantReflection
        P.
    reflections : BlockReflections
        Q, of n - 1 rows.
    """

    constant: ConstantReflection
    reflections: BlockReflections

    @property
    def shape(self) -> tuple[int, int]:
        n = len(self.constant.vector)
        return n, n - 1

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """Vᵀ C, for C of shape (n, m), float64 in C order, whose memory it takes."""
        self.constant.apply(values)
        self.reflections.apply(values[1:], transposed=True)
        return values[1:]

    def combine(self, coordinates: np.ndarray) -> np.ndarray:
        """V C, for C of shape (r, m)."""
        values = np.empty((len(coordinates) + 1, coordinates.shape[1]))
        values[0], values[1:] = 0.0, coordinates
        self.reflections.apply(values[1:], transposed=False)
        self.constant.apply(values)
        return values

    def rows(self, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Some rows of V, or all, in blocks of shape (rows, r). Asking for all builds Q as a matrix and keeps it."""
        n, vector = len(self.constant.vector), self.constant.vector
        if rows is None:
            matrix = self.reflections.matrix()
            loading = self.constant.beta * (vector[1:] @ matrix)
            yield -vector[:1, None] * loading
            for start in range(1, n, ROW_BLOCK):
                stop = min(start + ROW_BLOCK, n)
                yield matrix[start - 1 : stop - 1] - np.outer(vector[start:stop], loading)
            return
        for start in range(0, len(rows), ROW_BLOCK):
            units = np.zeros((n, len(rows[start : start + ROW_BLOCK])))
            units[rows[start : start + ROW_BLOCK], np.arange(units.shape[1])] = 1.0
            yield self.coordinates(units).T
