"""Object segmentations of the shared images: which nouns are in an image, and where.

One row of the table belongs to one mask, `mask_row` in the HDF5 dataset ``masks`` (n_masks, height, width) uint8. A noun
has one mask per instance that was found in the image, 0 being the one with the highest score. `localized` is 1 where the
detector gave a box and the mask covers less than 99 % of the image; other nouns are in the image, and nobody knows where.
"""

from __future__ import annotations

import hashlib
import io
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state, one_at_a_time, read_hdf5

from ..errors import SchemaError
from ..home import keep, kept, usable
from ..text_files import read_csv
from .features import SEGMENTATION_MASKS, SEGMENTATION_TABLE, find_released
from .folder import UnknownNameError, data_folder

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
COLUMNS = ("mask_row", "image_name", "noun", "score", *BOX, "localized")
DOWNLOAD_AGAIN = "Run `laion-score data get --what segmentations --check`."

LOCALIZED = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "True": 1, "False": 0}
NO_NUMBERS = ("", "nan", "NaN")
"""How a number that is not there is written, such as the box of a noun that was not localised."""

MASKS = "masks"
_MASK_BLOCK = 64
_INSTANCE = "instance_id"


class Segmentations:
    """Nouns and masks by image; files are opened when they are first read, and closed by `close` or a ``with`` block.

    Parameters
    ----------
    data_dir : str or Path, optional
        The data folder; without it, that of `folder.get_data_dir`.

    Raises
    ------
    MissingDataError
        If the folder lacks the table or the masks.
    """

    def __init__(self, data_dir: str | Path | None = None):
        self.data_dir = data_folder(data_dir)
        self._paths = [find_released(name, self.data_dir) for name in (SEGMENTATION_TABLE, SEGMENTATION_MASKS)]
        self._file: h5py.File | None = None

    def __enter__(self) -> Segmentations:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of the masks; it is opened again when it is read again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """One row per mask: mask_row, image_name, noun, instance_id, score, box_x0 to box_y1 (pixels), localized, mask_file."""
        table = read_segmentations(self._paths[0])
        if _INSTANCE not in table:
            raise SchemaError(f"{self._paths[0]} needs the column {_INSTANCE}. {DOWNLOAD_AGAIN}")
        return table

    def __len__(self) -> int:
        return len(self.metadata)

    def __getitem__(self, mask_row: int) -> np.ndarray:
        """One mask by its row in the file; (height, width) uint8, 1 inside."""
        if self._file is None:
            mask_shape(self._paths[1])
            self._file = read_hdf5(self._paths[1])
        masks = self._file[MASKS]
        if not 0 <= mask_row < len(masks):
            raise IndexError(f"{self._paths[1]} has masks 0 to {len(masks) - 1}; got {mask_row}.")
        return masks[int(mask_row)]

    def get(self, image_name: str, noun: str, instance: int = 0) -> np.ndarray:
        """The mask of one instance of a noun; (height, width) uint8, 1 inside.

        Parameters
        ----------
        image_name : str
        noun : str
            One of ``nouns(image_name, localized_only=False)``.
        instance : int
            0 is the instance with the highest score.

        Raises
        ------
        UnknownNameError
            A KeyError: the image has no masks, as all unique images, or no such instance.
        """
        rows = self.for_image(image_name)
        if rows.empty:
            raise UnknownNameError(
                f"Shared images have masks; {image_name!r} has none. `has_image` tells, `images` lists those that have some."
            )
        found = rows[(rows["noun"] == noun) & (rows[_INSTANCE] == instance)]
        if found.empty:
            counts = ", ".join(f"{name} ({n})" for name, n in rows["noun"].value_counts(sort=False).items())
            raise UnknownNameError(
                f"{image_name!r} has masks of: {counts}; instances count from 0. Got noun {noun!r}, instance {instance!r}."
            )
        return self[found["mask_row"].iloc[0]]

    def for_image(self, image_name: str) -> pd.DataFrame:
        """The rows of `metadata` of one image; none if it has no masks."""
        return self._by_image.get(image_name, self.metadata.iloc[:0]).copy()

    def nouns(self, image_name: str, localized_only: bool = True) -> list[str]:
        """Nouns of an image, each once, in the table's order; an empty list if it has no masks.

        With `localized_only`, those of which at least one instance is localised.
        """
        rows = self.for_image(image_name)
        return list(dict.fromkeys(rows["noun"][rows["localized"] == 1] if localized_only else rows["noun"]))

    def has_image(self, image_name: str) -> bool:
        """Whether an image has masks."""
        return image_name in self._by_image

    def images(self) -> list[str]:
        """Images that have masks, in the table's order."""
        return list(self._by_image)

    @cached_property
    def _by_image(self) -> dict[str, pd.DataFrame]:
        return {image: rows.reset_index(drop=True) for image, rows in self.metadata.groupby("image_name", sort=False)}


