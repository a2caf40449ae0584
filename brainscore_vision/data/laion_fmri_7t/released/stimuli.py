"""Everything that is released about the images, by image name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..stimuli.pictures import picture
from ..stimuli.sources import HOW_TO_GET_STIMULI, RELEASED_METADATA, StimulusSource, find_stimuli, read_metadata
from .captions import Captions
from .embeddings import Embeddings
from .folder import StimuliNotDownloadedError, UnknownNameError, data_folder
from .segmentations import Segmentations


class Images:
    """Images by name or number, read when they are asked for; no file stays open.

    Parameters
    ----------
    source : StimulusSource
        Where they are.
    """

    def __init__(self, source: StimulusSource):
        self.source = source

    def names(self) -> list[str]:
        """Image names in the order of the table."""
        return list(self._rows)

    def index_of(self, name: str) -> int:
        """Row of an image; UnknownNameError (a KeyError) if there is none."""
        if name not in self._rows:
            raise UnknownNameError(
                f"{self.source.folder} has {len(self):,} images; {name!r} is none of them. A name has its ending."
            )
        return self._rows[name]

    def __getitem__(self, key: str | int) -> bytes:
        """An image as it is stored, encoded; by name, or by row from 0."""
        if isinstance(key, str):
            key = self.index_of(key)
        elif not isinstance(key, int | np.integer):
            raise TypeError(f"An image is asked for by name or row; got {key!r}, a {type(key).__name__}.")
        if not 0 <= key < len(self):
            raise IndexError(f"Images have rows 0 to {len(self) - 1}; got {key}.")
        return self.source.content(int(key))

    def get(self, key: str | int, *, as_displayed: bool = True) -> Image.Image:
        """An image, decoded.

        Parameters
        ----------
        key : str or int
        as_displayed : bool
            As people saw it, and as models are shown it: RGB with 8 bits a channel, transparent pixels on grey. Otherwise in
            the mode of the file.
        """
        content = self[key]
        if not as_displayed:
            return Image.open(io.BytesIO(content))
        return Image.open(io.BytesIO(picture(content).copy or content)).convert("RGB")

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Name and encoded image of every image, in order."""
        return self.source.contents()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.source.table()["stimulus_id"])}


class Stimuli:
    """All that a data folder has about the images. Parts that are not there are missed when they are asked for.

    Parameters
    ----------
    data_dir : str or Path, optional
        The data folder; without it, that of `folder.get_data_dir`.
    """

    def __init__(self, data_dir: str | Path | None = None):
        self.data_dir = data_folder(data_dir)

    def __enter__(self) -> Stimuli:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that were opened; they are opened again when they are read again."""
        for name in ("embeddings", "segmentations"):
            if name in self.__dict__:
                getattr(self, name).close()

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """One row per image: image_name, dataset, participant, unique_or_shared, n_reps, in the order of the images."""
        path = next((p for p in self._places(RELEASED_METADATA) if p.is_file()), None)
        table = read_metadata(path) if path is not None else self.images.source.table()
        table = table.rename(columns={"stimulus_id": "image_name"}).drop(columns="filename")
        if path is not None and find_stimuli(self.data_dir) is not None:
            names = self.images.names()
            if table["image_name"].tolist() != names and set(table["image_name"]) == set(names):
                table = table.set_index("image_name").loc[names].reset_index()[table.columns]
        return table

    @cached_property
    def images(self) -> Images:
        """The images; StimuliNotDownloadedError if the folder has none."""
        source = find_stimuli(self.data_dir)
        if source is None:
            raise StimuliNotDownloadedError(f"{self.data_dir} has no images. {HOW_TO_GET_STIMULI}")
        return Images(source)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Embeddings of all models that the folder has."""
        return Embeddings("all", self.data_dir)

    @cached_property
    def segmentations(self) -> Segmentations:
        """Masks and nouns of the shared images."""
        return Segmentations(self.data_dir)

    @cached_property
    def captions(self) -> Captions:
        """Captions."""
        return Captions(self.data_dir)

    def __len__(self) -> int:
        return len(self.metadata)

    def _places(self, name: str) -> tuple[Path, ...]:
        return self.data_dir / "stimuli" / name, self.data_dir / name


def load_stimuli(data_dir: str | Path | None = None) -> Stimuli:
    """`Stimuli` of a data folder; see there."""
    return Stimuli(data_dir)
