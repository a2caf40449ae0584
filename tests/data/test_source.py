"""Which dataset is opened, and what a Dataset answers."""

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from plugin_testing.data_factory import OOD, SHARED, make_trials, unique, write_dataset, write_split, write_trials

from brainscore_vision.data.laion_fmri_7t import source
from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.home import laion_home
from brainscore_vision.data.laion_fmri_7t.source import Dataset, open_dataset, simulated_name


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "data")


@pytest.fixture
def laion_fmri(monkeypatch):
    """A stand-in for the package: its configuration alone."""

    class DataDirNotSetError(Exception):
        pass

    def configure(data_dir, at_top_level=True):
        def get_data_dir():
            if data_dir is None:
                raise DataDirNotSetError("not configured")
            return str(data_dir)

        package, config, errors = (types.ModuleType(f"laion_fmri{name}") for name in ("", ".config", "._errors"))
        config.get_data_dir = get_data_dir
        (package if at_top_level else errors).DataDirNotSetError = DataDirNotSetError
        for module in (package, config, errors):
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return configure


class TestResolution:
    def test_argument_comes_before_the_environment(self, folder, tmp_path, monkeypatch):
        other = write_dataset(tmp_path / "other", subjects=("sub-07",))
        monkeypatch.setenv("LAION_FMRI_DATASET", str(other))
        assert open_dataset(folder).root == folder
        assert open_dataset(str(folder)).name == str(folder)
        assert open_dataset().root == other

    def test_environment_comes_before_the_configuration(self, folder, tmp_path, monkeypatch, laion_fmri):
        laion_fmri(write_dataset(tmp_path / "other"))
        assert open_dataset().root == tmp_path / "other"
        monkeypatch.setenv("LAION_FMRI_DATASET", str(folder))
        assert open_dataset().root == folder
        monkeypatch.setenv("LAION_FMRI_DATASET", "published")
        assert open_dataset().name == "published"

    @pytest.mark.parametrize("at_top_level", [True, False])
    def test_published_where_nothing_is_configured(self, laion_fmri, at_top_level):
        laion_fmri(None, at_top_level)
        dataset = open_dataset()
        assert (dataset.name, dataset.root, dataset.is_simulated) == ("published", None, False)

    def test_published_where_the_configured_folder_has_no_assemblies(self, tmp_path, laion_fmri):
        laion_fmri(tmp_path)
        assert open_dataset().name == "published"

    def test_published_without_the_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "laion_fmri", None)
        monkeypatch.setitem(sys.modules, "laion_fmri.config", None)
        assert open_dataset().name == "published"

    def test_empty_variable_is_no_choice(self, monkeypatch):
        monkeypatch.setenv("LAION_FMRI_DATASET", "")
        assert open_dataset().name == "published"

    def test_simulated_is_the_default_simulation(self, folder, monkeypatch):
        from brainscore_vision.data.laion_fmri_7t import simulation

        (folder / "dataset.json").write_text(json.dumps({"name": "simulated", "complete": True}))
        monkeypatch.setattr(simulation, "ensure_default", lambda: folder)
        monkeypatch.setenv("LAION_FMRI_DATASET", "simulated")
        dataset = open_dataset()
        assert (dataset.name, dataset.root, dataset.is_simulated) == ("simulated", folder, True)

    def test_a_dataset_is_itself(self, folder):
        dataset = open_dataset(folder)
        assert open_dataset(dataset) is dataset

    def test_unchanged_files_share_one_dataset(self, folder):
        dataset = open_dataset(folder)
        assert open_dataset(str(folder)) is dataset
        write_trials(make_trials("sub-01", seed=9), folder / "assemblies" / "sub-01.nc")
        assert open_dataset(folder) is not dataset

    def test_opening_reads_no_assembly(self, folder, monkeypatch):
        (folder / "dataset.json").write_text(json.dumps({"name": "simulated", "complete": True}))

        def fail(*args):
            raise AssertionError("an assembly was read")

        monkeypatch.setattr(AssemblyFile, "header", property(fail))
        assert open_dataset(folder).subjects == ("sub-01", "sub-03")

    @pytest.mark.parametrize("value", [3, b"simulated", ["sub-01"]])
    def test_other_types(self, value):
        with pytest.raises(DatasetError, match="a folder, 'published' or 'simulated'; got .*Pass one of these"):
            open_dataset(value)


