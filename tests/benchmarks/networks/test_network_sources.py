"""From the name of a network, or a network itself, to a BrainModel; and one line for whatever is wrong with it."""

import functools
import sys

import numpy as np
import pytest
import timm
import torch
import torchvision
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from plugin_testing.models import CountingModel
from plugin_testing.people import in_child
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from torchvision.transforms.functional import InterpolationMode

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model, find_model, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.libraries import find_library_network
from brainscore_vision.benchmarks.laion_fmri_7t.networks.network import as_network
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all

V1, IT = "LAION_fMRI.V1-ood-ridge", "LAION_fMRI.IT-ood-ridge"
LAYERS = {"V1": "conv", "IT": "pool"}
ENGINE = EngineOptions(store=False, progress=False)
SMALL = "torchvision:squeezenet1_1@none"

FILE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 7, stride=4)
        self.pool = torch.nn.AdaptiveAvgPool2d(3)
        self.unused = torch.nn.Linear(3, 3)
    def forward(self, images):
        return self.pool(self.conv(images).relu())

def make(width=4, note=""):
    torch.manual_seed(0)
    return Net(width).eval()

def committed(width=4):
    from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model
    return as_brain_model(make(width), "mine", layers={"V1": "conv", "IT": "pool"}, image_size=48)

def weights():
    return Net().state_dict()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def network(seed=0, **layers):
    """Of a few kilobytes, with two layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = {"conv": torch.nn.Conv2d(3, 4, 7, stride=4), "relu": torch.nn.ReLU(), "pool": torch.nn.AvgPool2d(5)}
        made = torch.nn.Sequential()
        for name, part in {**parts, **layers}.items():
            made.add_module(name, part)
    return made.eval()


def test_scores_are_those_of_a_commitment_by_hand(tiny_dataset):
    """Against Brain-Score's own wrapper, commitment and preprocessing."""
    prepare = functools.partial(load_preprocess_images, image_size=64)
    wrapper = PytorchWrapper(identifier="by-hand", model=network(), preprocessing=prepare)
    by_hand = ModelCommitment("by-hand", wrapper, layers=list(LAYERS.values()), region_layer_map=dict(LAYERS))
    ours = as_brain_model(network(), "ours", layers=LAYERS, image_size=64)
    expected = dict(score_all(by_hand, [V1, IT], dataset=tiny_dataset, engine=ENGINE))
    scores = dict(score_all(ours, [V1, IT], dataset=tiny_dataset, engine=ENGINE))
    for name, score in scores.items():
        assert score.raw.item() == pytest.approx(expected[name].raw.item(), rel=1e-6)
        assert score.attrs["network_digest"] == expected[name].attrs["network_digest"]
        assert score.attrs["layers"] == expected[name].attrs["layers"]
        assert score.attrs["layer_choice"] == "own"
    assert (scores[V1].attrs["layers"], scores[IT].attrs["layers"]) == ({"V1": "conv"}, {"IT": "pool"})


def test_a_network_is_scored_with_layers(tiny_dataset):
    own = network()
    (one,) = (score for _, score in score_all(own, [IT], dataset=tiny_dataset, engine=ENGINE, layers={"IT": "pool"}))
    names = ["conv", "pool"]
    (two,) = (score for _, score in score_all(own, [IT], dataset=tiny_dataset, engine=ENGINE, layers={"IT": names}))
    (conv,) = (score for _, score in score_all(own, [IT], dataset=tiny_dataset, engine=ENGINE, layers={"IT": "conv"}))
    assert two.attrs["layers"] == {"IT": names}
    counts = [score.attrs["sub-01"].attrs["n_features"] for score in (one, conv, two)]
    assert counts[0] + counts[1] == counts[2]  # side by side
    assert {score.attrs["layer_choice"] for score in (one, two)} == {"given"}
    name = f"Sequential-{one.attrs['network_digest'][:8]}"
    assert one.attrs["model_identifier"] == name
    assert find_model(network(seed=1)).network().identifier != name  # a changed checkpoint is another model


def test_layers_of_a_committed_model_are_replaced(tiny_dataset):
    model = as_brain_model(network(), "mine", layers=LAYERS, image_size=64)
    (score,) = (s for _, s in score_all(model, [IT], dataset=tiny_dataset, engine=ENGINE, layers={"IT": "conv"}))
    assert (score.attrs["layers"], score.attrs["layer_choice"]) == ({"IT": "conv"}, "given")
    assert dict(model.layer_model.region_layer_map) == LAYERS  # the user's own is as it was
    again = find_model(model).model({"IT": "conv"})
    assert dict(again.layer_model.region_layer_map) == {"V1": "conv", "IT": "conv"}


