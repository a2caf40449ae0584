"""Image files are whole, or refused: by their content, whatever the process has told Pillow."""

import contextlib
import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import image_files
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import (
    UNREADABLE,
    check_whole,
    open_image,
    strict_decoding,
    without_application_data,
)


@pytest.fixture(params=[False, True], ids=["strict process", "lenient process"], autouse=True)
def process(request, monkeypatch):
    """The process forbids or allows truncated images, and images of any size."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None if request.param else 10)


def photograph(mode="RGB"):
    rng = np.random.default_rng(8)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((150, 150))
    noise = rng.normal(scale=8, size=(150, 150, 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:  # earlier versions of Pillow ask the limit when they write, too
        patch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEGS = {
    "baseline": lambda: encoded(photograph(), "JPEG"),
    "grey": lambda: encoded(photograph("L"), "JPEG"),
    "CMYK": lambda: encoded(photograph("CMYK"), "JPEG"),
    "progressive": lambda: encoded(photograph(), "JPEG", progressive=True),
    "full chroma, own tables": lambda: encoded(photograph(), "JPEG", subsampling=0, optimize=True, quality=97),
    "restart markers": lambda: encoded(photograph(), "JPEG", restart_marker_blocks=3),
    "restart rows, progressive": lambda: encoded(photograph(), "JPEG", restart_marker_rows=1, progressive=True),
    "uniform": lambda: encoded(Image.new("RGB", (150, 150), (128, 128, 128)), "JPEG"),
    "one pixel": lambda: encoded(Image.new("RGB", (1, 1), (3, 4, 5)), "JPEG"),
    "thumbnail": lambda: encoded(photograph(), "JPEG", exif=b"Exif\0\0" + encoded(Image.new("RGB", (9, 9)), "JPEG")),
    "several": lambda: encoded(photograph(), "MPO", save_all=True, append_images=[photograph("L").convert("RGB")]),
    "something behind": lambda: encoded(photograph(), "JPEG") + bytes(5000) + b"\xff\xd8\xff",
    "filled markers": lambda: encoded(photograph(), "JPEG")[:-2] + b"\xff\xff\xff\xd9",
}
OTHERS = {
    "PNG": lambda: encoded(photograph(), "PNG"),
    "PNG with alpha": lambda: encoded(photograph("RGBA"), "PNG"),
    "APNG": lambda: encoded(photograph(), "PNG", save_all=True, append_images=[photograph("L").convert("RGB")]),
    "GIF": lambda: encoded(photograph(), "GIF"),
    "WebP": lambda: encoded(photograph(), "WEBP"),
    "WebP lossless": lambda: encoded(photograph(), "WEBP", lossless=True),
    "TIFF": lambda: encoded(photograph(), "TIFF"),
    "TIFF deflate": lambda: encoded(photograph(), "TIFF", compression="tiff_adobe_deflate"),
    "BMP": lambda: encoded(photograph(), "BMP"),
    "PPM": lambda: encoded(photograph(), "PPM"),
    "JPEG 2000": lambda: encoded(photograph(), "JPEG2000"),
}
KINDS = JPEGS | OTHERS


def check(content):
    with strict_decoding():
        check_whole(content)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_images_pass(kind):
    check(KINDS[kind]())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("something behind", "several")])
def test_files_that_were_cut_short(kind, share):
    content = KINDS[kind]()
    with pytest.raises(UNREADABLE):
        check(content[: int(share * len(content))])


@pytest.mark.parametrize(
    "kind", ["baseline", "grey", "CMYK", "full chroma, own tables", "restart markers", "thumbnail"]
)
@pytest.mark.parametrize("length", [0.2, 0.5])
def test_middle_of_a_jpeg_is_missing(kind, length):
    """Pillow, also when it is strict, reads on to the end marker and shows grey."""
    content = JPEGS[kind]()
    start, n = int(0.4 * len(content)), int(length * len(content))
    cut = content[:start] + content[start + n :]
    with strict_decoding(), open_image(cut) as image:
        image.load()
    with pytest.raises(OSError, match="missing"):
        check(cut)


@pytest.mark.parametrize("scan", range(1, 10))
def test_a_scan_of_a_progressive_jpeg_is_cut_short(scan):
    """Its end marker is there; an eighth of the size shows the first scan alone."""
    content = JPEGS["progressive"]()
    starts = [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xda"]
    end = [*starts[1:], len(content) - 2][scan]
    with pytest.raises(OSError, match="missing|truncated"):  # Pillow finds some of them
        check(content[: starts[scan] + (end - starts[scan]) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("n_scans", [1, 3, 5])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_scans_of_a_progressive_jpeg_are_missing(mode, n_scans):
    """Decoders take it for whole, and show what is coarse in it."""
    content = encoded(photograph(mode), "JPEG", progressive=True)
    starts = [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xda"]
    tables = content.rfind(b"\xff\xc4", 0, starts[n_scans])  # of the first scan that is missing
    cut = content[: tables if tables > starts[n_scans - 1] else starts[n_scans]] + b"\xff\xd9"
    with strict_decoding(), open_image(cut) as image:
        image.load()
    with pytest.raises(OSError, match="scans of a progressive JPEG are missing"):
        check(cut)


@pytest.mark.parametrize("kind", ["PNG", "PNG with alpha", "APNG"])
def test_every_changed_byte_of_a_png_is_found(kind):
    content = OTHERS[kind]()
    rng = np.random.default_rng(4)
    for place in rng.integers(8, len(content) - 12, 60):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(UNREADABLE):
            check(bytes(changed))


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\xff\xd8", b"\xff\xd8\xff\xe0\0", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
)
def test_what_is_no_image(content):
    with pytest.raises(UNREADABLE):
        check(content)


def png(width, height):
    """One bit a pixel, black, so that many pixels are few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(ValueError, match="between 1 and 178,956,970 pixels; this one has 20,000 x 20,000"):
        check(png(20_000, 20_000))


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_long_images_pass(size):
    check(png(*size))


