"""Tables of models and what is known of them, as people's programs write them: Excel anywhere, R, pandas."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from brainscore_vision.data.laion_fmri_7t.text_files import read_csv

MISSING = ("", "NA", "N/A", "n/a", "nan", "NaN", "NULL", "null", "<NA>")
"""Cells of a table that say nothing; None does: it may be what an untrained network was trained on."""

_DECIMAL_COMMA = re.compile(r"[+-]?(\d+(,\d+)?|,\d+)")
_NO_THOUSANDS = re.compile(r".*,(\d{1,2}|\d{4,})")
"""A comma that is none between thousands, which has three digits behind it."""

_OF_PANDAS = re.compile(r"Unnamed: \d+")
"""What pandas calls a column whose header is empty, such as an index that was written."""


def read_property_table(path: Path, words: Collection[str]) -> pd.DataFrame:
    """A table in CSV whose columns are names of models and properties.

    Parameters
    ----------
    path : Path
    words : collection of str
        Columns that are text, whatever their cells look like; only an empty cell is missing there.

    Returns
    -------
    pandas.DataFrame
        A column of numbers alone is of numbers, with a decimal comma or point; all others are of text. Cells of
        :data:`MISSING` are missing. A column without a name that numbers the rows, as programs write an index, is left out.

    Raises
    ------
    SchemaError
        See :func:`~brainscore_vision.data.laion_fmri_7t.text_files.read_csv`.
    """
    names = read_csv(path, nrows=0, skipinitialspace=True).columns
    missing = {name: [""] if name in words else MISSING for name in names}
    frame = read_csv(
        path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=missing, skipinitialspace=True
    )
    for name in frame.columns.difference([*words]):
        if _OF_PANDAS.fullmatch(name) and frame[name].dtype.kind == "i" and frame[name].is_unique:
            frame = frame.drop(columns=name)
        elif frame[name].dtype == object and _has_decimal_commas(frame[name].dropna()):
            frame[name] = frame[name].str.replace(",", ".").astype(float)
    return frame


def _has_decimal_commas(cells: pd.Series) -> bool:
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    are_numbers = len(texts) == len(cells) and all(map(_DECIMAL_COMMA.fullmatch, texts))
    return are_numbers and any(map(_NO_THOUSANDS.fullmatch, texts))
