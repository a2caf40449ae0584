"""A training kernel as V Λ Vᵀ: one decomposition serves every penalty and every subject that saw the stimuli.

Symbols as in :mod:`.fit`. Three ways lead there, with the same results:

- eigenvectors, for few stimuli and where nothing else will do;
- of many stimuli and few features, the eigenvectors that features reach: a kernel of p features has at most p eigenvalues
  that are not zero. A Cholesky factorisation with pivots stops when nothing is left (LAPACK's pstrf; Higham 2002, section
  10.3), K = L Lᵀ with L of n × p; what remains are products of n × p and an eigendecomposition of p × p;
- of many stimuli and more features, a band matrix instead of a diagonal one (:mod:`.band`).

V has two forms with the same methods: a matrix, and the reflections that it is the product of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg
from scipy.linalg import blas, lapack

from ..errors import ModelOutputError, StimulusKernelError
from ..kernels.compute import Compute, host

if TYPE_CHECKING:
    from .band import BandMatrix, BlockReflections


ROW_BLOCK = 1024

MANY = 1500
"""Training stimuli from which the CPU avoids decomposing all of the kernel; of fewer, it takes as long."""

FEW_FEATURES = 1 / 3
"""Features per training stimulus up to which only those eigenvectors are made that features reach, in two matrices of n × n."""

BAND_WIDTH = 96
"""Diagonals of the band below the main one."""

NO_SPREAD = 32
"""Times n·ε and the largest entry of a kernel: what rounding leaves at most of features that do not vary."""

KERNEL_ERROR = 8
"""Times ε·λ_max: what a kernel and its decomposition are off in a direction. Of 14,000 made to lose nothing, rounding came to
0.9 of what it allows at most. What graded features lose is as large as the bound n·ε·λ_max, which would hide it."""

BASIS_ROWS = 256
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
    vectors : numpy.ndarray or torch.Tensor of float64, shape (n, r)
        Orthonormal columns, each orthogonal to the constant vector; r at most n - 1. A tensor stays on its GPU.
    compute : Compute
        Where the vectors are, and what is multiplied by them.
    """

    vectors: np.ndarray
    compute: Compute = Compute()

    @classmethod
    def below_a_row(cls, complement: np.ndarray, constant: ConstantReflection) -> MatrixBasis:
        """Of vectors of shape (n - 1, r), given in the columns of the reflection but the first."""
        vectors = np.zeros((len(complement) + 1, complement.shape[1]))
        vectors[1:] = complement
        constant.apply(vectors)
        return cls(vectors)

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.vectors.shape)

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """Vᵀ C, for C of shape (n, m)."""
        return self.vectors.T @ values

    def combine(self, coordinates: np.ndarray) -> np.ndarray:
        """V C, for C of shape (r, m)."""
        return self.vectors @ coordinates

    def rows(self, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Some rows of V, or all, in blocks of shape (rows, r)."""
        for start in range(0, len(self.vectors) if rows is None else len(rows), BASIS_ROWS):
            block = slice(start, start + BASIS_ROWS)
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
    compute = Compute()

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
            for start in range(1, n, BASIS_ROWS):
                stop = min(start + BASIS_ROWS, n)
                yield matrix[start - 1 : stop - 1] - np.outer(vector[start:stop], loading)
            return
        for start in range(0, len(rows), BASIS_ROWS):
            units = np.zeros((n, len(rows[start : start + BASIS_ROWS])))
            units[rows[start : start + BASIS_ROWS], np.arange(units.shape[1])] = 1.0
            yield self.coordinates(units).T


@dataclass(frozen=True)
class Spectrum:
    """A diagonal Λ.

    Attributes
    ----------
    eigenvalues : numpy.ndarray or torch.Tensor of float64, shape (r,)
        Ascending, not negative; those below n·ε·λ_max are zero.
    compute : Compute
        Where they are.
    """

    eigenvalues: np.ndarray
    compute: Compute = Compute()

    @property
    def trace(self) -> float:
        return float(self.eigenvalues.sum())

    def solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """(Λ+α)⁻¹ C, for C of shape (r, m)."""
        return right / (self.eigenvalues + alpha)[:, None]

    def half_solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """R C with R Rᵀ = (Λ+α)⁻¹, for C of shape (r, m)."""
        return right / ((self.eigenvalues + alpha) ** 0.5)[:, None]

    def weights(self, blocks: Iterable[np.ndarray], alphas: np.ndarray) -> np.ndarray:
        """The diagonal of V (Λ+α)⁻¹ Vᵀ for rows V of shape (m, r), in blocks of rows, and each α; shape (m, n_alphas)."""
        inverse = 1.0 / (self.eigenvalues[:, None] + self.compute.place(alphas)[None, :])
        return self.compute.numerics.concatenate([(rows * rows) @ inverse for rows in blocks])


@dataclass(frozen=True)
class RidgeDecomposition:
    """A training kernel as V Λ Vᵀ in the complement of the constant vector.

    Coordinates, and what is made of them, stay where V is: arrays, or tensors on a GPU.

    Where V has fewer than n - 1 columns, Λ is zero on everything that they do not reach: K̃ + α is α alone there.

    Attributes
    ----------
    basis : MatrixBasis or ReflectedBasis
        V, of n × r.
    middle : Spectrum or BandMatrix
        Λ, of r × r.
    column_mean : numpy.ndarray of float64, shape (n,)
        r, the mean of K_TT over its rows.
    size : float
        The largest entry of K_TT: what its rounding is a part of.
    exact : bool
        Whether penalties are to be compared without samples.
    """

    basis: MatrixBasis | ReflectedBasis
    middle: Spectrum | BandMatrix
    column_mean: np.ndarray
    size: float
    exact: bool = False

    @property
    def compute(self) -> Compute:
        """Where V is."""
        return self.basis.compute

    @property
    def is_complete(self) -> bool:
        """Whether V reaches all responses."""
        n, rank = self.basis.shape
        return rank == n - 1

    @property
    def mean_eigenvalue(self) -> float:
        """Of the centred training kernel K̃_TT: its trace over n."""
        return self.middle.trace / self.basis.shape[0]

    def coordinates(self, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vᵀ (Y - Ȳ) and Ȳ, of responses of shape (n, neuroids).

        Shape (r, neuroids) and (neuroids,). If V is not complete, what it does not reach follows below: n rows more.
        Ȳ is an array.
        """
        mean = responses.mean(axis=0, dtype=float)
        if self.compute.device != "cpu":  # float64 there alone: responses travel in their own precision
            centred = self.compute.place(responses) - self.compute.place(mean)
            return self.basis.coordinates(centred), mean
        centred = np.subtract(responses, mean, order="C")
        inside = self.basis.coordinates(centred)
        if self.is_complete:
            return inside, mean
        centred -= self.basis.combine(inside)
        return np.concatenate([inside, centred]), mean

    def solve(self, coordinates: np.ndarray, alpha: float) -> np.ndarray:
        """(K̃+α)⁻¹ (Y - Ȳ), in coordinates."""
        rank = self.basis.shape[1]
        inside = self.middle.solve(coordinates[:rank], alpha)
        return inside if self.is_complete else np.concatenate([inside, coordinates[rank:] / alpha])

    def half_solve(self, coordinates: np.ndarray, alpha: float) -> np.ndarray:
        """R C with R Rᵀ = (K̃+α)⁻¹, in coordinates."""
        rank = self.basis.shape[1]
        inside = self.middle.half_solve(coordinates[:rank], alpha)
        return inside if self.is_complete else np.concatenate([inside, coordinates[rank:] / np.sqrt(alpha)])

    def lost_spread(self, sketch: np.ndarray, mean_norm: float) -> float:
        """Spread of features in the directions whose eigenvalues were set to zero: no such eigenvalue is larger.

        Parameters
        ----------
        sketch : numpy.ndarray of float64, shape (n, m)
            Random mixtures of the features of the training stimuli (:class:`~..kernels.kernel.StimulusKernel`). In each
            direction, the expected square of the mixtures is the eigenvalue. K is exact to n·ε·λ_max; the mixtures are not
            squared, so they are exact to ε²·λ_max.
        mean_norm : float
            Length of the features' mean, |s|.

        Returns
        -------
        float
            0 if it is no more than rounding: features that are multiples of others, or zero.
        """
        if not isinstance(self.middle, Spectrum):
            return 0.0  # a band is made only where no eigenvalue is set to zero
        (n, rank), epsilon = self.basis.shape, np.finfo(float).eps
        coordinates, eigenvalues = host(self.coordinates(sketch)[0]), host(self.middle.eigenvalues)
        lost = np.sum(coordinates[:rank][eigenvalues == 0] ** 2) + np.sum(coordinates[rank:] ** 2)
        lost /= sketch.shape[1]
        # a vector of the others leaks into these directions by the error of K over its eigenvalue (Davis & Kahan 1970)
        known = eigenvalues[eigenvalues > 0]
        leak = known[-1] ** 2 * np.sum(1 / known)
        rounding = (KERNEL_ERROR * epsilon) ** 2 * (leak + self.middle.trace + n * mean_norm**2)
        return float(lost) if lost > rounding else 0.0

    def expand(self, coordinates: np.ndarray) -> np.ndarray:
        """What has these coordinates, shape (n, neuroids)."""
        rank = self.basis.shape[1]
        values = self.basis.combine(coordinates[:rank])
        if not self.is_complete:
            values += coordinates[rank:]
        return values

    def dual_coefficients(self, coordinates: np.ndarray, alpha: float) -> np.ndarray:
        """V (Λ+α)⁻¹ Vᵀ (Y - Ȳ), shape (n, neuroids): the weights of the training stimuli in a prediction.

        Of (K̃+α)⁻¹ (Y - Ȳ) the part that features reach; no prediction sees the rest, which is divided by α alone: with a small
        α, all that a prediction would see of it is rounding.
        """
        reached = self.middle.solve(coordinates[: self.basis.shape[1]], alpha)
        if isinstance(self.middle, Spectrum):  # a band is made only where no eigenvalue is set to zero
            reached[self.middle.eigenvalues == 0] = 0.0
        return self.basis.combine(reached)

    def weights(self, alphas: np.ndarray) -> np.ndarray:
        """The diagonal of (K̃+α)⁻¹ without the constant vector, for each α; shape (n, n_alphas)."""
        return self._weights(self.basis.rows(), alphas)

    def at(self, rows: np.ndarray) -> StimuliOfDecomposition:
        """Some training stimuli, by their positions, for what is asked about each."""
        return StimuliOfDecomposition(self, rows, self.compute.numerics.concatenate(list(self.basis.rows(rows))))

    def _weights(self, blocks: Iterable[np.ndarray], alphas: np.ndarray) -> np.ndarray:
        if self.is_complete:
            return self.middle.weights(blocks, alphas)
        blocks, n = list(blocks), self.basis.shape[0]
        missed = 1 - 1 / n - np.concatenate([np.einsum("ij,ij->i", rows, rows) for rows in blocks])
        # where V reaches a stimulus wholly, what is left is rounding, which a small penalty would blow up
        missed[missed < n * np.finfo(float).eps] = 0.0
        return self.middle.weights(blocks, alphas) + missed[:, None] / alphas


@dataclass(frozen=True)
class StimuliOfDecomposition:
    """Some of the training stimuli of a decomposition.

    Attributes
    ----------
    decomposition : RidgeDecomposition
    rows : numpy.ndarray of int, shape (m,)
    vectors : numpy.ndarray or torch.Tensor of float64, shape (m, r)
        Their rows of V.
    """

    decomposition: RidgeDecomposition
    rows: np.ndarray
    vectors: np.ndarray

    def expand(self, coordinates: np.ndarray) -> np.ndarray:
        """As that of the whole, shape (m, neuroids)."""
        rank = self.vectors.shape[1]
        values = self.vectors @ coordinates[:rank]
        if not self.decomposition.is_complete:
            values += coordinates[rank:][self.rows]
        return values

    def weights(self, alphas: np.ndarray) -> np.ndarray:
        """As those of the whole, shape (m, n_alphas)."""
        return self.decomposition._weights([self.vectors], alphas)


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
    Peak memory beyond ``kernel``: three matrices of n × n for eigenvectors, or two
    (:meth:`~..kernels.compute.Compute.eigh_driver`), two for few features, one for a band matrix. A band matrix is made
    where all eigenvalues are certain to exceed n·ε·λ_max, so that none would be set to zero.
    """
    compute = compute if compute is not None else Compute()
    n = len(train)
    if n < 3:
        raise StimulusKernelError(f"Ridge with an intercept needs at least 3 training stimuli, received {n}.")
    compute.eigh_driver(n - 1)  # raises if the budget is too small for any way
    constant, size = ConstantReflection.of_size(n), float(np.abs(np.diagonal(kernel)[train]).max())
    if compute.device != "cpu":
        return _on_device(kernel, train, constant, compute, size)
    product, column_mean = np.empty(n), np.empty(n)
    for start in range(0, n, ROW_BLOCK):
        rows = kernel[np.ix_(train[start : start + ROW_BLOCK], train)]
        product[start : start + ROW_BLOCK] = rows @ constant.vector
        column_mean[start : start + ROW_BLOCK] = rows.mean(axis=1)  # K is symmetric
    product *= constant.beta
    product -= constant.beta / 2 * (product @ constant.vector) * constant.vector

    found = None
    way = way_to_decompose(n, compute, n_features)
    if way != "eigenvectors":
        found = (_low_rank if way == "low rank" else _band)(
            _reflected(kernel, train, constant.vector, product), constant
        )
    if found is None:
        found = _eigenvectors(_reflected(kernel, train, constant.vector, product), constant, compute, size)
    return RidgeDecomposition(*found, column_mean, size, compute.exact)


def way_to_decompose(n: int, compute: Compute, n_features: int | None = None) -> str:
    """What :func:`decompose` tries first: "eigenvectors", "low rank" or "band"."""
    if compute.exact or compute.device != "cpu" or n < MANY:
        return "eigenvectors"
    if n_features is None or n_features >= n:
        return "band"
    return "low rank" if n_features <= FEW_FEATURES * n else "eigenvectors"


def _eigenvectors(
    reflected: np.ndarray, constant: ConstantReflection, compute: Compute, size: float
) -> tuple[MatrixBasis, Spectrum]:
    eigenvalues, complement = compute.eigh(reflected)
    del reflected
    return MatrixBasis.below_a_row(complement, constant), _spectrum(eigenvalues, size)


def _spectrum(eigenvalues: np.ndarray, size: float) -> Spectrum:
    """Of all n - 1 eigenvalues, ascending, of a kernel whose largest entry is ``size``: below its rounding, nothing varies."""
    n, largest = len(eigenvalues) + 1, eigenvalues[-1]
    if not largest > NO_SPREAD * n * np.finfo(float).eps * size:
        raise ModelOutputError(
            f"Features must differ between stimuli, but over the {n} training stimuli they do not vary at all. "
            f"Check that the model sees the images and that the recorded layer is not dead."
        )
    eigenvalues[eigenvalues < n * np.finfo(float).eps * largest] = 0.0
    return Spectrum(eigenvalues)


def _on_device(
    kernel: np.ndarray, train: np.ndarray, constant: ConstantReflection, compute: Compute, size: float
) -> RidgeDecomposition:
    """The eigenvectors of all of a training kernel, with torch, in four matrices of n × n beside the kernel."""
    torch = compute.numerics
    rows, vector = compute.place(train), compute.place(constant.vector)
    reflected = compute.place(kernel)[rows][:, rows]
    column_mean = host(reflected.mean(dim=1))  # K is symmetric
    product = constant.beta * (reflected @ vector)
    product -= constant.beta / 2 * (product @ vector) * vector
    reflected.addr_(vector, product, alpha=-1.0).addr_(product, vector, alpha=-1.0)
    eigenvalues, complement = torch.linalg.eigh(reflected[1:, 1:])
    spectrum = _spectrum(host(eigenvalues), size)
    spectrum = Spectrum(compute.place(spectrum.eigenvalues), compute)
    vectors = torch.nn.functional.pad(complement, (0, 0, 1, 0))
    vectors.addr_(vector, constant.beta * (vector @ vectors), alpha=-1.0)
    return RidgeDecomposition(MatrixBasis(vectors, compute), spectrum, column_mean, size, compute.exact)


def _low_rank(reflected: np.ndarray, constant: ConstantReflection) -> tuple[MatrixBasis, Spectrum] | None:
    found = low_rank_eigh(reflected)
    if found is None:
        return None
    eigenvalues, complement = found
    return MatrixBasis.below_a_row(complement, constant), Spectrum(eigenvalues)


def _band(reflected: np.ndarray, constant: ConstantReflection) -> tuple[ReflectedBasis, BandMatrix] | None:
    from .band import reduce_to_band  # with torch: seconds to import, which the command line's help can do without

    n = len(reflected) + 1
    band, reflections = reduce_to_band(reflected, BAND_WIDTH)
    return (ReflectedBasis(constant, reflections), band) if band.is_above(n * np.finfo(float).eps) else None


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


def low_rank_eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Eigenvalues that are not zero, and their vectors, of a positive semi-definite matrix.

    Parameters
    ----------
    matrix : numpy.ndarray of float64, shape (n, n)
        In Fortran order; overwritten.

    Returns
    -------
    eigenvalues : numpy.ndarray of float64, shape (r,)
        Ascending, above n·ε·λ_max.
    vectors : numpy.ndarray of float64, shape (n, r)
    None instead of both
        The matrix is zero, or too close to one of another rank to say.

    Notes
    -----
    Peak memory with ``matrix``: n² + 2 n r + 3 r² numbers.
    """
    n, epsilon = len(matrix), np.finfo(float).eps
    largest = np.diag(matrix).max()
    if not largest > 0:
        return None
    factor, pivots, rank, _ = lapack.dpstrf(matrix, tol=n * epsilon * largest, lower=1, overwrite_a=1)
    basis = np.empty((n, rank))
    basis[pivots - 1] = np.tril(factor[:, :rank])
    triangle = np.eye(rank)
    for _ in range(2):  # the second pass makes orthonormal what the condition of L has left (Yamamoto et al. 2015)
        try:
            upper = linalg.cholesky(basis.T @ basis, lower=False, check_finite=False)
        except linalg.LinAlgError:
            return None
        basis = basis @ linalg.solve_triangular(upper, np.eye(rank), check_finite=False)
        triangle = upper @ triangle
    eigenvalues, vectors = linalg.eigh(triangle @ triangle.T, driver="evd", check_finite=False)
    first = int(np.searchsorted(eigenvalues, n * epsilon * eigenvalues[-1]))
    return eigenvalues[first:], basis @ vectors[:, first:]
