"""Repetition averages of one subject's trials, read a block at a time.

A subject's trial matrix (31,856 x 7,400 float32, 940 MB) is never held: a request names its voxels, the file is walked
in blocks of at most `block_bytes`, and only the sums per stimulus stay.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import netCDF4
import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import noise_variance
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from ..constants import SUBJECTS
from ..errors import MissingDataError, SchemaError
from .header import DATA_VARIABLE, AssemblyHeader, open_netcdf, read_header

BLOCK_BYTES = 16 * 2**20
"""Data read at once, in bytes, unless one stored chunk is larger."""

MAX_CHUNK_BYTES = 512 * 2**20
"""Largest stored chunk that is read: HDF5 hands out a compressed chunk whole or not at all."""

LARGEST_BETA = 1e30
"""No response is beyond it (in standard deviations), and netCDF's mark of what was never written, 9.97e36, is."""

SAMPLE_BYTES = 48 * 2**20
"""Stored data that a fingerprint looks into at most, in whole chunks; at least 3 places, at most 64."""


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
