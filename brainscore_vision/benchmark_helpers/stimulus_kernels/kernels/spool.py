"""Features on their way from the model to the kernel: written by stimulus, read by column; on disk, or on the GPU.

A model answers a batch of stimuli at a time, the kernel wants all stimuli for a few features. The file is laid out by
blocks of ``COLUMN_BLOCK`` features, each (n_stimuli × COLUMN_BLOCK) and contiguous, so that both sides do large
sequential transfers and neither needs memory that grows with the layer's width.

The file is plain bytes with a journal beside it, and not HDF5 as a kernel is: a process may be killed at any moment, which
HDF5's own tables of contents do not survive. Where features stay on the GPU, nothing of them is on disk: a run that is killed
records them again.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ModelOutputError, StorageError
from ..features.probe import Probe
from ..files import NO_ROOM, share
from .compute import BYTES, Compute, host
from .kernel import COLUMN_BLOCK

_logger = logging.getLogger(__name__)

GPU_ROOM = 2 * 2**30
"""Bytes that a GPU keeps free for what is not counted below."""

LATER_MATRICES = 6
"""Matrices of stimuli × stimuli that a kernel, a decomposition and products with it take at most at once."""


class FeatureSpool:
    """Features of one layer for one part of a pool, on disk; a :class:`~.kernel.FeatureSource`.

    Parameters
    ----------
    path : pathlib.Path
        File to write; its folder exists. A journal is kept beside it.
    n_stimuli : int
    label : str
        Layer, for messages.
    probe : Probe, optional
        Fingerprint of the model. It is kept in the journal, and :meth:`resume` takes up the features of the same model alone.

    Notes
    -----
    The width and dtype come from the first batch. After each batch the journal gets a line with the batch's size and
    checksum: a later run that finds the file resumes after the last batch whose checksum is right.
    """

    def __init__(self, path: Path, n_stimuli: int, label: str, probe: Probe | None = None):
        self.path = Path(path)
        self.label = label
        self.n_stimuli = n_stimuli
        self.n_features = 0
        self.dtype: np.dtype | None = None
        self._probe = probe
        self._batches: list[dict] = []
        self._file: io.FileIO | None = None

    @property
    def journal(self) -> Path:
        return journal_of(self.path)

    @property
    def n_written(self) -> int:
        """Stimuli whose features are on disk."""
        return sum(batch["rows"] for batch in self._batches)

    @property
    def complete(self) -> bool:
        return self.n_written == self.n_stimuli

    @property
    def n_bytes(self) -> int:
        """Size of the finished file."""
        return 0 if self.dtype is None else self.n_stimuli * self.n_features * self.dtype.itemsize

    def resume(self) -> None:
        """Take up what an interrupted run of the same model left, as far as it is whole."""
        header, batches = read_journal(self.journal)
        if self._probe is None or header is None or "probe" not in header:
            return
        if header["n_stimuli"] != self.n_stimuli or not self.path.exists():
            return
        if not self._probe.agrees(Probe.from_json(header["probe"])):
            _logger.warning(
                "The features of %s that an interrupted run left are of another model. They are recorded again.",
                self.label,
            )
            return
        self.n_features, self.dtype = header["n_features"], np.dtype(header["dtype"])
        try:
            self._file = io.FileIO(self.path, "r+")
        except PermissionError:  # a colleague's
            return
        for batch in batches:
            if self.n_written + batch["rows"] > self.n_stimuli:
                break
            if self._checksum_on_disk(batch["rows"]) != batch["checksum"]:
                break
            self._batches.append(batch)
        if self._batches:
            self._write_journal()
        else:
            self.close()

    def rewind(self, n_stimuli: int) -> None:
        """Forget what comes after ``n_stimuli``, at the end of a batch before it."""
        while self.n_written > n_stimuli:
            self._batches.pop()
        if self._file is not None:
            self._write_journal()

    def append(self, features) -> None:
        """Write the features of the next stimuli, shape (n_batch, n_features), an array or a tensor."""
        features = host(features)
        if self._file is None:
            self._create(features)
        if features.shape[1] != self.n_features or features.dtype != self.dtype:
            raise ModelOutputError(
                f"A layer has the same features for all stimuli; {self.label} gave {self.n_features} of type {self.dtype} "
                f"before and {features.shape[1]} of type {features.dtype} now. "
                f"Check for preprocessing that changes the image size from image to image."
            )
        row = self.n_written
        if row + len(features) > self.n_stimuli:
            raise ModelOutputError(
                f"{self.label} answered for more stimuli ({row + len(features)}) than it was shown ({self.n_stimuli})."
            )
        checksum = 0
        for start in range(0, self.n_features, COLUMN_BLOCK):
            tile = np.ascontiguousarray(features[:, start : start + COLUMN_BLOCK])
            checksum = zlib.crc32(tile, checksum)
            self._write(tile, self._offset(start, tile.shape[1], row))
        self._batches.append({"rows": len(features), "checksum": checksum})
        with self._room(), open(self.journal, "a") as journal:
            journal.write(json.dumps(self._batches[-1]) + "\n")

    def read_columns(self, start: int, stop: int) -> np.ndarray:
        """Features ``start`` to ``stop`` of all stimuli; ``start`` on the boundary of a column block."""
        if not self.complete:
            raise StorageError(f"{self.path} holds {self.n_written} of {self.n_stimuli} stimuli of {self.label}.")
        if start % COLUMN_BLOCK or stop != min(start + COLUMN_BLOCK, self.n_features):
            raise StorageError(f"A spool is read by blocks of {COLUMN_BLOCK} features; asked for {start} to {stop}.")
        columns = np.empty((self.n_stimuli, stop - start), dtype=self.dtype)
        self._read(columns, self._offset(start, stop - start, 0))
        return columns

    def close(self) -> None:
        """Let go of the file; it stays for a later run."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file; features are only kept until the kernels that need them are done."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def _create(self, features: np.ndarray) -> None:
        self.n_features, self.dtype = features.shape[1], features.dtype
        free = shutil.disk_usage(self.path.parent).free
        if self.n_bytes > free:
            raise self._full(free)
        self.path.unlink(missing_ok=True)  # it may be a colleague's
        self._file = io.FileIO(self.path, "x+")
        share(self._file.fileno(), self.path.parent)
        if hasattr(os, "posix_fallocate"):  # macOS has none
            try:  # reserve the space now: a disk that fills up later must not cost the forward passes done until then
                with self._room():
                    os.posix_fallocate(self._file.fileno(), 0, self.n_bytes)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # file systems that cannot reserve
                    raise
        self._write_journal()

    def _write_journal(self) -> None:
        header = {"n_stimuli": self.n_stimuli, "n_features": self.n_features, "dtype": self.dtype.str}
        if self._probe is not None:
            header["probe"] = self._probe.as_json()
        scratch = self.journal.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        with self._room():
            scratch.write_text("".join(json.dumps(line) + "\n" for line in (header, *self._batches)))
        os.replace(scratch, self.journal)

    def _checksum_on_disk(self, n_rows: int) -> int | None:
        row, checksum = self.n_written, 0
        for start in range(0, self.n_features, COLUMN_BLOCK):
            tile = np.empty((n_rows, min(COLUMN_BLOCK, self.n_features - start)), dtype=self.dtype)
            try:
                self._read(tile, self._offset(start, tile.shape[1], row))
            except StorageError:
                return None
            checksum = zlib.crc32(tile, checksum)
        return checksum

    def _read(self, array: np.ndarray, position: int) -> None:
        buffer = memoryview(array).cast("B")
        self._file.seek(position)
        while len(buffer):
            count = self._file.readinto(buffer)
            if count == 0:
                raise StorageError(
                    f"{self.path} ends early, at byte {self._file.tell()} of {self.n_bytes}. Score again."
                )
            buffer = buffer[count:]

    def _write(self, tile: np.ndarray, position: int) -> None:
        buffer = memoryview(tile).cast("B")
        self._file.seek(position)
        with self._room():
            while len(buffer):
                buffer = buffer[self._file.write(buffer) :]

    def _offset(self, start: int, width: int, row: int) -> int:
        return (self.n_stimuli * start + row * width) * self.dtype.itemsize

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """Say in words that a disk is full."""
        try:
            yield
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self._full(shutil.disk_usage(self.path.parent).free) from error
            raise

    def _full(self, free: int) -> StorageError:
        return StorageError(
            f"The features of {self.label} for {self.n_stimuli} stimuli need {self.n_bytes:,} bytes in {self.path.parent}, "
            f"where {free:,} are free. Free some, or choose another folder (--spool-directory)."
        )


