"""Whether two fingerprints are of one model: rounding is not another model, what changes from pass to pass is."""

import functools

import numpy as np
import pytest
import torch
from plugin_testing.models import committed
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI, Probe


def features(seed, n_features=3000, kind="plain"):
    """Of networks as they are: rectified, with a few large constants, far from zero, hardly varying, one of three scales."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(N_STIMULI, n_features))
    if kind == "rectified":
        values = np.maximum(values - 1, 0)
    elif kind == "massive":
        values[:, ::500] = 1e5
    elif kind == "far":
        values += 50
    elif kind == "dead":
        values[:, ::4] *= 1e-9
    elif kind == "scales":
        values *= 10.0 ** rng.integers(-1, 2, n_features)
    return values


KINDS = ("plain", "rectified", "massive", "far", "dead", "scales")


def rounded(values, dtype):
    return torch.from_numpy(values).to(dtype).double().numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rounding_on_the_way_is_no_other_model(kind, dtype):
    """Errors of a few units in the last place, relative to a feature and to what it was made of."""
    values = features(21, kind=kind)
    if kind == "massive" and dtype == torch.float16:
        values[values == 1e5] = 1e4  # the largest half is 65504
    unit = torch.finfo(dtype).eps
    rng = np.random.default_rng(22)
    other = values * (1 + unit * rng.uniform(-1, 1, values.shape)) + unit * rng.uniform(-0.5, 0.5, values.shape) * (
        values != 0
    )
    one, other = (Probe.of(rounded(v, dtype)) for v in (values, other))
    assert one.agrees(other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("change", ["dropout", "noise", "one stimulus", "other weights of some"])
def test_features_that_change_are_noticed(kind, dtype, change):
    values, other = features(23, kind=kind), features(24, kind=kind)
    rng = np.random.default_rng(25)
    changed = values.copy()
    if change == "dropout":
        changed *= rng.random(values.shape) > 0.1
    elif change == "noise":
        changed += 0.3 * values.std(axis=0) * rng.standard_normal(values.shape)
    elif change == "one stimulus":
        changed[3] = other[3]
    else:
        changed[:, ::7] = other[:, ::7]
    if (kind, dtype) == ("far", torch.bfloat16) and change == "noise":
        pytest.skip("these features have three bits for their spread")
    assert not Probe.of(rounded(values, dtype)).agrees(Probe.of(rounded(changed, dtype)))


def test_one_feature_of_a_thousand_and_features_of_counts():
    values = features(26)
    changed = values.copy()
    changed[:, 0] = features(27)[:, 0]
    assert not Probe.of(values).agrees(Probe.of(changed))
    counts = np.random.default_rng(28).integers(0, 256, (N_STIMULI, 400)).astype(float)
    assert not Probe.of(counts).agrees(Probe.of(counts + np.random.default_rng(29).integers(0, 3, counts.shape)))
    assert Probe.of(counts).agrees(Probe.of(counts))


def test_constant_features():
    same = np.full((N_STIMULI, 5), 3.0)
    assert Probe.of(same).agrees(Probe.of(same))
    assert not Probe.of(same).agrees(Probe.of(same + 1))
    assert not Probe.of(same * 0).agrees(Probe.of(same))


class Restless(nn.Module):
    """Answers beside one large constant what it makes of the image, with dropout that evaluation does not turn off."""

    def __init__(self, share):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.conv, self.out = nn.Conv2d(3, 8, 5, stride=4), nn.Identity()
        self.share = share

    def forward(self, x):
        units = nn.functional.dropout(self.conv(x).flatten(1), self.share, training=True)
        return self.out(torch.cat([torch.full((len(x), 1), 1e5), units], dim=1))


def test_dropout_beside_a_large_constant_is_refused(tmp_path):
    folder = make_images(tmp_path / "images", N_IMAGES)
    model = functools.partial(committed, layer_map={"V1": "out"}, visual_degrees=8)
    assert np.isfinite(make_benchmark(folder)(model(Restless(0), identifier="steady")).item())
    with pytest.raises(ModelOutputError, match="differ between two passes by .* of their spread"):
        make_benchmark(folder)(model(Restless(0.05), identifier="restless"))
