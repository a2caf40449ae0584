"""3-D volumes: masks and maps on the grid of the betas.

Voxels are counted in C order (the last axis fastest), as laion_fmri does.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from ..errors import DatasetError, SchemaError
from .layout import SubjectFiles, require

ANATOMICAL = "anatomical"
RSQUARE = "rsquare"
MASK_DEFINITIONS = {
    ANATOMICAL: "anatomical mask at 1.8 mm (res-1pt8, desc-brain)",
    RSQUARE: "mean R2 over sessions above 0, NaN outside",
}
"""Name of a brain mask -> what it is. Later versions of laion_fmri take the first by default, earlier ones the second."""

BROKEN = (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError)
"""What nibabel and gzip raise for a file that is no whole volume (BadGzipFile is an OSError)."""

_AFFINE_TOLERANCE = 1e-3  # millimetres; volumes of one subject share their grid to rounding
_DOWNLOAD_AGAIN = "Delete the file and download it again: `laion-fmri download`."


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
        The file that says so.
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


def read_volume(path: Path) -> tuple[np.ndarray, Grid]:
    """A 3-D volume.

    Returns
    -------
    values : numpy.ndarray
        (n_grid,) float32, in C order.
    grid : Grid

    Raises
    ------
    SchemaError
        If the file is broken or not three-dimensional.
    """
    try:
        image = nib.load(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except BROKEN as error:
        raise SchemaError(
            f"A volume is a complete NIfTI file; {path} ({path.stat().st_size:,} bytes) cannot be read as one: "
            f"{error}. {_DOWNLOAD_AGAIN}"
        ) from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise SchemaError(f"{path}: a mask or map has three axes; found shape {values.shape}. {_DOWNLOAD_AGAIN}")
    return values.ravel(order="C"), Grid(values.shape, np.asarray(image.affine), path)


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
    path = require(brain_mask_file(files, definition), f"The brain mask ({MASK_DEFINITIONS[definition]})", _MASK_REMEDY)
    values, grid = read_volume(path)
    mask = values > 0  # NaN is not above 0: a bool conversion would take it for inside
    if not mask.any():
        raise SchemaError(f"{path}: a brain mask has voxels inside; this one has none. {_DOWNLOAD_AGAIN}")
    return mask, grid


def brain_mask_file(files: SubjectFiles, definition: str) -> Path:
    """The volume that a definition of the brain mask is read from."""
    if definition not in MASK_DEFINITIONS:
        raise DatasetError(
            f"The brain mask is one of {', '.join(MASK_DEFINITIONS)}; got {definition!r}. Choose one of these."
        )
    return files.anatomical_mask if definition == ANATOMICAL else files.r2_mean


_MASK_REMEDY = (
    "The anatomical mask comes with `laion-fmri download --include-anatomical`, the R2 map with `laion-fmri download "
    "--ses averages`; --mask chooses between them."
)
