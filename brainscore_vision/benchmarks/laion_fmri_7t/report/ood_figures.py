"""Which kinds of out-of-distribution images are hard: models by categories."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

from ..results.order import adjusted_means
from .drawing import ON_DARK, ON_LIGHT, Figure, bare_grid, colour_bar, draw, listing, panel_grid, row_labels
from .pair_figures import UNITS, shown_normalization
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
    normalization = shown_normalization(group)
    label = UNITS.get(normalization, (normalization,))[0].replace("_", " ")
    grids = {region: _grid(study, shown, kinds, region, normalization) for region in regions}
    finite = np.concatenate([grid[np.isfinite(grid)] for grid in grids.values()])
    norm = Normalize(max(-1.0, finite.min(initial=0.0)), min(1.0, finite.max(initial=0.1)), clip=True)
    names = row_labels(shown, 24)

    def paint(canvas: SubFigure) -> None:
        panels = panel_grid(canvas, len(regions), N_COLUMNS)
        for index, (region, axes) in enumerate(zip(regions, panels.flat, strict=False)):
            _paint_grid(axes, grids[region], norm)
            axes.set_title(region)
            axes.set_yticks(np.arange(len(shown)) + 0.5, [names[m] for m in shown] if index % N_COLUMNS == 0 else [])
            axes.set_xticks(np.arange(len(OOD_TYPES)) + 0.5, OOD_TYPES, rotation=35, ha="right", rotation_mode="anchor")
        colour_bar(canvas, panels, norm, COLOUR_MAP, label)

    hardest = listing(f"{region} {hardest_kind(grid)}" for region, grid in grids.items() if _says(grid).any())
    many = f" The first {TOP} of {len(ranked)} are shown." if len(ranked) > TOP else ""
    empty = " Empty: not scored, or without explainable variance."
    empty = empty if any(np.isnan(grid).any() for grid in grids.values()) else ""
    hardest = f" Hardest on average: {hardest}." if hardest else ""
    if (np.abs(finite) > 1).any():
        hardest += " Beyond 1 or -1, a category has too few images to tell: such values do not count for the hardest."
    layers = layer_caption(r for (m, v, _), r in study.cells.items() if m in shown and v in kinds.values())
    rows = -(-len(regions) // N_COLUMNS)
    settings = f" · {group.settings}" if group.settings else ""
    return draw(
        name=f"categories-{group.stem}",
        question=f"Which out-of-distribution categories are hard? {group.cell.metric} · {group.pool_label}{settings}",
        caption=f"Colour and number: {label}, mean over subjects, on the test images of one category, with the ceiling of "
        f"these images; all panels have one colour scale. {ORDERED}{many}{empty}{hardest}{layers}",
        alt=f"Heat map of {label}, {len(shown)} models by nine categories.{hardest}",
        height=rows * (1.15 + (0.31 if any("\n" in name for name in names.values()) else 0.24) * max(len(shown), 2)),
        paint=paint,
        simulated=study.is_simulated,
    )


def _grid(study: Study, models, kinds, region: str, normalization: str) -> np.ndarray:
    grid = np.full((len(models), len(kinds)), np.nan)  # models, categories
    for row, model in enumerate(models):
        for column, variant in enumerate(kinds.values()):
            result = study.cells.get((model, variant, region))
            if result is not None:
                grid[row, column] = result.normalizations.get(normalization, np.nan)
    return grid


def hardest_kind(grid: np.ndarray) -> str:
    """The kind whose scores are lowest, gaps apart: a kind that weak models alone were scored on is not hard for that."""
    values = {(OOD_TYPES[column], row): grid[row, column] for row, column in zip(*np.nonzero(_says(grid)), strict=True)}
    means = adjusted_means(values)[0]
    return min(means, key=means.get)


def _says(grid: np.ndarray) -> np.ndarray:
    """Which scores say something: no model explains more than all, and few images may give any number."""
    return np.isfinite(grid) & (np.abs(grid) <= 1)


def _paint_grid(axes, grid: np.ndarray, norm: Normalize) -> None:
    bare_grid(axes, grid, norm, COLOUR_MAP)
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            colour = ON_DARK if norm(value) < 0.55 else ON_LIGHT
            axes.text(
                column + 0.5, row + 0.5, f"{value:.2f}", size=7.5, color=colour, ha="center", va="center_baseline"
            )
