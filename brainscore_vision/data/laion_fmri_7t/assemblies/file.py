"""An assembly file: its coordinates, checked before any of its data, and repetition averages of its trials, a block at a time.

One subject's single trials are one netCDF4 variable ``data`` (presentation, neuroid) of floats. Every coordinate is a
one-dimensional variable on one of the two dimensions. Files written through Brain-Score's packaging carry extra
variables (``presentation``, ``presentation_level_0``, ``subject_id_pres``): leftovers of xarray's multi-indexes and of
file names, which are not read.

A subject's trial matrix (31,856 x 7,400 float32, 940 MB) is never held: a request names its voxels, the file is walked
in blocks of at most `block_bytes`, and only the sums per stimulus stay.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5netcdf.legacyapi
import h5py
import netCDF4
import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import read_hdf5
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import noise_variance
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from ..constants import OTHER_REGION, REGIONS, SUBJECTS
from ..errors import MissingDataError, SchemaError
from .region_table import RegionTable

DATA_VARIABLE = "data"
DIMENSIONS = ("presentation", "neuroid")
PRESENTATION_REQUIRED = ("stimulus_id", "repetition")
PRESENTATION_OPTIONAL = ("session", "run", "beta_index")
NOISE_CEILINGS = ("nc_4rep", "nc_12rep", "nc_allrep")
NEUROID_REQUIRED = ("subject_id", "region", "roi", "voxel_index_in_brain_mask") + NOISE_CEILINGS
INTEGER_COORDINATES = ("repetition", "run", "beta_index", "voxel_index_in_brain_mask")
REGIONS_GROUP = "regions_of_interest"
"""Group of the file with the table of memberships; older and published files lack it."""

LAYOUT_REMEDY = "Write the file again in the layout of the dataset folder (README, 'The dataset folder')."

BLOCK_BYTES = 16 * 2**20
"""Data read at once, in bytes, unless one stored chunk is larger."""

MAX_CHUNK_BYTES = 512 * 2**20
"""Largest stored chunk that is read: HDF5 hands out a compressed chunk whole or not at all."""

LARGEST_BETA = 1e30
"""No response is beyond it (in standard deviations), and netCDF's mark of what was never written, 9.97e36, is."""

SAMPLE_BYTES = 48 * 2**20
"""Stored data that a fingerprint looks into at most, in whole chunks; at least 3 places, at most 64."""


@dataclass(frozen=True)
class AssemblyHeader:
    """Everything of an assembly file but its data.

    Attributes
    ----------
    presentations : pandas.DataFrame
        One row per trial: stimulus_id, repetition and, where the file has them, session, run, beta_index.
    neuroids : pandas.DataFrame
        One row per voxel: subject_id, region, roi, voxel_index_in_brain_mask, nc_4rep, nc_12rep, nc_allrep (percent).
    attributes : dict
        Attributes of the file and of its data variable.
    dtype : numpy.dtype
        Type of the stored data.
    chunks : tuple of int, or None
        Shape of the stored chunks; None where the data lie contiguously.
    regions : RegionTable or None
        Regions of interest; None for a file that was built without.
    """

    presentations: pd.DataFrame
    neuroids: pd.DataFrame
    attributes: dict
    dtype: np.dtype
    chunks: tuple[int, int] | None
    regions: RegionTable | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of trials, number of voxels."""
        return len(self.presentations), len(self.neuroids)


def open_netcdf(path: Path) -> netCDF4.Dataset | h5netcdf.legacyapi.Dataset:
    """Open a netCDF4 file for raw reading: no masking, no scaling.

    Raises
    ------
    MissingDataError
        If there is no such file.
    SchemaError
        If the file is not netCDF4, or incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"An assembly file is needed at {path}, but there is none.")
    try:
        # h5py and not the netCDF library, which needs locks, that some network disks lack, and crashes if a program has the
        # file open through xarray besides
        if h5py.is_hdf5(path):
            return read_hdf5(path, h5netcdf.legacyapi.Dataset)
        file = netCDF4.Dataset(str(path), "r")
    except OSError as error:
        raise SchemaError(
            f"An assembly must be a complete netCDF4 file; {path} ({path.stat().st_size:,} bytes) cannot "
            f"be opened as one: {error}. Copy, download or simulate it again."
        ) from error
    file.set_auto_maskandscale(False)
    return file


