"""How well an encoder predicts stimuli that its fit has not seen, per voxel and per region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..comparisons import Resampled
from ..statistics.bootstrap import N_DRAWS, correlation_draws, count_groups, interval_of, ridge_draws
from ..statistics.ceilings import SumsOfDraws, explained_part, normalize_correlations
from ..tasks import Responses, SubjectTask, pearson_per_neuroid

VOXELS_AT_ONCE = 512


@dataclass(frozen=True)
class Accuracy:
    """Of one region.

    Attributes
    ----------
    task : SubjectTask
        Whose test stimuli were predicted by a fit on its training stimuli.
    train_ids : tuple of str
        What the encoder itself was fitted on.
    neuroids : pandas.DataFrame
        One row per voxel.
    alphas : numpy.ndarray of float64, shape (voxels,)
        Of the encoder.
    unit : float
        What they count: the penalty is their product.
    values : dict of str to numpy.ndarray of float64, shape (voxels,)
        ``correlation``, ``correlation_low``, ``correlation_high``, ``explained_variance``, ``noise_ceiling_singletrial``,
        ``noise_ceiling_testset`` and, where trials come in halves, ``splithalf_uncorrected`` and ``splithalf_corrected``.
        The ceiling of single trials is the published one at one repetition, that of the test set is of these stimuli alone, as
        in Scores; it may be below 0 for a single voxel. What cannot be known is left out.
    summary : dict
        Of the region: normalisation to value, low and high.
    """

    task: SubjectTask
    train_ids: tuple[str, ...]
    neuroids: pd.DataFrame
    alphas: np.ndarray
    unit: float
    values: dict[str, np.ndarray]
    summary: dict


def accuracy_of(check, encoder) -> Accuracy:
    """Accuracy of a fit (:class:`~.fit.RegionFit`) on its test stimuli, which stands for that of an encoder of the region.

    Parameters
    ----------
    check : RegionFit
        With predictions of test stimuli.
    encoder : RegionFit
        The same one, or a fit on more stimuli.
    """
    task = check.task
    test = task.load_responses().select(task.test_ids)
    correlations = pearson_per_neuroid(check.predicted, test.values, task.subject)
    at_test, one_trial = test.explainable(), test.noise_ceiling.at(np.array([1]))
    values = {
        "correlation": correlations,
        "explained_variance": explained_part(correlations, at_test.variance, at_test.n_stimuli) / at_test.variance,
        "leave_one_out_correlation": encoder.held_out,
        "noise_ceiling_singletrial": one_trial.fraction,
        "noise_ceiling_testset": at_test.fraction,
        **_split_halves(task, test),
    }
    normalized = normalize_correlations(correlations, test.noise_ceiling, at_test)
    summary = {name: {"value": number.value} for name, number in normalized.items()}
    resampled = Resampled.of(task.test_ids, task.bootstrap_groups, N_DRAWS)
    if resampled.counts is not None:
        sums = SumsOfDraws(correlations, test.noise_ceiling, at_test)
        draws = ridge_draws(check.predicted, test.values, test.n_repetitions, sums, resampled.counts)
        n_groups = count_groups(task.test_ids, task.bootstrap_groups)
        for name, of_name in draws.items():
            limits = interval_of(summary[name]["value"], of_name, len(task.test_ids), n_groups)
            summary[name]["low"], summary[name]["high"] = limits
        low, high = _intervals(correlations, check.predicted, test, resampled.counts, n_groups)
        values |= {"correlation_low": low, "correlation_high": high}
    return Accuracy(task, encoder.task.train_ids, test.neuroids, encoder.alphas, encoder.unit, values, summary)


def _intervals(
    correlations: np.ndarray, predicted: np.ndarray, test: Responses, counts: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (95 %) of each voxel's correlation over other stimuli (:func:`~..statistics.bootstrap.interval_of`)."""
    found: list[tuple[float, float]] = []
    for start in range(0, predicted.shape[1], VOXELS_AT_ONCE):
        columns = slice(start, start + VOXELS_AT_ONCE)
        draws = correlation_draws(predicted[:, columns], test.values[:, columns], counts)
        found += [
            interval_of(r, of_voxel, len(predicted), n_groups)
            for r, of_voxel in zip(correlations[columns], draws.T, strict=True)
        ]
    low, high = np.clip(np.transpose(found), -1, 1)  # those by t are symmetric
    return low, high


def _split_halves(task: SubjectTask, test: Responses) -> dict[str, np.ndarray]:
    """Correlation per voxel of averages over two halves of the trials, and of both together (Spearman 1910; Brown 1910)."""
    halves = task.halves(test)
    if halves is None or len(halves[0].stimulus_ids) < 3:
        return {}
    first, second = halves
    half = pearson_per_neuroid(first.values.astype(float), second.values, task.subject)
    return {"splithalf_uncorrected": half, "splithalf_corrected": 2 * half / (1 + np.abs(half))}


def nested_metadata(accuracies: list[Accuracy]) -> dict:
    """What an encoder says of itself, nested as people know it: ``fmri``, ``encoding_model`` and ``roi``.

    ``fmri`` describes voxels, ``encoding_model`` training, test and accuracy, ``roi`` has the positions of each region's voxels
    in the responses. A column of neuroids that is called as something of these is ``neuroid_NAME``.
    """
    roi, start = {}, 0
    for accuracy in accuracies:
        roi[accuracy.task.region] = np.arange(start, start + len(accuracy.alphas))
        start += len(accuracy.alphas)
    neuroids = pd.concat([accuracy.neuroids for accuracy in accuracies], ignore_index=True)
    known = set.intersection(*(set(accuracy.values) for accuracy in accuracies))
    values = {
        name: np.concatenate([a.values[name] for a in accuracies]) for name in accuracies[0].values if name in known
    }
    first = accuracies[0]
    fmri = {"subject_id": first.task.subject, "n_voxels": start}
    model = {
        "train_stimuli": np.array(first.train_ids),
        "accuracy_train_stimuli": np.array(first.task.train_ids),
        "test_stimuli": np.array(first.task.test_ids),
        "correlation_results": values.pop("correlation"),
        **values,
        "alpha": np.concatenate([accuracy.alphas for accuracy in accuracies]),
        "penalty": np.concatenate([accuracy.alphas * accuracy.unit for accuracy in accuracies]),
        "accuracy": {accuracy.task.region: accuracy.summary for accuracy in accuracies},
    }
    taken = {*fmri, *model, "layer", "affine", "voxel_coords"}
    for name, column in neuroids.items():
        fmri[f"neuroid_{name}" if name in taken else str(name)] = column.to_numpy()
    return {"fmri": fmri, "encoding_model": model, "roi": roi}
