"""Captions of the images: five by people of each shared image, three of each unique one, one by an AI of some."""

from __future__ import annotations

import builtins
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..errors import DatasetError, SchemaError
from ..text_files import read_csv
from .features import CAPTIONS, find_released
from .folder import data_folder

SOURCES = ("human", "ai")
COLUMNS = ("image_name", "caption_idx", "source", "caption")


class Captions:
    """Captions by image, from the table in the data folder, read when it is first asked.

    Parameters
    ----------
    data_dir : str or Path, optional

    Raises
    ------
    MissingDataError
        If the folder lacks the table.
    """

    def __init__(self, data_dir: str | Path | None = None):
        self.data_dir = data_folder(data_dir)
        self._path = find_released(CAPTIONS, self.data_dir)

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """One row per caption: image_name, caption_idx, source, caption, origin_collection, participant_id, ai_model.

        `caption_idx` is 0 for the AI's caption; from 1, the people's best is first.
        """
        table = read_csv(self._path, keep_default_na=False)
        missing = [name for name in COLUMNS if name not in table]
        if missing or not set(table["source"]) <= set(SOURCES):
            found = f"missing: {', '.join(missing)}" if missing else f"sources {sorted(set(table['source']))}"
            raise SchemaError(
                f"{self._path}: captions have the columns {', '.join(COLUMNS)}, and sources {' or '.join(SOURCES)}; found "
                f"{found}. Run `laion-score data get --what captions --check`."
            )
        return table

    def __len__(self) -> int:
        return len(self.metadata)

    def __contains__(self, image_name: str) -> bool:
        return image_name in self._by_image

    def images(self) -> builtins.list[str]:
        """Images that have captions, in the table's order."""
        return builtins.list(self._by_image)

    def get(self, image_name: str) -> pd.DataFrame:
        """All captions of an image by caption_idx; no row if it has none."""
        rows = self._by_image.get(image_name, self.metadata.iloc[:0])
        return rows.sort_values("caption_idx").reset_index(drop=True)

    def list(self, image_name: str, source: str | None = None) -> builtins.list[str]:
        """Captions of an image by caption_idx, of one of `SOURCES` or of both."""
        if source not in (None, *SOURCES):
            raise DatasetError(
                f"The source of captions is one of {', '.join(SOURCES)}, or None for all; got {source!r}."
            )
        rows = self.get(image_name)
        return rows["caption"][rows["source"].isin(SOURCES if source is None else [source])].tolist()

    def human(self, image_name: str, limit: int | None = None) -> builtins.list[str]:
        """What people wrote, the best first: all, or at most `limit`."""
        return self.list(image_name, "human")[:limit]

    def ai(self, image_name: str) -> str | None:
        """The AI's caption; None of images that have none, which are the unique and the out-of-distribution ones."""
        return next(iter(self.list(image_name, "ai")), None)

    @cached_property
    def _by_image(self) -> dict[str, pd.DataFrame]:
        return dict(iter(self.metadata.groupby("image_name", sort=False)))
