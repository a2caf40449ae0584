"""Feature tables: rows of numbers by stimulus id, from HDF5, npz, npy, CSV or Parquet, checked when opened and when read."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.named_rows import (
    HOW_TO_SAY,
    is_symmetric,
    misnamed_rows,
    row_indexes,
    rows_of_a_table_apart,
    turned,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import asked_as
from brainscore_vision.data.laion_fmri_7t.released.embeddings import EMBEDDING, image_ids, open_embedding, valid_rows
from brainscore_vision.data.laion_fmri_7t.text_files import read_csv, read_lines

from .column_tables import open_csv, open_parquet, refuse_columns
from .table_files import (
    ID_KEYS,
    Choice,
    TableError,
    load_npy,
    open_hdf5,
    open_npy,
    open_npz,
    read_while_unchanged,
    refuse_index,
    rows_of,
    texts,
    the_id_key,
)

READERS = {
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
    ".npz": open_npz,
    ".npy": open_npy,
    ".csv": open_csv,
    ".tsv": open_csv,
    ".parquet": open_parquet,
}
"""By suffix: ``reader(path, choice)``."""

NO_IDS = ("", "nan", "None", "<NA>", "NaT")
"""What an id that is not there looks like as text."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_IMAGE_ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".npy", ".pt"))

ROW_BLOCK = 4096
"""Rows of a file that are read at a time."""


