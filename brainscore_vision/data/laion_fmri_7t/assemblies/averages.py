"""What scoring needs of single trials: averages over repetitions, over halves of them, and sums for reliability."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import NoiseCeiling
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import Responses
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from ..constants import PUBLISHED_REPETITIONS, REGION_UNIONS, REGIONS
from ..errors import DatasetError, SchemaError
from .file import NOISE_CEILINGS, AssemblyFile

_logger = logging.getLogger(__name__)

REBUILD_REMEDY = "Build it with them: python rebuild_assemblies.py FOLDER --regions all --start-over."

NEUROID_COLUMNS = ("region", "roi", "voxel_index_in_brain_mask") + NOISE_CEILINGS


def region_voxels(file: AssemblyFile, region: str) -> np.ndarray:
    """Whether each voxel of a file belongs to a region, (n_neuroids,) bool.

    Parameters
    ----------
    file : AssemblyFile
    region : str
        V1, V2, V3, V4, IT or IT_full; a region of interest (FFA1) or a category of them (face), whose regions of interest
        are put together.

    Raises
    ------
    DatasetError
        If the subject lacks the region, or the file was built without it.
    """
    labels, table = file.header.neuroids["region"], file.header.regions
    if region in (*REGIONS, *REGION_UNIONS):
        members = REGION_UNIONS.get(region, (region,))
        inside = labels.isin(members).to_numpy()
        if not inside.any():
            raise DatasetError(
                f"{file.path}: scoring {region} needs voxels of {' or '.join(members)}; the file has "
                f"{', '.join(sorted(set(labels)))}. Score a region that the file has."
            )
        return inside
    if table is None:
        known = f"{', '.join((*REGIONS, *REGION_UNIONS))}"
        raise DatasetError(
            f"A region is one of {known}; got {region!r}. {file.path} was built without regions of interest. {REBUILD_REMEDY}"
        )
    if not table.members(region):
        raise DatasetError(
            f"A region is one of {', '.join((*REGIONS, *REGION_UNIONS, *table.names()))} in {file.path}; got {region!r}. "
            f"Choose one of these."
        )
    if table.not_held(region):
        raise DatasetError(
            f"{file.path}: scoring {region} needs all voxels of {', '.join(table.members(region))}; the file was built "
            f"without {', '.join(table.not_held(region))}. {REBUILD_REMEDY}"
        )
    inside = table.inside(region)
    if not inside.any():
        raise DatasetError(f"{file.path}: {region} has no voxel in the brain mask. Score another region.")
    return inside


def read_responses(file: AssemblyFile, region: str, noise_ceiling_threshold: float) -> Responses:
    """Average the trials of a region's reliable voxels.

    Parameters
    ----------
    file : AssemblyFile
    region : str
        As for :func:`region_voxels`.
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it are kept. A voxel whose nc_12rep is NaN never is.

    Returns
    -------
    Responses
        Of all stimuli that the subject saw, sorted by id; float32, in standard deviations of the voxel within a session.
        Read-only. ``neuroids``: region, roi, voxel_index_in_brain_mask, nc_4rep, nc_12rep and nc_allrep (percent).

    Raises
    ------
    DatasetError
        If the region is unknown, absent from the file or without a voxel above the threshold.
    SchemaError
        If the file breaks a rule of the dataset folder, such as finite betas.
    """
    columns, neuroids = reliable_voxels(file, region, noise_ceiling_threshold)
    found = file.averages(columns)
    if found[2].max(initial=0) == 1:
        warn_once(
            f"{file.path}: each stimulus has one trial. If these are averages, the noise is taken for that of single trials, "
            f"and explained_variance, correlation and their ceilings are wrong: put the trials into the file."
        )
    return _responses(file, neuroids, *found)


def read_half_responses(
    file: AssemblyFile, region: str, noise_ceiling_threshold: float, stimulus_ids: Sequence[str]
) -> tuple[Responses, Responses]:
    """Average the even and the odd repetitions of a region's reliable voxels; otherwise as :func:`read_responses`.

    Parameters
    ----------
    file : AssemblyFile
    region : str
    noise_ceiling_threshold : float
    stimulus_ids : sequence of str
        Those with fewer than two trials are left out.
    """
    columns, neuroids = reliable_voxels(file, region, noise_ceiling_threshold)
    found, values, counts = file.half_averages(columns, stimulus_ids)
    first, second = (_responses(file, neuroids, found, values[i], counts[i], None) for i in (0, 1))
    return first, second


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
        As those of :func:`read_responses`.
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
        As :func:`read_responses`.
    """
    columns, neuroids = reliable_voxels(file, region, noise_ceiling_threshold)
    stimulus_ids, counts, sums, squares = file.moments(columns)
    return TrialMoments(stimulus_ids, counts, sums, squares, neuroids)


def reliable_voxels(file: AssemblyFile, region: str, noise_ceiling_threshold: float) -> tuple[np.ndarray, pd.DataFrame]:
    """Voxels of a region with nc_12rep above a threshold (percent): positions in the file, and their coordinates.

    Raises
    ------
    DatasetError, SchemaError
        As :func:`read_responses`.
    """
    neuroids, in_region = file.header.neuroids, region_voxels(file, region)
    ceiling = neuroids["nc_12rep"].to_numpy()
    unknown = in_region & np.isnan(ceiling)
    if unknown.any():
        _logger.warning(
            "%s: %d of %d voxels of %s have no nc_12rep (NaN) and are left out",
            file.path,
            unknown.sum(),
            in_region.sum(),
            region,
        )
    columns = np.flatnonzero(in_region & (ceiling > noise_ceiling_threshold))
    if not len(columns):
        raise DatasetError(
            f"{file.path}: scoring {region} needs voxels with nc_12rep above {noise_ceiling_threshold:g} "
            f"percent; the largest of its {in_region.sum()} voxels is "
            f"{np.nan_to_num(ceiling[in_region]).max():g}. Lower the noise ceiling threshold."
        )
    kept = neuroids.iloc[columns].reset_index(drop=True)[list(NEUROID_COLUMNS)]
    if kept[list(NOISE_CEILINGS)].isna().any(axis=None):
        without = kept[list(NOISE_CEILINGS)].isna()
        raise SchemaError(
            f"{file.path}: a voxel with nc_12rep has nc_4rep and nc_allrep as well; "
            f"{without.any(axis=1).sum()} voxels of {region} lack {', '.join(without.columns[without.any()])}, "
            f"first: voxel_index_in_brain_mask "
            f"{kept['voxel_index_in_brain_mask'][without.any(axis=1)].iloc[0]}. Rebuild these coordinates "
            f"from the release's maps."
        )
    return columns, kept


def _responses(
    file: AssemblyFile,
    neuroids: pd.DataFrame,
    stimulus_ids: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    noise_variance: np.ndarray | None,
) -> Responses:
    for array in (stimulus_ids, values, counts):
        array.setflags(write=False)  # these are cached: a caller must not change what the next one gets
    ceiling = NoiseCeiling(neuroids["nc_12rep"].to_numpy(dtype=float) / 100, 1 / PUBLISHED_REPETITIONS)
    return Responses(
        file.header.neuroids["subject_id"].iloc[0], stimulus_ids, values, counts, neuroids, ceiling, noise_variance
    )
