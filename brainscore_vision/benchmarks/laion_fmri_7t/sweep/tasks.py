"""What workers do: make the kernels of a model, and score groups of benchmarks on them.

Whatever a model or a cell raises becomes a part of the outcome: the sweep records it and goes on.
"""

from __future__ import annotations

import threading
import traceback
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from brainscore_core.metrics import Score
from threadpoolctl import threadpool_limits

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    missing_kernels,
    prepare_kernels,
    score_plans,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StorageError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import plugin_revision
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import forecast
from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import PROCESSORS
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import one_of_many
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel

from ..networks.errors import ModelSourceError
from ..networks.finding import code_revision, find_model
from ..networks.network import AUTO
from ..results import Entry, RunFacts, make_entry, run_facts
from ..scoring import build_all, prepare
from .plan import ModelPlan, Target

_kept = threading.local()
"""The model that a thread used last: groups of one model often follow each other, and making one can take seconds."""


@dataclass(frozen=True)
class Settings:
    """What all tasks of a sweep have in common.

    Attributes
    ----------
    engine : EngineOptions
    threads : int or None
        Of linear algebra, per task; None for what the worker has.
    topic : str or None
        Where tasks announce on the scheduler that they have begun, so that a dead worker's task is told from those that
        only waited there.
    """

    engine: EngineOptions = field(default_factory=EngineOptions)
    threads: int | None = None
    topic: str | None = None


@dataclass(frozen=True)
class Work:
    """One task.

    Attributes
    ----------
    plan : ModelPlan
        Of the task's model; ``todo`` is what this task is for.
    cells : bool
        Score the benchmarks, with kernels that are there; else make the kernels.
    bytes : int
        Memory that it will need.
    measured : bool
        Whether ``bytes`` comes from the model itself.
    name : str
        Unique; made up.
    """

    plan: ModelPlan
    cells: bool
    bytes: int
    measured: bool = False
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def facts(self, target: Target | None, started: datetime) -> RunFacts:
        """Facts of something that began at ``started`` and ended now, in this process."""
        target = self.plan.todo[0] if target is None else target
        return run_facts(
            self.plan.model,
            started=started,
            dataset_fingerprint=target.dataset_fingerprint,
            benchmark_version=target.version,
            model_revision=self.plan.revision,
        )


@dataclass(frozen=True)
class Failed:
    """Something to be recorded as a failure; ``target`` None: the model could not even be made."""

    target: Target | None
    error: str
    traceback: str
    run: RunFacts


@dataclass(frozen=True)
class Scored:
    """One cell, ready for the results database."""

    target: Target
    entry: Entry


@dataclass
class Outcome:
    """What a worker sends back.

    Attributes
    ----------
    scored : list of Scored
    failed : list of Failed
    labels : dict of str to str
        Model region to the label of what is recorded for it, where kernels were made.
    bytes : int or None
        Memory that scoring on the kernels will need.
    wants_bytes : int or None
        The task needs so much memory, more than it was given, and has done nothing.
    """

    scored: list[Scored] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    bytes: int | None = None
    wants_bytes: int | None = None


class _WantsMemory(Exception):
    """Carries the bytes that a model was measured to need."""


def do(work: Work, settings: Settings, key: str) -> Outcome:
    """Entry point on a worker."""
    if settings.topic is not None:
        from distributed import get_worker

        get_worker().log_event(settings.topic, {"key": key})
    with limited_threads(settings.threads), one_of_many(work.plan.model):
        return (_score if work.cells else _make_kernels)(work, settings)


def _make_kernels(work: Work, settings: Settings) -> Outcome:
    """Make the kernels of all regions together; if that fails, of each by itself, so that one bad layer costs its own cells."""
    started, outcome = datetime.now(UTC), Outcome()
    try:
        model = _model(work.plan, settings.topic)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - recorded by the sweep with its traceback
        return Outcome(failed=[_failed(work, None, error, started)])
    targets = {target.identifier: target for target in work.plan.todo}
    benchmarks = build_all(targets)
    waiting = [list(benchmarks)]
    while waiting:
        names = waiting.pop(0)
        try:
            _make_kernels_of(model, [benchmarks[name] for name in names], work, settings, outcome)
        except _WantsMemory as wish:
            return Outcome(wants_bytes=wish.args[0])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - recorded by the sweep with its traceback
            by_region: dict = defaultdict(list)
            for name in names:
                by_region[benchmarks[name].region].append(name)
            if len(by_region) > 1:
                waiting += by_region.values()
            else:
                outcome.failed += [_failed(work, targets[name], error, started) for name in names]
    return outcome


def _make_kernels_of(model, benchmarks: list, work: Work, settings: Settings, outcome: Outcome) -> None:
    candidate, plans = _prepared(model, benchmarks, work.plan, settings)
    _check_network(candidate, work.plan)
    tasks = [task for plan in plans for task in plan.tasks]
    expected = forecast(candidate, tasks, settings.engine)
    if expected.peak > work.bytes and not work.measured:
        raise _WantsMemory(expected.peak)
    if expected.will_oom:
        raise MemoryError(
            f"{work.plan.model} needs {expected} Use fewer workers per machine, or bound what the engine takes "
            f"(--max-memory)."
        )
    outcome.labels.update(prepare_kernels(candidate, tasks, settings.engine))
    needed = expected.resident + expected.data + max(expected.decomposition, expected.evaluation)
    outcome.bytes = max(needed, outcome.bytes or 0)