CORNER = 64
"""Rows of a square table that tell whether it is symmetric."""


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
    notes : tuple of str
        What a Score should say of how the table was read.
    columns : tuple of str
        Names of the features; empty where they have none.
    """

    name: str
    ids: np.ndarray
    valid: np.ndarray
    n_features: int
    dtype: np.dtype
    version: str
    read: Callable[[int, int], np.ndarray] = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

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
        _refuse_masked(features, name, "features")
        _refuse_masked(ids, name, "ids")
        found = _as_ids(ids, name)
        check_ids(found, name)
        if not all(isinstance(one, str) for one in np.asarray(ids, dtype=object).ravel()):
            _refuse_numbers(found, name)
        _check_rows(features, ids, found, name)
        values = np.array(_dense(features))  # a copy: an array that is filled anew is another table
        if not values.ndim:
            raise TableError(
                f"{name}: features are an array, stimuli × features, with one of ids per row; received a "
                f"{type(features).__name__}. Stack them, numpy.stack([features[i] for i in ids])."
            )
        _check_shape(values.shape, len(found), name)
        refuse_index(values, name)
        content = _digest(found, hashlib.sha256(np.ascontiguousarray(values)).hexdigest(), values.shape, values.dtype)
        valid = np.ones(len(found), bool)
        columns = getattr(features, "columns", ())
        refuse_columns([str(column) for column in columns], values, name)
        columns = tuple(columns) if pd.api.types.infer_dtype(columns) == "string" else ()
        read = functools.partial(rows_of, values)
        return cls(name, found, valid, values.shape[1], values.dtype, content, read, columns=columns)

    @classmethod
    def of_embeddings(cls, path: Path) -> FeatureTable:
        """The table of a file of released embeddings, as the dataset's reader has them."""
        with open_embedding(path) as file:
            ids, valid, features = _as_ids(image_ids(file), str(path)), valid_rows(file), file[EMBEDDING]
            _refuse_numbers(ids, str(path))
            described = features.shape[1], features.dtype
            read = read_while_unchanged(path, _embedding_rows)
        return cls(str(path), ids, valid, *described, _digest(ids, file_digest(path), EMBEDDING), read)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Row of each id that may be used."""
        return {str(self.ids[row]): int(row) for row in np.flatnonzero(self.valid)}

    def located(self, stimulus_ids: Collection[str]) -> dict[str, int]:
        """Row of each stimulus that has one, valid or not.

        An id that is a stimulus belongs to it. Other ids are compared without folder, file ending, case and surrounding
        blanks. A match counts only if exactly one row and one stimulus have this short name.
        """
        found = {s: self._rows_by_id[s] for s in stimulus_ids if s in self._rows_by_id}
        if len(found) == len(stimulus_ids):
            return found
        asked: dict[str, list[str]] = {}
        for stimulus_id in dict.fromkeys(stimulus_ids):
            if stimulus_id not in found:
                asked.setdefault(loose_form(stimulus_id), []).append(stimulus_id)
        taken = set(found.values())
        for form, stimuli in asked.items():
            rows = [row for row in self._rows_by_form.get(form, ()) if row not in taken]
            if len(rows) == len(stimuli) == 1:
                found[stimuli[0]] = rows[0]
        return found

    def usable(self, stimulus_ids: Collection[str]) -> dict[str, int]:
        """Row of each stimulus that has a valid one without nan and infinity."""
        rows = {s: row for s, row in self.located(stimulus_ids).items() if self.valid[row]}
        finite = self._finite(list(rows.values()))
        return {s: row for s, row in rows.items() if finite[row]}

    def rows(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        """Features of stimuli in their order, as stored: shape (len(stimulus_ids), n_features), finite.

        Raises
        ------
        TableError
            A stimulus without a (valid) row, or features that are not finite.
        """
        located = {s: row for s, row in self.located(stimulus_ids).items() if self.valid[row]}
        unknown = [s for s in stimulus_ids if s not in located]
        if unknown:
            raise TableError(
                f"{self.name} has no valid row for {len(unknown)} of {len(stimulus_ids)} stimuli, the first: {unknown[:3]}. "
                f"Its own ids look like {[str(s) for s in self.ids[:2]]}; a stimulus id is the image's file name, with "
                f"extension and without folder."
            )
        wanted = np.array([located[s] for s in stimulus_ids], dtype=np.intp)
        features = np.empty((len(wanted), self.n_features), dtype=self.dtype)
        for inside, values in self._blocks(wanted):
            features[inside] = values
        if self.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
            if len(bad):
                raise TableError(
                    f"{self.name}: features must be finite; {len(bad)} of {len(wanted)} stimuli have nan or infinity, the "
                    f"first: {[str(stimulus_ids[i]) for i in bad[:3]]}. Mend them, or mark these rows as not valid."
                )
        return features

    @cached_property
    def is_of_pairs(self) -> bool:
        """Whether the table is square and symmetric, as far as its first rows show: stimuli × stimuli, perhaps."""
        n = min(CORNER, len(self.ids))
        return self.n_features == len(self.ids) and is_symmetric(np.asarray(self.read(0, n))[:, :n])

    @cached_property
    def _rows_by_id(self) -> dict[str, int]:
        return {str(stimulus_id): row for row, stimulus_id in enumerate(self.ids)}

    @cached_property
    def _rows_by_form(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row, stimulus_id in enumerate(self.ids):
            found.setdefault(loose_form(str(stimulus_id)), []).append(row)
        return found

    @cached_property
    def _finite_rows(self) -> np.ndarray:
        """1 for rows that are finite, 0 for others, -1 for those that nobody asked about: int8, shape (n,)."""
        return np.full(len(self.ids), 1 if self.dtype.kind != "f" else -1, np.int8)

    def _finite(self, rows: Sequence[int]) -> np.ndarray:
        """Rows without nan and infinity, among those asked for now or before: bool, shape (n,)."""
        known = self._finite_rows
        unread = np.array([row for row in rows if known[row] < 0], dtype=np.intp)
        for inside, values in self._blocks(unread):
            known[unread[inside]] = np.isfinite(values).all(axis=1)
        return known == 1

    def _blocks(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions in ``wanted`` and the features of these rows; whole blocks, for HDF5 is slow at picking single rows."""
        block_of = wanted // ROW_BLOCK
        for block in np.unique(block_of):
            start, inside = int(block) * ROW_BLOCK, np.flatnonzero(block_of == block)
            values = self.read(start, min(start + ROW_BLOCK, len(self.ids)))
            yield inside, values[wanted[inside] - start]


def loose_form(stimulus_id: str) -> str:
    """An id without folders, the image's ending, capitals and surrounding blanks, its accents written in one way."""
    plain = unicodedata.normalize("NFC", stimulus_id.strip().replace("\\", "/"))
    name = PurePosixPath(plain).name.casefold()
    while PurePosixPath(name).suffix in _IMAGE_ENDINGS:
        name = PurePosixPath(name).stem
    return name


