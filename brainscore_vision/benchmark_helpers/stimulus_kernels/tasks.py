"""One subject's share of a benchmark, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from .errors import ResponsesError, StimulusKernelError
from .named_rows import misnamed_rows, row_indexes
from .pool import StimulusPool
from .responses import Responses
from .statistics.bootstrap import Draws
from .statistics.ceilings import ExplainableVariance, NoiseCeiling


@dataclass(frozen=True)
class SubjectTask:
    """What has to be compared for one subject. Equal tasks have equal results.

    Attributes
    ----------
    subject : str
    region : str
        The measured region.
    model_region : str
        The region that the model is asked to record.
    pool : StimulusPool
        Covers the training and test stimuli.
    train_ids, test_ids : tuple of str
        No stimulus is in both. ``train_ids`` is empty for metrics that fit nothing.
    metric : Metric
        See :mod:`.comparisons`.
    load_responses : callable
        ``load_responses() -> Responses`` of all stimuli of the subject, called when the task's turn comes. Part of what
        makes tasks equal, so a frozen dataclass with ``__call__`` serves better than a closure.
    load_halves : callable or None
        ``load_halves(stimulus_ids) -> (Responses, Responses)``: averages over two halves of each stimulus's trials, of the
        stimuli asked for that have two or more, in any order; called by metrics that report the reliability of RDMs.
    bootstrap_groups : tuple of str or None
        Label of each test stimulus's group, in their order: stimuli of one group (near-duplicates, a series) are resampled
        together. None, or labels that all differ: the test stimuli are independent examples of their kind.
    """

    subject: str
    region: str
    model_region: str
    pool: StimulusPool
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    metric: object
    load_responses: Callable[[], Responses] = field(repr=False)
    load_halves: Callable[[tuple[str, ...]], tuple[Responses, Responses]] | None = field(default=None, repr=False)
    bootstrap_groups: tuple[str, ...] | None = field(default=None, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "train_ids", tuple(self.train_ids))
        object.__setattr__(self, "test_ids", tuple(self.test_ids))
        self._check_parts()
        both = sorted(set(self.train_ids).intersection(self.test_ids))
        if both:
            raise StimulusKernelError(
                f"What a model is fitted on is no test; {len(both)} of {len(self.test_ids)} test stimuli of {self.subject} are "
                f"training stimuli too, the first: {both[0]!r}. Take them out of train_ids or test_ids."
            )
        if self.bootstrap_groups is not None:
            object.__setattr__(self, "bootstrap_groups", self._labels(self.bootstrap_groups))

    def _labels(self, groups) -> tuple:
        """Labels of groups, of whatever holds them, checked."""
        if misnamed_rows(row_indexes(groups), self.test_ids) is not None:
            raise StimulusKernelError(
                f"bootstrap_groups are those of test_ids, in their order; for {self.subject} the rows of the table have other "
                f"names, or another order. Sort it by the ids (groups.loc[list(test_ids)]), or give a list."
            )
        labels = groups if isinstance(groups, list | tuple) else np.asarray(groups)
        if isinstance(labels, np.ndarray):
            labels = (labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels).tolist()
        found = f"a {type(groups).__name__}"
        if isinstance(labels, list | tuple) and not any(isinstance(label, list) for label in labels):
            missing = sum(pd.api.types.is_scalar(label) and pd.isna(label) for label in labels)
            found = f"{len(labels)} labels{f', {missing} of them missing' if missing else ''}"
            if (
                len(labels) == len(self.test_ids)
                and not missing
                and all(isinstance(label, Hashable) for label in labels)
            ):
                return tuple(labels)
        raise StimulusKernelError(
            f"bootstrap_groups labels each test stimulus, in the order of test_ids; for the {len(self.test_ids)} of "
            f"{self.subject} received {found}. Give a list of as many labels; a stimulus by itself has one of its own."
        )

    def _check_parts(self) -> None:
        """Tasks are found by what they are made of, so that all of it has a hash."""
        if not callable(self.load_responses):
            raise StimulusKernelError(
                f"load_responses of {self.subject} is a function without arguments that returns its Responses, called when its "
                f"turn comes; received a {type(self.load_responses).__name__}."
            )
        provider = getattr(self.pool, "provider", None)
        for name, part in (
            ("load_responses", self.load_responses),
            ("load_halves", self.load_halves),
            ("the provider of its pool", provider),
        ):
            try:
                hash(part)
            except TypeError as error:
                raise StimulusKernelError(
                    f"Equal tasks are evaluated once, so that what they are made of has a hash; {name} of {self.subject} is a "
                    f"{type(part).__name__} without ({error}). Where it holds arrays or dictionaries, make its class a "
                    f"dataclass(eq=False); otherwise, a dataclass(frozen=True)."
                ) from error

    def halves(self, responses: Responses) -> tuple[Responses, Responses] | None:
        """What :attr:`load_halves` gives for the test stimuli, both in one order; None without it.

        Raises
        ------
        ResponsesError
            They are not of the subject and the neuroids of ``responses``, or not of the same test stimuli.
        """
        if self.load_halves is None:
            return None
        first, second = self.load_halves(self.test_ids)
        for half in (first, second):
            other = _other_column(half.neuroids, responses.neuroids)
            if half.subject != responses.subject or other is not None:
                raise ResponsesError(
                    f"The halves of {self.subject}'s trials in {self.region} are of the {len(responses.neuroids)} neuroids of "
                    f"its responses, in their order; received a half of {half.subject} with {len(half.neuroids)} neuroids"
                    f"{f', which are others or in another order by their {other!r}' if other else ''}. Check load_halves, and "
                    f"leave out what is another number in each half, such as a noise ceiling."
                )
        of_first, of_second = set(first.stimulus_ids), set(second.stimulus_ids)
        odd = sorted((of_first ^ of_second) | (of_first - set(self.test_ids)))
        if odd:
            raise ResponsesError(
                f"Both halves of a subject's trials have the same of the test stimuli that are asked for; those of "
                f"{self.subject} in {self.region} have {len(of_first)} and {len(of_second)} stimuli, and one of them alone, or "
                f"no test, has {odd[0]!r}. Check load_halves."
            )
        return first, second.select(first.stimulus_ids)

    def without(self, stimulus_ids: Collection[str]) -> SubjectTask:
        """The same task with some of its training and test stimuli left out."""
        if not stimulus_ids:
            return self
        left_out, groups = set(stimulus_ids), self.bootstrap_groups
        if groups is not None:
            groups = tuple(g for g, s in zip(groups, self.test_ids, strict=True) if s not in left_out)
        return replace(
            self,
            train_ids=tuple(s for s in self.train_ids if s not in left_out),
            test_ids=tuple(s for s in self.test_ids if s not in left_out),
            bootstrap_groups=groups,
        )


def _other_column(neuroids: pd.DataFrame, others: pd.DataFrame) -> str | None:
    """A column of which two tables say something else, empty for another number of rows; None where they are the same."""
    if len(neuroids) != len(others):
        return ""
    both = neuroids.columns.intersection(others.columns)
    one, other = (table[both].reset_index(drop=True).astype(object) for table in (neuroids, others))
    return next((str(column) for column in both if not one[column].equals(other[column])), None)


@dataclass(frozen=True)
class SubjectResult:
    """One subject's outcome, before it is put in relation to a ceiling.

    Attributes
    ----------
    subject : str
    n_train, n_test, n_features : int
    neuroids : pandas.DataFrame
    published_ceiling : NoiseCeiling
        Per neuroid, as published with the data.
    at_test : ExplainableVariance or None
        Per neuroid, of the test stimuli, where the metric compares neuroids.
    correlations : numpy.ndarray of float64, shape (neuroids,), or None
        Per neuroid, where the metric compares neuroids.
    similarity : float or None
        Where the metric compares representations as wholes.
    p_values : numpy.ndarray of float64, shape (neuroids,), or None
        One-sided, of each correlation; see :mod:`.statistics.bootstrap`.
    alpha : float or None
        The ridge penalty, or how many mean eigenvalues it is.
    mean_eigenvalue : float or None
        Of the centred training kernel, where ``alpha`` counts it: the penalty is their product.
    measured : object
        What the metric needs of the subject's responses to make a ceiling: nothing is read again once a result is there.
    dropped_stimuli : tuple of str
        Stimuli of the task that were left out because the model has no features for them.
    features_digest : str
        Label of the features that were used; see :attr:`.features.probe.Probe.digest`.
    notes : tuple of str
        Choices and doubts that a reader of the number should know of, one sentence each.
    """

    subject: str
    n_train: int
    n_test: int
    n_features: int
    neuroids: pd.DataFrame
    published_ceiling: NoiseCeiling
    at_test: ExplainableVariance | None = None
    correlations: np.ndarray | None = None
    p_values: np.ndarray | None = None
    similarity: float | None = None
    alpha: float | None = None
    mean_eigenvalue: float | None = None
    draws: Draws | None = None
    measured: object = None
    dropped_stimuli: tuple[str, ...] = ()
    features_digest: str = ""
    notes: tuple[str, ...] = ()


Results = Iterator[tuple[SubjectTask, SubjectResult]]
"""What a metric yields."""


def in_one_order(
    tasks: Sequence[SubjectTask], orders: dict[tuple[str, ...], tuple[str, ...]]
) -> tuple[SubjectTask, ...]:
    """Tasks with the same test stimuli have these in the first one's order, which seeds their draws: they are the same then.

    Parameters
    ----------
    tasks : sequence of SubjectTask
    orders : dict of tuple of str to tuple of str
        Test stimuli, sorted, to their order; those of ``tasks`` are added.
    """
    found = []
    for task in tasks:
        order = orders.setdefault(tuple(sorted(task.test_ids)), task.test_ids)
        if order != task.test_ids:
            groups = task.bootstrap_groups and dict(zip(task.test_ids, task.bootstrap_groups, strict=True))
            task = replace(task, test_ids=order, bootstrap_groups=groups and tuple(groups[one] for one in order))
        found.append(task)
    return tuple(found)
