"""Tables whose columns have names, CSV and Parquet: which of the columns are ids, flags, features, and which are neither.

A number in a table need not be a feature: pandas writes its index, experiments their counts. Columns are taken for features
when their names say so, one name with a running number (f0, f1 ..., feature_1 ..., or 0, 1 ...), or when the user names
them. Everything else is refused, for a wrong feature changes every score without a word.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import asked_as
from brainscore_vision.data.laion_fmri_7t.text_files import UNCLEAR, ends_in_a_number, read_csv, separator

from .table_files import (
    FEATURE_KEYS,
    ID_KEYS,
    VALID_KEY,
    Choice,
    Stored,
    TableError,
    counts_rows,
    listed,
    rows_of,
    the_id_key,
)

INDEX_NAMES = ("index", "level_0", "__index_level_0__")
"""Names that pandas gives its index when it becomes a column; without one it is unnamed."""

_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_THOUSANDS_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_HUNDREDS = re.compile(r"[+-]?[1-9]\d{2}")
_THREE_DIGITS = re.compile(rb"\d\.\d{3}(?!\d)|\0")
_ROWS_LOOKED_AT = 20
_MANY = 8


def open_csv(path: Path, choice: Choice) -> Stored:
    """A table separated by commas, semicolons or tabs, with decimal points or commas."""
    head = read_csv(path, header=None, nrows=_ROWS_LOOKED_AT, dtype=str, keep_default_na=False)
    names = [name.strip() for name in head.iloc[0]]
    names = [f"Unnamed: {i}" if _UNNAMED.fullmatch(name) else name for i, name in enumerate(names)]
    _check_names(path, names)
    decimal, notes = _decimal(path, head.iloc[1:])
    text = [name for name in names if _plain(name) in ID_KEYS or name == choice.id_key]
    frame = read_csv(
        path, header=0, names=names, dtype=dict.fromkeys(text, str), decimal=decimal, low_memory=False, index_col=None
    )
    if ends_in_a_number(path, separator(path)) == UNCLEAR:
        notes = (*notes, f"{path} does not end with a line feed: if it was cut, its last number is wrong.")
    return _stored(path, frame, choice, notes)


def open_parquet(path: Path, choice: Choice) -> Stored:
    """A Parquet table; an index that was written with it is a column."""
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise TableError(
            f"Reading {path} needs pandas' Parquet engine: pip install '.[parquet]' (pyarrow), or convert the table."
        ) from error
    except (OSError, ValueError) as error:
        raise TableError(f"{path} must be a Parquet table; reading it gave: {error}. Write it again.") from error
    if frame.columns.nlevels > 1:
        raise TableError(f"{path}: columns have one name each; these have {frame.columns.nlevels}. Join them.")
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.rename_axis([name or f"Unnamed: {i}" for i, name in enumerate(frame.index.names)]).reset_index()
    frame.columns = [str(name).strip() for name in frame.columns]
    _check_names(path, list(frame.columns))
    return _stored(path, frame, choice, ())


def _check_names(path: Path, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise TableError(
            f"{path}: each column has a name of its own; {listed(repeated)} occurs more than once. Rename it."
        )


def feature_columns(
    path: Path, frame: pd.DataFrame, wanted: str | Sequence[str] | None = None
) -> tuple[list[str], tuple[str, ...]]:
    """Which columns are features.

    Parameters
    ----------
    path : Path
        For messages.
    frame : pandas.DataFrame
        The table without its ids and flags.
    wanted : str or sequence of str, optional
        Names or globs (``f*``), in a str joined by commas. Without them, columns with one name and a running number.

    Returns
    -------
    names : list of str
        In the table's order.
    notes : tuple of str
        Columns that were recognised as an index.

    Raises
    ------
    TableError
        It is unclear which columns are features, or some of them hold no numbers.
    """
    index = [name for name in frame if _is_index(name, frame[name])]
    empty = [name for name in frame if _UNNAMED.fullmatch(name) and frame[name].isna().all()]
    rest = [name for name in frame if name not in index and name not in empty]
    if wanted is not None:
        names = _matching(path, rest, index, wanted)
    else:
        names = _numbered_alike(path, rest)
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
    if texts:
        values = frame[texts[0]]
        wrong = values[pd.to_numeric(values.map(str), errors="coerce").isna() & values.notna()]
        shown = f"in row {wrong.index[0]} {str(wrong.iloc[0])[:40]!r}" if len(wrong) else "numbers as text"
        raise TableError(
            f"{path}: features are numbers; {len(texts)} of {len(names)} columns hold something else, the first: "
            f"{texts[0]} ({shown}). Mend or remove them."
        )
    counting = [
        name for name in names if wanted is None and counts_rows(frame[name].to_numpy(dtype=float, na_value=np.nan))
    ]
    if counting:
        raise TableError(
            f"{path}: the column {counting[0]} is called as a feature, and counts the rows. Remove it, or name the features "
            f"({asked_as('columns=...', '--columns PATTERN')})."
        )
    left_out = [name for name in index if name not in names]
    return names, tuple(f"Column {name!r} of {path} is an index and no feature." for name in left_out)


def _stored(path: Path, frame: pd.DataFrame, choice: Choice, notes: tuple[str, ...]) -> Stored:
    if choice.key is not None:
        raise TableError(
            f"{path}: a table has columns and no arrays; received {asked_as('key', '--key')} {choice.key!r}. Name its "
            f"features by {asked_as('columns=...', '--columns')}."
        )
    ids = None
    if choice.want_ids:
        column = frame.pop(_id_column(path, frame, choice.id_key))
        ids = [str(value) if known else "" for value, known in zip(column, column.notna(), strict=True)]
    elif own := [name for name in frame if _plain(name) in ID_KEYS]:
        raise TableError(
            f"{path}: ids are in the table or elsewhere; they are in its column {own[0]}, and others were given. Remove the "
            f"column, or leave {asked_as('ids', '--ids')} out."
        )
    flags = [name for name in frame if _plain(name) == VALID_KEY]
    valid = frame.pop(flags[0]).to_numpy() if len(flags) == 1 else None
    frame = _spread(path, frame)
    names, recognised = feature_columns(path, frame, choice.columns)
    chosen = frame[names]
    if all(isinstance(dtype, np.dtype) for dtype in chosen.dtypes):
        values = chosen.to_numpy(dtype=np.result_type(*chosen.dtypes))
    else:  # pandas' own types, which may lack values
        values = chosen.to_numpy(dtype=float, na_value=np.nan)
    return Stored(
        values.shape,
        values.dtype,
        ids,
        valid,
        functools.partial(rows_of, values),
        tuple(names),
        (*notes, *recognised),
    )


def _spread(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The same table, a column of lists (Parquet has such) as one column per entry."""
    lists = [name for name in frame if len(frame) and isinstance(frame[name].iloc[0], (list, np.ndarray))]
    if len(lists) != 1 or _plain(lists[0]) not in FEATURE_KEYS:
        return frame
    lengths = frame[lists[0]].map(lambda value: len(value) if isinstance(value, (list, np.ndarray)) else None)
    if lengths.nunique(dropna=False) != 1:
        raise TableError(
            f"{path}: every row has as many features; {lists[0]} has lists of {listed(map(str, lengths.unique()))} entries. "
            f"Mend or remove the rows that differ."
        )
    values = pd.DataFrame(np.stack(frame[lists[0]].tolist()), index=frame.index).add_prefix(f"{lists[0]}_")
    return pd.concat([frame.drop(columns=lists), values], axis=1)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _id_column(path: Path, frame: pd.DataFrame, asked: str | None) -> str:
    names = list(frame)
    if asked is not None:
        return the_id_key(path, [name for name in names if name == asked.strip()], names, asked)
    found = [name for name in names if _plain(name) in ID_KEYS]
    if not found:  # the index of a frame whose rows are named
        found = [name for name in names if _named_as_index(name) and not pd.api.types.is_numeric_dtype(frame[name])]
    return the_id_key(path, found, names, None)


