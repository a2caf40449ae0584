"""How correlations per neuroid become one number per subject: three normalisations, side by side.

r is the correlation of prediction and measurement, NC the explainable fraction of variance. A correlation is bounded by
√NC, a squared correlation by NC; ``published`` divides one by the other and is kept because published tables use it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ResponsesError, StimulusKernelError
from .ceilings import NoiseCeiling

NORMALIZATIONS = ("published", "explained_variance", "correlation")


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
    """

    value: float
    raw: float
    ceiling: float


def check_normalization(name: str) -> str:
    """Return ``name`` if it is one of :data:`NORMALIZATIONS`, else raise."""
    if name not in NORMALIZATIONS:
        raise StimulusKernelError(f"normalization is one of {', '.join(NORMALIZATIONS)}; received {name!r}.")
    return name


def normalize_correlations(
    correlations: np.ndarray, reference: NoiseCeiling, at_test: NoiseCeiling
) -> dict[str, Normalized]:
    """All normalisations of correlations per neuroid.

    Parameters
    ----------
    correlations : numpy.ndarray of float64, shape (neuroids,)
        r on the test stimuli.
    reference : NoiseCeiling
        As published with the data.
    at_test : NoiseCeiling
        At the repetitions that the test stimuli really have.

    Returns
    -------
    dict
        ``published``: median(r)² / median(√NC_reference), the formula behind Brain-Score's published table;
        ``explained_variance``: median(r·|r| / NC_test), the sign kept so that an unrelated model scores 0 and not its
        sampling bias; ``correlation``: mean(r / √NC_test).

    Raises
    ------
    ResponsesError
        A neuroid without any explainable variance.
    """
    _check_divisible(at_test)
    signed_square = correlations * np.abs(correlations)
    root = np.sqrt(at_test.fraction)
    return {
        "published": _published(correlations, reference),
        "explained_variance": Normalized(
            value=float(np.median(signed_square / at_test.fraction)),
            raw=float(np.median(signed_square)),
            ceiling=float(np.median(at_test.fraction)),
        ),
        "correlation": Normalized(
            value=float(np.mean(correlations / root)),
            raw=float(np.mean(correlations)),
            ceiling=float(np.mean(root)),
        ),
    }


def normalize_draws(
    correlations: np.ndarray, reference: NoiseCeiling, mean_inverse_repetitions: np.ndarray
) -> dict[str, np.ndarray]:
    """The values of :func:`normalize_correlations` for many sets of correlations at once.

    Parameters
    ----------
    correlations : numpy.ndarray of float64, shape (draws, neuroids)
    reference : NoiseCeiling
        As published with the data.
    mean_inverse_repetitions : numpy.ndarray of float64, shape (draws,)
        m of each draw's test stimuli.

    Returns
    -------
    dict of str to numpy.ndarray of float64, shape (draws,)
    """
    at_test = reference.at_draws(mean_inverse_repetitions)  # draws, neuroids
    published = np.median(correlations, axis=1) ** 2 / np.median(np.sqrt(reference.fraction))
    explained = np.median(correlations * np.abs(correlations) / at_test, axis=1)
    at_test **= 0.5
    return {
        "published": published,
        "explained_variance": explained,
        "correlation": np.mean(correlations / at_test, axis=1),
    }


def ceiling_of(reference: NoiseCeiling, at_test: NoiseCeiling) -> dict[str, float]:
    """The ceilings of :func:`normalize_correlations`, which do not depend on the model."""
    _check_divisible(at_test)
    root = np.sqrt(at_test.fraction)
    return {
        "published": float(np.median(np.sqrt(reference.fraction))),
        "explained_variance": float(np.median(at_test.fraction)),
        "correlation": float(np.mean(root)),
    }


def _check_divisible(ceiling: NoiseCeiling) -> None:
    without = np.flatnonzero(~(ceiling.fraction > 0))
    if len(without):
        raise ResponsesError(
            f"A score is divided by each neuroid's noise ceiling, which has to be above 0; {len(without)} of "
            f"{len(ceiling.fraction)} neuroids have none (the first: neuroid {without[0]}). Leave them out."
        )


def _published(correlations: np.ndarray, reference: NoiseCeiling) -> Normalized:
    raw, ceiling = float(np.median(correlations)), float(np.median(np.sqrt(reference.fraction)))
    return Normalized(value=raw**2 / ceiling, raw=raw, ceiling=ceiling)


def scaled_similarity(similarity: float, ceiling: float) -> Normalized:
    """A similarity divided by its ceiling on the same scale (RDM correlation, CKA)."""
    if not ceiling > 0:
        raise StimulusKernelError(f"A ceiling must be positive to be divided by, received {ceiling:g}.")
    return Normalized(value=similarity / ceiling, raw=similarity, ceiling=ceiling)
