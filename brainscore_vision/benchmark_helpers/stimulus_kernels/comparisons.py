"""Metrics that compare a kernel with responses: ridge, RDM correlation, CKA.

A metric gets all tasks that share a kernel and a training set at once, so that what they have in common (an
eigendecomposition, the ranks of the model's RDM) is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .errors import ResponsesError, StimulusKernelError
from .kernels.compute import Compute
from .kernels.kernel import StimulusKernel
from .responses import Responses, pearson_per_neuroid
from .ridge import fit as ridge
from .statistics import similarity
from .statistics.bootstrap import (
    FEW_GROUPS,
    MIN_DISTINCT,
    N_DRAWS,
    Draws,
    count_groups,
    has_groups,
    median_draws,
    rank_classes,
    rdm_draws,
    resampled_counts,
    ridge_draws,
    stimuli_digest,
)
from .statistics.ceilings import NoiseCeiling
from .statistics.normalizations import NORMALIZATIONS, Normalized, ceiling_of, normalize_correlations, scaled_similarity
from .statistics.rsa_ceilings import nili_bounds, split_half_reliability
from .statistics.significance import p_values
from .tasks import SubjectResult, SubjectTask
from .wording import warn_once

Results = Iterator[tuple[SubjectTask, SubjectResult]]

DEFAULT_ALPHAS = tuple(10.0**exponent for exponent in range(-10, 11))
"""21 penalties from 1e-10 to 1e10: wide, because the trace of K grows with the width of the layer."""


@dataclass(frozen=True)
class Resampled:
    """The test stimuli of a task, resampled.

    Attributes
    ----------
    test_ids : tuple of str
    groups : tuple of str or None
    n_draws : int
    counts : numpy.ndarray of float64, shape (draws, stimuli), or None
        None if there are too few groups to draw from.
    notes : tuple of str
        What a reader of an interval should know of its groups.
    """

    test_ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    n_draws: int
    counts: np.ndarray | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: SubjectTask, n_draws: int) -> Resampled:
        groups, stimuli = task.bootstrap_groups, len(task.test_ids)
        n_groups = count_groups(task.test_ids, groups)
        if not has_groups(groups) or n_groups >= FEW_GROUPS:
            return cls(task.test_ids, groups, n_draws, resampled_counts(task.test_ids, n_draws, groups))
        of_groups = (
            f"The {stimuli} test images come in {n_groups} {'group' if n_groups == 1 else 'groups'} of similar ones"
        )
        if n_groups < MIN_DISTINCT:
            note = f"{of_groups}: what other images would give cannot be told, so there is no interval and no p value."
            return cls(task.test_ids, groups, n_draws, None, (note,))
        note = f"{of_groups}: its intervals and p values, which draw whole groups, are rough."
        return cls(task.test_ids, groups, n_draws, resampled_counts(task.test_ids, n_draws, groups), (note,))

    def is_for(self, task: SubjectTask) -> bool:
        return (task.test_ids, task.bootstrap_groups) == (self.test_ids, self.groups)

    def draws(self, values: dict[str, np.ndarray], medians: np.ndarray | None = None) -> Draws:
        """Values of :attr:`counts`, with what makes them comparable to another model's."""
        digest = stimuli_digest(self.test_ids, self.n_draws, self.groups)
        return Draws(values, digest, count_groups(self.test_ids, self.groups), medians)


