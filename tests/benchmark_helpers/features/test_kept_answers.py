"""Models that keep answers on disk under names that say neither region, block nor weights; Brain-Score's CORnet-S is one."""

import functools
import os
import threading

import numpy as np
import pytest
import torch
from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images
from plugin_testing.layer_networks import flat, record
from plugin_testing.models import FeatureModel, pixel_features
from result_caching import store
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.features import recording
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.kept_answers import VARIABLE, without_kept_answers
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import recorder_for


class Area(nn.Module):
    """Recurrent, as CORnet-S's: its output is called once for each of two time steps."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.ahead, self.again = nn.Conv2d(n_in, n_out, 3, 2, 1), nn.Conv2d(n_out, n_out, 3, 1, 1)
        self.output = nn.Identity()

    def forward(self, x):
        first = self.output(torch.relu(self.ahead(x)))
        return self.output(torch.relu(self.again(first) + self.ahead(x)))


class Recurrent(nn.Module):
    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.V1, self.IT = Area(3, 4), Area(4, 6)

    def forward(self, x):
        return self.IT(self.V1(x))


def cornet(seed):
    """In the commitment and wrapper that Brain-Score's plugin of CORnet-S brings."""
    from brainscore_vision.models.cornet_s.helpers import helpers

    wrapper = helpers.TemporalPytorchWrapper(
        identifier="recurrent",
        model=Recurrent(seed).eval(),
        preprocessing=functools.partial(load_preprocess_images, image_size=32),
        separate_time=True,
    )
    times = helpers._build_time_mappings({"V1": (50, 100, 2), "IT": (100, 100, 2)})
    layers = [f"{area}.output-t{t}" for area in ("V1", "IT") for t in range(2)]
    return helpers.CORnetCommitment("recurrent", activations_model=wrapper, layers=layers, time_mapping=times)


@pytest.mark.parametrize("seed", [1, 2])  # one identifier: what was kept of the first would be the answer of the second
def test_brain_scores_cornet_is_recorded_region_by_region_and_block_by_block(seed, stimuli, images, monkeypatch):
    monkeypatch.setattr(recording, "LOOK_AT_BLOCK", 4)
    features, _ = record(recorder_for(cornet(seed), ["V1", "IT"]), stimuli)
    network = Recurrent(seed).eval()
    with torch.no_grad():  # at the first of its times, which is the nearest to the one that is asked for
        v1 = torch.relu(network.V1.ahead(images))
        it = torch.relu(network.IT.ahead(network.V1(images)))
    np.testing.assert_allclose(features["V1"], flat(v1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(features["IT"], flat(it), rtol=0, atol=1e-5)


@pytest.mark.parametrize("before", [None, "0", "some.module", "1"])
def test_the_setting_is_put_back_whoever_ends_first(before, monkeypatch):
    if before is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, before)
    opened, closed = threading.Event(), threading.Event()

    def other():
        with without_kept_answers(cornet(1)):
            opened.set()
            closed.wait(60)

    thread = threading.Thread(target=other)
    with without_kept_answers(cornet(2)):
        thread.start()
        assert opened.wait(60)
    off = os.environ[VARIABLE].split(",")
    assert off == ["1"] or {"brainscore_vision.models.cornet_s.helpers.helpers.", f"{__name__}."} <= set(off)
    assert not any(name.startswith("brainscore_vision.model_helpers") for name in off)  # principal components stay
    assert before in (None, "0") or before in off
    closed.set()
    thread.join()
    assert os.environ.get(VARIABLE) == before


@store(identifier_ignore=["paths"])
def kept_features(name, paths):
    """In a module of the user's, and not in that of the model's class."""
    return [pixel_features(path, 2) for path in paths]


def test_what_a_users_function_keeps_is_not_used_either(stimuli, monkeypatch):
    class Slow(FeatureModel):
        def look_at(self, stimuli, number_of_trials=1):
            assembly = super().look_at(stimuli, number_of_trials)
            assembly.values[:] = kept_features("slow", [stimuli.get_stimulus(i) for i in stimuli["stimulus_id"]])
            return assembly

    Slow.__module__ = "another.module"
    monkeypatch.setattr(recording, "LOOK_AT_BLOCK", 4)
    model = Slow(functools.partial(pixel_features, size=2), identifier="slow")
    features, _ = record(recorder_for(model, ["V1"]), stimuli)
    expected = [pixel_features(stimuli.get_stimulus(i), 2) for i in stimuli["stimulus_id"]]
    np.testing.assert_allclose(features["V1"], expected)
