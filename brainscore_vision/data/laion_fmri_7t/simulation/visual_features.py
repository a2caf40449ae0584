"""What drives the simulated voxels: a small, fixed set of image features that any vision model can pick up.

Gabor energy at four wavelengths and four orientations, luminance, contrast and colour maps, and global statistics, all
computed from the image as displayed, averaged down to 64 x 64 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from .canvas import luminance

SIZE = 64
"""Width and height in pixels of the images that features are computed from."""

_WAVELENGTHS = ((4, 8), (8, 8), (16, 4), (32, 2))  # wavelength in pixels, cells per side that energy is averaged over
_ORIENTATIONS = 4
_HUES = 8


@dataclass(frozen=True)
class FeatureSet:
    """What each column of the features is.

    Attributes
    ----------
    family : numpy.ndarray
        (n_features,) str: "gabor4", "gabor8", "gabor16", "gabor32", "luminance", "contrast", "colour" or "global".
    channel : numpy.ndarray
        (n_features,) int; columns of one channel are the same measure at different places.
    x, y : numpy.ndarray
        (n_features,) float32 centre in the image, 0..1; nan for global features.
    """

    family: np.ndarray
    channel: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def columns(self, families: Sequence[str]) -> np.ndarray:
        return np.flatnonzero(np.isin(self.family, families))


@lru_cache(maxsize=1)
def feature_set() -> FeatureSet:
    """Description of the columns that `visual_features` returns."""
    maps = [(f"gabor{wavelength}", cells) for wavelength, cells in _WAVELENGTHS for _ in range(_ORIENTATIONS)]
    maps += [("luminance", 8), ("contrast", 8), ("colour", 4), ("colour", 4), ("colour", 4)]
    family, channel, xs, ys = [], [], [], []
    for number, (name, cells) in enumerate(maps):
        centre = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(centre, centre, indexing="ij")
        family += [name] * cells**2
        channel += [number] * cells**2
        xs.append(x.ravel()), ys.append(y.ravel())
    nothing = np.zeros((1, SIZE, SIZE, 3), np.float32)
    n_global = _global_statistics(nothing, _gabor_energy(luminance(nothing))).shape[1]
    family += ["global"] * n_global
    channel += list(range(len(maps), len(maps) + n_global))
    nowhere = np.full(n_global, np.nan, np.float32)
    return FeatureSet(
        np.array(family), np.array(channel), np.concatenate([*xs, nowhere]), np.concatenate([*ys, nowhere])
    )


def visual_features(images: np.ndarray) -> np.ndarray:
    """Features of a block of images.

    Parameters
    ----------
    images : numpy.ndarray
        (n, 64, 64, 3) uint8, as displayed.

    Returns
    -------
    numpy.ndarray
        (n, n_features) float32, columns as in `feature_set`.
    """
    rgb = images.astype(np.float32) / np.float32(255)
    light = luminance(rgb)
    energy = _gabor_energy(light)
    maps = [*(_pool(energy[scale], cells) for scale, (_, cells) in enumerate(_WAVELENGTHS))]
    local_mean = _pool(light, 8)
    local_square = _pool(light**2, 8)
    red_green, blue_yellow = rgb[..., 0] - rgb[..., 1], rgb[..., 2] - rgb[..., :2].mean(-1)
    saturation = rgb.max(-1) - rgb.min(-1)
    maps += [local_mean, np.sqrt(np.maximum(local_square - local_mean**2, 0))]
    maps += [_pool(colour, 4) for colour in (red_green, blue_yellow, saturation)]
    flat = [values.reshape(len(images), -1) for values in maps]
    return np.concatenate([*flat, _global_statistics(rgb, energy)], axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def _filters() -> tuple[tuple[np.ndarray, int], ...]:
    """Per wavelength: the filters in the frequency domain and the grid that holds their pass band.

    Each filter keeps one half of the plane, so that the magnitude of its response is the energy of a quadrature pair.
    """
    filters = []
    for wavelength, _ in _WAVELENGTHS:
        centre = SIZE / wavelength  # cycles per image
        width = min(SIZE, 4 * SIZE // wavelength)
        f = fft.fftfreq(width, 1 / width)
        fy, fx = np.meshgrid(f, f, indexing="ij")
        radius, theta = np.hypot(fx, fy), np.arctan2(fy, fx)
        radial = np.exp(-(np.log2(np.maximum(radius, 1e-6) / centre) ** 2) / (2 * 0.45**2))
        bank = []
        for k in range(_ORIENTATIONS):
            turn = np.angle(np.exp(1j * (theta - np.pi * k / _ORIENTATIONS)))
            bank.append(radial * np.exp(-(turn**2) / (2 * 0.4**2)))
        filters.append((np.stack(bank).astype(np.float32), width))
    return tuple(filters)


def _gabor_energy(light: np.ndarray) -> list[np.ndarray]:
    """Per wavelength the energy (n, n_orientations, width, width), compressed by a square root."""
    spectrum = fft.fft2(light - light.mean((1, 2), keepdims=True), axes=(1, 2))
    energies = []
    for bank, width in _filters():
        half = width // 2
        rows = np.r_[0:half, SIZE - half : SIZE] if width < SIZE else np.arange(SIZE)
        band = spectrum[:, rows][:, :, rows]  # low frequencies alone give the same response on a coarser grid
        response = fft.ifft2(band[:, None] * bank, axes=(2, 3)) * np.float32((width / SIZE) ** 2)
        energies.append(np.sqrt(np.abs(response)))
    return energies


def _pool(values: np.ndarray, cells: int) -> np.ndarray:
    """Means over cells x cells squares of the last two axes."""
    *lead, height, width = values.shape
    return values.reshape(*lead, cells, height // cells, cells, width // cells).mean((-3, -1))


def _global_statistics(rgb: np.ndarray, energy: list[np.ndarray]) -> np.ndarray:
    """What the image is like as a whole: (n, n_statistics)."""
    light = luminance(rgb)
    total = np.stack([scale.mean((2, 3)) for scale in energy], axis=1)  # n, n_wavelengths, n_orientations
    per_scale = total.mean(-1)
    orientation = total / np.maximum(total.mean(-1, keepdims=True), 1e-6)
    spectrum = np.log(per_scale[:, 1:] + np.float32(0.01)) - np.log(per_scale[:, :-1] + np.float32(0.01))
    high, low = rgb.max(-1), rgb.min(-1)
    colourful = high - low
    red_green, blue_yellow = rgb[..., 0] - rgb[..., 1], rgb[..., 2] - rgb[..., :2].mean(-1)
    hue = np.floor((np.arctan2(red_green, blue_yellow) / (2 * np.pi) + 0.5) * _HUES).astype(int) % _HUES
    hues = np.stack([((hue == h) * colourful).mean((1, 2)) for h in range(_HUES)], axis=1)
    deviation = light - light.mean((1, 2), keepdims=True)
    spread = light.std((1, 2))
    middle = slice(SIZE // 4, -SIZE // 4)
    shape = [
        light.mean((1, 2)),
        spread,
        (deviation**3).mean((1, 2)) / np.maximum(spread, 0.02) ** 3,
        light[:, middle, middle].mean((1, 2)) - light.mean((1, 2)),
        colourful[:, middle, middle].mean((1, 2)) - colourful.mean((1, 2)),
        np.abs(light - light[:, :, ::-1]).mean((1, 2)),
        np.abs(light - light[:, ::-1]).mean((1, 2)),
        light[:, : SIZE // 2].mean((1, 2)) - light[:, SIZE // 2 :].mean((1, 2)),
        (np.abs(light - np.float32(128 / 255)) < 0.01).mean((1, 2)),  # how much is empty screen
        colourful.mean((1, 2)),
    ]
    n = len(rgb)
    return np.concatenate([orientation.reshape(n, -1), spectrum, np.sqrt(hues), np.stack(shape, 1)], axis=1)
