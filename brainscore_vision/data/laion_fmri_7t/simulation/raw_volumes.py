"""Volumes of the release's layout: betas, masks of regions by category, noise ceilings and R2, brain mask."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np

from ..packaging.layout import SubjectFiles
from .brain import AFFINE
from .voxels import Voxels

_LEVEL = 1  # of gzip: noise does not compress

_BESIDE = {
    "body": ("EBA",),
    "character": ("VWFA-1",),
    "face": ("FFA-1", "pSTS-faces"),
    "laion": ("laion-dorsal",),
    "motion": ("MT",),
    "object": ("lobjects",),
    "place": ("PPA",),
}
"""Category -> regions of interest that are there in the release and not part of any region; small blobs here. Labels
with hyphens are spelled as in the bucket, where they are."""


class RawVolumes:
    """Writes one subject's volumes.

    Parameters
    ----------
    files : SubjectFiles
    mask : numpy.ndarray
        bool, of the grid's shape: the anatomical brain mask.
    voxels : Voxels
        `index_in_brain_mask` counts within `mask`, in C order.
    hyphens : bool
        Spell labels as the bucket does (``laion-ventral``), not as the package does (``laionventral``).
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
        """Write brain mask, R2 map and regions of interest."""
        self._write(self.files.anatomical_mask, self.mask.astype(np.uint8))
        r2 = np.full(self.mask.size, np.nan, np.float32)  # no data outside the brain
        r2[self.mask.ravel()] = rng.uniform(0.5, 40, int(self.mask.sum()))
        # the two definitions of the brain mask differ at the edges, in both directions
        edge = rng.choice(self._surrounding, 12, replace=False)
        r2[edge[:4]], r2[edge[4:8]], r2[edge[8:]] = 0, -1, np.nan
        r2[rng.choice(np.flatnonzero(~self.mask), 4, replace=False)] = 0.25
        self._write(self.files.r2_mean, r2.reshape(self.mask.shape))
        names = dict.fromkeys(self.voxels.roi.tolist())
        for name in names:
            held = self._places[self.voxels.roi == name]
            if name == "laionventral":
                # holds nearly all of hV4 (site: 97.8 %)
                v4 = self._places[self.voxels.roi == "hV4"]
                held = np.concatenate([held, v4[: round(0.978 * len(v4))]])
                self._write_roi("laion", "laion-ventral" if self.hyphens else name, held)
            else:
                self._write_roi("retinotopy", name, held)
        it = self._places[self.voxels.roi == "laionventral"]
        self._write_roi("retinotopy", "VO1", it[: len(it) // 4])
        for category, labels in _BESIDE.items():
            for label in labels:
                held = rng.choice(self._surrounding, 9, replace=False)
                self._write_roi(category, label if self.hyphens else label.replace("-", ""), held)

    def write_noise_ceiling(self, path: Path, ceiling: np.ndarray, sessions: list[str]) -> None:
        """Write a map in percent and the sidecar that says which sessions it is from.

        Parameters
        ----------
        path : Path
        ceiling : numpy.ndarray
            (n_voxels,) float32; voxels outside the regions get 0.
        sessions : list of str
        """
        volume = np.zeros(self.mask.size, np.float32)
        volume[self._places] = ceiling
        self._write(path, volume.reshape(self.mask.shape))
        root = self.files.root / "derivatives"
        sources = [
            f"bids::derivatives/{self.files.betas(session).relative_to(root).as_posix()}" for session in sessions
        ]
        sidecar = {"Description": "Noise ceiling in percent", "Units": "percent", "Sources": sources}
        path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar, indent=1) + "\n")

    def write_betas(self, session: str, betas: np.ndarray, surroundings: np.ndarray) -> None:
        """Write one session: betas of the voxels and of the brain around them, (n_trials, n) float32 each."""
        volumes = np.full((self.mask.size, len(betas)), np.nan, np.float32)
        volumes[self._places] = betas.T
        volumes[self._surrounding] = surroundings.T
        path = self.files.betas(session)
        self._write(path, volumes.reshape(*self.mask.shape, len(betas)))
        sidecar = {"Description": "Single-trial betas", "Units": "percent signal change"}
        path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar, indent=1) + "\n")

    def _write_roi(self, category: str, label: str, places: np.ndarray) -> None:
        volume = np.zeros(self.mask.size, np.uint8)
        volume[places] = 1
        self._write(self.files.roi(category, label), volume.reshape(self.mask.shape))

    @staticmethod
    def _write(path: Path, values: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(values, AFFINE)
        image.header.set_xyzt_units("mm")
        path.write_bytes(gzip.compress(image.to_bytes(), _LEVEL, mtime=0))  # without a time, the same bytes each time
