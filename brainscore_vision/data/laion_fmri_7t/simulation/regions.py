"""Regions of interest of the simulation: names and categories of the release, places and preferences made up.

Some are made of the voxels of V1 to IT. The others are populations of voxels beside these, which lie together in both
hemispheres; some of them prefer images with one kind of stuff, and the truth says which.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from ..assemblies.region_table import RegionTable
from .rng import generator
from .scales import Scale

CATEGORIES = {
    "EBA": "body",
    "VWFA-1": "character",
    "FFA-1": "face",
    "FFA-2": "face",
    "OFA": "face",
    "pSTS-faces": "face",
    "laion-EVC": "laion",
    "laion-dorsal": "laion",
    "laion-lateral": "laion",
    "laion-ventral": "laion",
    "MT": "motion",
    "lobjects": "object",
    "PPA": "place",
    "IPS0": "retinotopy",
    "LO1": "retinotopy",
    "V1d": "retinotopy",
    "V1v": "retinotopy",
    "V2d": "retinotopy",
    "V2v": "retinotopy",
    "V3d": "retinotopy",
    "V3v": "retinotopy",
    "VO1": "retinotopy",
    "hV4": "retinotopy",
}
"""Region of interest -> category; labels with hyphens are spelled as in the bucket, where they are."""

PREFERENCES = {"body": "cloth", "character": "paper", "face": "fur", "place": "sand"}
"""Category -> the stuff that its regions prefer, in every subject: their voxels respond to images that have it."""

ABSENT = {"sub-01": ("FFA-2",), "sub-05": ("VWFA-1",), "sub-06": ("OFA", "VWFA-1")}
"""Subject -> regions of interest that were not found in it, as happens in people."""

_VENTRAL_V4 = 0.978  # share of hV4 that lies in the ventral mask (site)


@dataclass(frozen=True)
class Population:
    """Voxels beside V1 to IT that lie together and see the same.

    Attributes
    ----------
    regions : tuple of str
        Regions of interest that its voxels belong to; a subject that lacks all of them lacks the population.
    place : tuple of float
        Its middle in the right hemisphere, in radii of the brain from the brain's middle: to the right, to the front, up.
    """

    regions: tuple[str, ...]
    place: tuple[float, float, float]

    def in_subject(self, subject: str) -> tuple[str, ...]:
        """Those of its regions that were found in a subject."""
        return tuple(label for label in self.regions if label not in ABSENT.get(subject, ()))


POPULATIONS = (
    Population(("FFA-1",), (0.4, -0.3, -0.5)),
    Population(("FFA-2",), (0.4, 0.0, -0.6)),
    Population(("pSTS-faces",), (0.7, -0.2, 0.3)),
    Population(("OFA", "laion-lateral"), (0.6, -0.6, -0.2)),
    Population(("EBA", "laion-lateral"), (0.75, -0.4, 0.0)),
    Population(("EBA", "MT", "laion-lateral"), (0.7, -0.5, 0.1)),
    Population(("MT", "laion-lateral"), (0.65, -0.5, 0.25)),
    Population(("LO1", "lobjects", "laion-lateral"), (0.5, -0.7, 0.0)),
    Population(("laion-lateral",), (0.6, -0.65, 0.1)),
    Population(("PPA",), (0.25, -0.2, -0.4)),
    Population(("VWFA-1",), (0.5, -0.5, -0.5)),
    Population(("IPS0", "laion-dorsal"), (0.3, -0.6, 0.6)),
)


def preference(labels: tuple[str, ...]) -> str:
    """The stuff that voxels of these regions of interest prefer; empty for none."""
    return next((PREFERENCES[CATEGORIES[label]] for label in labels if CATEGORIES[label] in PREFERENCES), "")


@lru_cache(maxsize=2)
def brain_mask(shape: tuple[int, int, int], n_voxels: int) -> np.ndarray:
    """An ellipsoid: the `n_voxels` voxels of the grid that are nearest to its middle, relative to its axes; bool."""
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[np.argsort(_distances(shape), axis=None, kind="stable")[:n_voxels]] = True
    mask = mask.reshape(shape)
    mask.setflags(write=False)
    return mask


def _axes(shape: tuple[int, int, int]) -> list[np.ndarray]:
    """Place along each axis, from -1/2 to 1/2, to be broadcast over the grid."""
    return list(np.meshgrid(*((np.arange(n) - (n - 1) / 2) / n for n in shape), indexing="ij", sparse=True))


def _distances(shape: tuple[int, int, int]) -> np.ndarray:
    """Squared distance from the middle, of the grid's shape."""
    return sum(np.square(axis) for axis in _axes(shape))


def place_populations(scale: Scale, subject: str, taken: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a subject's populations are.

    Parameters
    ----------
    scale : Scale
    subject : str
    taken : numpy.ndarray of int
        Voxels of V1 to IT, by their index in the brain mask.
    seed : int

    Returns
    -------
    index : numpy.ndarray of int32, shape (n_voxels,)
        Index in the brain mask, ascending.
    population : numpy.ndarray of int, shape (n_voxels,)
        Of each voxel, the place in `POPULATIONS`.
    """
    rng = generator(seed, "places of populations", subject)
    inside = brain_mask(scale.grid, scale.brain_voxels)
    places = np.stack([np.broadcast_to(axis, scale.grid)[inside] for axis in _axes(scale.grid)])  # 3, n_brain_voxels
    places /= np.sqrt(np.square(places).sum(0).max())
    free = np.ones(places.shape[1], bool)
    free[taken] = False
    population = np.full(places.shape[1], -1)
    for number, one in enumerate(POPULATIONS):
        n = round(scale.population * (1 + scale.voxel_spread * rng.uniform(-1, 1)))
        centre = np.array(one.place) + rng.normal(0, 0.03, 3)
        if not one.in_subject(subject):
            continue
        for side, count in ((1, n - n // 2), (-1, n // 2)):
            distance = np.square(places - (centre * (side, 1, 1))[:, None]).sum(0)
            distance[~free] = np.inf
            nearest = np.argsort(distance, kind="stable")[:count]
            free[nearest] = False
            population[nearest] = number
    index = np.flatnonzero(population >= 0)
    return index.astype(np.int32), population[index]


def memberships(subject: str, region: np.ndarray, roi: np.ndarray, population: np.ndarray) -> RegionTable:
    """Which voxels belong to which region of interest.

    Parameters
    ----------
    subject : str
    region, roi : numpy.ndarray of str, shape (n_voxels,)
        As in an assembly.
    population : numpy.ndarray of int, shape (n_voxels,)
        Place in `POPULATIONS`; -1 for voxels of V1 to IT.
    """
    masks = {label: roi == label for label in CATEGORIES}
    v4, it = np.flatnonzero(region == "V4"), np.flatnonzero(region == "IT")
    masks["laion-EVC"] = np.isin(region, ("V1", "V2", "V3"))
    masks["laion-ventral"] = region == "IT"
    masks["laion-ventral"][v4[: round(_VENTRAL_V4 * len(v4))]] = True
    masks["VO1"][it[: len(it) // 4]] = True
    for number, one in enumerate(POPULATIONS):
        for label in one.in_subject(subject):
            masks[label] = masks[label] | (population == number)
    found = [label for label in CATEGORIES if masks[label].any()]
    categories = {label.replace("-", ""): CATEGORIES[label] for label in found}
    return RegionTable(categories, pd.DataFrame({label.replace("-", ""): masks[label] for label in found}))
