"""What a sweep runs on: workers that are short of memory, a scheduler that goes away."""

import importlib.util
import io
import shutil
import threading
import time

import psutil
import pytest
from distributed import LocalCluster
from distributed.core import Status
from plugin_testing.sweep_models import CELLS, write_models
from rich.console import Console

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import (
    Settings,
    SweepError,
    check_names,
    cluster,
    make_plan,
    run,
    run_sweep,
    slurm,
)
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.progress import Board

MEMORY = 64_000_000_000
IN_THIS_PROCESS = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}


@pytest.fixture
def database(tmp_path):
    return ResultsDatabase(tmp_path / "results.db")


@pytest.fixture
def sweep(tmp_path, tiny_dataset, database, monkeypatch):
    """``sweep(client, on_line, on_begin) -> Summary`` of one cell; the functions are called when the board is."""
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0)

    class Watched(Board):
        def line(self, text):
            super().line(text)
            self.on_line(text)

        def began(self, work):
            super().began(work)
            self.on_begin()

    def sweep(client, on_line=lambda text: None, on_begin=lambda: None, guess=10**9):
        names = check_names([f"{write_models(tmp_path)}:healthy"], CELLS[:1], dataset=str(tiny_dataset))
        plan = make_plan(*names, results=database)
        board = Watched(plan, Console(file=io.StringIO()))
        board.on_line, board.on_begin = on_line, on_begin
        return run_sweep(client, plan, Settings(EngineOptions(progress=False)), database, guess, board)

    return sweep


def test_a_full_worker_of_our_own_goes_on():
    """Dask would pause it at 80 %, and give it no task again while its model fills it."""

    def fill(share, dask_worker):
        limit = dask_worker.memory_manager.memory_limit
        dask_worker.held = b"x" * int(share * limit - psutil.Process().memory_info().rss)
        return psutil.Process().memory_info().rss / limit

    with cluster.local_client(cluster.LocalWorkers(n=1, threads=1, memory=10**9)) as client:
        (offered,) = cluster.memory_of_workers(client)
        assert offered == 950_000_000
        (ended_at,) = client.run(
            lambda dask_worker: dask_worker.memory_manager.memory_terminate_fraction, nanny=True
        ).values()
        assert offered <= ended_at * 10**9
        (share,) = client.run(fill, 0.88).values()
        assert 0.85 < share < 0.93
        time.sleep(1)  # dask looks five times a second
        future = client.submit(lambda: "done", resources={cluster.RESOURCE: offered})
        assert future.result(timeout=60) == "done"
        assert cluster.memory_of_workers(client) == [offered]


def test_paused_workers_of_a_scheduler_are_waited_for(sweep, database):
    async def become(status, dask_worker):
        dask_worker.status = status

    told = []
    options = {
        "threads_per_worker": 1,
        "memory_limit": 0,
        "resources": {cluster.RESOURCE: MEMORY},
    }  # 0: no pause of its own
    with (
        LocalCluster(n_workers=1, **options, **IN_THIS_PROCESS) as local,
        cluster.remote_client(local.scheduler_address) as client,
    ):
        assert cluster.memory_of_workers(client) == [MEMORY]
        client.run(become, Status.paused)
        start = time.monotonic()
        while cluster.memory_of_workers(client):
            assert time.monotonic() - start < 60
            time.sleep(0.05)

        def on_line(text):
            if "All of 1 workers are paused" in text:
                told.append(text)
                client.run(become, Status.running)

        assert sweep(client, on_line).n_scored == 1
    assert len(told) == 1
    assert len(database.results()) == 1


def test_a_first_guess_gives_way_to_workers_that_come_later(sweep, database):
    """Its task was handed out while nobody knew how much memory workers would have."""
    small = {"threads_per_worker": 1, "memory_limit": 0, "resources": {cluster.RESOURCE: MEMORY}}
    with (
        LocalCluster(n_workers=0, **small, **IN_THIS_PROCESS) as local,
        cluster.remote_client(local.scheduler_address) as client,
    ):
        assert sweep(client, on_begin=lambda: local.scale(1), guess=MEMORY + 1).n_scored == 1
    assert database.failures() == []


@pytest.mark.parametrize("moment", ["before a task is handed out", "while a task waits"])
def test_a_scheduler_that_goes_away(sweep, database, moment, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)
    local = LocalCluster(n_workers=0, **IN_THIS_PROCESS)
    closing = threading.Timer(0.5, local.close)
    actions = {"on_line": lambda text: local.close()} if moment.startswith("before") else {"on_begin": closing.start}
    with (
        pytest.raises(SweepError, match="is gone, or has forgotten .* run the sweep again to go on") as raised,
        cluster.remote_client(local.scheduler_address) as client,
    ):
        sweep(client, **actions)
    assert str(database.path) in str(raised.value)
    assert local.scheduler_address in str(raised.value)
    if closing.ident is not None:
        closing.join()
    assert database.failures() == []  # it was no model's fault


@pytest.mark.usefixtures("sweeps_here")
def test_options_of_jobs(run, tmp_path, tiny_dataset):
    common = ["sweep", f"{write_models(tmp_path)}:healthy", "-b", CELLS[0], "--dataset", tiny_dataset]
    common += ["--results", tmp_path / "results.db"]
    code, _, err = run(*common, "--walltime", "1:00:00")
    assert (code, "--walltime is of jobs: add --slurm" in err) == (2, True)
    code, _, err = run(*common, "--slurm", "--memory", "much")
    assert (code, "--memory is a number of GB from 1, as 32GB or 32; received 'much'." in " ".join(err.split())) == (
        2,
        True,
    )
    assert run(*common, "--slurm", "--workers", 2)[0] == 2
    jobs = ["--slurm", "--jobs", 3, "--cores", 4, "--memory", "16"]
    code, out, _ = run(*common, *jobs, "--dry-run")
    assert code == 0
    assert "Workers: up to 3 jobs of SLURM, of 4 cores and 16.0 GB." in out


@pytest.mark.parametrize(
    ("module", "missing", "words"),
    [
        (importlib.util, "find_spec", "pip install 'laion-fmri-7t.cluster.'"),
        (shutil, "which", "sbatch, squeue, scancel"),
    ],
)
def test_what_jobs_need(monkeypatch, tmp_path, module, missing, words):
    if module is shutil:
        pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(module, missing, lambda name: None)
    request = slurm.JobRequest(n=1, cores=1, memory=2 * 10**9, walltime="10", logs=tmp_path)
    with pytest.raises(SweepError, match=words):
        slurm.check_jobs(request)
