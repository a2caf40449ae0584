"""A data folder in the release's layout, small enough to be written by hand for one test."""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainscore_vision.data.laion_fmri_7t.packaging.layout import NOISE_CEILING_MAPS, SubjectFiles

SHAPE = (6, 5, 4)
AFFINE = np.diag([1.778, 1.778, 1.778, 1.0])
ROIS = ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4", "laionventral")


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(values, affine).to_filename(path)


@dataclass
class HandMade:
    """One subject whose regions lie interleaved in the volume.

    The brain is everything but the last plane; voxel v of the grid is in region of interest v modulo 9 (8: none). The
    ventral mask holds hV4's voxels as well.
    """

    root: Path
    rng: np.random.Generator
    subject: str = "sub-01"
    sessions: tuple[str, ...] = ("ses-01", "ses-02")
    n_trials: int = 12
    betas: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        self.files = SubjectFiles(self.root, self.subject)
        self.brain = np.ones(SHAPE, bool)
        self.brain[-1] = False
        number = np.arange(self.brain.size).reshape(SHAPE) % 9
        self.rois = {name: number == i for i, name in enumerate(ROIS)}
        self.rois["laionventral"] |= self.rois["hV4"]
        self.ceilings = {name: self.rng.uniform(5, 90, SHAPE).astype(np.float32) for name in NOISE_CEILING_MAPS}
        save(self.files.anatomical_mask, self.brain.astype(np.uint8))
        r2 = np.where(self.brain, 5, np.nan).astype(np.float32)
        r2[0, 0, 0], r2[0, 0, 1] = 0, np.nan
        save(self.files.r2_mean, r2)
        for name, mask in self.rois.items():
            save(self.files.roi("laion" if name == "laionventral" else "retinotopy", name), mask.astype(np.uint8))
        for name, description in NOISE_CEILING_MAPS.items():
            save(self.files.noise_ceiling(description), self.ceilings[name])
        for session in self.sessions:
            self.write_session(session)

    def write_session(self, session: str, values: np.ndarray | None = None) -> None:
        if values is None:
            values = self.rng.normal(0.5, 1, (*SHAPE, self.n_trials)).astype(np.float32)
        self.betas[session] = values
        save(self.files.betas(session), values)
        labels = [f"shared_4rep_NSD_special1000_{trial % 5}.jpg" for trial in range(values.shape[-1])]
        trials = {"session": session, "run": 1, "beta_index": range(values.shape[-1]), "label": labels}
        pd.DataFrame(trials).to_csv(self.files.trials(session), sep="\t", index=False)
