"""Embeddings of all images by four models: one HDF5 file a model, one row an image.

A file has the datasets ``embedding`` (n_images, n_features) float16, ``image_ids`` (n_images,) text and ``valid``
(n_images,) bool. `open_embedding` is what reads them, for people and for the dataset's own models.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import read_hdf5

from ..errors import DatasetError, MissingDataError, SchemaError
from .features import EMBEDDING_MODELS, find_released
from .folder import UnknownNameError, data_folder

AVAILABLE_MODELS = EMBEDDING_MODELS

EMBEDDING, IMAGE_IDS, VALID = "embedding", "image_ids", "valid"
_BLOCK = 512  # rows that are read at a time: HDF5 is slow at picking single ones
_DOWNLOAD_AGAIN = "Run `laion-score data get --what embeddings --check`."


def open_embedding(path: Path) -> h5py.File:
    """A file of embeddings whose datasets have the release's form; the caller closes it.

    Raises
    ------
    SchemaError
        If the file is something else.
    """
    try:
        file = read_hdf5(path)
    except OSError as error:
        raise SchemaError(f"{path} must be an HDF5 file; opening it gave: {error}. {_DOWNLOAD_AGAIN}") from error
    found = {name: item.shape for name, item in file.items() if isinstance(item, h5py.Dataset)}
    n_rows = found.get(IMAGE_IDS, ())
    if len(found.get(EMBEDDING, ())) != 2 or found[EMBEDDING][:1] != n_rows or found.get(VALID, n_rows) != n_rows:
        file.close()
        raise SchemaError(
            f"{path}: embeddings are the datasets {EMBEDDING} (images × features), {IMAGE_IDS} and {VALID} (one per image); "
            f"found {found}. {_DOWNLOAD_AGAIN}"
        )
    return file


def image_ids(file: h5py.File) -> np.ndarray:
    """Image of each row of an open file; (n_images,) str."""
    try:
        return np.array(file[IMAGE_IDS].asstr()[:], dtype=str)
    except (TypeError, UnicodeDecodeError) as error:
        raise SchemaError(f"{file.filename}: {IMAGE_IDS} are text in UTF-8; got {error}. {_DOWNLOAD_AGAIN}") from error


def valid_rows(file: h5py.File) -> np.ndarray:
    """Rows of an open file that may be used; (n_images,) bool."""
    flags = file[VALID][:] if VALID in file else np.ones(len(file[IMAGE_IDS]), bool)
    if flags.dtype.kind not in "bui" or not np.isin(flags, (0, 1)).all():
        raise SchemaError(f"{file.filename}: {VALID} holds true and false; found {flags.dtype}. {_DOWNLOAD_AGAIN}")
    return flags.astype(bool)


class Embeddings:
    """Embeddings of one or more models; a file is opened when it is first read, and closed by `close` or a ``with`` block.

    Parameters
    ----------
    models : str or iterable of str
        Of `AVAILABLE_MODELS`; "all" are those that the folder has.
    data_dir : str or Path, optional
        The data folder; without it, that of `folder.get_data_dir`.

    Raises
    ------
    DatasetError
        If there is no such model.
    MissingDataError
        If the folder lacks the file of one, or every file.
    """

    def __init__(self, models: str | Iterable[str] = "all", data_dir: str | Path | None = None):
        self.data_dir = data_folder(data_dir)
        wanted = [models] if isinstance(models, str) else list(models)
        unknown = [model for model in wanted if model not in AVAILABLE_MODELS and models != "all"]
        if unknown or not wanted:
            raise DatasetError(
                f"Embeddings are of {', '.join(AVAILABLE_MODELS)}; got {', '.join(map(repr, unknown)) or 'none'}. Choose among "
                "these, or 'all'."
            )
        self._paths = {}
        for model in AVAILABLE_MODELS if models == "all" else wanted:
            try:
                self._paths[model] = find_released(model, self.data_dir)
            except MissingDataError:
                if models != "all" or (model == AVAILABLE_MODELS[-1] and not self._paths):
                    raise
        self._files: dict[str, h5py.File] = {}
        self._rows: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Embeddings:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        """Close the open files; they are opened again when they are read again."""
        while self._files:
            self._files.popitem()[1].close()

    @property
    def models(self) -> list[str]:
        """The models, as they were given."""
        return list(self._paths)

    @property
    def image_ids(self) -> np.ndarray:
        """Image of each row, of the first model; (n_images,) str. In the release, the models' rows are in one order."""
        return np.array(list(self._rows_of(self.models[0])))

    def __len__(self) -> int:
        return len(self._rows_of(self.models[0]))

    def __contains__(self, model: str) -> bool:
        return model in self._paths

    def __getitem__(self, model: str) -> h5py.Dataset:
        """A model's embeddings as they lie on disk, (n_images, n_features); valid until `close`."""
        if model not in self._paths:
            raise UnknownNameError(f"These embeddings are of {', '.join(self.models)}; got {model!r}.")
        if model not in self._files:
            self._files[model] = open_embedding(self._paths[model])
        return self._files[model][EMBEDDING]

    def get(self, model: str, image_name: str | Iterable[str]) -> np.ndarray:
        """Embeddings of images.

        Parameters
        ----------
        model : str
        image_name : str or sequence of str
            One image, or several; an image may be there more than once.

        Returns
        -------
        numpy.ndarray
            As stored (float16 in the release): (n_features,) of one image, (n, n_features) of several in their order. Rows
            that the file marks as not valid are given as they are.

        Raises
        ------
        UnknownNameError
            A KeyError: these embeddings lack the model, or one of the images.
        """
        rows, values = self._rows_of(model), self[model]
        names = [image_name] if isinstance(image_name, str) else list(image_name)
        unknown = [name for name in names if name not in rows]
        if unknown:
            raise UnknownNameError(
                f"{self._paths[model]} has a row for each image; {len(unknown)} of {len(names)} names are no image, first: "
                f"{unknown[0]!r}. A name is the image's file name with its ending."
            )
        if isinstance(image_name, str):
            return values[rows[image_name]]
        wanted = np.array([rows[name] for name in names], dtype=np.intp)
        found = np.empty((len(wanted), values.shape[1]), values.dtype)
        for start in np.unique(wanted // _BLOCK) * _BLOCK:
            inside = (wanted >= start) & (wanted < start + _BLOCK)
            found[inside] = values[start : start + _BLOCK][wanted[inside] - start]
        return found

    def _rows_of(self, model: str) -> dict[str, int]:
        """Row of each image."""
        if model not in self._rows:
            names = image_ids(self[model].file)
            self._rows[model] = {str(name): row for row, name in enumerate(names)}
        return self._rows[model]


def load_embeddings(models: str | Iterable[str] = "all", data_dir: str | Path | None = None) -> Embeddings:
    """`Embeddings` of models; see there."""
    return Embeddings(models, data_dir)
