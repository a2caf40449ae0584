"""Small networks whose layers answer what a test wants, and their features as the engine records them."""

import functools
from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import recorder_for
from plugin_testing.models import committed

N_IMAGES = 11
"""Of the fixtures ``images`` and ``stimuli`` in tests/benchmark_helpers/features."""


def record(recorder, stimuli):
    """``{region: features}`` as the sink gets them, and ``{region: notes}``."""
    batches = {label: [] for label in recorder.labels.values()}

    def sink(batch):
        for label, features in batch.items():
            batches[label].append(np.array(features))

    recorder.record(stimuli, list(batches), sink)
    features = {region: np.concatenate(batches[label]) for region, label in recorder.labels.items()}
    return features, {region: recorder.notes.get(label, []) for region, label in recorder.labels.items()}


def features_of(network, layer, stimuli, **options):
    features, notes = record(recorder_for(committed(network, {"V1": layer}, **options), ["V1"]), stimuli)
    return features["V1"], notes["V1"]


def flat(tensor) -> np.ndarray:
    return tensor.detach().numpy().reshape(len(tensor), -1)


class Own(nn.Module):
    """A network of a function and some modules, seeded."""

    def __init__(self, forward, seed=3, **modules):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for name, make in modules.items():
                setattr(self, name, make() if callable(make) and not isinstance(make, nn.Module) else make)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


class Answering(nn.Module):
    """A layer that answers what a function makes of the flat features of a convolution."""

    def __init__(self, answer):
        super().__init__()
        self.conv, self._answer = nn.Conv2d(3, 4, 8, stride=8), answer

    def forward(self, x):
        return self._answer(self.conv(x).flatten(1))


def answering(answer):
    return Own(lambda self, x: self.layer(x), layer=lambda: Answering(answer))


conv = functools.partial(nn.Conv2d, 3, 6, 5, stride=4, padding=2)


def sequence(*modules):
    """Modules that are made by name: ``(("conv", make), ...)``, with the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(OrderedDict((name, make()) for name, make in modules))
