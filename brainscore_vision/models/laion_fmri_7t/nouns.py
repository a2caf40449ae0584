"""The nouns of the object segmentations as a model: which things are in an image, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import NotAbleError
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.ids import is_id, parse, parse_all
from brainscore_vision.data.laion_fmri_7t.released.features import SEGMENTATION_MASKS, SEGMENTATION_TABLE, DatasetModel
from brainscore_vision.data.laion_fmri_7t.released.segmentations import (
    BOX,
    DOWNLOAD_AGAIN,
    mask_extents,
    mask_shape,
    read_segmentations,
)
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.text_files import read_text

from .feature_tables import TableError, file_digest

WEIGHTS = (None, "area", "box", "score")
ELSEWHERE, FEW_ELSEWHERE = 0.1, 0.01
"""A mask that overlaps its box by less lies elsewhere, and the share of such masks that needs no word."""

NO_NOUN = "(no noun)"
"""Feature of images in which nothing was detected: without it they would have no features at all, and no place in an RDM."""

FEWEST_WITH_BOXES, WIDTH_TOLERANCE = 3, 0.05
"""Images with boxes, and the part by which one's may be larger than all others', before they are taken to be wrong."""


@dataclass(frozen=True)
class NounTable:
    """Nouns of the segmented images.

    Attributes
    ----------
    name : str
        Path of the table, for messages.
    nouns : tuple of str
        Name of each feature.
    values : dict of str to numpy.ndarray of float32, shape (n_nouns,)
        Features of each image that has a row in the table.
    complete_sources : frozenset of str
        Sources of images ("LAION", "NSD", ...) whose images without a row have no noun: those with rows, if the masks prove
        that no row was lost.
    version : str
    notes : tuple of str
        What a Score should say of the table.
    """

    name: str
    nouns: tuple[str, ...]
    values: dict[str, np.ndarray]
    complete_sources: frozenset[str]
    version: str
    notes: tuple[str, ...] = ()

    def covers(self, stimulus_id: str) -> bool:
        """Whether the segmentations say what is in an image."""
        if stimulus_id in self.values:
            return True
        stimulus = parse(stimulus_id)
        return stimulus.shared and stimulus.dataset in self.complete_sources

    def rows(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        """Features of covered images: float32, shape (n, n_nouns)."""
        nothing = np.array([noun == NO_NOUN for noun in self.nouns], dtype=np.float32)
        return np.stack([self.values.get(stimulus_id, nothing) for stimulus_id in stimulus_ids])


class NounModel(LookupModel, DatasetModel):
    """Multi-hot nouns of the shared images, one feature per noun.

    Parameters
    ----------
    dataset : str, Path, Dataset, optional
        Whose segmentations; without it, those of the dataset that is scored on, else of the configured one.
    localized_only : bool
        Leave out nouns that were detected, but not localised (no box, or a mask of more than 99 % of the image).
    weight : {None, "area", "box", "score"}
        1 for a noun that is there; or the share of the image that its masks cover (summed over instances, at most 1; the
        masks are read once, and the areas kept); or the same of its boxes, which needs no masks; or its highest detection
        score.
    missing : {"error", "drop"}
        What to do about shared images that the segmentations say nothing of.
    """

    def __init__(self, dataset=None, localized_only: bool = True, weight: str | None = None, missing: str = "error"):
        super().__init__(missing)
        if weight not in WEIGHTS:
            raise DatasetError(f"The weight of a noun is one of {', '.join(map(repr, WEIGHTS))}; got {weight!r}.")
        self._dataset, self.localized_only, self.weight = dataset, localized_only, weight
        self._asked: set[str] = set()

    def bind(self, dataset) -> NounModel:
        return (
            self if self._dataset is not None else type(self)(dataset, self.localized_only, self.weight, self.missing)
        )

    @property
    def identifier(self) -> str:
        parts = ["LAION_fMRI-nouns", None if self.localized_only else "all", self.weight]
        return "-".join(part for part in parts if part)

    @property
    def table(self) -> NounTable:
        """The nouns as they are on disk now."""
        dataset = open_dataset(self._dataset)
        files = [dataset.feature_file(SEGMENTATION_TABLE)]
        try:
            files.append(dataset.feature_file(SEGMENTATION_MASKS))
        except MissingDataError:
            if self.weight == "area":
                raise
        state = tuple((path, file_state(path)) for path in files)
        return _opened(state, self.localized_only, self.weight)

    @property
    def features_version(self) -> str:
        return self.table.version

    @property
    def feature_names(self) -> Sequence[str]:
        return self.table.nouns

    def known(self, stimulus_ids: Sequence[str]) -> Collection[str]:
        stimulus_ids = [stimulus_id for stimulus_id in stimulus_ids if is_id(stimulus_id)]
        if not stimulus_ids:  # no file is opened, or missed, for stimuli of another dataset's benchmark
            return []
        unique = [stimulus_id for stimulus_id in stimulus_ids if not parse(stimulus_id).shared]
        if unique:  # whatever `missing` says: training on a seventh of a pool is another benchmark
            raise NotAbleError(
                f"{self.identifier} knows the nouns of shared images only, for no others are segmented; {len(unique)} of "
                f"{len(stimulus_ids)} stimuli are one subject's own, the first: {unique[0]}. Score it on benchmarks of the "
                f"shared pool (LAION_fMRI.*, not LAION_fMRI_persubject.*), and fit encoders with --pool shared."
            )
        table = self.table
        known = [stimulus_id for stimulus_id in stimulus_ids if table.covers(stimulus_id)]
        self._asked.update(known)
        return known

    def features_for(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        return self.table.rows(stimulus_ids)

    def notes(self) -> list[str]:
        """What was mended in the table, and how many images have no row in it."""
        table = self.table
        bare = self._asked.difference(table.values)
        said = f"{len(bare)} of {len(self._asked)} stimuli have no row in {table.name}: they count as images without nouns."
        return [*table.notes, *([said] if bare else [])]

    def remedy(self, unknown: Sequence[str]) -> str:
        return (
            f"{self.table.name} has no row for them. If nothing was found in these images, the file of the masks proves it: "
            f"put it beside (laion-score data get --what segmentations). {super().remedy(unknown)}"
        )


@lru_cache(maxsize=8)
def _opened(state: tuple, localized_only: bool, weight: str | None) -> NounTable:
    return read_nouns(state[0][0], localized_only, weight, masks=state[1][0] if len(state) > 1 else None)


def read_nouns(
    path: Path, localized_only: bool = True, weight: str | None = None, masks: Path | None = None
) -> NounTable:
    """Read the table of segmentations.

    Parameters
    ----------
    path : Path
        ``task-images_desc-segmentations_metadata.csv``.
    localized_only, weight
        As for :class:`NounModel`.
    masks : Path, optional
        ``task-images_desc-segmentations.h5``: proves that the table is whole, and is needed for the weight "area".

    Raises
    ------
    TableError
        The table breaks a rule of its form, or lacks what the weight is made of.
    """
    table = read_segmentations(path)
    table["noun"], merged = _one_spelling(table["noun"])
    n_masks = None if masks is None else mask_shape(masks)[0]
    if n_masks not in (None, len(table)):
        raise TableError(
            f"Each mask has one row; {masks} holds {n_masks} masks, {path} has {len(table)} rows: one of them is cut or of "
            f"another version. {DOWNLOAD_AGAIN}"
        )
    if n_masks is None and not read_text(path).endswith("\n"):
        raise TableError(
            f"{path}: every line has an end; the last has none, so that the table may be cut. The file of the masks would tell "
            f"whether it is. {DOWNLOAD_AGAIN}"
        )
    digest = hashlib.sha256(f"{file_digest(path)} {localized_only} {weight}".encode())
    if merged:
        digest.update(repr(merged).encode())
    images = parse_all(table["image_name"], path)
    sources = frozenset(image.dataset for image in images.values() if n_masks is not None)
    doubts: tuple[str, ...] = ()
    if weight == "area":
        extents = mask_extents(masks)
        doubts = _check_same_detections(table, extents, mask_shape(masks)[1:], path, masks)
        table = table.assign(weight=extents[table["mask_row"], 0])
        digest.update(np.ascontiguousarray(extents[:, 0]).tobytes())
    if localized_only:
        table = table[table["localized"] == 1]
    if weight == "box":
        table = table.assign(weight=_box_areas(table, path))
    elif weight == "score":
        table = table.assign(weight=table["score"])
    elif weight is None:
        table = table.assign(weight=1.0)
    if not np.isfinite(table["weight"]).all():
        raise TableError(
            f"{path}: {(~np.isfinite(table['weight'])).sum()} detections have no {weight}. Use another weight."
        )
    nouns = (*sorted(set(table["noun"])), NO_NOUN)
    column = {noun: i for i, noun in enumerate(nouns)}
    combine = "max" if weight in (None, "score") else "sum"
    values = {image: np.zeros(len(nouns), np.float32) for image in images}
    for (image, noun), value in table.groupby(["image_name", "noun"], sort=False)["weight"].agg(combine).items():
        values[image][column[noun]] = min(value, 1.0)
    for vector in values.values():
        vector[-1] = not vector.any()
    notes = doubts
    if merged:
        first, *others = merged[0]
        notes = (
            *notes,
            f"{sum(map(len, merged)) - len(merged)} nouns of {path} differ from others in capitals or blanks alone and count "
            f"as these (for example {', '.join(map(repr, others))} as {first!r}).",
        )
    return NounTable(str(path), nouns, values, sources, digest.hexdigest()[:32], notes)


def _check_same_detections(
    table: pd.DataFrame, extents: np.ndarray, size: tuple, path: Path, masks: Path
) -> tuple[str, ...]:
    """Refuse masks that lie elsewhere than the boxes of their rows: most of them do if rows were shifted.

    Returns
    -------
    tuple of str
        What a Score should say of masks that are empty, or of a few that lie elsewhere.
    """
    boxes, found = table[list(BOX)].to_numpy(), extents[table["mask_row"], 1:]  # n_detections, 4
    both = (table["localized"] == 1).to_numpy() & np.isfinite(boxes).all(axis=1)
    filled = np.isfinite(found).all(axis=1)
    n_boxes, n_empty = int(both.sum()), int((both & ~filled).sum())
    both &= filled
    notes = []
    if n_empty:
        notes.append(
            f"{n_empty} of {n_boxes} localized detections of {path} have an empty mask in {masks} and count 0. Download the "
            f"masks again if they are not empty in the release."
        )
    if not both.any():
        return tuple(notes)
    boxes, found = boxes[both] * (max(size) / _width(table[both], path)), found[both]
    low, high = np.maximum(boxes[:, :2], found[:, :2]), np.minimum(boxes[:, 2:], found[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    united = sum((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, found)) - common
    overlap = common / np.maximum(united, 1e-9)
    if np.median(overlap) < 0.5:
        raise TableError(
            f"Each mask fills the box of its row; most masks of {masks} lie elsewhere than the boxes of {path} (half of them "
            f"overlap by less than {np.median(overlap):.0%}): mask_row was shifted. {DOWNLOAD_AGAIN}"
        )
    n_elsewhere = int((overlap < ELSEWHERE).sum())
    if n_elsewhere > FEW_ELSEWHERE * n_boxes:
        notes.append(
            f"{n_elsewhere} of {n_boxes} masks of {masks} overlap the boxes of {path} by less than {ELSEWHERE:.0%}: some rows "
            f"may be shifted or damaged. Download both again if they do not in the release."
        )
    return tuple(notes)


def _box_areas(table: pd.DataFrame, path: Path) -> np.ndarray:
    """Share of the image inside each box; the largest coordinate is the images' width. Without a box, all of it."""
    boxes = table[list(BOX)].to_numpy()
    lacking = np.isnan(boxes).any(axis=1) & (table["localized"] == 1).to_numpy()
    if lacking.any():
        raise TableError(f"{path}: localized detections have boxes; {lacking.sum()} have none. {DOWNLOAD_AGAIN}")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.where(np.isnan(area), 1.0, area / _width(table, path) ** 2)


