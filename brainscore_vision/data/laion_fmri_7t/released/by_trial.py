"""What is released about the images, by a subject's trials: row i of the subject's `metadata` is trial i."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import DatasetError
from .stimuli import Stimuli


class ByTrial:
    """Names of the images that trials show.

    Parameters
    ----------
    trials : pandas.DataFrame
        With `session` and `label`; one row per trial.
    stimuli : Stimuli
    """

    def __init__(self, trials: pd.DataFrame, stimuli: Stimuli):
        self._trials = trials
        self._stimuli = stimuli

    def __len__(self) -> int:
        return len(self._trials)

    def _name(self, trial: int) -> str:
        if not isinstance(trial, int | np.integer):
            raise TypeError(f"A trial is a number, its row in the subject's metadata; got {trial!r}.")
        if not 0 <= trial < len(self):
            raise IndexError(f"The subject has trials 0 to {len(self) - 1}; got {trial}.")
        return self._trials["label"].iloc[trial]

    def _names(self, session: str | None) -> list[str]:
        """Of all trials, or of a session's."""
        if session is None:
            return self._trials["label"].tolist()
        rows = self._trials["label"][self._trials["session"] == session]
        if rows.empty:
            raise DatasetError(
                f"The sessions at hand are {', '.join(self._trials['session'].unique())}; got {session!r}."
            )
        return rows.tolist()


class TrialImages(ByTrial):
    """Images by trial."""

    def get(self, trial: int, *, as_displayed: bool = True) -> Image.Image:
        """The decoded image; as `Images.get`."""
        return self._stimuli.images.get(self._name(trial), as_displayed=as_displayed)

    def __getitem__(self, trial: int) -> bytes:
        """The encoded image."""
        return self._stimuli.images[self._name(trial)]

    def all(self, session: str | None = None) -> Iterator[Image.Image]:
        """Decoded images of all trials in order, or of a session's, one at a time."""
        return (self._stimuli.images.get(name) for name in self._names(session))

    def array(self, session: str | None = None) -> np.ndarray:
        """The same as one array; (n_trials, height, width, 3) uint8."""
        return np.stack([np.asarray(image) for image in self.all(session)])


class TrialEmbeddings(ByTrial):
    """Embeddings by trial."""

    @property
    def models(self) -> list[str]:
        """Models whose embeddings are at hand."""
        return self._stimuli.embeddings.models

    def get(self, model: str, trial: int | Sequence[int]) -> np.ndarray:
        """Embedding of one trial's image, (n_features,), or of several, (n, n_features)."""
        if np.ndim(trial) == 0:
            return self._stimuli.embeddings.get(model, self._name(trial))
        return self._stimuli.embeddings.get(model, [self._name(one) for one in trial])

    def all(self, model: str, session: str | None = None) -> np.ndarray:
        """Embeddings of all trials in order, or of a session's: rows are those of the betas; (n_trials, n_features)."""
        return self._stimuli.embeddings.get(model, self._names(session))


class TrialSegmentations(ByTrial):
    """Nouns and masks by trial; trials of unique images have none."""

    def has_image(self, trial: int) -> bool:
        """As `Segmentations.has_image`."""
        return self._stimuli.segmentations.has_image(self._name(trial))

    def nouns(self, trial: int, localized_only: bool = True) -> list[str]:
        """As `Segmentations.nouns`."""
        return self._stimuli.segmentations.nouns(self._name(trial), localized_only)

    def for_image(self, trial: int) -> pd.DataFrame:
        """As `Segmentations.for_image`."""
        return self._stimuli.segmentations.for_image(self._name(trial))

    def get(self, trial: int, noun: str, instance: int = 0) -> np.ndarray:
        """As `Segmentations.get`."""
        return self._stimuli.segmentations.get(self._name(trial), noun, instance)


class TrialCaptions(ByTrial):
    """Captions by trial."""

    def get(self, trial: int) -> pd.DataFrame:
        """As `Captions.get`."""
        return self._stimuli.captions.get(self._name(trial))

    def list(self, trial: int, source: str | None = None) -> list[str]:
        """As `Captions.list`."""
        return self._stimuli.captions.list(self._name(trial), source)

    def human(self, trial: int, limit: int | None = None) -> list[str]:
        """As `Captions.human`."""
        return self._stimuli.captions.human(self._name(trial), limit)

    def ai(self, trial: int) -> str | None:
        """As `Captions.ai`."""
        return self._stimuli.captions.ai(self._name(trial))
