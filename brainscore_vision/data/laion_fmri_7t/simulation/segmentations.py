"""Object segmentations of the simulated shared images, in the released form: what is in an image, and where.

Things are the sprites that were pasted into the image, under their names. Stuff ("water", "brick") is said of images
that excite one of the units that drive V4 and IT, so that nouns tell something about responses, as they do in brains.
"""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..released.features import FEATURE_FILES, SEGMENTATION_MASKS, SEGMENTATION_TABLE
from .images import render
from .parallel import ordered_map
from .rng import generator
from .visual_features import feature_set
from .voxels import mixtures

STUFF = (
    "asphalt brick ceiling cloth clouds concrete fog foliage fur glass grass gravel ice leather marble metal moss paper "
    "rock sand sky snow soil tiles water wood"
).split()

_FROM_HERE = 1.2  # standard deviations of a unit above its mean: about one image in nine has the stuff
_WHOLE = 0.99  # a mask that covers more of the image localises nothing (release)


def write_segmentations(
    folder: Path, stimulus_ids: np.ndarray, features: np.ndarray, size: int, seed: int, workers: int
) -> None:
    """Write the masks and their table.

    Parameters
    ----------
    folder : Path
        The dataset's ``stimuli`` folder.
    stimulus_ids : numpy.ndarray of str, shape (n,)
        The shared stimuli.
    features : numpy.ndarray of float32, shape (n, n_features)
        Columns as in `visual_features.feature_set`, standardised over all stimuli of the dataset.
    size : int
        Width and height of the images in pixels.
    seed : int
    workers : int
        Threads.
    """
    units = mixtures(features, feature_set(), seed)[:, : len(STUFF)]
    units = (units - units.mean(0)) / np.maximum(units.std(0), 1e-6)
    tasks = list(zip(stimulus_ids, units, strict=True))
    rows: list[dict] = []
    with h5py.File(folder / FEATURE_FILES[SEGMENTATION_MASKS], "w") as file:
        masks = file.create_dataset(
            "masks",
            shape=(0, size, size),
            maxshape=(None, size, size),
            dtype=np.uint8,
            chunks=(1, size, size),
            compression="gzip",
            shuffle=True,
        )
        for found in ordered_map(lambda task: segment(*task, size, seed), tasks, workers):
            masks.resize(len(rows) + len(found), axis=0)
            for row, mask in found:
                masks[len(rows)] = mask
                rows.append({"mask_row": len(rows), **row})
    columns = "mask_row image_name noun instance_id score box_x0 box_y0 box_x1 box_y1 localized mask_file".split()
    pd.DataFrame(rows, columns=columns).to_csv(folder / FEATURE_FILES[SEGMENTATION_TABLE], index=False)


def segment(stimulus_id: str, units: np.ndarray, size: int, seed: int) -> list[tuple[dict, np.ndarray]]:
    """Rows of the table for one image, without their number, each with its (size, size) mask."""
    rng = generator(seed, "segmentation", stimulus_id)
    found = [(noun.replace("_", " "), mask) for noun, mask in render(stimulus_id, size, seed).parts if mask.any()]
    for noun, activity in zip(STUFF, units, strict=True):
        if activity > _FROM_HERE:
            found.append((noun, _patch(rng, size, float(activity))))
    detections: dict[str, list] = {}
    for noun, mask in found:
        score = float(np.clip(0.35 + 0.5 * np.sqrt(mask.mean()) + rng.normal(0, 0.08), 0.05, 0.99))
        detections.setdefault(noun, []).append((score, mask))
    rows = []
    for noun, instances in detections.items():
        # instance 0 is the one with the highest score, as in the release
        for number, (score, mask) in enumerate(sorted(instances, key=lambda instance: -instance[0])):
            y, x = np.nonzero(mask)
            localized = mask.mean() < _WHOLE
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1) if localized else (np.nan,) * 4
            row = {
                "image_name": stimulus_id,
                "noun": noun,
                "instance_id": number,
                "score": round(score, 4),
                **dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), map(float, box), strict=True)),
                "localized": int(localized),
                "mask_file": f"{stimulus_id}/{noun}_{number}.png",
            }
            rows.append((row, mask.astype(np.uint8)))
    return rows


def _patch(rng: np.random.Generator, size: int, activity: float) -> np.ndarray:
    """Where stuff is: a band across the image that grows with the unit's activity; now and then all of it."""
    mask = np.zeros((size, size), bool)
    if rng.random() < 0.15:
        return ~mask
    height = min(0.9, 0.15 + 0.2 * activity)
    top = rng.uniform(0, 1 - height)
    mask[int(top * size) : max(int((top + height) * size), int(top * size) + 1)] = True
    return mask
