"""What is in a file of features: one reader per format, all with the same answer."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state, read_hdf5
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import asked_as
from brainscore_vision.data.laion_fmri_7t.errors import SchemaError

ID_KEYS = ("image_ids", "stimulus_ids", "stimulus_id", "image_id", "image_name", "ids")
FEATURE_KEYS = ("embedding", "features", "embeddings")
VALID_KEY = "valid"

_BEGINNING = 64
"""Rows of an array that tell most features from an index."""

UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)
"""What numpy raises for files that it cannot read."""


class TableError(SchemaError):
    """A feature table breaks a rule that scoring relies on."""


@dataclass(frozen=True)
class Choice:
    """What of a file is wanted.

    Attributes
    ----------
    key : str or None
        The array of the features; None to find it.
    columns : str, sequence of str, or None
        The columns of the features, as `column_tables.feature_columns` takes them; None to find them.
    id_key : str or None
        Array or column of the ids; None to find it.
    want_ids : bool
        Whether the ids are in the file.
    """

    key: str | None
    columns: str | Sequence[str] | None
    id_key: str | None
    want_ids: bool


_PACKED = {"scale_factor": 1, "add_offset": 0}
_FILLS = ("_FillValue", "missing_value")
_OF_NETCDF = (*_PACKED, *_FILLS)
"""Attributes of the conventions of netCDF (CF, 2.5 and 8.1)."""


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
    columns : tuple of str, or None
        Names of the features, where they have names.
    notes : tuple of str
        What a Score should say of how the file was read.
    own_ids : mapping of str to sequence of str
        Arrays of the file that are called as ids are, where the ids are elsewhere.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    ids: Sequence[str] | None
    valid: np.ndarray | None
    read: Callable[[int, int], np.ndarray]
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    own_ids: Mapping[str, Sequence[str]] = field(default_factory=dict)


def open_hdf5(path: Path, choice: Choice) -> Stored:
    """Datasets of an HDF5 file, at the top or in groups, read in blocks."""
    _refuse_columns(path, choice)
    with _opened(path) as file:
        arrays = _datasets(path, file)
        chosen = _feature_key(path, arrays, choice.key)
        id_key, valid_key = _companions(path, arrays, chosen, choice)
        own = _unwanted_ids(arrays, chosen, choice)
        found = {name: file[name][()] for name in (id_key, valid_key, *own) if name is not None}
        _refuse_turned(path, file, chosen, id_key)
        described = file[chosen].shape, file[chosen].dtype
        refuse_index(file[chosen], str(path))
        fills = _fill_values(file[chosen], path)

    ids = None if id_key is None else texts(found[id_key], f"{path}, {id_key}")
    return Stored(
        *described,
        ids,
        found.get(valid_key),
        read_while_unchanged(path, _hdf5_rows, chosen, fills),
        own_ids={name: texts(found[name], f"{path}, {name}") for name in own},
    )


def _refuse_turned(path: Path, file: h5py.File, key: str, id_key: str | None) -> None:
    """Refuse a table whose ids belong to its second dimension, as files of netCDF say."""
    if id_key is None or len(file[key].shape) != 2:
        return
    # ids are a dimension's own values, or a coordinate along it
    along = [file[id_key], *(scale for dimension in file[id_key].dims for scale in dimension.values())]
    rows, columns = (any(scale in along for scale in dimension.values()) for dimension in file[key].dims)
    if columns and not rows:
        raise TableError(f"{path}, {key}: {id_key} belongs to its second dimension. Transpose the features.")


def _hdf5_rows(path: Path, key: str, fills: tuple[float, ...], start: int, stop: int) -> np.ndarray:
    with _opened(path) as file:
        values = file[key][start:stop]
    empty = np.isin(values, fills) if fills else np.zeros(0, bool)
    if not empty.any():
        return values
    if values.dtype.kind != "f":
        raise TableError(
            f"{path}, {key}: {empty.sum():,} numbers of rows {start} to {stop} are {', '.join(f'{fill:g}' for fill in fills)}, "
            f"which the file calls no number (_FillValue). Save floats, with nan for them."
        )
    return np.where(empty, values.dtype.type(np.nan), values)


def _fill_values(dataset: h5py.Dataset, path: Path) -> tuple[float, ...]:
    """What stands for no number, by the conventions of netCDF; raise if numbers are packed by them."""
    said = {name: np.ravel(dataset.attrs[name]).tolist() for name in _OF_NETCDF if name in dataset.attrs}
    packed = [name for name, plain in _PACKED.items() if said.get(name, [plain]) != [plain]]
    if packed:
        raise TableError(
            f"{path}, {dataset.name}: features are the numbers themselves; these are packed as in netCDF files "
            f"({', '.join(f'{name} {said[name][0]:g}' for name in packed)}). Unpack them, as xarray.open_dataset does, and "
            f"save what it gives."
        )
    fills = [value for name in _FILLS for value in said.get(name, ()) if isinstance(value, int | float)]
    return tuple(value for value in fills if value == value)  # nan needs no replacing


def read_while_unchanged(path: Path, rows: Callable, *what) -> Callable[[int, int], np.ndarray]:
    """``rows(path, *what, start, stop)`` as ``read(start, stop)``, of the file as it is now.

    A table is known by the content that was there when it was opened: kernels of other features must not be kept under it. The
    folder that the program works in may be another one later.
    """
    return functools.partial(_checked_rows, path.absolute(), file_state(path), rows, what)


def _checked_rows(path: Path, state: tuple, rows: Callable, what: tuple, start: int, stop: int) -> np.ndarray:
    values = rows(path, *what, start, stop)
    if not path.exists() or file_state(path) != state:
        raise TableError(f"A table is read as it was when it was opened; {path} has changed since. Open it again.")
    return values


def rows_of(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Rows of an array."""
    return values[start:stop]


