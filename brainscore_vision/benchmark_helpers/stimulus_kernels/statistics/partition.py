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
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ..comparisons import RidgeMetric
from ..engine import check_data
from ..errors import ModelOutputError, StimulusKernelError
from ..features.lookup import narrow
from ..features.recording import recorder_for
from ..kernels.compute import Compute
from ..kernels.kernel import StimulusKernel
from ..kernels.making import ModelKernels
from ..options import EngineOptions
from ..responses import Responses, pearson_per_neuroid
from ..ridge import fit as ridge
from ..tasks import SubjectTask
from .bootstrap import BLOCK_BYTES, correlation_draws, percentile_interval, resampled_counts

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
) -> Iterator[tuple[SubjectTask, Partition]]:
    """Partition the variance that two models explain.

    Parameters
    ----------
    model_a, model_b : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
        With ridge metrics; tasks that share training stimuli share decompositions.
    options : EngineOptions, optional

    Yields
    ------
    tuple of SubjectTask and Partition
        In the order that costs least.

    Raises
    ------
    StimulusKernelError
        Metrics other than ridge, or one model twice.
    """
    tasks, models = list(dict.fromkeys(tasks)), (model_a, model_b)
    options = options if options is not None else EngineOptions()
    other = sorted({type(task.metric).__name__ for task in tasks if not isinstance(task.metric, RidgeMetric)})
    if other:
        raise StimulusKernelError(f"Variance is partitioned for ridge benchmarks; received {', '.join(other)}.")
    if model_a.identifier == model_b.identifier:
        raise StimulusKernelError(f"Variance is partitioned between two models; received {model_a.identifier} twice.")
    recorders = [recorder_for(model, [task.model_region for task in tasks]) for model in models]
    by_pool: dict = defaultdict(list)
    for task, narrowed, dropped in _narrow_to_both(models, tasks):
        by_pool[narrowed.pool].append((task, narrowed, dropped))
    narrowed_tasks = [narrowed for members in by_pool.values() for _, narrowed, _ in members]
    check_data(narrowed_tasks, images=any(recorder.needs_images for recorder in recorders))
    with ExitStack() as stack:
        kernels = [
            stack.enter_context(ModelKernels(model, recorder, options))
            for model, recorder in zip(models, recorders, strict=True)
        ]
        # models lock what they make until the end: always in one order, so that two processes cannot wait for each other
        order = sorted((0, 1), key=lambda i: str(models[i].identifier))
        for pool, members in by_pool.items():
            by_labels: dict = defaultdict(list)
            for member in members:
                by_labels[tuple(recorder.labels[member[1].model_region] for recorder in recorders)].append(member)
            for i in order:
                kernels[i].prepare(pool, list(dict.fromkeys(labels[i] for labels in by_labels)))
            for labels, group in by_labels.items():
                pair = tuple(kernels[i].kernel(pool, labels[i]) for i in (0, 1))
                yield from _partition_on(pair, group, tuple(str(m.identifier) for m in models), kernels[0].compute)
            for made in kernels:
                made.drop(pool.parts)


def _narrow_to_both(models, tasks: Sequence[SubjectTask]):
    first = list(narrow(models[0], tasks))
    second = narrow(models[1], [narrowed for _, narrowed, _ in first])
    for (task, _, dropped_a), (_, narrowed, dropped_b) in zip(first, second, strict=True):
        yield task, narrowed, tuple(sorted({*dropped_a, *dropped_b}))


def _partition_on(kernels: tuple[StimulusKernel, StimulusKernel], members, models, compute: Compute):
    tasks = list(dict.fromkeys(narrowed for _, narrowed, _ in members))
    grams = [_balanced(kernel, model) for kernel, model in zip(kernels, models, strict=True)]
    widths = [kernel.n_features for kernel in kernels]
    fits = [_predictions(gram, p, kernels[0], tasks, compute) for gram, p in zip(grams, widths, strict=True)]
    grams[0] += grams[1]  # in place: a third matrix of this size would be the largest of all
    fits.append(_predictions(grams[0], sum(widths), kernels[0], tasks, compute))
    counts = None
    for task, narrowed, dropped in members:
        if counts is None or counts[0] != narrowed.test_ids:
            counts = narrowed.test_ids, resampled_counts(narrowed.test_ids, narrowed.metric.bootstrap_draws)
        test = narrowed.load_responses().select(narrowed.test_ids)
        predictions, alphas = zip(*(fit[narrowed] for fit in fits), strict=True)
        yield task, _parts(narrowed, test, predictions, alphas, counts[1], models, dropped)


def _balanced(kernel: StimulusKernel, model: str) -> np.ndarray:
    """The kernel over its mean diagonal; the features' means over the pool are not in it (:mod:`..kernels.kernel`)."""
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


def _parts(task: SubjectTask, test: Responses, predictions, alphas, counts, models, dropped) -> Partition:
    ceiling = test.test_ceiling().fraction
    r = [pearson_per_neuroid(prediction, test.values, task.subject) for prediction in predictions]
    per_neuroid = _commonality(*(values * np.abs(values) / ceiling for values in r))
    step = max(1, BLOCK_BYTES // (8 * test.values.shape[1]))
    draws: list[list[np.ndarray]] = [[], [], []]
    for start in range(0, len(counts), step):
        for kept, prediction in zip(draws, predictions, strict=True):
            r_drawn = correlation_draws(prediction, test.values, counts[start : start + step])
            kept.append((r_drawn * np.abs(r_drawn) / ceiling).mean(axis=1))
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
        dropped_stimuli=dropped,
    )


def _commonality(a: np.ndarray, b: np.ndarray, both: np.ndarray) -> dict[str, np.ndarray]:
    parts = (both, both - b, both - a, a + b - both, a, b)
    return dict(zip(PARTS, parts, strict=True))
