"""A model sees what people saw: transparent pixels on grey, from every source of images, on a screen of any size."""

import hashlib
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from plugin_testing.data_factory import OOD
from plugin_testing.models import FeatureModel

from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.benchmark import stimulus_pool
from brainscore_vision.data.laion_fmri_7t.constants import BACKGROUND_RGB, VISUAL_DEGREES
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

CELL = "LAION_fMRI.V1-ood-ridge"
GREY = np.array(BACKGROUND_RGB)
assert any("cropped" in name for name in OOD)


@pytest.fixture
def with_transparency(tiny_dataset, tmp_path):
    """The tiny dataset with one OOD image whose left half is transparent, over red that nobody saw."""
    root = tmp_path / "dataset"
    shutil.copytree(tiny_dataset, root)
    name = next(i for i in open_dataset(root).split_ids("shared", "ood")[1] if i.endswith(".png"))
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[..., 0], pixels[:, 32:, 3] = 255, 255
    Image.fromarray(pixels, "RGBA").save(root / "stimuli" / "images" / name)
    return root, name


def as_released(root: Path) -> Path:
    """The same images as the release's HDF5 file and metadata, without the folder."""
    stimuli = root / "stimuli"
    manifest = pd.read_csv(stimuli / "manifest.csv", dtype=str, keep_default_na=False)
    with h5py.File(stimuli / "task-images_stimuli.h5", "w") as file:
        images = file.create_dataset("images", (len(manifest),), dtype=h5py.vlen_dtype(np.uint8))
        for row, name in enumerate(manifest["filename"]):
            images[row] = np.frombuffer((stimuli / "images" / name).read_bytes(), np.uint8)
    manifest.rename(columns={"stimulus_id": "image_name"}).drop(columns="filename").to_csv(
        stimuli / "task-images_metadata.csv", index=False
    )
    (stimuli / "manifest.csv").unlink()
    shutil.rmtree(stimuli / "images")
    return root


class Watcher(FeatureModel):
    """Remembers the pixels that it is shown, and answers with their mean colours."""

    def __init__(self, visual_degrees):
        self.seen = {}
        super().__init__(self.features_of, visual_degrees=visual_degrees, identifier=f"watcher-{visual_degrees}")

    def features_of(self, path):
        with Image.open(path) as image:
            pixels = np.asarray(image)  # as a model that knows nothing of alpha would read it
        self.seen[hashlib.sha1(pixels.tobytes()).hexdigest()] = pixels
        coarse = Image.fromarray(pixels[..., :3]).resize((4, 4))
        return np.asarray(coarse, dtype=float).ravel()


@pytest.mark.parametrize("source", ["folder", "released"])
@pytest.mark.parametrize("degrees", [VISUAL_DEGREES, 16.0])
def test_the_model_sees_grey(with_transparency, source, degrees):
    root, name = with_transparency
    if source == "released":
        as_released(root)
    model = Watcher(degrees)
    score_model(model, benchmark(CELL, subjects=("sub-01",), dataset=root))
    assert name in model.shown
    assert all(
        (pixels[..., 3] == 255).all() for pixels in model.seen.values() if pixels.ndim == 3 and pixels.shape[2] == 4
    )
    red_and_grey = [pixels for pixels in model.seen.values() if _is_half_red(pixels)]
    assert len(red_and_grey) == 1
    pixels = red_and_grey[0]
    height, width = pixels.shape[:2]
    image = round(width * VISUAL_DEGREES / degrees) if degrees != VISUAL_DEGREES else width
    left = (width - image) // 2
    middle = pixels[height // 2]
    np.testing.assert_array_equal(middle[left + image // 4, :3], GREY)  # transparent: the screen, not the red beneath
    np.testing.assert_array_equal(middle[left + 3 * image // 4, :3], [255, 0, 0])


def _is_half_red(pixels) -> bool:
    red = (pixels[..., :3] == [255, 0, 0]).all(axis=-1) if pixels.ndim == 3 else np.zeros(1, dtype=bool)
    return red.mean() > 0.1


def test_both_sources_show_the_same(with_transparency):
    root, _ = with_transparency
    ids = open_dataset(root).pool_stimuli("shared")
    of_folder = open_dataset(root).stimulus_set(ids)
    pixels = {i: np.asarray(Image.open(of_folder.get_stimulus(i)).convert("RGB")) for i in ids}
    of_release = open_dataset(as_released(root)).stimulus_set(ids)
    for stimulus_id in ids:
        path = of_release.get_stimulus(stimulus_id)
        np.testing.assert_array_equal(np.asarray(Image.open(path).convert("RGB")), pixels[stimulus_id])


def test_kernels_are_keyed_by_the_displayed_pixels(with_transparency):
    """An image whose transparency is repaired is another image: no kernel of the old one is used for it."""
    root, name = with_transparency
    before = open_dataset(root).stimulus_fingerprints([name])
    opaque = Image.new("RGB", (64, 64), (255, 0, 0))
    opaque.save(root / "stimuli" / "images" / name)
    assert open_dataset(root).stimulus_fingerprints([name]) != before


def test_images_are_9_2_degrees_wide(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    for pool in ("shared", "sub-07"):
        assert stimulus_pool(dataset, pool).visual_degrees == VISUAL_DEGREES == 9.2


def test_rows_in_another_order_than_the_metadata_are_noticed(with_transparency):
    """PNG bytes under a JPEG's name cannot be right; the message says which row."""
    root, _ = with_transparency
    as_released(root)
    metadata = root / "stimuli" / "task-images_metadata.csv"
    table = pd.read_csv(metadata, dtype=str, keep_default_na=False)
    table.iloc[::-1].to_csv(metadata, index=False)
    dataset = open_dataset(root)
    with pytest.raises(ValueError, match="not in the same order"):
        dataset.stimulus_set(dataset.pool_stimuli("shared"))
