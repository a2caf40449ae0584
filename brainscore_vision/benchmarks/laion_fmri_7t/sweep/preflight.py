"""Before the long work: every model is made and shown a few images, so that what is wrong with one is said at once."""

from __future__ import annotations

import logging
import multiprocessing
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import Run

from ..identifiers import parse
from ..networks.finding import Made, ModelSource, find_model
from ..networks.network import AUTO
from ..results import ResultsDatabase, run_facts
from ..scoring import build_all, prepare
from .cluster import LocalWorkers
from .forecast import MachineRates, ModelRates, measure_machine, measure_model
from .plan import ModelPlan, SweepPlan, Target
from .tasks import limited_threads


@dataclass(frozen=True)
class Problem:
    """What is wrong with a model.

    Attributes
    ----------
    region : str or None
        Whose layers it is about; None if there is no model at all.
    error, traceback : str
    """

    region: str | None
    error: str
    traceback: str


@dataclass(frozen=True)
class Checked:
    """How a model did.

    Attributes
    ----------
    model : str
    made : Made or None
        What it is; None if it could not be made, or its process died.
    problems : tuple of Problem
    ignores_layers : bool
        Layers were said for it, and it has no network: a table of features, an embedding. It is scored as it is.
    rates : ModelRates or None
        What it was measured to take, if that was asked for, nothing is wrong and its layers are known.
    """

    model: str
    made: Made | None = None
    problems: tuple[Problem, ...] = ()
    ignores_layers: bool = False
    rates: ModelRates | None = None

    def problem_of(self, target: Target) -> Problem | None:
        """What keeps a benchmark from being scored."""
        region = parse(target.identifier).region
        return next((problem for problem in self.problems if problem.region in (None, region)), None)

    def lines(self) -> list[str]:
        """What is wrong, a line per cause."""
        causes: dict[str, list[str]] = {}
        for problem in self.problems:
            causes.setdefault(problem.error, []).append(problem.region or "")
        regions = {error: ", ".join(filter(None, of)) for error, of in causes.items()}
        return [f"{self.model}{f' ({of})' if of else ''}: {error}" for error, of in regions.items()]


def without_broken(plan: SweepPlan, checked: Iterable[Checked]) -> SweepPlan:
    """A plan for what can be scored."""
    by_model = {one.model: one for one in checked if one.problems}

    def sound(model: ModelPlan) -> ModelPlan:
        one = by_model.get(model.model)
        todo = model.todo if one is None else tuple(t for t in model.todo if one.problem_of(t) is None)
        return replace(model, todo=todo)

    return SweepPlan(tuple(map(sound, plan.models)))


def record_broken(database: ResultsDatabase, plan: SweepPlan, checked: Iterable[Checked]) -> None:
    """Add a failure for each benchmark that cannot be scored; one for a model that could not be made."""
    by_model = {one.model: one for one in checked if one.problems}
    for model in plan.models:
        one = by_model.get(model.model)
        for target in () if one is None else model.todo:
            problem = one.problem_of(target)
            if problem is None:
                continue
            facts = run_facts(
                model.model,
                started=datetime.now(UTC),
                dataset_fingerprint=target.dataset_fingerprint,
                benchmark_version=target.version,
                model_revision=model.revision,
            )
            name = None if problem.region is None else target.name
            database.add_failure(model.model, name, facts, problem.error, problem.traceback)
            if name is None:
                break


