"""The grid that the simulated brains lie in."""

import numpy as np

AFFINE = np.array([[1.778, 0, 0, -17.0], [0, 1.778, 0, -19.0], [0, 0, 1.778, -15.0], [0, 0, 0, 1]])
"""From voxel to millimetres, with the release's voxel size (1.778 mm, site)."""


def brain_mask(shape: tuple[int, int, int], n_voxels: int) -> np.ndarray:
    """An ellipsoid that fits the grid.

    Parameters
    ----------
    shape : tuple of int
    n_voxels : int
        Voxels inside.

    Returns
    -------
    numpy.ndarray
        bool, of that shape: the `n_voxels` voxels that are nearest to the middle, relative to the grid's axes.
    """
    axes = [(np.arange(size) - (size - 1) / 2) / size for size in shape]
    distance = sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
    mask = np.zeros(distance.size, bool)
    mask[np.argsort(distance, axis=None, kind="stable")[:n_voxels]] = True
    return mask.reshape(shape)


def squeezed(positions: np.ndarray, length: int, n: int) -> np.ndarray:
    """Distinct places in ``range(length)``, moved in proportion to distinct places in ``range(n)``.

    Parameters
    ----------
    positions : numpy.ndarray of int, shape (count,)
        Ascending, distinct.
    length, n : int
        `n` is at least `count`.

    Returns
    -------
    numpy.ndarray of int32, shape (count,)
        Ascending, distinct; the positions themselves if `n` is `length`.
    """
    steps = np.arange(len(positions))
    moved = np.maximum.accumulate(positions.astype(np.int64) * n // length - steps) + steps
    return np.minimum(moved, n - len(positions) + steps).astype(np.int32)
