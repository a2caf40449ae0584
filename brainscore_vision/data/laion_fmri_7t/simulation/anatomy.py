"""The made-up brain that voxels lie in: its mask and a T1-weighted image, on the grid of the betas."""

import gzip
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import distance_transform_edt

from ..packaging.layout import SubjectFiles
from ..packaging.volumes import ANATOMICAL, mask_digest
from .regions import brain_mask
from .scales import Scale

AFFINE = np.array([[1.778, 0, 0, -17.0], [0, 1.778, 0, -19.0], [0, 0, 1.778, -15.0], [0, 0, 0, 1]])
"""From voxel to millimetres, with the release's voxel size (1.778 mm, site)."""

_LEVEL = 1  # of gzip: noise does not compress


@lru_cache(maxsize=1)
def t1w(scale: Scale) -> np.ndarray:
    """Grey matter around white matter, and a skull; uint8, of the grid's shape."""
    mask = brain_mask(scale.grid, scale.brain_voxels)
    depth, height = distance_transform_edt(mask), distance_transform_edt(~mask)
    cortex = max(1.5, 0.12 * depth.max())
    inside = np.where(depth > cortex, 190, 110)
    outside = np.where((height > cortex) & (height < 1.8 * cortex), 140, 10)
    return np.where(mask, inside, outside).astype(np.uint8)


def write_anatomy(files: SubjectFiles, scale: Scale) -> dict[str, str | int]:
    """Write a subject's brain mask and T1 image; gives what an assembly says of its mask."""
    mask = brain_mask(scale.grid, scale.brain_voxels)
    write_volume(files.anatomical_mask, mask.astype(np.uint8))
    write_volume(files.t1w[1], t1w(scale))
    return {
        "brain_mask": ANATOMICAL,
        "brain_mask_voxels": int(mask.sum()),
        "brain_mask_sha1": mask_digest(mask.ravel()),
        "grid": " ".join(map(str, mask.shape)),
    }


def write_volume(path: Path, values: np.ndarray) -> None:
    """Write a gzipped NIfTI file on the simulation's grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), _LEVEL, mtime=0))  # without a time, the same bytes each time
