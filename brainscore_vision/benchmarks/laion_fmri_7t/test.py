"""Brain-Score's tests of the plugin, as its conventions want them. The project's own suite is beside the sources.

The data-free tests run anywhere; those that need the release's images, which come with a data use agreement, are marked
``private_access``.
"""

import math

import pytest
from brainscore_vision.benchmark_helpers.cache_contract import assert_stimulus_identifier_is_cacheable
from brainscore_vision.benchmark_helpers.validate_error import assert_valid_uncertainty

from brainscore_vision import load_benchmark, load_model

from . import benchmark, load_assembly, score_model

REGIONS = ("V1", "V2", "V4", "IT")
REGISTERED = [
    *(
        f"{family}.{region}-{split}-ridgecv"
        for family in ("LAION_fMRI", "LAION_fMRI_persubject")
        for split in ("tau", "ood")
        for region in REGIONS
    ),
    *(f"LAION_fMRI.{region}-rdm-pearson" for region in REGIONS),
]


@pytest.mark.parametrize("identifier", REGISTERED)
def test_registered_benchmarks_load_without_data(monkeypatch, identifier):
    monkeypatch.setenv("LAION_FMRI_DATASET", "published")
    loaded = load_benchmark(identifier)
    assert loaded.identifier == identifier
    assert loaded.region in REGIONS
    assert loaded.parent == f"LAION_fMRI.{loaded.region}"
    assert "@inproceedings" in loaded.bibtex


def test_exactly_these_are_registered():
    from brainscore_vision import benchmark_registry

    ours = [name for name in benchmark_registry if name.partition(".")[0] in ("LAION_fMRI", "LAION_fMRI_persubject")]
    assert sorted(ours) == sorted(REGISTERED)
    assert len(ours) == 20


def test_score_on_simulated_data():
    score = score_model("pixels", "LAION_fMRI.V4-ood_gabor-ridgecv[subjects=sub-01+sub-03]", dataset="simulated")
    assert math.isfinite(score.item())
    assert score.attrs["dataset"]["simulated"] is True
    assert score.attrs["benchmark_identifier"].endswith(",dataset=simulated]")
    assert_valid_uncertainty(score)


def test_activations_of_an_assemblys_stimuli_can_be_cached():
    assembly = load_assembly("V1", "tau", "test", subjects=("sub-01",), dataset="simulated")
    assert_stimulus_identifier_is_cacheable(assembly.attrs["stimulus_set"].identifier)


@pytest.mark.private_access
@pytest.mark.memory_intense
@pytest.mark.slow
@pytest.mark.parametrize("identifier", REGISTERED)
def test_score_on_the_release(identifier):
    score = benchmark(identifier)(load_model("alexnet"))
    assert 0 < score.item() < 1
    assert score.attrs["error"] > 0
    assert_valid_uncertainty(score)
