"""The pictures of the simulated stimuli: things of random form on a ground of random texture.

A picture need not look like its name. It has to differ from all others, in features that `visual_features` measures,
and every out-of-distribution type has to differ from the natural pictures in a way of its own.
"""

import io
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import fft

from .. import ids
from ..constants import BACKGROUND_RGB
from ..stimuli.pictures import composite
from .rng import generator
from .stimuli_ids import NOUNS

_SIZE = 128  # pixels; pictures are drawn at this width and then resized
_N_ANGLES = 256  # of an outline
_N_LOOKS = 60  # LAION clusters share so many looks, so that k-means finds something
_JPEG_QUALITY = 90
_OPAQUE = "deeprecon_colorExpStim"  # PNG files of these names have no transparent pixels
_GREY = np.array(BACKGROUND_RGB, np.float32) / 255

_NOUN = re.compile("|".join(map(re.escape, NOUNS)))

_Y, _X = ((np.mgrid[:_SIZE, :_SIZE] + 0.5) / _SIZE).astype(np.float32)  # 0 at the top and left edge, 1 at the other

_FY, _FX = np.meshgrid(fft.fftfreq(_SIZE, 1 / _SIZE), fft.rfftfreq(_SIZE, 1 / _SIZE), indexing="ij")
_LOG_FREQUENCY = np.log(np.maximum(np.hypot(_FX, _FY), 1)).astype(np.float32)  # cycles per picture
_DIRECTION = np.arctan2(_FY, _FX).astype(np.float32)


@dataclass(frozen=True)
class Style:
    """How pictures of one type are drawn."""

    things: tuple[int, int] = (0, 4)  # fewest and most
    width: tuple[float, float] = (0.12, 0.6)  # least and greatest of a thing, in widths of the picture
    ground: float = 0.18  # contrast of its texture; 0 is a plain colour
    skin: float = 0.12  # the same of things
    roughness: float = 0.0  # how much more energy textures have at high frequencies
    line: float = 0.0  # above 0: only the edges of things are drawn, in black and this wide
    gain: float = 1.0  # colours are stretched away from grey by this factor
    grating: bool = False  # a grating on grey instead of the things


NATURAL = Style()

OOD_STYLES = {
    "shape": Style(things=(1, 5), width=(0.25, 0.6), ground=0, skin=0),
    "relations": Style(things=(2, 3), width=(0.3, 0.45)),
    "unusual": Style(things=(1, 2), width=(0.4, 0.7), roughness=0.7, gain=1.5),
    "cropped": Style(things=(1, 1), width=(0.6, 0.9)),
    "selfmade": Style(things=(5, 9), width=(0.1, 0.25), ground=0.04),
    "gaudy": Style(gain=5),
    "illusion-classic": Style(things=(3, 6), width=(0.2, 0.7), line=0.025),
    "gabor": Style(grating=True, ground=0),
    "illusion-natural": Style(things=(1, 1), width=(0.9, 1.2)),
}
"""Style of each out-of-distribution type."""


@dataclass(frozen=True)
class Picture:
    """A finished picture, and what is seen where."""

    pixels: np.ndarray  # (size, size, 3) RGB or (size, size, 4) RGBA uint8; alpha is not premultiplied
    parts: tuple[tuple[str, np.ndarray], ...]  # noun of each thing, with its (size, size) bool mask


