"""Where images are found: the same dataset whichever place has them, and a message that names every place."""

import io
import os
import shutil
import zipfile
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from brainscore_core.plugin_management.import_plugin import ImportPlugin
from packaging.requirements import Requirement
from plugin_testing.data_factory import OOD, SHARED, unique, write_dataset
from plugin_testing.s3 import s3_server

from brainscore_vision import load_stimulus_set
from brainscore_vision.data.laion_fmri_7t.assemblies.published import BUCKET
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.stimuli.sources import PRIVATE_COPY

STIMULI = [*SHARED, *OOD, *unique("sub-01"), *unique("sub-03")]


@pytest.fixture(autouse=True)
def user(monkeypatch, tmp_path):
    """A user's home of its own, for this plugin too."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))
    return tmp_path / "user"


@pytest.fixture
def complete(tmp_path):
    return write_dataset(tmp_path / "complete")


@pytest.fixture
def without_images(complete, tmp_path):
    folder = tmp_path / "without images"
    shutil.copytree(complete, folder)
    shutil.rmtree(folder / "stimuli")
    return folder


def as_in_the_dataset(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def as_extracted(source: Path, target: Path) -> None:
    """What the bundled plugin's get_local_stimuli.py writes: images beside a manifest that has their absolute paths."""
    shutil.copytree(source / "images", target)
    table = pd.read_csv(source / "manifest.csv")
    table.insert(2, "path", [str(target / name) for name in table["filename"]])
    table.to_csv(target / "manifest.csv", index=False)


def as_released(source: Path, target: Path) -> None:
    """The release's two files."""
    target.mkdir(parents=True)
    with h5py.File(target / "task-images_stimuli.h5", "w") as file:
        images = file.create_dataset("images", (len(STIMULI),), dtype=h5py.vlen_dtype(np.uint8))
        for row, name in enumerate(STIMULI):
            images[row] = np.frombuffer((source / "images" / name).read_bytes(), np.uint8)
    pd.DataFrame({"image_name": STIMULI, "n_reps": "4rep"}).to_csv(target / "task-images_metadata.csv", index=False)


FORMS = {"manifest": as_in_the_dataset, "extracted": as_extracted, "released": as_released}

PLACES = {
    "LAION_FMRI_STIMULI": lambda user: user / "elsewhere",
    "LAION_FMRI_STIMULI_DIR": lambda user: user / "extracted",
    "extracted": lambda user: user / "laion-fmri" / "stimuli" / "images_extracted",
    "data folder": lambda user: user / "laion-fmri" / "stimuli",
}


def put(form, place, complete, user, monkeypatch) -> Path:
    target = PLACES[place](user)
    FORMS[form](complete / "stimuli", target)
    if place.startswith("LAION"):
        monkeypatch.setenv(place, str(target))
    return target


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_images_are_the_same_from_every_place(form, place, complete, without_images, user, monkeypatch):
    put(form, place, complete, user, monkeypatch)
    expected = open_dataset(complete).stimulus_fingerprints(STIMULI)
    for name in (without_images, "published"):
        dataset = open_dataset(name)
        assert dataset.stimulus_fingerprints(STIMULI) == expected
        assert dataset.stimulus_set()["stimulus_id"].tolist() == STIMULI


@pytest.mark.parametrize("form", FORMS)
def test_the_fingerprint_is_that_of_the_dataset_which_has_them_itself(
    form, complete, without_images, user, monkeypatch
):
    in_place = complete.parent / "in place"
    shutil.copytree(without_images, in_place)
    FORMS[form](complete / "stimuli", in_place / "stimuli")
    expected = open_dataset(in_place).fingerprint()
    for place in ("extracted", "LAION_FMRI_STIMULI_DIR"):
        put(form, place, complete, user, monkeypatch)
        assert open_dataset(without_images).fingerprint() == expected
    os.environ["LAION_FMRI_STIMULI_DIR"] = str(user / "nowhere")
    shutil.rmtree(user / "laion-fmri")
    assert open_dataset(without_images).fingerprint() != expected


def test_own_images_come_first_and_the_named_folder_before_the_bundled_plugins(complete, user, monkeypatch):
    named = put("manifest", "LAION_FMRI_STIMULI", complete, user, monkeypatch)
    put("extracted", "LAION_FMRI_STIMULI_DIR", complete, user, monkeypatch)
    assert open_dataset(complete).stimuli.folder == complete / "stimuli"
    assert open_dataset("published").stimuli.folder == named


def test_new_images_are_noticed(complete, without_images, user, monkeypatch):
    with pytest.raises(MissingDataError):
        open_dataset(without_images).stimulus_set()
    put("extracted", "extracted", complete, user, monkeypatch)
    assert len(open_dataset(without_images).stimulus_set()) == len(STIMULI)


