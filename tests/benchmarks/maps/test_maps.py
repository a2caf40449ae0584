"""Maps of Scores: the Score's own values at the voxels' own places, and Scores that have no map."""

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from plugin_testing.scored_cells import FOLDS, ONE_SUBJECT, RDM, RIDGE, copied, scores
from scipy.stats import false_discovery_control

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, brain_maps
from brainscore_vision.benchmarks.laion_fmri_7t.maps import MapError
from brainscore_vision.benchmarks.laion_fmri_7t.maps.drawing import map_caption
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t import released
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.voxel_space import voxel_space
from brainscore_vision.models.laion_fmri_7t.features import StimulusFeatureModel

TAU = tuple(f"LAION_fMRI.{region}-tau-ridgecv" for region in ("V1", "V2", "V4", "IT"))


@pytest.fixture
def score(tiny_dataset):
    return scores(tiny_dataset)["one"][RIDGE]


def with_and_without(kind, tiny_dataset):
    """Scores of a table on OOD images, and of the same without a shared image of a kind; LAION's are for training."""
    ids = open_dataset(tiny_dataset).stimulus_set()["stimulus_id"].tolist()
    features = np.random.default_rng(5).standard_normal((len(ids), 4))
    left_out = next(name for name in ids if re.match(f"shared_.*rep_{kind}", name))
    kept = np.array([name != left_out for name in ids])
    found, engine = [], EngineOptions(store=False, progress=False)
    for identifier, rows in (("whole", np.ones_like(kept)), ("partial", kept)):
        names = [name for name, is_there in zip(ids, rows, strict=True) if is_there]
        model = StimulusFeatureModel.from_arrays(features[rows], names, identifier, missing="drop")
        found += [score for _, score in score_all(model, [RIDGE], dataset=tiny_dataset, engine=engine)]
    return found


def raw(score, subject):
    return score.attrs[subject].attrs["raw"].attrs["raw"]


def at_voxels(path, tiny_dataset, subject, index):
    """Values of a file at places of a brain mask, by nibabel alone."""
    brain = np.asarray(nib.load(SubjectFiles(tiny_dataset, subject).anatomical_mask).dataobj) > 0
    return np.asarray(nib.load(path).dataobj)[brain][index]


def test_a_file_holds_the_values_of_the_score(score, tiny_dataset, tmp_path):
    maps = brain_maps(score)
    assert [one.subject for one in maps] == list(DEFAULT_SUBJECTS)
    for one in maps:
        values, path = raw(score, one.subject), one.save(tmp_path)
        assert path.name == f"{one.subject}_task-images_space-T1w_desc-correlation_statmap.nii.gz"
        index = values["voxel_index_in_brain_mask"].values
        np.testing.assert_array_equal(
            at_voxels(path, tiny_dataset, one.subject, index), values.values.astype(np.float32)
        )
        assert np.isfinite(np.asarray(nib.load(path).dataobj)).sum() == len(values)  # nan everywhere else


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("noise_ceiling", lambda s: s.attrs["ceiling"].attrs["raw"].values),
        ("p_value", lambda s: s.attrs["p_values"].values),
        ("p_fdr", lambda s: false_discovery_control(s.attrs["p_values"].values)),
        ("alpha", lambda s: np.full(s.attrs["n_neuroids"], s.attrs["alpha"])),
        (
            "explained_variance",
            lambda s: [
                np.sign(r) * (1 - (1 - r * r) * (s.attrs["n_test"] - 1) / (s.attrs["n_test"] - 2)) for r in _r(s)
            ],
        ),
    ],
)
def test_values(score, value, expected):
    for one in brain_maps(score, value):
        np.testing.assert_allclose(one.values, expected(score.attrs[one.subject]), rtol=1e-12)


def _r(subject_score):
    return subject_score.attrs["raw"].attrs["raw"].values


