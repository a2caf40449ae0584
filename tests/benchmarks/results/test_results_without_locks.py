"""Results on a file system without locks: said at once where something is to be written, and read all the same."""

import errno
import fcntl
import os
import shutil
from types import SimpleNamespace

import psutil
import pytest
from plugin_testing.scored_cells import CKA, RIDGE, assert_same_tree, facts, scores

from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.database import open_database
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.errors import LeaderboardError
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, ResultsError, export_voxels


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def no_locks(request, monkeypatch):
    """``no_locks()`` takes the locks away: what the system says, and SQLite's own would wait for minutes."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    def take():
        monkeypatch.setattr(fcntl, "lockf", refuse)
        return os.strerror(request.param)

    return take


@pytest.fixture
def filled(tmp_path, tiny_dataset):
    database = ResultsDatabase(tmp_path / "results #1?.db")  # signs that mean something in SQLite's names
    for cell in (RIDGE, CKA):
        score = scores(tiny_dataset)["one"][cell]
        database.add(score, facts(score))
    return database.path


def test_results_are_read(filled, tiny_dataset, no_locks, tmp_path, run):
    no_locks()
    database = ResultsDatabase(filled, create=False)
    (ridge, cka) = database.results()
    assert (ridge.benchmark, cka.benchmark) == (RIDGE, CKA)
    assert_same_tree(database.score(ridge.id), scores(tiny_dataset)["one"][RIDGE])
    assert export_voxels(database, [ridge], tmp_path / "voxels.csv") > 0
    code, out, err = run("results", filled, "--verify")
    assert (code, err) == (0, "")
    assert "2 results read, 0 problems." in out
    assert "cannot be locked" in out


def test_a_report_is_made(filled, tmp_path, monkeypatch, run):
    monkeypatch.setattr(fcntl, "lockf", lambda *_: os.close(-1))  # an OSError
    assert run("report", filled, "--out", tmp_path / "page")[0] == 0


def test_nothing_is_added(filled, tiny_dataset, no_locks, run):
    words, before = no_locks(), filled.read_bytes()
    score = scores(tiny_dataset)["one"][RIDGE]
    database = ResultsDatabase(filled)
    for write in (database.check_writable, lambda: database.add(score, facts(score))):
        with pytest.raises(
            ResultsError, match=f"has no locks \\({words}\\). Choose a results file in a folder of another"
        ):
            write()
    assert filled.read_bytes() == before
    code, out, err = run("score", "pixels", RIDGE, "--dataset", tiny_dataset, "--results", filled)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "has no locks" in err


def test_no_file_is_made(tmp_path, no_locks):
    no_locks()
    with pytest.raises(ResultsError, match="has no locks"):
        ResultsDatabase(tmp_path / "new.db")
    with pytest.raises(LeaderboardError, match="has no locks"):
        open_database(str(tmp_path / "leaderboard.sqlite3"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_has_locked_has_locks(filled):
    with open(filled, "rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert ResultsDatabase(filled, create=False).connection.lock_problem is None


def test_a_folder_that_cannot_be_written_is_looked_at_through_the_file(filled, no_locks, monkeypatch):
    import tempfile

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    assert ResultsDatabase(filled, create=False).connection.lock_problem is None
    words = no_locks()
    database = ResultsDatabase(filled, create=False)
    assert database.connection.lock_problem == words
    assert len(database.results()) == 2


MOUNTS = {
    "sshfs": (("/", "ext4", "rw"), ("{}", "fuse.sshfs", "rw,user_id=0"), True),
    "NFS that locks": (("{}", "nfs4", "rw,hard,local_lock=none"), False),
    "NFS that does not": (("{}", "nfs", "rw,hard,nolock,local_lock=all"), True),
    "a disk on it": (("{}", "fuse.sshfs", "rw"), ("{}/inside", "ext4", "rw"), False),
    "one over another": (("{}", "ext4", "rw"), ("{}", "fuse.sshfs", "rw"), True),
    "no mount that is known": (False,),
}


@pytest.mark.parametrize("mounts", MOUNTS)
def test_locks_that_other_machines_do_not_see_are_told_once(
    filled, tiny_dataset, tmp_path, tmp_path_factory, monkeypatch, caplog, mounts
):
    *mounted, told = MOUNTS[mounts]
    folder = tmp_path / "inside"
    folder.mkdir()
    link = tmp_path_factory.mktemp("elsewhere") / "link.db"
    link.symlink_to(shutil.copy(filled, folder / "r.db"))
    found = [SimpleNamespace(mountpoint=where.format(tmp_path), fstype=kind, opts=how) for where, kind, how in mounted]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)
    database = ResultsDatabase(link)
    score = scores(tiny_dataset)["one"][RIDGE]
    for _ in range(2):
        database.add(score, facts(score))
    assert caplog.text.count("keeps locks from other machines") == told
