"""Gets files of the release's bucket: in parallel, going on where an earlier run stopped, checked against the server's sums."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import (
    NO_ROOM,
    LockingError,
    ProcessLock,
    cannot_write,
    make_folder,
)

from .bucket import Bucket, RemoteFile
from .errors import DatasetError, MissingDataError

PIECE = 2**20
"""Bytes that are read, written and hashed at once."""

ATTEMPTS = 5
"""Failures in a row, without a byte in between, after which a file is given up."""

GO_ON = "Run the same command again: it goes on where it stopped."

SIZE_ALONE = "size alone"
"""How a file is checked of which the server keeps no sum that can be computed here."""

_CHECKSUMS = ("SHA256", "SHA1", "CRC32")
"""Of the sums that S3 can keep beside the ETag, those that Python computes; CRC32C and CRC64NVME need another package."""


class _CRC32:
    def __init__(self):
        self._value = 0

    def update(self, content: bytes) -> None:
        self._value = zlib.crc32(content, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_HASHES: dict[str, Callable] = {
    "SHA256": hashlib.sha256,
    "SHA1": hashlib.sha1,
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "CRC32": _CRC32,
}
"""The strongest first."""


@dataclass(frozen=True)
class Plan:
    """What is to be done for some files.

    Attributes
    ----------
    folder : Path
        The data folder.
    todo, present : tuple of RemoteFile
        Those to get or to compare, and those that are here: their size is the server's, and they are no older.
    n_bytes : int
        Room that the files to get will take, without what an earlier run got of them.
    """

    folder: Path
    todo: tuple[RemoteFile, ...]
    present: tuple[RemoteFile, ...]
    n_bytes: int

    @property
    def n_free(self) -> int:
        """Bytes that are free where the folder is or will be."""
        existing = next(path for path in (self.folder, *self.folder.parents) if path.is_dir())
        return shutil.disk_usage(existing).free

    def check_room(self) -> None:
        """Raise a DatasetError if the files to get do not fit on the disk."""
        if self.n_bytes > self.n_free:
            raise DatasetError(
                f"{self.n_bytes / 1e9:,.1f} GB are to be downloaded, and {self.folder} has room for "
                f"{self.n_free / 1e9:,.1f} GB. Ask for less with --what, --subjects or --sessions, or name another folder."
            )


def make_plan(folder: Path, files: Iterable[RemoteFile], check: bool = False) -> Plan:
    """Sort files into those that are in a folder and those to get.

    Parameters
    ----------
    folder : Path
        It need not exist.
    files : iterable of RemoteFile
    check : bool
        Read the files that are here, too, and get those again that differ from the server's sums.
    """
    todo, present, n_bytes = [], [], 0
    for file in files:
        path = folder / file.key
        if _is_here(path, file) and not check and not _is_older(path, file):
            present.append(file)
            continue
        todo.append(file)
        if not _is_here(path, file):
            n_bytes += file.size - min(_size(_part(path, file)), file.size)
    return Plan(folder, tuple(todo), tuple(present), n_bytes)


@dataclass
class Outcome:
    """What became of the files.

    Attributes
    ----------
    checked : Counter
        How files were compared with the server ("MD5", "size alone") -> number of files.
    failed : dict of str to str
        Key -> why it is not here.
    """

    checked: Counter = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)


def download(bucket: Bucket, plan: Plan, jobs: int = 8, pause: float = 1.0) -> Outcome:
    """Get the files of a plan; each appears under its name when it is whole and checked.

    Parameters
    ----------
    bucket : Bucket
    plan : Plan
    jobs : int
        Transfers at once.
    pause : float
        Seconds before a second attempt; doubled for each further one.

    Returns
    -------
    Outcome
        A file that the server refuses, or sends damaged twice, is among the failed; the others are here.

    Raises
    ------
    DatasetError
        If the files do not fit on the disk, before the download or in its course.
    MissingDataError
        If the server no longer answers.
    """
    from tqdm import tqdm

    plan.check_room()
    if error := cannot_write(plan.folder):
        raise DatasetError(f"{plan.folder} cannot be written ({error.strerror}). Name another folder.") from error
    outcome = Outcome()
    # the bar of a log file is a line now and then
    every = 0.2 if sys.stderr.isatty() else 30.0
    total = sum(file.size for file in plan.todo)
    with (
        tqdm(total=total, desc="bytes", unit="B", unit_scale=True, mininterval=every) as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        run = _Run(bucket, plan.folder, pause, bar, outcome)
        try:
            futures = [pool.submit(run.get, file) for file in plan.todo]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # also when the user interrupts
            run.stop.set()
            pool.shutdown(cancel_futures=True)
    errors = [f.exception() for f in futures if f.done() and not f.cancelled() and f.exception() is not None]
    for error in sorted(errors, key=lambda e: isinstance(e, _Stopped)):  # what stopped the others comes first
        raise error
    return outcome


class _Stopped(Exception):
    """Another file's failure, or the user, ends the run."""


