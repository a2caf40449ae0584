"""What runs on a GPU, on torch's CPU device and, where there is one, on a GPU: the same numbers, and features stay there."""

import numpy as np
import pytest
import torch
from plugin_testing.models import FeatureModel, small_network
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels import build_kernel
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import compute as computes
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import making
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute, host
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import COLUMN_BLOCK, ArrayFeatures
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import DeviceFeatures, DeviceRoom, FeatureSpool
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu:0", pytest.param("cuda", marks=needs_gpu)]
"""`cpu:0` is the CPU, where torch computes."""


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def scored_on(tmp_path, monkeypatch):
    """Scores a network of the images, its kernels computed on a device; the benchmark, kept for further questions."""
    images = make_images(tmp_path / "images", N_IMAGES)

    def score(device, model=None):
        with monkeypatch.context() as patch:
            patch.setattr(making.Compute, "on", classmethod(lambda cls, *_: cls(device)))
            model = model or small_network({"V1": "conv"})
            model.activations_model._device = torch.device("cpu" if device == "cpu" else device)
            model.activations_model._model.to(model.activations_model._device)
            return make_benchmark(images, store=False)(model)

    return score


def features_of(n=30, width=2 * COLUMN_BLOCK + 5, dtype=np.float32, seed=3):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, width)) * 3 + 40).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8])
def test_the_kernel_is_that_of_the_cpu(device, dtype):
    features, ids = features_of(dtype=dtype), list(map(str, range(30)))
    sources = [ArrayFeatures(features[:11]), ArrayFeatures(features[11:])]
    expected, found = build_kernel(sources, ids), build_kernel(sources, ids, Compute(device))
    scale = np.abs(np.diag(expected.gram)).max()
    np.testing.assert_allclose(found.gram, expected.gram, rtol=0, atol=1e-12 * scale)
    np.testing.assert_array_equal(found.gram, found.gram.T)
    for name in ("row_mean", "row_dot_mean", "mean_spread", "mean_norm", "sketch"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9 * np.sqrt(scale))


def test_features_that_are_not_finite_are_named(device):
    features = features_of()
    features[7, 1500] = np.inf
    with pytest.raises(ModelOutputError, match="1 of 30 stimuli.*'7'"):
        build_kernel([ArrayFeatures(features)], list(map(str, range(30))), Compute(device))


