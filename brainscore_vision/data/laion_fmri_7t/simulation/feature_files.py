"""Released features of the simulated images: embeddings of four models, object segmentations and captions.

Each embedding knows another part of what drives the voxels. Things in the segmentations are those that were drawn, under
their nouns. Stuff ("water", "brick") is said of images that excite one of the units that drive V4 and IT, so that nouns
tell something about responses, as they do in brains.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import ordered_map

from .. import ids
from ..released.features import CAPTIONS, EMBEDDING_MODELS, FEATURE_FILES, SEGMENTATION_MASKS, SEGMENTATION_TABLE
from ..stimuli.sources import RELEASED_METADATA
from .images import render
from .rng import generator
from .scales import Scale
from .visual_features import columns_of
from .voxels import STUFF, mixtures


@dataclass(frozen=True)
class Space:
    """What an embedding is made of."""

    families: tuple[str, ...]  # of visual features, seen through random projections
    mixtures: float  # share of its signal that comes from the saturating mixtures that drive V4 and IT
    noise: float  # standard deviation, where the signal has 1
    normalised: bool = True  # whether rows have length 1, as the released spaces have except DINOv2


SPACES = {
    "CLIP": Space(("gabor16", "gabor32", "colour", "global"), mixtures=0.6, noise=0.6),
    "DINOv2": Space(("gabor8", "gabor16", "contrast", "luminance"), mixtures=0.3, noise=0.3, normalised=False),
    "PEcore": Space(("gabor4", "gabor8", "gabor16", "contrast", "colour", "global"), mixtures=0.5, noise=0.2),
    "SigLIP2": Space(("gabor32", "colour", "global"), mixtures=0.5, noise=1.0),
}

_LENGTH = 40.0  # of DINOv2's rows, about

_CAPTIONS = (
    "{} on a plain ground",
    "A picture of {}",
    "{}.",
    "there is {}, and some colour",
    'the "picture" shows {}, again',
)

_FROM_HERE = 1.2  # standard deviations of a unit above its mean: about one image in nine has the stuff
_WHOLE = 0.99  # a mask that covers more of the image localises nothing (release)


def write_embeddings(folder: Path, stimulus_ids: np.ndarray, features: np.ndarray, scale: Scale, seed: int) -> None:
    """Write one file per space into the dataset's ``stimuli`` folder.

    `features` is (n_stimuli, n_features) float32, standardised over all stimuli of the dataset; so it is below.
    """
    for name, width in zip(EMBEDDING_MODELS, scale.embedding_widths, strict=True):
        with h5py.File(folder / FEATURE_FILES[name], "w") as file:
            file.create_dataset("embedding", data=_embedding(SPACES[name], name, features, width, seed))
            file.create_dataset("image_ids", data=stimulus_ids.astype(object), dtype=h5py.string_dtype())
            file.create_dataset("valid", data=np.ones(len(stimulus_ids), bool))


def _embedding(space: Space, name: str, features: np.ndarray, width: int, seed: int) -> np.ndarray:
    """A space's features of the stimuli: float16, shape (n, width)."""
    rng = generator(seed, "embedding", name)
    seen = features[:, columns_of(*space.families)]
    values = np.zeros((len(features), width), np.float32)
    for part, share in ((seen, 1 - space.mixtures), (mixtures(features, seed), space.mixtures)):
        projected = part @ rng.standard_normal((part.shape[1], width), dtype=np.float32)
        values += projected * (np.sqrt(share) / np.maximum(projected.std(0), 1e-6)).astype(np.float32)
    values += rng.standard_normal(values.shape, dtype=np.float32) * np.float32(space.noise)
    values += rng.standard_normal(width, dtype=np.float32)  # embeddings are not centred
    length = np.linalg.norm(values, axis=1, keepdims=True) if space.normalised else np.sqrt(np.float32(width)) / _LENGTH
    return (values / length).astype(np.float16)


