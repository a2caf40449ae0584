"""Compares a built assembly with a published one, element by element, in bounded memory.

Trials are matched by stimulus and repetition, voxels by their index in the brain mask. Of the data, a block of trials of
each file is held at a time. Coordinates are compared as they are stored, unknown ones included; the data to the last bit, then
to what float32 rounds, since the published files were z-scored in float32.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..assemblies.file import (
    BLOCK_BYTES,
    DATA_VARIABLE,
    DIMENSIONS,
    PRESENTATION_OPTIONAL,
    data_variable,
    open_netcdf,
    stored_values,
)
from ..constants import OTHER_REGION
from ..errors import SchemaError

PRESENTATION, NEUROID = DIMENSIONS

ROUNDING = 1e-5
"""Largest difference of two z-scores that float32 explains, in standard deviations, or relative to a z-score beyond 1. The
published values were made with sums over 1,066 trials in float32. These differ from sums in float64 by up to 5e-6 for a voxel
whose mean is at most twice its standard deviation, and by up to 9e-6 for five times (2,000 random voxels each)."""

IDENTICAL, ROUNDED, DIFFERENT = "identical", "equal to float32 rounding", "DIFFERENT"
"""The three words for two assemblies."""

N_EXAMPLES = 3

COSMETIC = {
    "subject_id_pres": "named after a file (sub-XX_v3); nothing reads it",
    "presentation": "xarray's own index, a count",
    "neuroid": "xarray's own index, a count",
    "presentation_level_0": "left over from one of xarray's indexes",
}
"""Coordinates that may differ or be absent -> why nothing depends on them."""


@dataclass(frozen=True)
class Difference:
    """One kind of difference.

    Attributes
    ----------
    kind : str
        "values", "rounding", "coordinate", "absent", "additional", "trials", "voxels", "order".
    name : str
        Of the coordinate or the data.
    count, total : int
        Elements that differ, of how many.
    examples : tuple of str
        The first few.
    cosmetic : str
        Why nothing depends on it; empty if something does.
    """

    kind: str
    name: str
    count: int
    total: int
    examples: tuple[str, ...] = ()
    cosmetic: str = ""

    def __str__(self) -> str:
        what = f"{self.kind} of {self.name}: {self.count:,} of {self.total:,}"
        shown = f", such as {'; '.join(self.examples)}" if self.examples else ""
        return f"{'cosmetic: ' if self.cosmetic else ''}{what}{shown}{f' ({self.cosmetic})' if self.cosmetic else ''}"


@dataclass(frozen=True)
class Agreement:
    """How two assemblies compare.

    Attributes
    ----------
    n_values : int
        Elements of the data that were compared.
    n_identical : int
        Those that are the same to the last bit.
    largest : float
        Largest absolute difference.
    differences : tuple of Difference
    """

    n_values: int
    n_identical: int
    largest: float
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Whether all differences are cosmetic."""
        return all(difference.cosmetic for difference in self.differences)

    @property
    def verdict(self) -> str:
        """`IDENTICAL` (to the last bit), `ROUNDED` or `DIFFERENT`."""
        if not self.agrees:
            return DIFFERENT
        return IDENTICAL if self.n_identical == self.n_values else ROUNDED

    def summary(self) -> str:
        """One line."""
        same = (
            f"{self.n_identical:,} of {self.n_values:,} values to the last bit, largest difference {self.largest:.1e}"
        )
        return f"{self.verdict}; {same}"


