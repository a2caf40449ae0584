"""A pool of stimuli that one kernel covers, in parts that several pools may share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Protocol

from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from .errors import StimulusKernelError
from .features.image_files import check_degrees
from .named_rows import ids_of

WIDEST = 180
"""Degrees of visual angle: no screen that is looked at is wider."""


@dataclass(frozen=True)
class StimulusPart:
    """Stimuli that are always shown together, so that their features are recorded once for all pools that hold them.

    Attributes
    ----------
    name : str
        For progress.
    stimulus_ids : tuple of str
    shown : tuple or None
        Width and provider of the pool that holds them, which fills it in: stimuli that are called alike are others elsewhere.
    """

    name: str
    stimulus_ids: tuple[str, ...]
    shown: tuple | None = field(default=None, repr=False)

    def __post_init__(self):
        ids = ids_of(self.stimulus_ids, f"stimulus_ids of the part {self.name}", StimulusKernelError)
        object.__setattr__(self, "stimulus_ids", ids)


class StimulusProvider(Protocol):
    """Where the images of a pool come from. Pools, and their parts, are equal only if their providers are.

    Images are plain: RGB or grey with 8 bits, upright, without transparent pixels. This is checked, but for providers with
    an attribute ``images_are_plain`` that is true.
    """

    def load_stimuli(self, stimulus_ids: Sequence[str]) -> StimulusSet:
        """The given stimuli in their order, one image file each, as they were shown to the subjects."""

    def content_hashes(self, stimulus_ids: Sequence[str]) -> dict[str, str]:
        """Hash (hexadecimal) of what is shown, for each stimulus."""


@dataclass(frozen=True)
class StimulusPool:
    """All stimuli of a kernel.

    Attributes
    ----------
    name : str
        For messages and progress.
    parts : tuple of StimulusPart
        Stacked in this order.
    visual_degrees : float
        Width of the stimuli as they were shown to the subjects, in degrees of visual angle.
    provider : StimulusProvider
    stimulus_ids : tuple of str
        Stimuli of all parts, in order.
    """

    name: str
    parts: tuple[StimulusPart, ...]
    visual_degrees: float
    provider: StimulusProvider = field(repr=False)
    stimulus_ids: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        degrees = self.visual_degrees
        if isinstance(degrees, bool) or not isinstance(degrees, Real) or not 0 < degrees < WIDEST:
            raise StimulusKernelError(
                f"visual_degrees of a pool is how wide its stimuli were, in degrees, above 0 and below {WIDEST}; that of "
                f"{self.name} is {degrees!r}. Give the width on the screen as people saw it."
            )
        if not isinstance(degrees, int | float):  # keys of kernels hold plain numbers
            object.__setattr__(self, "visual_degrees", float(degrees))
        parts = [self.parts] if isinstance(self.parts, StimulusPart) else self.parts
        parts = list(parts) if isinstance(parts, Iterable) else [parts]
        others = [part for part in parts if not isinstance(part, StimulusPart)]
        if others:
            raise StimulusKernelError(
                f"parts of a pool are StimulusParts; those of {self.name} have {others[0]!r}. Give "
                f"StimulusPart('all', stimulus_ids)."
            )
        shown = self.visual_degrees, self.provider
        object.__setattr__(self, "parts", tuple(replace(part, shown=shown) for part in parts))
        ids = tuple(stimulus_id for part in self.parts for stimulus_id in part.stimulus_ids)
        if len(set(ids)) != len(ids):
            raise StimulusKernelError(
                f"A pool holds each stimulus once; {self.name} repeats {len(ids) - len(set(ids))} of {len(ids)}."
            )
        object.__setattr__(self, "stimulus_ids", ids)

    def load_stimuli(self, stimulus_ids: Sequence[str]) -> StimulusSet:
        """Some of the stimuli, in their order, as the provider gives them.

        Raises
        ------
        StimulusKernelError
            The provider names no image file for one of them.
        """
        stimuli = self._ask("load_stimuli", stimulus_ids)
        paths = getattr(stimuli, "stimulus_paths", None)
        self._check_answer("stimulus_paths of what its provider loads", paths, stimulus_ids)
        if "stimulus_id" not in stimuli:
            raise StimulusKernelError(
                f"load_stimuli of a provider returns a StimulusSet with a column stimulus_id; that of {self.name} has "
                f"{', '.join(map(str, stimuli))}. Name its column so."
            )
        check_degrees(stimuli, self.visual_degrees, self.name)
        return stimuli

    def content_hashes(self, stimulus_ids: Sequence[str]) -> dict[str, str]:
        """Stimulus id to the hash of what is shown, of some of the stimuli, as the provider gives them.

        Raises
        ------
        StimulusKernelError
            The provider has none of one of them.
        """
        hashes = self._ask("content_hashes", stimulus_ids)
        self._check_answer("content_hashes of its provider", hashes, stimulus_ids)
        return hashes

    def shows_as(self, other: StimulusPool, stimulus_ids: Sequence[str]) -> bool:
        """Whether another pool shows the same images under these ids: its provider is equal, or their hashes are."""
        if self.provider == other.provider:
            return True
        if not all(callable(getattr(pool.provider, "content_hashes", None)) for pool in (self, other)):
            return False
        own, others = (pool.content_hashes(stimulus_ids) for pool in (self, other))
        return all(own[stimulus_id] == others[stimulus_id] for stimulus_id in stimulus_ids)

    def _ask(self, method: str, stimulus_ids: Sequence[str]):
        asked = getattr(self.provider, method, None)
        if not callable(asked):
            raise StimulusKernelError(
                f"The provider of a pool has load_stimuli and content_hashes (StimulusProvider); that of {self.name} is a "
                f"{type(self.provider).__name__} without {method}. A pool without one serves models that look features up."
            )
        return asked(stimulus_ids)

    def _check_answer(self, what: str, answer, stimulus_ids: Sequence[str]) -> None:
        missing = list(stimulus_ids)
        if isinstance(answer, Mapping):
            missing = [stimulus_id for stimulus_id in stimulus_ids if stimulus_id not in answer]
        if missing:
            raise StimulusKernelError(
                f"A pool's images and their hashes are in dictionaries by stimulus; {what} in {self.name} is a "
                f"{type(answer).__name__} that lacks {len(missing)} of {len(stimulus_ids)}, the first: {missing[0]!r}. Add "
                f"them, or leave these stimuli out of the pool."
            )
