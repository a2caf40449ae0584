"""Made-up volumes of the release's layout, on the grid of the betas: the brain that voxels lie in, betas, masks of regions by
category, noise ceilings and R2.
"""

import gzip
import json
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import distance_transform_edt

from ..packaging.layout import SubjectFiles
from ..packaging.volumes import ANATOMICAL, mask_digest
from .regions import CATEGORIES, brain_mask
from .scales import Scale
from .voxels import Voxels

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


class RawVolumes:
    """Writes one subject's volumes.

    `mask` is the anatomical brain mask, bool, of the grid's shape; the voxels' `index_in_brain_mask` counts within it,
    in C order. With `hyphens`, labels are spelled as in the bucket (``laion-ventral``), otherwise as in the package
    (``laionventral``).
    """

    def __init__(self, files: SubjectFiles, mask: np.ndarray, voxels: Voxels, hyphens: bool):
        self.files = files
        self.mask = mask
        self.voxels = voxels
        self.hyphens = hyphens
        inside = np.flatnonzero(mask)
        self._places = inside[voxels.index_in_brain_mask]
        self._surrounding = np.setdiff1d(inside, self._places, assume_unique=True)

    @property
    def n_surrounding(self) -> int:
        """Brain voxels outside all regions."""
        return len(self._surrounding)

    def write_masks(self, rng: np.random.Generator) -> None:
        """Write R2 map and regions of interest; the brain mask is there."""
        r2 = np.full(self.mask.size, np.nan, np.float32)  # no data outside the brain
        r2[self.mask.ravel()] = rng.uniform(0.5, 40, int(self.mask.sum()))
        # the two definitions of the brain mask differ at the edges, in both directions
        edge = rng.choice(self._surrounding, 12, replace=False)
        r2[edge[:4]], r2[edge[4:8]], r2[edge[8:]] = 0, -1, np.nan
        r2[rng.choice(np.flatnonzero(~self.mask), 4, replace=False)] = 0.25
        self._write(self.files.r2_mean, r2.reshape(self.mask.shape))
        for label, category in CATEGORIES.items():
            name = label.replace("-", "")
            if name in self.voxels.regions.categories:
                places = self._places[self.voxels.regions.inside(name)]
                self._write_roi(category, label if self.hyphens else name, places)

    def write_noise_ceiling(self, path: Path, ceiling: np.ndarray, sessions: list[str]) -> None:
        """Write a map in percent, 0 outside the regions, and the sidecar that says which sessions it is from."""
        volume = np.zeros(self.mask.size, np.float32)
        volume[self._places] = ceiling
        root = self.files.root / "derivatives"
        sources = [
            f"bids::derivatives/{self.files.betas(session).relative_to(root).as_posix()}" for session in sessions
        ]
        about = {"Description": "Noise ceiling in percent", "Units": "percent", "Sources": sources}
        self._write(path, volume.reshape(self.mask.shape), about)

    def write_betas(self, session: str, betas: np.ndarray, surroundings: np.ndarray) -> None:
        """Write one session: betas of the voxels and of the brain around them, (n_trials, n) float32 each."""
        volumes = np.full((self.mask.size, len(betas)), np.nan, np.float32)
        volumes[self._places] = betas.T
        volumes[self._surrounding] = surroundings.T
        about = {"Description": "Single-trial betas", "Units": "percent signal change"}
        self._write(self.files.betas(session), volumes.reshape(*self.mask.shape, len(betas)), about)

    def _write_roi(self, category: str, label: str, places: np.ndarray) -> None:
        """A region's mask, and the same on surfaces with a vertex per voxel of the grid's left or right half."""
        volume = np.zeros(self.mask.size, np.uint8)
        volume[places] = 1
        path = self.files.roi(category, label)
        self._write(path, volume.reshape(self.mask.shape))
        halves = np.array_split(volume.reshape(self.mask.shape), 2)  # the first axis goes from left to right
        for hemisphere, half in zip("LR", halves, strict=True):
            inside = nib.gifti.GiftiDataArray(half.ravel().astype(np.float32), "NIFTI_INTENT_NONE")
            nib.gifti.GiftiImage(darrays=[inside]).to_filename(self.files.roi_surface(path, hemisphere, "func.gii"))
            vertices = np.flatnonzero(half)
            rows = [f"{vertex} 0.000 0.000 0.000 0.0" for vertex in vertices]
            label_file = self.files.roi_surface(path, hemisphere, "label")
            label_file.write_text("\n".join(["#!ascii label", str(len(rows)), *rows, ""]), encoding="ascii")

    @staticmethod
    def _write(path: Path, values: np.ndarray, about: dict | None = None) -> None:
        write_volume(path, values)
        if about is not None:
            sidecar = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
            sidecar.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
