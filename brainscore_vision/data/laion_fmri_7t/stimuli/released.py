"""The release's images: one HDF5 file of encoded images, extracted to image files on first use.

Row i of the HDF5 dataset ``images`` (variable-length uint8: an encoded JPEG or PNG) belongs to row i of the metadata
table, whose ``image_name`` is the stimulus id and the file's name.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePath

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import (
    UNREADABLE,
    open_image,
    strict_decoding,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state, read_hdf5

from ..errors import SchemaError
from ..home import keep, kept
from .stimulus_tables import check_names, names_of, read_table

IMAGES_DATASET = "images"
_FORMAT_OF_EXTENSION = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_DOWNLOAD_AGAIN = "Run `laion-fmri download-stimuli` again."


class ReleasedStimuli:
    """Images of the release, extracted as they are asked for.

    Parameters
    ----------
    images : Path
        ``task-images_stimuli.h5``.
    metadata : Path
        ``task-images_metadata.csv``, same order.
    """

    def __init__(self, images: Path, metadata: Path):
        self.images = images
        self.metadata = metadata
        self._table: pd.DataFrame | None = None
        self._fingerprint: str | None = None

    @property
    def key(self) -> tuple:
        """Paths, and the state of the files."""
        return self.images, self.metadata, *file_state(self.images), *file_state(self.metadata)

    def table(self) -> pd.DataFrame:
        """One row per image: stimulus_id, filename and the metadata's columns, in the file's order."""
        if self._table is None:
            table = read_metadata(self.metadata)
            with self._open() as file:
                n_images = file[IMAGES_DATASET].shape[0]
            if n_images != len(table):
                raise SchemaError(
                    f"The release's images and their metadata have the same rows; {self.images} has "
                    f"{n_images:,} images, {self.metadata} has {len(table):,} rows. {_DOWNLOAD_AGAIN}"
                )
            self._table = table
        return self._table

    def files(self, stimulus_ids: list[str]) -> dict[str, Path]:
        """Image file of each stimulus, extracted where that has not happened yet."""
        names = names_of(self.table(), stimulus_ids, self.metadata)
        there = self.extracted(stimulus_ids)
        files = {stimulus_id: there.get(stimulus_id) for stimulus_id in names}
        absent = [stimulus_id for stimulus_id, path in files.items() if path is None]
        if absent:
            rows = pd.Index(self.table()["stimulus_id"]).get_indexer(absent)
            with self._open() as file:
                images = file[IMAGES_DATASET]
                for row in tqdm(np.sort(rows), desc="extracting images", unit="image", disable=None):
                    self._extract(images, row)
            files.update({stimulus_id: kept(*self._extracted, names[stimulus_id]) for stimulus_id in absent})
        return files

    def extracted(self, stimulus_ids: list[str]) -> dict[str, Path]:
        """:meth:`files` of those stimuli whose image is extracted already; extracts none."""
        names = names_of(self.table(), stimulus_ids, self.metadata)
        files = {stimulus_id: kept(*self._extracted, name) for stimulus_id, name in names.items()}
        return {stimulus_id: path for stimulus_id, path in files.items() if path is not None}

    @property
    def folder(self) -> Path:
        """Where the metadata and the seal are."""
        return self.metadata.parent

    @property
    def _extracted(self) -> tuple[str, str]:
        """Where images are extracted to, below the plugin's home."""
        return "stimuli", self.fingerprint()[:16]

    @property
    def how_to_restore(self) -> str:
        """Extracted copies go first."""
        return f"Delete {kept(*self._extracted)}: images are extracted again. If that does not help: {_DOWNLOAD_AGAIN}"

    def damaged_copies(self, hashes: dict[str, str]) -> list[Path]:
        """Extracted images whose SHA-1 is not that of the encoded image in the HDF5 file."""
        names = dict(zip(self.table()["stimulus_id"], self.table()["filename"], strict=True))
        copies = {kept(*self._extracted, names[stimulus_id]): sha1 for stimulus_id, sha1 in hashes.items()}
        return [
            path
            for path, sha1 in copies.items()
            if path is not None and hashlib.sha1(path.read_bytes()).hexdigest() != sha1
        ]

    def content(self, row: int) -> bytes:
        """Encoded image of a row of the table; SchemaError if it is another row's."""
        stimulus_id = self.table()["stimulus_id"].iloc[row]
        with self._open() as file:
            return self._content(file[IMAGES_DATASET], row, stimulus_id)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Stimulus id and encoded image of every stimulus, from the HDF5 file; SchemaError if one is in another's row."""
        ids = self.table()["stimulus_id"].tolist()
        with self._open() as file:
            images = file[IMAGES_DATASET]
            for row, stimulus_id in enumerate(ids):
                yield stimulus_id, self._content(images, row, stimulus_id)

    def fingerprint(self) -> str:
        """SHA-1 over the metadata, the size of the image file and a few of its images."""
        if self._fingerprint is None:
            digest = hashlib.sha1(self.metadata.read_bytes())
            digest.update(str(self.images.stat().st_size).encode())
            n_images = len(self.table())
            with self._open() as file:
                for row in sorted({0, n_images // 2, n_images - 1} if n_images else ()):
                    digest.update(np.asarray(file[IMAGES_DATASET][row]).tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def _extract(self, images: h5py.Dataset, row: int) -> None:
        """Write one image, whole or not at all, after checking that it is what its name says."""
        name = self.table()["filename"].iloc[row]
        content = np.asarray(images[row]).tobytes()
        found = _format(content)
        if found is None:
            raise SchemaError(
                f"{self.images}: row {row} must hold the image of stimulus {name!r}; its {len(content):,} "
                f"bytes cannot be read as an image. {_DOWNLOAD_AGAIN}"
            )
        self._check_format(found, name, row)
        keep(content, *self._extracted, name)

    def _content(self, images: h5py.Dataset, row: int, stimulus_id: str) -> bytes:
        content = np.asarray(images[row]).tobytes()
        self._check_format(_format(content), stimulus_id, row)
        return content

    def _check_format(self, found: str | None, name: str, row: int) -> None:
        """An image in another format than its name says is another stimulus' image."""
        expected = _FORMAT_OF_EXTENSION.get(PurePath(name).suffix.lower(), found)
        if found is not None and found != expected:
            raise SchemaError(
                f"{self.images}: row {row} belongs to stimulus {name!r}, a {expected} file, but holds a "
                f"{found}: the images and {self.metadata} are not in the same order. {_DOWNLOAD_AGAIN}"
            )

    def _open(self) -> h5py.File:
        try:
            file = read_hdf5(self.images)
        except OSError as error:
            raise SchemaError(
                f"The release's images are a complete HDF5 file; {self.images} "
                f"({self.images.stat().st_size:,} bytes) cannot be opened as one: {error}. "
                f"{_DOWNLOAD_AGAIN}"
            ) from error
        if IMAGES_DATASET not in file:
            found = sorted(file)
            file.close()
            raise SchemaError(
                f"{self.images}: the images are in the HDF5 dataset {IMAGES_DATASET!r}; found {found}. "
                f"{_DOWNLOAD_AGAIN}"
            )
        return file


def read_metadata(path: Path) -> pd.DataFrame:
    """The release's table of stimuli: stimulus_id (its image_name), filename and its other columns, in the file's order."""
    table = read_table(path, ("image_name",)).rename(columns={"image_name": "stimulus_id"})
    table.insert(1, "filename", table["stimulus_id"])
    check_names(table, path)
    return table


def _format(content: bytes) -> str | None:
    """Pillow's name of the format, None if this is no image; MPO is JPEG with more behind it."""
    try:
        with strict_decoding(), open_image(content) as image:
            return "JPEG" if image.format == "MPO" else image.format
    except UNREADABLE:
        return None
