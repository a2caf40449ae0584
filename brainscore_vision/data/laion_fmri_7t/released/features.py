"""Released features of the stimuli: where the embeddings of four models, the object segmentations and the captions are.

All are open (CC0): no agreement is needed for them, and no image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ..errors import DatasetError, MissingDataError

EMBEDDING_MODELS = ("CLIP", "DINOv2", "PEcore", "SigLIP2")
"""Models whose embeddings of all images are released."""

SEGMENTATION_MASKS = "segmentation masks"
SEGMENTATION_TABLE = "segmentation table"
CAPTIONS = "captions"

FEATURE_FILES = {
    **{model: f"task-images_desc-{model}_embeddings.h5" for model in EMBEDDING_MODELS},
    SEGMENTATION_MASKS: "task-images_desc-segmentations.h5",
    SEGMENTATION_TABLE: "task-images_desc-segmentations_metadata.csv",
    CAPTIONS: "task-images_desc-captions.csv",
}
"""File of each kind of features, in the folder of the stimuli."""

_DOWNLOADS = {
    **dict.fromkeys(EMBEDDING_MODELS, "laion-score data get --what embeddings"),
    **dict.fromkeys((SEGMENTATION_MASKS, SEGMENTATION_TABLE), "laion-score data get --what segmentations"),
    CAPTIONS: "laion-score data get --what captions",
}


class DatasetModel(ABC):
    """A model whose features come with a dataset: benchmarks bind it to the dataset that they score on."""

    @abstractmethod
    def bind(self, dataset) -> DatasetModel:
        """The same model with the features of ``dataset``; one that has been given a dataset already stays with it."""


def bind(model, dataset):
    """``model``, bound to ``dataset`` if its features come with one."""
    return model.bind(dataset) if isinstance(model, DatasetModel) else model


def find_feature_file(name: str, folders: Sequence[Path], dataset: str) -> Path:
    """A file of released features.

    Parameters
    ----------
    name : str
        One of `FEATURE_FILES`.
    folders : sequence of Path
        Where to look, in this order.
    dataset : str
        Name of the dataset, for the message.

    Raises
    ------
    DatasetError
        There are no such features.
    MissingDataError
        The file is in none of the folders.
    """
    if name not in FEATURE_FILES:
        raise DatasetError(f"Released features are {', '.join(FEATURE_FILES)}; got {name!r}. Choose one of them.")
    for folder in folders:
        if (folder / FEATURE_FILES[name]).is_file():
            return folder / FEATURE_FILES[name]
    looked = f"{', '.join(map(str, folders))} lacks it" if folders else "no folder of it is known"
    raise MissingDataError(
        f"The {name} features of dataset {dataset} are the file {FEATURE_FILES[name]} among its stimuli; {looked}. Run "
        f"`{_DOWNLOADS[name]}` (no agreement is needed), and point LAION_FMRI_DATASET to the data folder, or "
        f"LAION_FMRI_STIMULI to its stimuli folder."
    )


def find_released(name: str, root: Path) -> Path:
    """A file of released features in a data folder, or in a folder of stimuli; errors as `find_feature_file`."""
    return find_feature_file(name, (root / "stimuli", root), str(root))
