"""Two models on one benchmark: differences that are paired, tests that are calibrated, errors that say what differs."""

import copy

import numpy as np
import pytest
from brainscore_core.metrics import Score
from plugin_testing.models import FeatureModel, random_features
from scipy.stats import binom, kstest, ttest_1samp

from brainscore_vision.benchmark_helpers.stimulus_kernels import Comparison, NoiseCeiling
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    correlation_draws,
    median_draws,
    resampled_counts,
    ridge_draws,
    t_interval,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    SumsOfDraws,
    normalize_correlations,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import (
    ComparisonError,
    paired_draws,
    squares,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, benchmark, compare, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import as_row
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.simulation import Truth
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
RESAMPLED = CELLS[:5]


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
    values = [one.value for one in comparison.subjects.values()]
    test = ttest_1samp(values, 0)
    assert comparison.over_subjects.p_value == pytest.approx(test.pvalue)
    assert comparison.over_subjects.interval == pytest.approx(test.confidence_interval(0.95))
    # what two sources of chance leave is never more certain than what either does
    assert comparison.p_of_both >= max(comparison.over_subjects.p_value, comparison.mean.p_value)


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
    assert same.sign_test_p == same.mean.p_value == same.over_subjects.p_value == same.p_of_both == 1.0
    assert same.n_positive == same.n_negative == 0


def test_one_subject_says_nothing_about_people(scores):
    comparison = compare(scores["good"][CELLS[5]], scores["bad"][CELLS[5]])
    assert comparison.over_subjects is None
    assert comparison.p_of_both is None
    assert "other people" not in str(comparison)


def test_a_result_that_lacks_medians_and_groups_is_compared_by_its_own_draws(scores):
    """Scores of earlier versions have neither."""
    cell, older = CELLS[0], []
    for model in ("good", "bad"):
        score = scores[model][cell].copy()
        score.attrs = dict(score.attrs)
        for subject in DEFAULT_SUBJECTS:
            unit = score.attrs[subject].copy()
            unit.attrs = {k: v for k, v in unit.attrs.items() if k not in ("bootstrap_median", "n_stimulus_groups")}
            score.attrs[subject] = unit
        older.append(score)
    then, now = compare(*older), compare(scores["good"][cell], scores["bad"][cell])
    assert then.mean.value == pytest.approx(now.mean.value)
    assert then.mean.interval[0] < now.mean.value < then.mean.interval[1]
    assert 0 < then.mean.p_value < 0.05


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


def test_other_dataset_under_the_same_path(tiny_dataset, another_dataset):
    """The fingerprint tells two datasets apart that lay at one place."""
    cell, results = "LAION_fMRI.V1-ood-ridge", []
    for root in (tiny_dataset, another_dataset):
        model = FeatureModel(random_features(open_dataset(root).pool_stimuli("shared"), 9), identifier=str(root))
        results.append(score_model(model, benchmark(cell, subjects=("sub-01",), dataset=root)))
        results[-1].attrs["benchmark_identifier"] = cell
    with pytest.raises(ComparisonError, match="same dataset"):
        compare(*results)


def test_metrics_without_draws(scores):
    without = [copy.deepcopy(scores[model]["LAION_fMRI.V1-cka"]) for model in ("good", "bad")]
    assert compare(*without).n_positive + compare(*without).n_negative > 0
    for score in without:
        del score.attrs[score.attrs["raw_subjects"]["subject"].values[0]].attrs["bootstrap"]
    with pytest.raises(ComparisonError, match="needs each subject's draws .* are few or come in too few groups"):
        compare(*without)


def test_something_else_than_a_benchmarks_score(scores):
    with pytest.raises(ComparisonError, match="goes subject by subject"):
        compare(scores["good"][CELLS[0]].attrs["sub-01"], scores["bad"][CELLS[0]].attrs["sub-01"])


def null_differences(strength, groups=None, n=120, family=1, n_experiments=300, seed=1, signs=(1, 1)):
    """Differences by normalisation of two models that could be swapped, or could but for the sign of what they predict."""
    rng = np.random.default_rng(seed)
    reference, repetitions, found = NoiseCeiling(np.full(20, 0.5), 0.25), np.full(n, 4), {}
    mixing = rng.standard_normal((8, 20)) / np.sqrt(8)
    for experiment in range(n_experiments):
        images, *errors = np.repeat(rng.standard_normal((3, n // family, 8)), family, axis=1) @ mixing
        measured = images + rng.standard_normal((n, 20))
        counts = resampled_counts([f"{experiment} {i}" for i in range(n)], 200, groups)
        n_groups = n if groups is None else len(set(groups))
        models = []
        for sign, error in zip(signs, errors, strict=True):
            prediction = sign * (strength * images + error)
            r = pearson_per_neuroid(prediction, measured, "a subject")
            medians = median_draws(prediction, measured, r, counts, groups)
            at_test = ExplainableVariance.of(measured, repetitions, np.full(20, 4.0))
            sums = SumsOfDraws(r, reference, at_test)
            draws = ridge_draws(prediction, measured, repetitions, sums, counts)
            values = normalize_correlations(r, reference, at_test)
            models.append((values, draws, medians))
        plain = {
            name: paired_draws(*(v[name].value for v, _, _ in models), *(d[name] for _, d, _ in models), n_groups)
            for name in models[0][1]
        }
        scale = np.sqrt(models[0][0]["published"].ceiling)
        roots = [values["published"].raw / scale for values, _, _ in models]
        plain["published"] = squares(plain["published"], *roots, *(medians / scale for _, _, medians in models))
        for name, difference in plain.items():
            found.setdefault(name, []).append(difference.summary())
    return found


def null_p_values(*settings, **others):
    """Their p values."""
    found = null_differences(*settings, **others)
    return {name: np.array([one.p_value for one in differences]) for name, differences in found.items()}


@pytest.mark.parametrize("family", [1, 15])
def test_intervals_and_p_values_agree(family):
    """Of 120 images, and of 8 families, where the middle 95 % of draws miss zero in 4, 17 and 13 %."""
    groups = None if family == 1 else [str(i // family) for i in range(120)]
    _, high = binom.interval(0.999, 300, 0.05)
    for name, differences in null_differences(1.0, groups, family=family).items():
        missed = [not one.interval[0] < 0 < one.interval[1] for one in differences]
        assert sum(missed) <= high
        agree = np.equal(missed, [one.p_value < 0.05 for one in differences])
        assert agree.all() if name != "published" else agree.mean() > 0.95


@pytest.mark.parametrize("strength", [1.0, 0.0])
def test_p_values_are_uniform_where_nothing_differs(strength):
    """Models that are equally good, and models that predict nothing: 5 % of p values are below 0.05."""
    low, high = binom.interval(0.999, 300, 0.05)
    for name, p in null_p_values(strength).items():
        assert (p < 0.05).sum() <= high
        if strength > 0 or name == "correlation":  # squares of noise: on the safe side
            assert (p < 0.05).sum() >= low
            assert kstest(p, "uniform").pvalue > 1e-3


def test_equal_squares_of_models_with_opposite_signs_are_no_difference():
    low, high = binom.interval(0.999, 300, 0.05)
    p = null_p_values(1.0, signs=(1, -1))
    assert low <= (p["published"] < 0.05).sum() <= high
    assert kstest(p["published"], "uniform").pvalue > 1e-3
    assert (p["correlation"] < 1e-10).all()  # these differ


def test_families_of_stimuli_count_once():
    """Four copies of each image: drawn one by one, far too many p values are small; drawn in families, 5 % are."""
    low, high = binom.interval(0.999, 300, 0.05)
    groups = [str(i // 4) for i in range(120)]
    grouped, single = null_p_values(1.0, groups, family=4), null_p_values(1.0, family=4)
    for name in grouped:
        assert low <= (grouped[name] < 0.05).sum() <= high
        assert (single[name] < 0.05).sum() > high


def test_p_values_have_no_smallest_value():
    """A table of any length can be corrected for its length."""
    rng = np.random.default_rng(3)
    draws = 1 + 0.1 * rng.standard_normal(1000)
    p_value = paired_draws(1.0, 0.0, draws, np.zeros(1000), 300).summary().p_value
    assert 0 < p_value < 1e-12


def rounded(score):
    """The Score and its draws times 1 + 1e-13, as rounding would leave them."""
    found = score * (1 + 1e-13)
    parts = {
        name: part
        for name, part in score.attrs.items()
        if name != "raw" and (isinstance(part, Score) or name == "bootstrap")
    }
    found.attrs = score.attrs | {name: rounded(part) for name, part in parts.items()}
    return found


@pytest.mark.parametrize("cell", [CELLS[0], CELLS[3], CELLS[6]])
def test_rounding_is_no_difference(scores, cell):
    """Draws round as their score does, and vary less than it: the scores of features in another unit had p < 0.05."""
    good = scores["good"][cell]
    outcome = compare(rounded(good), good)
    assert outcome.mean.p_value == outcome.over_subjects.p_value == outcome.p_of_both == outcome.sign_test_p == 1
    assert all(difference.p_value == 1 for difference in outcome.subjects.values())
    assert outcome.mean.value == outcome.n_positive == outcome.n_negative == 0


def test_t_interval_covers_a_mean_of_five():
    rng = np.random.default_rng(4)
    covered = [low < 0 < high for low, high in map(t_interval, rng.standard_normal((4000, 5)))]
    low, high = binom.interval(0.999, 4000, 0.95)
    assert low <= sum(covered) <= high


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