def read_header(path: Path, subject: str | None = None) -> AssemblyHeader:
    """Read and check the coordinates of an assembly file.

    Parameters
    ----------
    path : Path
    subject : str, optional
        Whose file it has to be; None takes any single subject.

    Raises
    ------
    MissingDataError
        If there is no such file.
    SchemaError
        If the variable, a coordinate or a value of a coordinate breaks a rule of the dataset folder.
    """
    with open_netcdf(path) as file:
        data = data_variable(file, path)
        presentations = _coordinates(file, path, DIMENSIONS[0], PRESENTATION_REQUIRED, PRESENTATION_OPTIONAL)
        neuroids = _coordinates(file, path, DIMENSIONS[1], NEUROID_REQUIRED, ())
        attributes = {name: source.getncattr(name) for source in (data, file) for name in source.ncattrs()}
        chunking = data.chunking()
        header = AssemblyHeader(
            presentations,
            neuroids,
            attributes,
            np.dtype(data.dtype),
            None if chunking == "contiguous" else tuple(chunking),
            _region_table(file, path, len(neuroids)),
        )
    _check_presentations(presentations, path)
    _check_neuroids(neuroids, path, subject)
    return header


def data_variable(file: netCDF4.Dataset, path: Path) -> netCDF4.Variable:
    """The variable of the trials, (presentation, neuroid) floats; SchemaError if the file has no such variable."""
    if DATA_VARIABLE not in file.variables:
        raise SchemaError(
            f"{path}: an assembly holds its trials in one variable named {DATA_VARIABLE!r}; "
            f"found {sorted(file.variables)}. {LAYOUT_REMEDY}"
        )
    data = file.variables[DATA_VARIABLE]
    if data.dimensions != DIMENSIONS:
        raise SchemaError(
            f"{path}: the dimensions of {DATA_VARIABLE!r} must be {DIMENSIONS}; found "
            f"{data.dimensions}. {LAYOUT_REMEDY}"
        )
    packed = {"scale_factor", "add_offset"} & set(data.ncattrs())
    if np.dtype(data.dtype).kind != "f" or packed:
        raise SchemaError(
            f"{path}: {DATA_VARIABLE!r} must hold plain floats; found {data.dtype}"
            f"{' packed with ' + ', '.join(sorted(packed)) if packed else ''}. {LAYOUT_REMEDY}"
        )
    if 0 in data.shape:
        raise SchemaError(
            f"{path}: an assembly needs trials and voxels; found {data.shape[0]} trials and "
            f"{data.shape[1]} voxels. {LAYOUT_REMEDY}"
        )
    return data


def _coordinates(file: netCDF4.Dataset, path: Path, dimension: str, required: tuple, optional: tuple) -> pd.DataFrame:
    """All coordinates of one dimension as the columns of a table, one row per entry of the dimension."""
    on_dimension = {
        name
        for name, variable in file.variables.items()
        if variable.dimensions[:1] == (dimension,) and name != DATA_VARIABLE
    }
    missing = [name for name in required if name not in on_dimension]
    if missing:
        elsewhere = [f"{name} lies on {file.variables[name].dimensions}" for name in missing if name in file.variables]
        raise SchemaError(
            f"{path}: an assembly needs the coordinates {', '.join(required)} on its {dimension} "
            f"dimension; missing: {', '.join(missing)}; found: {', '.join(sorted(on_dimension)) or 'none'}"
            f"{'; ' + ', '.join(elsewhere) if elsewhere else ''}. {LAYOUT_REMEDY}"
        )
    names = list(required) + [name for name in optional if name in on_dimension]
    columns = {name: _values(file.variables[name], name, path) for name in names}
    return pd.DataFrame(columns)


