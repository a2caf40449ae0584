"""Plans: what a benchmark compares, found and fixed; a plan makes a Score, as Brain-Score records it, of its tasks' results.

One loop aggregates subjects, folds, and their ceilings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score
from brainscore_vision.metric_helpers.bootstrap_error import bootstrap_error, declare_no_error

from .errors import StimulusKernelError
from .pool import StimulusPool
from .statistics.bootstrap import count_significant, interval_of, t_interval
from .statistics.ceilings import Normalized
from .statistics.overlap import OVERLAP, SMALL_WIDENING, folds_widening, in_common, overlap_widening
from .tasks import SubjectResult, SubjectTask, with_sorted_test

N_BOOTSTRAP = 200

TAKEN = frozenset(
    "alpha benchmark_identifier bootstrap bootstrap_median bootstrap_stimuli ceiling comment dataset device "
    "dropped_stimuli error error_nan_reason error_over exact features_digest folds_overlap interval interval_over_subjects "
    "layer_choice layers layers_chosen mean_eigenvalue model_code model_identifier model_revision model_source n_bootstrap "
    "n_features n_neuroids n_significant_voxels n_stimulus_groups n_test n_train network_digest normalization "
    "normalizations notes p_values raw raw_folds raw_subjects responses_sketch subjects_overlap training_sketch "
    "visual_degrees".split()
)
"""Names in ``Score.attrs``, beside those of subjects."""

SAME_TEST = (
    "Folds are tested on the same stimuli as others: the error over folds is about training alone there, and says nothing of "
    "other test stimuli."
)

ALIKE = {
    "metrics": lambda task: task.metric,
    "regions": lambda task: task.region,
}


def subject_score(result: SubjectResult, normalized: Mapping[str, Normalized], normalization: str) -> Score:
    """One subject's Score.

    Returns
    -------
    Score
        Scalar. ``attrs``: ``raw`` and ``ceiling`` (scalar Scores; with per-neuroid values in their own ``attrs['raw']``
        where the metric has such), ``normalizations`` (dict of name to value), ``alpha`` (with ``mean_eigenvalue``
        where it counts that), counts, why there is no error over subjects, and where the metric resamples stimuli:
        ``interval`` (95 %, two floats), ``bootstrap`` (DataArray
        over draws, in the chosen normalisation), ``bootstrap_stimuli`` (digest; equal ones are paired draws),
        ``n_stimulus_groups`` (how many independent groups of stimuli are drawn) and, where ``published`` squares a median
        correlation, ``bootstrap_median`` (DataArray over draws: of the median, for tests). Where the metric compares neuroids:
        ``p_values`` (DataArray over neuroids, one-sided) and ``n_significant_voxels`` (at 5 % of false discoveries).
        ``responses_sketch`` and, where something is fitted, ``training_sketch`` (lists of float) tell whether two scores are
        of the same responses to test and training stimuli.
    """
    if normalization not in normalized:
        raise StimulusKernelError(
            f"normalization={normalization!r} does not exist for {result.subject}, which has {', '.join(normalized)}: "
            f"that ceiling on {result.n_test} test stimuli is not known, or not above 0. Choose another normalization or "
            f"a split with more stimuli."
        )
    chosen = normalized[normalization]
    score, raw, ceiling = Score(chosen.value), Score(chosen.raw), Score(chosen.ceiling)
    if result.correlations is not None:
        raw.attrs["raw"] = _per_neuroid(result.correlations, result)
        ceiling.attrs["raw"] = _per_neuroid(result.at_test.fraction, result)
    for part in (score, raw, ceiling):
        if not np.isfinite(part.item()):
            raise StimulusKernelError(f"A score is a finite number; {result.subject} came out as {part.item()}.")
        declare_no_error(part, reason="one subject's aggregate over neuroids; see interval for resampled stimuli")
    score.attrs.update(
        raw=raw,
        ceiling=ceiling,
        normalizations={name: values.value for name, values in normalized.items()},
        n_train=result.n_train,
        n_test=result.n_test,
        n_neuroids=len(result.neuroids),
        n_features=result.n_features,
    )
    if result.features_digest:
        score.attrs["features_digest"] = result.features_digest
    for name, sketch in (("responses_sketch", result.responses_sketch), ("training_sketch", result.training_sketch)):
        if sketch is not None:
            score.attrs[name] = sketch.tolist()
    if result.draws is not None:
        draws = result.draws.values[normalization] if chosen.draws is None else chosen.draws
        score.attrs["interval"] = interval_of(chosen.value, draws, result.n_test, result.draws.n_groups)
        score.attrs["bootstrap"] = xr.DataArray(draws, dims=["draw"])
        score.attrs["bootstrap_stimuli"] = result.draws.stimuli
        score.attrs["n_stimulus_groups"] = result.draws.n_groups
        if normalization == "published" and result.draws.medians is not None:
            score.attrs["bootstrap_median"] = xr.DataArray(result.draws.medians, dims=["draw"])
    if result.p_values is not None:
        score.attrs["p_values"] = _per_neuroid(result.p_values, result)
        score.attrs["n_significant_voxels"] = count_significant(result.p_values)
    if result.alpha is not None:
        score.attrs["alpha"] = result.alpha
    if result.mean_eigenvalue is not None:
        score.attrs["mean_eigenvalue"] = result.mean_eigenvalue
    if result.dropped_stimuli:
        score.attrs["dropped_stimuli"] = list(result.dropped_stimuli)
    notes = [*result.notes, *chosen.notes]
    if chosen.value > 0 > chosen.raw:
        notes.append(
            f"The raw score of {result.subject} in {result.region} on the {result.n_test} test stimuli is negative; the "
            f"{normalization} normalization squares it."
        )
    if notes:
        score.attrs["notes"] = notes
    return score


def aggregate_scores(units: Mapping, over: str) -> Score:
    """Mean Score over subjects or folds.

    Parameters
    ----------
    units : mapping of label to Score
        Each with ``raw`` and ``ceiling`` in its attrs.
    over : {"subject", "fold"}
        What the units are.

    Returns
    -------
    Score
        Scalar mean of the units' values. ``attrs``: ``raw``, ``ceiling`` (scalar Scores, means of the units' own),
        ``raw_<over>s`` (the units' values), ``error`` and its provenance (bootstrap over the units, ``N_BOOTSTRAP``
        draws), ``normalizations`` (means), ``notes`` (list of str, each once, if there are any), each unit's Score
        under its label, and with two or more subjects ``interval_over_subjects`` (95 % by t over the subjects' values, two
        floats): ``error`` over a handful of subjects is too small, and 1.96 of it covers less than it says.
    """
    score = _mean(units, over)
    score.attrs["raw"] = _mean({label: unit.attrs["raw"] for label, unit in units.items()}, over)
    score.attrs["ceiling"] = aggregate_ceilings({label: unit.attrs["ceiling"] for label, unit in units.items()}, over)
    names = [  # one that a unit lacks has no mean
        name
        for name in next(iter(units.values())).attrs["normalizations"]
        if all(name in unit.attrs["normalizations"] for unit in units.values())
    ]
    score.attrs["normalizations"] = {
        name: float(np.mean([unit.attrs["normalizations"][name] for unit in units.values()])) for name in names
    }
    dropped = {s for unit in units.values() for s in unit.attrs.get("dropped_stimuli", ())}
    if dropped:
        score.attrs["dropped_stimuli"] = sorted(dropped)
    digests = sorted({unit.attrs["features_digest"] for unit in units.values() if "features_digest" in unit.attrs})
    if digests:  # several: subjects for whom the model knows other stimuli
        score.attrs["features_digest"] = " ".join(digests)
    subjects = [s for s in (score, *units.values()) if "raw_subjects" in s.attrs]
    values = np.mean([s.attrs["raw_subjects"].values for s in subjects], axis=0) if subjects else np.empty(0)
    if len(values) > 1:  # of folds: over subjects too, each one's mean over folds
        score.attrs["interval_over_subjects"] = list(t_interval(values))
    notes = dict.fromkeys(note for unit in units.values() for note in unit.attrs.get("notes", ()))
    if notes:
        score.attrs["notes"] = list(notes)
    for label, unit in units.items():
        score.attrs[label if isinstance(label, str) else f"{over}_{label}"] = unit
    return score


def aggregate_ceilings(units: Mapping, over: str) -> Score:
    """Mean ceiling over subjects or folds, with its error and the units' own ceilings."""
    return _mean(units, over)


