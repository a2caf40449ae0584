"""What a network is shown: what can be shown is, in one piece of memory, and all else is one line that names the cause."""

import functools
from collections import OrderedDict, UserDict

import numpy as np
import pytest
import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_images, load_preprocess_images
from brainscore_vision.model_helpers.activations.temporal.model import PytorchWrapper as TemporalWrapper
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from torch import nn
from torchvision import transforms

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import shown


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_a_batch_is_what_torch_stacks(dtype):
    images = [torch.rand(3, 5, 7).mul(200).to(getattr(torch, dtype)).transpose(1, 2) for _ in range(4)]
    batch = shown._stacked(images)
    assert batch.dtype == images[0].dtype
    assert torch.equal(batch, torch.stack(images))
    assert batch.data_ptr() % shown.ALIGNMENT == 0


SIZE = 32
prepared = functools.partial(load_preprocess_images, image_size=SIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("images"), N_IMAGES)


def linear_network(*between):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), *between, nn.Flatten(), nn.Linear(400, 10))


def score(folder, preprocessing=prepared, network=None, batch_size=7, wrapper=PytorchWrapper, degrees=8):
    network = network or linear_network()
    activations = wrapper(identifier="m", model=network, preprocessing=preprocessing, batch_size=batch_size)
    layer_map = {"V1": str(len(network) - 1)}
    model = ModelCommitment("m", activations, layers=["0"], region_layer_map=layer_map, visual_degrees=degrees)
    return make_benchmark(folder, store=False)(model)


class BatchFeature(UserDict):
    """As processors of transformers return."""


@pytest.mark.parametrize(
    ("answer", "n_notes"),
    [
        (lambda images: BatchFeature(pixel_values=torch.from_numpy(images)), 1),
        (lambda images: {"pixel_values": list(images), "pixel_mask": np.ones(len(images))}, 1),
        (lambda images: {"images": images.astype(float)}, 1),
        (lambda images: [torch.from_numpy(image) for image in images], 0),
    ],
)
def test_images_under_a_name_are_shown(folder, answer, n_notes):
    expected, found = score(folder), score(folder, lambda paths: answer(prepared(paths)))
    assert found.item() == expected.item()
    assert len([note for note in found.attrs.get("notes", ()) if "is shown" in note]) == n_notes


def test_unscaled_images_are_said(folder):
    found = score(folder, lambda paths: (prepared(paths) * 40 + 100).clip(0, 255).astype(np.uint8))
    assert any("whole numbers from 0 to 255" in note for note in found.attrs["notes"])


def failing(paths):
    raise AttributeError("no such thing")


@pytest.mark.parametrize(
    ("preprocessing", "said"),
    [
        (lambda paths: None, "answers nothing. End it with a return"),
        (lambda paths: [None for _ in paths], "a list of NoneType"),
        (lambda paths: np.array([None for _ in paths]), "answers with object and not with numbers"),
        (lambda paths: "".join(paths), "answers with a str"),
        (lambda paths: [torch.zeros(3, SIZE, SIZE + i) for i, _ in enumerate(paths)], "images of 3 × 32 × 32 and 3 × 32 × 33"),
        (load_images, "a list of Image. End it with ToTensor"),
        (None, "a list of str. Give the wrapper a preprocessing"),
        (lambda paths: {"a": 1, "b": 2}, r"several arrays \(a, b\)"),
        (lambda paths: prepared(paths)[:-1], "answers with 6 to 7 paths"),
        (lambda paths: np.repeat(prepared(paths), 10, axis=0), "answers with 70 to 7 paths"),
        (transforms.ToTensor(), "fails with TypeError: .*It is called with a list of paths"),
        (failing, r"fails with AttributeError: no such thing in .*test_shown.py, line \d+"),
    ],
)  # fmt: skip
def test_preprocessings_that_give_no_images(folder, preprocessing, said):
    with pytest.raises(ModelOutputError, match=f"A preprocessing makes of a list of paths.*that of m {'.*' + said}"):
        score(folder, preprocessing)