def open_table(
    path: str | Path,
    ids: str | Path | Sequence[str] | None = None,
    key: str | None = None,
    columns: str | Sequence[str] | None = None,
) -> FeatureTable:
    """A feature table from a file.

    Parameters
    ----------
    path : str or Path
        ``.h5``/``.hdf5``: a two-dimensional dataset, the ids and optionally ``valid`` beside it (the release's form);
        ``.npz``: the same as arrays; ``.npy``: the features alone, so that `ids` is a file;
        ``.csv``/``.tsv``/``.parquet``: a column of ids, and columns of features with one name and a running number.
    ids : str, Path or sequence of str, optional
        Where the ids are: a key or column of the file, another file (``.txt`` or ``.csv`` with one id per line, ``.npy``),
        or the ids themselves. Without it, the one of `table_files.ID_KEYS` that the file has.
    key : str, optional
        The dataset or array that holds the features (``group/array`` in HDF5); without it, the one of
        `table_files.FEATURE_KEYS` that the file has, or its only two-dimensional one.
    columns : str or sequence of str, optional
        Columns that are features, of a CSV or Parquet table: names or patterns (``f*``), in a str joined by commas.

    Returns
    -------
    FeatureTable

    Raises
    ------
    TableError
        No such file or key, columns of which it is unclear whether they are features, or a file that breaks a rule: two
        dimensions, one unique id per row, real numbers.
    SchemaError
        A text file that cannot be read.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise TableError(f"A feature table is a file; there is none at {path}. Check the path.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise TableError(f"A feature table is one of {', '.join(READERS)}; received {path.name}. Convert it.")
    given, id_key, where = ids, None, "ids given"
    if isinstance(ids, (str, Path)):
        file = Path(ids).expanduser()
        given, where = (read_ids(file), str(file)) if file.is_file() else (None, str(path))
        id_key = None if given is not None else str(ids)
    stored = reader(path, Choice(key, columns, id_key, want_ids=given is None))
    found = _as_ids(given if given is not None else stored.ids, str(path))
    check_ids(found, str(path))
    _refuse_numbers(found, str(path))
    first = str(found[0])
    _check_shape(stored.shape, len(found), str(path), "" if given is None else f" in {where}, the first {first!r}")
    for name, own in stored.own_ids.items():
        _refuse_other_ids(found, own, f"{path}, {name}")
    valid = np.ones(len(found), bool) if stored.valid is None else np.asarray(stored.valid)
    if valid.dtype.kind not in "bui" or not np.isin(valid, (0, 1)).all():
        raise TableError(f"{path}: 'valid' holds true and false; received {valid.dtype}.")
    named = () if stored.columns is None else (stored.columns,)  # another choice of columns is another table
    return FeatureTable(
        name=str(path),
        ids=found,
        valid=valid.astype(bool),
        n_features=int(stored.shape[1]),
        dtype=np.dtype(stored.dtype),
        version=_digest(found, file_digest(path), key, *named),
        read=stored.read,
        notes=stored.notes,
        columns=stored.columns or (),
    )


def _refuse_other_ids(given: np.ndarray, own: Sequence[str], where: str) -> None:
    """Refuse ids that put the names which a file has for its own rows elsewhere.

    Names of another kind, such as numbers of rows, say nothing against them; folders and endings of file names are none.
    """
    given, own = (list(map(loose_form, ids)) for ids in (map(str, given), own))
    known = set(given)
    moved = [i for i, (one, other) in enumerate(zip(own, given, strict=False)) if one != other and one in known]
    if moved and 2 * sum(one in known for one in own) >= len(own):
        i = moved[0]
        raise TableError(
            f"{where}: ids are in the file or elsewhere. The file calls its rows otherwise than the ids that were given: row "
            f"{i} is {own[i]!r} and not {given[i]!r}, and so on. Leave {asked_as('ids', '--ids')} out, or name the array "
            f"({asked_as('ids=...', '--ids NAME')})."
        )


def read_ids(path: Path) -> list[str]:
    """Ids from a file: ``.npy``; ``.csv`` or ``.tsv`` with one column, or one that is named; else text, one id per line."""
    path = Path(path).expanduser()
    if path.suffix.lower() == ".npy":
        return texts(load_npy(path), str(path))
    if path.suffix.lower() in (".csv", ".tsv"):
        frame = read_csv(path, header=None, dtype=str, keep_default_na=False)
        header = [str(name).strip().casefold() for name in frame.iloc[0]]
        named = [i for i, name in enumerate(header) if name in ID_KEYS]
        if len(header) > 1:
            the_id_key(path, [header[i] for i in named], [str(name) for name in frame.iloc[0]], None)
        lines = [line.strip() for line in frame[named[0] if named else 0]]
    else:
        lines = [line.strip('"') for line in read_lines(path)]
    return lines[1:] if lines and lines[0].casefold() in ID_KEYS else lines


def check_ids(ids: np.ndarray, name: str) -> None:
    """Refuse ids that are empty or repeated."""
    if ids.ndim != 1 or not len(ids):
        raise TableError(f"{name}: ids are one per row, at least one; received shape {ids.shape}.")
    series = pd.Series(ids)
    empty = np.flatnonzero(series.isin(NO_IDS))
    if len(empty):
        raise TableError(
            f"{name}: every row has an id; {len(empty)} of {len(ids)} are empty, the first in row {empty[0]}."
        )
    repeated = series[series.duplicated()]
    if len(repeated):
        raise TableError(
            f"{name}: each stimulus has one row; {len(repeated)} of {len(ids)} rows repeat an id, the first: "
            f"{repeated.iloc[0]!r}. Average or remove the repeats."
        )


def _refuse_numbers(ids: np.ndarray, name: str) -> None:
    """Refuse ids all of which are numbers: most likely those of rows."""
    if pd.Series(ids).str.fullmatch(_NUMBER).all():
        raise TableError(
            f"{name}: a stimulus id is the image's file name; these ids are numbers, the first {ids[0]}. Name the right "
            f"column, array or file ({asked_as('ids=...', '--ids')}). Where a dataset of your own calls its images so, give "
            f"StimulusFeatureModel.from_arrays the ids as text."
        )


def _as_ids(ids: Sequence[str], name: str) -> np.ndarray:
    """Ids as an array of text, without surrounding blanks."""
    array = np.asarray(ids)
    if array.ndim == 1 and array.dtype.kind in "SO":  # numpy reads bytes as ASCII
        array = texts(array, name)
    array = np.asarray(array, dtype=str)
    return np.char.strip(array) if array.ndim == 1 else array


def file_digest(path: Path) -> str:
    """SHA-256 (hexadecimal) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_masked(values, name: str, what: str) -> None:
    """Refuse a masked array of numpy, or a list of such: the numbers behind a mask are meant for nobody."""
    parts = values if isinstance(values, (list, tuple)) else [values]
    masked = sum(int(np.ma.getmaskarray(part).sum()) for part in parts if np.ma.is_masked(part))
    if masked:
        raise TableError(
            f"{name}: {what} have a value in each place; {masked} are masked. Fill them, or leave their rows out."
        )


