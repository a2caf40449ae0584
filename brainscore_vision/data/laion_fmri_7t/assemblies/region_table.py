"""Regions of interest of one subject: who belongs to which. They overlap, so each has a column of memberships."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class RegionTable:
    """Regions of interest of a subject, and which voxels of an assembly belong to them.

    Attributes
    ----------
    categories : dict of str to str
        Every region of interest that was drawn in the subject, spelled without hyphens -> its category.
    membership : pandas.DataFrame of bool, shape (n_neuroids, n_regions)
        Columns are those regions all of whose voxels the assembly holds.
    """

    categories: dict[str, str]
    membership: pd.DataFrame

    def members(self, name: str) -> tuple[str, ...]:
        """Regions that a name stands for: the region itself, or those of the category; none if the subject lacks it."""
        if name in self.categories:
            return (name,)
        return tuple(region for region, category in self.categories.items() if category == name)

    def not_held(self, name: str) -> tuple[str, ...]:
        """Those of `members` that the assembly was built without."""
        return tuple(region for region in self.members(name) if region not in self.membership)

    def inside(self, name: str) -> np.ndarray:
        """Whether each voxel belongs to a region, or to one of a category's: (n_neuroids,) bool."""
        return self.membership[list(self.members(name))].any(axis=1).to_numpy()

    def names(self) -> list[str]:
        """What `members` knows: regions, then categories."""
        return [*self.categories, *dict.fromkeys(self.categories.values())]

    def select(self, neuroids: Sequence[int] | np.ndarray) -> "RegionTable":
        """The same regions of some of the voxels, given by position or by a mask."""
        return RegionTable(self.categories, self.membership.iloc[np.asarray(neuroids)].reset_index(drop=True))


def region_table(masks: dict[str, np.ndarray], categories: dict[str, str], held: np.ndarray) -> RegionTable:
    """The table of an assembly's voxels.

    Parameters
    ----------
    masks : dict of str to numpy.ndarray of bool, shape (n_brain_voxels,)
        Region of interest -> its voxels.
    categories : dict of str to str
        As of :class:`RegionTable`; in the order of the table.
    held : numpy.ndarray of int, shape (n_neuroids,)
        Voxels of the assembly, by their index in the brain mask.
    """
    rest = np.ones(len(next(iter(masks.values()))), bool)
    rest[held] = False
    whole = {name: masks[name][held] for name in categories if name in masks and not (masks[name] & rest).any()}
    return RegionTable(dict(categories), pd.DataFrame(whole, index=range(len(held)), dtype=bool))
