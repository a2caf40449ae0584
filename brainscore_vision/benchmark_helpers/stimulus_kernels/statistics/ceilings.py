"""Noise ceilings, as published and from single trials, and the normalisations that divide a subject's scores by them.

A published ceiling is NC = ncsnr² / (ncsnr² + m) per neuroid, the fraction of the variance of repetition averages that the
stimulus explains, with m the mean over stimuli of 1/n_repetitions. Source: the NSD data manual's rule for mixed repetitions
(Allen et al. 2022). It holds for the stimuli that it was estimated from. Other stimuli, such as one cluster or one kind of
them, may vary more or less, so :class:`ExplainableVariance` measures how much they vary: with v the variance of their
averages and σ² that of single trials around their stimulus, v - σ²m is an unbiased estimate of the signal's variance.

**Reliability.** The noise-ceiling signal-to-noise ratio (ncsnr) from single trials. Per neuroid, with x_ik trial k of
stimulus i, n_i its repetitions and x̄_i their mean, in units in which a neuroid's trials have variance 1 (z-scored within
session):

- noise variance σ² = Σ_i Σ_k (x_ik - x̄_i)² / Σ_i (n_i - 1), the unbiased variance within stimuli (ddof = 1 for each of
  them), pooled by degrees of freedom, so that stimuli with different repetitions go together;
- signal variance = max(0, 1 - σ²);
- ncsnr = √(signal variance / σ²) (Allen et al. 2022; Prince et al. 2022).

Dividing by n_i instead of n_i - 1 would lose the share of the noise that x̄_i follows, 1/n_i of it.

Σ_k (x_ik - x̄_i)² = Σ_k x_ik² - S_i² / n_i with S_i = Σ_k x_ik, so sums and sums of squares suffice: one pass over the
trials, and no more memory than averages take. For z-scored data in float64 the subtraction costs no digits that matter.

**Normalisations.** How correlations per neuroid become one number per subject: three, side by side. r is the correlation of
prediction and measurement, NC the explainable fraction of variance. A correlation is bounded by √NC, a squared correlation
by NC; ``published`` divides one by the other and is kept because published tables use it. The others take the explainable
variance from the test stimuli themselves (:class:`ExplainableVariance`), so that the true signal scores 1 on any test set,
and divide a sum over neuroids by a sum, which is stable where single neuroids' ratios are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import pandas as pd

from ..errors import ResponsesError, StimulusKernelError
from ..named_rows import in_another_order, misnamed_rows, row_indexes, rows_of_a_table_apart, unmasked

STANDARD_ERRORS = 2.0
"""A divisor that is not above 0 by so many standard errors may be 0: a ratio to it says little."""

ENOUGH_STANDARD_ERRORS = 5.0
"""With fewer, even the true signal's own score is often off by a tenth and more (METHODS.md, Differences, item 8)."""

ZSCORE_TOLERANCE = 0.1
"""How far a neuroid's variance over all trials may be from 1."""

NORMALIZATIONS = ("published", "explained_variance", "correlation")
"""Of metrics that compare neuroids."""

SIMILARITY_NORMALIZATIONS = ("published", "reliability")
"""Of metrics that compare representations as wholes."""


