"""Metrics that compare a kernel with responses: ridge, RDM correlation, CKA.

A metric gets all tasks that share a kernel and a training set at once, so that what they have in common (an
eigendecomposition, the ranks of the model's RDM) is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from .statistics.ceilings import ExplainableVariance, NoiseCeiling
from .statistics.influence import Estimate, mean_estimate
from .statistics.normalizations import (
    NORMALIZATIONS,
    SIMILARITY_NORMALIZATIONS,
    Normalized,
    SumsOfDraws,
    ceiling_of,
    normalize_correlations,
    scaled_similarity,
)
from .statistics.rsa_ceilings import Halves, cka_reliability, nili_bounds, rdm_reliability, split_half_reliability
from .statistics.significance import p_values
from .tasks import SubjectResult, SubjectTask
from .wording import warn_once

Results = Iterator[tuple[SubjectTask, SubjectResult]]

FEWEST_FOR_RELIABILITY = 5
"""Stimuli with two or more trials; fewer have no unbiased CKA without one of them."""

DEFAULT_ALPHAS = tuple(10.0**exponent for exponent in range(-10, 11))
"""21 penalties from 1e-10 to 1e10: wide, because the trace of K grows with the width of the layer."""

RELATIVE = "relative"
"""Stands for :data:`RELATIVE_ALPHAS`."""

RELATIVE_ALPHAS = tuple(10.0 ** (half_decades / 2) for half_decades in range(-12, 13))
"""25 penalties from 1e-6 to 1e6, two per decade, in units of the mean eigenvalue of the centred training kernel."""


def is_grid(alphas) -> bool:
    """Whether ``alphas`` are :data:`RELATIVE`, or positive numbers, at least one."""
    if isinstance(alphas, str):
        return alphas == RELATIVE
    return len(alphas) > 0 and all(np.isfinite(a) and a > 0 for a in alphas)


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
    def of(cls, test_ids: tuple[str, ...], groups: tuple[str, ...] | None, n_draws: int) -> Resampled:
        n_groups = count_groups(test_ids, groups)
        if not has_groups(groups) or n_groups >= FEW_GROUPS:
            return cls(test_ids, groups, n_draws, resampled_counts(test_ids, n_draws, groups))
        kind = "group" if n_groups == 1 else "groups"
        of_groups = f"The {len(test_ids)} test images come in {n_groups} {kind} of similar ones"
        if n_groups < MIN_DISTINCT:
            note = f"{of_groups}: what other images would give cannot be told, so there is no interval and no p value."
            return cls(test_ids, groups, n_draws, None, (note,))
        note = f"{of_groups}: intervals, which draw whole groups, are too narrow, and p values too small."
        return cls(test_ids, groups, n_draws, resampled_counts(test_ids, n_draws, groups), (note,))

    def is_for(self, test_ids: tuple[str, ...], groups: tuple[str, ...] | None) -> bool:
        return (test_ids, groups) == (self.test_ids, self.groups)

    def draws(self, values: dict[str, np.ndarray], medians: np.ndarray | None = None) -> Draws:
        """Values of :attr:`counts`, with what makes them comparable to another model's."""
        digest = stimuli_digest(self.test_ids, self.n_draws, self.groups)
        return Draws(values, digest, count_groups(self.test_ids, self.groups), medians)


