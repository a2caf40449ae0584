"""Variance partitioning of two models: what each explains alone, and what both explain.

Three ridge fits from two kernels are all it takes (commonality analysis; Lescroart et al. 2015 for encoding models): on each
model's features, and on both side by side. Features of one model may deserve another penalty than those of the other, so the
joint fit has a weight for each kernel (:mod:`.ridge.banded`), chosen with its penalty by leave-one-out on the training stimuli.
With R²(a), R²(b), R²(ab) the explained variances on the test stimuli:

- unique to a: R²(ab) - R²(b); unique to b: R²(ab) - R²(a); shared: R²(a) + R²(b) - R²(ab).

R² is that of the normalisation ``explained_variance``: corrected for the number of test stimuli as adjusted r² is, summed
over neuroids, and divided by the explainable variance of the test stimuli. Sums over neuroids add up, so parts do. Where
leave-one-out finds that one model adds nothing to the other, the joint fit is that of the other, and the part that is
unique to the one is 0 exactly. Parts may come out negative otherwise: by chance, which the intervals tell, or where the
joint fit is worse on stimuli of another kind than those of the training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .comparisons import DEFAULT_ALPHAS, RELATIVE_ALPHAS, Resampled, RidgeMetric, poorly_known
from .engine import Job, Run, fitted_to
from .errors import ModelOutputError, ResponsesError, StimulusKernelError
from .features.network import asked, network_digest
from .features.recording import committed_layers
from .kernels.compute import Compute
from .kernels.kernel import StimulusKernel
from .options import EngineOptions
from .ridge.banded import Target, WeightedFit, banded_fits
from .ridge.fit import edge_of_grid
from .statistics.bootstrap import BLOCK_BYTES, FEWEST_GROUPS, correlation_and_variance_draws, count_groups, interval_of
from .statistics.ceilings import explained_part, ratio_draws
from .tasks import Responses, SubjectTask, pearson_per_neuroid, with_sorted_test
from .wording import warn_once

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
        Each neuroid's share; their mean is the value.
    alphas : tuple of float
        Penalties of a, b, and both, in mean eigenvalues of the training kernel at hand.
    weight : float
        Of a in the joint kernel, where both have a mean eigenvalue of 1; b has the rest. 1: the joint fit is that of a alone.
    n_train, n_test, n_groups, n_neuroids : int
        ``n_groups`` of similar test stimuli, as many as test stimuli where they are independent.
    dropped_stimuli : tuple of str
        Left out because one of the models has no features for them.
    layers : tuple of (str, list of str or None)
        What each model records for the region; None of models that are no ModelCommitment.
    notes : tuple of str
        What a reader should know of it, one sentence each, as of a Score.
    network_digests, revisions : tuple of (str or None)
        Which networks the models are (:func:`~.features.network.network_digest`, their ``model_revision``); None where that is
        not known.
    """

    subject: str
    region: str
    models: tuple[str, str]
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray] = field(repr=False)
    per_neuroid: Mapping[str, np.ndarray] = field(repr=False)
    alphas: tuple[float, float, float]
    weight: float
    n_train: int
    n_test: int
    n_groups: int
    n_neuroids: int
    dropped_stimuli: tuple[str, ...] = ()
    layers: tuple[str | list[str] | None, str | list[str] | None] = (None, None)
    notes: tuple[str, ...] = ()
    network_digests: tuple[str | None, str | None] = (None, None)
    revisions: tuple[str | None, str | None] = (None, None)

    def interval(self, part: str) -> tuple[float, float]:
        """95 % over other test stimuli (:func:`~.statistics.bootstrap.interval_of`)."""
        return interval_of(self.values[part], self.draws[part], self.n_test, self.n_groups)


@dataclass(frozen=True)
class MeanPartition:
    """Mean of partitions over subjects: attributes as of each of them, ``dropped_stimuli`` and ``notes`` of all.

    The interval says what other test stimuli would give for these subjects, not what other subjects would.
    """

    region: str
    models: tuple[str, str]
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray] = field(repr=False)
    n_test: int
    n_groups: int
    dropped_stimuli: tuple[str, ...] = ()
    layers: tuple[str | list[str] | None, str | list[str] | None] = (None, None)
    notes: tuple[str, ...] = ()
    network_digests: tuple[str | None, str | None] = (None, None)
    revisions: tuple[str | None, str | None] = (None, None)

    @classmethod
    def of(cls, partitions: Sequence[Partition]) -> MeanPartition:
        """Of the partitions of one region in several subjects."""
        return cls(
            region=partitions[0].region,
            models=partitions[0].models,
            values={part: float(np.mean([p.values[part] for p in partitions])) for part in PARTS},
            draws={part: np.mean([p.draws[part] for p in partitions], axis=0) for part in PARTS},
            n_test=min(p.n_test for p in partitions),
            n_groups=min(p.n_groups for p in partitions),
            dropped_stimuli=tuple(dict.fromkeys(name for p in partitions for name in p.dropped_stimuli)),
            layers=partitions[0].layers,
            notes=tuple(dict.fromkeys(note for p in partitions for note in p.notes)),
            network_digests=partitions[0].network_digests,
            revisions=partitions[0].revisions,
        )

    interval = Partition.interval


