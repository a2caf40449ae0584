"""Drawn figures: coloured arrangements of simple shapes, signs in seven segments."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Picture

_OVERSAMPLE = 3  # drawn larger and averaged down, for smooth edges
_COLOURS = {"red": (214, 40, 40), "green": (36, 160, 60), "blue": (40, 70, 214)}
_SEGMENTS = {  # top, upper left, upper right, middle, lower left, lower right, bottom
    **{"A": "1111110", "H": "0111110", "U": "0110111", "E": "1101101", "P": "1111100"},
    **{"2": "1011101", "4": "0111010", "3": "1011011", "6": "1101111", "9": "1111011"},
}


def canvas(size: int, mode: str = "RGBA", colour=(0, 0, 0, 0)) -> tuple[Image.Image, ImageDraw.ImageDraw, float]:
    """An enlarged image to draw on, its pen, and its width in pixels."""
    width = size * _OVERSAMPLE
    image = Image.new(mode, (width, width), colour)
    return image, ImageDraw.Draw(image), width


def finish(image: Image.Image, size: int) -> np.ndarray:
    """The drawing at its final size; (size, size, channels) uint8."""
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def coloured_shapes(rng: np.random.Generator, name: str, size: int) -> Picture:
    """Circles, squares and triangles in strong colours on an even ground; many of them where the name says complex."""
    image, pen, width = canvas(size, "RGB", tuple(int(v) for v in rng.integers(150, 256, 3)))
    per_row = int(rng.integers(3, 6)) if name.startswith("color_complex") else int(rng.integers(1, 3))
    same_form, same_colour = rng.random(2) < 0.4
    form, hue = rng.integers(3), rng.random()
    step = width / per_row
    for row in range(per_row):
        for column in range(per_row):
            form = form if same_form else rng.integers(3)
            hue = hue if same_colour else rng.random()
            fill = tuple(int(255 * v) for v in colorsys.hsv_to_rgb(hue, rng.uniform(0.7, 1), rng.uniform(0.4, 1)))
            x, y = (column + rng.uniform(0.42, 0.58)) * step, (row + rng.uniform(0.42, 0.58)) * step
            _place(pen, form, x, y, rng.uniform(0.25, 0.42) * step, fill)
    return Picture(finish(image, size))


def _place(pen: ImageDraw.ImageDraw, form: int, x: float, y: float, r: float, fill) -> None:
    if form == 0:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif form == 1:
        pen.rectangle((x - r, y - r, x + r, y + r), fill=fill)
    else:
        pen.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=fill)


def sign(name: str, size: int) -> Picture:
    """A coloured figure on opaque grey ("deeprecon_colorExpStim04_red_square"), or a black letter or digit on
    transparent ground ("deeprecon_letter-A")."""
    words = name.split("_")
    if words[1].startswith("colorExpStim"):
        image, pen, width = canvas(size, "RGBA", (128, 128, 128, 255))
        _figure(pen, words[3], width, (*_COLOURS[words[2]], 255))
    else:
        image, pen, width = canvas(size)
        _seven_segments(pen, words[1].split("-")[1], width)
    return Picture(finish(image, size))


def _figure(pen: ImageDraw.ImageDraw, figure: str, width: float, fill) -> None:
    w = width
    if figure == "square":
        pen.rectangle((0.3 * w, 0.3 * w, 0.7 * w, 0.7 * w), fill=fill)
    elif figure == "+":
        pen.rectangle((0.2 * w, 0.42 * w, 0.8 * w, 0.58 * w), fill=fill)
        pen.rectangle((0.42 * w, 0.2 * w, 0.58 * w, 0.8 * w), fill=fill)
    elif figure == "X":
        pen.line((0.25 * w, 0.25 * w, 0.75 * w, 0.75 * w), fill=fill, width=round(0.14 * w))
        pen.line((0.25 * w, 0.75 * w, 0.75 * w, 0.25 * w), fill=fill, width=round(0.14 * w))
    else:
        edge = {"smallring": 0.32, "largering": 0.12}[figure] * w
        pen.ellipse((edge, edge, w - edge, w - edge), outline=fill, width=round(0.1 * w))


def _seven_segments(pen: ImageDraw.ImageDraw, character: str, width: float) -> None:
    left, right, top, middle, bottom = (share * width for share in (0.32, 0.68, 0.18, 0.5, 0.82))
    strokes = (
        (left, top, right, top),
        (left, top, left, middle),
        (right, top, right, middle),
        (left, middle, right, middle),
        (left, middle, left, bottom),
        (right, middle, right, bottom),
        (left, bottom, right, bottom),
    )
    half = 0.045 * width
    for on, (x0, y0, x1, y1) in zip(_SEGMENTS[character], strokes, strict=True):
        if on == "1":
            pen.rectangle((x0 - half, y0 - half, x1 + half, y1 + half), fill=(0, 0, 0, 255))
