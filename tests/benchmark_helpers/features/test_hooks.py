"""What layers of PyTorch networks answer: their own features, whatever they return and whatever happens to it later."""

import functools
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
import torchvision
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.model_helpers.activations.pytorch import (
    PytorchWrapper,
    disable_activation_caching,
    load_preprocess_images,
)
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment, RegionLayerMap
from brainscore_vision.model_interface import BrainModel
from plugin_testing.layer_networks import N_IMAGES, Answering, Own, answering, conv, features_of, flat, record, sequence
from plugin_testing.models import committed, small_network
from plugin_testing.small_benchmark import make_benchmark, make_images
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, UnmappedRegionError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import hooks, recording
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.hooks import LayerReader, layer_names
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import (
    CommitmentRecorder,
    RegionRecorder,
    committed_layers,
    recorder_for,
)
from brainscore_vision.models.laion_fmri_7t import combine

# In place


def seeded(make, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return make(weights=None, **options)


def vgg_without_classifier(weights):
    """Its layers until the classifier, whose 120 million weights take a second to be made."""
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"], batch_norm=True)
    return nn.Sequential(OrderedDict(features=layers))


def overwriting(change):
    """A convolution whose answer a function changes in place, under another shape or name."""
    return Own(lambda self, x: change(self.conv(x)).sum(), conv=conv)


OVERWRITTEN = {
    "ReLU": (lambda: sequence(("conv", conv), ("relu", lambda: nn.ReLU(inplace=True))), "conv"),
    "Dropout after flatten": (
        lambda: sequence(("conv", conv), ("flat", nn.Flatten), ("act", lambda: nn.Hardtanh(0, 1, inplace=True))),
        "flat",
    ),
    "identity": (
        lambda: sequence(("conv", conv), ("same", nn.Identity), ("act", lambda: nn.ELU(inplace=True))),
        "same",
    ),
    "a view": (lambda: overwriting(lambda y: y.view(-1).mul_(0)), "conv"),
    "a flatten": (lambda: overwriting(lambda y: y.flatten(1).add_(7)), "conv"),
    "a transpose": (lambda: overwriting(lambda y: y.transpose(1, 2).clamp_(0, 1)), "conv"),
    "a detached one": (lambda: overwriting(lambda y: y.detach().zero_()), "conv"),
    "numpy": (lambda: overwriting(lambda y: torch.from_numpy(np.multiply(y.numpy(), 0, out=y.numpy()))), "conv"),
    "a slice": (lambda: overwriting(lambda y: y[:, :2].fill_(9)), "conv"),
    "AlexNet": (lambda: seeded(torchvision.models.alexnet), "features.0"),
    "VGG": (lambda: seeded(vgg_without_classifier), "features.1"),
    "ResNet's convolution": (lambda: seeded(torchvision.models.resnet18), "bn1"),
    "ResNet's bn2": (lambda: seeded(torchvision.models.resnet18), "layer2.0.bn2"),
    "ResNet's shortcut": (lambda: seeded(torchvision.models.resnet18), "layer2.0.downsample"),
}


@pytest.mark.parametrize("kind", [CommitmentRecorder, RegionRecorder])
@pytest.mark.parametrize(("make", "layer"), OVERWRITTEN.values(), ids=OVERWRITTEN.keys())
def test_features_are_those_that_the_layer_gave(make, layer, kind, stimuli, images):
    network = make().eval()
    options = {"image_size": 64} if isinstance(network, torchvision.models.AlexNet) else {}
    if options:
        images = torch.from_numpy(load_preprocess_images([stimuli.get_stimulus(i) for i in stimuli["stimulus_id"]], 64))
    given = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: given.append(output.clone())
    )
    with torch.no_grad():
        network(images)
    handle.remove()
    features, _ = record(kind(committed(network, {"V1": layer}, batch_size=N_IMAGES, **options), ["V1"]), stimuli)
    np.testing.assert_allclose(features["V1"], flat(given[0]), rtol=0, atol=1e-5 * np.abs(flat(given[0])).max())


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (torchvision.models.alexnet, ["features.2", "features.7", "features.12", "classifier.2", "logits"]),
        (torchvision.models.resnet18, ["maxpool", "layer1.0", "layer1.0.relu", "layer2.1", "layer4.1", "avgpool"]),
        (torchvision.models.vit_b_16, ["encoder.layers.encoder_layer_1", "encoder.ln", "heads"]),
    ],
    ids=["alexnet", "resnet18", "vit"],
)
def test_what_nothing_overwrites_is_brain_scores_to_the_last_bit(make, layers, images):
    small = {"image_size": 64, "num_classes": 10} if make is torchvision.models.vit_b_16 else {}
    network = seeded(make, **small)
    batch = list(nn.functional.interpolate(images[:3], size=64).numpy())
    wrapper = PytorchWrapper(identifier="plain", model=network, preprocessing=None)
    expected = wrapper.get_activations(batch, layers)
    with LayerReader(wrapper, "plain").reading():
        read = wrapper._extractor.get_activations(batch, layers)
    assert list(read) == layers
    for layer in layers:
        assert read[layer].dtype == expected[layer].dtype
        np.testing.assert_array_equal(read[layer], expected[layer])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_agree(images):
    network = sequence(("conv", conv), ("relu", lambda: nn.ReLU(inplace=True)))
    wrapper = PytorchWrapper(identifier="plain", model=network, preprocessing=None)
    answers = []
    for device in ("cuda", "cpu"):
        wrapper._device = torch.device(device)
        network.to(device)
        answers.append(LayerReader(wrapper, "plain").get_activations(list(images.numpy()), ["conv"])["conv"])
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-4)


