"""How a model's score changes from region to region: a line per model."""

from __future__ import annotations

from matplotlib.figure import SubFigure

from .drawing import GREY, Figure, ModelLegend, draw, model_look, model_looks, panel_grid, tidy
from .study import Study
from .variants import Variant

MOST_PANELS = 6
N_COLUMNS = 3


def profile_variants(study: Study) -> list[Variant]:
    """Those with a profile: scores in two regions or more."""
    return [variant for variant in study.main_variants if len(study.regions(variant)) > 1][:MOST_PANELS]


def profile_figure(study: Study) -> Figure:
    """A panel per split, metric and pool."""
    variants = profile_variants(study)
    models = study.models_of(variants, study.regions())
    legend = ModelLegend(looks := model_looks(study.models, models), len(models) - len(looks), line="-")

    def paint(canvas: SubFigure) -> None:
        panels = panel_grid(canvas, len(variants), N_COLUMNS)
        for variant, axes in zip(variants, panels.flat, strict=False):
            regions = study.regions(variant)
            for model in reversed(models):  # the best on top
                _paint_line(axes, study, model, variant, regions, looks.get(model), min(0.5, 20 / len(models)))
            axes.set_title(f"{variant.cell.split or variant.cell.metric} · {variant.pool_label}", size=9)
            axes.set_xticks(range(len(regions)), regions)
            axes.set_xlim(-0.3, len(regions) - 0.7)
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            tidy(axes, "y")
        for axes in panels[:, 0]:
            axes.set_ylabel("ceiled score")
        legend.draw(canvas)

    shown = [variant for variant in variants if variant in study.board] or variants[:1]
    best = "; ".join(f"{variant.label}: {study.winners(variant, study.regions(variant))}" for variant in shown)
    rest = f" The other {legend.n_rest} are grey." if legend.n_rest else ""
    return draw(
        name="profile",
        question="Which regions does each model predict?",
        caption=f"A line per model. Best of each region: {best}. A gap in a line: not scored.{rest}",
        alt=f"Lines over regions of {len(models)} models. Best of each region: {best}.",
        height=0.35 + 2.3 * -(-len(variants) // N_COLUMNS) + legend.height(),
        paint=paint,
        simulated=study.is_simulated,
    )


def _paint_line(
    axes, study: Study, model: str, variant: Variant, regions: list[str], index: int | None, faint: float
) -> None:
    found = [study.cells.get((model, variant, region)) for region in regions]
    values = [float("nan") if result is None else result.value for result in found]
    if index is None:
        axes.plot(values, color=GREY, linewidth=0.6, alpha=faint, zorder=1)
    else:
        axes.plot(values, linewidth=1.6, markersize=5.5, zorder=3, **model_look(index))
