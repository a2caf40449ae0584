"""Two models on the same benchmark, subject by subject.

Both models' numbers come with draws over the same resampled test stimuli, so their difference D is taken draw by draw: what
makes some stimuli harder for both cancels. Under the null hypothesis of no difference, D / se is Student's t with G - 1
degrees of freedom, with G the independent groups of test stimuli, and se the standard deviation of D over draws times
√(G / (G - 1)): draws of G groups vary by so much less than other groups would. A tail of t has no smallest value, which a
share of draws has: a table of any length can be corrected for its length with the draws that are there.

``published`` is a square, a difference of which is (a² - b²) = (|a| + |b|)(|a| - |b|) with a and b the medians over
√(median √NC). Swapping the models' predictions of some stimuli leaves a + b as it is, to first order, and changes a - b: under
the null hypothesis of models that could be swapped, the sum is a fact of the data and only the difference varies. So se is
that of (|a| + |b|)(|a|* - |b|*), with the draws of :func:`.bootstrap.median_draws` times the signs of a and b: of models whose
signs differ, equal squares are the null hypothesis, which a large a - b says nothing against. The squares' own draws vary too
much where a and b are near 0 or neuroids are few.

The interval of a difference is D ± t se, se without the null hypothesis: for ``published``, that of 2 (a a* - b b*). The middle
95 % of draws would be too narrow where groups are few: draws of G groups vary less than others would, and normal limits are
narrower than those of t.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy  # scipy.stats is loaded at its first use: lists of results need not wait 0.3 s for it
from brainscore_core.metrics import Score
from scipy import special

from ..errors import StimulusKernelError
from .bootstrap import FEWEST_GROUPS, INTERVAL, t_interval
from .overlap import note_on_subjects

UNIT_NOTE = (
    "penalties (alpha) are in the unit of the features here, so that a model may differ from itself with its features times a "
    "number (METHODS.md, Ridge); alphas='relative' does not depend on the unit."
)

OVERLAP_NOTE = (
    "folds have test stimuli, or groups of them, in common; intervals and p values of the mean over folds count these as often "
    "as they are there (METHODS.md, Uncertainty)."
)

ROUNDING = float(np.finfo(np.float32).eps)
"""Scores that differ by a smaller part of them differ by rounding alone: features are recorded in single precision."""


SAME_VALUE = 1e-9
"""Values that differ by less are one, computed in another order."""

ONE_BY_ONE = "Compare model by model (seed by seed), and average the differences."

RESPONSES_ROUNDING = 1e-6
"""Sketches and ceilings of the same responses differ by less."""


class ComparisonError(StimulusKernelError):
    """Two scores that cannot be compared."""


@dataclass(frozen=True)
class Difference:
    """The first score minus the second.

    Attributes
    ----------
    value : float
    interval : tuple of float
        95 % by Student's t, over test stimuli or over subjects.
    p_value : float
        Two-sided, of no difference on other stimuli of this kind, or in other people.
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
    over_subjects : Difference or None
        The same difference with a t interval and a t test over the subjects' differences: what other people would give on
        these very stimuli, if differences are normal over people. None for a single subject.
    p_of_both : float or None
        Of no difference in other people on other stimuli: t with the sum of both variances and Satterthwaite's degrees of
        freedom, but never less than either p value alone. It errs on the safe side, as the variance of subjects by stimuli is
        in both (as in Clark's 1973 min F').
    n_positive, n_negative : int
        Subjects in whom the first, the second model is better.
    hides_sign : bool
        Whether a negative raw score of some subject was squared to a positive one, by ``published``, in either model.
    notes : tuple of str
        What a reader of the difference should know, one sentence each.
    sign_test_p : float
        Exact two-sided binomial test of ``n_positive`` against chance; subjects without a difference do not count. Five of
        five give 0.0625, the least that five subjects can. It supposes that subjects are independent. They are not: they saw
        the same images, and share the models' features, so that all agree far more often than by chance where nothing differs
        (METHODS.md has the figures). It describes the subjects, and says nothing about other images.
    """

    models: tuple[str, str]
    benchmark: str
    normalization: str
    subjects: dict[str, Difference]
    mean: Difference
    over_subjects: Difference | None
    p_of_both: float | None
    n_positive: int
    n_negative: int
    sign_test_p: float
    hides_sign: bool = False
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.models[0]} minus {self.models[1]} on {self.benchmark} ({self.normalization}), 95 % intervals"]
        lines += [f"  {subject}  {difference}" for subject, difference in self.subjects.items()]
        lines.append(f"  mean    {self.mean}, on other stimuli")
        if self.over_subjects is not None:
            lines.append(f"  mean    {self.over_subjects}, in other people on these stimuli (t)")
            lines.append(f"  other people and other stimuli: p = {self.p_of_both:.3g}")
        lines.append(
            f"  sign test over subjects: {self.n_positive} positive, {self.n_negative} negative, p = {self.sign_test_p:.3g}"
        )
        lines.append("  (subjects saw the same images and agree more often than the sign test supposes)")
        if self.hides_sign:
            lines.append("  Note: the raw score of one or more subjects is negative; published squares it.")
        lines += [f"  Note: {note}" for note in self.notes]
        return "\n".join(lines)


def compare(score_a: Score, score_b: Score) -> Comparison:
    """Compare two models' Scores on one benchmark.

    Parameters
    ----------
    score_a, score_b : Score
        Of a benchmark that resamples stimuli, with the same settings and data.

    Returns
    -------
    Comparison
        Of ``score_a`` minus ``score_b``; ``print`` shows it.

    Raises
    ------
    ComparisonError
        Another benchmark, normalisation, dataset, subjects, resampled stimuli or folds; or scores without draws.
    """
    for score in (score_a, score_b):
        _check_parts(score)
    for name, of in _SAME.items():
        values = of(score_a), of(score_b)
        if values[0] != values[1]:
            raise ComparisonError(
                f"Two scores are compared on the same {name}; received {values[0]!r} and {values[1]!r}. Score both models "
                f"with the same settings and data."
            )
    for score in (score_a, score_b):
        _check_value(score)
    _check_responses(score_a, score_b)
    pairs = [_paired(*folds) for folds in zip(_folds(score_a), _folds(score_b), strict=True)]
    overlaps = {subject: _overlap(score_a, score_b, subject) for subject in pairs[0]}
    differences = {subject: _over_folds([fold[subject] for fold in pairs], overlaps[subject]) for subject in pairs[0]}
    values = np.array([difference.value for difference in differences.values()])
    n_positive, n_negative = int((values > 0).sum()), int((values < 0).sum())
    n_different = n_positive + n_negative
    mean = _over_subjects(list(differences.values()))
    over_subjects = _t_over_subjects(values) if len(values) > 1 else None
    return Comparison(
        models=model_names(score_a, score_b),
        benchmark=_SAME["benchmark"](score_a),
        normalization=_SAME["normalization"](score_a),
        subjects={subject: difference.summary() for subject, difference in differences.items()},
        mean=mean.summary(),
        over_subjects=over_subjects,
        p_of_both=None if over_subjects is None else _p_of_both(mean, values, over_subjects.p_value),
        n_positive=n_positive,
        n_negative=n_negative,
        sign_test_p=float(scipy.stats.binomtest(n_positive, n_different).pvalue) if n_different else 1.0,
        hides_sign=any(map(_hides_sign, (score_a, score_b))),
        notes=(
            *other_training(score_a, score_b),
            *((OVERLAP_NOTE,) if any(one is not None and one.is_apart for one in overlaps.values()) else ()),
            *note_on_subjects(score_a.attrs.get("subjects_overlap", 1.0)),
            *((UNIT_NOTE,) if any(map(_depends_on_unit, (score_a, score_b))) else ()),
        ),
    )


def _check_parts(score) -> None:
    """Refuse what is no Score, or has none of its subjects and folds, as a mean over models."""
    if not isinstance(score, Score) or score.ndim:
        found = f"an array of {score.size}" if isinstance(score, Score) else f"a {type(score).__name__}"
        raise ComparisonError(f"Two Scores are compared, each of one model; received {found}. {ONE_BY_ONE}")
    lacking = [] if "raw_folds" not in score.attrs else [name for name in _fold_names(score) if name not in score.attrs]
    for fold in [] if lacking else _folds(score):
        lacking += [subject for subject in _subjects(fold) if not isinstance(fold.attrs.get(subject), Score)]
    if lacking:
        raise ComparisonError(
            f"A comparison goes subject by subject; received a Score without that of {lacking[0]} in its attrs, as what is "
            f"computed from Scores is. {ONE_BY_ONE}"
        )


def _check_value(score: Score) -> None:
    """Refuse a mean over models that has kept the attributes of one of them."""
    mean = float(np.mean([np.mean([fold.attrs[s].item() for s in _subjects(fold)]) for fold in _folds(score)]))
    if not np.isclose(score.item(), mean, rtol=SAME_VALUE, atol=SAME_VALUE):
        raise ComparisonError(
            f"Two Scores are compared, each of one model; received one whose value, {score.item():.6g}, is not the mean of its "
            f"subjects', {mean:.6g}: it was computed from several, and its subjects are those of one. {ONE_BY_ONE}"
        )


def _check_responses(score_a: Score, score_b: Score) -> None:
    """Refuse scores of other responses, where no dataset has a fingerprint that says so. Early scores have ceilings alone."""
    if _dataset(score_a) is not None:
        return
    kinds = {"responses": _sketch, "noise ceilings": _ceilings}
    if not other_training(score_a, score_b):
        kinds["responses to training stimuli"] = _training_sketch
    for a, b in zip(_units(score_a), _units(score_b), strict=True):
        for what, of in kinds.items():
            one, other = of(a), of(b)
            if one is None or other is None:
                continue
            if len(one) != len(other) or not np.allclose(one, other, rtol=RESPONSES_ROUNDING, atol=0, equal_nan=True):
                raise ComparisonError(
                    f"Two scores are compared on the same responses; on {score_a.attrs.get('benchmark_identifier')} those of "
                    f"the two models have other {what}, so that the data have changed in between. Score both models again."
                )


def _sketch(unit: Score) -> list | None:
    return unit.attrs.get("responses_sketch")


def _training_sketch(unit: Score) -> list | None:
    return unit.attrs.get("training_sketch")


def _ceilings(unit: Score) -> np.ndarray:
    """Whatever the order of neuroids."""
    return np.sort(np.ravel(unit.attrs["ceiling"].attrs.get("raw", unit.attrs["ceiling"].item())))


def other_training(score_a: Score, score_b: Score) -> tuple[str, ...]:
    """A note if training stimuli were left out for one model alone; of two Scores on the same test stimuli."""
    numbers = [
        (subject, *(fold.attrs[subject].attrs.get("n_train") for fold in pair))
        for pair in zip(_folds(score_a), _folds(score_b), strict=True)
        for subject in _subjects(pair[0])
    ]
    end = "part of the difference may be due to that."
    for subject, n_a, n_b in numbers:
        if n_a != n_b:
            return (f"the two were fitted to other numbers of training stimuli ({n_a} and {n_b} of {subject}): {end}",)
    left_out = [{*score.attrs.get("dropped_stimuli", ())} for score in (score_a, score_b)]
    if left_out[0] != left_out[1]:  # training stimuli: the test stimuli are the same
        alone = len(left_out[0] - left_out[1]), len(left_out[1] - left_out[0])
        return (
            f"the two were fitted to other training stimuli ({alone[0]} are left out for the first alone, {alone[1]} for the "
            f"second alone): {end}",
        )
    return ()


def _depends_on_unit(score: Score) -> bool:
    """Whether penalties were chosen, or given, in the unit of the features."""
    return any("alpha" in unit.attrs and "mean_eigenvalue" not in unit.attrs for unit in _units(score))


def _hides_sign(score: Score) -> bool:
    return any(unit.attrs["raw"].item() < 0 < unit.item() for unit in _units(score))


@dataclass(frozen=True)
class PairedDraws:
    """A difference with its draws.

    Attributes
    ----------
    value : float
    draws : numpy.ndarray of float64, shape (draws,)
        They vary as much as the difference over other stimuli, about any mean.
    null_draws : numpy.ndarray of float64, shape (draws,)
        The same if the models were equally good.
    df : float
        Degrees of freedom of the variance of either.
    """

    value: float
    draws: np.ndarray
    null_draws: np.ndarray
    df: float

    @property
    def standard_error(self) -> float:
        return float(self.null_draws.std(ddof=1))

    def summary(self) -> Difference:
        half = float(special.stdtrit(self.df, (1 + INTERVAL) / 2) * self.draws.std(ddof=1))
        interval = self.value - half, self.value + half
        return Difference(self.value, interval, _p_value(self.value, self.standard_error, self.df))


def paired_draws(value_a: float, value_b: float, a: np.ndarray, b: np.ndarray, n_groups: int) -> PairedDraws:
    """The difference of two numbers with paired draws (float64, shape (draws,)) over ``n_groups`` of stimuli.

    It is 0 exactly where the numbers agree but for rounding: draws round as they do, and would tell the two apart.
    """
    draws = np.sqrt(n_groups / (n_groups - 1)) * (a - b)
    value = 0.0 if np.isclose(value_a, value_b, rtol=ROUNDING, atol=0) else value_a - value_b
    return PairedDraws(value, draws, draws, n_groups - 1)


def squares(paired: PairedDraws, root_a: float, root_b: float, a: np.ndarray, b: np.ndarray) -> PairedDraws:
    """The same difference, of the squares of two roots, by the roots' draws (float64, shape (draws,)), to first order."""
    widening = np.sqrt((paired.df + 1) / paired.df)
    return replace(
        paired,
        draws=2 * widening * (root_a * a - root_b * b),
        null_draws=widening * (abs(root_a) + abs(root_b)) * (np.copysign(1, root_a) * a - np.copysign(1, root_b) * b),
    )