@dataclass(frozen=True)
class RidgeMetric:
    """Ridge regression from features to responses; correlation per neuroid on the test stimuli.

    Attributes
    ----------
    alphas : tuple of float or "relative"
        Penalties; with more than one, the leave-one-out error on the training stimuli chooses. "relative" are
        :data:`RELATIVE_ALPHAS`: with penalties as they are, the step from one to the next makes scores depend on the unit of
        the features; with these, features times any number have the same scores.
    bootstrap_draws : int
        Resamplings of the test stimuli behind each subject's interval.
    """

    alphas: tuple[float, ...] | str = DEFAULT_ALPHAS
    bootstrap_draws: int = N_DRAWS
    normalizations = NORMALIZATIONS

    def __post_init__(self):
        if not is_grid(self.alphas):
            raise StimulusKernelError(
                f"alphas are positive numbers, at least one, or {RELATIVE!r}; received {self.alphas!r}."
            )

    @property
    def is_relative(self) -> bool:
        """Whether penalties count mean eigenvalues of the centred training kernel."""
        return self.alphas == RELATIVE

    @property
    def grid(self) -> tuple[float, ...]:
        """The numbers between which the leave-one-out error chooses."""
        return RELATIVE_ALPHAS if self.is_relative else self.alphas

    def unit(self, decomposition: ridge.RidgeDecomposition) -> float:
        """What the numbers of :attr:`grid` count, for a training kernel: a penalty is a number times this."""
        return decomposition.mean_eigenvalue if self.is_relative else 1.0

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Any number will do."""

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel`` and their training stimuli."""
        train_ids = tasks[0].train_ids
        train_rows = kernel.positions(train_ids)
        decomposition = ridge.decompose(kernel.gram, train_rows, compute, kernel.n_features)
        unit = self.unit(decomposition)
        unresolved = self._unresolved(decomposition, kernel, train_rows)
        fitted: dict = {}
        resampled, edges = None, []
        for task in tasks:
            responses = task.load_responses()
            train, test = responses.select(train_ids), responses.select(task.test_ids)
            if task.load_responses not in fitted:  # tasks that differ in their test stimuli alone share a fit
                fitted.clear()
                coordinates, _ = decomposition.coordinates(train.values)
                selection = ridge.select_alpha(decomposition, coordinates, self.grid, unit)
                at_edge = self._at_edge(task, selection.alpha, unit)
                edges += at_edge
                fitted[task.load_responses] = selection, (*unresolved, *at_edge)
            selection, notes = fitted[task.load_responses]
            cross = kernel.block(task.test_ids, train_ids)
            prediction = ridge.predict(decomposition, cross, selection.dual_coefficients)
            correlations = pearson_per_neuroid(prediction, test.values, task.subject)
            if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
                resampled = Resampled.of(task.test_ids, task.bootstrap_groups, self.bootstrap_draws)
            draws, at_test = None, test.explainable()
            if resampled.counts is not None:
                sums = SumsOfDraws(correlations, test.noise_ceiling, at_test)
                values = ridge_draws(prediction, test.values, test.n_repetitions, sums, resampled.counts)
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
                    at_test=at_test,
                    correlations=correlations,
                    p_values=p_values(prediction, test.values, correlations, task.bootstrap_groups),
                    alpha=selection.alpha,
                    mean_eigenvalue=unit if self.is_relative else None,
                    draws=draws,
                    notes=(*notes, *resampled.notes, *poorly_known(task, at_test)),
                ),
            )
        if edges:  # the Scores have all of them
            warn_once(f"{edges[0]}{' The same holds for other subjects or regions.' if len(edges) > 1 else ''}")

    def _unresolved(self, decomposition, kernel: StimulusKernel, train_rows: np.ndarray) -> tuple[str, ...]:
        """A note if rounding hides features from the kernel that one of the penalties would let through."""
        if kernel.sketch is None:
            return ()
        lost = decomposition.lost_spread(kernel.sketch[train_rows], kernel.mean_norm)
        if lost <= min(self.grid) * self.unit(decomposition):
            return ()
        note = (
            f"Some features vary so much more than others that the others are lost in rounding: with an alpha below "
            f"{alpha_text(lost / self.unit(decomposition), self.is_relative, '.1g')} they would count, and do not count "
            f"here. Standardise the features (divide each by its standard deviation), or leave out those that vary most."
        )
        warn_once(note)
        return (note,)

    def _at_edge(self, task: SubjectTask, alpha: float, unit: float) -> tuple[str, ...]:
        """A note if a better penalty may lie beyond the grid."""
        edge = ridge.edge_of_grid(alpha, self.grid)
        if edge is None:
            return ()
        scale = {"smallest": "Multiply", "largest": "Divide"}[edge]
        remedy = f"{scale} all features by one number, or choose penalties that fit any unit (alphas='relative')."
        if self.is_relative:
            side = {"smallest": "below", "largest": "above"}[edge]
            remedy = f"To search there, give alphas of your own, {side} {alpha * unit:.2g} for these features."
        return (
            f"alpha of {task.subject} in {task.region} is {alpha_text(alpha, self.is_relative)}, the {edge} of its grid: a "
            f"better one may lie beyond. {remedy}",
        )

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order."""
        return [normalize_correlations(r.correlations, r.published_ceiling, r.at_test) for r in results]

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model."""
        tests = (task.load_responses().select(task.test_ids) for task in tasks)
        return [ceiling_of(test.noise_ceiling, test.explainable()) for test in tests]

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
    normalizations = SIMILARITY_NORMALIZATIONS

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Any number will do."""

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        resampled = None
        for task in tasks:
            if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
                resampled = Resampled.of(task.test_ids, task.bootstrap_groups, self.bootstrap_draws)
                ranks = similarity.rdm_ranks(kernel, task.test_ids)
                model_ranks, model_classes = similarity.unit_ranks(ranks), rank_classes(ranks)
            responses = task.load_responses().select(task.test_ids)
            ranks = similarity.response_ranks(responses.values)
            measured, draws = _measured_rdm(task, responses, ranks), None
            if resampled.counts is not None:
                raw_draws = rdm_draws(model_classes, rank_classes(ranks), resampled.counts)
                values = {"published": raw_draws / rdm_ceiling(responses.noise_ceiling)}
                if measured.reliability is not None:
                    values["reliability"] = raw_draws / measured.reliability.draws(resampled.counts)
                draws = resampled.draws(values)
            yield (
                task,
                replace(
                    _similarity_result(task, kernel, responses, float(model_ranks @ similarity.unit_ranks(ranks))),
                    draws=draws,
                    measured=measured,
                    notes=(*resampled.notes, *_unreliable(task, measured.reliability)),
                ),
            )

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order."""
        ceilings = (_with_reliability(rdm_ceiling(r.published_ceiling), r.measured.reliability) for r in results)
        return [
            {name: scaled_similarity(result.similarity, ceiling) for name, ceiling in of_subject.items()}
            for result, of_subject in zip(results, ceilings, strict=True)
        ]

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model."""
        found = []
        for task in tasks:
            responses = task.load_responses().select(task.test_ids)
            reliability = _reliability(rdm_reliability, task, _halves(task, responses))
            found.append(_with_reliability(rdm_ceiling(responses.noise_ceiling), reliability))
        return found

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
            ``nili_lower``, ``nili_upper`` (with two or more subjects that share their stimuli),
            ``split_half_reliability`` and ``reliability`` (with halves of the trials), per subject.
        """
        subjects, details = [task.subject for task in tasks], {}
        measured = list(map(_measured_rdm, tasks)) if measured is None else measured
        if len(tasks) > 1 and len({task.test_ids for task in tasks}) == 1:
            bounds = nili_bounds([one.ranks for one in measured])
            for name, values in zip(("nili_lower", "nili_upper"), bounds, strict=True):
                details[name] = dict(zip(subjects, values.tolist(), strict=True))
        if all(one.split_half is not None for one in measured):
            details["split_half_reliability"] = {s: one.split_half for s, one in zip(subjects, measured, strict=True)}
        return details | _reliability_details(subjects, measured)


