"""The data folder that released files are read from, and the errors where something is not in it."""

import os
from pathlib import Path

from ..errors import DatasetError, MissingDataError
from ..source import DATASET_VARIABLE, PUBLISHED, SIMULATED
from ..stimuli.sources import laion_fmri_folder


class DataDirNotSetError(MissingDataError):
    """No data folder was named."""


class DataNotDownloadedError(MissingDataError):
    """The folder lacks a subject or a file."""


class StimuliNotDownloadedError(MissingDataError):
    """The folder lacks the images or their table."""


class SubjectNotFoundError(DatasetError):
    """The release has no such subject."""


class UnknownNameError(DatasetError, KeyError):
    """A file has no such image, noun or model."""

    __str__ = Exception.__str__  # a KeyError would show its message in quotes


def dataset_initialize(data_dir: str | Path) -> None:
    """Name the data folder of this process, as the environment variable LAION_FMRI_DATASET does (and by setting it).

    Raises
    ------
    TypeError
        If it is no path.
    MissingDataError
        If it is no folder.
    """
    if not isinstance(data_dir, str | os.PathLike):
        raise TypeError(f"A data folder is a path; got {data_dir!r}, a {type(data_dir).__name__}. Pass a path.")
    os.environ[DATASET_VARIABLE] = str(data_folder(data_dir))


def get_data_dir() -> Path:
    """The data folder: what `dataset_initialize` or LAION_FMRI_DATASET named, else the one of the package laion_fmri.

    Raises
    ------
    DataDirNotSetError
        If nothing names a folder.
    """
    return data_folder()


def data_folder(data_dir: str | Path | None = None) -> Path:
    """An existing data folder, absolute: the one given, else the one of `get_data_dir`."""
    if data_dir is None:
        named = os.environ.get(DATASET_VARIABLE, "")
        if named == SIMULATED:
            from ..simulation import ensure_default

            return ensure_default()
        named = named.removeprefix(f"{SIMULATED}:")
        data_dir = laion_fmri_folder() if named in ("", PUBLISHED) else named
    if data_dir is None:
        raise DataDirNotSetError(
            "Released files are read from a data folder, and none is named. Pass it, call dataset_initialize(folder), or set "
            f"{DATASET_VARIABLE}."
        )
    folder = Path(data_dir).expanduser().absolute()
    if not folder.is_dir():
        raise MissingDataError(
            f"A data folder is an existing folder; {folder} is not. Make it, or correct the path. To make simulated files of "
            f"the same layout there: `laion-score simulate {folder} --raw`."
        )
    return folder
