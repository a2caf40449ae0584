"""Scores against what is known of models: a figure per property."""

from __future__ import annotations

import hashlib
import re

import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.ticker import EngFormatter, NullFormatter, StrMethodFormatter
from scipy.stats import spearmanr

from .drawing import GREY, INK, Figure, ModelLegend, draw, listing, model_look, model_looks, row_labels, tidy
from .properties import is_number, value_text
from .study import Study
from .variants import Variant

FEWEST = 3
"""Models with a property and scores that make a figure."""

FEWEST_RANKED = 4
"""Models whose rank correlation is said: three often have one of 1."""

MOST_VALUES = 12
"""Values of a property in words that have a row of their own."""

SPAN_OF_LOGS = 30
"""Largest over smallest, from which an axis counts in powers of ten."""

OTHERS = "all others"


def property_figures(study: Study) -> list[Figure]:
    """Numbers first, then words, each in the order of the file."""
    known = study.properties
    panels = [(variant, study.regions(variant)) for variant in study.board]
    scored = {model for model, variant, _ in study.cells if variant in study.board}
    figures = {True: [], False: []}
    for name in study.property_names:
        values = {
            model: known[model][name] for model in study.models if model in scored and name in known.get(model, {})
        }
        if len(values) >= FEWEST and len(set(values.values())) > 1:
            numeric = is_number(known, name)
            make = _number_figure if numeric else _word_figure
            figures[numeric].append(make(study, name, values, panels))
    return figures[True] + figures[False]


def _number_figure(study: Study, name: str, values: dict[str, float], panels) -> Figure:
    regions = list(dict.fromkeys(region for _, own in panels for region in own))
    legend = ModelLegend(looks := model_looks(study.models, list(values)), len(values) - len(looks))
    spread = min(values.values()) > 0 and max(values.values()) / min(values.values()) >= SPAN_OF_LOGS
    told = {(v, r): _rank_correlation(study, values, v, r) for v, own in panels for r in own}

    def paint(canvas: SubFigure) -> None:
        grid = canvas.subplots(len(panels), len(regions), sharex=True, sharey="row", squeeze=False)
        for row, (variant, own) in zip(grid, panels, strict=True):
            for region, axes in zip(regions, row, strict=True):
                if region not in own:
                    axes.set_visible(False)
                    continue
                places = {m: (x, study.cells[m, variant, region].value) for m, x in values.items()
                          if (m, variant, region) in study.cells}  # fmt: skip
                rest = [place for model, place in places.items() if model not in looks]
                axes.plot(*np.reshape(rest, (-1, 2)).T, linestyle="", markersize=4, **model_look(None))
                for model in reversed(looks):  # the best on top
                    if model in places:
                        axes.plot(*places[model], linestyle="", markersize=6.5, zorder=3, **model_look(looks[model]))
                rho, n = told[variant, region]
                rho_text = "" if rho is None else f"ρ {rho:+.2f}, ".replace("-", "−")
                axes.set_title(f"{region} · {rho_text}{n} models", size=9)
                tidy(axes, "both")
            row[0].set_ylabel(f"ceiled score\n{variant.cell.split or variant.cell.metric}")
        for column in grid.T:  # a panel may be missing at the bottom
            lowest = next(axes for axes in reversed(column) if axes.get_visible())
            lowest.tick_params(labelbottom=True)
        if spread:
            grid[0, 0].set_xscale("log")
            # the formulas that a logarithmic axis writes by itself are not read as such here
            grid[0, 0].xaxis.set(major_formatter=StrMethodFormatter("{x:g}"), minor_formatter=NullFormatter())
        if max(map(abs, values.values())) >= 1e4:
            grid[0, 0].xaxis.set_major_formatter(EngFormatter(sep=" "))
        canvas.supxlabel(name, fontsize=9)
        legend.draw(canvas)

    words = (
        listing(
            f"{variant.cell.split or variant.cell.metric} {region} {rho:+.2f}"
            for (variant, region), (rho, _) in told.items()
            if rho is not None
        )
        if any(rho is not None for rho, _ in told.values())
        else "none"
    )
    return draw(
        name=f"property-{_stem(name)}",
        question=f"Does the score rise with {name}?",
        caption=f"Each point is a model with a known {name}. {_best(study, panels, values, name)} ρ: Spearman's rank "
        "correlation over the models that are shown. Models of one family are not independent of each other, so ρ describes "
        f"these models and is no test. {_looks_in_words(looks, len(values))}",
        alt=f"Scatter plots of the ceiled score against {name}, {len(values)} models. Rank correlations: {words}.",
        height=0.6 + 1.95 * len(panels) + legend.height(),
        paint=paint,
        simulated=study.is_simulated,
    )


