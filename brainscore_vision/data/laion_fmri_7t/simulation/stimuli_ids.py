"""Stimulus ids of a simulated dataset: made-up names in the release's grammar.

Some names carry what trips up careless code in the release: blanks, plus signs, inner dots and hyphens.
"""

from itertools import chain, islice, zip_longest

import numpy as np
import pandas as pd

from .. import ids
from ..constants import OOD_TYPES, PARTICIPANT_CODES, SUBJECTS
from .rng import generator
from .scales import Scale

NOUNS = (
    "anchor apricot badge balloon barrel basin beetle bonnet bottle bucket button cabinet candle carpet carriage "
    "chestnut clock cloak coconut comet cradle cushion daisy drum easel envelope falcon feather ferry fiddle flask "
    "funnel garland gate goblet grape hammer hot-plate harp helmet igloo ink_pot jigsaw jug kettle kiosk ladder "
    "lantern loom magnet maple mitten mosaic nest nutmeg oboe orchid paddle parcel pear pebble pine_cone plum poncho "
    "puppet quilt radish raft ribbon rocket saddle sail satchel seashell shutter sledge spinning_top stool sundial "
    "table_lamp tapestry teacup thimble ticket trellis turnip tulip valise vase wagon walnut weathervane whistle "
    "windmill wok yo-yo zither"
).split()

_UNIQUE_LAION_PARTS = (("initial", 0.745), ("fillup", 0.171), ("new", 0.084))  # shares in the release (sub-01)

_RELATIONS = ("ontop", "under", "inside", "between", "beside", "above")


def stimulus_table(scale: Scale, seed: int) -> pd.DataFrame:
    """All stimuli of a simulated dataset, in the order of their ids.

    Parameters
    ----------
    scale : Scale
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row per stimulus with columns `stimulus_id`, `filename`, `dataset`, `unique_or_shared` ("unique" or
        "shared"), `n_reps` ("4rep" or "12rep", as the release spells it) and `participant` ("p01" ..., "all").
    """
    names = [*_shared_ids(scale, seed), *chain.from_iterable(_unique_ids(scale, seed, s) for s in SUBJECTS)]
    parsed = [ids.parse(name) for name in sorted(names)]
    return pd.DataFrame(
        {
            "stimulus_id": [p.text for p in parsed],
            "filename": [p.text for p in parsed],
            "dataset": [p.dataset for p in parsed],
            "unique_or_shared": ["shared" if p.shared else "unique" for p in parsed],
            "n_reps": [f"{p.repetitions}rep" for p in parsed],
            "participant": [p.participant or "all" for p in parsed],
        }
    )


def subject_stimuli(table: pd.DataFrame, subject: str) -> np.ndarray:
    """Rows of the table that the subject saw: shared ones and the subject's own, in the table's order.

    Returns
    -------
    numpy.ndarray
        (n_stimuli,) int64
    """
    seen = table["participant"].isin(["all", PARTICIPANT_CODES[subject]])
    return np.flatnonzero(seen.to_numpy())


def _shared_ids(scale: Scale, seed: int) -> list[str]:
    rng = generator(seed, "shared ids")
    laion = [
        f"shared_12rep_LAION_cluster_{cluster}{'_sorted-out' if number < 2 else ''}_i{rng.integers(5)}.jpg"
        for number, cluster in enumerate(_clusters(rng, scale.shared_laion))
    ]
    concepts = _concepts(rng, scale.shared_things_plus)
    things = [f"shared_12rep_THINGS+_kmeans_{number}_{concept}.jpg" for number, concept in enumerate(concepts)]
    n_many = round(scale.shared_nsd * 140 / 240)  # the release: 140 of special1000, 100 of special100
    nsd = [f"shared_4rep_NSD_special1000_{n}.jpg" for n in rng.permutation(1000)[:n_many]]
    nsd += [f"shared_4rep_NSD_special100_{n}.jpg" for n in rng.permutation(100)[: scale.shared_nsd - n_many]]
    counts = scale.ood_counts()
    ood = [f"shared_4rep_OOD_{kind}_{name}" for kind in OOD_TYPES for name in _ood_names(kind, counts[kind], rng)]
    return laion + things + nsd + ood


def _unique_ids(scale: Scale, seed: int, subject: str) -> list[str]:
    rng, code = generator(seed, "unique ids", subject), PARTICIPANT_CODES[subject]
    bounds = np.round(np.cumsum([share for _, share in _UNIQUE_LAION_PARTS]) * scale.unique_laion).astype(int)
    part = np.searchsorted(bounds, np.arange(scale.unique_laion), side="right")
    laion = [
        f"unique_LAION_{_UNIQUE_LAION_PARTS[p][0]}_cluster_{cluster}_i{rng.integers(50)}_{code}.jpg"
        for p, cluster in zip(part, _clusters(rng, scale.unique_laion), strict=True)
    ]
    things = [f"unique_THINGS_{name}_{code}.jpg" for name in _concepts(rng, scale.unique_things)]
    plus = [f"unique_THINGS+_{name}_{code}.jpg" for name in _concepts(rng, scale.unique_things_plus)]
    return laion + things + plus


