"""Bad input on the way of a real score: one error that says the rule, what was received and what to do, in time."""

import json
import re
import shutil

import netCDF4
import numpy as np
import pandas as pd
import pytest
import torch
from plugin_testing.data_factory import OOD, SHARED, make_trials, unique, write_dataset, write_trials
from plugin_testing.models import (
    CountingModel,
    FeatureModel,
    not_finite,
    pixel_features,
    random_features,
    renamed,
    silent_about,
    small_network,
    twice,
    wider,
)

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import (
    ModelOutputError,
    ResponsesError,
    StimulusKernelError,
    UnmappedRegionError,
)
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import IdentifierError
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition, score_all
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

SUBJECTS = ("sub-01", "sub-03")
NAME = "LAION_fMRI.V1-ood-ridge"
PERSUBJECT = "LAION_fMRI_persubject.V1-ood-ridge"


@pytest.fixture
def root(tmp_path):
    """A small dataset folder, right in every respect."""
    return write_dataset(tmp_path / "data", SUBJECTS)


@pytest.fixture
def model():
    """A model that counts what it is shown, at a field of view for which images have to be converted."""
    return CountingModel(visual_degrees=8)


def score(model, root, name=NAME, subjects=SUBJECTS):
    return score_model(model, benchmark(name, subjects=subjects, dataset=root))


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


def check(error, *parts):
    """All of rule, received and remedy are said."""
    message = " ".join(str(error.value).split())
    for part in parts:
        assert re.search(part, message), f"{part!r} is not in: {message}"


def test_the_dataset_of_these_tests_is_right(root, model):
    for name in (NAME, PERSUBJECT):
        assert np.isfinite(score(model, root, name).item())
    assert set(model.shown) == {*SHARED, *OOD, *(i for subject in SUBJECTS for i in unique(subject))}


# Names


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "LAION_fMRI.V1-odd-ridge",
            ("family.region-split-metric", "'LAION_fMRI.V1-odd-ridge'", "nearest valid .*-ood-ridge'"),
        ),
        (
            "LAION_fMRI_persubject.V1-rdm-pearson",
            ("shared pool only", "per-subject pool", "Use 'LAION_fMRI.V1-rdm-pearson'"),
        ),
    ],
    ids=["outside the grammar", "persubject rdm"],
)
def test_names(root, model, name, parts):
    with pytest.raises(IdentifierError) as error:
        score_model(model, name, dataset=root)
    check(error, *parts)
    assert model.looks == []


def test_several_benchmarks_where_one_is_wanted(root, model):
    for ask in (lambda: score_model(model, [NAME], root), lambda: partition(model, model, [NAME], root)):
        with pytest.raises(IdentifierError) as error:
            ask()
        check(error, "an identifier, or what benchmark", "received a list", "score_all")


def test_a_network_without_regions(root):
    with pytest.raises(ModelOutputError) as error:
        benchmark(NAME, subjects=SUBJECTS, dataset=root)(torch.nn.Flatten())
    check(error, "scores a BrainModel", "received a Flatten without identifier", "as_brain_model")


def test_a_table_may_be_named_by_its_path(root, tmp_path):
    ids = [*SHARED, *OOD]
    np.savez(tmp_path / "table.npz", features=np.random.default_rng(8).standard_normal((len(ids), 5)), image_ids=ids)
    assert score(tmp_path / "table.npz", root).item() == score(str(tmp_path / "table.npz"), root).item()


# Data


def rewrite(root, spoil, subject="sub-03"):
    """Write one subject's assembly with changed trials."""
    trials = make_trials(subject, seed=SUBJECTS.index(subject))
    spoil(trials)
    write_trials(trials, root / "assemblies" / f"{subject}.nc")


def edit_manifest(root, edit):
    file = root / "stimuli" / "manifest.csv"
    edit(pd.read_csv(file)).to_csv(file, index=False)


def edit_split(root, edit, pool="shared", split="ood"):
    file = root / "splits" / pool / f"{split}.json"
    text = json.loads(file.read_text())
    edit(text["variants"][0])
    file.write_text(json.dumps(text))


