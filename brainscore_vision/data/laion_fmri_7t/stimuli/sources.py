"""Which images a dataset has, where they are looked for, and the stimulus set that models are shown.

Images come as a folder with a manifest, or as the release's HDF5 file with its metadata table: row i of the HDF5 dataset
``images`` (variable-length uint8: an encoded JPEG or PNG) belongs to row i of the table, whose ``image_name`` is the stimulus
id and the file's name. Both become a table of stimuli and, on demand, one image file per stimulus.

They are looked for in named folders, in the places of the plugin that Brain-Score bundles, and in Brain-Score's private copy.
"""

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Protocol

import h5py
import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from tqdm import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import (
    UNREADABLE,
    open_image,
    strict_decoding,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import expanded, file_state, one_at_a_time, read_hdf5

from ..assemblies.published import BUCKET, FOLDER
from ..constants import STIMULUS_SET_IDENTIFIER
from ..errors import DatasetError, MissingDataError, SchemaError
from ..home import keep, kept, usable
from ..text_files import read_csv
from .displayed import DisplayedImage, Survey, displayed_images, known_images, survey
from .seal import check_seal

MANIFEST = "manifest.csv"
IMAGE_FOLDER = "images"
MACHINE_COLUMN = "path"
"""Of the bundled plugin's manifests: where the image was on the machine that wrote it."""
RELEASED_IMAGES = "task-images_stimuli.h5"
RELEASED_METADATA = "task-images_metadata.csv"

HOW_TO_GET_STIMULI = (
    "The images are shared under a data use agreement: request access with `laion-fmri request-access`, download them "
    "with `laion-fmri download-stimuli` (both from this plugin's extra, pip install '.[laion]'), and point "
    "LAION_FMRI_DATASET to the data folder, or LAION_FMRI_STIMULI to its stimuli folder. To try things without them, "
    "set LAION_FMRI_DATASET=simulated."
)

IMAGES_DATASET = "images"
_FORMAT_OF_EXTENSION = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_BLOCK = 2**24
"""Bytes of a file that are read at a time."""

_DOWNLOAD_AGAIN = "Run `laion-fmri download-stimuli` again."

STIMULI_VARIABLE = "LAION_FMRI_STIMULI"
BUNDLED_VARIABLE = "LAION_FMRI_STIMULI_DIR"
BUNDLED_FOLDER = "~/laion-fmri"
EXTRACTED = "images_extracted"
"""The folder that the bundled plugin extracts images to, and that Brain-Score's private copy holds, with a manifest."""

PRIVATE_COPY = f"{FOLDER}/stimuli/{EXTRACTED}.zip"

_logger = logging.getLogger(__name__)


def check_names(table: pd.DataFrame, path: Path) -> None:
    """Refuse a table of stimuli with repeated ids, or with names that lead out of the image folder."""
    repeated = table["stimulus_id"][table["stimulus_id"].duplicated()]
    if len(repeated):
        raise SchemaError(
            f"{path}: each stimulus has one row; {len(repeated)} rows repeat an id, first: "
            f"{repeated.iloc[0]!r}. Remove the duplicates."
        )
    for stimulus_id, name in zip(table["stimulus_id"], table["filename"], strict=True):
        pure = PurePath(name)
        if not stimulus_id or not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
            raise SchemaError(
                f"{path}: a stimulus has an id and a file name inside the image folder; stimulus "
                f"{stimulus_id!r} has {name!r}. Give file names relative to the image folder, "
                f"without '..'."
            )


def read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """A CSV table whose required columns are text, kept as written (an id may well be spelled NA)."""
    table = read_csv(path, dtype=dict.fromkeys(required, str), keep_default_na=False)
    missing = [name for name in required if name not in table]
    if missing:
        raise SchemaError(
            f"{path}: a table of stimuli has the columns {', '.join(required)}; missing: "
            f"{', '.join(missing)}; found: {', '.join(table.columns)}. Restore the file."
        )
    return table


def names_of(table: pd.DataFrame, stimulus_ids: list[str], path: Path) -> dict[str, str]:
    """File name of each stimulus asked for."""
    if len(set(stimulus_ids)) < len(stimulus_ids):
        repeated = pd.Series(stimulus_ids)[pd.Series(stimulus_ids).duplicated()]
        raise DatasetError(
            f"A stimulus set shows each stimulus once; {len(repeated)} ids were asked for again, first: "
            f"{repeated.iloc[0]!r}. Ask for each once."
        )
    names = dict(zip(table["stimulus_id"], table["filename"], strict=True))
    unknown = [stimulus_id for stimulus_id in stimulus_ids if stimulus_id not in names]
    if unknown:
        raise MissingDataError(
            f"Every stimulus needs an image; {len(unknown)} of {len(stimulus_ids)} are not in "
            f"{path}, first: {', '.join(map(repr, unknown[:3]))}. Use the stimuli and the splits of "
            f"the same dataset."
        )
    return {stimulus_id: names[stimulus_id] for stimulus_id in stimulus_ids}


class StimulusSource(Protocol):
    """Where the images of a dataset are."""

    @property
    def key(self) -> tuple:
        """What tells this source from another, and from itself after its tables were changed."""

    def table(self) -> pd.DataFrame:
        """One row per stimulus: stimulus_id, filename and metadata."""

    @property
    def folder(self) -> Path:
        """Where the table of stimuli is, and the seal."""

    @property
    def how_to_restore(self) -> str:
        """What to do about damaged images: one sentence."""

    def files(self, stimulus_ids: list[str]) -> dict[str, Path]:
        """Existing image file of each stimulus."""

    def content(self, row: int) -> bytes:
        """Encoded image of a row of the table."""

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Stimulus id and encoded image of every stimulus, as the dataset holds it."""

    def fingerprint(self) -> str:
        """Hexadecimal digest that changes with the images: with all that is in one file, with names and sizes in a folder."""


class ManifestStimuli:
    """Image files listed in a manifest.

    Parameters
    ----------
    manifest : Path
        CSV with the columns stimulus_id and filename.
    images : Path
        Folder that the file names are relative to.
    """

    def __init__(self, manifest: Path, images: Path):
        self.manifest = manifest
        self.images = images
        self._table: pd.DataFrame | None = None

    @property
    def key(self) -> tuple:
        """Paths, and the state of the manifest."""
        return self.manifest, self.images, *file_state(self.manifest)

    def table(self) -> pd.DataFrame:
        """One row per stimulus: stimulus_id, filename and the manifest's other columns."""
        if self._table is None:
            table = read_table(self.manifest, ("stimulus_id", "filename"))
            check_names(table, self.manifest)
            again = table[table["filename"].duplicated(keep=False)]
            if len(again):
                one = again["filename"].iloc[0]
                named = again["stimulus_id"][again["filename"] == one].tolist()
                raise SchemaError(
                    f"{self.manifest}: each stimulus has an image of its own; {len(again)} rows share their file with another, "
                    f"such as {', '.join(map(repr, named[:3]))} {one!r}. Correct the column filename."
                )
            self._table = table
        return self._table

    def files(self, stimulus_ids: list[str]) -> dict[str, Path]:
        """Existing image file of each stimulus."""
        names = names_of(self.table(), stimulus_ids, self.manifest)
        files = {stimulus_id: self.images / name for stimulus_id, name in names.items()}
        absent = [stimulus_id for stimulus_id, path in files.items() if not path.is_file()]
        if absent:
            raise MissingDataError(
                f"Every stimulus needs its image file; {len(absent)} of {len(files)} are not in "
                f"{self.images}, first: {', '.join(map(repr, absent[:3]))}. Copy or make these "
                f"images again."
            )
        return files

    @property
    def folder(self) -> Path:
        """Where the manifest and the seal are."""
        return self.manifest.parent

    how_to_restore = "Restore the files."

    def content(self, row: int) -> bytes:
        """Content of the image file of a row of the table."""
        stimulus_id = self.table()["stimulus_id"].iloc[row]
        return self.files([stimulus_id])[stimulus_id].read_bytes()

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Stimulus id and content of the image file of every stimulus."""
        for stimulus_id, path in self.files(self.table()["stimulus_id"].tolist()).items():
            yield stimulus_id, path.read_bytes()

    def fingerprint(self) -> str:
        """SHA-1 over the manifest and the size of every listed file.

        A manifest of the bundled plugin says where its machine had the images: of it, ids and file names count.
        """
        names = self.table()[["stimulus_id", "filename"]]
        is_bundled = MACHINE_COLUMN in self.table()
        digest = hashlib.sha1(names.to_csv(index=False).encode() if is_bundled else self.manifest.read_bytes())
        for name in self.table()["filename"]:
            path = self.images / name
            digest.update(str(path.stat().st_size if path.is_file() else None).encode())
        return digest.hexdigest()


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
        """SHA-1 over the metadata and the image file, which is read once in each state of it."""
        if self._fingerprint is None:
            self.table()  # says what is wrong with either file
            digest = hashlib.sha1(self.metadata.read_bytes())
            digest.update(_whole_digest(self.images).encode())
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


def _whole_digest(path: Path) -> str:
    """SHA-1 of a file, read once in each state of it."""
    name = hashlib.sha1(str(path.resolve()).encode()).hexdigest()[:16]
    parts, state = ("stimuli", "index", f"{name}.sha1"), " ".join(map(str, file_state(path)))
    known = kept(*parts)
    said, _, digest = known.read_text().partition("\n") if known is not None else ("", "", "")
    if said != state or not digest:
        content = hashlib.sha1()
        with (
            open(path, "rb") as file,
            tqdm(
                total=path.stat().st_size, desc=f"reading {path.name}", unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            while block := file.read(_BLOCK):
                content.update(block)
                bar.update(len(block))
        digest = content.hexdigest()
        keep(f"{state}\n{digest}".encode(), *parts)
    return digest


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


class MissingStimuli:
    """Stands for images that are not there: says so when they are needed, and not before.

    Parameters
    ----------
    message : str
        What was looked for where, and what to do.
    """

    def __init__(self, message: str):
        self.message = message

    @property
    def key(self) -> tuple:
        """The message: it says where the images were looked for."""
        return (self.message,)

    def table(self) -> pd.DataFrame:
        """Raises MissingDataError."""
        raise MissingDataError(self.message)

    @property
    def folder(self) -> Path:
        """Raises MissingDataError."""
        raise MissingDataError(self.message)

    how_to_restore = HOW_TO_GET_STIMULI

    def files(self, stimulus_ids: list[str]) -> dict[str, Path]:
        """Raises MissingDataError."""
        raise MissingDataError(self.message)

    def content(self, row: int) -> bytes:
        """Raises MissingDataError."""
        raise MissingDataError(self.message)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Raises MissingDataError."""
        raise MissingDataError(self.message)

    def fingerprint(self) -> str:
        """A constant."""
        return "no stimuli"


def find_stimuli(folder: Path) -> StimulusSource | None:
    """The images in a folder, or in its ``stimuli`` subfolder.

    Parameters
    ----------
    folder : Path
        Holds manifest.csv, with the images beside it or in ``images``; or the release's two files.

    Returns
    -------
    StimulusSource or None
        None if nothing of the kind is there.

    Raises
    ------
    MissingDataError
        If one of the release's two files is there without the other.
    """
    for place in (folder, folder / "stimuli"):
        if (place / MANIFEST).is_file():
            images = place / IMAGE_FOLDER
            return ManifestStimuli(place / MANIFEST, images if images.is_dir() else place)
        released = place / RELEASED_IMAGES, place / RELEASED_METADATA
        if any(path.is_file() for path in released):
            for path in released:
                if not path.is_file():
                    raise MissingDataError(
                        f"The release's images are two files, {RELEASED_IMAGES} and "
                        f"{RELEASED_METADATA}; {place} lacks {path.name}. Run `laion-fmri "
                        f"download-stimuli` again."
                    )
            return ReleasedStimuli(*released)
    return None


def make_stimulus_set(source: StimulusSource, stimulus_ids: list[str] | None = None) -> StimulusSet:
    """Stimuli as they were displayed.

    Parameters
    ----------
    source : StimulusSource
    stimulus_ids : list of str, optional
        Which, and in which order; all of the dataset by default.

    Returns
    -------
    StimulusSet
        With the table's columns; `stimulus_paths` leads to plain RGB or grey images, transparent pixels on grey. Its
        identifier is no other images': Brain-Score keeps a model's activations, and images on its screen, by it.

    Raises
    ------
    MissingDataError
        If there are no images, or not those of every stimulus.
    DatasetError
        If an id is asked for twice, or an image cannot be read or is not as it was sealed.
    """
    table = source.table()
    if stimulus_ids is None:
        stimulus_ids = table["stimulus_id"].tolist()
    stimulus_ids = list(stimulus_ids)
    displayed = _displayed(source, stimulus_ids)
    rows = table.set_index("stimulus_id", drop=False).loc[stimulus_ids].reset_index(drop=True)
    stimulus_set = StimulusSet(rows)
    shown = "\n".join(f"{stimulus_id} {displayed[stimulus_id].sha1}" for stimulus_id in stimulus_ids)
    stimulus_set.identifier = f"{STIMULUS_SET_IDENTIFIER}--{hashlib.sha1(shown.encode()).hexdigest()[:12]}"
    stimulus_set.stimulus_paths = {stimulus_id: displayed[stimulus_id].path for stimulus_id in stimulus_ids}
    return stimulus_set


def stimulus_fingerprints(source: StimulusSource, stimulus_ids: list[str]) -> dict[str, str]:
    """SHA-1 (hexadecimal) of the displayed bytes of each stimulus."""
    return {stimulus_id: image.sha1 for stimulus_id, image in _displayed(source, list(stimulus_ids)).items()}


def unchecked_images(source: StimulusSource, stimulus_ids: list[str]) -> list[str]:
    """Those of the stimuli whose images :func:`stimulus_fingerprints` would have to extract, or to read and decode."""
    files = source.extracted(stimulus_ids) if isinstance(source, ReleasedStimuli) else source.files(stimulus_ids)
    there = known_images(files)
    return [stimulus_id for stimulus_id in stimulus_ids if stimulus_id not in there]


def survey_images(source: StimulusSource) -> Survey:
    """Read and decode every image of a dataset, from where the dataset holds it.

    Raises
    ------
    MissingDataError
        If there are no images, or not those of every stimulus.
    """
    found = survey(source.contents(), len(source.table()))
    if isinstance(source, ReleasedStimuli):
        found.damaged_copies.extend(source.damaged_copies(found.hashes))
    return found


def _displayed(source: StimulusSource, stimulus_ids: list[str]) -> dict[str, DisplayedImage]:
    displayed = displayed_images(source.files(stimulus_ids))
    found = {stimulus_id: image.file_sha1 for stimulus_id, image in displayed.items()}
    check_seal(source.folder, found, source.how_to_restore)
    return displayed


def find_images(own: Path | None = None, elsewhere: bool = True, fetch: bool = True) -> StimulusSource:
    """The images of a dataset, from the first place that has them.

    Parameters
    ----------
    own : Path, optional
        The dataset's own folder of images, looked at first.
    elsewhere : bool
        Whether images of the release are this dataset's images; those of a simulation are its own alone.
    fetch : bool
        Whether Brain-Score's private copy may be fetched; otherwise only this machine is looked at.

    Returns
    -------
    StimulusSource
        A `MissingStimuli` that names every place that was tried, where none has images.

    Raises
    ------
    MissingDataError
        If one of the release's two files is somewhere without the other.
    """
    tried = []
    for what, folder in _places(own, elsewhere):
        if folder is None:
            tried.append(what)
            continue
        if found := find_stimuli(folder):
            return found
        tried.append(f"{what} {folder} ({'has neither' if folder.is_dir() else 'is not a folder'})")
    if elsewhere and fetch and not os.environ.get(STIMULI_VARIABLE):
        folder, reason = _private_copy()
        if folder is not None:
            return find_stimuli(folder)
        tried.append(reason)
    return MissingStimuli(
        f"Models need images, and no place has them. A place is a folder with {MANIFEST} and its images, or with "
        f"task-images_stimuli.h5 and task-images_metadata.csv. Tried: {'; '.join(tried)}. {HOW_TO_GET_STIMULI}"
    )


def feature_folders() -> tuple[Path, ...]:
    """Where embeddings and segmentations of the release may lie, beside a dataset's own folder of images."""
    named = [folder for _, folder in _places(None, elsewhere=True) if folder is not None]
    return tuple(place for folder in named for place in (folder, folder / "stimuli"))


def laion_fmri_folder() -> Path | None:
    """The data folder that the laion_fmri package is configured with; None without package or configuration."""
    try:
        from laion_fmri.config import get_data_dir
    except ImportError:
        return None
    try:
        from laion_fmri import DataDirNotSetError
    except ImportError:  # older versions export nothing at top level
        from laion_fmri._errors import DataDirNotSetError
    try:
        return Path(get_data_dir())
    except DataDirNotSetError:
        return None


def _places(own: Path | None, elsewhere: bool) -> Iterator[tuple[str, Path | None]]:
    """What a place is, and its folder; None in place of the folder if the user has set none."""
    if own is not None:
        yield "the dataset's folder", own
    if not elsewhere:
        return
    named = os.environ.get(STIMULI_VARIABLE)
    yield (STIMULI_VARIABLE, expanded(named)) if named else (f"{STIMULI_VARIABLE} (not set)", None)
    if named:  # who names a folder means that one
        return
    configured = laion_fmri_folder()
    what = "the folder of laion_fmri"
    yield (what, configured) if configured is not None else (f"{what} (not configured)", None)
    bundled = os.environ.get(BUNDLED_VARIABLE)
    yield (BUNDLED_VARIABLE, expanded(bundled)) if bundled else (f"{BUNDLED_VARIABLE} (not set)", None)
    for folder in (f"{BUNDLED_FOLDER}/stimuli/{EXTRACTED}", BUNDLED_FOLDER):
        yield "the bundled plugin's folder", expanded(folder)


def _private_copy() -> tuple[Path | None, str]:
    """Brain-Score's private copy of the images, for its evaluators: its folder, or None and the reason.

    Fetched once, by Brain-Score's own fetcher, if there are credentials: others may not have the images from there.
    """
    what = f"Brain-Score's private copy, s3://{BUCKET}/{PRIVATE_COPY}"
    if folder := _fetched():
        return folder, ""
    import boto3
    from brainscore_core.supported_data_standards.brainio import s3

    try:
        if boto3.Session().get_credentials() is None:
            return None, f"{what} (no AWS credentials)"
        folder = usable("stimuli")
        with one_at_a_time(folder / f".lock-{EXTRACTED}"):
            if fetched := _fetched():  # by another process, meanwhile
                return fetched, ""
            with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as scratch:
                archive = Path(scratch, f"{EXTRACTED}.zip")
                _logger.warning("Images are fetched from %s, once.", what)
                s3.load_file_from_s3(bucket=BUCKET, path=PRIVATE_COPY, local_filepath=archive)
                with zipfile.ZipFile(archive) as images:
                    images.extractall(scratch)  # checks each image against its CRC
                if not Path(scratch, EXTRACTED, MANIFEST).is_file():
                    return None, f"{what} (has no {EXTRACTED}/{MANIFEST})"
                Path(scratch, EXTRACTED).rename(folder / EXTRACTED)
        return folder / EXTRACTED, ""
    # brainscore_core raises bare Exception, with boto's errors inside. Where these images cannot be had, models that need
    # none are scored all the same, and for the others this is in the message
    except Exception as error:  # noqa: BLE001
        return _fetched(), f"{what} ({error})"


def _fetched() -> Path | None:
    folder = kept("stimuli", EXTRACTED)
    return folder if folder is not None and (folder / MANIFEST).is_file() else None
