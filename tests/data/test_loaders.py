"""`load_dataset` and `load_stimulus_set` through Brain-Score's own discovery."""

import subprocess
import sys

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.neural_common import average_repetition
from plugin_testing.data_factory import make_trials, write_dataset, write_trials

import brainscore_vision
from brainscore_vision.data.laion_fmri_7t.assemblies import neuroid_assembly
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset


@pytest.fixture
def folder(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "data", subjects=SUBJECTS)
    monkeypatch.setenv("LAION_FMRI_DATASET", str(root))
    return root


@pytest.mark.parametrize("number", range(5))
def test_load_dataset(folder, number):
    subject = SUBJECTS[number]
    assembly = brainscore_vision.load_dataset(f"LAION_fMRI_{subject}")
    trials = make_trials(subject, seed=number)
    assert isinstance(assembly, NeuroidAssembly)
    assembly.validate()
    assert assembly.dims == ("presentation", "neuroid")
    assert assembly.dtype == np.float32
    np.testing.assert_array_equal(assembly.values, trials.data)
    for coordinates in (trials.presentations, trials.neuroids):
        for name, values in coordinates.items():
            assert assembly[name].values.tolist() == values.tolist()
    assert {name for name, _, _ in walk_coords(assembly)} == {*trials.presentations, *trials.neuroids}


def test_attributes(folder):
    assembly = brainscore_vision.load_dataset("LAION_fMRI_sub-01")
    assert assembly.attrs["identifier"] == "LAION_fMRI_sub-01"
    identifier = assembly.attrs["stimulus_set"].identifier
    assert assembly.attrs["stimulus_set_identifier"] == identifier
    assert identifier == "LAION_fMRI_stim"
    assert set(assembly["stimulus_id"].values) <= set(assembly.attrs["stimulus_set"]["stimulus_id"])


def test_trials_are_not_read_by_loading(folder, monkeypatch):
    pytest.importorskip("dask", reason="without dask, xarray reads on the first operation")
    assembly = brainscore_vision.load_dataset("LAION_fMRI_sub-01")
    assert not isinstance(assembly.data, np.ndarray)


def test_brain_score_averages_give_our_responses(folder):
    """Two ways to the same averages: Brain-Score's on the assembly, ours on the file."""
    assembly = brainscore_vision.load_dataset("LAION_fMRI_sub-05")
    region = assembly[{"neuroid": (assembly["region"].values == "V2") & (assembly["nc_12rep"].values > 30)}]
    region = NeuroidAssembly(
        region.values,
        dims=region.dims,
        coords={
            "stimulus_id": ("presentation", region["stimulus_id"].values),
            "repetition": ("presentation", region["repetition"].values),
            "region": ("neuroid", region["region"].values),
            "voxel": ("neuroid", region["voxel_index_in_brain_mask"].values),
        },
    )
    averaged = average_repetition(region).sortby("stimulus_id")
    responses = open_dataset().responses("sub-05", "V2", noise_ceiling_threshold=30)
    assert averaged["stimulus_id"].values.tolist() == responses.stimulus_ids.tolist()
    np.testing.assert_allclose(averaged.values, responses.values, rtol=1e-5, atol=1e-6)


def test_load_stimulus_set(folder, monkeypatch):
    stimulus_set = brainscore_vision.load_stimulus_set("LAION_fMRI_stim")
    assert isinstance(stimulus_set, StimulusSet)
    assert stimulus_set.identifier == "LAION_fMRI_stim"
    monkeypatch.setattr(open_dataset(), "is_simulated", True)  # Brain-Score keeps activations by the name
    made_up = brainscore_vision.load_stimulus_set("LAION_fMRI_stim")
    assert made_up.identifier == open_dataset().stimulus_set().identifier != "LAION_fMRI_stim"
    assert len(stimulus_set) == 11 + 5 * 4
    assert all(stimulus_set.get_stimulus(stimulus_id).is_file() for stimulus_id in stimulus_set["stimulus_id"])


def test_missing_subject(folder):
    (folder / "assemblies" / "sub-06.nc").unlink()
    with pytest.raises(MissingDataError, match="sub-06 needs .*sub-06.nc; the folder has sub-01"):
        brainscore_vision.load_dataset("LAION_fMRI_sub-06")


def test_broken_assembly(folder):
    trials = make_trials("sub-01")
    del trials.neuroids["nc_12rep"]
    write_trials(trials, folder / "assemblies" / "sub-01.nc")
    with pytest.raises(SchemaError, match="missing: nc_12rep"):
        brainscore_vision.load_dataset("LAION_fMRI_sub-01")


def test_no_dataset(monkeypatch, tmp_path):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tmp_path / "nowhere"))
    with pytest.raises(MissingDataError, match="nowhere is not a folder"):
        brainscore_vision.load_stimulus_set("LAION_fMRI_stim")


def test_without_dask(folder, monkeypatch):
    monkeypatch.setattr(neuroid_assembly.importlib.util, "find_spec", lambda name: None)
    assembly = brainscore_vision.load_dataset("LAION_fMRI_sub-01")
    np.testing.assert_array_equal(assembly.values, make_trials("sub-01").data)


def test_simulated_dataset(tiny_dataset):
    """What the simulation writes is what the loaders read: responses, pools, splits and images fit together."""
    dataset = open_dataset(tiny_dataset)
    assert dataset.is_simulated
    assert dataset.subjects == SUBJECTS
    for subject in SUBJECTS:
        trials = dataset.assembly(subject).load()
        responses = dataset.responses(subject, "IT_full", noise_ceiling_threshold=30)
        assert set(dataset.pool_stimuli(subject)) == set(responses.stimulus_ids)
        kept = np.isin(trials["region"].values, ["V4", "IT"]) & (trials["nc_12rep"].values > 30)
        stimulus_id = trials["stimulus_id"].values
        for row in (0, len(responses.stimulus_ids) - 1):
            mean = trials.values[stimulus_id == responses.stimulus_ids[row]][:, kept].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(responses.values[row], mean, rtol=1e-6, atol=1e-7)
        for pool in ("shared", subject):
            for split in ("tau", "ood", *(f"{kind}_{k}" for kind in ("cluster_k5", "random") for k in range(5))):
                for side in dataset.split_ids(pool, split):
                    assert responses.select(side).n_repetitions.min() >= 3
    assert len(dataset.stimulus_set(dataset.pool_stimuli("shared"))) == len(dataset.pool_stimuli("shared"))


def test_importing_the_plugin_loads_no_reader():
    """The registrations alone: no netCDF or HDF5 reader, image library or simulation of ours is imported by them."""
    code = """
import sys
import brainscore_vision
before = set(sys.modules)
import brainscore_vision.data.laion_fmri_7t as plugin
added = {name for name in set(sys.modules) - before if "laion_fmri_7t" not in name} - {"brainscore_vision.data"}
ours = {name.rpartition(".")[2] for name in sys.modules if name.startswith(plugin.__name__ + ".")}
assert not added, added
assert ours <= {"constants"}, ours
identifiers = {name for name in brainscore_vision.data_registry if name.startswith("LAION_fMRI")}
assert len(identifiers) == 5, identifiers
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
