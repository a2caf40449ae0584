"""Files in shared folders: one writer at a time, modes and groups that colleagues can live with, file systems without locks."""

import errno
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

import h5netcdf
import h5py
import pytest
from plugin_testing.people import in_child, is_root, killed_child, obey_permissions, obeys_permissions, user

from brainscore_vision.benchmark_helpers.stimulus_kernels import files
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import (
    LockingError,
    ProcessLock,
    cannot_write,
    has_locks,
    make_folder,
    one_at_a_time,
    read_hdf5,
    remove_abandoned,
    replacing,
)

GROUP = 54321


@pytest.fixture
def open_folder():
    """A folder that every user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_lock_has_one_holder_and_leaves_no_file(tmp_path):
    first, second = ProcessLock(tmp_path / "lock"), ProcessLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire(wait=False)
    assert not in_child(lambda: ProcessLock(tmp_path / "lock").acquire(wait=False))
    first.release()
    assert second.acquire(wait=False)
    second.release()
    assert not list(tmp_path.iterdir())


def test_a_killed_holder_holds_nothing(tmp_path):
    killed_child(lambda: ProcessLock(tmp_path / "lock").acquire())
    assert (tmp_path / "lock").exists()
    with ProcessLock(tmp_path / "lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_turns_are_taken_although_the_file_comes_and_goes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count():
        for _ in range(100):
            with ProcessLock(tmp_path / "lock"):
                counter.write_text(str(int(counter.read_text()) + 1))

    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                count()
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert counter.read_text() == "400"


def test_another_machine_holds_a_lock_as_long_as_it_renews_it(tmp_path, monkeypatch):
    """On a network file system whose locks other machines do not see."""
    monkeypatch.setattr(fcntl, "flock", lambda *args: None)
    monkeypatch.setattr(files, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(files, "POLL_SECONDS", 0.01)
    path = tmp_path / "lock"
    there = ProcessLock(path)
    assert there.acquire()
    monkeypatch.setattr(files, "MACHINE", "another")
    here = ProcessLock(path)
    start = os.stat(path).st_mtime
    while os.stat(path).st_mtime < start + 1:
        assert not here.acquire(wait=False)
        time.sleep(0.02)
    there._released.set()  # as if its machine had died
    assert here.acquire()
    assert path.read_text() == "another"
    here.release()
    assert not list(tmp_path.iterdir())
    there.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def flock(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LockingError, match=f"{os.strerror(number)}.*without locking.*another folder"):
        ProcessLock(tmp_path / "lock").acquire()
    with one_at_a_time(tmp_path / "lock"):
        pass
    with replacing(tmp_path / "file") as scratch:
        scratch.write_text("content")
        remove_abandoned(tmp_path)  # what cannot be told from a file that is being written stays
    assert (tmp_path / "file").read_text() == "content"
    assert not has_locks(tmp_path / "file")


def test_locks_are_there(tmp_path):
    (tmp_path / "file").touch()
    assert has_locks(tmp_path / "file")
    assert has_locks(tmp_path / "no file")  # what it lacks is not locks
    with open(tmp_path / "file") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert has_locks(tmp_path / "file")


@obeys_permissions
def test_a_folder_that_cannot_be_written_has_no_lock(tmp_path):
    tmp_path.chmod(0o555)

    def acquire():
        with pytest.raises(LockingError, match="cannot be had .Permission denied"):
            ProcessLock(tmp_path / "lock").acquire()

    in_child(acquire, obey_permissions)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("umask", "above", "file", "lock", "folder"),
    [
        (0o022, 0o755, 0o644, 0o644, 0o755),
        (0o022, 0o700, 0o644, 0o600, 0o755),
        (0o077, 0o755, 0o600, 0o644, 0o700),
        (0o002, 0o2775, 0o664, 0o664, 0o2775),
        (0o022, 0o2775, 0o644, 0o664, 0o2775),
        (0o022, 0o770, 0o644, 0o660, 0o775),
        (0o022, 0o2777, 0o644, 0o666, 0o2777),
        (0o022, 0o1777, 0o644, 0o666, 0o755),
    ],
)
def test_modes_follow_the_umask_and_what_is_shared_stays_shared(tmp_path, umask, above, file, lock, folder):
    """Expected values by hand: files by the umask, locks by the folder, folders by the umask and their shared parent."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(above)
    before = os.umask(umask)
    try:
        with replacing(shared / "file") as scratch:
            scratch.write_text("content")
        holder = ProcessLock(shared / "lock")
        holder.acquire()
        make_folder(shared / "a" / "b")
    finally:
        os.umask(before)
    assert mode(shared / "file") == file
    assert mode(shared / "lock") == lock
    assert [mode(shared / "a"), mode(shared / "a" / "b") & 0o777] == [folder, folder & 0o777]
    holder.release()


