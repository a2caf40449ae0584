"""Test stimuli, resampled: what all comparisons draw their intervals from."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..errors import StimulusKernelError
from ..statistics.bootstrap import (
    FEWEST_GROUPS,
    Draws,
    count_groups,
    has_few_groups,
    has_groups,
    resampled_counts,
    stimuli_digest,
)


def check_draws(n_draws: int) -> None:
    """Raise StimulusKernelError if no interval comes of so many draws."""
    if isinstance(n_draws, bool) or not isinstance(n_draws, Integral) or n_draws < 2:
        raise StimulusKernelError(
            f"bootstrap_draws is a whole number, at least 2 and 1,000 as a rule; received {n_draws!r}."
        )


@dataclass(frozen=True)
class Resampled:
    """The test stimuli of a task, resampled.

    Attributes
    ----------
    test_ids : tuple of str
    groups : tuple of str or None
    n_draws : int
    counts : numpy.ndarray of float64, shape (draws, stimuli), or None
        None if there are too few groups to draw from.
    notes : tuple of str
        What a reader of an interval should know of its groups.
    """

    test_ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    n_draws: int
    counts: np.ndarray | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, test_ids: tuple[str, ...], groups: tuple[str, ...] | None, n_draws: int) -> Resampled:
        n_groups = count_groups(test_ids, groups)
        kind = "group" if n_groups == 1 else "groups"
        are = f"come in {n_groups} {kind} of similar ones" if has_groups(groups) else "are few"
        found = f"The {len(test_ids)} test images {are}"
        if n_groups < FEWEST_GROUPS:
            note = (
                f"{found}: what other images would give cannot be told from fewer than {FEWEST_GROUPS}, so there is no "
                f"interval, and no p value of a difference between models."
            )
            return cls(test_ids, groups, n_draws, None, (note,))
        notes = ()
        if has_few_groups(len(test_ids), n_groups):
            notes = (f"{found}: intervals, by t over whole groups, are a little too narrow, and p values too small.",)
        return cls(test_ids, groups, n_draws, resampled_counts(test_ids, n_draws, groups), notes)

    def is_for(self, test_ids: tuple[str, ...], groups: tuple[str, ...] | None) -> bool:
        return (test_ids, groups) == (self.test_ids, self.groups)

    def draws(self, values: dict[str, np.ndarray], medians: np.ndarray | None = None) -> Draws:
        """Values of :attr:`counts`, with what makes them comparable to another model's."""
        digest = stimuli_digest(self.test_ids, self.n_draws, self.groups)
        return Draws(values, digest, count_groups(self.test_ids, self.groups), medians)
