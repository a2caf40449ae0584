"""Kernels on disk: found again by everything that changes one, written whole or not at all, checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from pathlib import Path

import h5py
import numpy as np

from ..errors import StimulusKernelError, StorageError
from ..features.lookup import LookupModel
from ..features.network import find_plugin
from ..features.probe import Probe
from ..files import NO_ROOM, cannot_write, read_hdf5, remove_abandoned, replacing
from ..pool import StimulusPart, StimulusPool
from ..wording import warn_once
from .compute import mirror_lower
from .kernel import StimulusKernel

ENGINE_VERSION = 2
"""Increased when kernels of the same model and stimuli come out differently."""

DESCRIPTIONS = ("metadata.yaml", "metadata.yml")
"""Files of a plugin that say what a model is, and cannot change what it answers."""

WRITING = ".writing-"
"""Files that are being written begin so."""

VERSION = 2
EARLIER_FORMAT = b"stimulus-kernel-1\n"
"""How files of version 1 begin; they were no HDF5."""

COLUMNS_PER_STEP = 256
FORMAT = "v110"
"""From this version of HDF5 on, its own tables have checksums."""

VECTORS = ("stimulus_ids", "row_mean", "row_dot_mean", "sketch", "probe_sample", "probe_mean", "probe_norm")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelIdentity:
    """A model as a kernel's key knows it.

    Attributes
    ----------
    identifier : str
    revision : str or None
        Hash of the plugin's files for registered models. Others have none: their identifier may lie, which the
        fingerprint of their features finds out (see :mod:`..features.probe`).
    visual_degrees : float
    features_version : str or None
        Of a model that looks its features up (:mod:`..features.lookup`): stands for the contents of images, which such a
        model never sees.
    """

    identifier: str
    revision: str | None
    visual_degrees: float
    features_version: str | None = None

    @classmethod
    def of(cls, model) -> ModelIdentity:
        degrees = model.visual_degrees()
        if not isinstance(degrees, Real) or not 0 < degrees < 360:
            raise StimulusKernelError(
                f"A model's field of view is a positive number of degrees below 360; {model.identifier} says {degrees!r}. "
                f"Set visual_degrees when committing the model."
            )
        version = str(model.features_version) if isinstance(model, LookupModel) else None
        return cls(str(model.identifier), plugin_revision(model.identifier), float(degrees), version)

    @property
    def key(self) -> str:
        described = {"model": self.identifier, "revision": self.revision, "degrees": self.visual_degrees}
        return digest(described if self.features_version is None else {**described, "features": self.features_version})


def features_key(model: ModelIdentity, label: str, part: StimulusPart, pool: StimulusPool) -> str:
    """Key of the features of one part of a pool."""
    return digest(_description(model, label, pool, content_hashes(model, pool, part.stimulus_ids)))


def kernel_key(model: ModelIdentity, label: str, pool: StimulusPool, hashes: Mapping[str, str | None]) -> str:
    """Key of a kernel: model and revision, layers, stimulus contents, visual degrees, dtype, engine version."""
    return digest({**_description(model, label, pool, hashes), "kernel_dtype": "float64"})


def content_hashes(model: ModelIdentity, pool: StimulusPool, stimulus_ids: Sequence[str]) -> Mapping[str, str | None]:
    """Stimulus id to the hash of what is shown, as far as the model looks at it; finds every image."""
    if model.features_version is not None:  # features that are looked up
        return dict.fromkeys(stimulus_ids)
    hashes = pool.content_hashes(stimulus_ids)
    return {stimulus_id: hashes[stimulus_id] for stimulus_id in stimulus_ids}


def plugin_revision(identifier: str) -> str | None:
    """Hash of the files of the plugin that registers a model, but for those that only describe it; None if none does."""
    try:
        importer = find_plugin(identifier)
    except AssertionError:  # how Brain-Score says that there is no registration
        return None
    return _folder_digest(importer.plugins_dir / importer.plugin_dirname)


def digest(description) -> str:
    """Short hash of something that JSON can hold."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:32]


def _description(model: ModelIdentity, label: str, pool: StimulusPool, hashes: Mapping[str, str | None]) -> dict:
    return {
        "engine": ENGINE_VERSION,
        "model": model.key,
        "layers": label,
        "stimuli": [[stimulus_id, content] for stimulus_id, content in hashes.items()],
        "source_degrees": pool.visual_degrees,
    }


