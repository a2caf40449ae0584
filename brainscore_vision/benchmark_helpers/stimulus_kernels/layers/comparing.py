"""How a layer is compared with responses on training stimuli alone: by leave-one-out predictions, RDMs or CKA.

Ridge: with ŷ₋ᵢ the prediction for stimulus i of a fit on the other n - 1 training stimuli, and ȳ₋ᵢ their mean response, a
neuroid's score is the correlation over stimuli of ŷ₋ᵢ - ȳ₋ᵢ with yᵢ. The mean has to go: ȳ₋ᵢ = ȳ - (yᵢ - ȳ)/(n - 1) is
perfectly anticorrelated with yᵢ, so that features which explain nothing would correlate with -1 and not with 0. With the
leave-one-out errors eᵢ = yᵢ - ŷ₋ᵢ (:mod:`..ridge.fit`), ŷ₋ᵢ - ȳ₋ᵢ = (yᵢ - ȳ) n/(n - 1) - eᵢ. The penalty is the one with the
smallest error, for all neuroids, as in a benchmark's fit (found from mixtures of neuroids, :func:`..ridge.fit.sampled_alpha`);
its choice favours no layer, since each has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..comparisons import RELATIVE, CKAMetric, RDMMetric, Results, RidgeMetric
from ..errors import ResponsesError
from ..kernels.compute import Compute
from ..kernels.kernel import StimulusKernel
from ..ridge import fit as ridge
from ..statistics.bootstrap import Draws, resampled_counts, ridge_draws, stimuli_digest
from ..statistics.ceilings import SumsOfDraws
from ..tasks import SubjectResult, SubjectTask, pearson_per_neuroid

N_DRAWS = 200
"""Resamplings of the training stimuli behind each interval."""


@dataclass(frozen=True)
class LayerRidge(RidgeMetric):
    """Ridge regression by its leave-one-out predictions of the training stimuli.

    Penalties count mean eigenvalues of the training kernel: layers differ in width and unit by orders of magnitude.
    """

    alphas: tuple[float, ...] | str = RELATIVE
    bootstrap_draws: int = N_DRAWS
    normalization = "explained_variance"
    describes = "explained variance, leave-one-out"

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel`` and their training stimuli; test stimuli play no part."""
        train_ids = tasks[0].train_ids
        rows, n = kernel.positions(train_ids), len(train_ids)
        decomposition = ridge.decompose(kernel.gram, rows, compute, kernel.n_features)
        unit, counts = self.unit(decomposition), resampled_counts(train_ids, self.bootstrap_draws)
        for task in tasks:
            train = task.load_responses().select(train_ids)
            training = ridge.TrainingResponses(decomposition, train.values)
            alpha = ridge.sampled_alpha(training, self.grid, unit)
            deviations = train.values - training.mean
            prediction = ridge.left_out_deviations(decomposition, training.coordinates, deviations, alpha * unit)
            correlations, explainable = pearson_per_neuroid(prediction, train.values, task.subject), train.explainable()
            if not explainable.is_positive:
                raise ResponsesError(
                    f"A layer's score is a part of the explainable variance of the training stimuli; {task.subject} has none "
                    f"in {task.region} over these {n}. Leave the region or the subject out."
                )
            sums = SumsOfDraws(correlations, train.noise_ceiling, explainable)
            draws = ridge_draws(prediction, train.values, train.n_repetitions, sums, counts)
            yield (
                task,
                SubjectResult(
                    subject=task.subject,
                    region=task.region,
                    n_train=n,
                    n_test=0,
                    n_features=kernel.n_features,
                    neuroids=train.neuroids,
                    published_ceiling=train.noise_ceiling,
                    at_test=explainable,
                    correlations=correlations,
                    alpha=alpha,
                    mean_eigenvalue=unit if self.is_relative else None,
                    draws=Draws(draws, stimuli_digest(train_ids, self.bootstrap_draws), n),
                ),
            )


class _OnTraining:
    """A comparison without a fit, over the training stimuli instead of the test stimuli."""

    normalization = "published"

    def check_tasks(self, tasks: Sequence[SubjectTask]) -> None:
        """As for the training stimuli."""
        super().check_tasks(_as_test(tasks))

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel``."""
        results = super().evaluate(kernel, _as_test(tasks), compute)
        yield from zip(tasks, (result for _, result in results), strict=True)


def _as_test(tasks: Sequence[SubjectTask]) -> list[SubjectTask]:
    return [replace(task, test_ids=task.train_ids, train_ids=()) for task in tasks]


@dataclass(frozen=True)
class LayerRDM(_OnTraining, RDMMetric):
    """Correlation of RDMs over the training stimuli."""

    bootstrap_draws: int = N_DRAWS
    describes = "RDM correlation / ceiling"


@dataclass(frozen=True)
class LayerCKA(_OnTraining, CKAMetric):
    """Unbiased linear CKA over the training stimuli."""

    bootstrap_draws: int = N_DRAWS
    describes = "CKA / agreement between subjects"


COMPARISONS = {"ridgecv": LayerRidge, "rdm": LayerRDM, "cka": LayerCKA}


def values_and_draws(metric, results: Sequence[SubjectResult]) -> list[tuple[float, np.ndarray]]:
    """Each subject's ceiled score, and the same over resampled training stimuli, from the results of one layer and region."""
    found = []
    for result, normalized in zip(results, metric.normalize(results), strict=True):
        of_subject = normalized[metric.normalization]
        # where the ceiling needs all subjects, so do the draws
        draws = result.draws.values[metric.normalization] if of_subject.draws is None else of_subject.draws
        found.append((of_subject.value, draws))
    return found
