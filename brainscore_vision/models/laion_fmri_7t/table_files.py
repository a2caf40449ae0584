"""What is in a file of features: one reader per format, all with the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from brainscore_vision.data.laion_fmri_7t.errors import SchemaError

ID_KEYS = ("image_ids", "stimulus_ids", "stimulus_id", "image_id", "image_name", "ids")
FEATURE_KEYS = ("embedding", "features", "embeddings")
VALID_KEY = "valid"


class TableError(SchemaError):
    """A feature table breaks a rule that scoring relies on."""


@dataclass(frozen=True)
class Stored:
    """Features of a file, not checked yet.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    ids : sequence of str, or None
        None if they are elsewhere.
    valid : numpy.ndarray or None
        None if the file does not say.
    read : callable
        ``read(start, stop)`` gives rows ``start`` to ``stop``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    ids: Sequence[str] | None
    valid: np.ndarray | None
    read: Callable[[int, int], np.ndarray]


def open_hdf5(path: Path, key: str | None, id_key: str | None, want_ids: bool) -> Stored:
    """Datasets at the top of an HDF5 file, read in blocks."""
    with _opened(path) as file:
        arrays = {name: item.ndim for name, item in file.items() if isinstance(item, h5py.Dataset)}
        chosen = _feature_key(path, arrays, key)
        ids = valid = None
        if want_ids:
            ids = [text(value) for value in file[_id_key(path, arrays, id_key)][:]]
        if VALID_KEY in arrays:
            valid = file[VALID_KEY][:]
        described = file[chosen].shape, file[chosen].dtype

    def read(start: int, stop: int) -> np.ndarray:
        with _opened(path) as file:
            return file[chosen][start:stop]

    return Stored(*described, ids, valid, read)


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise TableError(
            f"{path} must be an HDF5 file; opening it gave: {error}. Download or write it again."
        ) from error


def open_npz(path: Path, key: str | None, id_key: str | None, want_ids: bool) -> Stored:
    """Arrays of an npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except ValueError as error:
        raise TableError(f"{path} must hold plain arrays (no Python objects); reading it gave: {error}.") from error
    dimensions = {name: array.ndim for name, array in arrays.items()}
    values = arrays[_feature_key(path, dimensions, key)]
    ids = [text(value) for value in arrays[_id_key(path, dimensions, id_key)]] if want_ids else None
    return Stored(values.shape, values.dtype, ids, arrays.get(VALID_KEY), lambda start, stop: values[start:stop])


def open_npy(path: Path, key: str | None, id_key: str | None, want_ids: bool) -> Stored:
    """One array, its ids elsewhere."""
    if want_ids:
        raise TableError(f"{path} holds features alone; name a file with their ids (--ids, one per line and row).")
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    return Stored(values.shape, values.dtype, None, None, lambda start, stop: np.asarray(values[start:stop]))


def open_frame(path: Path, key: str | None, id_key: str | None, want_ids: bool) -> Stored:
    """Columns of a CSV or Parquet table."""
    if key is not None:
        raise TableError(
            f"{path}: the features of a table are all its columns but the ids; key={key!r} has no meaning here."
        )
    names = [id_key] if id_key is not None else list(ID_KEYS)
    if path.suffix.lower() == ".csv":
        frame = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=True, encoding="utf-8")
    else:
        try:
            frame = pd.read_parquet(path)
        except ImportError as error:
            raise TableError(
                f"Reading {path} needs pandas' Parquet engine: pip install '.[parquet]' (pyarrow), or convert the table."
            ) from error
    ids, valid = None, None
    if want_ids:
        column = _id_key(path, dict.fromkeys(map(str, frame.columns), 1), id_key)
        ids = frame.pop(column).fillna("").astype(str).tolist()
    if VALID_KEY in frame:
        valid = frame.pop(VALID_KEY).to_numpy()
    wrong = [str(name) for name, dtype in frame.dtypes.items() if dtype.kind not in "fiub"]
    if wrong:
        raise TableError(
            f"{path}: all columns but the ids are features, hence numbers; {len(wrong)} of {frame.shape[1]} are not, the "
            f"first: {', '.join(wrong[:3])}. Remove them, or name the column of the ids (--ids)."
        )
    values = frame.to_numpy()
    return Stored(values.shape, values.dtype, ids, valid, lambda start, stop: values[start:stop])


def _feature_key(path: Path, arrays: dict[str, int], key: str | None) -> str:
    """The array that holds the features; `arrays` maps name to number of dimensions."""
    if key is not None and key not in arrays:
        raise TableError(f"{path} has no array {key!r}; it has {', '.join(arrays) or 'none'}.")
    two = [name for name, dimensions in arrays.items() if dimensions == 2]
    chosen = key or next((name for name in FEATURE_KEYS if name in arrays), two[0] if len(two) == 1 else None)
    if chosen is None:
        raise TableError(
            f"{path}: features are found under {' or '.join(FEATURE_KEYS)}, or as the only two-dimensional array; it has "
            f"{', '.join(arrays) or 'none'}. Name the array (key=...)."
        )
    return chosen


def _id_key(path: Path, arrays: dict[str, int], key: str | None) -> str:
    chosen = key if key is not None else next((name for name in ID_KEYS if name in arrays), None)
    if chosen not in arrays:
        raise TableError(
            f"{path}: each row needs a stimulus id, in {key or ' or '.join(ID_KEYS)}; it has {', '.join(arrays) or 'none'}. "
            f"Name the key, or a file with one id per line (--ids)."
        )
    return chosen


def text(value) -> str:
    """An id as HDF5 or numpy store it, as text."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


READERS = {
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
    ".npz": open_npz,
    ".npy": open_npy,
    ".csv": open_frame,
    ".parquet": open_frame,
}
"""By suffix: ``reader(path, key, id_key, want_ids)``."""
