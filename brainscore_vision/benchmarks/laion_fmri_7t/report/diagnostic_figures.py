"""What to look at before believing a score: penalties at the edge of their grid, and how many voxels there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from brainscore_vision.benchmark_helpers.stimulus_kernels import RELATIVE
from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import alpha_text
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.fit import edge_of_grid

from ..identifiers import ALL_REGIONS
from .drawing import GREY, INK, WARNING, Figure, draw, listing, panel_grid, subject_look, tidy
from .score_figures import subjects_of
from .study import MOST_REGIONS, Study
from .variants import Variant

MOST_PANELS = 8
MOST_TICKS = 6
MOST_POINTS = 40
"""Of one alpha in one region: more would lie on each other."""

N_COLUMNS = 2


@dataclass(frozen=True)
class Penalty:
    """One subject's alpha.

    Attributes
    ----------
    model : str
    benchmark : str
    variant : Variant
    region : str
    subject : str
        With its fold, where there are several.
    alpha : float
    at_edge : bool
        Whether it is the smallest or largest of the grid: a better one may lie beyond.
    """

    model: str
    benchmark: str
    variant: Variant
    region: str
    subject: str
    alpha: float
    at_edge: bool

    @property
    def text(self) -> str:
        """The alpha for people, with its unit."""
        return alpha_text(self.alpha, self.variant.cell.alphas == RELATIVE)


def penalties(study: Study) -> list[Penalty]:
    """Every alpha that was chosen among several."""
    found = []
    for (model, variant, region), result in study.cells.items():
        grid = variant.cell.grid
        if len(grid) > 1:
            units = [(subject, unit) for subject, unit in result.subjects.items()]
            for fold, part in result.folds.items():
                units += [(f"{subject} {fold}", unit) for subject, unit in part.subjects.items()]
            found += [
                Penalty(
                    model,
                    result.benchmark,
                    variant,
                    region,
                    subject,
                    unit.alpha,
                    at_edge=edge_of_grid(unit.alpha, grid) is not None,
                )
                for subject, unit in units
                if unit.alpha is not None
            ]
    return found


def alpha_figure(study: Study, found: Sequence[Penalty]) -> Figure:
    """A panel per variant: alphas by region and subject."""
    variants = sorted({penalty.variant for penalty in found}, key=lambda variant: variant.rank)
    main = [v for v in variants if not v.is_part] or variants
    shown = main[:MOST_PANELS]
    n_edge = sum(penalty.at_edge for penalty in found)
    n_rows = -(-len(shown) // N_COLUMNS)

    def paint(canvas: SubFigure) -> None:
        panels = panel_grid(canvas, len(shown), N_COLUMNS, sharey=True)
        for variant, axes in zip(shown, panels.flat, strict=False):
            _paint_alphas(axes, [p for p in found if p.variant == variant], variant)
        canvas.supylabel("alpha, penalty of the ridge regression", fontsize=9)
        canvas.legend(
            handles=[
                Line2D([], [], marker="o", color=GREY, linestyle="", markersize=5, label="inside the grid"),
                Line2D([], [], marker="X", color=WARNING, linestyle="", markersize=7, label="at the grid's edge"),
                Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="edges of the grid"),
            ],
            loc="outside upper left",
            ncols=3,
        )

    left_out = len(variants) - len(shown)
    more = f" {left_out} more splits are counted and not drawn." if left_out else ""
    return draw(
        name="alphas",
        question="Is the ridge penalty inside its grid?",
        caption="Each point is the alpha that leave-one-out chose for one model and subject (and fold), spread sideways to "
        f"show how many agree (up to {MOST_POINTS}). {n_edge:,} of {len(found):,} lie at the edge of the grid: a better alpha "
        f"may lie beyond, or the features say so little that the largest penalty is best.{more}",
        alt=f"Strip plot of {len(found)} ridge penalties by region; {n_edge} are at the edge of the grid.",
        height=0.5 + 2.1 * n_rows,
        paint=paint,
        simulated=study.is_simulated,
    )


def voxel_figure(study: Study) -> Figure:
    """Voxels per subject and region, a panel per threshold."""
    counts: dict[float, dict[tuple[str, str], int]] = {}
    for (_, variant, region), result in study.cells.items():
        for subject, unit in result.by_subject().items():
            if unit.n_neuroids is not None:
                counts.setdefault(variant.cell.noise_ceiling_threshold, {})[subject, region] = unit.n_neuroids
    thresholds = sorted(counts)
    subjects = subjects_of(study.results)
    regions = [r for r in ALL_REGIONS if any(r == own for count in counts.values() for _, own in count)]
    offsets = np.linspace(-0.3, 0.3, len(subjects)) if len(subjects) > 1 else np.zeros(1)

    def paint(canvas: SubFigure) -> None:
        panels = canvas.subplots(1, len(thresholds), sharey=True, squeeze=False)[0]
        for threshold, axes in zip(thresholds, panels, strict=True):
            for offset, subject in zip(offsets, subjects, strict=True):
                found = {i + offset: counts[threshold].get((subject, r)) for i, r in enumerate(regions)}
                places = [place for place, number in found.items() if number is not None]
                numbers = [found[place] for place in places]
                look = subject_look(subject)
                axes.vlines(places, 0, numbers, color=look["color"], linewidth=1.5, alpha=0.5)
                axes.plot(places, numbers, linestyle="", markersize=5.5, markeredgewidth=0, label=subject, **look)
                for x, n in zip(places, numbers, strict=True):
                    axes.annotate(f"{n:,}", (x, n), (0, 5), textcoords="offset points", size=7, ha="center")
            axes.set_title(f"voxels with nc_12rep above {threshold:g} %")
            axes.set_xticks(range(len(regions)), regions, rotation=0 if len(regions) <= MOST_REGIONS else 90)
            axes.set_xlim(-0.5, len(regions) - 0.5)
            tidy(axes, "y")
        panels[0].set_ylim(0, 1.12 * max(n for count in counts.values() for n in count.values()))
        panels[0].set_ylabel("voxels scored", rotation_mode="anchor")
        handles, labels = panels[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper left", ncols=max(1, len(subjects)))

    everything = [n for count in counts.values() for n in count.values()]
    return draw(
        name="voxels",
        question="On how many voxels do the scores rest?",
        caption="Voxels per subject and region whose published noise ceiling is above the threshold of the benchmark.",
        alt=f"Voxels per subject in {listing(regions)}: from {min(everything):,} to {max(everything):,}.",
        height=2.7,
        paint=paint,
        simulated=study.is_simulated,
    )


def _paint_alphas(axes, found: Sequence[Penalty], variant: Variant) -> None:
    grid = variant.cell.grid
    regions = [region for region in ALL_REGIONS if any(penalty.region == region for penalty in found)]
    for place, region in enumerate(regions):
        for alpha in sorted({penalty.alpha for penalty in found if penalty.region == region}):
            same = [penalty for penalty in found if penalty.region == region and penalty.alpha == alpha][:MOST_POINTS]
            spread = np.linspace(-0.5, 0.5, len(same)) * min(0.84, 0.055 * len(same)) if len(same) > 1 else [0.0]
            look = {"marker": "X", "color": WARNING} if same[0].at_edge else {"marker": "o", "color": GREY}
            axes.plot(
                place + np.asarray(spread),
                [np.log10(alpha)] * len(same),
                linestyle="",
                markersize=5.5 if same[0].at_edge else 4,
                markeredgewidth=0,
                alpha=0.8,
                **look,
            )
    for edge in (min(grid), max(grid)):
        axes.axhline(np.log10(edge), color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    low, high = np.log10(min(grid)), np.log10(max(grid))
    room = 0.08 * (high - low)
    axes.set(title=variant.label, xlim=(-0.5, len(regions) - 0.5), ylim=(low - room, high + room))
    axes.set_xticks(range(len(regions)), regions, rotation=0 if len(regions) <= MOST_REGIONS else 90)
    ticks = sorted(grid) if len(grid) <= MOST_TICKS else [10.0 ** round(power) for power in np.linspace(low, high, 5)]
    axes.set_yticks(np.log10(ticks), [_power(tick) for tick in ticks])
    if variant.cell.alphas == RELATIVE:
        axes.set_ylabel("× mean eigenvalue", fontsize=8)
    tidy(axes, "y")


def _power(alpha: float) -> str:
    mantissa, _, exponent = f"{alpha:.0e}".partition("e")
    return f"1e{int(exponent)}" if mantissa == "1" and abs(int(exponent)) > 2 else f"{alpha:g}"