@dataclass(frozen=True)
class CKAMetric:
    """Unbiased linear CKA (Kornblith et al. 2019; Song et al. 2012), divided by the agreement between subjects.

    The published ceiling of a subject is the mean CKA of its responses with those of each other subject: representations of
    different subjects have no common neuroids to average over, so that pairs are what there is.

    Attributes
    ----------
    bootstrap_draws : int
        Draws of the stimuli behind each subject's interval, to first order (:mod:`.statistics.influence`).
    """

    bootstrap_draws: int = N_DRAWS
    normalizations = SIMILARITY_NORMALIZATIONS

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Raise if there are too few to agree."""
        if len(subjects) < 2:
            raise ResponsesError(
                f"The ceiling of cka is the agreement between subjects and needs at least two of them; "
                f"received {list(subjects)}. Add a subject, or use rdm-pearson."
            )

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        resampled = None
        for task in tasks:
            if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
                resampled = Resampled.of(task.test_ids, task.bootstrap_groups, self.bootstrap_draws)
            responses = task.load_responses().select(task.test_ids)
            model, measured = kernel.block(task.test_ids, task.test_ids), _measured_cka(task, responses)
            result = _similarity_result(task, kernel, responses, similarity.unbiased_cka(model, measured.kernel))
            yield (
                task,
                replace(
                    result,
                    draws=None if resampled.counts is None else resampled.draws({}),
                    measured=replace(
                        measured, score=similarity.cka_estimate(model, measured.kernel), resampled=resampled
                    ),
                    notes=(*resampled.notes, *_unreliable(task, measured.reliability)),
                ),
            )

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order; with draws, because the published ceilings need all subjects."""
        normalized = []
        pairs = _agreement([result.measured.kernel for result in results])
        for result, own in zip(results, pairs, strict=True):
            measured, counts = result.measured, result.measured.resampled.counts
            ceilings = {"published": mean_estimate(list(own.values())), "reliability": measured.reliability}
            of_subject = {}
            for name, ceiling in ceilings.items():
                if ceiling is not None:
                    known = counts is not None and ceiling.value > 0
                    draws = measured.score.times(ceiling.to(-1)).draws(counts) if known else None
                    of_subject[name] = scaled_similarity(result.similarity, ceiling.value, draws)
            normalized.append(of_subject)
        return normalized

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model. The tasks share their stimuli."""
        self.check_subjects([task.subject for task in tasks])
        measured = [_measured_cka(task, task.load_responses().select(task.test_ids)) for task in tasks]
        pairs = _agreement([one.kernel for one in measured])
        return [
            _with_reliability(mean_estimate(list(own.values())).value, one.reliability)
            for own, one in zip(pairs, measured, strict=True)
        ]

    def ceiling_details(self, tasks: Sequence[SubjectTask], measured: Sequence | None = None) -> dict:
        """``agreement``: the CKA of each subject with each other one; ``reliability`` (with halves), per subject.

        Parameters
        ----------
        tasks : sequence of SubjectTask
        measured : sequence of MeasuredCKA, optional
            Of these tasks, in their order; made of all stimuli of the tasks if None.
        """
        if measured is None:
            measured = [_measured_cka(task, task.load_responses().select(task.test_ids)) for task in tasks]
        subjects = [task.subject for task in tasks]
        pairs = _agreement([one.kernel for one in measured])
        named = {
            s: {subjects[k]: pair.value for k, pair in own.items()} for s, own in zip(subjects, pairs, strict=True)
        }
        return {"agreement": named} | _reliability_details(subjects, measured)


def alpha_text(alpha: float, is_relative: bool, form: str = "g") -> str:
    """A penalty for people, with its unit."""
    return f"{alpha:{form}} × mean eigenvalue" if is_relative else f"{alpha:{form}}"


def poorly_known(task: SubjectTask, at_test: ExplainableVariance) -> tuple[str, ...]:
    """A note if the explainable variance of the test stimuli may be 0."""
    if at_test.is_known:
        return ()
    share, error = (100 * x / at_test.variance.sum() for x in (at_test.explainable.sum(), at_test.standard_error))
    so = "say little" if at_test.is_positive else "are not given"
    return (
        f"{task.subject} may have no explainable variance in {task.region} on the {at_test.n_stimuli} test stimuli: "
        f"{share:.1f} ± {error:.1f} % of the variance of averages. explained_variance and correlation {so} there.",
    )


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
    reliability : Estimate or None
        Correlation with the RDM of the true signal, where the trials come in halves that agree.
    """

    ranks: np.ndarray
    split_half: float | None
    reliability: Estimate | None