class HookingWrapper(PytorchWrapper):
    """As several of Brain-Score's registered models do it."""

    def register_hook(self, layer, layer_name, target_dict):
        def hook(_layer, _input, output):
            target_dict[layer_name] = output.cpu().data.numpy()

        return layer.register_forward_hook(hook)


class OwnCommitment(ModelCommitment):
    """May do anything in look_at."""


@pytest.mark.parametrize("how", ["own hooks", "own commitment", "uncached", "own activations"])
def test_wrappers_with_ways_of_their_own_are_not_overwritten_either(how, stimuli, images):
    network = sequence(("conv", conv), ("relu", lambda: nn.ReLU(inplace=True)))
    model = committed(network, {"V1": "conv"}, wrapper=HookingWrapper if how == "own hooks" else None)
    if how == "own commitment":
        model.__class__ = OwnCommitment
    elif how == "uncached":
        model.activations_model = model.layer_model._layer_model.activations_model = disable_activation_caching(
            model.activations_model
        )
    elif how == "own activations":
        extractor = model.activations_model._extractor
        honest = extractor.get_activations
        extractor.get_activations = lambda images, layers: honest(images, layers)
    features, _ = record(recorder_for(model, ["V1"]), stimuli)
    np.testing.assert_allclose(features["V1"], flat(network.conv(images)), rtol=0, atol=1e-5)
    assert (features["V1"] < 0).any()


@pytest.mark.parametrize("wrapper", [PytorchWrapper, HookingWrapper])
def test_nothing_is_left_behind(wrapper, stimuli):
    for answer in (lambda y: y, lambda y: None):
        model = committed(answering(answer), {"V1": "layer"}, wrapper=wrapper)
        activations = model.activations_model
        before, extractor_before = dict(vars(activations)), dict(vars(activations._extractor))
        try:
            record(recorder_for(model, ["V1"]), stimuli)
        except (ModelOutputError, AttributeError):
            assert answer(0) is None
        assert vars(activations) == before
        assert vars(activations._extractor) == extractor_before
        if wrapper is PytorchWrapper:  # others remove their own, or do not
            assert all(not module._forward_hooks for module in activations._model.modules())