def journal_of(path: Path) -> Path:
    """Journal of a file of features."""
    return path.with_suffix(".journal")


def read_journal(path: Path) -> tuple[dict | None, list[dict]]:
    """Header and batches of a journal, up to its last whole line; None for the header if there is none."""
    lines = []
    try:
        for line in path.read_text(errors="replace").splitlines():
            lines.append(json.loads(line))
    except (OSError, ValueError):  # no journal, or one that ends in the middle of a line: the rest was never finished
        pass
    return (lines[0], lines[1:]) if lines else (None, [])


def is_complete(path: Path) -> bool:
    """Whether the journal beside a file of features says that all stimuli are in it."""
    header, batches = read_journal(journal_of(path))
    return header is not None and sum(batch["rows"] for batch in batches) >= header["n_stimuli"]


@dataclass(frozen=True)
class DeviceRoom:
    """What features on a GPU must leave free.

    Attributes
    ----------
    compute : Compute
    n_stimuli : int
        Of the largest kernel that will be made of them.
    batch_bytes : int
        What the network takes to answer to a batch, on top of its weights.
    """

    compute: Compute
    n_stimuli: int
    batch_bytes: int

    def fits(self, n_bytes: int) -> bool:
        """Whether features of so many bytes leave enough."""
        later = LATER_MATRICES * self.n_stimuli**2 + 4 * self.n_stimuli * COLUMN_BLOCK
        return n_bytes + later * BYTES + self.batch_bytes + GPU_ROOM <= self.compute.free_bytes()


