"""A dataset: which one is meant, by an argument, the environment or the machine's configuration, and what benchmarks ask of
it: responses, stimuli, splits, and who has what.
"""

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state
from brainscore_vision.benchmark_helpers.stimulus_kernels.free_memory import available_bytes
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import Responses
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from .assemblies.averages import TrialMoments, read_half_responses, read_moments, read_responses, reliable_voxels
from .assemblies.file import AssemblyFile, FolderAssemblies, open_netcdf
from .assemblies.published import PublishedAssemblies
from .assemblies.region_table import RegionTable
from .constants import SUBJECTS
from .errors import DatasetError, MissingDataError, SchemaError
from .ids import is_ood
from .released.features import find_feature_file
from .splits import Splits, parse_split
from .stimuli.seal import SEAL
from .stimuli.sources import (
    MissingStimuli,
    StimulusSource,
    feature_folders,
    find_images,
    laion_fmri_folder,
    make_stimulus_set,
    stimulus_fingerprints,
    unchecked_images,
)
from .text_files import read_text

DATASET_VARIABLE = "LAION_FMRI_DATASET"
PUBLISHED = "published"
SIMULATED = "simulated"
_IS_SIMULATED = f"{SIMULATED}:"
MARKER = "dataset.json"


class AssemblySource(Protocol):
    """Where the assemblies of a dataset are."""

    subjects: tuple[str, ...]
    know_rois: bool  # whether a file can have a table of regions of interest

    def path(self, subject: str) -> Path:
        """Local file of a subject."""

    def digest(self, subject: str) -> str:
        """Hexadecimal digest that changes with the subject's data."""