def _word_figure(study: Study, name: str, values: dict[str, str], panels) -> Figure:
    variant, regions = panels[0]
    texts = {model: str(value) for model, value in values.items()}
    scored = {
        (m, r): study.cells[m, variant, r].value for m in texts for r in regions if (m, variant, r) in study.cells
    }
    counts: dict[str, list[str]] = {}
    for model, text in texts.items():
        counts.setdefault(text, []).append(model)
    large = sorted(counts, key=lambda text: -len(counts[text]))[:MOST_VALUES]
    groups = {text: counts[text] for text in large}
    if len(counts) > len(large):
        groups[OTHERS] = [model for text, own in counts.items() if text not in large for model in own]
    # the group whose best model is the best comes first: models are in the order of the leaderboard
    order = sorted(groups, key=lambda text: (text == OTHERS, min(study.models.index(model) for model in groups[text])))
    labels = row_labels(order, 24)

    def paint(canvas: SubFigure) -> None:
        row = canvas.subplots(1, len(regions), sharex=True, sharey=True, squeeze=False)[0]
        for region, axes in zip(regions, row, strict=True):
            for place, text in enumerate(order):
                own = [scored[model, region] for model in groups[text] if (model, region) in scored]
                if own:
                    axes.plot(own, [place] * len(own), marker="o", color=GREY, alpha=0.55, markeredgewidth=0,
                              markersize=5, linestyle="")  # fmt: skip
                    axes.plot(np.median(own), place, marker="|", color=INK, markersize=14, markeredgewidth=1.8)
            axes.set(title=region, ylim=(len(order) - 0.5, -0.5))
            tidy(axes, "x")
        row[0].set_yticks(range(len(order)), [f"{labels[text]} ({len(groups[text])})" for text in order])
        canvas.supxlabel("ceiled score", fontsize=9)

    best = listing(f"{text}: {groups[text][0]}" for text in order[:MOST_VALUES])
    return draw(
        name=f"property-{_stem(name)}",
        question=f"Which {name} predicts best? {variant.label}",
        caption=f"Each point is a model; stroke: median of the group; in brackets, its number of models. Groups are ordered by "
        f"their best model, which is: {best}.",
        alt=f"Strip plots of ceiled scores, {len(texts)} models in {len(order)} groups of {name}. Best of each: {best}.",
        height=0.6 + max(0.3 * len(order), 0.9),
        paint=paint,
        simulated=study.is_simulated,
    )


def _rank_correlation(
    study: Study, values: dict[str, float], variant: Variant, region: str
) -> tuple[float | None, int]:
    """Spearman's, None where there is none, and of how many models."""
    pairs = [
        (x, study.cells[m, variant, region].value) for m, x in values.items() if (m, variant, region) in study.cells
    ]
    x, y = map(np.array, zip(*pairs, strict=True)) if pairs else (np.empty(0), np.empty(0))
    if len(pairs) < FEWEST_RANKED or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, len(pairs)
    return float(spearmanr(x, y).statistic), len(pairs)


def _best(study: Study, panels, values: dict[str, float], name: str) -> str:
    """The best model of the region that most ask about, with its property."""
    variant, region = panels[0][0], study.board_region
    found = [(model, result) for model, result in study.best(variant, region) if model in values]
    if not found:
        return ""
    model, result = found[0]
    return f"The best of them in {region} is {model} ({result.value:.3f}, {name} {value_text(values[model])})."


def _looks_in_words(looks: dict[str, int], n_models: int) -> str:
    if n_models == len(looks):
        return ""
    return f"The first models of the leaderboard have markers of their own; the other {n_models - len(looks)} are grey."


def _stem(name: str) -> str:
    """Of a file: names that differ in other letters or in punctuation alone have a digest behind them."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
    plain = re.fullmatch(r"[A-Za-z0-9._ -]+", name.strip()) is not None and "  " not in name
    return stem if plain else f"{stem}-{hashlib.sha1(name.encode()).hexdigest()[:8]}".strip("-")
