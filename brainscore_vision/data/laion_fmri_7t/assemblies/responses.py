"""What the benchmarks score against: one subject's repetition averages in one region."""

import logging
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..constants import REGION_UNIONS, REGIONS
from ..errors import DatasetError, SchemaError
from .file import AssemblyFile
from .header import DIMENSIONS, NOISE_CEILINGS

_logger = logging.getLogger(__name__)

NEUROID_COLUMNS = ("region", "roi", "voxel_index_in_brain_mask") + NOISE_CEILINGS


@dataclass(frozen=True)
class SubjectResponses:
    """Average responses of one subject's voxels in one region.

    Attributes
    ----------
    subject : str
        Such as ``sub-01``.
    region : str
        Region as asked for; ``IT_full`` is V4 and IT.
    stimulus_ids : numpy.ndarray of str, shape (n_stimuli,)
        Sorted, when read from a file; in the order asked for after `select`.
    values : numpy.ndarray of float32, shape (n_stimuli, n_neuroids)
        Means over repetitions, in standard deviations of the voxel within a session. Read-only.
    n_repetitions : numpy.ndarray of int, shape (n_stimuli,)
        Trials behind each row of `values`.
    neuroids : pandas.DataFrame
        One row per voxel, in the order of the file: region, roi, voxel_index_in_brain_mask, nc_4rep, nc_12rep and
        nc_allrep (percent).
    """

    subject: str
    region: str
    stimulus_ids: np.ndarray
    values: np.ndarray
    n_repetitions: np.ndarray
    neuroids: pd.DataFrame

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take, in bytes."""
        return self.values.nbytes + self.stimulus_ids.nbytes + self.n_repetitions.nbytes

    def select(self, stimulus_ids) -> "SubjectResponses":
        """The same voxels for some stimuli, in the order given.

        Parameters
        ----------
        stimulus_ids : sequence of str

        Raises
        ------
        DatasetError
            If the subject has no trial of one of them.
        """
        wanted = np.asarray(stimulus_ids, dtype=str)
        positions = pd.Index(self.stimulus_ids).get_indexer(wanted)
        absent = wanted[positions < 0]
        if len(absent):
            raise DatasetError(
                f"Every stimulus that is scored needs a trial of {self.subject}; {len(absent)} of "
                f"{len(wanted)} have none, first: {', '.join(map(repr, absent[:3].tolist()))}. Use the "
                f"splits that belong to this dataset and subject."
            )
        return SubjectResponses(
            self.subject, self.region, wanted, self.values[positions], self.n_repetitions[positions], self.neuroids
        )

    def to_assembly(self):
        """The same as Brain-Score's NeuroidAssembly, for metrics that want one.

        Returns
        -------
        NeuroidAssembly, float32 (presentation, neuroid)
            A copy. Coordinates: presentation: stimulus_id, n_repetitions, subject_id_pres; neuroid: subject_id and the
            columns of `neuroids`. One row per stimulus, so there is no repetition.
        """
        from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

        n_stimuli, n_neuroids = self.values.shape
        presentations = {
            "stimulus_id": self.stimulus_ids.astype(object),
            "n_repetitions": self.n_repetitions,
            "subject_id_pres": np.full(n_stimuli, self.subject, dtype=object),
        }
        neuroids = {"subject_id": np.full(n_neuroids, self.subject, dtype=object)}
        neuroids |= {name: column.to_numpy() for name, column in self.neuroids.items()}
        coords = {name: (DIMENSIONS[0], values) for name, values in presentations.items()}
        coords |= {name: (DIMENSIONS[1], values) for name, values in neuroids.items()}
        return NeuroidAssembly(self.values.copy(), dims=DIMENSIONS, coords=coords)


def region_members(region: str) -> tuple[str, ...]:
    """Stored regions that a region name stands for.

    Raises
    ------
    DatasetError
        If there is no such region.
    """
    if region in REGIONS:
        return (region,)
    if region in REGION_UNIONS:
        return REGION_UNIONS[region]
    raise DatasetError(
        f"A region is one of {', '.join((*REGIONS, *REGION_UNIONS))}; got {region!r}. Choose one of these."
    )


def read_responses(file: AssemblyFile, region: str, noise_ceiling_threshold: float) -> SubjectResponses:
    """Average the trials of a region's reliable voxels.

    Parameters
    ----------
    file : AssemblyFile
    region : str
        V1, V2, V3, V4, IT or IT_full.
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it are kept. A voxel whose nc_12rep is NaN never is.

    Returns
    -------
    SubjectResponses

    Raises
    ------
    DatasetError
        If the region is unknown, absent from the file or without a voxel above the threshold.
    SchemaError
        If the file breaks a rule of the dataset folder, such as finite betas.
    """
    columns, kept = reliable_voxels(file, region, noise_ceiling_threshold)
    stimulus_ids, values, counts = file.averages(columns)
    for array in (stimulus_ids, values, counts):
        array.setflags(write=False)  # these are cached: a caller must not change what the next one gets
    subject = file.header.neuroids["subject_id"].iloc[0]
    return SubjectResponses(subject, region, stimulus_ids, values, counts, kept)


def reliable_voxels(file: AssemblyFile, region: str, noise_ceiling_threshold: float) -> tuple[np.ndarray, pd.DataFrame]:
    """Voxels of a region with nc_12rep above a threshold (percent): positions in the file, and their coordinates.

    Raises
    ------
    DatasetError, SchemaError
        As `read_responses`.
    """
    members = region_members(region)
    neuroids = file.header.neuroids
    in_region = neuroids["region"].isin(members).to_numpy()
    if not in_region.any():
        raise DatasetError(
            f"{file.path}: scoring {region} needs voxels of {' or '.join(members)}; the file has "
            f"{', '.join(sorted(set(neuroids['region'])))}. Score a region that the file has."
        )
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


class ResponseCache:
    """Least recently used responses, kept within a number of bytes.

    Parameters
    ----------
    max_bytes : int
        Responses larger than this are not kept at all.
    """

    def __init__(self, max_bytes: int = 512 * 2**20):
        self.max_bytes = max_bytes
        self._entries: OrderedDict[tuple, SubjectResponses] = OrderedDict()

    def get(self, key: tuple, make) -> SubjectResponses:
        """The entry under `key`, made by ``make()`` if it is not there."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        entry = make()
        if entry.nbytes <= self.max_bytes:
            self._entries[key] = entry
            while sum(kept.nbytes for kept in self._entries.values()) > self.max_bytes:
                self._entries.popitem(last=False)
        return entry