class _Refused(Exception):
    """This file cannot be had; others can."""


class _Run:
    """One download, in threads."""

    def __init__(self, bucket: Bucket, folder: Path, pause: float, bar, outcome: Outcome):
        self.bucket, self.folder, self.pause, self.bar, self.outcome = bucket, folder, pause, bar, outcome
        self.stop = threading.Event()
        self._shown: Counter = Counter()
        self._counting = threading.Lock()

    def get(self, file: RemoteFile) -> None:
        """Get one file, unless it is here already."""
        target = self.folder / file.key
        try:
            make_folder(target.parent)
            with self._alone(target):
                how = self._get(file, target)
            with self._counting:
                self.outcome.checked[how] += 1
        except _Refused as error:
            with self._counting:
                self.outcome.failed[file.key] = str(error)
        except OSError as error:
            if isinstance(error, DatasetError):
                raise
            if error.errno in NO_ROOM:
                raise DatasetError(
                    f"The disk of {self.folder} is full ({error.strerror}). Make room, or ask for less with --what, --subjects "
                    f"or --sessions. {GO_ON}"
                ) from error
            with self._counting:
                self.outcome.failed[file.key] = f"cannot be written ({error.strerror})"

    @contextmanager
    def _alone(self, target: Path) -> Iterator[None]:
        """Wait while another process gets the file; if that is killed, this one goes on."""
        lock = ProcessLock(target.with_name(f".lock-{target.name}"))
        with suppress(LockingError):  # without locks, the sums find what two processes have mixed
            while not lock.acquire(wait=False):
                if self.stop.wait(0.1):
                    raise _Stopped
        try:
            yield
        finally:
            lock.release()

    def _get(self, file: RemoteFile, target: Path) -> str:
        """Name of the sum that the file was checked by."""
        part = _part(target, file)
        for other in target.parent.glob(f".part-*-{target.name}"):
            if other != part:  # of a content that the server has replaced
                other.unlink()
        expected = self._ask(lambda: self._expected(file))
        if _is_here(target, file) and (expected.matches(target) if expected.digest else not _is_older(target, file)):
            os.utime(target, (file.modified.timestamp(),) * 2)
            self._show(file, file.size)
            return expected.algorithm
        for _ in range(2):
            self._ask(lambda: self._fill(part, file), progressed=lambda: _size(part))
            if expected.matches(part):
                with open(part, "rb") as written:
                    os.fsync(written.fileno())
                os.utime(part, (file.modified.timestamp(),) * 2)
                os.replace(part, target)
                return expected.algorithm
            part.unlink()
            self._show(file, 0)
        raise _Refused(f"arrives damaged, twice: its {expected.algorithm} is not the server's")

    def _fill(self, part: Path, file: RemoteFile) -> None:
        """Get what lacks of a part, in one answer of the server."""
        from botocore.exceptions import IncompleteReadError

        part.touch()
        have = _size(part)
        if have > file.size:
            os.truncate(part, have := 0)
        self._show(file, have)
        if have == file.size:
            return
        answer = self.bucket.client.get_object(
            Bucket=self.bucket.name, Key=file.key, IfMatch=file.etag, Range=f"bytes={have}-"
        )
        if not answer.get("ContentRange", "").startswith(f"bytes {have}-"):  # the server sends all of it
            os.truncate(part, have := 0)
        with closing(answer["Body"]) as body, open(part, "ab") as out:
            for content in body.iter_chunks(PIECE):
                if self.stop.is_set():
                    raise _Stopped
                out.write(content)
                have += len(content)
                self._show(file, have)
        if have != file.size:
            raise IncompleteReadError(actual_bytes=have, expected_bytes=file.size)

    def _show(self, file: RemoteFile, n_bytes: int) -> None:
        """Move the bar to where this file is."""
        with self._counting:
            self.bar.update(n_bytes - self._shown[file.key])
            self._shown[file.key] = n_bytes

    def _ask(self, question: Callable, progressed: Callable[[], int] = lambda: 0):
        """The server's answer. Failures of the connection are tried again, until nothing has come for `ATTEMPTS` of them."""
        from botocore.exceptions import BotoCoreError, ClientError

        failures, reached = 0, progressed()
        while True:
            if self.stop.is_set():
                raise _Stopped
            try:
                return question()
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if 400 <= status < 500 and status not in (408, 429):
                    raise _Refused(_WHY.get(status, str(error))) from error
                reason = error
            except BotoCoreError as error:
                reason = error
            failures = 1 if progressed() > reached else failures + 1
            reached = progressed()
            if failures == ATTEMPTS:
                raise MissingDataError(f"{self.bucket} does not answer as it should: {reason}. {GO_ON}") from reason
            self.stop.wait(self.pause * 2 ** (failures - 1))

    def _head(self, file: RemoteFile, **more) -> dict:
        return self.bucket.client.head_object(Bucket=self.bucket.name, Key=file.key, **more)

    def _expected(self, file: RemoteFile) -> _Expected:
        """The strongest sum that the server keeps of a file; an ETag usually is an MD5."""
        facts = self._head(file, ChecksumMode="ENABLED", IfMatch=file.etag)
        # with keys of the key service or of the uploader, an ETag is no MD5
        plain = facts.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in facts
        etag = re.fullmatch(r'"([0-9a-f]{32})(?:-(\d+))?"', file.etag) if plain else None
        kept = {name: facts[f"Checksum{name}"].partition("-") for name in _CHECKSUMS if f"Checksum{name}" in facts}
        sums = {name: (base64.b64decode(text), int(n_parts or 0)) for name, (text, _, n_parts) in kept.items()}
        if etag:
            sums["MD5"] = bytes.fromhex(etag[1]), int(etag[2] or 0)
        algorithm = next((name for name in _HASHES if name in sums), SIZE_ALONE)  # the strongest
        digest, n_parts = sums.get(algorithm, (None, 0))
        sizes = self._part_sizes(file, n_parts) if n_parts else (file.size,)
        if sum(sizes) != file.size:  # a server that does not tell them
            return _Expected(SIZE_ALONE, None, file.size)
        return _Expected(algorithm, digest, file.size, sizes, in_parts=n_parts > 0)

    def _part_sizes(self, file: RemoteFile, n_parts: int) -> tuple[int, ...]:
        """Bytes of the parts that a file was uploaded in. All but the last are usually alike; else each is asked for."""

        def size(number: int) -> int:
            return self._head(file, PartNumber=number)["ContentLength"]

        first, last = size(1), size(n_parts)
        if first * (n_parts - 1) + last == file.size:
            return (*[first] * (n_parts - 1), last)
        return (first, *(size(number) for number in range(2, n_parts)), last)


