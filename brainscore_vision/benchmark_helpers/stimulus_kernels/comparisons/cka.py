"""Centred kernel alignment (CKA) of a kernel and of responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ResponsesError
from ..kernels.compute import Compute
from ..kernels.kernel import StimulusKernel
from ..responses import Responses
from ..statistics import similarity
from ..statistics.bootstrap import N_DRAWS
from ..statistics.influence import Estimate, mean_estimate
from ..statistics.normalizations import SIMILARITY_NORMALIZATIONS, Normalized, scaled_similarity
from ..statistics.rsa_ceilings import cka_reliability
from ..tasks import Results, SubjectResult, SubjectTask
from .halves import (
    averaged_halves,
    reliability_details,
    reliability_of,
    similarity_result,
    unreliable,
    with_reliability,
)
from .resampled import Resampled, check_draws


@dataclass(frozen=True)
class CKAMetric:
    """Unbiased linear CKA (Kornblith et al. 2019; Song et al. 2012), divided by the agreement between subjects.

    The published ceiling of a subject is the mean CKA of its responses with those of each other subject: representations of
    different subjects have no common neuroids to average over, so that pairs are what there is. All subjects have the same
    ``test_ids``.

    Attributes
    ----------
    bootstrap_draws : int
        Draws of the stimuli behind each subject's interval, to first order (:mod:`..statistics.influence`).
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
        first = tasks[0]
        other = next((task for task in tasks if task.test_ids != first.test_ids), None)
        if other is not None:
            raise ResponsesError(
                f"The ceiling of cka is the agreement between subjects on the same stimuli, in one order; the "
                f"{len(first.test_ids)} of {first.subject} and {len(other.test_ids)} of {other.subject} are other ones, or in "
                f"another order. Give all subjects one list, or use rdm-pearson."
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
                    notes=(*resampled.notes, *unreliable(task, measured.reliability)),
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
    score : Estimate or None
        CKA with the model.
    resampled : Resampled or None
        The stimuli that both are of, where there is a score.
    """

    kernel: np.ndarray
    reliability: Estimate | None
    score: Estimate | None = None
    resampled: Resampled | None = None


def _measured_cka(task: SubjectTask, responses: Responses) -> MeasuredCKA:
    reliability = reliability_of(cka_reliability, task, averaged_halves(task, responses))
    return MeasuredCKA(_response_kernel(responses), reliability)


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
