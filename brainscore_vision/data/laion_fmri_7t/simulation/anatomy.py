"""The made-up brain that voxels lie in: its mask and a T1-weighted image, on the grid of the betas."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from ..packaging.layout import SubjectFiles
from ..packaging.volumes import ANATOMICAL, mask_digest
from .scales import Scale

AFFINE = np.array([[1.778, 0, 0, -17.0], [0, 1.778, 0, -19.0], [0, 0, 1.778, -15.0], [0, 0, 0, 1]])
"""From voxel to millimetres, with the release's voxel size (1.778 mm, site)."""

_LEVEL = 1  # of gzip: noise does not compress


def brain_mask(shape: tuple[int, int, int], n_voxels: int) -> np.ndarray:
    """An ellipsoid: the `n_voxels` voxels of the grid that are nearest to its middle, relative to its axes; bool."""
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[np.argsort(_distance(shape), axis=None, kind="stable")[:n_voxels]] = True
    return mask.reshape(shape)


def t1w(mask: np.ndarray) -> np.ndarray:
    """A picture that slices can be told by: bright inside, folds towards the border, a dark skull around; uint8."""
    depth = np.sqrt(_distance(mask.shape))
    depth /= depth[mask].max()
    folds = sum(np.sin(3 * np.pi * axis) for axis in _axes(mask.shape))
    inside = np.where(depth < 0.75, 190, np.where(folds > 0, 130, 60))
    outside = np.where((depth > 1.08) & (depth < 1.18), 150, 10)
    return np.where(mask, inside, outside).astype(np.uint8)


def write_anatomy(files: SubjectFiles, scale: Scale) -> dict[str, str | int]:
    """Write a subject's brain mask and T1 image; gives what an assembly says of its mask."""
    mask = brain_mask(scale.grid, scale.brain_voxels)
    write_volume(files.anatomical_mask, mask.astype(np.uint8))
    write_volume(files.t1w[1], t1w(mask))
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


def _distance(shape: tuple[int, int, int]) -> np.ndarray:
    """From the middle, relative to the axes, squared."""
    return sum(np.square(axis) for axis in _axes(shape))


def _axes(shape: tuple[int, int, int]) -> list[np.ndarray]:
    axes = [(np.arange(size) - (size - 1) / 2) / size for size in shape]
    return np.meshgrid(*axes, indexing="ij", sparse=True)
