"""The release's trial tables: which image each volume of the betas belongs to."""

from pathlib import Path

import numpy as np
import pandas as pd

from .. import ids
from ..errors import DatasetError, SchemaError
from ..text_files import read_csv
from .layout import DOWNLOAD_AGAIN

COLUMNS = ("session", "run", "beta_index", "label")


def read_trials(path: Path, session: str) -> pd.DataFrame:
    """A session's trials by the assembly's names, in the order of its volumes; otherwise as `read_trial_table`.

    Returns
    -------
    pandas.DataFrame
        `stimulus_id` (the table's label), `session`, `run`, `beta_index`; one row per volume.
    """
    return read_trial_table(path, session).rename(columns={"label": "stimulus_id"})[
        ["stimulus_id", "session", "run", "beta_index"]
    ]


def read_trial_table(path: Path, session: str) -> pd.DataFrame:
    """A session's trials as the release's table has them, in the order of its volumes.

    Parameters
    ----------
    path : Path
    session : str
        The session that the table must be of.

    Returns
    -------
    pandas.DataFrame
        `session`, `run`, `beta_index`, `label` (the stimulus) and the table's other columns; one row per volume.

    Raises
    ------
    SchemaError
        If the table is broken, of another session, or does not number its volumes 0, 1, 2 ...
    """
    try:
        table = read_csv(path, sep="	", dtype={"session": str, "label": str}, keep_default_na=False)
    except SchemaError as error:
        raise SchemaError(f"A trial table is tab-separated text: {error} {DOWNLOAD_AGAIN}") from error
    fault = _fault(table, session)
    if fault is not None:
        raise SchemaError(f"{path}: {fault}. {DOWNLOAD_AGAIN}")
    return table


def _fault(table: pd.DataFrame, session: str) -> str | None:
    """The first rule that a trial table breaks, and what was found instead."""
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        return (
            f"a trial table has the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}; found: "
            f"{', '.join(table.columns)}"
        )
    for name in ("run", "beta_index"):
        if len(table) and table[name].dtype.kind not in "iu":
            return f"{name} holds integers; found {table[name].iloc[0]!r}"
    others = sorted(set(table["session"]) - {session})
    if others or not len(table):
        found = f"trials of {', '.join(others)}" if others else "no trial"
        return f"the table holds the trials of {session}; found {found}"
    index = table["beta_index"].to_numpy()
    misplaced = np.flatnonzero(index != np.arange(len(table)))
    if len(misplaced):
        first = misplaced[0]
        return f"row i belongs to volume i, so beta_index counts from 0; row {first} has {index[first]}"
    nameless = np.flatnonzero(table["label"] == "")
    if len(nameless):
        return f"every trial has a label; row {nameless[0]} has none"
    return None


def count_repetitions(stimulus_ids: pd.Series) -> np.ndarray:
    """How often each trial's stimulus was shown in earlier trials; (n_trials,) int64 from 0."""
    return stimulus_ids.groupby(stimulus_ids.to_numpy()).cumcount().to_numpy()


def foreign_labels(stimulus_ids: pd.Series, subject: str) -> list[str]:
    """Stimuli that this subject cannot have seen by their name, or whose name is outside the grammar; sorted."""

    def may_have_seen(name: str) -> bool:
        try:
            parsed = ids.parse(name)
        except DatasetError:
            return False
        return parsed.shared or parsed.subject == subject

    return [name for name in sorted(set(stimulus_ids)) if not may_have_seen(name)]