def _width(table: pd.DataFrame, path: Path) -> float:
    """The images' width: the largest coordinate of their boxes, which other images' boxes reach or nearly so."""
    largest = table[list(BOX)].max(axis=1).groupby(table["image_name"]).max().dropna().sort_values()
    if len(largest) >= FEWEST_WITH_BOXES and largest.iloc[-1] > (1 + WIDTH_TOLERANCE) * largest.iloc[-2]:
        raise TableError(
            f"{path}: boxes are in pixels of images that all have one width, which the largest coordinates reach; those of "
            f"{largest.index[-1]!r} go to {largest.iloc[-1]:g}, and of all other images to {largest.iloc[-2]:g} at most. "
            f"Correct the boxes of this image. {DOWNLOAD_AGAIN}"
        )
    return largest.max() if len(largest) and largest.max() > 1 else 1.0


def _one_spelling(nouns: pd.Series) -> tuple[pd.Series, list[tuple[str, ...]]]:
    """Nouns, those that differ in capitals or blanks alone as one; and such spellings, the most frequent first."""
    forms = nouns.str.split().str.join(" ").str.casefold()
    counts = nouns.value_counts()
    spellings: dict[str, list[str]] = {}
    for noun in sorted(counts.index, key=lambda noun: (-counts[noun], noun)):
        spellings.setdefault(" ".join(noun.split()).casefold(), []).append(noun)
    merged = [tuple(several) for several in spellings.values() if len(several) > 1]
    return forms.map({form: several[0].strip() for form, several in spellings.items()}), merged