def test_the_release_reads_the_same_places(score, tmp_path, request):
    data = request.getfixturevalue("released")  # the package has this name here
    (one,) = brain_maps(score, subjects=["sub-03"])
    index = one.neuroids["voxel_index_in_brain_mask"].to_numpy()
    with released.load_subject("sub-03", data) as subject:
        np.testing.assert_allclose(one.space.coordinates(index), subject.get_voxel_coordinates()[index])
        mask = np.isin(np.arange(subject.get_n_voxels()), index)
        subject.to_nifti(one.values[np.argsort(index)], tmp_path / "theirs.nii.gz", mask=mask)
    theirs = nib.load(tmp_path / "theirs.nii.gz")
    np.testing.assert_array_equal(np.nan_to_num(one.image.get_fdata()), theirs.get_fdata())
    np.testing.assert_allclose(one.image.affine, theirs.affine)


def test_a_json_file_says_what_the_map_is_of(score, tmp_path):
    one = brain_maps(score, "p_fdr", subjects=["sub-01"])[0]
    about = json.loads(one.save(tmp_path / "p.nii").with_suffix(".json").read_text())
    assert about["Model"] == "one"
    assert about["Benchmarks"] == [score.attrs["benchmark_identifier"]]
    assert about["Units"] == "probability"
    assert about["Subject"] == "sub-01"
    assert about["OutsideOfVoxels"] == "nan"
    assert about["Dataset"]["simulated"] is True
    assert "digest" in about["BrainMaskKnownBy"]


def test_a_difference_of_scores_on_other_training_images_says_so(tiny_dataset):
    whole, partial = with_and_without("LAION", tiny_dataset)
    one = brain_maps(whole, minus=partial, subjects=["sub-01"])[0]
    (note,) = [note for note in one.about["Notes"] if "other numbers of training stimuli" in note]
    assert note.startswith("In this difference, the two were fitted to")
    np.testing.assert_allclose(one.values, raw(whole, "sub-01") - raw(partial, "sub-01"))
    assert not [note for note in brain_maps(whole, minus=whole)[0].about.get("Notes", []) if "training" in note]


def test_a_map_of_another_model_is_not_written_over(score, tiny_dataset, tmp_path):
    """File names do not hold the model."""
    (first,) = brain_maps(score, subjects=["sub-01"])
    (other,) = brain_maps(scores(tiny_dataset)["two"][RIDGE], subjects=["sub-01"])
    path = first.save(tmp_path)
    before = path.read_bytes()
    with pytest.raises(MapError, match=r"is a map of one \(LAION_fMRI.*\), and this one is of two. Give --out another"):
        other.save(tmp_path)
    assert first.save(tmp_path).read_bytes() == before
    other.save(tmp_path / "two")


def test_a_json_file_says_what_was_left_out_and_what_to_know(score, tmp_path):
    partial = copied(score)
    partial.attrs |= {"dropped_stimuli": ["a", "b"], "notes": ["something to know"]}
    one = brain_maps(partial, subjects=["sub-01"])[0]
    about = json.loads(one.save(tmp_path / "r.nii").with_suffix(".json").read_text())
    assert about["StimuliLeftOut"] == {score.attrs["benchmark_identifier"]: 2}
    assert about["Notes"] == ["something to know"]
    assert "StimuliLeftOut" not in brain_maps(score, subjects=["sub-01"])[0].about


def test_regions_of_one_model_become_one_map(tiny_dataset):
    engine = EngineOptions(store=False, progress=False)
    found = dict(score_all("LAION_fMRI-CLIP", TAU, dataset=tiny_dataset, engine=engine))
    (one,) = brain_maps(list(found.values()), subjects=["sub-05"])
    assert set(one.neuroids["region"]) == {"V1", "V2", "V4", "IT"}
    for score in found.values():
        values = raw(score, "sub-05")
        own = one.neuroids["region"].to_numpy() == values["region"].values[0]
        np.testing.assert_array_equal(one.values[own], values.values)