@dataclass(frozen=True)
class _Expected:
    """What the server says of a file's content: a digest of it, or of the digests of its parts."""

    algorithm: str
    digest: bytes | None
    size: int
    part_sizes: tuple[int, ...] = ()
    in_parts: bool = False

    def matches(self, path: Path) -> bool:
        """Whether a file has this content, as far as the server tells."""
        if self.digest is None or _size(path) != self.size:
            return _size(path) == self.size
        digests = []
        with open(path, "rb") as content:
            for n_bytes in self.part_sizes:
                hashed = _HASHES[self.algorithm]()
                for start in range(0, n_bytes, PIECE):
                    hashed.update(content.read(min(PIECE, n_bytes - start)))
                digests.append(hashed.digest())
        if not self.in_parts:
            return digests[0] == self.digest
        whole = _HASHES[self.algorithm]()
        whole.update(b"".join(digests))
        return whole.digest() == self.digest


_WHY = {
    403: "the server refuses it to the public",
    404: "is no longer in the bucket",
    412: "was replaced on the server in the meantime; run the same command again",
}


def _part(target: Path, file: RemoteFile) -> Path:
    """Where a file grows; its name says which content it is a part of."""
    return target.with_name(f".part-{hashlib.sha1(file.etag.encode()).hexdigest()[:8]}-{target.name}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_here(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and _size(path) == file.size


def _is_older(path: Path, file: RemoteFile) -> bool:
    return int(path.stat().st_mtime) < int(file.modified.timestamp())
