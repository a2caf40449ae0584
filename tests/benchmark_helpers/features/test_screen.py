"""Images on a model's screen: Brain-Score's pixels, without its pitfalls of storage."""

import errno
import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from PIL import Image, ImageFile

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError, StorageError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import image_files
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import (
    count_unfitted,
    place_on_model_screen,
)

SOURCE_DEGREES = 9.2


@pytest.fixture
def images(tmp_path):
    """Photographs in colour and grey, as JPEG and PNG, square and not: {stimulus id: path}."""
    rng = np.random.default_rng(1)
    shapes = {
        "colour.jpg": (30, 30, 3),
        "grey.jpg": (30, 30),
        "capitals.JPEG": (31, 31, 3),
        "colour.png": (30, 30, 3),
        "grey.png": (29, 29),
        "wide.png": (20, 33, 3),
        "large.png": (300, 300, 3),
    }
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    return {name: folder / name for name in shapes}


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "screen"


def stimulus_set(paths, identifier=None):
    stimuli = StimulusSet({"stimulus_id": list(paths)})
    stimuli.stimulus_paths = {stimulus_id: str(path) for stimulus_id, path in paths.items()}
    stimuli.identifier = identifier
    return stimuli


def hashes(paths):
    return {stimulus_id: hashlib.sha1(Path(path).read_bytes()).hexdigest() for stimulus_id, path in paths.items()}


def place(paths, target_degrees, directory, source_degrees=SOURCE_DEGREES):
    return place_on_model_screen(stimulus_set(paths), hashes(paths), source_degrees, target_degrees, [directory])


def pixels(path):
    with Image.open(path) as image:
        return image.mode, np.asarray(image)


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("target_degrees", [4, 8, 10.0, 20.5], ids="{} degrees".format)
def test_pixels_are_brain_scores(images, directory, target_degrees):
    ours = place(images, target_degrees, directory)
    theirs = place_on_screen(
        stimulus_set(images, identifier=f"made-for-{target_degrees}"),
        target_visual_degrees=target_degrees,
        source_visual_degrees=SOURCE_DEGREES,
    )
    for stimulus_id in images:
        mode, expected = pixels(theirs.get_stimulus(stimulus_id))
        got_mode, got = pixels(ours.get_stimulus(stimulus_id))
        assert got_mode == mode
        np.testing.assert_array_equal(got, expected)
    ratio = target_degrees / SOURCE_DEGREES
    assert pixels(ours.get_stimulus("wide.png"))[1].shape == (round(20 * ratio), round(33 * ratio), 3)


@pytest.mark.parametrize("degrees", [SOURCE_DEGREES, np.float32(SOURCE_DEGREES)])
def test_equal_degrees_pass_images_through(images, directory, degrees):
    placed = place(images, degrees, directory)
    assert {i: Path(placed.get_stimulus(i)) for i in placed["stimulus_id"]} == images
    assert not directory.exists()


def test_order_is_kept_and_the_set_has_no_name(images, directory):
    order = list(images)[::-1]
    placed = place({name: images[name] for name in order}, 8, directory)
    assert list(placed["stimulus_id"]) == order
    assert placed.identifier is None


def test_converted_once_for_all_who_show_it(images, directory, monkeypatch):
    place(images, 8, directory)
    before = {path: path.stat().st_mtime_ns for path in files(directory)}
    monkeypatch.setattr(image_files, "ImageConverter", None)  # would raise if it were asked for
    place(dict(list(images.items())[:3]), 8, directory)
    assert {path: path.stat().st_mtime_ns for path in files(directory)} == before


def test_what_is_to_be_converted_can_be_counted_before(images, directory):
    def unfitted(target_degrees):
        return count_unfitted(stimulus_set(images), hashes(images), SOURCE_DEGREES, target_degrees, [directory])

    assert (unfitted(8), unfitted(SOURCE_DEGREES), directory.exists()) == (len(images), 0, False)
    place(dict(list(images.items())[:3]), 8, directory)
    assert (unfitted(8), unfitted(4)) == (len(images) - 3, len(images))


def test_stimuli_of_the_same_content_share_a_file(images, directory, tmp_path):
    copy = tmp_path / "another name.png"
    copy.write_bytes(images["colour.png"].read_bytes())
    placed = place({"colour.png": images["colour.png"], "copy": copy, "grey.png": images["grey.png"]}, 8, directory)
    assert placed.get_stimulus("copy") == placed.get_stimulus("colour.png") != placed.get_stimulus("grey.png")


