"""Noise ceilings side by side: as published, as recovered from the single trials, as used at each split's repetitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling, reliability_from_sums
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import TrialMoments
from brainscore_vision.data.laion_fmri_7t.constants import PUBLISHED_REPETITIONS, REGIONS
from brainscore_vision.data.laion_fmri_7t.dataset import Dataset

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
        nc_4rep, nc_12rep, in percent.
    recovered : dict of str to numpy.ndarray of float64, shape (n_voxels,)
        The same from the single trials of the images that were shown 4 and 12 times; a map is left out if the dataset has
        no such images.
    used : dict of (str, str) to numpy.ndarray of float64, shape (n_voxels,)
        (pool, split) -> percent at the repetitions of the split's test images, from the published nc_12rep: what
        ``explained_variance`` and ``correlation`` divide by.
    """

    subject: str
    region: str
    published: dict[str, np.ndarray]
    recovered: dict[str, np.ndarray]
    used: dict[tuple[str, str], np.ndarray]


def region_ceilings(
    dataset: Dataset, subjects: Sequence[str], noise_ceiling_threshold: float
) -> Iterator[RegionCeilings]:
    """Ceilings per subject and region, one pass over each region's trials.

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
            counts = dict(zip(moments.stimulus_ids.tolist(), moments.n_repetitions.tolist(), strict=True))
            used = {}
            for pool, split in USED_SPLITS:
                _, test = dataset.split_ids("shared" if pool == "shared" else subject, split)
                used[pool, split] = 100 * ceiling.at(np.array([counts[s] for s in test])).fraction
            yield RegionCeilings(subject, region, published, recover(moments), used)


def recover(moments: TrialMoments) -> dict[str, np.ndarray]:
    """The published maps again (percent), each from the images with exactly its number of repetitions."""
    recovered = {}
    for name, repetitions in REPETITIONS.items():
        rows = moments.n_repetitions == repetitions
        if rows.any():
            counts = moments.n_repetitions[rows]
            reliability = reliability_from_sums(moments.sums[rows], moments.squares[repetitions], counts)
            recovered[name] = 100 * reliability.at(counts).fraction
    return recovered


def ceiling_table(rows: Sequence[RegionCeilings], threshold: float) -> Table:
    """Medians over voxels, in percent, a row per subject and region."""
    table = Table(
        title=f"Noise ceilings, median over voxels with nc_12rep above {threshold:g} %, in percent of variance"
    )
    for name in ("subject", "region"):
        table.add_column(name, no_wrap=True)
    table.add_column("voxels", justify="right")
    for name in REPETITIONS:
        for source in ("published", "recovered"):
            table.add_column(f"{name[3:]} {source}", justify="right")
    for pool, split in USED_SPLITS:
        table.add_column(f"used {pool} {split}", justify="right")
    for row in rows:
        cells = [row.subject, row.region, str(len(row.published["nc_12rep"]))]
        for name in REPETITIONS:
            cells += [_median(row.published[name]), _median(row.recovered.get(name))]
        table.add_row(*cells, *(_median(row.used[key]) for key in USED_SPLITS))
    return table


def ceiling_record(row: RegionCeilings) -> dict:
    """Medians over voxels (percent) as plain numbers."""
    return {
        "subject": row.subject,
        "region": row.region,
        "voxels": len(row.published["nc_12rep"]),
        "published": {name: float(np.median(values)) for name, values in row.published.items()},
        "recovered": {name: float(np.median(values)) for name, values in row.recovered.items()},
        "used": {f"{pool} {split}": float(np.median(values)) for (pool, split), values in row.used.items()},
    }


def ceiling_picture(rows: Sequence[RegionCeilings], path: Path) -> None:
    """Recovered against published ceilings, a panel per map and region, a colour per subject; .svg, .png or .pdf."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(REGIONS), 6.4), layout="constrained")
    axes = figure.subplots(len(REPETITIONS), len(REGIONS), sharex=True, sharey=True)
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


def _median(values: np.ndarray | None) -> str:
    return "-" if values is None else f"{np.median(values):.1f}"
