"""Textures: noise with the spectra of natural scenes, landscapes, tilings."""

from functools import lru_cache

import numpy as np
from scipy import fft

from .canvas import grid, hsv, normalised


@lru_cache(maxsize=16)
def _frequencies(size: int) -> tuple[np.ndarray, np.ndarray]:
    """log radius (cycles per image) and angle of the half spectrum, each (size, size // 2 + 1) float32."""
    fy, fx = np.meshgrid(fft.fftfreq(size, 1 / size), fft.rfftfreq(size, 1 / size), indexing="ij")
    radius = np.hypot(fx, fy)
    radius[0, 0] = 1  # the mean is set afterwards
    return np.log(radius).astype(np.float32), np.arctan2(fy, fx).astype(np.float32)


def noise(
    rng: np.random.Generator,
    size: int,
    exponent: float = 1.2,
    anisotropy: float = 0.0,
    angle: float = 0.0,
    count: int = 1,
) -> np.ndarray:
    """Gaussian noise whose amplitude falls with frequency as 1 / f**exponent.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
    exponent : float
        Natural scenes lie near 1 to 1.3.
    anisotropy : float
        0 gives all orientations the same energy; above, energy gathers around `angle`.
    angle : float
        Radians.
    count : int
        Number of independent fields.

    Returns
    -------
    numpy.ndarray
        (count, size, size) float32, each with mean 0 and standard deviation 1
    """
    log_radius, theta = _frequencies(size)
    log_amplitude = log_radius * np.float32(-exponent)
    if anisotropy:
        log_amplitude = log_amplitude + np.float32(anisotropy) * np.cos(2 * (theta - np.float32(angle)))
    white = rng.standard_normal((2, count, *log_radius.shape), dtype=np.float32)
    spectrum = (white[0] + 1j * white[1]) * np.exp(log_amplitude)
    spectrum[:, 0, 0] = 0
    fields = fft.irfft2(spectrum, s=(size, size), axes=(-2, -1))
    fields /= np.maximum(fields.std(axis=(-2, -1), keepdims=True), 1e-12)
    return fields


def natural_texture(rng: np.random.Generator, size: int, hue: float) -> np.ndarray:
    """A coloured texture with natural statistics around a hue; (size, size, 3) float32 in 0..1."""
    light, tint = noise(
        rng,
        size,
        exponent=rng.uniform(0.7, 1.7),
        anisotropy=rng.choice([0.0, 0.6, 1.4], p=[0.5, 0.3, 0.2]),
        angle=rng.uniform(0, np.pi),
        count=2,
    )
    if rng.random() < 0.3:  # sharp edges: bark, stone, foliage
        light = np.abs(light) * 1.6 - 1.2
    value = np.clip(rng.uniform(0.35, 0.65) + rng.uniform(0.08, 0.22) * light, 0, 1)
    return hsv(hue + rng.uniform(0.01, 0.08) * tint, rng.uniform(0.1, 0.8), value)


def landscape(rng: np.random.Generator, size: int, hue: float) -> np.ndarray:
    """Sky over textured ground with a wavy horizon; (size, size, 3) float32 in 0..1."""
    x, y = grid(size)
    cloud, grain = noise(rng, size, exponent=1.8)[0], noise(rng, size, exponent=1.0, anisotropy=0.8, angle=np.pi / 2)[0]
    horizon = rng.uniform(-0.5, 0.5) + 0.12 * np.sin(x * rng.uniform(1, 5) + rng.uniform(0, 6))
    horizon = (horizon + 0.05 * np.sin(x * rng.uniform(8, 20))).astype(np.float32)
    height = y - horizon  # positive below the horizon
    sky = hsv(
        rng.normal(0.58, 0.05), np.clip(rng.uniform(0.1, 0.6) - 0.25 * cloud, 0, 1), np.clip(0.9 + 0.25 * height, 0, 1)
    )
    ground = hsv(hue, rng.uniform(0.2, 0.7), np.clip(rng.uniform(0.3, 0.55) + 0.15 * grain + 0.15 * height, 0, 1))
    below = np.clip(height * size / 4 + 0.5, 0, 1)[..., None]
    return sky + below * (ground - sky)


def tiling(rng: np.random.Generator, size: int, hue: float) -> np.ndarray:
    """Facades and fabrics: stripes or a grid in two colours under uneven light; (size, size, 3) float32 in 0..1."""
    x, y = grid(size)
    angle, period = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]), rng.uniform(0.12, 0.5)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    wave = np.cos(2 * np.pi / period * along)
    if rng.random() < 0.5:
        wave = wave * np.cos(2 * np.pi / (period * rng.uniform(0.6, 1.8)) * across)
    blend = np.clip(wave * rng.uniform(1, 8) + 0.5, 0, 1).astype(np.float32)
    first, second = (
        hsv(hue, rng.uniform(0.1, 0.8), rng.uniform(0.5, 0.9)),
        hsv(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.5)),
    )
    light = normalised(noise(rng, size, exponent=1.6)[0], 1.0, 0.12)[..., None]
    return (first + blend[..., None] * (second - first)) * light


def backdrop(rng: np.random.Generator, size: int, hue: float) -> np.ndarray:
    """A soft studio background: a gradient with a vignette; (size, size, 3) float32 in 0..1."""
    x, y = grid(size)
    slope, radius = rng.normal(0, 0.12, 2), x**2 + y**2
    value = np.clip(rng.uniform(0.45, 0.9) + slope[0] * x + slope[1] * y - rng.uniform(0, 0.2) * radius, 0, 1)
    return hsv(np.float32(hue), rng.uniform(0.0, 0.35), value)
