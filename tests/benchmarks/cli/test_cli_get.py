"""``laion-score data bucket``, ``get`` and ``verify``: what they print, refuse and leave on disk."""

import json
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from plugin_testing.s3 import Faults, put_files, s3_server

from brainscore_vision.data.laion_fmri_7t.bucket import BUCKET, KINDS
from brainscore_vision.data.laion_fmri_7t.inventory import take_inventory
from brainscore_vision.data.laion_fmri_7t.packaging.published_schema import write_published
from brainscore_vision.data.laion_fmri_7t.released.features import CAPTIONS, FEATURE_FILES


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def server(released, faults):
    """The simulated release in a bucket that lacks captions, the images private."""
    with pytest.MonkeyPatch.context() as environment, s3_server(environment, BUCKET, faults) as client:
        files = (path for path in released.rglob("*") if path.is_file() and path.name != FEATURE_FILES[CAPTIONS])
        put_files(BUCKET, released, files, private=("task-images_stimuli.h5", "task-images_metadata.csv"))
        yield client.meta.endpoint_url


@pytest.fixture
def data(run, server, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_ENDPOINT", server)
    return lambda *arguments: run("data", *arguments)


def n_rois(released: Path, subject: str) -> int:
    return len(list((released / "derivatives/rois" / subject).rglob("*.*")))


def test_bucket_lists_subjects_sessions_sizes_and_regions(data, released):
    code, text, _ = data("bucket")
    assert code == 0
    assert f"s3://{BUCKET} at http://127.0.0.1" in text
    assert "4, ses-01 to ses-04" in text
    held = json.loads(data("bucket", "--json", "--subject", "sub-03")[1])
    assert list(held["subjects"]) == ["sub-03"]
    betas = (released / "derivatives/glmsingle-tedana/sub-03").rglob("*SingletrialBetas*")
    assert held["subjects"]["sub-03"]["bytes"]["betas"] == sum(path.stat().st_size for path in betas)
    assert {"V1v", "hV4"} <= held["rois"]["retinotopy"].keys()
    assert held["rois"]["laion"]["laionventral"] == ["sub-03"]


def test_get_fills_a_folder_that_lacks_only_images(data, released, faults, tmp_path):
    code, text, _ = data("get", "--dataset", tmp_path / "new", "--subject", "sub-03,sub-01", *OPEN)
    assert code == 0
    assert "Checked by MD5: " in text
    assert "laion-fmri.hebartlab.com/request" in text
    got = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert all((tmp_path / "new" / path).read_bytes() == (released / path).read_bytes() for path in got)
    (mark,) = (released / "dataset.json",)
    shutil.copyfile(mark, tmp_path / "new" / mark.name)  # the simulation's few sessions
    items = {item.name: item for item in take_inventory(tmp_path / "new")}
    assert [items[f"sub-0{n} {what}"].state for n in (1, 3) for what in ("betas", "noise ceilings", "brain masks")] == [
        "complete"
    ] * 6
    assert items["sub-05 betas"].state == "missing"
    assert items["stimuli"].state == "missing"
    assert not any("stimuli.h5" in key for key in faults.gets)


OPEN = ("--what", "betas,rois,ceilings,anatomy,embeddings")


def test_get_says_first_what_it_would_do(data, faults, released, tmp_path, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tmp_path / "new"))
    faults.gets.clear()
    code, text, _ = data("get", "--dry-run", "--what", "rois", "--subject", "sub-07")
    assert code == 0
    assert f"to {tmp_path / 'new'}: 0 files are here, {n_rois(released, 'sub-07')} to get (rois " in text
    facts = json.loads(
        data("get", "--dry-run", "--what", "betas", "--sessions", "2-3", "--json", *("--subject", "sub-07"))[1]
    )
    assert facts["files"] == 8  # two sessions: volumes, tables, and what describes them
    assert facts["bytes"] == facts["bytes_to_download"] == facts["bytes_by_kind"]["betas"]
    assert not faults.gets
    assert not (tmp_path / "new").exists()


def test_kinds_that_the_bucket_lacks_are_an_error_only_if_they_were_asked_for(data, tmp_path):
    code, text, _ = data("get", "--dry-run", "--dataset", tmp_path)
    assert code == 0
    assert "Not in this bucket: captions." in text
    code, _, text = data("get", "--dry-run", "--dataset", tmp_path, "--what", "rois,captions")
    assert code == 1
    assert "holds no captions" in text