class DeviceFeatures:
    """Features of one layer for one part of a pool, on a GPU; a :class:`~.kernel.FeatureSource`.

    Parameters
    ----------
    n_stimuli, n_features : int
    label : str
        Layer, for messages.
    compute : Compute
        On the GPU.
    """

    def __init__(self, n_stimuli: int, n_features: int, label: str, compute: Compute):
        self.n_stimuli, self.n_features, self.label, self.n_written = n_stimuli, n_features, label, 0
        self._torch, self._device = compute.numerics, compute.device
        self._values = self._room(self._torch.float32)

    def _room(self, dtype):
        return self._torch.empty((self.n_stimuli, self.n_features), dtype=dtype, device=self._device)

    @property
    def complete(self) -> bool:
        return self.n_written == self.n_stimuli

    def append(self, features) -> None:
        """Keep the features of the next stimuli, shape (n_batch, n_features), an array or a tensor."""
        if isinstance(features, np.ndarray):
            features = self._torch.from_numpy(features)
        if self.n_written == 0 and features.dtype != self._values.dtype:
            self._values = None  # before the room for another type is taken
            self._values = self._room(features.dtype)
        if features.shape[1] != self.n_features or features.dtype != self._values.dtype:
            raise ModelOutputError(
                f"A layer has the same features for all stimuli; {self.label} gave {self.n_features} of type "
                f"{self._values.dtype} before and {features.shape[1]} of type {features.dtype} now. "
                f"Check for preprocessing that changes the image size from image to image."
            )
        stop = self.n_written + len(features)
        if stop > self.n_stimuli:
            raise ModelOutputError(
                f"{self.label} answered for more stimuli ({stop}) than it was shown ({self.n_stimuli})."
            )
        self._values[self.n_written : stop] = features
        self.n_written = stop

    def rewind(self, n_stimuli: int) -> None:
        """Forget what comes after ``n_stimuli``."""
        self.n_written = min(self.n_written, n_stimuli)

    def read_columns(self, start: int, stop: int):
        """Features ``start`` to ``stop`` of all stimuli, a tensor of shape (n_stimuli, stop - start)."""
        if not self.complete:
            raise StorageError(f"{self.n_written} of {self.n_stimuli} stimuli of {self.label} were recorded.")
        return self._values[:, start:stop]

    def close(self) -> None:
        """Let go of the memory."""
        self._values = None

    remove = close
