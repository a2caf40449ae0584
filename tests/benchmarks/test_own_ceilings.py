"""Each subject is divided by its own ceiling, though Brain-Score caches ceilings on disk by a benchmark's identifier."""

import os
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from brainscore_core.metrics import Score
from plugin_testing.models import FeatureModel, random_features

from brainscore_vision.benchmarks import BenchmarkBase
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, score_model
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

SUBJECTS = ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")
CELLS = ("LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI_persubject.IT-ood-ridge", "LAION_fMRI.V2-rdm-pearson")
SETTINGS = (
    {},
    {"noise_ceiling_threshold": 45},
    {"noise_ceiling_threshold": 0},
    {"normalization": "explained_variance"},
    {"normalization": "correlation"},
    {"subjects": ("sub-05", "sub-06")},
)


@pytest.fixture
def cached(monkeypatch):
    """Result caching on, in a folder of the test session."""
    monkeypatch.setenv("RESULTCACHING_DISABLE", "0")
    return Path(os.environ["RESULTCACHING_HOME"])


@pytest.fixture(scope="module")
def dataset(tiny_dataset, tmp_path_factory):
    """The tiny dataset with noise ceilings that differ between subjects, so that taking another one's shows."""
    root = tmp_path_factory.mktemp("ceilings") / "dataset"
    shutil.copytree(tiny_dataset, root)
    for subject, factor in zip(SUBJECTS, (1.0, 0.97, 0.94, 0.91, 0.88), strict=True):
        with netCDF4.Dataset(str(root / "assemblies" / f"{subject}.nc"), "a") as file:
            for name in ("nc_4rep", "nc_12rep", "nc_allrep"):
                file[name][:] = factor * file[name][:]
    return root


@pytest.fixture(scope="module")
def model(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    ids = {i for subject in SUBJECTS for i in dataset.pool_stimuli(subject)}
    return FeatureModel(random_features(sorted(ids), 25), identifier="random")


def numbers(score):
    return score.item(), score.attrs["raw"].item(), score.attrs["ceiling"].item()


def test_the_librarys_cache_hands_out_the_first_ones_ceiling(cached):
    """The fault that the bundled plugin has: children of one identifier, each with its own ceiling."""

    def child(ceiling):
        return BenchmarkBase("shared-name", lambda: Score(ceiling), version=1, parent="V1", bibtex="")

    assert child(0.3).ceiling.item() == 0.3
    assert child(0.7).ceiling.item() == 0.3  # not its own: the cache is on, and keyed by identifier
    assert list(cached.rglob("*.pkl"))


@pytest.mark.parametrize("cell", CELLS)
def test_subjects_in_two_orders(cached, model, dataset, cell):
    def scored(subjects):
        return {s: numbers(score_model(model, benchmark(cell, subjects=(s,), dataset=dataset))) for s in subjects}

    first, second = scored(SUBJECTS[:3]), scored(SUBJECTS[2::-1])
    assert first == second
    together = score_model(model, benchmark(cell, subjects=SUBJECTS[:3], dataset=dataset))
    for subject, expected in first.items():
        assert numbers(together.attrs[subject]) == expected
    ceilings = [ceiling for _, _, ceiling in first.values()]
    assert len(set(ceilings)) == 3
    for value, raw, ceiling in first.values():
        assert value == pytest.approx((raw if "rdm" in cell else raw**2) / ceiling)


@pytest.mark.parametrize("cell", CELLS)
def test_no_setting_meets_the_cached_value_of_another(cached, model, dataset, cell):
    settings = [s for s in SETTINGS if "rdm" not in cell or "normalization" not in s]

    def scored(order):
        found = {}
        for i in order:
            built = benchmark(cell, dataset=dataset, **settings[i])
            score = score_model(model, built)
            assert built.ceiling.item() == score.attrs["ceiling"].item()
            found[i] = (built.identifier, *numbers(score))
        return found

    forwards, backwards = scored(range(len(settings))), scored(reversed(range(len(settings))))
    assert forwards == backwards
    assert len({identifier for identifier, *_ in forwards.values()}) == len(settings)
    assert len({ceiling for *_, ceiling in forwards.values()}) == len(settings)


def test_nothing_of_ours_is_cached(cached, model, dataset):
    for cell in CELLS:
        built = benchmark(cell, dataset=dataset)
        score_model(model, built)
        built.ceiling  # noqa: B018
    assert not [path for path in cached.rglob("*") if "LAION" in path.name]


@pytest.mark.parametrize("metric", ["rdm-pearson", "cka"])
def test_trials_that_were_averaged_before_have_no_reliability(tiny_dataset, tmp_path, caplog, metric):
    """People keep one row per stimulus: there are no halves to compare."""
    root = tmp_path / "averages"
    shutil.copytree(tiny_dataset, root)
    for subject in ("sub-01", "sub-03"):
        with xr.open_dataset(root / "assemblies" / f"{subject}.nc") as trials:
            first = np.unique(trials["stimulus_id"].values, return_index=True)[1]
            averages = trials.isel(presentation=first).load()
        for name, values in averages.variables.items():
            if values.dtype == object:  # older xarray reads text so, and does not write it
                averages[name] = averages[name].astype(str)
        averages.to_netcdf(root / "assemblies" / f"{subject}.nc")
    model = FeatureModel(random_features(open_dataset(root).pool_stimuli("shared"), 20), identifier="noise")
    score = score_model(model, f"LAION_fMRI.V1-{metric}[subjects=sub-01+sub-03]", dataset=root)
    assert "reliability" not in score.attrs["normalizations"]
    assert any("too few repeated stimuli, or not above 0" in note for note in score.attrs["notes"])
    assert "sub-01.nc: each stimulus has one trial. If these are averages, the noise is taken for" in caplog.text