def test_get_takes_images_from_where_they_are(data, released, tmp_path, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_STIMULI", str(released / "stimuli"))
    _, text, _ = data("get", "--dry-run", "--what", "rois", "--dataset", tmp_path)
    assert f"Images: taken from {released / 'stimuli'}." in text
    assert "request" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--what", "beta"), f"--what takes any of {', '.join(KINDS)}; received 'beta'. Did you mean betas?"),
        (("--what", "rois,"), "received ''"),
        (("--what", "images"), "data use agreement"),
        (("--subject", "sub-02"), "takes any of sub-01, sub-03, sub-05, sub-06, sub-07; received 'sub-02'"),
        (("--sessions", "ses-31"), "ses-31 to ses-34 are held out"),
        (("--sessions", "28-32"), "held out"),
        (("--sessions", "ses-0"), "received 'ses-0'"),
        (("--sessions", "5-3"), "received '5-3'"),
        (("--sessions", "first"), "received 'first'"),
        (("--sessions", "1", "--what", "rois"), "chooses among betas and ceilings"),
        (("--dataset", "published"), "--dataset FOLDER"),
    ],
)
def test_wrong_names_are_refused_before_the_network_is_used(run, arguments, said, monkeypatch, tmp_path):
    monkeypatch.setenv("LAION_FMRI_ENDPOINT", "http://127.0.0.1:9")
    code, _, text = run("data", "get", *arguments)
    assert code == 2
    assert said in " ".join(text.replace("│", " ").split())


def test_simulated_folders_are_not_mixed_with_the_release(data, released):
    code, _, text = data("get", "--dataset", released)
    assert code == 2
    assert "simulated data" in text


def test_a_bucket_that_is_not_there_is_one_line(run, data, tmp_path):
    code, _, text = data("get", "--bucket", "elsewhere", "--dataset", tmp_path)
    assert code == 1
    assert text.startswith("laion-score: s3://elsewhere at http://127.0.0.1")
    assert text.count("\n") == 1
    code, _, text = run("data", "bucket", "--endpoint-url", "http://127.0.0.1:9")
    assert code == 1
    assert "does not list its files: Could not connect" in text
    assert text.count("\n") == 1
    code, _, text = run("data", "bucket", "--endpoint-url", "nonsense")
    assert (code, text.count("\n")) == (1, 1)
    assert "Invalid endpoint" in text


def test_a_folder_that_cannot_be_written_is_one_line(data, tmp_path):
    (tmp_path / "file").touch()
    code, _, text = data("get", "--what", "rois", "--subject", "sub-01", "--dataset", tmp_path / "file" / "data")
    assert code == 1
    assert text.startswith(f"laion-score: {tmp_path / 'file' / 'data'} cannot be written (")
    assert text.count("\n") == 1


def test_files_that_fail_are_in_the_last_line_and_the_exit_code(data, faults, released, tmp_path):
    number = n_rois(released, "sub-01")
    faults.status["label-hV4_mask.nii.gz"] = [404]
    code, _, text = data("get", "--what", "rois", "--subject", "sub-01", "--dataset", tmp_path)
    assert code == 1
    assert f"laion-score: 1 of {number} files are not here. derivatives/rois/sub-01/" in text.splitlines()[-1]
    code, text, _ = data("get", "--what", "rois", "--subject", "sub-01", "--dataset", tmp_path)
    assert code == 0
    assert f"{number - 1} files are here, 1 to get" in text


def test_verify_says_one_of_three_words(run, tiny_dataset, tmp_path):
    root, packaged = tmp_path / "data", tmp_path / "published"
    (root / "assemblies").mkdir(parents=True)
    assembly = Path(shutil.copy(tiny_dataset / "assemblies/sub-06.nc", root / "assemblies"))
    write_published(assembly, "sub-06", packaged)
    verify = ("data", "verify", "--dataset", root, "--subject", "sub-06", "--published", packaged)
    for shift, code, word in ((0, 0, "identical"), (5e-6, 0, "equal to float32 rounding"), (9e-5, 1, "DIFFERENT")):
        with netCDF4.Dataset(assembly, "a") as file:
            file.variables["data"][:] += np.float32(shift)
        found, text, _ = run(*verify)
        assert found == code
        assert text.startswith(f"sub-06: LAION_fMRI_persubject_sub-06_Assembly: {word}; ")
    assert run("data", "verify", "--dataset", tmp_path, "--subject", "sub-06", "--published", packaged)[0] == 1