def _datasets(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    found = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    by_pandas = []

    def visit(name: str, item) -> None:
        if "pandas_type" in item.attrs:
            by_pandas.append(name)
        if isinstance(item, h5py.Dataset):
            found.setdefault(name, item)

    file.visititems(visit)
    if by_pandas:
        raise TableError(
            f"{path} holds tables in pandas' own form ({by_pandas[0]}), which is not read here. Save the table as Parquet: "
            f"pandas.read_hdf({str(path)!r}, {by_pandas[0]!r}).to_parquet(...)."
        )
    return found


def _opened(path: Path) -> h5py.File:
    try:
        return read_hdf5(path)
    except OSError as error:
        raise TableError(
            f"{path} must be an HDF5 file; opening it gave: {error}. Download or write it again."
        ) from error


def open_npz(path: Path, choice: Choice) -> Stored:
    """Arrays of an npz file."""
    _refuse_columns(path, choice)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise TableError(
            f"{path} must be an npz file of plain arrays (no Python objects); reading it gave: {error}."
        ) from error
    chosen = _feature_key(path, arrays, choice.key)
    values = arrays[chosen]
    refuse_index(values, str(path))
    id_key, valid_key = _companions(path, arrays, chosen, choice)
    ids = None if id_key is None else texts(arrays[id_key], f"{path}, {id_key}")
    own = {name: texts(arrays[name], f"{path}, {name}") for name in _unwanted_ids(arrays, chosen, choice)}
    read = functools.partial(rows_of, values)
    return Stored(values.shape, values.dtype, ids, arrays.get(valid_key), read, own_ids=own)


def open_npy(path: Path, choice: Choice) -> Stored:
    """One array, its ids elsewhere."""
    _refuse_columns(path, choice)
    if choice.want_ids:
        no_file = "" if choice.id_key is None else f"; there is no file {choice.id_key}"
        raise TableError(
            f"{path} holds features alone; name a file with their ids, one per line and row "
            f"({asked_as('ids=PATH', '--ids FILE')}){no_file}."
        )
    values = load_npy(path, mmap_mode="r")
    refuse_index(values, str(path))
    return Stored(values.shape, values.dtype, None, None, read_while_unchanged(path, _npy_rows))


def _npy_rows(path: Path, start: int, stop: int) -> np.ndarray:
    return np.asarray(load_npy(path, mmap_mode="r")[start:stop])


def load_npy(path: Path, mmap_mode: str | None = None) -> np.ndarray:
    """The array of an npy file."""
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except UNREADABLE as error:
        raise TableError(
            f"{path} must be an npy file of a plain array (no Python objects); reading it gave: {error}."
        ) from error


def _refuse_columns(path: Path, choice: Choice) -> None:
    if choice.columns is not None:
        raise TableError(
            f"{path}: columns have names in CSV and Parquet tables only; received "
            f"{asked_as('columns', '--columns')} {choice.columns!r}. Leave it out."
        )


def _feature_key(path: Path, arrays: Mapping, key: str | None) -> str:
    """The array that holds the features; `arrays` maps names to what has a shape and a dtype."""
    if key is not None:
        if key.strip("/") not in arrays:
            raise TableError(f"{path} has no array {key!r}; it has {listed(arrays)}.")
        return key.strip("/")
    tables = [name for name, array in arrays.items() if len(array.shape) == 2 and array.dtype.kind in "fiubc"]
    named = [name for name in arrays if PurePosixPath(name).name in FEATURE_KEYS]
    for candidates in ([name for name in named if name in tables], named, tables):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            break
    shapes = {name: " × ".join(map(str, arrays[name].shape)) for name in (named or tables)}
    found = ", ".join(f"{name} ({shape})" for name, shape in shapes.items()) or listed(arrays)
    raise TableError(
        f"{path}: features are found under one of the names {', '.join(FEATURE_KEYS)}, or as the only two-dimensional "
        f"array; it has {found}. Name the array ({asked_as('key=...', '--key NAME')})."
    )


def _companions(path: Path, arrays: Mapping, chosen: str, choice: Choice) -> tuple[str | None, str | None]:
    """Arrays of the ids and of the flags that belong to the array ``chosen``."""
    id_key, flags = None, _beside(arrays, chosen, (VALID_KEY,))
    if choice.want_ids:
        names = ID_KEYS if choice.id_key is None else (choice.id_key.strip("/"),)
        id_key = the_id_key(path, _beside(arrays, chosen, names), list(arrays), choice.id_key)
    return id_key, flags[0] if flags else None


def _unwanted_ids(arrays: Mapping, chosen: str, choice: Choice) -> list[str]:
    """Arrays that are called as ids of the array ``chosen``, where the ids are elsewhere."""
    found = [] if choice.want_ids else _beside(arrays, chosen, ID_KEYS)
    return [name for name in found if _is_one_column(arrays[name].shape)]


def _is_one_column(shape: tuple[int, ...]) -> bool:
    """Whether an array is a list, or a table of one column or row, as MATLAB and pandas write one."""
    return len(shape) == 1 or (len(shape) == 2 and 1 in shape)


def _beside(arrays: Mapping, chosen: str, names: Sequence[str]) -> list[str]:
    """Arrays of these names beside the array ``chosen``, else in the next group above it."""
    parents = PurePosixPath(chosen).parents
    folders = ["" if folder == PurePosixPath() else f"{folder}/" for folder in parents]
    found = (next((folder + name for folder in folders if folder + name in arrays), None) for name in names)
    return [name for name in found if name is not None]


def counts_rows(column: np.ndarray) -> bool:
    """Whether at least three numbers are whole and each is one more than the number before: no feature is so."""
    if len(column) < 3 or not np.isfinite(column).all() or column[0] % 1:
        return False
    return bool((np.diff(np.asarray(column, dtype=float)) == 1).all())


def refuse_index(table: np.ndarray | h5py.Dataset, name: str) -> None:
    """Refuse an array that was made of a table with its index: several columns, the first or last of which counts rows.

    Of a file, little is read unless a column begins like an index.
    """
    if len(table.shape) != 2 or table.shape[1] < 2 or table.dtype.kind not in "fiu":
        return
    for place, column in (("first", 0), ("last", table.shape[1] - 1)):
        if counts_rows(table[:_BEGINNING, column]) and counts_rows(table[:, column]):
            raise TableError(
                f"{name}: the {place} of {table.shape[1]} features counts the rows, as an index does. Remove it."
            )


def the_id_key(path: Path, candidates: list[str], names: list[str], asked: str | None) -> str:
    """The one of ``candidates``; ``names`` is all that the file has."""
    if len(candidates) == 1:
        return candidates[0]
    remedy = asked_as(
        "Name the right one, or a file with one id per line (ids=...)",
        "Name the right one, or a file with one id per line (--ids)",
    )
    if candidates:
        raise TableError(f"{path}: each row has one stimulus id; there are {', '.join(candidates)}. {remedy}.")
    no_file = "" if asked is None else f", and there is no file {asked}"
    raise TableError(
        f"{path}: each row needs a stimulus id, in {asked or ' or '.join(ID_KEYS)}; it has {listed(names)}{no_file}. "
        f"{remedy}."
    )


def listed(names) -> str:
    names = list(names)
    if len(names) <= 8:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:5])}, {len(names) - 7} more, {', '.join(names[-2:])}"


def texts(values: np.ndarray, name: str) -> list[str]:
    """Ids as HDF5 or numpy store them, as text."""
    array = np.asarray(values)
    if not _is_one_column(array.shape):
        raise TableError(f"{name}: ids are one column; received shape {array.shape}.")
    try:
        return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise TableError(f"{name}: ids are text in UTF-8; decoding gave {error}. Write them again.") from error
