"""How well any model could predict the subjects' RDMs: bounds from other subjects, reliability from repetitions.

They stand beside the ceiling that a score is divided by, and divide nothing themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from ..errors import ResponsesError
from .similarity import unit_ranks


def nili_bounds(ranks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound of the noise ceiling of RDM correlations, per subject (Nili et al. 2014).

    The mean of the subjects' rank-transformed RDMs is the RDM that correlates best with all of them. Each subject's
    Spearman correlation with it is the upper bound (the subject is part of the mean, so it overfits); with the mean of the
    other subjects, the lower bound.

    Parameters
    ----------
    ranks : sequence of numpy.ndarray, shape (pairs,)
        One per subject, of the same stimuli: ranks of the RDM's upper triangle (:func:`~.similarity.response_ranks`), or whole
        multiples of them.

    Returns
    -------
    lower, upper : numpy.ndarray of float64, shape (subjects,)
        Their means over subjects are the bounds of a mean score.

    Raises
    ------
    ResponsesError
        Fewer than two subjects, or RDMs of different size.
    """
    if len(ranks) < 2:
        raise ResponsesError(f"Bounds from other subjects need at least two subjects; received {len(ranks)}.")
    if len({len(r) for r in ranks}) > 1:
        raise ResponsesError(f"RDMs of the same stimuli have as many pairs; received {[len(r) for r in ranks]}.")
    total = np.sum(ranks, axis=0, dtype=float)  # sums of ranks are exact, so that equal means stay ties
    total_ranks = unit_ranks(rankdata(total))
    subjects = [unit_ranks(own) for own in ranks]
    upper = np.array([total_ranks @ own for own in subjects])
    lower = np.array([unit_ranks(rankdata(total - own)) @ unit for own, unit in zip(ranks, subjects, strict=True)])
    return lower, upper


def split_half_reliability(ranks_a: np.ndarray, ranks_b: np.ndarray) -> float:
    """Reliability of a subject's RDM, from the RDMs of two halves of its trials.

    The Spearman correlation r of the halves, corrected to the full number of trials by Spearman and Brown's 2 r / (1 + r).

    Parameters
    ----------
    ranks_a, ranks_b : numpy.ndarray, shape (pairs,)
        Ranks of the upper triangles.
    """
    r = float(unit_ranks(ranks_a) @ unit_ranks(ranks_b))
    return 2 * r / (1 + r)
