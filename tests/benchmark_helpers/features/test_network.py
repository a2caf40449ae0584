"""Which network a model is: every weight counts, however it is held."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest, weights_state


def digest(network):
    return network_digest(SimpleNamespace(network=network))


def plain(weight):
    """A layer of a thousand weights; text of such a tensor shows six of each row."""
    layer = nn.Linear(40, 25)
    layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.zeros(25)})
    return nn.Sequential(layer, nn.Linear(25, 2)).requires_grad_(False)


def with_buffer(make):
    def network(weight):
        module = nn.Sequential()
        module.register_buffer("held", make(torch.from_numpy(weight)))
        return module

    return network


def dynamic(weight):
    torch.manual_seed(0)
    return torch.ao.quantization.quantize_dynamic(plain(weight), {nn.Linear})


def per_channel(weight):
    return torch.quantize_per_channel(weight, torch.full((25,), 0.1), torch.zeros(25, dtype=torch.int), 0, torch.qint8)


class WithExtraState(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = torch.from_numpy(weight)

    def get_extra_state(self):
        return {"weight": self.weight, "version": 1}

    def set_extra_state(self, state):
        self.weight = state["weight"]


HOLDERS = {
    "quantised layers": dynamic,
    "quantised": with_buffer(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
    "quantised by channel": with_buffer(per_channel),
    "sparse": with_buffer(lambda w: w.to_sparse()),
    "sparse rows": with_buffer(lambda w: w.to_sparse_csr()),
    "state of its own": WithExtraState,
}


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization", "ignore:.*[Ss]parse.*beta", "ignore:.*TypedStorage")
@pytest.mark.parametrize("holder", HOLDERS)
def test_one_weight_of_a_thousand_makes_another_network(holder):
    weight = np.random.default_rng(6).uniform(-5, 5, (25, 40)).astype(np.float32)
    other = weight.copy()
    other[12, 20] += 1  # in the middle
    assert digest(HOLDERS[holder](weight)) == digest(HOLDERS[holder](weight))
    assert digest(HOLDERS[holder](weight)) != digest(HOLDERS[holder](other))


@pytest.mark.parametrize("part", ["rows", "columns"])
def test_a_unit_that_is_cut_out_behind_torchs_back_is_noticed(part):
    """``.data`` counts no writing; a digest would read all weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(24, 40))
    model = SimpleNamespace(network=network)
    for module in (network[0], network[2]):
        for unit in range(module.weight.shape[0 if part == "rows" else 1]):
            before = weights_state(model)
            assert weights_state(model) == before
            (module.weight.data if part == "rows" else module.weight.data.transpose(0, 1))[unit] = 0
            assert weights_state(model) != before, unit
