"""Which dataset: from an argument, the environment or the machine's configuration to a `Dataset`."""

import json
import os
from pathlib import Path

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state

from .assemblies.file import FolderAssemblies
from .assemblies.header import open_netcdf
from .assemblies.published import PublishedAssemblies
from .constants import SUBJECTS
from .dataset import Dataset
from .errors import DatasetError, MissingDataError
from .splits import Splits
from .stimuli.places import feature_folders, find_images, laion_fmri_folder
from .stimuli.seal import SEAL
from .text_files import read_text

DATASET_VARIABLE = "LAION_FMRI_DATASET"
PUBLISHED = "published"
SIMULATED = "simulated"
_IS_SIMULATED = f"{SIMULATED}:"
MARKER = "dataset.json"

_open: dict[str, tuple[tuple, Dataset]] = {}
"""Datasets opened by this process, each with the state of its files, so that averaged responses are shared."""


def open_dataset(dataset: "str | Path | Dataset | None" = None) -> Dataset:
    """Find the data to score on.

    Parameters
    ----------
    dataset : str, Path, Dataset or None
        A folder, ``published`` or ``simulated``. None takes the environment variable LAION_FMRI_DATASET, else the
        laion_fmri package's configured data folder if it holds assemblies, else ``published``. ``simulated`` is never
        chosen for the caller. ``simulated:FOLDER`` is a folder that holds simulated data.

    Returns
    -------
    Dataset
        The same object for the same, unchanged files. Apart from making the simulated dataset on its first use,
        opening reads no data.

    Raises
    ------
    MissingDataError
        If a folder does not exist or is not a dataset folder.
    DatasetError
        If ``simulated:FOLDER`` holds measured responses.
    """
    if isinstance(dataset, Dataset):
        dataset.look_again()
        return dataset
    dataset = _chosen(dataset)
    if dataset == PUBLISHED:
        stimuli, folders = find_images(), feature_folders()
        return _opened(
            PUBLISHED,
            (*stimuli.key, folders),
            lambda: Dataset(
                PUBLISHED,
                None,
                PublishedAssemblies(),
                stimuli,
                Splits(None),
                is_simulated=False,
                feature_folders=folders,
            ),
        )
    if dataset == SIMULATED:
        from .simulation import ensure_default

        return _open_folder(ensure_default(), name=SIMULATED)
    if not isinstance(dataset, (str, os.PathLike)):
        raise DatasetError(
            f"A dataset is a folder, {PUBLISHED!r} or {SIMULATED!r}; got {dataset!r}, a "
            f"{type(dataset).__name__}. Pass one of these."
        )
    folder = str(dataset).removeprefix(_IS_SIMULATED)
    root = Path(folder).expanduser().absolute()  # a later change of the working directory must not matter
    opened = _open_folder(root, name=str(root))
    if folder != str(dataset) and not opened.is_simulated:
        raise DatasetError(
            f"{dataset} names simulated data; {root} holds measured responses. Leave {_IS_SIMULATED} out."
        )
    return opened


def simulated_name(dataset: "str | Path | None" = None) -> str | None:
    """What names simulated data as such, ``simulated`` or ``simulated:FOLDER``; None for other data, and where there are none.

    Takes what :func:`open_dataset` takes, but makes and opens none: reads a marker, or the header of one assembly.
    """
    dataset = _chosen(dataset)
    if dataset in (SIMULATED, PUBLISHED):
        return SIMULATED if dataset == SIMULATED else None
    root = Path(str(dataset).removeprefix(_IS_SIMULATED)).expanduser().absolute()
    files = _assembly_files(root)
    try:
        found = bool(files) and _is_simulated(_read_marker(root), files[0])
    except DatasetError:  # whoever wants to use the data is told
        return None
    return marked_as_simulated(str(root)) if found else None


def marked_as_simulated(name: str) -> str:
    """The name of a simulated dataset, with a word that says so."""
    return name if name == SIMULATED else f"{_IS_SIMULATED}{name}"


def _chosen(dataset: "str | Path | None") -> "str | Path":
    """What the caller named, else what the environment or the machine's configuration does."""
    if dataset is None:
        dataset = os.environ.get(DATASET_VARIABLE) or None
    if dataset is None:
        configured = laion_fmri_folder()
        dataset = configured if configured is not None and _assembly_files(configured) else PUBLISHED
    return dataset


def _opened(key: str, state: tuple, make) -> Dataset:
    if key not in _open or _open[key][0] != state:
        _open[key] = state, make()
    _open[key][1].look_again()
    return _open[key][1]


def _open_folder(root: Path, name: str) -> Dataset:
    make_one = (
        f"To make a simulated dataset there, run `laion-score simulate {root}`; for the published data, set "
        f"{DATASET_VARIABLE}={PUBLISHED}."
    )
    if not root.is_dir():
        raise MissingDataError(
            f"A dataset is an existing folder with assemblies/sub-XX.nc, {PUBLISHED!r} or "
            f"{SIMULATED!r}; {root} is not a folder. {make_one}"
        )
    files = _assembly_files(root)
    if not files:
        found = sorted(path.name for path in root.iterdir())
        raise MissingDataError(
            f"A dataset folder has assemblies/sub-XX.nc for at least one of {', '.join(SUBJECTS)}; "
            f"{root} has {', '.join(found[:10]) or 'nothing'}. {make_one}"
        )
    marker = _read_marker(root)
    is_simulated = _is_simulated(marker, files[0])
    stimuli = find_images(root / "stimuli", elsewhere=not is_simulated)
    state = tuple((str(path), *file_state(path)) for path in _identifying_files(root))
    return _opened(
        f"{name} {root.resolve()}",
        (*state, *stimuli.key),
        lambda: Dataset(
            name,
            root,
            FolderAssemblies(root),
            stimuli,
            _folder_splits(root),
            is_simulated=is_simulated,
            feature_folders=(root / "stimuli", *(() if is_simulated else feature_folders())),
        ),
    )


def _assembly_files(root: Path) -> list[Path]:
    return [path for subject in SUBJECTS if (path := root / "assemblies" / f"{subject}.nc").is_file()]


def _identifying_files(root: Path) -> list[Path]:
    """Files whose change makes another dataset; individual images are looked at when they are used."""
    tables = [path for path in (root / "stimuli").glob("*") if path.is_file() and path.name != SEAL]
    return [*_assembly_files(root), *sorted(tables), *sorted((root / "splits").glob("*/*.json"))]


def _read_marker(root: Path) -> dict:
    """What the simulation says about a folder that it made, written last."""
    path = root / MARKER
    if not path.is_file():
        return {}
    try:
        marker = json.loads(read_text(path))
    except ValueError as error:
        raise DatasetError(
            f"{path} is JSON written by the simulation; it cannot be read: {error}. Run `laion-score "
            f"simulate {root}` again."
        ) from error
    if marker.get("complete") is not True:
        raise MissingDataError(
            f"{path} must say that the simulated dataset is complete; it says {marker}. Run "
            f"`laion-score simulate {root}` again."
        )
    return marker


def _is_simulated(marker: dict, assembly: Path) -> bool:
    if marker:
        return marker.get("name") == SIMULATED
    with open_netcdf(assembly) as file:  # a folder whose marker was lost still holds made-up responses
        return "dataset" in file.ncattrs() and file.getncattr("dataset") == SIMULATED


def _folder_splits(root: Path) -> Splits:
    folder = root / "splits"
    return Splits(folder if folder.is_dir() else None)
