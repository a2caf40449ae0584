"""Handing out the tasks of a sweep, and keeping what comes back."""

from __future__ import annotations

import time
import traceback
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..results import ResultsDatabase, run_facts
from ..scoring import build_all, resolve_all
from .cluster import RESOURCE, RUNNING, memory_of_workers
from .errors import SweepError
from .plan import ModelPlan, SweepPlan, shared_work
from .progress import Board
from .tasks import Failed, Outcome, Scored, Settings, Work, do

TICK_SECONDS = 1.0
"""How often workers are looked for."""

AT_ONCE_PER_THREAD, AT_ONCE = 2, 8
"""Tasks that the scheduler knows of: enough to keep workers busy and to make an adaptive cluster grow, and few enough that
a dying worker takes few bystanders with it."""

PATIENCE_SECONDS = 20.0
"""Without any worker that takes tasks, before the sweep says so."""

MOST_TRIES = 5
"""Of a task whose workers die before it can say that it has begun."""


@dataclass(frozen=True)
class Summary:
    """How a sweep ended.

    Attributes
    ----------
    n_scored, n_done : int
        Cells scored now, and cells that were done before.
    failures : tuple of (str, str or None, str)
        Model, benchmark (None: the model could not be made), error.
    """

    n_scored: int
    n_done: int
    failures: tuple[tuple[str, str | None, str], ...]


def run_sweep(
    client,
    plan: SweepPlan,
    settings: Settings,
    database: ResultsDatabase,
    expected: int,
    board: Board,
    check: Callable[[], None] = lambda: None,
    keep: Callable[[int], None] = lambda n_tasks: None,
    properties: Mapping[str, Mapping] | None = None,
) -> Summary:
    """Do what a plan says; returns when everything is scored or recorded as failed.

    Parameters
    ----------
    client : distributed.Client
    plan : SweepPlan
    settings : Settings
    database : ResultsDatabase
        Written by this process alone.
    expected : int
        Bytes that a model's first task asks for; see :func:`~.plan.expected_bytes`.
    board : Board
        Told what happens.
    check : callable, optional
        Called at least every ``TICK_SECONDS``; ends the sweep if it raises (:func:`~.interrupts.interrupts`).
    keep : callable, optional
        Called likewise, with the most tasks that there can still be at once; sees to the workers
        (:func:`~.slurm.slurm_client`).
    properties : mapping of str to mapping, optional
        What a list says of models: kept with what is scored.

    Raises
    ------
    SweepError
        The scheduler is gone, or none of its workers offers memory. What is done is kept.
    """
    return _Sweep(client, plan, settings, database, expected, board, properties or {}).run(check, keep)


