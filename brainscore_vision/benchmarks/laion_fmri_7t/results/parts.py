"""Partitions of two models' explained variance in a results file: a row per subject and part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from ..benchmark import VERSION
from ..identifiers import parse
from ..networks.finding import code_revision
from .database import ResultsDatabase
from .entry import without_dataset
from .facts import run_facts
from .rows import add_run, one_row
from .schema import reading, writing

_QUERY = """
SELECT a.identifier AS model_a, b.identifier AS model_b, a.requested AS requested_a, b.requested AS requested_b,
    benchmark.identifier AS benchmark, dataset.fingerprint AS dataset_fingerprint, dataset.is_simulated, parts.subject,
    parts.part, parts.value, parts.interval_low, parts.interval_high, parts.weight, parts.layers_a, parts.layers_b,
    parts.notes, run.started, run.seconds
FROM parts
JOIN run ON parts.run_id = run.id
JOIN benchmark ON parts.benchmark_id = benchmark.id
JOIN dataset ON parts.dataset_id = dataset.id
JOIN model AS a ON parts.model_a_id = a.id
JOIN model AS b ON parts.model_b_id = b.id
ORDER BY parts.id
"""


def add_partitions(
    database: ResultsDatabase, partitions: Iterable[tuple[str, Mapping]], *, models: tuple[str, str], dataset=None
) -> Iterator[tuple[str, Mapping]]:
    """Add each benchmark's partition to a database when it is done.

    Parameters
    ----------
    database : ResultsDatabase
    partitions : iterable of tuple of str and mapping
        As :func:`~..scoring.partition_all` yields them.
    models : tuple of str
        As they were asked for.
    dataset : str, pathlib.Path or Dataset, optional
        That was asked for.

    Yields
    ------
    tuple of str and mapping
        As received, once they are in the database.

    Raises
    ------
    ResultsError
        The database cannot be written, which is found out before anything is fitted.
    """
    database.check_writable()
    revisions = [code_revision(model) or "" for model in models]
    started = datetime.now(UTC)
    for benchmark, parts in partitions:
        facts = open_dataset(parse(benchmark, dataset=dataset).dataset).describe()
        run = run_facts(models[0], started=started, dataset_fingerprint=facts["fingerprint"], benchmark_version=VERSION)
        t = database.tables
        with writing(database.connection):
            database.connection.create_tables([t.Parts])  # a file of an earlier version lacks it
            names = next(iter(parts.values())).models
            first, second = (
                one_row(t.Model, identifier=name, requested=asked, revision=revision)
                for name, asked, revision in zip(names, models, revisions, strict=True)
            )
            of = {
                "run": add_run(t, run),
                "benchmark": one_row(t.Benchmark, identifier=without_dataset(benchmark), version=VERSION),
                "dataset": one_row(
                    t.Dataset,
                    fingerprint=facts["fingerprint"],
                    is_simulated=bool(facts.get("simulated", False)),
                    description=facts,
                ),
                "model_a": first,
                "model_b": second,
            }
            of |= dict(zip(("layers_a", "layers_b"), next(iter(parts.values())).layers, strict=True))
            for subject, one in parts.items():
                for part in PARTS:
                    low, high = one.interval(part)
                    numbers = {"value": one.values[part], "interval_low": low, "interval_high": high}
                    about = {"weight": getattr(one, "weight", None), "notes": list(one.notes) or None}
                    t.Parts.create(**of, subject=subject, part=part, **about, **numbers)
        yield benchmark, parts
        started = datetime.now(UTC)


def read_partitions(database: ResultsDatabase) -> pd.DataFrame:
    """A row per partition, subject (``mean`` among them) and part, in the order of adding; columns as in the README."""
    with reading(database.connection):
        if not database.connection.table_exists("parts"):
            return pd.DataFrame()
        cursor = database.connection.execute_sql(_QUERY)
        found = pd.DataFrame(cursor.fetchall(), columns=[column[0] for column in cursor.description])
        found = found.assign(**{name: found[name].map(_names) for name in ("layers_a", "layers_b")})
        return found.assign(notes=[json.loads(text) if text else [] for text in found["notes"]])


def _names(layers: str | None) -> str | None:
    """A layer, or several joined by commas."""
    names = None if layers is None else json.loads(layers)
    return ", ".join(names) if isinstance(names, list) else names
