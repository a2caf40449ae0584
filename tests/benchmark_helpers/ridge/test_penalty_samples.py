"""Samples that sort out penalties: estimates against all neuroids and stimuli, and stimuli that only few samples would have."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import DEFAULT_ALPHAS, kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import decomposition as decompositions
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge

ALPHAS = np.array(DEFAULT_ALPHAS)


@pytest.fixture
def few_stimuli(monkeypatch):
    """Samples of 60 stimuli, at most 21 of them certain for their errors."""
    monkeypatch.setattr(fit, "STIMULI", 60)
    monkeypatch.setattr(fit, "LARGEST", 21)


def fitted(features, responses):
    decomposition = ridge.decompose(
        kernel_from_features(features, list(map(str, range(len(features))))).gram, np.arange(len(features))
    )
    return ridge.TrainingResponses(decomposition, responses)


def exact_errors(features, responses):
    """Summed squared leave-one-out errors by penalty, by solving with the hat matrix."""
    centred, values = features - features.mean(axis=0), responses - responses.mean(axis=0)
    n = len(centred)
    errors = []
    for alpha in ALPHAS:
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(centred.shape[1]), centred.T) + 1 / n
        errors.append((((values - hat @ values) / (1 - np.diag(hat))[:, None]) ** 2).sum())
    return np.array(errors)


def test_a_sum_and_its_variance_are_estimated_without_bias():
    rng = np.random.default_rng(1)
    population = rng.gamma(0.5, size=(200, 3))
    n_certain, n_drawn = 10, 50
    sums, variances = [], []
    for _ in range(4000):
        drawn = n_certain + rng.choice(190, n_drawn, replace=False)
        sample = fit.Sample(np.concatenate([np.arange(n_certain), drawn]), n_certain, 200)
        sums.append(sample.counts @ population[sample.rows])
        variances.append(sample.variance_of_sum(population[sample.rows]))
    spread = np.std(sums, axis=0) / np.sqrt(4000)
    assert (np.abs(np.mean(sums, axis=0) - population.sum(axis=0)) < 4 * spread).all()
    np.testing.assert_allclose(np.mean(variances, axis=0), np.var(sums, axis=0), rtol=0.1)


def test_all_stimuli_leave_nothing_to_estimate():
    sample = fit.Sample(np.arange(5), 5, 5)
    np.testing.assert_array_equal(sample.counts, np.ones(5))
    np.testing.assert_array_equal(sample.variance_of_sum(np.arange(10.0).reshape(5, 2)), [0, 0])


def one_stimulus_far_from_the_others(seed):
    """Features and responses; that stimulus has most of the error of small penalties."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((300, 40))
    responses = 4 * features @ rng.standard_normal((40, 400)) / np.sqrt(40) + rng.standard_normal((300, 400))
    features[100] *= 100  # its responses do not follow
    return features, responses


@pytest.mark.parametrize("way", ["eigenvectors", "band", "low rank"])
def test_rough_errors_are_nearly_the_errors(way, monkeypatch):
    monkeypatch.setattr(decompositions, "way_to_decompose", lambda *_: way)
    rng = np.random.default_rng(2)
    features, responses = rng.standard_normal((300, 40 if way == "low rank" else 400)), rng.standard_normal((300, 16))
    features[:, 1:5] = 0  # that hardly a stimulus has: large errors of small penalties
    features[[3, 9, 50], 1:4] = [[0.5, 0.4, 0], [1e-3, 0, 0.3], [0, 1e-2, 1e-3]]
    training = fitted(features, responses)
    decomposition, coordinates = training.decomposition, training.coordinates
    rough = fit._rough_errors(decomposition, coordinates, ALPHAS, rng)
    diagonal = decomposition.weights(ALPHAS)
    exact = [
        ((decomposition.expand(decomposition.solve(coordinates, alpha)) / d[:, None]) ** 2).sum(axis=1)
        for alpha, d in zip(ALPHAS, diagonal.T, strict=True)
    ]
    ratio = rough / np.transpose(exact) * 16**2  # weights are sums over as many vectors
    assert 0.5 < np.median(ratio) < 2
    assert ((ratio > 0.02) & (ratio < 50)).all()
    assert np.max(exact) > 100 * np.median(exact) or way != "low rank"


