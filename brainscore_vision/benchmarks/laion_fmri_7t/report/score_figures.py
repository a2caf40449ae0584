"""Scores by region: a figure per split and metric, and one of raw scores beside their ceilings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS

from ..identifiers import ALL_REGIONS, SPLIT_METRICS
from ..results import Result
from .drawing import GREY, INK, Figure, draw, listing, row_labels, subject_look, tidy
from .study import ORDERED, TOP, Study
from .variants import Variant

SPREAD = 0.62
"""Of a row's height, over which subjects are spread."""

PERFECT = {"color": INK, "linewidth": 1.2, "linestyle": ":"}

WHAT = {
    "tau": "held-out natural images",
    "ood": "out-of-distribution images",
    "cluster_k5": "held-out clusters of images",
    "random": "random held-out images",
}


def score_figure(study: Study, variant: Variant, regions: Sequence[str] | None = None) -> Figure:
    """Models as rows, regions as panels: means with standard errors, subjects with intervals; all regions or some."""
    every = study.regions(variant)
    regions = every if regions is None else regions
    ranked = study.models_of([variant], regions)
    shown = ranked[:TOP]
    names = row_labels(shown)
    many = len(ranked) > TOP
    found = [study.cells[m, variant, r] for m in ranked for r in regions if (m, variant, r) in study.cells]
    subjects = subjects_of(found)
    perfect = _perfect(study, variant, regions)

    def paint(canvas: SubFigure) -> None:
        panels = canvas.subplots(
            2 if many else 1,
            len(regions),
            sharex=True,
            squeeze=False,
            height_ratios=[len(shown), 1.3] if many else None,
        )
        for column, region in enumerate(regions):
            axes = panels[0, column]
            for row, model in enumerate(shown):
                result = study.cells.get((model, variant, region))
                if result is not None:
                    _paint_row(axes, row, result, subjects)
            axes.set(title=region, ylim=(len(shown) - 0.5, -0.5), yticks=range(len(shown)))
            axes.set_yticklabels([names[m] for m in shown] if column == 0 else [])
            for row in range(1, len(shown)):
                axes.axhline(row - 0.5, color="#eeeeee", linewidth=0.6, zorder=0)
            if many:
                values = [study.cells[m, variant, region].value for m in ranked if (m, variant, region) in study.cells]
                _paint_strip(panels[1, column], values, f"all {len(ranked)}" if column == 0 else "")
        for axes in panels.flat:
            tidy(axes, "x")
            axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.axvline(0, color="#aaaaaa", linewidth=0.8)
        if perfect:
            for column, region in enumerate(regions):
                for axes in panels[:, column]:
                    axes.axvline(perfect[region], **PERFECT)
        panels[0, 0].set_xlim(*_limits(found))
        canvas.supxlabel(f"ceiled score (normalization: {listing(_normalizations(found))})", fontsize=9)
        canvas.legend(
            handles=_legend(subjects, bool(perfect)),
            loc="outside upper left",
            ncols=len(subjects) + 3,
            columnspacing=1.2,
        )

    n_rows = len(shown) + (1.6 if many else 0)
    return draw(
        name=f"scores-{variant.stem}{'' if regions[0] == every[0] else f'-{regions[0]}'}",
        question=f"How well do models predict {what_is_predicted(variant)}? {variant.label}",
        caption=_caption(study, variant, found, len(ranked)),
        alt=f"Dot plot of ceiled scores, {len(shown)} models by {len(regions)} regions, {variant.label}. "
        f"Best: {study.winners(variant, regions)}.",
        height=0.95 + n_rows * (0.36 if len(shown) > 4 else 0.44),
        paint=paint,
        simulated=study.is_simulated,
    )


