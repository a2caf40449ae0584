"""A dataset as the benchmarks see it: responses, stimuli, splits, and who has what."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from brainscore_vision.benchmark_helpers.stimulus_kernels.responses import Responses
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from .assemblies.averages import (
    ResponseCache,
    TrialMoments,
    read_half_responses,
    read_moments,
    read_responses,
    reliable_voxels,
)
from .assemblies.file import AssemblyFile
from .assemblies.region_table import RegionTable
from .errors import SchemaError
from .ids import is_ood
from .released.features import find_feature_file
from .splits import Splits, parse_split
from .stimuli.sources import MissingStimuli, StimulusSource, make_stimulus_set, stimulus_fingerprints, unchecked_images


class AssemblySource(Protocol):
    """Where the assemblies of a dataset are."""

    subjects: tuple[str, ...]
    know_rois: bool  # whether a file can have a table of regions of interest

    def path(self, subject: str) -> Path:
        """Local file of a subject."""

    def digest(self, subject: str) -> str:
        """Hexadecimal digest that changes with the subject's data."""


class Dataset:
    """One version of the data, opened but not read.

    Made by `source.open_dataset`. Nothing is loaded before it is asked for.

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
    cache_bytes : int
        Most memory for averaged responses that are kept for the next request.
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
        cache_bytes: int = 512 * 2**20,
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
