"""The check before a sweep: what is wrong with a model is said at once, in one line, and recorded."""

import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from plugin_testing.sweep_models import CELLS, write_models
from plugin_testing.sweeps_here import Executor, measure_shortly

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.networks.finding import find_model
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import check_names, make_plan
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.cluster import LocalWorkers
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.preflight import (
    Preflight,
    check_model,
    record_broken,
    without_broken,
)
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

V1, IT, OWN = CELLS
ENGINE = EngineOptions(progress=False)


@pytest.fixture
def plan(tmp_path, tiny_dataset):
    """``plan({model: layers})`` of all cells; ``MODELS:function`` is a function of the models for sweeps."""
    file = write_models(tmp_path)

    def make(models):
        models = {name.replace("MODELS", str(file)): layers for name, layers in models.items()}
        return make_plan(*check_names(models, CELLS, dataset=str(tiny_dataset)))

    return make


def checked(plan):
    return [check_model(model, ENGINE) for model in plan.models]


def test_a_sound_model_is_made_and_shown_a_few_images(plan, tmp_path):
    (one,) = checked(plan({"MODELS:network": None}))
    assert one.problems == ()
    assert one.made == find_model(one.model).made()
    assert checked(plan({"MODELS:healthy": None}))[0].problems == ()
    seen = {line.split()[1] for line in (tmp_path / "healthy saw").read_text().splitlines()}
    assert 0 < len(seen) < 20


def test_a_typo_in_a_layer_is_one_line(plan, tmp_path):
    planned = plan({"MODELS:network": {"V1": "conf", "IT": "pool"}})
    found = checked(planned)
    (line,) = found[0].lines()
    assert line.startswith(f"{tmp_path}/sweep_made.py:network")
    assert "has no 'conf'" in line
    assert "\n" not in line


def test_a_region_that_a_model_does_not_map_costs_its_own_cells(plan):
    planned = plan({"MODELS:partial": None})
    found = checked(planned)
    (line,) = found[0].lines()
    assert "(IT): " in line
    sound = without_broken(planned, found)
    assert [target.name for target in sound.models[0].todo] == [V1, OWN]


def test_one_cause_is_one_line(plan):
    (one,) = checked(plan({"MODELS:no_numbers": None}))
    assert {problem.region for problem in one.problems} == {"V1", "IT"}
    (line,) = one.lines()
    assert "(V1, IT): ZeroDivisionError: no numbers" in line


def test_failures_are_recorded_once_for_a_model_and_else_for_each_cell(plan, tmp_path):
    planned = plan({"MODELS:late": None, "MODELS:no_numbers": None, "MODELS:network": None})
    found = checked(planned)
    database = ResultsDatabase(tmp_path / "results.db")
    record_broken(database, planned, found)
    failures = [(failure.model.rpartition(":")[2], failure.benchmark) for failure in database.failures()]
    assert failures == [("late", None), ("no_numbers", V1), ("no_numbers", IT), ("no_numbers", OWN)]
    assert "raise ZeroDivisionError" in database.failures()[1].traceback
    assert [len(model.todo) for model in without_broken(planned, found).models] == [0, 0, 3]


def test_a_network_whose_layers_are_to_be_chosen_sees_one_image(plan):
    (one,) = checked(plan({"torchvision:squeezenet1_1@none": "auto"}))
    assert (one.problems, one.made.revision is not None) == ((), True)


def test_a_process_that_dies_is_left_to_the_workers(plan):
    planned = plan({"MODELS:deadly": None, "MODELS:network": None})
    with Preflight(ENGINE) as preflight:
        dead, alive = preflight.check(planned.models)
    assert (dead.made, dead.problems) == (None, ())
    assert alive.made is not None


def test_of_models_side_by_side_the_one_whose_process_dies_is_found(plan, monkeypatch):
    class Mortal(Executor):
        dead = False

        def submit(self, function, *arguments):
            self.dead |= "deadly" in str(arguments)
            if not self.dead:
                return super().submit(function, *arguments)
            future = Future()
            future.set_exception(BrokenProcessPool())
            return future

    monkeypatch.setattr("brainscore_vision.benchmarks.laion_fmri_7t.sweep.preflight.ProcessPoolExecutor", Mortal)
    measure_shortly(monkeypatch)
    planned = plan({"MODELS:network": None, "MODELS:deadly": None, "MODELS:healthy": None})
    with Preflight(ENGINE, LocalWorkers(n=2, threads=1, memory=0)) as preflight:
        found = list(preflight.check(planned.models))
    assert [one.model.rpartition(":")[2] for one in found] == ["network", "deadly", "healthy"]
    assert [one.rates is not None for one in found] == [True, False, True]
    assert [one.made is not None for one in found] == [True, False, True]
    assert [one.problems for one in found] == [(), (), ()]  # what kills a process is left to the workers


def test_an_interrupt_ends_the_check(plan):
    def interrupted():
        raise KeyboardInterrupt(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), Preflight(ENGINE) as preflight:
        list(preflight.check(plan({"MODELS:network": None}).models, interrupted))


@pytest.fixture
def table(tmp_path, tiny_dataset):
    opened = open_dataset(tiny_dataset)
    ids = sorted({i for pool in (*opened.subjects, "shared") for i in opened.pool_stimuli(pool)})
    path = tmp_path / "table.npz"
    np.savez(path, features=np.random.default_rng(0).standard_normal((len(ids), 5)), image_ids=ids)
    return path


def test_a_table_of_features_and_embeddings_stand_beside_networks(plan, table, monkeypatch):
    monkeypatch.chdir(table.parent)
    planned = plan({"table.npz": None, "LAION_fMRI-CLIP": None, "MODELS:network": None})
    assert [model.model for model in planned.models][:2] == [str(table), "LAION_fMRI-CLIP"]
    assert [one.problems for one in checked(planned)] == [(), (), ()]


@pytest.mark.usefixtures("sweeps_here")
def test_layers_for_all_are_those_of_networks(run, table, tmp_path, tiny_dataset):
    models = [str(table), "LAION_fMRI-CLIP", f"{write_models(tmp_path)}:network"]
    common = ["-b", V1, "--dataset", tiny_dataset, "--results", tmp_path / "results.db", "--dry-run"]
    code, out, err = run("sweep", *models, *common, "--layers", "V1=conv")
    assert code == 0
    assert err.count("it is scored as it is, without layers") == 2
    assert f"{table} has no network" in err
    assert "LAION_fMRI-CLIP has no network" in err
    assert "then 3 cells are scored" in out


@pytest.mark.usefixtures("sweeps_here")
def test_a_cause_that_many_models_share_is_said_once(run, tmp_path, tiny_dataset):
    file = write_models(tmp_path)
    models = [f"{file}:{name}" for name in ("partial", "late", "network", "also_partial")]
    common = ["-b", IT, "--dataset", tiny_dataset, "--results", tmp_path / "results.db", "--dry-run"]
    code, _, err = run("sweep", *models, *common)
    assert code == 1
    assert err.count("maps no layer to IT") == 1
    assert f"Cannot be scored, as {models[0]}: {models[3]}" in err
    assert err.count("the weights are not there") == 1
