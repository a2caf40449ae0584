"""Per-voxel values and bootstrap draws of one result: one HDF5 file.

Groups are the places in the tree, ``sub-01`` or ``fold_0/sub-01``. Each may hold ``correlation``, ``noise_ceiling`` and
``p_value`` (one value per voxel; the ceiling is a fraction of variance), ``neuroids/<coordinate>`` (numbers or text),
``bootstrap`` and ``bootstrap_median`` (per draw, the ceiled score and the median correlation that it squares). Checksums are
HDF5's own.
"""

from __future__ import annotations

import errno
import io
import os
import uuid
from collections.abc import Set
from functools import lru_cache
from numbers import Real
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import read_hdf5

from .errors import ResultsError
from .packing import Node

CORRELATION, CEILING, P_VALUE, NEUROIDS = "correlation", "noise_ceiling", "p_value", "neuroids"
DRAWS, MEDIAN_DRAWS = "bootstrap", "bootstrap_median"
SUFFIX = ".h5"
WRITING = ".writing-"
_NO_SYNC_OF_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)
"""How file systems say that they have none; some network file systems do."""
_COMPRESSION = 4


def encode(root: Node, about: dict[str, str]) -> bytes | None:
    """The content of a result's file; None if it has nothing per voxel and no draws.

    ``about`` says what it is of; :func:`read` compares it.
    """
    nodes = [(place, node) for place, node in root.walk() if node.draws is not None or node.correlations is not None]
    if not nodes:
        return None
    # files of this version of HDF5 have half the size of older ones; an image of a file that HDF5 holds in memory itself
    # (driver="core") lacks checksums where that is older than 2.0
    content = io.BytesIO()
    with h5py.File(content, "w", libver="v110") as file:
        file.attrs.update(about)
        written: dict[str, tuple[dict, h5py.Group]] = {}
        for place, node in nodes:
            group = file.require_group(place) if place else file
            if node.draws is not None:
                _write_array(group, DRAWS, node.draws, noise=True)
            if node.median_draws is not None:
                _write_array(group, MEDIAN_DRAWS, node.median_draws, noise=True)
            if node.correlations is not None:
                coordinates = _coordinates(node.correlations)
                _check_coordinates(place, node, coordinates)
                _write_array(group, CORRELATION, np.asarray(node.correlations.values, float), noise=True)
                _write_array(group, CEILING, np.asarray(node.ceilings.values, float))
                if node.p_values is not None:
                    _write_array(group, P_VALUE, np.asarray(node.p_values.values, float), noise=True)
                before, neuroids = written.get(node.label, (None, None))
                if before is not None and _same(
                    before, coordinates
                ):  # another fold has the same voxels: they are linked
                    group[NEUROIDS] = neuroids
                else:
                    written[node.label] = coordinates, _write_neuroids(group, coordinates)

    return content.getvalue()


def write(content: bytes, directory: Path, stem: str) -> Path:
    """Write a file whole or not at all, on the disk when this returns; its name is like no other.

    Raises
    ------
    ResultsError
        The folder cannot be written, or is full.
    """
    token = uuid.uuid4().hex[:12]
    path, scratch = directory / f"{stem}-{token}{SUFFIX}", directory / f"{WRITING}{token}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with open(scratch, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _flush_names(directory)
    except OSError as error:
        for left in (scratch, path):
            left.unlink(missing_ok=True)
        raise ResultsError(
            f"Values per voxel need {len(content):,} bytes in {directory}, which cannot be written ({error.strerror}). Mend "
            f"that, and score again: kernels that are kept are used again."
        ) from error
    return path


def _flush_names(directory: Path) -> None:
    """A file's name is on the disk when its folder is."""
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC_OF_FOLDERS:
            raise
    finally:
        os.close(folder)


def files(directory: Path) -> list[Path]:
    """Files that :func:`write` made in a folder, also those that it was killed over."""
    return sorted([*directory.glob(f"result-*{SUFFIX}"), *directory.glob(f"{WRITING}*")])


def read(path: Path, about: dict[str, str]) -> dict[str, dict]:
    """Per place, where there are such: ``correlations``, ``ceilings``, ``p_values`` (DataArrays over neuroid), draws.

    Raises
    ------
    ResultsError
        No such file, a damaged one, or one that was written with another ``about``.
    """
    try:
        with read_hdf5(path) as file:  # never changed once written; some file systems have no locks
            said = {name: str(file.attrs[name]) for name in about if name in file.attrs}
            if other := [name for name in said if said[name] != str(about[name])]:
                raise ResultsError(
                    f"{path} has the values of another result: {other[0]} {said[other[0]]}, and not {about[other[0]]}. Files "
                    f"were exchanged: restore the folder from a copy, or score again."
                )
            found: dict[str, dict] = {}
            _read_groups("", file, found)
            return found
    except FileNotFoundError as error:
        raise ResultsError(
            f"Values per voxel and draws lie beside the results; {path} is missing. Keep the folder {path.parent.name} next to "
            f"its database, or score again."
        ) from error
    except (OSError, KeyError, RuntimeError) as error:  # what h5py raises for files that are not whole
        raise ResultsError(f"{path} is damaged ({error}). Restore it from a copy, or score again.") from error