def test_scores_of_one_benchmark_do_not_replace_each_other(tiny_dataset):
    one, two = (scores(tiny_dataset)[name][RIDGE] for name in ("one", "two"))
    in_another_layer = copied(two)
    in_another_layer.attrs["model_identifier"] = one.attrs["model_identifier"]
    with pytest.raises(MapError, match="one Score of a benchmark"):
        brain_maps([one, in_another_layer])
    with pytest.raises(MapError, match="one Score of a benchmark"):
        brain_maps(one, minus=[two, copied(two)])


def test_a_difference_of_two_models(tiny_dataset):
    first, second = (scores(tiny_dataset)[name][RIDGE] for name in ("one", "two"))
    for one in brain_maps(first, minus=second):
        np.testing.assert_array_equal(one.values, (raw(first, one.subject) - raw(second, one.subject)).values)
        assert one.is_difference
        assert one.about["Minus"] == "two"
        assert "Difference" in one.file_name


def test_a_difference_names_the_layers_of_both(tiny_dataset):
    first, second = (copied(scores(tiny_dataset)[name][RIDGE]) for name in ("one", "two"))
    first.attrs.update(layers={"IT": "early"})
    second.attrs.update(layers={"IT": "late"}, model_source="b.py:make")
    one = brain_maps(first, minus=second)[0]
    assert (one.about["MinusLayers"], one.about["MinusModelSource"]) == ({"IT": "late"}, "b.py:make")
    assert "Layers: IT=early; of two: IT=late." in map_caption([one])


def test_a_mean_over_folds(tiny_dataset):
    score = scores(tiny_dataset)["one"][FOLDS]
    one = brain_maps(score, subjects=["sub-07"])[0]
    folds = [score.attrs[f"fold_{k}"].attrs["sub-07"].attrs["raw"].attrs["raw"].values for k in range(5)]
    np.testing.assert_allclose(one.values, np.mean(folds, axis=0), rtol=1e-12)
    with pytest.raises(MapError, match="mean over 5 folds"):
        brain_maps(score, "p_value")