# Modules that are called several times


def reused(n_calls=2, separate=False):
    def forward(self, x):
        for i in range(n_calls):
            x = getattr(self, f"relu{i}" if separate else "relu")(getattr(self, f"conv{i}")(x))
        return x

    convolutions = {f"conv{i}": functools.partial(nn.Conv2d, 6 if i else 3, 6, 3, padding=1) for i in range(n_calls)}
    relus = {f"relu{i}": nn.ReLU for i in range(n_calls)} if separate else {"relu": nn.ReLU}
    return Own(forward, **convolutions, **relus)


@pytest.mark.parametrize("kind", [CommitmentRecorder, RegionRecorder])
def test_a_call_of_a_module_can_be_chosen(kind, stimuli):
    layer_map = {"V1": "relu#0", "V2": "relu#1", "V4": "relu#2", "IT": "relu"}
    features, notes = record(kind(committed(reused(3), layer_map), list(layer_map)), stimuli)
    separate = {"V1": "relu0", "V2": "relu1", "V4": "relu2"}
    expected, without_notes = record(kind(committed(reused(3, separate=True), separate), list(separate)), stimuli)
    for region, values in expected.items():
        np.testing.assert_array_equal(features[region], values)
        assert notes[region] == without_notes[region] == []
    np.testing.assert_array_equal(features["IT"], features["V4"])  # as Brain-Score has it: the last one
    (note,) = notes["IT"]
    assert "relu of a-network is called 3 times per image; the last call is recorded. relu#0 to relu#2" in note


def test_a_call_that_does_not_happen(stimuli):
    with pytest.raises(UnmappedRegionError, match=r"'relu#2' is call 2 .*calls it 2 times per pass.*relu#0, relu#1\."):
        features_of(reused(), "relu#2", stimuli)
    for name in ("rellu#0", "relu#x", "relu#-1", "#0"):
        with pytest.raises(UnmappedRegionError, match=f"maps V1 to '{name}', which it does not have.*'relu'"):
            recorder_for(committed(reused(), {"V1": name}), ["V1"])


def test_a_module_whose_own_name_has_the_mark(stimuli, images):
    network = Own(lambda self, x: self._modules["conv#1"](x), **{"conv#1": conv})
    features, notes = features_of(network, "conv#1", stimuli)
    np.testing.assert_allclose(features, flat(network._modules["conv#1"](images)), rtol=0, atol=1e-5)
    assert notes == []


