"""Features that stay on the GPU between the forward pass and the kernel, where they fit.

They take the place of a :class:`~.spool.FeatureSpool`. Nothing of them is on disk: a run that is killed records them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ModelOutputError, StorageError
from .compute import BYTES, Compute
from .kernel import COLUMN_BLOCK

ROOM = 2 * 2**30
"""Bytes that a GPU keeps free for what is not counted below."""

LATER_MATRICES = 6
"""Matrices of stimuli × stimuli that a kernel, a decomposition and products with it take at most at once."""


@dataclass(frozen=True)
class DeviceRoom:
    """What features on a GPU must leave free.

    Attributes
    ----------
    compute : Compute
    n_stimuli : int
        Of the largest kernel that will be made of them.
    batch_bytes : int
        What the network takes to answer to a batch, on top of its weights.
    """

    compute: Compute
    n_stimuli: int
    batch_bytes: int

    def fits(self, n_bytes: int) -> bool:
        """Whether features of so many bytes leave enough."""
        later = LATER_MATRICES * self.n_stimuli**2 + 4 * self.n_stimuli * COLUMN_BLOCK
        return n_bytes + later * BYTES + self.batch_bytes + ROOM <= self.compute.free_bytes()


class DeviceFeatures:
    """Features of one layer for one part of a pool, on a GPU; a :class:`~.kernel.FeatureSource`.

    Parameters
    ----------
    n_stimuli, n_features : int
    label : str
        Layer, for messages.
    compute : Compute
        On the GPU.
    """

    def __init__(self, n_stimuli: int, n_features: int, label: str, compute: Compute):
        self.n_stimuli, self.n_features, self.label, self.n_written = n_stimuli, n_features, label, 0
        self._torch, self._device = compute.numerics, compute.device
        self._values = self._room(self._torch.float32)

    def _room(self, dtype):
        return self._torch.empty((self.n_stimuli, self.n_features), dtype=dtype, device=self._device)

    @property
    def complete(self) -> bool:
        return self.n_written == self.n_stimuli

    def append(self, features) -> None:
        """Keep the features of the next stimuli, shape (n_batch, n_features), an array or a tensor."""
        if isinstance(features, np.ndarray):
            features = self._torch.from_numpy(features)
        if self.n_written == 0 and features.dtype != self._values.dtype:
            self._values = None  # before the room for another type is taken
            self._values = self._room(features.dtype)
        if features.shape[1] != self.n_features or features.dtype != self._values.dtype:
            raise ModelOutputError(
                f"A layer has the same features for all stimuli; {self.label} gave {self.n_features} of type "
                f"{self._values.dtype} before and {features.shape[1]} of type {features.dtype} now. "
                f"Check for preprocessing that changes the image size from image to image."
            )
        stop = self.n_written + len(features)
        if stop > self.n_stimuli:
            raise ModelOutputError(
                f"{self.label} answered for more stimuli ({stop}) than it was shown ({self.n_stimuli})."
            )
        self._values[self.n_written : stop] = features
        self.n_written = stop

    def rewind(self, n_stimuli: int) -> None:
        """Forget what comes after ``n_stimuli``."""
        self.n_written = min(self.n_written, n_stimuli)

    def read_columns(self, start: int, stop: int):
        """Features ``start`` to ``stop`` of all stimuli, a tensor of shape (n_stimuli, stop - start)."""
        if not self.complete:
            raise StorageError(f"{self.n_written} of {self.n_stimuli} stimuli of {self.label} were recorded.")
        return self._values[:, start:stop]

    def close(self) -> None:
        """Let go of the memory."""
        self._values = None

    remove = close
