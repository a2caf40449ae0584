"""Where images are looked for: named folders, the places of the plugin that Brain-Score bundles, Brain-Score's private copy."""

import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import expanded, one_at_a_time

from ..assemblies.published import BUCKET, FOLDER
from ..home import kept, usable
from .sources import HOW_TO_GET_STIMULI, MANIFEST, MissingStimuli, StimulusSource, find_stimuli

STIMULI_VARIABLE = "LAION_FMRI_STIMULI"
BUNDLED_VARIABLE = "LAION_FMRI_STIMULI_DIR"
BUNDLED_FOLDER = "~/laion-fmri"
EXTRACTED = "images_extracted"
"""The folder that the bundled plugin extracts images to, and that Brain-Score's private copy holds, with a manifest."""

PRIVATE_COPY = f"{FOLDER}/stimuli/{EXTRACTED}.zip"

_logger = logging.getLogger(__name__)


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