def _p_value(value: float, standard_error: float, df: float) -> float:
    """Two-sided; 1 for no difference at all."""
    if value == 0:
        return 1.0
    return float(2 * special.stdtr(df, -abs(value) / standard_error)) if standard_error > 0 else 0.0


def _t_over_subjects(values: np.ndarray) -> Difference:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return Difference(float(values.mean()), t_interval(values), _p_value(values.mean(), error, len(values) - 1))


def _p_of_both(mean: PairedDraws, values: np.ndarray, p_over_subjects: float) -> float:
    of_stimuli, of_subjects = mean.standard_error**2, values.var(ddof=1) / len(values)
    both = of_stimuli + of_subjects
    if not both > 0:
        return _p_value(mean.value, 0.0, 1)
    df = both**2 / (of_stimuli**2 / mean.df + of_subjects**2 / (len(values) - 1))
    return max(_p_value(mean.value, np.sqrt(both), df), p_over_subjects, mean.summary().p_value)


def model_names(*scores: Score) -> tuple[str, ...]:
    """Identifiers of the Scores' models; where two networks have one, each with its digest."""
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
    return [score.attrs[name] for name in _fold_names(score)]


def _fold_names(score: Score) -> list[str]:
    return [f"fold_{label}" for label in score.attrs["raw_folds"]["fold"].values.tolist()]