@dataclass(frozen=True)
class RidgeMetric:
    """Ridge regression from features to responses; correlation per neuroid on the test stimuli.

    Attributes
    ----------
    alphas : tuple of float
        Penalties; with more than one, the leave-one-out error on the training stimuli chooses.
    bootstrap_draws : int
        Resamplings of the test stimuli behind each subject's interval.
    """

    alphas: tuple[float, ...] = DEFAULT_ALPHAS
    bootstrap_draws: int = N_DRAWS
    normalizations = NORMALIZATIONS

    def __post_init__(self):
        if not self.alphas or not all(np.isfinite(a) and a > 0 for a in self.alphas):
            raise StimulusKernelError(f"alphas are positive numbers, at least one; received {self.alphas!r}.")

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Any number will do."""

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel`` and their training stimuli."""
        train_ids = tasks[0].train_ids
        train_rows = kernel.positions(train_ids)
        decomposition = ridge.decompose(kernel.gram, train_rows, compute, kernel.n_features)
        unresolved = self._unresolved(decomposition, kernel, train_rows)
        fitted: dict = {}
        resampled, edges = None, []
        for task in tasks:
            responses = task.load_responses()
            train, test = responses.select(train_ids), responses.select(task.test_ids)
            if task.load_responses not in fitted:  # tasks that differ in their test stimuli alone share a fit
                fitted.clear()
                coordinates, _ = decomposition.coordinates(train.values)
                selection = ridge.select_alpha(decomposition, coordinates, self.alphas)
                at_edge = self._at_edge(task, selection.alpha)
                edges += at_edge
                fitted[task.load_responses] = selection, (*unresolved, *at_edge)
            selection, notes = fitted[task.load_responses]
            cross = kernel.block(task.test_ids, train_ids)
            prediction = ridge.predict(decomposition, cross, selection.dual_coefficients)
            correlations = pearson_per_neuroid(prediction, test.values, task.subject)
            if resampled is None or not resampled.is_for(task):
                resampled = Resampled.of(task, self.bootstrap_draws)
            draws = None
            if resampled.counts is not None:
                values = ridge_draws(prediction, test.values, test.n_repetitions, test.noise_ceiling, resampled.counts)
                medians = median_draws(prediction, test.values, correlations, resampled.counts, task.bootstrap_groups)
                draws = resampled.draws(values, medians)
            yield (
                task,
                SubjectResult(
                    subject=task.subject,
                    n_train=len(train_ids),
                    n_test=len(task.test_ids),
                    n_features=kernel.n_features,
                    neuroids=test.neuroids,
                    published_ceiling=test.noise_ceiling,
                    test_ceiling=test.test_ceiling(),
                    correlations=correlations,
                    p_values=p_values(prediction, test.values, correlations, task.bootstrap_groups),
                    alpha=selection.alpha,
                    draws=draws,
                    notes=(*notes, *resampled.notes),
                ),
            )
        if edges:  # the Scores have all of them
            warn_once(f"{edges[0]}{' The same holds for other subjects or regions.' if len(edges) > 1 else ''}")

    def _unresolved(self, decomposition, kernel: StimulusKernel, train_rows: np.ndarray) -> tuple[str, ...]:
        """A note if rounding hides features from the kernel that one of the penalties would let through."""
        if kernel.sketch is None:
            return ()
        lost = decomposition.lost_spread(kernel.sketch[train_rows], kernel.mean_norm)
        if lost <= min(self.alphas):
            return ()
        note = (
            f"Some features vary so much more than others that the others are lost in rounding: with an alpha below "
            f"{lost:.1g} they would count, and do not count here. Standardise the features (divide each by its standard "
            f"deviation), or leave out those that vary most."
        )
        warn_once(note)
        return (note,)

    def _at_edge(self, task: SubjectTask, alpha: float) -> tuple[str, ...]:
        """A note if a better penalty may lie beyond the grid."""
        edge = ridge.edge_of_grid(alpha, self.alphas)
        if edge is None:
            return ()
        scale = {"smallest": "Multiply", "largest": "Divide"}[edge]
        return (
            f"alpha of {task.subject} in {task.region} is {alpha:g}, the {edge} of its grid: a better one may lie beyond. "
            f"{scale} all features by one number, or widen the grid (alphas).",
        )

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order."""
        return [normalize_correlations(r.correlations, r.published_ceiling, r.test_ceiling) for r in results]

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model."""
        tests = (task.load_responses().select(task.test_ids) for task in tasks)
        return [ceiling_of(test.noise_ceiling, test.test_ceiling()) for test in tests]

    def ceiling_details(self, tasks: Sequence[SubjectTask], measured: Sequence | None = None) -> dict:
        """Nothing beside the ceilings."""
        return {}