def render(stimulus_id: str, size: int, seed: int, with_parts: bool = True) -> Picture:
    """The picture that a simulated stimulus id stands for, `size` pixels wide and high.

    It is RGBA where the id ends in .png, RGB elsewhere; a function of the first three arguments alone. Without parts, which
    take half of the time, they are empty.
    """
    stimulus = ids.parse(stimulus_id)
    style = NATURAL if stimulus.ood_type is None else OOD_STYLES[stimulus.ood_type]
    rng = generator(seed, "picture", stimulus_id)
    cluster = re.search(r"cluster_(\d+)", stimulus.name)
    # pictures of clusters with the same look share palette, texture and number of things
    look = generator(seed, "look", int(cluster[1]) % _N_LOOKS) if cluster else rng
    named = _NOUN.findall(stimulus.name)
    n_others = max(look.integers(*style.things, endpoint=True) - len(named), 0)
    nouns = [*rng.choice(NOUNS, n_others).tolist(), *named]  # named things come last, so that nothing hides them
    noise = _noise(rng, look.uniform(0.8, 1.8) - style.roughness, look.uniform(0, 1.2), look.uniform(0, 2 * np.pi))
    canvas, alpha = _painted(look, noise, style.ground), np.ones((_SIZE, _SIZE), np.float32)
    if stimulus.name.startswith(_OPAQUE):
        canvas[:] = _GREY
    elif stimulus_id.endswith(".png"):
        canvas[:] = alpha[:] = 0
    elif style.grating:
        canvas, nouns = _grating(rng), []
    parts: list[tuple[str, np.ndarray]] = []
    for noun in nouns:
        opacity = _thing(rng, noun, rng.uniform(*style.width), style.line)
        noise = np.roll(noise, _SIZE // 3, axis=(0, 1))  # another piece of it
        colours = 0 if style.line else _painted(rng, noise, style.skin)
        # the soft edge of a thing on transparent ground has the thing's colour, not the hidden one
        canvas += np.where(alpha > 0, opacity, opacity > 0)[..., None] * (colours - canvas)
        alpha = np.maximum(alpha, opacity)
        seen = opacity > 0.5
        parts = [(other, mask & ~seen) for other, mask in parts] + [(noun, seen)]
    canvas = _GREY + np.float32(style.gain) * (canvas - _GREY)
    if stimulus_id.endswith(".png"):
        canvas = np.concatenate([canvas, alpha[..., None]], axis=-1)
    pixels = (np.clip(canvas, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    shown_parts = tuple((noun, _resized(mask, size)) for noun, mask in parts) if with_parts else ()
    return Picture(_resized(pixels, size), shown_parts)


def _noise(rng: np.random.Generator, exponent: float, elongation: float, turn: float) -> np.ndarray:
    """Three fields whose amplitude falls with frequency as 1 / f**exponent; (height, width, 3) float32, variance 1.

    `elongation` gathers energy around an orientation, which is `turn` / 2.
    """
    log_amplitude = np.float32(elongation) * np.cos(2 * _DIRECTION - np.float32(turn))
    log_amplitude -= np.float32(exponent) * _LOG_FREQUENCY
    white = rng.standard_normal((2, 3, *_DIRECTION.shape), dtype=np.float32)
    fields = fft.irfft2((white[0] + 1j * white[1]) * np.exp(log_amplitude), s=(_SIZE, _SIZE), axes=(-2, -1))
    return np.moveaxis(fields / fields.std(axis=(-2, -1), keepdims=True), 0, -1)


def _painted(rng: np.random.Generator, noise: np.ndarray, contrast: float) -> np.ndarray:
    """The noise in a random palette; (height, width, 3) float32."""
    colour = rng.uniform(0.2, 0.8, 3).astype(np.float32)
    # the three channels have much in common, as in natural scenes
    palette = (1 + rng.normal(0, 0.5, (3, 3))) * contrast * rng.uniform(0.2, 0.8)
    return colour + noise @ palette.astype(np.float32)


def _grating(rng: np.random.Generator) -> np.ndarray:
    """A grating in a Gaussian window, on grey; (height, width, 3) float32."""
    x, y = _X - rng.uniform(0.25, 0.75), _Y - rng.uniform(0.25, 0.75)
    turn, cycles = rng.uniform(0, np.pi), rng.uniform(6, 16)
    wave = np.cos(2 * np.pi * cycles * (np.cos(turn) * x + np.sin(turn) * y))
    window = np.exp(-(x**2 + y**2) / (2 * rng.uniform(0.08, 0.2) ** 2))
    return _GREY + (0.45 * wave * window).astype(np.float32)[..., None]


def _thing(rng: np.random.Generator, noun: str, width: float, line: float) -> np.ndarray:
    """Opacity of a thing at a random place, or of its edge if `line` is above 0; (height, width) float32."""
    x, y = _X - np.float32(rng.uniform(0.25, 0.75)), _Y - np.float32(rng.uniform(0.25, 0.75))
    angle = np.arctan2(y, x) / np.float32(2 * np.pi) + np.float32(rng.normal(0.5, 0.06))
    radius = _outline(noun)[(angle * _N_ANGLES).astype(int) % _N_ANGLES] * np.float32(width / 2)
    inside = radius - np.hypot(x, y)
    if line:
        inside = np.float32(line) - np.abs(inside)
    return np.clip(inside * _SIZE + np.float32(0.5), 0, 1)


@lru_cache(maxsize=len(NOUNS))
def _outline(noun: str) -> np.ndarray:
    """Radius of the noun's outline, at most 1; (n_angles,) float32, a function of the noun alone."""
    rng, angle = generator(0, "outline", noun), np.linspace(0, 2 * np.pi, _N_ANGLES, endpoint=False)
    waves = np.arange(2, 9)
    phases = np.outer(angle, waves) + rng.uniform(0, 2 * np.pi, len(waves))
    radius = np.maximum(1 + np.cos(phases) @ (rng.normal(0, 0.8, len(waves)) / waves), 0.3)
    return (radius / radius.max()).astype(np.float32)


def _resized(values: np.ndarray, size: int) -> np.ndarray:
    """Pixels (uint8) or a mask (bool) at another width and height."""
    how = Image.Resampling.NEAREST if values.dtype == bool else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values).resize((size, size), how))


def encode(picture: Picture) -> bytes:
    """The picture as a file: PNG with transparency, JPEG without."""
    buffer = io.BytesIO()
    if picture.pixels.shape[-1] == 4:
        Image.fromarray(picture.pixels).save(buffer, "PNG")
    else:
        Image.fromarray(picture.pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def displayed(encoded: bytes, size: int | None = None) -> np.ndarray:
    """An encoded picture as people saw it: transparent pixels on grey; (height, width, 3) uint8.

    With a `size`, it is resized to this width and height by averaging over the area.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        shown = composite(image) if image.mode == "RGBA" else image
        return np.asarray(shown if size is None else shown.resize((size, size), Image.Resampling.BOX))
