"""Models, or layers, against each other on one benchmark: paired differences and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from brainscore_vision.benchmark_helpers.stimulus_kernels import Comparison, compare
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import CORRECTIONS, adjusted
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import ComparisonError

from ..results import ResultsError
from .drawing import ON_DARK, ON_LIGHT, Figure, bare_grid, colour_bar, draw, listing, panel_grid, row_labels
from .errors import ReportError
from .study import Study
from .variants import Variant

MOST_MODELS = 6
"""Models in one matrix: 15 pairs can be read and tested together, 4,950 cannot."""

LEVEL = 0.05
FAMILIES = ("figure", "report")
_IN_WORDS = {
    "fdr": "after Benjamini and Hochberg's correction",
    "holm": "after Holm's correction",
    "none": "without correction for how many are compared",
}

LAST_ROW = 0.4
"""Height of the last model's row, which explains its number and has no cell."""

COLOUR_MAP = "PuOr"
N_COLUMNS = 2


@dataclass(frozen=True)
class Compared:
    """The comparisons of one variant.

    Attributes
    ----------
    variant : Variant
    models : list of str
        The best first.
    n_candidates : int
        Models with a result that could have been compared.
    pairs : dict of (str, str, str) to Comparison
        By region, better-ranked and worse-ranked model.
    adjusted : dict of (str, str, str) to float
        p values of the mean differences, corrected over all pairs and regions, or over those of the whole report.
    corrected : str
        How, in words.
    problems : list of str
        Why some could not be compared.
    """

    variant: Variant
    models: list[str]
    n_candidates: int
    pairs: dict[tuple[str, str, str], Comparison]
    adjusted: dict[tuple[str, str, str], float]
    corrected: str
    problems: list[str]

    @property
    def regions(self) -> list[str]:
        return list(dict.fromkeys(region for region, _, _ in self.pairs))


def compare_models(study: Study, variant: Variant) -> Compared:
    """Compare the best models of a variant, pair by pair and region by region; p values as they are."""
    regions = study.regions(variant)
    ranked = study.models_of([variant], regions)
    models, pairs, problems = ranked[:MOST_MODELS], {}, []
    for region in regions:
        scores = {}
        for model in models:
            if (model, variant, region) in study.cells:
                try:
                    scores[model] = study.load(study.cells[model, variant, region])
                except ResultsError as error:  # its draws are in a file that is missing or damaged
                    problems.append(str(error))
        for a, b in combinations(scores, 2):
            try:
                pairs[region, a, b] = compare(scores[a], scores[b])
            except ComparisonError as error:
                problems.append(f"{a} and {b}: {error}")
    p_values = {key: comparison.mean.p_value for key, comparison in pairs.items()}
    return Compared(variant, models, len(ranked), pairs, p_values, _IN_WORDS["none"], list(dict.fromkeys(problems)))


@dataclass(frozen=True)
class Correction:
    """How p values are corrected for how many there are.

    Attributes
    ----------
    method : str
        One of ``CORRECTIONS``.
    family : {"figure", "report"}
        What is corrected together.
    """

    method: str = "fdr"
    family: str = "figure"

    def __post_init__(self):
        if self.method not in CORRECTIONS or self.family not in FAMILIES:
            raise ReportError(
                f"p values are corrected by one of {', '.join(CORRECTIONS)} (--correct) over a {' or a '.join(FAMILIES)} "
                f"(--family); received {self.method!r} over {self.family!r}."
            )

    def apply(self, compared: Sequence[Compared]) -> list[Compared]:
        """The same comparisons with corrected p values."""
        groups = [compared] if self.family == "report" else [[one] for one in compared]
        return [one for group in groups for one in self._together(group)]

    def _together(self, group: Sequence[Compared]) -> list[Compared]:
        p = iter(adjusted([c.mean.p_value for one in group for c in one.pairs.values()], self.method).tolist())
        number = sum(len(one.pairs) for one in group)
        words = _IN_WORDS[self.method]
        if self.method != "none":
            words += f" over the {number} comparisons of this {self.family}"
        return [replace(one, adjusted={key: next(p) for key in one.pairs}, corrected=words) for one in group]


