"""The heavy operations, on the CPU or a GPU, within a budget of memory.

Everything else is cheap beside a symmetric product over all features, an eigendecomposition and products with its vectors.
The CPU uses LAPACK through scipy, a GPU torch, both in double precision.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

from ..errors import StimulusKernelError

_logger = logging.getLogger(__name__)

BYTES = 8  # of a float64
SMALL_MATRIX = 1200
"""Rows up to which an eigendecomposition runs on one thread."""


@dataclass(frozen=True)
class Compute:
    """Where and how the heavy operations run.

    Attributes
    ----------
    device : str
        "cpu", or what torch calls a device.
    max_memory : int or None
        Bytes that matrices of a decomposition may take; None for what is fastest.
    exact : bool
        Ridge by eigenvectors alone and with the leave-one-out error of every penalty: slower, to check what is faster.
    """

    device: str = "cpu"
    max_memory: int | None = None
    exact: bool = False

    @classmethod
    def on(cls, device: str, max_memory: int | None = None, exact: bool = False) -> Compute:
        """The device asked for, or the CPU with one line that says so."""
        if device == "cuda":
            import torch

            if not torch.cuda.is_available():
                _logger.warning("There is no CUDA GPU here: computing on the CPU.")
                device = "cpu"
        return cls(device, max_memory, exact)

    def gram_accumulator(self, n: int):
        """Something with ``add(features)`` and ``result()`` that sums features @ features.T over blocks."""
        return _CpuGram(n) if self.device == "cpu" else _TorchGram(n, self.device)

    def eigh(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues, ascending, and eigenvectors of a symmetric Fortran-ordered matrix, which may be overwritten."""
        if self.device != "cpu":
            import torch

            values, vectors = torch.linalg.eigh(torch.from_numpy(matrix).to(self.device))
            return values.cpu().numpy(), vectors.cpu().numpy()
        # beside other load, threads that wait for each other in small problems cost up to a hundred times the work
        with threadpool_limits(1) if len(matrix) <= SMALL_MATRIX else nullcontext():
            return linalg.eigh(matrix, driver=self.eigh_driver(len(matrix)), overwrite_a=True, check_finite=False)

    def eigh_driver(self, n: int) -> str:
        """Divide and conquer (three matrices of n × n at once), or MRRR (two, slower) if memory is short.

        Raises
        ------
        StimulusKernelError
            Not even two fit.
        """
        needed = {"evd": 3 * n * n * BYTES, "evr": 2 * n * n * BYTES}
        if self.max_memory is None or needed["evd"] <= self.max_memory:
            return "evd"
        if needed["evr"] <= self.max_memory:
            return "evr"
        raise StimulusKernelError(
            f"The decomposition of {n + 1} training stimuli needs at least {needed['evr']:,} bytes; max_memory allows "
            f"{self.max_memory:,}. Raise it, or leave it out."
        )

    def matmul(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b for large float64 matrices."""
        if self.device == "cpu":
            return a @ b
        import torch

        # a transposed matrix travels as it lies in memory: a copy in the other order takes longer than the product
        product = torch.from_numpy(a).to(self.device) @ torch.from_numpy(b).to(self.device)
        return product.cpu().numpy()


class _CpuGram:
    """Accumulates on the CPU; a symmetric product costs half of a general one."""

    def __init__(self, n: int):
        self._gram = np.zeros((n, n), order="F")

    def add(self, features: np.ndarray) -> None:
        # features.T is a Fortran-ordered view; trans=1 makes dsyrk form features @ features.T from it without a copy
        self._gram = blas.dsyrk(1.0, features.T, beta=1.0, c=self._gram, trans=1, lower=1, overwrite_c=1)

    def result(self) -> np.ndarray:
        mirror_lower(self._gram)
        return self._gram


class _TorchGram:
    """Accumulates with torch."""

    def __init__(self, n: int, device: str):
        import torch

        self._torch, self._device = torch, device
        self._gram = torch.zeros((n, n), dtype=torch.float64, device=device)

    def add(self, features: np.ndarray) -> None:
        block = self._torch.from_numpy(features).to(self._device)
        self._gram.addmm_(block, block.T)

    def result(self) -> np.ndarray:
        gram = np.asfortranarray(self._gram.cpu().numpy())
        mirror_lower(gram)  # torch promises no exact symmetry
        return gram


def mirror_lower(matrix: np.ndarray, block: int = 1024) -> None:
    """Copy the lower triangle of a square matrix onto its upper one, in place and in blocks."""
    n = matrix.shape[0]
    for i in range(0, n, block):
        rows = slice(i, min(i + block, n))
        matrix[: rows.start, rows] = matrix[rows, : rows.start].T
        square = matrix[rows, rows]
        upper = np.triu_indices(square.shape[0], 1)
        square[upper] = square.T[upper]