def partition(
    model_a, model_b, tasks: Sequence[SubjectTask], options: EngineOptions | None = None
) -> Iterator[tuple[int, Partition]]:
    """Partition the variance that two models explain.

    Parameters
    ----------
    model_a, model_b : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
        With ridge metrics; tasks that share training stimuli share decompositions. The published grid of penalties is
        replaced by :data:`~.comparisons.RELATIVE_ALPHAS`, which count mean eigenvalues.
    options : EngineOptions, optional

    Yields
    ------
    tuple of int and Partition
        Position of the task, and its partition, in the order that costs least.

    Raises
    ------
    StimulusKernelError
        Metrics other than ridge or with penalties of their own, one model twice, or test stimuli without explainable variance
        or in too few groups.
    """
    tasks = list(map(with_sorted_test, tasks))
    other = sorted({type(task.metric).__name__ for task in tasks if not isinstance(task.metric, RidgeMetric)})
    if other:
        raise StimulusKernelError(f"Variance is partitioned for ridge benchmarks; received {', '.join(other)}.")
    if model_a.identifier == model_b.identifier:
        raise StimulusKernelError(
            f"Variance is partitioned between two models; both of these are called {model_a.identifier}. If they are two, give "
            f"one another name: that of its file, or identifier=... in Python."
        )
    absolute = [t for t in tasks if not (t.metric.is_relative or t.metric.alphas == DEFAULT_ALPHAS)]
    if absolute:
        alphas = ", ".join(f"{alpha:g}" for alpha in absolute[0].metric.alphas)
        raise StimulusKernelError(
            f"A partition counts penalties in mean eigenvalues, because a joint fit has features on two scales; that of "
            f"{absolute[0].region} asks for penalties as they are ({alphas}). Name a ridgecv benchmark without alphas, or with "
            f"alphas=relative."
        )
    models = str(model_a.identifier), str(model_b.identifier)
    networks = {
        "network_digests": (network_digest(model_a), network_digest(model_b)),
        "revisions": (asked(model_a, "model_revision"), asked(model_b, "model_revision")),
    }
    recorded = [committed_layers(model, [task.model_region for task in tasks]) for model in (model_a, model_b)]
    with Run((model_a, model_b), tasks, options if options is not None else EngineOptions()) as run:
        run.check_data()
        of_data = {job.position: (*_resampled(job.task).notes, *_check_explainable(job.task)) for job in run.jobs}
        for note in dict.fromkeys(note for notes in of_data.values() for note in notes):
            warn_once(note)
        for item in run.each_kernel():
            for job, found in _partitions(run.kernels(item), item.jobs, models, run.compute):
                layers = tuple(own.get(job.task.model_region) for own in recorded)
                fitted = (note for model in (model_a, model_b) for note in fitted_to(model, job.task))
                of_task = *run.notes_on_data(job.task), *of_data[job.position], *_at_edge(found, job.task)
                notes = (*run.notes(item), *fitted, *of_task)
                yield job.position, replace(found, dropped_stimuli=job.dropped, layers=layers, notes=notes, **networks)


def _resampled(task: SubjectTask) -> Resampled:
    """The test stimuli, drawn as those of scores are; raise if there are too few groups to draw from."""
    resampled = Resampled.of(task.test_ids, task.bootstrap_groups, task.metric.bootstrap_draws)
    if resampled.counts is None:
        n_groups = count_groups(task.test_ids, task.bootstrap_groups)
        raise StimulusKernelError(
            f"A partition has intervals over test stimuli, which draw whole groups of similar ones, {FEWEST_GROUPS} or more; "
            f"the {len(task.test_ids)} of {task.subject} come in {n_groups}. Choose a split with more."
        )
    return resampled


def _check_explainable(task: SubjectTask) -> tuple[str, ...]:
    """Raise if what is explained cannot be put in relation to what could be; a note if that could be 0."""
    at_test = task.load_responses().select(task.test_ids).explainable()
    if not at_test.is_positive:
        share = 100 * at_test.explainable.sum() / at_test.variance.sum()
        raise ResponsesError(
            f"Explained variance is divided by the explainable variance of the test stimuli, which has to be above 0; that of "
            f"{at_test.n_stimuli} stimuli in {task.region} of {task.subject} is {share:.1f} % of the variance of averages. "
            f"Choose a split with more test stimuli, or other subjects."
        )
    return tuple(poorly_known(task, at_test))