def compare_assemblies(
    built: Path, published: Path, rounding: float = ROUNDING, block_bytes: int = BLOCK_BYTES
) -> Agreement:
    """Compare two assembly files of a subject.

    Parameters
    ----------
    built, published : Path
    rounding : float
        Largest difference of two values that counts as rounding, times the published value where that is beyond 1. Files
        that say that they were built from the same source files have to be the same to the last bit, whatever this is.
    block_bytes : int
        Data of each file to hold at once. Changes memory and speed, not the result.

    Returns
    -------
    Agreement

    Raises
    ------
    MissingDataError, SchemaError
        If a file is missing or is not an assembly, or if the files say that they have different brain masks: then their
        voxel indices count different voxels.
    """
    ours, theirs = _read_stored(built), _read_stored(published)
    for name in ("brain_mask", "brain_mask_sha1"):
        one, other = ours.attributes.get(name), theirs.attributes.get(name)
        if one is not None and other is not None and one != other:
            raise SchemaError(
                f"Voxels are compared by their index in the brain mask, so both files need the same mask; {ours.path} "
                f"has {name} {one!r}, {theirs.path} {other!r}. Rebuild with the other mask (--mask)."
            )
    # the shared assemblies hold a part of the trials, and no session, run and beta_index
    is_part = (PRESENTATION, PRESENTATION_OPTIONAL[0]) not in theirs.coordinates
    differences: list[Difference] = []
    keys = (_index(stored, PRESENTATION, "stimulus_id", "repetition") for stored in (ours, theirs))
    rows = _match(*keys, "trials", differences, may_lack=is_part)
    keys = [_index(stored, NEUROID, "voxel_index_in_brain_mask") for stored in (ours, theirs)]
    # voxels beside V1 to IT, which published files lack
    beside = ours.coordinates.get((NEUROID, "region"), np.empty(0)) == OTHER_REGION
    columns = _match(*keys, "voxels", differences, may_lack=False, beside=beside)
    for dimension, places in ((PRESENTATION, rows), (NEUROID, columns)):
        differences += _compare_coordinates(ours, theirs, dimension, places, is_part)
    n_identical, largest, found = _compare_values(ours, theirs, rows, columns, rounding, block_bytes)
    n_values = len(rows[0]) * len(columns[0])
    return Agreement(n_values, n_identical, largest, tuple(differences + found))


@dataclass(frozen=True)
class _Stored:
    """What an assembly file holds beside its data: (dimension, name) -> values of a coordinate, and all attributes."""

    path: Path
    n_voxels: int
    coordinates: dict[tuple[str, str], np.ndarray]
    attributes: dict


def _read_stored(path: Path) -> _Stored:
    with open_netcdf(path) as file:
        data = data_variable(file, path)
        coordinates = {
            (variable.dimensions[0], name): stored_values(variable)
            for name, variable in file.variables.items()
            if name != DATA_VARIABLE and variable.dimensions and variable.dimensions[0] in DIMENSIONS
        }
        attributes = {name: source.getncattr(name) for source in (data, file) for name in source.ncattrs()}
        return _Stored(Path(path), data.shape[1], coordinates, attributes)


def _index(stored: _Stored, dimension: str, *names: str) -> pd.Index:
    """The coordinates that tell the entries of a dimension apart."""
    for name in names:
        if (dimension, name) not in stored.coordinates:
            raise SchemaError(
                f"{stored.path}: assemblies are compared by {name} on their {dimension} dimension, which this file "
                f"lacks; it has {', '.join(sorted(found for _, found in stored.coordinates))}."
            )
    values = [stored.coordinates[dimension, name] for name in names]
    return pd.Index(values[0]) if len(values) == 1 else pd.MultiIndex.from_arrays(values)


