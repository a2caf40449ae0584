"""Which voxels are whose: the table of regions, in one place.

Another definition of a region is another line of `RULES`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..constants import REGIONS
from ..errors import MissingDataError, SchemaError


@dataclass(frozen=True)
class RegionRule:
    """How a region is made of the release's regions of interest.

    Attributes
    ----------
    region : str
        One of `constants.REGIONS`.
    rois : tuple of str
        Labels without hyphens, both hemispheres each. A voxel's `roi` is the one that holds it; the last, if several do.
    remainder : bool
        Whether the region gets only voxels that no rule before it has. The others take theirs from earlier rules, as
        the published assemblies do; the release's retinotopic regions are disjoint, so that it should not matter.
    """

    region: str
    rois: tuple[str, ...]
    remainder: bool = False


RULES = (
    RegionRule("V1", ("V1v", "V1d")),
    RegionRule("V2", ("V2v", "V2d")),
    RegionRule("V3", ("V3v", "V3d")),
    RegionRule("V4", ("hV4",)),
    RegionRule("IT", ("laionventral",), remainder=True),
)
"""The published assemblies' regions: the ventral mask holds most of hV4, which stays V4 (brain-score/vision)."""


@dataclass(frozen=True)
class RegionVoxels:
    """A subject's voxels that have a region.

    Attributes
    ----------
    index : numpy.ndarray of int32, shape (n_voxels,)
        Places among the voxels of the brain mask, ascending.
    region, roi : numpy.ndarray of str, shape (n_voxels,)
    contested : dict of str to int
        "V1v, V1d" -> voxels that both masks hold, among those where it decided something.
    """

    index: np.ndarray
    region: np.ndarray
    roi: np.ndarray
    contested: dict[str, int]


def assign_regions(masks: Mapping[str, np.ndarray], rules: tuple[RegionRule, ...] = RULES) -> RegionVoxels:
    """Give each voxel its region.

    Parameters
    ----------
    masks : mapping of str to numpy.ndarray
        Label of a region of interest, without hyphens -> (n_brain_voxels,) bool.
    rules : tuple of RegionRule

    Returns
    -------
    RegionVoxels

    Raises
    ------
    MissingDataError
        If a mask that the rules name is not there.
    SchemaError
        If a rule's region is unknown, or ends up without a voxel.
    """
    check_rules(rules)
    wanted = roi_labels(rules)
    missing = [label for label in wanted if label not in masks]
    if missing:
        raise MissingDataError(
            f"The regions are made of {', '.join(wanted)}; there is no mask of {', '.join(missing)} among "
            f"{', '.join(sorted(masks)) or 'none'}. Download the subject's regions of interest."
        )
    n_brain = len(masks[wanted[0]])
    owner = np.full(n_brain, -1)  # number of the label in `wanted`
    region_of = [rule.region for rule in rules for _ in rule.rois]
    contested: dict[str, int] = {}
    for rule in rules:
        free = owner == -1
        for label in rule.rois:
            claimed = masks[label] & free if rule.remainder else masks[label]
            for other in np.unique(owner[claimed & (owner >= 0)]):
                contested[f"{wanted[other]}, {label}"] = int((claimed & (owner == other)).sum())
            owner[claimed] = wanted.index(label)
    index = np.flatnonzero(owner >= 0)
    region = np.array(region_of)[owner[index]]
    empty = [rule.region for rule in rules if rule.region not in region]
    if empty:
        raise SchemaError(
            f"Every region needs voxels inside the brain mask; {', '.join(empty)} has none. Check the masks of "
            f"{', '.join(label for rule in rules if rule.region in empty for label in rule.rois)}."
        )
    return RegionVoxels(index.astype(np.int32), region, np.array(wanted)[owner[index]], contested)


def roi_labels(rules: tuple[RegionRule, ...] = RULES) -> tuple[str, ...]:
    """All regions of interest that the rules name, in order."""
    return tuple(label for rule in rules for label in rule.rois)


def rules_text(rules: tuple[RegionRule, ...] = RULES) -> str:
    """The table in one line, for the assembly's attributes."""
    return "; ".join(
        f"{rule.region} = {' | '.join(rule.rois)}{' minus the regions before' if rule.remainder else ''}"
        for rule in rules
    )


def mask_digest(mask: np.ndarray) -> str:
    """SHA-1 (hexadecimal) of a mask's shape and content."""
    digest = hashlib.sha1(repr(mask.shape).encode())
    digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def check_rules(rules: tuple[RegionRule, ...]) -> None:
    """Refuse a table that could not be stored or read."""
    names = [rule.region for rule in rules]
    labels = roi_labels(rules)
    if len(set(names)) < len(names) or not set(names) <= set(REGIONS) or len(set(labels)) < len(labels):
        raise SchemaError(
            f"Each of {', '.join(REGIONS)} has at most one rule, and each region of interest is in one; got "
            f"{rules_text(rules)}. Correct the table."
        )
