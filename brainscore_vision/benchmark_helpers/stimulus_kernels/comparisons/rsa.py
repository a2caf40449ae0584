"""Comparisons of representations as wholes, without a fit: correlation of RDMs, and centred kernel alignment (CKA).

Both are divided by what the responses allow: by bounds from other subjects, or by the reliability of the responses, from
halves of their trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ResponsesError
from ..kernels.compute import Compute
from ..kernels.kernel import StimulusKernel
from ..parallel import ordered_map
from ..statistics import similarity
from ..statistics.bootstrap import N_DRAWS, Resampled, check_draws, rank_classes, rdm_draws
from ..statistics.ceilings import (
    SIMILARITY_NORMALIZATIONS,
    STANDARD_ERRORS,
    NoiseCeiling,
    Normalized,
    scaled_similarity,
)
from ..statistics.rsa_ceilings import Halves, cka_reliability, nili_bounds, rdm_reliability, split_half_reliability
from ..statistics.similarity import Estimate, mean_estimate
from ..tasks import Responses, Results, SubjectResult, SubjectTask
from ..wording import warn_of_model

FEWEST_FOR_RELIABILITY = 5
"""Stimuli with two or more trials; fewer have no unbiased CKA without one of them."""


def averaged_halves(task: SubjectTask, responses: Responses) -> Halves | None:
    """Averages of the test stimuli with two or more trials, over all of them and over two halves; None of too few such."""
    halves = task.halves(responses)
    if halves is None or len(halves[0].stimulus_ids) < FEWEST_FOR_RELIABILITY:
        return None
    first, second = halves
    averages = responses.select(first.stimulus_ids), first, second
    return Halves(first.stimulus_ids, *(one.values for one in averages), *(one.n_repetitions for one in averages))


def reliability_of(estimate: Callable, task: SubjectTask, halves: Halves | None) -> Estimate | None:
    """``estimate(halves)``, as an estimate from all test stimuli of the task."""
    if halves is None:
        return None
    found = estimate(halves)
    position = {stimulus_id: i for i, stimulus_id in enumerate(task.test_ids)}
    rows = np.array([position[stimulus_id] for stimulus_id in halves.stimulus_ids])
    return None if found is None else found.among(rows, len(task.test_ids))


def with_reliability(published: float, reliability: Estimate | None) -> dict[str, float]:
    return {"published": published} | ({} if reliability is None else {"reliability": reliability.value})


def reliability_details(subjects: Sequence[str], measured: Sequence) -> dict[str, dict[str, float]]:
    if any(one.reliability is None for one in measured):
        return {}
    return {"reliability": {s: one.reliability.value for s, one in zip(subjects, measured, strict=True)}}


def unreliable(task: SubjectTask, reliability: Estimate | None, n_halved: int) -> tuple[str, ...]:
    """A note if there are halves of the trials, and they hardly agree, or are of ``n_halved`` of the test stimuli alone."""
    if task.load_halves is None:
        return ()
    if reliability is not None and reliability.is_known:
        n_single = len(task.test_ids) - n_halved
        if not n_single:
            return ()
        return (
            f"{n_single} of {len(task.test_ids)} test stimuli of {task.subject} have no two halves of trials: they count in "
            f"the score in {task.region} and not in its reliability, which they would lower. So the normalization reliability "
            f"is too low there; leave them out of the test to mend it.",
        )
    found, so = "too few repeated stimuli, or not above 0", "is not given"
    if reliability is not None:
        found, so = f"{reliability.value:.2f} ± {reliability.standard_error:.2f}", "says little"
    return (
        f"The reliability of {task.subject} in {task.region} on the {len(task.test_ids)} test stimuli is hardly known: "
        f"{found}. The normalization reliability {so} there.",
    )


def similarity_result(task, kernel, responses, value: float) -> SubjectResult:
    return SubjectResult(
        subject=task.subject,
        region=task.region,
        n_train=0,
        n_test=len(task.test_ids),
        n_features=kernel.n_features,
        neuroids=responses.neuroids,
        published_ceiling=responses.noise_ceiling,
        similarity=value,
        responses_sketch=responses.sketch(),
    )


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

    def __post_init__(self):
        check_draws(self.bootstrap_draws)

    def check_tasks(self, tasks: Sequence[SubjectTask]) -> None:
        """Any number will do."""

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        yield from ordered_map(_result, self._read(kernel, tasks), compute.beside)

    def _read(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask]) -> Iterator[_Compared]:
        resampled = None
        for task in tasks:
            if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
                resampled = Resampled.of(task.test_ids, task.bootstrap_groups, self.bootstrap_draws)
                dissimilarities = similarity.pearson_dissimilarities(kernel, task.test_ids)
                ranks, lost = similarity.tied_ranks(*dissimilarities), similarity.lost_in_rounding(*dissimilarities)
                for note in lost:
                    warn_of_model("rounding of RDMs", note)
                of_model = similarity.unit_ranks(ranks), rank_classes(ranks)
            responses = task.load_responses().select(task.test_ids)
            halves = averaged_halves(task, responses)  # read here: files are not for several threads at once
            yield _Compared(task, kernel, responses, halves, *of_model, resampled, lost)

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order."""
        normalized = []
        for result in results:
            ceilings = with_reliability(rdm_ceiling(result.published_ceiling), result.measured.reliability)
            normalized.append({n: scaled_similarity(result.similarity, c) for n, c in ceilings.items() if c > 0})
            if not normalized[-1]:
                raise ResponsesError(
                    f"A score of RDMs is divided by the mean √NC of neuroids, which is 0 for {result.subject}: none of its "
                    f"neuroids has a noise ceiling above 0. Check noise_ceiling, or give halves of the trials and choose the "
                    f"normalization reliability."
                )
        return normalized

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model."""
        found = []
        for task in tasks:
            responses = task.load_responses().select(task.test_ids)
            reliability = reliability_of(rdm_reliability, task, averaged_halves(task, responses))
            found.append(with_reliability(rdm_ceiling(responses.noise_ceiling), reliability))
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
        measured = list(map(_measured, tasks)) if measured is None else measured
        if len(tasks) > 1 and _unlike_the_first(tasks) is None:
            bounds = nili_bounds([one.ranks for one in measured])
            for name, values in zip(("nili_lower", "nili_upper"), bounds, strict=True):
                details[name] = dict(zip(subjects, values.tolist(), strict=True))
        if all(one.split_half is not None for one in measured):
            details["split_half_reliability"] = {s: one.split_half for s, one in zip(subjects, measured, strict=True)}
        return details | reliability_details(subjects, measured)


def _unlike_the_first(tasks: Sequence[SubjectTask]) -> SubjectTask | None:
    """A task that is tested on other stimuli than the first, or on other images that are called alike."""
    first = tasks[0]
    for task in tasks[1:]:
        if task.test_ids != first.test_ids or not task.pool.shows_as(first.pool, task.test_ids):
            return task
    return None


@dataclass(frozen=True)
class _Compared:
    """Two RDMs to compare: the model's, as ranks of length one and as classes, and that of responses."""

    task: SubjectTask
    kernel: StimulusKernel
    responses: Responses
    halves: Halves | None
    model_ranks: np.ndarray
    model_classes: np.ndarray
    resampled: Resampled
    notes: tuple[str, ...]


