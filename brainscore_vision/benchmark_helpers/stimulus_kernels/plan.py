"""Plans: what a benchmark compares, found and fixed; a plan makes a Score of its tasks' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from brainscore_core.metrics import Score

from .errors import StimulusKernelError
from .scores import TAKEN, aggregate_ceilings, aggregate_scores, subject_score
from .tasks import SubjectResult, SubjectTask

OVERLAP = (
    "Folds have some of their test stimuli in common: the error over folds is too small, and comparisons take folds for one in "
    "their intervals, which are too wide rather than too narrow."
)


@dataclass(frozen=True)
class Plan:
    """What a benchmark compares: one task per subject, all with one metric.

    Attributes
    ----------
    identifier : str
        Of the benchmark.
    tasks : tuple of SubjectTask
    normalization : str
        Which of the metric's normalisations is the value; all of them are in ``attrs['normalizations']``.
    facts : mapping of str to object
        What a finished Score says of the data, in its ``attrs``.

    Raises
    ------
    StimulusKernelError
        No subject or one twice, several metrics, or a normalisation that the metric does not have.
    """

    identifier: str
    tasks: tuple[SubjectTask, ...]
    normalization: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        subjects = [task.subject for task in self.tasks]
        if not subjects or len(set(subjects)) != len(subjects):
            raise StimulusKernelError(
                f"{self.identifier} needs at least one subject and each of them once; received {subjects}."
            )
        taken = [subject for subject in subjects if subject in TAKEN]
        if taken:
            raise StimulusKernelError(
                f"A Score holds each subject's own Score under its name in attrs, where {taken[0]!r} is something else. Give "
                f"the subject of {self.identifier} another name."
            )
        metrics = list(dict.fromkeys(task.metric for task in self.tasks))
        if len(metrics) > 1:
            raise StimulusKernelError(
                f"The subjects of a benchmark are scored alike; {self.identifier} has {len(metrics)} metrics: {metrics}. "
                f"Make a benchmark of each."
            )
        if self.normalization not in self.metric.normalizations:
            raise StimulusKernelError(
                f"The normalization of {self.identifier} is one that its metric has, "
                f"{', '.join(self.metric.normalizations)}; received {self.normalization!r}."
            )
        self.metric.check_tasks(self.tasks)

    @property
    def metric(self):
        """The metric of all tasks; see :mod:`.comparisons`."""
        return self.tasks[0].metric

    def ceiling(self) -> Score:
        """Mean over subjects of the subjects' own ceilings; reads responses, needs no model."""
        ceilings = self.metric.ceilings(self.tasks)
        without = [t.subject for t, c in zip(self.tasks, ceilings, strict=True) if self.normalization not in c]
        if without:
            raise StimulusKernelError(
                f"{self.identifier} has no ceiling: nothing explainable is known in the responses of "
                f"{', '.join(without)} to the test stimuli. Choose the published normalization, other subjects or a split "
                f"with more stimuli."
            )
        by_subject = {t.subject: Score(c[self.normalization]) for t, c in zip(self.tasks, ceilings, strict=True)}
        ceiling = aggregate_ceilings(by_subject, over="subject")
        ceiling.attrs.update(self.metric.ceiling_details(self.tasks))
        return ceiling

    def score(self, results: Sequence[SubjectResult]) -> Score:
        """The Score, from the results of :attr:`tasks` in their order."""
        normalized = self.metric.normalize(results)
        scores = {
            result.subject: subject_score(result, values, self.normalization)
            for result, values in zip(results, normalized, strict=True)
        }
        score = aggregate_scores(scores, over="subject")
        score.attrs["ceiling"].attrs.update(
            self.metric.ceiling_details(self.tasks, [result.measured for result in results])
        )
        score.attrs.update(self.facts, normalization=self.normalization)
        return score


@dataclass(frozen=True)
class FoldsPlan:
    """Several plans whose mean is one Score; fold k is labelled k.

    Attributes
    ----------
    identifier : str
        Of the benchmark.
    folds : tuple of Plan

    Raises
    ------
    StimulusKernelError
        Folds of different subjects, or of the same in another order: each subject has a mean over folds.
    """

    identifier: str
    folds: tuple[Plan, ...]

    def __post_init__(self):
        subjects = list(dict.fromkeys(tuple(task.subject for task in fold.tasks) for fold in self.folds))
        if len(subjects) > 1:
            found = " and ".join(map(", ".join, subjects))
            raise StimulusKernelError(
                f"The folds of a benchmark have the same subjects in one order; those of {self.identifier} have {found}. Sort "
                f"them, or make a benchmark of each."
            )

    @property
    def tasks(self) -> tuple[SubjectTask, ...]:
        """Those of all folds, fold by fold."""
        return tuple(task for fold in self.folds for task in fold.tasks)

    def ceiling(self) -> Score:
        """Mean over folds of the folds' ceilings."""
        return aggregate_ceilings({k: fold.ceiling() for k, fold in enumerate(self.folds)}, over="fold")

    def score(self, results: Sequence[SubjectResult]) -> Score:
        """The Score, from the results of :attr:`tasks` in their order."""
        scores, start = {}, 0
        for k, fold in enumerate(self.folds):
            scores[k] = fold.score(results[start : start + len(fold.tasks)])
            start += len(fold.tasks)
        score = aggregate_scores(scores, over="fold")
        score.attrs.update(self.folds[0].facts, normalization=self.folds[0].normalization)
        if self.overlap:
            score.attrs["folds_overlap"] = True
            score.attrs["notes"] = [*score.attrs.get("notes", ()), OVERLAP]
        return score

    @property
    def overlap(self) -> bool:
        """Whether folds have some of their test stimuli in common, and not all, for any subject."""
        of_subjects = zip(*(fold.tasks for fold in self.folds), strict=True)
        different = [{frozenset(task.test_ids) for task in tasks} for tasks in of_subjects]
        return any(len(frozenset().union(*tests)) < sum(map(len, tests)) for tests in different)
