"""Where a sweep's tasks run: workers of its own on this machine, or those of a dask scheduler."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brainscore_vision.benchmark_helpers.stimulus_kernels.free_memory import available_bytes

from .errors import SweepError

RESOURCE = "MEMORY"
"""Dask resource that tasks ask for, in bytes: workers have ``--resources MEMORY=30e9``."""

CORES_PER_WORKER = 2
"""Forward passes and linear algebra use several cores well; each further worker takes a program, a model and a kernel."""

MEMORY_SHARE = 0.9
"""Of the memory that is available: the rest is for what else runs on the machine."""

KILLED_AT = 0.95
"""Share of its memory at which dask ends a worker. No task may ask for more: it would end its own worker."""

MEMORY_RULES = {
    # before it ends a worker, dask would write results to disk, of which a sweep keeps none, and pause the worker: a task may
    # ask for more than that takes, and a worker that stays as full because of its model would never get a task again
    **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")},
    "distributed.worker.memory.terminate": KILLED_AT,
}
"""Configuration of dask for workers of our own."""

SELDOM = {
    "distributed.admin.tick.interval": "500 ms",
    "distributed.admin.system-monitor.interval": "5 s",
    "distributed.worker.profile.enabled": False,
}
"""How often dask looks at itself. Its usual 50 times a second, and 100 times on workers, take as long as all else that it
does for a sweep."""

ALLOWED_DEATHS = 2
"""Workers that a task may cost and be tried again; a scheduler that is not ours has a setting of its own."""

CONNECT_SECONDS = 30

RUNNING = "running"
"""Status of a worker that takes tasks, and of a client that is connected."""

NEVER = "1000 days"

LOGGED = "brainscore_vision"
"""Loggers whose messages on workers are shown by the sweep."""

# a terminal sends Ctrl-C to all of its processes: the sweep's own ends the workers, in order
_IGNORE_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


@dataclass(frozen=True)
class LocalWorkers:
    """Workers on this machine.

    Attributes
    ----------
    n : int
        Processes, of one task at a time each.
    threads : int
        Of linear algebra, per worker.
    memory : int
        Bytes per worker.
    """

    n: int
    threads: int
    memory: int


def local_workers(cores: int, available: int, expected: int, n_tasks: int, wanted: int | None = None) -> LocalWorkers:
    """Share out a machine.

    Parameters
    ----------
    cores : int
    available : int
        Bytes.
    expected : int
        Bytes of the largest task, as far as known.
    n_tasks : int
        The most tasks that there can be at once.
    wanted : int, optional
        Workers asked for; None for as many as cores, memory and tasks allow.
    """
    memory = int(available * MEMORY_SHARE)
    fitting = min(cores // CORES_PER_WORKER, offered_bytes(memory) // expected, n_tasks)
    n = wanted if wanted is not None else max(1, fitting)
    return LocalWorkers(n=n, threads=max(1, cores // n), memory=memory // n)


def offered_bytes(memory: int) -> int:
    """What tasks may ask for of a worker of so much memory."""
    return int(KILLED_AT * memory)


def this_machine() -> tuple[int, int]:
    """Cores and bytes that this process may use, limits of containers and jobs considered."""
    _need_distributed()
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    return CPU_COUNT, min(MEMORY_LIMIT, available_bytes())


@contextmanager
def local_client(workers: LocalWorkers, allowed_deaths: int = ALLOWED_DEATHS) -> Iterator:
    """A client of a cluster of our own, which ends with the block.

    Parameters
    ----------
    workers : LocalWorkers
    allowed_deaths : int
        Workers that a task may cost and be tried again.
    """
    _need_distributed()
    import dask
    from distributed import Client

    # dask looks some seconds after a death whether the worker is back, and gives it up for ever if it is not at that moment
    # (it may have died once more): a sweep would wait for a worker that never comes
    configuration = dask.config.set({"distributed.deploy.lost-worker-timeout": NEVER, **MEMORY_RULES, **SELDOM})
    with configuration, _local_cluster(workers, allowed_deaths) as cluster, Client(cluster) as client:
        client.forward_logging(LOGGED)
        yield client


def _local_cluster(workers: LocalWorkers, allowed_deaths: int):
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers.n,
        threads_per_worker=1,
        processes=True,
        memory_limit=workers.memory,
        resources={RESOURCE: offered_bytes(workers.memory)},
        dashboard_address="127.0.0.1:0",  # any free port
        scheduler_kwargs={"allowed_failures": allowed_deaths},
        preload=[_IGNORE_INTERRUPTS],
        silence_logs=logging.CRITICAL,  # what matters of a death is recorded with the task
    )


@contextmanager
def remote_client(address: str) -> Iterator:
    """A client of somebody's scheduler, which stays when the block ends."""
    _need_distributed()
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise SweepError(
            f"--scheduler is the address of a running dask scheduler, such as tcp://node17:8786; received {address!r}, "
            f"which does not answer ({error}). Start one with `dask scheduler`, or leave the option out."
        ) from error
    # of a scheduler that goes away, dask would log tracebacks beside the sweep's own message
    with silence_logging_cmgr(logging.CRITICAL), client:
        client.forward_logging(LOGGED)
        yield client


def has_dashboard() -> bool:
    """Whether dask can show its dashboard here, which needs bokeh."""
    return importlib.util.find_spec("bokeh") is not None


def memory_of_workers(client) -> list[float]:
    """Bytes that each worker offers that takes tasks; empty while there is none.

    Dask pauses workers whose memory is nearly full: they take none until some is free.

    Raises
    ------
    SweepError
        There are workers, and none says how much memory it has: tasks would wait for ever.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    offering = [worker for worker in workers if worker.get("resources", {}).get(RESOURCE)]
    if workers and not offering:
        raise SweepError(
            f"Tasks of a sweep ask for memory, so that two heavy ones do not meet on one worker; none of the {len(workers)} "
            f"workers of {client.scheduler.address} says how much it has. Start them with `dask worker ADDRESS --nthreads 1 "
            f"--memory-limit 32GB --resources {RESOURCE}=30e9` (bytes; at 95 % of the limit dask ends a worker)."
        )
    return [worker["resources"][RESOURCE] for worker in offering if worker["status"] == RUNNING]


def _need_distributed() -> None:
    if importlib.util.find_spec("distributed") is None:
        raise SweepError(
            "A sweep runs on dask.distributed, which is not installed. Get it with the extra `sweep`: "
            "pip install 'laion-fmri-7t[sweep]', or '.[sweep]' in a checkout."
        )
