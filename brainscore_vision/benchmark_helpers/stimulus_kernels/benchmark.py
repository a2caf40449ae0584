"""Benchmarks that aggregate units (subjects, folds) to one Score, on Brain-Score's benchmark interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from brainscore_core.benchmarks import Benchmark
from brainscore_core.metrics import Score

from .engine import evaluate
from .errors import StimulusKernelError
from .features.network import network_digest
from .memory import MemoryForecast, forecast
from .options import EngineOptions
from .scores import aggregate_ceilings, aggregate_scores, subject_score
from .statistics.normalizations import check_normalization
from .tasks import SubjectResult, SubjectTask


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


class KernelBenchmark(Benchmark):
    """A benchmark that is evaluated from kernels. Constructing it loads nothing.

    Ceilings are computed from the data each time they are asked for. Brain-Score's own base class keeps them on disk by
    the benchmark's identifier, so that a subject or a threshold could meet another one's ceiling; this does not.

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

    def tasks(self) -> tuple[SubjectTask, ...]:
        """What has to be compared; reads splits, but neither images nor responses."""
        raise TypeError(f"{type(self).__name__} must say what its tasks are.")

    def score_results(self, results: Mapping[SubjectTask, SubjectResult]) -> Score:
        """The Score, from the results of all tasks."""
        raise TypeError(f"{type(self).__name__} must say how results become a score.")

    def annotate(self, score: Score) -> Score:
        """Add facts of the dataset to a finished Score; subclasses may."""
        return score

    def preallocate_memory(self, candidate, raise_if_oom: bool = True) -> MemoryForecast:
        """What scoring ``candidate`` will need; Brain-Score calls it before scoring.

        Raises
        ------
        MemoryError
            More than there is, if ``raise_if_oom``.
        """
        expected = forecast(candidate, self.tasks(), self.options)
        if raise_if_oom and expected.additional > expected.available:
            raise MemoryError(
                f"{self.identifier} needs {expected} Free memory, or bound what the engine takes (max_memory)."
            )
        return expected

    def __call__(self, candidate) -> Score:
        (_, score), *_ = list(score_benchmarks(candidate, [self], self.options))
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

    def tasks(self) -> tuple[SubjectTask, ...]:
        tasks = tuple(self._make_tasks())
        subjects = [task.subject for task in tasks]
        if not tasks or len(set(subjects)) != len(subjects):
            raise StimulusKernelError(
                f"{self.identifier} needs at least one subject and each of them once; received {subjects}."
            )
        metrics = list(dict.fromkeys(task.metric for task in tasks))
        if len(metrics) > 1:
            raise StimulusKernelError(
                f"The subjects of a benchmark are scored alike; {self.identifier} has {len(metrics)} metrics: {metrics}. "
                f"Make a benchmark of each."
            )
        if self.normalization not in metrics[0].normalizations:
            raise StimulusKernelError(
                f"The normalization of {self.identifier} is one that its metric has, "
                f"{', '.join(metrics[0].normalizations)}; received {self.normalization!r}."
            )
        metrics[0].check_subjects(subjects)
        return tasks

    @property
    def ceiling(self) -> Score:
        tasks = self.tasks()
        ceilings = tasks[0].metric.ceilings(tasks)
        by_subject = {t.subject: Score(c[self.normalization]) for t, c in zip(tasks, ceilings, strict=True)}
        ceiling = aggregate_ceilings(by_subject, over="subject")
        ceiling.attrs.update(tasks[0].metric.ceiling_details(tasks))
        return ceiling

    def score_results(self, results: Mapping[SubjectTask, SubjectResult]) -> Score:
        tasks = self.tasks()
        own = [results[task] for task in tasks]
        normalized = tasks[0].metric.normalize(tasks, own)
        scores = {
            result.subject: subject_score(result, values, self.normalization)
            for result, values in zip(own, normalized, strict=True)
        }
        score = aggregate_scores(scores, over="subject")
        score.attrs["ceiling"].attrs.update(tasks[0].metric.ceiling_details(tasks, own))
        score.attrs["normalization"] = self.normalization
        return self.annotate(score)


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
        self.normalization = normalizations[0]
        self.folds = tuple(folds)

    def tasks(self) -> tuple[SubjectTask, ...]:
        return tuple(task for fold in self.folds for task in fold.tasks())

    @property
    def ceiling(self) -> Score:
        return aggregate_ceilings({k: fold.ceiling for k, fold in enumerate(self.folds)}, over="fold")

    def score_results(self, results: Mapping[SubjectTask, SubjectResult]) -> Score:
        folds = {k: fold.score_results(results) for k, fold in enumerate(self.folds)}
        score = aggregate_scores(folds, over="fold")
        score.attrs["normalization"] = self.normalization
        return self.annotate(score)


def score_benchmarks(
    model, benchmarks: Sequence[KernelBenchmark], options: EngineOptions | None = None
) -> Iterator[tuple[KernelBenchmark, Score]]:
    """Score one model on several benchmarks that share forward passes, kernels and decompositions.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    benchmarks : sequence of KernelBenchmark
    options : EngineOptions, optional

    Yields
    ------
    tuple of KernelBenchmark and Score
        As soon as a benchmark's last task is done, so not in the order given.
    """
    options = options if options is not None else EngineOptions()
    waiting = {id(benchmark): (benchmark, set(benchmark.tasks())) for benchmark in benchmarks}
    every_task = [task for benchmark in benchmarks for task in benchmark.tasks()]
    results: dict[SubjectTask, SubjectResult] = {}
    network = network_digest(model)
    for task, result in evaluate(model, every_task, options):
        results[task] = result
        for key, (benchmark, open_tasks) in list(waiting.items()):
            open_tasks.discard(task)
            if not open_tasks:
                del waiting[key]
                score = benchmark.score_results(results)
                score.attrs["model_identifier"] = model.identifier
                score.attrs["benchmark_identifier"] = benchmark.identifier
                if network is not None:
                    score.attrs["network_digest"] = network
                yield benchmark, score