@dataclass(frozen=True)
class MeasuredCKA:
    """A subject's responses, as ceilings and intervals of CKA need them.

    Attributes
    ----------
    kernel : numpy.ndarray of float64, shape (n, n)
        Of the responses, centred.
    reliability : Estimate or None
        CKA with the true signal, where the trials come in halves that agree.
    score : Estimate or None
        CKA with the model.
    resampled : Resampled or None
        The stimuli that both are of, where there is a score.
    """

    kernel: np.ndarray
    reliability: Estimate | None
    score: Estimate | None = None
    resampled: Resampled | None = None


def _measured_rdm(
    task: SubjectTask, responses: Responses | None = None, ranks: np.ndarray | None = None
) -> MeasuredRDM:
    if responses is None:
        responses = task.load_responses().select(task.test_ids)
        ranks = similarity.response_ranks(responses.values)
    halves = _halves(task, responses)
    if halves is None:
        return MeasuredRDM(_compact(ranks), None, None)
    split_half = split_half_reliability(*(similarity.response_ranks(half) for half in (halves.first, halves.second)))
    return MeasuredRDM(_compact(ranks), split_half, _reliability(rdm_reliability, task, halves))


def _measured_cka(task: SubjectTask, responses: Responses) -> MeasuredCKA:
    reliability = _reliability(cka_reliability, task, _halves(task, responses))
    return MeasuredCKA(_response_kernel(responses), reliability)


