"""Influences of stimuli: against leaving each out by brute force, and against what they are to be good for."""

import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    percentile_interval,
    resampled_counts,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.influence import (
    Estimate,
    mean_estimate,
    pair_covariance,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.rsa_ceilings import Halves, cka_reliability
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.similarity import (
    cka_estimate,
    hsic,
    hsic_estimate,
    unbiased_cka,
)


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
