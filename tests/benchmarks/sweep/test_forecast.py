"""The forecast of a sweep: what can be counted is exact, and what is measured is measured with the sweep's own code."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import h5py
import numpy as np
import pytest
from plugin_testing.sweep_models import CELLS, write_models
from plugin_testing.sweeps_here import measure_shortly

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import CommitmentRecorder
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import Settings, check_names, forecast, make_plan, preflight
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.forecast import (
    CellRates,
    Forecast,
    MachineRates,
    ModelRates,
    measure_machine,
    measure_model,
)
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.tasks import Work, do
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

V1, IT, OWN = CELLS


@pytest.fixture(autouse=True)
def short(monkeypatch):
    measure_shortly(monkeypatch)


@pytest.fixture
def engine(tmp_path):
    return EngineOptions(progress=False, store_directory=tmp_path / "kernels", spool_directory=tmp_path / "spool")


@pytest.fixture
def plan(tmp_path, tiny_dataset):
    """``plan(function, cells)`` of a function of the models for sweeps."""
    file = write_models(tmp_path)

    def make(function="healthy", cells=CELLS):
        return make_plan(*check_names([f"{file}:{function}"], cells, dataset=str(tiny_dataset)))

    return make


def make_kernels(model, engine):
    outcome = do(Work(model, cells=False, bytes=10**12), Settings(engine), "key")
    assert outcome.failed == []


def test_images_that_a_model_will_be_shown_are_counted(plan, engine, tmp_path, tiny_dataset):
    (model,) = plan().models
    rates = measure_model(model, engine)
    dataset = open_dataset(tiny_dataset)
    pools = [set(dataset.pool_stimuli(pool)) for pool in ("shared", *dataset.subjects)]
    assert rates.n_shown == len(set.union(*pools))
    assert rates.image > 0
    seen = tmp_path / "healthy saw"
    seen.unlink()
    make_kernels(model, engine)
    shown = [line.split()[1] for line in seen.read_text().splitlines() if line.startswith("V1 ")]
    fingerprints = 8 * 2  # of the forecast of memory, and before the recording
    assert len(shown) == rates.n_shown + fingerprints


def test_kernels_that_are_stored_cost_no_passes(plan, engine):
    (model,) = plan().models
    before = measure_model(model, engine)
    assert sorted(n for n, _ in before.to_make) == [67, 67, *[67 + 30] * 5]  # that all saw, and that one subject saw
    make_kernels(plan(cells=[V1]).models[0], engine)
    some = measure_model(model, engine)
    assert len(some.to_make) == len(before.to_make) - 1
    assert some.n_shown == 67 + 67 + 5 * 30  # IT in the pool of all, then V1 in those of subjects
    make_kernels(model, engine)
    after = measure_model(model, engine)
    assert (after.n_shown, after.n_unfitted, after.to_make, after.products, after.image) == (0, 0, (), 0, 0.0)
    assert (after.store_bytes, after.spool_bytes) == (0, 0)
    assert sum(h5py.File(path)["gram"].nbytes for path in engine.kernels.glob("*.kernel")) == before.store_bytes


@pytest.mark.parametrize(("stored", "n_shown"), [([], 67 + 5 * 30), ([V1], 67 + 67 + 5 * 30), ([IT], 67 + 5 * 30)])
def test_a_part_that_pools_share_is_shown_once_per_layer(plan, engine, monkeypatch, stored, n_shown):
    (model,) = plan("network").models
    if stored:
        make_kernels(plan("network", cells=stored).models[0], engine)
    rates = measure_model(model, engine)
    assert rates.labels["V1"] != rates.labels["IT"]
    assert rates.n_shown == n_shown
    recorded = []
    record = CommitmentRecorder.record

    def counted(self, stimuli, labels, sink):
        recorded.append(len(stimuli))
        return record(self, stimuli, labels, sink)

    monkeypatch.setattr(CommitmentRecorder, "record", counted)
    make_kernels(model, engine)
    assert sum(n for n in recorded if n > 8) == n_shown  # a fingerprint is of 8


def test_images_are_fitted_once_for_a_field_of_view(plan, engine, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINSCORE_HOME", str(tmp_path / "home"))
    (model,) = plan("network").models
    first = measure_model(model, engine)
    assert 0 < first.n_unfitted < first.n_shown  # those that it was shown now are there
    make_kernels(model, engine)
    (engine.kernels).rename(tmp_path / "elsewhere")
    assert measure_model(model, engine).n_unfitted == 0
    assert measure_model(plan("healthy").models[0], engine).n_unfitted == 0  # as wide as the screen


def test_nothing_is_left_on_the_disk(plan, engine):
    planned = plan()
    rates = measure_model(planned.models[0], engine)
    machine = measure_machine(planned, [rates], engine)
    assert list(engine.spool.iterdir()) == []
    assert not engine.kernels.exists() or list(engine.kernels.iterdir()) == []
    assert {kind for kind, _ in machine.cells} == {
        ("shared", "tau", "ridgecv"),
        ("shared", "ood", "ridge"),
        ("persubject", "tau", "ridgecv"),
    }
    assert all(one.subject >= 0 and one.decomposition >= 0 for one in machine.cells.values())
    found = forecast.forecast(planned, {planned.models[0].model: rates}, machine, engine, 1, start=3.0)
    assert found.seconds == pytest.approx(3.0 + sum(found.stages.values()), rel=1e-6)  # one worker does all of it
    assert found.peak > 10**8


def rates_of(labels, widths, **others):
    given = {
        "make": 0.0,
        "group": 0.0,
        "once": 0.0,
        "image": 0.5,
        "n_shown": 10,
        "n_unchecked": 0,
        "n_unfitted": 0,
        "degrees": 8.0,
        "to_make": (),
        "spool_bytes": 0,
        "peak": 0,
    }
    return ModelRates(**{**given, "labels": labels, "widths": widths, **others})


def machine_of(cells):
    return MachineRates(
        multiplication=0.0, save=0.0, load=0.0, neuroid=0.0, halves=0.0, find=0.0, check=1.0, fit=2.0, cells=cells
    )


def test_subjects_of_one_pool_share_a_decomposition_and_subjects_of_their_own_pools_do_not(plan):
    cells = {
        (("shared", "tau", "ridgecv"), "eigenvectors"): CellRates(
            n_train=0, decomposition=100.0, subject=1.0, neuroid=0
        ),
        (("persubject", "tau", "ridgecv"), "eigenvectors"): CellRates(
            n_train=0, decomposition=1000.0, subject=1.0, neuroid=0
        ),
    }
    planned = plan(cells=[V1, OWN])
    rates = rates_of({"V1": "conv"}, {"conv": 7})
    found = forecast.forecast(planned, {planned.models[0].model: rates}, machine_of(cells), EngineOptions(), 1, 0.0)
    assert found.stages["cells"] == 100 + 5 + 5 * 1000 + 5
    assert found.stages["passes"] == 10 * 0.5


def test_images_are_checked_and_fitted_for_the_first_model_of_a_field_of_view(tmp_path, tiny_dataset):
    file = write_models(tmp_path)
    names = [f"{file}:{name}" for name in ("healthy", "network", "unseeded")]
    planned = make_plan(*check_names(names, [V1], dataset=str(tiny_dataset)))
    cells = {(("shared", "tau", "ridgecv"), "eigenvectors"): CellRates(0, 0.0, 0.0, 0.0)}
    fields = zip(names, (8.0, 8.0, 4.0), (10, 12, 3), strict=True)
    rates = {
        name: rates_of({"V1": "x"}, {"x": 1}, degrees=degrees, n_unchecked=20, n_unfitted=n)
        for name, degrees, n in fields
    }
    found = forecast.forecast(planned, rates, machine_of(cells), EngineOptions(), 1, 0.0)
    assert (found.n_unchecked, found.n_unfitted, found.n_shown) == (20, 15, 30)
    assert (found.stages["checking images"], found.stages["fitting images"]) == (20 * 1.0, 15 * 2.0)


@pytest.mark.parametrize(
    ("work", "n_workers", "expected"),
    [
        # seconds to make a model, of its kernels, of its cells
        ([(1.0, 10.0, [2.0, 3.0])], 1, (16.0, 1.0)),
        (
            [(1.0, 10.0, [2.0, 3.0])],
            2,
            (14.0, 2.0),
        ),  # the second worker makes the model too: 1 + 10, then 1 + 2 beside 3
        ([(0.0, 10.0, [4.0])] * 2, 2, (14.0, 0.0)),
        ([(0.0, 10.0, [4.0])] * 3, 2, (28.0, 0.0)),
        ([(0.0, 0.0, [])], 3, (0.0, 0.0)),
    ],
)
def test_workers_side_by_side(work, n_workers, expected):
    assert forecast._seconds_side_by_side(work, n_workers, 0.0) == expected
    begun = forecast._seconds_side_by_side(work, n_workers, 5.0)
    assert begun == (expected[0] + 5.0, expected[1])


def test_products_and_bytes():
    rates = rates_of({}, {}, to_make=((10, 100), (4, 6)))
    assert rates.products == (10 * 10 * 100 + 4 * 4 * 6) / 2
    assert rates.store_bytes == 8 * (55 + 10)


def test_rates_of_several_processes_are_averaged():
    kind = ("shared", "tau", "ridgecv"), ""
    one, two = (MachineRates(*np.full(8, x), {kind: CellRates(5, x, x, x)}) for x in (1.0, 3.0))
    assert MachineRates.mean([one, two]) == MachineRates(*np.full(8, 2.0), {kind: CellRates(5, 2.0, 2.0, 2.0)})


def test_the_command_forecasts_unless_it_is_not_to_look_at_models(run, tmp_path, tiny_dataset, monkeypatch):
    """In real processes, one of which a model kills; forked, so that each costs no imports."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(preflight, "_processes", lambda n: ProcessPoolExecutor(n, mp_context=fork))
    file = write_models(tmp_path)
    common = ["sweep", f"{file}:healthy", f"{file}:deadly", "-b", V1, "--dataset", tiny_dataset, "--dry-run"]
    common += ["--results", tmp_path / "results.db", "--workers", 1]
    code, out, _ = run(*common)
    assert code == 0
    assert "with as many workers as 1" in out
    assert "images: 67 are shown to models" in out
    assert f"No forecast of {file}:deadly" in out
    code, out, _ = run(*common, "--no-check")
    assert (code, "Forecast:" in out, "1 cells are scored" in out) == (0, False, False)
    assert "2 cells are scored" in out


def test_lines_for_people():
    found = Forecast(7300.0, {"passes": 3700.0, "cells": 0.04, "fitting images": 0.0}, 1000, 5, 6, 2 * 10**9, 10**9, 0)
    first, work, images, memory, _ = found.lines(forecast.LocalWorkers(1, 2, 10**9), 4)
    assert "2.0 h with as many workers as 4" in first
    assert work == "  work of all workers: passes 62 min, cells 0.0 s"
    assert "1,000 are shown to models, of which 5 are read and decoded for the first time, 6 are fitted" in images
    assert "2.0 GB a worker at most, more than one has" in memory
    assert "more than" not in found.lines(forecast.LocalWorkers(1, 2, 10**10), 4)[3]


def test_features_that_come_with_the_data_show_no_images(engine, tiny_dataset):
    planned = make_plan(*check_names(["LAION_fMRI-CLIP"], [V1], dataset=str(tiny_dataset)))
    rates = measure_model(planned.models[0], engine)
    assert (rates.n_shown, rates.n_unchecked, rates.n_unfitted, len(rates.to_make)) == (0, 0, 0, 1)
