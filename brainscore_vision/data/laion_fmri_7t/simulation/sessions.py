"""A subject's sessions: which trial shows which stimulus, and the betas that a scanner would give."""

import numpy as np
import pandas as pd

from .. import ids
from .rng import generator
from .scales import Scale
from .voxels import Voxels

_MOST_IN_ONE_SESSION = 3  # the release shows no image more often in one session, and each at least twice in one
_SESSION_SHIFT = 0.3  # standard deviation of a voxel's mean between sessions, in units of the noise


def schedule(scale: Scale, stimulus_ids: np.ndarray, subject: str, seed: int) -> pd.DataFrame:
    """A subject's trials in the order of acquisition.

    Gives one row per trial: `stimulus` (row in `stimulus_ids`), `stimulus_id`, `repetition` (from 0), `session`
    ("ses-01" ...), `run` (from 1), `beta_index` (from 0 in each session).
    """
    rng = generator(seed, "schedule", subject)
    repetitions = np.array([ids.parse(stimulus_id).repetitions for stimulus_id in stimulus_ids])
    trials = pd.DataFrame({"stimulus": np.repeat(np.arange(len(repetitions)), repetitions)})
    trials["session"] = _sessions_of_trials(rng, repetitions, scale.sessions)
    trials["order"] = rng.random(len(trials))
    trials = trials.sort_values(["session", "order"], ignore_index=True).drop(columns="order")
    by_session = trials.groupby("session")["stimulus"]
    trials["run"] = 1 + by_session.cumcount() * scale.runs_per_session // by_session.transform("size")
    trials = trials.drop(_lost_trials(rng, trials["stimulus"].to_numpy(), stimulus_ids, scale, subject))
    trials["stimulus_id"] = stimulus_ids[trials["stimulus"]]
    trials["repetition"] = trials.groupby("stimulus").cumcount()
    trials["beta_index"] = trials.groupby("session").cumcount()
    trials["session"] = [f"ses-{number + 1:02d}" for number in trials["session"]]
    return trials.reset_index(drop=True)


def session_betas(signal: np.ndarray, voxels: Voxels, subject: str, session: str, seed: int) -> np.ndarray:
    """Betas of one session's trials, as a scanner would give them: (n_trials, n_voxels) float32, percent signal change.

    They are (signal + unit noise + the session's shift) times the voxel's gain, plus its baseline. `signal` is
    (n_trials, n_voxels) float32, true responses in standard deviations of the noise.
    """
    betas = np.empty(signal.shape, np.float32)
    for label, columns in voxels.streams:
        rng = generator(seed, "noise", subject, session, *label)
        own = rng.standard_normal((len(signal), columns.stop - columns.start), dtype=np.float32)
        own += signal[:, columns]
        own += np.float32(_SESSION_SHIFT) * rng.standard_normal(own.shape[1], dtype=np.float32)
        own *= voxels.gain[columns]
        own += voxels.baseline[columns]
        betas[:, columns] = own
    return betas


def _sessions_of_trials(rng: np.random.Generator, repetitions: np.ndarray, n_sessions: int) -> np.ndarray:
    """Session of each presentation, image by image; sessions end up about equally long."""
    load = np.zeros(n_sessions)
    slack = max(1.0, repetitions.sum() / n_sessions / 100)
    placed: dict[int, np.ndarray] = {}
    for image in rng.permutation(len(repetitions)):
        portions = _portions(rng, int(repetitions[image]), n_sessions)
        # the shortest sessions first, with some chance, so that an image's company changes
        chosen = np.argsort(load + slack * rng.random(n_sessions), kind="stable")[: len(portions)]
        load[chosen] += portions
        placed[image] = np.repeat(chosen, portions)
    return np.concatenate([placed[image] for image in range(len(repetitions))])


def _portions(rng: np.random.Generator, repetitions: int, n_sessions: int) -> np.ndarray:
    """Presentations in each of an image's sessions: at least two in one session, at most three in any."""
    most = min(n_sessions, repetitions - 1)
    if repetitions == 4 and most >= 2:  # as often two and two as two, one and one
        most = int(rng.integers(2, min(most, 3) + 1))
    portions = np.full(most, repetitions // most)
    portions[: repetitions % most] += 1
    if portions.max() > _MOST_IN_ONE_SESSION:
        raise ValueError(
            f"An image is shown at most {_MOST_IN_ONE_SESSION} times in one session; {repetitions} presentations do "
            f"not fit into {n_sessions} sessions. Use a scale with more sessions."
        )
    return portions


def _lost_trials(
    rng: np.random.Generator, stimulus: np.ndarray, stimulus_ids: np.ndarray, scale: Scale, subject: str
) -> list[int]:
    """Rows of the trials that are lost: one each of a few images of every group."""
    parsed = [ids.parse(stimulus_id) for stimulus_id in stimulus_ids]
    group = np.array([(p.repetitions if p.shared else 0) for p in parsed])  # as LostTrials: unique, 4rep, 12rep
    images = [
        image
        for kind, count in zip((0, 4, 12), scale.lost_trials(subject), strict=True)
        for image in rng.choice(np.flatnonzero(group == kind), count, replace=False)
    ]
    return [int(rng.choice(np.flatnonzero(stimulus == image))) for image in images]