def set_beta(value, above_threshold=True):
    """Change one beta of a V1 voxel that is scored, or of one that is not."""

    def spoil(trials):
        reliable = trials.neuroids["nc_12rep"] > 30
        columns = np.flatnonzero((trials.neuroids["region"] == "V1") & (reliable == above_threshold))
        trials.data[4, columns[0]] = value

    return spoil


def same_repetition(trials):
    ids = trials.presentations["stimulus_id"]
    trials.presentations["repetition"][np.flatnonzero(ids == SHARED[0])] = 0


def not_shown(stimulus_id):
    """The subject never saw a stimulus of the split."""

    def spoil(trials):
        kept = trials.presentations["stimulus_id"] != stimulus_id
        trials.presentations = {name: values[kept] for name, values in trials.presentations.items()}
        trials.data = trials.data[kept]

    return spoil


def image(root, name=OOD[2]):
    return root / "stimuli" / "images" / name


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


DATA = {
    "missing folder": (
        shutil.rmtree,
        MissingDataError,
        ("is an existing folder", "data is not a folder", "laion-score simulate"),
    ),
    "folder without assemblies": (
        lambda root: shutil.rmtree(root / "assemblies"),
        MissingDataError,
        ("has assemblies/sub-XX.nc", "has .*splits, stimuli", "laion-score simulate"),
    ),
    "missing subject": (
        lambda root: (root / "assemblies" / "sub-03.nc").unlink(),
        MissingDataError,
        ("needs the assembly of each", "lacks sub-03 and has sub-01", "Add assemblies/sub-03.nc, or choose subjects"),
    ),
    "another subject's file": (
        lambda root: shutil.copy(root / "assemblies" / "sub-01.nc", root / "assemblies" / "sub-03.nc"),
        SchemaError,
        ("holds one subject, sub-03", "says 'sub-01'", "Put each subject's file under"),
    ),
    "missing coordinate": (
        lambda root: rewrite(root, lambda trials: trials.neuroids.pop("nc_4rep")),
        SchemaError,
        ("needs the coordinates", "missing: nc_4rep", "Write the file again"),
    ),
    "no stimulus ids": (
        lambda root: rewrite(root, lambda trials: trials.presentations.pop("stimulus_id")),
        SchemaError,
        ("needs the coordinates", "missing: stimulus_id", "Write the file again"),
    ),
    "no voxel above the threshold": (
        lambda root: rewrite(root, lambda trials: trials.neuroids["nc_12rep"].fill(30)),
        DatasetError,
        ("needs voxels with nc_12rep above 30", "largest of its 5 voxels is 30", "Lower the noise ceiling threshold"),
    ),
    "nan in betas": (
        lambda root: rewrite(root, set_beta(np.nan)),
        SchemaError,
        ("must be finite", "1 values in 1 voxels .*trial 4", "Remove these voxels"),
    ),
    "infinity in betas": (
        lambda root: rewrite(root, set_beta(-np.inf)),
        SchemaError,
        ("must be finite", "-inf", "Remove these voxels"),
    ),
    "values in betas that were never written": (
        lambda root: rewrite(root, set_beta(9.96921e36)),
        SchemaError,
        (r"sub-\d\d.nc.*must be finite", r"beyond 1e\+30 .*9.969.*e\+36", "Remove these voxels"),
    ),
    "duplicate trials": (
        lambda root: rewrite(root, same_repetition),
        SchemaError,
        ("each repetition number once", "2 trials repeat", "Remove the duplicates"),
    ),
    "cut assembly": (
        lambda root: (root / "assemblies" / "sub-03.nc").write_bytes(b"CDF nothing more"),
        SchemaError,
        ("must be a complete netCDF4 file", r"sub-03.nc \(16 bytes\)", "Copy, download or simulate it again"),
    ),
    "split with a stimulus that the subject never saw": (
        lambda root: rewrite(root, not_shown(OOD[0])),
        ResponsesError,
        ("response to each stimulus of the split", f"1 of 4 have none, the first: .*{OOD[0]}", "Check the split"),
    ),
    "split with a stimulus without an image": (
        lambda root: image(root).unlink(),
        MissingDataError,
        ("needs its image file", f"1 of .*{OOD[2]}", "Copy or make these images again"),
    ),
    "split with a stimulus that is not in the manifest": (
        lambda root: edit_manifest(root, lambda table: table[table["stimulus_id"] != OOD[2]]),
        DatasetError,
        ("may name only stimuli", f"1 are unknown, first: '{OOD[2]}'", "splits and stimuli of the same dataset"),
    ),
    "no images at all": (
        lambda root: shutil.rmtree(root / "stimuli"),
        MissingDataError,
        ("Models need images", "A place is a folder with manifest.csv", "stimuli"),
    ),
    "text in an image file": (
        lambda root: image(root).write_bytes(b"no image"),
        DatasetError,
        ("an image that can be read", f"1 of .*{OOD[2]}", "Download or extract"),
    ),
    "cut JPEG": (
        lambda root: cut(image(root)),
        DatasetError,
        ("an image that can be read", f"1 of .*{OOD[2]}", "Download or extract"),
    ),
    "cut PNG": (
        lambda root: cut(image(root, OOD[0])),
        DatasetError,
        ("an image that can be read", f"1 of .*{OOD[0]}", "Download or extract"),
    ),
    "duplicate ids in the manifest": (
        lambda root: edit_manifest(root, lambda table: pd.concat([table, table[:1]])),
        SchemaError,
        ("each stimulus has one row", f"1 rows repeat an id, first: '{SHARED[0]}'", "Remove the duplicates"),
    ),
    "duplicate ids in a split": (
        lambda root: edit_split(root, lambda sides: sides["test_ids"].append(OOD[0])),
        SchemaError,
        ("occurs once on a side", f"test repeats 1, first: '{OOD[0]}'", "Restore the split"),
    ),
    "training and test stimuli overlap": (
        lambda root: edit_split(root, lambda sides: sides["test_ids"].append(SHARED[0])),
        SchemaError,
        ("train and test are disjoint", f"1 stimuli are in both, first: '{SHARED[0]}'", "Restore the split"),
    ),
    "unreadable split": (
        lambda root: (root / "splits" / "shared" / "ood.json").write_text("{"),
        SchemaError,
        ("a split file is JSON", "JSONDecodeError", "Restore the file"),
    ),
}


