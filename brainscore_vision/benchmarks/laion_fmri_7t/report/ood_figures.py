"""Which kinds of out-of-distribution images are hard: models by categories."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

from ..results.order import adjusted_means
from .drawing import ON_DARK, ON_LIGHT, Figure, bare_grid, colour_bar, draw, listing, panel_grid, row_labels
from .study import ORDERED, TOP, Study, layer_caption
from .variants import OOD_PREFIX, Variant

COLOUR_MAP = "cividis"
"""Perceptually uniform, and the same to eyes with red-green deficiency."""

N_COLUMNS = 2


def ood_groups(study: Study) -> list[Variant]:
    """One variant (of the split ood) for each set of category variants that differ in the category alone."""
    return list(dict.fromkeys(v.with_split("ood") for v in study.variants if v.is_ood_type))


def ood_figure(study: Study, group: Variant) -> Figure:
    """A heat map per region."""
    kinds = {kind: group.with_split(OOD_PREFIX + kind) for kind in OOD_TYPES}
    regions = [r for r in study.regions() if any(v in kinds.values() and own == r for _, v, own in study.cells)]
    ranked = study.models_of(kinds.values(), regions)
    shown = ranked[:TOP]
    grids = {region: _grid(study, shown, kinds, region, lambda result: result.value) for region in regions}
    marked = {region: _grid(study, shown, kinds, region, lambda result: result.hides_sign) for region in regions}
    finite = np.concatenate([grid[np.isfinite(grid)] for grid in grids.values()])
    norm = Normalize(min(0.0, float(finite.min())), float(finite.max()))
    names = row_labels(shown, 24)

    def paint(canvas: SubFigure) -> None:
        panels = panel_grid(canvas, len(regions), N_COLUMNS)
        for index, (region, axes) in enumerate(zip(regions, panels.flat, strict=False)):
            _paint_grid(axes, grids[region], marked[region], norm)
            axes.set_title(region)
            axes.set_yticks(np.arange(len(shown)) + 0.5, [names[m] for m in shown] if index % N_COLUMNS == 0 else [])
            axes.set_xticks(np.arange(len(OOD_TYPES)) + 0.5, OOD_TYPES, rotation=35, ha="right", rotation_mode="anchor")
        colour_bar(canvas, panels, norm, COLOUR_MAP, "ceiled score")

    hardest = listing(f"{region} {hardest_kind(grid)}" for region, grid in grids.items() if np.isfinite(grid).any())
    many = f" The first {TOP} of {len(ranked)} are shown." if len(ranked) > TOP else ""
    empty = " Empty: not scored." if any(np.isnan(grid).any() for grid in grids.values()) else ""
    if any((grid == 1).any() for grid in marked.values()):
        empty += " *: the raw score of one or more subjects is negative; the published normalization squares it."
    layers = layer_caption(r for (m, v, _), r in study.cells.items() if m in shown and v in kinds.values())
    rows = -(-len(regions) // N_COLUMNS)
    settings = f" · {group.settings}" if group.settings else ""
    return draw(
        name=f"categories-{group.stem}",
        question=f"Which out-of-distribution categories are hard? {group.cell.metric} · {group.pool_label}{settings}",
        caption="Colour and number: mean ceiled score over subjects, on the test images of one category; all panels have one "
        f"colour scale. {ORDERED}{many}{empty} Hardest on average: {hardest}.{layers}",
        alt=f"Heat map of ceiled scores, {len(shown)} models by nine categories. Hardest on average: {hardest}.",
        height=rows * (1.15 + (0.31 if any("\n" in name for name in names.values()) else 0.24) * max(len(shown), 2)),
        paint=paint,
        simulated=study.is_simulated,
    )


def _grid(study: Study, models, kinds, region: str, number) -> np.ndarray:
    grid = np.full((len(models), len(kinds)), np.nan)  # models, categories
    for row, model in enumerate(models):
        for column, variant in enumerate(kinds.values()):
            result = study.cells.get((model, variant, region))
            if result is not None:
                grid[row, column] = number(result)
    return grid


def hardest_kind(grid: np.ndarray) -> str:
    """The kind whose scores are lowest, gaps apart: a kind that weak models alone were scored on is not hard for that."""
    values = {
        (OOD_TYPES[column], row): grid[row, column] for row, column in zip(*np.nonzero(np.isfinite(grid)), strict=True)
    }
    means = adjusted_means(values)[0]
    return min(means, key=means.get)


def _paint_grid(axes, grid: np.ndarray, marked: np.ndarray, norm: Normalize) -> None:
    bare_grid(axes, grid, norm, COLOUR_MAP)
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            colour = ON_DARK if norm(value) < 0.55 else ON_LIGHT
            text = f"{value:.2f}{'*' if marked[row, column] else ''}"
            axes.text(column + 0.5, row + 0.5, text, size=7.5, color=colour, ha="center", va="center_baseline")