@pytest.mark.parametrize(
    "call", ["make", "make()", "make(width=6)", "make(6, note='a:b (c), #d')", "committed(width=6)"]
)
def test_functions_with_literals(file, call):
    name = f"{file}:{call}"
    found = find_model(name)
    made = found.network()
    assert made.module.conv.out_channels == (4 if call in ("make", "make()") else 6)
    assert made.source in (name, None)
    # the weights are part of the name: a changed checkpoint is another model
    assert made.identifier == ("mine" if "committed" in call else f"mine.py:{call}-{made.revision[:8]}")
    model = found.model(None if "committed" in call else LAYERS)
    assert model.model_source == name
    assert network_digest(model) == made.revision


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:alexnett", "no network 'alexnett'.*The nearest are alexnet,"),
        ("torchvision:resnet", "The nearest are "),
        ("torchvision:alexnet@IMAGENET1K_V7", "the weights IMAGENET1K_V1, and none"),
        ("torchvision:alexnet@", "follows @"),
        ("torchvision:raft_large", "one of its networks for optical_flow"),
        ("torchvision:fasterrcnn_resnet50_fpn", "one of its networks for detection"),
        ("timm:resnet_50", "no network 'resnet_50'.*resnet50"),
        ("timm:resnet50.nothing", "no network 'resnet50.nothing'.*resnet50"),
        ("timm:resnet50@a1_in1k", "follow a dot, timm:resnet50.a"),
        ("timm:seresnet18", "no weights of seresnet18.*timm:seresnet18@none"),
        ("{file}:make(width=os)", "literals.*os is none"),
        ("{file}:make(open('x'))", r"literals.*open\('x'\) is none"),
        ("{file}:make(**{{'width': 3}})", "literals"),
        ("{file}:make(1)(2)", "literals.*no call"),
        ("{file}:make(width=)", "literals"),
        ("{file}:make(height=3)", "not called as in .*unexpected keyword argument 'height'"),
        ("{file}:makes(3)", "no function 'makes'.*Did you mean make"),
        ("tables/none.npz", "there is no file tables/none.npz .paths begin in /.*the list's folder.*Check the path"),
        ("none.CSV", "there is no file none.CSV "),
        ("models.txt", "table of features or a list of models .* there is no file models.txt "),
    ],
)
def test_names_that_are_wrong_are_one_line(file, name, message):
    with pytest.raises(ModelSourceError, match=message) as error:
        find_model(name.format(file=file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("made", "layers", "message"),
    [
        (network, None, r"says nothing about brain regions.*--layers V1=LAYER"),
        (network, {}, "layers is a dictionary"),
        (network, "pool", "layers is a dictionary"),
        (network, {"IT": {"pool": 1}}, "layers is a dictionary"),
        (network, {"IT": []}, "a layer's name, or to a list of names; received 'IT': "),
        (network, {"V1": "pool"}, "--layers names none for IT. Add IT=LAYER"),
        (network, {"IT": "pol"}, "has no 'pol'. The nearest of its 3 layers are 'pool'"),
        (
            lambda: network(spare=torch.nn.Sequential(torch.nn.Identity())).train(),
            {"IT": "pool"},
            "it is in training mode",
        ),
        (
            lambda: network(odd=torch.nn.Linear(7, 3)),
            {"IT": "pool"},
            "was shown 1 × 3 × 224 × 224 .*RuntimeError.*image_size=64",
        ),
        (lambda: network(conv=torch.nn.Conv1d(3, 4, 7)), {"IT": "pool"}, "was shown 1 × 3 × 224 × 224 .*failed with"),
        (lambda: network(conv=torch.nn.Conv2d(1, 4, 7)), {"IT": "pool"}, "to have 1 channels.*preprocessing=FUNCTION"),
        (CountingModel, {"IT": "pool"}, "is a CountingModel without one"),
        (lambda: torch.nn.ReLU, None, "received a type"),
        (lambda: {"weights": 1}, None, "received a dict"),
    ],
)
def test_networks_that_are_wrong_are_one_line(tiny_dataset, made, layers, message):
    with pytest.raises(ModelSourceError, match=message) as error:
        score_model(made(), IT, dataset=tiny_dataset, layers=layers)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", "Did you mean torchvision:resnet18 or timm:resnet18"),
        ("timm:vit_tiny_patch16_22@none", "The nearest are vit_tiny_patch16_224,"),
        ("torchvision:resnt18", "The nearest are resnet18,"),
    ],
)
def test_a_name_without_its_library_and_a_misspelt_one_are_answered_with_the_nearest(name, message):
    with pytest.raises(ModelSourceError, match=message):
        find_model(name)


