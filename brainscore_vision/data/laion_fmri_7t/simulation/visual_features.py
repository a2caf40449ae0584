"""What drives the simulated voxels: a small, fixed set of image features that any vision model can pick up.

Gabor energy at four wavelengths and four orientations, maps of luminance, contrast and colour, and statistics of the
whole image, all computed from the image as displayed, averaged down to 64 x 64 pixels.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import fft

from ..constants import BACKGROUND_RGB

SIZE = 64
"""Width and height in pixels of the images that features are computed from."""

_WAVELENGTHS = ((4, 8), (8, 8), (16, 4), (32, 2))  # wavelength in pixels, cells per side that energy is averaged over
_ORIENTATIONS = 4
_GREY = np.float32(BACKGROUND_RGB[0] / 255)
# A filter passes little above twice its centre frequency, so its response fits a grid of this width.
_WIDTHS = [min(SIZE, 4 * SIZE // wavelength) for wavelength, _ in _WAVELENGTHS]


@lru_cache(maxsize=1)
def feature_table() -> pd.DataFrame:
    """What each column of the features is, one row each.

    Columns: `family` ("gabor4", "gabor8", "gabor16", "gabor32", "luminance", "contrast", "colour" or "global"),
    `channel` (features of one channel are the same measure at different places), `x` and `y` (centre in the image,
    0..1).
    """
    channels = []  # (family, cells per side) of each
    for family, values in _maps(np.zeros((1, SIZE, SIZE, 3), np.uint8)):
        channels += [(family, values.shape[-1])] * values.shape[1]
    tables = []
    for channel, (family, cells) in enumerate(channels):
        y, x = (np.mgrid[:cells, :cells].reshape(2, -1) + np.float32(0.5)) / np.float32(cells)
        tables.append(pd.DataFrame({"family": family, "channel": channel, "x": x, "y": y}))
    return pd.concat(tables, ignore_index=True)


def columns_of(*families: str) -> np.ndarray:
    """The families' columns of the features."""
    return np.flatnonzero(feature_table()["family"].isin(families))


def visual_features(images: np.ndarray) -> np.ndarray:
    """Features of a block of images.

    Parameters
    ----------
    images : numpy.ndarray
        (n, 64, 64, 3) uint8, as displayed.

    Returns
    -------
    numpy.ndarray
        (n, n_features) float32, columns as in `feature_table`.
    """
    flat = [values.reshape(len(images), -1) for _, values in _maps(images)]
    return np.concatenate(flat, axis=1).astype(np.float32)


def _maps(images: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Families and their maps, each (n, n_channels, cells, cells)."""
    rgb = np.moveaxis(images, -1, 1) / np.float32(255)
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]  # n, height, width each
    light = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue  # ITU-R BT.601
    energy = _gabor_energy(light)
    saturation = rgb.max(1) - rgb.min(1)
    opponent = np.stack([red - green, blue - (red + green) / 2, saturation], axis=1)
    mean = _pool(light[:, None], 8)
    maps = [
        (f"gabor{wavelength}", _pool(values, cells))
        for (wavelength, cells), values in zip(_WAVELENGTHS, energy, strict=True)
    ]
    middle = slice(SIZE // 4, -SIZE // 4)
    whole = [  # what the image is like as a whole: n_statistics, n
        *np.log(np.concatenate([values.mean((2, 3)) for values in energy], axis=1) + np.float32(0.01)).T,
        *opponent.mean((2, 3)).T,
        *opponent.std((2, 3)).T,
        light.mean((1, 2)),
        light.std((1, 2)),
        light[:, middle, middle].mean((1, 2)) - light.mean((1, 2)),
        saturation[:, middle, middle].mean((1, 2)) - saturation.mean((1, 2)),
        np.abs(light - light[:, :, ::-1]).mean((1, 2)),
        np.abs(light - light[:, ::-1]).mean((1, 2)),
        (np.abs(light - _GREY) < 0.01).mean((1, 2)),
    ]
    return [
        *maps,
        ("luminance", mean),
        ("contrast", np.sqrt(np.maximum(_pool(light[:, None] ** 2, 8) - mean**2, 0))),
        ("colour", _pool(opponent, 4)),
        ("global", np.stack(whole, axis=1)[..., None, None]),
    ]


@lru_cache(maxsize=1)
def _filters() -> list[np.ndarray]:
    """Filters of each wavelength in the frequency domain, (n_orientations, width, width) float32.

    Each filter keeps one half of the plane, so that the magnitude of its response is the energy of a quadrature pair.
    """
    filters = []
    for (wavelength, _), width in zip(_WAVELENGTHS, _WIDTHS, strict=True):
        f = fft.fftfreq(width, 1 / width)  # cycles per image
        octaves = np.log2(np.maximum(np.hypot(f, f[:, None]), 1e-6) * wavelength / SIZE)
        orientation = (np.pi * np.arange(_ORIENTATIONS) / _ORIENTATIONS)[:, None, None]
        turn = np.angle(np.exp(1j * (np.arctan2(f[:, None], f) - orientation)))
        bank = np.exp(-(octaves**2) / (2 * 0.45**2) - turn**2 / (2 * 0.4**2))
        filters.append(bank.astype(np.float32))
    return filters


def _gabor_energy(light: np.ndarray) -> list[np.ndarray]:
    """Energy at each wavelength, (n, n_orientations, width, width), compressed by a square root."""
    spectrum = fft.fft2(light - light.mean((1, 2), keepdims=True), axes=(1, 2))
    energies = []
    for bank, width in zip(_filters(), _WIDTHS, strict=True):
        low = np.r_[: width // 2, SIZE - width // 2 : SIZE]
        band = spectrum[:, low][:, :, low]
        response = fft.ifft2(band[:, None] * bank, axes=(2, 3)) * np.float32((width / SIZE) ** 2)
        energies.append(np.sqrt(np.abs(response)))
    return energies


def _pool(values: np.ndarray, cells: int) -> np.ndarray:
    """Means over cells x cells squares of the last two axes."""
    *lead, height, width = values.shape
    return values.reshape(*lead, cells, height // cells, cells, width // cells).mean((-3, -1))
