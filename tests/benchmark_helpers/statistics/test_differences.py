"""Two models on one benchmark: differences that are paired, tests that are calibrated, errors that say what differs."""

import copy

import numpy as np
import pytest
from plugin_testing.models import FeatureModel, random_features
from scipy.stats import kstest

from brainscore_vision.benchmark_helpers.stimulus_kernels import Comparison
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    correlation_draws,
    resampled_counts,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import (
    ComparisonError,
    p_value_of_draws,
)
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, benchmark, compare, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import as_row
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.simulation import Truth, simulate
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

CELLS = (
    "LAION_fMRI.IT-ood-ridgecv",
    "LAION_fMRI_persubject.V1-tau-ridge",
    "LAION_fMRI.V4-rdm-pearson",
    "LAION_fMRI.V2-random-ridge",
    "LAION_fMRI.V1-cka",
    "LAION_fMRI.IT-ood-ridgecv[subjects=sub-01]",
    "LAION_fMRI.IT-ood-ridgecv[normalization=correlation]",
    "LAION_fMRI.IT-ood-ridgecv[threshold=20]",
)
RESAMPLED = CELLS[:4]


def good_features(root):
    """All voxels' true signal for the shared images; noise for the others, where every model is as bad."""
    ids = open_dataset(root).pool_stimuli("sub-01")
    everything = random_features([i for s in DEFAULT_SUBJECTS for i in open_dataset(root).pool_stimuli(s)], 120)
    signals = [Truth(root).signal(subject) for subject in DEFAULT_SUBJECTS]
    shared = [i for i in ids if i.startswith("shared")]
    values = np.concatenate([signal.select(shared).values for signal in signals], axis=1)
    width = values.shape[1]
    features = {i: np.resize(v, width) for i, v in everything.items()}
    return features | dict(zip(shared, values, strict=True))


@pytest.fixture(scope="module")
def scores(tiny_dataset):
    good = good_features(tiny_dataset)
    bad = random_features(good, 40, seed=3)
    models = {"good": FeatureModel(good, identifier="good"), "bad": FeatureModel(bad, identifier="bad")}
    return {name: dict(score_all(model, CELLS, dataset=tiny_dataset)) for name, model in models.items()}


@pytest.mark.parametrize(
    "cell", [cell for cell in RESAMPLED if "persubject" not in cell]
)  # the model knows shared images
def test_a_model_that_knows_the_signal_is_better(scores, cell):
    comparison = compare(scores["good"][cell], scores["bad"][cell])
    assert isinstance(comparison, Comparison)
    assert comparison.models == ("good", "bad")
    assert tuple(comparison.subjects) == DEFAULT_SUBJECTS
    assert comparison.n_positive == 5
    assert comparison.sign_test_p == pytest.approx(2 * 0.5**5)  # exact: the least that five subjects can give
    difference = scores["good"][cell].item() - scores["bad"][cell].item()
    assert comparison.mean.value == pytest.approx(difference)
    low, high = comparison.mean.interval
    assert 0 < low < high
    assert "sign test over subjects: 5 positive, 0 negative" in str(comparison)


@pytest.mark.parametrize("cell", RESAMPLED)
def test_order_and_itself(scores, cell):
    a, b = scores["good"][cell], scores["bad"][cell]
    there, back = compare(a, b), compare(b, a)
    for subject, difference in there.subjects.items():
        assert difference.value == -back.subjects[subject].value
        np.testing.assert_allclose(difference.interval, [-v for v in back.subjects[subject].interval[::-1]], atol=1e-12)
        assert difference.p_value == back.subjects[subject].p_value
    same = compare(a, a)
    assert same.mean.interval == (0.0, 0.0)
    assert same.sign_test_p == same.mean.p_value == 1.0
    assert same.n_positive == same.n_negative == 0