def test_a_network_behind_the_colon_is_told_from_a_function(file):
    file.write_text(FILE + "made = make()\n")
    with pytest.raises(ModelSourceError, match=r"made in .* is a Net\. Write a function that returns it"):
        find_model(f"{file}:made")


def test_weights_without_values_are_said():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Conv2d(2, 2, 3, device="meta")).eval()
    with pytest.raises(ModelSourceError, match=r"2 of those of this Sequential are on the device meta, .*: '1.weight'"):
        as_brain_model(network, layers={"IT": "1"})


def test_a_part_in_training_mode_is_named():
    made = network(drop=torch.nn.Dropout())
    made.drop.train()
    with pytest.raises(ModelSourceError, match=r"its 'drop' is in training mode. Call its eval\(\)"):
        as_brain_model(made, layers=LAYERS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("where", ["alone", "in a module", "said to be in evaluation mode"])
def test_an_exported_program_has_no_modes(where):
    exported = torch.export.export(network(), (torch.zeros(2, 3, 64, 64),)).module()
    if where != "alone":
        exported.training = where == "in a module"
        exported = torch.nn.Sequential(exported)
        exported.training = False
    with pytest.raises(ModelSourceError, match=r"torch\.export.*has no eval\(\).*before it was exported") as error:
        as_brain_model(exported, layers=LAYERS)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_frozen_script_is_refused_in_one_line_but_in_a_module_of_the_users():
    frozen = torch.jit.freeze(torch.jit.script(network()))
    for layers, message in (({"IT": ""}, "record a module of your own that calls it"), (LAYERS, "has no 'conv'")):
        with pytest.raises(ModelSourceError, match=message):
            as_brain_model(frozen, layers=layers)
    assert as_brain_model(torch.nn.Sequential(frozen, torch.nn.Identity()).eval(), layers={"IT": "1"})


def test_layers_that_are_never_called(file):
    with pytest.raises(
        ModelSourceError, match="never calls 'unused'. The nearest of the layers that it calls are 'conv'"
    ):
        find_model(f"{file}:make").model({"IT": "unused"})
    with pytest.raises(ModelSourceError, match=r"is call 2 of the layer 'conv'"):
        find_model(f"{file}:make").model({"IT": "conv#2"})


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (torch.nn.ReLU, {}, r"the class ReLU itself: make one, ReLU\(...\)"),
        ({"conv.weight": torch.zeros(1)}, {}, "weights alone.*load_state_dict"),
        (CountingModel(), {}, "is a BrainModel already"),
        (None, {"layers": "auto"}, "give the network itself to score_model"),
        (None, {"batch_size": 0}, "1 or more; received 0"),
        (None, {"batch_size": True}, "1 or more; received True"),
        (None, {"visual_degrees": 0}, "between 0 and 360; received 0"),
        (None, {"visual_degrees": float("inf")}, "between 0 and 360; received inf"),
        (None, {"image_size": 0}, "number of pixels, or height and width; received 0"),
        (None, {"image_size": (3, 64, 64)}, "number of pixels, or height and width"),
        (None, {"identifier": " "}, "model's name in results"),
        (None, {"preprocessing": "imagenet"}, "a function of one PIL image; received a str"),
        (None, {"preprocessing": lambda image: image}, "returns Image.*ToTensor"),
        (None, {"preprocessing": lambda image: None}, "returns NoneType.*return the image"),
        (None, {"preprocessing": lambda image: {"pixels": 1}}, "returns dict.*the image alone"),
        (None, {"preprocessing": lambda image: np.asarray(image)}, "returns uint8 of shape.*ToTensor"),
        (
            None,
            {"preprocessing": lambda image: torch.zeros(1, 3, 9, 9)},
            r"returns float32 of shape \(1, 3, 9, 9\).*batches",
        ),
        (None, {"preprocessing": lambda paths: paths[0]}, "fails on a grey one: TypeError"),
        (None, {"preprocessing": torchvision.transforms.ToTensor(), "image_size": 64}, "leave image_size out"),
    ],
)
def test_what_as_brain_model_is_given(value, options, message):
    with pytest.raises(ModelSourceError, match=message) as error:
        as_brain_model(network() if value is None else value, **({"layers": LAYERS} | options))
    assert "\n" not in str(error.value)


