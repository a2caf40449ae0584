"""Small dataset folders for tests, right by default and wrong on request."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
from PIL import Image

SHARED = [
    *(f"shared_12rep_LAION_cluster_{n}_i0.jpg" for n in range(6)),
    "shared_12rep_THINGS+_kmeans_3_air_conditioner.v2.jpg",
]
OOD = [
    "shared_4rep_OOD_cropped_aloe.png",
    "shared_4rep_OOD_shape_ball.png",
    "shared_4rep_OOD_gabor_1.jpg",
    "shared_4rep_OOD_unusual_Screenshot 2024-05-06 at 14.45.09.jpg",
]
CODES = {"sub-01": "p01", "sub-06": "p02", "sub-05": "p03", "sub-03": "p04", "sub-07": "p05"}


def unique(subject: str, n: int = 4) -> list[str]:
    """Ids of one subject's own images."""
    return [f"unique_LAION_initial_cluster_{i}_i0_{CODES[subject]}.jpg" for i in range(n)]


@dataclass
class Trials:
    """One subject's assembly as plain arrays, to be written or spoiled."""

    presentations: dict[str, np.ndarray]
    neuroids: dict[str, np.ndarray]
    data: np.ndarray
    attributes: dict = field(default_factory=dict)


def make_trials(
    subject: str = "sub-01",
    voxels: tuple = (("V1", 5), ("V2", 4), ("V3", 3), ("V4", 2), ("IT", 6)),
    repetitions: int = 3,
    seed: int = 0,
    stimuli: list[str] | None = None,
) -> Trials:
    """Random trials in a random order; the last voxel of each region has nc_12rep below 30 percent."""
    rng = np.random.default_rng(seed)
    stimuli = SHARED + OOD + unique(subject) if stimuli is None else stimuli
    rows = pd.DataFrame(
        [(stimulus, repetition) for stimulus in stimuli for repetition in range(repetitions)],
        columns=["stimulus_id", "repetition"],
    )
    rows = rows.drop(index=rows.index[-1])  # one image lost a repetition
    rows = rows.sample(frac=1, random_state=seed).reset_index(drop=True)
    half = len(rows) // 2
    presentations = {
        "stimulus_id": rows["stimulus_id"].to_numpy(dtype=object),
        "repetition": rows["repetition"].to_numpy(),
        "session": np.array(["ses-01"] * half + ["ses-02"] * (len(rows) - half), dtype=object),
        "run": np.arange(len(rows)) % 4 + 1,
        "beta_index": np.r_[:half, : len(rows) - half],
    }
    region = np.array([name for name, count in voxels for _ in range(count)], dtype=object)
    n_voxels = len(region)
    last = np.append(region[1:] != region[:-1], True)
    nc_12rep = np.where(last, 20, rng.uniform(31, 90, n_voxels)).astype(np.float32)
    fraction = nc_12rep / 100
    ncsnr2 = fraction / (1 - fraction) / 12
    neuroids = {
        "subject_id": np.full(n_voxels, subject, dtype=object),
        "region": region,
        "roi": np.array([f"{name}v" for name in region], dtype=object),
        "voxel_index_in_brain_mask": np.arange(n_voxels, dtype=np.int32) * 7,
        "nc_4rep": (100 * ncsnr2 / (ncsnr2 + 1 / 4)).astype(np.float32),
        "nc_12rep": nc_12rep,
        "nc_allrep": (100 * ncsnr2 / (ncsnr2 + 0.2263)).astype(np.float32),
    }
    data = rng.normal(size=(len(rows), n_voxels)).astype(np.float32)
    return Trials(presentations, neuroids, data, {"identifier": f"LAION_fMRI_{subject}", "dataset": "made for a test"})


def write_trials(
    trials: Trials,
    path: Path,
    chunks: tuple[int, int] | None = None,
    zlib: bool = False,
    dimensions: tuple[str, str] = ("presentation", "neuroid"),
    variable: str = "data",
) -> Path:
    """Write an assembly file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(str(path), "w") as file:
        for dimension, size in zip(dimensions, trials.data.shape, strict=True):
            file.createDimension(dimension, size)
        data = file.createVariable(
            variable,
            trials.data.dtype,
            dimensions,
            chunksizes=chunks,
            zlib=zlib,
            contiguous=chunks is None and not zlib,
        )
        data[:] = trials.data
        for dimension, coordinates in zip(dimensions, (trials.presentations, trials.neuroids), strict=True):
            for name, values in coordinates.items():
                values = np.asarray(values)
                kind = str if values.dtype == object else values.dtype
                file.createVariable(name, kind, (dimension,))[:] = values
        file.setncatts(trials.attributes)
    return path


def write_images(folder: Path, stimuli: list[str], seed: int = 0) -> Path:
    """Write images and their manifest: cropped and shape images are transparent, or opaque with an alpha channel."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for stimulus in stimuli:
        pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        if stimulus.endswith(".png"):
            image.putalpha(
                Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
                if "cropped" in stimulus
                else Image.new("L", (12, 12), 255)
            )
        image.save(folder / "images" / stimulus)
    pd.DataFrame(
        {"stimulus_id": stimuli, "filename": stimuli, "dataset": [name.split("_")[1] for name in stimuli]}
    ).to_csv(folder / "manifest.csv", index=False)
    return folder


def write_split(folder: Path, pool: str, name: str, train: list[str], test: list[str]) -> Path:
    """Write one split file in the release's form."""
    path = folder / pool / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "name": name,
                "pool": pool,
                "splitter": "test",
                "params": {},
                "n_train": len(train),
                "n_test": len(test),
                "variants": [{"variant_id": 0, "train_ids": train, "test_ids": test}],
            }
        )
    )
    return path


def write_dataset(root: Path, subjects: tuple[str, ...] = ("sub-01", "sub-03")) -> Path:
    """Write a complete dataset folder: assemblies, images with manifest, splits tau, ood, cluster_k5 and random."""
    stimuli = SHARED + OOD
    for number, subject in enumerate(subjects):
        write_trials(make_trials(subject, seed=number), root / "assemblies" / f"{subject}.nc")
        stimuli = stimuli + unique(subject)
    write_images(root / "stimuli", stimuli)
    for pool, members in (("shared", SHARED), *((subject, SHARED + unique(subject)) for subject in subjects)):
        splits = root / "splits"
        write_split(splits, pool, "tau", members[:-2], members[-2:])
        write_split(splits, pool, "ood", members, OOD)
        for fold in range(5):
            for family in ("cluster_k5", "random"):
                write_split(
                    splits,
                    pool,
                    f"{family}_{fold}",
                    [m for i, m in enumerate(members) if i % 5 != fold],
                    members[fold::5],
                )
    return root