class TestRefused:
    def test_no_values_per_voxel(self, tiny_dataset):
        with pytest.raises(MapError, match="V4-rdm-pearson.* compares all voxels of a region at once"):
            brain_maps(scores(tiny_dataset)["one"][RDM])

    @pytest.mark.parametrize("value", ["layer", "r2"])
    def test_an_unknown_value(self, score, value):
        with pytest.raises(MapError, match="shows one of correlation, explained_variance"):
            brain_maps(score, value)

    def test_two_models(self, tiny_dataset):
        with pytest.raises(MapError, match="one model"):
            brain_maps([scores(tiny_dataset)[name][RIDGE] for name in ("one", "two")])

    def test_two_networks_of_one_name(self, score):
        """A network before and after training, in two regions, or one minus the other."""
        score, trained, other = (copied(score) for _ in range(3))
        score.attrs["network_digest"], trained.attrs["network_digest"] = "aaaa", "bbbb"
        other.attrs |= {
            "network_digest": "bbbb",
            "benchmark_identifier": score.attrs["benchmark_identifier"].replace("V1", "V2"),
        }
        with pytest.raises(MapError, match=r"of one network; got one \(network aaaa\) on .* one \(network bbbb\)"):
            brain_maps([score, other])
        (made, *_) = brain_maps(score, minus=trained)
        assert (made.about["Model"], made.about["Minus"]) == ("one (network aaaa)", "one (network bbbb)")
        (made, *_) = brain_maps(score, minus=trained, names=("one (a.py:one)", "one (b.py:one)"))
        assert made.about["Description"].startswith("one (a.py:one) minus one (b.py:one). ")

    def test_two_kinds_of_benchmarks(self, tiny_dataset):
        with pytest.raises(MapError, match="one benchmark, in several regions"):
            brain_maps([scores(tiny_dataset)["one"][name] for name in (RIDGE, FOLDS)])

    def test_voxels_that_are_in_two_regions(self, score):
        again = copied(score)
        again.attrs["benchmark_identifier"] = again.attrs["benchmark_identifier"].replace("V1", "V2")
        with pytest.raises(MapError, match="A voxel has one value in a map"):
            brain_maps([score, again])

    def test_a_subject_that_was_not_scored(self, tiny_dataset):
        with pytest.raises(MapError, match="The scores are of sub-01; got sub-03"):
            brain_maps(scores(tiny_dataset)["one"][ONE_SUBJECT], subjects=["sub-03"])

    def test_a_difference_of_p_values(self, tiny_dataset):
        first, second = (scores(tiny_dataset)[name][RIDGE] for name in ("one", "two"))
        with pytest.raises(MapError, match="says nothing"):
            brain_maps(first, "p_value", minus=second)

    def test_a_difference_on_another_benchmark(self, tiny_dataset):
        found = scores(tiny_dataset)
        with pytest.raises(MapError, match="two has none on"):
            brain_maps(found["one"][RIDGE], minus=found["two"][FOLDS])

    def test_a_difference_on_other_test_images(self, tiny_dataset):
        whole, partial = with_and_without("OOD", tiny_dataset)
        with pytest.raises(MapError, match=r"same test images; on .*\(0 and 1 images were left out\)"):
            brain_maps(whole, minus=partial)

    def test_a_difference_on_other_test_images_that_are_not_resampled(self, tiny_dataset):
        whole, partial = map(copied, with_and_without("OOD", tiny_dataset))
        for one in (whole, partial):
            for subject in DEFAULT_SUBJECTS:
                del one.attrs[subject].attrs["bootstrap_stimuli"]
        with pytest.raises(MapError, match="same test images"):
            brain_maps(whole, minus=partial)

    def test_scores_that_keep_no_p_values(self, score):
        old = copied(score)
        for subject in DEFAULT_SUBJECTS:
            del old.attrs[subject].attrs["p_values"]
        with pytest.raises(MapError, match="Score again"):
            brain_maps(old, "p_fdr")

    def test_another_dataset(self, score, tmp_path):
        from brainscore_vision.data.laion_fmri_7t.simulation import simulate

        other = simulate(tmp_path / "other", scale="tiny", seed=1, progress=False)
        with pytest.raises(MapError, match=r"needs the dataset that was scored; in .*other.*--dataset"):
            brain_maps(score, dataset=other)

    def test_a_wrong_mask(self, score, tiny_dataset, tmp_path):
        mask = nib.load(SubjectFiles(tiny_dataset, "sub-01").anatomical_mask)
        moved = np.roll(np.asarray(mask.dataobj), 1, axis=0)
        nib.Nifti1Image(moved, mask.affine).to_filename(tmp_path / "moved.nii.gz")
        with pytest.raises(DatasetError, match="another brain mask"):
            brain_maps(score, subjects=["sub-01"], mask=tmp_path / "moved.nii.gz")


def test_a_dataset_that_has_moved(score, tiny_dataset, tmp_path):
    for part in ("assemblies", "derivatives"):
        shutil.copytree(tiny_dataset / part, tmp_path / part)
    there, here = (brain_maps(score, subjects=["sub-01"], dataset=d)[0] for d in (tiny_dataset, tmp_path))
    assert here.space.grid.path.is_relative_to(tmp_path)
    np.testing.assert_array_equal(here.image.get_fdata(), there.image.get_fdata())


def test_a_file_is_the_same_each_time(score, tmp_path):
    one = brain_maps(score, subjects=["sub-01"])[0]
    assert one.save(tmp_path / "a.nii.gz").read_bytes() == one.save(tmp_path / "b.nii.gz").read_bytes()


def test_voxels_of_the_simulation_lie_in_its_own_mask(tiny_dataset):
    space = voxel_space(open_dataset(tiny_dataset), "sub-06")
    assert space.t1w is not None
    assert nib.load(space.t1w).shape == space.grid.shape
