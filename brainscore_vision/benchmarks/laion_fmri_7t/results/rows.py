"""Rows of the tables from and to what the rest of the package works with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from types import SimpleNamespace

from .facts import RunFacts
from .packing import COUNTS, Node
from .records import Failure, FoldResult, Result, UnitResult
from .tables import FOLD, SUBJECT

_BATCH = 500
"""SQLite bounds how many values one query may name."""


def one_row(table, **values):
    """The row with these values, made if there is none."""
    return table.get_or_none(**values) or table.create(**values)


def add_run(tables: SimpleNamespace, run: RunFacts):
    """A row of ``run``."""
    return tables.Run.create(
        started=run.started.isoformat(),
        seconds=run.seconds,
        peak_memory_bytes=run.peak_memory_bytes,
        machine=run.machine,
        versions=run.versions,
    )


def add_tree(tables: SimpleNamespace, node: Node, result, parent=None, position: int = 0) -> None:
    """Rows of a node and all below it."""
    row = tables.Score.create(
        result=result, parent=parent, level=node.level, label=node.label, position=position, **node.columns
    )
    for name, value in node.normalizations.items():
        tables.Normalization.create(score=row, name=name, value=value)
    for place, child in enumerate(node.children):
        add_tree(tables, child, result, row, place)


def result_rows(tables: SimpleNamespace):
    """Query of results with their run, model, benchmark and dataset, in the order of adding."""
    query = tables.Result.select(tables.Result, tables.Run, tables.Model, tables.Benchmark, tables.Dataset)
    for joined in (tables.Run, tables.Model, tables.Benchmark, tables.Dataset):
        query = query.switch(tables.Result).join(joined)
    return query.order_by(tables.Result.run)


def read_trees(tables: SimpleNamespace, result_ids: Sequence[int]) -> dict[int, Node]:
    """The tree of each result, without arrays."""
    trees: dict[int, Node] = {}
    for start in range(0, len(result_ids), _BATCH):
        trees.update(_read_trees(tables, result_ids[start : start + _BATCH]))
    return trees


def _read_trees(tables: SimpleNamespace, result_ids: Sequence[int]) -> dict[int, Node]:
    rows = list(
        tables.Score.select().where(tables.Score.result.in_(result_ids)).order_by(tables.Score.position).dicts()
    )
    normalizations: dict[int, dict] = {row["id"]: {} for row in rows}
    named = (
        tables.Normalization.select(tables.Normalization.score, tables.Normalization.name, tables.Normalization.value)
        .join(tables.Score)
        .where(tables.Score.result.in_(result_ids))
    )
    for score, name, value in named.tuples():
        normalizations[score][name] = value
    below: dict[int | None, list[dict]] = {}
    for row in rows:
        below.setdefault(row["parent"], []).append(row)

    def node(row: dict) -> Node:
        facts = ("id", "result", "parent", "level", "label", "position")
        return Node(
            level=row["level"],
            label=row["label"],
            columns={name: value for name, value in row.items() if name not in facts},
            normalizations=normalizations[row["id"]],
            children=tuple(node(child) for child in below.get(row["id"], ())),
        )

    return {row["result"]: node(row) for row in below.get(None, ())}


def to_result(row, tree: Node) -> Result:
    """The record of a result, from its row and its tree."""
    return Result(
        id=row.id,
        model=row.model.identifier,
        requested_model=row.model.requested,
        model_revision=row.model.revision or None,
        benchmark=row.benchmark.identifier,
        benchmark_version=row.benchmark.version,
        **_mean(tree),
        normalization=row.normalization,
        dataset=row.dataset.description,
        dataset_fingerprint=row.dataset.fingerprint,
        is_simulated=row.dataset.is_simulated,
        subjects=_units(tree),
        folds={child.name: _fold(child) for child in tree.children if child.level == FOLD},
        **_run(row.run),
        dropped_stimuli=tuple(tree.columns["details"].get("dropped_stimuli", ())),
    )


def to_failure(row) -> Failure:
    """The record of a failure."""
    return Failure(
        id=row.run.id,
        model=row.requested_model,
        model_revision=row.model_revision,
        benchmark=row.benchmark,
        benchmark_version=row.benchmark_version,
        dataset_fingerprint=row.dataset_fingerprint,
        error=row.error,
        traceback=row.traceback,
        **_run(row.run),
    )


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
        interval=None if low is None else (low, high),
        normalizations=dict(node.normalizations),
    )


def _run(run) -> dict:
    return {
        "started": datetime.fromisoformat(run.started),
        "seconds": run.seconds,
        "peak_memory_bytes": run.peak_memory_bytes,
        "machine": run.machine,
        "versions": run.versions,
    }
