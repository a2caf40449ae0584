"""Scores as tables for people and as JSON objects for programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from brainscore_core.metrics import Score
from rich.table import Table
from rich.text import Text

from ..results import layers_text
from .tables import SIGN_HIDDEN, plain_console, value

_MEANINGS = {
    "published": "of each subject raw² / ceiling (ridge; raw is the median correlation over voxels) or raw / ceiling "
    "(rdm-pearson, cka)",
    "explained_variance": "explained variance of each subject's voxels as a fraction of what noise leaves; the brain's own "
    "true signal scores 1",
    "correlation": "correlation of each subject's voxels over what noise leaves; the brain's own true signal scores 1",
    "reliability": "similarity to each subject's responses over their own reliability; the brain's own true signal scores 1",
}
"""What a ceiled score is, for a line below its table."""


def score_table(scores: Mapping[str, Mapping[str, Score]], benchmarks: Sequence[str] | None = None) -> Table:
    """A table with a row per benchmark and a column per model; ``scores[model][benchmark]``, a dash where it is not."""
    table = Table(title="Ceiled score ± standard error")
    benchmarks = list(next(iter(scores.values()))) if benchmarks is None else list(benchmarks)
    table.add_column("benchmark", no_wrap=True, min_width=max(map(len, benchmarks)))
    for model in scores:
        table.add_column(Text(model), justify="right", overflow="fold", min_width=len("0.000 ± 0.000"))
    for benchmark in benchmarks:
        table.add_row(Text(benchmark), *(_cell(row[benchmark]) if benchmark in row else "–" for row in scores.values()))
    return table


def print_scores(scores: Mapping[str, Mapping[str, Score]]) -> None:
    """Print :func:`score_table`, as several tables where the terminal is too narrow for one.

    The first model has all benchmarks; where another lacks one, its column has a dash.
    """
    console = plain_console()
    if not console.is_terminal:  # nobody's window is too narrow
        console.width = 300
    models, benchmarks = list(scores), list(next(iter(scores.values())))
    room = console.width - max(map(len, benchmarks)) - len("│  │")
    fitting = max(1, room // len(" 0.000 ± 0.000 │"))
    for start in range(0, len(models), fitting):
        some = models[start : start + fitting]
        console.print(score_table({model: scores[model] for model in some}, benchmarks), soft_wrap=True)
    if any(hides_sign(score) for row in scores.values() for score in row.values()):
        console.print(Text(SIGN_HIDDEN), soft_wrap=True)
    for name in dict.fromkeys(
        score.attrs.get("normalization", "published") for row in scores.values() for score in row.values()
    ):
        console.print(Text(f"{name.capitalize()}: {_MEANINGS[name]}."), soft_wrap=True)
    console.print(Text("Each is the mean over subjects or folds. --json has them, and 95 % intervals."), soft_wrap=True)
    for model, row in scores.items():
        layers = _scored_layers(row)
        if layers:
            console.print(Text(f"Layers of {model}: {layers}"), soft_wrap=True)
        for text, names in _by_text(row, lambda score: score.attrs.get("layers_chosen")).items():
            where = "" if len(names) == len(row) else f" ({', '.join(names)})"
            console.print(Text(f"Chosen {text}{where}"), soft_wrap=True)
        for line in left_out(model, {name: score.attrs.get("dropped_stimuli", ()) for name, score in row.items()}):
            console.print(Text(line), soft_wrap=True)
        for note in _notes(row.values()):
            console.print(Text(f"Note on {model}: {note}"), soft_wrap=True)


def layers_by_region(layers: Mapping[str, str | Sequence[str]]) -> str:
    """Layers as text, each with its region."""
    return ", ".join(f"{region}={layers_text({region: names})}" for region, names in layers.items())


def _by_text(row: Mapping[str, Score], text_of: Callable[[Score], str | None]) -> dict[str, list[str]]:
    """Benchmarks by what a text says of their scores; without those of which it says nothing."""
    found: dict[str, list[str]] = {}
    for name, score in row.items():
        text = text_of(score)
        if text:
            found.setdefault(text, []).append(name)
    return found


def _scored_layers(row: Mapping[str, Score]) -> str:
    """Layers as text; where benchmarks of a region have different ones (chosen for each), with the benchmarks."""
    said = []
    for region in dict.fromkeys(region for score in row.values() for region in score.attrs.get("layers", {})):
        choices = _by_text(row, lambda s, r=region: layers_by_region({r: s.attrs["layers"][r]} if _has(s, r) else {}))
        said += [text if len(choices) == 1 else f"{text} ({', '.join(names)})" for text, names in choices.items()]
    return ", ".join(said)


def _has(score: Score, region: str) -> bool:
    return region in score.attrs.get("layers", {})


def _notes(scores: Iterable[Score]) -> list[str]:
    def subjects(score: Score) -> list[str]:
        return score.attrs["raw_subjects"]["subject"].values.tolist() if "raw_subjects" in score.attrs else []

    return gathered_notes((subjects(score), score.attrs.get("notes", ())) for score in scores)


def gathered_notes(said: Iterable[tuple[Sequence[str], Iterable[str]]]) -> list[str]:
    """Notes once each; those that differ in the subject alone are one, with all of their subjects.

    Parameters
    ----------
    said : iterable of tuple of (sequence of str, iterable of str)
        Subjects, and notes that may name one of them.
    """
    gathered: dict[tuple[str, ...], list[str]] = {}
    for subjects, notes in said:
        for note in notes:
            named = [subject for subject in subjects if note.count(subject) == 1]
            key = tuple(note.split(named[0])) if len(named) == 1 else (note,)
            found = gathered.setdefault(key, [])
            found += [subject for subject in named if len(named) == 1 and subject not in found]
    return [", ".join(subjects).join(key) for key, subjects in gathered.items()]


def left_out(models: str, dropped: Mapping[str, Collection[str]]) -> list[str]:
    """A line on stimuli of each benchmark that were left out, if any were: one number where it is the same for all."""
    counts = {name: len(stimuli) for name, stimuli in dropped.items()}
    if not any(counts.values()):
        return []
    said = "stimuli " + ", ".join(f"{count} of {name}" for name, count in counts.items() if count)
    if len(set(counts.values())) == 1:
        said = f"{next(iter(counts.values()))} stimuli"
    return [f"Left out for lack of features in {models}: {said} (--json names them)"]


def as_row(benchmark: str, score: Score) -> dict:
    """A Score as plain numbers and strings.

    Returns
    -------
    dict
        ``benchmark``, ``model``, ``score``, ``error`` (None where it cannot be estimated), ``raw``, ``ceiling``,
        ``hides_sign`` (the raw score of one or more subjects is negative, and the published normalization squares it),
        ``normalization``, ``normalizations``, ``dataset``, where there are such ``interval_over_subjects`` (95 % by t),
        ``layers``, ``layer_choice``, ``model_source``, ``network_digest``, ``features_digest``, ``dropped_stimuli`` and
        ``notes``, and ``subjects`` or ``folds`` with the same numbers per unit.
    """
    row = {"benchmark": benchmark, "model": score.attrs.get("model_identifier"), **_numbers(score)}
    row["normalization"] = score.attrs.get("normalization", "published")
    row["dataset"] = score.attrs.get("dataset")
    network = "layers", "layer_choice", "model_source", "network_digest", "features_digest"
    for name in (*network, "dropped_stimuli", "notes"):
        if name in score.attrs:
            row[name] = score.attrs[name]
    row["subjects"] = {name: _numbers(part) for name, part in _units(score, "raw_subjects").items()}
    row["folds"] = {name: _numbers(part) for name, part in _units(score, "raw_folds").items()}
    return {key: value for key, value in row.items() if value != {}}


def hides_sign(score: Score) -> bool:
    """Whether a negative raw score of some subject was squared to a positive one."""
    units = {**_units(score, "raw_subjects"), **_units(score, "raw_folds")}
    if units:
        return any(hides_sign(unit) for unit in units.values())
    return bool(score.attrs["raw"].item() < 0 < score.item())


def _numbers(score: Score) -> dict:
    error = float(score.attrs["error"])
    numbers = {
        "score": score.item(),
        "error": None if np.isnan(error) else error,
        "raw": score.attrs["raw"].item(),
        "ceiling": score.attrs["ceiling"].item(),
        "hides_sign": hides_sign(score),
        "normalizations": score.attrs["normalizations"],
    }
    counts = ("n_train", "n_test", "n_stimulus_groups", "n_neuroids", "n_significant_voxels", "n_features")
    for name in ("interval", "interval_over_subjects", "alpha", "mean_eigenvalue", *counts):
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
    return value(score.item(), None if np.isnan(error) else error, hides_sign(score))
