"""What tables in memory call their rows: numbers beside names of stimuli are those of the names, and not of the places."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import xarray as xr


def row_index(values, names: Sequence[str] = ("stimulus_id",)) -> pd.Index | None:
    """What names the rows of a DataFrame, a Series or an array of xarray's, such as Brain-Score's assemblies; None of others.

    Parameters
    ----------
    values : object
    names : sequence of str
        Coordinates of an xarray that name its rows: the first that is there, else the index of its first dimension.
    """
    if isinstance(values, xr.DataArray) and values.ndim:
        # a level of a multi-index is no entry of coords in older xarray, but can be asked for
        named = (values[key] for key in names if hasattr(values, key))
        found = next((one.values for one in named if one.dims == values.dims[:1]), None)
        return values.indexes.get(values.dims[0]) if found is None else pd.Index(found)
    index = getattr(values, "index", None)
    return index if isinstance(index, pd.Index) else None
