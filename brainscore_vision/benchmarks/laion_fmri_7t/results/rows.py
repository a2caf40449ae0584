"""Rows of the tables from and to what the rest of the package works with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

import peewee

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import t_factor

from .facts import RunFacts
from .packing import COUNTS, Node
from .result import Failure, FoldResult, Result, Summary, UnitResult
from .schema import FOLD, PROPERTY, SUBJECT

_BATCH = 500
"""SQLite bounds how many values one query may name."""

_JSON = ("details", "raw_details", "ceiling_details")


def one_row(table, **values) -> int:
    """Id of the row with these values, made if there is none."""
    own = _stored(table, values)
    wanted = " AND ".join(f"{name} = ?" for name in own)
    query = f'SELECT id FROM "{table._meta.table_name}" WHERE {wanted}'
    found = table._meta.database.execute_sql(query, list(own.values())).fetchone()
    return add_rows(table, values) if found is None else found[0]


def add_run(tables: SimpleNamespace, run: RunFacts) -> int:
    """Id of a new row of ``run``."""
    facts = {name: getattr(run, name) for name in ("seconds", "peak_memory_bytes", "machine", "versions")}
    return add_rows(tables.Run, {"started": run.started.isoformat(), **facts})


def add_tree(tables: SimpleNamespace, node: Node, result: int, parent: int | None = None, position: int = 0) -> None:
    """Rows of a node and all below it."""
    own = {"result": result, "parent": parent, "level": node.level, "label": node.label, "position": position}
    score = add_rows(tables.Score, own | node.columns)
    if node.normalizations:
        named = ({"score": score, "name": name, "value": value} for name, value in node.normalizations.items())
        add_rows(tables.Normalization, *named)
    for place, child in enumerate(node.children):
        add_tree(tables, child, result, score, place)


def add_rows(table, *rows: Mapping) -> int:
    """Add rows of one kind; returns the id of the last. By plain SQL: peewee takes longer to make it than SQLite to do it."""
    stored = [_stored(table, row) for row in rows]
    places = ", ".join([f"({', '.join('?' * len(stored[0]))})"] * len(rows))
    query = f'INSERT INTO "{table._meta.table_name}" ({", ".join(stored[0])}) VALUES {places}'
    return table._meta.database.execute_sql(query, [value for row in stored for value in row.values()]).lastrowid


def _stored(table, values: Mapping) -> dict:
    """Values by column, as the file holds them."""
    fields = table._meta.fields
    return {fields[name].column_name: fields[name].db_value(value) for name, value in values.items()}


@dataclass(frozen=True)
class Names:
    """The rows of the small tables that results refer to, by id: ``models``, ``benchmarks``, ``datasets``.

    ``properties`` are those of ``models``.
    """

    models: dict[int, object]
    benchmarks: dict[int, object]
    datasets: dict[int, object]
    properties: dict[int, dict] = field(default_factory=dict)


def read_names(tables: SimpleNamespace) -> Names:
    """All models with their properties, benchmarks and datasets."""
    database, of_request = tables.Model._meta.database, {}
    if database.table_exists(PROPERTY):
        for requested, name, text in database.execute_sql(f"SELECT requested, name, value FROM {PROPERTY}"):
            of_request.setdefault(requested, {})[name] = json.loads(text)
    small = (tables.Model, tables.Benchmark, tables.Dataset)
    models, *others = ({row.id: row for row in table.select().namedtuples()} for table in small)
    properties = {number: row.properties or of_request.get(row.requested, {}) for number, row in models.items()}
    return Names(models, *others, properties)


class ResultRow(NamedTuple):
    """A row of ``result``; other rows are named by their ids."""

    id: int
    run: int
    model: int
    benchmark: int
    dataset: int
    benchmark_as_scored: str
    normalization: str
    voxel_file: str | None
    layers: str | None  # as JSON: few texts, many rows
    layer_choice: str | None
    model_source: str | None
    network_digest: str | None
    model_code: str | None


def result_rows(tables: SimpleNamespace, **ids: Collection[int]) -> list[ResultRow]:
    """Rows of ``result`` in the order of adding; ``id``, ``model`` and ``benchmark`` say which, none of them: all."""
    query = tables.Result.select(*(getattr(tables.Result, name) for name in ResultRow._fields))
    for name, wanted in ids.items():
        # as one value, since SQLite bounds how many there may be
        some = peewee.SQL("(SELECT value FROM json_each(?))", [json.dumps(list(wanted))])
        query = query.where(getattr(tables.Result, name).in_(some))
    return list(map(ResultRow._make, _raw(query.order_by(tables.Result.run))))


def layers_of() -> Callable[[ResultRow], dict[str, str | list[str]]]:
    """A function that gives a row's layers; rows with the same ones share the dictionary."""
    parsed = cache(json.loads)
    return lambda row: {} if row.layers is None else parsed(row.layers)