def test_functions_that_return_something_else(file, tiny_dataset):
    with pytest.raises(ModelSourceError, match="received a OrderedDict.*Return a network"):
        score_model(f"{file}:weights", IT, dataset=tiny_dataset)


def test_finding_a_network_makes_nothing(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a network was made")

    monkeypatch.setattr(torchvision.models, "get_model", fail)
    monkeypatch.setattr(timm, "create_model", fail)
    sources = [
        find_model(name).source for name in ("torchvision:resnet50", "timm:resnet50", "torchvision:vit_b_16@default")
    ]
    assert sources[0] == "torchvision:resnet50@IMAGENET1K_V2"
    assert sources[1].startswith("timm:resnet50.")
    assert sources[2] == "torchvision:vit_b_16@IMAGENET1K_V1"
    with pytest.raises(AssertionError, match="a network was made"):
        find_model(SMALL).network()


def test_untrained_networks_are_the_same_everywhere():
    state = torch.random.get_rng_state()
    first, again, timms = (find_model(n).network() for n in (SMALL, SMALL, "timm:test_vit@none"))
    assert torch.equal(torch.random.get_rng_state(), state)  # the user's random numbers go on as before
    torch.manual_seed(5)
    assert find_model(SMALL).network().revision == first.revision == again.revision
    seeded = {seed: find_model(f"{SMALL}-{seed}").network().revision for seed in (0, 3)}
    assert len({first.revision, *seeded.values()}) == 3
    torch.manual_seed(3)
    assert find_model(network_of_torchvision()).network().revision == seeded[3]
    assert (first.identifier, timms.identifier) == (SMALL, "timm:test_vit@none")
    assert find_library_network(SMALL.replace("none", "None-3")).source == SMALL + "-3"
    assert find_library_network("timm:test_vit@NONE").source == "timm:test_vit@none"
    assert not first.module.training
    assert find_model(f"{SMALL}-{SEED}").network().revision == first.revision


SEED = 67503961894649284
"""Of the name ``torchvision:squeezenet1_1``: once released, it stays."""


def network_of_torchvision():
    return torchvision.models.squeezenet1_1(weights=None).eval()


@pytest.mark.parametrize("name", ["vit_h_14", "vit_l_16", "swin_t", "maxvit_t", "convnext_tiny"])
def test_untrained_networks_take_their_size(name):
    """That of their best weights may be another one; on the meta device nothing is computed."""
    height, width = find_library_network(f"torchvision:{name}@none").settings.size
    with torch.device("meta"), torch.no_grad():
        made = torchvision.models.get_model(name, weights=None).eval()
        assert made(torch.zeros(1, 3, height, width)).shape == (1, 1000)


def test_weights_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # made once per process, with the proxies of that time
    state = torch.random.get_rng_state()
    with pytest.raises(
        ModelSourceError, match=r"torchvision cannot get .* of torchvision:squeezenet1_1@IMAGENET1K_V1: URLError"
    ):
        find_model("torchvision:squeezenet1_1").network()
    assert torch.equal(torch.random.get_rng_state(), state)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelSourceError, match=r"timm cannot get the weights of timm:test_vit\.r160_in1k: .*@none"
    ) as error:
        find_model("timm:test_vit.r160_in1k").network()
    assert "\n" not in str(error.value)


def test_the_input_that_libraries_say(monkeypatch):
    prepare = find_model("torchvision:efficientnet_b1@none").network().preprocessing.keywords
    weights = torchvision.models.EfficientNet_B1_Weights.DEFAULT.transforms()
    assert prepare["size"] == (weights.crop_size[0],) * 2
    assert (list(prepare["mean"]), list(prepare["std"])) == (weights.mean, weights.std)
    assert InterpolationMode(prepare["interpolation"]) == weights.interpolation
    prepare = find_model("timm:test_vit.r160_in1k@none").network().preprocessing.keywords
    data = timm.data.resolve_model_data_config(timm.create_model("test_vit.r160_in1k"))
    assert prepare["size"] == data["input_size"][1:]
    assert [prepare[name] for name in ("mean", "std", "interpolation")] == [
        data[name] for name in ("mean", "std", "interpolation")
    ]
    # a network of timm that was made in Python carries them too
    own = find_model(timm.create_model("test_vit.r160_in1k").eval()).network()
    assert own.preprocessing.keywords == prepare


class OnBackbone(torch.nn.Module):
    """A readout of one's own on networks of timm."""

    def __init__(self, *backbones):
        super().__init__()
        self.backbones = torch.nn.ModuleList(backbones)

    def forward(self, images):
        return torch.cat([backbone(images) for backbone in self.backbones], 1)


