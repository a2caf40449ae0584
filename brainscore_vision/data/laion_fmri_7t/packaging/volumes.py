"""The release's NIfTI files: masks and maps (three axes), and single-trial betas (four axes, read one trial at a time).

Voxels are counted in C order (the last axis fastest), as laion_fmri counts them.

A session's betas are 143 x 143 x 143 x 1,066 float32 in the release: 12.5 GB once decompressed. `read_betas` holds one
volume of these (12 MB) and keeps the voxels of the regions. It reads the file once, from front to back, and on this way
decompresses it, checks gzip's checksum and computes its SHA-256.
"""

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from ..errors import DatasetError, SchemaError
from .layout import DOWNLOAD_AGAIN, SubjectFiles, require

ANATOMICAL = "anatomical"
RSQUARE = "rsquare"
MASK_DEFINITIONS = {
    ANATOMICAL: "anatomical mask at 1.8 mm (res-1pt8, desc-brain)",
    RSQUARE: "mean R2 over sessions above 0, NaN outside",
}
"""Name of a brain mask -> what it is. Newer versions of laion_fmri use the first by default, older ones the second."""

# What nibabel and gzip raise for a file that is not a whole volume (BadGzipFile is an OSError).
_BROKEN = (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError)
_AFFINE_TOLERANCE = 1e-3  # millimetres; the affines of one subject's volumes differ by rounding alone
_BUFFER = 1 << 20


