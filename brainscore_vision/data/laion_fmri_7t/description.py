"""A dataset in numbers: subjects, regions before and after the threshold, pools, splits, kinds of images."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import ids
from .assemblies.published import PER_SUBJECT, local_copy
from .constants import OOD_TYPES, REGIONS, SUBJECTS
from .dataset import Dataset
from .errors import MissingDataError
from .source import PUBLISHED
from .splits import SHARED_POOL

POOLS = (SHARED_POOL, *SUBJECTS)


@dataclass(frozen=True)
class SubjectNumbers:
    """One subject's assembly.

    Attributes
    ----------
    subject : str
    trials, stimuli, sessions : int
        Sessions are 0 where the file does not say.
    voxels : dict of str to tuple of int
        Region -> all voxels, and those with nc_12rep above the threshold.
    brain_mask : str
        Definition that the file names, "not stated" otherwise.
    """

    subject: str
    trials: int
    stimuli: int
    sessions: int
    voxels: dict[str, tuple[int, int]]
    brain_mask: str


def describe_subject(dataset: Dataset, subject: str, threshold: float) -> SubjectNumbers:
    """Numbers of one subject, from the coordinates of the assembly alone.

    Parameters
    ----------
    dataset : Dataset
    subject : str
    threshold : float
        Percent of nc_12rep; voxels above it are scored.

    Raises
    ------
    MissingDataError
        If the subject's assembly is not on this machine.
    """
    if dataset.name == PUBLISHED and local_copy(PER_SUBJECT[subject]) is None:
        raise MissingDataError(
            f"Describing works on what is on this machine; the published assembly of {subject} (0.9 GB) has not been "
            f"downloaded. Scoring downloads it, and so does `load_dataset('LAION_fMRI_{subject}')`."
        )
    header = dataset.assembly_file(subject).header
    presentations, neuroids = header.presentations, header.neuroids
    reliable = neuroids["nc_12rep"] > threshold
    return SubjectNumbers(
        subject=subject,
        trials=len(presentations),
        stimuli=presentations["stimulus_id"].nunique(),
        sessions=presentations["session"].nunique() if "session" in presentations else 0,
        voxels={
            region: (int(inside.sum()), int((inside & reliable).sum()))
            for region in REGIONS
            for inside in [neuroids["region"] == region]
        },
        brain_mask=str(header.attributes.get("brain_mask", "not stated")),
    )


def pool_sizes(dataset: Dataset) -> dict[str, int]:
    """Stimuli per pool, of the pools of the subjects at hand."""
    return {pool: len(dataset.pool_stimuli(pool)) for pool in (SHARED_POOL, *dataset.subjects)}


def ood_counts(dataset: Dataset) -> dict[str, int]:
    """Out-of-distribution images per kind, in the order of `constants.OOD_TYPES`."""
    _, test = dataset.split_ids(SHARED_POOL, "ood")
    counts = Counter(map(ids.ood_type, test))
    return {kind: counts[kind] for kind in OOD_TYPES}


def split_sizes(dataset: Dataset, pools: tuple[str, ...], names: tuple[str, ...]) -> list[tuple[str, str, int, int]]:
    """Pool, name, train and test images of each split.

    Raises
    ------
    DatasetError
        If a pool or a name does not exist, or a split breaks a rule.
    MissingDataError
        If neither the dataset nor laion_fmri has a split.
    """
    return [(pool, name, *map(len, dataset.split_ids(pool, name))) for pool in pools for name in names]


def split_file(dataset: Dataset, pool: str, name: str) -> Path | None:
    """The dataset's own file of a split, None where it comes from laion_fmri."""
    path = None if dataset.root is None else dataset.root / "splits" / pool / f"{name}.json"
    return path if path is not None and path.is_file() else None
