"""``laion-score map``."""

import json
import re
import sys

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from plugin_testing.scored_cells import FOLDS, ONE_SUBJECT, RIDGE, filled, scores

from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS


@pytest.fixture(scope="module")
def file(tmp_path_factory, tiny_dataset):
    """Two models on every kind of benchmark; tests do not write to it."""
    return filled(tiny_dataset, tmp_path_factory.mktemp("map") / "results.sqlite").path


def test_volumes_and_a_figure_of_all_subjects(run, file, tmp_path, tiny_dataset):
    code, out, err = run(
        "map",
        file,
        "--model",
        "one",
        "--benchmark",
        RIDGE,
        "--out",
        tmp_path / "maps",
        "--figure",
        tmp_path / "map.png",
    )
    assert code == 0, err
    *volumes, figure = out.splitlines()
    assert len(volumes) == len(DEFAULT_SUBJECTS)
    for path, subject in zip(volumes, DEFAULT_SUBJECTS, strict=True):
        values = scores(tiny_dataset)["one"][RIDGE].attrs[subject].attrs["raw"].attrs["raw"].values.astype(np.float32)
        found = np.asarray(nib.load(path).dataobj)
        np.testing.assert_array_equal(np.sort(found[np.isfinite(found)]), np.sort(values))
    assert Image.open(figure).size[0] == 1500
    assert "Brain mask checked by the digest" in err


def test_one_subject_in_one_file(run, file, tmp_path):
    path = tmp_path / "new" / "p.nii.gz"
    code, out, err = run(
        "map", file, "--model", "two", "--benchmark", RIDGE, "--subject", "sub-03", "--value", "p_fdr", "--out", path
    )
    assert (code, out.strip()) == (0, str(path)), err
    assert json.loads(path.with_name("p.json").read_text())["Model"] == "two"


def test_a_difference(run, file, tmp_path):
    code, _, err = run(
        "map", file, "--model", "one", "--minus", "two", "--benchmark", ONE_SUBJECT, "--out", tmp_path / "d.nii"
    )
    assert code == 0, err
    assert json.loads((tmp_path / "d.json").read_text())["Minus"] == "two"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "--out for volumes, --figure for a picture"),
        (("--value", "r2", "--out", "x"), 2, "--value is one of correlation, explained_variance"),
        (("--out", "x"), 1, "A map is of one model; --model with these benchmarks fits 2.*: one, two"),
        (("--model", "three", "--out", "x"), 1, "'three' .* fits 0.*scores of: one, two"),
        (
            ("--model", "one", "--benchmark", "LAION_fMRI.V1-tau-cka", "--out", "x"),
            1,
            f"--benchmark 'LAION_fMRI.V1-tau-cka' fits no score of one. The file has .*{re.escape(RIDGE)}",
        ),
        (("--model", "one", "--out", "x"), 1, "one benchmark, in several regions.*--benchmark"),
        (
            ("--model", "one", "--benchmark", RIDGE, "--out", "x.nii.gz"),
            1,
            "one volume, and there are 5 subjects.*--subject",
        ),
        (
            ("--model", "one", "--benchmark", "*-rdm-pearson", "--out", "x"),
            1,
            "compares all voxels of a region at once",
        ),
        (("--model", "one", "--benchmark", FOLDS, "--value", "alpha", "--out", "x"), 1, "mean over 5 folds"),
        (("--model", "one", "--benchmark", RIDGE, "--range", "0", "--figure", "x.png"), 2, "two numbers"),
        (("--model", "one", "--benchmark", RIDGE, "--range", "1,0", "--figure", "x.png"), 2, "from the smaller"),
        (("--model", "one", "--benchmark", RIDGE, "--figure", "x.jpg"), 2, "A picture ends in"),
        (
            ("--model", "one", "--benchmark", RIDGE, "--mask", "brain", "--out", "x"),
            1,
            "--mask is anatomical, rsquare or an",
        ),
        (("--model", "one", "--benchmark", RIDGE, "--mask", "rsquare", "--out", "x"), 1, "brain mask .*R2"),
        (
            ("--model", "one", "--benchmark", RIDGE, "--subject", "sub-02", "--out", "x"),
            1,
            "The scores are of .*; got sub-02",
        ),
        (("--value", "layer", "--out", "x"), 1, "laion-score layers MODEL --json"),
    ],
)
def test_bad_input_is_one_line(run, file, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    found, out, err = run("map", file, *arguments)
    assert (found, out) == (code, "")
    said = " ".join(err.splitlines()[-4:])
    assert re.search(message, said), said
    assert not list(tmp_path.glob("x*"))


def test_a_missing_nilearn_is_told_before_any_work(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    code, _, err = run("map", tmp_path / "no.db", "--figure", tmp_path / "map.png")
    assert code == 1
    assert "pip install '.[maps]'" in err


def test_help_teaches(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("map", "--help")
    assert code == 0
    for words in ("Examples: laion-score map", "--minus", "published assemblies", "nan where no voxel was scored"):
        assert words in " ".join(out.split())
