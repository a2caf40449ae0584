"""Two models on the same benchmark, subject by subject.

Both models' numbers come with draws over the same resampled test stimuli, so their difference is taken draw by draw: what
makes some stimuli harder for both cancels. With a handful of subjects, claims rest on what holds in each; the sign test says
how surprising their agreement is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from brainscore_core.metrics import Score
from scipy.stats import binomtest

from ..errors import StimulusKernelError
from .bootstrap import percentile_interval

UNIT_NOTE = (
    "penalties (alpha) are in the unit of the features here, so that a model may differ from itself with its features times a "
    "number (METHODS.md, Ridge); alphas='relative' does not depend on the unit."
)


class ComparisonError(StimulusKernelError):
    """Two scores that cannot be compared."""


@dataclass(frozen=True)
class Difference:
    """The first score minus the second.

    Attributes
    ----------
    value : float
    interval : tuple of float
        95 %, over resampled test stimuli.
    p_value : float
        Two-sided, of no difference on other stimuli of this kind: twice the share of draws on the other side of zero.
    """

    value: float
    interval: tuple[float, float]
    p_value: float

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:+.4f} [{low:+.4f}, {high:+.4f}], p = {self.p_value:.3g}"


@dataclass(frozen=True)
class Comparison:
    """Outcome of :func:`compare`.

    Attributes
    ----------
    models : tuple of str
        Identifiers of the first and the second model; where two networks have one identifier, each with its digest.
    benchmark : str
    normalization : str
    subjects : dict of str to Difference
    mean : Difference
        Of the means over these subjects. Its interval says what other stimuli would give, not what other people would.
    n_positive, n_negative : int
        Subjects in whom the first, the second model is better.
    notes : tuple of str
        What a reader of the difference should know, one sentence each.
    sign_test_p : float
        Exact two-sided binomial test of ``n_positive`` against chance; subjects without a difference do not count. Five of
        five give 0.0625, the least that five subjects can.
    """

    models: tuple[str, str]
    benchmark: str
    normalization: str
    subjects: dict[str, Difference]
    mean: Difference
    n_positive: int
    n_negative: int
    sign_test_p: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.models[0]} minus {self.models[1]} on {self.benchmark} ({self.normalization}), 95 % intervals"]
        lines += [f"  {subject}  {difference}" for subject, difference in self.subjects.items()]
        lines.append(f"  mean    {self.mean}")
        lines.append(
            f"  sign test over subjects: {self.n_positive} positive, {self.n_negative} negative, p = {self.sign_test_p:.3g}"
        )
        lines += [f"  Note: {note}" for note in self.notes]
        return "\n".join(lines)


def compare(score_a: Score, score_b: Score) -> Comparison:
    """Compare two models' Scores on one benchmark.

    Parameters
    ----------
    score_a, score_b : Score
        Of benchmarks whose metric resamples stimuli (ridge, rdm-pearson), with the same settings and data.

    Returns
    -------
    Comparison
        Of ``score_a`` minus ``score_b``; ``print`` shows it.

    Raises
    ------
    ComparisonError
        Another benchmark, normalisation, dataset, subjects, resampled stimuli or folds; or scores without draws.
    """
    for name, of in _SAME.items():
        values = of(score_a), of(score_b)
        if values[0] != values[1]:
            raise ComparisonError(
                f"Two scores are compared on the same {name}; received {values[0]!r} and {values[1]!r}. Score both models "
                f"with the same settings and data."
            )
    units_a, units_b = _units(score_a), _units(score_b)
    differences = {subject: _difference(units_a[subject], units_b[subject]) for subject in units_a}
    values = np.array([value for value, _ in differences.values()])
    n_positive, n_negative = int((values > 0).sum()), int((values < 0).sum())
    n_different = n_positive + n_negative
    mean_draws = np.mean([draws for _, draws in differences.values()], axis=0)
    return Comparison(
        models=_names(score_a, score_b),
        benchmark=_SAME["benchmark"](score_a),
        normalization=_SAME["normalization"](score_a),
        subjects={subject: _summary(*pair) for subject, pair in differences.items()},
        mean=_summary(float(values.mean()), mean_draws),
        n_positive=n_positive,
        n_negative=n_negative,
        sign_test_p=float(binomtest(n_positive, n_different).pvalue) if n_different else 1.0,
        notes=(UNIT_NOTE,) if any(map(_depends_on_unit, (score_a, score_b))) else (),
    )


def _depends_on_unit(score: Score) -> bool:
    """Whether penalties were chosen, or given, in the unit of the features."""
    units = (fold.attrs[subject].attrs for fold in _folds(score) for subject in _subjects(fold))
    return any("alpha" in unit and "mean_eigenvalue" not in unit for unit in units)


def p_value_of_draws(draws: np.ndarray) -> float:
    """Twice the smaller share of draws on one side of zero; a draw is added to each side, so that it is never 0."""
    below, above = (draws <= 0).sum() + 1, (draws >= 0).sum() + 1
    return float(min(1.0, 2 * min(below, above) / (len(draws) + 1)))


def _names(*scores: Score) -> tuple[str, ...]:
    names = [str(score.attrs.get("model_identifier")) for score in scores]
    if len(set(names)) == 1:
        for kind in ("network", "features"):
            digests = [score.attrs.get(f"{kind}_digest", "unknown") for score in scores]
            if len(set(digests)) > 1:
                return tuple(f"{name} ({kind} {digest})" for name, digest in zip(names, digests, strict=True))
    return tuple(names)


def _folds(score: Score) -> list[Score]:
    """The score itself, or the scores of its folds."""
    if "raw_folds" not in score.attrs:
        return [score]
    return [score.attrs[f"fold_{label}"] for label in score.attrs["raw_folds"]["fold"].values.tolist()]


def _subjects(score: Score) -> list[str]:
    if "raw_subjects" not in score.attrs:
        raise ComparisonError(
            f"A comparison goes subject by subject, and needs the Score of a benchmark with its subjects in attrs; received "
            f"one with {sorted(map(str, score.attrs))}."
        )
    return score.attrs["raw_subjects"]["subject"].values.tolist()


def _stimuli(score: Score) -> list:
    """Digests of what was resampled, fold by fold and subject by subject."""
    parts = [fold.attrs[subject] for fold in _folds(score) for subject in _subjects(fold)]
    if any("bootstrap" not in part.attrs for part in parts):
        raise ComparisonError(
            f"A comparison needs each subject's draws over stimuli, which {score.attrs.get('benchmark_identifier')} has "
            f"none of. Score the benchmark again with this version."
        )
    return [part.attrs["bootstrap_stimuli"] for part in parts]


def _dataset(score: Score):
    dataset = score.attrs.get("dataset")
    return dataset["fingerprint"] if isinstance(dataset, dict) and "fingerprint" in dataset else dataset


_SAME = {
    "benchmark": lambda score: score.attrs.get("benchmark_identifier"),
    "normalization": lambda score: score.attrs.get("normalization"),
    "dataset": _dataset,
    "subjects": lambda score: [_subjects(fold) for fold in _folds(score)],
    "test stimuli": _stimuli,
}


def _units(score: Score) -> dict[str, tuple[float, np.ndarray]]:
    """Each subject's value and draws; means over folds, whose test stimuli are drawn independently."""
    folds = _folds(score)
    units = {}
    for subject in _subjects(folds[0]):
        parts = [fold.attrs[subject] for fold in folds]
        draws = np.mean([part.attrs["bootstrap"].values for part in parts], axis=0)
        units[subject] = float(np.mean([part.item() for part in parts])), draws
    return units


def _difference(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> tuple[float, np.ndarray]:
    return a[0] - b[0], a[1] - b[1]


def _summary(value: float, draws: np.ndarray) -> Difference:
    return Difference(value, percentile_interval(draws), p_value_of_draws(draws))
