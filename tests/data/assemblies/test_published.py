"""Brain-Score's published assemblies: pins, fetching (the network alone is replaced), and their files' form."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from brainscore_core.supported_data_standards.brainio import fetch as brainio_fetch
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.packaging import write_netcdf
from plugin_testing.data_factory import make_trials, write_images, write_trials

from brainscore_vision.data.laion_fmri_7t import source
from brainscore_vision.data.laion_fmri_7t.assemblies import published
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import read_responses
from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile
from brainscore_vision.data.laion_fmri_7t.assemblies.neuroid_assembly import read_assembly
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset


@pytest.fixture
def trials():
    """Voxels in the order of the brain mask, so that regions alternate, as in the published files."""
    trials = make_trials(repetitions=4)
    order = np.random.default_rng(1).permutation(trials.data.shape[1])
    trials.data = trials.data[:, order]
    trials.neuroids = {name: values[order] for name, values in trials.neuroids.items()}
    trials.neuroids["voxel_index_in_brain_mask"] = np.arange(len(order), dtype=np.int32) * 7
    return trials


def as_data_array(trials, shared):
    """What the published files were made from; the shared ones lack trial bookkeeping and name a file's version."""
    presentations = dict(trials.presentations)
    if shared:
        presentations = {name: presentations[name] for name in ("stimulus_id", "repetition")}
        presentations["subject_id_pres"] = np.full(len(trials.data), "sub-01_v3", dtype=object)
    coords = {name: ("presentation", values) for name, values in presentations.items()}
    coords |= {name: ("neuroid", values) for name, values in trials.neuroids.items()}
    coords |= {"presentation": np.arange(trials.data.shape[0]), "neuroid": np.arange(trials.data.shape[1])}
    return xr.DataArray(trials.data, dims=("presentation", "neuroid"), coords=coords, name="data")


FORMS = {
    "xarray": lambda array, path: array.to_netcdf(path),
    "brainscore_core": lambda array, path: write_netcdf(NeuroidAssembly(array), path),
    "brainscore_core, levels without coordinates attribute": lambda array, path: (
        write_netcdf(NeuroidAssembly(array), path),
        forget_coordinates(path),
    ),
    "fixed-width text": lambda array, path: array.assign_coords(
        {
            name: (array[name].dims, array[name].values.astype("S"))
            for name in ("stimulus_id", "region", "roi", "subject_id")
        }
    ).to_netcdf(path),
    "odd chunks": lambda array, path: array.to_netcdf(
        path, encoding={"data": {"zlib": True, "complevel": 9, "chunksizes": (13, 7)}}
    ),
}


def forget_coordinates(path):
    with netCDF4.Dataset(str(path), "a") as file:
        for holder in (file, file["data"]):
            if "coordinates" in holder.ncattrs():
                holder.delncattr("coordinates")


@pytest.fixture
def served(monkeypatch, tmp_path, trials):
    """Serves one file, in the published form, for every subject's pinned object: only the download is a stand-in."""
    on_s3 = tmp_path / "on_s3.nc"
    write_netcdf(NeuroidAssembly(as_data_array(trials, shared=False)), on_s3)
    sha1 = hashlib.sha1(on_s3.read_bytes()).hexdigest()
    monkeypatch.setitem(published.PER_SUBJECT, "sub-01", replace(published.PER_SUBJECT["sub-01"], sha1=sha1))
    monkeypatch.setattr(brainio_fetch, "_local_data_path", str(tmp_path / "brainio"))
    monkeypatch.setattr(source, "_open", {})
    downloads = []

    def download(fetcher):
        downloads.append((fetcher.bucketname, fetcher.relative_path, fetcher.extra_args))
        shutil.copy(on_s3, fetcher.output_filename)

    monkeypatch.setattr(brainio_fetch.BotoFetcher, "download_boto", download)
    return downloads


class TestPins:
    @pytest.mark.parametrize("table", [published.PER_SUBJECT, published.SHARED])
    def test_every_subject_is_pinned(self, table):
        assert tuple(table) == SUBJECTS
        for subject, pin in table.items():
            assert subject in pin.identifier
            assert len(pin.version_id) == 32
            assert len(bytes.fromhex(pin.sha1)) == 20

    def test_no_pin_occurs_twice(self):
        pins = [*published.PER_SUBJECT.values(), *published.SHARED.values()]
        assert len({pin.sha1 for pin in pins}) == len({pin.version_id for pin in pins}) == 10


