"""How the engine runs: settings that change time and memory, never a score."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import StimulusKernelError
from .files import expanded

DEVICES = ("cpu", "cuda")
RANDOM_FEATURES = ("refuse", "accept")
CHANGED_MODELS = ("remake", "refuse")


def engine_home() -> Path:
    """Folder of everything the engine keeps: ``$BRAINSCORE_HOME/stimulus_kernels`` (default ``~/.brain-score``)."""
    return expanded(os.environ.get("BRAINSCORE_HOME") or "~/.brain-score") / "stimulus_kernels"


@dataclass(frozen=True)
class EngineOptions:
    """Settings of one run.

    Attributes
    ----------
    store : bool
        Keep kernels on disk and use those that are there.
    store_directory : pathlib.Path or None
        Where kernels are kept; None for ``engine_home() / "kernels"``.
    spool_directory : pathlib.Path or None
        Where features wait between the forward pass and the kernel; None for ``engine_home() / "spool"``.
    random_features : {"refuse", "accept"}
        What to do with a model whose features differ between two passes over the same images: raise, or score it once
        without keeping its kernels.
    changed_models : {"remake", "refuse"}
        What to do where the stored kernel is of other features than the model has now: make it again, with a note in the
        Score, or raise. A sweep refuses: its kernels were made a moment ago, by a model of the same name.
    max_memory : int or None
        Bytes that a decomposition, the largest of the engine's steps, may take; None for what is fastest. With less than
        three matrices of training stimuli × training stimuli it takes longer, with less than two nothing starts.
    max_spool : int
        Bytes that features of a layer map may take on disk at once: it has as many passes over the images as this needs.
    device : {"cpu", "cuda"}
        Where kernels and eigendecompositions are computed.
    exact : bool
        Fit ridge by eigenvectors alone, with the leave-one-out error of every penalty, neuroid and stimulus: without the band
        matrix, the low rank and the samples that save time. Scores are the same but for rounding; this is how to check it.
    progress : bool
        Show progress bars; they are silent when standard error is not a terminal.
    """

    store: bool = True
    store_directory: Path | None = None
    spool_directory: Path | None = None
    random_features: str = "refuse"
    changed_models: str = "remake"
    max_memory: int | None = None
    max_spool: int = 20 * 10**9
    device: str = "cpu"
    exact: bool = False
    progress: bool = True

    def __post_init__(self):
        choices_of = {"random_features": RANDOM_FEATURES, "changed_models": CHANGED_MODELS, "device": DEVICES}
        for name, choices in choices_of.items():
            if getattr(self, name) not in choices:
                raise StimulusKernelError(f"{name} is one of {', '.join(choices)}; received {getattr(self, name)!r}.")

    @property
    def kernels(self) -> Path:
        return Path(self.store_directory) if self.store_directory is not None else engine_home() / "kernels"

    @property
    def layer_maps(self) -> Path:
        """Where scores of layers are kept."""
        return self.kernels / "layer_maps"

    @property
    def spool(self) -> Path:
        return Path(self.spool_directory) if self.spool_directory is not None else engine_home() / "spool"

    @property
    def screen(self) -> Path:
        """Where images fitted to a model's field of view are kept."""
        return engine_home() / "screen"
