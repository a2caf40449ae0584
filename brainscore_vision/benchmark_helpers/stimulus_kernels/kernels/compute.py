"""The heavy operations, on the CPU or a GPU, within a budget of memory.

Everything else is cheap beside a symmetric product over all features, an eigendecomposition and products with its vectors.
The CPU uses LAPACK through scipy, a GPU torch, both in double precision. On a GPU, what is large stays there: features,
what is made of them for a kernel, eigenvectors. Sums, responses and the kernel itself travel.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import psutil
from scipy import linalg
from scipy.linalg import blas
from threadpoolctl import ThreadpoolController

from ..errors import StimulusKernelError
from ..parallel import spare_workers

_logger = logging.getLogger(__name__)

BYTES = 8  # of a float64
SMALL_MATRIX = 1200
"""Rows up to which an eigendecomposition runs on one thread."""


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """Found once: to find them takes longer than a small eigendecomposition."""
    return ThreadpoolController()


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

    @property
    def numerics(self) -> ModuleType:
        """The package whose functions take what :meth:`place` gives: numpy, or torch."""
        if self.device == "cpu":
            return np
        import torch

        return torch

    @property
    def beside(self) -> int:
        """Threads that compute what is known of one comparison while the next is made; one does both where memory is short."""
        return 1 if self.max_memory is not None else spare_workers()

    def place(self, values: np.ndarray):
        """Values where the operations run: an array, or a torch tensor of the same shape and type."""
        if self.device == "cpu":
            return host(values)
        import torch

        if isinstance(values, torch.Tensor):
            return values.to(self.device)
        if values.ndim == 2 and values.flags.f_contiguous:  # to turn a kernel around takes longer than to decompose it
            return torch.from_numpy(values.T).to(self.device).T
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def empty(self, shape: tuple[int, ...]):
        """Room for float64 values where the operations run."""
        if self.device == "cpu":
            return np.empty(shape)
        import torch

        return torch.empty(shape, dtype=torch.float64, device=self.device)

    def gram_accumulator(self, n: int):
        """Something with ``add(features)`` and ``result()`` that sums features @ features.T over blocks of what is placed."""
        return _CpuGram(n) if self.device == "cpu" else _TorchGram(n, self.device)

    def eigh(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On the CPU: eigenvalues, ascending, and eigenvectors of a symmetric Fortran-ordered matrix, which may go."""
        # beside other load, threads that wait for each other in small problems cost up to a hundred times the work
        with _thread_pools().limit(limits=1) if len(matrix) <= SMALL_MATRIX else nullcontext():
            return linalg.eigh(matrix, driver=self.eigh_driver(len(matrix)), overwrite_a=True, check_finite=False)

    def free_bytes(self) -> int:
        """Memory that is free on a GPU, what torch holds for later uses included."""
        import torch

        if torch.device(self.device).type != "cuda":
            return psutil.virtual_memory().available
        held = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + held

    @contextmanager
    def measuring(self) -> Iterator[PeakOnDevice]:
        """What a ``with`` block takes of a GPU's memory at most; known when it ends, 0 elsewhere."""
        peak, on_gpu = PeakOnDevice(), self.device != "cpu" and self.numerics.device(self.device).type == "cuda"
        if on_gpu:
            cuda = self.numerics.cuda
            before = cuda.memory_allocated(self.device)
            cuda.reset_peak_memory_stats(self.device)
        yield peak
        if on_gpu:
            peak.n_bytes = cuda.max_memory_allocated(self.device) - before

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


def device_name(device: str) -> str:
    """What "cpu" or "cuda" is here: "cpu", also where there is no GPU, or the GPU's own name."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def host(values) -> np.ndarray:
    """Values as an array; a tensor on a GPU is copied into memory that a GPU can write at full speed."""
    if isinstance(values, np.ndarray):
        return values
    import torch

    if values.device.type == "cpu":
        return values.numpy()
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values).numpy()


class PeakOnDevice:
    """Bytes of a GPU's memory."""

    n_bytes = 0


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

        self._gram = torch.zeros((n, n), dtype=torch.float64, device=device)

    def add(self, features) -> None:
        self._gram.addmm_(features, features.T)

    def result(self) -> np.ndarray:
        lower = self._gram.tril_()  # torch promises no exact symmetry
        return host(lower + lower.tril(-1).T).T


def mirror_lower(matrix: np.ndarray, block: int = 1024) -> None:
    """Copy the lower triangle of a square matrix onto its upper one, in place and in blocks."""
    n = matrix.shape[0]
    for i in range(0, n, block):
        rows = slice(i, min(i + block, n))
        matrix[: rows.start, rows] = matrix[rows, : rows.start].T
        square = matrix[rows, rows]
        upper = np.triu_indices(square.shape[0], 1)
        square[upper] = square.T[upper]