def test_a_manifest_of_the_same_size_and_time_is_noticed(complete):
    path = complete / "stimuli" / "manifest.csv"
    before, stat = open_dataset(complete), path.stat()
    path.write_text(path.read_text().replace(f"{OOD[0]},{OOD[0]}", f"{OOD[0]},{OOD[0][::-1]}"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert open_dataset(complete) is not before


def test_a_simulation_has_its_own_images_alone(tiny_dataset, complete, user, monkeypatch, tmp_path):
    copy = tmp_path / "simulated"
    shutil.copytree(tiny_dataset, copy)
    shutil.rmtree(copy / "stimuli" / "images")
    (copy / "stimuli" / "manifest.csv").unlink()
    put("extracted", "extracted", complete, user, monkeypatch)
    with pytest.raises(MissingDataError, match="Tried: the dataset's folder .*simulated/stimuli .has neither.\\. "):
        open_dataset(copy).stimulus_set()


def test_the_message_names_every_place(without_images, user, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_STIMULI_DIR", str(user / "mistyped"))
    with pytest.raises(MissingDataError) as error:
        open_dataset(without_images).stimulus_set()
    for part in (
        f"{without_images / 'stimuli'} (is not a folder)",
        "LAION_FMRI_STIMULI (not set)",
        "laion_fmri (not configured)",
        f"LAION_FMRI_STIMULI_DIR {user / 'mistyped'} (is not a folder)",
        str(user / "laion-fmri" / "stimuli" / "images_extracted"),
        f"{user / 'laion-fmri'} (is not a folder)",
        f"s3://{BUCKET}/{PRIVATE_COPY} (no AWS credentials)",
    ):
        assert part in str(error.value)


class TestPrivateCopy:
    @pytest.fixture
    def bucket(self, monkeypatch):
        with s3_server(monkeypatch, BUCKET) as client:
            yield client

    @staticmethod
    def archive(complete, tmp_path, damage=None) -> bytes:
        as_extracted(complete / "stimuli", tmp_path / "to pack" / "images_extracted")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as file:
            for path in sorted((tmp_path / "to pack").rglob("*")):
                file.write(path, path.relative_to(tmp_path / "to pack"))
        return content.getvalue() if damage is None else damage(content.getvalue())

    def test_is_fetched_once_by_brain_scores_own_commands(
        self, bucket, complete, without_images, tmp_path, monkeypatch, caplog
    ):
        bucket.put_object(Bucket=BUCKET, Key=PRIVATE_COPY, Body=self.archive(complete, tmp_path))
        monkeypatch.setenv("LAION_FMRI_DATASET", str(without_images))
        stimuli = load_stimulus_set("LAION_fMRI_stim")
        assert stimuli["stimulus_id"].tolist() == STIMULI
        assert "fetched from Brain-Score's private copy" in caplog.text
        bucket.delete_object(Bucket=BUCKET, Key=PRIVATE_COPY)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        assert open_dataset().stimulus_fingerprints(STIMULI) == open_dataset(complete).stimulus_fingerprints(STIMULI)
        kept = {path.name for path in (tmp_path / "home" / "stimuli").iterdir()}
        assert kept == {"images_extracted", "displayed", "index"}  # neither the archive nor parts of it

    def test_is_not_asked_for_without_credentials_or_where_images_are(self, complete, without_images, monkeypatch):
        from brainscore_core.supported_data_standards.brainio import s3

        monkeypatch.setattr(s3, "load_file_from_s3", None)
        assert "no AWS credentials" in open_dataset(without_images).stimuli.message
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert len(open_dataset(complete).stimulus_set()) == len(STIMULI)

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda content: None, "Not Found"),
            (lambda content: content[: len(content) // 2], "not a zip file"),
            (
                lambda content: content.replace(b"images_extracted/manifest", b"images_extracted/manifost"),
                "manifest.csv",
            ),
        ],
        ids=["not there", "cut short", "without manifest"],
    )
    def test_what_cannot_be_had_is_in_the_message(self, damage, said, bucket, complete, without_images, tmp_path):
        content = self.archive(complete, tmp_path, damage)
        if content is not None:
            bucket.put_object(Bucket=BUCKET, Key=PRIVATE_COPY, Body=content)
        dataset = open_dataset(without_images)
        assert dataset.pool_stimuli("shared")  # what needs no image works without
        with pytest.raises(MissingDataError, match=f"{PRIVATE_COPY} .*{said}"):
            dataset.stimulus_set()
        assert not list((tmp_path / "home" / "stimuli").iterdir())


def test_brain_score_installs_what_the_splits_come_with():
    importer = ImportPlugin("brainscore_vision", "benchmarks", "LAION_fMRI.V1-tau-ridgecv")
    lines = (importer.plugins_dir / importer.plugin_dirname / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    extra = [Requirement(text) for text in metadata.requires("laion-fmri-7t") if 'extra == "laion"' in text]
    assert [(one.name, one.url) for one in wanted] == [(one.name, one.url) for one in extra]
