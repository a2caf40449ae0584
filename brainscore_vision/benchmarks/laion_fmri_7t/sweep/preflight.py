"""Before the long work: every model is made and shown a few images, so that what is wrong with one is said at once."""

from __future__ import annotations

import logging
import multiprocessing
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import Run

from ..identifiers import parse
from ..networks.finding import ModelSource, find_model
from ..networks.network import AUTO
from ..networks.revision import Made
from ..results import ResultsDatabase, run_facts
from ..scoring import build_all, prepare
from .plan import ModelPlan, SweepPlan, Target


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
    """

    model: str
    made: Made | None = None
    problems: tuple[Problem, ...] = ()
    ignores_layers: bool = False

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


def preflight(
    models: Iterable[ModelPlan], engine: EngineOptions, check: Callable[[], None] = lambda: None
) -> Iterator[Checked]:
    """Make each model that has something to do, in a process of its own, and show it a few images.

    Models are made one after the other. One whose process dies is said to be sound: the sweep's own workers find out more.

    Parameters
    ----------
    models : iterable of ModelPlan
    engine : EngineOptions
        Kernels in the store stand for images.
    check : callable, optional
        Called between models; ends the check if it raises.

    Yields
    ------
    Checked
        One per model.
    """
    pool = _process()
    try:
        for plan in models:
            check()
            try:
                yield pool.submit(check_model, plan, engine).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = _process()
                yield Checked(plan.model)
    finally:
        pool.shutdown(cancel_futures=True)


def check_model(plan: ModelPlan, engine: EngineOptions) -> Checked:
    """One model, in this process."""
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
    return Checked(plan.model, made, tuple(problems), ignores_layers)


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


def _process() -> ProcessPoolExecutor:
    # spawned: a fork of a process that uses threads, as torch and dask do, may hang; what it would warn of, the work says
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=logging.disable, initargs=(logging.WARNING,))