# Networks


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_precision(dtype, stimuli, images):
    network = sequence(("conv", conv)).to(dtype)
    features, _ = features_of(network, "conv", stimuli)
    with torch.no_grad():
        expected = network.conv(images.to(dtype)).float()
    assert features.dtype == (np.float32 if dtype is torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch.")))
    np.testing.assert_allclose(features, flat(expected), rtol=0, atol=0.05)


def test_a_scalar_of_another_precision_does_not_round_the_images(stimuli, images):
    """It may stand first among the parameters."""
    network = Own(lambda self, x: self.conv(x), scale=nn.Parameter(torch.ones(1, dtype=torch.float16)), conv=conv)
    features, _ = features_of(network, "conv", stimuli)
    with torch.no_grad():
        np.testing.assert_allclose(features, flat(network.conv(images)), rtol=0, atol=1e-6)


MIXED = {
    "stem in single, trunk in half": lambda: Own(
        lambda self, x: self.block(self.conv(x).half().flatten(1)), conv=conv, block=lambda: nn.Linear(384, 90).half()
    ),
    "stem in half, trunk in single": lambda: Own(
        lambda self, x: self.block(self.conv(x).float().flatten(1)),
        conv=lambda: conv().half(),
        block=lambda: nn.Linear(384, 90),
    ),
    "a prompt before a network in bfloat16": lambda: Own(
        lambda self, x: self.block((x + self.prompt).flatten(1).bfloat16()),
        prompt=nn.Parameter(torch.full((3, 32, 32), 0.1)),
        block=lambda: nn.Linear(3072, 9).bfloat16(),
    ),
}


@pytest.mark.parametrize("kind", MIXED)
def test_a_network_of_two_precisions_is_shown_what_brain_score_shows_it(kind, stimuli, images):
    """That of its first weight; others decide where it fails in that one (the test above)."""
    network = MIXED[kind]().eval()
    assert len({parameter.dtype for parameter in network.parameters()}) == 2
    features, _ = features_of(network, "block", stimuli)
    with torch.no_grad():
        expected = network(images.to(next(network.parameters()).dtype)).float()
    np.testing.assert_allclose(features, flat(expected), rtol=0, atol=2e-3)
    wrapper = committed(network, {"V1": "block"}).activations_model
    theirs = wrapper.get_activations(images, ["block"])["block"] if expected.dtype is torch.float16 else flat(expected)
    np.testing.assert_allclose(features, theirs, rtol=0, atol=2e-3)


class Gabors(nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        filters = np.random.default_rng(6).standard_normal((4, 3, 7, 7))
        self.register_buffer("n_filters", torch.tensor(4))
        self.register_buffer("filters", torch.from_numpy(filters).to(dtype))

    def forward(self, x):
        return nn.functional.conv2d(x, self.filters, stride=4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.AvgPool2d(8),
        Gabors,
        functools.partial(Gabors, torch.float64),
        functools.partial(Gabors, torch.bfloat16),
    ],
    ids=["no parameters", "buffers", "buffers in double precision", "buffers in bfloat16"],
)
def test_networks_without_parameters(make, stimuli, images):
    network = nn.Sequential(OrderedDict(layer=make()))
    features, _ = features_of(network, "layer", stimuli)
    dtype = next((buffer.dtype for buffer in network.buffers() if buffer.is_floating_point()), torch.float32)
    np.testing.assert_allclose(
        features, flat(network(images.to(dtype)).float()), rtol=0, atol=0.1 if dtype is torch.bfloat16 else 1e-5
    )


def with_auxiliary():
    def forward(self, x):
        y = self.conv(x).flatten(1)
        return (y, self.aux(y)) if self.training else y

    return Own(forward, conv=lambda: nn.Conv2d(3, 4, 8, stride=8), aux=lambda: nn.Linear(64, 3))


def test_a_layer_that_evaluation_never_calls(stimuli):
    model = committed(with_auxiliary(), {"V1": "conv", "IT": "aux"})
    with pytest.raises(
        UnmappedRegionError, match=r"in evaluation a-network never calls 'aux'.*that it calls are 'conv'\."
    ):
        record(recorder_for(model, ["V1", "IT"]), stimuli)
    features, _ = record(recorder_for(model, ["V1"]), stimuli)
    assert features["V1"].shape == (N_IMAGES, 64)


def test_a_layer_inside_attention_that_nothing_calls(stimuli):
    network = torchvision.models.VisionTransformer(32, 16, num_layers=1, num_heads=2, hidden_dim=12, mlp_dim=24)
    with pytest.raises(
        UnmappedRegionError, match="never calls '.*out_proj'.*'encoder.layers.encoder_layer_0.self_attention'"
    ):
        features_of(network, "encoder.layers.encoder_layer_0.self_attention.out_proj", stimuli)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_compiled_network_does_not_show_its_layers(stimuli, images):
    network = torch.jit.trace(sequence(("conv", conv)).eval(), images[:2])
    with pytest.raises(UnmappedRegionError, match=r"never calls 'conv'\. It calls no layer .*compiled"):
        features_of(network, "conv", stimuli)
    with pytest.raises(UnmappedRegionError, match="maps V1 to 'cnv', which it does not have.*'conv'"):
        features_of(network, "cnv", stimuli)


class Renamed(PytorchWrapper):
    def get_activations(self, images, layer_names):
        found = super().get_activations(images, layer_names)
        return type(found)((f"{name}-t0", values) for name, values in found.items())


def test_a_wrapper_that_answers_under_other_names(stimuli):
    model = committed(sequence(("conv", conv)), {"V1": "conv"}, wrapper=Renamed)
    with pytest.raises(ModelOutputError, match="was asked for 'conv' and answered 'conv-t0'. Map the region to one of"):
        record(recorder_for(model, ["V1"]), stimuli)


class OfImagesAndText(nn.Module):
    """As those of transformers: text comes first."""

    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, input_ids=None, pixel_values=None):
        return self.conv(pixel_values * len(input_ids.shape))