def _score(work: Work, settings: Settings) -> Outcome:
    """Score the cells of a group; after a failure, those that are left one by one, so that each has its own error."""
    started, outcome = datetime.now(UTC), Outcome()
    left = {target.identifier: target for target in work.plan.todo}
    together = True
    while left:
        names = list(left) if together else [next(iter(left))]
        try:
            for identifier, score in _scores(work, names, settings):
                target = left[identifier]
                run = replace(
                    work.facts(target, started),
                    dataset_fingerprint=score.attrs["dataset"]["fingerprint"],
                    model_revision=score.attrs.get("model_revision", work.plan.revision),
                )
                outcome.scored.append(Scored(target, make_entry(score, run)))
                del left[identifier]
                started = datetime.now(UTC)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - recorded by the sweep with its traceback
            if len(names) == 1:
                outcome.failed.append(_failed(work, left.pop(names[0]), error, started))
                started = datetime.now(UTC)
            together = False
    return outcome


def _scores(work: Work, names: list[str], settings: Settings) -> Iterator[tuple[str, Score]]:
    candidate, plans = _prepared(_model(work.plan, settings.topic), build_all(names).values(), work.plan, settings)
    missing = missing_kernels(candidate, [task for plan in plans for task in plan.tasks], settings.engine)
    if missing:  # making them here would show every image again, once per group
        raise StorageError(
            f"Kernels that the sweep has made are found by all of its workers; {settings.engine.kernels}, as this worker "
            f"sees it, lacks {'; '.join(missing)}. Keep them in a folder that all machines share (--store-directory); if the "
            f"function that makes the model gives it other weights each time, seed them (torch.manual_seed)."
        )
    # made a moment ago, maybe by another worker: the model that it made has to be this one
    for i, score in score_plans(candidate, plans, replace(settings.engine, changed_models="refuse")):
        yield names[i], score


def _check_network(model, plan: ModelPlan) -> None:
    """Raise if the cells that are done were scored with other weights: results of one name are of one network."""
    # features may come with each dataset
    own = None if isinstance(model, LookupModel | DatasetModel) else network_digest(model)
    if own is not None and not plan.networks <= {own}:
        raise ModelSourceError(
            f"The cells of a sweep are scored with one network per model; {plan.model} now makes network {own}, and "
            f"{len(plan.done)} cells that are done were scored with {', '.join(sorted(plan.networks))}. If its weights differ "
            f"each time it is made, seed them (torch.manual_seed in the function), or save and load them. If they were changed "
            f"on purpose, score all cells again (--again)."
        )


def _model(plan: ModelPlan, sweep: str | None):
    """The BrainModel, or the bare network whose layers are chosen for each benchmark; made once in a sweep."""
    own = plugin_revision(plan.model)
    if None not in (own, plan.revision) and own != plan.revision:
        raise ModelSourceError(
            f"A sweep is of one revision of a model; the plugin of {plan.model} is revision {plan.revision} where the sweep "
            f"was started and {own} on this worker: its files are others here, or were edited since the worker began. "
            f"Install the same, and start the worker again."
        )
    # workers of a scheduler may outlive an edit of what the file imports, or another checkpoint
    wanted = plan.model, plan.revision, plan.layers, sweep
    if getattr(_kept, "source", None) != wanted:
        _kept.source = _kept.model = None  # the old one goes before the new one comes
        if code_revision(plan.model) != plan.revision == code_revision(plan.model, anew=True):
            raise ModelSourceError(
                f"Python imports a module once; the package of {plan.model} was edited since this worker began, before the "
                f"sweep. Start the worker again."
            )
        found = find_model(plan.model)
        _kept.model = found.network() if plan.layers == AUTO else found.model(plan.layers)
        _kept.source = wanted
    return _kept.model


def _prepared(model, benchmarks, plan: ModelPlan, settings: Settings):
    """BrainModel and plans; layers that are to be chosen are, which finds them in the store but for the first time."""
    return prepare(model, benchmarks, AUTO if plan.layers == AUTO else None, settings.engine)


def _failed(work: Work, target: Target | None, error: BaseException, started: datetime) -> Failed:
    return Failed(
        target=target,
        error=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(error)),
        run=work.facts(target, started),
    )


@contextmanager
def limited_threads(limit: int | None) -> Iterator[None]:
    """So many threads of linear algebra, of torch and for images in a ``with`` block; None for what the process has."""
    if limit is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(limit)
    prepare_images = PROCESSORS.set(limit)
    try:
        with threadpool_limits(limit):
            yield
    finally:
        PROCESSORS.reset(prepare_images)
        torch.set_num_threads(before)
