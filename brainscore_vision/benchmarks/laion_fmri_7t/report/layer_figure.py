"""Where in a network its best layers lie: scores over depth, from maps of layers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import SubFigure

from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap

from ..identifiers import ALL_REGIONS
from .drawing import INK, Figure, ModelLegend, draw, listing, model_look, model_looks, tidy
from .errors import ReportError
from .study import Study


def read_layer_maps(paths: Sequence[Path]) -> list[LayerMap]:
    """Maps that ``laion-score layers MODEL --json`` printed, from files and from folders of them.

    Raises
    ------
    ReportError
        A file that is no map, or a folder without one.
    """
    found = []
    for path in map(Path, paths):
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise ReportError(f"--layer-map names a file, or a folder of them (*.json); {path} holds none.")
        for file in files:
            try:
                found.append(LayerMap.from_json(json.loads(file.read_text("utf-8"))))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ReportError(
                    f"--layer-map takes what `laion-score layers MODEL --json > FILE` wrote; {file} is something else: "
                    f"{error!r}"
                ) from error
    return found


def check_layer_maps(study: Study, maps: Sequence[LayerMap]) -> None:
    """Raise ReportError for maps that do not belong in one figure, or not in this report."""
    dataset, known = study.results[0].dataset_fingerprint, {}
    for one in maps:
        own = one.facts.get("dataset", {}).get("fingerprint", dataset)
        if own != dataset:
            raise ReportError(
                f"A report is about one dataset, here {dataset}; the map of {one.model} (--layer-map) is of {own}. Leave it "
                f"out, or make it on this dataset: laion-score layers MODEL --dataset DATASET --json."
            )
        if known.setdefault(one.model, one) is not one:
            raise ReportError(
                f"A report shows one map of layers per model; --layer-map names several of {one.model}. Name one."
            )
        for what in ("metric", "split", "pool", "subjects"):
            of_first, of_this = (_setting(other, what) for other in (maps[0], one))
            if of_this != of_first:
                raise ReportError(
                    f"Maps of layers in one figure are of the same {what}; the map of {maps[0].model} (--layer-map) has "
                    f"{of_first}, that of {one.model} {of_this}. Make both with the same options, or leave one out."
                )


def _setting(one: LayerMap, what: str) -> str:
    return ", ".join(one.subjects) if what == "subjects" else str(one.facts.get(what))


def layer_figure(study: Study, maps: Sequence[LayerMap]) -> Figure:
    """A panel per region, a line per model; the best layer of each is marked."""
    by_model = {_name(study, one): one for one in maps}
    regions = [region for region in ALL_REGIONS if any(region in one.regions for one in maps)]
    order = [model for model in study.models if model in by_model]
    order += [model for model in by_model if model not in order]
    legend = ModelLegend(looks := model_looks(study.models, order), len(order) - len(looks))
    best = {(m, r): _depths(by_model[m])[list(by_model[m].layers).index(by_model[m].best[r])]
            for m in order for r in regions if r in by_model[m].regions}  # fmt: skip
    medians = {r: float(np.median([depth for (_, own), depth in best.items() if own == r])) for r in regions}

    def paint(canvas: SubFigure) -> None:
        panels = canvas.subplots(1, len(regions), sharex=True, sharey=True, squeeze=False)[0]
        for region, axes in zip(regions, panels, strict=True):
            for model in reversed(order):
                if (model, region) in best:
                    _paint_line(axes, by_model[model], region, best[model, region], looks.get(model))
            axes.axvline(medians[region], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            axes.set(title=region, xlim=(-0.03, 1.03))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            tidy(axes, "both")
        panels[0].set_ylabel("score of the layer\n(training images)")
        canvas.supxlabel("depth: place among the layers that were compared, 0 the first, 1 the last", fontsize=9)
        legend.draw(canvas)

    where = listing(f"{region} {depth:.2f}" for region, depth in medians.items())
    layers = listing(f"{region} {by_model[order[0]].best[region]}" for region in by_model[order[0]].regions)
    return draw(
        name="layers",
        question="How deep in a network are the layers that predict each region?",
        caption=f"A line per model over its layers, in the order of execution; marker: its best layer. Scores are of the "
        f"training images of one split; some of these are test images of others (METHODS, layers). Dashed: median depth of the "
        f"best layers: {where}. Best layers of {order[0]}: {layers}.",
        alt=f"Lines of layers' scores over depth, {len(order)} models. Median depth of the best layers: {where}.",
        height=2.5 + legend.height(),
        paint=paint,
        simulated=study.is_simulated or any(one.facts.get("dataset", {}).get("simulated") for one in maps),
    )


def _name(study: Study, one: LayerMap) -> str:
    """As the report calls the model of a map."""
    return next((result.model for result in study.results if result.model_identifier == one.model), one.model)


def _depths(one: LayerMap) -> np.ndarray:
    return np.linspace(0, 1, len(one.layers)) if len(one.layers) > 1 else np.zeros(1)


def _paint_line(axes, one: LayerMap, region: str, best: float, index: int | None) -> None:
    values = one.mean.sel(region=region).values
    look = model_look(index)
    axes.plot(_depths(one), values, color=look["color"], linewidth=0.6 if index is None else 1.3,
              alpha=0.4 if index is None else 0.9, zorder=1 if index is None else 2)  # fmt: skip
    size = 3.5 if index is None else 6.5
    axes.plot(best, np.nanmax(values), linestyle="", markersize=size, zorder=3, **look)
