"""Models whose features are looked up in a table: any precomputed features, and the dataset's own embeddings."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state
from brainscore_vision.data.laion_fmri_7t.ids import is_id
from brainscore_vision.data.laion_fmri_7t.released.embeddings import EMBEDDING, IMAGE_IDS
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from .feature_tables import FeatureTable, open_table

NEAR, ALIKE = 0.95, 0.6
"""Similarity of ids: above the first, one may be a misspelling of the other; below the second, they are of other kinds."""


class StimulusFeatureModel(LookupModel):
    """A BrainModel whose answer to a stimulus is its row in a feature table, for any region; it opens no image.

    Parameters
    ----------
    table : FeatureTable
    identifier : str
    missing : {"error", "drop"}
        What to do about stimuli that are needed, but absent or not valid: raise, or leave them out of training and test,
        which the Score says in ``attrs['dropped_stimuli']``.
    """

    def __init__(self, table: FeatureTable, identifier: str, missing: str = "error"):
        super().__init__(missing)
        self._table, self._identifier = table, identifier
        self._renamed: dict[str, str] = {}

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        ids: str | Path | Sequence[str] | None = None,
        key: str | None = None,
        identifier: str | None = None,
        missing: str = "error",
        columns: str | Sequence[str] | None = None,
    ) -> StimulusFeatureModel:
        """A model of the features in a file.

        Parameters
        ----------
        path, ids, key, columns
            As for :func:`.feature_tables.open_table`.
        identifier : str, optional
            The file's name without its ending by default.
        missing : {"error", "drop"}

        Raises
        ------
        TableError
            The file breaks a rule of feature tables.
        """
        return cls(open_table(path, ids, key, columns), identifier or f"features-{Path(path).stem}", missing)

    @classmethod
    def from_arrays(
        cls, features: np.ndarray, ids: Sequence[str], identifier: str, missing: str = "error"
    ) -> StimulusFeatureModel:
        """A model of features in memory: ``features`` of shape (n_stimuli, n_features), one of ``ids`` per row."""
        return cls(FeatureTable.of_arrays(features, ids), identifier, missing)

    @classmethod
    def from_reader(cls, reader, name: str, missing: str = "error") -> StimulusFeatureModel:
        """A model of one space of a reader that ``load_embeddings`` returned, of `released.embeddings` or of laion_fmri.

        The reader says which file; the numbers, and which of them are valid, are read from there.
        """
        features = reader[name]  # an h5py dataset
        return cls.from_file(
            features.file.filename, IMAGE_IDS, EMBEDDING, identifier=f"LAION_fMRI-{name}", missing=missing
        )

    @property
    def table(self) -> FeatureTable:
        """The features, opened but not read."""
        return self._table

    @property
    def identifier(self) -> str:
        return self._identifier

    @property
    def features_version(self) -> str:
        return self.table.version

    @property
    def feature_names(self) -> Sequence[str]:
        return self.table.columns

    def known(self, stimulus_ids: Sequence[str]) -> Collection[str]:
        table = self.table
        rows = table.usable(stimulus_ids)
        self._renamed |= {s: str(table.ids[row]) for s, row in rows.items() if table.ids[row] != s}
        return [stimulus_id for stimulus_id in stimulus_ids if stimulus_id in rows]

    def features_for(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        return self.table.rows(stimulus_ids)

    def notes(self) -> list[str]:
        """How the table was read, what it may be besides, and how many of its ids are not spelled as the dataset's."""
        notes = list(self.table.notes)
        if self.table.is_of_pairs:
            notes.append(
                f"{self.table.name} has a row and a column for each stimulus and is symmetric: if it is a matrix of "
                f"similarities or dissimilarities (an RDM), it is not compared as one, but each row as features of a stimulus."
            )
        if self._renamed:
            stimulus_id, found = min(self._renamed.items())
            notes.append(
                f"{len(self._renamed)} ids of {self.table.name} were matched without folder, image ending, capitals and "
                f"blanks (for example {found!r} for {stimulus_id!r})."
            )
        return notes

    def remedy(self, unknown: Sequence[str]) -> str:
        table = self.table
        rows = table.located(unknown)
        absent = [s for s in unknown if s not in rows]
        invalid = sum(1 for row in rows.values() if not table.valid[row])
        counts = {
            f"absent from {table.name}": len(absent),
            "marked as not valid there": invalid,
            "there with nan or infinity": len(rows) - invalid,
        }
        said = " and ".join(f"{count} are {what}" for what, count in counts.items() if count)
        if absent:
            near = difflib.get_close_matches(absent[0], table.ids.tolist(), n=2, cutoff=NEAR)
            first = str(table.ids[0])
            if near:
                said += f" (nearest to {absent[0]!r}: {', '.join(map(repr, near))})"
            elif difflib.SequenceMatcher(None, first, absent[0]).ratio() < ALIKE:
                said += f" (its ids look like {first!r}, not like {absent[0]!r})"
        return f"{said}. {super().remedy(unknown)}"


def table_model(path: str) -> StimulusFeatureModel:
    """A model of the features in a file: :meth:`StimulusFeatureModel.from_file`, as a function to be named."""
    return StimulusFeatureModel.from_file(path)


class EmbeddingModel(StimulusFeatureModel, DatasetModel):
    """One of the embeddings that the dataset ships, of all its images.

    Parameters
    ----------
    name : str
        One of `embeddings.EMBEDDING_MODELS`.
    dataset : str, Path, Dataset, optional
        Whose embeddings; without it, those of the dataset that is scored on, else of the configured one.
    missing : {"error", "drop"}
    """

    def __init__(self, name: str, dataset=None, missing: str = "error"):
        LookupModel.__init__(self, missing)
        self.name, self._dataset = name, dataset
        self._renamed: dict[str, str] = {}

    def bind(self, dataset) -> EmbeddingModel:
        return self if self._dataset is not None else type(self)(self.name, dataset, self.missing)

    @property
    def identifier(self) -> str:
        return f"LAION_fMRI-{self.name}"

    def known(self, stimulus_ids: Sequence[str]) -> Collection[str]:
        # no file is opened, or missed, for stimuli of another dataset's benchmark
        return super().known(stimulus_ids) if any(map(is_id, stimulus_ids)) else []

    @property
    def table(self) -> FeatureTable:
        """The embeddings as they are on disk now; a file that was replaced is opened again."""
        path = open_dataset(self._dataset).feature_file(self.name)
        return _opened(path, file_state(path))


@lru_cache(maxsize=8)
def _opened(path: Path, state: tuple[int, ...]) -> FeatureTable:
    return FeatureTable.of_embeddings(path)
