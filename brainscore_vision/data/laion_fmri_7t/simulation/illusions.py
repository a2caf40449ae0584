"""Classic illusions: dark line drawings on transparent ground, each as illusion, control and real difference."""

import math

from PIL import ImageDraw

from .canvas import Picture
from .figures import canvas, finish

_INK, _PALE = (20, 20, 20, 255), (170, 170, 170, 255)


def classic_illusion(name: str, size: int) -> Picture:
    """The drawing that a name such as "classic-illusion-06-ponzocontrol" asks for.

    Parameters
    ----------
    name : str
        Family, then nothing, "control" (without the inducing parts) or "positive" (the difference is really there).
    size : int
        Width and height in pixels.

    Returns
    -------
    Picture
        RGBA.
    """
    word = name.split("-")[-1]
    family, draw = next((family, draw) for family, draw in _FAMILIES.items() if word.startswith(family))
    version = word.removeprefix(family)
    image, pen, width = canvas(size)
    draw(pen, width, version != "control", 0.12 if version == "positive" else 0.0)
    return Picture(finish(image, size))


def _line(pen: ImageDraw.ImageDraw, w: float, x0: float, y0: float, x1: float, y1: float, thick: float = 0.02) -> None:
    pen.line((x0 * w, y0 * w, x1 * w, y1 * w), fill=_INK, width=round(thick * w))


def _disc(pen: ImageDraw.ImageDraw, w: float, x: float, y: float, r: float, fill=_INK) -> None:
    pen.ellipse(((x - r) * w, (y - r) * w, (x + r) * w, (y + r) * w), fill=fill)


def _ponzo(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    if inducing:
        _line(pen, w, 0.15, 0.92, 0.44, 0.08)
        _line(pen, w, 0.85, 0.92, 0.56, 0.08)
    half = 0.14
    _line(pen, w, 0.5 - half - difference, 0.32, 0.5 + half + difference, 0.32, 0.035)
    _line(pen, w, 0.5 - half, 0.72, 0.5 + half, 0.72, 0.035)


def _muellerlyer(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    for y, inward, half in ((0.33, 1, 0.28 + difference), (0.67, -1, 0.28)):
        _line(pen, w, 0.5 - half, y, 0.5 + half, y)
        for side in (-1, 1):
            end = 0.5 + side * half
            for up in (-1, 1):
                tip = end - side * inward * 0.1 if inducing else end
                _line(pen, w, end, y, tip, y + up * 0.1)


def _ebbinghaus(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    for x, ring, count, radius, grow in ((0.28, 0.19, 6, 0.08, 0.0), (0.76, 0.13, 8, 0.03, difference / 3)):
        _disc(pen, w, x, 0.5, 0.07 + grow, fill=_PALE)
        if inducing:
            for k in range(count):
                angle = 2 * math.pi * k / count
                _disc(pen, w, x + ring * math.cos(angle), 0.5 + ring * math.sin(angle), radius)


def _kanizsa(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    angles = [math.pi * (2 * k / 3 - 0.5) for k in range(3)]
    corners = [(0.5 + 0.3 * math.cos(angle), 0.54 + 0.3 * math.sin(angle)) for angle in angles]
    for x, y in corners:
        _disc(pen, w, x, y, 0.12)
    if inducing:  # mouths that open on the triangle
        pen.polygon([(x * w, y * w) for x, y in corners], fill=(0, 0, 0, 0))
    if difference:
        pen.polygon([(x * w, y * w) for x, y in corners], fill=_PALE)


def _chubb(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    cells = 16
    for row in range(cells):
        for column in range(cells):
            x, y = 0.1 + 0.8 * (column + 0.5) / cells, 0.1 + 0.8 * (row + 0.5) / cells
            inside = math.hypot(x - 0.5, y - 0.5) < 0.22
            if not inside and not inducing:
                continue
            dark = (row * 7 + column * 5 + row * column) % 3 == 0
            low, high = (90, 160) if inside else (10, 245)
            shade = (low if dark else high) + round(300 * difference * inside)
            half = 0.4 / cells
            box = ((x - half) * w, (y - half) * w, (x + half) * w, (y + half) * w)
            pen.rectangle(box, fill=(shade, shade, shade, 255))


def _asahi(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    petals = 12
    for k in range(petals):
        angle = 2 * math.pi * k / petals
        petal, tile = [(0.16, 0.0), (0.34, 0.5), (0.46, 0.0), (0.34, -0.5)], [(0.3, 0.3), (0.4, 0.3), (0.4, -0.3)]
        reach = petal if inducing else tile
        for inner in range(6, 0, -1):  # brighter towards the centre
            shade = 255 - 36 * inner if inducing else 120
            points = [
                (
                    (0.5 + (0.16 + (r - 0.16) * inner / 6) * math.cos(angle + t * 0.5)) * w,
                    (0.5 + (0.16 + (r - 0.16) * inner / 6) * math.sin(angle + t * 0.5)) * w,
                )
                for r, t in reach
            ]
            pen.polygon(points, fill=(shade, shade, shade // 2, 255))
    if difference:
        _disc(pen, w, 0.5, 0.5, 0.15, fill=(255, 255, 255, 255))


def _zoellner(pen: ImageDraw.ImageDraw, w: float, inducing: bool, difference: float) -> None:
    for k in range(5):
        y, tilt = 0.14 + 0.18 * k, (-1) ** k
        _line(pen, w, 0.08, y - tilt * difference / 3, 0.92, y + tilt * difference / 3)
        if inducing:
            for j in range(12):
                x = 0.12 + 0.07 * j
                _line(pen, w, x - 0.03 * tilt, y - 0.05, x + 0.03 * tilt, y + 0.05, 0.012)


_FAMILIES = {
    "asahi": _asahi,
    "chubb": _chubb,
    "ebbinghaus": _ebbinghaus,
    "kanizsa": _kanizsa,
    "muellerlyer": _muellerlyer,
    "ponzo": _ponzo,
    "zoellner": _zoellner,
}
