"""Z-scoring of one session's betas, the only normalisation that the assemblies have.

Amplitudes of single-trial estimates differ between voxels and between sessions for reasons that are not neural, so
each voxel is standardised over the trials of each session (the practice of the Natural Scenes Dataset, Allen et al.
2022, and of the published assemblies).
"""

from dataclasses import dataclass

import numpy as np

_COLUMNS = 512  # voxels at a time: float64 copies of a session stay at a few megabytes


@dataclass(frozen=True)
class ZscoreCounts:
    """What standardising a session met.

    Attributes
    ----------
    non_finite : int
        Values that were NaN or infinite and are 0 now.
    voxels_with_non_finite : int
        Voxels that had at least one such value.
    voxels_without_value : int
        Voxels that had nothing else: all their trials are 0.
    constant_voxels : int
        Voxels with the same finite value in all trials: all their trials are 0.
    """

    non_finite: int = 0
    voxels_with_non_finite: int = 0
    voxels_without_value: int = 0
    constant_voxels: int = 0


def zscore_in_place(betas: np.ndarray) -> ZscoreCounts:
    """Give each voxel (column) mean 0 and standard deviation 1 (ddof 0) over the trials of one session.

    NaN and infinite values are left out of mean and standard deviation and become 0. A voxel that does not vary is
    divided by 1.

    Parameters
    ----------
    betas : numpy.ndarray
        (n_trials, n_voxels) float32, changed.

    Returns
    -------
    ZscoreCounts
    """
    totals = np.zeros(4, np.int64)
    for start in range(0, betas.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        block = betas[:, columns].astype(np.float64)
        missing = ~np.isfinite(block)
        n_missing = missing.sum(0)
        n = np.maximum(len(block) - n_missing, 1)
        block[missing] = 0
        block -= block.sum(0) / n
        block[missing] = 0
        spread = np.sqrt(np.einsum("ij,ij->j", block, block) / n)
        # the mean of equal numbers is rounded: what is left of them is no signal
        largest = np.abs(np.where(missing, 0, betas[:, columns])).max(0, initial=0)
        constant = spread <= largest * np.finfo(np.float64).eps * len(block)
        block[:, constant] = 0
        block /= np.where(constant, 1, spread)
        betas[:, columns] = block
        empty = n_missing == len(block)
        totals += n_missing.sum(), (n_missing > 0).sum(), empty.sum(), (constant & ~empty).sum()
    return ZscoreCounts(*map(int, totals))