def read_results(tables: SimpleNamespace, rows: Sequence[ResultRow], names: Names) -> list[Result]:
    """Results of rows, in their order."""
    results: list[Result] = []
    layers = layers_of()
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        trees = read_trees(tables, [row.id for row in some])
        query = tables.Run.select().where(tables.Run.id.in_([row.run for row in some]))
        runs = {run["id"]: _run(run) for run in query.dicts()}
        results += [_result(row, layers(row), names, trees[row.id], runs[row.run]) for row in some]
    return results


_MEANS = """
SELECT result_id, value, error, raw, raw_error, ceiling, ceiling_error, json_extract(details, '$.network_digest'),
    COALESCE(json_array_length(details, '$.notes'), 0), COALESCE(json_array_length(details, '$.dropped_stimuli'), 0),
    json_extract(details, '$.visual_degrees')
FROM score WHERE level = 'mean' {which}
"""
_HIDE_SIGN = "SELECT DISTINCT result_id FROM score WHERE level = 'subject' AND raw < 0 AND value > 0 {which}"
_SUBJECTS = """
SELECT result_id, COUNT(*), AVG(value), SUM(value * value) FROM (
    SELECT result_id, AVG(value) AS value FROM score WHERE level = 'subject' {which} GROUP BY result_id, label
) GROUP BY result_id
"""
"""A subject's value is the mean over its folds."""


def read_summaries(tables: SimpleNamespace, rows: Sequence[ResultRow], names: Names, intervals: bool) -> list[Summary]:
    """Summaries of rows, in their order, with the models' own identifiers; ``intervals`` over subjects take time."""
    few = [row.id for row in rows] if len(rows) <= _BATCH else []
    which = f"AND result_id IN ({', '.join('?' * len(few))})" if few else ""

    def by_id(query: str, values: Sequence = ()) -> dict[int, tuple]:
        found = tables.Result._meta.database.execute_sql(query, values).fetchall()
        return {row[0]: row for row in found}

    means, hide_sign = (by_id(query.format(which=which), few) for query in (_MEANS, _HIDE_SIGN))
    subjects = by_id(_SUBJECTS.format(which=which), few) if intervals else {}
    runs = by_id("SELECT id, started, seconds, peak_memory_bytes FROM run")
    layers, factor = layers_of(), cache(lambda n: t_factor(n) / math.sqrt(n * (n - 1)))

    def summary(row: ResultRow) -> Summary:
        model, benchmark, dataset = (
            names.models[row.model],
            names.benchmarks[row.benchmark],
            names.datasets[row.dataset],
        )
        _, *numbers, digest, n_notes, n_dropped, degrees = means[row.id]
        _, n, mean, squares = subjects.get(row.id, (row.id, 0, 0.0, 0.0))
        interval = None
        if n > 1:
            half = factor(n) * math.sqrt(max(0.0, squares - n * mean * mean))
            interval = mean - half, mean + half
        _, started, seconds, peak = runs[row.run]
        return Summary(
            row.id,
            model.identifier,
            model.identifier,
            model.requested,
            model.revision or None,
            row.model_source,
            row.network_digest or digest,  # version 1 keeps it among the details
            layers(row),
            row.layer_choice,
            benchmark.identifier,
            benchmark.version,
            *numbers,
            row.id in hide_sign,
            interval,
            row.normalization,
            dataset.description,
            dataset.fingerprint,
            dataset.is_simulated,
            datetime.fromisoformat(started),
            seconds,
            peak,
            n_notes,
            n_dropped,
            degrees,
            row.model_code,
            names.properties[row.model],
        )

    return [summary(row) for row in rows]


def read_trees(tables: SimpleNamespace, result_ids: Sequence[int]) -> dict[int, Node]:
    """The tree of each result, without arrays; at most 500 at once."""
    query = tables.Score.select().where(tables.Score.result.in_(result_ids)).order_by(tables.Score.position)
    fields = tables.Score._meta.sorted_field_names
    rows = [dict(zip(fields, row, strict=True)) for row in _raw(query)]
    normalizations: dict[int, dict] = {row["id"]: {} for row in rows}
    query = (
        tables.Normalization.select(tables.Normalization.score, tables.Normalization.name, tables.Normalization.value)
        .join(tables.Score)
        .where(tables.Score.result.in_(result_ids))
    )
    for score, name, value in _raw(query):
        normalizations[score][name] = value
    below: dict[int | None, list[dict]] = {}
    for row in rows:
        below.setdefault(row["parent"], []).append(row)

    def node(row: dict) -> Node:
        for name in _JSON:
            row[name] = {} if row[name] == "{}" else json.loads(row[name])
        return Node(
            level=row["level"],
            label=row["label"],
            columns=row,
            normalizations=normalizations[row["id"]],
            children=tuple(node(child) for child in below.get(row["id"], ())),
        )

    return {row["result"]: node(row) for row in below.get(None, ())}


