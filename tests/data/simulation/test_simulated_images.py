"""Simulated images: transparency, determinism, and features that say what is in them."""

import numpy as np
import pytest
from PIL import Image

from brainscore_vision.data.laion_fmri_7t import ids
from brainscore_vision.data.laion_fmri_7t.constants import BACKGROUND_RGB, OOD_TYPES
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, images
from brainscore_vision.data.laion_fmri_7t.simulation.stimuli_ids import stimulus_table
from brainscore_vision.data.laion_fmri_7t.simulation.visual_features import (
    SIZE,
    columns_of,
    feature_table,
    visual_features,
)

SMALL_NAMES = stimulus_table(SCALES["small"], seed=0)["stimulus_id"].tolist()


def test_as_many_images_are_transparent_as_in_the_release():
    names = [name for name in stimulus_table(SCALES["full"], seed=0)["stimulus_id"] if name.endswith(".png")]
    alpha = [images.render(name, 48, seed=0).pixels[..., 3] for name in names]
    assert len(names) == 131
    assert sum(values.min() == 0 for values in alpha) == 116
    assert all(values.min() == 255 for values in alpha if values.min() != 0)
    assert all(values.max() == 255 for values in alpha)


def test_files_have_the_form_that_their_names_promise(tiny_dataset):
    for path in (tiny_dataset / "stimuli" / "images").iterdir():
        with Image.open(path) as image:
            assert image.size == (SCALES["tiny"].image_size,) * 2
            assert (image.format, image.mode) == (("PNG", "RGBA") if path.suffix == ".png" else ("JPEG", "RGB"))


def test_transparent_pixels_are_displayed_grey():
    name = next(name for name in SMALL_NAMES if ids.ood_type(name) == "cropped")
    picture = images.render(name, 64, seed=0)
    shown, alpha = images.displayed(images.encode(picture)), picture.pixels[..., 3]
    assert (shown[alpha == 0] == BACKGROUND_RGB).all()
    np.testing.assert_array_equal(shown[alpha == 255], picture.pixels[..., :3][alpha == 255])
    hidden = picture.pixels[..., :3][alpha == 0]
    assert (np.abs(hidden.astype(int) - BACKGROUND_RGB) > 100).any(1).all(), "dropping alpha is to show"
    assert ((alpha > 0) & (alpha < 255)).any(), "edges are soft"


def test_image_is_a_function_of_name_size_and_seed():
    for name in SMALL_NAMES[::97]:
        first, again, other = (images.displayed(images.encode(images.render(name, 40, seed))) for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [32, 45, 64])
def test_every_kind_can_be_drawn_at_any_size(size):
    kinds = {(ids.parse(name).dataset, ids.parse(name).ood_type, name.endswith("png")): name for name in SMALL_NAMES}
    assert {kind for _, kind, _ in kinds} == {None, *OOD_TYPES}
    for name in kinds.values():
        pixels = images.render(name, size, seed=0).pixels
        assert pixels.shape[:2] == (size, size)
        assert pixels.dtype == np.uint8
        assert pixels.std((0, 1)).max() > 5


def test_parts_say_where_things_are():
    name = next(name for name in SMALL_NAMES if ids.parse(name).dataset == "THINGS+" and ids.parse(name).shared)
    picture = images.render(name, 64, seed=0)
    noun, mask = picture.parts[-1]
    assert noun == ids.parse(name).name.split("_", 2)[2]
    assert mask.shape == (64, 64)
    assert 0.01 < mask.mean() < 0.8


def test_a_cut_out_thing_is_where_the_picture_is_opaque():
    name = next(name for name in SMALL_NAMES if ids.ood_type(name) == "cropped")
    picture = images.render(name, 128, seed=0)
    ((_, mask),) = picture.parts
    np.testing.assert_array_equal(mask, picture.pixels[..., 3] > 127)


def test_no_two_images_look_alike():
    names = [name for number, name in enumerate(SMALL_NAMES) if number % 3 == 0 or ids.is_ood(name)]
    shown = [images.displayed(images.encode(images.render(name, 64, seed=0)), 32) for name in names]
    flat = np.stack([values.ravel() for values in shown]).astype(float)
    power = np.square(flat).mean(1)
    squared = power[:, None] + power - 2 * flat @ flat.T / flat.shape[1]  # mean squared difference in grey levels
    assert np.sqrt(squared[np.triu_indices(len(flat), 1)].min()) > 5
    correlation = np.corrcoef(flat - flat.mean(0))
    assert np.abs(correlation[np.triu_indices(len(flat), 1)]).mean() < 0.5


# features


def grating(wavelength: float, angle: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = 127 + 100 * np.sin(2 * np.pi / wavelength * (np.cos(angle) * x + np.sin(angle) * y))
    return np.repeat(wave[..., None], 3, -1).astype(np.uint8)


@pytest.mark.parametrize("wavelength", [4, 8, 16])
@pytest.mark.parametrize("orientation", range(4))
def test_gabor_energy_answers_to_its_grating(wavelength, orientation):
    described = feature_table()
    features = visual_features(grating(wavelength, np.pi * orientation / 4)[None])[0]
    gabor = {
        family: [
            features[described.channel == c].mean() for c in np.unique(described.channel[described.family == family])
        ]
        for family in ("gabor4", "gabor8", "gabor16")
    }
    best = max(gabor, key=lambda family: max(gabor[family]))
    assert best == f"gabor{wavelength}"
    assert np.argmax(gabor[best]) == orientation


def test_local_features_answer_where_something_is():
    image = np.full((SIZE, SIZE, 3), 128, np.uint8)
    image[40:56, 8:24] = grating(4, 0)[40:56, 8:24]
    described = feature_table()
    features = visual_features(image[None])[0]
    for family in ("gabor4", "contrast"):
        columns = columns_of(family)
        peak = columns[features[columns].argmax()]
        assert abs(described.x[peak] - 0.25) < 0.13
        assert abs(described.y[peak] - 0.75) < 0.13


def test_features_do_not_depend_on_the_block():
    rng = np.random.default_rng(1)
    block = rng.integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    alone = np.concatenate([visual_features(image[None]) for image in block])
    np.testing.assert_allclose(visual_features(block), alone, rtol=1e-5, atol=1e-6)
    assert alone.shape == (5, len(feature_table()))
    assert np.isfinite(visual_features(np.zeros((1, SIZE, SIZE, 3), np.uint8))).all()
