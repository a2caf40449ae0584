"""Ridge on two kernels with a weight for each, against himalaya and scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold

from brainscore_vision.benchmark_helpers.stimulus_kernels import RELATIVE_ALPHAS
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.banded import WEIGHTS, Target, banded_fits

N_TRAIN, N_QUERY = 40, 25
TRAIN, QUERY = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_QUERY)


@pytest.fixture(params=[(0, 0.6, 0.6), (1, 1.5, 0.1), (2, 0.0, 1.0), (3, 0.05, 1.0)])
def data(request):
    """Two feature spaces in units of their own; how much of the responses each says."""
    seed, *strengths = request.param
    rng = np.random.default_rng(seed)
    spaces = [rng.standard_normal((N_TRAIN + N_QUERY, width)) for width in (30, 80)]
    signal = [x @ rng.standard_normal((x.shape[1], 6)) / np.sqrt(x.shape[1]) for x in spaces]
    responses = 1.5 * rng.standard_normal(signal[0].shape) + 3
    responses += sum(strength * part for strength, part in zip(strengths, signal, strict=True))
    return [100 * spaces[0] + 7, spaces[1]], responses


def fitted(spaces, responses, **options):
    grams = tuple((x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T for x in spaces)
    target = Target(lambda: responses[TRAIN], QUERY, RELATIVE_ALPHAS)
    return banded_fits(grams, TRAIN, [target], **options)[0]


def units(spaces):
    return [((x[TRAIN] - x[TRAIN].mean(axis=0)) ** 2).sum() / N_TRAIN for x in spaces]


def test_weight_and_penalty_are_those_of_himalaya(data):
    """Its search over the same weights and penalties, with one choice for all targets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search

    spaces, responses = data
    scaled = [(x - x[TRAIN].mean(axis=0)) / np.sqrt(unit) for x, unit in zip(spaces, units(spaces), strict=True)]
    kernels = np.array([x[TRAIN] @ x[TRAIN].T for x in scaled])
    cross = [x[QUERY] @ x[TRAIN].T for x in scaled]
    weights = np.array([1.0, 0.0, *WEIGHTS])
    with np.errstate(divide="ignore"):  # the logarithm of a weight of 0
        deltas, dual, _, alphas, _ = solve_multiple_kernel_ridge_random_search(
            kernels,
            responses[TRAIN],
            n_iter=np.stack([weights, 1 - weights], axis=1),
            alphas=np.array(RELATIVE_ALPHAS),
            cv=KFold(N_TRAIN),
            local_alpha=False,
            fit_intercept=True,
            return_weights="dual",
            progress_bar=False,
            return_alphas=True,
        )
    found = fitted(spaces, responses)[2]
    assert found.alpha == pytest.approx(alphas[0])
    gammas = np.exp(deltas[:, 0])
    assert found.weight == pytest.approx(gammas[0] / gammas.sum(), abs=1e-12)
    expected = sum(gamma * part for gamma, part in zip(gammas, cross, strict=True)) @ dual
    found, expected = (p - p.mean(axis=0) for p in (found.prediction, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_weight_is_a_scale_of_features_side_by_side(data, weight):
    """All targets together: scikit-learn's choice of penalty, its error and its predictions."""
    spaces, responses = data
    a, b = ((x - x[TRAIN].mean(axis=0)) / np.sqrt(unit) for x, unit in zip(spaces, units(spaces), strict=True))
    both = np.concatenate([np.sqrt(weight) * a, np.sqrt(1 - weight) * b], axis=1)
    expected = RidgeCV(alphas=RELATIVE_ALPHAS, store_cv_results=True).fit(both[TRAIN], responses[TRAIN])
    found = fitted(spaces, responses, weights=[weight])
    best = min(found[:2], key=lambda fit: fit.error)
    errors = expected.cv_results_.mean(axis=(0, 1))
    assert found[2].error == pytest.approx(min(best.error, errors.min()), rel=1e-9)
    if errors.min() < best.error:
        assert (found[2].weight, found[2].alpha) == (weight, expected.alpha_)
        wanted = expected.predict(both[QUERY]) - responses[TRAIN].mean(axis=0)
        predicted = found[2].prediction - found[2].prediction.mean(axis=0)
        np.testing.assert_allclose(predicted, wanted - wanted.mean(axis=0), atol=1e-5 * np.abs(wanted).max())


def test_the_joint_fit_is_never_worse_on_training_stimuli(data):
    a, b, joint = fitted(*data)
    assert (a.weight, b.weight) == (1, 0)
    assert joint.error <= min(a.error, b.error)


def test_a_kernel_that_says_nothing_is_left_out():
    """And so nothing is unique to it, exactly."""
    rng = np.random.default_rng(11)
    strong, noise = rng.standard_normal((400, 5)), rng.standard_normal((400, 200))
    responses = strong @ rng.standard_normal((5, 50)) + rng.standard_normal((400, 50))
    grams, train, query = (strong @ strong.T, noise @ noise.T), np.arange(300), np.arange(300, 400)
    target = Target(lambda: responses[train], query, RELATIVE_ALPHAS)
    ((a, _, joint),) = banded_fits(grams, train, [target])
    assert joint is a


def test_weights_serve_kernels_of_very_different_fit():
    """A few features that say much, and many that say little: one penalty for both explains less."""
    rng = np.random.default_rng(12)
    few, many = rng.standard_normal((700, 5)), rng.standard_normal((700, 600))
    truth = 2 * few @ rng.standard_normal((5, 30)) / np.sqrt(5) + many @ rng.standard_normal((600, 30)) / np.sqrt(600)
    responses = truth + rng.standard_normal(truth.shape)
    grams, train, query = (few @ few.T, many @ many.T), np.arange(400), np.arange(400, 700)
    target = Target(lambda: responses[train], query, RELATIVE_ALPHAS)
    equal, searched = (banded_fits(grams, train, [target], weights=weights)[0][2] for weights in ([0.5], WEIGHTS))
    assert searched.weight > 0.9
    assert searched.error < equal.error

    def explained(fit):
        return np.mean([np.corrcoef(fit.prediction[:, j], truth[query, j])[0, 1] ** 2 for j in range(30)])

    assert explained(searched) > explained(equal) + 0.002