def _at_edge(found: Partition, task: SubjectTask) -> Iterator[str]:
    """A note of each fit whose penalty is an end of the grid."""
    for fit, alpha in zip((*found.models, "both"), found.alphas, strict=True):
        edge = edge_of_grid(alpha, RELATIVE_ALPHAS)
        if edge is not None:
            yield (
                f"The penalty of the fit of {fit} to {task.subject} in {task.region} is {alpha:g} mean eigenvalues, the {edge} "
                f"of its grid: a better one may lie beyond."
            )


def _partitions(
    kernels: tuple[StimulusKernel, StimulusKernel], jobs: Sequence[Job], models: tuple[str, str], compute: Compute
) -> Iterator[tuple[Job, Partition]]:
    for kernel, model in zip(kernels, models, strict=True):
        if not np.trace(kernel.gram) > 0:
            raise ModelOutputError(f"Features must differ between stimuli, but those of {model} do not vary at all.")
    fits: dict = {}
    by_train: dict = defaultdict(list)
    for task in dict.fromkeys(job.task for job in jobs):
        by_train[task.train_ids].append(task)
    for train_ids, tasks in by_train.items():
        tasks.sort(key=lambda task: (task.region, task.subject))
        found = banded_fits(
            tuple(kernel.gram for kernel in kernels),
            kernels[0].positions(train_ids),
            [_target(task, kernels[0]) for task in tasks],
            compute,
            tuple(kernel.n_features for kernel in kernels),
        )
        fits.update(zip(tasks, found, strict=True))
    resampled = None
    for job in jobs:
        task = job.task
        if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
            resampled = _resampled(task)
        yield job, parts_of(task, fits[task], resampled.counts, models)


def _target(task: SubjectTask, kernel: StimulusKernel) -> Target:
    return Target(
        lambda: task.load_responses().select(task.train_ids).values, kernel.positions(task.test_ids), RELATIVE_ALPHAS
    )


def parts_of(
    task: SubjectTask, fits: tuple[WeightedFit, WeightedFit, WeightedFit], counts: np.ndarray, models: tuple[str, str]
) -> Partition:
    """The parts of three fits.

    Parameters
    ----------
    task : SubjectTask
    fits : three WeightedFit
        On a, on b, and on both, with predictions of the test stimuli.
    counts : numpy.ndarray of float64, shape (draws, n_test)
        How often each test stimulus is in each draw (:func:`~.statistics.bootstrap.resampled_counts`).
    models : tuple of str
        Identifiers of a and b.
    """
    test = task.load_responses().select(task.test_ids)
    at_test, n = test.explainable(), len(task.test_ids)
    total = float(at_test.explainable.sum())
    explained = [
        explained_part(pearson_per_neuroid(fit.prediction, test.values, task.subject, 0.0), at_test.variance, n)
        for fit in fits
    ]
    values = {part: float(one.sum() / total) for part, one in commonality(*explained).items()}
    drawn, explainable = _draws(test, fits, counts)
    draws = {part: ratio_draws(values[part], one, explainable, total) for part, one in commonality(*drawn).items()}
    share = total / len(at_test.variance)
    return Partition(
        subject=task.subject,
        region=task.region,
        models=models,
        values=values,
        draws=draws,
        per_neuroid=commonality(*(one / share for one in explained)),
        alphas=tuple(fit.alpha for fit in fits),
        weight=fits[-1].weight,
        n_train=len(task.train_ids),
        n_test=n,
        n_groups=count_groups(task.test_ids, task.bootstrap_groups),
        n_neuroids=len(at_test.variance),
    )


def _draws(test: Responses, fits, counts: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Explained variance of each fit, and explainable variance, summed over neuroids; each of shape (draws,)."""
    step = max(1, BLOCK_BYTES // (8 * test.values.shape[1]))
    explained: list[list[np.ndarray]] = [[] for _ in fits]
    explainable = []
    for start in range(0, len(counts), step):
        block = counts[start : start + step]
        for kept, fit in zip(explained, fits, strict=True):
            r, variances = correlation_and_variance_draws(fit.prediction, test.values, block)
            kept.append(explained_part(r, variances, len(test.values)).sum(axis=1))
        mean_inverse = block @ (1.0 / test.n_repetitions) / block.sum(axis=1)
        explainable.append(variances.sum(axis=1) - mean_inverse * test.noise_variance.sum())
    return [np.concatenate(kept) for kept in explained], np.concatenate(explainable)


def commonality(a, b, both) -> dict:
    """By name of the part (:data:`PARTS`), from what each model and both together explain: numbers or arrays."""
    parts = (both, both - b, both - a, a + b - both, a, b)
    return dict(zip(PARTS, parts, strict=True))
