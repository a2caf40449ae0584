"""The trial schedule: what a subject saw when."""

import numpy as np
import pandas as pd

from .rng import generator
from .scales import LostTrials, Scale

_MOST_IN_ONE_SESSION = 3  # the release shows no image more often in one session, and each at least twice in one


def schedule(
    scale: Scale, stimulus_ids: np.ndarray, repetitions: np.ndarray, shared: np.ndarray, subject: str, seed: int
) -> pd.DataFrame:
    """A subject's trials in the order of acquisition.

    Parameters
    ----------
    scale : Scale
    stimulus_ids : numpy.ndarray
        (n_stimuli,) str
    repetitions : numpy.ndarray
        (n_stimuli,) int, planned presentations.
    shared : numpy.ndarray
        (n_stimuli,) bool; with the repetitions it decides which images can lose a trial.
    subject : str
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row per trial: `stimulus` (row in `stimulus_ids`), `stimulus_id`, `repetition` (from 0), `session`
        ("ses-01" ...), `run` (from 1), `beta_index` (from 0 in each session).
    """
    rng = generator(seed, "schedule", subject)
    sessions = _sessions_of_trials(rng, repetitions, scale.sessions)
    stimulus = np.repeat(np.arange(len(repetitions)), repetitions)
    order = np.lexsort((rng.random(len(stimulus)), sessions))  # shuffled within session
    stimulus, session = stimulus[order], sessions[order]
    run = 1 + _rank_in_group(session) * scale.runs_per_session // np.bincount(session)[session]
    kept = ~_lost(rng, stimulus, repetitions, shared, scale.lost_trials(subject))
    stimulus, session, run = stimulus[kept], session[kept], run[kept]
    return pd.DataFrame(
        {
            "stimulus": stimulus,
            "stimulus_id": stimulus_ids[stimulus],
            "repetition": _rank_in_group(stimulus),
            "session": np.array([f"ses-{number + 1:02d}" for number in range(scale.sessions)])[session],
            "run": run,
            "beta_index": _rank_in_group(session),
        }
    )


def _sessions_of_trials(rng: np.random.Generator, repetitions: np.ndarray, n_sessions: int) -> np.ndarray:
    """Session of each presentation, image by image; sessions end up about equally long."""
    load = np.zeros(n_sessions)
    slack = max(1.0, repetitions.sum() / n_sessions / 100)
    placed: list[np.ndarray | None] = [None] * len(repetitions)
    for image in rng.permutation(len(repetitions)):
        portions = _portions(rng, int(repetitions[image]), n_sessions)
        # the emptiest sessions first, with some chance, so that company changes
        chosen = np.argsort(load + slack * rng.random(n_sessions), kind="stable")[: len(portions)]
        load[chosen] += portions
        placed[image] = np.repeat(chosen, portions)
    return np.concatenate(placed)


def _portions(rng: np.random.Generator, repetitions: int, n_sessions: int) -> np.ndarray:
    """How many presentations go to each of an image's sessions: one session at least gets two, none more than three."""
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


def _lost(
    rng: np.random.Generator, stimulus: np.ndarray, repetitions: np.ndarray, shared: np.ndarray, lost: LostTrials
) -> np.ndarray:
    """Which trials are lost: one each of a few images, in the numbers of the scale; (n_trials,) bool."""
    gone = np.zeros(len(stimulus), bool)
    groups = (
        (lost.unique, ~shared),
        (lost.shared_4rep, shared & (repetitions == 4)),
        (lost.shared_12rep, shared & (repetitions == 12)),
    )
    for count, candidates in groups:
        for image in rng.choice(np.flatnonzero(candidates), count, replace=False):
            gone[rng.choice(np.flatnonzero(stimulus == image))] = True
    return gone


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """How many earlier rows have the same value; (n,) int64."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    return rank