@pytest.mark.parametrize(("spoil", "kind", "parts"), DATA.values(), ids=DATA.keys())
def test_data(root, model, spoil, kind, parts):
    spoil(root)
    before = content(root)
    with pytest.raises(kind) as error:
        score(model, root)
    check(error, *parts)
    assert model.looks == []  # the long work was not begun
    assert content(root) == before  # and nothing is lost


def test_data_of_the_last_cell_are_checked_before_the_first_is_scored(root, model):
    rewrite(root, lambda trials: trials.data.__setitem__((3, -2), np.nan))  # an IT voxel of the second subject
    names = [f"LAION_fMRI.{region}-ood-ridge[subjects=sub-01+sub-03]" for region in ("V1", "V2", "IT")]
    with pytest.raises(SchemaError, match="must be finite"):
        list(score_all(model, names, dataset=root))
    assert model.looks == []


def test_a_voxel_that_is_not_scored_may_be_anything(root, model):
    expected = score(model, root).item()
    rewrite(root, set_beta(np.nan, above_threshold=False))
    assert score(model, root).item() == expected


def test_a_missing_subject_costs_only_those_who_ask_for_it(root, model):
    (root / "assemblies" / "sub-03.nc").unlink()
    assert np.isfinite(score(model, root, subjects=("sub-01",)).item())


def test_mended_data_are_read_again(root, model):
    """A dataset that was opened and found wrong is not remembered as it was."""
    rewrite(root, set_beta(np.nan))
    with pytest.raises(SchemaError):
        score(model, root)
    rewrite(root, lambda trials: None)
    assert np.isfinite(score(model, root).item())


def test_constant_responses_have_no_correlation(root, model):
    def spoil(trials):
        columns = np.flatnonzero((trials.neuroids["region"] == "V1") & (trials.neuroids["nc_12rep"] > 30))
        trials.data[:, columns[0]] = 0

    rewrite(root, spoil)
    with pytest.raises(ResponsesError) as error:
        score(model, root)
    check(error, "values that vary", "measured responses of 1 of 4 neuroids of sub-03", "Leave constant neuroids out")


# Models