def _subjects(score: Score) -> list[str]:
    if "raw_subjects" not in score.attrs:
        raise ComparisonError(
            f"A comparison goes subject by subject, and needs the Score of a benchmark with its subjects in attrs; received "
            f"one with {sorted(map(str, score.attrs))}."
        )
    return score.attrs["raw_subjects"]["subject"].values.tolist()


def _units(score: Score) -> list[Score]:
    """Scores of subjects, fold by fold."""
    return [fold.attrs[subject] for fold in _folds(score) for subject in _subjects(fold)]


def _stimuli(score: Score) -> list:
    """Digests of what was resampled, fold by fold and subject by subject."""
    parts = _units(score)
    if any("bootstrap" not in part.attrs or _n_groups(part) < FEWEST_GROUPS for part in parts):
        raise ComparisonError(
            f"A comparison needs each subject's draws over stimuli, which {score.attrs.get('benchmark_identifier')} has "
            f"none of: its test stimuli are few or come in too few groups, or it was scored by an earlier version. Choose "
            f"another benchmark, or score it again."
        )
    return [part.attrs["bootstrap_stimuli"] for part in parts]


def other_test_stimuli(score_a: Score, score_b: Score) -> bool:
    """Whether two Scores on one benchmark have other test stimuli, for all that they say of them.

    Scores by earlier versions and those of few stimuli, which are not resampled, do not say which they have, but what was left
    out.
    """
    digests = [[unit.attrs.get("bootstrap_stimuli") for unit in _units(score)] for score in (score_a, score_b)]
    if all(digest is not None for found in digests for digest in found):
        return digests[0] != digests[1]
    left_out = [{*score.attrs.get("dropped_stimuli", ())} for score in (score_a, score_b)]
    return left_out[0] != left_out[1]


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


