"""Correlation of the representational dissimilarity matrices (RDMs) of a kernel and of responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..kernels.compute import Compute
from ..kernels.kernel import StimulusKernel
from ..parallel import ordered_map
from ..responses import Responses
from ..statistics import similarity
from ..statistics.bootstrap import N_DRAWS, rank_classes, rdm_draws
from ..statistics.ceilings import NoiseCeiling
from ..statistics.influence import Estimate
from ..statistics.normalizations import SIMILARITY_NORMALIZATIONS, Normalized, scaled_similarity
from ..statistics.rsa_ceilings import Halves, nili_bounds, rdm_reliability, split_half_reliability
from ..tasks import Results, SubjectResult, SubjectTask
from ..wording import warn_of_model
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
        ceilings = (with_reliability(rdm_ceiling(r.published_ceiling), r.measured.reliability) for r in results)
        return [
            {name: scaled_similarity(result.similarity, ceiling) for name, ceiling in of_subject.items()}
            for result, of_subject in zip(results, ceilings, strict=True)
        ]

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
        if len(tasks) > 1 and len({task.test_ids for task in tasks}) == 1:
            bounds = nili_bounds([one.ranks for one in measured])
            for name, values in zip(("nili_lower", "nili_upper"), bounds, strict=True):
                details[name] = dict(zip(subjects, values.tolist(), strict=True))
        if all(one.split_half is not None for one in measured):
            details["split_half_reliability"] = {s: one.split_half for s, one in zip(subjects, measured, strict=True)}
        return details | reliability_details(subjects, measured)


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
    ranks, counts = similarity.response_ranks(one.responses.values), one.resampled.counts
    measured, draws = _measured_rdm(one.task, ranks, one.halves), None
    if counts is not None:
        raw_draws = rdm_draws(one.model_classes, rank_classes(ranks), counts)
        values = {"published": raw_draws / rdm_ceiling(one.responses.noise_ceiling)}
        if measured.reliability is not None:
            values["reliability"] = raw_draws / measured.reliability.draws(counts)
        draws = one.resampled.draws(values)
    raw = float(one.model_ranks @ similarity.unit_ranks(ranks))
    return one.task, replace(
        similarity_result(one.task, one.kernel, one.responses, raw),
        draws=draws,
        measured=measured,
        notes=(*one.notes, *one.resampled.notes, *unreliable(one.task, measured.reliability)),
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


def _measured(task: SubjectTask) -> MeasuredRDM:
    responses = task.load_responses().select(task.test_ids)
    return _measured_rdm(task, similarity.response_ranks(responses.values), averaged_halves(task, responses))


def _measured_rdm(task: SubjectTask, ranks: np.ndarray, halves: Halves | None) -> MeasuredRDM:
    if halves is None:
        return MeasuredRDM(_compact(ranks), None, None)
    split_half = split_half_reliability(*(similarity.response_ranks(half) for half in (halves.first, halves.second)))
    return MeasuredRDM(_compact(ranks), split_half, reliability_of(rdm_reliability, task, halves))


def _compact(ranks: np.ndarray) -> np.ndarray:
    """Twice the ranks, whole numbers with mid-ranks too: one array per subject and cell is kept until a run is done."""
    return (2 * ranks).astype(np.int32)