AROUND = {
    "0": torch.nn.Sequential,
    "module": torch.nn.DataParallel,
    "backbones.0": lambda backbone: OnBackbone(backbone),
}


@pytest.mark.parametrize("name", AROUND)
def test_a_network_around_one_of_timm_is_shown_what_that_was_made_for(name, caplog, tiny_dataset):
    torch.manual_seed(7)
    backbone = timm.create_model("test_vit", num_classes=0).eval()
    bare = as_brain_model(backbone, "bare", layers={"V1": "blocks.1"})
    ((_, expected),) = score_all(bare, [V1], dataset=tiny_dataset, engine=ENGINE)
    held = as_brain_model(AROUND[name](backbone).eval(), "held", layers={"V1": f"{name}.blocks.1"})
    ((_, score),) = score_all(held, [V1], dataset=tiny_dataset, engine=ENGINE)
    assert float(score.raw) == float(expected.raw)
    said = (
        "held: images are resized to 160 × 160 (bicubic) and normalised with means 0.5, 0.5, 0.5 and deviations 0.5, 0.5, 0.5, "
        f"as timm says for its {name!r}."
    )
    assert [note for note in score.attrs["notes"] if note.startswith(said)]
    assert sum(message.startswith(said) for message in caplog.messages) == 1
    assert not [note for note in expected.attrs.get("notes", ()) if "normalised" in note]


@pytest.mark.parametrize(("name", "others"), [("swin_t", "swin_b, swin_s, swin_t and others"), ("resnet18", None)])
def test_an_object_of_torchvision_that_may_be_made_for_another_input_says_so(name, others, caplog):
    """By name it is shown what its library says; an object of it knows no name."""
    module = torchvision.models.get_model(name, weights=None).eval()
    shown = as_network(module, name).activations_model._extractor.preprocess.keywords
    named = find_model(f"torchvision:{name}@none").network().activations_model._extractor.preprocess.keywords
    assert (str(shown) == str(named)) == (others is None)
    message = caplog.text
    assert ("torchvision made" in message) == (others is not None)
    if others:
        assert f"torchvision made {others} for other ones, and a network does not know its name." in message
        caplog.clear()
        as_network(module, "with a size", image_size=224)
        as_network(module, "with its own", preprocessing=torchvision.models.Swin_T_Weights.DEFAULT.transforms())
        assert "torchvision made" not in caplog.text


def test_networks_of_timm_that_were_made_for_other_inputs_each_are_shown_the_default(caplog):
    backbones = (timm.create_model(name, num_classes=0).eval() for name in ("test_vit", "test_resnet"))
    both = as_brain_model(OnBackbone(*backbones).eval(), "both", layers={"V1": "backbones.0.blocks.1"}, image_size=160)
    assert both.activations_model._extractor.preprocess.keywords["mean"] == (0.485, 0.456, 0.406)
    said = (
        "both: images are resized to 160 × 160 (bilinear) and normalised with means 0.485, 0.456, 0.406 and deviations"
    )
    (message,) = [message for message in caplog.messages if message.startswith(said)]
    assert "the networks of timm in it, 'backbones.0', 'backbones.1', were made for other inputs each" in message


def test_a_fork_beside_a_file_makes_one_model_whatever_was_loaded_before(tmp_path):
    """Python gives the one beside; and timm's own networks stay timm's."""
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("def gain(x):\n    return 2 * x\n")
    file = tmp_path / "net.py"
    file.write_text(
        "import timm, torch\n\n\nclass Net(torch.nn.Identity):\n    def forward(self, x):\n        return timm.gain(x)\n\n\n"
        "def make():\n    return Net().eval()\n"
    )

    def revisions(*names):
        for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
            del sys.modules[name]  # of this child
        return {name: find_model(name).network().facts.get("model_revision") for name in names}

    own, theirs = f"{file}:make", "timm:test_vit@none"
    found = [in_child(lambda names=names: revisions(*names)) for names in ((own,), (theirs, own), (own, theirs, own))]
    assert len({one[own] for one in found}) == 1
    (tmp_path / "timm" / "__init__.py").write_text("def gain(x):\n    return 3 * x\n")
    assert in_child(lambda: revisions(theirs, own))[own] != found[0][own]


def test_layers_of_a_benchmark_on_other_data_are_not_chosen(tmp_path):
    own = make_benchmark(make_images(tmp_path, N_IMAGES, 0))
    with pytest.raises(ModelSourceError, match="layers='auto' chooses on .*LAION-fMRI.*map_layers"):
        score_model(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7), torch.nn.ReLU()).eval(), own, layers="auto")