@dataclass(frozen=True)
class Grid:
    """Shape and place of a volume.

    Attributes
    ----------
    shape : tuple of int
        Three axes.
    affine : numpy.ndarray
        (4, 4), from voxel to millimetres.
    path : Path
        The file that has this grid.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    path: Path

    def require_same(self, other: "Grid") -> None:
        """Refuse two volumes whose voxels are not the same places.

        Raises
        ------
        SchemaError
        """
        if self.shape != other.shape or not np.allclose(self.affine, other.affine, atol=_AFFINE_TOLERANCE):
            raise SchemaError(
                f"All volumes of a subject share one grid; {self.path} has shape {self.shape}, {other.path} has "
                f"{other.shape}{' and another affine' if self.shape == other.shape else ''}. Take both from the same "
                "version of the release."
            )


def read_volume(path: Path, grid: Grid | None = None) -> tuple[np.ndarray, Grid]:
    """A mask or map.

    Parameters
    ----------
    path : Path
    grid : Grid, optional
        The grid that the volume must have.

    Returns
    -------
    values : numpy.ndarray
        (n_grid,) float32, in C order.
    grid : Grid

    Raises
    ------
    SchemaError
        If the file is broken, not three-dimensional or on another grid.
    """
    try:
        image = nib.load(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except _BROKEN as error:
        raise SchemaError(
            f"A volume is a complete NIfTI file; {path} ({path.stat().st_size:,} bytes) cannot be read as one: "
            f"{error}. {DOWNLOAD_AGAIN}"
        ) from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise SchemaError(f"{path}: a mask or map has three axes; found shape {values.shape}. {DOWNLOAD_AGAIN}")
    found = Grid(values.shape, np.asarray(image.affine), path)
    if grid is not None:
        grid.require_same(found)
    return values.ravel(order="C"), found


def read_brain_mask(files: SubjectFiles, definition: str) -> tuple[np.ndarray, Grid]:
    """A subject's brain mask.

    Parameters
    ----------
    files : SubjectFiles
    definition : str
        A key of `MASK_DEFINITIONS`.

    Returns
    -------
    mask : numpy.ndarray
        (n_grid,) bool, in C order.
    grid : Grid

    Raises
    ------
    DatasetError
        If there is no such definition.
    MissingDataError, SchemaError
        If the file is missing, broken or empty.
    """
    if definition not in MASK_DEFINITIONS:
        raise DatasetError(
            f"The brain mask is one of {', '.join(MASK_DEFINITIONS)}; got {definition!r}. Choose one of these."
        )
    path, kind = (files.anatomical_mask, "anatomy") if definition == ANATOMICAL else (files.r2_mean, "ceilings")
    remedy = f"Get it with `{files.download_command(kind)}`, or choose the other mask (--mask, in Python mask_source=)."
    values, grid = read_volume(require(path, f"The brain mask ({MASK_DEFINITIONS[definition]})", remedy))
    mask = values > 0  # NaN is not above 0, but a conversion to bool would count it as inside
    if not mask.any():
        raise SchemaError(f"{path}: a brain mask has voxels inside; this one has none. {DOWNLOAD_AGAIN}")
    return mask, grid


def mask_digest(mask: np.ndarray) -> str:
    """SHA-1 (hexadecimal) of a brain mask, (n_grid,) bool in C order: what an assembly says of the mask that it counts in."""
    return hashlib.sha1(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()


@dataclass(frozen=True)
class SessionBetas:
    """Betas of one session.

    Attributes
    ----------
    values : numpy.ndarray
        (n_trials, n_voxels) float32; NaN stays NaN.
    grid : Grid
    size : int
        Bytes of the compressed file.
    sha256 : str
        Of the compressed file, hexadecimal.
    """

    values: np.ndarray
    grid: Grid
    size: int
    sha256: str


def read_betas(path: Path, voxels: np.ndarray, trials: np.ndarray | None = None) -> SessionBetas:
    """Some voxels of the trials of a session.

    Parameters
    ----------
    path : Path
        Gzipped 4-D NIfTI; the last axis is trials.
    voxels : numpy.ndarray of int
        (n_voxels,) places on the grid, in C order.
    trials : numpy.ndarray of bool, optional
        (n_volumes,) which volumes to keep; all by default.

    Returns
    -------
    SessionBetas

    Raises
    ------
    SchemaError
        If the file is not a whole gzipped 4-D NIfTI, or its checksum is wrong. Names the file and the fault.
    """
    try:
        with open(path, "rb") as raw:
            hashed = _HashedReader(raw)
            with io.BufferedReader(hashed, _BUFFER) as compressed, gzip.GzipFile(fileobj=compressed) as stream:
                header = _read_header(stream, path)
                values = _read_voxels(stream, header, voxels, trials, path)
                # Reading beyond the last trial makes gzip compare its checksum, and takes the file to its last byte,
                # which the SHA-256 needs.
                if stream.read(1):
                    raise SchemaError(
                        f"{path}: the file goes on after its {header.get_data_shape()[3]:,} trials. {DOWNLOAD_AGAIN}"
                    )
    except _BROKEN as error:
        raise SchemaError(
            f"Betas are a complete gzipped NIfTI file; {path} ({path.stat().st_size:,} bytes) cannot be read to its "
            f"end: {error}. {DOWNLOAD_AGAIN}"
        ) from error
    grid = Grid(header.get_data_shape()[:3], np.asarray(header.get_best_affine()), path)
    return SessionBetas(values, grid, hashed.size, hashed.digest.hexdigest())


def _read_header(stream: gzip.GzipFile, path: Path) -> nib.Nifti1Header:
    """The header; the stream is left at the first byte of the data."""
    start = stream.read(nib.Nifti1Header.sizeof_hdr)
    try:
        # the first four bytes are the header's length: 540 in NIfTI-2, 348 in NIfTI-1
        is_second = 540 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
        kind = nib.Nifti2Header if is_second else nib.Nifti1Header
        header = kind(start + stream.read(kind.sizeof_hdr - len(start)))
    except (nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError) as error:
        raise SchemaError(f"{path}: betas are NIfTI; the header cannot be read: {error}. {DOWNLOAD_AGAIN}") from error
    if len(header.get_data_shape()) != 4:
        raise SchemaError(
            f"{path}: betas have four axes, the last one trials; found shape {header.get_data_shape()}. {DOWNLOAD_AGAIN}"
        )
    stream.seek(header.get_data_offset())  # skips the header's extensions
    return header


def _read_voxels(
    stream: gzip.GzipFile, header: nib.Nifti1Header, voxels: np.ndarray, trials: np.ndarray | None, path: Path
) -> np.ndarray:
    """(n_trials, n_voxels) float32."""
    *shape, n_trials = header.get_data_shape()
    kept = np.ones(n_trials, bool) if trials is None else np.asarray(trials, bool)
    if len(kept) != n_trials:
        raise SchemaError(f"{path} has {n_trials:,} volumes, and the trial table {len(kept):,} rows. {DOWNLOAD_AGAIN}")
    slope, intercept = header.get_slope_inter()  # None, None where the numbers are as stored
    scaled = slope is not None and (slope, intercept) != (1.0, 0.0)
    # NIfTI stores the first axis fastest
    places = np.ravel_multi_index(np.unravel_index(np.asarray(voxels), shape, order="C"), shape, order="F")
    volume = np.empty(int(np.prod(shape)), header.get_data_dtype())
    values = np.empty((kept.sum(), len(places)), np.float32)
    rows = iter(values)
    for trial in range(n_trials):
        n_bytes = stream.readinto(memoryview(volume).cast("B"))
        if n_bytes < volume.nbytes:
            raise SchemaError(
                f"{path}: trial {trial} of {n_trials} has {n_bytes:,} of {volume.nbytes:,} bytes: the file is cut short. "
                f"{DOWNLOAD_AGAIN}"
            )
        if kept[trial]:
            taken = volume[places]
            next(rows)[:] = taken.astype(np.float64) * slope + intercept if scaled else taken
    return values


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