class TestFolderErrors:
    def test_no_folder(self, tmp_path):
        with pytest.raises(MissingDataError, match="existing folder.*nowhere is not a folder.*laion-score simulate"):
            open_dataset(tmp_path / "nowhere")

    def test_misspelt_name_is_a_folder_that_is_not_there(self):
        with pytest.raises(MissingDataError, match="'published' or 'simulated'; .*simulatd is not a folder"):
            open_dataset("simulatd")

    def test_no_assemblies(self, folder):
        shutil.rmtree(folder / "assemblies")
        with pytest.raises(MissingDataError, match="has splits, stimuli. .*laion-score simulate"):
            open_dataset(folder)

    def test_empty_assemblies(self, folder):
        for path in (folder / "assemblies").iterdir():
            path.rename(path.with_suffix(".txt"))
        with pytest.raises(MissingDataError, match="assemblies/sub-XX.nc for at least one of sub-01"):
            open_dataset(folder)

    def test_missing_subject(self, folder):
        with pytest.raises(
            MissingDataError, match="sub-07 needs .*sub-07.nc; the folder has sub-01, sub-03. .*subjects="
        ):
            open_dataset(folder).responses("sub-07", "V1", noise_ceiling_threshold=30)

    def test_unfinished_simulation(self, folder):
        (folder / "dataset.json").write_text(json.dumps({"name": "simulated", "complete": False}))
        with pytest.raises(MissingDataError, match="is complete; it says .*laion-score simulate"):
            open_dataset(folder)

    def test_damaged_marker(self, folder):
        (folder / "dataset.json").write_text("{")
        with pytest.raises(DatasetError, match="cannot be read: .*laion-score simulate"):
            open_dataset(folder)

    def test_no_stimuli(self, folder):
        shutil.rmtree(folder / "stimuli")
        dataset = open_dataset(folder)
        assert dataset.split_ids("shared", "tau")  # what needs no image works without
        with pytest.raises(MissingDataError, match="Models need images.*stimuli .is not a folder.*request-access"):
            dataset.stimulus_set()


class TestSimulatedIsKnown:
    def test_folder_with_marker(self, folder):
        assert not open_dataset(folder).is_simulated
        (folder / "dataset.json").write_text(json.dumps({"name": "simulated", "complete": True}))
        shutil.copytree(folder, folder.parent / "copy")
        dataset = open_dataset(folder.parent / "copy")
        assert dataset.is_simulated
        assert dataset.describe()["simulated"] is True

    def test_folder_that_lost_its_marker(self, tmp_path):
        trials = make_trials()
        trials.attributes["dataset"] = "simulated"
        write_trials(trials, tmp_path / "assemblies" / "sub-01.nc")
        assert open_dataset(tmp_path).is_simulated
        assert simulated_name(tmp_path) == f"simulated:{tmp_path}"

    def test_a_name_that_says_so(self, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))
        assert simulated_name(folder) is None
        assert simulated_name(tmp_path / "nowhere") is None
        assert simulated_name("published") is None
        assert simulated_name("simulated") == "simulated"  # which is not made for its name
        assert not laion_home().exists() or "simulated" not in [path.name for path in laion_home().iterdir()]
        with pytest.raises(
            DatasetError, match="names simulated data; .* holds measured responses. Leave simulated: out"
        ):
            open_dataset(f"simulated:{folder}")
        folder = folder.rename(folder.with_name("simulated data"))
        (folder / "dataset.json").write_text(json.dumps({"name": "simulated", "complete": True}))
        name = simulated_name(folder)
        assert name == simulated_name(name) == f"simulated:{folder}"
        assert open_dataset(name).name == str(folder)
        monkeypatch.setenv("LAION_FMRI_DATASET", str(folder))
        assert simulated_name() == name
        (folder / "dataset.json").write_text("{")
        assert simulated_name() is None  # opening it says what is wrong


class TestPublishedStimuli:
    def test_from_the_variable(self, folder, monkeypatch):
        for place in (folder, folder / "stimuli"):
            monkeypatch.setenv("LAION_FMRI_STIMULI", str(place))
            assert len(open_dataset("published").stimulus_set()) == 19

    def test_images_beside_the_manifest(self, folder, monkeypatch, tmp_path):
        shutil.copytree(folder / "stimuli" / "images", tmp_path / "flat")
        shutil.copy(folder / "stimuli" / "manifest.csv", tmp_path / "flat")
        monkeypatch.setenv("LAION_FMRI_STIMULI", str(tmp_path / "flat"))
        assert len(open_dataset("published").stimulus_set()) == 19

    def test_from_the_configured_folder(self, folder, laion_fmri):
        shutil.rmtree(folder / "assemblies")
        laion_fmri(folder)
        dataset = open_dataset()
        assert dataset.name == "published"
        assert len(dataset.stimulus_set()) == 19

    def test_variable_without_images(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LAION_FMRI_STIMULI", str(tmp_path))
        with pytest.raises(MissingDataError, match="Tried: LAION_FMRI_STIMULI .*has neither.*request-access"):
            open_dataset("published").stimulus_set()

    def test_none_anywhere(self, laion_fmri):
        laion_fmri(None)
        with pytest.raises(MissingDataError) as error:
            open_dataset("published").stimulus_set()
        for part in (
            "data use agreement",
            "laion-fmri request-access",
            "laion-fmri download-stimuli",
            "LAION_FMRI_DATASET",
            "LAION_FMRI_STIMULI",
            "not set",
        ):
            assert part in str(error.value)


class TestDataset:
    def test_responses_are_averages_of_the_region(self, folder):
        trials = make_trials("sub-03", seed=1)
        responses = open_dataset(folder).responses("sub-03", "IT_full", noise_ceiling_threshold=30)
        in_region = np.isin(trials.neuroids["region"], ["V4", "IT"]) & (trials.neuroids["nc_12rep"] > 30)
        rows = trials.presentations["stimulus_id"] == OOD[3]
        row = responses.stimulus_ids.tolist().index(OOD[3])
        np.testing.assert_allclose(responses.values[row], trials.data[rows][:, in_region].mean(axis=0), rtol=1e-5)
        assert responses.subject == "sub-03"
        assert responses.stimulus_ids.tolist() == sorted(SHARED + OOD + unique("sub-03"))

    def test_responses_are_read_once(self, folder, monkeypatch):
        dataset = open_dataset(folder)
        first = dataset.responses("sub-01", "V1", noise_ceiling_threshold=30)
        assert dataset.responses("sub-01", "V1", noise_ceiling_threshold=30.0) is first
        assert dataset.responses("sub-01", "V1", noise_ceiling_threshold=50) is not first

    def test_describe_is_json(self, folder):
        description = open_dataset(folder).describe()
        assert json.loads(json.dumps(description)) == description
        assert set(description) == {"name", "root", "simulated", "subjects", "fingerprint"}

    def test_nothing_is_written_outside_the_home(self, folder):
        before = sorted(folder.rglob("*"))
        dataset = open_dataset(folder)
        dataset.stimulus_set()
        dataset.responses("sub-01", "V1", noise_ceiling_threshold=30)
        dataset.fingerprint()
        assert sorted(folder.rglob("*")) == before

    def test_home(self, monkeypatch, tmp_path):
        monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "own"))
        assert laion_home() == tmp_path / "own"
        monkeypatch.delenv("LAION_FMRI_7T_HOME")
        monkeypatch.setenv("BRAINSCORE_HOME", str(tmp_path / "brainscore"))
        assert laion_home() == tmp_path / "brainscore" / "laion_fmri_7t"