@dataclass(frozen=True)
class NoiseCeiling:
    """Explainable fraction of variance per neuroid, at a known number of repetitions.

    Attributes
    ----------
    fraction : numpy.ndarray of float64, shape (neuroids,)
        NC between 0 and 1.
    mean_inverse_repetitions : float
        m, the mean over stimuli of 1/n_repetitions that ``fraction`` refers to.
    named : object
        The Series, or array of xarray's, that was given, whose rows name the neuroids; None for a plain array.
    """

    fraction: np.ndarray
    mean_inverse_repetitions: float
    named: object = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        fraction = unmasked(self.fraction)
        if self.named is None and not isinstance(self.fraction, np.ndarray):
            object.__setattr__(self, "named", self.fraction)
        if fraction.ndim != 1:
            raise ResponsesError(
                f"A noise ceiling has one number for each neuroid, an array of one axis; received shape {fraction.shape}. Give "
                f"a column of a table, table['ncsnr'], or array.ravel()."
            )
        if not ((fraction >= 0) & (fraction <= 1)).all():
            known = fraction[~np.isnan(fraction)]
            extent = f"values from {known.min():g} to {known.max():g}" if len(known) else "no values"
            raise ResponsesError(
                f"A noise ceiling is a fraction of variance between 0 and 1; received {extent}, "
                f"{fraction.size - len(known)} nan or masked. Divide percent by 100, and leave neuroids without a ceiling out."
            )
        if not (isinstance(self.mean_inverse_repetitions, Real) and 0 < self.mean_inverse_repetitions <= 1):
            raise ResponsesError(
                f"A noise ceiling refers to a mean of 1/n_repetitions, above 0 and at most 1; received "
                f"{self.mean_inverse_repetitions!r}. For 12 repetitions pass 1/12."
            )
        object.__setattr__(self, "fraction", fraction)

    @classmethod
    def from_ncsnr(cls, ncsnr: np.ndarray, mean_inverse_repetitions: float) -> NoiseCeiling:
        """NC = ncsnr² / (ncsnr² + m)."""
        values = unmasked(ncsnr)
        if not (values >= 0).all():
            raise ResponsesError(
                f"ncsnr is a ratio of standard deviations, 0 or more; received {np.count_nonzero(~(values >= 0))} of "
                f"{values.size} that are below 0, nan or masked. Leave neuroids without one out."
            )
        squared = np.square(values)
        return cls(squared / (squared + mean_inverse_repetitions), mean_inverse_repetitions, named=ncsnr)

    @property
    def ncsnr(self) -> np.ndarray:
        """Signal-to-noise ratio per neuroid, sqrt(m NC / (1 - NC)); infinite where NC is 1."""
        with np.errstate(divide="ignore"):
            return np.sqrt(self.mean_inverse_repetitions * self.fraction / (1 - self.fraction))

    def at(self, n_repetitions: np.ndarray) -> NoiseCeiling:
        """The ceiling of averages over ``n_repetitions`` (int, shape (stimuli,)) of the same neuroids.

        Written without ncsnr itself, so that NC = 1 stays 1: f m₀ / (f m₀ + (1 - f) m).
        """
        target = mean_inverse_repetitions(n_repetitions)
        signal = self.fraction * self.mean_inverse_repetitions
        return NoiseCeiling(signal / (signal + (1 - self.fraction) * target), target)

    def select(self, neuroids) -> NoiseCeiling:
        """The ceiling of some of the neuroids."""
        return NoiseCeiling(self.fraction[neuroids], self.mean_inverse_repetitions)


