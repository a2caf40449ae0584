"""Benchmarks that aggregate units (subjects, folds) to one Score, on Brain-Score's benchmark interface.

A benchmark is settings. :meth:`KernelBenchmark.resolve` finds the data that they stand for and returns a plan
(:mod:`.plan`), which does not change any more: :func:`score_plans` evaluates its tasks, and the plan makes a Score of
their results.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from brainscore_core.benchmarks import Benchmark
from brainscore_core.metrics import Score

from .engine import score_plans
from .errors import StimulusKernelError
from .memory import MemoryForecast, forecast, is_check_skipped, preflight_line
from .options import EngineOptions
from .plan import FoldsPlan, Plan
from .statistics.ceilings import check_normalization

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
        if not isinstance(info, BenchmarkInfo):
            raise StimulusKernelError(
                f"info is a BenchmarkInfo; received {info!r}. Give BenchmarkInfo(identifier, 1, parent=region, bibtex='')."
            )
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
        if not callable(make_tasks):
            raise StimulusKernelError(
                f"make_tasks of {self.identifier} is a function that returns tasks, called when scoring starts; received a "
                f"{type(make_tasks).__name__}. Give lambda: tasks."
            )
        self._make_tasks = make_tasks

    def resolve(self) -> Plan:
        tasks = self._make_tasks()
        if not isinstance(tasks, Iterable):
            raise StimulusKernelError(
                f"make_tasks of {self.identifier} returns a list of SubjectTasks, one per subject; received a "
                f"{type(tasks).__name__}. Give lambda: [task]."
            )
        return Plan(self.identifier, tuple(tasks), self.normalization)


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
        folds = _benchmarks(folds, MultiSubjectNeuralBenchmark, f"folds of {info.identifier}")
        if not folds:
            raise StimulusKernelError(f"{info.identifier} needs at least one fold, received none.")
        normalizations = list(dict.fromkeys(fold.normalization for fold in folds))
        if len(normalizations) > 1:
            raise StimulusKernelError(
                f"A mean over folds needs values of one normalization; the folds of {info.identifier} have "
                f"{', '.join(normalizations)}. Choose one of them for all."
            )
        self.folds = folds

    def resolve(self) -> FoldsPlan:
        return FoldsPlan(self.identifier, tuple(fold.resolve() for fold in self.folds))


def score_benchmarks(
    model, benchmarks: Sequence[KernelBenchmark], options: EngineOptions | None = None
) -> Iterator[tuple[KernelBenchmark, Score]]:
    """:func:`score_plans` of several benchmarks; yields the benchmark itself instead of its position."""
    benchmarks = _benchmarks(benchmarks, KernelBenchmark, "benchmarks")
    for i, score in score_plans(model, [benchmark.resolve() for benchmark in benchmarks], options):
        yield benchmarks[i], score


def _benchmarks(given, kind: type, what: str) -> tuple:
    """Benchmarks as a tuple; StimulusKernelError if they are something else."""
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, (str, dict)) else (given,)
    wrong = [one for one in found if not isinstance(one, kind)]
    if wrong:
        raise StimulusKernelError(
            f"{what} are a list of {kind.__name__}; received {type(wrong[0]).__name__}. Give a list."
        )
    return found