def read_segmentations(path: Path) -> pd.DataFrame:
    """The table of masks, in the file's order and with all its columns; nouns are as they are written.

    Raises
    ------
    SchemaError
        If the table breaks a rule of its form, or lacks a row of a mask.
    """
    table = read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise SchemaError(
            f"{path} needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}. {DOWNLOAD_AGAIN}"
        )
    nouns = table["noun"]
    table = table.apply(lambda column: column.str.strip())

    def refuse(rule: str, wrong: pd.Series, column: str) -> None:
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise SchemaError(
                f"{path}: {rule}; {int(wrong.sum())} of {len(table)} rows break this, the first is row {first} "
                f"({column} {given[column].iloc[first]!r}). {DOWNLOAD_AGAIN}"
            )

    given = table.copy()
    if not len(table):
        raise SchemaError(f"{path}: the table of segmentations has a row per mask; it has none. {DOWNLOAD_AGAIN}")
    for name in ("image_name", "noun", "mask_row", "localized"):
        refuse(
            f"each detection has {' and '.join(('image_name', 'noun', 'mask_row', 'localized'))}",
            table[name] == "",
            name,
        )
    if _INSTANCE in table:
        refuse("instances are numbered from 0", ~given[_INSTANCE].str.fullmatch(r"\d+"), _INSTANCE)
        table[_INSTANCE] = given[_INSTANCE].astype(int)
    for name in ("mask_row", "score", *BOX):
        table[name] = pd.to_numeric(given[name], errors="coerce").astype(float)
        refuse(f"{name} is a number", ~np.isfinite(table[name]) & ~given[name].isin(NO_NUMBERS), name)
    refuse("scores are from 0 to 1", (table["score"] < 0) | (table["score"] > 1), "score")
    refuse("boxes go from x0, y0 to x1, y1", table["box_x1"] < table["box_x0"], "box_x1")
    refuse("boxes go from x0, y0 to x1, y1", table["box_y1"] < table["box_y0"], "box_y1")
    table["localized"] = given["localized"].map(LOCALIZED)
    refuse("localized is 1 or 0", table["localized"].isna(), "localized")
    if not np.array_equal(np.sort(table["mask_row"]), np.arange(len(table))):
        lacking = sorted(set(range(len(table))).difference(table["mask_row"]))
        raise SchemaError(
            f"{path}: mask_row numbers the masks from 0, each once; of 0 to {len(table) - 1}, {len(lacking)} are lacking, the "
            f"first: {lacking[0]}. Rows were lost, repeated or shifted. {DOWNLOAD_AGAIN}"
        )
    return table.astype({"mask_row": int, "localized": int}).assign(noun=nouns)


def mask_extents(path: Path) -> np.ndarray:
    """What each mask covers: its share of the image, and the box around it (x0, y0, x1, y1; nan if empty).

    The release's masks take minutes to decompress, so what is found is kept under the plugin's home folder.

    Returns
    -------
    numpy.ndarray of float64, shape (n_masks, 5)

    Raises
    ------
    SchemaError
        The file holds something else than masks: one number besides 0.
    """
    key = hashlib.sha256(f"{path.resolve()} {file_state(path)}".encode()).hexdigest()[:24]
    n_masks, name = mask_shape(path)[0], ("mask_extents", f"{key}.npy")
    if kept(*name) is None:
        with one_at_a_time(usable("mask_extents") / f"{key}.lock"):
            if kept(*name) is None:
                content = io.BytesIO()
                np.save(content, _read_extents(path, n_masks))
                keep(content.getvalue(), *name)
    return np.load(kept(*name), allow_pickle=False)


def _read_extents(path: Path, n_masks: int) -> np.ndarray:
    extents = np.empty((n_masks, 5))
    inside = 0
    try:
        with (
            read_hdf5(path) as file,
            tqdm(total=n_masks, desc="masks", unit="mask", leave=False, disable=None) as bar,
        ):
            for start in range(0, n_masks, _MASK_BLOCK):
                block = file[MASKS][start : start + _MASK_BLOCK]
                inside = inside or int(block.max())
                strange = block[(block != 0) & (block != inside)]
                if len(strange):
                    raise SchemaError(
                        f"{path}: a mask is 0 outside and one number inside; masks {start} to "
                        f"{start + len(block) - 1} hold 0, {inside} and {strange[0]}. {DOWNLOAD_AGAIN}"
                    )
                extents[start : start + len(block)] = [_extent(mask != 0) for mask in block]
                bar.update(len(block))
    except OSError as error:
        raise SchemaError(f"{path}: the masks cannot be read: {error}. {DOWNLOAD_AGAIN}") from error
    return extents


def _extent(mask: np.ndarray) -> tuple[float, ...]:
    x, y = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    box = (x[0], y[0], x[-1] + 1, y[-1] + 1) if len(x) else (np.nan,) * 4
    return mask.mean(), *box


def mask_shape(path: Path) -> tuple[int, ...]:
    try:
        with read_hdf5(path) as file:
            if MASKS in file and file[MASKS].ndim == 3 and file[MASKS].dtype.kind in "biu":
                return file[MASKS].shape
            found = {
                name: (item.shape, str(item.dtype)) for name, item in file.items() if isinstance(item, h5py.Dataset)
            }
    except OSError as error:
        raise SchemaError(
            f"{path} must be an HDF5 file of masks; opening it gave: {error}. {DOWNLOAD_AGAIN}"
        ) from error
    raise SchemaError(
        f"{path}: masks are whole numbers in a dataset {MASKS!r} (masks × height × width); found {found}. {DOWNLOAD_AGAIN}"
    )