class TestFetch:
    def test_asks_for_the_pinned_version(self, served):
        path = open_dataset("published").assembly_file("sub-01").path
        assert path.name == "assy_LAION_fMRI_persubject_sub-01_Assembly.nc"
        assert served == [
            (
                "brainscore-storage",
                "brainscore-vision/benchmarks/LAION_fMRI/assy_LAION_fMRI_persubject_sub-01_Assembly.nc",
                {"VersionId": "ZMebfDS6bT7DjDqKcuHmOu9DlRbPstk6"},
            )
        ]

    def test_downloads_once(self, served):
        for _ in range(2):
            open_dataset("published").responses("sub-01", "V1", noise_ceiling_threshold=30)
        source._open.clear()
        open_dataset("published").responses("sub-01", "V1", noise_ceiling_threshold=30)
        assert len(served) == 1

    def test_opening_downloads_nothing(self, served):
        dataset = open_dataset("published")
        assert dataset.subjects == SUBJECTS
        assert dataset.describe()["fingerprint"]
        assert served == []

    def test_other_content(self, served):
        path = open_dataset("published").assembly_file("sub-01").path
        path.write_bytes(b"damaged")
        source._open.clear()
        with pytest.raises(SchemaError, match="pinned by its SHA-1.*local copy in .*differs.*Delete that folder"):
            open_dataset("published").assembly_file("sub-01")

    def test_no_network(self, served, monkeypatch):
        def fail(fetcher):
            raise Exception(["signed", "unsigned: could not connect"])  # what brainscore_core raises

        monkeypatch.setattr(brainio_fetch.BotoFetcher, "download_boto", fail)
        with pytest.raises(
            MissingDataError,
            match="persubject_sub-01_Assembly from s3://brainscore-storage/.*could not "
            "connect.*Connect to the internet.*LAION_FMRI_DATASET",
        ):
            open_dataset("published").responses("sub-01", "V1", noise_ceiling_threshold=30)

    def test_other_subject(self, served):
        with pytest.raises(MissingDataError, match="are of sub-01, .*; got 'sub-02'. Choose"):
            open_dataset("published").assembly_file("sub-02")


class TestForm:
    @pytest.mark.parametrize("shared", [False, True])
    @pytest.mark.parametrize("form", FORMS)
    def test_responses_and_assembly(self, trials, tmp_path, form, shared):
        path, reference = tmp_path / "published.nc", tmp_path / "reference.nc"
        FORMS[form](as_data_array(trials, shared), path)
        write_trials(trials, reference)
        ours, expected = AssemblyFile(path, "sub-01"), AssemblyFile(reference, "sub-01")
        ours.block_bytes = 2_000
        for region in ("V1", "IT_full"):
            got, wanted = (read_responses(file, region, 30) for file in (ours, expected))
            np.testing.assert_array_equal(got.values, wanted.values)
            assert got.stimulus_ids.tolist() == wanted.stimulus_ids.tolist()
            assert got.neuroids.equals(wanted.neuroids)
        assembly = read_assembly(ours)
        levels = ["stimulus_id", "repetition"] + ([] if shared else ["session", "run", "beta_index"])
        assert list(assembly.indexes["presentation"].names) == levels
        assert list(assembly.indexes["neuroid"].names) == list(trials.neuroids)
        np.testing.assert_array_equal(assembly.values, trials.data)
        assert assembly["stimulus_id"].values.tolist() == trials.presentations["stimulus_id"].tolist()

    def test_leftover_level_is_in_the_file_and_not_in_the_assembly(self, trials, tmp_path):
        path = tmp_path / "published.nc"
        write_netcdf(NeuroidAssembly(as_data_array(trials, shared=False)), path)
        with netCDF4.Dataset(str(path)) as file:
            assert "presentation_level_0" in file.variables  # or this test would prove nothing
        assert "presentation_level_0" not in read_assembly(AssemblyFile(path)).coords

    def test_compressed_file_is_read_in_bounded_blocks(self, trials, tmp_path):
        path = tmp_path / "published.nc"
        FORMS["odd chunks"](as_data_array(trials, shared=False), path)
        file = AssemblyFile(path)
        file.block_bytes = 13 * 7 * 4
        sizes = [block.nbytes for _, _, block in file.blocks(np.arange(0, 20, 2))]
        assert max(sizes) <= file.block_bytes


def test_scoring_data_end_to_end(served, monkeypatch, tmp_path, trials):
    """The published responses with images from LAION_FMRI_STIMULI."""
    stimuli = sorted(set(trials.presentations["stimulus_id"]))
    monkeypatch.setenv("LAION_FMRI_STIMULI", str(write_images(tmp_path / "stimuli", stimuli)))
    dataset = open_dataset()
    responses = dataset.responses("sub-01", "IT", noise_ceiling_threshold=30)
    assert responses.stimulus_ids.tolist() == stimuli
    assert set(dataset.stimulus_set()["stimulus_id"]) == set(stimuli)
    assert Path(dataset.assembly_file("sub-01").path).is_file()