def _named_as_index(name: str) -> bool:
    return name in INDEX_NAMES or _UNNAMED.fullmatch(name) is not None


def _is_index(name: str, values: pd.Series) -> bool:
    """Whether a column is pandas' index: named as it names it, and of whole numbers, each once."""
    if not _named_as_index(name):
        return False
    numbers = pd.to_numeric(values, errors="coerce")
    return bool(len(numbers) and (numbers % 1 == 0).all() and numbers.is_unique)


def _matching(path: Path, names: list[str], index: list[str], wanted: str | Sequence[str]) -> list[str]:
    patterns = [part.strip() for part in (wanted.split(",") if isinstance(wanted, str) else wanted)]
    found: set[str] = set()
    for pattern in patterns:
        # a name is itself alone: brackets in it are no class of characters
        own = {pattern} & {*names, *index} or {name for name in names if fnmatchcase(name, pattern)}
        if not own:
            raise TableError(
                f"{path}: {asked_as('columns', '--columns')} names columns of the table, or patterns of them ('f*'); no "
                f"column is {pattern!r}. It has {listed(names)}."
            )
        found |= own
    return [name for name in (*names, *index) if name in found]


def _numbered_alike(path: Path, names: list[str]) -> list[str]:
    """All columns, if they have one name and numbers that differ."""
    families: dict[tuple[str, str], dict[str, int]] = {}
    others = []
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match is None or _UNNAMED.fullmatch(name):
            others.append(name)
        else:
            families.setdefault((match[1], match[3]), {})[name] = int(match[2])
    if len(families) == 1 and not others:
        (numbers,) = families.values()
        if len(numbers) > 1 and len(set(numbers.values())) == len(numbers):
            return names
    if not names:
        raise TableError(f"{path}: a table has at least one feature beside the ids; it has none. Check the file.")
    shown = []
    for (before, after), members in families.items():
        first, last = next(iter(members)), list(members)[-1]
        shown.append(
            first if len(members) == 1 else f"{first} to {last} ({len(members)} columns like {before}#{after})"
        )
    shown = [*others[:_MANY], *([f"{len(others) - _MANY} more"] if len(others) > _MANY else []), *shown[:_MANY]]
    (before, after), largest = max(families.items(), key=lambda item: len(item[1]), default=(("", ""), {}))
    pattern = f"{before or '[0-9]'}*{after}" if len(largest) > 1 else "*"
    raise TableError(
        f"{path}: columns are features when all of them have one name and a running number (f0, f1 ...), beside ids, "
        f"{VALID_KEY} and an index; it is unclear which of these {len(names)} are: {', '.join(shown)}. Remove the columns "
        f"that are none, or name the features, for example "
        f"{asked_as(f'columns={pattern!r}', f'--columns {pattern!r}')}."
    )


