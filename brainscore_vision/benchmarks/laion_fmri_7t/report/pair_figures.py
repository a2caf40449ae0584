"""Two results of the same models against each other: splits, and pools."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from brainscore_vision.benchmark_helpers.stimulus_kernels.plan import standard_error

from ..results import Result
from .drawing import (
    COLOURS,
    GREY,
    INK,
    Figure,
    ModelLegend,
    draw,
    listing,
    model_look,
    model_looks,
    panel_grid,
    tidy,
)
from .study import Study, layer_caption
from .variants import Variant

UNITS = {
    "explained_variance": ("explained variance", "fraction of the explainable, summed over voxels"),
    "correlation": ("correlation", "fraction of the ceiling, weighted over voxels"),
}
"""By normalization: what the axes show, and of what. Both take the ceiling from the test images themselves."""

EQUAL = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}


@dataclass(frozen=True)
class Point:
    """A model's place along one axis.

    Attributes
    ----------
    value : float
        Mean over subjects, or over folds.
    error : float or None
        Its standard error over them; None where there is one alone, and where no line is drawn.
    """

    value: float
    error: float | None

    @property
    def ends(self) -> tuple[float, float]:
        return self.value - (self.error or 0.0), self.value + (self.error or 0.0)


@dataclass(frozen=True)
class Pairs:
    """What one figure shows.

    Attributes
    ----------
    a, b : Variant
        Of the horizontal and of the vertical axis.
    normalization : str
    regions, models : list of str
        The best model first.
    looks : dict of str to int
        Models with a marker of their own, and which.
    points : dict of (str, str) to (Point, Point)
        By model and region.
    layers : str
        Where the two differ in their layers, in a sentence.
    over : str
        What the errors are over: "folds" or "subjects".
    """

    a: Variant
    b: Variant
    normalization: str
    regions: list[str]
    models: list[str]
    looks: dict[str, int]
    points: dict[tuple[str, str], tuple[Point, Point]]
    over: str
    layers: str

    @property
    def rest(self) -> list[str]:
        return [model for model in self.models if model not in self.looks]

    @property
    def has_errors(self) -> bool:
        return any(point.error is not None for pair in self.points.values() for point in pair)


def split_pairs(study: Study) -> list[tuple[Variant, Variant]]:
    """Variants that differ in their split alone: tau and ood."""
    pairs = [(v, v.with_split("ood")) for v in study.variants if v.cell.split == "tau"]
    return [pair for pair in pairs if _common_cells(study, *pair)]


def pool_pairs(study: Study) -> list[tuple[Variant, Variant]]:
    """Variants that differ in their pool alone."""
    pairs = [(v, v.with_pool("persubject")) for v in study.variants if v.cell.pool == "shared" and v.is_whole_split]
    return [pair for pair in pairs if _common_cells(study, *pair)]


def shown_normalization(variant: Variant) -> str:
    """The normalization that figures of pairs show: `published` has one ceiling for all images, so that those shown less often
    would seem to be predicted worse."""
    own = variant.cell.normalization
    return "explained_variance" if own == "published" else own


def _common_cells(study: Study, a: Variant, b: Variant) -> set[tuple[str, str]]:
    """Models and regions with both variants, and with the normalization that is shown: test images that hold no explainable
    variance have none."""
    cells, name = study.cells, shown_normalization(a)
    return {
        (model, region)
        for model, variant, region in cells
        if variant == a
        and (model, b, region) in cells
        and all(name in cells[model, v, region].normalizations for v in (a, b))
    }


def split_figure(study: Study, tau: Variant, ood: Variant) -> Figure:
    """Explained variance on natural against out-of-distribution images."""
    return _pair_figure(
        study,
        _pairs(study, tau, ood),
        name=f"gap-{tau.stem}",
        question=f"Do models generalise out of distribution? {tau.cell.metric} · {tau.pool_label}{_brackets(tau)}",
        words=("on natural images (tau)", "out of distribution (ood)"),
        reading="Below the line, a model predicts responses to out-of-distribution images worse than to natural ones.",
    )


def pool_figure(study: Study, shared: Variant, own: Variant) -> Figure:
    """Explained variance after training on images that all subjects saw against each subject's own."""
    reading = "Above the line, a model predicts better after training on each subject's own, larger pool."
    if shared.cell.split != "ood":  # both pools are tested on the same out-of-distribution images
        reading += f" The test images of the {shared.cell.split} split differ between the pools."
    return _pair_figure(
        study,
        _pairs(study, shared, own),
        name=f"pools-{shared.stem}",
        question=f"Do more training images help? {shared.cell.split} · {shared.cell.metric}{_brackets(shared)}",
        words=("shared pool", "per-subject pool"),
        reading=reading,
    )


def _brackets(variant: Variant) -> str:
    return f" · {variant.settings}" if variant.settings else ""


