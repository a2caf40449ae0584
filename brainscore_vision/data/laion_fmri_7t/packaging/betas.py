"""Single-trial betas out of a gzipped 4-D volume, one trial at a time.

A session of the release is 143 x 143 x 143 x 1,066 float32: 12.5 GB once decompressed. Of that, one volume (12 MB) is
held, and what is kept are the voxels of the regions. The file is read once, front to back: decompressed, checked
against gzip's checksum and hashed in the same pass.
"""

import gzip
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from ..errors import SchemaError
from .volumes import BROKEN, Grid

_DOWNLOAD_AGAIN = "Delete the file and download it again: `laion-fmri download`."
_BUFFER = 1 << 20


@dataclass(frozen=True)
class SessionBetas:
    """Betas of one session.

    Attributes
    ----------
    values : numpy.ndarray
        (n_trials, n_voxels) float32, NaN kept.
    grid : Grid
    size : int
        Of the compressed file, in bytes.
    sha256 : str
        Of the compressed file, hexadecimal.
    """

    values: np.ndarray
    grid: Grid
    size: int
    sha256: str


def read_betas(path: Path, voxels: np.ndarray) -> SessionBetas:
    """Read some voxels of all trials of a session.

    Parameters
    ----------
    path : Path
        Gzipped 4-D NIfTI, the last axis being trials.
    voxels : numpy.ndarray of int
        (n_voxels,) places on the grid, in C order.

    Returns
    -------
    SessionBetas

    Raises
    ------
    SchemaError
        If the file is no whole gzipped 4-D NIfTI, or its checksum is wrong. Names the file and what is the matter.
    """
    try:
        with open(path, "rb") as raw:
            hashed = _HashedReader(raw)
            with io.BufferedReader(hashed, _BUFFER) as compressed, gzip.GzipFile(fileobj=compressed) as stream:
                header = _read_header(stream, path)
                values = _read_voxels(stream, header, voxels, path)
                if stream.read(1):  # also where gzip's checksum is compared
                    raise SchemaError(f"{path}: the file goes on after its {len(values):,} trials. {_DOWNLOAD_AGAIN}")
                hashed.read_rest()
    except BROKEN as error:
        raise SchemaError(
            f"Betas are a complete gzipped NIfTI file; {path} ({path.stat().st_size:,} bytes) cannot be read to its "
            f"end: {error}. {_DOWNLOAD_AGAIN}"
        ) from error
    grid = Grid(header.get_data_shape()[:3], np.asarray(header.get_best_affine()), path)
    return SessionBetas(values, grid, hashed.size, hashed.digest.hexdigest())


def _read_header(stream: io.BufferedIOBase, path: Path) -> nib.Nifti1Header:
    """The header, with the stream left at the first byte of the data."""
    start = stream.read(nib.Nifti1Header.sizeof_hdr)
    try:
        # a NIfTI-2 header is longer, and says so in its first bytes
        longer = int.from_bytes(start[:4], "little") == 540 or int.from_bytes(start[:4], "big") == 540
        kind = nib.Nifti2Header if longer else nib.Nifti1Header
        header = kind(start + stream.read(kind.sizeof_hdr - len(start)))
    except (nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError) as error:
        raise SchemaError(f"{path}: betas are NIfTI; the header cannot be read: {error}. {_DOWNLOAD_AGAIN}") from error
    if len(header.get_data_shape()) != 4:
        raise SchemaError(
            f"{path}: betas have four axes, the last one trials; found shape {header.get_data_shape()}. {_DOWNLOAD_AGAIN}"
        )
    _skip(stream, header.get_data_offset() - kind.sizeof_hdr)
    return header


def _read_voxels(stream: io.BufferedIOBase, header: nib.Nifti1Header, voxels: np.ndarray, path: Path) -> np.ndarray:
    """(n_trials, n_voxels) float32."""
    *shape, n_trials = header.get_data_shape()
    dtype = header.get_data_dtype()
    slope, intercept = header.get_slope_inter()  # None, None where the numbers are as stored
    scaled = slope is not None and (slope, intercept) != (1.0, 0.0)
    # NIfTI stores the first axis fastest
    places = np.ravel_multi_index(np.unravel_index(np.asarray(voxels), shape, order="C"), shape, order="F")
    volume = np.empty(int(np.prod(shape)), dtype)
    view = memoryview(volume).cast("B")
    values = np.empty((n_trials, len(places)), np.float32)
    for trial in range(n_trials):
        _fill(stream, view, f"{path}: trial {trial} of {n_trials}")
        taken = volume[places]
        if scaled:
            taken = taken.astype(np.float64) * slope + intercept
        values[trial] = taken
    return values


def _fill(stream: io.BufferedIOBase, view: memoryview, what: str) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            raise SchemaError(f"{what} has {done:,} of {len(view):,} bytes: the file is cut short. {_DOWNLOAD_AGAIN}")
        done += count


def _skip(stream: io.BufferedIOBase, count: int) -> None:
    while count > 0:
        count -= len(stream.read(min(count, _BUFFER))) or count


class _HashedReader(io.RawIOBase):
    """Passes bytes on and hashes them."""

    def __init__(self, raw: io.BufferedIOBase):
        super().__init__()
        self._raw = raw
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._raw.readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        self.size += count
        return count

    def read_rest(self) -> None:
        """Hash what the decompressor had no need of."""
        while self.read(_BUFFER):
            pass


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