def _raw(query) -> list[tuple]:
    """Rows as SQLite gives them: peewee's conversion of each value takes longer than all else of a long list."""
    return query.model._meta.database.execute_sql(*query.sql()).fetchall()


def _result(row: ResultRow, layers: dict, names: Names, tree: Node, run: dict) -> Result:
    model, benchmark, dataset = names.models[row.model], names.benchmarks[row.benchmark], names.datasets[row.dataset]
    details = tree.columns["details"]
    return Result(
        id=row.id,
        model=model.identifier,
        model_identifier=model.identifier,
        requested_model=model.requested,
        model_revision=model.revision or None,
        model_source=row.model_source,
        layers=layers,
        layer_choice=row.layer_choice,
        network_digest=row.network_digest or details.get("network_digest"),  # version 1 keeps it among the details
        features_digest=details.get("features_digest"),
        visual_degrees=details.get("visual_degrees"),
        model_code=row.model_code,
        properties=names.properties[row.model],
        benchmark=benchmark.identifier,
        benchmark_version=benchmark.version,
        **_mean(tree),
        normalization=row.normalization,
        dataset=dataset.description,
        dataset_fingerprint=dataset.fingerprint,
        is_simulated=dataset.is_simulated,
        subjects=_units(tree),
        folds={child.name: _fold(child) for child in tree.children if child.level == FOLD},
        **run,
        dropped_stimuli=tuple(details.get("dropped_stimuli", ())),
        notes=tuple(details.get("notes", ())),
    )


def newest(found: Iterable[tuple[int, Hashable, Hashable, tuple]]) -> set[int]:
    """Ids of results, in the order of adding, that no newer one of their cell takes the place of.

    Of each result, its id, its cell, the revision of its model, and the layers and :func:`unversioned` of each model in it.
    Another revision is a new version of the model, whose results replace all. Of one revision, other layers are another choice,
    unless it is not known which layers they are. So are other weights where no revision says that one follows the other.
    """
    kept: dict[Hashable, dict[tuple, tuple[Hashable, int]]] = {}
    for number, cell, revision, layers in found:
        of_cell = kept.setdefault(cell, {})
        for known, (other, _) in list(of_cell.items()):
            is_choice = any(None not in pair and pair[0] != pair[1] for pair in zip(known, layers, strict=True))
            if other != revision or not is_choice:
                del of_cell[known]
        of_cell[layers] = revision, number
    return {number for of_cell in kept.values() for _, number in of_cell.values()}


def unversioned(revision: str, digest: str | None) -> str | None:
    """What tells networks of one name apart that have no revision: objects made in Python, say."""
    return None if revision else digest


def read_failures(tables: SimpleNamespace) -> list[Failure]:
    """All failures, in the order of adding."""
    rows = tables.Failure.select(tables.Failure, tables.Run).join(tables.Run).order_by(tables.Failure.run).dicts()
    kept = ("model_revision", "benchmark", "benchmark_version", "dataset_fingerprint", "error", "traceback")
    return [
        Failure(id=row["run"], model=row["requested_model"], **{name: row[name] for name in kept}, **_run(row))
        for row in rows
    ]


def latest_failures(failures: Iterable[Failure], successes: Iterable[tuple[int, str, str, str]]) -> list[Failure]:
    """Failures that were the last attempt; ``successes`` are (run, requested model, benchmark, fingerprint)."""
    last = {(f.model, f.benchmark, f.dataset_fingerprint): f for f in failures}
    past: dict[tuple, int] = {}
    for run, model, benchmark, fingerprint in successes:
        for name in (benchmark, None):  # a model that was scored on anything could be made
            for data in (fingerprint, ""):
                past[model, name, data] = max(run, past.get((model, name, data), 0))
    current = (failure for key, failure in last.items() if past.get(key, 0) < failure.id)
    return sorted(current, key=lambda failure: failure.id)


def _mean(tree: Node) -> dict:
    names = ("value", "error", "raw", "raw_error", "ceiling", "ceiling_error")
    return {name: tree.columns[name] for name in names} | {"normalizations": dict(tree.normalizations)}


def _fold(tree: Node) -> FoldResult:
    return FoldResult(**_mean(tree), subjects=_units(tree))


def _units(tree: Node) -> dict[str, UnitResult]:
    return {child.name: _unit(child) for child in tree.children if child.level == SUBJECT}


def _unit(node: Node) -> UnitResult:
    low, high = node.columns["interval_low"], node.columns["interval_high"]
    return UnitResult(
        **{name: node.columns[name] for name in ("value", "raw", "ceiling", "alpha", *COUNTS)},
        mean_eigenvalue=node.columns["details"].get("mean_eigenvalue"),
        interval=None if low is None else (low, high),
        normalizations=dict(node.normalizations),
    )


def _run(row: dict) -> dict:
    kept = {name: row[name] for name in ("seconds", "peak_memory_bytes", "machine", "versions")}
    return {**kept, "started": datetime.fromisoformat(row["started"])}
