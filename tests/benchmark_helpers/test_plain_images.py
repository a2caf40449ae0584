"""Images of one's own dataset: loaders that read them otherwise than they look would show a model other pictures."""

import numpy as np
import pytest
from PIL import Image, ImageFile
from plugin_testing.models import CountingModel
from plugin_testing.second_dataset import DEGREES, Study

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, RidgeMetric
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError

QUIET = EngineOptions(store=False, progress=False)
RIDGE = RidgeMetric((1.0,))


def _saved(image, path, **how):
    image.save(path, **how)


ODD = {
    "16 bits": (
        lambda i, p: _saved(Image.fromarray(np.asarray(i.convert("L")).astype(np.uint16) * 257), p),
        "mode I;16",
    ),
    "transparent": (lambda i, p: i.putalpha(100) or _saved(i, p), "transparent pixels"),
    "one colour transparent": (lambda i, p: _saved(i, p, transparency=i.getpixel((0, 0))), "transparent pixels"),
    "turned": (lambda i, p: _saved(i, p, exif=_turned()), "a tag that turns it"),
}


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("how", ODD)
def test_images_that_loaders_read_otherwise_than_they_look_are_refused(tmp_path, how):
    study, model = Study(tmp_path), CountingModel(visual_degrees=DEGREES)
    own = study.benchmark(RIDGE, options=QUIET)
    save, looks = ODD[how]
    for name in study.common[3:5]:
        with Image.open(tmp_path / f"{name}.png") as image:
            save(image.copy(), tmp_path / f"{name}.png")
    with pytest.raises(StimulusKernelError, match=f"2 of 44 of images of all .* 'common-03' \\({looks}\\)"):
        own(model)
    assert model.looks == []


def test_images_that_end_early_are_refused_where_pillow_is_lenient(tmp_path, monkeypatch):
    """A setting of the process: a model's file may have it, and its loader shows grey below."""
    study, model = Study(tmp_path), CountingModel(visual_degrees=DEGREES)
    own = study.benchmark(RIDGE, options=QUIET)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert own(CountingModel(visual_degrees=DEGREES, identifier="before")).item() > 0
    path = tmp_path / f"{study.common[3]}.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(
        StimulusKernelError, match="are whole and plain.*1 of 44 of images of all .*'common-03' .not whole"
    ):
        own(model)
    assert model.looks == []


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA"])
def test_images_that_loaders_read_as_they_look_are_shown(tmp_path, mode):
    study, model = Study(tmp_path), CountingModel(visual_degrees=DEGREES)
    for name in study.common[3:5]:
        with Image.open(tmp_path / f"{name}.png") as image:
            image.convert(mode).save(tmp_path / f"{name}.png")
    assert study.benchmark(RIDGE, options=QUIET)(model).item() > 0
