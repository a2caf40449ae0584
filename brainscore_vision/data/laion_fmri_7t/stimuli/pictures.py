"""One image file as models are shown it: opaque, 8 bits a channel, RGB or grey, in a plain JPEG or PNG.

Loaders disagree on everything else. Brain-Score's makes 16 bits white, keeps CMYK as four channels and drops alpha; others
turn pictures by their EXIF tag. So whatever is not plain becomes a copy that all read alike, and a picture means the same
in any encoding. The rules: transparent pixels on the grey of the screen; the high 8 bits of 16 (as Pillow reads 16-bit
colour); floating point from 0 to 1 or from 0 to 255; the first of several frames; pixels as they are stored, whatever an
orientation tag says. A colour profile is used where values alone are no colour (CMYK), and ignored in RGB and grey files, as
loaders do.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import (
    check_whole,
    open_image,
    strict_decoding,
    without_application_data,
)

from ..constants import BACKGROUND_RGB

TRANSPARENT = "transparent pixels on grey"
OPAQUE_ALPHA = "alpha channel without transparency"
ORIENTATION = "orientation tag ignored"
FRAMES = "first of several frames"

_JPEG, _PNG = ("JPEG", "MPO"), "PNG"
_EXIF_SEGMENT = 0xE1  # APP1: EXIF and XMP
_ORIENTATION_TAG = 0x0112
_WHITE_IS_ZERO, _PHOTOMETRIC, _BITS_PER_SAMPLE = 0, 262, 258  # of a TIFF
_DARKEST_BYTES = 16  # a picture whose largest value lies between 1 and this may be in either range
_NAMES = {"1": "1 bit", "P": "palette", "PA": "palette", "F": "floating point", "I": "16 bits"}
_HAVE_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_READ_BY_PILLOW = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")


class UnclearPicture(ValueError):
    """The file is whole, but what its values look like on a screen cannot be known."""


@dataclass(frozen=True)
class Picture:
    """What models are shown of one file.

    Attributes
    ----------
    copy : bytes or None
        Another encoding of the picture; None if the file itself is plain.
    suffix : str
        Ending of the copy's name.
    changes : tuple of str
        What is not plain about the file; empty without a copy.
    size : (int, int)
        Width and height in pixels.
    """

    copy: bytes | None
    suffix: str
    changes: tuple[str, ...]
    size: tuple[int, int]


def picture(content: bytes) -> Picture:
    """Check an encoded image strictly, and encode it again if it is not plain.

    Parameters
    ----------
    content : bytes
        An image file.

    Raises
    ------
    UnclearPicture
        If its values have no agreed meaning.
    StimulusKernelError
        If another thread changed Pillow's settings meanwhile.
    OSError, ValueError and the like
        ``image_files.UNREADABLE``: if it is no image, or not a whole one.
    """
    with strict_decoding():
        check_whole(content)
        with open_image(content) as image:
            depth = content[24] if image.format == _PNG else 8  # where a PNG's header has it
            changes = _changes(image, depth)
            if not changes and not _has_alpha(image):
                return Picture(None, "", (), image.size)
            if changes == [ORIENTATION] and image.format in _JPEG and not _has_alpha(image):
                return Picture(without_application_data(content, _EXIF_SEGMENT), ".jpg", (ORIENTATION,), image.size)
            opened = _in_eight_bits(image, depth)
            if _has_alpha(image):
                transparent = opened.mode == "RGBA" and opened.getchannel("A").getextrema()[0] < 255
                changes.append(TRANSPARENT if transparent else OPAQUE_ALPHA)
            buffer = io.BytesIO()
            composite(opened).save(buffer, format="PNG")
            return Picture(buffer.getvalue(), ".png", tuple(changes), opened.size)


def composite(image: Image.Image) -> Image.Image:
    """Put an image on the grey of the experiment's screen.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, RGBA, or another mode that Pillow converts to these.

    Returns
    -------
    PIL.Image.Image
        RGB, same size.
    """
    if image.mode == "RGB" and not _has_alpha(image):
        return image
    foreground = image.convert("RGBA")
    background = Image.new("RGBA", foreground.size, (*BACKGROUND_RGB, 255))
    return Image.alpha_composite(background, foreground).convert("RGB")


def _changes(image: Image.Image, depth: int) -> list[str]:
    """What makes a file other than a plain one, but for alpha, which only pixels tell."""
    changes = []
    if image.format not in (*_JPEG, _PNG):
        changes.append(f"{image.format} file")
    if image.format not in _JPEG and getattr(image, "n_frames", 1) > 1:
        changes.append(FRAMES)
    if image.mode.startswith("I;16"):
        changes.append("16 bits")
    elif image.mode in _NAMES:
        changes.append(_NAMES[image.mode])
    elif depth != 8:
        changes.append(f"{depth} bits")
    elif image.mode not in ("RGB", "L", "RGBX", *_HAVE_ALPHA):
        changes.append(image.mode)
    if image.format != "TIFF" and _orientation(image) != 1:  # a TIFF's tag says how its rows are stored; Pillow obeys
        changes.append(ORIENTATION)
    return changes


def _orientation(image: Image.Image) -> int | None:
    """1 if pixels are stored upright, None if the tags cannot be read."""
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, struct.error):
        return None  # another reader may make something of it, so it is dropped like a tag


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _HAVE_ALPHA or "transparency" in image.info


def _in_eight_bits(image: Image.Image, depth: int) -> Image.Image:
    """RGB, or RGBA where a file has alpha."""
    mode, transparent = image.mode, image.info.get("transparency")
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        return _from_sixteen_bits(image, transparent)
    if mode == "F":
        return _from_floats(image)
    if mode == "LAB" or (mode == "CMYK" and image.info.get("icc_profile")):
        return _from_profile(image)
    if mode not in _READ_BY_PILLOW:
        raise UnclearPicture(f"what white is in mode {mode!r} is not agreed; save it with 8 bits a channel")
    if transparent is not None and depth == 16 and isinstance(transparent, tuple):
        raise UnclearPicture("a transparent colour of 16 bits is lost in 8; save it with an alpha channel")
    if transparent is not None and mode == "L" and depth in (2, 4):
        image.info["transparency"] = transparent * 255 // (2**depth - 1)  # Pillow stretches the pixels alone
    if mode == "La":
        image = image.convert("LA")
    return image.convert("RGBA" if _has_alpha(image) else "RGB")


def _from_sixteen_bits(image: Image.Image, transparent: int | None) -> Image.Image:
    """The high 8 bits of grey values."""
    values, bits = np.asarray(image).astype(np.int64), 16
    if image.format == "TIFF":
        bits = image.tag_v2[_BITS_PER_SAMPLE][0]  # 12 is read as well
        if image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            values = 2**bits - 1 - values
    grey = Image.fromarray((values >> (bits - 8)).astype(np.uint8)).convert("RGB")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(float)
    low, high = values.min(), values.max()
    if not (low >= 0 and (high <= 1 or _DARKEST_BYTES <= high <= 255)):  # also if one is nan
        raise UnclearPicture(
            f"floating-point pixels lie between 0 and 1, or between 0 and 255 with a largest of at least {_DARKEST_BYTES}; "
            f"these lie between {low:g} and {high:g}. Save it with 8 bits a channel"
        )
    scaled = values * 255 if high <= 1 else values
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def _from_profile(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profile = image.info.get("icc_profile") if image.mode == "CMYK" else None
    source = ImageCms.createProfile("LAB") if profile is None else io.BytesIO(profile)
    try:
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise UnclearPicture(f"its colour profile cannot be used ({error}); save it as 8-bit RGB") from error