def _match(
    ours: pd.Index,
    theirs: pd.Index,
    kind: str,
    differences: list[Difference],
    may_lack: bool,
    beside: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the common entries in our file and in theirs, in the order of theirs; differences are added.

    Theirs may lack all entries (`may_lack`), or those that are marked (`beside`).
    """
    for index, where in ((ours, "built"), (theirs, "published")):
        if index.has_duplicates:
            first = index[index.duplicated()][0]
            raise SchemaError(f"The {where} file has {kind} twice, first {first!r}: nothing says which is which.")
    places = ours.get_indexer(theirs)
    absent, additional = theirs[places < 0], ours.difference(theirs, sort=False)
    if beside is not None:
        additional = additional.difference(ours[beside], sort=False)
    if len(absent):
        differences.append(Difference(kind, "published alone", len(absent), len(theirs), _first(absent)))
    if len(additional) and not may_lack:
        differences.append(Difference(kind, "built alone", len(additional), len(ours), _first(additional)))
    theirs_common = np.flatnonzero(places >= 0)
    ours_common = places[theirs_common]
    moved = int((np.diff(ours_common) < 0).sum())
    if moved:
        differences.append(Difference("order", kind, moved, len(ours_common), cosmetic="matched by name, not by place"))
    return ours_common, theirs_common


def _first(entries: pd.Index) -> tuple[str, ...]:
    return tuple(map(str, entries[:N_EXAMPLES].tolist()))


def _compare_coordinates(
    ours: _Stored, theirs: _Stored, dimension: str, places: tuple[np.ndarray, np.ndarray], is_part: bool
) -> list[Difference]:
    differences = []
    total = len(places[0])
    for name in sorted({name for d, name in {**ours.coordinates, **theirs.coordinates} if d == dimension}):
        in_ours, in_theirs = (stored.coordinates.get((dimension, name)) for stored in (ours, theirs))
        cosmetic = COSMETIC.get(name, "")
        if in_ours is None or in_theirs is None:
            kind = "absent" if in_ours is None else "additional"
            if is_part and name in PRESENTATION_OPTIONAL:
                cosmetic = "left out of the shared assemblies"
            differences.append(Difference(kind, name, total, total, cosmetic=cosmetic))
            continue
        one, other = in_ours[places[0]], in_theirs[places[1]]
        equal = one == other
        if one.dtype.kind == other.dtype.kind == "f":
            equal |= np.isnan(one) & np.isnan(other)
        wrong = np.flatnonzero(~equal) if isinstance(equal, np.ndarray) else np.arange(total)  # no elementwise ==
        if len(wrong):
            examples = tuple(f"{i}: built {one[i]!s}, published {other[i]!s}" for i in wrong[:N_EXAMPLES])
            differences.append(Difference("coordinate", name, len(wrong), total, examples, cosmetic))
    return differences


def _compare_values(ours, theirs, rows, columns, rounding, block_bytes) -> tuple[int, float, list[Difference]]:
    """Number of values that are the same to the last bit, the largest difference, and the differences."""
    n_rows, n_columns = len(rows[0]), len(columns[0])
    identical, rounded, beyond, largest, examples = 0, 0, 0, 0.0, []
    step = max(1, block_bytes // (max(ours.n_voxels, theirs.n_voxels) * 8))
    with open_netcdf(ours.path) as one, open_netcdf(theirs.path) as other:
        for start in range(0, n_rows, step):
            block = slice(start, min(start + step, n_rows))
            a = _rows(one, rows[0][block])[:, columns[0]].astype(np.float64)
            b = _rows(other, rows[1][block])[:, columns[1]].astype(np.float64)
            same = (np.isnan(a) & np.isnan(b)) | ((a == b) & (np.signbit(a) == np.signbit(b)))
            with np.errstate(invalid="ignore"):  # infinite on both sides
                difference = np.where(same, 0, np.abs(a - b))
            # NaN on one side alone is no rounding
            wrong = ~(difference <= rounding * np.maximum(1, np.abs(np.nan_to_num(b, posinf=0, neginf=0))))
            identical += int(same.sum())
            beyond += int(wrong.sum())
            rounded += int((~same & ~wrong).sum())
            largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max(initial=0)))
            for row, column in np.argwhere(wrong)[: N_EXAMPLES - len(examples)]:
                values = f"built {a[row, column]:.7g}, published {b[row, column]:.7g}"
                examples.append(f"trial {rows[1][start + row]}, neuroid {columns[1][column]}: {values}")
    total, found = n_rows * n_columns, []
    if beyond:
        found.append(Difference("values", DATA_VARIABLE, beyond, total, tuple(examples)))
    if rounded:
        sources = ours.attributes.get("sources")
        same_code = sources is not None and sources == theirs.attributes.get("sources")
        reason = "" if same_code else f"within {rounding:g} standard deviations: sums in float32"
        examples = ("both built from the same files, which gives the same bits",) if same_code else ()
        found.append(Difference("rounding", DATA_VARIABLE, rounded, total, examples, reason))
    return identical, largest, found


def _rows(file, rows: np.ndarray) -> np.ndarray:
    """Some trials of all voxels. Reads from the first to the last of them, or one by one if these are far apart."""
    data = file.variables[DATA_VARIABLE]
    first, last = int(rows.min()), int(rows.max())
    if last - first + 1 <= 4 * len(rows):
        return data[first : last + 1][rows - first]
    return np.stack([data[int(row)] for row in rows])