def standard_error(values: np.ndarray, over: str) -> float:
    """Standard error of a mean, by Brain-Score's bootstrap over its units.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (units,)
        At least two, all finite.
    over : {"subject", "fold"}
        What the units are.
    """
    # its own mean looks for nan in each draw, which takes half of the time
    return bootstrap_error(_Resampled(values, over), over=[over], aggregate=np.mean, n_bootstrap=N_BOOTSTRAP)


def _mean(units: Mapping, over: str) -> Score:
    values = xr.DataArray([unit.item() for unit in units.values()], dims=[over], coords={over: list(units)})
    if not np.isfinite(values).all():
        raise StimulusKernelError(f"Each {over} contributes a finite number; received {values.values.tolist()}.")
    score = Score(float(values.mean()))
    score.attrs[f"raw_{over}s"] = values
    if len(values) == 1:
        return declare_no_error(score, reason=f"a single {over}: nothing to resample")
    score.attrs["error"] = standard_error(values.values, over)
    score.attrs["error_over"] = [over]
    score.attrs["n_bootstrap"] = N_BOOTSTRAP
    return score


class _Resampled:
    """What ``bootstrap_error`` asks of an array: for a handful of values, xarray's own indexing takes most of the time."""

    def __init__(self, values: np.ndarray, dim: str):
        self.dims, self.sizes, self._values = (dim,), {dim: len(values)}, values

    def isel(self, indexers: Mapping) -> np.ndarray:
        return self._values[indexers[self.dims[0]]]


