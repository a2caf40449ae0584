"""Files of schema version 1 are read as they are, and migrated when something is added: at once, or not at all.

``version_1.sql`` is a dump of a file that commit 587d092 wrote (no digests, no notes, an older view),
``version_1_digests.sql`` of one that commit 448bd46 wrote (a network, a failure); paths and machines were renamed.
"""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from brainscore_vision.benchmark_helpers.validate_error import assert_valid_uncertainty
from plugin_testing.scored_cells import CKA, facts, scores

from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    ResultsError,
    run_facts,
    schema,
    to_dataframe,
    verify,
)

FORK = multiprocessing.get_context("fork")
N_KILLS = 14
DIGEST = "71942fcc999315f8"


def old_file(path, dump):
    with sqlite3.connect(path) as file:
        file.executescript((Path(__file__).parent / dump).read_text(encoding="utf-8"))
        file.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        file.execute("PRAGMA user_version = 1")
    return path


@pytest.fixture
def first(tmp_path):
    return old_file(tmp_path / "first.db", "version_1.sql")


@pytest.fixture
def old(tmp_path):
    return old_file(tmp_path / "old.db", "version_1_digests.sql")


@pytest.fixture
def score(tiny_dataset):
    return scores(tiny_dataset)["one"][CKA]


def version(path):
    with sqlite3.connect(path) as file:
        (number,) = file.execute("PRAGMA user_version").fetchone()
        return number


def columns(path, table="result"):
    with sqlite3.connect(path) as file:
        return [row[1] for row in file.execute(f"PRAGMA table_info({table})")]


def test_files_of_the_first_release_are_read_and_added_to(first, score):
    before = first.read_bytes()
    database = ResultsDatabase(first)
    cka, ridge = database.results()
    assert (cka.model, cka.requested_model, cka.network_digest, cka.notes) == ("pixels", "pixels", None, ())
    assert (cka.value, cka.raw, cka.subjects["sub-03"].ceiling) == (
        1.503468503209461,
        0.05167465919651342,
        0.03437029714038125,
    )
    assert (ridge.subjects["sub-01"].alpha, ridge.normalizations["correlation"]) == (1.0, 0.09449047355561294)
    assert_valid_uncertainty(database.score(cka.id))
    assert first.read_bytes() == before  # reading changes nothing
    number = database.add(score, facts(score))
    assert database.results()[:2] == [cka, ridge]
    with sqlite3.connect(first) as file:
        rows = file.execute("SELECT result, features_digest FROM scores WHERE level = 'mean'").fetchall()
    assert rows == [(1, None), (2, None), (number, score.attrs["features_digest"])]


def test_what_version_1_knows_is_the_same_before_and_after(old, score):
    before = old.read_bytes()
    database = ResultsDatabase(old, create=False)
    results, failures, frame = database.results(), database.failures(), to_dataframe(database.results())
    assert [result.network_digest for result in results] == [DIGEST] * 3
    assert [one.network_digest for one in database.summaries()] == [DIGEST] * 3
    assert [(result.layers, result.model_source) for result in results] == [({}, None)] * 3
    assert [failure.error for failure in failures] == ["RuntimeError: no weights"]
    assert next(verify(database)) == ("old.db", None)  # of the SQLite file itself
    assert (old.read_bytes(), version(old)) == (before, 1)
    database.check_writable()
    assert version(old) == schema.SCHEMA_VERSION
    assert {"layers", "model_source", "network_digest"} <= set(columns(old))
    assert "n_significant_voxels" in columns(old, "score")
    assert (database.results(), database.failures()) == (results, failures)
    assert to_dataframe(database.results()).equals(frame)
    with sqlite3.connect(old) as file:
        rows = file.execute("SELECT network_digest, layers FROM scores WHERE level = 'mean'").fetchall()
        assert file.execute("SELECT version FROM schema").fetchall() == [(schema.SCHEMA_VERSION,)]
    assert rows == [(DIGEST, None)] * 3
    database.add(score, facts(score))
    assert len(database.results()) == 4