def ceiling_figure(study: Study, regions: Sequence[str] | None = None) -> Figure:
    """Best model's raw scores beside the ceilings, a row per split and metric; all regions or some."""
    variants = study.main_variants
    best = {(v, region): study.best(v, region)[0] for v in variants for region in study.regions(v)}
    every = [region for region in ALL_REGIONS if any(own == region for _, own in best)]
    regions = every if regions is None else regions
    best = {cell: found for cell, found in best.items() if cell[1] in regions}
    names = listing(dict.fromkeys(model for model, _ in best.values()))
    best = {cell: result for cell, (_, result) in best.items()}
    subjects = subjects_of(best.values())

    def paint(canvas: SubFigure) -> None:
        panels = canvas.subplots(1, len(regions), sharex=True, sharey=True, squeeze=False)[0]
        for region, axes in zip(regions, panels, strict=True):
            for row, variant in enumerate(variants):
                if (variant, region) in best:
                    _paint_ceiling(axes, row, best[variant, region], subjects)
            axes.set(title=region, ylim=(len(variants) - 0.5, -0.5), yticks=range(len(variants)))
            tidy(axes, "x")
        panels[0].set_xlim(*_raw_limits(best.values()))
        panels[0].set_yticklabels([variant.label.replace(" · ", "\n", 1) for variant in variants])
        canvas.supxlabel("raw score, and ceiling in the same unit (correlation, or fraction of variance)", fontsize=9)
        canvas.legend(handles=_ceiling_legend(subjects), loc="outside upper left", ncols=7, columnspacing=1.2)

    shares = listing(
        f"{v.label}, {r}: {best[v, r].raw:.2f} of {best[v, r].ceiling:.2f}"
        for v in variants
        for r in regions
        if (v, r) in best
    )
    return draw(
        name=f"ceilings{'' if regions[0] == every[0] else f'-{regions[0]}'}",
        question="How much of the ceiling does the best model reach?",
        caption="Filled: the best model's raw score in each subject; open: that subject's noise ceiling, in the same unit. "
        "The bar spans the means over subjects. The unit is the metric's: for the published normalization of a ridge benchmark "
        "the median correlation over voxels and the median √NC at 12 repetitions, also where the test images were shown less "
        "often (all of ood) and less can be reached; for rdm-pearson the rank correlation of RDMs and the mean √NC of voxels. "
        f"The best model is that with the highest ceiled score in the region: {names}.",
        alt=f"Raw scores of the best model and noise ceilings per subject. {shares}.",
        height=0.95 + 0.5 * len(variants),
        paint=paint,
        simulated=study.is_simulated,
    )


def _paint_row(axes, row: int, result: Result, subjects: Sequence[str]) -> None:
    if result.error is not None:
        ends = [result.value - result.error, result.value + result.error]
        axes.plot(ends, [row, row], color=INK, linewidth=4, alpha=0.25, zorder=2)
    units = result.by_subject()
    for place, subject in zip(_places(len(subjects)), subjects, strict=True):
        if subject in units:
            unit, look = units[subject], subject_look(subject)
            if unit.interval is not None:
                axes.plot(unit.interval, [row + place] * 2, color=look["color"], linewidth=1, alpha=0.75, zorder=3)
            axes.plot(unit.value, row + place, markersize=3.6, linestyle="", markeredgewidth=0, zorder=4, **look)
    axes.plot(result.value, row, marker="|", markersize=15, markeredgewidth=1.8, color=INK, zorder=5)


def _paint_strip(axes, values: Sequence[float], label: str) -> None:
    axes.plot(
        values,
        np.zeros(len(values)),
        marker="|",
        linestyle="",
        markersize=13,
        color=GREY,
        alpha=min(0.8, 40 / len(values)),
    )
    axes.plot(np.median(values), 0, marker="v", color=INK, markersize=5, linestyle="")
    axes.set(ylim=(-0.6, 0.6), yticks=[0])
    axes.set_yticklabels([label])


def _paint_ceiling(axes, row: int, result: Result, subjects: Sequence[str]) -> None:
    axes.plot([result.raw, result.ceiling], [row, row], color=GREY, linewidth=4, alpha=0.35, solid_capstyle="butt")
    units = result.by_subject()
    for place, subject in zip(_places(len(subjects)), subjects, strict=True):
        if subject in units:
            look = {**subject_look(subject), "linestyle": "", "markersize": 4}
            axes.plot(units[subject].raw, row + place, markeredgewidth=0.8, **look)
            axes.plot(units[subject].ceiling, row + place, fillstyle="none", markeredgewidth=0.9, **look)