def _result(one: _Compared) -> tuple[SubjectTask, SubjectResult]:
    ranks, counts = _ranks(one.task, one.responses), one.resampled.counts
    measured, draws = _measured_rdm(one.task, ranks, one.halves), None
    if counts is not None:
        raw_draws = rdm_draws(one.model_classes, rank_classes(ranks), counts)
        ceiling = rdm_ceiling(one.responses.noise_ceiling)
        values = {"published": raw_draws / ceiling} if ceiling > 0 else {}
        if measured.reliability is not None:
            values["reliability"] = raw_draws / measured.reliability.draws(counts)
        draws = one.resampled.draws(values)
    raw = float(one.model_ranks @ similarity.unit_ranks(ranks))
    return one.task, replace(
        similarity_result(one.task, one.kernel, one.responses, raw),
        draws=draws,
        measured=measured,
        notes=(
            *one.notes,
            *one.resampled.notes,
            *unreliable(one.task, measured.reliability, 0 if one.halves is None else len(one.halves.stimulus_ids)),
        ),
    )


def _ranks(task: SubjectTask, responses: Responses) -> np.ndarray:
    """Ranks of the RDM of responses; ResponsesError if a stimulus has the same response in all neuroids."""
    constant = np.flatnonzero(np.ptp(responses.values, axis=1) == 0)
    if len(constant):
        raise ResponsesError(
            f"An RDM of responses compares patterns over neuroids; {task.subject} has the same response in all neuroids of "
            f"{task.region} to {len(constant)} of {len(responses.values)} stimuli, the first: "
            f"{str(responses.stimulus_ids[constant[0]])!r}. Leave these stimuli out of the test."
        )
    return similarity.response_ranks(responses.values)


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


def _measured(task: SubjectTask) -> MeasuredRDM:
    responses = task.load_responses().select(task.test_ids)
    return _measured_rdm(task, _ranks(task, responses), averaged_halves(task, responses))


def _measured_rdm(task: SubjectTask, ranks: np.ndarray, halves: Halves | None) -> MeasuredRDM:
    if halves is None:
        return MeasuredRDM(_compact(ranks), None, None)
    split_half = split_half_reliability(*(similarity.response_ranks(half) for half in (halves.first, halves.second)))
    return MeasuredRDM(_compact(ranks), split_half, reliability_of(rdm_reliability, task, halves))


def _compact(ranks: np.ndarray) -> np.ndarray:
    """Twice the ranks, whole numbers with mid-ranks too: one array per subject and cell is kept until a run is done."""
    return (2 * ranks).astype(np.int32)