def comparison_figure(study: Study, compared: Compared) -> Figure:
    """A matrix of differences per region."""
    regions, names = compared.regions, row_labels(compared.models, 22)
    largest = max(abs(c.mean.value) for c in compared.pairs.values()) or 1.0
    norm = Normalize(-largest, largest)
    size = len(compared.models)

    def paint(canvas: SubFigure) -> None:
        panels = panel_grid(canvas, len(regions), N_COLUMNS)
        for index, (region, axes) in enumerate(zip(regions, panels.flat, strict=False)):
            _paint_matrix(axes, compared, region, norm)
            axes.set_title(region)
            labels = [f"{names[model]} ({number})" for number, model in enumerate(compared.models, start=1)]
            labels = labels if index % N_COLUMNS == 0 else [f"({number})" for number in range(1, size + 1)]
            axes.set_yticks([*(np.arange(size - 1) + 0.5), size - 1 + LAST_ROW / 2], labels)
            axes.set_ylim(size - 1 + LAST_ROW, 0)
            axes.set_xticks(np.arange(size - 1) + 0.5, [f"− ({number})" for number in range(2, size + 1)])
        colour_bar(canvas, panels, norm, COLOUR_MAP, "difference of ceiled\nscores, row − column")

    solid = sum(_is_solid(compared, key) for key in compared.pairs)
    n_subjects = sorted({len(c.subjects) for c in compared.pairs.values()})
    chosen = ""
    if compared.n_candidates > size:
        chosen = (
            f"Of {compared.n_candidates} models the first {size} in the order of the leaderboard are compared: with more, "
            "neither the matrix nor its tests would say much. "
        )
    hidden = ""
    if any(c.hides_sign for c in compared.pairs.values()):
        hidden = "*: the raw score of one or more subjects is negative; the published normalization squares it. "
    rows = -(-len(regions) // N_COLUMNS)
    return draw(
        name=f"compared-{compared.variant.stem}",
        question=f"Which models differ? {compared.variant.label}",
        caption=f"Each cell: row minus column, mean over subjects of the ceiled score, with its 95 % interval over resampled "
        f"test stimuli, the same draws for both models; below, in how many of {listing(map(str, n_subjects))} subjects the row "
        f"is better. ★: the difference has the same sign in every subject, and p < {LEVEL:g} {compared.corrected}. "
        "Intervals and p values speak about other stimuli, not about other people; subjects saw the same images, so that all "
        f"of them often agree by chance. {chosen}{hidden}A layer that was scored as a model of its own is compared like any "
        "other.",
        alt=f"Matrices of pairwise differences between {size} models in {listing(regions)}; {solid} of "
        f"{len(compared.pairs)} differences are reliable.",
        height=rows * (0.75 + 0.56 * max(size - 1 + LAST_ROW, 2)),
        paint=paint,
        simulated=study.is_simulated,
    )


def _is_solid(compared: Compared, key: tuple[str, str, str]) -> bool:
    """Whether a difference is the same in every subject, and significant among all that were tested."""
    comparison = compared.pairs[key]
    agreed = max(comparison.n_positive, comparison.n_negative) == len(comparison.subjects)
    return agreed and compared.adjusted[key] < LEVEL


def _paint_matrix(axes, compared: Compared, region: str, norm: Normalize) -> None:
    size = len(compared.models)
    grid = np.full((size - 1, size - 1), np.nan)  # rows without the last model, columns without the first
    for (own, a, b), comparison in compared.pairs.items():
        if own == region:
            grid[compared.models.index(a), compared.models.index(b) - 1] = comparison.mean.value
    bare_grid(axes, grid, norm, COLOUR_MAP)
    for (own, a, b), comparison in compared.pairs.items():
        if own == region:
            x, y = compared.models.index(b) - 0.5, compared.models.index(a) + 0.5
            colour = ON_DARK if abs(norm(comparison.mean.value) - 0.5) > 0.27 else ON_LIGHT
            star = ("*" if comparison.hides_sign else "") + (" ★" if _is_solid(compared, (own, a, b)) else "")
            style = {"ha": "center", "va": "center_baseline", "color": colour}
            low, high = comparison.mean.interval
            axes.text(x, y - 0.26, f"{_signed(comparison.mean.value, 3)}{star}", size=7.5, weight="bold", **style)
            axes.text(x, y + 0.02, f"{_signed(low, 2)} … {_signed(high, 2)}", size=6, **style)
            axes.text(x, y + 0.28, f"{comparison.n_positive} of {len(comparison.subjects)}", size=6, **style)


def _signed(value: float, digits: int) -> str:
    """With a minus sign as wide as a plus; zero has none."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