def test_a_network_of_images_and_text_is_told_to_commit_the_part_that_sees(stimuli):
    with pytest.raises(ModelOutputError, match=r"failed with .*commit the part that sees images \(model.visual\)"):
        features_of(OfImagesAndText(), "conv", stimuli)


# Regions without a layer


def test_a_scripted_network_takes_no_hooks(stimuli):
    network = torch.jit.script(sequence(("conv", conv), ("relu", nn.ReLU)))
    with pytest.raises(ModelOutputError, match=r"'conv' of a-network does not take.*before torch\.jit\.script"):
        features_of(network, "conv", stimuli)


@pytest.fixture
def no_layer_selection(monkeypatch):
    """Brain-Score must not choose layers: that needs other benchmarks' data and ImageNet."""

    def commit_region(self, region):
        raise AssertionError(f"a layer for {region} was to be chosen")

    monkeypatch.setattr(
        "brainscore_vision.model_helpers.brain_transformation.RegionLayerMap.commit_region", commit_region
    )


@pytest.mark.parametrize("kind", [ModelCommitment, OwnCommitment])
@pytest.mark.parametrize("region", ["V1", "V3", "IT"])
def test_a_model_that_was_committed_without_a_map(kind, region, no_layer_selection):
    model = small_network(None)
    model.__class__ = kind
    with pytest.raises(UnmappedRegionError) as error:
        recorder_for(model, [region])
    assert "small-network-seed0 was committed without a region_layer_map" in str(error.value)
    assert f"region_layer_map={{\"{region}\": \"LAYER\", ...}}); its layers are 'conv', 'pool', 'head'." in str(
        error.value
    )


def test_a_region_that_brain_score_has_chosen_a_layer_for(stimuli, no_layer_selection):
    model = small_network(None)
    model.layer_model.region_layer_map["V1"] = "pool"
    features, _ = record(recorder_for(model, ["V1"]), stimuli)
    assert features["V1"].shape == (N_IMAGES, 96)
    with pytest.raises(UnmappedRegionError, match="of its regions, only V1 have a layer; received V3"):
        recorder_for(model, ["V1", "V3"])


@pytest.mark.parametrize("kind", [ModelCommitment, OwnCommitment])
def test_maps_that_make_a_layer_when_they_are_asked(kind, stimuli, no_layer_selection):
    """Brain-Score records these."""

    class Made(dict):
        def __missing__(self, region):
            if region == "IT":
                raise KeyError(region)
            return "pool"

    expected, _ = record(recorder_for(small_network({"V1": "pool"}), ["V1"]), stimuli)
    for of_regions in (Made(), defaultdict(lambda: "pool")):
        model = small_network(of_regions)
        model.__class__ = kind
        features, _ = record(recorder_for(model, ["V1"]), stimuli)
        np.testing.assert_array_equal(features["V1"], expected["V1"])
        assert committed_layers(model, ["V1", "V4"]) == {"V1": "pool", "V4": "pool"}
    with pytest.raises(UnmappedRegionError, match="maps no layer to IT"):
        recorder_for(small_network(Made()), ["IT"])


