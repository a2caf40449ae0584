"""What a map can show: one number per voxel, taken from a subject's Score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import adjusted
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import explained_part

from .errors import MapError

LAYER = "layer"
"""The value of maps of layers, which come from a layer map and not from a Score."""

POSITIVE, AROUND_ZERO, SMALL, DECADES, LEVELS = "positive", "around zero", "small", "decades", "levels"
"""Kinds of colour scales: from 0 up, to both sides of 0, p values, powers of ten, whole numbers that stand for names."""


@dataclass(frozen=True)
class Quantity:
    """One kind of value.

    Attributes
    ----------
    label : str
        Beside the colours, with the unit.
    description : str
        What the number is, in a sentence.
    units : str
        For the file beside the volume.
    scale : str
        One of the kinds of colour scales.
    read : callable or None
        From a subject's Score, and the benchmark's name for errors, to values, a DataArray over ``neuroid``; None for layers.
    of_folds : bool
        Whether a mean over folds says something.
    """

    label: str
    description: str
    units: str
    scale: str
    read: Callable[[Score, str], xr.DataArray] | None
    of_folds: bool = True


def _correlation(score: Score, benchmark: str) -> xr.DataArray:
    values = score.attrs["raw"].attrs.get("raw")
    if values is None:
        raise MapError(
            f"A map needs values per voxel, which ridge benchmarks have; {benchmark} compares all voxels of a region at once. "
            f"Take a benchmark that ends in -ridgecv or -ridge."
        )
    return values


def _explained_variance(score: Score, benchmark: str) -> xr.DataArray:
    correlations = _correlation(score, benchmark)
    n_test = score.attrs["n_test"]
    if n_test < 3:
        raise MapError(f"Explained variance needs 3 test images or more; {benchmark} has {n_test}.")
    return correlations.copy(data=explained_part(correlations.values, np.ones(correlations.shape), n_test))


def _noise_ceiling(score: Score, benchmark: str) -> xr.DataArray:
    _correlation(score, benchmark)
    return score.attrs["ceiling"].attrs["raw"]


def _p_value(score: Score, benchmark: str) -> xr.DataArray:
    _correlation(score, benchmark)
    if "p_values" not in score.attrs:
        raise MapError(
            f"p values come with scores on more than a few independent test images, made by a version that keeps them; "
            f"{benchmark} has none. Score again, or take another --value."
        )
    return score.attrs["p_values"]


def _p_fdr(score: Score, benchmark: str) -> xr.DataArray:
    p_values = _p_value(score, benchmark)
    return p_values.copy(data=adjusted(p_values.values, "fdr"))


def _alpha(score: Score, benchmark: str) -> xr.DataArray:
    correlations = _correlation(score, benchmark)
    return correlations.copy(data=np.full(correlations.shape, float(score.attrs["alpha"])))


QUANTITIES = {
    "correlation": Quantity(
        "correlation r",
        "Correlation of the prediction with the response, over the test images.",
        "correlation",
        POSITIVE,
        _correlation,
    ),
    "explained_variance": Quantity(
        "explained variance (fraction)",
        "Part of the variance of the responses to the test images that the prediction explains, r² less what noise adds to it, "
        "with the sign of r; not divided by the noise ceiling.",
        "fraction of variance",
        POSITIVE,
        _explained_variance,
    ),
    "noise_ceiling": Quantity(
        "noise ceiling (fraction of variance)",
        "Part of the variance of the responses to the test images that the images explain, estimated from these responses; "
        "below 0 where noise alone is found.",
        "fraction of variance",
        POSITIVE,
        _noise_ceiling,
    ),
    "p_value": Quantity(
        "p (one-sided, uncorrected)",
        "Probability of a correlation this large by chance, of each voxel alone.",
        "probability",
        SMALL,
        _p_value,
        of_folds=False,
    ),
    "p_fdr": Quantity(
        "p (one-sided, corrected by FDR)",
        "p values with the share of false discoveries controlled (Benjamini & Hochberg) among the voxels of the subject and "
        "region: 0.05 allows 5 % of them.",
        "probability",
        SMALL,
        _p_fdr,
        of_folds=False,
    ),
    "alpha": Quantity(
        "ridge penalty alpha",
        "Penalty that the leave-one-out error on the training images chose; one for all voxels of a subject and region.",
        "alpha",
        DECADES,
        _alpha,
        of_folds=False,
    ),
    LAYER: Quantity(
        "best layer",
        "Layer whose leave-one-out predictions of the training images correlate most with the voxel; none where no layer's do.",
        "number of the layer, from 1, in the order of execution",
        LEVELS,
        None,
    ),
}
"""Name -> quantity."""


def subject_values(score: Score, value: str) -> dict[str, xr.DataArray]:
    """Values per voxel of each subject of a benchmark's Score; of folds, their mean.

    Raises
    ------
    MapError
        If the Score has no such values.
    """
    quantity, benchmark = QUANTITIES[value], name_of(score)
    if "raw_folds" not in score.attrs:
        return {subject: quantity.read(score.attrs[subject], benchmark) for subject in subjects_of(score)}
    folds = score.attrs["raw_folds"]["fold"].values.tolist()
    if not quantity.of_folds:
        raise MapError(
            f"Each fold has its own {value}; {benchmark} is a mean over {len(folds)} folds. Score one of them by its number."
        )
    parts = [
        {s: quantity.read(fold.attrs[s], benchmark) for s in subjects_of(fold)}
        for fold in (score.attrs[f"fold_{number}"] for number in folds)
    ]
    return {
        subject: parts[0][subject].copy(data=np.mean([part[subject].values for part in parts], axis=0))
        for subject in parts[0]
    }


def name_of(score: Score) -> str:
    """The benchmark's identifier."""
    return score.attrs.get("benchmark_identifier", "this benchmark")


def subjects_of(score: Score) -> list[str]:
    """Subjects of a benchmark's Score, in order."""
    if "raw_folds" in score.attrs:
        return subjects_of(score.attrs[f"fold_{score.attrs['raw_folds']['fold'].values.tolist()[0]}"])
    if "raw_subjects" not in score.attrs:
        raise MapError("A map is of a benchmark's Score, with one Score per subject in it; this one has none.")
    return score.attrs["raw_subjects"]["subject"].values.tolist()
