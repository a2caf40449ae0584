"""What tables in memory call their rows: numbers beside names of stimuli are those of the names, and not of the places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr


def ids_of(given, what: str, error: type[Exception]) -> tuple[str, ...]:
    """Stimulus ids as a tuple, or ``error``: one by one and as text, for 7 and '7' would be two stimuli.

    Parameters
    ----------
    given : iterable of str
    what : str
        Whose they are, for the message.
    error : type
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise error(f"{what} are a list of stimulus ids, which may be empty; received {given!r}. Give a list.")
    ids = tuple(given.values.tolist() if isinstance(given, xr.DataArray) else given)
    wrong = [one for one in ids if not isinstance(one, str)]
    if wrong:
        remedy = "id.decode()" if isinstance(wrong[0], bytes) else "str(id)"
        raise error(
            f"A stimulus id is text, the same in pool, tasks, responses and provider; {what} have {wrong[0]!r}, a "
            f"{type(wrong[0]).__name__}. Give {remedy} for each."
        )
    return ids


def row_indexes(values, names: Sequence[str] = ("stimulus_id",)) -> list[pd.Index]:
    """What may name the rows of a DataFrame, a Series or an array of xarray's, such as Brain-Score's assemblies.

    Parameters
    ----------
    values : object
    names : sequence of str
        Coordinates of an xarray that name its rows: the first that is there, else all coordinates of its first dimension.
    """
    if isinstance(values, xr.DataArray) and values.ndim:
        named = (_coordinate(values, key) for key in names)
        found = next((one.values for one in named if one is not None and one.dims == values.dims[:1]), None)
        if found is not None:
            return [pd.Index(found)]
        own = values.indexes.get(values.dims[0])
        others = [one.to_index() for one in values.coords.values() if one.dims == values.dims[:1]]
        return [level for index in (*([] if own is None else [own]), *others) for level in _levels(index)]
    index = getattr(values, "index", None)
    return _levels(index) if isinstance(index, pd.Index) else []


def _coordinate(values: xr.DataArray, name: str) -> xr.DataArray | None:
    try:
        return values[name]  # a level of a multi-index is no entry of coords in older xarray, but can be asked for
    except KeyError:
        return None


def _levels(index: pd.Index) -> list[pd.Index]:
    several = isinstance(index, pd.MultiIndex)
    return [index.get_level_values(i) for i in range(index.nlevels)] if several else [index]


def misnamed_rows(indexes: Sequence[pd.Index], ids: Sequence[str]) -> tuple[int, list[str]] | None:
    """The first row that is not called as its id, and what rows are called; None where all are right, or nothing names them.

    Words that all differ name rows; other words, numbers, and each of several indexes, where some are ids. A default index
    counts places.
    """
    ids = [str(one).strip() for one in (ids.values if isinstance(ids, xr.DataArray) else ids)]
    as_numbers, wrong = [str(int(one)) if one.isdecimal() else one for one in ids], None
    for index in indexes:
        if isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(len(index))):
            continue
        rows = [_text(one) for one in index]
        words = pd.api.types.infer_dtype(np.asarray(index, dtype=object)) in ("string", "bytes")
        wanted = ids if words else as_numbers
        if rows == wanted:
            return None
        are_names = words and len(indexes) == 1 and len(set(rows)) == len(rows)
        if wrong is None and (are_names or set(rows) & set(wanted)):
            pairs = enumerate(zip(rows, wanted, strict=False))
            wrong = next((i for i, (row, one) in pairs if row != one), min(len(rows), len(wanted))), rows
    return wrong


def unmasked(values) -> np.ndarray:
    """Numbers as float64; nan where numpy's mask says that they are meant for nobody."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(float), np.nan)
    return np.asarray(values, dtype=float)


def turned(values, ids: Sequence[str], names: Sequence[str] = ("stimulus_id",)) -> bool:
    """Whether the columns of a table are called as the ids, and its rows are not; ``names`` as for :func:`row_indexes`."""
    columns = getattr(values, "columns", None)
    indexes = _levels(columns) if isinstance(columns, pd.Index) else []
    if isinstance(values, xr.DataArray) and values.ndim == 2:
        indexes = row_indexes(values.T, names)
    wanted = {str(one).strip() for one in (ids.values if isinstance(ids, xr.DataArray) else ids)}

    def are_called_so(those: list[pd.Index]) -> bool:
        return any({_text(one) for one in index} == wanted for index in those)

    return are_called_so(indexes) and not are_called_so(row_indexes(values, names))


def _text(name) -> str:
    if isinstance(name, bytes):
        return name.decode(errors="replace").strip()
    is_whole = isinstance(name, (float, np.floating)) and float(name).is_integer()
    return str(int(name)) if is_whole else str(name).strip()


HOW_TO_SAY = (
    "If rows of both belong together as they stand, give arrays (to_numpy()); if not, sort one by the other's index."
)
"""Ends a message about rows of :func:`rows_of_a_table_apart`: which of the two it is, indexes do not tell."""


def rows_of_a_table_apart(values, ids) -> bool:
    """Whether ids and what stands beside them may be rows of one table, by their indexes, in different orders.

    Not where the rows are called as the ids, in their order, nor where all rows are the same.
    """
    index = getattr(values, "index", None)
    if not in_another_order(index, getattr(ids, "index", None)):
        return False
    rows = np.asarray(values)
    return [_text(one) for one in index] != [str(one).strip() for one in ids] and not (rows == rows[:1]).all()


def in_another_order(index, other) -> bool:
    """Whether two indexes have the same names, and not in one order."""
    both = isinstance(index, pd.Index) and isinstance(other, pd.Index)
    return both and len(index) == len(other) and not index.equals(other) and set(index) == set(other)


def is_symmetric(corner: np.ndarray) -> bool:
    """Whether rows and columns of a square matrix say the same: of three or more things, similarities of each two, perhaps."""
    return len(corner) > 2 and bool(np.allclose(corner, corner.T, rtol=1e-5, atol=0.0, equal_nan=True))