@dataclass(frozen=True)
class CKAMetric:
    """Unbiased linear CKA (Kornblith et al. 2019; Song et al. 2012), divided by the agreement between subjects.

    The published ceiling of a subject is the mean CKA of its responses with those of each other subject: representations of
    different subjects have no common neuroids to average over, so that pairs are what there is. All subjects have the same
    ``test_ids``.

    Attributes
    ----------
    bootstrap_draws : int
        Draws of the stimuli behind each subject's interval, to first order (:mod:`..statistics.similarity`).
    """

    bootstrap_draws: int = N_DRAWS
    normalizations = SIMILARITY_NORMALIZATIONS

    def __post_init__(self):
        check_draws(self.bootstrap_draws)

    def check_tasks(self, tasks: Sequence[SubjectTask]) -> None:
        """Raise if there are too few subjects to agree, or if they have no common stimuli to agree on."""
        if len(tasks) < 2:
            raise ResponsesError(
                f"The ceiling of cka is the agreement between subjects and needs at least two of them; "
                f"received {[task.subject for task in tasks]}. Add a subject, or use rdm-pearson."
            )
        first, other = tasks[0], _unlike_the_first(tasks)
        if other is not None:
            how = (
                "other images of the same names"
                if other.test_ids == first.test_ids
                else "other ones, or in another order"
            )
            raise ResponsesError(
                f"The ceiling of cka is the agreement between subjects on the same stimuli, in one order; the "
                f"{len(first.test_ids)} of {first.subject} and {len(other.test_ids)} of {other.subject} are {how}. Give all "
                f"subjects one list, or use rdm-pearson."
            )

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        resampled = None
        for task in tasks:
            if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
                resampled = Resampled.of(task.test_ids, task.bootstrap_groups, self.bootstrap_draws)
            responses = task.load_responses().select(task.test_ids)
            model, measured = kernel.block(task.test_ids, task.test_ids), _measured_cka(task, responses)
            result = similarity_result(task, kernel, responses, similarity.unbiased_cka(model, measured.kernel))
            yield (
                task,
                replace(
                    result,
                    draws=None if resampled.counts is None else resampled.draws({}),
                    measured=replace(
                        measured, score=similarity.cka_estimate(model, measured.kernel), resampled=resampled
                    ),
                    notes=(*resampled.notes, *unreliable(task, measured.reliability, measured.n_halved)),
                ),
            )

    def normalize(self, results: Sequence[SubjectResult]) -> list[dict[str, Normalized]]:
        """Each subject's numbers by normalisation, in order; with draws, because the published ceilings need all subjects."""
        normalized = []
        pairs = _agreement([result.measured.kernel for result in results])
        for result, own in zip(results, pairs, strict=True):
            measured, counts = result.measured, result.measured.resampled.counts
            agreement = mean_estimate(list(own.values()))
            ceilings = {"published": agreement, "reliability": measured.reliability}
            of_subject = {}
            for name, ceiling in ceilings.items():
                if ceiling is not None and ceiling.value > 0:
                    draws = None if counts is None else measured.score.times(ceiling.to(-1)).draws(counts)
                    of_subject[name] = scaled_similarity(result.similarity, ceiling.value, draws)
            if "published" in of_subject and not agreement.is_known:
                note = (
                    f"The agreement of {result.subject} with the others in {result.region} on {result.n_test} stimuli, by "
                    f"which the score is divided, may be 0 (it is no more than {STANDARD_ERRORS:g} standard errors above): "
                    f"published says little there. Take more stimuli, or give halves of the trials and choose the "
                    f"normalization reliability."
                )
                of_subject["published"] = replace(of_subject["published"], notes=(note,))
            if not of_subject:
                raise ResponsesError(
                    f"A score of cka is divided by the subjects' agreement, which is {agreement.value:.2g} for "
                    f"{result.subject}: the responses do not agree with those of the others. Check that all subjects' rows are "
                    f"the same stimuli, take more of them, or use rdm-pearson."
                )
            normalized.append(of_subject)
        return normalized

    def ceilings(self, tasks: Sequence[SubjectTask]) -> list[dict[str, float]]:
        """Each subject's ceiling by normalisation, in order; needs no model."""
        self.check_tasks(tasks)
        measured = [_measured_cka(task, task.load_responses().select(task.test_ids)) for task in tasks]
        pairs = _agreement([one.kernel for one in measured])
        return [
            with_reliability(mean_estimate(list(own.values())).value, one.reliability)
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
        return {"agreement": named} | reliability_details(subjects, measured)


@dataclass(frozen=True)
class MeasuredCKA:
    """A subject's responses, as ceilings and intervals of CKA need them.

    Attributes
    ----------
    kernel : numpy.ndarray of float64, shape (n, n)
        Of the responses, centred.
    reliability : Estimate or None
        CKA with the true signal, where the trials come in halves that agree.
    n_halved : int
        Stimuli that the reliability is of.
    score : Estimate or None
        CKA with the model.
    resampled : Resampled or None
        The stimuli that both are of, where there is a score.
    """

    kernel: np.ndarray
    reliability: Estimate | None
    n_halved: int
    score: Estimate | None = None
    resampled: Resampled | None = None


def _measured_cka(task: SubjectTask, responses: Responses) -> MeasuredCKA:
    halves = averaged_halves(task, responses)
    n_halved = 0 if halves is None else len(halves.stimulus_ids)
    return MeasuredCKA(_response_kernel(responses), reliability_of(cka_reliability, task, halves), n_halved)


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
