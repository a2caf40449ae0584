"""Finished sessions of a subject whose assembly is not finished, kept on disk and checked before they are used again.

A session is one ``.npy`` of z-scored betas and one ``.json`` that says what it was made from; the JSON is written last.
One plan (mask, voxels, regions) made everything in the folder: the store refuses to go on with another plan.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state

from ..assemblies.zscore import ZscoreCounts
from ..errors import DatasetError
from ..home import write_atomically
from .layout import read_json

FORMAT = 1
"""Goes up when sessions are made in another way, so that old ones are not used."""


@dataclass(frozen=True)
class SourceFile:
    """One file that an assembly was made from.

    Attributes
    ----------
    path : str
        Relative to the data folder, with forward slashes.
    size : int
        Bytes.
    modified_ns : int
        When it was last written, in nanoseconds since 1970.
    sha256 : str
        Hexadecimal.
    changed_ns, inode : int or None
        When the file system last changed its entry, and its number there; None in what earlier versions wrote.
    """

    path: str
    size: int
    modified_ns: int
    sha256: str
    changed_ns: int | None = None
    inode: int | None = None

    @classmethod
    def of(cls, path: Path, root: Path, sha256: str | None = None) -> "SourceFile":
        """Describe a file; its content is read unless the digest is known."""
        size, modified, changed, inode = file_state(path)
        relative = path.relative_to(root).as_posix()
        return cls(relative, size, modified, sha256 or _file_sha256(path), changed, inode)

    def is_unchanged(self, root: Path) -> bool:
        """Whether the file is still the same: by its state, or where it was moved or put in place of another, its content."""
        path = root / self.path
        if not path.is_file():
            return False
        size, modified, changed, inode = file_state(path)
        if (size, modified) != (self.size, self.modified_ns):
            return False
        return (changed, inode) == (self.changed_ns, self.inode) or _file_sha256(path) == self.sha256


@dataclass(frozen=True)
class SessionRecord:
    """What a finished session was made from (betas and trial table), and the SHA-256 of its stored betas."""

    sources: tuple[SourceFile, ...]
    counts: ZscoreCounts
    sha256: str


class SessionStore:
    """Finished sessions of one subject, in one folder.

    Parameters
    ----------
    plan : dict of str to str or int
        What every session in the folder has in common.
    root : Path
        The data folder that sources are relative to.

    Raises
    ------
    DatasetError
        If the folder holds sessions of another plan.
    """

    def __init__(self, folder: Path, plan: dict, root: Path):
        self.folder = folder
        self.root = root
        wanted = {"format": FORMAT, **plan}
        found = self._read("plan")
        if found is None:
            self._write("plan", wanted)
        elif found != wanted:
            differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
            raise DatasetError(
                "Sessions of one assembly are made in one way, with one brain mask; the finished sessions in "
                f"{folder} have {', '.join(f'{key} {found.get(key)!r}' for key in differing)}, now asked for is "
                f"{', '.join(f'{key} {wanted.get(key)!r}' for key in differing)}. Go on with the earlier choice, or "
                "discard them with --start-over."
            )

    def record(self, session: str) -> SessionRecord | None:
        """What a finished session was made from; None if the session is not finished, or a source has changed."""
        stored = self._read(session)
        if stored is None:
            return None
        sources = tuple(SourceFile(**source) for source in stored["sources"])
        if not all(source.is_unchanged(self.root) for source in sources):
            return None
        return SessionRecord(sources, ZscoreCounts(**stored["counts"]), stored["sha256"])

    def load(self, session: str) -> np.ndarray | None:
        """Betas of a finished session, (n_trials, n_voxels) float32; None as for `record`, or if they are damaged."""
        record, array = self.record(session), self._array(session)
        if record is None or not array.is_file() or _file_sha256(array) != record.sha256:
            return None
        return np.load(array)

    def save(self, session: str, betas: np.ndarray, sources: tuple[SourceFile, ...], counts: ZscoreCounts) -> None:
        """Keep a finished session, whole or not at all."""
        temporary = self._array(session).with_suffix(".part")
        with open(temporary, "wb") as file:
            np.save(file, betas)
        record = SessionRecord(sources, counts, _file_sha256(temporary))
        temporary.replace(self._array(session))
        shape = dict(zip(("n_trials", "n_voxels"), betas.shape, strict=True))
        self._write(session, {"session": session, **shape, **asdict(record)})

    def _array(self, session: str) -> Path:
        return self.folder / f"{session}.npy"

    def _read(self, name: str) -> dict | None:
        remedy = "Discard the finished sessions with --start-over."
        return read_json(self.folder / f"{name}.json", "what is known of finished sessions", remedy)

    def _write(self, name: str, content: dict) -> None:
        write_atomically(self.folder / f"{name}.json", json.dumps(content, indent=1).encode())


def _file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