def _places(n: int) -> np.ndarray:
    return np.linspace(-SPREAD / 2, SPREAD / 2, n) if n > 1 else np.zeros(1)


def subjects_of(results: Iterable[Result]) -> list[str]:
    """Subjects of any of the results: the dataset's in their order, then others."""
    names = {subject for result in results for subject in result.by_subject()}
    return [s for s in SUBJECTS if s in names] + sorted(names - set(SUBJECTS))


def _legend(subjects: Sequence[str], has_perfect: bool) -> list[Line2D]:
    handles = [Line2D([], [], marker="|", color=INK, markersize=11, markeredgewidth=1.8, linestyle="", label="mean")]
    for subject in subjects:
        handles.append(
            Line2D([], [], markersize=5, linewidth=1, markeredgewidth=0, label=subject, **subject_look(subject))
        )
    handles.append(Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="1, the ceiling"))
    return [*handles, Line2D([], [], label="r = √NC", **PERFECT)] if has_perfect else handles


def _ceiling_legend(subjects: Sequence[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], marker="o", color=INK, linestyle="", markersize=5, label="raw score"),
        Line2D([], [], marker="o", color=INK, linestyle="", markersize=5, fillstyle="none", label="ceiling"),
    ]
    return handles + [Line2D([], [], markersize=5, linestyle="", label=s, **subject_look(s)) for s in subjects]


def _perfect(study: Study, variant: Variant, regions: Sequence[str]) -> dict[str, float]:
    """Region -> score of predictions as good as the ceiling; empty where that is 1, as it is in all but one case.

    ``published`` divides median(r)² by median(√NC), so that r = √NC gives the ceiling itself.
    """
    if variant.cell.metric not in SPLIT_METRICS or variant.cell.normalization != "published":
        return {}
    ceilings: dict[str, list[float]] = {region: [] for region in regions}
    for (_, own, region), result in study.cells.items():
        if own == variant and region in ceilings:
            ceilings[region].append(result.ceiling)
    return {region: float(np.mean(values)) for region, values in ceilings.items()}


def _limits(found: Sequence[Result]) -> tuple[float, float]:
    values = [0.0, 1.0]
    for result in found:
        for unit in result.by_subject().values():
            values += [unit.value, *(unit.interval or ())]
    low, high = min(values), max(values)
    room = 0.04 * (high - low)
    return low - room, high + room


def _raw_limits(results: Iterable[Result]) -> tuple[float, float]:
    units = [unit for result in results for unit in result.by_subject().values()]
    values = [0.0, *(unit.raw for unit in units), *(unit.ceiling for unit in units)]
    return min(values), 1.06 * max(values)


def _normalizations(found: Sequence[Result]) -> list[str]:
    return sorted({result.normalization for result in found})


def what_is_predicted(variant: Variant) -> str:
    """In words."""
    if variant.cell.split is None:
        return {"cka": "similarity of stimuli (CKA)"}.get(variant.cell.metric, "the geometry of responses (RDMs)")
    return f"responses to {WHAT.get(variant.cell.split, 'test images')}"


def _caption(study: Study, variant: Variant, found: Sequence[Result], n_models: int) -> str:
    has_folds = any(result.folds for result in found)
    text = f"Best: {study.winners(variant, study.regions(variant))}. Black stroke: mean over subjects"
    if any(result.error is not None for result in found):
        text += f"; grey bar: ± standard error (bootstrap over {'folds' if has_folds else 'subjects'})"
    text += ". Each marker is a subject"
    if has_folds:
        text += ", the mean over folds"
    if any(unit.interval is not None for result in found for unit in result.by_subject().values()):
        text += ", its thin line the 95 % interval over resampled test stimuli"
    text += ". Dashed: the ceiling. "
    if variant.cell.metric in SPLIT_METRICS and variant.cell.normalization == "published":
        text += (
            "Dotted: what predictions as good as the ceiling, r = √NC at 12 repetitions, would score, because this "
            "normalization divides r² by √NC; where test images were shown less often (all of ood), less can be reached. "
        )
    text += ORDERED
    if n_models > TOP:
        text += (
            f" The first {TOP} of {n_models} are shown by name, and all in the strip below (strokes; triangle: median)."
        )
    return text