@dataclass(frozen=True)
class ExplainableVariance:
    """How much the test stimuli's averages vary, and how much of it a model could explain; from these stimuli alone.

    Attributes
    ----------
    variance : numpy.ndarray of float64, shape (neuroids,)
        v, of the averages over the test stimuli (ddof 1).
    noise_variance : numpy.ndarray of float64, shape (neuroids,)
        σ², of a single trial around its stimulus.
    mean_inverse_repetitions : float
        m of the test stimuli.
    n_stimuli : int
        Test stimuli.
    standard_error : float
        Of the sum of :attr:`explainable` over neuroids, over other stimuli of the same kind.
    """

    variance: np.ndarray
    noise_variance: np.ndarray
    mean_inverse_repetitions: float
    n_stimuli: int
    standard_error: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray, n_repetitions: np.ndarray, noise_variance: np.ndarray) -> ExplainableVariance:
        """Of averages over ``n_repetitions`` (int, shape (n,)) trials: ``values``, shape (n, neuroids), n of 2 or more."""
        centred = values - values.mean(axis=0, dtype=float)
        squares = np.einsum("ij,ij->i", centred, centred)  # each stimulus's share of the sum over neuroids
        return cls(
            variance=np.einsum("ij,ij->j", centred, centred) / (len(values) - 1),
            noise_variance=noise_variance,
            mean_inverse_repetitions=mean_inverse_repetitions(n_repetitions),
            n_stimuli=len(values),
            standard_error=float(squares.std(ddof=1) / np.sqrt(len(values))),
        )

    @property
    def explainable(self) -> np.ndarray:
        """v - σ²m; unbiased, so that it may be below 0 for a neuroid with little signal or few stimuli."""
        return self.variance - self.noise_variance * self.mean_inverse_repetitions

    @property
    def fraction(self) -> np.ndarray:
        """(v - σ²m) / v: the noise ceiling of these stimuli, at most 1; below 0 where :attr:`explainable` is."""
        return self.explainable / self.variance

    @property
    def is_positive(self) -> bool:
        """Whether Σ (v - σ²m) is above 0; else nothing can be divided by it."""
        return bool(self.explainable.sum() > 0)

    @property
    def is_known(self) -> bool:
        """Whether Σ (v - σ²m) is above 0 by ``STANDARD_ERRORS``; else a ratio to it says little."""
        return bool(self.explainable.sum() > STANDARD_ERRORS * self.standard_error)

    @property
    def is_precise(self) -> bool:
        """Whether Σ (v - σ²m) is ``ENOUGH_STANDARD_ERRORS`` above 0."""
        return bool(self.explainable.sum() > ENOUGH_STANDARD_ERRORS * self.standard_error)


def mean_inverse_repetitions(n_repetitions: np.ndarray) -> float:
    """m, the mean over stimuli of 1/n_repetitions."""
    counts = np.asarray(n_repetitions)
    if counts.size == 0 or (counts < 1).any():
        raise ResponsesError(
            f"Each stimulus of an average was shown at least once; received {counts.size} counts"
            + (f" with a minimum of {counts.min()}." if counts.size else ".")
        )
    return float((1.0 / counts).mean())


