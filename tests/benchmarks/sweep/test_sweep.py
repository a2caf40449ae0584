"""Sweeps on workers in this process: what is scored, what is recorded, what is done again."""

import importlib.util
import io
import re
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from distributed import Client, LocalCluster
from plugin_testing.models import CountingModel, small_network
from plugin_testing.notes import OF_TINY_DATA
from plugin_testing.sweep_models import CELLS, write_models
from rich.console import Console

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, missing_kernels, prepare_kernels
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI
from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.finding import code_revision, find_model
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import build_all
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import (
    ModelPlan,
    Settings,
    SweepError,
    SweepPlan,
    check_names,
    cluster,
    make_plan,
    run_sweep,
    tasks,
)
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.progress import Board, LiveBoard

V1, IT, OWN = CELLS
ENGINE = EngineOptions(progress=False)
EXPECTED = 10**9


@pytest.fixture
def model_file(tmp_path):
    return write_models(tmp_path)


@pytest.fixture(scope="module")
def address():
    """A scheduler with one worker of one thread, in this process."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
        resources={cluster.RESOURCE: 64e9},
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def sweep(address, tmp_path, model_file, tiny_dataset):
    """``sweep(functions, cells, **options) -> (Summary, ResultsDatabase, lines)``."""

    def sweep(functions, cells=CELLS, again=False, board=Board, settings=None, check=lambda: None, file=None):
        database = ResultsDatabase(tmp_path / "results.db")
        names = check_names([f"{file or model_file}:{name}" for name in functions], cells, dataset=str(tiny_dataset))
        made = make_plan(*names, results=database, again=again)
        shown = board(made, Console(file=io.StringIO(), width=200))
        with cluster.remote_client(address) as client, shown.shown():
            summary = run_sweep(client, made, settings or Settings(ENGINE), database, EXPECTED, shown, check)
        return summary, database, shown.console.file.getvalue()

    return sweep


def values(database):
    return {(r.model, r.benchmark): r.value for r in database.results()}


def test_scores_are_those_of_score_model(sweep, tiny_dataset):
    summary, database, lines = sweep(["healthy", "network"])
    assert (summary.n_scored, summary.failures) == (2 * len(CELLS), ())
    network = small_network({"V1": "conv", "V2": "conv", "V4": "pool", "IT": "pool"}, identifier="network alone")
    alone = {"healthy": CountingModel(identifier="healthy alone"), "network": network}
    for (model, cell), value in values(database).items():
        assert value == pytest.approx(score_model(alone[model], cell, dataset=tiny_dataset).item(), abs=1e-9)
    assert len(values(database)) == summary.n_scored
    assert "6 of 6 cells scored" in lines


def test_a_model_sees_each_image_once_for_all_cells(sweep, tmp_path, tiny_dataset):
    sweep(["healthy"])
    seen = Counter((tmp_path / "healthy saw").read_text().splitlines())
    (benchmark,) = build_all([OWN], tiny_dataset).values()
    images = {i for task in benchmark.resolve().tasks for i in task.pool.stimulus_ids}
    assert {line.split(" ", 1)[1] for line in seen} == images
    # besides, each task compares a handful of images with the fingerprint in the store
    assert sum(count > 1 for count in seen.values()) <= 2 * 6 * N_STIMULI


def test_a_check_that_raises_ends_it_and_keeps_what_is_done(sweep):
    checks = []

    def check():
        checks.append(None)
        if len(checks) > 1:
            raise KeyboardInterrupt(15)

    with pytest.raises(KeyboardInterrupt):
        sweep(["healthy"], CELLS[:1], check=check)
    assert len(checks) == 2
    assert sweep(["healthy"], CELLS[:1])[0].failures == ()


def test_what_is_done_is_not_done_again(sweep, tmp_path):
    sweep(["healthy"], CELLS[:2])
    saw = tmp_path / "healthy saw"
    saw.unlink()
    summary, database, _ = sweep(["healthy"])
    assert (summary.n_scored, summary.n_done) == (1, 2)
    assert len(database.results(latest=False)) == 3
    saw.unlink()
    assert sweep(["healthy"])[0].n_scored == 0
    assert not saw.exists()
    summary, database, _ = sweep(["healthy"], again=True)
    assert (summary.n_scored, summary.n_done) == (3, 0)
    assert len(database.results(latest=False)) == 6
    # from the kernels in the store: nothing but the handful of images was shown
    assert max(Counter(line.split(" ")[0] for line in saw.read_text().splitlines()).values()) < 100


def test_other_data_are_not_done_yet(model_file, tiny_dataset, another_dataset, sweep):
    _, database, _ = sweep(["healthy"], [V1])
    names = check_names([f"{model_file}:healthy"], [V1, f"{V1}[dataset={another_dataset}]"], dataset=None)
    names[1][0] = f"{V1}[dataset={tiny_dataset}]"
    (plan,) = make_plan(*names, results=database).models
    assert [target.identifier for target in plan.todo] == [f"{V1}[dataset={another_dataset}]"]
    assert [target.name for target in plan.done] == [V1]


def test_a_model_that_cannot_be_made_is_recorded_and_tried_again(sweep, tmp_path):
    summary, database, _ = sweep(["late", "healthy"], [V1])
    assert summary.n_scored == 1
    assert [(benchmark, error) for _, benchmark, error in summary.failures] == [
        (None, "FileNotFoundError: the weights are not there")
    ]
    (failure,) = database.failures()
    assert failure.benchmark is None
    assert 'raise FileNotFoundError("the weights are not there")' in failure.traceback
    (tmp_path / "weights").touch()
    summary, database, _ = sweep(["late", "healthy"], [V1])
    assert (summary.n_scored, summary.n_done, summary.failures) == (1, 1, ())
    assert database.failures() == []


def test_a_file_that_fails_on_import_is_left_to_the_worker(sweep, model_file):
    model_file.write_text("import nothing_of_this_name\n")
    summary, database, _ = sweep(["healthy"], [V1])
    (_, benchmark, error) = summary.failures[0]
    assert benchmark is None
    assert "sweep_made.py, line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'" in error
    assert "sweep_made.py" in database.failures()[0].traceback


def test_an_edited_file_is_scored_again(sweep, model_file):
    sweep(["healthy"], [V1])
    model_file.write_text(model_file.read_text().replace('Seen("healthy")', 'Seen("edited")'))
    summary, database, _ = sweep(["healthy"], [V1])  # the worker is the same, and knows the old one
    assert (summary.n_scored, summary.n_done) == (1, 0)
    before, after = database.results(latest=False)
    assert (before.model, after.model) == ("healthy", "edited")
    assert before.model_revision != after.model_revision
    assert sweep(["healthy"], [V1])[0].n_done == 1


def test_an_edit_that_is_taken_back_is_scored_again(sweep, model_file):
    """Tables show the results that were added last: those of the edit would stand for the code as it was."""
    code = model_file.read_text()
    (before,) = sweep(["healthy"], [V1])[1].results()
    model_file.write_text(code + "\nOTHER = 1\n")
    assert sweep(["healthy"], [V1], again=True)[0].n_scored == 1
    model_file.write_text(code)
    summary, database, _ = sweep(["healthy"], [V1])
    assert (summary.n_scored, summary.n_done) == (1, 0)
    (now,) = database.results()
    assert now.model_revision == before.model_revision
    assert now.id > before.id
    assert sweep(["healthy"], [V1])[0].n_done == 1


def test_a_layer_with_nan_costs_its_own_cells(sweep):
    summary, database, _ = sweep(["nan_in_it"])
    assert summary.n_scored == 2
    assert [benchmark for _, benchmark, _ in summary.failures] == [IT]
    (failure,) = database.failures()
    assert failure.benchmark == IT
    assert "ModelOutputError" in failure.error


def test_a_cell_that_fails_leaves_the_others_of_its_group(sweep, monkeypatch):
    cells = ["LAION_fMRI.V1-ood-ridge", "LAION_fMRI.V1-ood_gabor-ridge", "LAION_fMRI.V1-ood_shape-ridge"]
    honest = tasks.score_plans

    def score_plans(model, plans, options):
        for i, score in honest(model, plans, options):
            if "gabor" in plans[i].identifier:
                raise ZeroDivisionError("made up")
            yield i, score

    monkeypatch.setattr(tasks, "score_plans", score_plans)
    summary, database, _ = sweep(["healthy"], cells)
    assert sorted(benchmark for _, benchmark in values(database)) == [cells[0], cells[2]]
    assert [failure[1:] for failure in summary.failures] == [(cells[1], "ZeroDivisionError: made up")]
    assert 'raise ZeroDivisionError("made up")' in database.failures()[0].traceback


def test_a_score_that_cannot_be_kept_is_its_cells_failure(sweep, monkeypatch):
    honest = tasks.score_plans

    def score_plans(model, plans, options):
        for i, score in honest(model, plans, options):
            if "IT" in plans[i].identifier:
                score.attrs["extra"] = {1, 2}
            yield i, score

    monkeypatch.setattr(tasks, "score_plans", score_plans)
    summary, database, lines = sweep(["healthy"])
    assert summary.n_scored == len(values(database)) == 2
    (failure,) = database.failures()
    assert (failure.benchmark, failure.error) == (IT, summary.failures[0][2])
    assert failure.error.startswith("ResultsError: ")
    assert "holds a set" in failure.error
    assert "in pack" in failure.traceback
    assert "3 of 3" not in lines
    monkeypatch.undo()
    assert sweep(["healthy"])[0].n_scored == 1


def test_a_cell_has_its_own_facts(model_file, tiny_dataset):
    cells = ["LAION_fMRI.V1-ood-ridge", "LAION_fMRI.V1-ood_gabor-ridge", "LAION_fMRI.V1-ood_shape-ridge"]
    (plan,) = make_plan(*check_names([f"{model_file}:healthy"], cells, dataset=str(tiny_dataset))).models
    versions = {target.identifier: version for version, target in enumerate(plan.todo, start=1)}
    plan = replace(plan, todo=tuple(replace(target, version=versions[target.identifier]) for target in plan.todo))
    for makes_scores in (False, True):
        work = tasks.Work(plan, cells=makes_scores, bytes=EXPECTED, measured=True)
        outcome = tasks.do(work, Settings(ENGINE), "key")
        assert outcome.failed == []
    assert {s.target.identifier: s.entry.run.benchmark_version for s in outcome.scored} == versions


def test_kernels_that_workers_do_not_share_are_not_made_again_in_silence(sweep, monkeypatch, tmp_path):
    honest = tasks.prepare_kernels

    def on_another_machine(model, todo, engine):
        return honest(model, todo, EngineOptions(progress=False, store_directory=tmp_path / "another machine's"))

    monkeypatch.setattr(tasks, "prepare_kernels", on_another_machine)
    summary, _, _ = sweep(["healthy"], [V1])
    assert summary.n_scored == 0
    assert "a folder that all machines share (--store-directory)" in summary.failures[0][2]


def test_a_task_asks_for_what_its_model_was_measured_to_need(sweep, monkeypatch):
    asked, honest = [], Client.submit

    def submit(client, function, work, *args, resources, **options):
        asked.append((work.cells, resources[cluster.RESOURCE], work.measured))
        return honest(client, function, work, *args, resources=resources, **options)

    monkeypatch.setattr(Client, "submit", submit)
    monkeypatch.setattr(f"{__name__}.EXPECTED", 1000)
    assert sweep(["healthy"], [V1])[0].n_scored == 1
    guess, measured, scoring = asked
    assert guess == (False, 1000, False)
    assert measured[2]
    assert measured[1] > 10**7
    assert scoring[0]


def test_a_task_that_no_worker_can_hold_is_a_failure_and_no_wait(sweep, monkeypatch, address):
    monkeypatch.setattr("brainscore_vision.benchmarks.laion_fmri_7t.sweep.run.memory_of_workers", lambda _: [5000])
    summary, _, _ = sweep(["healthy"])
    assert summary.n_scored == 0
    assert len(summary.failures) == len(CELLS)
    assert all("the largest worker has 0.0 GB" in failure[2] for failure in summary.failures)


def test_a_worker_that_cannot_even_begin_is_a_failure(sweep, monkeypatch):
    def do(work, settings, key):
        raise ModuleNotFoundError("this worker has another installation")

    monkeypatch.setattr("brainscore_vision.benchmarks.laion_fmri_7t.sweep.run.do", do)
    summary, database, _ = sweep(["healthy"], [V1])
    assert summary.failures[0][1:] == (V1, "ModuleNotFoundError: this worker has another installation")
    assert "in do" in database.failures()[0].traceback


def test_workers_without_memory_are_an_error_before_the_work():
    bare = LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0")
    lacking = pytest.raises(SweepError, match="--memory-limit 32GB --resources MEMORY=30e9")
    with bare, cluster.remote_client(bare.scheduler_address) as client, lacking:
        cluster.memory_of_workers(client)


def test_no_scheduler_there(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(SweepError, match="does not answer"), cluster.remote_client("tcp://127.0.0.1:1"):
        pass


def test_distributed_is_an_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SweepError, match=r"pip install 'laion-fmri-7t\[sweep\]'"), cluster.remote_client("tcp://x:1"):
        pass


def test_a_dry_run_needs_no_dask(run, monkeypatch, model_file, tmp_path, tiny_dataset):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *of: None if name == "distributed" else found(name, *of)
    )
    common = [f"{model_file}:healthy", "-b", V1, "--dataset", tiny_dataset, "--results", tmp_path / "results.db"]
    code, out, _ = run("sweep", *common, "--dry-run", "--no-check")
    assert code == 0
    assert "1 tasks make kernels" in out
    assert "Workers: none here. Get dask.distributed with the extra 'sweep'" in out


def test_a_live_table_shows_the_same(sweep):
    lines = sweep(["healthy", "late"], [V1], board=LiveBoard)[2]
    assert "the weights are not there" in lines
    assert "1 of 2 cells scored, 1 failed" in lines
    assert "1/1" in lines


def test_a_live_table_shows_whole_names():
    names = [f"/a/folder/whose/name/is/long/{'x' * 80}.py:make(width={k})" for k in range(3)]
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    console.print(LiveBoard(SweepPlan(tuple(ModelPlan(name, None, (V1,), ()) for name in names)), console).table())
    shown = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())
    cells = "".join(line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│"))
    assert cells == "".join(names)


@pytest.fixture
def made_anew(monkeypatch):
    """Every task makes its model, as tasks on many workers do."""
    monkeypatch.setattr(tasks, "_model", lambda plan, sweep: find_model(plan.model).model())


@pytest.mark.parametrize("model", ["unseeded", "unseeded_features"])
def test_a_model_that_is_another_network_each_time_is_refused(sweep, made_anew, model):
    summary, database, _ = sweep([model], CELLS[:2])
    assert (summary.n_scored, database.results()) == (0, [])
    for _, _, error in summary.failures:
        assert "two networks under one name" in error
        assert "torch.manual_seed" in error
    assert {benchmark for _, benchmark, _ in summary.failures} == set(CELLS[:2])


def test_a_model_that_is_the_same_network_each_time_is_scored(sweep, made_anew):
    assert sweep(["network"], CELLS[:2])[0].n_scored == 2


def test_a_worker_of_two_sweeps_makes_what_was_edited_between_them(sweep, tmp_path):
    (tmp_path / "parts.py").write_text("SEED = 1\n")
    code = (
        "import torch, parts\n"
        "from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model\n\n"
        "def make():\n"
        "    torch.manual_seed(parts.SEED)\n"
        "    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)).eval()\n"
        "    return as_brain_model(network, 'net', layers={'V1': '0'}, image_size=32)\n"
    )
    (tmp_path / "with_parts.py").write_text(code)
    digests = []
    for seed in (1, 2):
        (tmp_path / "parts.py").write_text(f"SEED = {seed}\nNEW = {'3' * seed}\n")
        _, database, _ = sweep(["make"], [V1], again=True, file=tmp_path / "with_parts.py")
        digests.append(database.results()[-1].network_digest)
    assert digests[0] != digests[1]


def test_a_worker_that_imported_a_module_before_its_edit_scores_nothing(tmp_path, tiny_dataset, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "lab_that_is_edited.py"
    module.write_text("from plugin_testing.models import CountingModel as make\n")
    name = f"{module.stem}:make"
    (plan,) = make_plan(*check_names([name], [V1], dataset=str(tiny_dataset))).models
    assert tasks._model(plan, "sweep").identifier
    module.write_text(f"{module.read_text()}# edited\n")
    assert tasks._model(plan, "while it runs").identifier
    with pytest.raises(ModelSourceError, match=f"package of {name} was edited since this worker began"):
        tasks._model(replace(plan, revision=code_revision(name, anew=True)), "another sweep")


def test_a_worker_with_another_revision_of_a_plugin_scores_nothing(tiny_dataset):
    (plan,) = make_plan(*check_names(["pixels"], [V1], dataset=str(tiny_dataset))).models
    assert tasks._model(plan, "sweep").identifier == "pixels"
    with pytest.raises(ModelSourceError, match=f"revision 1234 where .* {plan.revision} on this worker"):
        tasks._model(replace(plan, revision="1234"), "sweep")


def test_cells_of_an_earlier_sweep_are_of_the_same_network(sweep, monkeypatch):
    for model in ("unseeded", "network"):  # one by one: the worker keeps the model that it used last
        sweep([model], [V1])
    monkeypatch.setattr(tasks, "_kept", threading.local())  # as in another process
    summary, database, _ = sweep(["unseeded", "network"], CELLS[:2])
    assert (summary.n_scored, summary.n_done) == (1, 2)
    ((_, benchmark, error),) = summary.failures
    assert benchmark == IT
    (result,) = database.results(models=["*:unseeded"])
    assert f"1 cells that are done were scored with {result.network_digest}" in error
    assert "score all cells again (--again)" in error
    summary, database, _ = sweep(["unseeded"], CELLS[:2], again=True)
    assert summary.n_scored == 2
    assert len({r.model for r in database.results(models=["*:unseeded"])}) == 1


def test_a_kernel_that_a_changed_model_replaced_is_told_by_every_score_on_it(sweep, model_file, made_anew):
    sweep(["network"], [V1])
    text = model_file.read_text()
    model_file.write_text(text.replace('"IT": "pool"}, identifier="network"', '"IT": "pool"}, 5, identifier="network"'))
    _, database, _ = sweep(["network"], CELLS[:2])
    (result,) = database.results(benchmarks=[V1])
    (note,) = (each for each in result.notes if each.startswith("The features of network in conv differ by"))
    assert "The kernel was made again on" in note
    others = [each for each in result.notes if each != note]  # of the data, and the penalties that fit it
    assert [each for each in others if not any(text in each for text in ("of its grid", *OF_TINY_DATA))] == []
    (other,) = database.results(benchmarks=[IT])  # of another layer, whose kernel was not there
    assert not any("made again" in note for note in other.notes)


# the command


@pytest.mark.usefixtures("sweeps_here")
def test_command_on_a_scheduler(run, address, model_file, tmp_path, tiny_dataset):
    (tmp_path / "models.txt").write_text(f"{model_file}:healthy\n{model_file}:late\n")
    (tmp_path / "cells.txt").write_text(f"{V1}\n{IT}\n")
    common = [tmp_path / "models.txt", "-b", tmp_path / "cells.txt", "--dataset", tiny_dataset]
    common += ["--results", tmp_path / "new" / "results.db"]
    code, out, _ = run("sweep", *common, "--dry-run")
    assert code == 1
    assert "1 tasks make kernels, one per model; then 2 cells are scored on them, 0 are done." in out
    assert not (tmp_path / "new").exists()
    code, out, err = run("sweep", *common, "--scheduler", address)
    assert code == 1
    assert out == ""  # what is shown on the way is no result
    assert f"{model_file}:late: FileNotFoundError: the weights are not there" in err
    assert f"2 cells of 1 models on the 1 workers of {address}; 0 cells are done already" in err
    (failure,) = ResultsDatabase(tmp_path / "new" / "results.db").failures()
    assert (failure.model, failure.benchmark) == (f"{model_file}:late", None)
    assert 'raise FileNotFoundError("the weights are not there")' in failure.traceback
    (tmp_path / "weights").touch()
    code, out, _ = run("sweep", *common, "--dry-run")
    assert "1 tasks make kernels, one per model; then 2 cells are scored on them, 2 are done." in out
    assert run("sweep", *common, "--scheduler", address)[0] == 0
    code, _, err = run("sweep", *common, "--scheduler", address)
    assert code == 0
    assert "Nothing to do: all 4 cells are in" in err


@pytest.mark.usefixtures("sweeps_here")
def test_an_edited_model_keeps_what_the_list_said_of_it_before(run, address, model_file, tmp_path, tiny_dataset):
    models, results = tmp_path / "models.csv", tmp_path / "results.db"
    text = model_file.read_text()
    seed = '"IT": "pool"}, identifier="network"'

    def swept(width, cell):
        models.write_text(f"source,width\n{model_file}:network,{width}\n")
        common = models, "-b", cell, "--dataset", tiny_dataset, "--results", results, "--scheduler", address
        assert run("sweep", *common)[0] == 0
        return [(r.benchmark, r.properties["width"]) for r in ResultsDatabase(results).results()]

    assert swept(4, V1) == [(V1, 4)]
    assert swept(5, V1) == [(V1, 5)]  # nothing to do, and the list was corrected
    model_file.write_text(f"{text}\n# a remark\n")
    assert swept(6, V1) == [(V1, 6)]
    model_file.write_text(text.replace(seed, seed.replace("},", "}, 5,")))
    assert swept(32, IT) == [(V1, 6), (IT, 32)]
    model_file.write_text(text)
    assert swept(7, V1) == [(V1, 7), (IT, 32)]


def test_without_a_check_a_model_that_cannot_be_made_is_a_failure(run, address, model_file, tmp_path, tiny_dataset):
    common = [f"{model_file}:late", "-b", V1, "--dataset", tiny_dataset, "--results", tmp_path / "results.db"]
    code, _, err = run("sweep", *common, "--scheduler", address, "--no-check")
    assert code == 1
    assert "1 failures, with tracebacks in the results" in err


@pytest.mark.usefixtures("sweeps_here")
def test_results_that_cannot_be_kept_are_told_before_the_work(run, address, model_file, tmp_path, tiny_dataset):
    common = [f"{model_file}:healthy", "-b", V1, "--dataset", tiny_dataset, "--scheduler", address]
    (tmp_path / "results.db.voxels").write_text("no folder")
    code, _, err = run("sweep", *common, "--results", tmp_path / "results.db")
    assert (code, err.count("\n")) == (1, 1)
    assert "results.db.voxels, which cannot be written" in err
    assert not (tmp_path / "healthy saw").exists()


@pytest.mark.usefixtures("sweeps_here")
def test_an_empty_results_file_is_a_start_that_was_killed(run, address, model_file, tmp_path, tiny_dataset):
    results = tmp_path / "results.db"
    results.touch()
    common = [f"{model_file}:healthy", "-b", V1, "--dataset", tiny_dataset, "--results", results]
    code, out, _ = run("sweep", *common, "--dry-run", "--no-check")
    assert (code, results.stat().st_size) == (0, 0)
    assert "1 cells are scored on them, 0 are done." in out
    assert run("sweep", *common, "--scheduler", address)[0] == 0
    assert len(ResultsDatabase(results).results()) == 1


def test_wrong_usage(monkeypatch, capsys, run, model_file, tmp_path, tiny_dataset):
    results = tmp_path / "results.db"
    common = ["-b", V1, "-b", "LAION_fMRI.V1-tau-rigde", "--dataset", tiny_dataset, "--results", results]
    code, _, err = run("sweep", f"{model_file}:healthy", "no-such-model", *common)
    assert code == 2
    assert "nearest valid one is 'LAION_fMRI.V1-tau-ridge'" in err
    assert "received 'no-such-model'" in err
    both = ["--workers", 2, "--scheduler", "tcp://x:1"]
    assert run("sweep", f"{model_file}:healthy", *common, *both)[0] == 2
    code, _, err = run("sweep", f"{model_file}:healthy", *common[:2], *common[4:], "--dataset", tmp_path)
    assert code == 1
    assert "A dataset folder has assemblies/sub-XX.nc" in err
    assert not results.exists()


# the engine's part


def test_prepared_kernels_are_found(tmp_path, tiny_dataset):
    model = CountingModel(identifier="prepared")
    todo = [task for benchmark in build_all(CELLS, tiny_dataset).values() for task in benchmark.resolve().tasks]
    assert len(missing_kernels(model, todo, ENGINE)) == 2 + 5  # V1 and IT of the shared pool, V1 of five pools
    assert model.looks == []
    assert prepare_kernels(model, todo, ENGINE) == {"V1": "V1", "IT": "IT"}
    assert missing_kernels(model, todo, ENGINE) == []
    model.looks.clear()
    score = score_model(model, OWN, dataset=tiny_dataset)
    assert np.isfinite(score.item())
    assert len(model.shown) <= 2 * N_STIMULI


@pytest.mark.parametrize("options", [{"store": False}, {"random_features": "accept"}])
def test_kernels_are_prepared_to_be_kept(options):
    with pytest.raises(StimulusKernelError, match="find them in the store"):
        prepare_kernels(CountingModel(), [], EngineOptions(**options))
