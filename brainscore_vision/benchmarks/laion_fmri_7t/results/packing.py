"""A Score as rows and arrays, and back.

A Score of a benchmark is a tree: the mean, under it folds or subjects, under folds their subjects. Each of its nodes is a
:class:`Node`; what can be derived from the nodes below it (the units' values that a mean is of) is not kept twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score
from brainscore_vision.metric_helpers.bootstrap_error import ERROR_KEY

from .errors import ResultsError
from .schema import FOLD, MEAN, SUBJECT

COUNTS = ("n_train", "n_test", "n_neuroids", "n_features", "n_significant_voxels")
NETWORK_FACTS = ("layers", "layer_choice", "model_source", "network_digest", "model_code")
"""What a Score says of the network that was scored; columns of the table ``result``."""
_UNITS = {SUBJECT: "raw_subjects", FOLD: "raw_folds"}
_LABELS = {SUBJECT: str, FOLD: int}
_PARTS = ("raw", "ceiling")
_ELSEWHERE = {"model_identifier", "benchmark_identifier", "dataset", "normalization", "model_revision", *NETWORK_FACTS}
"""Facts of the whole result, which have tables of their own."""


@dataclass(frozen=True)
class Node:
    """One Score of the tree.

    Attributes
    ----------
    level : str
        "mean", "fold" or "subject".
    label : str
        The subject, the fold's number, or "mean".
    columns : dict
        Columns of the table ``score``, by name.
    normalizations : dict of str to float
    children : tuple of Node
    correlations, ceilings : xarray.DataArray with dims (neuroid,), or None
        Per voxel, with the voxels' coordinates.
    p_values : xarray.DataArray with dims (neuroid,), or None
        Of the correlations.
    draws, median_draws : numpy.ndarray of float64, shape (draws,), or None
        Of the score; and of the median correlation that it squares.
    """

    level: str
    label: str
    columns: dict
    normalizations: dict[str, float]
    children: tuple[Node, ...] = ()
    correlations: xr.DataArray | None = None
    ceilings: xr.DataArray | None = None
    p_values: xr.DataArray | None = None
    draws: np.ndarray | None = field(default=None, repr=False)
    median_draws: np.ndarray | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Where the node stands in its parent's attrs."""
        return f"{FOLD}_{self.label}" if self.level == FOLD else self.label

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Node]]:
        """This node and all below it, with their places: "", "sub-01", "fold_0/sub-01" ..."""
        yield "/".join(path), self
        for child in self.children:
            yield from child.walk((*path, child.name))


def pack(score: Score, level: str = MEAN, label: str = MEAN) -> Node:
    """The tree of a Score.

    Raises
    ------
    ResultsError
        Something that the database has no place for, or a number that is none.
    """
    where = label if level != MEAN else "the score"
    missing = [name for name in (*_PARTS, ERROR_KEY, "normalizations") if name not in score.attrs]
    if missing:
        raise ResultsError(
            f"A result is the Score of a benchmark, with raw, ceiling, error and normalizations; {where} lacks "
            f"{', '.join(missing)}. Add what `score_all` or a benchmark of this package returns."
        )
    rest = dict(score.attrs)
    parts = {"": score} | {name: rest.pop(name) for name in _PARTS}
    child_level = next((over for over, key in _UNITS.items() if key in rest), None)
    labels = [] if child_level is None else rest.pop(_UNITS[child_level])[child_level].values.tolist()
    children = [(one, rest.pop(one if child_level == SUBJECT else f"{FOLD}_{one}")) for one in labels]
    columns = {}
    for name, part in parts.items():
        prefix = f"{name}_" if name else ""
        columns[name or "value"] = _finite(part.item(), name or "value", where)
        columns[f"{prefix}error"] = _error(part.attrs[ERROR_KEY], where)
    low, high = (_optional(float, limit) for limit in rest.pop("interval", (None, None)))
    columns.update(interval_low=low, interval_high=high, alpha=_optional(float, rest.pop("alpha", None)))
    columns.update({name: _optional(int, rest.pop(name, None)) for name in COUNTS})
    columns["bootstrap_stimuli"] = rest.pop("bootstrap_stimuli", None)
    normalizations = {k: _finite(v, k, where) for k, v in rest.pop("normalizations").items()}
    draws, median_draws = (_draws(rest.pop(name, None)) for name in ("bootstrap", "bootstrap_median"))
    p_values = rest.pop("p_values", None)
    for known in (ERROR_KEY, *_ELSEWHERE):
        rest.pop(known, None)
    columns["details"] = _details(rest, where)
    per_voxel = {}
    for name in _PARTS:
        own = dict(parts[name].attrs)
        per_voxel[name] = own.pop("raw", None)
        for key in (ERROR_KEY, *_UNITS.values()):
            own.pop(key, None)
        columns[f"{name}_details"] = _details(own, f"{name} of {where}")
    return Node(
        level=level,
        label=str(label),
        columns=columns,
        normalizations=normalizations,
        children=tuple(pack(child, child_level, one) for one, child in children),
        correlations=per_voxel["raw"],
        ceilings=per_voxel["ceiling"],
        p_values=p_values,
        draws=draws,
        median_draws=median_draws,
    )


