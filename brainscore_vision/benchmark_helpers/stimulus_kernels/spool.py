"""Features on their way from the model to the kernel: written by stimulus, read by column.

A model answers a batch of stimuli at a time, the kernel wants all stimuli for a few features. The file is laid out by
blocks of ``COLUMN_BLOCK`` features, each (n_stimuli × COLUMN_BLOCK) and contiguous, so that both sides do large
sequential transfers and neither needs memory that grows with the layer's width.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np

from .errors import ModelOutputError, StorageError
from .kernel import COLUMN_BLOCK


class FeatureSpool:
    """Features of one layer for one part of a pool, on disk; a :class:`~.kernel.FeatureSource`.

    Parameters
    ----------
    path : pathlib.Path
        File to write; its folder exists.
    n_stimuli : int
    label : str
        Layer, for messages.

    Notes
    -----
    The width and dtype come from the first batch.
    """

    def __init__(self, path: Path, n_stimuli: int, label: str):
        self.path = Path(path)
        self.label = label
        self.n_stimuli = n_stimuli
        self.n_features = 0
        self.n_written = 0
        self.dtype: np.dtype | None = None
        self._descriptor: int | None = None

    @property
    def n_bytes(self) -> int:
        """Size of the finished file."""
        return 0 if self.dtype is None else self.n_stimuli * self.n_features * self.dtype.itemsize

    def append(self, features: np.ndarray) -> None:
        """Write the features of the next stimuli, shape (n_batch, n_features)."""
        if self._descriptor is None:
            self._create(features)
        if features.shape[1] != self.n_features or features.dtype != self.dtype:
            raise ModelOutputError(
                f"A layer has the same features for all stimuli; {self.label} gave {self.n_features} of type {self.dtype} "
                f"before and {features.shape[1]} of type {features.dtype} now. "
                f"Check for preprocessing that changes the image size from image to image."
            )
        if self.n_written + len(features) > self.n_stimuli:
            raise ModelOutputError(
                f"{self.label} answered for more stimuli ({self.n_written + len(features)}) than it was shown "
                f"({self.n_stimuli})."
            )
        for start in range(0, self.n_features, COLUMN_BLOCK):
            tile = np.ascontiguousarray(features[:, start : start + COLUMN_BLOCK])
            self._write(tile, self._offset(start, tile.shape[1], self.n_written))
        self.n_written += len(features)

    def read_columns(self, start: int, stop: int) -> np.ndarray:
        """Features ``start`` to ``stop`` of all stimuli; ``start`` on the boundary of a column block."""
        if self.n_written != self.n_stimuli:
            raise StorageError(f"{self.path} holds {self.n_written} of {self.n_stimuli} stimuli of {self.label}.")
        if start % COLUMN_BLOCK or stop != min(start + COLUMN_BLOCK, self.n_features):
            raise StorageError(f"A spool is read by blocks of {COLUMN_BLOCK} features; asked for {start} to {stop}.")
        columns = np.empty((self.n_stimuli, stop - start), dtype=self.dtype)
        buffer, position = memoryview(columns).cast("B"), self._offset(start, stop - start, 0)
        while len(buffer):
            count = os.preadv(self._descriptor, [buffer], position)
            if count == 0:
                raise StorageError(f"{self.path} ends early, at byte {position} of {self.n_bytes}. Score again.")
            buffer, position = buffer[count:], position + count
        return columns

    def close(self) -> None:
        """Remove the file; features are only kept until the kernels that need them are done."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self.path.unlink(missing_ok=True)

    def _create(self, features: np.ndarray) -> None:
        self.n_features, self.dtype = features.shape[1], features.dtype
        free = shutil.disk_usage(self.path.parent).free
        if self.n_bytes > free:
            raise self._full(free)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:  # reserve the space now: a disk that fills up later must not cost the forward passes done until then
            os.posix_fallocate(self._descriptor, 0, self.n_bytes)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._full(free) from error
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # file systems that cannot reserve
                raise

    def _write(self, tile: np.ndarray, position: int) -> None:
        buffer = memoryview(tile).cast("B")
        while len(buffer):
            try:
                count = os.pwrite(self._descriptor, buffer, position)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise self._full(shutil.disk_usage(self.path.parent).free) from error
                raise
            buffer, position = buffer[count:], position + count

    def _offset(self, start: int, width: int, row: int) -> int:
        return (self.n_stimuli * start + row * width) * self.dtype.itemsize

    def _full(self, free: int) -> StorageError:
        return StorageError(
            f"The features of {self.label} for {self.n_stimuli} stimuli need {self.n_bytes:,} bytes in {self.path.parent}, "
            f"where {free:,} are free. Free some, or choose another folder (--spool-directory)."
        )
