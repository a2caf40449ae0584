"""The release's trial tables: which image each volume of the betas belongs to."""

from pathlib import Path

import numpy as np
import pandas as pd

from .. import ids
from ..errors import DatasetError, SchemaError
from ..text_files import read_csv

COLUMNS = ("session", "run", "beta_index", "label")
_DOWNLOAD_AGAIN = "Delete the file and download it again: `laion-fmri download`."


def read_trials(path: Path, session: str) -> pd.DataFrame:
    """A session's trials, in the order of its volumes.

    Parameters
    ----------
    path : Path
    session : str
        Which session the table has to be of.

    Returns
    -------
    pandas.DataFrame
        `stimulus_id` (the table's label), `session`, `run`, `beta_index`; one row per volume.

    Raises
    ------
    SchemaError
        If the table is broken, of another session, or does not number its volumes 0, 1, 2 ...
    """
    try:
        table = read_csv(path, sep="\t", dtype={"session": str, "label": str}, keep_default_na=False)
    except SchemaError as error:
        raise SchemaError(f"A trial table is tab-separated text: {error} {_DOWNLOAD_AGAIN}") from error
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise SchemaError(
            f"{path}: a trial table has the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}; found: "
            f"{', '.join(table.columns)}. {_DOWNLOAD_AGAIN}"
        )
    for name in ("run", "beta_index"):
        if len(table) and table[name].dtype.kind not in "iu":
            raise SchemaError(f"{path}: {name} holds integers; found {table[name].iloc[0]!r}. {_DOWNLOAD_AGAIN}")
    others = sorted(set(table["session"]) - {session})
    if others or not len(table):
        found = f"trials of {', '.join(others)}" if others else "no trial"
        raise SchemaError(f"{path}: the table holds the trials of {session}; found {found}. {_DOWNLOAD_AGAIN}")
    index = table["beta_index"].to_numpy()
    if not np.array_equal(index, np.arange(len(table))):
        first = int(np.flatnonzero(index != np.arange(len(table)))[0])
        raise SchemaError(
            f"{path}: row i belongs to volume i, so beta_index counts from 0; row {first} has {index[first]}. "
            f"{_DOWNLOAD_AGAIN}"
        )
    nameless = (table["label"] == "").to_numpy()
    if nameless.any():
        raise SchemaError(
            f"{path}: every trial has a label; row {np.flatnonzero(nameless)[0]} has none. {_DOWNLOAD_AGAIN}"
        )
    return table.rename(columns={"label": "stimulus_id"})[["stimulus_id", "session", "run", "beta_index"]]


def count_repetitions(stimulus_ids: pd.Series) -> np.ndarray:
    """How often the stimulus was shown before, for trials in order; (n_trials,) int64 from 0."""
    return stimulus_ids.groupby(stimulus_ids.to_numpy()).cumcount().to_numpy()


def foreign_labels(stimulus_ids: pd.Series, subject: str) -> list[str]:
    """Stimuli that this subject cannot have seen by their name, or whose name is outside the grammar; sorted."""
    return [name for name in sorted(set(stimulus_ids)) if not _may_have_seen(name, subject)]


def _may_have_seen(name: str, subject: str) -> bool:
    try:
        parsed = ids.parse(name)
    except DatasetError:
        return False
    return parsed.shared or parsed.subject == subject
