"""What a network is shown of an image: all of it, as torchvision would resize and normalise it."""

import functools

import numpy as np
import pytest
import torch
from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images
from PIL import Image
from torchvision import transforms
from torchvision.transforms.functional import InterpolationMode

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import preprocessing_digest
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.preparing import InputSettings, transformed_images

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def paths(tmp_path):
    """Noise; a picture whose outermost pixels alone are white; and one that is not square."""
    rng = np.random.default_rng(0)
    frame = np.zeros((300, 300, 3), np.uint8)
    frame[[0, -1]], frame[:, [0, -1]] = 255, 255
    pictures = [rng.integers(0, 256, (300, 300, 3), np.uint8), frame, rng.integers(0, 256, (200, 310, 3), np.uint8)]
    names = [tmp_path / f"{number}.png" for number in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(name)
    return [str(name) for name in names]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_images_are_resized_as_torchvision_does(paths, size, interpolation):
    theirs = transforms.Compose(
        [
            transforms.Resize(size, InterpolationMode(interpolation)),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    expected = np.stack([theirs(Image.open(path)).numpy() for path in paths])
    values = InputSettings(size, MEAN, STD, interpolation).preprocessing()(paths)
    assert (values.dtype, values.shape) == (np.float32, (3, 3, *size))
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_default_is_brain_scores(paths):
    values = InputSettings().preprocessing()(paths)
    np.testing.assert_allclose(values, load_preprocess_images(paths, image_size=224), atol=1e-6)


def test_nothing_at_the_border_is_lost(paths):
    """Of a usual evaluation transform, which cuts out the middle, the white frame is gone."""
    settings = InputSettings((224, 224), (0.0,) * 3, (1.0,) * 3)
    (frame,) = settings.preprocessing()(paths[1:2])
    border = [frame[:, 0], frame[:, -1], frame[:, :, 0], frame[:, :, -1]]
    assert min(edge.min() for edge in border) > 0.2
    usual = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()])
    assert usual(Image.open(paths[1])).max() == 0


def test_one_channel(paths):
    values = InputSettings((32, 32), (0.5,), (0.25,)).preprocessing()(paths)
    assert values.shape == (3, 1, 32, 32)


def test_a_transform_of_ones_own(paths):
    usual = transforms.Compose([transforms.Resize((40, 40)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    values = transformed_images(paths, usual)
    expected = InputSettings((40, 40), MEAN, STD).preprocessing()(paths)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    with pytest.raises(ModelSourceError, match=r"one size; ToTensor returns \(3, 200, 310\) and \(3, 300, 300\)"):
        transformed_images(paths, transforms.ToTensor())


def test_a_transform_that_fills_one_array_for_each_image(paths):
    filled = np.empty((3, 64, 64), np.float32)

    def fill(image):
        filled[:] = np.asarray(image.resize((64, 64))).transpose(2, 0, 1)
        return filled

    together = transformed_images(paths, fill)
    np.testing.assert_array_equal(together, np.concatenate([transformed_images([path], fill) for path in paths]))


def test_two_preprocessings_are_told_apart():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7, stride=4)).eval()
    make = functools.partial(as_brain_model, network, "mine", layers={"IT": "0"})
    models = [
        make(),
        make(image_size=64),
        make(image_size=(64, 32)),
        make(preprocessing=lambda _: torch.zeros(3, 64, 64)),
    ]
    assert len({preprocessing_digest(model) for model in models}) == len(models)
    assert preprocessing_digest(make()) == preprocessing_digest(models[0])
