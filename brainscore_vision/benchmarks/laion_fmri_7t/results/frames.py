"""Results as a table with a row per number, and as arrays."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.metrics import Score

from ..identifiers import IdentifierError, parse
from .errors import ResultsError
from .names import tell_apart
from .packing import COUNTS
from .result import FoldResult, Result, UnitResult
from .schema import FOLD, MEAN, SUBJECT

INTEGERS = ("benchmark_version", *COUNTS, "n_dropped_stimuli", "peak_memory_bytes")
LIMITS = ("low", "high")
PROPERTY = "property_"
"""Names of columns and coordinates with properties of models begin so."""

SOURCE = ("requested_model", "model_source", "model_revision", "network_digest")


def to_dataframe(results: Iterable[Result]) -> pd.DataFrame:
    """A tidy table: a row per mean, fold and subject of each result.

    Returns
    -------
    pandas.DataFrame
        ``level`` says what a row is of: ``mean``, ``fold`` (mean over the subjects of one fold) or ``subject`` (of ``fold``,
        where there are folds). ``score``, ``raw`` and ``ceiling`` are in the units of ``normalization``;
        ``score_<normalization>`` are all of them. ``hides_sign``: a raw score, of this subject or of one below this mean, is
        negative, and the published normalization squares it. ``over_subjects_low`` and ``_high``: 95 % by t over the subjects,
        of each result's mean. What a row does not have is missing: subjects have an interval and no error.
        ``property_<name>`` are what a list of models says of the model.
        ``model`` is its name, with what tells networks of one name apart in brackets (:mod:`.names`).

    Raises
    ------
    ResultsError
        No results, or what is none.
    """
    rows = [row for result in tell_apart(_checked(results)) for row in _rows(result)]
    frame = pd.DataFrame(rows)
    for name in frame.columns.intersection(INTEGERS):
        frame[name] = frame[name].astype("Int64")
    for name in frame.columns[frame.columns.str.startswith(PROPERTY)]:
        frame[name] = of_one_type(frame[name])
    return frame


def _checked(results: Iterable[Result]) -> list[Result]:
    results = [results] if isinstance(results, Score) else list(results)
    wrong = next((one for one in results if not isinstance(one, Result)), None)
    if wrong is not None:
        raise ResultsError(
            f"A table of results is made of those of ResultsDatabase(FILE).results(); received a {type(wrong).__name__}. "
            f"score_to_frame makes one of a Score."
        )
    if not results:
        raise ResultsError(
            "A table of results is made of one result or more; received none. Check the names that results() was asked for: no "
            "result matches, or the file has none yet."
        )
    return results


def of_one_type(column: pd.Series) -> pd.Series:
    """A column as text if it has both numbers and words: a column of Parquet has one type."""
    known = column.dropna()
    if known.map(type).nunique() < 2 or all(type(value) in (int, float) for value in known):
        return column
    return known.map(str).reindex(column.index)


def to_xarray(results: Sequence[Result]) -> xr.Dataset:
    """Arrays over models, benchmarks and subjects.

    Returns
    -------
    xarray.Dataset
        Over (model, benchmark): ``score``, ``error``, ``raw``, ``raw_error``, ``ceiling``, ``ceiling_error``, ``seconds``,
        ``peak_memory_bytes``, ``benchmark_version``, ``n_dropped_stimuli``, ``visual_degrees``, ``hides_sign`` (1: some
        subject's raw score is negative, and the published normalization squares it). Over (model, benchmark, subject):
        ``subject_score``, ``subject_raw``, ``subject_ceiling``, ``alpha``, ``mean_eigenvalue`` (where alpha counts it),
        ``n_train`` ... Besides over ``limit`` (low, high): ``over_subjects``, 95 % by t, and per subject ``interval``, over
        test stimuli. Besides over ``normalization``: ``normalized`` and ``subject_normalized``. Subjects of benchmarks with
        folds are means over folds. nan: there is no such number. ``layers`` and ``dataset_fingerprint`` over (model,
        benchmark): what was scored, and on which data, as text. Along ``model``, the coordinates ``requested_model``,
        ``model_source``, ``model_revision`` and ``network_digest`` say which network it is, as far as that is known, and
        ``property_<name>`` what a list of models says.
        ``attrs['datasets']`` says which data, and whether they are simulated.

    Raises
    ------
    ResultsError
        No results; or several of one model on one benchmark: of several datasets, or earlier ones too.
    """
    results = tell_apart(_checked(results))
    models, benchmarks = _unique(r.model for r in results), _unique(r.benchmark for r in results)
    seen: dict[tuple[str, str], Result] = {}
    for result in results:
        other = seen.setdefault((result.model, result.benchmark), result)
        if other is not result:
            fingerprints = _unique((other.dataset_fingerprint, result.dataset_fingerprint))
            remedy = (
                f"They are of datasets {' and '.join(fingerprints)}: choose one (--dataset)."
                if len(fingerprints) > 1
                else f"They are results {other.id} and {result.id}: choose the latest alone (leave out --all)."
            )
            raise ResultsError(
                f"Arrays have one value per model and benchmark; received several of {result.model} on {result.benchmark}. "
                f"{remedy}"
            )
    subjects = sorted(_unique(name for result in results for name in result.by_subject()))
    # a mean lacks what one of its subjects lacks
    names = _unique(
        name for result in results for one in (result, *result.by_subject().values()) for name in one.normalizations
    )
    coords = {
        "model": models,
        "benchmark": benchmarks,
        "subject": subjects,
        "normalization": names,
        "limit": list(LIMITS),
    }
    arrays: dict[str, xr.DataArray] = {}

    def put(name: str, value, **place) -> None:
        if name not in arrays:
            shape = [len(coords[dimension]) for dimension in place]
            arrays[name] = xr.DataArray(np.full(shape, np.nan), {d: coords[d] for d in place}, list(place))
        if value is not None:
            arrays[name].values[tuple(coords[d].index(label) for d, label in place.items())] = value

    for (model, benchmark), result in seen.items():
        cell = {"model": model, "benchmark": benchmark}
        for name, value in _aggregate(result).items():
            put(name, value, **cell)
        put("hides_sign", result.hides_sign, **cell)
        for limit, value in zip(LIMITS, result.interval_over_subjects or (None, None), strict=True):
            put("over_subjects", value, **cell, limit=limit)
        put("seconds", result.seconds, **cell)
        put("peak_memory_bytes", result.peak_memory_bytes, **cell)
        put("benchmark_version", result.benchmark_version, **cell)
        put("n_dropped_stimuli", result.n_dropped_stimuli, **cell)
        put("visual_degrees", result.visual_degrees, **cell)
        for name, value in result.normalizations.items():
            put("normalized", value, **cell, normalization=name)
        for subject, unit in result.by_subject().items():
            own = {**cell, "subject": subject}
            for name in ("value", "raw", "ceiling"):
                put(f"subject_{'score' if name == 'value' else name}", getattr(unit, name), **own)
            for name in ("alpha", "mean_eigenvalue", *COUNTS):
                put(name, getattr(unit, name), **own)
            for limit, value in zip(LIMITS, unit.interval or (None, None), strict=True):
                put("interval", value, **own, limit=limit)
            for name, value in unit.normalizations.items():
                put("subject_normalized", value, **own, normalization=name)
    for name, attribute in (("layers", "layer"), ("dataset_fingerprint", "dataset_fingerprint")):
        texts = np.full((len(models), len(benchmarks)), "", dtype=object)
        for (model, benchmark), result in seen.items():
            texts[models.index(model), benchmarks.index(benchmark)] = getattr(result, attribute)
        if texts.any():
            arrays[name] = xr.DataArray(texts, {d: coords[d] for d in ("model", "benchmark")}, ["model", "benchmark"])
    sources = {}
    for name in SOURCE:
        known = {result.model: getattr(result, name) for result in results if getattr(result, name) is not None}
        sources[name] = "model", [known.get(model, "") for model in models]
    for name in _unique(name for result in results for name in result.properties):
        known = {result.model: result.properties[name] for result in results if name in result.properties}
        sources[f"{PROPERTY}{name}"] = "model", _values([known.get(model) for model in models])
    dataset = xr.Dataset(arrays, sources, attrs={"datasets": "; ".join(_unique(map(_provenance, results)))})
    for name, unit in (("seconds", "s"), ("peak_memory_bytes", "bytes")):
        if name in dataset:
            dataset[name].attrs["units"] = unit
    return dataset


def _values(values: list) -> list:
    """Numbers with nan where there is none, or texts with empty ones: what netCDF can hold."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return [np.nan if value is None else float(value) for value in values]
    return ["" if value is None else str(value) for value in values]


def _provenance(result: Result) -> str:
    simulated = ", simulated" if result.is_simulated else ""
    return f"{result.dataset.get('name')} ({result.dataset_fingerprint}{simulated})"


def _rows(result: Result) -> list[dict]:
    about = _about(result)
    run = {
        "n_dropped_stimuli": result.n_dropped_stimuli,
        "notes": json.dumps(result.notes, ensure_ascii=False) if result.notes else None,
        "started": result.started.isoformat(),
        "seconds": result.seconds,
        "peak_memory_bytes": result.peak_memory_bytes,
        "machine": result.machine,
        "versions": json.dumps(result.versions, sort_keys=True),
    }

    def row(level: str, numbers: dict, fold: str | None = None, subject: str | None = None) -> dict:
        return {**about, "level": level, "fold": fold, "subject": subject, **_EMPTY, **numbers, **run}

    low, high = result.interval_over_subjects or (None, None)
    over_subjects = {"over_subjects_low": low, "over_subjects_high": high}
    rows = [row(MEAN, _aggregate(result) | over_subjects | _named(result))]
    rows += [row(SUBJECT, _numbers(unit), subject=name) for name, unit in result.subjects.items()]
    for fold, means in result.folds.items():
        rows.append(row(FOLD, _aggregate(means) | _named(means), fold=fold))
        rows += [row(SUBJECT, _numbers(unit), fold=fold, subject=name) for name, unit in means.subjects.items()]
    return rows


_EMPTY = dict.fromkeys(
    (
        "score",
        "error",
        "interval_low",
        "interval_high",
        "over_subjects_low",
        "over_subjects_high",
        "hides_sign",
        "raw",
        "raw_error",
        "ceiling",
        "ceiling_error",
        "alpha",
        "mean_eigenvalue",
        *COUNTS,
    )
)


def _about(result: Result) -> dict:
    about = {
        "result": result.id,
        "model": result.model,
        **{f"{PROPERTY}{name}": value for name, value in result.properties.items()},
        **{name: getattr(result, name) for name in SOURCE},
        "features_digest": result.features_digest,
        "layers": result.layer or None,
        "layer_choice": result.layer_choice,
        "visual_degrees": result.visual_degrees,
        "benchmark": result.benchmark,
        "benchmark_version": result.benchmark_version,
    }
    return {
        **about,
        **_cell(result.benchmark),
        "normalization": result.normalization,
        "dataset": result.dataset.get("name"),
        "dataset_fingerprint": result.dataset_fingerprint,
        "is_simulated": result.is_simulated,
    }


@functools.cache
def _cell(benchmark: str) -> dict[str, str | None]:
    """What a benchmark's identifier says; nothing for names outside the grammar."""
    try:
        cell = parse(benchmark)
    except IdentifierError:
        cell = None
    return {name: getattr(cell, name, None) for name in ("pool", "region", "split", "metric")}


def _aggregate(mean: Result | FoldResult) -> dict:
    names = ("value", "error", "raw", "raw_error", "ceiling", "ceiling_error")
    numbers = {"score" if name == "value" else name: getattr(mean, name) for name in names}
    return numbers | {"hides_sign": mean.hides_sign}


def _numbers(unit: UnitResult) -> dict:
    low, high = unit.interval or (None, None)
    numbers = {"score": unit.value, "raw": unit.raw, "ceiling": unit.ceiling, "alpha": unit.alpha}
    numbers["mean_eigenvalue"] = unit.mean_eigenvalue
    counts = {name: getattr(unit, name) for name in COUNTS}
    return {
        **numbers,
        "interval_low": low,
        "interval_high": high,
        "hides_sign": unit.hides_sign,
        **counts,
        **_named(unit),
    }


def _named(numbers: Result | FoldResult | UnitResult) -> dict:
    return {f"score_{name}": value for name, value in numbers.normalizations.items()}


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
