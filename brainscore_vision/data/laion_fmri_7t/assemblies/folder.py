"""Assemblies as files of a dataset folder."""

from pathlib import Path

from ..constants import SUBJECTS
from ..errors import MissingDataError
from .file import AssemblyFile


class FolderAssemblies:
    """Assemblies of a dataset folder.

    Parameters
    ----------
    root : Path
        The dataset's folder; `source.open_dataset` has seen to it that it has ``assemblies``.
    """

    def __init__(self, root: Path):
        self.root = root
        self.subjects = tuple(subject for subject in SUBJECTS if self._file(subject).is_file())

    def path(self, subject: str) -> Path:
        """A subject's file."""
        if not self._file(subject).is_file():
            raise MissingDataError(
                f"Scoring {subject} needs {self._file(subject)}; the folder has "
                f"{', '.join(self.subjects)}. Score these subjects (subjects=...), or put the file "
                f"in place."
            )
        return self._file(subject)

    def digest(self, subject: str) -> str:
        """SHA-1 over the coordinates and a sample of the data."""
        return AssemblyFile(self.path(subject), subject).sample_digest()

    def _file(self, subject: str) -> Path:
        return self.root / "assemblies" / f"{subject}.nc"
