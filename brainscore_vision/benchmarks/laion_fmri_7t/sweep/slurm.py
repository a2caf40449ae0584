"""Workers in jobs of SLURM: submitted by the sweep, and submitted again when they end before it does."""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cluster import LOGGED, MEMORY_RULES, NEVER, RESOURCE, SELDOM, offered_bytes
from .errors import SweepError

NANNY_BYTES = 300 * 10**6
"""Of a job's memory, what dask's own process takes beside the worker."""

QUEUE_SECONDS = 5.0
"""How often the queue is looked at."""

COMMAND_SECONDS = 60
"""How long a command of SLURM may take."""

MOST_FUTILE = 3
"""Jobs in a row that end without their worker having reported, before the sweep gives up: more would end like them."""

LOG_LINES = 5


@dataclass(frozen=True)
class JobRequest:
    """What to ask SLURM for; one job is one worker, which does one task at a time.

    Attributes
    ----------
    n : int
        The most jobs at once.
    cores : int
        Per job; also the threads of linear algebra.
    memory : int
        Bytes per job.
    walltime : str
        In a form that ``sbatch --time`` takes.
    logs : pathlib.Path
        Folder for what jobs print, which the nodes see.
    partition, account : str or None
        None for what SLURM, or the user's ``jobqueue.yaml`` of dask-jobqueue, takes by default.
    directives : tuple of str
        Further options of ``sbatch``, ``--qos=long``.
    interface : str or None
        Network interface by which the nodes reach this machine (``ib0``); None for the usual one.
    """

    n: int
    cores: int
    memory: int
    walltime: str
    logs: Path
    partition: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    interface: str | None = None

    @property
    def worker_bytes(self) -> int:
        """What dask lets a worker take."""
        return self.memory - NANNY_BYTES


@contextmanager
def slurm_client(request: JobRequest, allowed_deaths: int, tell: Callable[[str], None]) -> Iterator[tuple]:
    """A client of a cluster of jobs, which end with the block.

    Parameters
    ----------
    request : JobRequest
    allowed_deaths : int
        Workers that a task may cost and be tried again.
    tell : callable
        Told in one line when a job has ended before its time.

    Yields
    ------
    client : distributed.Client
    keep : callable
        To be called again and again with the number of tasks that are left: submits jobs for those that have ended, and ends
        jobs that nothing is left for. Raises SweepError if jobs end again and again before they work.

    Notes
    -----
    Call :func:`check_jobs` first: it says what is wrong before other work.
    """
    import dask
    from distributed import Client

    # whether a job is lost, its queue says
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": NEVER, **SELDOM}),
        _cluster(request, allowed_deaths) as cluster,
        Client(cluster) as client,
    ):
        client.forward_logging(LOGGED)
        yield client, _Jobs(cluster, client, request, tell).keep


def check_jobs(request: JobRequest) -> None:
    """Raise SweepError where SLURM's commands or dask-jobqueue are not there, or SLURM does not take such jobs."""
    _check_programs()
    with _cluster(request, 0) as cluster:
        _check_job(cluster.job_script())


def _check_programs() -> None:
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise SweepError(
            "--slurm starts jobs by dask-jobqueue, which is not installed. Get it with the extra `cluster`: "
            "pip install 'laion-fmri-7t[cluster]', or '.[cluster]' in a checkout."
        )
    missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(name) is None]
    if missing:
        raise SweepError(
            f"--slurm submits jobs from this machine; {', '.join(missing)} of SLURM is not on its PATH. Run the sweep on a "
            f"login node, or leave the option out."
        )


def _cluster(request: JobRequest, allowed_deaths: int):
    from dask_jobqueue import SLURMCluster

    rules = {
        name: value for name, value in {**MEMORY_RULES, **SELDOM}.items() if name.startswith("distributed.worker.")
    }
    return SLURMCluster(
        cores=1,
        processes=1,
        job_cpu=request.cores,
        memory=f"{request.memory}B",
        walltime=request.walltime,
        queue=request.partition,
        account=request.account,
        interface=request.interface,
        job_extra_directives=list(request.directives),
        job_name="laion-score",
        log_directory=str(request.logs),
        job_script_prologue=[f"export DASK_{name.upper().replace('.', '__')}={value}" for name, value in rules.items()],
        worker_extra_args=[
            *("--memory-limit", f"{request.worker_bytes}B"),
            *("--resources", f"{RESOURCE}={offered_bytes(request.worker_bytes)}"),
        ],
        scheduler_options={"dashboard_address": ":0", "allowed_failures": allowed_deaths},
        silence_logs=logging.CRITICAL,
    )


