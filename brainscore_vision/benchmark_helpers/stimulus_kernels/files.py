"""Files in folders that several processes and people share: written whole, readable by colleagues, locked where that goes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from .errors import StorageError

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
"""What a file system without locks answers to ``flock``."""

LEASE_SECONDS = 60.0
"""How long a lock of another machine counts after it was last renewed; its holder renews it six times as often."""

POLL_SECONDS = 1.0

MACHINE = platform.node()

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a full quota, and `ulimit -f`."""


def read_hdf5(path: Path, opened: Callable = h5py.File, **options):
    """An HDF5 file, open for reading, without HDF5's locks, which some file systems lack.

    A file that this program has open already, such as a notebook that has looked into it, is opened with locks where it was so:
    HDF5 opens a file a second time in the same way alone.

    Parameters
    ----------
    path : pathlib.Path
    opened : callable
        Of h5py or h5netcdf.
    **options
        For ``opened``.

    Raises
    ------
    OSError
    """
    try:
        return opened(path, "r", locking=False, **options)
    except OSError as error:
        for locking in (None, True):
            with contextlib.suppress(OSError):
                return opened(path, "r", locking=locking, **options)
        raise error


class LockingError(StorageError):
    """A lock cannot be had, whoever else holds it or not."""


class ProcessLock:
    """A lock that one process, or one object of a process, holds at a time. The system releases it when its holder is killed.

    Network file systems may be mounted so that ``flock`` is seen by processes of one machine alone. So the holder writes its
    machine into the file and renews the file's time: to other machines, the lock is held until it was not renewed for
    ``LEASE_SECONDS`` by the file system's own clock. Two machines that take it within the same moment are not told apart.

    Parameters
    ----------
    path : pathlib.Path
        A file of its own, in an existing folder; it goes when the lock is released.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._descriptor: int | None = None
        self._released = threading.Event()

    def acquire(self, wait: bool = True) -> bool:
        """Whether the lock is held now; without ``wait`` False if another holds it.

        Raises
        ------
        LockingError
            The file system knows no locks, or the file cannot be opened.
        """
        while True:
            try:
                descriptor = self._open()
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                    # another holder may have removed the file between the opening and the lock
                    if self._is_at_path(descriptor):
                        if not self._is_leased(descriptor):
                            self._lease(descriptor)
                            self._descriptor, descriptor = descriptor, None
                            return True
                        if not wait:
                            return False
                        time.sleep(POLL_SECONDS)
                finally:
                    if descriptor is not None:
                        os.close(descriptor)
            except BlockingIOError:
                return False
            except OSError as error:
                reason = ""
                if error.errno in NO_LOCKS:
                    reason = "The file system may be mounted without locking. "
                    with contextlib.suppress(OSError):
                        self.path.unlink()
                raise LockingError(
                    f"Processes that use {self.path.parent} at the same time take turns by a lock on {self.path.name} there, "
                    f"which cannot be had ({error.strerror}). {reason}Choose another folder."
                ) from error

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            self._released.set()
            self._renewing.join()
            with contextlib.suppress(OSError):  # the folder was removed, or the file is a colleague's: it may stay
                self.path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> ProcessLock:
        self.acquire()
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def _open(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:
            if not self.path.exists():
                raise
            return os.open(
                self.path, os.O_RDONLY | os.O_CLOEXEC
            )  # a colleague's: on a local disk, this is enough for a lock
        share(descriptor, self.path.parent)
        with contextlib.suppress(PermissionError):  # a colleague's
            # who may write to the folder may lock it, whatever the umask of the one who came first
            os.fchmod(descriptor, self.path.parent.stat().st_mode & 0o666)
        return descriptor

    def _is_leased(self, descriptor: int) -> bool:
        """Whether a living process of another machine holds the lock."""
        holder = os.pread(descriptor, 1000, 0).decode(errors="replace")
        if holder in ("", MACHINE):  # of this machine: flock has said that nobody holds it
            return False
        try:
            with tempfile.TemporaryFile(dir=self.path.parent) as file:
                now = os.fstat(file.fileno()).st_mtime
        except OSError:
            now = time.time()
        return now - os.fstat(descriptor).st_mtime < LEASE_SECONDS

    def _lease(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):  # a colleague's file that may only be read
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, MACHINE.encode(), 0)
            os.fsync(descriptor)  # for others to read
        self._released.clear()
        self._renewing = threading.Thread(target=self._renew, args=(descriptor,), daemon=True)
        self._renewing.start()

    def _renew(self, descriptor: int) -> None:
        while not self._released.wait(LEASE_SECONDS / 6):
            with contextlib.suppress(OSError):
                os.utime(descriptor)

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock ``path`` for a block. Where no lock can be had, processes may do the block's work at the same time."""
    lock = ProcessLock(path)
    with contextlib.suppress(LockingError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def replacing(path: Path, prefix: str = ".part-") -> Iterator[Path]:
    """A new file beside ``path`` that takes its place when the block ends, whole and on the disk, or goes if the block raises.

    The file follows the umask and has the folder's group. It is locked, so that :func:`remove_abandoned` lets it be.
    """
    make_folder(path.parent)
    scratch = path.with_name(f"{prefix}{uuid.uuid4().hex}")
    descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(OSError):  # without locks, abandoned files are kept
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        share(descriptor, path.parent)
        yield scratch
        os.fsync(descriptor)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
        os.close(descriptor)


def remove_abandoned(folder: Path, prefix: str = ".part-") -> None:
    """Remove what killed processes left of :func:`replacing`."""
    for scratch in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # being written, a colleague's, gone, or in a file system without locks
            descriptor = os.open(scratch, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                scratch.unlink()
            finally:
                os.close(descriptor)


def share(descriptor: int, folder: Path) -> None:
    """Give an open file to the group of its folder, if this user is one of the group."""
    group = os.stat(folder).st_gid
    if os.fstat(descriptor).st_gid != group:
        with contextlib.suppress(OSError):
            os.fchown(descriptor, -1, group)


def expanded(path: str) -> Path:
    """A path with ``~`` replaced by the user's home; one that cannot be written where there is none, as in some containers."""
    replaced = os.path.expanduser(path)
    return Path(os.devnull, path) if replaced.startswith("~") else Path(replaced)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. What a group or everybody may write to, unless it is sticky, has such folders in it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    above = folder.parent.stat().st_mode
    shared = sum(bits for bits, write in ((0o070, stat.S_IWGRP), (0o007, stat.S_IWOTH)) if above & write)
    if shared and not above & stat.S_ISVTX:
        with contextlib.suppress(PermissionError):  # another process has made it
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | above & shared)


def cannot_write(folder: Path) -> OSError | None:
    """Why no file can be made in a folder, which is made if need be; None if one can."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error


def file_state(path: Path) -> tuple[int, int, int, int]:
    """What changes when a file is written or replaced, even by one of the same size and modification time."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def has_locks(path: Path) -> bool:
    """Whether the file system of a file knows locks, as far as can be seen."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in NO_LOCKS
    return True