def _region_table(file: netCDF4.Dataset, path: Path, n_neuroids: int) -> RegionTable | None:
    """The file's table of memberships, checked; None if it has none."""
    if REGIONS_GROUP not in file.groups:
        return None
    group = file.groups[REGIONS_GROUP]
    try:
        names, categories, held, membership = (
            stored_values(group.variables[name]) for name in ("name", "category", "is_held", "membership")
        )
    except KeyError as error:
        raise SchemaError(
            f"{path}: the group {REGIONS_GROUP} has name, category, is_held and membership; {error} is missing. "
            f"{LAYOUT_REMEDY}"
        ) from error
    n_regions = len(names)
    if membership.shape != (n_neuroids, n_regions) or not np.isin(membership, (0, 1)).all():
        raise SchemaError(
            f"{path}: memberships are 0 or 1 for each of {n_neuroids} voxels and {n_regions} regions of interest; found "
            f"shape {membership.shape}, values {np.unique(membership)[:5].tolist()}. {LAYOUT_REMEDY}"
        )
    if len(set(names)) < n_regions or len(categories) != n_regions or len(held) != n_regions:
        raise SchemaError(
            f"{path}: each region of interest has one name and one category; found {', '.join(names)}. {LAYOUT_REMEDY}"
        )
    table = pd.DataFrame(membership.astype(bool), columns=list(names))
    return RegionTable(dict(zip(names, categories, strict=True)), table.loc[:, held.astype(bool)])


def stored_values(variable: netCDF4.Variable) -> np.ndarray:
    """A variable's values: text as str objects, whichever way the writer stored it, numbers as they are."""
    values = variable[:]
    if values.dtype == "S1" and values.ndim == 2:  # fixed-width text: one axis more, of characters
        values = netCDF4.chartostring(values, encoding="utf-8")
    if values.dtype.kind not in "OSU" or values.ndim != 1:
        return values
    return np.array(
        [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values], dtype=object
    )


def _values(variable: netCDF4.Variable, name: str, path: Path) -> np.ndarray:
    """A coordinate's values: str objects, integers or float32."""
    values = stored_values(variable)
    if values.ndim != 1:
        raise SchemaError(
            f"{path}: coordinate {name} must be one-dimensional; found shape {values.shape}. {LAYOUT_REMEDY}"
        )
    if name in INTEGER_COORDINATES:
        return _integers(values, name, path)
    if name in NOISE_CEILINGS:
        if values.dtype.kind not in "fiu":
            raise SchemaError(
                f"{path}: coordinate {name} must hold numbers (percent); found {values.dtype}. {LAYOUT_REMEDY}"
            )
        return values.astype(np.float32)
    return np.array([str(value) for value in values], dtype=object)