def pool(root):
    return open_dataset(root).pool_stimuli("shared")


LAST = sorted(OOD)[-1]  # the last one of the pool, so that it is not found by looking at the first

MODELS = {
    "nan": (not_finite(LAST), ("must be finite", "nan or infinity for 1 of", "Check the model on these images")),
    "infinity": (not_finite(LAST, np.inf), ("must be finite", "for 1 of", "Check the model on these images")),
    "other stimuli": (renamed(LAST), ("answer once for each", "1 stimuli are missing", re.escape(LAST))),
    "fewer stimuli": (silent_about(LAST), ("answer once for each", "1 stimuli are missing", re.escape(LAST))),
    "more stimuli": (twice(LAST), ("answer once for each", "times")),
}


@pytest.mark.parametrize(("misbehave", "parts"), MODELS.values(), ids=MODELS.keys())
def test_models(root, misbehave, parts):
    good = FeatureModel(random_features(pool(root), 12), identifier="good")
    expected = score(good, root).item()
    bad = FeatureModel(random_features(pool(root), 12), misbehave=misbehave, identifier="bad")
    for _ in range(2):  # what a failed run left does not pass for features
        with pytest.raises(ModelOutputError) as error:
            score(bad, root)
        check(error, *parts)
    # what was computed before is not lost
    seen = len(good.shown)
    assert score(good, root).item() == expected
    assert len(good.shown) <= seen + 8


def test_other_features_in_a_later_look(tiny_dataset):
    """More stimuli than are shown at once: the first answer has 12 features, the second has 13."""
    names = open_dataset(tiny_dataset).pool_stimuli("shared")
    assert len(names) > 64
    model = FeatureModel(random_features(names, 12), misbehave=wider(names[65]), identifier="bad")
    with pytest.raises(ModelOutputError, match="same features for all stimuli.*12 .*13"):
        score_model(model, NAME, dataset=tiny_dataset)


def test_a_model_that_answers_differently_each_time(root):
    rng = np.random.default_rng(0)
    noisy = FeatureModel(lambda path: pixel_features(path) + 50 * rng.standard_normal(108), identifier="noisy")
    with pytest.raises(ModelOutputError) as error:
        score(noisy, root)
    check(error, "answer alike to the same images", "differ between two passes", "evaluation mode")


@pytest.mark.parametrize("degrees", [None, 0, float("nan"), float("inf"), "8"])
def test_a_model_without_a_field_of_view(root, degrees):
    model = CountingModel(visual_degrees=degrees, identifier="no-degrees")
    with pytest.raises(StimulusKernelError) as error:
        score(model, root)
    check(error, "positive number of degrees", f"no-degrees says {degrees!r}", "Set visual_degrees")
    assert model.looks == []


def test_features_that_say_nothing(root):
    same = FeatureModel(dict.fromkeys(pool(root), np.ones(5)), identifier="same")
    with pytest.raises(ModelOutputError) as error:
        score(same, root)
    check(error, "must differ between stimuli", "do not vary at all", "Check that the model sees the images")


@pytest.mark.parametrize("make", [lambda: small_network({"V2": "conv"}), lambda: FeatureModel({}, regions=("V2",))])
def test_a_region_that_the_model_does_not_map(root, make):
    model = make()
    with pytest.raises(UnmappedRegionError) as error:
        score(model, root)
    check(error, "records the region that it measures", f"{model.identifier} maps no layer to V1", "Add 'V1'")
    assert getattr(model, "looks", []) == []


def test_it_full_is_recorded_as_it(root):
    """DESIGN section 4: models know no IT_full."""
    model = FeatureModel(pixel_features, regions=("IT",))
    assert np.isfinite(score(model, root, "LAION_fMRI.IT_full-ood-ridge").item())
    assert {region for region, _ in model.looks} == {"IT"}


def test_assemblies_of_these_tests_hold_what_they_say(root):
    """The premise of the errors above: V1 has four voxels above the threshold, and one at 20 percent."""
    with netCDF4.Dataset(root / "assemblies" / "sub-03.nc") as file:
        in_v1 = file["region"][:] == "V1"
        assert (file["nc_12rep"][:][in_v1] > 30).tolist() == [True] * 4 + [False]
