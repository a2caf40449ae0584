"""``laion-score check``: passes on a sound dataset, and names what is broken in a broken one."""

import json
import shutil

import netCDF4
import numpy as np
import pytest
from PIL import Image, ImageFile
from typer.testing import CliRunner

from brainscore_vision.benchmarks.laion_fmri_7t import benchmark
from brainscore_vision.benchmarks.laion_fmri_7t.checks import rules as checks
from brainscore_vision.benchmarks.laion_fmri_7t.checks import shuffled_labels
from brainscore_vision.benchmarks.laion_fmri_7t.checks.rules import CHECKS, run_checks
from brainscore_vision.benchmarks.laion_fmri_7t.cli.app import app
from brainscore_vision.data.laion_fmri_7t import ids
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

DISJOINT, FOLDS, OOD, STIMULI, REPETITIONS, CONSTANT, TRIALS, ZSCORE, MAPS, IMAGES, SEALED, SHUFFLED = CHECKS


@pytest.fixture
def copy(tiny_dataset, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(tiny_dataset, root)
    return root


def results(root):
    return {result.rule: result for result in run_checks(open_dataset(root))}


def failed(root):
    """What is wrong, without the rule that scores: it takes half of the time, and has its own test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(CHECKS, SHUFFLED)
        return {rule: result.detail for rule, result in results(root).items() if not result.passed}


def edit_assembly(root, change, subject="sub-03"):
    with netCDF4.Dataset(str(root / "assemblies" / f"{subject}.nc"), "a") as file:
        change(file)


def edit_split(root, pool, name, change):
    path = root / "splits" / pool / f"{name}.json"
    content = json.loads(path.read_text())
    change(content["variants"][0])
    path.write_text(json.dumps(content))


def test_a_sound_dataset_passes(tiny_dataset):
    found = results(tiny_dataset)
    assert list(found) == list(CHECKS)
    assert all(result.passed for result in found.values()), [str(r) for r in found.values() if not r.passed]
    assert "72 splits of 6 pools" in found[DISJOINT].detail
    assert found[FOLDS].detail == "cluster_k5, random of 6 pools"
    assert "64 x 64 pixels" in found[IMAGES].detail
    assert "transparent pixels on grey" in found[IMAGES].detail
    assert "not sealed; `laion-score data seal" in found[SEALED].detail


def test_command_line(tiny_dataset, copy):
    good = CliRunner().invoke(app, ["check", "--dataset", str(tiny_dataset)])
    assert good.exit_code == 0
    assert [line[:6] for line in good.stdout.splitlines()] == ["ok    "] * len(CHECKS)
    edit_assembly(copy, lambda file: file["data"].__setitem__((slice(None), 5), 0.0))
    bad = CliRunner().invoke(app, ["check", "--dataset", str(copy)])
    assert bad.exit_code == 1
    assert len(bad.stdout.splitlines()) == len(CHECKS)
    assert f"FAIL  {CONSTANT}: sub-03: 1 voxels" in bad.stdout


def test_constant_voxel(copy):
    edit_assembly(copy, lambda file: file["data"].__setitem__((slice(None), 5), 0.7))
    found = failed(copy)
    assert "sub-03: 1 voxels do not vary in a session, or are not finite, first neuroid 5" in found[CONSTANT]
    assert ZSCORE in found


def test_empty_trials(copy):
    edit_assembly(copy, lambda file: file["data"].__setitem__(([4, 9], slice(None)), 0.0))
    assert "sub-03: 2 trials are zero in every voxel, first trial 4 (" in failed(copy)[TRIALS]


def test_copied_trials(copy):
    edit_assembly(copy, lambda file: file["data"].__setitem__((17, slice(None)), file["data"][5]))
    assert "sub-03: 1 trials are copies of others, first trial 17 (" in failed(copy)[TRIALS]
    assert "which is trial 5 (" in failed(copy)[TRIALS]


class TestImages:
    @pytest.fixture
    def image(self, copy):
        return next(iter(sorted((copy / "stimuli" / "images").glob("*.jpg"))))

    def test_cut_short(self, copy, image, monkeypatch):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        content = image.read_bytes()
        image.write_bytes(content[: len(content) // 2])
        assert f"1 of 217 are not, first {image.name!r} (OSError" in failed(copy)[IMAGES]

    def test_missing(self, copy, image):
        image.unlink()
        assert image.name in failed(copy)[IMAGES]

    def test_copies_under_other_names_are_counted(self, copy, image):
        other = next(path for path in sorted(image.parent.iterdir()) if path.suffix == image.suffix and path != image)
        shutil.copyfile(image, other)
        assert "; 1 are the same picture as another one, first " in results(copy)[IMAGES].detail

    def test_not_square(self, copy, image):
        Image.new("RGB", (64, 32)).save(image)
        assert f"1 of 217 images are not square, first {image.name!r}" in failed(copy)[IMAGES]

    def test_another_encoding_is_counted(self, copy, image):
        Image.open(image).convert("CMYK").save(image)
        assert "CMYK 1" in results(copy)[IMAGES].detail

    def test_other_than_sealed(self, copy, image):
        assert CliRunner().invoke(app, ["data", "seal", str(copy)]).exit_code == 0
        assert f"217 hashes in {copy / 'stimuli' / 'seal.json'}" in results(copy)[SEALED].detail
        Image.new("RGB", (64, 64)).save(image)
        assert failed(copy)[SEALED] == (
            f"of 217 in {copy / 'stimuli' / 'seal.json'}: 1 changed, first {image.name!r}. Restore the files."
        )


def test_voxel_that_is_not_finite(copy):
    edit_assembly(copy, lambda file: file["data"].__setitem__((3, 7), np.nan))
    found = failed(copy)
    assert "first neuroid 7" in found[CONSTANT]
    assert "first neuroid 7" in found[ZSCORE]


def test_betas_that_are_not_z_scored(copy):
    edit_assembly(copy, lambda file: file["data"].__setitem__((slice(None), 2), 3 * file["data"][:, 2] + 1))
    detail = failed(copy)[ZSCORE]
    assert "neuroid 2 in ses-01 with mean 1 and standard deviation 3" in detail


def test_train_and_test_overlap(copy):
    edit_split(copy, "shared", "random_2", lambda split: split["train_ids"].append(split["test_ids"][0]))
    found = failed(copy)
    assert "random_2.json: train and test are disjoint; 1 stimuli are in both" in found[DISJOINT]


def test_folds_of_clusters_with_stimuli_in_common(copy):
    first = json.loads((copy / "splits/sub-06/cluster_k5_0.json").read_text())["variants"][0]["test_ids"][0]

    def change(split):
        split["train_ids"].remove(first)
        split["train_ids"].append(split["test_ids"][0])
        split["test_ids"][0] = first

    edit_split(copy, "sub-06", "cluster_k5_3", change)
    found = failed(copy)
    assert found[FOLDS] == f"cluster_k5 of pool sub-06 tests 1 stimuli in several of its folds, first {first!r}"
    assert DISJOINT not in found


def test_random_folds_of_the_first_release_are_said(copy):
    """They were draws of their own; a score of their mean says it too."""
    folds = [copy / f"splits/shared/random_{k}.json" for k in range(2)]
    test = [json.loads(fold.read_text())["variants"][0]["test_ids"] for fold in folds]

    def change(split):
        split["test_ids"][0], split["train_ids"] = (
            test[0][0],
            [*(i for i in split["train_ids"] if i != test[0][0]), test[1][0]],
        )

    edit_split(copy, "shared", "random_1", change)
    found = results(copy)[FOLDS]
    assert found.passed
    assert "of shared, those of random overlap, as in the dataset's first release" in found.detail


def test_ood_in_train(copy):
    ood = open_dataset(copy).split_ids("shared", "ood")[1][0]
    edit_split(copy, "sub-06", "cluster_k5_1", lambda split: split["train_ids"].append(ood))
    assert "out-of-distribution images are for testing only" in failed(copy)[OOD]


def test_checks_of_splits_do_not_lean_on_the_reader(tiny_dataset, monkeypatch):
    """Whatever reads the splits: the rule is checked on what scoring gets."""
    dataset = open_dataset(tiny_dataset)
    train, test = dataset.split_ids("shared", "ood")
    monkeypatch.setattr(dataset, "split_ids", lambda pool, split: (train + test[:2], test))
    with pytest.raises(checks.CheckFailed, match="tau of pool shared has 2 stimuli on both sides"):
        CHECKS[DISJOINT](dataset, {})
    with pytest.raises(checks.CheckFailed, match="tau of pool shared trains on 2 out-of-distribution images"):
        CHECKS[OOD](dataset, {})


def rename_stimulus(old, new, only=slice(None)):
    def change(file):
        names = file["stimulus_id"][:]
        rows = np.flatnonzero(names == old)[only]
        names[rows] = new
        file["stimulus_id"][:] = names
        repetitions = file["repetition"][:]
        repetitions[rows] = 100 + np.arange(len(rows))
        file["repetition"][:] = repetitions

    return change


def test_missing_stimulus(copy):
    shared = open_dataset(copy).pool_stimuli("shared")
    edit_assembly(copy, rename_stimulus(shared[3], shared[4]))
    found = failed(copy)
    assert "sub-03 lacks 1 of" in found[STIMULI]
    assert repr(shared[3]) in found[STIMULI]
    assert REPETITIONS in found


def test_repetitions(copy):
    shared = [i for i in open_dataset(copy).pool_stimuli("shared") if ids.parse(i).repetitions == 12]
    edit_assembly(copy, rename_stimulus(shared[0], shared[1], only=slice(2)))
    detail = failed(copy)[REPETITIONS]
    assert "sub-03: 2 stimuli have other counts than their group" in detail


def test_noise_ceilings_that_do_not_increase(copy):
    def swap(file):
        four, twelve = file["nc_4rep"][:], file["nc_12rep"][:]
        file["nc_4rep"][:], file["nc_12rep"][:] = twelve, four

    edit_assembly(copy, swap)
    assert "nc_12rep is above nc_4rep in 0% of voxels only" in failed(copy)[MAPS]


def test_noise_ceilings_as_fractions(copy):
    def divide(file):
        for name in ("nc_4rep", "nc_12rep", "nc_allrep"):
            file[name][:] = file[name][:] / 100

    edit_assembly(copy, divide)
    assert "percent" in failed(copy)[MAPS]


def test_shuffled_labels_notice_a_leak(tiny_dataset, monkeypatch):
    """If the shuffle did nothing, the check would have to fail: pixels do predict V1."""
    monkeypatch.setattr(shuffled_labels, "permutation", lambda n, rng: np.arange(n))
    result = results(tiny_dataset)[SHUFFLED]
    assert not result.passed
    assert "pixels predict shuffled responses" in result.detail


def test_one_broken_rule_does_not_hide_the_others(copy):
    (copy / "assemblies" / "sub-05.nc").write_bytes(b"not a file")
    found = results(copy)
    assert list(found) == list(CHECKS)
    assert found[DISJOINT].passed
    assert "sub-05" in found[CONSTANT].detail
    assert not found[SHUFFLED].passed


def test_ceilings_on_the_command_line(tiny_dataset, tmp_path):
    picture = tmp_path / "ceilings.png"
    arguments = ["ceilings", "--dataset", str(tiny_dataset), "--subjects", "sub-03", "--out", str(picture)]
    run = CliRunner().invoke(app, [*arguments, "--json"])
    assert run.exit_code == 0, run.output
    records = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert [record["region"] for record in records] == ["V1", "V2", "V3", "V4", "IT"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    for record in records:  # what a split uses is what its benchmark divides by
        cell = benchmark(
            f"LAION_fMRI_persubject.{record['region']}-ood-ridge", subjects=("sub-03",), dataset=tiny_dataset
        )
        (ceiling,) = cell.resolve().metric.ceilings(cell.resolve().tasks)
        assert record["used"]["persubject ood"] == pytest.approx(100 * ceiling["explained_variance"], rel=1e-5)
        assert set(record["moved"]) == set(record["used"])
    assert "sub-03" in CliRunner().invoke(app, arguments).stdout
    assert CliRunner().invoke(app, [*arguments, "--out", "ceilings.docx"]).exit_code == 2
    arguments[arguments.index("sub-03")] = "sub-02"
    assert CliRunner().invoke(app, arguments).exit_code == 1


def test_settings_on_the_command_line(tiny_dataset):
    """They are part of the benchmark's name, so results cannot be mistaken for those of the default."""
    settings = ["--normalization", "explained_variance", "--threshold", "20", "--subjects", "sub-07,sub-03"]
    run = CliRunner().invoke(
        app, ["score", "pixels", "LAION_fMRI.V1-tau-ridge", "--dataset", str(tiny_dataset), "--json", *settings]
    )
    assert run.exit_code == 0, run.output
    record = json.loads(next(line for line in run.stdout.splitlines() if line.startswith("{")))
    name = "LAION_fMRI.V1-tau-ridge[subjects=sub-03+sub-07,threshold=20,normalization=explained_variance]"
    assert record["benchmark"] == name
    assert record["normalization"] == "explained_variance"
    assert record["score"] == record["normalizations"]["explained_variance"]
    assert set(record["subjects"]) == {"sub-03", "sub-07"}
