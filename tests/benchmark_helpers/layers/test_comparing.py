"""Layers against responses on training stimuli: leave-one-out predictions and CKA, against the textbook."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling, Responses, SubjectTask
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.comparing import (
    LayerCKA,
    LayerRDM,
    LayerRidge,
    values_and_draws,
)


def made_task(values, metric, subject="A"):
    ids = tuple(f"s{i}" for i in range(len(values)))
    responses = Responses(
        subject=subject,
        stimulus_ids=np.array(ids),
        values=values,
        n_repetitions=np.full(len(ids), 4),
        neuroids=pd.DataFrame({"site": np.arange(values.shape[1])}),
        noise_ceiling=NoiseCeiling(np.full(values.shape[1], 0.5), 0.25),
    )
    return SubjectTask(subject, "V1", "layer", None, ids, (), metric, lambda: responses)


def evaluated(metric, features, *values):
    tasks = [made_task(one, metric, f"subject {i}") for i, one in enumerate(values)]
    kernel = kernel_from_features(features, tasks[0].train_ids)
    return [result for _, result in metric.evaluate(kernel, tasks, Compute())]


@pytest.mark.parametrize("n_features", [10, 80])
def test_correlations_are_those_of_leave_one_out_fits_about_their_own_means(n_features):
    rng = np.random.default_rng(5)
    features = rng.standard_normal((40, n_features)) + 3
    values = features @ rng.standard_normal((n_features, 6)) + 5 * rng.standard_normal((40, 6)) + 100
    (result,) = evaluated(LayerRidge(alphas=(20.0,)), features, values)
    predicted = cross_val_predict(Ridge(alpha=20.0), features, values, cv=LeaveOneOut())
    means = (values.sum(axis=0) - values) / 39
    expected = [np.corrcoef((predicted - means)[:, i], values[:, i])[0, 1] for i in range(6)]
    np.testing.assert_allclose(result.correlations, expected, atol=1e-9)


def test_features_that_know_nothing_correlate_with_zero_and_not_with_the_mean_that_was_left_out():
    rng, found, textbook = np.random.default_rng(6), [], []
    for _ in range(20):
        features, values = rng.standard_normal((60, 30)), rng.standard_normal((60, 40))
        (result,) = evaluated(LayerRidge(), features, values)
        found.append(result.correlations.mean())
        model = Ridge(alpha=result.alpha * result.mean_eigenvalue)
        predicted = cross_val_predict(model, features, values, cv=LeaveOneOut())
        textbook.append(np.mean([np.corrcoef(predicted[:, i], values[:, i])[0, 1] for i in range(40)]))
    assert abs(np.mean(found)) < 0.04
    assert np.mean(textbook) < -0.5


def test_layers_in_other_units_have_the_same_scores():
    rng = np.random.default_rng(7)
    features, values = rng.standard_normal((50, 20)), rng.standard_normal((50, 5))
    values += features[:, :5]
    (small,), (large,) = evaluated(LayerRidge(), features, values), evaluated(LayerRidge(), features * 1e4, values)
    np.testing.assert_allclose(small.correlations, large.correlations, atol=1e-8)


@pytest.mark.parametrize("metric", [LayerRidge(), LayerRDM(), LayerCKA()], ids=["ridgecv", "rdm", "cka"])
def test_the_layer_that_responses_are_made_of_scores_above_one_that_knows_nothing_and_above_its_interval(metric):
    rng = np.random.default_rng(10)
    features, other = rng.standard_normal((2, 60, 12))
    values = [features @ rng.standard_normal((12, 15)) + rng.standard_normal((60, 15)) for _ in range(2)]
    right, wrong = (values_and_draws(metric, evaluated(metric, kind, *values)) for kind in (features, other))
    for (value, draws), (null, null_draws) in zip(right, wrong, strict=True):
        low, high = np.quantile(draws, [0.025, 0.975])
        assert low < high
        assert np.quantile(null_draws, 0.975) < low
        assert null < low < value


def test_responses_without_explainable_variance_are_one_clear_error():
    rng = np.random.default_rng(14)
    task = made_task(rng.standard_normal((30, 4)), LayerRidge())
    noisy = replace(task.load_responses(), noise_variance=np.full(4, 9.0))
    kernel = kernel_from_features(rng.standard_normal((30, 5)), task.train_ids)
    with pytest.raises(ResponsesError, match="A has none in V1 over these 30"):
        list(LayerRidge().evaluate(kernel, [replace(task, load_responses=lambda: noisy)], Compute()))
