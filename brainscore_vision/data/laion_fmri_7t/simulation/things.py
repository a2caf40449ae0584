"""Things: sprites whose outline belongs to their noun and whose skin is drawn anew each time."""

from functools import lru_cache

import numpy as np

from .canvas import Sprite, grid, hsv, normalised
from .photographs import crop, jitter
from .rng import generator
from .textures import noise

_ANGLES = 512


@lru_cache(maxsize=1024)
def outline(noun: str) -> np.ndarray:
    """Radius of the noun's outline at 512 angles, at most 1; a function of the noun alone."""
    rng = generator(0, "outline", noun)
    theta = np.linspace(-np.pi, np.pi, _ANGLES, endpoint=False)
    family = rng.integers(4)
    if family == 0:  # a smooth, irregular body
        radius = 1 + sum(rng.normal(0, 0.35 / k) * np.cos(k * theta + rng.uniform(0, 6.3)) for k in range(2, 7))
    elif family == 1:  # a regular polygon, stretched
        sides = rng.integers(3, 7)
        radius = np.cos(np.pi / sides) / np.cos((theta + rng.uniform(0, 6.3)) % (2 * np.pi / sides) - np.pi / sides)
        radius = radius * (1 + 0.25 * np.cos(2 * theta))
    elif family == 2:  # a star or a flower
        points = rng.integers(4, 9)
        radius = 1 + rng.uniform(0.2, 0.5) * np.abs(np.cos(points * theta / 2)) ** rng.uniform(0.5, 3)
    else:  # upright and symmetrical: bottles, lamps, vases
        radius = 1 + sum(rng.normal(0, 0.4 / k) * np.cos(k * theta) for k in range(1, 8))
        radius = np.roll(radius / (1.1 + 0.6 * np.cos(2 * theta)), _ANGLES // 4)
    radius = np.maximum(radius, 0.25 * radius.max())
    return (radius / radius.max()).astype(np.float32)


def opacity(radius: np.ndarray, size: int, turn: float = 0.0, hole: float = 0.0) -> np.ndarray:
    """Opacity of the inside of an outline, with an edge about a pixel wide.

    Parameters
    ----------
    radius : numpy.ndarray
        (n_angles,) float32, at most 1.
    size : int
        Width of the sprite in pixels.
    turn : float
        Rotation in turns.
    hole : float
        The outline shrunk by this factor is cut out.

    Returns
    -------
    numpy.ndarray
        (size, size) float32
    """
    distance, index = _polar(size)
    edge = radius[(index + round(turn * _ANGLES)) % _ANGLES] * np.float32(0.96)
    alpha = np.clip((edge - distance) * np.float32(size / 2.5) + np.float32(0.5), 0, 1)
    if hole:
        alpha = alpha * np.clip((distance - edge * np.float32(hole)) * np.float32(size / 2.5) + np.float32(0.5), 0, 1)
    return alpha


@lru_cache(maxsize=256)
def _polar(size: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = grid(size)
    index = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * _ANGLES).astype(np.int32) % _ANGLES
    return np.hypot(x, y), index


def shading(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light from one side on a rounded body; (size, size) float32 near 1."""
    x, y = grid(len(alpha))
    angle = rng.uniform(-np.pi, 0)
    bulge = np.sqrt(np.clip(1 - (x**2 + y**2) * np.float32(0.8), 0, 1))
    slope = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    return np.clip(np.float32(0.55) + np.float32(0.35) * (slope + bulge), 0.15, 1.25)


def skin(rng: np.random.Generator, size: int) -> np.ndarray:
    """A surface: a piece of a photograph, one colour, mottled, or striped; (size, size, 3) float32."""
    kind = rng.choice(["photo", "plain", "mottled", "striped"], p=[0.4, 0.25, 0.2, 0.15])
    if kind == "photo":
        return jitter(rng, crop(rng, size, zoom=(0.15, 0.5)), hue=0.25)
    colour = hsv(rng.random(), rng.uniform(0.15, 0.95), rng.uniform(0.3, 0.95))
    if kind == "plain":
        return np.broadcast_to(colour, (size, size, 3))
    if kind == "mottled":
        return colour * normalised(noise(rng, size, exponent=1.0)[0], 0.9, 0.18)[..., None]
    x, y = grid(size)
    angle, cycles = rng.uniform(0, np.pi), rng.uniform(2, 7)
    stripes = np.sin((np.cos(angle) * x + np.sin(angle) * y) * np.float32(np.pi * cycles)) > 0
    other = hsv(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.2, 0.95))
    return np.where(stripes[..., None], colour, other)


def thing(rng: np.random.Generator, noun: str, size: int, surface: np.ndarray | None = None) -> Sprite:
    """A picture of the noun.

    Parameters
    ----------
    rng : numpy.random.Generator
    noun : str
        Decides the outline.
    size : int
        Width of the sprite in pixels.
    surface : numpy.ndarray, optional
        (size, size, 3) float32 to cover it with; drawn at random without.
    """
    size = max(int(size), 4)
    hollow = generator(0, "hole", noun).random() < 0.15
    alpha = opacity(outline(noun), size, turn=rng.normal(0, 0.06), hole=0.5 if hollow else 0.0)
    rgb = skin(rng, size) if surface is None else surface
    return Sprite(noun, np.clip(rgb * shading(alpha, rng)[..., None], 0, 1).astype(np.float32), alpha)