class Preflight:
    """Makes models in processes of its own, and shows them a few images. A context manager: leaving it ends the processes.

    Parameters
    ----------
    engine : EngineOptions
        Kernels in the store stand for images.
    measured : LocalWorkers, optional
        Measure what models take on workers like these, as many models at a time. Without, models are made one after the
        other, and nothing is measured.
    """

    def __init__(self, engine: EngineOptions, measured: LocalWorkers | None = None):
        self._engine, self._measured = engine, measured
        self._n = 1 if measured is None else measured.n
        self._pool = _processes(self._n)
        self._started = 0.0

    def __enter__(self) -> Preflight:
        if self._measured is not None:
            start = time.perf_counter()
            self._at_once(_imports, [()] * self._n)
            self._started = time.perf_counter() - start
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)

    def check(self, models: Iterable[ModelPlan], check: Callable[[], None] = lambda: None) -> Iterator[Checked]:
        """Look at each model that has something to do.

        One whose process dies is said to be sound: the sweep's own workers find out more.

        Parameters
        ----------
        models : iterable of ModelPlan
        check : callable, optional
            Called between models; ends the check if it raises.

        Yields
        ------
        Checked
            One per model.
        """
        waiting = deque(models)
        while waiting:
            check()
            together = [waiting.popleft() for _ in range(min(self._n, len(waiting)))]
            try:
                yield from self._at_once(check_model, [(plan, self._engine, self._measured) for plan in together])
            except BrokenProcessPool:
                yield from [Checked(together[0].model)] if len(together) == 1 else map(self._alone, together)

    def _alone(self, plan: ModelPlan) -> Checked:
        """One of several models, the process of one of which died."""
        try:
            return self._at_once(check_model, [(plan, self._engine, self._measured)])[0]
        except BrokenProcessPool:
            return Checked(plan.model)

    def machine(self, plan: SweepPlan, rates: list[ModelRates]) -> tuple[MachineRates, float]:
        """:func:`~.forecast.measure_machine` in as many processes as are measured, and the seconds until one is there."""
        call = self._measured.threads, plan, rates, self._engine
        return MachineRates.mean(self._at_once(_machine, [call] * self._n)), self._started

    def _at_once(self, function: Callable, calls: list[tuple]) -> list:
        futures = [self._pool.submit(function, *call) for call in calls]
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = _processes(self._n)
            raise


def _imports() -> None:
    """What a worker imports before its first task; a moment longer, so that each process gets one of these."""
    import torchvision  # noqa: F401

    time.sleep(0.2)


def _machine(threads: int, *arguments) -> MachineRates:
    with limited_threads(threads):
        return measure_machine(*arguments)


def check_model(plan: ModelPlan, engine: EngineOptions, measured: LocalWorkers | None = None) -> Checked:
    """One model, in this process; measured too if there are workers to measure it for."""
    try:
        found = find_model(plan.model)
        made = found.made()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - said by whoever asked
        return Checked(plan.model, problems=(_problem(None, error),))
    ignores_layers = plan.layers is not None and made.revision is None
    if ignores_layers:
        plan = replace(plan, layers=None)
    by_region = {one.region: one for one in build_all(target.identifier for target in plan.todo).values()}
    problems, waiting = [], [list(by_region)]
    while waiting:
        regions = waiting.pop(0)
        try:
            _look(found, [by_region[region] for region in regions], plan, engine)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - said by whoever asked
            if len(regions) > 1:
                waiting += [[region] for region in regions]  # one bad layer costs its own cells
            else:
                problems.append(_problem(regions[0], error))
    if measured is None or problems or plan.layers == AUTO or not plan.todo:
        return Checked(plan.model, made, tuple(problems), ignores_layers)
    try:
        with limited_threads(measured.threads):
            return Checked(plan.model, made, (), ignores_layers, measure_model(plan, engine))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - said by whoever asked
        return Checked(plan.model, made, (_problem(None, error),), ignores_layers)


def _look(found: ModelSource, benchmarks: list, plan: ModelPlan, engine: EngineOptions) -> None:
    if plan.layers == AUTO:
        found.network().check()  # layers are chosen by the long work itself
        return
    model, plans = prepare(found, benchmarks, plan.layers)
    with Run([model], [task for one in plans for task in one.tasks[:1]], engine) as run:
        run.n_features()


def _problem(region: str | None, error: BaseException) -> Problem:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return Problem(region, text, "".join(traceback.format_exception(error)))


def _processes(n: int) -> ProcessPoolExecutor:
    # spawned: a fork of a process that uses threads, as torch and dask do, may hang; what it would warn of, the work says
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n, mp_context=spawn, initializer=logging.disable, initargs=(logging.WARNING,))
