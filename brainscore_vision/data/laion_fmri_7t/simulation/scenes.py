"""Images inside the distribution: what the LAION, THINGS and NSD names of the simulation show."""

import numpy as np

from ..ids import StimulusId
from .canvas import Picture, Scene
from .photographs import crop, jitter
from .rng import generator
from .stimuli_ids import NOUNS
from .textures import backdrop, landscape, natural_texture, tiling
from .things import thing

_STYLES = 60  # LAION clusters share so many looks, so that k-means finds something

# The same for every source: shared and unique images then drive voxels alike.
_KINDS = {"photograph": 0.36, "landscape": 0.24, "texture": 0.15, "tiling": 0.08, "studio": 0.17}


def natural_picture(stimulus: StimulusId, size: int, seed: int) -> Picture:
    """A picture for a name that is not out of distribution.

    Parameters
    ----------
    stimulus : StimulusId
        With dataset "LAION", "NSD", "THINGS" or "THINGS+".
    size : int
        Width and height in pixels.
    seed : int

    Returns
    -------
    Picture
        RGB; the parts are the things in it, with their nouns.
    """
    rng = generator(seed, "picture", stimulus.text)
    # images of one LAION cluster share setting and palette; of one THINGS concept, the thing
    style = generator(seed, "style", _cluster(stimulus) % _STYLES) if stimulus.dataset == "LAION" else rng
    kind = style.choice(list(_KINDS), p=list(_KINDS.values()))
    hue, crowd = style.random(), style.choice([0, 1, 2, 4], p=[0.3, 0.3, 0.25, 0.15])
    scene = Scene(_setting(rng, kind, size, hue + rng.normal(0, 0.04)))
    if stimulus.dataset in ("THINGS", "THINGS+"):
        place, width = rng.normal(0.5, 0.05, 2), rng.uniform(0.45, 0.8)
        scene.paste(thing(rng, concept(stimulus), width * size), *place)
        crowd = min(crowd, 1)
    elif kind == "studio":
        crowd = max(crowd, 1)
    for _ in range(crowd):
        width = rng.uniform(0.12, 0.45)
        scene.paste(thing(rng, str(rng.choice(NOUNS)), width * size), rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.9))
    return scene.picture()


def concept(stimulus: StimulusId) -> str:
    """The noun in a THINGS name ("kmeans_7_bracelet2" and "bracelet2" name a "bracelet2")."""
    if stimulus.dataset == "THINGS+" and stimulus.shared:
        return stimulus.name.split("_", 2)[2]
    return stimulus.name


def _cluster(stimulus: StimulusId) -> int:
    words = stimulus.name.split("_")
    return int(words[words.index("cluster") + 1])


def _setting(rng: np.random.Generator, kind: str, size: int, hue: float) -> np.ndarray:
    if kind == "photograph":
        return jitter(rng, crop(rng, size))
    return {"landscape": landscape, "texture": natural_texture, "tiling": tiling, "studio": backdrop}[kind](
        rng, size, hue
    )
