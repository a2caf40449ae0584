"""The images as the release has them: one HDF5 file of encoded images, and a table in the same order."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..stimuli.released import IMAGES_DATASET
from ..stimuli.sources import IMAGE_FOLDER, MANIFEST, RELEASED_IMAGES, RELEASED_METADATA

_COLUMNS = ("image_name", "dataset", "participant", "unique_or_shared", "n_reps")


def write_stimuli(packaged: Path, target: Path) -> None:
    """Write ``task-images_stimuli.h5`` and ``task-images_metadata.csv``, and copy what else belongs to the images.

    Parameters
    ----------
    packaged : Path
        ``stimuli`` of a simulated dataset: images and manifest, and files of embeddings, segmentations or captions.
    target : Path
        A new folder.
    """
    target.mkdir(parents=True)
    table = pd.read_csv(packaged / MANIFEST, keep_default_na=False)
    with h5py.File(target / RELEASED_IMAGES, "w") as file:
        images = file.create_dataset(IMAGES_DATASET, (len(table),), h5py.vlen_dtype(np.uint8))
        for row, name in enumerate(table["filename"]):
            images[row] = np.frombuffer((packaged / IMAGE_FOLDER / name).read_bytes(), np.uint8)
    table.rename(columns={"stimulus_id": "image_name"})[list(_COLUMNS)].to_csv(target / RELEASED_METADATA, index=False)
    for path in packaged.glob("task-images_desc-*"):
        shutil.copyfile(path, target / path.name)