def _paired(fold_a: Score, fold_b: Score) -> dict[str, PairedDraws]:
    """Each subject's difference in one fold."""
    found = {}
    for subject in _subjects(fold_a):
        a, b = fold_a.attrs[subject], fold_b.attrs[subject]
        draws = (part.attrs["bootstrap"].values for part in (a, b))
        found[subject] = paired_draws(a.item(), b.item(), *draws, _n_groups(a))
        if all("bootstrap_median" in part.attrs for part in (a, b)):
            roots = zip(*map(_root, (a, b)), strict=True)
            found[subject] = squares(found[subject], *(each for pair in roots for each in pair))
    return found


def _n_groups(part: Score) -> int:
    """How many groups of stimuli were drawn; older results say how many stimuli, all apart."""
    return part.attrs.get("n_stimulus_groups") or part.attrs["n_test"]


def _root(part: Score) -> tuple[float, np.ndarray]:
    """What a published score squares, with its sign, and its draws."""
    scale = np.sqrt(part.attrs["ceiling"].item())
    return part.attrs["raw"].item() / scale, part.attrs["bootstrap_median"].values / scale


@dataclass(frozen=True)
class Overlap:
    """What folds have in common.

    Attributes
    ----------
    shares : numpy.ndarray of float64, shape (folds, folds)
        Correlation of two folds' differences over other stimuli.
    same : numpy.ndarray of bool, shape (folds, folds)
        Whether two folds have the same draws, which tell their correlation themselves.
    """

    shares: np.ndarray
    same: np.ndarray

    @property
    def is_apart(self) -> bool:
        """Whether folds that are drawn apart have something in common."""
        return bool((self.shares * ~self.same).any())


