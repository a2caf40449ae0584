"""RDM correlation and CKA from kernels against Brain-Score's metrics on features."""

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

from brainscore_vision import load_metric
from brainscore_vision.benchmark_helpers.stimulus_kernels import kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import similarity

SHAPES = {"more features than stimuli": (25, 700), "fewer": (60, 30)}
OFFSETS = {"centred": 0.0, "mean a thousand times the spread": 1e3}


def assembly(values):
    n, p = values.shape
    return NeuroidAssembly(
        values,
        dims=["presentation", "neuroid"],
        coords={
            "stimulus_id": ("presentation", [f"s{i:03d}" for i in range(n)]),
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
        [f"s{i:03d}" for i in range(n)],
    )


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_rdm_correlation_equals_brainscores_metric(representations, offset):
    features, responses, ids = representations
    kernel = kernel_from_features(features + offset, ids)
    model = similarity.rdm_ranks(similarity.pearson_rdm(kernel.feature_covariation(ids)))
    measured = similarity.rdm_ranks(similarity.response_rdm(responses))
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


def test_rdm_is_that_of_corrcoef():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((20, 30))
    np.testing.assert_allclose(similarity.response_rdm(values), 1 - np.corrcoef(values), atol=1e-12)


def test_degenerate_input_is_named():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((6, 10))
    values[2] = 4.0
    with pytest.raises(ModelOutputError, match="1 of 6 stimuli.*row 2"):
        similarity.response_rdm(values)
    with pytest.raises(StimulusKernelError, match="at least 3 stimuli, received 2"):
        similarity.rdm_ranks(np.zeros((2, 2)))
    with pytest.raises(ModelOutputError, match="All dissimilarities"):
        similarity.rdm_ranks(np.ones((5, 5)))
    with pytest.raises(StimulusKernelError, match="at least 4 stimuli, received 3"):
        similarity.unbiased_cka(np.eye(3), np.eye(3))
    with pytest.raises(ModelOutputError, match="undefined"):
        similarity.unbiased_cka(np.ones((6, 6)), np.ones((6, 6)))