def _per_neuroid(values: np.ndarray, result: SubjectResult) -> xr.DataArray:
    coords = {name: ("neuroid", column.to_numpy()) for name, column in result.neuroids.items()}
    return xr.DataArray(values, dims=["neuroid"], coords=coords)


def _check_alike(rule: str, identifier: str, tasks: Sequence[SubjectTask]) -> None:
    for what, of in ALIKE.items():
        found = list(dict.fromkeys(map(of, tasks)))
        if len(found) > 1:
            raise StimulusKernelError(
                f"The {rule}; those of {identifier} have {len(found)} {what}: {' and '.join(map(str, found))}. Make a "
                f"benchmark of each."
            )


@dataclass(frozen=True)
class Plan:
    """What a benchmark compares: one task per subject, all with one metric.

    Attributes
    ----------
    identifier : str
        Of the benchmark.
    tasks : tuple of SubjectTask
    normalization : str
        Which of the metric's normalisations is the value; all of them are in ``attrs['normalizations']``.
    facts : mapping of str to object
        What a finished Score says of the data, in its ``attrs``.

    Raises
    ------
    StimulusKernelError
        No subject or one twice, several metrics or regions, or a normalisation that the metric does not have.
    """

    identifier: str
    tasks: tuple[SubjectTask, ...]
    normalization: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        self._check_kinds()
        subjects = [task.subject for task in self.tasks]
        if not subjects or len(set(subjects)) != len(subjects):
            raise StimulusKernelError(
                f"{self.identifier} needs at least one subject and each of them once; received {subjects}."
            )
        divided = [subject for subject in subjects if "/" in subject]
        if divided:
            raise StimulusKernelError(
                f"A subject's name has no slash, which parts folds from subjects in tables and files; received {divided[0]!r}. "
                f"Give the subject of {self.identifier} another name, such as {divided[0].replace('/', '-')!r}."
            )
        taken = [subject for subject in subjects if subject in TAKEN]
        if taken:
            raise StimulusKernelError(
                f"A Score holds each subject's own Score under its name in attrs, where {taken[0]!r} is something else. Give "
                f"the subject of {self.identifier} another name."
            )
        _check_alike("subjects of a benchmark are scored alike", self.identifier, self.tasks)
        if self.normalization not in self.metric.normalizations:
            raise StimulusKernelError(
                f"The normalization of {self.identifier} is one that its metric has, "
                f"{', '.join(self.metric.normalizations)}; received {self.normalization!r}."
            )
        object.__setattr__(self, "tasks", tuple(map(with_sorted_test, self.tasks)))
        self.metric.check_tasks(self.tasks)
        without = [task.subject for task in self.tasks if task.load_halves is None]
        if self.normalization == "reliability" and without:
            raise StimulusKernelError(
                f"The normalization reliability is made of halves of each stimulus's trials; tasks of {self.identifier} for "
                f"{', '.join(without)} have no load_halves. Give it, or choose published."
            )

    def _check_kinds(self) -> None:
        for task in self.tasks:
            if not isinstance(task, SubjectTask):
                raise StimulusKernelError(
                    f"Tasks of {self.identifier} are SubjectTasks; received a {type(task).__name__} among them."
                )
            if not isinstance(task.pool, StimulusPool):
                raise StimulusKernelError(
                    f"pool of {task.subject} is a StimulusPool; received a {type(task.pool).__name__}. Give "
                    f"StimulusPool(name, StimulusPart('all', stimulus_ids), visual_degrees, provider)."
                )
            if isinstance(task.metric, type) or not hasattr(task.metric, "normalizations"):
                raise StimulusKernelError(
                    f"metric of {task.subject} is an object such as RidgeMetric(), RDMMetric() or CKAMetric(); received "
                    f"{task.metric!r}. Call the class."
                )

    @property
    def metric(self):
        """The metric of all tasks; see :mod:`.comparisons`."""
        return self.tasks[0].metric

    def ceiling(self) -> Score:
        """Mean over subjects of the subjects' own ceilings; reads responses, needs no model."""
        ceilings = self.metric.ceilings(self.tasks)
        without = [t.subject for t, c in zip(self.tasks, ceilings, strict=True) if self.normalization not in c]
        if without:
            raise StimulusKernelError(
                f"{self.identifier} has no ceiling: nothing explainable is known in the responses of "
                f"{', '.join(without)} to the test stimuli. Choose the published normalization, other subjects or a split "
                f"with more stimuli."
            )
        by_subject = {t.subject: Score(c[self.normalization]) for t, c in zip(self.tasks, ceilings, strict=True)}
        ceiling = aggregate_ceilings(by_subject, over="subject")
        ceiling.attrs.update(self.metric.ceiling_details(self.tasks))
        return ceiling

    def score(self, results: Sequence[SubjectResult]) -> Score:
        """The Score, from the results of :attr:`tasks` in their order."""
        normalized = self.metric.normalize(results)
        scores = {
            result.subject: subject_score(result, values, self.normalization)
            for result, values in zip(results, normalized, strict=True)
        }
        score = aggregate_scores(scores, over="subject")
        score.attrs["ceiling"].attrs.update(
            self.metric.ceiling_details(self.tasks, [result.measured for result in results])
        )
        score.attrs.update(self.facts, normalization=self.normalization)
        widening = overlap_widening(self.tasks)
        if widening > SMALL_WIDENING:
            score.attrs["subjects_overlap"] = widening
        return score