def _overlap(score_a: Score, score_b: Score, subject: str) -> Overlap | None:
    """What a subject's folds have in common; None if nothing. Earlier versions said no more than that there is something."""
    said = [score.attrs["folds_overlap"] for score in (score_a, score_b) if score.attrs.get("folds_overlap")]
    if not said:
        return None
    drawn = np.array([fold.attrs[subject].attrs["bootstrap_stimuli"] for fold in _folds(score_a)])
    known = next((one[subject] for one in said if one is not True), np.ones((len(drawn), len(drawn))))
    return Overlap(np.asarray(known, dtype=np.float64), drawn[:, None] == drawn)


def _over_folds(folds: list[PairedDraws], overlap: Overlap | None) -> PairedDraws:
    """Mean over folds, which are drawn independently where their draws are not the same.

    Where they have stimuli in common nevertheless, the mean's draws are spread to Var = Σ ρ_kl s_k s_l / K², and the degrees
    of freedom, those of K folds together, are divided by the mean of Σ_l ρ_kl.
    """
    df = sum(fold.df for fold in folds)
    if overlap is None:
        return _mean(folds, df)
    mean, widened = _mean(folds, df / overlap.shares.sum(axis=1).mean()), {}
    for name in ("draws", "null_draws"):
        draws = np.array([getattr(fold, name) for fold in folds])
        covariance, spread = np.atleast_2d(np.cov(draws)), draws.std(axis=1, ddof=1)
        covariance = np.where(overlap.same, covariance, overlap.shares * np.outer(spread, spread))
        widened[name] = np.sqrt(covariance.mean()) * _of_spread_one(getattr(mean, name))
    return replace(mean, **widened)


def _of_spread_one(draws: np.ndarray) -> np.ndarray:
    centred = draws - draws.mean()
    return centred / (centred.std(ddof=1) or 1.0)


def _over_subjects(subjects: list[PairedDraws]) -> PairedDraws:
    """Mean over subjects, whose test stimuli are the same or may be."""
    return _mean(subjects, df=min(subject.df for subject in subjects))


def _mean(parts: list[PairedDraws], df: float) -> PairedDraws:
    return PairedDraws(
        float(np.mean([part.value for part in parts])),
        np.mean([part.draws for part in parts], axis=0),
        np.mean([part.null_draws for part in parts], axis=0),
        df,
    )
