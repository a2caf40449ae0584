"""Layers of a network, as made images show them, and which of them are its blocks."""

import pytest
import torch
import torchvision
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from plugin_testing.models import CountingModel, committed
from torch.nn.utils import parametrizations

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, UnmappedRegionError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import recorder_for
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.choosing import blocks, choose
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.listing import list_layers


def listed(network, image_size=32):
    return {layer.name: layer for layer in list_layers(committed(network, {}, image_size=image_size))}


def block_names(network, image_size=32):
    return [layer.name for layer in blocks(list(listed(network, image_size).values()))]


class Odd(torch.nn.Module):
    """Layers that cannot be recorded, one of each kind, and some that can."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.relu = torch.nn.ReLU(inplace=True)
        self.unused = torch.nn.Linear(2, 2)
        self.noise, self.nothing, self.infinite, self.windows = Noise(), Nothing(), Infinite(), Windows()
        self.turned, self.pair = Turned(), Pair()

    def forward(self, images):
        first = self.relu(self.conv(images))
        second = self.relu(first - 0.5)
        self.nothing(second), self.infinite(second), self.windows(second), self.turned(second), self.pair(second)
        return self.noise(second)


class Noise(torch.nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Nothing(torch.nn.Module):
    def forward(self, x):
        return None


class Infinite(torch.nn.Module):
    def forward(self, x):
        return x / 0.0


class Windows(torch.nn.Module):
    def forward(self, x):
        return torch.cat([x, x])


class Turned(torch.nn.Module):
    def forward(self, x):
        return x.flatten(2).permute(2, 0, 1)


class Pair(torch.nn.Module):
    def forward(self, x):
        return x * 2, x * 3


def test_layers_stand_in_the_order_of_execution_with_shapes_and_parameters():
    network = torchvision.models.alexnet(weights=None).eval()
    layers = listed(network, image_size=64)
    leaves = [name for name, layer in layers.items() if next(layer.module.children(), None) is None]
    assert leaves == [
        name for name, module in network.named_modules() if next(module.children(), None) is None
    ]  # AlexNet is one line of modules
    assert layers["features.0"].shape == (64, 15, 15)
    assert layers["features.0"].n_parameters == 64 * 3 * 11 * 11 + 64
    assert layers["classifier"].n_parameters == sum(p.numel() for p in network.classifier.parameters())
    assert layers["features.2"].kind == "MaxPool2d"


def test_equal_answers_are_recorded_once_and_the_others_say_why():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Identity(),
        torch.nn.Flatten(),
        torch.nn.Linear(3600, 5),
    )
    choice = choose(list(listed(network.eval()).values()), "all", "a-network")
    assert [layer.name for layer in choice.layers] == ["0", "1", "5"]
    assert set(choice.skipped) == {"2", "3", "4"}
    assert all("answers as 1 does" in reason for reason in choice.skipped.values())


def test_layers_that_happen_to_agree_on_usual_images_are_told_apart():
    network = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(3, 4), torch.nn.ReLU())
    with torch.no_grad():  # positive for all but the darkest images
        network[2].weight.fill_(0.1)
        network[2].bias.fill_(0.3)
    layers = listed(network.eval())
    assert layers["3"].same_as == ""


def test_what_cannot_be_recorded_is_listed_with_its_reason():
    layers = listed(Odd().eval())
    problems = {name: layer.problem for name, layer in layers.items() if layer.problem}
    assert set(problems) == {"unused", "noise", "nothing", "infinite", "windows"}
    assert "never called" in problems["unused"]
    assert "shown again" in problems["noise"]
    assert "nothing" in problems["nothing"]
    assert "nan or infinity" in problems["infinite"]
    assert "one row per image" in problems["windows"]
    assert layers["turned"].shape == (900, 4)  # the images stand along the second axis
    assert layers["pair"].shape == (4, 30, 30)
    assert ["relu#0" in layers, "relu" in layers, "relu#1" in layers] == [True, True, False]


def test_a_model_without_a_network_has_no_layers():
    with pytest.raises(UnmappedRegionError, match="a CountingModel without one"):
        list_layers(CountingModel())


def test_a_network_that_takes_no_images_is_one_clear_error():
    network = torch.nn.Sequential(torch.nn.Linear(7, 7)).eval()
    with pytest.raises(ModelOutputError, match="was shown 8 of them and failed with"):
        list_layers(committed(network, {}))


def test_blocks_of_residual_networks_are_the_stem_and_the_blocks():
    found = block_names(torchvision.models.resnet50(weights=None).eval())
    stages = [f"layer{i}.{k}" for i, n in enumerate((3, 4, 6, 3), start=1) for k in range(n)]
    assert found == ["maxpool", *stages]


def test_a_block_ends_before_the_pooling_that_leaves_one_place():
    conv, relu = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()
    network = torch.nn.Sequential(
        conv, relu, torch.nn.MaxPool2d(2), torch.nn.Conv2d(4, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
    )
    head = torch.nn.Sequential(network, torch.nn.Flatten(), torch.nn.Linear(6, 5))
    assert block_names(head.eval(), image_size=32) == ["0.2", "0.4", "2"]


def test_blocks_of_a_chain_of_layers_end_where_the_next_weights_begin():
    found = block_names(torchvision.models.alexnet(weights=None).eval(), image_size=224)
    convolutions = ["features.2", "features.5", "features.7", "features.9", "features.12"]
    assert found == [*convolutions, "classifier.2", "classifier.5", "classifier.6"]


class Dense(torch.nn.Module):
    """A block of a head; nothing tells it from a block of a trunk."""

    def __init__(self, n):
        super().__init__()
        self.linear, self.relu = torch.nn.Linear(n, 16), torch.nn.ReLU()

    def forward(self, x):
        return self.relu(self.linear(x))


@pytest.mark.parametrize("in_blocks", [False, True])
def test_what_comes_before_the_blocks_is_cut_as_a_network_without_blocks(in_blocks):
    """A head of blocks makes no single stem of all convolutions."""
    convolutions = [layer for n in (4, 6, 8) for layer in (torch.nn.LazyConv2d(n, 3), torch.nn.ReLU())]
    pool = [torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()]
    head = [torch.nn.Linear(32, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.ReLU()]
    network = torch.nn.Sequential(*convolutions, *pool, *([Dense(32), Dense(16)] if in_blocks else head)).eval()
    network(torch.zeros(1, 3, 32, 32))
    assert block_names(network) == ["1", "3", "6", *(["8", "9"] if in_blocks else ["9", "11"])]


@pytest.mark.parametrize(
    "change", [parametrizations.spectral_norm, parametrizations.weight_norm, parametrizations.orthogonal]
)
def test_how_weights_are_made_changes_no_blocks(change):
    """Torch gives each such module a class of its own, and modules that answer with weights."""
    chain = torchvision.models.alexnet(weights=None).features.eval()
    residual = torchvision.models.resnet18(weights=None).eval()
    for network, size in ((chain, 64), (residual, 32)):
        expected = block_names(network, image_size=size)
        for module in list(network.modules()):
            if isinstance(module, torch.nn.Conv2d):
                change(module)
        assert len(expected) > 4
        assert block_names(network.eval(), image_size=size) == expected


def test_blocks_of_a_transformer_are_its_encoder_layers():
    network = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=4, num_heads=2, hidden_dim=8, mlp_dim=16
    ).eval()
    assert block_names(network) == [f"encoder.layers.encoder_layer_{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("densenet121", ["features.pool0", "features.denseblock1", "features.transition1", "features.denseblock2"]),
        ("mobilenet_v2", [f"features.{i}" for i in range(4)]),
        ("regnet_x_400mf", ["stem", "trunk_output.block1.block1-0", "trunk_output.block2.block2-0"]),
        ("convnext_tiny", ["features.1.0", "features.1.1", "features.1.2", "features.3.0"]),
    ],
)
def test_blocks_begin_as_people_name_them(name, expected):
    network = getattr(torchvision.models, name)(weights=None).eval()
    assert block_names(network, image_size=64)[: len(expected)] == expected


def test_a_stage_that_only_chains_blocks_is_none():
    timm = pytest.importorskip("timm")
    network = timm.create_model("convnext_atto", pretrained=False).eval()
    found = block_names(network)
    assert found == [f"stages.{i}.blocks.{k}" for i, n in enumerate((2, 2, 6, 2)) for k in range(n)]


def test_a_class_that_occurs_once_among_blocks_is_one_of_them():
    timm = pytest.importorskip("timm")
    found = block_names(timm.create_model("efficientnet_b0", pretrained=False).eval())
    assert found[:3] == ["bn1", "blocks.0.0", "blocks.1.0"]


def test_patterns_name_layers_and_one_that_matches_nothing_names_the_nearest():
    layers = list_layers(committed(torchvision.models.resnet18(weights=None).eval(), {}))
    choice = choose(layers, ["layer4.?", "layer1.0"], "resnet18")
    assert [layer.name for layer in choice.layers] == ["layer1.0", "layer4.0", "layer4.1"]
    with pytest.raises(UnmappedRegionError, match=r"'Layer5.\*' matches none.*'layer"):
        choose(layers, ["Layer5.*"], "resnet18")
    odd = list(listed(Odd().eval()).values())
    with pytest.raises(UnmappedRegionError, match="none can be"):
        choose(odd, ["noise"], "odd")
    named = {
        pattern: choose(odd, pattern, "odd").layers for pattern in ("relu", "relu#1", "relu#0", "relu#*", "pair#0")
    }
    assert named["relu"] == named["relu#1"] != named["relu#0"]
    assert named["relu#*"] == named["relu#0"] + named["relu"]
    assert [layer.name for layer in named["pair#0"]] == ["pair"]


class FirstOfTuples(PytorchWrapper):
    """Hooks of its own, as wrappers of many submissions have them."""

    def register_hook(self, layer, layer_name, target_dict):
        def keep(_module, _inputs, output):
            target_dict[layer_name] = (output[0] if isinstance(output, tuple) else output).numpy()

        return layer.register_forward_hook(keep)


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()

    def forward(self, x):
        return self.relu(self.relu(self.conv(x)) - 0.5)


def test_a_wrapper_with_hooks_of_its_own_knows_no_single_calls():
    assert "relu#0" in listed(Twice().eval())
    model = committed(Twice().eval(), {"V1": "relu"}, wrapper=FirstOfTuples)
    layers = {layer.name: layer for layer in list_layers(model)}
    assert "hooks of its own" in layers["relu#0"].problem
    assert [layer.name for layer in choose(list(layers.values()), "all", "a-network").layers] == ["conv", "relu"]
    with pytest.raises(UnmappedRegionError, match="maps V1 to 'relu#0', which it does not have"):
        recorder_for(committed(Twice().eval(), {"V1": "relu#0"}, wrapper=FirstOfTuples), ["V1"])
    # what the wrapper makes of their answers may differ where the answers do not
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Identity()).eval()
    own = [layer.same_as for layer in list_layers(committed(network, {}, wrapper=FirstOfTuples))]
    assert (own, [layer.same_as for layer in listed(network).values()]) == (["", ""], ["", "0"])
