"""What else scoring needs of single trials: averages over halves of them, and what estimates of reliability are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .file import AssemblyFile
from .responses import SubjectResponses, reliable_voxels


@dataclass(frozen=True)
class HalfResponses:
    """The same voxels' averages over two halves of the trials; see :meth:`.file.AssemblyFile.half_averages`."""

    first: SubjectResponses
    second: SubjectResponses

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take, in bytes."""
        return self.first.nbytes + self.second.nbytes


def read_half_responses(
    file: AssemblyFile, region: str, noise_ceiling_threshold: float, stimulus_ids: Sequence[str]
) -> HalfResponses:
    """Average the even and the odd repetitions of a region's reliable voxels.

    Parameters
    ----------
    file : AssemblyFile
    region : str
    noise_ceiling_threshold : float
        Percent; as for `read_responses`.
    stimulus_ids : sequence of str
        Those with fewer than two trials are left out.

    Returns
    -------
    HalfResponses

    Raises
    ------
    DatasetError, SchemaError
        As `read_responses`.
    """
    columns, kept = reliable_voxels(file, region, noise_ceiling_threshold)
    found, values, counts = file.half_averages(columns, stimulus_ids)
    subject = file.header.neuroids["subject_id"].iloc[0]
    for array in (found, *values, *counts):
        array.setflags(write=False)
    first, second = (SubjectResponses(subject, region, found, values[i], counts[i], kept) for i in (0, 1))
    return HalfResponses(first, second)


@dataclass(frozen=True)
class TrialMoments:
    """What estimates of reliability need of one subject's trials in one region.

    Attributes
    ----------
    stimulus_ids : numpy.ndarray of str, shape (n_stimuli,)
        Sorted.
    n_repetitions : numpy.ndarray of int, shape (n_stimuli,)
    sums : numpy.ndarray of float64, shape (n_stimuli, n_neuroids)
        Over the trials of each stimulus.
    squares : dict of int to numpy.ndarray of float64, shape (n_neuroids,)
        Number of repetitions -> sum of squares over all trials of the stimuli that were shown so often.
    neuroids : pandas.DataFrame
        As in `SubjectResponses`.
    """

    stimulus_ids: np.ndarray
    n_repetitions: np.ndarray
    sums: np.ndarray
    squares: dict[int, np.ndarray]
    neuroids: pd.DataFrame


def read_moments(file: AssemblyFile, region: str, noise_ceiling_threshold: float) -> TrialMoments:
    """Sum up the trials of a region's reliable voxels, in one pass and without holding them.

    Raises
    ------
    DatasetError, SchemaError
        As `read_responses`.
    """
    columns, kept = reliable_voxels(file, region, noise_ceiling_threshold)
    stimulus_ids, counts, sums, squares = file.moments(columns)
    return TrialMoments(stimulus_ids, counts, sums, squares, kept)