def _read_groups(place: str, group: h5py.Group, found: dict) -> None:
    """Arrays of a group and of those below it; coordinates and subjects may be called as arrays are."""
    kinds = {name: group.get(name, getclass=True) for name in group}
    arrays = {name for name, kind in kinds.items() if kind is h5py.Dataset}
    if arrays & {CORRELATION, DRAWS}:
        found[place] = _read_arrays(group, arrays)
    for name, kind in kinds.items():
        if kind is h5py.Group and not (name == NEUROIDS and CORRELATION in arrays):
            _read_groups(f"{place}/{name}" if place else name, group[name], found)


def _read_arrays(group: h5py.Group, names: Set[str]) -> dict:
    arrays: dict = {}
    if DRAWS in names:
        arrays["draws"] = group[DRAWS][()]
    if MEDIAN_DRAWS in names:
        arrays["median_draws"] = group[MEDIAN_DRAWS][()]
    if CORRELATION in names:
        coords = {}
        for name, dataset in group[NEUROIDS].items():
            is_text = h5py.check_string_dtype(dataset.dtype) is not None
            coords[name] = ("neuroid", dataset.asstr()[()] if is_text else dataset[()])
        for key, name in (("correlations", CORRELATION), ("ceilings", CEILING), ("p_values", P_VALUE)):
            if name in names:  # p values are in files since they are made
                arrays[key] = xr.DataArray(group[name][()], dims=["neuroid"], coords=coords)
    return arrays


def _write_neuroids(group: h5py.Group, coordinates: dict[str, np.ndarray]) -> h5py.Group:
    written = group.create_group(NEUROIDS, track_order=True)
    for name, array in coordinates.items():
        if array.dtype.kind not in "biufc":
            array = _numbers_or_texts(array)
        if array.dtype.kind == "O":
            encoded = [text.encode() for text in array]
            width = max(1, *map(len, encoded))  # of fixed width, since HDF5 checks no other text
            array = np.array(encoded, dtype=h5py.string_dtype("utf-8", width))
        _write_array(written, name, array)
    return written


def _numbers_or_texts(array: np.ndarray) -> np.ndarray:
    """What HDF5 can hold of other columns: numbers, with nan in gaps; or anything as text, with the empty text in gaps."""
    items, missing = list(pd.Series(array)), pd.isna(array)  # dates of a Series are written as people write them
    if all(gap or isinstance(item, Real | np.bool_) for item, gap in zip(items, missing, strict=True)):
        numbers = np.array([np.nan if gap else item for item, gap in zip(items, missing, strict=True)])
        if numbers.dtype.kind in "biuf":  # longer numbers than the machine's are text
            return numbers
    return np.array(["" if gap else str(item) for item, gap in zip(items, missing, strict=True)], dtype=object)


def _coordinates(values: xr.DataArray) -> dict[str, np.ndarray]:
    # by way of .variables: .coords makes an array of its own of each
    return {str(name): variable.values for name, variable in values.coords.variables.items()}


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return list(one) == list(other) and all(_equal(array, other[name]) for name, array in one.items())


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two columns are the same; what is missing in both is the same, too."""
    return pd.Series(one).equals(pd.Series(other))


def _write_array(group: h5py.Group, name: str, array: np.ndarray, noise: bool = False) -> None:
    """An array with a checksum, in one piece: h5py's own call takes twice the time to work out a layout."""
    kind, space = h5py.h5t.py_create(array.dtype, logical=True), h5py.h5s.create_simple(array.shape)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space, _layout(array.shape, noise))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))


@lru_cache
def _layout(shape: tuple[int, ...], noise: bool) -> h5py.h5p.PropDCID:
    """Compressed, but for ``noise``, which no effort makes smaller by more than a tenth."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk(tuple(max(1, n) for n in shape))
    if not noise:
        layout.set_shuffle()
        layout.set_deflate(_COMPRESSION)
    layout.set_fletcher32()
    return layout


def _check_coordinates(place: str, node: Node, coordinates: dict[str, np.ndarray]) -> None:
    of_ceilings = {} if node.ceilings is None else _coordinates(node.ceilings)
    if not all(name in of_ceilings and _equal(of_ceilings[name], array) for name, array in coordinates.items()):
        raise ResultsError(
            f"Correlations and ceilings per voxel are of the same voxels in the same order; those of {place} are not."
        )
