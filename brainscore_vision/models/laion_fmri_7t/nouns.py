"""The nouns of the object segmentations as a model: which things are in an image, and nothing else."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import one_at_a_time
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.home import keep, kept, usable
from brainscore_vision.data.laion_fmri_7t.ids import parse
from brainscore_vision.data.laion_fmri_7t.released.features import SEGMENTATION_MASKS, SEGMENTATION_TABLE, DatasetModel
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from .tables import TableError, file_digest

WEIGHTS = (None, "area", "box", "score")
COLUMNS = ("mask_row", "image_name", "noun", "score", "box_x0", "box_y0", "box_x1", "box_y1", "localized")
NO_NOUN = "(no noun)"
"""Feature of images in which nothing was detected: without it they would have no features at all, and no place in an RDM."""

_MASK_BLOCK = 64


@dataclass(frozen=True)
class NounTable:
    """Nouns of the segmented images.

    Attributes
    ----------
    nouns : tuple of str
        Name of each feature.
    values : dict of str to numpy.ndarray of float32, shape (n_nouns,)
        Features of each image that has a row in the table.
    sources : frozenset of str
        Where the segmented images come from ("LAION", "NSD", ...).
    version : str
    """

    nouns: tuple[str, ...]
    values: dict[str, np.ndarray]
    sources: frozenset[str]
    version: str

    def covers(self, stimulus_id: str) -> bool:
        """Whether the segmentations say what is in an image; a shared image without a row has no noun."""
        if stimulus_id in self.values:
            return True
        stimulus = parse(stimulus_id)
        return stimulus.shared and stimulus.dataset in self.sources

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
        What to do about shared images that the segmentations do not cover.
    """

    def __init__(self, dataset=None, localized_only: bool = True, weight: str | None = None, missing: str = "error"):
        super().__init__(missing)
        if weight not in WEIGHTS:
            raise DatasetError(f"The weight of a noun is one of {', '.join(map(repr, WEIGHTS))}; got {weight!r}.")
        self._dataset, self.localized_only, self.weight = dataset, localized_only, weight

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
        if self.weight == "area":
            files.append(dataset.feature_file(SEGMENTATION_MASKS))
        state = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        return _opened(state, self.localized_only, self.weight)

    @property
    def features_version(self) -> str:
        return self.table.version

    def known(self, stimulus_ids: Sequence[str]) -> Collection[str]:
        unique = [stimulus_id for stimulus_id in stimulus_ids if not parse(stimulus_id).shared]
        if unique:  # whatever `missing` says: training on a seventh of a pool is another benchmark
            raise ModelOutputError(
                f"{self.identifier} knows the nouns of shared images only, for no others are segmented; {len(unique)} of "
                f"{len(stimulus_ids)} stimuli are one subject's own, the first: {unique[0]}. Score it on benchmarks of the "
                f"shared pool (LAION_fMRI.*, not LAION_fMRI_persubject.*)."
            )
        table = self.table
        return [stimulus_id for stimulus_id in stimulus_ids if table.covers(stimulus_id)]

    def features_for(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        return self.table.rows(stimulus_ids)


@lru_cache(maxsize=8)
def _opened(state: tuple, localized_only: bool, weight: str | None) -> NounTable:
    path = state[0][0]
    return read_nouns(path, localized_only, weight, masks=state[1][0] if weight == "area" else None)


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
        ``task-images_desc-segmentations.h5``, for the weight "area".

    Raises
    ------
    TableError
        The table breaks a rule of its form, or lacks what the weight is made of.
    """
    table = _checked(path)
    digest = hashlib.sha256(f"{file_digest(path)} {localized_only} {weight}".encode())
    images = list(dict.fromkeys(table["image_name"]))
    sources = frozenset(parse(image).dataset for image in images)
    if weight == "area":
        area = mask_areas(masks)
        if len(area) <= table["mask_row"].max():
            raise TableError(f"{masks} holds {len(area)} masks, but {path} names mask {table['mask_row'].max()}.")
        table = table.assign(weight=area[table["mask_row"]])
        digest.update(area.tobytes())
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
    return NounTable(nouns, values, sources, digest.hexdigest()[:32])


def mask_areas(path: Path) -> np.ndarray:
    """Share of the image that each mask covers: float64, shape (n_masks,).

    The release's masks take minutes to decompress, so their areas are kept under the plugin's home folder.
    """
    state = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:24]
    name = "mask_areas", f"{key}.npy"
    if kept(*name) is None:
        with one_at_a_time(usable("mask_areas") / f"{key}.lock"):
            if kept(*name) is None:
                content = io.BytesIO()
                np.save(content, _read_areas(path))
                keep(content.getvalue(), *name)
    return np.load(kept(*name), allow_pickle=False)


def _read_areas(path: Path) -> np.ndarray:
    with h5py.File(path, "r", locking=False) as file:
        masks = file["masks"]
        areas = np.empty(len(masks))
        with tqdm(total=len(masks), desc="mask areas", unit="mask", leave=False, disable=None) as bar:
            for start in range(0, len(masks), _MASK_BLOCK):
                block = masks[start : start + _MASK_BLOCK] != 0
                areas[start : start + _MASK_BLOCK] = block.mean(axis=(1, 2))
                bar.update(len(block))
    return areas


def _box_areas(table: pd.DataFrame, path: Path) -> np.ndarray:
    """Share of the image inside each box; the largest coordinate is the images' width. Without a box, all of it."""
    boxes = table[["box_x0", "box_y0", "box_x1", "box_y1"]].to_numpy(dtype=float)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if (area < 0).any():
        raise TableError(f"{path}: boxes go from x0, y0 to x1, y1; {(area < 0).sum()} do not. Restore the file.")
    width = boxes[np.isfinite(boxes)].max(initial=1.0)
    return np.where(np.isnan(area), 1.0, area / width**2)


def _checked(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"image_name": str, "noun": str}, keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError) as error:
        raise TableError(
            f"{path}: the table of segmentations is UTF-8 CSV; reading it gave {error}. Restore it."
        ) from error
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise TableError(
            f"{path} needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}. Restore the file."
        )
    if not len(table) or table[["image_name", "noun", "mask_row", "localized"]].isna().any(axis=None):
        raise TableError(
            f"{path}: each detection has image_name, noun, mask_row and localized; some have not. Restore it."
        )
    return table
