"""Test stimuli that folds or subjects have in common, which are drawn apart where not all of them are the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse

SMALL_WIDENING = 1.05
"""Of a mean's standard error, where less is not worth a note."""

SUBJECTS_OVERLAP = (
    "stimuli of the subjects are the same in part; the mean over subjects is drawn as if they were independent, so that "
    "its standard error may be up to {:.0%} too small, its interval too narrow and its p values too small. Those of single "
    "subjects are right. A benchmark on stimuli that all subjects have tests the mean."
)

OVERLAP = (
    "Folds have test stimuli, or groups of them, in common: their mean varies {:.0%} more than that of folds that have none. "
    "Intervals of comparisons say so; the error over folds does not, and is too small."
)


def overlap_widening(tasks: Sequence) -> float:
    """How many times as much a mean over tasks varies over other stimuli, at most, as what is known of it says.

    That is √(Σ ρ_ij s_i s_j / Σ' ρ_ij s_i s_j), with ρ the cosines of :func:`in_common`, s_i = 1/√n_i for n_i stimuli or groups
    of them, and Σ' over the pairs that are accounted for: tasks with the same test stimuli, which have the same draws, and
    those of one subject, whose folds :func:`~.differences.compare` widens itself. Others are drawn independently.
    """
    drawn = [(task.test_ids, task.bootstrap_groups) for task in tasks]
    number_of, subjects = {}, np.array([task.subject for task in tasks])
    draws = np.array([number_of.setdefault(one, len(number_of)) for one in drawn])
    known = (draws[:, None] == draws) | (subjects[:, None] == subjects)
    spread = np.array([1 / np.sqrt(len(set(task.bootstrap_groups or task.test_ids))) for task in tasks])
    covariance = in_common(tasks) * np.outer(spread, spread)
    return float(np.sqrt(covariance.sum() / covariance[known].sum()))


def in_common(tasks: Sequence) -> np.ndarray:
    """How much of what is drawn two tasks have in common, shape (tasks, tasks).

    The correlation of two tasks' scores over other stimuli, if each is a mean over stimuli and stimuli of one group are alike:
    the cosine of how many stimuli of each group are in either.
    """
    stimuli = [task.test_ids for task in tasks]
    groups = [task.bootstrap_groups or task.test_ids for task in tasks]
    return np.maximum(_cosines(stimuli), _cosines(groups))


def _cosines(labels: Sequence[Sequence[str]]) -> np.ndarray:
    """Of how often each label is in either, shape (lists, lists)."""
    number_of: dict[str, int] = {}
    rows = np.repeat(np.arange(len(labels)), [len(one) for one in labels])
    columns = [number_of.setdefault(label, len(number_of)) for one in labels for label in one]
    counts = scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(labels), len(number_of)))
    products = (counts @ counts.T).toarray()
    norms = np.sqrt(products.diagonal())
    found = products / np.outer(norms, norms)
    np.fill_diagonal(found, 1)
    return found


def folds_widening(tasks: Sequence, shares: np.ndarray) -> float:
    """How many times as much a mean over folds varies as if folds that are drawn apart had nothing in common.

    Parameters
    ----------
    tasks : sequence of SubjectTask
        Of one subject, fold by fold.
    shares : numpy.ndarray of float64, shape (folds, folds)
        Of :func:`in_common`.
    """
    drawn = [(task.test_ids, task.bootstrap_groups) for task in tasks]
    apart = np.array([[one != other for other in drawn] for one in drawn])
    return float(np.sqrt(1 + (shares * apart).sum() / len(shares)))


def note_on_subjects(widening: float) -> tuple[str, ...]:
    """A note on a mean over subjects that are drawn apart and have stimuli in common.

    Parameters
    ----------
    widening : float
        Of :func:`overlap_widening`.
    """
    return (SUBJECTS_OVERLAP.format(1 - 1 / widening),) if widening > SMALL_WIDENING else ()