def test_other_content_under_the_same_name_is_another_file(images, directory):
    one = {"stimulus": images["colour.png"]}
    before = pixels(place(one, 8, directory).get_stimulus("stimulus"))[1]
    images["colour.png"].write_bytes(images["wide.png"].read_bytes())
    after = pixels(place(one, 8, directory).get_stimulus("stimulus"))[1]
    assert after.shape != before.shape


def test_degrees_that_differ_little_are_not_confused(images, directory):
    one = {"colour.png": images["colour.png"]}
    paths = {place(one, degrees, directory).get_stimulus("colour.png") for degrees in (8, 8 + 1e-9, 8.0)}
    assert len(paths) == 2


def cut(content):
    return content[: len(content) // 2]


def damaged(content):
    """One byte of the compressed pixels is another one."""
    middle = content.index(b"IDAT") + 30
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def broken(content):
    """The second part of the pixels is not announced as such."""
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    return content[:second] + b"\0" + content[second + 1 :]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("colour.jpg", cut),
        ("colour.png", cut),
        ("colour.png", damaged),
        ("large.png", broken),
        ("grey.png", lambda content: b"no image at all"),
        ("grey.png", lambda content: b""),
    ],
    ids=["cut JPEG", "cut PNG", "damaged PNG", "broken PNG", "text", "empty"],
)
def test_an_unreadable_image_is_named(images, directory, name, spoil):
    images[name].write_bytes(spoil(images[name].read_bytes()))
    with pytest.raises(StimulusKernelError, match="must be a readable image.*Restore") as error:
        place(images, 8, directory)
    assert str(images[name]) in str(error.value)
    assert all(pixels(path)[1].size for path in files(directory))  # whatever is there is whole
    assert not list(directory.rglob(".*"))


def test_a_lenient_process_changes_nothing(images, directory, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    images["large.png"].write_bytes(cut(images["large.png"].read_bytes()))
    with pytest.raises(StimulusKernelError, match="large.png is not .*truncated"):
        place(images, 8, directory)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize(("content", "name"), [("colour.png", "wrong.jpg"), ("colour.jpg", "wrong.png")])
def test_a_wrong_ending_changes_nothing(images, directory, tmp_path, content, name):
    wrong = tmp_path / name
    wrong.write_bytes(images[content].read_bytes())
    right = pixels(place({"x": images[content]}, 8, directory / "right").get_stimulus("x"))[1]
    np.testing.assert_array_equal(pixels(place({"x": wrong}, 8, directory / "wrong").get_stimulus("x"))[1], right)


def test_a_field_of_view_that_leaves_no_pixel(directory, tmp_path):
    Image.new("RGB", (1, 400)).save(tmp_path / "line.png")
    with pytest.raises(
        StimulusKernelError, match="4 degrees show none of .*line.png, whose 1 x 400 pixels.*visual_degrees"
    ):
        place({"line": tmp_path / "line.png"}, 4, directory)


def test_a_missing_image_is_named(images, directory):
    given = hashes(images)
    images["grey.jpg"].unlink()
    with pytest.raises(StimulusKernelError, match="grey.jpg"):
        place_on_model_screen(stimulus_set(images), given, SOURCE_DEGREES, 8, [directory])


def test_a_full_disk_is_not_taken_for_a_bad_image(images, directory, monkeypatch):
    def fill(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(image_files.ImageConverter, "apply_ratio", fill)
    with pytest.raises(StorageError, match="no space is left.*BRAINSCORE_HOME"):
        place(images, 8, directory)


@pytest.mark.parametrize("degrees", [0, -8, float("nan")])
def test_a_model_has_a_field_of_view(images, directory, degrees):
    with pytest.raises(StimulusKernelError, match=f"positive number of degrees, received {degrees}.*visual_degrees"):
        place(images, degrees, directory)


def test_an_interrupted_conversion_leaves_nothing(images, directory, monkeypatch):
    def interrupt(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        place(images, 8, directory)
    assert files(directory) == []
    monkeypatch.undo()
    assert len(files(directory)) == 0
    place(images, 8, directory)
    assert len(files(directory)) == len(images)


def test_two_at_once_do_not_disturb_each_other(images, directory):
    errors = []

    def run():
        try:
            place(images, 8, directory)
        except StimulusKernelError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(files(directory)) == len(images)
    assert not list(directory.rglob(".*"))
