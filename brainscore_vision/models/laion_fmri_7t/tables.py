"""Feature tables: rows of numbers by stimulus id, from HDF5, npz, npy, CSV or Parquet, checked when opened and when read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from .table_files import ID_KEYS, READERS, TableError, text

ROW_BLOCK = 4096
"""Rows of a file that are read at a time."""


@dataclass(frozen=True)
class FeatureTable:
    """Features by stimulus id, read when they are asked for.

    Attributes
    ----------
    name : str
        Where the features come from, for messages.
    ids : numpy.ndarray of str, shape (n,)
        Stimulus of each row, each once.
    valid : numpy.ndarray of bool, shape (n,)
        Rows that may be used.
    n_features : int
    dtype : numpy.dtype
        Of the features as stored.
    version : str
        Digest of the content: another file, or another selection from it, has another.
    read : callable
        ``read(start, stop)`` gives rows ``start`` to ``stop``, shape (stop - start, n_features).
    """

    name: str
    ids: np.ndarray
    valid: np.ndarray
    n_features: int
    dtype: np.dtype
    version: str
    read: Callable[[int, int], np.ndarray] = field(repr=False, compare=False)

    def __post_init__(self):
        check_ids(self.ids, self.name)
        if self.valid.shape != self.ids.shape:
            raise TableError(
                f"{self.name}: 'valid' has one flag per row; {len(self.ids)} rows, shape {self.valid.shape} received."
            )
        if self.dtype.kind not in "fiub":
            raise TableError(f"{self.name}: features are real numbers; received {self.dtype}. Convert them.")
        if self.n_features < 1:
            raise TableError(f"{self.name}: a table has at least one feature; received none.")

    @classmethod
    def of_arrays(cls, features: np.ndarray, ids: Sequence[str], name: str = "features in memory") -> FeatureTable:
        """A table of features in memory, shape (n_stimuli, n_features), one id per row."""
        values = np.asarray(features)
        found = np.asarray(ids, dtype=str)
        _check_shape(values.shape, len(found), name)
        content = _digest(found, hashlib.sha256(np.ascontiguousarray(values)).hexdigest(), values.shape, values.dtype)
        valid = np.ones(len(found), bool)
        return cls(name, found, valid, values.shape[1], values.dtype, content, lambda start, stop: values[start:stop])

    @cached_property
    def positions(self) -> dict[str, int]:
        """Row of each stimulus that may be used."""
        return {str(self.ids[row]): int(row) for row in np.flatnonzero(self.valid)}

    def rows(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        """Features of stimuli in their order, as stored: shape (len(stimulus_ids), n_features), finite.

        Raises
        ------
        TableError
            A stimulus without a (valid) row, or features that are not finite.
        """
        unknown = [s for s in stimulus_ids if s not in self.positions]
        if unknown:
            raise TableError(
                f"{self.name} has no valid row for {len(unknown)} of {len(stimulus_ids)} stimuli, the first: {unknown[:3]}. "
                f"Its own ids look like {[str(s) for s in self.ids[:2]]}; a stimulus id is the image's file name, with "
                f"extension and without folder."
            )
        wanted = np.array([self.positions[s] for s in stimulus_ids], dtype=np.intp)
        features = np.empty((len(wanted), self.n_features), dtype=self.dtype)
        # whole blocks, then a choice: HDF5 is slow at picking single rows
        block_of = wanted // ROW_BLOCK
        for block in np.unique(block_of):
            start, inside = int(block) * ROW_BLOCK, np.flatnonzero(block_of == block)
            values = self.read(start, min(start + ROW_BLOCK, len(self.ids)))
            features[inside] = values[wanted[inside] - start]
        if self.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
            if len(bad):
                raise TableError(
                    f"{self.name}: features must be finite; {len(bad)} of {len(wanted)} stimuli have nan or infinity, the "
                    f"first: {[str(stimulus_ids[i]) for i in bad[:3]]}. Mend them, or mark these rows as not valid."
                )
        return features


def open_table(path: str | Path, ids: str | Path | Sequence[str] | None = None, key: str | None = None) -> FeatureTable:
    """A feature table from a file.

    Parameters
    ----------
    path : str or Path
        ``.h5``/``.hdf5``: a two-dimensional dataset, the ids and optionally ``valid`` beside it (the release's form);
        ``.npz``: the same as arrays; ``.npy``: the features alone, so that `ids` is a file;
        ``.csv``/``.parquet``: a column of ids, every other column is a feature.
    ids : str, Path or sequence of str, optional
        Where the ids are: a key or column of the file, another file (``.txt`` or ``.csv`` with one id per line, ``.npy``),
        or the ids themselves. Without it, the first of `table_files.ID_KEYS` that the file has.
    key : str, optional
        The dataset or array that holds the features; without it, the first of
        `table_files.FEATURE_KEYS` that the file has, or its only two-dimensional one.

    Returns
    -------
    FeatureTable

    Raises
    ------
    TableError
        No such file or key, or a file that breaks a rule: two dimensions, one unique id per row, real numbers.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise TableError(f"A feature table is a file; there is none at {path}. Check the path.")
    if path.suffix.lower() not in READERS:
        raise TableError(f"A feature table is one of {', '.join(READERS)}; received {path.name}. Convert it.")
    given, id_key = ids, None
    if isinstance(ids, (str, Path)):
        given = read_ids(Path(ids)) if Path(ids).expanduser().is_file() else None
        id_key = None if given is not None else str(ids)
    stored = READERS[path.suffix.lower()](path, key, id_key, given is None)
    found = np.asarray(given if given is not None else stored.ids, dtype=str)
    _check_shape(stored.shape, len(found), str(path))
    valid = np.ones(len(found), bool) if stored.valid is None else np.asarray(stored.valid)
    if valid.dtype.kind not in "bui" or not np.isin(valid, (0, 1)).all():
        raise TableError(f"{path}: 'valid' holds true and false; received {valid.dtype}.")
    return FeatureTable(
        name=str(path),
        ids=found,
        valid=valid.astype(bool),
        n_features=int(stored.shape[1]),
        dtype=np.dtype(stored.dtype),
        version=_digest(found, file_digest(path), key),
        read=stored.read,
    )


def read_ids(path: Path) -> list[str]:
    """Ids from a file: ``.npy``, else text with one id per line (a CSV's header line may name it)."""
    path = Path(path).expanduser()
    if path.suffix.lower() == ".npy":
        array = np.load(path, allow_pickle=False)
        if array.ndim != 1:
            raise TableError(f"{path}: ids are one column; received shape {array.shape}.")
        return [text(value) for value in array]
    lines = [line.strip().strip('"') for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return lines[1:] if lines and lines[0] in ID_KEYS else lines


def check_ids(ids: np.ndarray, name: str) -> None:
    """Refuse ids that are empty or repeated."""
    if ids.ndim != 1 or not len(ids):
        raise TableError(f"{name}: ids are one per row, at least one; received shape {ids.shape}.")
    series = pd.Series(ids)
    repeated = series[series.duplicated()]
    if len(repeated):
        raise TableError(
            f"{name}: each stimulus has one row; {len(repeated)} of {len(ids)} rows repeat an id, the first: "
            f"{repeated.iloc[0]!r}. Average or remove the repeats."
        )
    empty = np.flatnonzero(series == "")
    if len(empty):
        raise TableError(
            f"{name}: every row has an id; {len(empty)} of {len(ids)} are empty, the first in row {empty[0]}."
        )


def file_digest(path: Path) -> str:
    """SHA-256 (hexadecimal) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_shape(shape: tuple[int, ...], n_ids: int, name: str) -> None:
    if len(shape) != 2 or shape[0] != n_ids:
        raise TableError(
            f"{name}: features are a table of stimuli × features with one id per row; received shape {tuple(shape)} and "
            f"{n_ids} ids. Flatten further dimensions, or name the right ids."
        )


def _digest(ids: np.ndarray, *content) -> str:
    digest = hashlib.sha256(repr(content).encode())
    for stimulus_id in ids:
        digest.update(f"{stimulus_id}\n".encode())
    return digest.hexdigest()[:32]
