"""Scores as tables for people and as records for programs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from brainscore_core.metrics import Score
from rich.table import Table


def score_table(scores: Mapping[str, Mapping[str, Score]]) -> Table:
    """A table with a row per benchmark and a column per model; ``scores[model][benchmark]``."""
    table = Table(title="Ceiled score ± standard error")
    benchmarks = list(next(iter(scores.values())))
    table.add_column("benchmark", no_wrap=True, min_width=max(map(len, benchmarks)))
    for model in scores:
        table.add_column(model, justify="right", overflow="fold", min_width=len("0.000 ± 0.000"))
    for benchmark in benchmarks:
        table.add_row(benchmark, *(_cell(row[benchmark]) for row in scores.values()))
    return table


def as_record(benchmark: str, score: Score) -> dict:
    """A Score as plain numbers and strings.

    Returns
    -------
    dict
        ``benchmark``, ``model``, ``score``, ``error`` (None where it cannot be estimated), ``raw``, ``ceiling``,
        ``normalization``, ``normalizations``, ``dataset``, and ``subjects`` or ``folds`` with the same per unit.
    """
    record = {"benchmark": benchmark, "model": score.attrs.get("model_identifier"), **_numbers(score)}
    record["normalization"] = score.attrs.get("normalization", "published")
    record["dataset"] = score.attrs.get("dataset")
    record["subjects"] = {name: _numbers(part) for name, part in _units(score, "raw_subjects").items()}
    record["folds"] = {name: _numbers(part) for name, part in _units(score, "raw_folds").items()}
    return {key: value for key, value in record.items() if value != {}}


def _numbers(score: Score) -> dict:
    error = float(score.attrs["error"])
    numbers = {
        "score": score.item(),
        "error": None if np.isnan(error) else error,
        "raw": score.attrs["raw"].item(),
        "ceiling": score.attrs["ceiling"].item(),
        "normalizations": score.attrs["normalizations"],
    }
    for name in ("alpha", "n_train", "n_test", "n_neuroids", "n_features"):
        if name in score.attrs:
            numbers[name] = score.attrs[name]
    return numbers


def _units(score: Score, key: str) -> dict:
    if key not in score.attrs:
        return {}
    dimension = score.attrs[key].dims[0]
    labels = score.attrs[key][dimension].values.tolist()
    names = [label if isinstance(label, str) else f"{dimension}_{label}" for label in labels]
    return {name: score.attrs[name] for name in names}


def _cell(score: Score) -> str:
    error = float(score.attrs["error"])
    return f"{score.item():.3f}" + ("" if np.isnan(error) else f" ± {error:.3f}")