def _compact(ranks: np.ndarray) -> np.ndarray:
    """Twice the ranks, whole numbers with mid-ranks too: one array per subject and cell is kept until a run is done."""
    return (2 * ranks).astype(np.int32)


def _halves(task: SubjectTask, responses: Responses) -> Halves | None:
    """Averages of the test stimuli with two or more trials, over all of them and over two halves; None of too few such."""
    if task.load_halves is None:
        return None
    first, second = task.load_halves(task.test_ids)
    if len(first.stimulus_ids) < FEWEST_FOR_RELIABILITY:
        return None
    averages = responses.select(first.stimulus_ids), first, second
    return Halves(first.stimulus_ids, *(one.values for one in averages), *(one.n_repetitions for one in averages))


def _reliability(estimate: Callable, task: SubjectTask, halves: Halves | None) -> Estimate | None:
    """``estimate(halves)``, as an estimate from all test stimuli of the task."""
    if halves is None:
        return None
    found = estimate(halves)
    position = {stimulus_id: i for i, stimulus_id in enumerate(task.test_ids)}
    rows = np.array([position[stimulus_id] for stimulus_id in halves.stimulus_ids])
    return None if found is None else found.among(rows, len(task.test_ids))


def _with_reliability(published: float, reliability: Estimate | None) -> dict[str, float]:
    return {"published": published} | ({} if reliability is None else {"reliability": reliability.value})


def _reliability_details(subjects: Sequence[str], measured: Sequence) -> dict[str, dict[str, float]]:
    if any(one.reliability is None for one in measured):
        return {}
    return {"reliability": {s: one.reliability.value for s, one in zip(subjects, measured, strict=True)}}


def _unreliable(task: SubjectTask, reliability: Estimate | None) -> tuple[str, ...]:
    """A note if there are halves of the trials, and they hardly agree."""
    if task.load_halves is None or (reliability is not None and reliability.is_known):
        return ()
    found, so = "too few repeated stimuli, or not above 0", "is not given"
    if reliability is not None:
        found, so = f"{reliability.value:.2f} ± {reliability.standard_error:.2f}", "says little"
    return (
        f"The reliability of {task.subject} in {task.region} on the {len(task.test_ids)} test stimuli is hardly known: "
        f"{found}. The normalization reliability {so} there.",
    )


def _response_kernel(responses: Responses) -> np.ndarray:
    values = responses.values.astype(float)
    values -= values.mean(axis=0)
    return values @ values.T


def _agreement(kernels: Sequence[np.ndarray]) -> list[dict[int, Estimate]]:
    """For each kernel, by the number of the other one: their CKA."""
    pairs: list[dict[int, Estimate]] = [{} for _ in kernels]
    for i in range(len(kernels)):
        for j in range(i):
            pairs[i][j] = pairs[j][i] = similarity.cka_estimate(kernels[i], kernels[j])
    return [dict(sorted(own.items())) for own in pairs]


def _similarity_result(task, kernel, responses, value: float) -> SubjectResult:
    return SubjectResult(
        subject=task.subject,
        n_train=0,
        n_test=len(task.test_ids),
        n_features=kernel.n_features,
        neuroids=responses.neuroids,
        published_ceiling=responses.noise_ceiling,
        similarity=value,
    )
