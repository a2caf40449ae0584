"""Handing out the tasks of a sweep, and keeping what comes back."""

from __future__ import annotations

import time
import traceback
import uuid
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..results import ResultsDatabase, run_facts
from ..scoring import build_all
from .cluster import RESOURCE, memory_of_workers
from .errors import SweepError
from .plan import ModelPlan, Plan, shared_work
from .progress import Board
from .tasks import Failed, Outcome, Settings, Work, do

TICK_SECONDS = 1.0
"""How often workers are looked for while nothing ends."""

AT_ONCE_PER_THREAD, AT_ONCE = 2, 8
"""Tasks that the scheduler knows of: enough to keep workers busy and to make an adaptive cluster grow, and few enough that
a dying worker takes few bystanders with it."""

PATIENCE_SECONDS = 20.0
"""Without any worker, before the sweep says so."""

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
    client, plan: Plan, settings: Settings, database: ResultsDatabase, expected: int, board: Board
) -> Summary:
    """Do what a plan says; returns when everything is scored or recorded as failed.

    Parameters
    ----------
    client : distributed.Client
    plan : Plan
    settings : Settings
    database : ResultsDatabase
        Written by this process alone.
    expected : int
        Bytes that a model's first task asks for; see :func:`~.plan.expected_bytes`.
    board : Board
        Told what happens.

    Raises
    ------
    SweepError
        The scheduler is gone, or none of its workers offers memory. What is done is kept.
    """
    return _Sweep(client, plan, settings, database, expected, board).run()


class _Sweep:
    def __init__(self, client, plan: Plan, settings: Settings, database, expected: int, board: Board):
        self._client, self._plan, self._database, self._board = client, plan, database, board
        self._name = f"sweep-{uuid.uuid4().hex[:8]}"
        self._settings = replace(settings, topic=self._name)
        self._waiting = deque(Work(model, cells=False, bytes=expected) for model in plan.models if model.todo)
        self._running: dict = {}  # future -> work
        self._tries: dict[str, list[str]] = {}  # work -> keys under which dask knows its tries
        self._failures: list[tuple[str, str | None, str]] = []
        self._n_scored = 0
        self._workers_seen: float | None = time.monotonic()  # None: it was said that there are none

    def run(self) -> Summary:
        memory_of_workers(self._client)
        try:
            while self._waiting or self._running:
                self._submit()
                self._collect(self._next_done())
        except BaseException:
            self._collect([future for future in self._running if future.status == "finished"])
            self._client.cancel(list(self._running))
            raise
        return Summary(self._n_scored, self._plan.n_done, tuple(self._failures))

    def _submit(self) -> None:
        offered = memory_of_workers(self._client)
        self._tell_of_workers(offered)
        room = max(AT_ONCE, AT_ONCE_PER_THREAD * sum(self._client.nthreads().values()))
        while self._waiting and len(self._running) < room:
            work = self._waiting.popleft()
            needed = work.bytes
            if offered and needed > max(offered):
                if work.measured:
                    self._fail_all(work, _too_large(needed, max(offered)))
                    continue
                needed = max(offered)  # a guess; the model's own measure decides
            tries = self._tries.setdefault(work.name, [])
            key = f"{'cells' if work.cells else 'kernels'}-{uuid.uuid4().hex}"
            future = self._client.submit(
                do,
                replace(work, bytes=needed),
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

    def _tell_of_workers(self, offered: list[float]) -> None:
        """Say once that there are no workers, after a while: a queue may start them later, and a dead one is replaced."""
        now = time.monotonic()
        if offered:
            self._workers_seen = now
        elif self._workers_seen is not None and now - self._workers_seen > PATIENCE_SECONDS:
            self._board.line(f"The scheduler at {self._client.scheduler.address} has no workers; waiting for some.")
            self._workers_seen = None

    def _next_done(self) -> list:
        if not self._running:
            return []
        from distributed import wait

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
                raise SweepError(
                    f"The scheduler at {self._client.scheduler.address} is gone, or has forgotten a task ({future.status}). "
                    f"What is done is in {self._database.path}; run the sweep again to go on."
                )
            try:
                # a worker may die between the end of a task and this; dask does the task once more, or gives it up
                outcome = future.result()
            except KilledWorker as error:
                if self._was_bystander(work, error.allowed_failures):
                    self._waiting.appendleft(work)
                else:
                    self._fail_all(work, _deadly(work, error), machine=str(error.last_worker.address))
            except Exception as error:  # noqa: BLE001 - of dask or of the worker's installation: recorded as a failure
                self._fail_all(work, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
            else:
                self._keep(work, outcome)

    def _was_bystander(self, work: Work, allowed_deaths: int) -> bool:
        """Whether a task only waited on workers that died: dask counts those against it too."""
        tries = self._tries[work.name]
        begun = Counter(event["key"] for _, event in self._client.get_events(self._name) or ())
        return sum(begun[key] for key in tries) <= allowed_deaths and len(tries) < MOST_TRIES

    def _keep(self, work: Work, outcome: Outcome) -> None:
        if outcome.wants_bytes is not None:
            self._waiting.appendleft(Work(work.plan, work.cells, outcome.wants_bytes, measured=True))
            return
        for scored in outcome.scored:
            self._database.add(scored.score, scored.run)
        self._n_scored += len(outcome.scored)
        self._board.scored(work.plan.model, outcome.scored)
        for failed in outcome.failed:
            self._fail(work.plan, failed)
        if not work.cells:
            self._board.kernels_made(work.plan.model, outcome)
            self._waiting.extendleft(self._cells(work, outcome))

    def _cells(self, work: Work, outcome: Outcome) -> list[Work]:
        """The groups to score on the kernels that have been made."""
        failed = {failure.target for failure in outcome.failed}
        targets = {target.identifier: target for target in work.plan.todo if target not in failed}
        if None in failed or not targets:
            return []
        groups = shared_work(build_all(targets), outcome.labels)
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


def _too_large(needed: float, offered: float) -> str:
    return (
        f"MemoryError: the task needs {needed / 1e9:.1f} GB, and the largest worker has {offered / 1e9:.1f} GB. Use fewer "
        f"or larger workers (--workers), or bound what the engine takes (--max-memory)."
    )


def _deadly(work: Work, error) -> str:
    return (
        f"KilledWorker: {error.allowed_failures + 1} worker processes died while running this, the last one "
        f"{error.last_worker.address}; most likely they ran out of memory (the task asked for {work.bytes / 1e9:.1f} GB). "
        f"Use fewer or larger workers (--workers), or bound what the engine takes (--max-memory)."
    )