def test_a_network_without_layers_inside(stimuli):
    class Plain(nn.Module):
        def forward(self, x):
            return x.mean(1)

    with pytest.raises(UnmappedRegionError, match=r"give torch.nn.Sequential\(network\) in its place"):
        recorder_for(committed(Plain(), {"V1": "conv"}, layers=["conv"]), ["V1"])
    features, _ = record(recorder_for(committed(nn.Sequential(Plain()), {"V1": "0"}), ["V1"]), stimuli)
    assert features["V1"].shape[0] == N_IMAGES


def test_brain_score_chooses_layers_of_models_that_it_has_registered(stimuli, monkeypatch, caplog):
    model = small_network(None)
    monkeypatch.setattr(recording, "_is_registered", lambda name: name == model.identifier)
    monkeypatch.setattr(RegionLayerMap, "commit_region", lambda self, region: self.update({region: "pool"}))
    features, _ = record(recorder_for(model, ["V1"]), stimuli)
    assert features["V1"].shape == (N_IMAGES, 96)
    assert "names no layer for V1: Brain-Score chooses one" in caplog.text
    with pytest.raises(UnmappedRegionError, match="received V3"):  # for which it has no benchmark of its own
        recorder_for(model, ["V3"])


def test_a_layer_that_brain_score_cannot_choose(monkeypatch):
    def offline(self, region):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(recording, "_is_registered", lambda name: True)
    monkeypatch.setattr(RegionLayerMap, "commit_region", offline)
    with pytest.raises(
        UnmappedRegionError, match=r"its layers are .*could not choose one either: ConnectionError: no route"
    ):
        recorder_for(small_network(None), ["V4"])


@pytest.mark.parametrize("layers", [None, [], [None], ["conv", 3], 7], ids=str)
def test_what_is_no_layers_name(layers):
    with pytest.raises(UnmappedRegionError, match="a layer's name, or to a list of names; .* maps V1 to"):
        recorder_for(small_network({"V1": layers}), ["V1"])


def test_blocks_are_offered_too():
    network = seeded(torchvision.models.resnet18)
    with pytest.raises(UnmappedRegionError, match="which it does not have.* are 'layer2.1'"):
        recorder_for(committed(network, {"V1": "layer2.11"}), ["V1"])
    assert "layer2.1" in layer_names(PytorchWrapper(identifier="r", model=network, preprocessing=None))


# What the Score says


def test_choices_stand_in_the_score(tmp_path, caplog):
    benchmark = make_benchmark(make_images(tmp_path / "images", 44), store=True, store_directory=tmp_path / "store")
    network = Own(
        lambda self, x: self.relu(self.layer(self.relu(x))[0]), layer=lambda: Answering(lambda y: (y, y)), relu=nn.ReLU
    )
    for _ in range(2):  # from images, and from the store
        caplog.clear()
        notes = benchmark(committed(network, {"V1": ["layer", "relu"]})).attrs["notes"]
        assert any("layer of a-network answers with a tuple of 2" in note for note in notes)
        assert any("relu of a-network is called 2 times" in note for note in notes)
        assert any("may have no explainable variance in V1" in note for note in notes)  # of 8 made test stimuli
        of_data = [note for note in notes if "explainable variance" in note]
        assert len(notes) == len(set(notes)) == 2 + len(of_data)
        assert sum(record.name == hooks.__name__ for record in caplog.records) == 2


def test_every_brain_model_is_recorded(stimuli):
    class Holder(BrainModel):
        """Has an activations model that is none."""

        activations_model = object()
        identifier = "holder"

        def visual_degrees(self):
            return 8

        def start_recording(self, recording_target, time_bins):
            raise KeyError(recording_target)

        def look_at(self, stimuli, number_of_trials=1):
            raise AssertionError

    with pytest.raises(UnmappedRegionError, match="holder maps no layer to V1"):
        record(recorder_for(Holder(), ["V1"]), stimuli)


