"""The simulated data as a scanner's pipeline would hand them over: the release's files before any assembly is built.

Made from a finished simulated dataset: the same truth, the same noise, in the release's layout. Rebuilding assemblies
from it gives that dataset's assemblies, element by element.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import ProcessLock

from ..constants import SUBJECTS
from ..errors import DatasetError
from ..ids import parse
from ..packaging.layout import MARKER, SubjectFiles
from .betas import mean_inverse_repetitions, session_betas
from .brain import brain_mask
from .raw_stimuli import write_stimuli
from .raw_volumes import RawVolumes
from .rng import generator
from .scales import Scale, get_scale
from .sessions import schedule
from .truth import Truth
from .voxels import draw_voxels
from .write import simulate

_RAW_SCALES = ("tiny", "small")
_SURROUNDING_GAIN = 0.8
_NAN_SHARE = 0.01  # of the brain outside the regions, as at the edges of the release's maps


def simulate_raw(
    root: str | Path, scale: str = "small", seed: int = 0, progress: bool = True, workers: int | None = None
) -> Path:
    """Write a simulated data folder in the release's file layout, without assemblies.

    The folder holds the release's ``derivatives`` and ``stimuli``, besides ``splits`` and ``truth`` of the simulation.
    It appears when it is complete, in one step; a finished one is returned as it is.

    Parameters
    ----------
    root : str or Path
        The folder to make. It may exist if it is empty.
    scale : str
        "tiny" or "small": a volume of the release's size takes 12 GB a session.
    seed : int
    progress : bool
        Show progress bars if standard error is a terminal.
    workers : int, optional
        Threads for the simulation.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    DatasetError
        If the folder holds something else, or the arguments are invalid.
    """
    if scale not in _RAW_SCALES:
        raise DatasetError(
            f"The release's file layout is simulated at scale {' or '.join(_RAW_SCALES)}, since volumes of the "
            f"release's size take 12 GB a session; got {scale!r}. Choose one of these."
        )
    root = Path(root).expanduser().absolute()
    root.parent.mkdir(parents=True, exist_ok=True)
    with ProcessLock(root.parent / f".{root.name}.lock"):
        if _is_finished(root, scale, seed):
            return root
        under_way = root.parent / f".{root.name}.incomplete"
        if under_way.exists():  # left by a run that was killed; the lock says that nobody works on it
            shutil.rmtree(under_way)
        try:
            packaged = simulate(under_way / "packaged", scale, seed, progress, workers)
            raw = write_raw(packaged, under_way / "raw", progress)
            if root.is_dir():
                root.rmdir()  # `_is_finished` let only an empty folder pass
            raw.rename(root)
        finally:
            if under_way.exists():
                shutil.rmtree(under_way)
    return root


def write_raw(packaged: Path, target: Path, progress: bool = False) -> Path:
    """Write the release's files for a finished simulated dataset.

    Parameters
    ----------
    packaged : Path
        What `simulate` made; only read.
    target : Path
        A new folder.
    progress : bool

    Returns
    -------
    Path
        `target`.
    """
    mark = json.loads((packaged / MARKER).read_text(encoding="utf-8"))
    scale, seed = get_scale(mark["scale"]), mark["seed"]
    target.mkdir(parents=True)
    for folder in ("splits", "truth"):
        shutil.copytree(packaged / folder, target / folder)
    write_stimuli(packaged / "stimuli", target / "stimuli")
    sessions = [f"ses-{number + 1:02d}" for number in range(scale.sessions)]
    hidden = None if progress else True
    with tqdm(total=len(SUBJECTS) * len(sessions), desc="writing volumes", unit="session", disable=hidden) as bar:
        for subject in SUBJECTS:
            _write_subject(SubjectFiles(target, subject), packaged, scale, seed, bar)
    about = {key: mark[key] for key in ("name", "version", "seed", "scale")}
    content = {**about, "layout": "raw", "sessions": sessions, "complete": True}
    (target / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return target


def _write_subject(files: SubjectFiles, packaged: Path, scale: Scale, seed: int, bar: tqdm) -> None:
    voxels = draw_voxels(scale, files.subject, seed)
    truth = Truth(packaged).signal(files.subject)
    parsed = [parse(stimulus_id) for stimulus_id in truth.stimulus_ids]
    repetitions = np.array([p.repetitions for p in parsed])
    shared = np.array([p.shared for p in parsed])
    trials = schedule(scale, truth.stimulus_ids, repetitions, shared, files.subject, seed)
    volumes = RawVolumes(
        files, brain_mask(scale.grid, scale.brain_voxels), voxels, hyphens=files.subject == SUBJECTS[1]
    )
    volumes.write_masks(generator(seed, "r2", files.subject))
    m = {
        "Noiseceiling4rep": 1 / 4,
        "Noiseceiling12rep": 1 / 12,
        "NoiseceilingAllrep": mean_inverse_repetitions(trials["stimulus"].to_numpy()),
    }
    all_sessions = trials["session"].unique().tolist()
    for description, mean_inverse in m.items():
        volumes.write_noise_ceiling(files.noise_ceiling(description), voxels.noise_ceiling(mean_inverse), all_sessions)
    for session, rows in trials.groupby("session", sort=False):
        betas = session_betas(truth.values[rows["stimulus"].to_numpy()], voxels, files.subject, session, seed)
        rng = generator(seed, "surroundings", files.subject, session)
        volumes.write_betas(session, betas, _surroundings(rng, len(rows), volumes.n_surrounding))
        _write_trials(files.trials(session), rows)
        counts = voxels.noise_ceiling(1 / 2)
        volumes.write_noise_ceiling(files.session_noise_ceiling(session), counts, [session])
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


def _is_finished(root: Path, scale: str, seed: int) -> bool:
    """Whether the wanted folder is there; an error if something else is in its place."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    mark = root / MARKER
    found = json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else {}
    wanted = {"layout": "raw", "scale": scale, "seed": seed, "complete": True}
    if {key: found.get(key) for key in wanted} != wanted:
        raise DatasetError(
            f"The release's file layout goes into a new or empty folder; {root} holds something else"
            f"{f' ({found})' if found else ''}. Choose another folder, or empty this one."
        )
    return True
