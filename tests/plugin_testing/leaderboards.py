"""For tests of recording: results to record, and places for them: a SQLite file, a database on a PostgreSQL server."""

import os
import sqlite3
import uuid
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, run_facts
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all

POSTGRES = "LAION_FMRI_TEST_POSTGRES"
"""Environment variable with the URL of a server on which tests may make databases."""

TABLES = ("user", "reference", "benchmarktype", "benchmarkinstance", "submission", "model", "score")


@contextmanager
def leaderboard(kind, folder):
    """What ``--db`` takes: a file that does not exist yet, or the URL of an empty database, dropped in the end."""
    if kind == "sqlite":
        yield str(folder / "scores.db")
        return
    server = os.environ.get(POSTGRES)
    if not server:
        pytest.skip(
            f"no PostgreSQL server: `export {POSTGRES}=$(.ci/postgres start FOLDER)` starts one, as .ci/run does"
        )
    name = f"laion_{uuid.uuid4().hex}"
    parts = urlsplit(server)
    url = f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")
    query(server, f"CREATE DATABASE {name}")
    try:
        yield url
    finally:
        query(server, f"DROP DATABASE {name} WITH (FORCE)")


def results_file(path, model, identifiers, dataset):
    """A results file with one model's scores, as if they were scored at noon of a day in March, in seven seconds each."""
    database = ResultsDatabase(path)
    for _, score in score_all(model, identifiers, dataset=dataset):
        facts = run_facts(
            f"models.py:{model.identifier}",
            started=datetime(2026, 3, 1, 12, tzinfo=UTC),
            finished=datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC),
            dataset_fingerprint=score.attrs["dataset"]["fingerprint"],
            benchmark_version=1,
            model_revision="abc123",
        )
        database.add(score, facts)
    return database


def query(place, sql):
    """Rows of a query, through neither peewee nor brainscore_core."""
    if "://" in place:
        import psycopg2

        connection = psycopg2.connect(place)
        connection.autocommit = True
    else:
        connection = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def content(place):
    """Every row of every table that recording writes to, as text, ordered: equal contents are equal databases."""
    return {name: sorted(map(str, query(place, f"SELECT * FROM brainscore_{name}"))) for name in TABLES}


def counts(place):
    return {name: len(rows) for name, rows in content(place).items()}
