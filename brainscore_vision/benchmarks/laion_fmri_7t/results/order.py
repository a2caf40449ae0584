"""The one order of models in tables and reports: by means that gaps do not distort."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from scipy.sparse.csgraph import connected_components


def adjusted_means(values: Mapping[tuple[str, Hashable], float]) -> list[dict[str, float]]:
    """Each model's mean over all columns, where a gap counts as what the other values say of it.

    Parameters
    ----------
    values : mapping of (str, hashable) to float
        By model and column.

    Returns
    -------
    list of dict of str to float
        Models that share columns with each other, directly or by way of others, can be ordered, and are one dict, the best
        first; means of different dicts have nothing in common. The dict with the most models comes first.

    Notes
    -----
    Least squares of value = model + column over the cells that there are (the two-way layout without interaction; Searle,
    Linear Models, 1971, chapter 7). Without gaps these are the plain means over columns.
    """
    if not values:
        return []
    models = list(dict.fromkeys(model for model, _ in values))
    columns = list(dict.fromkeys(column for _, column in values))
    table = np.full((len(models), len(columns)), np.nan)  # n_models, n_columns
    places = {name: index for names in (models, columns) for index, name in enumerate(names)}
    for (model, column), value in values.items():
        table[places[model], places[column]] = value
    known = np.isfinite(table)
    n_groups, group_of = connected_components(known.T.astype(int) @ known, directed=False)
    found = []
    for group in range(n_groups):
        own = group_of == group
        rows = known[:, own].any(axis=1)
        means = _means(table[np.ix_(rows, own)])
        names = [model for model, is_own in zip(models, rows, strict=True) if is_own]
        found.append(dict(sorted(zip(names, means, strict=True), key=lambda item: (-item[1], item[0]))))
    return sorted(found, key=len, reverse=True)


def _means(table: np.ndarray) -> list[float]:
    """Of connected rows of a table with gaps (nan), shape (models, columns)."""
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    number = known.sum(axis=1)
    centred = np.where(known, table - (filled.sum(axis=1) / number)[:, None], 0.0)
    # the models' part is solved for and put in: equations of the columns alone remain, one of which follows from the others
    equations = np.diag(known.sum(axis=0)) - (known / number[:, None]).T @ known
    effects = np.linalg.lstsq(equations, centred.sum(axis=0), rcond=None)[0]
    effects -= effects.mean()
    # rounded: values that are equal stay so, whatever the order of adding
    return np.round(np.where(known, table - effects, 0.0).sum(axis=1) / number, 12).tolist()