@lru_cache(maxsize=64)
def _folder_digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        if path.name in DESCRIPTIONS or path.suffix == ".md":
            continue
        content.update(str(path.relative_to(folder)).encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


class UnusableKernelError(StimulusKernelError):
    """A stored kernel is not what was written, or cannot be read by this user."""


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
    A kernel is an HDF5 file: descriptions are attributes of the file, arrays are datasets. Of K, the columns of the lower
    triangle are kept, one after the other, in ``gram``. The attribute ``blake2b`` is a checksum of everything else: HDF5's
    own (fletcher32) takes a block of zeros for whole. Writing and reading take as long as plain bytes of the same length
    and checksum, within a tenth.

    Writers write a temporary file, flush it to the disk and rename it, so a file under its final name is complete and never
    changes: HDF5's own locks, which some file systems lack, are not used.
    """

    def __init__(self, directory: Path):
        self.directory = Path(directory)

    def path(self, key: str) -> Path:
        return self.directory / f"{key}.kernel"

    def has(self, key: str) -> bool:
        """Whether there is a file of that name that this user may read; reading it may still find it damaged."""
        path = self.path(key)
        if os.access(path, os.R_OK):
            return True
        if os.path.lexists(path):
            warn_once(f"{path} cannot be read by this user. It is computed again.")
        return False

    def check_room(self, sizes: list[int]) -> None:
        """Raise before long work if kernels of so many stimuli cannot be written."""
        needed = sum(n * (n + 1) // 2 * 8 for n in sizes)
        if error := cannot_write(self.directory):
            raise StorageError(
                f"Kernels are kept in {self.directory}, which cannot be written ({error.strerror}). Choose another folder "
                f"(--store-directory, or the environment variable BRAINSCORE_HOME) or keep none (score --no-store)."
            ) from error
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise self._full(needed, free)

    def load(self, key: str) -> tuple[StimulusKernel, Probe] | None:
        """The kernel of ``key`` with the model's fingerprint; None if there is none, or none that can be used."""
        try:
            return self._read(self.path(key), key)
        except FileNotFoundError:
            return None
        except UnusableKernelError as error:
            warn_once(f"{error} It is computed again.")
            return None

    def notes(self, key: str) -> list[str]:
        """What Scores on a stored kernel should say of it."""
        with _opened(self.path(key)) as file:
            return json.loads(_attributes(file).get("notes", "[]"))

    def probe_stimuli(self, key: str) -> list[str] | None:
        """Stimuli of a stored kernel's fingerprint; None of kernels of earlier versions."""
        with _opened(self.path(key)) as file:
            return json.loads(_attributes(file).get("probe_stimuli", "null"))

    def save(self, key: str, kernel: StimulusKernel, probe: Probe, description: dict) -> bool:
        """Write a kernel, and say whether it is there now: what it was made for is not lost where it cannot be kept.

        ``description`` holds model, label, pool and created, for people, and lists of :meth:`notes` and :meth:`probe_stimuli`.
        """
        n = len(kernel.stimulus_ids)
        described = {
            **description,
            "notes": json.dumps(description.get("notes", [])),
            "probe_stimuli": json.dumps(description.get("probe_stimuli")),
            "key": key,
            "n_features": int(kernel.n_features),
            "mean_spread": float(kernel.mean_spread),
            "mean_norm": float(kernel.mean_norm),
            "probe_n_features": int(probe.n_features),
            "network": probe.network or "",
            "preprocessing": probe.preprocessing or "",
            "structure": probe.structure or "",
            "version": VERSION,
        }
        arrays = {
            "stimulus_ids": np.char.encode(kernel.stimulus_ids.astype(str), "utf-8"),
            "row_mean": kernel.row_mean,
            "row_dot_mean": kernel.row_dot_mean,
            "sketch": np.empty((n, 0)) if kernel.sketch is None else kernel.sketch,
            "probe_sample": probe.sample,
            "probe_mean": probe.mean,
            "probe_norm": probe.norm,
        }
        checksum = _Checksum(described, arrays)
        # in memory first: where a disk is full, h5py leaves files that end the process when it closes them
        content = io.BytesIO()
        with h5py.File(content, "w", libver=FORMAT) as file:
            for name in VECTORS:
                file[name] = arrays[name]
            gram, start = file.create_dataset("gram", (n * (n + 1) // 2,), "f8"), 0
            for columns in _steps(n):
                packed = np.concatenate([kernel.gram[i:, i] for i in columns])
                checksum.update(packed)
                gram[start : start + len(packed)] = packed
                start += len(packed)
            file.attrs.update({**described, "blake2b": checksum.hexdigest()})
        try:
            with replacing(self.path(key), WRITING) as scratch:
                scratch.write_bytes(content.getbuffer())
        except OSError as error:
            if error.errno not in NO_ROOM and not isinstance(error, PermissionError):
                raise
            _logger.warning(
                "The kernel %s is not kept (%s). Choose another folder (--store-directory), or free some room (cache clear).",
                self.path(key),
                error.strerror,
            )
            return False
        return True

    def receive(self, key: str, write) -> None:
        """Keep a kernel that ``write(path)`` copies from elsewhere, if it is whole and the one of that key.

        Raises
        ------
        UnusableKernelError
            It is not: nothing is kept.
        """
        with replacing(self.path(key), WRITING) as scratch:
            write(scratch)
            self._read(scratch, key)

    def state(self, key: str) -> tuple | None:
        """What changes when a kernel is written again; None if there is no file."""
        try:
            stat = self.path(key).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def remove(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed writers left."""
        remove_abandoned(self.directory, WRITING)

    def entries(self) -> Iterator[StoredKernel | str]:
        """What is stored, as the files say; or what is wrong with a file."""
        for path in self._paths():
            try:
                with _opened(path) as file:
                    described = _attributes(file)
                    yield StoredKernel(
                        **{name: described[name] for name in ("key", "model", "label", "pool", "created")},
                        n_stimuli=len(file["stimulus_ids"]),
                        n_features=described["n_features"],
                        n_bytes=path.stat().st_size,
                    )
            except UnusableKernelError as error:
                yield str(error)
            except DAMAGE as error:
                yield f"{path} is damaged ({error})."

    def verify(self) -> Iterator[tuple[Path, str | None]]:
        """Read every file whole; yields its path and what is wrong with it, or None."""
        for path in self._paths():
            try:
                self._read(path, path.stem)
            except UnusableKernelError as error:
                yield path, str(error)
            except FileNotFoundError:  # removed meanwhile
                continue
            else:
                yield path, None

    def _paths(self) -> list[Path]:
        if self.directory.exists() and not os.access(self.directory, os.R_OK | os.X_OK):
            raise StorageError(
                f"{self.directory} cannot be read by this user. Ask its owner, or choose another folder (--store-directory)."
            )
        return sorted(self.directory.glob("*.kernel"))

    def _read(self, path: Path, key: str) -> tuple[StimulusKernel, Probe]:
        with _opened(path) as file:
            try:
                described = _attributes(file)
                arrays = {name: file[name][()] for name in VECTORS}
                written = described.pop("blake2b")
                checksum = _Checksum(described, arrays)
                gram = _read_gram(file["gram"], len(arrays["stimulus_ids"]), checksum)
            except DAMAGE as error:
                raise UnusableKernelError(f"{path} is damaged ({error}).") from error
        if checksum.hexdigest() != written:
            raise UnusableKernelError(f"{path} does not match its checksum.")
        if described["key"] != key:
            raise UnusableKernelError(f"{path} holds another kernel, {described['key']}.")
        mirror_lower(gram)
        kernel = StimulusKernel(
            stimulus_ids=np.char.decode(arrays["stimulus_ids"], "utf-8"),
            gram=gram,
            n_features=described["n_features"],
            row_mean=arrays["row_mean"],
            row_dot_mean=arrays["row_dot_mean"],
            mean_spread=described["mean_spread"],
            mean_norm=described["mean_norm"],
            sketch=arrays["sketch"] if arrays["sketch"].size else None,
        )
        probe = Probe(
            sample=arrays["probe_sample"],
            mean=arrays["probe_mean"],
            norm=arrays["probe_norm"],
            n_features=described["probe_n_features"],
            network=described.get("network") or None,
            preprocessing=described.get("preprocessing") or None,
            structure=described.get("structure") or None,
        )
        return kernel, probe

    def _full(self, needed: int, free: int) -> StorageError:
        return StorageError(
            f"Kernels need {needed:,} bytes in {self.directory}, where {free:,} are free. Free some (cache "
            f"clear), choose another folder (--store-directory), or keep none (score --no-store)."
        )


DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)
"""What h5py raises for files whose insides are broken."""


class _Checksum:
    """BLAKE2b over descriptions and arrays, with their names, types and shapes."""

    def __init__(self, described: dict, arrays: dict[str, np.ndarray]):
        self._hash = hashlib.blake2b(digest_size=32)
        shapes = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
        self._hash.update(json.dumps([described, shapes], sort_keys=True).encode())
        for name in sorted(arrays):
            self.update(arrays[name])

    def update(self, array: np.ndarray) -> None:
        self._hash.update(np.ascontiguousarray(array).view(np.uint8))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _opened(path: Path) -> h5py.File:
    try:
        return read_hdf5(path, libver=FORMAT)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = (
            "cannot be read by this user"
            if isinstance(error, PermissionError)
            else f"is no whole kernel file ({error})"
        )
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read(len(EARLIER_FORMAT)) == EARLIER_FORMAT:
                what = "was written by an earlier version of this plugin"
        raise UnusableKernelError(f"{path} {what}.") from error


def _attributes(file: h5py.File) -> dict:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()}


def _steps(n: int) -> Iterator[range]:
    return (range(first, min(first + COLUMNS_PER_STEP, n)) for first in range(0, n, COLUMNS_PER_STEP))


def _read_gram(packed: h5py.Dataset, n: int, checksum: _Checksum) -> np.ndarray:
    """Lower triangle of K, Fortran-ordered, shape (n, n); what is above the diagonal is not set."""
    if packed.shape != (n * (n + 1) // 2,):
        raise ValueError(f"{packed.shape} values for {n} stimuli")
    gram, buffer, start = np.empty((n, n), order="F"), np.empty(COLUMNS_PER_STEP * n), 0
    for columns in _steps(n):
        step = buffer[: sum(n - i for i in columns)]
        packed.read_direct(step, np.s_[start : start + len(step)])
        checksum.update(step)
        start, column_start = start + len(step), 0
        for i in columns:
            gram[i:, i] = step[column_start : column_start + n - i]
            column_start += n - i
    return gram
