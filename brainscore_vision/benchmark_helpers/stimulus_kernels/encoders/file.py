"""An encoder on disk: one HDF5 file that is written whole or not at all and checked when it is read; nothing is unpickled.

``about`` (JSON) says which network, layers and field of view; ``metadata`` is a tree of groups, whose leaves are numbers or
JSON; ``parts/0``, ``parts/1`` ... hold one recorded layer's share each (:class:`Part`). The attribute ``blake2b`` is a
checksum of everything but the large matrices, which have a checksum per block of features.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from ..errors import StimulusKernelError
from ..files import read_hdf5
from ..kernels.kernel import COLUMN_BLOCK
from ..kernels.store import DAMAGE

FORMAT, VERSION = "fitted encoder", 1

CACHE_BYTES = 2**29
"""Matrices up to this size stay in memory once they are read."""

_JSON = "json"
_MATRIX, _SCALE = "matrix", "scale"
_SIGNS = np.array([-1.0, 1.0], dtype=np.float32)


class EncoderFileError(StimulusKernelError):
    """A file is no encoder that can be used here."""


@dataclass(frozen=True)
class Part:
    """What one recorded layer predicts: ŷ = intercept + (x - centre) M, or (x - centre) M D.

    Attributes
    ----------
    path : pathlib.Path
    number : int
    label : str
        As it is recorded.
    layers : tuple of str
        Of the network; empty where a model says nothing about layers.
    columns : numpy.ndarray of int, shape (v,)
        Positions of its voxels among those of the encoder.
    centre : numpy.ndarray of float32, shape (p,)
    intercept : numpy.ndarray of float64, shape (v,)
    second : numpy.ndarray of float64, shape (m, v), or None
        D. Without it M has a column per voxel; with it, one per training stimulus or random projection.
    checksums : numpy.ndarray of uint8, shape (blocks, 16), or None
        Of M; None where M is made of a seed.
    """

    path: Path
    number: int
    label: str
    layers: tuple[str, ...]
    columns: np.ndarray
    centre: np.ndarray
    intercept: np.ndarray
    second: np.ndarray | None
    checksums: np.ndarray | None
    _cache: list = field(default_factory=list, repr=False, compare=False)

    @property
    def n_features(self) -> int:
        return len(self.centre)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Features, and their rows of M as float32, shape (features, m)."""
        if self._cache:
            yield from self._cache
            return
        found = random_signs(self.n_features, len(self.second)) if self.checksums is None else self._read()
        width = self.second.shape[0] if self.second is not None else len(self.columns)
        keeps, kept = self.n_features * width * 4 <= CACHE_BYTES, []
        for block in found:
            if keeps:
                kept.append(block)
            yield block
        self._cache.extend(kept)

    def _read(self) -> Iterator[tuple[slice, np.ndarray]]:
        with opened(self.path) as file:
            group = file[f"parts/{self.number}"]
            try:
                for i, rows in enumerate(row_blocks(self.n_features)):
                    values = group[_MATRIX][rows]
                    scale = group[_SCALE][i] if _SCALE in group else None
                    if not np.array_equal(digest_of(values, scale), self.checksums[i]):
                        raise damaged(self.path, f"features {rows.start} to {rows.stop} do not match their checksum")
                    yield rows, values.astype(np.float32) if scale is None else values.astype(np.float32) * scale
            except DAMAGE as error:
                if isinstance(error, StimulusKernelError):
                    raise
                raise damaged(self.path, error) from error


def row_blocks(n_features: int) -> Iterator[slice]:
    """Features that are treated together."""
    return (slice(start, min(start + COLUMN_BLOCK, n_features)) for start in range(0, n_features, COLUMN_BLOCK))


def matrix_bytes(n_features: int, width: int, dtype: str) -> int:
    """What a matrix M takes, with its checksums and scales (:class:`MatrixWriter`)."""
    n_blocks = math.ceil(n_features / COLUMN_BLOCK)
    per_block = 16 + (4 * width if dtype == "float16" else 0)
    return n_features * width * np.dtype(dtype).itemsize + n_blocks * per_block


def random_signs(n_features: int, width: int) -> Iterator[tuple[slice, np.ndarray]]:
    """A random projection, the same each time: ±1/√width (Achlioptas 2003); blocks as those of :meth:`Part.blocks`."""
    for i, rows in enumerate(row_blocks(n_features)):
        signs = np.random.default_rng([n_features, width, i]).choice(_SIGNS, size=(rows.stop - rows.start, width))
        yield rows, signs / np.float32(np.sqrt(width))


class MatrixWriter:
    """Writes M block by block.

    Parameters
    ----------
    group : h5py.Group
    n_features, width : int
    dtype : {"float32", "float16"}
        The latter with a scale per block and column, so that nothing overflows.
    """

    def __init__(self, group: h5py.Group, n_features: int, width: int, dtype: str):
        n_blocks = len(list(row_blocks(n_features)))
        self._group, self._checksums = group, np.zeros((n_blocks, 16), np.uint8)
        group.create_dataset(_MATRIX, (n_features, width), dtype)
        if dtype == "float16":
            group.create_dataset(_SCALE, (n_blocks, width), "float32")

    def write(self, i: int, rows: slice, values: np.ndarray) -> np.ndarray:
        """Write block ``i``, float64, shape (features, width); returns what a reader will get, float32."""
        matrix, scale = self._group[_MATRIX], None
        if _SCALE in self._group:
            scale = np.abs(values).max(axis=0).astype(np.float32)
            scale[scale == 0] = 1
            self._group[_SCALE][i] = scale
            values = values / scale
        rounded = values.astype(matrix.dtype)
        matrix[rows] = rounded
        self._checksums[i] = digest_of(rounded, scale)
        return rounded.astype(np.float32) if scale is None else rounded.astype(np.float32) * scale

    def close(self) -> None:
        self._group["checksums"] = self._checksums


