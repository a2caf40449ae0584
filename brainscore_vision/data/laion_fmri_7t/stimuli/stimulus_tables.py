"""Tables of stimuli: reading them, refusing what cannot be shown, looking file names up."""

from pathlib import Path, PurePath

import pandas as pd

from ..errors import DatasetError, MissingDataError, SchemaError
from ..text_files import read_csv


def check_names(table: pd.DataFrame, path: Path) -> None:
    """Refuse a table of stimuli with repeated ids, or with names that lead out of the image folder."""
    repeated = table["stimulus_id"][table["stimulus_id"].duplicated()]
    if len(repeated):
        raise SchemaError(
            f"{path}: each stimulus has one row; {len(repeated)} rows repeat an id, first: "
            f"{repeated.iloc[0]!r}. Remove the duplicates."
        )
    for stimulus_id, name in zip(table["stimulus_id"], table["filename"], strict=True):
        pure = PurePath(name)
        if not stimulus_id or not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
            raise SchemaError(
                f"{path}: a stimulus has an id and a file name inside the image folder; stimulus "
                f"{stimulus_id!r} has {name!r}. Give file names relative to the image folder, "
                f"without '..'."
            )


def read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """A CSV table whose required columns are text, kept as written (an id may well be spelled NA)."""
    table = read_csv(path, dtype=dict.fromkeys(required, str), keep_default_na=False)
    missing = [name for name in required if name not in table]
    if missing:
        raise SchemaError(
            f"{path}: a table of stimuli has the columns {', '.join(required)}; missing: "
            f"{', '.join(missing)}; found: {', '.join(table.columns)}. Restore the file."
        )
    return table


def names_of(table: pd.DataFrame, stimulus_ids: list[str], path: Path) -> dict[str, str]:
    """File name of each stimulus asked for."""
    if len(set(stimulus_ids)) < len(stimulus_ids):
        repeated = pd.Series(stimulus_ids)[pd.Series(stimulus_ids).duplicated()]
        raise DatasetError(
            f"A stimulus set shows each stimulus once; {len(repeated)} ids were asked for again, first: "
            f"{repeated.iloc[0]!r}. Ask for each once."
        )
    names = dict(zip(table["stimulus_id"], table["filename"], strict=True))
    unknown = [stimulus_id for stimulus_id in stimulus_ids if stimulus_id not in names]
    if unknown:
        raise MissingDataError(
            f"Every stimulus needs an image; {len(unknown)} of {len(stimulus_ids)} are not in "
            f"{path}, first: {', '.join(map(repr, unknown[:3]))}. Use the stimuli and the splits of "
            f"the same dataset."
        )
    return {stimulus_id: names[stimulus_id] for stimulus_id in stimulus_ids}
