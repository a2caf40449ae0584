"""A dataset in numbers: voxels of each subject before and after the threshold, kinds of images, sizes of splits."""

from collections import Counter
from typing import NamedTuple

from . import ids
from .assemblies.published import PER_SUBJECT, local_copy
from .constants import OOD_TYPES, REGIONS
from .errors import MissingDataError
from .source import PUBLISHED, Dataset
from .splits import SHARED_POOL


class SplitSize(NamedTuple):
    """Number of training and test images of a pool's split, and whether the dataset's folder has it."""

    pool: str
    name: str
    train: int
    test: int
    own: bool


def describe_subject(dataset: Dataset, subject: str, threshold: float) -> dict:
    """Numbers of one subject; reads only the coordinates of the assembly.

    Parameters
    ----------
    dataset : Dataset
    subject : str
    threshold : float
        Percent of nc_12rep; voxels above it are scored.

    Returns
    -------
    dict
        ``subject``; the numbers of ``trials``, ``stimuli`` and ``sessions`` (0 if the file does not name them); ``voxels``,
        region -> all voxels, and those above the threshold; ``rois``, region of interest -> the same, empty for assemblies
        without; ``brain_mask``, its definition, or "not stated".

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
    voxels = {}
    for region in REGIONS:
        inside = neuroids["region"] == region
        voxels[region] = int(inside.sum()), int((inside & reliable).sum())
    held = {} if header.regions is None else header.regions.membership
    rois = {name: (int(held[name].sum()), int((held[name] & reliable).sum())) for name in held}
    return {
        "subject": subject,
        "trials": len(presentations),
        "stimuli": presentations["stimulus_id"].nunique(),
        "sessions": presentations["session"].nunique() if "session" in presentations else 0,
        "voxels": voxels,
        "rois": rois,
        "brain_mask": str(header.attributes.get("brain_mask", "not stated")),
    }


def regions_of_interest(dataset: Dataset) -> dict[str, dict[str, list[str]]]:
    """Category -> region of interest -> subjects that have it; empty for assemblies without. Reads headers alone."""
    tables = {subject: dataset.region_table(subject) for subject in dataset.subjects}
    found: dict[str, dict[str, list[str]]] = {}
    for subject, table in tables.items():
        for region, category in ({} if table is None else table.categories).items():
            found.setdefault(category, {}).setdefault(region, []).append(subject)
    return {category: dict(sorted(found[category].items())) for category in sorted(found)}


def ood_counts(dataset: Dataset) -> dict[str, int]:
    """Out-of-distribution images per kind, in the order of `constants.OOD_TYPES`."""
    _, test = dataset.split_ids(SHARED_POOL, "ood")
    counts = Counter(map(ids.ood_type, test))
    return {kind: counts[kind] for kind in OOD_TYPES}


def split_sizes(dataset: Dataset, pools: tuple[str, ...], names: tuple[str, ...]) -> list[SplitSize]:
    """Sizes of some splits of some pools; errors as for `Dataset.split_ids`."""
    return [
        SplitSize(pool, name, *map(len, dataset.split_ids(pool, name)), dataset.has_own_split(pool, name))
        for pool in pools
        for name in names
    ]
