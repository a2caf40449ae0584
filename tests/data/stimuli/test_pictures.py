"""The same picture is the same to a model, however its file encodes it, at any field of view."""

import io
import struct
import zlib

import numpy as np
import PIL
import pytest
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.activations.pytorch import load_image
from PIL import Image, ImageCms

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import place_on_model_screen
from brainscore_vision.data.laion_fmri_7t.constants import BACKGROUND_RGB
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.stimuli.displayed import displayed_images
from brainscore_vision.data.laion_fmri_7t.stimuli.pictures import (
    FRAMES,
    OPAQUE_ALPHA,
    ORIENTATION,
    TRANSPARENT,
    UnclearPicture,
    picture,
)

SIZE = 48
FIELDS = (4, 8, 9.2, 16)
GREY = np.array(BACKGROUND_RGB)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))


def photograph():
    rng = np.random.default_rng(2)
    return Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (SIZE, SIZE), Image.Resampling.BICUBIC
    )


COLOUR = photograph()
LUMINANCE = COLOUR.convert("L")
ALPHA = Image.linear_gradient("L").resize((SIZE, SIZE))
EXIF = Image.Exif()
EXIF[0x0112] = 6
LEVELS = np.asarray(LUMINANCE).astype(np.uint16)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(depth, colour_type, rows, transparent=b""):
    """A PNG of kinds that Pillow does not write; rows of packed samples."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, depth, colour_type, 0, 0, 0))]
    if transparent:
        parts.append(chunk(b"tRNS", transparent))
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def big_endian(values):
    return [row.astype(">u2").tobytes() for row in values]


def lab():
    srgb, profile = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(COLOUR, srgb, profile, outputMode="LAB")


def animated(kind, **options):
    return encoded(COLOUR, kind, save_all=True, append_images=[COLOUR.rotate(90)], **options)


def with_alpha(image, alpha=ALPHA):
    image = image.copy()
    image.putalpha(alpha)
    return image


def on_grey(image):
    """Computed here, in floating point."""
    pixels = np.asarray(image.convert("RGBA")).astype(float)
    alpha = pixels[..., 3:] / 255
    return alpha * pixels[..., :3] + (1 - alpha) * GREY


def four_bits():
    """Grey in 16 steps, packed two to a byte, and the same in 8 bits."""
    steps = LEVELS.astype(np.uint8) >> 4
    return [((row[::2] << 4) | row[1::2]).tobytes() for row in steps], steps * 17


FOUR_BITS, FOUR_BITS_GREY = four_bits()
BITS = COLOUR.convert("1")
PALETTE = COLOUR.quantize(200)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
GREY_RGB = np.stack([np.asarray(LUMINANCE)] * 3, axis=-1)

SIXTEEN = Image.fromarray(LEVELS * 257)
BIG_ENDIAN = Image.fromarray((LEVELS * 257).astype(">u2"))
SIXTEEN_PGM = b"P5 %d %d 65535\n" % SIXTEEN.size + (LEVELS * 257).astype(">u2").tobytes()
FLOATS = Image.fromarray(LEVELS.astype(np.float32))
UNIT_FLOATS = Image.fromarray((LEVELS / 255).astype(np.float32))
COLOUR_16 = big_endian(np.asarray(COLOUR).astype(np.uint16) * 257)
RGBA_16 = big_endian(np.asarray(with_alpha(COLOUR)).reshape(SIZE, -1).astype(np.uint16) * 257)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def keyed(image, seen):
    """The value of one pixel, and the picture without pixels of this value."""
    values = np.asarray(image).reshape(SIZE, SIZE, -1)
    return values[5, 5].tolist(), np.where((values == values[5, 5]).all(-1, keepdims=True), GREY, rgb(seen))


def rgb(expected):
    expected = np.asarray(expected).astype(float)
    return np.stack([expected] * 3, axis=-1) if expected.ndim == 2 else expected


COLOUR_KEY, COLOUR_KEYED = keyed(COLOUR, COLOUR)
(PALETTE_KEY,), PALETTE_KEYED = keyed(PALETTE, PALETTE_RGB)
(GREY_KEY,), GREY_KEYED = keyed(LUMINANCE, GREY_RGB)
(FOUR_BITS_KEY,), FOUR_BITS_KEYED = keyed(FOUR_BITS_GREY, FOUR_BITS_GREY)
BITS_KEYED = np.where(np.asarray(BITS), 128, 0)

PLAIN = {
    "RGB PNG": (encoded(COLOUR, "PNG"), COLOUR),
    "grey PNG": (encoded(LUMINANCE, "PNG"), LUMINANCE),
    "RGB PNG with a profile": (encoded(COLOUR, "PNG", icc_profile=PROFILE), COLOUR),
}
"""Name: (content, what is to be seen)."""

NOT_PLAIN = {
    "turned by its tag": (encoded(COLOUR, "PNG", exif=EXIF), COLOUR, 0, (ORIENTATION,)),
    "16-bit PNG": (encoded(SIXTEEN, "PNG"), LUMINANCE, 0, ("16 bits",)),
    "16-bit PNG, shifted": (encoded(Image.fromarray(LEVELS * 256), "PNG"), LUMINANCE, 0, ("16 bits",)),
    "16-bit TIFF": (encoded(SIXTEEN, "TIFF"), LUMINANCE, 0, ("TIFF file", "16 bits")),
    "16-bit TIFF, big-endian": (encoded(BIG_ENDIAN, "TIFF"), LUMINANCE, 0, ("TIFF file", "16 bits")),
    "16-bit PGM": (
        b"P5 %d %d 65535\n" % SIXTEEN.size + (LEVELS * 257).astype(">u2").tobytes(),
        LUMINANCE,
        0,
        ("PPM file", "16 bits"),
    ),
    "16-bit JPEG 2000": (encoded(SIXTEEN, "JPEG2000"), LUMINANCE, 0, ("JPEG2000 file", "16 bits")),
    "16-bit RGB PNG": (png(16, 2, COLOUR_16), COLOUR, 0, ("16 bits",)),
    "4-bit PNG": (png(4, 0, FOUR_BITS), FOUR_BITS_GREY, 0, ("4 bits",)),
    "1-bit PNG": (encoded(BITS, "PNG"), BITS.convert("RGB"), 0, ("1 bit",)),
    "1-bit TIFF": (encoded(BITS, "TIFF", compression="group4"), BITS.convert("RGB"), 0, ("TIFF file", "1 bit")),
    "floats to 1": (encoded(UNIT_FLOATS, "TIFF"), LUMINANCE, 0, ("TIFF file", "floating point")),
    "floats to 255": (encoded(FLOATS, "TIFF"), LUMINANCE, 0, ("TIFF file", "floating point")),
    "palette PNG": (encoded(PALETTE, "PNG"), PALETTE_RGB, 0, ("palette",)),
    "GIF": (encoded(PALETTE, "GIF"), PALETTE_RGB, 0, ("GIF file", "palette")),
    "CMYK TIFF": (encoded(COLOUR.convert("CMYK"), "TIFF"), COLOUR, 0, ("TIFF file", "CMYK")),
    "CMYK JPEG": (encoded(COLOUR.convert("CMYK"), "JPEG", quality=98), COLOUR, 12, ("CMYK",)),
    "YCbCr TIFF": (encoded(COLOUR.convert("YCbCr"), "TIFF"), COLOUR, 4, ("TIFF file", "YCbCr")),
    # 8 bits of LAB are coarse at the edge of what sRGB can show; the mean is what tells
    "LAB TIFF": (encoded(lab(), "TIFF"), COLOUR, 40, ("TIFF file", "LAB")),
    "RGBX TIFF": (encoded(COLOUR.convert("RGBX"), "TIFF"), COLOUR, 0, ("TIFF file",)),
    "BMP": (encoded(COLOUR, "BMP"), COLOUR, 0, ("BMP file",)),
    "WebP": (encoded(COLOUR, "WEBP", lossless=True), COLOUR, 0, ("WEBP file",)),
    "RGB TIFF": (encoded(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR, 0, ("TIFF file",)),
    "animated PNG": (animated("PNG"), COLOUR, 0, (FRAMES,)),
    "animated WebP": (animated("WEBP", lossless=True), COLOUR, 0, ("WEBP file", FRAMES)),
    "TIFF of two pages": (animated("TIFF"), COLOUR, 0, ("TIFF file", FRAMES)),
    "RGBA": (encoded(with_alpha(COLOUR), "PNG"), on_grey(with_alpha(COLOUR)), 1, (TRANSPARENT,)),
    "RGBA, 16 bits": (png(16, 6, RGBA_16), on_grey(with_alpha(COLOUR)), 1, ("16 bits", TRANSPARENT)),
    "RGBA TIFF": (encoded(with_alpha(COLOUR), "TIFF"), on_grey(with_alpha(COLOUR)), 1, ("TIFF file", TRANSPARENT)),
    "LA": (encoded(with_alpha(LUMINANCE), "PNG"), on_grey(with_alpha(LUMINANCE)), 1, (TRANSPARENT,)),
    "opaque RGBA": (encoded(COLOUR.convert("RGBA"), "PNG"), COLOUR, 0, (OPAQUE_ALPHA,)),
    "opaque LA": (encoded(LUMINANCE.convert("LA"), "PNG"), LUMINANCE, 0, (OPAQUE_ALPHA,)),
    "RGB key": (encoded(COLOUR, "PNG", transparency=tuple(COLOUR_KEY)), COLOUR_KEYED, 0, (TRANSPARENT,)),
    "palette key": (encoded(PALETTE, "PNG", transparency=PALETTE_KEY), PALETTE_KEYED, 0, ("palette", TRANSPARENT)),
    "GIF key": (
        encoded(PALETTE, "GIF", transparency=PALETTE_KEY),
        PALETTE_KEYED,
        0,
        ("GIF file", "palette", TRANSPARENT),
    ),
    "grey key": (encoded(LUMINANCE, "PNG", transparency=GREY_KEY), GREY_KEYED, 0, (TRANSPARENT,)),
    "16-bit key": (
        png(16, 0, big_endian(LEVELS * 257), struct.pack(">H", GREY_KEY * 257)),
        GREY_KEYED,
        0,
        ("16 bits", TRANSPARENT),
    ),
    "4-bit key": (
        png(4, 0, FOUR_BITS, struct.pack(">H", FOUR_BITS_KEY // 17)),
        FOUR_BITS_KEYED,
        0,
        ("4 bits", TRANSPARENT),
    ),
    "1-bit key": (encoded(BITS, "PNG", transparency=255), BITS_KEYED, 0, ("1 bit", TRANSPARENT)),
}
"""Name: (content, what is to be seen, largest difference, what is said of the file)."""

ENCODINGS = {name: (*case, 0, ()) for name, case in PLAIN.items()} | NOT_PLAIN


def close(got, expected, tolerance):
    """At most the tolerance apart, and on average far less."""
    difference = np.abs(got.astype(float) - expected)
    return difference.max() <= tolerance and difference.mean() <= 1.5


def displayed(tmp_path, content, name="image.png"):
    path = tmp_path / name
    path.write_bytes(content)
    return displayed_images({"x": path})["x"]


def on_screen(image, degrees, directory):
    """What Brain-Score's loader gives a model with this field of view."""
    stimuli = StimulusSet({"stimulus_id": ["x"]})
    stimuli.stimulus_paths = {"x": str(image.path)}
    placed = place_on_model_screen(stimuli, {"x": image.sha1}, 9.2, degrees, [directory])
    return np.asarray(load_image(placed.get_stimulus("x")))


