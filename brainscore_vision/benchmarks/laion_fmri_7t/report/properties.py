"""What is known of models beside their scores: family, parameters, training data, accuracy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter

from brainscore_vision.data.laion_fmri_7t.errors import SchemaError

from ..networks.property_table import read_property_table
from ..results import Result, of_two_networks
from .errors import ReportError

MODEL = "model"
"""Column of a file of properties that names the model."""

NAME = "name"
"""Property of results that is the model's name itself."""

Properties = Mapping[str, Mapping[str, float | str]]
"""``properties[model][name]``; what is not known of a model is left out."""

_LARGE = 1e4
"""From here on, numbers are written with a prefix: 25.6 M."""


def read_properties(path: Path) -> dict[str, dict[str, float | str]]:
    """Properties from a CSV file: a column ``model``, and one per property.

    Cells are read as those of a list of models (:func:`~..networks.property_table.read_property_table`).

    Raises
    ------
    ReportError
        No such file, no column ``model``, or a model with two rows.
    """
    try:
        table = read_property_table(path, [MODEL])
    except (OSError, SchemaError) as error:
        raise ReportError(f"--properties names a CSV file with a column {MODEL!r}; {path} is none: {error}") from error
    if MODEL not in table.columns:
        raise ReportError(
            f"A file of properties names models in the column {MODEL!r}; {path} has the columns "
            f"{', '.join(map(str, table.columns))}. Rename one."
        )
    table = table.dropna(subset=[MODEL])
    table[MODEL] = table[MODEL].str.strip()
    twice = table[MODEL][table[MODEL].duplicated()]
    if len(twice):
        raise ReportError(
            f"A file of properties has one row per model; {path} has several of {twice.iloc[0]}. Leave one."
        )
    names = [name for name in table.columns if name != MODEL]
    endless = [name for name in names if table[name].dtype.kind == "f" and np.isinf(table[name]).any()]
    if endless:
        raise ReportError(
            f"A property is text or a finite number; {endless[0]} in {path} has infinity. Leave its cell empty."
        )
    rows = zip(table[MODEL], table[names].itertuples(index=False, name=None), strict=True)
    return {model: {n: v for n, v in zip(names, row, strict=True) if not pd.isna(v)} for model, row in rows}


def of_results(given: Properties, results: list[Result]) -> dict[str, dict[str, float | str]]:
    """Properties by the names that models have in a report: what results hold, and ``given``, which may name a model as it was
    asked for and replaces what results hold."""
    found: dict[str, dict[str, float | str]] = {}
    _check_names(given, results)
    for result in results:
        own = {name: value for name, value in result.properties.items() if name != NAME}
        for name in _names(result):
            own |= given.get(name, {})
        if own:
            found.setdefault(result.model, {}).update(own)
    return found


def _check_names(given: Properties, results: list[Result]) -> None:
    """Refuse a name that several networks have; layers of one network share it."""
    called: dict[str, dict[str, Result]] = defaultdict(dict)
    for result in results:
        for name in _names(result):
            if name in given:
                called[name].setdefault(result.model, result)
    for name, of_name in called.items():
        first, *others = of_name.values()
        if name not in of_name and any(of_two_networks(first, other) for other in others):
            raise ReportError(
                f"A row of properties belongs to one model; {name!r} is the name of {len(of_name)}: {', '.join(of_name)}. Name "
                f"each as it is called here."
            )


def without_model(given: Properties, results: list[Result]) -> list[str]:
    """Names in ``given`` that no result's model has."""
    known = {name for result in results for name in _names(result)}
    return [name for name in given if name not in known]


def _names(result: Result) -> tuple:
    """What a model may be called in a file of properties; the more exact name comes later."""
    listed = result.properties.get(NAME)
    return result.model_source, result.requested_model, result.model_identifier, listed, result.model


def is_number(properties: Properties, name: str) -> bool:
    """Whether every known value of a property is a number, and they are not all the same."""
    values = {own[name] for own in properties.values() if name in own}
    return len(values) > 1 and not any(isinstance(value, str | bool) for value in values)


def value_text(value: float | str) -> str:
    """For people: 76.1, 25.6 M."""
    if isinstance(value, str | bool):
        return str(value)
    return EngFormatter(places=1)(value) if abs(value) >= _LARGE else f"{value:.4g}"