def test_subjects_carry_draws_and_intervals(scores):
    cell = CELLS[0]
    for subject in DEFAULT_SUBJECTS:
        own = scores["good"][cell].attrs[subject]
        assert own.attrs["bootstrap"].dims == ("draw",)
        assert own.attrs["bootstrap"].sizes["draw"] == 1000
        low, high = own.attrs["interval"]
        assert low < own.item() < high
        digest = scores["bad"][cell].attrs[subject].attrs["bootstrap_stimuli"]
        assert own.attrs["bootstrap_stimuli"] == digest  # the same draws for every model
    record = as_row(cell, scores["good"][cell])
    assert len(record["subjects"]["sub-01"]["interval"]) == 2


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (CELLS[1], "benchmark"),
        (CELLS[5], "benchmark"),
        (CELLS[6], "benchmark"),
        (CELLS[7], "benchmark"),
    ],
    ids=["cell", "subjects", "normalization", "threshold"],
)
def test_other_settings(scores, other, what):
    with pytest.raises(ComparisonError, match=f"compared on the same {what}; received .* Score both models"):
        compare(scores["good"][CELLS[0]], scores["bad"][other])


def test_other_attributes_under_the_same_name(scores):
    a = scores["good"][CELLS[0]]
    for name, value in (("normalization", "correlation"), ("dataset", {"fingerprint": "another"})):
        b = scores["bad"][CELLS[0]].copy()
        b.attrs = {**b.attrs, name: value}
        with pytest.raises(ComparisonError, match=f"same {name}"):
            compare(a, b)
    c = scores["bad"][CELLS[0]].copy()
    c.attrs = {**c.attrs, "raw_subjects": c.attrs["raw_subjects"][:3]}
    with pytest.raises(ComparisonError, match="same subjects"):
        compare(a, c)


def test_other_dataset_under_the_same_path(tmp_path):
    """The fingerprint tells two datasets apart that lay at one place."""
    cell, results = "LAION_fMRI.V1-ood-ridge", []
    for seed in (0, 1):
        root = simulate(tmp_path / str(seed), scale="tiny", seed=seed, progress=False)
        model = FeatureModel(random_features(open_dataset(root).pool_stimuli("shared"), 9), identifier=str(seed))
        results.append(score_model(model, benchmark(cell, subjects=("sub-01",), dataset=root)))
        results[-1].attrs["benchmark_identifier"] = cell
    with pytest.raises(ComparisonError, match="same dataset"):
        compare(*results)


def test_metrics_without_draws(scores):
    without = [copy.deepcopy(scores[model]["LAION_fMRI.V1-cka"]) for model in ("good", "bad")]
    assert compare(*without).n_positive + compare(*without).n_negative > 0
    for score in without:
        del score.attrs[score.attrs["raw_subjects"]["subject"].values[0]].attrs["bootstrap"]
    with pytest.raises(ComparisonError, match="needs each subject's draws"):
        compare(*without)


def test_something_else_than_a_benchmarks_score(scores):
    with pytest.raises(ComparisonError, match="goes subject by subject"):
        compare(scores["good"][CELLS[0]].attrs["sub-01"], scores["bad"][CELLS[0]].attrs["sub-01"])


def test_null_distribution_is_uniform():
    """Two models that are equally good: p values of 600 experiments are uniform, and 5 % are below 0.05."""
    rng = np.random.default_rng(1)
    n, p = 400, []
    for block in range(
        30
    ):  # draws of their own for every 20 experiments: shared ones would make the p values dependent
        measured = rng.standard_normal((n, 20))
        a, b = (0.4 * measured + rng.standard_normal((n, 20)) for _ in "ab")
        counts = resampled_counts([f"image {i} of {block}" for i in range(n)], 500)
        differences = correlation_draws(a, measured, counts) - correlation_draws(b, measured, counts)
        p += [p_value_of_draws(draws) for draws in differences.T]
    p = np.array(p)
    assert kstest(p, "uniform").pvalue > 0.01
    assert 0.03 < (p < 0.05).mean() < 0.07


def test_pairing_takes_out_what_both_models_share():
    """Paired intervals are narrower than those of independent draws, for models that err alike."""
    rng = np.random.default_rng(2)
    n = 300
    measured, common = rng.standard_normal((2, n, 50))
    a, b = (measured + 2 * common + 0.3 * rng.standard_normal((n, 50)) for _ in "ab")
    paired, other = (resampled_counts([f"{name} {i}" for i in range(n)]) for name in "xy")
    of_a = correlation_draws(a, measured, paired)
    together = (of_a - correlation_draws(b, measured, paired)).std(axis=0).mean()
    apart = (of_a - correlation_draws(b, measured, other)).std(axis=0).mean()
    assert together < apart / 2