class Around(BrainModel):
    """A model of one's own that asks the models in it: under names and in containers that Brain-Score does not know."""

    identifier = "around"

    def __init__(self, *inner):
        self._inner, self._named = list(inner[:1]), {model.identifier: model for model in inner[1:]}

    @property
    def models(self):
        return [*self._inner, *self._named.values()]

    def visual_degrees(self):
        return 8

    def start_recording(self, recording_target, time_bins):
        for model in self.models:
            model.start_recording(recording_target, time_bins)

    def look_at(self, stimuli, number_of_trials=1):
        answers = [model.look_at(stimuli, number_of_trials) for model in self.models]
        values = np.concatenate([answer.transpose("presentation", "neuroid").values for answer in answers], axis=1)
        coords = {
            "stimulus_id": ("presentation", list(stimuli["stimulus_id"])),
            "object_name": ("presentation", [""] * len(stimuli)),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
        }
        return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])


@pytest.mark.parametrize("make", [Around, lambda *models: combine(models), lambda *models: Around(Around(*models))])
def test_networks_inside_other_models_are_read_alike(make, stimuli, images):
    """Overwritten answers, modules that are called twice, other precisions: whoever holds the network."""
    own = OVERWRITTEN["ReLU"][0]
    half = sequence(("conv", conv), ("flat", nn.Flatten)).bfloat16()
    parts = [(own(), "conv", "a"), (reused(), "relu#0", "b"), (reused(), "relu", "c"), (half, "flat", "d")]
    models = [committed(network, {"V1": layer}, identifier=name) for network, layer, name in parts]
    alone = [record(recorder_for(model, ["V1"]), stimuli)[0]["V1"] for model in models]
    features, notes = record(recorder_for(make(*models), ["V1"]), stimuli)
    np.testing.assert_array_equal(features["V1"], np.concatenate(alone, axis=1))
    (note,) = notes["V1"]
    assert "relu of c is called 2 times per image" in note


class Counting(nn.Module):
    """Counts the batches that come so far."""

    n_batches = 0

    def forward(self, images):
        self.n_batches += 1
        return images


def test_layers_behind_the_recorded_ones_are_not_called_once_it_is_known_that_they_are_not_needed(stimuli, images):
    behind = Counting()
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(inplace=True), behind, nn.Flatten())
    found, _ = record(recorder_for(committed(network, {"V1": "0"}, batch_size=2), ["V1"]), stimuli)
    np.testing.assert_allclose(found["V1"], flat(network[0](images).detach()), atol=1e-6)
    assert (
        behind.n_batches == 5
    )  # the first batch, one that tells which axis is the images', and the next 1st, 2nd and 4th


def test_a_layer_that_some_images_call_more_often_is_refused(stimuli, images):
    """In the ninth batch, by what nobody can see; those before it end when the layer has answered, but for a few."""
    ninth = bytes(images[8:9].clone().untyped_storage())

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.relu(x - 1) if bytes(seen[-1].clone().untyped_storage()) == ninth else x

    network = Own(forward, conv=lambda: nn.Conv2d(3, 4, 5), relu=nn.ReLU)
    seen = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with pytest.raises(ModelOutputError, match="calls 'relu' once for some images and 2 times for others.*relu#0 is"):
        record(recorder_for(committed(network, {"V1": "relu"}, batch_size=1), ["V1"]), stimuli)
    found, _ = record(recorder_for(committed(network, {"V1": "relu#0"}, batch_size=1), ["V1"]), stimuli)
    np.testing.assert_allclose(found["V1"], flat(torch.relu(network.conv(images))), atol=1e-6)


DECISIONS = {
    "a comparison": lambda x, other: (x == other).all(),
    "a number": lambda x, other: x.mean().item() == other.mean().item(),
    "an array": lambda x, other: np.array_equal(x, other),
    "torch.equal": lambda x, other: torch.equal(x, other),
    "a mask": lambda x, other: len(x[x != other]) == 0,
    "a shape": lambda x, other: len((x != other).nonzero()) == 0,
    "where": lambda x, other: len(torch.where(x != other)[0]) == 0,
    "text": lambda x, other: str(x) == str(other),
}