def digest_of(values: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """Checksum of a block; uint8, shape (16,)."""
    content = hashlib.blake2b(np.ascontiguousarray(values).view(np.uint8), digest_size=16)
    if scale is not None:
        content.update(np.ascontiguousarray(scale).view(np.uint8))
    return np.frombuffer(content.digest(), np.uint8)


def opened(path: Path, mode: str = "r") -> h5py.File:
    """The HDF5 file; EncoderFileError if there is none, or none that is whole."""
    try:
        return read_hdf5(path, libver="v110") if mode == "r" else h5py.File(path, mode, libver="v110", locking=False)
    except OSError as error:
        if mode != "r":
            raise
        if not os.path.exists(path):
            raise EncoderFileError(
                f"An encoder is read from a file; there is none at {path}. Check the path."
            ) from error
        raise damaged(path, "it is no whole HDF5 file") from error


def damaged(path: Path, reason) -> EncoderFileError:
    return EncoderFileError(f"{path} is damaged, or no encoder ({reason}). Restore it from a copy, or fit it again.")


def write_tree(group: h5py.Group, tree: dict) -> None:
    """Write nested dictionaries: numbers as datasets, everything else as JSON."""
    for name, value in tree.items():
        if isinstance(value, dict):
            write_tree(group.create_group(name, track_order=True), value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            group[name] = value
        else:
            is_array = isinstance(value, np.ndarray)
            text = json.dumps({"text": [str(v) for v in value]} if is_array else {"value": value})
            group[name] = np.frombuffer(text.encode(), np.uint8)
            group[name].attrs["kind"] = _JSON


def read_tree(group: h5py.Group) -> dict:
    """What :func:`write_tree` wrote."""
    tree = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            tree[name] = read_tree(item)
        elif item.attrs.get("kind") == _JSON:
            held = json.loads(item[()].tobytes())
            tree[name] = np.array(held["text"]) if "text" in held else held["value"]
        else:
            tree[name] = item[()]
    return tree


def seal(file: h5py.File) -> None:
    """Write format, version and checksum: the last step."""
    file.attrs.update({"format": FORMAT, "version": VERSION})
    file.attrs["blake2b"] = _checksum(file)


def read_header(path: Path) -> tuple[dict, dict, list[Part]]:
    """``about``, ``metadata`` and parts of an encoder's file; reads no large matrix.

    Raises
    ------
    EncoderFileError
        No such file, no encoder, one of another version, or a damaged one.
    """
    path = Path(path)
    with opened(path) as file:
        try:
            if file.attrs.get("format") != FORMAT:
                raise EncoderFileError(f"{path} is no encoder. Encoder.save writes one.")
            if file.attrs["version"] != VERSION:
                raise EncoderFileError(
                    f"This version reads encoders of version {VERSION}; {path} has version {file.attrs['version']}. Fit it "
                    f"again, or install the version of the plugin that wrote it."
                )
            if file.attrs["blake2b"] != _checksum(file):
                raise damaged(path, "its description does not match its checksum")
            about, metadata = read_tree(file["about"]), read_tree(file["metadata"])
            parts = [_read_part(path, k, file[f"parts/{k}"]) for k in range(len(file["parts"]))]
        except DAMAGE as error:
            if isinstance(error, StimulusKernelError):
                raise
            raise damaged(path, error) from error
    metadata["encoding_model"] = _network_of(about) | metadata.get("encoding_model", {})
    return about, metadata, parts


def _network_of(about: dict) -> dict:
    """What ``about`` says of the network, as metadata have it; regions of interest of earlier versions have no layer there."""
    recorded = about.get("recorded", {})
    layers = {region: about["layers"].get(recorded.get(region, region)) for region in about["regions"]}
    return {name: about[name] for name in ("identifier", "source", "network")} | {"layers": layers}


def _read_part(path: Path, number: int, group: h5py.Group) -> Part:
    held = read_tree(group["description"])
    arrays = {name: group[name][()] if name in group else None for name in ("second", "checksums")}
    own = {name: group[name][()] for name in ("columns", "centre", "intercept")}
    return Part(path, number, held["label"], tuple(held["layers"]), **own, **arrays)


def _checksum(file: h5py.File) -> str:
    content, names = hashlib.blake2b(digest_size=32), []
    file.visit(names.append)
    content.update(json.dumps([str(file.attrs["format"]), int(file.attrs["version"])]).encode())
    for name in sorted(names):
        item = file[name]
        if isinstance(item, h5py.Dataset):
            described = [name, item.dtype.str, item.shape, item.attrs.get("kind")]
            content.update(json.dumps(described).encode())
            if name.rpartition("/")[2] not in (_MATRIX, _SCALE) or not name.startswith("parts/"):
                content.update(np.ascontiguousarray(item[()]).tobytes())
    return content.hexdigest()
