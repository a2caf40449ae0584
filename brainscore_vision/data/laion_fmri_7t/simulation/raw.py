"""The simulated data as a scanner's pipeline would hand them over: the release's files before any assembly is built.

A simulated dataset is changed into the release's layout: the same truth, the same noise. Rebuilding assemblies from it
gives that dataset's assemblies, element by element.
"""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from ..constants import SUBJECTS
from ..errors import DatasetError
from ..packaging.layout import NOISE_CEILING_MAPS, SubjectFiles, dataset_mark
from ..stimuli.sources import IMAGE_FOLDER, IMAGES_DATASET, MANIFEST, RELEASED_IMAGES, RELEASED_METADATA
from .feature_files import write_captions
from .raw_volumes import RawVolumes
from .regions import brain_mask
from .rng import generator
from .scales import Scale
from .sessions import schedule, session_betas
from .truth import Truth
from .voxels import draw_voxels
from .write import CONTENT, describe, make_once, scale_of, write_mark

_RAW_SCALES = ("tiny", "small")
_SURROUNDING_GAIN = 0.8
_NAN_SHARE = 0.01  # of the brain outside the regions, as at the edges of the release's maps


def simulate_raw(
    root: str | Path,
    scale: str = "small",
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
    pixels: int | None = None,
) -> Path:
    """Write a simulated data folder in the release's file layout, without assemblies.

    The folder holds the release's ``derivatives`` and ``stimuli``, besides ``splits`` and ``truth`` of the simulation.
    Arguments, result and errors are those of `simulate`, but `scale` is "tiny" or "small": a volume of the release's
    size takes 12 GB a session.
    """
    if scale not in _RAW_SCALES:
        raise DatasetError(
            f"The release's file layout is simulated at scale {' or '.join(_RAW_SCALES)}, since volumes of the "
            f"release's size take 12 GB a session; got {scale!r}. Choose one of these."
        )
    mark = _raw_mark(describe(scale, seed, pixels))
    return make_once(root, mark, progress, workers, lambda folder: _change(folder, scale_of(mark), seed, progress))


def write_raw(packaged: Path, target: Path, progress: bool = False) -> Path:
    """Write the release's files for a finished simulated dataset, which is only read, into a new folder."""
    mark = dataset_mark(packaged)
    shutil.copytree(packaged, target)
    _change(target, scale_of(mark), mark["seed"], progress)
    write_mark(target, _raw_mark({key: mark[key] for key in ("name", *CONTENT) if key in mark}))
    return target


def _raw_mark(mark: dict) -> dict:
    return {**mark, "layout": "raw 3", "sessions": _sessions(scale_of(mark))}


def _sessions(scale: Scale) -> list[str]:
    return [f"ses-{number + 1:02d}" for number in range(scale.sessions)]


def _change(folder: Path, scale: Scale, seed: int, progress: bool) -> None:
    """Give a simulated dataset the release's layout."""
    shutil.rmtree(folder / "assemblies")
    _pack_stimuli(folder / "stimuli")
    write_captions(folder / "stimuli", seed)
    total = len(SUBJECTS) * scale.sessions
    with tqdm(total=total, desc="writing volumes", unit="session", disable=None if progress else True) as bar:
        for subject in SUBJECTS:
            _write_subject(SubjectFiles(folder, subject), scale, seed, bar)


def _pack_stimuli(folder: Path) -> None:
    """Replace images and manifest by the release's HDF5 file of encoded images and its table in the same order."""
    table = pd.read_csv(folder / MANIFEST, keep_default_na=False)
    with h5py.File(folder / RELEASED_IMAGES, "w") as file:
        images = file.create_dataset(IMAGES_DATASET, (len(table),), h5py.vlen_dtype(np.uint8))
        for row, name in enumerate(table["filename"]):
            images[row] = np.frombuffer((folder / IMAGE_FOLDER / name).read_bytes(), np.uint8)
    columns = ["image_name", "dataset", "participant", "unique_or_shared", "n_reps"]
    table.rename(columns={"stimulus_id": "image_name"})[columns].to_csv(folder / RELEASED_METADATA, index=False)
    shutil.rmtree(folder / IMAGE_FOLDER)
    (folder / MANIFEST).unlink()


def _write_subject(files: SubjectFiles, scale: Scale, seed: int, bar: tqdm) -> None:
    voxels = draw_voxels(scale, files.subject, seed)
    truth = Truth(files.root).signal(files.subject)
    trials = schedule(scale, truth.stimulus_ids, files.subject, seed)
    mask = brain_mask(scale.grid, scale.brain_voxels)
    volumes = RawVolumes(files, mask, voxels, hyphens=files.subject == SUBJECTS[1])
    volumes.write_masks(generator(seed, "r2", files.subject))
    for name, ceiling in voxels.noise_ceilings(trials["stimulus"].to_numpy()).items():
        volumes.write_noise_ceiling(files.noise_ceiling(NOISE_CEILING_MAPS[name]), ceiling, _sessions(scale))
    for session, rows in trials.groupby("session", sort=False):
        betas = session_betas(truth.values[rows["stimulus"].to_numpy()], voxels, files.subject, session, seed)
        rng = generator(seed, "surroundings", files.subject, session)
        volumes.write_betas(session, betas, _surroundings(rng, len(rows), volumes.n_surrounding))
        _write_trials(files.trials(session), rows)
        volumes.write_noise_ceiling(files.session_noise_ceiling(session), voxels.noise_ceiling(1 / 2), [session])
        bar.update()


def _surroundings(rng: np.random.Generator, n_trials: int, n_voxels: int) -> np.ndarray:
    """Betas of brain voxels outside all regions: noise, and NaN in a few voxels; (n_trials, n_voxels) float32."""
    values = rng.standard_normal((n_trials, n_voxels), dtype=np.float32) * np.float32(_SURROUNDING_GAIN)
    values = np.round(values * 16) / np.float32(16)  # nothing depends on these: let them take less room
    values[:, rng.random(n_voxels) < _NAN_SHARE] = np.nan
    return values


def _write_trials(path: Path, rows: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = rows[["session", "run", "beta_index", "stimulus_id"]].rename(columns={"stimulus_id": "label"})
    table.to_csv(path, sep="\t", index=False)
    described = {"label": {"Description": "File name of the image"}, "beta_index": {"Description": "Volume, from 0"}}
    path.with_suffix(".json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