def without_arrays(node: Node) -> Node:
    """A tree's rows alone."""
    return replace(
        node,
        children=tuple(map(without_arrays, node.children)),
        **dict.fromkeys(("correlations", "ceilings", "p_values", "draws", "median_draws")),
    )


def unpack(node: Node, facts: dict) -> Score:
    """The Score of a tree; ``facts`` are attrs of the mean and of folds, which subjects do not have."""
    children = {_LABELS[child.level](child.label): unpack(child, facts) for child in node.children}
    score = _scalar(node, "value", "error", "details")
    if children:
        score.attrs.update(facts)
    raw, ceiling = (_scalar(node, name, f"{name}_error", f"{name}_details") for name in _PARTS)
    if node.correlations is not None:
        raw.attrs["raw"], ceiling.attrs["raw"] = node.correlations, node.ceilings
    if node.median_draws is not None:
        score.attrs["bootstrap_median"] = xr.DataArray(node.median_draws, dims=["draw"])
    if node.p_values is not None:
        score.attrs["p_values"] = node.p_values
    if children:
        over = node.children[0].level
        for part, of in (
            (score, lambda s: s),
            (raw, lambda s: s.attrs["raw"]),
            (ceiling, lambda s: s.attrs["ceiling"]),
        ):
            values = [of(child).item() for child in children.values()]
            part.attrs[_UNITS[over]] = xr.DataArray(values, dims=[over], coords={over: list(children)})
    score.attrs.update(raw=raw, ceiling=ceiling, normalizations=dict(node.normalizations))
    score.attrs.update({k: node.columns[k] for k in ("alpha", *COUNTS) if node.columns[k] is not None})
    if node.columns["interval_low"] is not None:
        score.attrs["interval"] = node.columns["interval_low"], node.columns["interval_high"]
    if node.draws is not None:
        score.attrs["bootstrap"] = xr.DataArray(node.draws, dims=["draw"])
        score.attrs["bootstrap_stimuli"] = node.columns["bootstrap_stimuli"]
    for child, unit in zip(node.children, children.values(), strict=True):
        score.attrs[child.name] = unit
    return score


def _scalar(node: Node, value: str, error: str, details: str) -> Score:
    score = Score(node.columns[value])
    score.attrs.update(node.columns[details])
    score.attrs[ERROR_KEY] = math.nan if node.columns[error] is None else node.columns[error]
    return score


def _finite(value, name: str, where: str) -> float:
    value = float(value)
    if not math.isfinite(value):
        raise ResultsError(f"A result is a finite number; {name} of {where} is {value}. Nothing was added.")
    return value


def _draws(values: xr.DataArray | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values.values, dtype=float)


def _optional(kind: type, value):
    return None if value is None else kind(value)


def _error(value, where: str) -> float | None:
    """None for an error that is declared not to exist."""
    value = float(value)
    return None if math.isnan(value) else _finite(value, "the error", where)


def _details(attributes: dict, where: str) -> dict:
    return {name: _plain(value, name, where) for name, value in attributes.items()}


def _plain(value, name: str, where: str):
    """A value as JSON can hold it: numpy's numbers become Python's, tuples become lists."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return _finite(value, name, where)
    if isinstance(value, (list, tuple)):
        return [_plain(item, name, where) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, name, where) for key, item in value.items()}
    raise ResultsError(
        f"What a Score says beside its numbers is kept as plain values; {name!r} of {where} holds a "
        f"{type(value).__name__}. Remove it from attrs before adding the Score."
    )