def _clusters(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.permutation(5500)[:count]


def _concepts(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct concepts: nouns, then nouns with a number, as THINGS tells homonyms apart."""
    rounds = ([noun if n == 0 else f"{noun}{n}" for noun in rng.permutation(NOUNS)] for n in range(count))
    return list(islice(chain.from_iterable(rounds), count))


def _ood_names(kind: str, count: int, rng: np.random.Generator) -> list[str]:
    families = {
        "shape": _shape_families,
        "relations": lambda: [_relations(rng)],
        "unusual": _unusual_families,
        "cropped": lambda: [(f"{noun}.png" for noun in _concepts(rng, count))],
        "selfmade": lambda: [(f"{n:02d}.jpg" for n in range(1, count + 1))],
        "gaudy": lambda: [(f"gaudy-{noun}.jpg" for noun in _concepts(rng, count))],
        "illusion-classic": _classic_families,
        "gabor": lambda: [(f"gabor-{n:02d}-{place}.jpg" for n, place in enumerate(GABOR_PLACES, start=1))],
        "illusion-natural": lambda: [_natural_illusions(rng)],
    }[kind]()
    interleaved = (name for rank in zip_longest(*families) for name in rank if name is not None)
    names = list(islice(interleaved, count))
    if len(names) != count:
        raise ValueError(f"There are {len(names)} names for out-of-distribution images of type {kind!r}, not {count}.")
    return names


GABOR_PLACES = (
    *("top-left", "concentric", "bottom-right", "radial", "center-left"),
    *("top-right", "spiral-left", "bottom-left", "center-right", "spiral-right"),
)
"""What the ten gabor stimuli show."""

CLASSIC_ILLUSIONS = ("asahi", "chubb", "ebbinghaus", "kanizsa", "muellerlyer", "ponzo", "zoellner")
"""Line drawings, each in three versions: the illusion, a control, and a figure that really differs."""


def _shape_families() -> list[list[str]]:
    """82 names: 25 blobs and 25 'deeprecon' figures in PNG, 32 coloured arrangements in JPEG."""
    colours, figures = ("red", "green", "blue"), ("+", "X", "square", "smallring", "largering")
    pairs = [(colour, figure) for figure in figures for colour in colours]
    simple = ("two-similar", "two-different", "single-round", "single-angular", "three-different", "stacked-centered")
    complex_ = ("multiple-same", "circle-grid", "stripes", "squares-circles", "square-grid", "halfcircles")
    return [
        [f"blob_round-{n:02d}.png" for n in range(1, 13)] + ["blob_round-spiky.png"],
        [f"deeprecon_colorExpStim{n:02d}_{c}_{f}.png" for n, (c, f) in enumerate(pairs, start=1)],
        [f"color_simple_shapes_{n:02d}-{simple[n % 6]}.jpg" for n in range(16)],
        [f"blob_spiky-{n:02d}.png" for n in range(1, 13)],
        [f"deeprecon_{sign}.png" for sign in _signs()],
        [f"color_complex_shapes_complex-{n:02d}-{complex_[n % 6]}.jpg" for n in range(16)],
    ]


def _signs() -> list[str]:
    return [f"letter-{letter}" for letter in "AHUEP"] + [f"digit-{digit}" for digit in "24369"]


def _classic_families() -> list[list[str]]:
    versions = ("", "control", "positive")
    return [
        [f"classic-illusion-{n:02d}-{name}{version}.png" for n, name in enumerate(CLASSIC_ILLUSIONS, start=1)]
        for version in versions
    ]


def _relations(rng: np.random.Generator):
    for number in range(1, len(NOUNS) * 4):
        first, second = rng.choice(NOUNS, 2, replace=False)
        yield f"{number:03d}_{first}-{rng.choice(_RELATIONS)}-{second}_{rng.integers(1, 5):02d}.jpg"


def _unusual_families() -> list[list[str]]:
    # as in the release: screen shots and pages saved by hand
    odd = [
        "Screenshot 2024-06-11 at 10.20.30.jpg",
        "snail+teapot.webp.jpg",
        "https_www.example.org_walls_31_doors-and-ladders .jpg",
        "Screenshot 2024-06-11 at 10.21.02.jpg",
        "22HARBOUR.jpg",
        "Screenshot 2024-06-12 at 16.45.09.jpg",
    ]
    pairs = [f"{a}-{b}.jpg" for a, b in zip(NOUNS[::-1], NOUNS[7:] + NOUNS[:7], strict=True)]
    return [odd, pairs]


def _natural_illusions(rng: np.random.Generator):
    effects = ("glitch", "portal", "giant", "mirror")
    for number, noun in enumerate(rng.permutation(NOUNS)):
        yield f"{noun}-{effects[number % len(effects)]}.jpg"