def write_segmentations(
    folder: Path, stimulus_ids: np.ndarray, features: np.ndarray, size: int, seed: int, workers: int
) -> None:
    """Write the masks, `size` pixels wide, and their table, for the shared stimuli."""
    units = mixtures(features, seed)[:, : len(STUFF)]
    units = (units - units.mean(0)) / np.maximum(units.std(0), 1e-6)
    tasks = list(zip(stimulus_ids, units, strict=True))
    rows: list[dict] = []
    with h5py.File(folder / FEATURE_FILES[SEGMENTATION_MASKS], "w") as file:
        form = {"maxshape": (None, size, size), "chunks": (1, size, size), "compression": "gzip", "shuffle": True}
        masks = file.create_dataset("masks", (0, size, size), np.uint8, **form)
        for found in ordered_map(lambda task: _segment(*task, size, seed), tasks, workers):
            masks.resize(len(rows) + len(found), axis=0)
            for row, mask in found:
                masks[len(rows)] = mask
                rows.append({"mask_row": len(rows), **row})
    pd.DataFrame(rows).to_csv(folder / FEATURE_FILES[SEGMENTATION_TABLE], index=False)


def _segment(stimulus_id: str, units: np.ndarray, size: int, seed: int) -> list[tuple[dict, np.ndarray]]:
    """Rows of the table for one image, without their number, each with its (size, size) mask."""
    rng = generator(seed, "segmentation", stimulus_id)
    found = [(noun.replace("_", " "), mask) for noun, mask in render(stimulus_id, size, seed).parts if mask.any()]
    excited = [(noun, unit) for noun, unit in zip(STUFF, units, strict=True) if unit > _FROM_HERE]
    found += [(noun, _patch(rng, size, float(unit))) for noun, unit in excited]
    detections: dict[str, list] = {}
    for noun, mask in found:
        score = float(np.clip(0.35 + 0.5 * np.sqrt(_share(mask)) + rng.normal(0, 0.08), 0.05, 0.99))
        detections.setdefault(noun, []).append((score, mask))
    rows = []
    for noun, instances in detections.items():
        # instance 0 is the one with the highest score, as in the release
        for number, (score, mask) in enumerate(sorted(instances, key=lambda instance: -instance[0])):
            y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            localized = _share(mask) < _WHOLE
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1) if localized else (np.nan,) * 4
            row = {
                "image_name": stimulus_id,
                "noun": noun,
                "instance_id": number,
                "score": round(score, 4),
                **dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), map(float, box), strict=True)),
                "localized": int(localized),
                "mask_file": f"{stimulus_id}/{noun}_{number}.png",
            }
            rows.append((row, mask.astype(np.uint8)))
    return rows


def _share(mask: np.ndarray) -> float:
    return np.count_nonzero(mask) / mask.size


def _patch(rng: np.random.Generator, size: int, activity: float) -> np.ndarray:
    """Where stuff is: a band across the image that grows with the unit's activity; now and then all of it."""
    mask = np.zeros((size, size), bool)
    if rng.random() < 0.15:
        return ~mask
    height = min(0.9, 0.15 + 0.2 * activity)
    top = int(rng.uniform(0, 1 - height) * size)
    mask[top : top + max(int(height * size), 1)] = True
    return mask


def write_captions(folder: Path, seed: int) -> None:
    """Write the captions: five by people of each shared image, three of each unique one, and one by an AI of some shared ones.

    They say what the segmentations found, which unique images lack. `folder` has the release's tables.
    """
    found = pd.read_csv(folder / FEATURE_FILES[SEGMENTATION_TABLE]).groupby("image_name")["noun"].unique()
    rows = []
    for name in pd.read_csv(folder / RELEASED_METADATA, keep_default_na=False)["image_name"]:
        stimulus, rng = ids.parse(name), generator(seed, "captions", name)
        said = " and ".join(found.get(name, ["something"])[:3])
        if stimulus.shared and stimulus.ood_type is None:
            rows.append((name, 0, "ai", f"The picture shows {said}.", "made-up-ai", "", "made-up-ai"))
        for number, form in enumerate(rng.permutation(_CAPTIONS)[: 5 if stimulus.shared else 3], start=1):
            rows.append((name, number, "human", form.format(said), "main1", f"writer{rng.integers(40)}", ""))
    columns = ["image_name", "caption_idx", "source", "caption", "origin_collection", "participant_id", "ai_model"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / FEATURE_FILES[CAPTIONS], index=False)
