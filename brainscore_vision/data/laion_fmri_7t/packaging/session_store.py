"""Finished sessions of a subject whose assembly is not finished: kept on disk, checked when they are taken up again.

A session is one ``.npy`` of z-scored betas and one ``.json`` that says what it was made from; the JSON is written last.
Everything in the folder was made by one plan (mask, voxels, regions): the store refuses to go on with another.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..assemblies.zscore import ZscoreCounts
from ..errors import DatasetError, SchemaError
from ..home import write_atomically
from .betas import file_sha256

_PLAN = "plan.json"
FORMAT = 1
"""Goes up when sessions are made in another way, so that old ones are not taken up."""


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
    """

    path: str
    size: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, root: Path, sha256: str | None = None) -> "SourceFile":
        """Describe a file; its content is read unless the digest is known."""
        stat = path.stat()
        relative = path.relative_to(root).as_posix()
        return cls(relative, stat.st_size, stat.st_mtime_ns, sha256 or file_sha256(path))

    def is_unchanged(self, root: Path) -> bool:
        """Whether the file is there with the size and time of then; its content is not read again."""
        path = root / self.path
        if not path.is_file():
            return False
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.modified_ns)


@dataclass(frozen=True)
class SessionRecord:
    """What is known of a finished session.

    Attributes
    ----------
    session : str
    n_trials, n_voxels : int
    sources : tuple of SourceFile
        Betas and trial table.
    counts : ZscoreCounts
    sha256 : str
        Of the stored betas.
    """

    session: str
    n_trials: int
    n_voxels: int
    sources: tuple[SourceFile, ...]
    counts: ZscoreCounts
    sha256: str


class SessionStore:
    """Finished sessions of one subject.

    Parameters
    ----------
    folder : Path
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
        found = self._read(folder / _PLAN)
        if found is not None and found != wanted:
            differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
            raise DatasetError(
                "Sessions of one assembly are made in one way, with one brain mask; the finished sessions in "
                f"{folder} have {', '.join(f'{key} {found.get(key)!r}' for key in differing)}, now asked for is "
                f"{', '.join(f'{key} {wanted.get(key)!r}' for key in differing)}. Go on with the earlier choice, or "
                "discard them with --start-over."
            )
        if found is None:
            write_atomically(folder / _PLAN, json.dumps(wanted, indent=1).encode())

    def load(self, session: str) -> tuple[np.ndarray, SessionRecord] | None:
        """A finished session, None if there is none or its files or sources have changed."""
        record = self.record(session)
        if record is None or not self._array(session).is_file():
            return None
        if file_sha256(self._array(session)) != record.sha256:
            return None
        return np.load(self._array(session)), record

    def record(self, session: str) -> SessionRecord | None:
        """What a finished session was made from, None if it would have to be made again."""
        stored = self._read(self._json(session))
        if stored is None:
            return None
        record = SessionRecord(
            **{
                **stored,
                "sources": tuple(SourceFile(**source) for source in stored["sources"]),
                "counts": ZscoreCounts(**stored["counts"]),
            }
        )
        return record if all(source.is_unchanged(self.root) for source in record.sources) else None

    def save(self, session: str, betas: np.ndarray, sources: tuple[SourceFile, ...], counts: ZscoreCounts) -> None:
        """Keep a finished session, whole or not at all."""
        temporary = self._array(session).with_suffix(".part")
        with open(temporary, "wb") as file:
            np.save(file, betas)
        record = SessionRecord(session, *betas.shape, sources, counts, file_sha256(temporary))
        temporary.replace(self._array(session))
        write_atomically(self._json(session), json.dumps(asdict(record), indent=1).encode())

    def clear(self) -> None:
        """Remove the folder."""
        discard(self.folder)

    def _array(self, session: str) -> Path:
        return self.folder / f"{session}.npy"

    def _json(self, session: str) -> Path:
        return self.folder / f"{session}.json"

    @staticmethod
    def _read(path: Path) -> dict | None:
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise SchemaError(
                f"{path} is written by rebuild_assemblies.py in one step; it cannot be read: {error}. Discard the "
                "finished sessions with --start-over."
            ) from error


def discard(folder: Path) -> None:
    """Remove a store's folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)
