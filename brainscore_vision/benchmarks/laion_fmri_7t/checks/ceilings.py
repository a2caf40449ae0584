"""Noise ceilings side by side: as published, as estimated again from the single trials, and as each split uses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling, Reliability
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import ExplainableVariance, noise_variance
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import TrialMoments
from brainscore_vision.data.laion_fmri_7t.constants import PUBLISHED_REPETITIONS, REGIONS
from brainscore_vision.data.laion_fmri_7t.source import Dataset

REPETITIONS = {"nc_4rep": 4, "nc_12rep": 12}
"""Published map -> repetitions of the images that it was estimated from and refers to."""

USED_SPLITS = tuple((pool, split) for pool in ("shared", "persubject") for split in ("tau", "ood"))


@dataclass(frozen=True)
class RegionCeilings:
    """Noise ceilings of one subject's voxels in one region.

    Attributes
    ----------
    subject, region : str
    published : dict of str to numpy.ndarray of float64, shape (n_voxels,)
        Percent, by the name of the map (`REPETITIONS`).
    recovered : dict of str to numpy.ndarray of float64, shape (n_voxels,)
        The same, estimated from the single trials of the images that were shown 4 and 12 times; without a map whose images
        the dataset lacks.
    moved : dict of str to numpy.ndarray of float64, shape (n_voxels,)
        "pool split" -> percent: the published nc_12rep, converted to the repetitions of the split's test images.
    used : dict of str to float
        "pool split" -> percent, over all voxels: the explainable share of the variance of the split's test images, estimated
        from these images. ``explained_variance`` divides by it. It differs from ``moved`` where the test images vary more or
        less than those of the published maps.
    """

    subject: str
    region: str
    published: dict[str, np.ndarray]
    recovered: dict[str, np.ndarray]
    moved: dict[str, np.ndarray]
    used: dict[str, float]


def region_ceilings(
    dataset: Dataset, subjects: Sequence[str], noise_ceiling_threshold: float
) -> Iterator[RegionCeilings]:
    """Ceilings per subject and region; reads each region's trials once.

    Parameters
    ----------
    dataset : Dataset
    subjects : sequence of str
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it.

    Yields
    ------
    RegionCeilings
    """
    for subject in subjects:
        for region in REGIONS:
            moments = dataset.trial_moments(subject, region, noise_ceiling_threshold=noise_ceiling_threshold)
            published = {name: moments.neuroids[name].to_numpy(dtype=float) for name in REPETITIONS}
            ceiling = NoiseCeiling(published["nc_12rep"] / 100, 1 / PUBLISHED_REPETITIONS)
            noise = noise_variance(moments.sums, sum(moments.squares.values()), moments.n_repetitions)
            row = {stimulus_id: i for i, stimulus_id in enumerate(moments.stimulus_ids.tolist())}
            moved, used = {}, {}
            for pool, split in USED_SPLITS:
                _, test = dataset.split_ids("shared" if pool == "shared" else subject, split)
                rows = np.array([row[stimulus_id] for stimulus_id in test])
                counts = moments.n_repetitions[rows]
                moved[f"{pool} {split}"] = 100 * ceiling.at(counts).fraction
                at_test = ExplainableVariance.of(moments.sums[rows] / counts[:, None], counts, noise)
                used[f"{pool} {split}"] = float(100 * at_test.explainable.sum() / at_test.variance.sum())
            yield RegionCeilings(subject, region, published, recover(moments), moved, used)


def recover(moments: TrialMoments) -> dict[str, np.ndarray]:
    """The published maps again (percent), each from the images with exactly its number of repetitions."""
    recovered = {}
    for name, repetitions in REPETITIONS.items():
        rows = moments.n_repetitions == repetitions
        if rows.any():
            counts = moments.n_repetitions[rows]
            reliability = Reliability.of_sums(moments.sums[rows], moments.squares[repetitions], counts)
            recovered[name] = 100 * reliability.at(counts).fraction
    return recovered


def ceiling_record(row: RegionCeilings) -> dict:
    """Medians over voxels (percent), and what splits use, as plain numbers."""

    def medians(ceilings: dict[str, np.ndarray]) -> dict[str, float]:
        return {name: float(np.median(values)) for name, values in ceilings.items()}

    return {
        "subject": row.subject,
        "region": row.region,
        "voxels": len(row.published["nc_12rep"]),
        "published": medians(row.published),
        "recovered": medians(row.recovered),
        "moved": medians(row.moved),
        "used": dict(row.used),
    }


def ceiling_row(record: dict) -> dict[str, str]:
    """A record as cells by the name of their column; a dash where a number is missing."""
    columns = {f"{name[3:]} {source}": (source, name) for name in REPETITIONS for source in ("published", "recovered")}
    columns |= {f"used {pool} {split}": ("used", f"{pool} {split}") for pool, split in USED_SPLITS}
    cells = {title: record[source].get(name) for title, (source, name) in columns.items()}
    named = {"subject": record["subject"], "region": record["region"], "voxels": str(record["voxels"])}
    return named | {title: "-" if cell is None else f"{cell:.1f}" for title, cell in cells.items()}


def ceiling_picture(rows: Sequence[RegionCeilings], path: Path) -> None:
    """Recovered against published ceilings, a panel per map and region, a colour per subject; .svg, .png or .pdf."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(REGIONS), 6.4), layout="constrained")
    axes = figure.subplots(len(REPETITIONS), len(REGIONS), sharex=True, sharey=True)  # n_maps, n_regions
    subjects = list(dict.fromkeys(row.subject for row in rows))
    for row in rows:
        for line, name in enumerate(REPETITIONS):
            if name in row.recovered:
                axes[line, REGIONS.index(row.region)].scatter(
                    row.published[name],
                    row.recovered[name],
                    s=4,
                    linewidths=0,
                    alpha=0.5,
                    color=f"C{subjects.index(row.subject)}",
                    rasterized=True,
                    label=row.subject,
                )
    for line, name in enumerate(REPETITIONS):
        axes[line, 0].set_ylabel(f"{name}, recovered (%)")
        for column, region in enumerate(REGIONS):
            panel = axes[line, column]
            panel.plot([0, 100], [0, 100], color="black", linewidth=0.8)
            panel.set(aspect="equal", xlim=(0, 100), ylim=(0, 100))
            if line == 0:
                panel.set_title(region)
            else:
                panel.set_xlabel("published (%)")
    axes[0, 0].legend(markerscale=3, frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
