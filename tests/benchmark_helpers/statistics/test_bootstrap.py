"""Resampled test stimuli, and p values of neuroids: against brute force, against SciPy, and against what theory says."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import binom, kstest, pearsonr, rankdata, spearmanr, t

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import bootstrap, similarity
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    adjusted,
    correlation_and_variance_draws,
    correlation_draws,
    count_significant,
    effective_stimuli,
    interval_of,
    p_values,
    percentile_interval,
    rank_classes,
    rdm_draws,
    resampled_counts,
    ridge_draws,
    stimuli_digest,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    SumsOfDraws,
    normalize_correlations,
)


def names(n):
    return [f"image {i}" for i in range(n)]


def dissimilarities(values):
    return 1 - np.corrcoef(values)


def classes_of(values):
    return rank_classes(similarity.response_ranks(values))


def related(rng, rho, shape):
    """Two arrays whose columns have population correlation ``rho``."""
    a = rng.standard_normal(shape)
    return a, rho * a + np.sqrt(1 - rho**2) * rng.standard_normal(shape)


def test_counts_are_draws_with_replacement_that_the_stimuli_seed():
    counts = resampled_counts(names(50), 400)
    assert counts.shape == (400, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean() == pytest.approx(1)
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.1)
    np.testing.assert_array_equal(counts, resampled_counts(names(50), 400))
    assert not np.array_equal(counts, resampled_counts([*names(49), "another"], 400))
    assert stimuli_digest(names(5), 10) != stimuli_digest(names(5), 11)


def test_groups_are_drawn_as_wholes():
    groups = ["a"] * 4 + ["b"] + ["c"] * 2 + [str(i) for i in range(20)]
    counts = resampled_counts(names(27), 300, groups)
    for members in ([0, 1, 2, 3], [5, 6]):
        assert (counts[:, members] == counts[:, members[:1]]).all()
    one_each = counts[:, [0, 4, 5, *range(7, 27)]]
    assert (one_each.sum(axis=1) == 23).all()  # as many groups as there are
    assert one_each.var() == pytest.approx(1 - 1 / 23, rel=0.1)
    assert stimuli_digest(names(27), 300, groups) != stimuli_digest(names(27), 300)


def test_stimuli_in_groups_of_their_own_are_drawn_as_without_groups():
    labels = [f"group {i}" for i in range(50)]
    np.testing.assert_array_equal(resampled_counts(names(50), 40, labels), resampled_counts(names(50), 40))
    assert stimuli_digest(names(50), 40, labels) == stimuli_digest(names(50), 40)


def test_names_of_groups_do_not_matter():
    one, other = (resampled_counts(names(9), 40, list(labels)) for labels in ("aabbccdde", "xxkkzzffm"))
    np.testing.assert_array_equal(one, other)


def test_groups_that_cannot_be_resampled():
    with pytest.raises(StimulusKernelError, match="at least 5 groups of test stimuli, received 4 with 9"):
        resampled_counts(names(9), 10, list("aaaabbbcd"))
    with pytest.raises(StimulusKernelError, match="Each test stimulus has a group; received 3 labels for 9"):
        resampled_counts(names(9), 10, list("abc"))


def test_influences_are_derivatives_of_the_correlation():
    rng = np.random.default_rng(8)
    prediction, measured = related(rng, 0.4, (50, 4))
    r = correlation_draws(prediction, measured, np.ones((1, 50)))[0]
    step = 1e-5
    weights = np.ones((50, 50)) + step * 50 * np.eye(50)  # each stimulus a little heavier
    moved = (correlation_draws(prediction, measured, weights) - r) / step
    np.testing.assert_allclose(bootstrap.influences(prediction, measured, r), moved, atol=5e-3)


@pytest.mark.parametrize(("rho", "neuroids"), [(0.4, 20), (0.0, 20), (0.0, 1)])
def test_draws_of_a_median_vary_as_medians_of_other_stimuli_do(rho, neuroids):
    """Draws of the usual kind vary more: they double the error by which neuroids differ."""
    rng = np.random.default_rng(9)
    counts = resampled_counts(names(100), 200)
    values, spreads, usual = [], [], []
    for _ in range(150):
        prediction, measured = related(rng, rho, (100, neuroids))
        r = correlation_draws(prediction, measured, np.ones((1, 100)))[0]
        values.append(np.median(r))
        spreads.append(bootstrap.median_draws(prediction, measured, r, counts).var())
        usual.append(np.median(correlation_draws(prediction, measured, counts), axis=1).var())
    assert 0.75 < np.mean(spreads) / np.var(values) < 1.3
    if neuroids > 1:
        assert np.mean(usual) > 1.03 * np.mean(spreads)


def test_median_draws_of_families():
    """Copies of a stimulus are as good as one."""
    rng = np.random.default_rng(10)
    prediction, measured = related(rng, 0.3, (60, 15))
    four = [np.repeat(values, 4, axis=0) for values in (prediction, measured)]
    r, groups = correlation_draws(prediction, measured, np.ones((1, 60)))[0], [str(i // 4) for i in range(240)]
    counts = resampled_counts(names(60), 50)
    once = bootstrap.median_draws(prediction, measured, r, counts)
    grouped = bootstrap.median_draws(*four, r, np.repeat(counts, 4, axis=1), groups)
    np.testing.assert_allclose(grouped, once, atol=1e-6)


def test_draws_of_few_stimuli_are_not_degenerate():
    assert ((resampled_counts(names(5), 300) > 0).sum(axis=1) >= 3).all()
    with pytest.raises(StimulusKernelError, match="at least 5 test stimuli, received 4"):
        resampled_counts(names(4))


def test_correlations_are_those_of_the_resampled_rows():
    rng = np.random.default_rng(1)
    prediction, measured = related(rng, 0.4, (30, 6))
    prediction += 100  # a large mean must not cost digits
    counts = resampled_counts(names(30), 20)
    found = correlation_draws(prediction, measured.astype(np.float32), counts)
    for draw, row in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(30), draw.astype(int))
        expected = [np.corrcoef(prediction[rows, i], measured[rows, i])[0, 1] for i in range(6)]
        np.testing.assert_allclose(row, expected, atol=1e-6)


def draws_of(prediction, measured, repetitions, reference, noise_variance, counts):
    at_test = ExplainableVariance.of(measured, repetitions, noise_variance)
    r = correlation_draws(prediction, measured, np.ones((1, len(measured))))[0]
    sums = SumsOfDraws(r, reference, at_test)
    return ridge_draws(prediction, measured, repetitions, sums, counts), normalize_correlations(r, reference, at_test)


def test_normalised_draws_follow_the_sums_of_each_draw():
    """By brute force: resampled rows, their variance and m; a ratio of sums to first order about the value."""
    rng = np.random.default_rng(2)
    prediction, measured = related(rng, 0.4, (30, 9))
    repetitions = rng.choice([3, 4, 12], size=30)
    reference, noise = NoiseCeiling(rng.uniform(0.3, 0.9, 9), 1 / 12), np.full(9, 1.5)
    counts = resampled_counts(names(30), 25)
    found, value = draws_of(prediction, measured, repetitions, reference, noise, counts)
    sums = []
    for draw in counts:
        rows = np.repeat(np.arange(30), draw.astype(int))
        r = np.array([np.corrcoef(prediction[rows, j], measured[rows, j])[0, 1] for j in range(9)])
        v = measured[rows].var(axis=0, ddof=1) * 30 / 29  # as in the mean over draws
        weights = np.sqrt(noise * reference.fraction / (1 - reference.fraction) / 12)
        explained = (np.sign(r) * v * (r**2 - (1 - r**2) / 28)).sum()
        sums.append((explained, (weights * r) @ np.sqrt(v), v.sum() - (1 / repetitions[rows]).mean() * noise.sum(), r))
    explained, covariance, explainable, r = (np.array(part) for part in zip(*sums, strict=True))
    total = measured.var(axis=0, ddof=1).sum() - (1 / repetitions).mean() * noise.sum()
    np.testing.assert_allclose(found["published"], np.median(r, axis=1) ** 2 / value["published"].ceiling)
    change = (
        explained - explained.mean() - value["explained_variance"].value * (explainable - explainable.mean())
    ) / total
    np.testing.assert_allclose(found["explained_variance"], value["explained_variance"].value + change)
    divisor = np.sqrt((weights**2).sum() * total)
    relative = (covariance - covariance.mean()) / divisor
    relative -= value["correlation"].value * (explainable - explainable.mean()) / (2 * total)
    np.testing.assert_allclose(found["correlation"], value["correlation"].value + relative)


def test_draws_vary_as_the_stimuli_do():
    """A draw repeats stimuli; its variance is put right, so that the mean over draws is that of the stimuli."""
    rng = np.random.default_rng(12)
    prediction, measured = related(rng, 0.4, (10, 3))
    _, variances = correlation_and_variance_draws(prediction, 50 + measured, resampled_counts(names(10), 20_000))
    np.testing.assert_allclose(variances.mean(axis=0), measured.var(axis=0, ddof=1), rtol=0.01)


def test_blocks_change_memory_and_not_the_result(monkeypatch):
    rng = np.random.default_rng(3)
    prediction, measured = related(rng, 0.3, (60, 500))
    reference = NoiseCeiling(np.full(500, 0.5), 0.25)
    arguments = prediction, measured, np.full(60, 4), reference, np.full(500, 2.0), resampled_counts(names(60))
    whole, _ = draws_of(*arguments)
    monkeypatch.setattr(bootstrap, "BLOCK_BYTES", 2**18)
    tracemalloc.start()
    blocked, _ = draws_of(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole.keys() == {"published", "explained_variance", "correlation"}
    for name in whole:
        np.testing.assert_allclose(blocked[name], whole[name], rtol=1e-10)
    assert peak < 8 * 2**18  # all correlations of all draws would be 4 MB


def test_a_neuroid_without_variance_in_a_draw_predicts_nothing():
    prediction, measured = np.r_[np.zeros(9), 1.0][:, None], np.arange(10.0)[:, None]
    counts = np.r_[np.ones(9), 0.0][None, :]
    assert correlation_draws(prediction, measured, counts).item() == 0.0


def test_rdm_draws_against_brute_force():
    rng = np.random.default_rng(14)
    latent = rng.standard_normal((40, 5))
    values = [latent @ rng.standard_normal((5, 30)) + rng.standard_normal((40, 30)) for _ in "ab"]
    a, b = map(dissimilarities, values)
    counts = resampled_counts(names(40), 10)
    found = rdm_draws(*map(classes_of, values), counts)
    upper = np.triu_indices(40, k=1)
    for draw, value in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(40), draw.astype(int))
        i, j = (rows[index] for index in upper)
        apart = i != j  # copies of one stimulus form no pair
        assert value == pytest.approx(spearmanr(a[i[apart], j[apart]], b[i[apart], j[apart]])[0], abs=2e-3)


def test_each_stimulus_once_is_the_score_itself():
    rng = np.random.default_rng(5)
    latent = rng.standard_normal((60, 5))
    ranks = [
        similarity.response_ranks(latent @ rng.standard_normal((5, 30)) + rng.standard_normal((60, 30))) for _ in "ab"
    ]
    exact = spearmanr(*ranks)[0]
    assert rdm_draws(*map(rank_classes, ranks), np.ones((1, 60))).item() == pytest.approx(exact, abs=5e-4)


def test_ties_stay_ties():
    ranks = rankdata([1, 1, 2, 2, 2, 3])
    np.testing.assert_array_equal(rankdata(rank_classes(ranks)), ranks)


def test_draws_do_not_depend_on_the_units_of_features():
    """Labels give few different dissimilarities, which rounding makes unequal in other units."""
    rng = np.random.default_rng(10)
    labels, measured = np.eye(7)[rng.integers(0, 7, 50)], classes_of(rng.standard_normal((50, 20)))
    counts = resampled_counts(names(50), 40)
    found = [
        rdm_draws(classes_of(scale * (labels + offset)), measured, counts)
        for scale in (1, 0.7, 1e-6)
        for offset in (0, 0.1)
    ]
    np.testing.assert_allclose(found, np.broadcast_to(found[0], (6, 40)), atol=1e-9)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8])
def test_intervals_cover_the_true_correlation(rho):
    """95 % intervals cover the population value in 93 to 97 % of 1,500 experiments (one voxel each)."""
    rng = np.random.default_rng(6)
    n = 300
    prediction, measured = related(rng, rho, (n, 1500))
    draws = correlation_draws(prediction, measured, resampled_counts(names(n)))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    assert 0.93 <= ((low <= rho) & (rho <= high)).mean() <= 0.97


@pytest.mark.parametrize("n", [40, 250])
def test_intervals_of_a_subjects_number_cover_it(n):
    """The same through the normalisations: 30 voxels of different reliability that share noise, 500 experiments."""
    rng = np.random.default_rng(7)
    voxels, shared = 30, 0.8
    rho, fraction = rng.uniform(0.2, 0.6, voxels), rng.uniform(0.5, 0.9, voxels)
    reference, noise, repetitions = NoiseCeiling(fraction, 1 / 4), 4 * (1 - fraction), np.full(n, 4)
    many = ExplainableVariance(np.ones(voxels), noise, 1 / 4, 10**9)
    truth = {name: part.value for name, part in normalize_correlations(rho, reference, many).items()}
    counts = resampled_counts(names(n), 400)
    covered = dict.fromkeys(truth, 0)
    for _ in range(500):
        common, own = rng.standard_normal((2, n, 1)), rng.standard_normal((2, n, voxels))
        prediction, error = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        measured = rho * prediction + np.sqrt(1 - rho**2) * error
        draws, _ = draws_of(prediction, measured, repetitions, reference, noise, counts)
        for name, values in draws.items():
            low, high = percentile_interval(values)
            covered[name] += low <= truth[name] <= high
    shares = {name: times / 500 for name, times in covered.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()) or n < 100, shares
    assert all(share >= 0.90 for share in shares.values()), shares


def test_error_falls_with_the_square_root_of_the_number_of_stimuli():
    """And has the size that theory gives: (1 - ρ²) / √n."""
    rng = np.random.default_rng(8)
    rho, sizes = 0.4, np.array([50, 100, 200, 400, 800])
    errors = []
    for n in sizes:
        prediction, measured = related(rng, rho, (n, 200))
        errors.append(correlation_draws(prediction, measured, resampled_counts(names(n), 400)).std(axis=0).mean())
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.04)
    np.testing.assert_allclose(errors, (1 - rho**2) / np.sqrt(sizes), rtol=0.1)


@pytest.mark.slow
def test_rdm_intervals_are_not_too_narrow():
    """Resampled pairs share stimuli: with few stimuli the intervals are a little wide, never narrow."""
    rng = np.random.default_rng(9)
    loadings = rng.standard_normal((2, 6, 20))

    def ranks(n):
        latent = rng.standard_normal((n, 6))
        return [similarity.response_ranks(latent @ own + 3 * rng.standard_normal((n, 20))) for own in loadings]

    def correlation(a, b):
        return similarity.unit_ranks(a) @ similarity.unit_ranks(b)

    truth = np.mean([correlation(*ranks(1000)) for _ in range(6)])
    counts = resampled_counts(names(60), 300)
    values, spreads, covered = [], [], 0
    for _ in range(500):
        a, b = ranks(60)
        draws = rdm_draws(rank_classes(a), rank_classes(b), counts)
        low, high = percentile_interval(draws)
        covered += low <= truth <= high
        values.append(correlation(a, b))
        spreads.append(draws.std())
    assert covered / 500 >= 0.93
    assert 0.95 < np.mean(spreads) / np.std(values) < 1.35


@pytest.mark.parametrize("n_stimuli", [9, 371])
def test_interval_of_independent_stimuli_is_the_middle_of_the_draws(n_stimuli):
    assert interval_of(600.0, np.arange(1001.0), n_stimuli, n_stimuli) == pytest.approx((25.0, 975.0))
    assert interval_of(600.0, np.arange(1001.0), 371, 269) == pytest.approx((25.0, 975.0))


def test_interval_over_few_families_is_by_t():
    """For a mean of seven values it is Student's interval of these; each value is that of a family of three."""
    rng = np.random.default_rng(12)
    values = rng.standard_normal(7)
    families = np.repeat([str(i) for i in range(7)], 3)
    counts = resampled_counts(names(21), 100_000, families)
    draws = counts @ np.repeat(values, 3) / 21
    expected = t.interval(0.95, 6, values.mean(), values.std(ddof=1) / np.sqrt(7))
    assert interval_of(values.mean(), draws, 21, 7) == pytest.approx(expected, abs=0.02)


