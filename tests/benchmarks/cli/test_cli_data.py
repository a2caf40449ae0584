"""``laion-score data``: what it says of folders in every state, offline."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from brainscore_vision.benchmarks.laion_fmri_7t.cli.app import app
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES, SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def data(*arguments) -> str:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def items(folder: Path) -> dict[str, dict]:
    return {item["name"]: item for item in json.loads(data("status", "--dataset", folder, "--json"))["items"]}


def test_status_of_a_packaged_dataset(tiny_dataset):
    found = items(tiny_dataset)
    assert {name: found[name]["state"] for name in ("assemblies", "stimuli", "splits", "sub-01 betas", "captions")} == {
        **dict.fromkeys(("assemblies", "stimuli", "splits"), "complete"),
        **dict.fromkeys(("sub-01 betas", "captions"), "missing"),
    }
    text = data("status", "--dataset", tiny_dataset)
    assert f"Dataset: {tiny_dataset}, by --dataset" in text
    assert "(simulated)" in text


def test_status_names_what_is_missing_and_the_command_that_gets_it(released, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(released, root)
    files = SubjectFiles(root, "sub-05")
    files.betas("ses-02").unlink()
    files.anatomical_mask.unlink()
    files.roi_files()["hV4"].unlink()
    (root / "stimuli" / "task-images_stimuli.h5").unlink()
    found = items(root)
    betas = found["sub-05 betas"]
    assert (betas["state"], betas["missing"]) == ("in part", ["ses-02"])
    assert betas["command"] == f"laion-score data get --dataset {root} --subjects sub-05 --what betas --sessions ses-02"
    assert found["sub-05 regions of interest"]["missing"] == ["hV4"]
    assert "--what anatomy,ceilings" in found["sub-05 brain masks"]["command"]
    assert found["sub-01 betas"]["missing"] == []
    assert found["assemblies"]["missing"] == list(SUBJECTS)
    assert found["assemblies"]["command"].startswith(f"python rebuild_assemblies.py {root} --subjects sub-01 ")
    text = data("status", "--dataset", root)
    assert "laion-fmri request-access && laion-fmri download-stimuli" in text
    assert f"sub-05 betas (CC0) lacks ses-02:\n    {betas['command']}\n" in text


def test_only_images_need_the_agreement(released):
    assert {name for name, item in items(released).items() if item["terms"] != "CC0"} == {"stimuli"}


def test_status_of_an_empty_folder_expects_the_releases_sessions(tmp_path):
    found = items(tmp_path)
    assert found["sub-07 betas"]["missing"] == [f"ses-{n:02d}" for n in range(1, 31)]
    assert all(item["state"] == "missing" for item in found.values() if item["name"] != "splits")
    assert len(found["embeddings"]["missing"]) == 4


def test_status_without_anything_named(monkeypatch):
    monkeypatch.setattr("brainscore_vision.data.laion_fmri_7t.stimuli.sources.laion_fmri_folder", lambda: None)
    text = data("status")
    assert "published (nothing else is named" in text
    assert "sub-03: not downloaded" in text
    assert "laion-fmri config --data-dir" in text


def test_status_follows_the_environment(tiny_dataset, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tiny_dataset))
    assert f"{tiny_dataset}, by LAION_FMRI_DATASET" in data("status")


def test_status_makes_no_simulated_dataset(monkeypatch, tmp_path):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path))
    with pytest.raises(MissingDataError, match="laion-score demo"):
        data("status", "--dataset", "simulated")
    assert not (tmp_path / "simulated").exists()


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(MissingDataError, match="does not"):
        data("status", "--dataset", tmp_path / "nowhere")


def test_describe_counts_voxels_before_and_after_the_threshold(tiny_dataset):
    described = json.loads(data("describe", "--dataset", tiny_dataset, "--json", "--threshold", 50))
    (first, *_) = described["subjects"]
    assert first["subject"] == "sub-01"
    assert (first["trials"], first["stimuli"], first["sessions"]) == (594, 97, 4)
    assert all(kept <= every for every, kept in first["voxels"].values())
    lower = json.loads(data("describe", "--dataset", tiny_dataset, "--json", "--threshold", 0))["subjects"][0]["voxels"]
    assert {region: every for region, (every, _) in first["voxels"].items()} == {
        region: kept for region, (_, kept) in lower.items()
    }
    assert described["pools"] == {"shared": 67, **dict.fromkeys(SUBJECTS, 97)}
    assert described["ood_types"] == dict.fromkeys(OOD_TYPES, 3)
    text = data("describe", "--dataset", tiny_dataset)
    assert "simulated responses" in text
    assert "illusion-classic 3" in text


def test_describe_of_published_data_does_not_download():
    with pytest.raises(MissingDataError, match=r"sub-01 \(0\.9 GB\) has not been downloaded"):
        data("describe", "--dataset", "published")


def test_splits(tiny_dataset):
    assert "tau" in data("splits", "--dataset", tiny_dataset)
    rows = json.loads(data("splits", "--dataset", tiny_dataset, "--pool", "shared", "--name", "ood_gabor", "--json"))
    assert rows == [{"pool": "shared", "name": "ood_gabor", "train": 40, "test": 3, "own": True}]
    listed = data("splits", "--dataset", tiny_dataset, "--pool", "sub-05", "--name", "tau", "--ids").splitlines()
    sides = [line.split("\t")[0] for line in listed]
    assert (sides.count("train"), sides.count("test")) == (56, 14)


def test_where_splits_come_from(tiny_dataset, tmp_path, monkeypatch):
    root = shutil.copytree(tiny_dataset, tmp_path / "data")
    packaged = shutil.copytree(root / "splits", tmp_path / "package")
    monkeypatch.setattr("brainscore_vision.data.laion_fmri_7t.splits._packaged_folder", lambda: packaged)
    asked = "splits", "--dataset", root, "--pool", "shared"
    assert data(*asked).endswith(f"From {root / 'splits'}\n")
    (root / "splits" / "shared" / "tau.json").unlink()
    assert data(*asked).endswith(f"From {root / 'splits'}\nFrom the package laion_fmri: tau of shared\n")
    assert data(*asked, "--name", "tau").endswith("\nFrom the package laion_fmri\n")


@pytest.mark.parametrize("wrong", [("--pool", "sub-02"), ("--name", "tau_2"), ("--name", "ood_cats")])
def test_unknown_pools_and_splits(tiny_dataset, wrong):
    with pytest.raises(DatasetError, match="Choose one of these"):
        data("splits", "--dataset", tiny_dataset, *wrong)


def test_ids_need_one_split(tiny_dataset):
    result = CliRunner().invoke(app, ["data", "splits", "--dataset", str(tiny_dataset), "--ids"])
    assert result.exit_code == 2


class TestImages:
    @pytest.fixture
    def root(self, tiny_dataset, tmp_path):
        return shutil.copytree(tiny_dataset, tmp_path / "data")

    def test_what_is_shown_of_them(self, root):
        image = next(iter(sorted((root / "stimuli" / "images").glob("*.jpg"))))
        Image.fromarray(np.full((32, 32), 30_000, dtype=np.uint16)).save(image, "PNG")
        text = data("images", "--dataset", root)
        assert "217 images, 64 x 64 (216), 32 x 32 (1) pixels; " in text
        assert "16 bits 1" in text
        assert f"Not sealed. `laion-score data seal {root / 'stimuli'}`" in text
        content = json.loads(data("images", "--dataset", root, "--json"))
        assert content["images"] == 217
        assert content["reasons"]["16 bits"] == 1
        assert content["copies"] == sum(content["reasons"].values())
        assert content["sizes"][1] == {"width": 32, "height": 32, "images": 1}
        assert content["seal"] is None
        assert content["unreadable"] == []

    def test_seal_by_folder_of_the_dataset_or_of_its_images(self, root):
        assert "217 images sealed" in data("seal", root)
        assert "217 images are as they were sealed" in data("seal", root / "stimuli")
        assert "all images are as they were sealed" in data("images", "--dataset", root)

    def test_seal_of_the_dataset_that_is_scored_on(self, root, monkeypatch):
        monkeypatch.setenv("LAION_FMRI_DATASET", str(root))
        assert str(root / "stimuli" / "seal.json") in data("seal")

    def test_changed_images(self, root):
        data("seal", root)
        image = next(iter(sorted((root / "stimuli" / "images").glob("*.jpg"))))
        Image.new("RGB", (64, 64)).save(image)
        result = CliRunner().invoke(app, ["data", "images", "--dataset", str(root)])
        assert result.exit_code == 1
        assert f"1 changed, first {image.name!r}" in result.output
        with pytest.raises(DatasetError, match="1 changed, .* run `laion-score data seal .* --force`"):
            data("seal", root)
        assert "217 images sealed" in data("seal", root, "--force")

    @pytest.mark.parametrize("command", [("images", "--dataset"), ("seal",)], ids=" ".join)
    def test_damaged_images_are_named(self, root, command):
        image = next(iter(sorted((root / "stimuli" / "images").glob("*.jpg"))))
        image.write_bytes(b"")
        with pytest.raises(DatasetError, match=f"must be whole; 1 of 217 are not, first '{image.name}' .*Restore"):
            data(*command, root)
        assert not (root / "stimuli" / "seal.json").exists()

    def test_nothing_to_seal(self, tmp_path):
        with pytest.raises(MissingDataError, match="has neither manifest.csv nor the release's files"):
            data("seal", tmp_path)
        with pytest.raises(MissingDataError, match="nowhere is not a folder"):
            data("seal", tmp_path / "nowhere")
