"""RDM correlation and CKA from kernels against Brain-Score's metrics on features; influences of stimuli against brute force."""

import itertools
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from scipy.stats import rankdata, spearmanr

from brainscore_vision import load_metric
from brainscore_vision.benchmark_helpers.stimulus_kernels import kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import (
    ModelOutputError,
    ResponsesError,
    StimulusKernelError,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import COLUMN_BLOCK
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import similarity
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    percentile_interval,
    resampled_counts,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.rsa_ceilings import Halves, cka_reliability
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.similarity import (
    Estimate,
    cka_estimate,
    hsic,
    hsic_estimate,
    mean_estimate,
    pair_covariance,
    unbiased_cka,
)
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, score_model
from brainscore_vision.models.laion_fmri_7t import NounModel, StimulusFeatureModel

SHAPES = {"more features than stimuli": (25, 700), "fewer": (60, 30)}
OFFSETS = {"centred": 0.0, "mean a thousand times the spread": 1e3}


def names(n):
    return [f"s{i:03d}" for i in range(n)]


def assembly(values):
    n, p = values.shape
    return NeuroidAssembly(
        values,
        dims=["presentation", "neuroid"],
        coords={
            "stimulus_id": ("presentation", names(n)),
            "object_name": ("presentation", ["x"] * n),
            "neuroid_id": ("neuroid", np.arange(p)),
            "region": ("neuroid", ["V1"] * p),
        },
    )


@pytest.fixture(params=SHAPES, ids=str)
def representations(request):
    rng = np.random.default_rng(1)
    n, p = SHAPES[request.param]
    common = rng.standard_normal((n, 4))
    return (
        common @ rng.standard_normal((4, p)) + rng.standard_normal((n, p)),
        common @ rng.standard_normal((4, 50)) + rng.standard_normal((n, 50)),
        names(n),
    )


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_rdm_correlation_equals_brainscores_metric(representations, offset):
    features, responses, ids = representations
    kernel = kernel_from_features(features + offset, ids)
    model = similarity.unit_ranks(similarity.rdm_ranks(kernel, ids))
    measured = similarity.unit_ranks(similarity.response_ranks(responses))
    expected = load_metric("rdm")(assembly(features + offset), assembly(responses))
    assert model @ measured == pytest.approx(expected.item(), abs=1e-8)
    assert abs(expected.item()) > 0.05  # the comparison says something


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_cka_equals_brainscores_metric(representations, offset):
    features, responses, ids = representations
    kernel = kernel_from_features(features + offset, ids)
    measured = kernel_from_features(responses, ids)
    # the metric itself loses digits on features far from their mean, so it gets the centred ones
    expected = load_metric("cka")(assembly(features), assembly(responses))
    assert similarity.unbiased_cka(kernel.block(ids, ids), measured.gram) == pytest.approx(expected.item(), abs=1e-8)
    assert expected.item() > 0.05


@pytest.mark.parametrize("offset", [0.0, 1e3, "of each feature"], ids=str)
@pytest.mark.parametrize("p", [30, 2 * COLUMN_BLOCK + 5])
def test_dissimilarities_are_those_of_corrcoef(offset, p):
    rng = np.random.default_rng(2)
    values = rng.standard_normal((20, p)) + (1e3 * rng.standard_normal(p) if isinstance(offset, str) else offset)
    found, rounding = similarity.pearson_dissimilarities(kernel_from_features(values, names(20)), names(20))
    expected = 1 - np.corrcoef(values - values.mean(axis=1, keepdims=True))[np.triu_indices(20, k=1)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (rounding > 0).all()
    assert rounding.max() < 1e-11


def test_dissimilarities_follow_the_order_asked_for():
    rng = np.random.default_rng(3)
    features, chosen = rng.standard_normal((9, 40)), [7, 2, 5]
    found, _ = similarity.pearson_dissimilarities(
        kernel_from_features(features, names(9)), [names(9)[i] for i in chosen]
    )
    np.testing.assert_allclose(found, (1 - np.corrcoef(features[chosen]))[np.triu_indices(3, k=1)], atol=1e-13)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("constant", [False, True], ids=["alike", "and one nearly constant"])
def test_rounding_is_bounded(spread, constant):
    """Against 50 digits, for patterns that are more and more alike."""
    rng = np.random.default_rng(4)
    values = rng.standard_normal(60) + spread * rng.standard_normal((12, 60))
    if constant:
        values[3] = 1 + 1e-3 * rng.standard_normal(60)
    with mpmath.workdps(50):
        patterns = [[mpmath.mpf(x) for x in row] for row in values.tolist()]
        patterns = [[x - mpmath.fsum(row) / 60 for x in row] for row in patterns]
        size = [mpmath.sqrt(mpmath.fdot(row, row)) for row in patterns]
        exact = [
            1 - mpmath.fdot(patterns[i], patterns[j]) / size[i] / size[j]
            for i, j in itertools.combinations(range(12), 2)
        ]
        found, rounding = similarity.pearson_dissimilarities(kernel_from_features(values, names(12)), names(12))
        error = np.array([float(abs(mpmath.mpf(x) - y)) for x, y in zip(found.tolist(), exact, strict=True)])
    assert (error <= rounding).all()
    if not constant:  # bounds that say something: 1 minus a correlation would keep four digits of the most alike ones
        assert (rounding < 1e-8 * found).all()


def exact_ranks(values):
    """Ranks of 1 - corr(x_i, x_j) in rational arithmetic: r has the order of r·|r|, which takes no root."""
    rows = [[Fraction(x) for x in row] for row in np.asarray(values, dtype=float).tolist()]
    rows = [[x - sum(row) / len(row) for x in row] for row in rows]
    products = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]
    keys = [
        -products[i][j] * abs(products[i][j]) / (products[i][i] * products[j][j])
        for i, j in itertools.combinations(range(len(rows)), 2)
    ]
    position = {key: i for i, key in enumerate(sorted(set(keys)))}
    return rankdata([position[key] for key in keys])


def one_hot(rng, n):
    return np.eye(12)[rng.integers(0, 12, n)]


def counts(rng, n):
    return rng.integers(0, 4, (n, 6)) + 9 * np.eye(6)[rng.integers(0, 6, n)]


def gains_of_one_pattern(rng, n):
    return 2.0 ** rng.integers(-4, 5, (n, 1)) * rng.choice([-1, 1], (n, 1)) * rng.integers(-9, 10, 30)


def two_features(rng, n):
    return rng.integers(-1000, 1000, (n, 2)) / 64


def some_of_many_labels(rng, n):
    return (rng.random((n, 80)) < 0.08) + np.eye(80)[rng.integers(0, 80, n)]


def images_shown_twice(rng, n):
    return np.repeat(rng.integers(-100, 100, (n // 2, 20)) / 8, 2, axis=0)


@pytest.mark.parametrize(
    "make", [one_hot, counts, gains_of_one_pattern, two_features, some_of_many_labels, images_shown_twice]
)
def test_equal_dissimilarities_are_ties_in_any_units(make):
    rng = np.random.default_rng(5)
    values = make(rng, 44).astype(float)
    other = rankdata(rng.standard_normal(44 * 43 // 2) + rankdata(exact_ranks(values)) / 500)
    expected = spearmanr(exact_ranks(values), other)[0]
    scores = []
    for scale in (1.0, 0.7, 1 / 3, 3.0, 1e-6, 1e6):
        for offset in (0.0, 0.1, -3.0, 1e3):
            for columns in (np.arange(values.shape[1]), rng.permutation(values.shape[1])):
                kernel = kernel_from_features(scale * (values + offset)[:, columns], names(44))
                scores.append(spearmanr(similarity.rdm_ranks(kernel, names(44)), other)[0])
                order = rng.permutation(44)
                kernel = kernel_from_features(scale * values[order] + offset, [names(44)[i] for i in order])
                scores.append(spearmanr(similarity.rdm_ranks(kernel, names(44)), other)[0])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "make", [one_hot, counts, gains_of_one_pattern, two_features, some_of_many_labels, images_shown_twice]
)
def test_only_dissimilarities_that_differ_are_lost_in_rounding(make):
    def lost(features):
        kernel = kernel_from_features(features, names(100))
        return similarity.lost_in_rounding(*similarity.pearson_dissimilarities(kernel, names(100)))

    rng = np.random.default_rng(11)
    values = make(rng, 100).astype(float)
    for same in (values, 0.7 * values + 1e3, rng.standard_normal((100, 300)), rng.standard_normal((100, 300)) + 1e3):
        assert lost(same) == ()
    for largest in (1e5, 1e6, 1e7):
        unequal = rng.integers(0, 256, (100, 27)) * np.r_[largest, np.ones(26)]
        (note,) = lost(unequal)
        assert "rounding makes equal" in note


def test_dissimilarities_of_continuous_features_do_not_tie():
    rng = np.random.default_rng(6)
    for p in (10, 300, 3000):
        values = rng.standard_normal((200, p)).astype(np.float32)
        ranks = similarity.rdm_ranks(kernel_from_features(values, names(200)), names(200))
        np.testing.assert_array_equal(
            ranks, rankdata((1 - np.corrcoef(values.astype(float)))[np.triu_indices(200, k=1)])
        )


def test_ties_are_groups_and_not_chains():
    rng = np.random.default_rng(7)
    groups = np.repeat([0.1, 0.5, 0.5 + 1e-11, 2.0], [3, 4, 5, 2])
    rounded = groups + 1e-15 * rng.uniform(-1, 1, len(groups))
    order = rng.permutation(len(groups))
    np.testing.assert_array_equal(
        similarity.tied_ranks(rounded[order], np.full(len(groups), 1e-15)), rankdata(groups)[order]
    )
    # neighbours everywhere nearer than rounding: a chain over all values, which are not all equal
    chain = np.linspace(0, 1, 10_001)
    ranks = similarity.tied_ranks(chain, np.full(len(chain), 1e-3))
    assert np.abs(ranks - rankdata(chain)).max() <= 20
    assert spearmanr(ranks, chain)[0] > 0.99999


def test_one_value_that_is_not_known_ties_no_others():
    values, rounding = np.array([1.0, 2.0, 2.5, 3.0, 9.0]), np.array([0, 0, 0.6, 0, 0])
    np.testing.assert_array_equal(similarity.tied_ranks(values, rounding), [1, 3, 3, 3, 5])
    rounding[2] = 0.4
    np.testing.assert_array_equal(similarity.tied_ranks(values, rounding), [1, 2, 3, 4, 5])


@pytest.mark.parametrize("value", [4.0, 0.0, 0.1, 1e6])
@pytest.mark.parametrize("size", [1.0, 1e-9, 1e9])
def test_a_constant_pattern_is_named(value, size):
    rng = np.random.default_rng(8)
    values = rng.standard_normal((6, 10)) + 5
    values[2] = value
    with pytest.raises(ModelOutputError, match="1 of 6 stimuli have one that is constant.*the first: s002"):
        similarity.rdm_ranks(kernel_from_features(values * size, names(6)), names(6))


def test_degenerate_input_is_named():
    with pytest.raises(StimulusKernelError, match="at least 3 stimuli, received 2"):
        similarity.response_ranks(np.eye(2))
    with pytest.raises(ResponsesError, match="at least 2 neuroids, received 1"):
        similarity.response_ranks(np.arange(5.0)[:, None])
    with pytest.raises(ModelOutputError, match="All dissimilarities"):
        similarity.unit_ranks(similarity.response_ranks(np.eye(5)))
    with pytest.raises(StimulusKernelError, match="at least 4 stimuli, received 3"):
        similarity.unbiased_cka(np.eye(3), np.eye(3))
    with pytest.raises(ModelOutputError, match="undefined"):
        similarity.unbiased_cka(np.ones((6, 6)), np.ones((6, 6)))


@pytest.mark.parametrize("features", ["nouns", "labels"])
def test_scores_of_labels_are_those_of_exact_arithmetic(features, tiny_dataset):
    cell = "LAION_fMRI.V2-rdm-pearson"
    task, *others = benchmark(cell, dataset=tiny_dataset).resolve().tasks
    rng = np.random.default_rng(9)
    if features == "nouns":
        model = NounModel(dataset=tiny_dataset)
        values = model.features_for(task.test_ids)
    else:
        values = 0.7 * np.eye(9)[rng.integers(0, 9, len(task.test_ids))] + 0.1
        model = StimulusFeatureModel.from_arrays(values, task.test_ids, "labels")
    score = score_model(model, cell, dataset=tiny_dataset)
    expected = exact_ranks(values)
    for one in (task, *others):
        measured = one.load_responses().select(one.test_ids).values.astype(float)
        pairs = np.triu_indices(len(measured), k=1)
        r = spearmanr(expected, -np.corrcoef(measured)[pairs])[0]
        assert score.attrs[one.subject].raw.item() == pytest.approx(r, abs=1e-9)


def kernels(rng, n, noise=1.0):
    latent = rng.standard_normal((n, 4))
    values = [latent @ rng.standard_normal((4, 20)) + noise * rng.standard_normal((n, 20)) for _ in "ab"]
    return [(v - v.mean(axis=0)) @ (v - v.mean(axis=0)).T for v in values]


def test_hsic_without_each_stimulus_is_that_of_the_others():
    a, b = kernels(np.random.default_rng(1), 12)
    found = hsic_estimate(a, b)
    assert found.value == pytest.approx(hsic(a, b) / (12 * 9))
    for i in range(12):
        others = np.ix_(np.arange(12) != i, np.arange(12) != i)
        assert found.value - found.influence[i] / 11 == pytest.approx(hsic(a[others], b[others]) / (11 * 8))
    with pytest.raises(StimulusKernelError, match="at least 5 stimuli, received 4"):
        hsic_estimate(a[:4, :4], b[:4, :4])


def test_cka_is_unbiased_cka_and_its_influences_are_those_of_a_jackknife():
    a, b = kernels(np.random.default_rng(2), 150)
    found = cka_estimate(a, b)
    assert found.value == unbiased_cka(a, b)
    jackknife = []
    for i in range(150):
        others = np.ix_(np.arange(150) != i, np.arange(150) != i)
        jackknife.append(149 * (found.value - unbiased_cka(a[others], b[others])))
    assert np.corrcoef(found.influence, jackknife)[0, 1] > 0.999
    assert found.influence.std() == pytest.approx(np.std(jackknife), rel=0.03)


def test_covariance_over_pairs_does_not_count_the_diagonal():
    rng = np.random.default_rng(3)
    a, b = (x + x.T for x in rng.standard_normal((2, 60, 60)))
    upper = np.triu_indices(60, k=1)
    found = pair_covariance(a + np.diag(rng.standard_normal(60) * 100), b)
    assert found.value == pytest.approx(np.cov(a[upper], b[upper], ddof=0)[0, 1])
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)


def test_powers_and_products_follow_the_chain_rule():
    a, b = Estimate(4.0, np.array([1.0, -1.0])), Estimate(2.0, np.array([0.5, -0.5]))
    ratio = a.to(0.5).times(b.to(-1))
    assert ratio.value == 1.0
    np.testing.assert_allclose(ratio.influence, [1 / 8 - 1 / 4, 1 / 4 - 1 / 8])
    assert mean_estimate([a, b]).value == 3.0
    np.testing.assert_allclose(a.among(np.array([2, 0]), 4).influence, [-2, 0, 2, 0])
    np.testing.assert_allclose(a.draws(np.array([[2.0, 0.0], [1.0, 1.0]])), [5.0, 4.0])


@pytest.mark.parametrize("n", [60, 200])
def test_intervals_of_cka_cover_what_the_signal_would_give(n):
    """A model's CKA over the reliability is, in the population, its CKA with the signal; 300 experiments."""
    rng = np.random.default_rng(4)
    loadings = rng.standard_normal((2, 8, 40))
    weights = np.linspace(0.2, 1.0, 8)[:, None]
    signals = [np.diag(scale) @ own for scale, own in ((weights[:, 0], loadings[0]), (weights[::-1, 0], loadings[1]))]
    a, b = (own @ own.T for own in signals)  # HSIC of linear kernels with independent latents: traces of these
    truth = np.trace(a @ b) / np.sqrt(np.trace(a @ a) * np.trace(b @ b))
    counts = resampled_counts([f"image {i}" for i in range(n)], 400)
    covered, values = 0, []
    for _ in range(300):
        latent = rng.standard_normal((n, 8))
        model, signal = (latent @ own for own in signals)
        first, second = (signal + 4 * rng.standard_normal(signal.shape) for _ in "ab")
        whole, trials = (first + second) / 2, np.full(n, 2)
        reliability = cka_reliability(Halves(np.arange(n), whole, first, second, trials, trials // 2, trials // 2))
        kernel, measured = ((x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T for x in (model, whole))
        ratio = cka_estimate(kernel, measured).times(reliability.to(-1))
        low, high = percentile_interval(ratio.draws(counts))
        covered += low <= truth <= high
        values.append(ratio.value)
    assert np.mean(values) == pytest.approx(truth, abs=0.02)
    assert 0.90 <= covered / 300 <= 0.98
