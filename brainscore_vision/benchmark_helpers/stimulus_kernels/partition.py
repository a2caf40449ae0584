"""Variance partitioning of two models: what each explains alone, and what both explain.

K_a + K_b is the kernel of both models' features side by side, so that three ridge fits from two kernels are all it takes
(commonality analysis; Lescroart et al. 2015 for encoding models). Features of one model with the larger variance would
dominate the sum, so each kernel is first divided by its mean diagonal: both models have the same total variance over the
stimuli of the pool. With R²(a), R²(b), R²(ab) the explained variances on the test stimuli:

- unique to a: R²(ab) - R²(b); unique to b: R²(ab) - R²(a); shared: R²(a) + R²(b) - R²(ab).

R² of a neuroid is r·|r| / NC, r the correlation of prediction and measurement and NC the noise ceiling at the test stimuli's
repetitions, as in the normalisation ``explained_variance``; a region's is the mean over its neuroids, not the median that
scores use, so that parts add up. Each of the three fits has its own penalty, by leave-one-out on the training stimuli.
Parts may come out negative: a suppressor, or noise; the intervals tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .comparisons import RidgeMetric
from .engine import Job, Run
from .errors import ModelOutputError, StimulusKernelError
from .kernels.compute import Compute
from .kernels.kernel import StimulusKernel
from .options import EngineOptions
from .responses import Responses, pearson_per_neuroid
from .ridge import fit as ridge
from .statistics.bootstrap import BLOCK_BYTES, correlation_draws, percentile_interval, resampled_counts
from .tasks import SubjectTask

PARTS = ("total", "unique_a", "unique_b", "shared", "a", "b")
"""``total`` is R²(ab), ``a`` and ``b`` are each model alone."""


@dataclass(frozen=True)
class Partition:
    """Explained variance of one subject's region, in parts; 1 is all that can be explained.

    Attributes
    ----------
    subject, region : str
    models : tuple of str
        Identifiers of a and b.
    values : dict of str to float
        By name of the part (`PARTS`).
    draws : dict of str to numpy.ndarray of float64, shape (draws,)
        The same over resampled test stimuli, the fits kept.
    per_neuroid : dict of str to numpy.ndarray of float64, shape (neuroids,)
    alphas : tuple of float
        Penalties of a, b, and both, on kernels whose mean diagonal is 1 (2 for both).
    n_train, n_test, n_neuroids : int
    dropped_stimuli : tuple of str
        Left out because one of the models has no features for them.
    """

    subject: str
    region: str
    models: tuple[str, str]
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    per_neuroid: Mapping[str, np.ndarray]
    alphas: tuple[float, float, float]
    n_train: int
    n_test: int
    n_neuroids: int
    dropped_stimuli: tuple[str, ...] = ()

    def interval(self, part: str) -> tuple[float, float]:
        """Middle 95 % of the draws of a part."""
        return percentile_interval(self.draws[part])


@dataclass(frozen=True)
class MeanPartition:
    """Mean of partitions over subjects: ``values`` and ``interval`` as of each of them.

    The interval says what other test stimuli would give for these subjects, not what other subjects would.
    """

    region: str
    models: tuple[str, str]
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, partitions: Sequence[Partition]) -> MeanPartition:
        """Of the partitions of one region in several subjects."""
        return cls(
            region=partitions[0].region,
            models=partitions[0].models,
            values={part: float(np.mean([p.values[part] for p in partitions])) for part in PARTS},
            draws={part: np.mean([p.draws[part] for p in partitions], axis=0) for part in PARTS},
        )

    def interval(self, part: str) -> tuple[float, float]:
        """Middle 95 % of the draws of a part."""
        return percentile_interval(self.draws[part])


def partition(
    model_a, model_b, tasks: Sequence[SubjectTask], options: EngineOptions | None = None
) -> Iterator[tuple[int, Partition]]:
    """Partition the variance that two models explain.

    Parameters
    ----------
    model_a, model_b : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
        With ridge metrics; tasks that share training stimuli share decompositions.
    options : EngineOptions, optional

    Yields
    ------
    tuple of int and Partition
        Position of the task, and its partition, in the order that costs least.

    Raises
    ------
    StimulusKernelError
        Metrics other than ridge, or one model twice.
    """
    other = sorted({type(task.metric).__name__ for task in tasks if not isinstance(task.metric, RidgeMetric)})
    if other:
        raise StimulusKernelError(f"Variance is partitioned for ridge benchmarks; received {', '.join(other)}.")
    if model_a.identifier == model_b.identifier:
        raise StimulusKernelError(f"Variance is partitioned between two models; received {model_a.identifier} twice.")
    models = str(model_a.identifier), str(model_b.identifier)
    with Run((model_a, model_b), tasks, options if options is not None else EngineOptions()) as run:
        run.check_data()
        for item in run.each_kernel():
            for job, found in _partitions(run.kernels(item), item.jobs, models, run.compute):
                yield job.position, replace(found, dropped_stimuli=job.dropped)


def _partitions(
    kernels: tuple[StimulusKernel, StimulusKernel], jobs: Sequence[Job], models: tuple[str, str], compute: Compute
) -> Iterator[tuple[Job, Partition]]:
    tasks = list(dict.fromkeys(job.task for job in jobs))
    grams = [_balanced(kernel, model) for kernel, model in zip(kernels, models, strict=True)]
    widths = [kernel.n_features for kernel in kernels]
    fits = [_predictions(gram, p, kernels[0], tasks, compute) for gram, p in zip(grams, widths, strict=True)]
    grams[0] += grams[1]  # in place: a third matrix of this size would be the largest of all
    fits.append(_predictions(grams[0], sum(widths), kernels[0], tasks, compute))
    counts = None
    for job in jobs:
        task = job.task
        if counts is None or counts[0] != task.test_ids:
            counts = task.test_ids, resampled_counts(task.test_ids, task.metric.bootstrap_draws)
        test = task.load_responses().select(task.test_ids)
        predictions, alphas = zip(*(fit[task] for fit in fits), strict=True)
        yield job, _parts(task, test, predictions, alphas, counts[1], models)


def _balanced(kernel: StimulusKernel, model: str) -> np.ndarray:
    """The kernel over its mean diagonal; the features' means over the pool are not in it (:mod:`.kernels.kernel`)."""
    mean = float(np.trace(kernel.gram)) / len(kernel.gram)
    if not mean > 0:
        raise ModelOutputError(f"Features must differ between stimuli, but those of {model} do not vary at all.")
    return kernel.gram / mean