class TestFingerprint:
    def test_does_not_depend_on_place_or_time(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "copy")
        for path in (tmp_path / "copy").rglob("*"):
            path.touch()
        assert open_dataset(folder).fingerprint() == open_dataset(tmp_path / "copy").fingerprint()

    @pytest.mark.parametrize("change", ["data", "subject", "split", "image", "manifest"])
    def test_changes_with_what_changes_numbers(self, folder, change):
        before = open_dataset(folder).fingerprint()
        if change == "data":
            trials = make_trials("sub-01", seed=0)
            trials.data[-1, -1] += 1
            write_trials(trials, folder / "assemblies" / "sub-01.nc")
        elif change == "subject":
            (folder / "assemblies" / "sub-03.nc").unlink()
        elif change == "split":
            write_split(folder / "splits", "shared", "tau", SHARED[:-1], SHARED[-1:])
        elif change == "image":
            path = folder / "stimuli" / "images" / OOD[0]
            path.write_bytes(path.read_bytes() + b"0")
        else:
            path = folder / "stimuli" / "manifest.csv"
            swapped = {f"{a},{a}": f"{a},{b}" for a, b in (OOD[:2], OOD[1::-1])}
            for one, other in swapped.items():
                path.write_text(path.read_text().replace(one, other))
        found = open_dataset(folder).fingerprint()  # in the same process, as a notebook is
        assert found != before
        assert source._open_folder(folder, "fresh").fingerprint() == found
        assert open_dataset(open_dataset(folder)).fingerprint() == found

    def test_of_published_needs_no_download(self):
        assert len(open_dataset("published").fingerprint()) == 16


class TestPools:
    def test_order(self, folder):
        dataset = open_dataset(folder)
        shared = dataset.pool_stimuli("shared")
        assert shared == sorted(SHARED) + sorted(OOD)
        assert dataset.pool_stimuli("sub-03") == shared + sorted(unique("sub-03"))

    def test_stimuli_that_the_dataset_lacks(self, folder):
        write_split(folder / "splits", "shared", "ood", [*SHARED, "shared_4rep_NSD_special1000_7.jpg"], OOD)
        with pytest.raises(SchemaError, match="only stimuli of dataset .*; 1 are unknown.*_7.jpg"):
            open_dataset(folder).pool_stimuli("shared")

    def test_split_outside_its_pool(self, folder):
        write_split(
            folder / "splits", "shared", "tau", [*SHARED[:-1], "shared_4rep_NSD_special1000_7.jpg"], SHARED[-1:]
        )
        with pytest.raises(
            SchemaError,
            match=r"split tau of pool shared \(.*shared/tau.json\) may name only .*; 1 are unknown.*same dataset",
        ):
            open_dataset(folder).split_ids("shared", "tau")

    def test_dataset_is_not_a_path(self, folder):
        assert isinstance(open_dataset(Path(folder)), Dataset)


def test_a_split_that_leaves_out_images_is_said(folder, caplog):
    for split in ("tau", "ood"):
        open_dataset(folder).split_ids("shared", split)
    assert "leaves out" not in caplog.text
    write_split(folder / "splits", "shared", "tau", SHARED[:-3], SHARED[-2:])
    open_dataset(folder).split_ids("shared", "tau")
    assert "shared/tau.json) leaves out 1 of 7 images that are not out-of-distribution" in caplog.text
