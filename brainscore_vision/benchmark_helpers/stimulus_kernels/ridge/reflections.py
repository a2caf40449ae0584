"""Products of block Householder reflections, kept as such: Q of a band reduction without the matrix.

A reflection of a block is I - V T Vᵀ (Schreiber & Van Loan 1989, SIAM J. Sci. Stat. Comput. 10). Applying Q in this form
costs what a product with its matrix costs; the matrix itself costs 4/3 n³ operations more, and is made when it is needed.

Torch does the products, since its in-place ones work on a part of a matrix without copying it.
"""

from __future__ import annotations

import numpy as np
import torch


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
