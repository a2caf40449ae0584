"""The painter's tools of the simulated images: float32 canvases, sprites with transparency, pasting, compositing.

A canvas is (size, size, 3) float32 in 0..1. A sprite is a picture with transparency that is pasted onto a canvas.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..constants import BACKGROUND_RGB

GREY = np.float32(BACKGROUND_RGB[0] / 255)


@dataclass(frozen=True)
class Sprite:
    """A thing with transparency.

    Attributes
    ----------
    noun : str
        What it is called.
    rgb : numpy.ndarray
        (height, width, 3) float32 in 0..1.
    alpha : numpy.ndarray
        (height, width) float32, 0 transparent, 1 opaque.
    """

    noun: str
    rgb: np.ndarray
    alpha: np.ndarray


@dataclass(frozen=True)
class Picture:
    """A finished image.

    Attributes
    ----------
    pixels : numpy.ndarray
        (size, size, 3) RGB or (size, size, 4) RGBA uint8; alpha is not premultiplied.
    parts : tuple of (str, numpy.ndarray)
        Nouns of the things in it, each with the (size, size) bool mask of where it is seen.
    """

    pixels: np.ndarray
    parts: tuple[tuple[str, np.ndarray], ...] = ()


@dataclass
class Scene:
    """A canvas that things are put on; it remembers where each is."""

    canvas: np.ndarray
    parts: list[tuple[str, np.ndarray]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.canvas)

    def paste(self, sprite: Sprite, x: float, y: float) -> None:
        """Paste a sprite with its centre at (x, y), in widths of the canvas; what hangs over the edge is cut off."""
        height, width = sprite.alpha.shape
        top, left = round(y * self.size - height / 2), round(x * self.size - width / 2)
        rows = slice(max(top, 0), min(top + height, self.size))
        columns = slice(max(left, 0), min(left + width, self.size))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        alpha = sprite.alpha[inside][..., None]
        target = self.canvas[rows, columns]
        target += alpha * (sprite.rgb[inside] - target)
        visible = np.zeros((self.size, self.size), bool)
        visible[rows, columns] = alpha[..., 0] > 0.5
        self.parts = [(noun, mask & ~visible) for noun, mask in self.parts] + [(sprite.noun, visible)]

    def picture(self) -> Picture:
        return Picture(to_uint8(self.canvas), tuple(self.parts))


def to_uint8(values: np.ndarray) -> np.ndarray:
    """0..1 to 0..255, rounded, clipped."""
    return (np.clip(values, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def with_alpha(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(height, width, 4) uint8 from float colours and opacity."""
    return np.concatenate([to_uint8(rgb), to_uint8(alpha)[..., None]], axis=-1)


def flat(size: int, colour) -> np.ndarray:
    """A canvas of one colour (a number for grey, or three)."""
    return np.full((size, size, 3), colour, np.float32)


@lru_cache(maxsize=16)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of the pixels' centres, -1 at the left and top edge, 1 at the other; (size, size) float32."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False), y.setflags(write=False)
    return x, y


def hsv(hue: np.ndarray | float, saturation, value) -> np.ndarray:
    """Colours (..., 3) float32 of hues in turns, saturations and values in 0..1."""
    offsets = np.array([5, 3, 1], np.float32)
    k = (offsets + np.asarray(hue, np.float32)[..., None] * 6) % 6
    ramp = np.clip(np.minimum(k, 4 - k), 0, 1)
    value, saturation = np.asarray(value, np.float32)[..., None], np.asarray(saturation, np.float32)[..., None]
    return (value * (1 - saturation * ramp)).astype(np.float32)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Luma (..., ) of colours (..., 3), ITU-R BT.601 weights."""
    return rgb @ np.array([0.299, 0.587, 0.114], np.float32)


def normalised(values: np.ndarray, mean: float = 0.5, spread: float = 0.2) -> np.ndarray:
    """Shift and scale to the given mean and standard deviation."""
    values = values - values.mean()
    return values * np.float32(spread / max(float(values.std()), 1e-6)) + np.float32(mean)
