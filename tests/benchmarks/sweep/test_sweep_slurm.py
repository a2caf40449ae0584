"""A sweep on a real SLURM: jobs that are cancelled, run out of memory or time, and what SLURM refuses."""

import os
import subprocess
import time

import psutil
import pytest
from plugin_testing.models import CountingModel
from plugin_testing.sweep_models import CELLS, write_models
from plugin_testing.sweep_runs import PATIENCE, Run, until

from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.slurm import JobRequest, _command, slurm_client

pytestmark = pytest.mark.slow

SLURM = "LAION_FMRI_TEST_SLURM"
MEMORY = 2 * 10**9
CELLS = CELLS[:2]


@pytest.fixture
def slurm(monkeypatch):
    """``slurm(*command) -> str`` runs a command of SLURM's."""
    if SLURM not in os.environ:
        pytest.skip(f"no SLURM: `export {SLURM}=$(.ci/slurm start FOLDER)` starts one, as .ci/run does")
    monkeypatch.setenv("SLURM_CONF", os.environ[SLURM])
    yield lambda *command: subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    subprocess.run(["scancel", "--name=laion-score"], check=False)


@pytest.fixture
def start(slurm, tmp_path, tiny_dataset):
    write_models(tmp_path)
    runs = []

    def start(functions, *options):
        jobs = ("--slurm", "--jobs", "3", "--cores", "1", "--memory", "2GB", "--walltime", "10")
        runs.append(Run(tmp_path, tiny_dataset, functions, *jobs, *options, cells=CELLS))
        return runs[-1]

    yield start
    for run in runs:
        run.kill()


def job_of(model: str, folder, slurm) -> str:
    """Id of the job in which a model waits."""
    pid = int(until(lambda: (folder / f"{model} waits").exists() and (folder / f"{model} waits").read_text(), model))
    return psutil.Process(pid).environ()["SLURM_JOB_ID"]


def test_jobs_that_end_early_cost_no_cell_and_no_digit(start, slurm, tmp_path, tiny_dataset):
    run = start(["late_once", "cancelled_once", "hungry_once", "healthy"], "--no-check")
    late = job_of("late once", tmp_path, slurm)
    slurm("scontrol", "update", f"JobId={late}", "EndTime=now+1")  # SLURM looks at limits of time every 30 s
    slurm("scancel", job_of("cancelled once", tmp_path, slurm))
    timeout = f"Job {late} has ended: TIMEOUT (--walltime was reached); another one is submitted"
    run.until_told(timeout)
    (tmp_path / "late once may go on").touch()
    code, output = run.end()
    assert code == 0, output

    alone = {cell: score_model(CountingModel(), cell, dataset=tiny_dataset).item() for cell in CELLS}
    results = ResultsDatabase(run.results).results(latest=False)
    assert len(results) == 4 * len(CELLS)
    for r in results:
        assert r.value == pytest.approx(alone[r.benchmark], abs=1e-9)
    assert timeout in output
    assert "CANCELLED; another one is submitted" in output
    assert 10**9 < int((tmp_path / "hungry once may take").read_text()) <= MEMORY  # the job's limit, not the machine's
    printed = "".join(path.read_text() for path in tmp_path.glob("results.db.jobs/*.err"))
    # by the kernel for SLURM, or by dask a moment before: whoever looks first
    assert "oom-kill event" in printed or "memory budget" in printed
    until(lambda: not slurm("squeue", "--noheader", "--name=laion-score").strip(), "the jobs to end with the sweep")


def test_a_worker_that_comes_and_goes_between_two_looks_at_the_queue_was_there(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr("brainscore_vision.benchmarks.laion_fmri_7t.sweep.slurm.QUEUE_SECONDS", 0)
    request = JobRequest(n=1, cores=1, memory=MEMORY, walltime="10", logs=tmp_path)
    told = []
    with slurm_client(request, 0, told.append) as (client, keep):
        for _ in range(2):  # the next job's worker has the name of the first one's
            keep(1)
            client.wait_for_workers(1, timeout=PATIENCE)
            (job,) = client.run(lambda: os.environ["SLURM_JOB_ID"]).values()
            slurm("scancel", job)
            until(lambda: not client.scheduler_info()["workers"], "the worker to leave")
            until(lambda job=job: job not in slurm("squeue", "--noheader", "--format=%A").split(), "the job to end")
            keep(1)
            assert told.pop() == f"Job {job} has ended: CANCELLED; another one is submitted"
        waiting = until(lambda: slurm("squeue", "--noheader", "--format=%A").strip(), "the next job to be submitted")
        slurm("scancel", waiting)  # long before its worker is there
        until(lambda: waiting not in slurm("squeue", "--noheader", "--format=%A").split(), "the job to end")
        keep(1)
        assert told == [f"Job {waiting} has ended: CANCELLED, before its worker was there"]


def test_a_job_that_is_submitted_while_the_queue_is_asked_for_has_not_ended(slurm, tmp_path, monkeypatch):
    module = "brainscore_vision.benchmarks.laion_fmri_7t.sweep.slurm"
    command = _command

    def slow(*arguments):
        answer = command(*arguments)
        until(lambda: slurm("squeue", "--noheader"), "the job to be submitted")
        time.sleep(0.5)  # dask-jobqueue takes note of it
        return answer

    told = []
    with slurm_client(JobRequest(1, 1, MEMORY, "10", tmp_path), 0, told.append) as (_, keep):
        monkeypatch.setattr(f"{module}.QUEUE_SECONDS", 0)
        keep(1)
        monkeypatch.setattr(f"{module}._command", slow)
        keep(1)
        assert told == []


def test_what_slurm_refuses_is_told_before_the_work(start, tmp_path):
    code, output = start(["healthy"], "--partition", "absent").end()
    assert code == 1
    assert "SLURM takes no such job: " in output
    assert "invalid partition" in output
    assert "Change --partition" in output
    assert not (tmp_path / "healthy saw").exists()


def test_jobs_that_never_work_end_the_sweep(start, tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__PYTHON", "/no/such/python")
    code, output = start(["healthy"], "--jobs", "1", "--no-check").end()
    assert code == 1
    assert "3 jobs in a row ended before their workers were there. Job" in output
    assert "FAILED (exit code 127). It printed: " in output
    assert "/no/such/python: No such file or directory" in output
