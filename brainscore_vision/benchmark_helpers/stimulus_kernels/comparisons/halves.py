"""What RDMs and CKA share: results without a fit, and the reliability of responses, from halves of their trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..responses import Responses
from ..statistics.influence import Estimate
from ..statistics.rsa_ceilings import Halves
from ..tasks import SubjectResult, SubjectTask

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


def unreliable(task: SubjectTask, reliability: Estimate | None) -> tuple[str, ...]:
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


def similarity_result(task, kernel, responses, value: float) -> SubjectResult:
    return SubjectResult(
        subject=task.subject,
        n_train=0,
        n_test=len(task.test_ids),
        n_features=kernel.n_features,
        neuroids=responses.neuroids,
        published_ceiling=responses.noise_ceiling,
        similarity=value,
    )
