"""Photographs: crops of the two pictures that scikit-learn ships, with random geometry and colours."""

from functools import lru_cache

import numpy as np
from PIL import Image

_LUMA_CHROMA = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # RGB -> YIQ


@lru_cache(maxsize=1)
def photographs() -> tuple[Image.Image, ...]:
    """The source pictures, 640 x 427 pixels each."""
    from sklearn.datasets import load_sample_images  # scikit-learn takes a second to import

    return tuple(Image.fromarray(np.asarray(pixels)) for pixels in load_sample_images().images)


def crop(
    rng: np.random.Generator, width: int, height: int | None = None, zoom: tuple[float, float] = (0.3, 0.95)
) -> np.ndarray:
    """A random piece of a random photograph, rotated a little, mirrored half of the time.

    Parameters
    ----------
    rng : numpy.random.Generator
    width, height : int
        Size of the result in pixels; square unless a height is given.
    zoom : tuple of float
        Bounds of the piece's longer side, as a fraction of the photograph's height.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) float32 in 0..1
    """
    height = height or width
    source = photographs()[rng.integers(2)]
    side = rng.uniform(*zoom) * source.height
    angle = rng.normal(0, 0.15)
    # keep the rotated square inside the photograph: no black corners
    reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle)))
    if 2 * reach > source.height - 2:
        angle, reach = 0.0, side / 2
    x, y = rng.uniform(reach, source.width - reach), rng.uniform(reach, source.height - reach)
    scale = side / max(width, height)
    mirror = -1 if rng.random() < 0.5 else 1
    a, b = scale * np.cos(angle) * mirror, -scale * np.sin(angle)
    d, e = scale * np.sin(angle) * mirror, scale * np.cos(angle)
    offset = (x - a * width / 2 - b * height / 2, y - d * width / 2 - e * height / 2)
    piece = source.transform(
        (width, height), Image.Transform.AFFINE, (a, b, offset[0], d, e, offset[1]), Image.Resampling.BILINEAR
    )
    return np.asarray(piece, np.float32) / np.float32(255)


def recolour(
    rgb: np.ndarray, hue: float = 0.0, saturation: float = 1.0, contrast: float = 1.0, brightness: float = 0.0
) -> np.ndarray:
    """Turn hues (in turns), scale saturation and contrast, shift brightness; clipped to 0..1.

    Returns
    -------
    numpy.ndarray
        Same shape as `rgb`, float32.
    """
    cos, sin = np.cos(2 * np.pi * hue) * saturation, np.sin(2 * np.pi * hue) * saturation
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = (np.linalg.inv(_LUMA_CHROMA) @ turn @ _LUMA_CHROMA * contrast).astype(np.float32)
    shifted = (rgb - np.float32(0.5)) @ matrix.T
    shifted += np.float32(0.5 + brightness)
    return np.clip(shifted, 0, 1, out=shifted)


def jitter(rng: np.random.Generator, rgb: np.ndarray, hue: float = 0.08) -> np.ndarray:
    """Random changes of colour, as between cameras and times of the day."""
    return recolour(
        rgb,
        hue=rng.normal(0, hue),
        saturation=rng.uniform(0.4, 1.3),
        contrast=rng.uniform(0.6, 1.25),
        brightness=rng.normal(0, 0.07),
    )