@pytest.mark.parametrize("by_queries", [False, True])
@pytest.mark.parametrize(("n", "p"), [(40, 300), (60, 20)])
def test_the_decomposition_is_that_of_the_cpu(device, n, p, by_queries, monkeypatch):
    """Of many features, and of fewer than stimuli."""
    rng = np.random.default_rng(5)
    features = rng.standard_normal((n + 9, p)) + 5
    kernel, train = features @ features.T, rng.permutation(n + 9)[:n]
    responses, cross = rng.standard_normal((n, 7)), np.setdiff1d(np.arange(n + 9), train)
    predictions, errors = [], []
    monkeypatch.setattr(ridge, "weighs_queries", lambda *_: by_queries)
    for compute in (Compute(exact=True), Compute(device)):
        decomposition = ridge.decompose(kernel, train, compute, p)
        assert decomposition.basis.shape == (n, n - 1)
        training = ridge.TrainingResponses(decomposition, responses)
        alpha = ridge.select_alpha(training, np.logspace(-3, 3, 7)).alpha
        predictions.append(training.predict(kernel[np.ix_(cross, train)], alpha))
        errors.append(ridge.leave_one_out_errors(decomposition, training.coordinates, 0.5))
        back = host(decomposition.expand(training.coordinates))
        np.testing.assert_allclose(back, responses - training.mean, atol=1e-10)
    np.testing.assert_allclose(*predictions, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(*errors, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("value", [1.0, 0.3, 7e9])
def test_features_that_do_not_vary_are_refused(device, value):
    """Whatever rounding leaves of them."""
    for compute in (Compute(), Compute(device)):
        with pytest.raises(ModelOutputError, match="do not vary at all"):
            ridge.decompose(np.full((41, 41), value), np.arange(40), compute)


def test_scores_are_those_of_the_cpu(device, scored_on):
    expected, found = scored_on("cpu"), scored_on(device)
    np.testing.assert_allclose(found.raw, expected.raw, rtol=0, atol=1e-6)
    np.testing.assert_allclose(float(found), float(expected), rtol=0, atol=1e-6)


def test_features_do_not_travel(device, scored_on, monkeypatch):
    """What comes from the device and goes there is far less than the features."""
    travelled = []
    real = computes.host

    def counted(values):
        travelled.append(0 if isinstance(values, np.ndarray) else values.nbytes)
        return real(values)

    for module in (computes, making):
        monkeypatch.setattr(module, "host", counted)
    monkeypatch.setattr(FeatureSpool, "append", lambda *_: pytest.fail("features went to the disk"))
    kept = []
    append = DeviceFeatures.append
    monkeypatch.setattr(DeviceFeatures, "append", lambda self, x: (kept.append(x), append(self, x)))
    scored_on(device)
    assert all(torch.is_tensor(features) and features.device.type == torch.device(device).type for features in kept)
    n_features = 6 * 16 * 16
    assert sum(len(features) for features in kept) == 44
    # eight stimuli are seen twice, for the fingerprint
    assert sum(travelled) < 4 * n_features * 20


def test_features_that_do_not_fit_wait_on_disk(device, scored_on, monkeypatch):
    expected = scored_on(device)
    monkeypatch.setattr(DeviceRoom, "fits", lambda *_: False)
    monkeypatch.setattr(DeviceFeatures, "append", lambda *_: pytest.fail("features stayed on the device"))
    np.testing.assert_allclose(scored_on(device).raw, expected.raw, rtol=0, atol=1e-9)


def test_models_of_other_kinds_are_recorded_as_on_the_cpu(tmp_path, monkeypatch, device):
    """A model that answers for itself."""
    rng = np.random.default_rng(8)
    images = make_images(tmp_path / "images", N_IMAGES)
    features = {f"image {i}": rng.standard_normal(40) for i in range(N_IMAGES)}
    model = FeatureModel(features, visual_degrees=8.0, identifier="m")
    expected = make_benchmark(images, store=False)(model)
    monkeypatch.setattr(making.Compute, "on", classmethod(lambda cls, *_: cls(device)))
    found = make_benchmark(images, store=False)(model)
    np.testing.assert_allclose(found.raw, expected.raw, rtol=0, atol=1e-9)


def test_several_layers_of_a_region_are_joined(device, scored_on):
    layers = {"V1": ["conv", "head"]}
    expected, found = scored_on("cpu", small_network(layers)), scored_on(device, small_network(layers))
    np.testing.assert_allclose(found.raw, expected.raw, rtol=0, atol=1e-6)


def test_room_counts_what_comes_later(monkeypatch):
    monkeypatch.setattr(Compute, "free_bytes", lambda self: 10 * 2**30)
    assert DeviceRoom(Compute("cpu:0"), 1000, 0).fits(7 * 2**30)
    assert not DeviceRoom(Compute("cpu:0"), 1000, 0).fits(9 * 2**30)
    assert not DeviceRoom(Compute("cpu:0"), 1000, 4 * 2**30).fits(5 * 2**30)
    assert not DeviceRoom(Compute("cpu:0"), 20_000, 0).fits(2**30)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_features_keep_their_precision(device, dtype):
    features = features_of(n=10, dtype=dtype)
    kept = DeviceFeatures(10, features.shape[1], "layer", Compute(device))
    kept.append(torch.from_numpy(features[:4]).to(device))
    kept.append(features[4:])
    np.testing.assert_array_equal(host(kept.read_columns(COLUMN_BLOCK, COLUMN_BLOCK + 9)), features[:, 1024:1033])


def test_what_does_not_belong_is_refused(device):
    kept = DeviceFeatures(3, 5, "layer", Compute(device))
    kept.append(np.zeros((2, 5), np.float32))
    with pytest.raises(ModelOutputError, match=r"layer gave 5 .* and 4 "):
        kept.append(np.zeros((1, 4), np.float32))
    with pytest.raises(ModelOutputError, match="more stimuli .4. than it was shown .3."):
        kept.append(np.zeros((2, 5), np.float32))


def test_hooks_on_batches_decide_what_the_features_are(scored_on, device):
    """Brain-Score's PCA is such a hook."""

    def largest(batch):
        return type(batch)((layer, values.reshape(*values.shape[:2], -1).max(-1)) for layer, values in batch.items())

    def pooled(device):
        model = small_network({"V1": "conv"})
        model.activations_model._extractor.register_batch_activations_hook(largest)
        return scored_on(device, model)

    found, expected = pooled(device), pooled("cpu")
    of_two_libraries = 1e-6 if device == "cuda" else 1e-9  # convolutions
    assert found.item() == pytest.approx(expected.item(), abs=of_two_libraries)
    assert expected.item() != pytest.approx(scored_on("cpu").item(), abs=1e-3)