@is_root
def test_files_have_the_group_of_their_folder(open_folder):
    os.chown(open_folder, 1001, GROUP)
    open_folder.chmod(0o770)

    def write():
        os.setgroups([GROUP])
        os.setresgid(100, 100, 100)
        os.setresuid(1001, 1001, 1001)
        with replacing(open_folder / "file") as scratch:
            scratch.write_text("content")

    in_child(write)
    assert (open_folder / "file").stat().st_gid == GROUP


@is_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_lock_that_a_colleague_left_can_be_had(open_folder, umask):
    os.chown(open_folder, 0, GROUP)
    open_folder.chmod(0o2775)
    killed_child(lambda: ProcessLock(open_folder / "lock").acquire(), user(1001, GROUP, umask))
    assert (open_folder / "lock").stat().st_uid == 1001
    assert in_child(lambda: ProcessLock(open_folder / "lock").acquire(wait=False), user(1002, GROUP))


@is_root
def test_a_colleagues_lock_that_may_only_be_read(open_folder):
    """Of another program, or in a folder that gives rights by other means than modes."""
    (open_folder / "lock").touch(0o644)
    os.chown(open_folder / "lock", 1001, 1001)
    assert in_child(lambda: ProcessLock(open_folder / "lock").acquire(wait=False), user(1002, GROUP))


def test_a_block_that_raises_leaves_what_was_there(tmp_path):
    (tmp_path / "file").write_text("before")

    def write():
        with replacing(tmp_path / "file") as scratch:
            scratch.write_text("after")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "before"}


def test_what_killed_writers_left_goes(tmp_path):
    def write():
        with replacing(tmp_path / "file") as scratch:
            scratch.write_text("half")
            os.kill(os.getpid(), 9)

    killed_child(write)
    assert len(list(tmp_path.iterdir())) == 1
    remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_why_a_folder_cannot_be_written(tmp_path):
    assert cannot_write(tmp_path / "new" / "folder") is None
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    assert isinstance(cannot_write(tmp_path / "file"), OSError)
    assert isinstance(cannot_write(tmp_path / "file" / "folder"), OSError)
    assert cannot_write(Path("/dev/null/folder")).strerror


@pytest.mark.parametrize("held", [None, {}, {"locking": False}, {"locking": True}])
@pytest.mark.parametrize("opened", [h5py.File, h5netcdf.File])
def test_hdf5_is_read_however_this_program_has_it_open_already(tmp_path, held, opened):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["values"] = [1, 2, 3]
    notebook = None if held is None else h5py.File(path, "r", **held)
    with read_hdf5(path, opened, **({"phony_dims": "sort"} if opened is h5netcdf.File else {})) as file:
        assert file["values"][:].tolist() == [1, 2, 3]
    if notebook is not None:
        notebook.close()


def test_what_is_no_hdf5_is_refused_with_the_first_reason(tmp_path):
    (tmp_path / "file.h5").write_text("no HDF5")
    with pytest.raises(OSError, match="signature"):
        read_hdf5(tmp_path / "file.h5")
    with pytest.raises(FileNotFoundError):
        read_hdf5(tmp_path / "none.h5")
