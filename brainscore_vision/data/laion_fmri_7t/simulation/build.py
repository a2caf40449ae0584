"""Fills a folder with a simulated dataset: images, embeddings, segmentations, splits, truth, assemblies."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import ordered_map

from ..assemblies.writer import AssemblyWriter
from ..assemblies.zscore import zscore_in_place
from ..constants import SUBJECTS
from ..packaging.layout import SubjectFiles
from ..stimuli.sources import IMAGE_FOLDER, MANIFEST
from . import images
from .feature_files import write_embeddings, write_segmentations
from .scales import Scale
from .sessions import schedule, session_betas
from .splits import stimulus_groups, write_splits
from .stimuli_ids import stimulus_table, subject_stimuli
from .truth import write_truth
from .visual_features import SIZE, feature_table, visual_features
from .voxels import draw_signal, draw_voxels

_BLOCK = 64  # images per task
_MANY = 10_000  # images: processes make them
_CLIP = 4.0  # standard deviations; a few odd images must not carry a voxel's whole signal


def build(root: Path, scale: Scale, seed: int, workers: int, progress: bool, attributes: dict[str, str | int]) -> None:
    """Write everything but the mark that says that it is complete.

    `root` is an empty folder, `workers` a number of threads, `attributes` are global attributes of the assemblies.
    """
    # one thread per product of matrices: rounding, and so the content, does not depend on the machine's load
    with threadpool_limits(1):
        table = stimulus_table(scale, seed)
        features = write_images(root / "stimuli", table, scale.image_size, seed, workers, progress)
        ids = table["stimulus_id"].to_numpy(dtype=str)
        groups = stimulus_groups(ids, features, seed)
        shared = np.flatnonzero((table["participant"] == "all").to_numpy())
        write_embeddings(root / "stimuli", ids, features, scale, seed)
        write_segmentations(root / "stimuli", ids[shared], features[shared], scale.image_size, seed, workers)
        write_splits(root / "splits" / "shared", "shared", ids[shared], features[shared], seed)
        with _bar(len(SUBJECTS) * scale.sessions, "betas", "session", progress) as bar:
            for subject in SUBJECTS:
                rows = subject_stimuli(table, subject)
                write_splits(root / "splits" / subject, subject, ids[rows], features[rows], seed)
                seen = ids[rows], groups[rows], features[rows]
                write_subject(root, scale, subject, *seen, seed, workers, attributes, bar)


def write_images(folder: Path, table: pd.DataFrame, size: int, seed: int, workers: int, progress: bool) -> np.ndarray:
    """Write the images and their manifest, and measure what drives the voxels.

    Gives the features of the images as displayed: (n_stimuli, n_features) float32, with mean 0 and standard deviation 1
    over all images, clipped.
    """
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    names = list(zip(table["stimulus_id"], table["filename"], strict=True))
    blocks = [names[start : start + _BLOCK] for start in range(0, len(names), _BLOCK)]

    make = partial(_write_block, folder / IMAGE_FOLDER, size, seed)
    features = np.empty((len(names), len(feature_table())), np.float32)
    done = 0
    with _bar(len(names), "images", "image", progress) as bar:
        for part in ordered_map(make, blocks, workers, processes=len(names) > _MANY):
            features[done : done + len(part)] = part
            done += len(part)
            bar.update(len(part))
    table.to_csv(folder / MANIFEST, index=False)
    mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    features -= mean.astype(np.float32)
    features /= np.maximum(spread, 1e-6).astype(np.float32)
    return np.clip(features, -_CLIP, _CLIP, out=features)


def _write_block(folder: Path, size: int, seed: int, block: list[tuple[str, str]]) -> np.ndarray:
    """Write images of (stimulus_id, filename), and measure their features: (n_images, n_features) float32."""
    shown = np.empty((len(block), SIZE, SIZE, 3), np.uint8)
    for number, (stimulus_id, filename) in enumerate(block):
        encoded = images.encode(images.render(stimulus_id, size, seed, with_parts=False))
        (folder / filename).write_bytes(encoded)
        # from the file's own pixels: whoever reads the image can compute the same features
        shown[number] = images.displayed(encoded, SIZE)
    return visual_features(shown)


def write_subject(
    root: Path,
    scale: Scale,
    subject: str,
    stimulus_ids: np.ndarray,
    groups: np.ndarray,
    features: np.ndarray,
    seed: int,
    workers: int,
    attributes: dict[str, str | int],
    bar: tqdm,
) -> None:
    """Write one subject's anatomy, assembly and truth; `groups` and the rows of `features` are those of the ids."""
    from .raw_volumes import write_anatomy

    trials = schedule(scale, stimulus_ids, subject, seed)
    voxels = draw_voxels(scale, subject, seed)
    signal = draw_signal(features, groups, voxels, subject, seed)
    write_truth(root, subject, stimulus_ids, groups, signal, voxels)
    neuroids = pd.DataFrame(
        {
            "subject_id": subject,
            "region": voxels.region,
            "roi": voxels.roi,
            "voxel_index_in_brain_mask": voxels.index_in_brain_mask,
            **voxels.noise_ceilings(trials["stimulus"].to_numpy()),
        }
    )

    def measure(session: tuple[str, np.ndarray]) -> np.ndarray:
        name, shown = session
        betas = session_betas(signal[shown], voxels, subject, name, seed)
        zscore_in_place(betas)
        return betas

    sessions = [(name, rows["stimulus"].to_numpy()) for name, rows in trials.groupby("session", sort=False)]
    attributes = attributes | write_anatomy(SubjectFiles(root, subject), scale)
    path = root / "assemblies" / f"{subject}.nc"
    with AssemblyWriter(path, trials, neuroids, attributes, voxels.regions) as writer:
        for betas in ordered_map(measure, sessions, workers):
            writer.append(betas)
            bar.update()


def _bar(total: int, what: str, unit: str, progress: bool) -> tqdm:
    return tqdm(total=total, desc=f"simulating {what}", unit=unit, disable=None if progress else True, leave=False)
