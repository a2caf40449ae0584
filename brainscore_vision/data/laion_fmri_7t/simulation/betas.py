"""Single-trial betas: signal plus noise, in percent signal change."""

import numpy as np

from .rng import generator
from .voxels import Voxels

_SESSION_SHIFT = 0.3  # standard deviation of a voxel's mean between sessions, in units of the noise


def session_betas(signal: np.ndarray, voxels: Voxels, subject: str, session: str, seed: int) -> np.ndarray:
    """Betas of one session's trials, as a scanner would give them.

    Parameters
    ----------
    signal : numpy.ndarray
        (n_trials, n_voxels) float32, true responses in standard deviations of the noise.
    voxels : Voxels
    subject, session : str
    seed : int

    Returns
    -------
    numpy.ndarray
        (n_trials, n_voxels) float32, percent signal change: (signal + unit noise + session's shift) times the
        voxel's gain, plus its baseline.
    """
    rng = generator(seed, "noise", subject, session)
    betas = rng.standard_normal(signal.shape, dtype=np.float32)
    betas += signal
    betas += np.float32(_SESSION_SHIFT) * rng.standard_normal(len(voxels), dtype=np.float32)
    betas *= voxels.gain
    betas += voxels.baseline
    return betas


def mean_inverse_repetitions(stimulus: np.ndarray) -> float:
    """Mean over images of 1 / presentations, for a trial list of image numbers."""
    counts = np.bincount(stimulus)
    return float((1 / counts[counts > 0]).mean())
