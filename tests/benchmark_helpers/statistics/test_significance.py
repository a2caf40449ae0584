"""Which neuroids are predicted at all: against permutation, against SciPy, and under the null hypothesis."""

import numpy as np
import pytest
from scipy.stats import binom, kstest, pearsonr

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.significance import (
    adjusted,
    count_significant,
    effective_stimuli,
    p_values,
)


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
