"""A symmetric matrix as Q B Qᵀ with B a band: all that ridge needs of an eigendecomposition, at a fraction of its time.

An eigendecomposition spends most of its time on the way from a matrix to a tridiagonal one, in products with single vectors
that wait for memory. Stopping at a band of some dozen diagonals turns all of them into products of matrices (Bischof,
Lang & Sun 2000, ACM TOMS 26, algorithm 807), and ridge asks for nothing that a band cannot give:

- (B + α)⁻¹ C by a Cholesky factorisation of the band, B + α = L Lᵀ;
- diag(Q (B + α)⁻¹ Qᵀ), the sums of squares of the columns of L⁻¹ Qᵀ.

Q stays a product of block Householder reflections I - V T Vᵀ (Schreiber & Van Loan 1989, SIAM J. Sci. Stat. Comput. 10).
Applying Q in this form costs what a product with its matrix costs; the matrix itself costs 4/3 n³ operations more, and is
made when it is needed. Torch does the products, since its in-place ones work on a part of a matrix without copying it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

CHUNK = 384
"""Columns of the trailing matrix that are updated at once: only those on and below its diagonal."""


@dataclass(frozen=True)
class BandMatrix:
    """A symmetric matrix of n × n whose entries further than a width from the diagonal are zero, in blocks.

    Attributes
    ----------
    diagonal : list of torch.Tensor of float64, shape (width, width) or less for the last
        Symmetric blocks on the diagonal.
    below : list of torch.Tensor of float64
        Blocks below them, one fewer; upper triangular.
    """

    diagonal: list
    below: list

    @property
    def trace(self) -> float:
        return sum(block.trace().item() for block in self.diagonal)

    def is_above(self, relative: float) -> bool:
        """Whether all eigenvalues exceed ``relative`` times (a bound of) the largest; may say no without need."""
        sums = [block.abs().sum(dim=1) for block in self.diagonal]
        for k, block in enumerate(self.below):
            sums[k] += block.abs().sum(dim=0)
            sums[k + 1] += block.abs().sum(dim=1)
        largest = max(s.max().item() for s in sums)
        if not largest > 0:
            return False
        try:
            list(self._factors([-relative * largest]))
        except torch.linalg.LinAlgError:
            return False
        return True

    def solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """(B + α)⁻¹ C for C of shape (n, m), float64; B + α positive definite."""
        factors = list(self._factors([alpha]))
        solution = torch.from_numpy(np.array(right, dtype=float, order="C"))
        parts = solution.split([len(block) for block in self.diagonal])
        for k, part in enumerate(parts):
            lower, left = factors[k]
            if k:
                part.addmm_(left[0], parts[k - 1], alpha=-1)
            part.copy_(torch.linalg.solve_triangular(lower[0], part, upper=False))
        return self._solve_upper(factors, solution)

    def half_solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """R C with R Rᵀ = (B + α)⁻¹, as :meth:`solve`."""
        return self._solve_upper(
            list(self._factors([alpha])), torch.from_numpy(np.array(right, dtype=float, order="C"))
        )

    def _solve_upper(self, factors: list, solution: torch.Tensor) -> np.ndarray:
        """L⁻ᵀ C, in the place of C."""
        parts = solution.split([len(block) for block in self.diagonal])
        for k in reversed(range(len(parts))):
            if k + 1 < len(parts):
                parts[k].addmm_(factors[k + 1][1][0].T, parts[k + 1], alpha=-1)
            parts[k].copy_(torch.linalg.solve_triangular(factors[k][0][0].T, parts[k], upper=True))
        return solution.numpy()

    def weights(self, blocks: Iterable[np.ndarray], alphas: np.ndarray) -> np.ndarray:
        """diag(Q (B + α)⁻¹ Qᵀ) for rows Q of shape (m, n), in blocks of rows, and each α; shape (m, n_alphas)."""
        inverse, carried = [], []
        # products with inverses of blocks, where solving would take three times as long
        for lower, left in self._factors(alphas):
            identity = torch.eye(lower.shape[-1], dtype=torch.float64).expand_as(lower)
            inverse.append(torch.linalg.solve_triangular(lower, identity, upper=False))
            carried.append(None if left is None else inverse[-1] @ left)
        found = []
        for block in blocks:
            rows, part = torch.from_numpy(block).T, None
            sums = torch.zeros((len(alphas), len(block)), dtype=torch.float64)
            for k, right in enumerate(rows.split([len(block) for block in self.diagonal])):
                fresh = (inverse[k].reshape(-1, len(right)) @ right).reshape(len(alphas), len(right), -1)
                part = fresh if k == 0 else torch.baddbmm(fresh, carried[k], part, alpha=-1)
                sums += (part * part).sum(dim=1)
            found.append(sums.T)
        return torch.cat(found).numpy()

    def _factors(self, alphas) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """L of B + α for each α, by block rows: the block on the diagonal and the one left of it, (n_alphas, rows, columns)."""
        shifts = torch.as_tensor(np.asarray(alphas, dtype=float))
        lower = left = None
        for k, block in enumerate(self.diagonal):
            shifted = block + shifts[:, None, None] * torch.eye(len(block), dtype=torch.float64)
            if k:
                right = self.below[k - 1].T.expand(len(shifts), -1, -1)
                left = torch.linalg.solve_triangular(lower, right, upper=False).mT
                shifted = shifted - left @ left.mT
            lower = torch.linalg.cholesky(shifted)
            yield lower, left


def reduce_to_band(matrix: np.ndarray, width: int) -> tuple[BandMatrix, BlockReflections]:
    """B and Q with ``matrix`` = Q B Qᵀ, by block Householder reflections.

    Parameters
    ----------
    matrix : numpy.ndarray of float64, shape (n, n)
        Symmetric, in Fortran order; only the lower triangle is read. Overwritten, and kept by Q.
    width : int
        Rows of a block, and diagonals of the band below the main one.

    Returns
    -------
    BandMatrix
    BlockReflections

    Notes
    -----
    4/3 n³ operations in products of matrices. No memory beyond the matrix but some columns.
    """
    n, trailing, factors = len(matrix), torch.from_numpy(matrix), []
    for first in range(width, n, width):
        panel, rest = trailing[first:, first - width : first], trailing[first:, first:]
        factored, tau = torch.geqrf(panel)
        panel.copy_(factored)  # R above, the reflections below
        reflections, factor = compact_factor(factored, tau)
        factors.append(factor)
        _apply_on_both_sides(rest, reflections, factor)
    starts = range(0, n, width)
    diagonal = [trailing[k : k + width, k : k + width].tril() for k in starts]
    diagonal = [block + block.tril(-1).T for block in diagonal]
    below = [trailing[k + width : k + 2 * width, k : k + width].triu() for k in starts[:-1]]
    return BandMatrix(diagonal, below), BlockReflections(trailing, factors, width)


def _apply_on_both_sides(matrix: torch.Tensor, reflections: torch.Tensor, factor: torch.Tensor) -> None:
    """A ← Hᵀ A H for H = I - V T Vᵀ, on the lower triangle of A.

    Hᵀ A H = A - V Wᵀ - W Vᵀ with Z = A V T and W = Z - V (Tᵀ Vᵀ Z) / 2.
    """
    n, right = len(matrix), reflections @ factor
    product = torch.zeros_like(right)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        corner = matrix[start:stop, start:stop].tril()
        product[start:stop] += (corner + corner.tril(-1).T) @ right[start:stop]
        if stop < n:
            beneath = matrix[stop:, start:stop]
            product[stop:].addmm_(beneath, right[start:stop])
            product[start:stop].addmm_(beneath.T, right[stop:])
    product -= reflections @ (right.T @ product) / 2
    left, other = torch.cat([reflections, product], dim=1), torch.cat([product, reflections], dim=1)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        matrix[start:, start:stop].addmm_(left[start:], other[start:stop].T, alpha=-1)


class BlockReflections:
    """Q = H₁ H₂ ..., each Hₖ a block of reflections on all rows but the first k blocks.

    Parameters
    ----------
    storage : torch.Tensor of float64, shape (n, n)
        In block column k - 1, below its diagonal block, V of Hₖ: unit lower trapezoidal, ones not stored. Becomes this
        object's own.
    factors : list of torch.Tensor of float64, shape (width, width) or less for the last
        T of each.
    width : int
        Columns of a block.
    """

    def __init__(self, storage: torch.Tensor, factors: list[torch.Tensor], width: int):
        self._storage, self._factors, self._width = storage, factors, width
        self._is_matrix = False

    def apply(self, right: np.ndarray, transposed: bool) -> None:
        """C ← Q C, or Qᵀ C, for C of shape (n, m), float64."""
        product = torch.from_numpy(right)
        if self._is_matrix:
            product.copy_((self._storage.T if transposed else self._storage) @ product)
            return
        steps = list(zip(self._firsts(), self._factors, strict=True))
        for first, factor in steps if transposed else reversed(steps):
            reflections, part = self._reflections(first), product[first:]
            part.addmm_(reflections @ (factor.T if transposed else factor), reflections.T @ part, alpha=-1)

    def matrix(self) -> np.ndarray:
        """Q of shape (n, n), in Fortran order; made in the place of the reflections, and kept instead of them."""
        if not self._is_matrix:
            for first, factor in zip(reversed(self._firsts()), reversed(self._factors), strict=True):
                reflections = self._reflections(first)
                self._make_identity(first)
                part = self._storage[first:, first:]
                part.addmm_(reflections @ factor, reflections.T @ part, alpha=-1)
            self._make_identity(0)
            self._is_matrix, self._factors = True, []
        return self._storage.numpy()

    def _firsts(self) -> range:
        return range(self._width, len(self._storage), self._width)

    def _reflections(self, first: int) -> torch.Tensor:
        return unit_trapezoid(self._storage[first:, first - self._width : first])

    def _make_identity(self, first: int) -> None:
        """A block column from its diagonal on, and the block row beside it."""
        last = first + self._width
        self._storage[first:, first:last] = 0.0
        self._storage[first:last, last:] = 0.0
        self._storage[first:last, first:last].fill_diagonal_(1.0)


def unit_trapezoid(factored: torch.Tensor) -> torch.Tensor:
    """V of the product of reflections I - V T Vᵀ that a QR factorisation leaves below the diagonal."""
    reflections = factored[:, : min(factored.shape)].tril(-1)
    reflections.fill_diagonal_(1.0)
    return reflections


def compact_factor(factored: torch.Tensor, tau: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """V and T of I - V T Vᵀ, with T⁻¹ the upper triangle of VᵀV and 1/τ on its diagonal (Puglisi 1992).

    A reflection that does nothing has τ = 0; leaving it out of T says the same.
    """
    reflections = unit_trapezoid(factored)
    idle = tau == 0
    inverse = (reflections.T @ reflections).triu(1)
    inverse[idle, :] = 0.0
    inverse[:, idle] = 0.0
    inverse.diagonal().copy_(torch.where(idle, 1.0, 1.0 / torch.where(idle, 1.0, tau)))
    identity = torch.eye(len(tau), dtype=torch.float64)
    factor = torch.linalg.solve_triangular(inverse, identity, upper=True)
    factor[:, idle] = 0.0
    return reflections, factor