def _pairs(study: Study, a: Variant, b: Variant) -> Pairs:
    common = _common_cells(study, a, b)
    regions = [region for region in study.regions(a, b) if region in {r for _, r in common}]
    both = {model for model, _ in common}
    models = [model for model in study.models if model in both]
    looks = model_looks(study.models, models)
    normalization = shown_normalization(a)
    results = {
        (model, region): (study.cells[model, a, region], study.cells[model, b, region])
        for model in models
        for region in regions
        if (model, region) in common
    }
    return Pairs(
        a=a,
        b=b,
        normalization=normalization,
        regions=regions,
        models=models,
        looks=looks,
        points={key: tuple(_point(r, normalization, key[0] in looks) for r in pair) for key, pair in results.items()},
        over="folds" if any(result.folds for pair in results.values() for result in pair) else "subjects",
        layers=layer_caption(result for pair in results.values() for result in pair),
    )


def _point(result: Result, normalization: str, with_error: bool) -> Point:
    units = result.folds or result.subjects
    values = np.array([unit.normalizations[normalization] for unit in units.values()])
    over = "fold" if result.folds else "subject"
    error = standard_error(values, over) if with_error and len(values) > 1 else None
    return Point(float(values.mean()), error)


def _pair_figure(
    study: Study, pairs: Pairs, *, name: str, question: str, words: tuple[str, str], reading: str
) -> Figure:
    legend = ModelLegend(pairs.looks, len(pairs.rest))
    n_columns = min(4, len(pairs.regions))
    n_rows = -(-len(pairs.regions) // n_columns)
    what, share = UNITS[pairs.normalization]
    fraction = share.partition(",")[0]

    def paint(canvas: SubFigure) -> None:
        panels = panel_grid(canvas, len(pairs.regions), n_columns, sharex=True, sharey=True)
        for region, axes in zip(pairs.regions, panels.flat, strict=False):
            for model in reversed(pairs.models):  # the best on top
                if (model, region) in pairs.points:
                    _paint_point(axes, *pairs.points[model, region], pairs.looks.get(model))
            axes.axline((0, 0), slope=1, zorder=1, **EQUAL)
            axes.set(title=region, aspect="equal")
            tidy(axes, "both")
        limits = _limits(point for pair in pairs.points.values() for point in pair)
        panels[0, 0].set(xlim=limits, ylim=limits)
        canvas.supxlabel(f"{what} ({fraction}), {words[0]}", fontsize=9)
        for axes in panels[:, 0]:
            axes.set_ylabel(f"{what}\n({fraction}),\n{words[1]}")
        legend.draw(canvas, Line2D([], [], label="equal", **EQUAL))

    return draw(
        name=name,
        question=question,
        caption=_caption(pairs, words[1], f"{what}, {share}, ceiling from the test images", reading),
        alt=f"Scatter plot of {len(pairs.models)} models: {what}, {fraction}, {words[1]} against {words[0]}. {_gaps(pairs)}",
        height=0.55 + n_rows * (9.0 / max(n_columns, 3) + 0.3) + legend.height(1),
        paint=paint,
        simulated=study.is_simulated,
    )


def _caption(pairs: Pairs, upwards: str, axes: str, reading: str) -> str:
    text = f"Best, {upwards}: {_best(pairs)}. Each point is a model; both axes: {axes}. "
    if pairs.a.cell.normalization == "published":
        text += (
            "The published normalization, which the other figures show, takes the ceiling at 12 repetitions for all images and "
            "would show a gap where images were shown less often. "
        )
    text += f"{reading} "
    if pairs.has_errors:
        text += f"Lines: ± one standard error of the mean over {pairs.over}. "
    if pairs.rest:
        bare = " and have no lines" if pairs.has_errors else ""
        text += f"The first models of the leaderboard have markers of their own; the other {len(pairs.rest)} are grey{bare}."
    return text.strip() + pairs.layers


def _best(pairs: Pairs) -> str:
    """The highest model of each region, in words."""
    found = []
    for region in pairs.regions:
        values = {model: points[1].value for (model, own), points in pairs.points.items() if own == region}
        model = max(values, key=values.get)
        found.append(f"{region} {model} ({values[model]:.3f})")
    return listing(found)


def _paint_point(axes, x: Point, y: Point, index: int | None) -> None:
    named = index is not None
    line = {"color": COLOURS[index] if named else GREY, "linewidth": 1, "alpha": 0.6, "zorder": 2}
    if x.error is not None:
        axes.plot(x.ends, [y.value] * 2, **line)
    if y.error is not None:
        axes.plot([x.value] * 2, y.ends, **line)
    axes.plot(x.value, y.value, linestyle="", markersize=6.5 if named else 4, zorder=3 + named, **model_look(index))


def _limits(points: Iterable[Point]) -> tuple[float, float]:
    values = [0.0, *(end for point in points for end in point.ends)]
    room = 0.06 * (max(values) - min(values)) or 0.1
    return min(values) - room, max(values) + room


def _gaps(pairs: Pairs) -> str:
    parts = []
    for region in pairs.regions:
        gaps = [b.value - a.value for (_, own), (a, b) in pairs.points.items() if own == region]
        parts.append(f"{region} {sum(gaps) / len(gaps):+.3f}")
    return f"Mean difference: {listing(parts)}."