def test_properties_by_request_alone_are_those_of_all_its_revisions(old, score):
    """As versions before 5 kept them; from then on, each revision has its own."""
    database = ResultsDatabase(old)
    requested = {result.requested_model for result in database.results()}
    with sqlite3.connect(old) as file:
        file.execute("CREATE TABLE property (requested TEXT, name TEXT, value TEXT, PRIMARY KEY (requested, name))")
        file.executemany(
            "INSERT INTO property VALUES (?, ?, ?)",
            [(name, *row) for name in requested for row in (("width", "4"), ("family", '"vit"'))],
        )
    known = [{"family": "vit", "width": 4}] * 3
    assert [result.properties for result in database.results()] == known
    assert [one.properties for one in database.summaries()] == known
    database.check_writable()
    assert columns(old, "property") == []
    assert [result.properties for result in database.results()] == known
    database.add(score, facts(score, model=requested.pop(), model_revision="another"))
    assert [result.properties for result in database.results()] == [*known, {}]


def test_what_fails_migrates_nothing(old, score):
    database = ResultsDatabase(old)
    with pytest.raises(ResultsError):
        database.add(score, facts(score, dataset_fingerprint="another"))
    assert version(old) == 1


def test_a_file_that_cannot_be_written_is_read(old):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        copy = Path(shutil.copy(old, folder))
        copy.chmod(0o444)
        copy.parent.chmod(0o555)
        child = FORK.Process(target=read_only, args=(copy,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert copy.read_bytes() == old.read_bytes()


def read_only(path):
    if os.getuid() == 0:
        os.setuid(65534)  # for root, nothing is read-only
    database = ResultsDatabase(path, create=False)
    assert len(database.results()) == 3
    with pytest.raises(ResultsError, match=r"can be read and written; .*old\.db"):
        database.check_writable()


def test_two_processes_migrate_at_once(old):
    go = FORK.Event()
    children = [FORK.Process(target=add_failure, args=(old, go)) for _ in range(4)]
    for child in children:
        child.start()
    go.set()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert len(columns(old)) == len(set(columns(old)))
    database = ResultsDatabase(old)
    assert len(database.failures(latest=False)) == 5
    assert [result.network_digest for result in database.results()] == [DIGEST] * 3


def add_failure(path, go):
    database = ResultsDatabase(path)
    go.wait()
    run = run_facts("net", started=datetime.now(UTC), dataset_fingerprint="", benchmark_version=1)
    database.add_failure("net", None, run, "Error: x", "")


def test_a_reader_sees_a_migration_by_another(old):
    reader, writer = ResultsDatabase(old, create=False), ResultsDatabase(old)
    before = reader.results()
    writer.check_writable()
    assert reader.results() == before


@pytest.mark.parametrize("statement", range(N_KILLS))
def test_killed_in_the_middle_it_is_version_1_or_2(old, statement):
    """The process ends by SIGKILL at each statement of the migration in turn, and at the end of its transaction."""
    before = ResultsDatabase(old).results()
    child = FORK.Process(target=killed_at, args=(old, statement))
    child.start()
    child.join()
    assert child.exitcode in (-signal.SIGKILL, 0)
    assert (child.exitcode == 0) == (version(old) == schema.SCHEMA_VERSION)
    if child.exitcode:
        assert "layers" not in columns(old)
    database = ResultsDatabase(old)
    assert next(verify(database)) == ("old.db", None)
    assert database.results() == before
    database.check_writable()
    assert (database.results(), version(old)) == (before, schema.SCHEMA_VERSION)


def killed_at(path, statement):
    database = ResultsDatabase(path)
    execute, seen = database.connection.execute_sql, []

    def killing(sql, *arguments):
        answer = execute(sql, *arguments)
        if sql.startswith(("ALTER", "UPDATE", "DROP", "CREATE VIEW", "PRAGMA user_version =")):
            seen.append(sql)
            if len(seen) > statement:
                # pages go to the file before the transaction ends: what a full cache would do
                execute("PRAGMA cache_spill = 1")
                os.kill(os.getpid(), signal.SIGKILL)
        return answer

    database.connection.execute_sql = killing
    database.check_writable()
    assert len(seen) < N_KILLS, seen


def test_later_versions_are_not_written_to(old):
    database = ResultsDatabase(old)
    with sqlite3.connect(old) as file:
        file.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(ResultsError, match="Update this package"):
        database.check_writable()
    assert version(old) == schema.SCHEMA_VERSION + 1
