"""The sentence that a report opens with: which model is best, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

from brainscore_vision.benchmark_helpers.stimulus_kernels import Comparison, compare
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import ComparisonError

from ..results import Result, ResultsError
from .score_figures import WHAT
from .study import Study
from .variants import Variant


@dataclass(frozen=True)
class Answer:
    """The best model of one benchmark.

    Attributes
    ----------
    variant : Variant
    region : str
    where : str
        What it was tested on, in words.
    best : list of str
        Several models if their values are equal.
    result : Result
        The first one's.
    n_models : int
    second : str or None
        None if there is no other model.
    gap : float
        What the best one's value is above the second's.
    comparison : Comparison or None
        Of the best with the second; None where the results cannot be compared draw by draw.
    """

    variant: Variant
    region: str
    where: str
    best: list[str]
    result: Result
    n_models: int
    second: str | None
    gap: float
    comparison: Comparison | None

    @property
    def is_reliable(self) -> bool:
        """Whether other test stimuli would give the same best model, and every subject does."""
        if self.comparison is None:
            return False
        low, high = self.comparison.mean.interval
        return (low > 0 or high < 0) and self.comparison.n_positive == len(self.comparison.subjects)

    @property
    def doubt(self) -> str:
        """A sentence on whether the lead may be chance; empty where it may hardly be, or there is none."""
        if self.second is None or self.is_reliable:
            return ""
        if self.comparison is None:
            return (
                "Nothing is known of chance: the two cannot be compared draw by draw, so that the lead may be chance."
            )
        return "So small a lead may be chance."


def answers(study: Study) -> list[Answer]:
    """One per split of the leaderboard, for the region that most people ask about."""
    region = study.board_region
    return [_answer(study, variant, region) for variant in study.board if region in study.regions(variant)]


def _answer(study: Study, variant: Variant, region: str) -> Answer:
    ranked = study.best(variant, region)
    top = ranked[0][1]
    best = [model for model, result in ranked if result.value == top.value]
    rest = ranked[len(best) :]
    second = rest[0] if rest else None
    return Answer(
        variant=variant,
        region=region,
        where=WHAT.get(variant.cell.split, variant.label),
        best=best,
        result=top,
        n_models=len(ranked),
        second=None if second is None else second[0],
        gap=0.0 if second is None else top.value - second[1].value,
        comparison=None if second is None else _compared(study, top, second[1]),
    )


def _compared(study: Study, a: Result, b: Result) -> Comparison | None:
    try:
        return compare(study.load(a), study.load(b))
    except (ComparisonError, ResultsError):  # the section on pairs says why
        return None
