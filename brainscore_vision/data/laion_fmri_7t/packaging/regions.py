"""Which voxel belongs to which region: one table. To define a region otherwise, change its line in `RULES`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

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
        Labels without hyphens; each mask holds both hemispheres. A voxel's `roi` is the label whose mask holds it, the
        last such label if there are several.
    remainder : bool
        Whether the region gets only voxels that no rule before it has. Other rules take their voxels from earlier rules,
        as the published assemblies do; the release's retinotopic regions are disjoint, so this should not matter there.
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


def roi_labels(rules: tuple[RegionRule, ...] = RULES) -> tuple[str, ...]:
    """All regions of interest that the rules name, in order."""
    return tuple(label for rule in rules for label in rule.rois)


def rules_text(rules: tuple[RegionRule, ...] = RULES) -> str:
    """The table in one line, for the assembly's attributes."""
    return "; ".join(
        f"{rule.region} = {' | '.join(rule.rois)}{' minus the regions before' if rule.remainder else ''}"
        for rule in rules
    )


def assign_regions(
    masks: Mapping[str, np.ndarray], rules: tuple[RegionRule, ...] = RULES
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give each voxel its region.

    Parameters
    ----------
    masks : mapping of str to numpy.ndarray
        Label of a region of interest, without hyphens -> (n_brain_voxels,) bool.
    rules : tuple of RegionRule

    Returns
    -------
    voxels : pandas.DataFrame
        `region`, `roi` and `voxel_index_in_brain_mask` (int32, ascending); one row per voxel that has a region.
    contested : dict of str to int
        "V1v, V1d" -> number of voxels that V1d took from V1v, because both masks hold them.

    Raises
    ------
    MissingDataError
        If a mask that the rules name is missing.
    SchemaError
        If the table has an unknown region, or a region or label twice, or if a region ends up without a voxel.
    """
    labels, names = roi_labels(rules), [rule.region for rule in rules]
    if len(set(names)) < len(names) or not set(names) <= set(REGIONS) or len(set(labels)) < len(labels):
        raise SchemaError(
            f"Each of {', '.join(REGIONS)} has at most one rule, and each region of interest is in one; got "
            f"{rules_text(rules)}. Correct the table."
        )
    missing = [label for label in labels if label not in masks]
    if missing:
        raise MissingDataError(
            f"The regions are made of {', '.join(labels)}; there is no mask of {', '.join(missing)} among "
            f"{', '.join(sorted(masks)) or 'none'}. Download the subject's regions of interest."
        )
    owner = np.full(len(masks[labels[0]]), -1)  # of each brain voxel, the place of its label in `labels`
    contested: dict[str, int] = {}
    for rule in rules:
        free = owner == -1
        for label in rule.rois:
            claimed = masks[label] & free if rule.remainder else masks[label]
            for other in np.unique(owner[claimed & (owner >= 0)]):
                contested[f"{labels[other]}, {label}"] = int((claimed & (owner == other)).sum())
            owner[claimed] = labels.index(label)
    index = np.flatnonzero(owner >= 0)
    region_of_label = np.array([rule.region for rule in rules for _ in rule.rois])
    region = region_of_label[owner[index]]
    empty = [rule for rule in rules if rule.region not in region]
    if empty:
        raise SchemaError(
            f"Every region needs voxels inside the brain mask; {', '.join(rule.region for rule in empty)} has none. "
            f"Check the masks of {', '.join(roi_labels(tuple(empty)))}."
        )
    columns = {"region": region, "roi": np.array(labels)[owner[index]]}
    return pd.DataFrame({**columns, "voxel_index_in_brain_mask": index.astype(np.int32)}), contested