def encoded_as(encoding: str) -> tuple:
    """What stands in ENCODINGS; skips what this Pillow cannot read back: before 13, TIFFs in YCbCr."""
    with Image.open(io.BytesIO(ENCODINGS[encoding][0])) as image:
        try:
            image.load()
        except OSError as error:
            pytest.skip(f"Pillow {PIL.__version__} does not read the {encoding} that it wrote: {error}")
    return ENCODINGS[encoding]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_to_be_seen(tmp_path, encoding):
    content, expected, tolerance, changes = encoded_as(encoding)
    shown = displayed(tmp_path, content)
    assert shown.changes == changes
    with Image.open(shown.path) as image:
        assert image.mode in ("RGB", "L")
    assert (shown.path == tmp_path / "image.png") is (not changes)
    assert close(np.asarray(load_image(shown.path)), rgb(expected), tolerance)


@pytest.mark.parametrize("degrees", FIELDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_at_any_field_of_view(tmp_path, encoding, degrees):
    content, expected, tolerance, _ = encoded_as(encoding)
    plain = Image.fromarray(np.rint(rgb(expected)).astype(np.uint8))
    (tmp_path / "plain").mkdir()
    reference = on_screen(displayed(tmp_path / "plain", encoded(plain, "PNG")), degrees, tmp_path / "screen")
    got = on_screen(displayed(tmp_path, content), degrees, tmp_path / "screen")
    assert got.shape == reference.shape == (*reference.shape[:2], 3)
    assert close(got, reference, tolerance)


class TestNames:
    """A file is what its content says."""

    @pytest.mark.parametrize("degrees", FIELDS)
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    @pytest.mark.parametrize("name", ["image.JPG", "image.Png", "image.jpeg", "image.tif", "image", "image.txt"])
    def test_any_ending(self, tmp_path, kind, name, degrees):
        content = encoded(COLOUR, kind)
        (tmp_path / "right").mkdir()
        right = displayed(tmp_path / "right", content, "image.jpg" if kind == "JPEG" else "image.png")
        other = displayed(tmp_path, content, name)
        assert not other.changes
        np.testing.assert_array_equal(
            on_screen(other, degrees, tmp_path / "screen 1"), on_screen(right, degrees, tmp_path / "screen 2")
        )

    @pytest.mark.parametrize("degrees", FIELDS)
    def test_grey_jpeg_is_its_rgb_version(self, tmp_path, degrees):
        grey = displayed(tmp_path, encoded(LUMINANCE, "PNG"), "grey.png")
        colour = displayed(tmp_path, encoded(LUMINANCE.convert("RGB"), "PNG"), "colour.png")
        np.testing.assert_array_equal(on_screen(grey, degrees, tmp_path), on_screen(colour, degrees, tmp_path))


class TestOrientation:
    """Pixels are shown as they are stored, to every loader: no copy has a tag."""

    @pytest.mark.parametrize("degrees", FIELDS)
    @pytest.mark.parametrize("orientation", range(2, 9))
    def test_jpeg_stays_a_jpeg(self, tmp_path, orientation, degrees):
        exif = Image.Exif()
        exif[0x0112] = orientation
        plain = displayed(tmp_path, encoded(COLOUR, "JPEG"), "plain.jpg")
        tagged = displayed(tmp_path, encoded(COLOUR, "JPEG", exif=exif), "tagged.jpg")
        assert tagged.changes == (ORIENTATION,)
        np.testing.assert_array_equal(on_screen(tagged, degrees, tmp_path), on_screen(plain, degrees, tmp_path))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_copies_have_no_tag(self, tmp_path, kind):
        with Image.open(displayed(tmp_path, encoded(COLOUR, kind, exif=EXIF)).path) as image:
            assert 0x0112 not in image.getexif()
            assert "exif" not in image.info

    def test_an_upright_tag_changes_nothing(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 1
        assert displayed(tmp_path, encoded(COLOUR, "JPEG", exif=exif)).path == tmp_path / "image.png"

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_unreadable_tags_are_dropped(self, tmp_path):
        shown = displayed(tmp_path, encoded(COLOUR, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 20))
        with Image.open(shown.path) as image:
            np.testing.assert_array_equal(
                np.asarray(image), np.asarray(Image.open(io.BytesIO(encoded(COLOUR, "JPEG"))))
            )


class TestUnclear:
    @pytest.mark.parametrize("values", [[0, 1.02], [0, 15.9], [-0.1, 1], [0, 256], [0, np.nan], [0, np.inf]], ids=str)
    def test_floats_of_no_clear_range(self, tmp_path, values):
        pixels = np.resize(np.array(values, dtype=np.float32), (4, 4))
        with pytest.raises(DatasetError, match="floating-point pixels lie between 0 and 1, or .*Save it with 8 bits"):
            displayed(tmp_path, encoded(Image.fromarray(pixels), "TIFF"), "image.tif")

    def test_integers_of_32_bits(self):
        with pytest.raises(UnclearPicture, match="white is in mode 'I' is not agreed; save it with 8 bits"):
            picture(encoded(Image.fromarray(np.full((4, 4), 200, dtype=np.int32)), "TIFF"))

    def test_transparent_colour_of_16_bits(self):
        rows = big_endian(np.asarray(COLOUR).reshape(SIZE, -1).astype(np.uint16) * 257)
        with pytest.raises(UnclearPicture, match="16 bits is lost in 8; save it with an alpha channel"):
            picture(png(16, 2, rows, b"\1\2\1\2\1\2"))

    def test_a_profile_that_is_none(self):
        with pytest.raises(UnclearPicture, match="profile cannot be used"):
            picture(encoded(COLOUR.convert("CMYK"), "JPEG", icc_profile=b"no profile"))

    def test_black_floats_are_black(self):
        shown = picture(encoded(Image.fromarray(np.zeros((4, 4), dtype=np.float32)), "TIFF"))
        assert not np.asarray(Image.open(io.BytesIO(shown.copy))).any()
