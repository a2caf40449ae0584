"""Rebuild one session at the release's size, and measure memory and time from outside.

    python bench/rebuild_memory.py FOLDER [--sessions 1] [--keep]

Writes a data folder for one subject: volumes of 143 x 143 x 143 with 1,066 trials (12.5 GB a session once decompressed,
noise in the 272,080 voxels of the brain, NaN around it), masks, maps, trial tables. Then runs rebuild_assemblies.py on
it in a process of its own, and prints what the operating system counted. Needs about 1.2 GB of disk a session.
"""

import argparse
import gzip
import json
import os
import shutil
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from measure import machine, run_measured

from brainscore_vision.data.laion_fmri_7t.packaging.layout import NOISE_CEILING_MAPS, SubjectFiles
from brainscore_vision.data.laion_fmri_7t.simulation.raw_volumes import AFFINE, RawVolumes, write_anatomy
from brainscore_vision.data.laion_fmri_7t.simulation.regions import brain_mask
from brainscore_vision.data.laion_fmri_7t.simulation.scales import SCALES
from brainscore_vision.data.laion_fmri_7t.simulation.voxels import draw_voxels

REPOSITORY = Path(__file__).resolve().parent.parent
SUBJECT = "sub-01"
TRIALS = 1_066


def write_data(root: Path, sessions: list[str]) -> int:
    """Write the folder; gives the size of the betas in bytes."""
    scale, files = SCALES["full"], SubjectFiles(root, SUBJECT)
    voxels, mask = draw_voxels(scale, SUBJECT, 0), brain_mask(scale.grid, scale.brain_voxels)
    write_anatomy(files, scale)
    volumes = RawVolumes(files, mask, voxels, hyphens=False)
    volumes.write_masks(np.random.default_rng(0))
    for name, m in zip(NOISE_CEILING_MAPS, (1 / 4, 1 / 12, 0.2263), strict=True):
        path = files.noise_ceiling(NOISE_CEILING_MAPS[name])
        volumes.write_noise_ceiling(path, voxels.noise_ceiling(m), sessions)
    for number, session in enumerate(sessions):
        files.trials(session).parent.mkdir(parents=True, exist_ok=True)
        first = number * TRIALS
        labels = [f"shared_4rep_NSD_special1000_{first + trial}.jpg" for trial in range(TRIALS)]
        trials = {"session": session, "run": 1, "beta_index": range(TRIALS), "label": labels}
        pd.DataFrame(trials).to_csv(files.trials(session), sep="\t", index=False)
        write_betas(files.betas(session), mask, seed=number)
    return sum(files.betas(session).stat().st_size for session in sessions)


def write_betas(path: Path, mask: np.ndarray, seed: int) -> None:
    """Write one session's volumes, one at a time."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((*mask.shape, TRIALS))
    header.set_sform(AFFINE, code="scanner")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    rng, inside = np.random.default_rng(seed), mask.ravel(order="F")
    volume = np.full(mask.size, np.nan, np.float32)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(TRIALS):
            volume[inside] = rng.standard_normal(int(inside.sum()), dtype=np.float32)
            file.write(volume)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="a new folder")
    arguments.add_argument("--sessions", type=int, default=1)
    arguments.add_argument("--keep", action="store_true", help="leave the folder, about 1.2 GB a session")
    given = arguments.parse_args()
    given.folder.mkdir(parents=True)
    root, sessions = given.folder.absolute(), [f"ses-{number + 1:02d}" for number in range(given.sessions)]
    start = time.monotonic()
    size = write_data(root, sessions)
    print(f"wrote {len(sessions)} sessions, {size / 1e9:.2f} GB of betas, {time.monotonic() - start:.0f} s", flush=True)
    program = [sys.executable, REPOSITORY / "rebuild_assemblies.py", root, "--subjects", SUBJECT, "--sessions"]
    log = root / "rebuild.log"
    measured = run_measured([*map(str, program), *sessions], dict(os.environ), log)
    report = {
        "outcome": measured.outcome,
        "sessions": len(sessions),
        "compressed_gb": round(size / 1e9, 2),
        "wall_seconds": round(measured.wall_seconds, 1),
        "cpu_seconds": round(measured.cpu_seconds, 1),
        "peak_gb": round(measured.peak_bytes / 1e9, 3),
        "machine": machine(),
    }
    print(log.read_text(), json.dumps(report, indent=1), sep="")
    if not given.keep:
        shutil.rmtree(root)
    return 0 if measured.exit_code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
