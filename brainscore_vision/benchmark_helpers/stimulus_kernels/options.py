"""How the engine runs: settings that change time and memory, never a score."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def engine_home() -> Path:
    """Folder of everything the engine keeps: ``$BRAINSCORE_HOME/stimulus_kernels`` (default ``~/.brain-score``)."""
    return Path(os.environ.get("BRAINSCORE_HOME", "~/.brain-score")).expanduser() / "stimulus_kernels"


@dataclass(frozen=True)
class EngineOptions:
    """Settings of one run.

    Attributes
    ----------
    spool_directory : pathlib.Path or None
        Where features wait between the forward pass and the kernel; None for ``engine_home() / "spool"``.
    progress : bool
        Show progress bars; they are silent when standard error is not a terminal.
    """

    spool_directory: Path | None = None
    progress: bool = True

    @property
    def spool(self) -> Path:
        return Path(self.spool_directory) if self.spool_directory is not None else engine_home() / "spool"

    @property
    def screen(self) -> Path:
        """Where images fitted to a model's field of view are kept."""
        return engine_home() / "screen"
