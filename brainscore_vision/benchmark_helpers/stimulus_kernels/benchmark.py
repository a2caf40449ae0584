"""Benchmarks that aggregate units (subjects, folds) to one Score, on Brain-Score's benchmark interface.

A benchmark is settings. :meth:`KernelBenchmark.resolve` finds the data that they stand for and returns a plan, which does
not change any more: :func:`score_plans` evaluates its tasks, and the plan makes a Score of their results.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from brainscore_core.benchmarks import Benchmark
from brainscore_core.metrics import Score

from .engine import evaluate
from .errors import StimulusKernelError
from .features.network import network_digest
from .features.recording import committed_layers
from .memory import MemoryForecast, forecast, is_check_skipped, preflight_line
from .options import EngineOptions
from .scores import aggregate_ceilings, aggregate_scores, subject_score
from .statistics.normalizations import check_normalization
from .tasks import SubjectResult, SubjectTask

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BenchmarkInfo:
    """What Brain-Score's recorder writes of a benchmark.

    Attributes
    ----------
    identifier : str
    version : int
        Increased when scores change.
    parent : str
        The benchmark's place in Brain-Score's tree.
    bibtex : str
        One entry.
    """

    identifier: str
    version: int
    parent: str
    bibtex: str


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
        self.metric.check_subjects(subjects)

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
    """

    identifier: str
    folds: tuple[Plan, ...]

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
        return score


class KernelBenchmark(Benchmark):
    """A benchmark that is evaluated from kernels. Constructing it loads nothing.

    Ceilings are computed from the data each time they are asked for. Brain-Score's base class caches ceilings on disk by
    identifier: with other subjects or another threshold it could return a wrong ceiling. This class does not cache them.

    Parameters
    ----------
    info : BenchmarkInfo
    options : EngineOptions, optional
        How the engine runs; never changes a score.
    """

    def __init__(self, info: BenchmarkInfo, options: EngineOptions | None = None):
        self.info = info
        self.options = options if options is not None else EngineOptions()

    @property
    def identifier(self) -> str:
        return self.info.identifier

    @property
    def version(self) -> int:
        return self.info.version

    @property
    def parent(self) -> str:
        return self.info.parent

    @property
    def bibtex(self) -> str:
        return self.info.bibtex

    @abstractmethod
    def resolve(self) -> Plan | FoldsPlan:
        """Find the data: reads splits, but neither images nor responses."""

    @property
    def ceiling(self) -> Score:
        return self.resolve().ceiling()

    def preallocate_memory(self, candidate, raise_if_oom: bool = True) -> MemoryForecast | None:
        """What scoring ``candidate`` will need; Brain-Score calls it before scoring.

        Prints the line that Brain-Score's orchestrator reads (:func:`~.memory.preflight_line`). None, and nothing is read,
        if the environment variable BRAINSCORE_SKIP_MEMORY_CHECK is 1.

        Raises
        ------
        MemoryError
            More than there is, if ``raise_if_oom``; else this is a warning.
        """
        expected = None if is_check_skipped() else self.forecast(candidate)
        print(preflight_line(self.identifier, type(self).__name__, expected), flush=True)  # noqa: T201 - read by a program
        if expected is not None and expected.will_oom:
            message = f"{self.identifier} needs {expected} {expected.remedy}"
            if raise_if_oom:
                raise MemoryError(message)
            _logger.warning("%s", message)
        return expected

    def forecast(self, candidate) -> MemoryForecast:
        """What scoring ``candidate`` will need of memory."""
        return forecast(candidate, self.resolve().tasks, self.options)

    def __call__(self, candidate) -> Score:
        ((_, score),) = score_plans(candidate, [self.resolve()], self.options)
        return score


class MultiSubjectNeuralBenchmark(KernelBenchmark):
    """Mean over subjects of each subject's own score, divided by that subject's own ceiling.

    Parameters
    ----------
    info : BenchmarkInfo
    make_tasks : callable
        ``make_tasks() -> sequence of SubjectTask``, one per subject, with one metric; called when scoring starts.
    normalization : str
        Which of the metric's normalisations is the value; all of them are in ``attrs['normalizations']``.
    options : EngineOptions, optional
    """

    def __init__(self, info, make_tasks, normalization: str = "published", options: EngineOptions | None = None):
        super().__init__(info, options)
        self.normalization = check_normalization(normalization)
        self._make_tasks = make_tasks

    def resolve(self) -> Plan:
        return Plan(self.identifier, tuple(self._make_tasks()), self.normalization)


class KFoldNeuralBenchmark(KernelBenchmark):
    """Mean over folds; each fold is a benchmark of its own, and all folds share kernels.

    Parameters
    ----------
    info : BenchmarkInfo
    folds : sequence of MultiSubjectNeuralBenchmark
        In order, with one normalisation; fold k is labelled k.
    options : EngineOptions, optional
    """

    def __init__(self, info, folds: Sequence[MultiSubjectNeuralBenchmark], options: EngineOptions | None = None):
        super().__init__(info, options)
        if not folds:
            raise StimulusKernelError(f"{info.identifier} needs at least one fold, received none.")
        normalizations = list(dict.fromkeys(fold.normalization for fold in folds))
        if len(normalizations) > 1:
            raise StimulusKernelError(
                f"A mean over folds needs values of one normalization; the folds of {info.identifier} have "
                f"{', '.join(normalizations)}. Choose one of them for all."
            )
        self.folds = tuple(folds)

    def resolve(self) -> FoldsPlan:
        return FoldsPlan(self.identifier, tuple(fold.resolve() for fold in self.folds))


def score_plans(
    model, plans: Sequence[Plan | FoldsPlan], options: EngineOptions | None = None
) -> Iterator[tuple[int, Score]]:
    """Score one model on several plans that share forward passes, kernels and decompositions.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    plans : sequence of Plan or FoldsPlan
    options : EngineOptions, optional

    Yields
    ------
    tuple of int and Score
        Position of the plan, and its Score, as soon as its last task is done: not in the order given.
    """
    places = [(i, j) for i, plan in enumerate(plans) for j in range(len(plan.tasks))]
    results: list[list] = [[None] * len(plan.tasks) for plan in plans]
    tasks = [task for plan in plans for task in plan.tasks]
    network = network_digest(model)
    for position, result in evaluate(model, tasks, options if options is not None else EngineOptions()):
        i, j = places[position]
        results[i][j] = result
        if all(done is not None for done in results[i]):
            score = plans[i].score(results[i])
            results[i] = []  # values per neuroid and draws live on in the Score alone
            score.attrs["model_identifier"] = model.identifier
            score.attrs["benchmark_identifier"] = plans[i].identifier
            if network is not None:
                score.attrs["network_digest"] = network
            for fact in ("model_source", "model_revision", "model_code"):
                if getattr(model, fact, None) is not None:
                    score.attrs[fact] = getattr(model, fact)
            layers = committed_layers(model, [task.model_region for task in plans[i].tasks])
            if layers and (isinstance(plans[i], FoldsPlan) or "layers" not in score.attrs):  # folds may differ
                score.attrs["layers"] = layers
                score.attrs["layer_choice"] = getattr(model, "layer_choice", "own")
            yield i, score


def score_benchmarks(
    model, benchmarks: Sequence[KernelBenchmark], options: EngineOptions | None = None
) -> Iterator[tuple[KernelBenchmark, Score]]:
    """:func:`score_plans` of several benchmarks; yields the benchmark itself instead of its position."""
    for i, score in score_plans(model, [benchmark.resolve() for benchmark in benchmarks], options):
        yield benchmarks[i], score
