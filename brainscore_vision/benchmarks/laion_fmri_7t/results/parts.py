"""Partitions of two models' explained variance in a results file: a row per subject and part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from ..benchmark import VERSION
from ..identifiers import parse
from ..networks.finding import code_revision
from .database import ResultsDatabase
from .entry import without_dataset
from .facts import run_facts
from .names import names_of
from .rows import add_run, newest, one_row, read_names, unversioned
from .schema import reading, writing

_QUERY = """
SELECT parts.run_id, parts.model_a_id, parts.model_b_id, a.identifier AS model_a, b.identifier AS model_b,
    a.requested AS requested_a, b.requested AS requested_b, NULLIF(a.revision, '') AS revision_a,
    NULLIF(b.revision, '') AS revision_b, parts.network_digest_a, parts.network_digest_b, benchmark.identifier AS benchmark,
    dataset.fingerprint AS dataset_fingerprint, dataset.is_simulated, parts.subject, parts.part, parts.value,
    parts.interval_low, parts.interval_high, parts.weight, parts.layers_a, parts.layers_b, parts.dropped_stimuli, parts.notes,
    run.started, run.seconds
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
    codes = [code_revision(model) for model in models]
    started = datetime.now(UTC)
    for benchmark, parts in partitions:
        facts = open_dataset(parse(benchmark, dataset=dataset).dataset).describe()
        run = run_facts(models[0], started=started, dataset_fingerprint=facts["fingerprint"], benchmark_version=VERSION)
        t = database.tables
        with writing(database.connection):
            database.connection.create_tables([t.Parts])  # a file of an earlier version lacks it
            any_part = next(iter(parts.values()))
            first, second = (
                one_row(t.Model, identifier=name, requested=asked, revision=made or code or "")
                for name, asked, made, code in zip(any_part.models, models, any_part.revisions, codes, strict=True)
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
            of |= dict(zip(("layers_a", "layers_b"), any_part.layers, strict=True))
            of |= dict(zip(("network_digest_a", "network_digest_b"), any_part.network_digests, strict=True))
            for subject, one in parts.items():
                for part in PARTS:
                    low, high = one.interval(part)
                    numbers = {"value": one.values[part], "interval_low": low, "interval_high": high}
                    about = {name: list(getattr(one, name)) or None for name in ("dropped_stimuli", "notes")}
                    about["weight"] = getattr(one, "weight", None)
                    t.Parts.create(**of, subject=subject, part=part, **about, **numbers)
        yield benchmark, parts
        started = datetime.now(UTC)


def read_partitions(database: ResultsDatabase, latest: bool = True) -> pd.DataFrame:
    """A row per partition, subject (``mean`` among them) and part, in the order of adding; columns as in the README.

    ``latest``: of several partitions of two models on one benchmark and dataset, the newest alone, as of results
    (:meth:`~.database.ResultsDatabase.results`). Networks of one name are told apart as there (:mod:`.names`).
    """
    with reading(database.connection):
        if not database.connection.table_exists("parts"):
            return pd.DataFrame()
        cursor = database.connection.execute_sql(_QUERY)
        found = pd.DataFrame(cursor.fetchall(), columns=[column[0] for column in cursor.description], dtype=object)
        properties = read_names(database.tables).properties
    if latest:
        found = found[found["run_id"].isin(_newest(found.drop_duplicates("run_id")))].reset_index(drop=True)
    sides = [
        _Side(
            properties[row[f"model_{side}_id"]],
            row[f"model_{side}"],
            row[f"requested_{side}"],
            row[f"revision_{side}"],
            row["dataset_fingerprint"],
            row[f"network_digest_{side}"],
            row["benchmark"],
        )
        for side in "ab"
        for row in found.to_dict("records")
    ]
    names, n = names_of(sides), len(found)
    found = found.assign(identifier_a=found["model_a"], identifier_b=found["model_b"])
    found = found.assign(model_a=names[:n], model_b=names[n:])
    found = found.assign(**{name: found[name].map(_names) for name in ("layers_a", "layers_b")})
    lists = {name: [json.loads(text) if text else [] for text in found[name]] for name in ("dropped_stimuli", "notes")}
    return found.assign(**lists).drop(columns=["run_id", "model_a_id", "model_b_id"]).infer_objects()


class _Side(NamedTuple):
    """What :func:`~.names.names_of` asks of a result, of one model of a partition; layers have columns of their own."""

    properties: dict
    model_identifier: str
    requested_model: str
    model_revision: str | None
    dataset_fingerprint: str
    network_digest: str | None
    benchmark: str
    model_code: None = None
    layers: None = None
    layer: None = None


def _newest(partitions: pd.DataFrame) -> set[int]:
    """Runs of the partitions that no newer one takes the place of; ``partitions`` has one row of each."""
    cell = ["model_a", "model_b", "requested_a", "requested_b", "benchmark", "dataset_fingerprint"]
    own = {
        f"weights_{side}": list(map(unversioned, partitions[f"revision_{side}"], partitions[f"network_digest_{side}"]))
        for side in "ab"
    }
    facts = cell, ["revision_a", "revision_b"], ["layers_a", "layers_b", *own]
    columns = (partitions.assign(**own)[names].itertuples(index=False, name=None) for names in facts)
    return newest(zip(partitions["run_id"], *columns, strict=True))


def _names(layers: str | None) -> str | None:
    """A layer, or several joined by commas."""
    names = None if layers is None else json.loads(layers)
    return ", ".join(names) if isinstance(names, list) else names
