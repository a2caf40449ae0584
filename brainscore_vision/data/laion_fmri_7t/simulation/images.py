"""From a stimulus id to the image and to its file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from .. import ids
from ..constants import BACKGROUND_RGB
from .canvas import Picture
from .ood_scenes import ood_picture
from .scenes import natural_picture

_JPEG_QUALITY = 90


def render(stimulus_id: str, size: int, seed: int) -> Picture:
    """The picture that a simulated stimulus id stands for.

    Parameters
    ----------
    stimulus_id : str
    size : int
        Width and height in pixels.
    seed : int

    Returns
    -------
    Picture
        RGBA where the id ends in .png, RGB elsewhere; a function of the three arguments alone.
    """
    stimulus = ids.parse(stimulus_id)
    maker = natural_picture if stimulus.ood_type is None else ood_picture
    return maker(stimulus, size, seed)


def encode(picture: Picture) -> bytes:
    """The image as a file: PNG with transparency, JPEG without."""
    buffer = io.BytesIO()
    if picture.pixels.shape[-1] == 4:
        Image.fromarray(picture.pixels, "RGBA").save(buffer, "PNG", compress_level=6)
    else:
        Image.fromarray(picture.pixels, "RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def displayed(source: bytes | Path, size: int | None = None) -> np.ndarray:
    """An encoded image as people saw it: transparent pixels on grey.

    Parameters
    ----------
    source : bytes or Path
        Encoded image, or its file.
    size : int, optional
        Resize to this width and height, averaging over the area; without it, the image's own size.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if image.mode == "RGBA":
            ground = Image.new("RGBA", image.size, (*BACKGROUND_RGB, 255))
            shown = Image.alpha_composite(ground, image).convert("RGB")
        else:
            shown = image.convert("RGB")
    if size is not None:
        shown = shown.resize((size, size), Image.Resampling.BOX)
    return np.asarray(shown)
