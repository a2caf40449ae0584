"""A symmetric matrix as Q B Qᵀ with B a band: all that ridge needs of an eigendecomposition, at a fraction of its time.

An eigendecomposition spends most of its time on the way from a matrix to a tridiagonal one, in products with single vectors
that wait for memory. Stopping at a band of some dozen diagonals turns all of them into products of matrices (Bischof,
Lang & Sun 2000, ACM TOMS 26, algorithm 807), and ridge asks for nothing that a band cannot give:

- (B + α)⁻¹ C by a Cholesky factorisation of the band, B + α = L Lᵀ;
- diag(Q (B + α)⁻¹ Qᵀ), the sums of squares of the columns of L⁻¹ Qᵀ.

Torch does the products, since its in-place ones work on a part of a matrix without copying it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

CHUNK = 512
"""Columns of the trailing matrix that are updated at once: only those on and below its diagonal."""

ROW_BLOCK = 256
"""Rows of Q whose weights are computed at once, for all penalties."""


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
            self._factor([-relative * largest])
        except torch.linalg.LinAlgError:
            return False
        return True

    def solve(self, right: np.ndarray, alpha: float) -> np.ndarray:
        """(B + α)⁻¹ C for C of shape (n, m), float64; B + α positive definite."""
        lower, below = self._factor([alpha])
        solution = torch.from_numpy(np.array(right, dtype=float, order="C"))
        parts = solution.split([len(block) for block in self.diagonal])
        for k, part in enumerate(parts):
            if k:
                part.addmm_(below[k - 1][0], parts[k - 1], alpha=-1)
            part.copy_(torch.linalg.solve_triangular(lower[k][0], part, upper=False))
        for k in reversed(range(len(parts))):
            if k + 1 < len(parts):
                parts[k].addmm_(below[k][0].T, parts[k + 1], alpha=-1)
            parts[k].copy_(torch.linalg.solve_triangular(lower[k][0].T, parts[k], upper=True))
        return solution.numpy()

    def weights(self, vectors: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        """diag(Q (B + α)⁻¹ Qᵀ) for rows Q of shape (m, n) and each α; shape (m, n_alphas)."""
        lower, below = self._factor(alphas)
        identity = [torch.eye(len(block), dtype=torch.float64) for block in self.diagonal]
        # products with inverses of blocks, where solving would take three times as long
        inverse = [
            torch.linalg.solve_triangular(c, i.expand_as(c), upper=False) for c, i in zip(lower, identity, strict=True)
        ]
        carried = [inverse[k + 1] @ block for k, block in enumerate(below)]
        sums = torch.zeros((len(alphas), len(vectors)), dtype=torch.float64)
        for start in range(0, len(vectors), ROW_BLOCK):
            rows = torch.from_numpy(vectors[start : start + ROW_BLOCK]).T
            part = None
            for k, right in enumerate(rows.split([len(block) for block in self.diagonal])):
                fresh = (inverse[k].reshape(-1, len(right)) @ right).reshape(len(alphas), len(right), -1)
                part = fresh if k == 0 else torch.baddbmm(fresh, carried[k - 1], part, alpha=-1)
                sums[:, start : start + ROW_BLOCK] += (part * part).sum(dim=1)
        return sums.T.numpy()

    def _factor(self, alphas) -> tuple[list, list]:
        """L of B + α for each α: its blocks on the diagonal and below, each of shape (n_alphas, rows, columns)."""
        shifts = torch.as_tensor(np.asarray(alphas, dtype=float))
        lower, below = [], []
        for k, block in enumerate(self.diagonal):
            shifted = block + shifts[:, None, None] * torch.eye(len(block), dtype=torch.float64)
            if k:
                shifted = shifted - below[-1] @ below[-1].mT
            lower.append(torch.linalg.cholesky(shifted))
            if k < len(self.below):
                right = self.below[k].T.expand(len(shifts), -1, -1)
                below.append(torch.linalg.solve_triangular(lower[-1], right, upper=False).mT)
        return lower, below


def reduce_to_band(matrix: np.ndarray, basis: np.ndarray, width: int) -> BandMatrix:
    """B and Q with ``matrix`` = Q B Qᵀ, by block Householder reflections.

    Parameters
    ----------
    matrix : numpy.ndarray of float64, shape (n, n)
        Symmetric, in Fortran order; only the lower triangle is read. Overwritten.
    basis : numpy.ndarray of float64, shape (n, n)
        Receives Q, orthonormal; rows or columns contiguous.
    width : int
        Rows of a block, and diagonals of the band below the main one.

    Returns
    -------
    BandMatrix

    Notes
    -----
    8/3 n³ operations in products of matrices. No memory beyond the two arrays but some columns.
    """
    n, trailing, factors = len(matrix), torch.from_numpy(matrix), []
    for first in range(width, n, width):
        panel, rest = trailing[first:, first - width : first], trailing[first:, first:]
        factored, tau = torch.geqrf(panel)
        panel.copy_(factored)  # R above, the reflections below
        reflections, factor = _compact(factored, tau)
        factors.append(factor)
        _apply_on_both_sides(rest, reflections, factor)
    starts = range(0, n, width)
    diagonal = [trailing[k : k + width, k : k + width].tril() for k in starts]
    diagonal = [block + block.tril(-1).T for block in diagonal]
    below = [trailing[k + width : k + 2 * width, k : k + width].triu() for k in starts[:-1]]
    vectors = torch.from_numpy(basis)
    vectors.zero_()
    vectors.fill_diagonal_(1.0)
    for first, factor in zip(reversed(starts[1:]), reversed(factors), strict=True):
        reflections = _reflections(trailing[first:, first - width : first])
        part = vectors[first:, first:]
        part.addmm_(reflections @ factor, reflections.T @ part, alpha=-1)
    return BandMatrix(diagonal, below)


def _reflections(factored: torch.Tensor) -> torch.Tensor:
    """V of the product of reflections I - V T Vᵀ that a QR factorisation leaves below the diagonal."""
    reflections = factored[:, : min(factored.shape)].tril(-1)
    reflections.fill_diagonal_(1.0)
    return reflections


def _compact(factored: torch.Tensor, tau: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """V and T of I - V T Vᵀ, with T⁻¹ the upper triangle of VᵀV and 1/τ on its diagonal (Puglisi 1992).

    A reflection that does nothing has τ = 0; leaving it out of V says the same.
    """
    reflections = _reflections(factored)
    idle = tau == 0
    reflections[:, idle] = 0.0
    inverse = (reflections.T @ reflections).triu(1)
    inverse.diagonal().copy_(torch.where(idle, 1.0, 1.0 / torch.where(idle, 1.0, tau)))
    identity = torch.eye(len(tau), dtype=torch.float64)
    factor = torch.linalg.solve_triangular(inverse, identity, upper=True)
    factor[:, idle] = 0.0
    return reflections, factor


def _apply_on_both_sides(matrix: torch.Tensor, reflections: torch.Tensor, factor: torch.Tensor) -> None:
    """A ← Pᵀ A P for P = I - V T Vᵀ, on the lower triangle of A.

    Pᵀ A P = A - V Wᵀ - W Vᵀ with Z = A V T and W = Z - V (Tᵀ Vᵀ Z) / 2.
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
