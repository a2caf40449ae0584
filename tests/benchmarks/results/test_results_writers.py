"""Several processes add to one file at once, or are killed over it: nothing is lost, and what is there is whole."""

import errno
import multiprocessing
import os
import pickle
import signal
import sqlite3
import stat
import threading
import time

import numpy as np
import pytest
from plugin_testing.scored_cells import CELLS, FOLDS, RDM, RIDGE, assert_same_tree, facts, scores

from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    ResultsError,
    make_entry,
    orphans,
    remove_orphans,
    schema,
    verify,
)
from brainscore_vision.benchmarks.laion_fmri_7t.results import database as database_module

# children are forked, so that each costs milliseconds and not the imports
FORK = multiprocessing.get_context("fork")
N_WRITERS, N_EACH = 6, 8
N_KILLS = 25


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
def row(tiny_dataset):
    return scores(tiny_dataset)["one"]


def add_some(path, row, name, count, go=None):
    if go is not None:
        go.wait()
    for number in range(count):
        score = row[CELLS[number % len(CELLS)]]
        ResultsDatabase(path).add(score, facts(score, number, model=name))


def start(target, *args):
    child = FORK.Process(target=target, args=args)
    child.start()
    return child


def problems(database):
    return [(what, problem) for what, problem in verify(database) if problem is not None]


def assert_whole(database, row):
    """Everything that is listed can be read, and is what was added."""
    assert problems(database) == []
    for result in database.results(latest=False):
        assert_same_tree(database.score(result.id), row[result.benchmark])


def test_concurrent_writers_lose_nothing(path, row):
    go = FORK.Event()  # the file itself is made by whoever is first
    children = [start(add_some, path, row, f"writer {k}", N_EACH, go) for k in range(N_WRITERS)]
    go.set()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * N_WRITERS
    database = ResultsDatabase(path, create=False)
    results = database.results(latest=False)
    assert len(results) == N_WRITERS * N_EACH
    for k in range(N_WRITERS):
        own = [r.benchmark for r in results if r.requested_model == f"writer {k}"]
        assert own == [CELLS[number % len(CELLS)] for number in range(N_EACH)]  # in the order of adding
    assert_whole(database, row)
    assert orphans(database) == []
    with sqlite3.connect(path) as file:  # what they share is there once
        assert file.execute("SELECT COUNT(*) FROM benchmark").fetchone() == (len(CELLS),)
        assert file.execute("SELECT COUNT(*) FROM dataset").fetchone() == (1,)
        assert file.execute("SELECT COUNT(*) FROM model").fetchone() == (N_WRITERS,)