def _integers(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    is_number = values.dtype.kind in "fiu"
    if not is_number or not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise SchemaError(
            f"{path}: coordinate {name} must hold integers; found {values.dtype}, "
            f"such as {values[:3].tolist()}. {LAYOUT_REMEDY}"
        )
    return values.astype(np.int64)


def _check_presentations(presentations: pd.DataFrame, path: Path) -> None:
    nameless = (presentations["stimulus_id"] == "").to_numpy()
    if nameless.any():
        raise SchemaError(
            f"{path}: every trial needs a stimulus_id; {nameless.sum()} trials have none, first: row "
            f"{np.flatnonzero(nameless)[0]}. {LAYOUT_REMEDY}"
        )
    pairs = presentations[["stimulus_id", "repetition"]]
    repeated = pairs[pairs.duplicated()]
    if len(repeated):
        first = repeated.iloc[0]
        raise SchemaError(
            f"{path}: each stimulus has each repetition number once; {len(repeated)} trials repeat one, "
            f"first: {first['stimulus_id']!r}, repetition {first['repetition']}, row "
            f"{repeated.index[0]}. Remove the duplicates, or count repetitions anew from 0."
        )


def _check_neuroids(neuroids: pd.DataFrame, path: Path, subject: str | None) -> None:
    unknown = sorted(set(neuroids["region"]) - {*REGIONS, OTHER_REGION})
    if unknown:
        raise SchemaError(
            f"{path}: the region of a voxel is one of {', '.join(REGIONS)}, or {OTHER_REGION}; found "
            f"{', '.join(map(repr, unknown))}. Leave these voxels out or name their region."
        )
    subjects = sorted(set(neuroids["subject_id"]))
    if len(subjects) != 1 or subject not in (None, subjects[0]):
        raise SchemaError(
            f"{path}: an assembly file holds one subject, {subject or 'any'}; its subject_id says "
            f"{', '.join(map(repr, subjects))}. Put each subject's file under that subject's name."
        )
    index = neuroids["voxel_index_in_brain_mask"]
    if index.duplicated().any():
        raise SchemaError(
            f"{path}: a voxel belongs to one region and occurs once; {index.duplicated().sum()} entries "
            f"of voxel_index_in_brain_mask occur again, first: {index[index.duplicated()].iloc[0]}. "
            f"Make the region masks exclusive."
        )
    for name in NOISE_CEILINGS:
        values = neuroids[name].to_numpy()
        outside = (values < 0) | (values > 100)  # NaN is neither: a voxel may lack a ceiling, and is then never used
        if outside.any():
            raise SchemaError(
                f"{path}: {name} is a noise ceiling in percent, 0 to 100; {outside.sum()} voxels lie "
                f"outside, first: {values[outside][0]:g}. Rebuild the coordinate from the release's maps."
            )
    largest = np.nan_to_num(neuroids["nc_12rep"].to_numpy()).max()
    if 0 < largest <= 1:
        raise SchemaError(
            f"{path}: noise ceilings are percent, 0 to 100; the largest nc_12rep is {largest:g}, which "
            f"looks like a fraction. Multiply {', '.join(NOISE_CEILINGS)} by 100."
        )


class AssemblyFile:
    """Single trials of one subject on disk.

    Parameters
    ----------
    path : Path
        netCDF4 file in the layout of the dataset folder, or as published by Brain-Score.
    subject : str, optional
        Whose file it has to be.
    block_bytes : int
        Most data to read at once, in bytes. Changes memory and speed, not the result.
    """

    def __init__(self, path: Path, subject: str | None = None, block_bytes: int = BLOCK_BYTES):
        self.path = Path(path)
        self.subject = subject
        self.block_bytes = block_bytes

    @cached_property
    def header(self) -> AssemblyHeader:
        """Coordinates and attributes, checked; read once."""
        return read_header(self.path, self.subject)

    @cached_property
    def _stimuli(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted unique stimulus ids (n_stimuli,), and the position among them of each trial's (n_trials,)."""
        return np.unique(self.header.presentations["stimulus_id"].to_numpy().astype(str), return_inverse=True)

    def averages(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Mean over all repetitions of each stimulus, for some voxels, and how far single trials are from it.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (n_columns,)
            Positions on the neuroid dimension, ascending.

        Returns
        -------
        stimulus_ids : numpy.ndarray of str, shape (n_stimuli,)
            Sorted.
        means : numpy.ndarray of float32, shape (n_stimuli, n_columns)
            Summed in float64.
        counts : numpy.ndarray of int64, shape (n_stimuli,)
            Trials behind each mean.
        noise_variance : numpy.ndarray of float64, shape (n_columns,), or None
            Of a trial within its stimulus, pooled over all stimuli; None if no stimulus was repeated.

        Raises
        ------
        SchemaError
            If a trial of these voxels is NaN, infinite or beyond `LARGEST_BETA`.
        """
        stimulus_ids, codes = self._stimuli
        counts = np.bincount(codes, minlength=len(stimulus_ids))
        squares = np.zeros(len(columns))

        def add_squares(rows: slice, positions: slice, block: np.ndarray) -> None:
            squares[positions] += np.einsum("ij,ij->j", block, block, dtype=float)

        sums = self._sums(columns, codes, len(stimulus_ids), also=add_squares)
        return stimulus_ids, _divided(sums, counts), counts, noise_variance(sums, squares, counts)

    def half_averages(
        self, columns: np.ndarray, wanted: Sequence[str]
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Means over the even and over the odd repetitions (the first, third, ...; the second, fourth, ...).

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (n_columns,)
            Positions on the neuroid dimension, ascending.
        wanted : sequence of str
            Stimuli to average; those with fewer than two trials are left out.

        Returns
        -------
        stimulus_ids : numpy.ndarray of str, shape (n_stimuli,)
            Sorted.
        means : two of numpy.ndarray of float32, shape (n_stimuli, n_columns)
        counts : two of numpy.ndarray of int64, shape (n_stimuli,)
            Trials behind each mean.

        Raises
        ------
        SchemaError
            If a trial of these voxels is NaN, infinite or beyond `LARGEST_BETA`.
        """
        stimulus_ids, codes = self._stimuli
        trials = np.bincount(codes, minlength=len(stimulus_ids))
        kept = np.flatnonzero(np.isin(stimulus_ids, list(wanted)) & (trials >= 2))
        position = np.full(len(stimulus_ids), -1)
        position[kept] = np.arange(len(kept))
        # the order of a stimulus's own trials: repetition numbers may have gaps where a trial was lost
        order = self.header.presentations.groupby("stimulus_id")["repetition"].rank().to_numpy().astype(int) - 1
        halves = np.where(position[codes] < 0, -1, 2 * position[codes] + order % 2)
        counts = np.bincount(halves[halves >= 0], minlength=2 * len(kept))
        means = self._means(columns, halves, counts)
        return stimulus_ids[kept], (means[::2], means[1::2]), (counts[::2], counts[1::2])

    def moments(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, np.ndarray]]:
        """Sums and sums of squares of trials, in one pass: what estimates of reliability need.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (n_columns,)
            Positions on the neuroid dimension, ascending.

        Returns
        -------
        stimulus_ids : numpy.ndarray of str, shape (n_stimuli,)
            Sorted.
        counts : numpy.ndarray of int64, shape (n_stimuli,)
            Trials of each stimulus.
        sums : numpy.ndarray of float64, shape (n_stimuli, n_columns)
            Over the trials of each stimulus.
        squares : dict of int to numpy.ndarray of float64, shape (n_columns,)
            Number of repetitions -> sum of squares over all trials of the stimuli that were shown so often.
        """
        columns = np.asarray(columns, dtype=np.int64)
        stimulus_ids, codes = self._stimuli
        counts = np.bincount(codes, minlength=len(stimulus_ids))
        repetitions, group = np.unique(counts, return_inverse=True)
        squares = np.zeros((len(repetitions), len(columns)))

        def add_squares(rows: slice, positions: slice, block: np.ndarray) -> None:
            of_trial = group[codes[rows]]
            for g in np.unique(of_trial):
                trials = block[of_trial == g].astype(float)
                squares[g, positions] += np.einsum("ij,ij->j", trials, trials)

        sums = self._sums(columns, codes, len(stimulus_ids), also=add_squares)
        return stimulus_ids, counts, sums, dict(zip(repetitions.tolist(), squares, strict=True))

    def _means(self, columns: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Mean of the trials of each code, float32, shape (n_codes, n_columns)."""
        return _divided(self._sums(columns, codes, len(counts)), counts)

    def _sums(self, columns: np.ndarray, codes: np.ndarray, n_codes: int, also: Callable | None = None) -> np.ndarray:
        """Sum of the trials of each code, float64, shape (n_codes, n_columns); trials with a negative code are skipped.

        ``also(rows, positions, block)`` is called with every block.
        """
        columns = np.asarray(columns, dtype=np.int64)
        sums, used = np.zeros((n_codes, len(columns))), np.zeros(len(codes), bool)
        for rows, positions, block in self.blocks(columns):
            used[rows] |= block.any(axis=1)
            of_tile = sums[:, positions]
            for code, trial in zip(codes[rows], block, strict=True):  # faster here than sparse products or np.add.at
                if code >= 0:
                    of_tile[code] += trial
            if also is not None:
                also(rows, positions, block)
        # a sum of finite float32 values cannot overflow float64, and nan fails every comparison
        limit = LARGEST_BETA * np.bincount(codes[codes >= 0], minlength=1).max()
        if not (sums.max(initial=0) <= limit and sums.min(initial=0) >= -limit):
            raise SchemaError(self._describe_wrong_values(columns))
        empty = np.flatnonzero(~used & (codes >= 0))
        if len(empty):
            first = self.header.presentations["stimulus_id"].iloc[empty[0]]
            warn_once(
                f"{self.path}: {len(empty)} of {len(codes)} trials are zero in all voxels that are read, first trial "
                f"{empty[0]} ({first}). If they were never written, leave them out of the file."
            )
        return sums

    def blocks(self, columns: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Walk the trials of some voxels.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (n_columns,)
            Positions on the neuroid dimension, ascending.

        Yields
        ------
        rows : slice
            Trials of the block.
        positions : slice
            Which entries of `columns` the block's columns are.
        block : numpy.ndarray, shape (n_rows, n_positions)
            The values, as stored.
        """
        columns = np.asarray(columns, dtype=np.int64)
        if (np.diff(columns) <= 0).any():
            raise ValueError("Columns must ascend, without repeats; these do not. Sort them (numpy.unique).")
        with open_netcdf(self.path) as file:
            data = file.variables[DATA_VARIABLE]
            for positions, row_step in self._tiles(columns):
                wanted = columns[positions]
                for start in range(0, self.header.shape[0], row_step):
                    rows = slice(start, min(start + row_step, self.header.shape[0]))
                    yield rows, positions, self._read(data, rows, wanted)

    def _tiles(self, columns: np.ndarray) -> Iterator[tuple[slice, int]]:
        """Groups of columns to read together, each with its number of rows per block.

        Blocks follow the stored chunks, so that each chunk is decompressed once.
        """
        itemsize = self.header.dtype.itemsize
        n_rows, n_columns = self.header.shape
        chunk_rows, chunk_columns = self.header.chunks or (1, n_columns)
        chunk_bytes = chunk_rows * chunk_columns * itemsize
        if self.header.chunks and chunk_bytes > MAX_CHUNK_BYTES:
            raise SchemaError(
                f"{self.path}: stored chunks may have {MAX_CHUNK_BYTES // 2**20} MiB, because each is "
                f"decompressed as a whole; these have {chunk_bytes // 2**20} MiB (shape "
                f"{self.header.chunks}). Store the file with smaller chunks, such as "
                f"`nccopy -c presentation/1000,neuroid/500 old.nc new.nc`."
            )
        chunks_wide = max(1, self.block_bytes // chunk_bytes)
        tile_of_column = columns // (chunk_columns * chunks_wide)
        starts = np.flatnonzero(np.diff(tile_of_column, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(columns)], strict=True):
            width = int(columns[stop - 1] - columns[start]) + 1
            row_bytes = max(1, width) * itemsize
            fitting = max(1, self.block_bytes // (chunk_rows * row_bytes))
            yield slice(start, stop), min(fitting * chunk_rows, n_rows)

    def _read(self, data: netCDF4.Variable, rows: slice, wanted: np.ndarray) -> np.ndarray:
        """Rows of some columns: the columns between the first and the last are read, the wanted ones kept."""
        first, last = wanted[0], wanted[-1]
        try:
            block = data[rows, first : last + 1]
        except (
            RuntimeError,
            OSError,
        ) as error:  # netCDF4's and h5py's word for data that cannot be decompressed or read
            raise SchemaError(
                f"{self.path}: trials {rows.start} to {rows.stop - 1} must be readable; the netCDF library "
                f"says {error}. Copy, download or simulate the file again."
            ) from error
        if len(wanted) == last - first + 1:
            return block
        return np.take(block, wanted - first, axis=1)  # rows stay contiguous, which block[:, ...] would not keep

    def _describe_wrong_values(self, columns: np.ndarray) -> str:
        """Where the trials are not finite, or beyond every response; reads the file again."""
        count, examples, voxels = 0, [], set()
        for rows, positions, block in self.blocks(columns):
            bad_rows, bad_columns = np.nonzero(~(np.abs(block) <= LARGEST_BETA))
            count += len(bad_rows)
            voxels.update(columns[positions][bad_columns].tolist())
            for row, column in list(zip(bad_rows, bad_columns, strict=True))[: 3 - len(examples)]:
                trial, voxel = rows.start + row, columns[positions][column]
                stimulus_id = self.header.presentations["stimulus_id"].iloc[trial]
                examples.append(f"trial {trial} ({stimulus_id}), neuroid {voxel}: {block[row, column]}")
        return (
            f"{self.path}: the betas of voxels that are scored must be finite; {count:,} values in {len(voxels)} "
            f"voxels are NaN, infinite or beyond {LARGEST_BETA:g} (as netCDF marks what was never written), such as "
            f"{'; '.join(examples)}. Remove these voxels from the file, or "
            f"set their nc_12rep to NaN, so that no threshold lets them in."
        )

    def sample_digest(self) -> str:
        """SHA-1 over every coordinate, the shape, and the values at a few places spread over the data.

        Returns
        -------
        str
            Hexadecimal. Takes a fraction of a second, because it reads windows of 16 trials from the first row and
            voxel to the last.
        """
        digest = hashlib.sha1()
        for table in (self.header.presentations, self.header.neuroids):
            for name in table.columns:
                values = table[name].to_numpy()
                digest.update(name.encode())
                digest.update("\0".join(values).encode() if values.dtype == object else values.tobytes())
        if self.header.regions is not None:
            table = self.header.regions
            digest.update(repr((table.categories, list(table.membership))).encode())
            digest.update(np.packbits(table.membership.to_numpy()).tobytes())
        digest.update(repr((self.header.shape, self.header.dtype.str)).encode())
        digest.update(str(self.path.stat().st_size).encode())
        window = self.header.chunks or (16, self.header.shape[1])
        extent = [
            min(size, limit, length) for size, limit, length in zip(window, (16, 8192), self.header.shape, strict=True)
        ]
        n_windows = min(max(SAMPLE_BYTES // (window[0] * window[1] * self.header.dtype.itemsize), 3), 64)
        with open_netcdf(self.path) as file:
            data = file.variables[DATA_VARIABLE]
            if math.prod(self.header.shape) * self.header.dtype.itemsize <= SAMPLE_BYTES:
                data = data[:]  # in one reading: each takes milliseconds, however little it reads
            for fraction in np.linspace(0, 1, n_windows):
                row, column = (
                    int(fraction * (length - size)) for length, size in zip(self.header.shape, extent, strict=True)
                )
                digest.update(np.ascontiguousarray(data[row : row + extent[0], column : column + extent[1]]).tobytes())
        return digest.hexdigest()


def _divided(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means from sums, float32, shape (n_codes, n_columns)."""
    means = np.empty(sums.shape, dtype=np.float32)
    np.divide(sums, counts[:, None], out=means, casting="same_kind")
    return means


class FolderAssemblies:
    """Assemblies of a dataset folder.

    Parameters
    ----------
    root : Path
        The dataset's folder; `source.open_dataset` has seen to it that it has ``assemblies``.
    """

    know_rois = True

    def __init__(self, root: Path):
        self.root = root
        self.subjects = tuple(subject for subject in SUBJECTS if self._file(subject).is_file())

    def path(self, subject: str) -> Path:
        """A subject's file."""
        if not self._file(subject).is_file():
            raise MissingDataError(
                f"Scoring {subject} needs {self._file(subject)}; the folder has "
                f"{', '.join(self.subjects)}. Score these subjects (subjects=...), or put the file "
                f"in place."
            )
        return self._file(subject)

    def digest(self, subject: str) -> str:
        """SHA-1 over the coordinates and a sample of the data."""
        return AssemblyFile(self.path(subject), subject).sample_digest()

    def _file(self, subject: str) -> Path:
        return self.root / "assemblies" / f"{subject}.nc"
