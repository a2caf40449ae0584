"""How correlations per neuroid become one number per subject: three normalisations, side by side.

r is the correlation of prediction and measurement, NC the explainable fraction of variance. A correlation is bounded by
√NC, a squared correlation by NC; ``published`` divides one by the other and is kept because published tables use it. The
others take the explainable variance from the test stimuli themselves (:class:`.ceilings.ExplainableVariance`), so that the true
signal scores 1 on any test set, and divide a sum over neuroids by a sum, which is stable where single neuroids' ratios are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ResponsesError, StimulusKernelError
from .ceilings import ExplainableVariance, NoiseCeiling

NORMALIZATIONS = ("published", "explained_variance", "correlation")
"""Of metrics that compare neuroids."""

SIMILARITY_NORMALIZATIONS = ("published", "reliability")
"""Of metrics that compare representations as wholes."""


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
    """

    value: float
    raw: float
    ceiling: float
    draws: np.ndarray | None = None


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
