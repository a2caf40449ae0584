"""Two scores of the same models against each other: splits, and pools."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from .drawing import COLOURS, GREY, INK, MARKERS, Figure, draw, listing, row_labels, tidy
from .study import Study, Variant

NAMED = len(MARKERS)
"""Models with a colour and marker of their own."""


def split_pairs(study: Study) -> list[tuple[Variant, Variant]]:
    """Variants that differ in their split alone: tau and ood."""
    pairs = [(v, v.with_split("ood")) for v in study.variants if v.cell.split == "tau"]
    return [pair for pair in pairs if _have_common(study, *pair)]


def pool_pairs(study: Study) -> list[tuple[Variant, Variant]]:
    """Variants that differ in their pool alone."""
    shared = [v for v in study.variants if v.cell.pool == "shared" and v.cell.split is not None]
    shared = [v for v in shared if not (v.is_ood_type or v.is_single_fold)]
    pairs = [(v, v.with_pool("persubject")) for v in shared]
    return [pair for pair in pairs if _have_common(study, *pair)]


def _have_common(study: Study, a: Variant, b: Variant) -> bool:
    return any((model, b, region) in study.cells for model, own, region in study.cells if own == a)


def split_figure(study: Study, tau: Variant, ood: Variant) -> Figure:
    """Scores on natural against scores on out-of-distribution images."""
    pool = "shared pool" if tau.cell.pool == "shared" else "per-subject pool"
    return _pair_figure(
        study,
        tau,
        ood,
        name=f"gap-{tau.stem}",
        question=f"Do models generalise out of distribution? {tau.cell.metric} · {pool}{_brackets(tau)}",
        words=("on natural images (tau)", "out of distribution (ood)"),
        reading="Below the line, a model predicts responses to out-of-distribution images worse than to natural ones.",
    )


def pool_figure(study: Study, shared: Variant, own: Variant) -> Figure:
    """Scores after training on images that all subjects saw against each subject's own."""
    return _pair_figure(
        study,
        shared,
        own,
        name=f"pools-{shared.stem}",
        question=f"Do more training images help? {shared.cell.split} · {shared.cell.metric}{_brackets(shared)}",
        words=("shared pool", "per-subject pool"),
        reading="Above the line, a model predicts better after training on each subject's own, larger pool. The test images "
        "of the tau split differ between the pools.",
    )


def _brackets(variant: Variant) -> str:
    return f" · {variant.settings}" if variant.settings else ""


def _pair_figure(
    study: Study, a: Variant, b: Variant, *, name: str, question: str, words: tuple[str, str], reading: str
) -> Figure:
    regions = [r for r in study.regions(a, b) if _models(study, a, b, [r])]
    models = [model for model in study.models if model in _models(study, a, b, regions)]
    # the same marker in every figure, unless this one has none of the best
    looks = {model: index for index, model in enumerate(study.models[:NAMED]) if model in models}
    looks = looks or {model: index for index, model in enumerate(models[:NAMED])}
    named, rest = list(looks), [model for model in models if model not in looks]
    names = row_labels(named)
    legend_columns = 4 if max(map(len, names.values())) <= 24 else 3
    n_columns = min(4, len(regions))
    n_rows = -(-len(regions) // n_columns)

    def paint(canvas: SubFigure) -> None:
        panels = canvas.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        for region, axes in zip(regions, panels.flat, strict=False):
            for model in reversed(models):  # the best on top
                if (model, a, region) in study.cells and (model, b, region) in study.cells:
                    _paint_point(axes, study.cells[model, a, region], study.cells[model, b, region], looks.get(model))
            axes.axline((0, 0), slope=1, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            axes.set(title=region, aspect="equal")
            tidy(axes, "both")
        for axes in list(panels.flat)[len(regions) :]:
            axes.set_visible(False)
        limits = _limits(study, a, b, regions, models)
        panels[0, 0].set(xlim=limits, ylim=limits)
        canvas.supxlabel(f"ceiled score, {words[0]}", fontsize=9)
        for axes in panels[:, 0]:
            axes.set_ylabel(f"ceiled score,\n{words[1]}")
        handles = [Line2D([], [], label=names[m], markersize=6, linestyle="", **_look(looks[m])) for m in named]
        if rest:
            handles.append(Line2D([], [], label=f"{len(rest)} other models", markersize=4, linestyle="", **_look(None)))
        handles.append(Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="equal scores"))
        canvas.legend(
            handles=handles, loc="outside upper left", ncols=legend_columns, columnspacing=1.5, handletextpad=0.4
        )

    legend_rows = -(-(len(named) + bool(rest) + 1) // legend_columns)
    return draw(
        name=name,
        question=question,
        caption=f"Each point is a model, its lines ± one standard error of the mean over subjects. {reading}"
        + (
            f" The models with the best mean rank over all benchmarks of this report have markers of their own; the other "
            f"{len(rest)} are grey."
            if rest
            else ""
        ),
        alt=f"Scatter plot of {len(models)} models, {words[1]} against {words[0]}. {_gaps(study, a, b, regions, models)}",
        height=0.55
        + n_rows * (9.0 / max(n_columns, 3) + 0.3)
        + (0.36 if any("\n" in name for name in names.values()) else 0.22) * legend_rows,
        paint=paint,
        simulated=study.is_simulated,
    )


def _models(study: Study, a: Variant, b: Variant, regions: Sequence[str]) -> set[str]:
    return {m for m, v, r in study.cells if v == a and r in regions and (m, b, r) in study.cells}


def _look(index: int | None) -> dict:
    if index is None:
        return {"marker": "o", "color": GREY, "alpha": 0.6, "markeredgewidth": 0}
    return {"marker": MARKERS[index], "color": COLOURS[index], "markeredgecolor": "white", "markeredgewidth": 0.5}


def _paint_point(axes, x, y, index: int | None) -> None:
    named = index is not None
    colour = COLOURS[index] if named else GREY
    if named:
        for low, high, fixed, along in ((x.value, x.error, y.value, "x"), (y.value, y.error, x.value, "y")):
            ends, still = [low - (high or 0), low + (high or 0)], [fixed, fixed]
            axes.plot(
                *((ends, still) if along == "x" else (still, ends)), color=colour, linewidth=1, alpha=0.6, zorder=2
            )
    axes.plot(x.value, y.value, linestyle="", markersize=6.5 if named else 4, zorder=3 + named, **_look(index))


def _limits(study: Study, a: Variant, b: Variant, regions, models) -> tuple[float, float]:
    values = [0.0]
    for variant in (a, b):
        for region in regions:
            for model in models:
                result = study.cells.get((model, variant, region))
                if result is not None:
                    values += [result.value - (result.error or 0), result.value + (result.error or 0)]
    room = 0.06 * (max(values) - min(values)) or 0.1
    return min(values) - room, max(values) + room


def _gaps(study: Study, a: Variant, b: Variant, regions, models) -> str:
    parts = []
    for region in regions:
        gaps = [
            study.cells[m, b, region].value - study.cells[m, a, region].value
            for m in models
            if (m, a, region) in study.cells and (m, b, region) in study.cells
        ]
        parts.append(f"{region} {sum(gaps) / len(gaps):+.3f}")
    return f"Mean difference: {listing(parts)}."