@pytest.mark.parametrize("seed", range(3))
def test_damage_ends_in_errors_that_are_expected(seed):
    rng = np.random.default_rng(seed)
    for make in KINDS.values():
        content = bytearray(make())
        for place in rng.integers(0, min(400, len(content)), 5):
            content[place] = rng.integers(256)
        with contextlib.suppress(UNREADABLE):
            check(bytes(content))


def test_formats_that_others_taught_pillow_are_not_read(monkeypatch):
    """Whether a file is an image must not depend on which packages a model imports."""
    monkeypatch.setitem(Image.OPEN, "ODD", (lambda *_: Image.new("RGB", (4, 4)), lambda prefix: prefix[:3] == b"odd"))
    monkeypatch.setattr(Image, "ID", [*Image.ID, "ODD"])
    assert Image.open(io.BytesIO(b"odd content")).size == (4, 4)
    with pytest.raises(OSError, match="not an image, or in none of the formats JPEG, PNG"):
        check(b"odd content")


class TestSettings:
    def test_are_as_before(self):
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        with pytest.raises(OSError, match="not an image"), strict_decoding(), strict_decoding():
            check_whole(b"")
        assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)

    def test_are_strict_until_the_last_thread_is_done(self):
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        entered, leave = threading.Event(), threading.Event()

        def hold():
            with strict_decoding():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        entered.wait(10)
        with strict_decoding():
            pass
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False
        leave.set()
        thread.join()
        assert ImageFile.LOAD_TRUNCATED_IMAGES is before

    def test_changed_by_another_thread_meanwhile(self):
        expected = pytest.raises(StimulusKernelError, match="another thread set ImageFile.LOAD_TRUNCATED_IMAGES")
        with expected, strict_decoding():
            ImageFile.LOAD_TRUNCATED_IMAGES = True
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
        assert image_files._inside == 0


def test_application_data_are_taken_out_and_pixels_stay():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(photograph(), "JPEG", exif=exif)
    bare = without_application_data(content, 0xE1)
    with strict_decoding(), open_image(content) as tagged, open_image(bare) as untagged:
        assert tagged.getexif()
        assert not untagged.getexif()
        np.testing.assert_array_equal(np.asarray(untagged), np.asarray(tagged))
