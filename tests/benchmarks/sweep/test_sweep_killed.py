"""Sweeps as users run them, with real worker processes: killed, interrupted, started again."""

import os
import signal
from collections import Counter

import pytest
from plugin_testing.models import CountingModel
from plugin_testing.sweep_models import CELLS, write_models
from plugin_testing.sweep_runs import Run, until

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import probe_ids
from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import build_all

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path, tiny_dataset):
    """``start(functions, *options) -> Run``; what still runs at the end of a test is killed."""
    write_models(tmp_path)
    runs = []

    def start(functions, *options):
        # what the check before a sweep does is tested on its own
        runs.append(Run(tmp_path, tiny_dataset, functions, "--no-check", *options))
        return runs[-1]

    yield start
    for run in runs:
        run.kill()


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset):
    """Value of each cell, as score_model gives it: all models of the file see the same pixels."""
    model = CountingModel(identifier="undisturbed")
    return {cell: score_model(model, cell, dataset=tiny_dataset).item() for cell in CELLS}


@pytest.fixture
def seen_twice(tmp_path, tiny_dataset):
    """``seen_twice(model) -> set``: what a model saw more than once, "region image", beside the handful that is compared."""
    benchmarks = build_all(CELLS, tiny_dataset).values()
    compared = {i for one in benchmarks for task in one.resolve().tasks for i in probe_ids(task.pool.parts[0])}

    def seen_twice(model):
        seen = Counter((tmp_path / f"{model} saw").read_text().splitlines())
        return {line for line, count in seen.items() if count > 1 and line.split(" ", 1)[1] not in compared}

    return seen_twice


def test_a_killed_worker_costs_its_task_alone(start, undisturbed, seen_twice, tmp_path):
    # three workers die before the healthy model's turn comes, which one fewer would have made a failure
    code, output = start(["dies_once", "deadly", "healthy"], "--workers", "1", "--allowed-deaths", "1").end()
    assert code == 1, output
    assert (tmp_path / "died").exists()
    database = ResultsDatabase(tmp_path / "results.db")
    scored = {(r.model, r.benchmark): r.value for r in database.results(latest=False)}
    assert set(scored) == {(model, cell) for model in ("dies once", "healthy") for cell in CELLS}, output
    for (_, cell), value in scored.items():
        assert value == pytest.approx(undisturbed[cell], abs=1e-9)
    assert seen_twice("dies once") == set()  # what the killed worker had recorded was taken up
    failures = database.failures()
    assert {failure.benchmark for failure in failures} == set(CELLS)
    for failure in failures:
        assert failure.model.endswith(":deadly")
        assert "worker processes died while running this" in failure.error
        assert "most likely they ran out of memory" in failure.error
    assert "3 failures" in output


@pytest.mark.usefixtures("sweeps_here")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_ends_early_goes_on_where_it_was(start, undisturbed, seen_twice, tmp_path, how, run):
    sweep = start(["healthy", "blocked"], "--workers", "2")
    until(lambda: sweep.process.poll() is not None or (tmp_path / "blocked is looking").exists(), "the second model")
    assert sweep.process.poll() is None, sweep.output.read_text()
    done = until(sweep.values, "a score")
    workers = sweep.descendants()
    assert workers
    if how == signal.SIGINT:
        os.killpg(sweep.process.pid, how)  # as a terminal does: to every process of the sweep
    else:
        os.kill(sweep.process.pid, how)
    code, output = sweep.end()
    assert code == {signal.SIGKILL: -9, signal.SIGINT: 130}[how], output
    assert "Traceback" not in output
    until(lambda: not any(worker.is_running() for worker in workers), "the workers to end")

    done = {**done, **sweep.values()}  # what came back at the last moment is kept too
    first = {r.id for r in ResultsDatabase(sweep.results).results()}
    (tmp_path / "go").touch()
    code, *output = run(*sweep.arguments, "--no-check", "--workers", "1")
    output = "".join(output)
    assert code == 0, output
    assert sweep.values().items() >= done.items()
    results = ResultsDatabase(sweep.results).results(latest=False)
    assert len(results) == 2 * len(CELLS)
    assert first < {r.id for r in results}
    for r in results:
        assert r.value == pytest.approx(undisturbed[r.benchmark], abs=1e-9)
    assert f"{len(first)} cells are done already" in output
    assert seen_twice("healthy") == seen_twice("blocked") == set()