def refuse_columns(columns: Sequence[str], values: np.ndarray, name: str) -> None:
    """Refuse columns of a DataFrame that are no features: ids, flags and pandas' index; or of which some have running numbers,
    as features have, and some, such as counts, do not."""
    own = [column for column in columns if _plain(column) in (*ID_KEYS, VALID_KEY)]
    own += [column for i, column in enumerate(columns) if _is_index(column, pd.Series(values[:, i]))]
    if own:
        raise TableError(
            f"{name}: all columns of a DataFrame are features; {listed(own)} is by its name an index, ids or flags. Remove it, "
            f"and rows that are not valid, or give the numbers alone (frame.to_numpy())."
        )
    others = [column for column in columns if _NUMBERED.fullmatch(column) is None or _UNNAMED.fullmatch(column)]
    if others and len(others) < len(columns):
        raise TableError(
            f"{name}: all columns of a DataFrame are features; of these {len(columns)}, some have running numbers and "
            f"{len(others)} do not: {listed(others)}. Remove those that are none, or give the numbers alone (frame.to_numpy())."
        )


def _decimal(path: Path, rows: pd.DataFrame) -> tuple[str, tuple[str, ...]]:
    """The decimal mark of a table's first rows, and what to say of it."""
    fields = pd.Series(rows.to_numpy().ravel(), dtype=str).str.strip()
    with_comma = fields[fields.str.fullmatch(_DECIMAL_COMMA) | fields.str.fullmatch(_THOUSANDS)]
    with_point = fields[fields.str.fullmatch(_DECIMAL_POINT)]
    if not len(with_comma):
        # where these rows tell nothing, the others may
        unclear = separator(path) != "," and with_point.str.fullmatch(_THOUSANDS_BY_POINT).all()
        if unclear and _THREE_DIGITS.search(path.read_bytes()):  # or UTF-16, which has zero bytes
            _refuse_thousands(path, read_csv(path, header=None, dtype=str, keep_default_na=False).iloc[1:])
        return ".", ()
    if len(with_point) or with_comma.str.fullmatch(_THOUSANDS).all():
        first = with_point.iloc[0] if len(with_point) else with_comma.iloc[0]
        raise TableError(
            f"{path}: numbers have decimal points, or decimal commas throughout; {with_comma.iloc[0]} and {first} may mean "
            f"either. Write the table with decimal points and without marks of thousands."
        )
    return ",", (f"Numbers of {path} were read with decimal commas.",)


def _refuse_thousands(path: Path, rows: pd.DataFrame) -> None:
    """Refuse points that may mark thousands: all have three digits behind them, and none stands behind a zero.

    Semicolons stand where commas are decimal marks, and points mark thousands. Beside tabs, decimals of three digits are usual,
    but not in a column that has hundreds without a point too.
    """
    first, may_be = None, separator(path) == ";"
    for _, column in rows.items():
        fields = pd.Series(column.str.strip().unique())
        with_point = fields[fields.str.fullmatch(_DECIMAL_POINT)]
        if not with_point.str.fullmatch(_THOUSANDS_BY_POINT).all():
            return
        if len(with_point):
            first = first or with_point.iloc[0]
            may_be |= bool(fields.str.fullmatch(_HUNDREDS).any())
    if first and may_be:
        raise TableError(
            f"{path}: in a table with semicolons or tabs, {first} may be a thousand times as much, and no other number tells. "
            f"Write the table with commas between its columns, and without marks of thousands."
        )
