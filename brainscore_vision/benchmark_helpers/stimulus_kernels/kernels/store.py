"""Kernels on disk: found again by what they depend on, written whole or not at all, checked when read."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StimulusKernelError, StorageError
from ..features.probe import Probe
from .compute import mirror_lower
from .kernel import StimulusKernel

MAGIC = b"stimulus-kernel-1\n"
HASH_BYTES = 32
WRITING = ".writing-"
"""Files that are being written begin so, followed by their owner."""

COLUMNS_PER_STEP = 256

_logger = logging.getLogger(__name__)


class DamagedKernelError(StimulusKernelError):
    """A stored kernel is not what was written."""


@dataclass(frozen=True)
class StoredKernel:
    """What a kernel's file says of itself.

    Attributes
    ----------
    key : str
    model, label, pool : str
    n_stimuli, n_features, n_bytes : int
    created : str
        ISO date and time.
    """

    key: str
    model: str
    label: str
    pool: str
    n_stimuli: int
    n_features: int
    n_bytes: int
    created: str


class KernelStore:
    """A folder of kernels.

    Parameters
    ----------
    directory : pathlib.Path
        Made when first written to.

    Notes
    -----
    A file is: a magic line; the length of the header (8 bytes); the header (JSON: description, stimulus ids, array
    shapes) and a BLAKE2b checksum of all until there; the arrays and a checksum of everything. Of K, one triangle is kept.
    Writers write a temporary file, flush it to the disk and rename it, so a file under its final name is complete.
    """

    def __init__(self, directory: Path):
        self.directory = Path(directory)

    def path(self, key: str) -> Path:
        return self.directory / f"{key}.kernel"

    def has(self, key: str) -> bool:
        """Whether a file of that name exists; reading it may still find it damaged."""
        return self.path(key).exists()

    def check_room(self, sizes: list[int]) -> None:
        """Raise before long work if kernels of so many stimuli cannot be written."""
        needed = sum(n * (n + 1) // 2 * 8 for n in sizes)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except OSError as error:
            raise StorageError(
                f"Kernels are kept in {self.directory}, which cannot be written ({error.strerror}). "
                f"Choose another folder (--store-directory) or keep none (--no-store)."
            ) from error
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise self._full(needed, free)

    def load(self, key: str) -> tuple[StimulusKernel, Probe] | None:
        """The kernel of ``key`` with the model's fingerprint; None if there is none, or a damaged one (which is removed)."""
        try:
            return self._read(self.path(key))
        except FileNotFoundError:
            return None
        except DamagedKernelError as error:
            _logger.warning("%s It is removed and computed again.", error)
            self.remove(key)
            return None

    def save(self, key: str, kernel: StimulusKernel, probe: Probe, description: dict, owner: str = "") -> None:
        """Write a kernel; ``description`` holds model, label and pool for people, ``owner`` names who may :meth:`sweep`."""
        n = len(kernel.stimulus_ids)
        header = json.dumps(
            {
                **description,
                "key": key,
                "stimulus_ids": [str(s) for s in kernel.stimulus_ids],
                "n_features": kernel.n_features,
                "mean_spread": kernel.mean_spread.hex(),
                "mean_norm": kernel.mean_norm.hex(),
                "sketch": 0 if kernel.sketch is None else kernel.sketch.shape[1],
                "probe": list(probe.sample.shape),
                "probe_n_features": probe.n_features,
            }
        ).encode()
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=self.directory, prefix=f"{WRITING}{owner}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                checksum = hashlib.blake2b(digest_size=HASH_BYTES)
                start = MAGIC + len(header).to_bytes(8, "little") + header
                for chunk in (start, _checksum(start), *_arrays(kernel, probe)):
                    checksum.update(chunk)
                    file.write(chunk)
                file.write(checksum.digest())
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, self.path(key))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._full(n * (n + 1) // 2 * 8, shutil.disk_usage(self.directory).free) from error
            raise
        finally:
            Path(scratch).unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def sweep(self, owner: str | None = None) -> None:
        """Remove what killed writers left, of one owner or of all. Call it while they do not write."""
        for scratch in self.directory.glob(f"{WRITING}*" if owner is None else f"{WRITING}{owner}-*"):
            scratch.unlink(missing_ok=True)

    def entries(self) -> Iterator[StoredKernel]:
        """What is stored, from the files' headers; files that are none are reported as damaged by :meth:`verify`."""
        for path in sorted(self.directory.glob("*.kernel")):
            try:
                with open(path, "rb") as file:
                    header = _read_header(file, path)
            except DamagedKernelError as error:
                _logger.warning("%s", error)
                continue
            yield StoredKernel(
                key=header["key"],
                model=header["model"],
                label=header["label"],
                pool=header["pool"],
                n_stimuli=len(header["stimulus_ids"]),
                n_features=header["n_features"],
                n_bytes=path.stat().st_size,
                created=header["created"],
            )

    def verify(self) -> Iterator[tuple[Path, str | None]]:
        """Read every file whole; yields its path and what is wrong with it, or None."""
        for path in sorted(self.directory.glob("*.kernel")):
            try:
                self._read(path)
            except DamagedKernelError as error:
                yield path, str(error)
            else:
                yield path, None

    def _read(self, path: Path) -> tuple[StimulusKernel, Probe]:
        with open(path, "rb") as file:
            checksum = hashlib.blake2b(digest_size=HASH_BYTES)
            header = _read_header(file, path, checksum)
            n = len(header["stimulus_ids"])
            read = _ArrayReader(file, path, checksum)
            gram = np.empty((n, n), order="F")
            for first in range(0, n, COLUMNS_PER_STEP):
                columns = range(first, min(first + COLUMNS_PER_STEP, n))
                packed, start = read(sum(n - i for i in columns)), 0
                for i in columns:
                    gram[i:, i] = packed[start : start + n - i]
                    start += n - i
            mirror_lower(gram)
            row_mean, row_dot_mean = read(n), read(n)
            columns = header.get("sketch", 0)
            sketch = read(n * columns).reshape(n, columns) if columns else None
            k, width = header["probe"]
            sample, mean, norm = read(k * width).reshape(k, width), read(k), read(k)
            if file.read() != checksum.digest():
                raise DamagedKernelError(f"{path} does not match its checksum.")
        mean_spread = float.fromhex(header["mean_spread"])
        kernel = StimulusKernel(
            stimulus_ids=np.asarray(header["stimulus_ids"]),
            gram=gram,
            n_features=header["n_features"],
            row_mean=row_mean,
            row_dot_mean=row_dot_mean,
            mean_spread=mean_spread,
            # kernels that were kept before there were these: the mean of all features is taken for 0
            mean_norm=float.fromhex(header["mean_norm"]) if "mean_norm" in header else mean_spread**0.5,
            sketch=sketch,
        )
        return kernel, Probe(sample, mean, norm, header["probe_n_features"])

    def _full(self, needed: int, free: int) -> StorageError:
        return StorageError(
            f"Kernels need {needed:,} bytes in {self.directory}, where {free:,} are free. Free some (cache "
            f"clear), choose another folder (--store-directory), or keep none (--no-store)."
        )


def _arrays(kernel: StimulusKernel, probe: Probe) -> Iterator[memoryview]:
    n = len(kernel.stimulus_ids)
    for first in range(0, n, COLUMNS_PER_STEP):
        columns = range(first, min(first + COLUMNS_PER_STEP, n))
        yield memoryview(np.concatenate([kernel.gram[i:, i] for i in columns])).cast("B")
    sketch = () if kernel.sketch is None else (kernel.sketch,)
    for array in (kernel.row_mean, kernel.row_dot_mean, *sketch, probe.sample, probe.mean, probe.norm):
        yield memoryview(np.ascontiguousarray(array, dtype=float).ravel()).cast("B")


def _read_header(file, path: Path, checksum=None) -> dict:
    start = file.read(len(MAGIC) + 8)
    if len(start) < len(MAGIC) + 8 or start[: len(MAGIC)] != MAGIC:
        raise DamagedKernelError(f"{path} is not a whole kernel file of this version.")
    length = int.from_bytes(start[len(MAGIC) :], "little")
    if length > path.stat().st_size:
        raise DamagedKernelError(f"{path} is shorter than its header says.")
    text, sealed = file.read(length), file.read(HASH_BYTES)
    if sealed != _checksum(start + text):
        raise DamagedKernelError(f"{path} has a header that does not match its checksum.")
    if checksum is not None:
        checksum.update(start + text + sealed)
    return json.loads(text)


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


class _ArrayReader:
    """Reads float64 arrays of known length, adding them to a checksum."""

    def __init__(self, file, path: Path, checksum):
        self._file, self._path, self._checksum = file, path, checksum

    def __call__(self, count: int) -> np.ndarray:
        array = np.empty(count)
        buffer = memoryview(array).cast("B")
        if self._file.readinto(buffer) != len(buffer):
            raise DamagedKernelError(f"{self._path} is shorter than its header says.")
        self._checksum.update(buffer)
        return array
