"""Random generators keyed by what they are for.

Every image, voxel population and session draws from a generator of its own, so the result depends neither on the
order in which things are made nor on how many workers make them.
"""

import zlib

import numpy as np


def generator(seed: int, *labels: str | int) -> np.random.Generator:
    """A generator that is a function of the seed and the labels alone.

    Parameters
    ----------
    seed : int
        At least 0.
    labels : str or int
        What the numbers are for, for example ``("noise", "sub-01", 3)``.
    """
    words = [zlib.crc32(str(label).encode("utf-8")) for label in labels]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))