class ResponseCache:
    """Least recently used responses, kept within a number of bytes.

    Parameters
    ----------
    max_bytes : int, optional
        Responses larger than this are not kept at all. By default half a GB, and more where there is plenty: a 48th of what
        this process can take.
    """

    def __init__(self, max_bytes: int | None = None):
        self.max_bytes = max(512 * 2**20, available_bytes() // 48) if max_bytes is None else max_bytes
        self._entries: OrderedDict[tuple, tuple[Responses, ...]] = OrderedDict()

    def get(self, key: tuple, make: Callable[[], tuple[Responses, ...]]) -> tuple[Responses, ...]:
        """The entry under `key`, made by ``make()`` if it is not there."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        entry = make()
        if _n_bytes(entry) <= self.max_bytes:
            self._entries[key] = entry
            while sum(map(_n_bytes, self._entries.values())) > self.max_bytes:
                self._entries.popitem(last=False)
        return entry


def _n_bytes(entry: tuple[Responses, ...]) -> int:
    return sum(r.values.nbytes + r.stimulus_ids.nbytes + r.n_repetitions.nbytes for r in entry)


class Dataset:
    """One version of the data, opened but not read.

    Made by `open_dataset`. Nothing is loaded before it is asked for.

    Parameters
    ----------
    name : str
        ``simulated``, ``published`` or the folder.
    root : Path or None
        The dataset's folder, if it has one.
    assemblies : AssemblySource
    stimuli : StimulusSource
    splits : Splits
    is_simulated : bool
        Whether the responses are made up; every score says so.
    feature_folders : sequence of Path
        Where released embeddings and segmentations may be.
    cache_bytes : int, optional
        Most memory for averaged responses that are kept for the next request; by default as :class:`ResponseCache`.
    """

    def __init__(
        self,
        name: str,
        root: Path | None,
        assemblies: AssemblySource,
        stimuli: StimulusSource,
        splits: Splits,
        is_simulated: bool,
        feature_folders: Sequence[Path] = (),
        cache_bytes: int | None = None,
    ):
        self.name = name
        self.root = root
        self.is_simulated = is_simulated
        self._assemblies = assemblies
        self._stimuli = stimuli
        self._splits = splits
        self._feature_folders = tuple(feature_folders)
        self._files: dict[str, AssemblyFile] = {}
        self._responses = ResponseCache(cache_bytes)
        self._fingerprint: str | None = None
        self._of_responses: str | None = None
        self._checked_splits: set[tuple[str, str]] = set()
        self._checked_pools: set[str] = set()

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, subjects={', '.join(self.subjects) or 'none'})"

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects that have an assembly, in ascending order."""
        return self._assemblies.subjects

    @property
    def stimuli(self) -> StimulusSource:
        """Where the images are."""
        return self._stimuli

    def describe(self) -> dict:
        """What a score says about the data behind it.

        Returns
        -------
        dict
            name, root (str or None), simulated (bool), subjects (list of str), fingerprint.
        """
        return {
            "name": self.name,
            "root": None if self.root is None else str(self.root),
            "simulated": self.is_simulated,
            "subjects": list(self.subjects),
            "fingerprint": self.fingerprint(),
        }

    def fingerprint(self) -> str:
        """Short digest of everything that changes numbers: assemblies, splits, stimuli.

        Returns
        -------
        str
            16 hexadecimal digits, computed once after the dataset was opened, in this process or again. Independent of where
            the files lie and when they were written. Of the trials, it sees all coordinates and the values at a few places.
        """
        if self._fingerprint is None:
            if self._of_responses is None:
                digests = (f"{subject} {self._assemblies.digest(subject)}\n" for subject in self.subjects)
                self._of_responses = f"{''.join(digests)}{self._splits.fingerprint(self.subjects)}\n"
            digest = hashlib.sha1(f"{self._of_responses}{self._stimuli.fingerprint()}".encode())
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def look_again(self) -> None:
        """Images may have been made again: unlike assemblies, splits and tables, they open no other dataset."""
        self._fingerprint = None

    def assembly_file(self, subject: str) -> AssemblyFile:
        """A subject's trials on disk; a published assembly is downloaded on first use.

        Raises
        ------
        MissingDataError
            If the dataset lacks the subject.
        """
        if subject not in self._files:
            self._files[subject] = AssemblyFile(self._assemblies.path(subject), subject)
        return self._files[subject]

    def region_table(self, subject: str) -> RegionTable | None:
        """Regions of interest of a subject; None if its assembly was built without. Reads the assembly's header.

        Raises
        ------
        MissingDataError
            If the dataset lacks the subject.
        """
        return self.assembly_file(subject).header.regions if self._assemblies.know_rois else None

    def count_voxels(self, subject: str, region: str, *, noise_ceiling_threshold: float) -> int:
        """Number of voxels that `responses` has, from the assembly's header; parameters and errors as there."""
        return len(reliable_voxels(self.assembly_file(subject), region, noise_ceiling_threshold)[0])

    def responses(self, subject: str, region: str, *, noise_ceiling_threshold: float) -> Responses:
        """Repetition averages over all trials of a region's reliable voxels.

        Parameters
        ----------
        subject : str
            Such as ``sub-01``.
        region : str
            V1, V2, V3, V4, IT or IT_full; a region of interest (FFA1), or a category of them (face).
        noise_ceiling_threshold : float
            Percent; voxels with nc_12rep above it are kept.

        Returns
        -------
        Responses
            To every stimulus that the subject saw; read-only, because they are cached.

        Raises
        ------
        MissingDataError
            If the dataset lacks the subject.
        DatasetError
            If the region is unknown or has no voxel above the threshold.
        SchemaError
            If the file breaks a rule of the dataset folder.
        """
        file = self.assembly_file(subject)
        key = subject, region, float(noise_ceiling_threshold)
        (responses,) = self._responses.get(key, lambda: (read_responses(file, region, noise_ceiling_threshold),))
        return responses

    def half_responses(
        self, subject: str, region: str, stimulus_ids: Sequence[str], *, noise_ceiling_threshold: float
    ) -> tuple[Responses, Responses]:
        """Averages over the even and over the odd repetitions of some stimuli.

        Parameters
        ----------
        subject, region, noise_ceiling_threshold
            As for `responses`.
        stimulus_ids : sequence of str
            Those with fewer than two trials are left out.

        Raises
        ------
        DatasetError
            As `responses`.
        """
        file = self.assembly_file(subject)
        key = subject, region, float(noise_ceiling_threshold), tuple(stimulus_ids)
        return self._responses.get(
            key, lambda: read_half_responses(file, region, noise_ceiling_threshold, stimulus_ids)
        )

    def trial_moments(self, subject: str, region: str, *, noise_ceiling_threshold: float) -> TrialMoments:
        """Sums and sums of squares of a region's single trials; parameters and errors as for `responses`."""
        return read_moments(self.assembly_file(subject), region, noise_ceiling_threshold)

    def assembly(self, subject: str):
        """All trials of a subject as Brain-Score's NeuroidAssembly, (presentation, neuroid), read when computed with.

        Raises
        ------
        MissingDataError
            If the dataset lacks the subject.
        SchemaError
            If the file breaks a rule of the dataset folder.
        """
        from .assemblies.neuroid_assembly import read_assembly

        return read_assembly(self.assembly_file(subject))

    def stimulus_set(self, stimulus_ids=None):
        """Stimuli as they were displayed: transparent pixels on grey; files are plain RGB or grey with 8 bits a channel.

        Parameters
        ----------
        stimulus_ids : sequence of str, optional
            Which, and in which order; all of the dataset by default.

        Returns
        -------
        StimulusSet

        Raises
        ------
        MissingDataError
            If there are no images, or not those of every stimulus.
        DatasetError
            If an image cannot be read.
        """
        return make_stimulus_set(self._stimuli, None if stimulus_ids is None else list(stimulus_ids))

    def stimulus_fingerprints(self, stimulus_ids) -> dict[str, str]:
        """SHA-1 (hexadecimal) of the displayed file of each stimulus.

        Raises
        ------
        MissingDataError, DatasetError
            As `stimulus_set`.
        """
        return stimulus_fingerprints(self._stimuli, list(stimulus_ids))

    def unchecked_images(self, stimulus_ids: Sequence[str]) -> list[str]:
        """Those of the stimuli whose images were never read here: the first to ask for them waits until they are."""
        return unchecked_images(self._stimuli, list(stimulus_ids))

    def feature_file(self, name: str) -> Path:
        """File of released features, one of `released.features.FEATURE_FILES`; MissingDataError if it is not there."""
        return find_feature_file(name, self._feature_folders, self.name)

    def split_ids(self, pool: str, split: str) -> tuple[list[str], list[str]]:
        """Train and test stimuli of a split.

        Parameters
        ----------
        pool : str
            ``shared``, or a subject for that subject's own pool.
        split : str
            ``tau``, ``ood``, ``ood_<type>``, ``cluster_k5_<k>`` or ``random_<k>``.

        Raises
        ------
        DatasetError
            If the pool or the split does not exist, or breaks a rule.
        MissingDataError
            If neither the dataset nor the package laion_fmri has the split.
        """
        train, test = self._splits.train_test_ids(pool, split)
        if (pool, split) not in self._checked_splits:
            self._check_known(
                {*train, *test},
                set(self._splits.pool_stimuli(pool)),
                f"split {split} of pool {pool} ({self._splits.origin(pool, parse_split(split)[0])})",
                f"pool {pool} (both sides of its ood split, {self._splits.origin(pool, 'ood')})",
            )
            self._say_unused(pool, split, {*train, *test})
            self._checked_splits.add((pool, split))
        return train, test

    def has_own_split(self, pool: str, split: str) -> bool:
        """Whether a split comes from the dataset's folder, and not from the package laion_fmri."""
        return self._splits.is_own(pool, parse_split(split)[0])

    def pool_stimuli(self, pool: str) -> list[str]:
        """Every stimulus of a pool: shared in-distribution ones, out-of-distribution ones, then the subject's own.

        Returns
        -------
        list of str
            The shared ones come first and in the same order in every pool.

        Raises
        ------
        DatasetError
            If the pool does not exist, or holds stimuli that the dataset does not have.
        """
        stimuli = self._splits.pool_stimuli(pool)
        if pool not in self._checked_pools and not isinstance(self._stimuli, MissingStimuli):
            self._check_known(
                set(stimuli),
                set(self._stimuli.table()["stimulus_id"]),
                f"pool {pool} ({self._splits.origin(pool, 'ood')})",
                f"dataset {self.name}",
            )
            self._checked_pools.add(pool)
        return stimuli

    def _say_unused(self, pool: str, split: str, used: set[str]) -> None:
        """The release's splits use each image that is not out-of-distribution; one that was edited may have lost some."""
        whole = {s for s in self._splits.pool_stimuli(pool) if not is_ood(s)}
        unused = sorted(whole - used)
        if unused:
            origin = self._splits.origin(pool, parse_split(split)[0])
            warn_once(
                f"Split {split} of pool {pool} ({origin}) leaves out {len(unused)} of "
                f"{len(whole)} images that are not out-of-distribution, first {unused[0]!r}; the release's splits use them all."
            )

    def _check_known(self, stimulus_ids: set[str], known: set[str], what: str, where: str) -> None:
        unknown = sorted(stimulus_ids - known)
        if unknown:
            raise SchemaError(
                f"The {what} may name only stimuli of {where}; {len(unknown)} are unknown, first: "
                f"{', '.join(map(repr, unknown[:3]))}. Use splits and stimuli of the same dataset."
            )


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