def test_the_stimuli_with_the_largest_errors_are_in_the_sample(few_stimuli):
    rng = np.random.default_rng(3)
    features, responses = one_stimulus_far_from_the_others(0)
    responses[11] *= 20
    training = fitted(features, responses)
    sample = fit._draw_stimuli(training.decomposition, training.coordinates[:, :128], ALPHAS, rng)
    assert {100, 11} <= set(sample.rows[: sample.n_certain])
    assert len(set(sample.rows)) == len(sample.rows) == 60
    assert sample.n_certain <= 21


def a_feature_of_two_stimuli(seed):
    """The stimulus that has more of it is predicted from the other: badly, with a small penalty, and no other one is."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((300, 41))
    responses = features[:, :40] @ rng.standard_normal((40, 400)) / np.sqrt(40) + 1e-5 * rng.standard_normal((300, 400))
    features[:, 40] = 0
    features[rng.choice(300, 2, replace=False), 40] = 0.5, 10.0 ** rng.uniform(-3, -1)
    return features, responses


@pytest.mark.parametrize("seed", range(8))
def test_a_nearly_dead_feature_may_decide(seed, few_stimuli):
    """Stimuli that are large neither in their features nor in their responses, but in their error."""
    features, responses = a_feature_of_two_stimuli(seed)
    training = fitted(features, responses)
    found = ridge.select_alpha(training, ALPHAS)
    assert found.alpha == RidgeCV(alphas=ALPHAS).fit(features - features.mean(axis=0), responses).alpha_
    assert len(found.evaluated) < 10


@pytest.mark.parametrize("seed", range(6))
def test_one_stimulus_may_decide(seed, few_stimuli):
    features, responses = one_stimulus_far_from_the_others(seed)
    expected = exact_errors(features, responses).argmin()
    training = fitted(features, responses)
    left = fit.promising_penalties(training, ALPHAS)
    assert expected in left
    assert len(left) < 5
    assert ridge.select_alpha(training, ALPHAS).alpha == ALPHAS[expected]


def test_without_that_stimulus_the_choice_would_be_another(few_stimuli, monkeypatch):
    """The test above can fail."""
    features, responses = one_stimulus_far_from_the_others(0)
    training = fitted(features, responses)
    others = fit.Sample(np.arange(60), 0, 300)
    monkeypatch.setattr(fit, "_draw_stimuli", lambda *_: others)
    left = fit.promising_penalties(training, ALPHAS)
    assert exact_errors(features, responses).argmin() not in left


def test_a_penalty_of_few_mixtures_predicts_as_well_as_the_best_one():
    rng = np.random.default_rng(12)
    features = rng.standard_normal((150, 60)) * np.linspace(0.1, 3, 60)
    responses = features @ rng.standard_normal((60, 400)) + 20 * rng.standard_normal((150, 400))
    training = fitted(features, responses)
    alphas = np.logspace(-3, 6, 19)
    best = ridge.select_alpha(training, alphas, 2.0).alpha
    found = ridge.sampled_alpha(training, alphas, 2.0)
    errors = [
        np.square(ridge.leave_one_out_errors(training.decomposition, training.coordinates, a * 2.0)).mean()
        for a in (best, found)
    ]
    assert errors[1] < 1.001 * errors[0]


def test_a_penalty_of_few_neuroids_is_that_of_all_of_them():
    rng = np.random.default_rng(13)
    features = rng.standard_normal((50, 20))
    responses = features @ rng.standard_normal((20, 6)) + 5 * rng.standard_normal((50, 6))
    training = fitted(features, responses)
    assert ridge.sampled_alpha(training, ALPHAS) == RidgeCV(alphas=ALPHAS).fit(features, responses).alpha_
    errors = np.square(ridge.leave_one_out_errors(training.decomposition, training.coordinates, 10.0)).sum()
    np.testing.assert_allclose(errors, exact_errors(features, responses)[np.flatnonzero(ALPHAS == 10.0)[0]])
