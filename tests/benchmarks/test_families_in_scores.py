"""Families of test images in scores: what is drawn, and what is said where there are too few."""

import copy

import numpy as np
import pytest
from plugin_testing.models import FeatureModel, random_features

from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import Resampled
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import resampled_counts
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import ComparisonError
from brainscore_vision.benchmarks.laion_fmri_7t import compare
from brainscore_vision.benchmarks.laion_fmri_7t.benchmark import make_tasks
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition, score_all
from brainscore_vision.data.laion_fmri_7t.ids import families
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

OOD, GABOR, TAU = (f"LAION_fMRI.V1-{split}-ridge[subjects=sub-01]" for split in ("ood", "ood_gabor", "tau"))


@pytest.fixture(scope="module")
def scores(tiny_dataset):
    model = FeatureModel(random_features(open_dataset(tiny_dataset).pool_stimuli("shared"), 30), identifier="noise")
    return dict(score_all(model, (OOD, GABOR, TAU), dataset=tiny_dataset))


def test_tasks_know_the_families_of_their_test_images(tiny_dataset):
    (task,) = make_tasks(parse(OOD, dataset=str(tiny_dataset)), open_dataset(tiny_dataset))
    assert task.bootstrap_groups == families(task.test_ids)
    assert len(set(task.bootstrap_groups)) < len(task.test_ids)
    fewer = task.without(task.test_ids[:4])
    assert fewer.bootstrap_groups == families(fewer.test_ids)


def test_families_are_what_is_drawn(scores, tiny_dataset):
    (task,) = make_tasks(parse(OOD, dataset=str(tiny_dataset)), open_dataset(tiny_dataset))
    unit = scores[OOD].attrs["sub-01"]
    assert unit.attrs["n_stimulus_groups"] == len(set(families(task.test_ids))) < unit.attrs["n_test"]
    assert unit.attrs["interval"][0] < unit.attrs["interval"][1]
    single = scores[TAU].attrs["sub-01"]
    assert single.attrs["n_stimulus_groups"] == single.attrs["n_test"]
    counts = resampled_counts(task.test_ids, 10, task.bootstrap_groups)
    for family in set(task.bootstrap_groups):
        members = [i for i, own in enumerate(task.bootstrap_groups) if own == family]
        assert (counts[:, members] == counts[:, members[:1]]).all()


def test_one_family_has_no_interval_and_says_so(scores):
    unit = scores[GABOR].attrs["sub-01"]
    for name in ("interval", "bootstrap", "p_values", "n_significant_voxels"):
        assert name not in unit.attrs
    (note,) = (note for note in scores[GABOR].attrs["notes"] if "come in" in note)
    assert note.startswith("The 3 test images come in 1 group of similar ones: ")
    assert np.isfinite(scores[GABOR].item())  # the value itself does not change
    with pytest.raises(ComparisonError, match="are few or come in too few groups"):
        compare(scores[GABOR], scores[GABOR])


def test_a_partition_draws_the_families_that_a_score_draws(tiny_dataset):
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    a, b = (FeatureModel(random_features(ids, 30, seed), identifier=f"noise {seed}") for seed in (1, 2))
    name = "LAION_fMRI.V1-ood-ridgecv[alphas=relative,normalization=explained_variance,subjects=sub-01]"
    ((_, score),) = score_all(a, [name], dataset=tiny_dataset)
    parts = partition(a, b, name, dataset=tiny_dataset)["sub-01"]
    assert parts.values["a"] == pytest.approx(score.item(), rel=1e-6)
    assert parts.interval("a") == pytest.approx(score.attrs["sub-01"].attrs["interval"], rel=1e-6)
    with pytest.raises(StimulusKernelError, match="the 3 of sub-01 come in 1. Choose a split"):
        partition(a, b, "LAION_fMRI.V1-ood_gabor-ridgecv[subjects=sub-01]", dataset=tiny_dataset)


def test_few_families_are_rough():
    ids = tuple(f"image {i}" for i in range(20))
    few = Resampled.of(ids, tuple(str(i % 5) for i in range(20)), 5)
    assert few.counts.shape == (5, 20)
    assert few.notes == (
        "The 20 test images come in 5 groups of similar ones: intervals, by t over whole groups, are a little too narrow, and "
        "p values too small.",
    )
    many = tuple(f"image {i}" for i in range(60))
    enough = Resampled.of(many, tuple(str(i % 30) for i in range(60)), 5)
    assert enough.notes == Resampled.of(ids, None, 5).notes == ()


@pytest.mark.parametrize(("n", "groups"), [(3, None), (4, None), (12, 3), (12, 4)])
def test_fewer_than_five_groups_have_no_interval_and_no_comparison(n, groups):
    """Draws of three groups would all be alike: an interval of width 0, and p = 0 of any difference."""
    ids = tuple(f"image {i}" for i in range(n))
    found = Resampled.of(ids, groups and tuple(str(i % groups) for i in range(n)), 5)
    assert found.counts is None
    (note,) = found.notes
    said = (
        f"The {n} test images come in {groups} groups of similar ones: " if groups else f"The {n} test images are few: "
    )
    assert note == (
        f"{said}what other images would give cannot be told from fewer than 5, so there is no interval, and no p value of a "
        f"difference between models."
    )


def test_draws_of_three_groups_that_an_earlier_version_kept_are_not_compared(scores):
    one, other = (copy.deepcopy(scores[TAU]) for _ in "ab")
    other.attrs["sub-01"].attrs["n_stimulus_groups"] = one.attrs["sub-01"].attrs["n_stimulus_groups"] = 3
    with pytest.raises(ComparisonError, match="are few or come in too few groups"):
        compare(one, other)


def test_voxels_that_noise_predicts_are_few(scores):
    unit = scores[TAU].attrs["sub-01"]
    p = unit.attrs["p_values"]
    assert p.dims == ("neuroid",)
    assert unit.attrs["n_significant_voxels"] <= max(1, 0.05 * len(p))
