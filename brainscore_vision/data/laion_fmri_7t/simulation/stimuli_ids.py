"""Stimulus ids of a simulated dataset: made-up names in the release's grammar.

Some names hold what trips up careless code in the release: blanks, plus signs, inner dots and hyphens.
"""

from collections.abc import Sequence
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

_UNIQUE_LAION_PARTS = ("initial", "fillup", "new")
_UNIQUE_LAION_SHARES = (0.745, 0.171, 0.084)  # in the release (sub-01)

_RELATIONS = ("ontop", "under", "inside", "between", "beside", "above")

_ILLUSIONS = ("asahi", "chubb", "ebbinghaus", "kanizsa", "muellerlyer", "ponzo", "zoellner")

_SAVED_BY_HAND = (  # names of screen shots and web pages, as in the release
    "Screenshot 2024-06-11 at 10.20.30.jpg",
    "snail+teapot.webp.jpg",
    "https_www.example.org_walls_31_doors-and-ladders .jpg",
    "Screenshot 2024-06-11 at 10.21.02.jpg",
    "22HARBOUR.jpg",
    "Screenshot 2024-06-12 at 16.45.09.jpg",
)


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
    counts = zip(OOD_TYPES, scale.ood, strict=True)
    ood = [f"shared_4rep_OOD_{kind}_{name}" for kind, count in counts for name in _ood_names(kind, count, rng)]
    return laion + things + nsd + ood


def _unique_ids(scale: Scale, seed: int, subject: str) -> list[str]:
    rng, code = generator(seed, "unique ids", subject), PARTICIPANT_CODES[subject]
    bounds = np.round(np.cumsum(_UNIQUE_LAION_SHARES) * scale.unique_laion).astype(int)
    part = np.searchsorted(bounds, np.arange(scale.unique_laion), side="right")
    laion = [
        f"unique_LAION_{_UNIQUE_LAION_PARTS[p]}_cluster_{cluster}_i{rng.integers(50)}_{code}.jpg"
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
    """Names of out-of-distribution images of one type, from its families in turn."""
    families = _ood_families(_concepts(rng, count), _concepts(rng, count))[kind]
    in_turn = [name for names in zip_longest(*families) for name in names if name is not None]
    if len(in_turn) < count:
        raise ValueError(f"There are {len(in_turn)} names for out-of-distribution images of type {kind}, not {count}.")
    return in_turn[:count]


def _ood_families(nouns: list[str], others: list[str]) -> dict[str, list[Sequence[str]]]:
    """Type -> lists of names. Of the types "shape", "cropped" and "illusion-classic", 131 are PNG files."""
    colours = [(colour, form) for form in ("+", "X", "square", "ring", "dot") for colour in ("red", "green", "blue")]
    pairs = list(enumerate(zip(nouns, others, strict=True), start=1))
    return {
        "shape": [
            [f"blob_{'round' if n % 2 else 'spiky'}-{n:02d}.png" for n in range(1, 26)],
            [f"deeprecon_colorExpStim{n:02d}_{c}_{form}.png" for n, (c, form) in enumerate(colours, start=1)],
            [f"color_{'simple' if n % 2 else 'complex'}_shapes_{n:02d}.jpg" for n in range(1, 33)],
            [f"deeprecon_letter-{letter}.png" for letter in "ACEFHLPSTU"],
        ],
        "relations": [[f"{n:03d}_{a}-{_RELATIONS[n % len(_RELATIONS)]}-{b}_01.jpg" for n, (a, b) in pairs]],
        "unusual": [_SAVED_BY_HAND, [f"{a}-{b}.jpg" for _, (a, b) in pairs]],
        "cropped": [[f"{noun}.png" for noun in nouns]],
        "selfmade": [[f"{n:02d}.jpg" for n, _ in pairs]],
        "gaudy": [[f"gaudy-{noun}.jpg" for noun in nouns]],
        "illusion-classic": [
            [f"classic-illusion-{n:02d}-{name}{version}.png" for n, name in enumerate(_ILLUSIONS, start=1)]
            for version in ("", "control", "positive")
        ],
        "gabor": [[f"gabor-{n:02d}.jpg" for n, _ in pairs]],
        "illusion-natural": [[f"{noun}-giant.jpg" for noun in nouns]],
    }
