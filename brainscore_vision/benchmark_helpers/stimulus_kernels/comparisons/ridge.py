"""Ridge regression from features to responses: the correlation of each neuroid is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..errors import StimulusKernelError
from ..kernels.compute import Compute
from ..kernels.kernel import StimulusKernel
from ..parallel import ordered_map
from ..ridge import fit as ridge
from ..statistics.bootstrap import N_DRAWS, Resampled, check_draws, median_draws, p_values, ridge_draws
from ..statistics.ceilings import (
    ENOUGH_STANDARD_ERRORS,
    NORMALIZATIONS,
    ExplainableVariance,
    Normalized,
    SumsOfDraws,
    ceiling_of,
    normalize_correlations,
)
from ..tasks import Responses, Results, SubjectResult, SubjectTask, pearson_per_neuroid
from ..wording import warn_of_model

DEFAULT_ALPHAS = tuple(10.0**exponent for exponent in range(-10, 11))
"""21 penalties from 1e-10 to 1e10: wide, because the trace of K grows with the width of the layer."""

RELATIVE = "relative"
"""Stands for :data:`RELATIVE_ALPHAS`."""

HARDLY = 0.01
"""A direction of this part of the smallest penalty counts by as much."""

RELATIVE_ALPHAS = tuple(10.0 ** (half_decades / 2) for half_decades in range(-12, 13))
"""25 penalties from 1e-6 to 1e6, two per decade, in units of the mean eigenvalue of the centred training kernel."""


def is_grid(alphas) -> bool:
    """Whether ``alphas`` are :data:`RELATIVE`, or positive numbers, at least one."""
    if isinstance(alphas, str):
        return alphas == RELATIVE
    return len(alphas) > 0 and all(isinstance(a, Real) and 0 < a < np.inf for a in alphas)


@dataclass(frozen=True)
class _Fit:
    """What a task's statistics are made of."""

    task: SubjectTask
    test: Responses
    prediction: np.ndarray
    alpha: float
    unit: float | None
    n_features: int
    resampled: Resampled
    training_sketch: np.ndarray
    notes: tuple[str, ...]


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
        check_draws(self.bootstrap_draws)
        if not isinstance(self.alphas, str):
            object.__setattr__(self, "alphas", tuple(np.ravel(self.alphas).tolist()))
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

    def check_tasks(self, tasks: Sequence[SubjectTask]) -> None:
        """Any number will do."""

    def evaluate(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Results:
        """Results of tasks that share ``kernel`` and their training stimuli."""
        yield from ordered_map(self._result, self._predictions(kernel, tasks, compute), compute.beside)

    def _predictions(self, kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute) -> Iterator[_Fit]:
        train_ids = tasks[0].train_ids
        train_rows = kernel.positions(train_ids)
        decomposition = ridge.decompose(kernel.gram, train_rows, compute, kernel.n_features)
        unit = self.unit(decomposition)
        unresolved = self._unresolved(decomposition, kernel, train_rows)
        fitted: dict = {}
        resampled, edges = None, []
        for task in tasks:
            responses = task.load_responses()
            test = responses.select(task.test_ids)
            if task.load_responses not in fitted:  # tasks that differ in their test stimuli alone share a fit
                fitted.clear()
                train = responses.select(train_ids)
                training = ridge.TrainingResponses(decomposition, train.values)
                alpha = ridge.select_alpha(training, self.grid, unit).alpha
                at_edge = self.at_edge(task, alpha, unit)
                edges += at_edge
                fitted[task.load_responses] = training, alpha, train.sketch(), (*unresolved, *at_edge)
            training, alpha, sketch, notes = fitted[task.load_responses]
            prediction = training.predict(kernel.block(task.test_ids, train_ids), alpha * unit)
            if resampled is None or not resampled.is_for(task.test_ids, task.bootstrap_groups):
                resampled = Resampled.of(task.test_ids, task.bootstrap_groups, self.bootstrap_draws)
            own_unit = unit if self.is_relative else None
            yield _Fit(task, test, prediction, alpha, own_unit, kernel.n_features, resampled, sketch, notes)
        if edges:  # the Scores have all of them
            warn_of_model(
                "edge of the grid",
                f"{edges[0]}{' The same holds for other subjects or regions.' if len(edges) > 1 else ''}",
            )

    def _result(self, fit: _Fit) -> tuple[SubjectTask, SubjectResult]:
        task, test, prediction, resampled = fit.task, fit.test, fit.prediction, fit.resampled
        correlations = pearson_per_neuroid(prediction, test.values, task.subject)
        draws, at_test = None, test.explainable()
        if resampled.counts is not None:
            sums = SumsOfDraws(correlations, test.noise_ceiling, at_test)
            values = ridge_draws(prediction, test.values, test.n_repetitions, sums, resampled.counts)
            medians = median_draws(prediction, test.values, correlations, resampled.counts, task.bootstrap_groups)
            draws = resampled.draws(values, medians)
        return task, SubjectResult(
            subject=task.subject,
            region=task.region,
            n_train=len(task.train_ids),
            n_test=len(task.test_ids),
            n_features=fit.n_features,
            neuroids=test.neuroids,
            published_ceiling=test.noise_ceiling,
            at_test=at_test,
            correlations=correlations,
            p_values=p_values(prediction, test.values, correlations, task.bootstrap_groups),
            alpha=fit.alpha,
            mean_eigenvalue=fit.unit,
            draws=draws,
            responses_sketch=test.sketch(),
            training_sketch=fit.training_sketch,
            notes=(*fit.notes, *resampled.notes, *poorly_known(task, at_test)),
        )

    def _unresolved(self, decomposition, kernel: StimulusKernel, train_rows: np.ndarray) -> tuple[str, ...]:
        """A note if rounding hides features from the kernel that one of the penalties would let through."""
        if kernel.sketch is None:
            return ()
        lost = decomposition.lost_spread(kernel.sketch[train_rows], kernel.mean_norm)
        # a direction counts by λ / (λ + α), and correlations do not see how little: far below α it hardly does
        if lost <= HARDLY * min(self.grid) * self.unit(decomposition):
            return ()
        counts_below = alpha_text(lost / HARDLY / self.unit(decomposition), self.is_relative, ".1g")
        note = (
            f"Some features vary so much more than others that the others are lost in rounding: with an alpha below "
            f"{counts_below} they would count, and do not count here. Standardise the features (divide each by its standard "
            f"deviation), or leave out those that vary most."
        )
        warn_of_model("rounding", note)
        return (note,)

    def at_edge(self, task: SubjectTask, alpha: float, unit: float) -> tuple[str, ...]:
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


def alpha_text(alpha: float, is_relative: bool, form: str = "g") -> str:
    """A penalty for people, with its unit."""
    return f"{alpha:{form}} × mean eigenvalue" if is_relative else f"{alpha:{form}}"


def poorly_known(task: SubjectTask, at_test: ExplainableVariance) -> tuple[str, ...]:
    """A note if the explainable variance of the test stimuli may be 0, or is known roughly alone."""
    if at_test.is_precise:
        return ()
    if at_test.is_known:
        return (
            f"The explainable variance of {task.subject} in {task.region} on the {at_test.n_stimuli} test stimuli has a "
            f"standard error above {100 / ENOUGH_STANDARD_ERRORS:.0f} %: explained_variance and correlation may be off by as "
            f"much.",
        )
    share, error = (100 * x / at_test.variance.sum() for x in (at_test.explainable.sum(), at_test.standard_error))
    so = "say little" if at_test.is_positive else "are not given"
    return (
        f"{task.subject} may have no explainable variance in {task.region} on the {at_test.n_stimuli} test stimuli: "
        f"{share:.1f} ± {error:.1f} % of the variance of averages. explained_variance and correlation {so} there.",
    )