@dataclass(frozen=True)
class Reliability:
    """How much of the neuroids' single trials the stimulus explains.

    Attributes
    ----------
    noise_variance : numpy.ndarray of float64, shape (neuroids,)
        σ², of a trial around its stimulus, as a fraction of the variance of all trials.
    degrees_of_freedom : int
        Σ_i (n_i - 1).
    """

    noise_variance: np.ndarray
    degrees_of_freedom: int

    @classmethod
    def of_sums(cls, sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> Reliability:
        """As :func:`reliability_from_sums`, of a part of trials that are known to be z-scored all together."""
        _check_sums(sums, squares, n_repetitions)
        sums, squares, counts = np.asarray(sums), np.asarray(squares), np.asarray(n_repetitions)
        repeated = int((counts - 1).sum())
        if len(counts) == 0 or counts.min() < 1 or repeated < 1:
            raise ResponsesError(
                f"Reliability needs stimuli that were shown more than once; received {len(counts)} stimuli and "
                f"{int(counts.sum())} trials."
            )
        within = squares_within(sums, squares, counts)
        # what rounding leaves of a difference of equal numbers is not noise
        silent = np.flatnonzero(~(within > len(counts) * np.finfo(float).eps * squares))
        if len(silent):
            raise ResponsesError(
                f"Trials of a stimulus differ, or there would be no noise to measure; {len(silent)} of {len(within)} neuroids "
                f"repeat themselves exactly (the first: neuroid {silent[0]}). Leave constant neuroids out."
            )
        return cls(within / repeated, repeated)

    @property
    def signal_variance(self) -> np.ndarray:
        """max(0, 1 - σ²)."""
        return np.maximum(0.0, 1.0 - self.noise_variance)

    @property
    def ncsnr(self) -> np.ndarray:
        """√(signal variance / σ²)."""
        return np.sqrt(self.signal_variance / self.noise_variance)

    def at(self, n_repetitions: np.ndarray) -> NoiseCeiling:
        """The ceiling of averages over ``n_repetitions`` (int, shape (stimuli,)) trials, equal or mixed."""
        return NoiseCeiling.from_ncsnr(self.ncsnr, mean_inverse_repetitions(n_repetitions))


def reliability_from_sums(sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> Reliability:
    """Reliability from sums per stimulus.

    Parameters
    ----------
    sums : numpy.ndarray of float64, shape (stimuli, neuroids)
        S_i, over the trials of each stimulus, z-scored.
    squares : numpy.ndarray of float64, shape (neuroids,)
        Σ_i Σ_k x_ik², over all trials of these stimuli.
    n_repetitions : numpy.ndarray of int, shape (stimuli,)
        One number for all neuroids. Neuroids that lack trials have fewer: give those by themselves, or leave the trials out.

    Returns
    -------
    Reliability

    Raises
    ------
    ResponsesError
        No stimulus with two trials, a neuroid whose trials never differ within a stimulus, rows that do not fit, or trials that
        are not z-scored.
    """
    found = Reliability.of_sums(sums, squares, n_repetitions)
    n_trials = np.sum(n_repetitions)
    variance = np.asarray(squares) / n_trials - (np.asarray(sums).sum(axis=0) / n_trials) ** 2
    _check_zscored(variance, "; of some of the stimuli of trials that are, use Reliability.of_sums")
    return found


def _check_zscored(variance: np.ndarray, also: str = "") -> None:
    """Refuse trials with another variance than 1."""
    off = np.flatnonzero(~(np.abs(variance - 1) < ZSCORE_TOLERANCE))
    if len(off):
        raise ResponsesError(
            f"The signal's variance is what the noise leaves of 1, so trials must be z-scored; {len(off)} of "
            f"{len(variance)} neuroids have another variance (the first: {variance[off[0]]:.3g}). z-score within sessions, and "
            f"count for each neuroid the trials that it has{also}."
        )


def _check_sums(sums, squares, n_repetitions) -> None:
    """Refuse sums, squares and repetitions whose shapes, or names in tables, do not fit each other."""
    shapes = np.shape(sums), np.shape(squares), np.shape(n_repetitions)
    if len(shapes[0]) != 2 or shapes[1:] != (shapes[0][1:], shapes[0][:1]):
        raise ResponsesError(
            f"sums are stimuli × neuroids, with a number in squares for each neuroid and in n_repetitions for each stimulus; "
            f"received the shapes {', '.join(map(str, shapes))}."
        )
    missing = ~(np.isfinite(np.asarray(sums, dtype=float)).all(axis=0) & np.isfinite(np.asarray(squares, dtype=float)))
    if missing.any():
        raise ResponsesError(
            f"sums and squares are finite numbers; those of {missing.sum()} of {len(missing)} neuroids hold nan or infinity "
            f"(the first: neuroid {np.flatnonzero(missing)[0]}). Leave these trials or neuroids out."
        )
    for what, index, of in (
        ("n_repetitions", getattr(n_repetitions, "index", None), getattr(sums, "index", None)),
        ("squares", getattr(squares, "index", None), getattr(sums, "columns", None)),
    ):
        if in_another_order(index, of):
            raise ResponsesError(
                f"{what} and sums are in one order; by their indexes, {what} has the names of sums in another one, as "
                f"value_counts() has. Give {what}.loc[...] in the order of sums."
            )


def squares_within(sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> np.ndarray:
    """Σ_i Σ_k (x_ik - x̄_i)² of each neuroid, from sums as for :func:`reliability_from_sums`; float64, shape (neuroids,)."""
    return squares - np.einsum("ij,ij,i->j", sums, sums, 1.0 / n_repetitions)


def noise_variance(sums: np.ndarray, squares: np.ndarray, n_repetitions: np.ndarray) -> np.ndarray | None:
    """σ² of each neuroid in the squared units of the trials, which need not be z-scored; None if no stimulus was repeated.

    Parameters
    ----------
    sums, squares, n_repetitions
        As for :func:`reliability_from_sums`.

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,), or None
        0 where a neuroid's trials repeat themselves.
    """
    repeated = int((np.asarray(n_repetitions) - 1).sum())
    return np.maximum(0.0, squares_within(sums, squares, n_repetitions)) / repeated if repeated else None


def reliability_from_trials(trials: np.ndarray, stimulus_ids: np.ndarray) -> Reliability:
    """Reliability from single trials in memory.

    Parameters
    ----------
    trials : numpy.ndarray, shape (trials, neuroids)
        z-scored (per session): a variance of about 1 over all trials.
    stimulus_ids : numpy.ndarray, shape (trials,)

    Returns
    -------
    Reliability

    Raises
    ------
    ResponsesError
        As :func:`reliability_from_sums`; or trials that are not z-scored.
    """
    values = np.asarray(trials, dtype=float)
    if values.ndim != 2:
        raise ResponsesError(
            f"Trials are trials × neuroids; received shape {values.shape}. Give one neuroid as a column."
        )
    if len(values) != len(stimulus_ids):
        raise ResponsesError(f"Each trial has a stimulus: {len(values)} trials, {len(stimulus_ids)} stimulus ids.")
    labels, ids = pd.factorize(np.asarray(stimulus_ids, dtype=object))  # -1 for nan, None and NA
    masked = np.ma.getmaskarray(trials).any(axis=1) if np.ma.is_masked(trials) else np.zeros(len(values), bool)
    without = {"have no stimulus (nan)": labels < 0, "are masked": masked}
    for what, rows in without.items():
        if rows.any():
            raise ResponsesError(
                f"Each trial has a stimulus, and numbers that count; {rows.sum()} of {len(values)} {what}. Leave them out."
            )
    if rows_of_a_table_apart(trials, stimulus_ids) or misnamed_rows(row_indexes(trials), stimulus_ids) is not None:
        raise ResponsesError(
            "Rows of trials are those of stimulus_ids, in their order; the table has other names, or another order. Take "
            "stimulus_ids from the table, or give an array without names."
        )
    n_missing = np.count_nonzero(~np.isfinite(values).all(axis=1))
    if n_missing:
        raise ResponsesError(
            f"Trials are finite numbers; {n_missing} of {len(values)} hold nan or infinity. Leave these trials or neuroids out."
        )
    _check_zscored(values.var(axis=0))
    sums = np.zeros((len(ids), values.shape[1]))
    for label, trial in zip(labels, values, strict=True):
        sums[label] += trial
    return reliability_from_sums(sums, np.einsum("ij,ij->j", values, values), np.bincount(labels))


@dataclass(frozen=True)
class Normalized:
    """One subject's number under one normalisation.

    Attributes
    ----------
    value : float
        The ceiled score.
    raw : float
        The same aggregate before division.
    ceiling : float
        The same aggregate of what is divided by.
    draws : numpy.ndarray of float64, shape (draws,), or None
        ``value`` over resampled stimuli, where the ceiling is known only now.
    notes : tuple of str
        What a reader of ``value`` should know.
    """

    value: float
    raw: float
    ceiling: float
    draws: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def check_normalization(name: str) -> str:
    """Return ``name`` if a metric has a normalisation of that name, else raise."""
    known = tuple(dict.fromkeys((*NORMALIZATIONS, *SIMILARITY_NORMALIZATIONS)))
    if name not in known:
        raise StimulusKernelError(f"normalization is one of {', '.join(known)}; received {name!r}.")
    return name


def explained_part(correlations: np.ndarray, variance: np.ndarray, n_stimuli: int) -> np.ndarray:
    """The variance that a prediction explains, as a part of the variance of the measurement; the sign of r is kept.

    r²v overestimates it by the share of the noise that any prediction follows: with n stimuli, (1 - r²) v / (n - 2) in the mean
    (adjusted r²; Ezekiel 1930). It is taken off: sign(r) v (r² - (1 - r²)/(n - 2)). The mean is then the signal's own variance
    for the true signal, and 0 for an unrelated prediction.

    Parameters
    ----------
    correlations, variance : numpy.ndarray of float64, shape (..., neuroids)
        r and v (ddof 1) over the test stimuli.
    n_stimuli : int
        At least 3.

    Returns
    -------
    numpy.ndarray of float64, shape (..., neuroids)
        In the units of ``variance``.
    """
    squared = correlations * correlations
    return np.sign(correlations) * variance * (squared - (1 - squared) / (n_stimuli - 2))


def ratio_draws(value: float, numerators: np.ndarray, denominators: np.ndarray, denominator: float) -> np.ndarray:
    """Draws of a ratio of sums about its value, to first order.

    With few stimuli a draw's denominator may come close to 0, and its ratio would say nothing. So the ratio is expanded about
    the value, v + (N - N̄ - v (D - D̄)) / D₀: N and D of each draw, their means over draws, and D₀ the denominator of the
    value. The means are taken off because a draw repeats the error of the mean that the value is corrected for.

    Parameters
    ----------
    value : float
    numerators, denominators : numpy.ndarray of float64, shape (draws,)
    denominator : float
        D₀.
    """
    step = numerators - numerators.mean() - value * (denominators - denominators.mean())
    return value + step / denominator


def normalize_correlations(
    correlations: np.ndarray, reference: NoiseCeiling, at_test: ExplainableVariance
) -> dict[str, Normalized]:
    """All normalisations of correlations per neuroid.

    Parameters
    ----------
    correlations : numpy.ndarray of float64, shape (neuroids,)
        r on the test stimuli.
    reference : NoiseCeiling
        As published with the data.
    at_test : ExplainableVariance
        Of the test stimuli.

    Returns
    -------
    dict
        With v, σ² and m of ``at_test``, sums over neuroids:

        - ``published``: median(r)² / median(√NC_reference), the formula behind Brain-Score's published table;
        - ``explained_variance``: Σ :func:`explained_part` / Σ (v - σ²m);
        - ``correlation``: Σ a r √v / √(Σ a² Σ (v - σ²m)), with a the standard deviation of the signal by the published
          ceiling. r √v is a covariance, which noise does not bias; by Cauchy and Schwarz the divisor is Σ a √(v - σ²m) where
          the signal varies over neuroids as published, and a little more elsewhere.

        The last two are missing where Σ (v - σ²m) is not above 0.

    Raises
    ------
    ResponsesError
        A neuroid without any explainable variance in ``reference``.
    """
    ceilings = ceiling_of(reference, at_test)
    raw = {"published": float(np.median(correlations))}
    values = {"published": raw["published"] ** 2 / ceilings["published"]}
    if at_test.is_positive:
        explained, covariance = _explained_and_covariance(correlations, at_test.variance, at_test, reference)
        weights = _signal_sd(reference, at_test)
        raw["explained_variance"] = float(explained / at_test.variance.sum())
        raw["correlation"] = float(covariance / (weights @ np.sqrt(at_test.variance)))
        values |= {name: raw[name] / ceilings[name] for name in ("explained_variance", "correlation")}
    return {name: Normalized(values[name], raw[name], ceilings[name]) for name in values}


def ceiling_of(reference: NoiseCeiling, at_test: ExplainableVariance) -> dict[str, float]:
    """The ceilings of :func:`normalize_correlations`, which do not depend on the model.

    ``explained_variance``: Σ (v - σ²m) / Σ v; ``correlation``: √(Σ a² Σ (v - σ²m)) / Σ a √v.
    """
    without = np.flatnonzero(~(reference.fraction > 0))
    if len(without):
        raise ResponsesError(
            f"A score is divided by each neuroid's noise ceiling, which has to be above 0; {len(without)} of "
            f"{len(reference.fraction)} neuroids have none (the first: neuroid {without[0]}). Leave them out."
        )
    ceilings = {"published": float(np.median(np.sqrt(reference.fraction)))}
    if at_test.is_positive:
        weights, explainable = _signal_sd(reference, at_test), at_test.explainable.sum()
        ceilings["explained_variance"] = float(explainable / at_test.variance.sum())
        ceilings["correlation"] = float(
            np.sqrt(weights @ weights * explainable) / (weights @ np.sqrt(at_test.variance))
        )
    return ceilings


class SumsOfDraws:
    """Sums over neuroids of each draw, from which :meth:`normalized` makes the draws of all normalisations.

    Correlations of all draws and neuroids at once would be large: they are given block by block.

    Parameters
    ----------
    correlations : numpy.ndarray of float64, shape (neuroids,)
        r on the test stimuli, each taken once.
    reference : NoiseCeiling
    at_test : ExplainableVariance
    """

    def __init__(self, correlations: np.ndarray, reference: NoiseCeiling, at_test: ExplainableVariance):
        self._values = normalize_correlations(correlations, reference, at_test)
        self._reference, self._at_test = reference, at_test
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, correlations: np.ndarray, variances: np.ndarray, mean_inverse_repetitions: np.ndarray) -> None:
        """Add draws.

        Parameters
        ----------
        correlations, variances : numpy.ndarray of float64, shape (draws, neuroids)
            r and v of each draw, v with the mean of the test stimuli's own.
        mean_inverse_repetitions : numpy.ndarray of float64, shape (draws,)
            m of each draw's test stimuli.
        """
        published = np.median(correlations, axis=1) ** 2 / self._values["published"].ceiling
        sums = _explained_and_covariance(correlations, variances, self._at_test, self._reference)
        explainable = variances.sum(axis=1) - mean_inverse_repetitions * self._at_test.noise_variance.sum()
        self._parts.append((published, *sums, explainable))

    def normalized(self) -> dict[str, np.ndarray]:
        """Draws of each normalisation of :func:`normalize_correlations`; float64, shape (draws,)."""
        published, explained, covariance, explainable = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        draws = {"published": published}
        if self._at_test.is_positive:
            weights, total = _signal_sd(self._reference, self._at_test), self._at_test.explainable.sum()
            value = self._values["explained_variance"].value
            draws["explained_variance"] = ratio_draws(value, explained, explainable, total)
            # the divisor is a root: half of its relative change
            divisor = np.sqrt(weights @ weights * total)
            value = self._values["correlation"].value
            draws["correlation"] = ratio_draws(value, covariance, explainable * divisor / (2 * total), divisor)
        return draws


def _explained_and_covariance(
    correlations: np.ndarray, variance: np.ndarray, at_test: ExplainableVariance, reference: NoiseCeiling
) -> tuple[np.ndarray, np.ndarray]:
    """Σ explained parts and Σ a r √v over the last axis, neuroids."""
    explained = explained_part(correlations, variance, at_test.n_stimuli).sum(axis=-1)
    return explained, (correlations * np.sqrt(variance)) @ _signal_sd(reference, at_test)


def _signal_sd(reference: NoiseCeiling, at_test: ExplainableVariance) -> np.ndarray:
    """a = ncsnr σ, the signal's standard deviation over the stimuli of the published ceiling; float64, shape (neuroids,)."""
    signal, noise = reference.fraction * reference.mean_inverse_repetitions, 1 - reference.fraction
    noisy = (noise > 0) & (at_test.noise_variance > 0)  # without noise, all that varies is signal
    return np.sqrt(np.where(noisy, at_test.noise_variance * signal / np.where(noisy, noise, 1), at_test.variance))


def scaled_similarity(similarity: float, ceiling: float, draws: np.ndarray | None = None) -> Normalized:
    """A similarity divided by its ceiling on the same scale (RDM correlation, CKA); ``draws`` of the ratio."""
    if not ceiling > 0:
        raise StimulusKernelError(f"A ceiling must be positive to be divided by, received {ceiling:g}.")
    return Normalized(value=similarity / ceiling, raw=similarity, ceiling=ceiling, draws=draws)