class _Sweep:
    def __init__(
        self, client, plan: SweepPlan, settings: Settings, database, expected: int, board: Board, properties: Mapping
    ):
        self._client, self._plan, self._database, self._board = client, plan, database, board
        self._properties = properties
        self._scheduler = f"The scheduler at {client.scheduler.address}"
        self._name = f"sweep-{uuid.uuid4().hex[:8]}"
        self._settings = replace(settings, topic=self._name)
        self._waiting = deque(Work(model, cells=False, bytes=expected) for model in plan.models if model.todo)
        self._running: dict = {}  # future -> work
        self._tries: dict[str, list[str]] = {}  # work -> keys under which dask knows its tries
        self._failures: list[tuple[str, str | None, str]] = []
        self._n_scored = 0
        self._look_again = time.monotonic()
        self._workers_seen: float | None = time.monotonic()  # None: it was said that there are none

    def run(self, check: Callable[[], None], keep: Callable[[int], None]) -> Summary:
        try:
            while self._waiting or self._running:
                check()
                keep(
                    sum(1 if work.cells else len(work.plan.todo) for work in (*self._waiting, *self._running.values()))
                )
                self._submit()
                self._collect(self._next_done())
        except BaseException:
            with suppress(SweepError):  # once more what is raised already
                self._collect([future for future in self._running if future.status == "finished"])
            with suppress(Exception):  # a scheduler that is gone has forgotten the tasks by itself
                self._client.cancel(list(self._running))
            raise
        return Summary(self._n_scored, self._plan.n_done, tuple(self._failures))

    def _look_for_workers(self) -> None:
        with self._asking():
            self._offered, self._threads = memory_of_workers(self._client), self._client.nthreads()
        self._tell_of_workers(self._offered, len(self._threads))
        if self._offered:
            self._take_back(max(self._offered))

    def _submit(self) -> None:
        if time.monotonic() >= self._look_again:  # tasks may end far more often, and to ask the scheduler takes time
            self._look_for_workers()
            self._look_again = time.monotonic() + TICK_SECONDS
        offered, threads = self._offered, self._threads
        room = max(AT_ONCE, AT_ONCE_PER_THREAD * sum(threads.values()))
        while self._waiting and len(self._running) < room:
            work = self._waiting.popleft()
            needed = work.bytes
            if offered and needed > max(offered):
                if work.measured:
                    self._fail_all(work, _too_large(needed, max(offered)))
                    continue
                needed = max(offered)  # a guess; the model's own measure decides
            work = replace(work, bytes=needed)
            tries = self._tries.setdefault(work.name, [])
            key = f"{'cells' if work.cells else 'kernels'}-{uuid.uuid4().hex}"
            with self._asking():
                future = self._client.submit(
                    do,
                    work,
                    self._settings,
                    key,
                    key=key,
                    pure=False,
                    resources={RESOURCE: needed},
                    priority=10 if work.cells else 0,  # finish models before beginning others
                )
            tries.append(key)
            self._running[future] = work
            self._board.began(work)

    def _take_back(self, largest: float) -> None:
        """Tasks that ask for more than any worker has, handed out before the workers came: they would wait for ever."""
        asking = [future for future, work in self._running.items() if work.bytes > largest and not future.done()]
        if not asking:
            return
        with self._asking():
            at_work = {key for keys in self._client.processing().values() for key in keys}
            waiting = [future for future in asking if future.key not in at_work]
            self._client.cancel(waiting)
        for future in waiting:
            work = self._running.pop(future)
            self._tries[work.name].remove(future.key)
            self._board.ended(work)
            self._waiting.appendleft(work)

    def _tell_of_workers(self, offered: list[float], n_workers: int) -> None:
        """Say once that no worker takes tasks, after a while: a queue may start some later, and a dead one is replaced."""
        now = time.monotonic()
        if offered:
            self._workers_seen = now
        elif self._workers_seen is not None and now - self._workers_seen > PATIENCE_SECONDS:
            none = f"{self._scheduler} has no workers; waiting for some."
            self._board.line(_all_paused(n_workers) if n_workers else none)
            self._workers_seen = None

    def _next_done(self) -> list:
        if not self._running:
            return []
        from distributed import wait

        with self._asking():
            try:
                return list(wait(list(self._running), timeout=TICK_SECONDS, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                return []

    def _collect(self, futures: Iterable) -> None:
        from distributed import KilledWorker

        for future in futures:
            work = self._running.pop(future)
            self._board.ended(work)
            if future.status not in ("finished", "error"):
                raise self._gone(f"a task is {future.status}")
            try:
                # a worker may die between the end of a task and this; dask does the task once more, or gives it up
                outcome = future.result()
            except KilledWorker as error:
                if self._was_bystander(work, error.allowed_failures):
                    self._waiting.appendleft(work)
                else:
                    self._fail_all(work, _deadly(work, error), machine=str(error.last_worker.address))
            except Exception as error:  # of dask or of the worker's installation: recorded as a failure
                if future.status != "error" and self._is_loss(error):
                    raise self._gone(type(error).__name__) from error
                self._fail_all(work, *_told(error))
            else:
                self._keep(work, outcome)

    def _was_bystander(self, work: Work, allowed_deaths: int) -> bool:
        """Whether a task only waited on workers that died: dask counts those against it too."""
        tries = self._tries[work.name]
        with self._asking():
            begun = Counter(event["key"] for _, event in self._client.get_events(self._name) or ())
        return sum(begun[key] for key in tries) <= allowed_deaths and len(tries) < MOST_TRIES

    def _keep(self, work: Work, outcome: Outcome) -> None:
        if outcome.wants_bytes is not None:
            self._waiting.appendleft(Work(work.plan, work.cells, outcome.wants_bytes, measured=True))
            return
        kept = self._add(work.plan, outcome.scored) if outcome.scored else []
        self._n_scored += len(kept)
        self._board.scored(work.plan.model, kept)
        for failed in outcome.failed:
            self._fail(work.plan, failed)
        if not work.cells:
            self._board.kernels_made(work.plan.model, outcome)
            self._waiting.extendleft(self._cells(work, outcome))

    def _add(self, plan: ModelPlan, scored: list[Scored]) -> list[Scored]:
        """Add to the results what a task brought, all in one transaction; what they cannot hold is a failure of its cells."""
        try:
            self._database.add_entries([one.entry for one in scored], self._properties.get(plan.model))
        except Exception as error:  # noqa: BLE001 - recorded; where nothing can be written, recording raises it again
            for one in scored:
                self._fail(plan, Failed(one.target, *_told(error), one.entry.run))
            return []
        return scored

    def _cells(self, work: Work, outcome: Outcome) -> list[Work]:
        """The groups to score on the kernels that have been made."""
        failed = {failure.target for failure in outcome.failed}
        targets = {target.identifier: target for target in work.plan.todo if target not in failed}
        if None in failed or not targets:
            return []
        groups = shared_work(list(targets), resolve_all(build_all(targets).values()), outcome.labels)
        return [
            Work(
                plan=replace(work.plan, todo=tuple(targets[identifier] for identifier in group)),
                cells=True,
                bytes=outcome.bytes,
                measured=True,
            )
            for group in groups
        ]

    def _fail_all(self, work: Work, error: str, details: str = "", machine: str | None = None) -> None:
        """Record something that no task could record: one failure per cell of the work."""
        for target in work.plan.todo:
            facts = run_facts(
                work.plan.model,
                started=datetime.now(UTC),
                dataset_fingerprint=target.dataset_fingerprint,
                benchmark_version=target.version,
                model_revision=work.plan.revision,
            )
            facts = facts if machine is None else replace(facts, machine=machine)
            self._fail(work.plan, Failed(target, error, details or error, facts))

    def _fail(self, plan: ModelPlan, failed: Failed) -> None:
        name = None if failed.target is None else failed.target.name
        self._database.add_failure(plan.model, name, failed.run, failed.error, failed.traceback)
        self._failures.append((plan.model, name, failed.error))
        self._board.failed(plan.model, failed)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around what needs the scheduler: raise SweepError if it is gone."""
        try:
            yield
        except SweepError:
            raise
        except Exception as error:
            if not self._is_loss(error):
                raise
            raise self._gone(type(error).__name__) from error

    def _is_loss(self, error: Exception) -> bool:
        """Whether the scheduler is gone: tasks are cancelled, calls fail, in ways of their own once the client gave up."""
        return isinstance(error, (OSError, CancelledError)) or self._client.status != RUNNING

    def _gone(self, reason: str) -> SweepError:
        return SweepError(
            f"{self._scheduler} is gone, or has forgotten the tasks of this sweep ({reason}). What is done is in "
            f"{self._database.path}: see to the scheduler, and run the sweep again to go on."
        )


def _told(error: Exception) -> tuple[str, str]:
    """Class and message, and traceback."""
    return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))


def _all_paused(n_workers: int) -> str:
    return (
        f"All of {n_workers} workers are paused, because their memory is nearly full; waiting. Should they not go on, start "
        f"them with more (--memory-limit), or with DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False in the environment."
    )


def _too_large(needed: float, offered: float) -> str:
    return (
        f"MemoryError: the task needs {needed / 1e9:.1f} GB, and the largest worker has {offered / 1e9:.1f} GB. Use fewer "
        f"or larger workers (--workers), or bound what the engine takes (--max-memory)."
    )


def _deadly(work: Work, error) -> str:
    return (
        f"KilledWorker: {error.allowed_failures + 1} worker processes died while running this, the last one "
        f"{error.last_worker.address}; most likely they ran out of memory (the task asked for {work.bytes / 1e9:.1f} GB), "
        f"or the jobs that they ran in ended. Use fewer or larger workers (--workers; --memory and --walltime of jobs), or "
        f"bound what the engine takes (--max-memory)."
    )