def test_threads_share_an_object(path, row):
    database = ResultsDatabase(path)
    threads = [threading.Thread(target=lambda: database.add(row[RDM], facts(row[RDM]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database.results(latest=False)) == 4
    assert_whole(database, row)


def test_an_object_survives_a_fork_and_pickling(path, row):
    database = ResultsDatabase(path)
    database.add(row[RDM], facts(row[RDM]))
    child = start(database.add, row[RIDGE], facts(row[RIDGE]))
    child.join()
    assert child.exitcode == 0
    there = pickle.loads(pickle.dumps(database))
    assert [result.benchmark for result in there.results()] == [RDM, RIDGE]


def test_writers_killed_at_any_moment_do_no_harm(path, row):
    rng = np.random.default_rng(1)
    begun = time.monotonic()
    start(add_some, path, row, "undisturbed", len(CELLS)).join()
    duration = time.monotonic() - begun
    killed = 0
    for attempt in range(20 * N_KILLS):
        child = start(add_some, path, row, f"attempt {attempt}", len(CELLS))
        child.join(timeout=float(rng.uniform(0, duration)))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            killed += 1
        if killed == N_KILLS:
            break
    assert killed == N_KILLS
    database = ResultsDatabase(path)
    before = len(database.results(latest=False))
    assert before > 0
    assert_whole(database, row)
    add_some(path, row, "afterwards", len(CELLS))
    assert len(database.results(latest=False)) == before + len(CELLS)


def hang_while_adding(path, score, arrived, moment):
    """Add a Score, and stay for ever at a moment in the middle."""

    def hang(*args, **kwargs):
        arrived.set()
        signal.pause()

    if moment == "before the file":
        database_module.voxels.write = hang
    else:
        write = database_module.voxels.write
        database_module.voxels.write = lambda *args: (write(*args), hang())
    ResultsDatabase(path).add(score, facts(score, model="killed"))


@pytest.mark.parametrize("moment", ["before the file", "after the file"])
def test_killed_in_the_middle(path, row, moment):
    database = ResultsDatabase(path)
    database.add(row[RDM], facts(row[RDM]))
    arrived = FORK.Event()
    child = start(hang_while_adding, path, row[FOLDS], arrived, moment)
    assert arrived.wait(60)
    assert [result.benchmark for result in database.results()] == [RDM]  # readers see what is done meanwhile
    os.kill(child.pid, signal.SIGKILL)
    child.join()

    database = ResultsDatabase(path, create=False)
    assert [result.benchmark for result in database.results()] == [RDM]
    assert_whole(database, row)
    left = orphans(database)
    assert len(left) == (moment == "after the file")
    number = database.add(row[FOLDS], facts(row[FOLDS]))  # may get the id that the killed one would have had
    assert_same_tree(database.score(number), row[FOLDS])
    assert orphans(database) == left
    assert (remove_orphans(database) > 0) == bool(left)
    assert orphans(database) == []
    assert_whole(database, row)


def test_cleaning_waits_for_writers(path, row, monkeypatch):
    """While another process is writing, its file is not yet anybody's; cleaning must not take it for left over."""
    database = ResultsDatabase(path)
    arrived = FORK.Event()
    child = start(hang_while_adding, path, row[RDM], arrived, "after the file")
    assert arrived.wait(60)
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.2)
    impatient = ResultsDatabase(path)
    with pytest.raises(ResultsError, match="locked"):
        remove_orphans(impatient)
    assert len(list(database.voxel_directory.iterdir())) == 1
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert remove_orphans(impatient) > 0


def test_only_own_files_are_cleaned(path, row):
    database = ResultsDatabase(path)
    database.add(row[RDM], facts(row[RDM]))
    notes, scratch = database.voxel_directory / "notes.h5", database.voxel_directory / ".writing-0123456789ab"
    notes.write_text("mine")
    scratch.write_text("half of a fi")
    assert orphans(database) == [scratch.name]
    assert remove_orphans(database) == len("half of a fi")
    assert notes.exists()


def test_a_failed_write_leaves_nothing(path, row, monkeypatch):
    database = ResultsDatabase(path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        database.add(row[RDM], facts(row[RDM]))
    monkeypatch.undo()
    assert database.results() == []
    assert list(database.voxel_directory.iterdir()) == []
    database.add(row[RDM], facts(row[RDM]))
    assert_whole(database, row)


def test_of_several_scores_all_are_added_or_none(path, row, monkeypatch):
    database = ResultsDatabase(path)
    entries = [make_entry(row[cell], facts(row[cell])) for cell in CELLS]
    honest, written = os.replace, []

    def full_at_the_second(*args):
        written.append(args)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        honest(*args)

    monkeypatch.setattr(os, "replace", full_at_the_second)
    with pytest.raises(ResultsError, match="No space left"):
        database.add_entries(entries)
    monkeypatch.undo()
    assert database.results() == []
    assert len(orphans(database)) == 1  # a left-over is better than rows without their file
    there = [pickle.loads(pickle.dumps(entry)) for entry in entries]  # as another process sends them
    ids = database.add_entries(there)
    assert [result.id for result in database.results()] == ids
    assert [result.benchmark for result in database.results()] == list(CELLS)
    assert_whole(database, row)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_folders_that_cannot_be_synced(path, row, monkeypatch, code):
    honest = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    database = ResultsDatabase(path)
    database.add(row[RDM], facts(row[RDM]))
    assert_whole(database, row)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damaged_values_are_found(path, row, damage):
    database = ResultsDatabase(path)
    whole, number = (database.add(row[cell], facts(row[cell])) for cell in (RDM, RIDGE))
    voxels = next(database.voxel_directory.glob(f"result-{number:06d}-*"))
    content = bytearray(voxels.read_bytes())
    if damage == "flipped":
        middle = len(content) // 2
        content[middle : middle + 4000] = bytes(255 - b for b in content[middle : middle + 4000])
        voxels.write_bytes(content)
    elif damage == "cut":
        voxels.write_bytes(content[: len(content) // 2])
    else:
        voxels.unlink()
    ((what, problem),) = problems(database)
    assert what == f"result {number}"
    assert voxels.name in problem
    with pytest.raises(ResultsError, match=voxels.name):
        database.score(number)
    assert_same_tree(database.score(whole), row[RDM])
