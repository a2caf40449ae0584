"""Which images a dataset has, and the stimulus set that models are shown.

Images come as a folder with a manifest, or as the release's HDF5 file with its metadata table. Both become a table of
stimuli and, on demand, one image file per stimulus.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pandas as pd
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state

from ..constants import STIMULUS_SET_IDENTIFIER
from ..errors import MissingDataError
from .displayed import DisplayedImage, Survey, displayed_images, known_images, survey
from .released import ReleasedStimuli
from .seal import check_seal
from .stimulus_tables import check_names, names_of, read_table

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
        """Hexadecimal digest that changes with the images, without reading them all."""


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
        With the table's columns; `stimulus_paths` leads to plain RGB or grey images, transparent pixels on grey.

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
    stimulus_set.identifier = STIMULUS_SET_IDENTIFIER
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