def _check_job(script: str) -> None:
    """Ask SLURM whether it would take a job, without submitting it."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        problem = _command("sbatch", "--test-only", file.name)[1]
    if problem is not None:
        raise SweepError(
            f"SLURM takes no such job: {problem}. Change --partition, --account, --cores, --memory, --walltime or --sbatch; "
            f"`sinfo` shows what there is."
        )


class _Jobs:
    def __init__(self, cluster, client, request: JobRequest, tell: Callable[[str], None]):
        self._cluster, self._client, self._request, self._tell = cluster, client, request, tell
        self._next = 0.0
        self._n_futile = 0
        self._arrivals = _arrivals(cluster)
        self._reported: set[str] = set()  # ids of jobs whose workers have been there
        self._silent = False

    def keep(self, n_tasks: int) -> None:
        """See :func:`slurm_client`."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + QUEUE_SECONDS
        # name of the worker -> dask-jobqueue's job; before the queue, which lacks what is submitted while it is asked for
        jobs = dict(self._cluster.workers)
        queue, problem = _command("squeue", "--me", "--noheader", "--format=%A")
        if problem is not None:  # a controller that is restarted, say: what runs goes on
            if not self._silent:
                self._tell(f"squeue does not answer: {problem}")
            self._silent = True
            return
        self._silent = False
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        names = {worker["name"] for worker in workers.values()}
        arrived = {job.job_id for name, job in jobs.items() if name in self._arrivals}
        if not arrived <= self._reported:
            self._n_futile = 0
        self._reported |= arrived
        queued = set(queue.split())
        ended = [name for name, job in jobs.items() if job.job_id not in queued and name not in names]
        for name in ended:
            self._count(jobs[name].job_id)
        self._arrivals.difference_update(ended)  # the next job's worker has the same name
        self._cluster.sync(self._forget, ended)
        wanted = min(self._request.n, n_tasks)
        if wanted >= len(self._cluster.worker_spec):
            self._cluster.scale(wanted)  # submits what is lacking
        else:
            self._end_idle(workers, len(self._cluster.worker_spec) - wanted)

    def _count(self, job_id: str | None) -> None:
        """Tell of a job that has ended, and give up if too many have come to nothing."""
        what = "A job could not be submitted" if job_id is None else f"Job {job_id} has ended: {_state(job_id)}"
        if job_id in self._reported:
            self._tell(f"{what}; another one is submitted")
            return
        self._n_futile += 1
        self._tell(f"{what}, before its worker was there")
        if self._n_futile >= MOST_FUTILE:
            raise SweepError(
                f"{self._n_futile} jobs in a row ended before their workers were there. {what}. It printed: "
                f"{self._printed(job_id)} See {self._request.logs}. Nodes need the same Python ({sys.executable}), and must "
                f"reach this machine at {self._cluster.scheduler_address} (--interface)."
            )

    def _printed(self, job_id: str | None) -> str:
        lines = [
            line
            for path in sorted(self._request.logs.glob(f"*-{job_id}.*"))
            for line in path.read_text(errors="replace").splitlines()
            if line.strip()
        ]
        return " / ".join(lines[-LOG_LINES:]) or "nothing."

    async def _forget(self, names: list[str]) -> None:
        for name in names:
            self._cluster.workers.pop(name, None)

    def _end_idle(self, workers: dict, n: int) -> None:
        """End up to ``n`` jobs that wait, or whose worker has nothing to do."""
        processing = self._client.processing()
        busy = {worker["name"] for address, worker in workers.items() if processing.get(address)}
        idle = [name for name in list(self._cluster.worker_spec) if name not in busy]
        self._cluster.sync(self._cluster.scale_down, idle[:n])


def _arrivals(cluster) -> set:
    """Names of all workers that come from now on; it grows with them.

    The scheduler tells: a worker may come and go between two looks at the queue.
    """
    from distributed import SchedulerPlugin

    names = set()

    class Arrivals(SchedulerPlugin):
        name = "arrivals"

        def add_worker(self, scheduler, worker):
            names.add(scheduler.workers[worker].name)

    cluster.sync(_call, cluster.scheduler.add_plugin, Arrivals())
    return names


async def _call(function: Callable, *arguments) -> None:
    function(*arguments)


def _state(job_id: str) -> str:
    """How SLURM says that a job ended, with what usually leads to it."""
    text, problem = _command("scontrol", "--oneliner", "show", "job", job_id)
    found = re.search(r"\bJobState=(\w+)", text)
    if problem is not None or found is None:
        return "SLURM has forgotten how"
    state = found[1]
    if state == "FAILED" and (code := re.search(r"\bExitCode=(\d+)", text)):
        return f"{state} (exit code {code[1]})"
    reasons = {"TIMEOUT": "--walltime was reached", "OUT_OF_MEMORY": "it took more than --memory"}
    return f"{state} ({reasons[state]})" if state in reasons else state


def _command(*command: str) -> tuple[str, str | None]:
    """Output of a command of SLURM; and what went wrong, in its words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return done.stdout, " ".join(done.stderr.split()) or f"exit code {done.returncode}" if done.returncode else None
