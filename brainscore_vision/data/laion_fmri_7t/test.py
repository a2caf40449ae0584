"""Tests that Brain-Score's tooling runs for this plugin; the project's own suite is in the repository's ``tests``."""

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.cache_contract import assert_stimulus_identifier_is_cacheable

from brainscore_vision import load_dataset, load_stimulus_set

from .simulation import simulate

REGISTERED = ("LAION_fMRI_sub-01", "LAION_fMRI_sub-03", "LAION_fMRI_sub-05", "LAION_fMRI_sub-06", "LAION_fMRI_sub-07")
STIMULI = "LAION_fMRI_stim"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("laion_fmri_7t") / "dataset", scale="tiny", progress=False)


@pytest.mark.parametrize("identifier", REGISTERED)
def test_assembly_of_simulated_data(simulated, monkeypatch, identifier):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(simulated))
    assembly = load_dataset(identifier)
    assert isinstance(assembly, NeuroidAssembly)
    assert assembly.dims == ("presentation", "neuroid")
    assert set(assembly["subject_id"].values) == {identifier.rpartition("_")[2]}
    assert set(assembly["region"].values) == {"V1", "V2", "V3", "V4", "IT", "other"}
    assert np.isfinite(assembly.values).all()
    assert assembly.attrs["stimulus_set"].identifier.startswith(f"{STIMULI}--")  # plain for real images alone
    assert set(assembly["stimulus_id"].values) <= set(assembly.attrs["stimulus_set"]["stimulus_id"])


def test_stimuli_of_simulated_data(simulated, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(simulated))
    stimuli = load_stimulus_set(STIMULI)
    assert_stimulus_identifier_is_cacheable(stimuli.identifier)
    assert isinstance(stimuli, StimulusSet)
    assert stimuli["stimulus_id"].is_unique
    assert all(stimuli.get_stimulus(stimulus_id).is_file() for stimulus_id in stimuli["stimulus_id"])


@pytest.mark.private_access
@pytest.mark.memory_intense
@pytest.mark.slow
@pytest.mark.parametrize("identifier", REGISTERED)
def test_assembly_of_the_release(identifier):
    assembly = load_dataset(identifier)
    assert assembly.sizes["presentation"] == 31_856
    assert len(np.unique(assembly["stimulus_id"].values)) == 6_204