@pytest.mark.parametrize(
    ("preprocessing", "shown"),
    [
        (functools.partial(load_preprocess_images, image_size=40), "7 × 3 × 40 × 40"),
        (functools.partial(load_preprocess_images, image_size=3), "7 × 3 × 3 × 3"),
        (lambda paths: prepared(paths)[:, :1], "7 × 1 × 32 × 32"),
        (lambda paths: prepared(paths).transpose(0, 2, 3, 1), "7 × 32 × 32 × 3"),
        (lambda paths: prepared(paths)[:, None], "7 × 1 × 3 × 32 × 32"),
    ],
)
def test_networks_that_refuse_images_name_them(folder, preprocessing, shown):
    with pytest.raises(
        ModelOutputError, match=rf"m was shown {shown} \(torch.float32\) and failed with RuntimeError: "
    ):
        score(folder, preprocessing)


class OfImagesAndText(nn.Sequential):
    def forward(self, images, text):
        return super().forward(images)


def test_models_of_images_and_text_are_told_what_they_are_called_with(folder):
    with pytest.raises(ModelOutputError, match="missing 1 required positional argument: 'text'.*with the images alone"):
        score(folder, network=OfImagesAndText(*linear_network()))


@pytest.mark.parametrize("size", [0, -1, None, 2.5, True])
def test_batch_sizes_are_positive_whole_numbers(folder, size):
    with pytest.raises(ModelOutputError, match=f"batch_size of m is {size}"):
        score(folder, batch_size=size)


def test_a_field_of_view_without_pixels_is_not_the_images_fault(folder):
    with pytest.raises(
        StimulusKernelError, match="0.001 degrees show none of .*16 x 16 pixels.*visual_degrees"
    ) as error:
        score(folder, degrees=1e-3)
    assert "readable" not in str(error.value)


def test_normalising_by_the_batch_is_named(folder):
    with pytest.raises(ModelOutputError, match="1 of its modules normalise images by those that are shown with them"):
        score(folder, network=linear_network(nn.BatchNorm2d(4, track_running_stats=False)))


class OwnWay(PytorchWrapper):
    """Reads layers in a way of its own, as wrappers of several Brain-Score models do."""

    def get_activations(self, images, layer_names):
        found, hooks = {}, []
        self._model.eval()
        for name in layer_names:
            hooks.append(self.register_hook(self.get_layer(name), name, target_dict=found))
        with torch.no_grad():
            self._model(torch.from_numpy(np.stack(images)))
        for hook in hooks:
            hook.remove()
        return OrderedDict(found)


class OwnHooks(OwnWay):
    def register_hook(self, layer, layer_name, target_dict):
        return layer.register_forward_hook(
            lambda module, inputs, output: target_dict.update({layer_name: output.numpy()})
        )


class Twice(nn.Sequential):
    def forward(self, x):
        return self[-1](super().forward(x)) if self.again else super().forward(x)


@pytest.mark.parametrize("wrapper", [OwnWay, OwnHooks])
def test_a_module_called_twice_is_said_of_wrappers_with_ways_of_their_own(folder, wrapper):
    def network(again):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            made = Twice(nn.Conv2d(3, 4, 5, stride=3), nn.Flatten(), nn.Linear(400, 400))
        made.again = again
        return made

    notes = [score(folder, network=network(again), wrapper=wrapper).attrs.get("notes", ()) for again in (False, True)]
    said = [[note for note in found if "is called 2 times per image; its wrapper's own" in note] for found in notes]
    assert [len(found) for found in said] == [0, 1]


def video_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return nn.Sequential(nn.Conv3d(3, 4, (2, 8, 8), stride=(2, 8, 8)), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))


def test_video_networks_see_images_as_frames(folder):
    found = score(folder, lambda paths: np.repeat(prepared(paths)[:, :, None], 4, axis=2), video_network())
    assert np.isfinite(found.item())
    activations = TemporalWrapper(
        "m", video_network(), preprocessing=None, layer_activation_format={"0": "CTHW"}, fps=4, num_frames=4
    )
    model = ModelCommitment("m", activations, layers=["0"], region_layer_map={"V1": "0"})
    with pytest.raises(ModelOutputError, match="m has one. Commit its network in a PytorchWrapper whose preprocessing"):
        make_benchmark(folder, store=False)(model)