@dataclass(frozen=True)
class RDMMetric:
    """Spearman correlation of the upper triangles of the two Pearson RDMs (Kriegeskorte et al. 2008).

    Attributes
    ----------
    bootstrap_draws : int
        Resamplings of the stimuli behind each subject's interval.
    """

    bootstrap_draws: int = N_DRAWS
    normalizations = ("published",)

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Any number will do."""

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        resampled = None
        for task in tasks:
            if resampled is None or not resampled.is_for(task):
                resampled = Resampled.of(task, self.bootstrap_draws)
                ranks = similarity.rdm_ranks(kernel, task.test_ids)
                model_ranks, model_classes = similarity.unit_ranks(ranks), rank_classes(ranks)
            responses = task.load_responses().select(task.test_ids)
            ranks = similarity.response_ranks(responses.values)
            draws = None
            if resampled.counts is not None:
                values = rdm_draws(model_classes, rank_classes(ranks), resampled.counts)
                draws = resampled.draws({"published": values / rdm_ceiling(responses.noise_ceiling)})
            yield (
                task,
                replace(
                    _similarity_result(task, kernel, responses, float(model_ranks @ similarity.unit_ranks(ranks))),
                    draws=draws,
                    notes=resampled.notes,
                    measured=MeasuredRDM(_compact(ranks), _split_half(task)),
                ),
            )

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order."""
        return [{"published": scaled_similarity(r.similarity, rdm_ceiling(r.published_ceiling))} for r in results]

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model."""
        return [{"published": rdm_ceiling(task.load_responses().noise_ceiling)} for task in tasks]

    def ceiling_details(self, tasks: Sequence[SubjectTask], measured: Sequence | None = None) -> dict:
        """What else is known about how well RDMs could be predicted; needs no model.

        Parameters
        ----------
        tasks : sequence of SubjectTask
        measured : sequence of MeasuredRDM, optional
            Of these tasks, in their order, over the stimuli that were scored; made of all stimuli of the tasks if None.

        Returns
        -------
        dict of str to dict of str to float
            ``nili_lower``, ``nili_upper`` (with two or more subjects that share their stimuli) and
            ``split_half_reliability`` (with halves of the trials), per subject.
        """
        subjects, details = [task.subject for task in tasks], {}
        measured = list(map(_measured_rdm, tasks)) if measured is None else measured
        if len(tasks) > 1 and len({task.test_ids for task in tasks}) == 1:
            bounds = nili_bounds([one.ranks for one in measured])
            for name, values in zip(("nili_lower", "nili_upper"), bounds, strict=True):
                details[name] = dict(zip(subjects, values.tolist(), strict=True))
        if all(one.split_half is not None for one in measured):
            details["split_half_reliability"] = {s: one.split_half for s, one in zip(subjects, measured, strict=True)}
        return details


@dataclass(frozen=True)
class CKAMetric:
    """Unbiased linear CKA (Kornblith et al. 2019; Song et al. 2012), divided by the agreement between subjects.

    The ceiling of a subject is the mean CKA of its responses with those of each other subject: representations of
    different subjects have no common neuroids to average over, so that pairs are what there is.
    """

    normalizations = ("published",)

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Raise if there are too few to agree."""
        if len(subjects) < 2:
            raise ResponsesError(
                f"The ceiling of cka is the agreement between subjects and needs at least two of them; "
                f"received {list(subjects)}. Add a subject, or use rdm-pearson."
            )

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        for task in tasks:
            responses = task.load_responses().select(task.test_ids)
            model, measured = kernel.block(task.test_ids, task.test_ids), _response_kernel(responses)
            result = _similarity_result(task, kernel, responses, similarity.unbiased_cka(model, measured))
            yield task, replace(result, measured=measured)

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order."""
        ceilings = _agreement([result.measured for result in results])
        return [
            {"published": scaled_similarity(result.similarity, ceiling)}
            for result, ceiling in zip(results, ceilings, strict=True)
        ]

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model. The tasks share their stimuli."""
        self.check_subjects([task.subject for task in tasks])
        kernels = [_response_kernel(task.load_responses().select(task.test_ids)) for task in tasks]
        return [{"published": ceiling} for ceiling in _agreement(kernels)]

    def ceiling_details(self, tasks: Sequence[SubjectTask], measured: Sequence | None = None) -> dict:
        """Nothing beside the ceilings."""
        return {}


def rdm_ceiling(published: NoiseCeiling) -> float:
    """Mean over neuroids of √NC at the published repetitions: the ceiling of the published RDM scores."""
    return float(np.sqrt(published.fraction).mean())


@dataclass(frozen=True)
class MeasuredRDM:
    """A subject's RDM, as ceilings need it.

    Attributes
    ----------
    ranks : numpy.ndarray of int32, shape (pairs,)
        Twice the ranks of the upper triangle.
    split_half : float or None
        Reliability, where the trials come in halves.
    """

    ranks: np.ndarray
    split_half: float | None


def _measured_rdm(task: SubjectTask) -> MeasuredRDM:
    ranks = similarity.response_ranks(task.load_responses().select(task.test_ids).values)
    return MeasuredRDM(_compact(ranks), _split_half(task))


def _compact(ranks: np.ndarray) -> np.ndarray:
    """Twice the ranks, whole numbers with mid-ranks too: one array per subject and cell is kept until a run is done."""
    return (2 * ranks).astype(np.int32)


def _split_half(task: SubjectTask) -> float | None:
    if task.load_halves is None:
        return None
    return split_half_reliability(*(similarity.response_ranks(half.values) for half in task.load_halves(task.test_ids)))


def _response_kernel(responses: Responses) -> np.ndarray:
    values = responses.values.astype(float)
    values -= values.mean(axis=0)
    return values @ values.T


def _agreement(kernels: Sequence[np.ndarray]) -> list[float]:
    """Mean CKA of each subject's kernel with those of the others."""
    agreement = np.zeros((len(kernels), len(kernels)))
    for i in range(len(kernels)):
        for j in range(i):
            agreement[i, j] = agreement[j, i] = similarity.unbiased_cka(kernels[i], kernels[j])
    return [float(row.sum() / (len(kernels) - 1)) for row in agreement]


def _similarity_result(task, kernel, responses, value: float) -> SubjectResult:
    return SubjectResult(
        subject=task.subject,
        n_train=0,
        n_test=len(task.test_ids),
        n_features=kernel.n_features,
        neuroids=responses.neuroids,
        published_ceiling=responses.noise_ceiling,
        test_ceiling=responses.test_ceiling(),
        similarity=value,
    )