def _check_rows(features, ids, found: np.ndarray, name: str) -> None:
    """Refuse a DataFrame, or an array of xarray's, whose rows have other names than the ids, or the same in another order."""
    if rows_of_a_table_apart(features, ids):
        raise TableError(
            f"{name}: the rows of a DataFrame have the ids given, in their order; its index and that of the ids are the same "
            f"rows in another order. {HOW_TO_SAY}"
        )
    if turned(features, found.tolist(), ID_KEYS):
        raise TableError(
            f"{name}: features are stimuli × features; the columns of these are called as the ids, and the rows are not. "
            f"Transpose the features."
        )
    wrong = misnamed_rows(row_indexes(features, ID_KEYS), found.tolist())
    if wrong is not None:
        first, named = wrong
        own = "list(frame.index)" if hasattr(features, "index") else "their coordinate"
        raise TableError(
            f"{name}: rows that are named have the ids given, in their order; from row {first} on, the names differ from "
            f"them ({named[first : first + 1]} and {found[first : first + 1].tolist()}). Give {own} as ids."
        )


def _dense(features):
    """Sparse matrices and torch's tensors as what numpy can read; bfloat16 is exact in float32."""
    if hasattr(features, "toarray"):  # of scipy
        return features.toarray()
    if not hasattr(features, "detach"):
        return features
    features = features.detach().cpu().to_dense()
    return features.float() if str(features.dtype) == "torch.bfloat16" else features


def _embedding_rows(path: Path, start: int, stop: int) -> np.ndarray:
    with open_embedding(path) as file:
        return file[EMBEDDING][start:stop]


def _check_shape(shape: tuple[int, ...], n_ids: int, name: str, where: str = "") -> None:
    if len(shape) != 2 or shape[0] != n_ids:
        transposed = tuple(shape[1:]) == (n_ids,)
        remedy = "Transpose the features." if transposed else "Flatten further dimensions, or name the right ids."
        raise TableError(
            f"{name}: features are a table of stimuli × features with one id per row; received shape {tuple(shape)} and "
            f"{n_ids} ids{where}. {remedy}"
        )


def _digest(ids: np.ndarray, *content) -> str:
    digest = hashlib.sha256(repr(content).encode())
    for stimulus_id in ids:
        digest.update(f"{stimulus_id}\n".encode())
    return digest.hexdigest()[:32]