@pytest.mark.parametrize("same", DECISIONS.values(), ids=DECISIONS)
def test_a_network_that_decides_by_its_images_sees_them_to_the_end(stimuli, images, same):
    """One image is looked at twice, and not among the first, nor in one of the passes that are whole at any rate."""

    def forward(self, x):
        again = same(x, images[9:10])
        x = self.relu(self.conv(x))
        return self.relu(x - 1) if again else x

    network = Own(forward, conv=lambda: nn.Conv2d(3, 4, 5), relu=nn.ReLU)
    found, _ = record(recorder_for(committed(network, {"V1": "relu"}, batch_size=1), ["V1"]), stimuli)
    with torch.no_grad():
        expected = torch.relu(network.conv(images))
        expected[9:10] = torch.relu(expected[9:10] - 1)
    np.testing.assert_allclose(found["V1"], flat(expected), atol=1e-6)


class Membrane(nn.Module):
    """Adds up what it is given until it is reset."""

    potential = None

    def forward(self, current):
        self.potential = current if self.potential is None else self.potential[: len(current)] + current
        return self.potential


class ResetAtTheEnd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.membrane, self.head = nn.Conv2d(3, 4, 5), Membrane(), nn.Flatten()

    def forward(self, images):
        answer = self.head(self.membrane(self.conv(images)))
        self.membrane.potential = None
        return answer


class Skipping(nn.Module):
    """Keeps what goes around a layer in a list, first in, first out."""

    def __init__(self):
        super().__init__()
        self.conv, self.after, self.around = nn.Conv2d(3, 4, 5), nn.ReLU(), []
        self.size = None

    def forward(self, images):
        self.size = tuple(images.shape[1:])
        features = self.conv(images)
        self.around.append(features)
        return self.after(features) + self.around.pop(0)


@pytest.mark.parametrize(("make", "layer"), [(ResetAtTheEnd, "membrane"), (Skipping, "conv")])
def test_what_a_network_clears_away_at_the_end_of_a_pass_is_cleared(stimuli, images, make, layer):
    network = make().eval()
    with torch.no_grad():
        expected, whole = flat(network.conv(images)), network(images[:2])
    found, _ = record(recorder_for(committed(network, {"V1": layer}, batch_size=2), ["V1"]), stimuli)
    np.testing.assert_allclose(found["V1"], expected, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(network(images[:2]), whole)


def test_a_network_that_keeps_a_grid_from_its_first_pass_is_stopped_later(stimuli, images):
    class Grid(nn.Module):
        grid = None

        def forward(self, images):
            self.grid = torch.ones(images.shape[-1]) if self.grid is None else self.grid
            return images * self.grid

    behind = Counting()
    network = nn.Sequential(Grid(), nn.Conv2d(3, 4, 5), behind)
    found, _ = record(recorder_for(committed(network, {"V1": "1"}, batch_size=2), ["V1"]), stimuli)
    np.testing.assert_allclose(found["V1"], flat(network[1](images).detach()), atol=1e-6)
    assert behind.n_batches == 5  # as above


def test_networks_on_the_cpu_see_few_images_at_once_whatever_they_ask_for(stimuli, images):
    sizes = []
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten())
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    found, _ = record(recorder_for(committed(network, {"V1": "0"}, batch_size=64), ["V1"]), stimuli)
    np.testing.assert_allclose(found["V1"], flat(network[0](images).detach()), atol=1e-6)
    assert max(sizes) == 8


def test_a_layer_that_is_called_again_later_is_waited_for(stimuli):
    network = reused()
    found, _ = record(recorder_for(committed(network, {"V1": "relu"}, batch_size=2), ["V1"]), stimuli)
    whole, _ = record(recorder_for(committed(reused(), {"V1": "relu"}, batch_size=N_IMAGES), ["V1"]), stimuli)
    np.testing.assert_allclose(found["V1"], whole["V1"], rtol=1e-6)