def test_few_families_hold_the_truth():
    """Explained variance over seven families of six that share 80 % of theirs; the middle 95 % of draws hold it less often."""
    rng, held, voxels = np.random.default_rng(13), [], 20
    families = np.repeat([str(i) for i in range(7)], 6)
    counts, repetitions = resampled_counts(names(42), 200, families), np.full(42, 4)
    reference, noise = NoiseCeiling(np.full(voxels, 0.5), 1 / 4), np.full(voxels, 2.0)
    mixing = rng.standard_normal((8, voxels)) / np.sqrt(8)
    mixing /= np.linalg.norm(mixing, axis=0)
    for _ in range(300):
        common, own = rng.standard_normal((2, 7, 8)), rng.standard_normal((2, 42, 8))
        signal, error = (np.sqrt(0.8) * np.repeat(common, 6, axis=1) + np.sqrt(0.2) * own) @ mixing
        measured = np.sqrt(0.5) * (signal + rng.standard_normal((42, voxels)))
        draws, values = draws_of(signal + error, measured, repetitions, reference, noise, counts)
        name = "explained_variance"
        limits = interval_of(values[name].value, draws[name], 42, 7), percentile_interval(draws[name])
        held.append([low <= 0.5 <= high for low, high in limits])
    by_t, middle = np.mean(held, axis=0)
    assert by_t >= 0.87
    assert middle <= by_t - 0.08