@dataclass(frozen=True)
class FoldsPlan:
    """Several plans whose mean is one Score; fold k is labelled k.

    Attributes
    ----------
    identifier : str
        Of the benchmark.
    folds : tuple of Plan

    Raises
    ------
    StimulusKernelError
        Folds of different subjects, or of the same in another order: each subject has a mean over folds. Folds of different
        metrics or regions, a mean of which would say nothing. A fold that stands there twice.
    """

    identifier: str
    folds: tuple[Plan, ...]

    def __post_init__(self):
        subjects = list(dict.fromkeys(tuple(task.subject for task in fold.tasks) for fold in self.folds))
        if len(subjects) > 1:
            found = " and ".join(map(", ".join, subjects))
            raise StimulusKernelError(
                f"The folds of a benchmark have the same subjects in one order; those of {self.identifier} have {found}. Sort "
                f"them, or make a benchmark of each."
            )
        _check_alike("folds of a benchmark differ in their stimuli alone", self.identifier, self.tasks)
        self._check_apart()

    def _check_apart(self, results: Sequence[SubjectResult] = ()) -> None:
        """Refuse a fold that stands there twice: with equal loaders, or as its results show.

        Folds on the same stimuli may be of other responses, such as those of another session.
        """
        seen: dict = {}
        for number, fold in enumerate(self.folds):
            key: tuple = tuple((frozenset(task.train_ids), frozenset(task.test_ids)) for task in fold.tasks)
            if results and any(result.responses_sketch is None for result in results):
                return
            if results:
                of_fold = results[number * len(fold.tasks) : (number + 1) * len(fold.tasks)]
                key += tuple(np.asarray(result.responses_sketch).tobytes() for result in of_fold)
            else:
                key += tuple(task.load_responses for task in fold.tasks)
            same = seen.setdefault(key, number)
            if same != number:
                raise StimulusKernelError(
                    f"Folds differ in their stimuli or responses; folds {same} and {number} of {self.identifier} have the same "
                    f"ones. Leave one out; if a loop makes them, bind its variables when the function is made: "
                    f"lambda train=train, test=test: tasks(train, test)."
                )

    @property
    def tasks(self) -> tuple[SubjectTask, ...]:
        """Those of all folds, fold by fold."""
        return tuple(task for fold in self.folds for task in fold.tasks)

    def ceiling(self) -> Score:
        """Mean over folds of the folds' ceilings."""
        return aggregate_ceilings({k: fold.ceiling() for k, fold in enumerate(self.folds)}, over="fold")

    def score(self, results: Sequence[SubjectResult]) -> Score:
        """The Score, from the results of :attr:`tasks` in their order."""
        self._check_apart(results)
        scores, start = {}, 0
        for k, fold in enumerate(self.folds):
            scores[k] = fold.score(results[start : start + len(fold.tasks)])
            start += len(fold.tasks)
        score = aggregate_scores(scores, over="fold")
        facts = {name: self._said(name) for name in self.folds[0].facts}
        score.attrs.update(facts, normalization=self.folds[0].normalization)
        overlaps = {tasks[0].subject: in_common(tasks) for tasks in self._by_subject()}
        if any(np.any(shares > np.eye(len(shares))) for shares in overlaps.values()):
            score.attrs["folds_overlap"] = {subject: shares.tolist() for subject, shares in overlaps.items()}
        widening = max(folds_widening(tasks, overlaps[tasks[0].subject]) for tasks in self._by_subject())
        if (of_subjects := overlap_widening(self.tasks)) > SMALL_WIDENING:
            score.attrs["subjects_overlap"] = of_subjects
        notes = [OVERLAP.format(widening - 1)] * (widening > SMALL_WIDENING)
        notes += [SAME_TEST] * any(
            len({frozenset(task.test_ids) for task in of}) < len(of) for of in self._by_subject()
        )
        if notes:
            score.attrs["notes"] = [*score.attrs.get("notes", ()), *notes]
        return score

    def _said(self, fact: str):
        """A fact of all folds; where texts differ, each with its fold."""
        said = [fold.facts.get(fact) for fold in self.folds]
        if all(one == said[0] for one in said) or not all(isinstance(one, str) for one in said):
            return said[0]
        return "; ".join(f"in fold {k} {text}" for k, text in enumerate(said))

    def _by_subject(self) -> list[tuple[SubjectTask, ...]]:
        """Each subject's tasks, fold by fold."""
        return list(zip(*(fold.tasks for fold in self.folds), strict=True))