def _predictions(
    gram: np.ndarray, n_features: int, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute
) -> dict:
    """Predictions (float32, test stimuli × neuroids, about the training mean) and penalty of each task."""
    by_train: dict = defaultdict(list)
    for task in tasks:
        by_train[task.train_ids].append(task)
    found = {}
    for train_ids, group in by_train.items():
        train = kernel.positions(train_ids)
        decomposition = ridge.decompose(gram, train, compute, n_features)
        for task in sorted(group, key=lambda task: (task.region, task.subject)):
            responses = task.load_responses().select(train_ids)
            coordinates, _ = decomposition.coordinates(responses.values)
            selection = ridge.select_alpha(decomposition, coordinates, task.metric.alphas)
            cross = gram[np.ix_(kernel.positions(task.test_ids), train)]
            # without the mean, which no correlation sees: single precision then keeps what a strong penalty leaves
            prediction = ridge.predict(decomposition, cross, selection.dual_coefficients)
            found[task] = prediction.astype(np.float32), selection.alpha
    return found


def _parts(task: SubjectTask, test: Responses, predictions, alphas, counts: np.ndarray, models) -> Partition:
    ceiling = test.test_ceiling().fraction
    r = [pearson_per_neuroid(prediction, test.values, task.subject) for prediction in predictions]
    per_neuroid = _commonality(*(values * np.abs(values) / ceiling for values in r))
    step = max(1, BLOCK_BYTES // (8 * test.values.shape[1]))
    draws: list[list[np.ndarray]] = [[], [], []]
    for start in range(0, len(counts), step):
        block = counts[start : start + step]
        # the ceiling moves with the stimuli that are drawn, as it does for scores; draws, neuroids
        at_draw = test.noise_ceiling.at_draws(block @ (1.0 / test.n_repetitions) / block.sum(axis=1))
        for kept, prediction in zip(draws, predictions, strict=True):
            r_drawn = correlation_draws(prediction, test.values, block)
            kept.append((r_drawn * np.abs(r_drawn) / at_draw).mean(axis=1))
    return Partition(
        subject=task.subject,
        region=task.region,
        models=models,
        values={part: float(values.mean()) for part, values in per_neuroid.items()},
        draws=_commonality(*(np.concatenate(kept) for kept in draws)),
        per_neuroid=per_neuroid,
        alphas=alphas,
        n_train=len(task.train_ids),
        n_test=len(task.test_ids),
        n_neuroids=len(ceiling),
    )


def _commonality(a: np.ndarray, b: np.ndarray, both: np.ndarray) -> dict[str, np.ndarray]:
    parts = (both, both - b, both - a, a + b - both, a, b)
    return dict(zip(PARTS, parts, strict=True))