def correlations(prediction, measured):
    p, y = (values - values.mean(axis=0) for values in (prediction, measured))
    return (p * y).sum(axis=0) / np.sqrt((p * p).sum(axis=0) * (y * y).sum(axis=0))


def test_p_values_of_independent_stimuli_are_pearsons():
    rng = np.random.default_rng(1)
    prediction = rng.standard_normal((60, 8))
    measured = 0.3 * prediction + rng.standard_normal((60, 8))
    found = p_values(prediction, measured, correlations(prediction, measured))
    expected = [pearsonr(p, y, alternative="greater").pvalue for p, y in zip(prediction.T, measured.T, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_p_values_are_those_of_permuted_stimuli_for_skewed_responses():
    rng = np.random.default_rng(2)
    prediction = rng.gamma(4, size=(200, 6))
    measured = 0.1 * prediction + rng.gamma(4, size=(200, 6))
    r = correlations(prediction, measured)
    x, y = ((values - values.mean(axis=0)) / values.std(axis=0) for values in (prediction, measured))
    permuted = np.array([(x[rng.permutation(200)] * y).mean(axis=0) for _ in range(10_000)])
    by_permutation = ((permuted >= r).sum(axis=0) + 1) / 10_001
    assert by_permutation.min() < 0.01 < 0.1 < by_permutation.max()
    np.testing.assert_allclose(p_values(prediction, measured, r), by_permutation, rtol=0.1, atol=1e-3)


def test_a_perfect_prediction_has_p_zero():
    values = np.random.default_rng(3).standard_normal((20, 1))
    assert p_values(values, 2 * values, np.array([1.0])) == 0


def in_families(rng, n, family, neuroids):
    return np.repeat(rng.standard_normal((n // family, neuroids)), family, axis=0)


def test_copies_of_a_stimulus_count_once():
    rng = np.random.default_rng(4)
    prediction, measured = in_families(rng, 120, 4, 300), in_families(rng, 120, 4, 300)
    groups, r = [str(i // 4) for i in range(120)], correlations(prediction, measured)
    assert effective_stimuli(prediction, measured, groups) == pytest.approx(30, rel=1e-6)
    assert (effective_stimuli(prediction, measured, None) == 120).all()
    low, high = binom.interval(0.999, 300, 0.05)
    p = p_values(prediction, measured, r, groups)
    assert low <= (p < 0.05).sum() <= high
    assert kstest(p, "uniform").pvalue > 1e-3
    assert (p_values(prediction, measured, r) < 0.05).sum() > 2 * high


def test_families_of_unlike_stimuli_cost_nothing():
    rng = np.random.default_rng(5)
    prediction, measured = rng.standard_normal((2, 120, 300))
    groups = [str(i // 4) for i in range(120)]
    assert effective_stimuli(prediction, measured, groups).mean() > 118


def test_families_count_for_more_in_neuroids_with_more_signal():
    """One effective number for all gives 8.7 % of p values below 0.05 in neuroids without noise, 1.1 % in the others."""
    rng, share = np.random.default_rng(8), np.sqrt(np.repeat([0.1, 1.0], 300))
    groups = [str(i // 4) for i in range(160)]
    found = []
    for _ in range(10):
        prediction, signal = in_families(rng, 160, 4, 600), in_families(rng, 160, 4, 600)
        measured = share * signal + np.sqrt(1 - share**2) * rng.standard_normal((160, 600))
        p = p_values(prediction, measured, correlations(prediction, measured), groups)
        found.append([(p[:300] < 0.05).sum(), (p[300:] < 0.05).sum()])
    low, high = binom.interval(0.999, 3000, 0.05)
    noisy, clean = np.sum(found, axis=0)
    assert low <= noisy <= high
    assert low <= clean <= high


def test_two_families_say_nothing():
    rng = np.random.default_rng(6)
    prediction, measured = rng.standard_normal((2, 12, 3))
    assert p_values(prediction, measured, correlations(prediction, measured), ["a"] * 6 + ["b"] * 6) is None


def test_count_of_significant_neuroids_bounds_false_discoveries():
    rng = np.random.default_rng(7)
    noise = rng.uniform(size=900)
    assert count_significant(noise) <= 1
    assert 100 <= count_significant(np.concatenate([noise, np.full(100, 1e-6)])) < 115


def test_corrections_by_hand():
    p = [0.04, 0.01, 0.03, 0.9]
    assert adjusted(p, "none").tolist() == p
    assert adjusted(p, "holm") == pytest.approx(
        [0.09, 0.04, 0.09, 0.9]
    )  # 4 × 0.01, 3 × 0.03, the larger of 2 × 0.04 and it
    assert adjusted(p, "fdr") == pytest.approx([0.04 * 4 / 3, 0.04, 0.04 * 4 / 3, 0.9])
    assert adjusted([0.7, 0.8], "holm").tolist() == [1.0, 1.0]
    assert len(adjusted([], "holm")) == 0
    with pytest.raises(StimulusKernelError, match="one of fdr, holm, none; received 'bonferroni'"):
        adjusted(p, "bonferroni")
