"""One subject's share of a benchmark: the measured responses that are compared, and what comes out of it.

Responses are averages over repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from .errors import ResponsesError, StimulusKernelError
from .named_rows import (
    HOW_TO_SAY,
    ids_of,
    in_another_order,
    misnamed_rows,
    row_indexes,
    rows_of_a_table_apart,
    turned,
    unmasked,
)
from .pool import StimulusPool
from .statistics.bootstrap import Draws
from .statistics.ceilings import ExplainableVariance, NoiseCeiling

ROUNDING = 1e-13
"""Spread of values beside their size below which they count as equal."""

FEWEST_ROWS, SOME_ROWS = 20, 500
"""Stimuli whose responses tell something of their unit, and as many as are asked."""

FAR_APART, CLEAR = 2.0, 0.05
"""Times that one noise variance is another where units differ, and how far from 0 and 1 ceilings are that tell it."""

SKETCHED, SEED = 8, 20261127
"""Numbers that tell responses from others, and the seed of the signs that they are made with."""


@dataclass(frozen=True)
class Responses:
    """One subject's responses in one region.

    Attributes
    ----------
    subject : str
    stimulus_ids : numpy.ndarray of str, shape (n,)
        Each stimulus once.
    values : numpy.ndarray, shape (n, neuroids)
        Averages over repetitions, finite. Kept as they are, and not copied: give each subject an array of its own.
    n_repetitions : numpy.ndarray of int, shape (n,)
    neuroids : pandas.DataFrame
        One row per neuroid; columns become coordinates of per-neuroid results, under their names as text: each once, and
        without a slash.
    noise_ceiling : NoiseCeiling
        As published with the data, at the repetitions that it refers to.
    noise_variance : numpy.ndarray of float64, shape (neuroids,), optional
        σ², of a single trial around its stimulus (:func:`.statistics.ceilings.noise_variance`). Without it, what
        ``noise_ceiling`` leaves of the variance of all these ``values``; ``dataclasses.replace`` keeps it, unless it is given
        ``noise_variance=None`` with other values or another ceiling.
    """

    subject: str
    stimulus_ids: np.ndarray
    values: np.ndarray
    n_repetitions: np.ndarray
    neuroids: pd.DataFrame
    noise_ceiling: NoiseCeiling
    noise_variance: np.ndarray | None = None

    def __post_init__(self):
        self._check_values()
        n_stimuli, n_neuroids = self.values.shape
        sizes = {
            "stimulus_ids": (len(self.stimulus_ids), n_stimuli),
            "n_repetitions": (len(self.n_repetitions), n_stimuli),
            "neuroids": (len(self.neuroids), n_neuroids),
            "noise_ceiling": (len(self.noise_ceiling.fraction), n_neuroids),
        }
        for name, (received, expected) in sizes.items():
            if received != expected:
                raise ResponsesError(
                    f"{name} must match values of shape {self.values.shape}: {expected} needed, {received} received."
                )
        if n_neuroids == 0:
            raise ResponsesError(f"No neuroid is left for {self.subject}. Lower the noise-ceiling threshold.")
        if len(set(self.stimulus_ids)) != n_stimuli:
            raise ResponsesError(
                f"Responses hold each stimulus once: {n_stimuli} rows for {len(set(self.stimulus_ids))} stimuli of "
                f"{self.subject}. Average over repetitions first."
            )
        if self.noise_variance is None and n_stimuli > 1:
            at_all = self.test_ceiling()
            noise = self.values.var(axis=0, ddof=1, dtype=float) * (1 - at_all.fraction)
            object.__setattr__(self, "noise_variance", noise / at_all.mean_inverse_repetitions)
        noise = self.noise_variance
        if noise is not None and (noise.shape != (n_neuroids,) or not (noise >= 0).all()):
            raise ResponsesError(
                f"noise_variance is a variance, 0 or more, for each of {n_neuroids} neuroids; received "
                f"shape {noise.shape}, the least of it {np.min(noise, initial=np.inf):g}."
            )

    def notes_on_noise(self, region: str) -> tuple[str, ...]:
        """What a Score should say where ``noise_variance`` is not what ``noise_ceiling`` leaves of the variance of ``values``.

        A rough look, at some of the stimuli: ceilings may come from other ones.
        """
        some, at_all = self.values[:: max(1, len(self.values) // SOME_ROWS)], self.test_ceiling()
        if self.noise_variance is None or len(some) < FEWEST_ROWS:
            return ()
        left = some.var(axis=0, ddof=1, dtype=float) * (1 - at_all.fraction) / at_all.mean_inverse_repetitions
        known = (left > 0) & (at_all.fraction > CLEAR) & (at_all.fraction < 1 - CLEAR)
        if not known.any():
            return ()
        ratio = float(np.median(self.noise_variance[known] / left[known]))
        if 1 / FAR_APART < ratio < FAR_APART:
            return ()
        return (
            f"The noise_variance of {self.subject} in {region} is {ratio:.2g} times what the noise ceiling leaves of the "
            f"variance of its responses: one of the two is of other trials, or in another unit. published depends on the "
            f"ceiling; explained_variance and correlation depend on noise_variance, which is of single trials, in the squared "
            f"unit of the responses (Reliability's is a part of the variance of z-scored trials).",
        )

    def _check_values(self) -> None:
        """Make arrays of lists and tables; refuse values that are no real and finite numbers, or hidden behind a mask."""
        if not isinstance(self.neuroids, pd.DataFrame):
            raise ResponsesError(
                f"neuroids is a DataFrame with a row for each neuroid; that of {self.subject} is a "
                f"{type(self.neuroids).__name__}. Give a number to each: pd.DataFrame({{'neuroid_id': range(N)}})."
            )
        names = [str(name) for name in self.neuroids.columns]
        wrong = [name for name in names if names.count(name) > 1 or "/" in name or name in ("", ".")]
        if wrong:
            raise ResponsesError(
                f"Columns of neuroids are coordinates in tables and files of results: each has a name of its own, without a "
                f"slash and more than a dot; those of {self.subject} have {', '.join(map(repr, wrong))}. Rename them."
            )
        half = self.neuroids.columns[self.neuroids.dtypes == np.float16]
        if len(half):  # which no index of pandas holds
            object.__setattr__(self, "neuroids", self.neuroids.astype(dict.fromkeys(half, np.float32)))
        if not isinstance(self.noise_ceiling, NoiseCeiling):
            raise ResponsesError(
                f"noise_ceiling is a NoiseCeiling; that of {self.subject} is a {type(self.noise_ceiling).__name__}. Give "
                f"NoiseCeiling(fraction, 1 / repetitions), or let reliability_from_trials estimate it."
            )
        self._check_form_of_ids()
        dims = getattr(self.values, "dims", ())
        if len(dims) == 2 and dims[0] == "neuroid":
            raise ResponsesError(
                f"Responses are stimuli × neuroids; those of {self.subject} have the dimensions {' × '.join(map(str, dims))}. "
                f"Give values.transpose({dims[1]!r}, {dims[0]!r})."
            )
        for name in ("values", "n_repetitions"):
            self._check_rows(name, getattr(self, name))
        self._check_names_of_neuroids()
        masked = int(np.ma.count_masked(self.values)) if np.ma.is_masked(self.values) else 0
        if np.ma.is_masked(self.n_repetitions):
            object.__setattr__(self, "n_repetitions", unmasked(self.n_repetitions))
        for name in ("stimulus_ids", "values", "n_repetitions"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.stimulus_ids.dtype.kind != "U":
            ids_of(self.stimulus_ids, f"stimulus_ids of {self.subject}'s responses", ResponsesError)
        counts = self.n_repetitions
        if counts.ndim != 1 or counts.dtype.kind not in "iuf" or not (np.isfinite(counts) & (counts >= 1)).all():
            raise ResponsesError(
                f"n_repetitions has a number of 1 or more for each stimulus; that of {self.subject} is {counts.dtype} of shape "
                f"{counts.shape}{f', the least of it {counts.min()}' if counts.size and counts.dtype.kind in 'iuf' else ''}."
            )
        if self.noise_variance is not None:
            object.__setattr__(self, "noise_variance", unmasked(self.noise_variance))
        numbers = self.values.ndim == 2 and self.values.dtype.kind in "fiub"
        # a sum is finite if all of it is, and needs no memory
        if not numbers or masked or not np.isfinite(self.values.sum(dtype=float)):
            found = f"{self.values.dtype} of shape {self.values.shape}"
            if numbers:
                found = f"{masked} masked and {np.count_nonzero(~np.isfinite(self.values))} nan or infinite"
            raise ResponsesError(
                f"Responses are a finite number for each of stimuli × neuroids; those of {self.subject} are {found}. Leave "
                f"these neuroids or stimuli out."
            )
        # answers yes or no, counts that would wrap below 0, half precision
        if self.values.dtype not in (np.float32, np.float64):
            object.__setattr__(self, "values", self.values.astype(float))

    def _check_form_of_ids(self) -> None:
        """Make a list of what is gone through once; refuse what has no order, and tables."""
        ids = self.stimulus_ids
        if not hasattr(ids, "shape") and isinstance(ids, Iterable) and not isinstance(ids, (str, set, frozenset)):
            object.__setattr__(self, "stimulus_ids", list(ids))
        elif len(getattr(ids, "shape", ())) != 1:
            raise ResponsesError(
                f"stimulus_ids are a list of ids, one for each row of values, in that order; those of {self.subject} are "
                f"{f'of shape {ids.shape}' if hasattr(ids, 'shape') else f'a {type(ids).__name__}'}. Give a list."
            )

    def _check_names_of_neuroids(self) -> None:
        """Refuse what calls neuroids as the table's index or one of its columns does, in another order."""
        index, in_table = self.neuroids.index, [pd.Index(column) for _, column in self.neuroids.items()]
        columns = getattr(self.values, "columns", None)
        columns = row_indexes(getattr(self.values, "T", None), ()) if columns is None else [columns]
        rows = [index, *in_table, *columns]
        for what, given, called in (
            # numbers of columns may be names of voxels, where a default index counts places
            ("Columns of values", columns, in_table if isinstance(index, pd.RangeIndex) else [index, *in_table]),
            ("Rows of noise_variance", row_indexes(self.noise_variance, ()), rows),
            ("Rows of noise_ceiling", row_indexes(self.noise_ceiling.named, ()), rows),
        ):
            same = any(names.equals(one) for names in given for one in called)
            other = any(in_another_order(names, one) for names in given for one in called)
            if other and not same:
                raise ResponsesError(
                    f"{what} are those of neuroids, in their order; for {self.subject} they are the rows of neuroids in "
                    f"another order. {HOW_TO_SAY}"
                )

    def _check_rows(self, name: str, given) -> None:
        """Refuse a table whose rows have other names than the stimuli, or the same in another order, or that is turned."""
        if turned(given, self.stimulus_ids):
            raise ResponsesError(
                f"Rows of {name} are stimuli; for {self.subject} its columns are called as the stimuli. Transpose the table."
            )
        if rows_of_a_table_apart(given, self.stimulus_ids):
            raise ResponsesError(
                f"Rows of {name} are those of stimulus_ids, in their order; for {self.subject} the indexes of both are the "
                f"same in another order. {HOW_TO_SAY}"
            )
        wrong = misnamed_rows(row_indexes(given), self.stimulus_ids)
        if wrong is not None:
            i, names = wrong
            both = i < min(len(names), len(self.stimulus_ids))
            ids = np.asarray(self.stimulus_ids)
            said, wanted = (names[i], str(ids[i])) if both else (len(names), len(ids))
            raise ResponsesError(
                f"Rows of {name} are those of stimulus_ids, in their order; for {self.subject} they say {said!r} where "
                f"stimulus_ids say {wanted!r}. Sort the table by the ids (frame.loc[ids]), or give an array without names."
            )

    def select(self, stimulus_ids: Sequence[str]) -> Responses:
        """Responses to the given stimuli, in their order; an unknown stimulus is an error."""
        self.check_stimuli(stimulus_ids)
        position = {stimulus_id: i for i, stimulus_id in enumerate(self.stimulus_ids)}
        rows = np.array([position[s] for s in stimulus_ids], dtype=np.intp)
        return replace(
            self,
            stimulus_ids=self.stimulus_ids[rows],
            values=self.values[rows],
            n_repetitions=self.n_repetitions[rows],
        )

    def check_stimuli(self, stimulus_ids: Sequence[str]) -> None:
        """Raise if there is no response to one of the given stimuli."""
        known = set(self.stimulus_ids)
        missing = [s for s in stimulus_ids if s not in known]
        if missing:
            raise ResponsesError(
                f"{self.subject} must have a response to each stimulus of the split; {len(missing)} of "
                f"{len(stimulus_ids)} have none, the first: {missing[:3]}. Check the split against the assembly."
            )

    def sketch(self) -> np.ndarray:
        """Numbers that tell these responses from others, whatever the order of stimuli and neuroids; float64, (SKETCHED,).

        Lengths, over neuroids, of sums of the centred responses with random signs (Johnson & Lindenstrauss 1984).
        """
        signs = np.random.default_rng(SEED).choice(np.array([-1.0, 1.0]), size=(SKETCHED, len(self.stimulus_ids)))
        values = self.values[np.argsort(self.stimulus_ids)]
        return np.linalg.norm(signs @ (values - values.mean(axis=0, dtype=float)), axis=1)

    def test_ceiling(self) -> NoiseCeiling:
        """The published ceiling at the repetitions that these stimuli really have.

        It supposes that these stimuli vary as much as those that it was published for; :meth:`explainable` does not.
        """
        return self.noise_ceiling.at(self.n_repetitions)

    def explainable(self) -> ExplainableVariance:
        """How much of the variance of these values a model could explain."""
        return ExplainableVariance.of(self.values, self.n_repetitions, self.noise_variance)


def pearson_per_neuroid(
    prediction: np.ndarray, measured: np.ndarray, subject: str, of_constant: float | None = None
) -> np.ndarray:
    """Pearson correlation over stimuli of each neuroid.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
    subject : str
        For messages.
    of_constant : float, optional
        What predictions that do not vary have instead of a correlation; None: they are refused.

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,)

    Raises
    ------
    ResponsesError
        A neuroid whose measured responses, or whose predictions, do not vary over the stimuli has no correlation.
    """
    if len(prediction) < 3:
        raise ResponsesError(f"A correlation needs at least 3 test stimuli, {subject} has {len(prediction)}.")
    measured = np.asarray(measured, dtype=float)
    predicted, centred = prediction - prediction.mean(axis=0), measured - measured.mean(axis=0)
    predicted_norm, measured_norm = np.linalg.norm(predicted, axis=0), np.linalg.norm(centred, axis=0)
    for values, norm, what in (
        (measured, measured_norm, "measured responses"),
        (prediction, predicted_norm, "predictions"),
    ):
        # equal predictions may differ by rounding, whose correlation would be a number without meaning
        constant = np.flatnonzero(~(norm > ROUNDING * np.linalg.norm(values, axis=0)))
        if len(constant) and (of_constant is None or values is measured):
            raise ResponsesError(
                f"A correlation needs values that vary, but the {what} of {len(constant)} of {len(norm)} neuroids of "
                f"{subject} are constant over the {len(prediction)} test stimuli (the first: neuroid {constant[0]}). "
                f"Leave constant neuroids out, or check that the model's features tell these stimuli apart by something that "
                f"training stimuli differ in."
            )
    predicted_norm[constant] = 1.0
    correlations = np.einsum("ij,ij->j", predicted, centred) / (predicted_norm * measured_norm)
    if len(constant):
        correlations[constant] = of_constant
    return correlations


ALIKE = (tuple, str, bytes, int, float, complex, frozenset)
"""Classes whose objects, and those of classes of theirs such as a NamedTuple, are equal by content whatever their class."""


@dataclass(frozen=True)
class SubjectTask:
    """What has to be compared for one subject. Equal tasks have equal results.

    Attributes
    ----------
    subject : str
    region : str
        The measured region.
    model_region : str
        The region that the model is asked to record.
    pool : StimulusPool
        Covers the training and test stimuli.
    train_ids, test_ids : tuple of str
        No stimulus is in both. ``train_ids`` is empty for metrics that fit nothing.
    metric : Metric
        See :mod:`.comparisons`.
    load_responses : callable
        ``load_responses() -> Responses`` of all stimuli of the subject, called when the task's turn comes. Part of what
        makes tasks equal, so a frozen dataclass with ``__call__`` serves better than a closure.
    load_halves : callable or None
        ``load_halves(stimulus_ids) -> (Responses, Responses)``: averages over two halves of each stimulus's trials, of the
        stimuli asked for that have two or more, in any order; called by metrics that report the reliability of RDMs.
    bootstrap_groups : tuple of str or None
        Label of each test stimulus's group, in their order: stimuli of one group (near-duplicates, a series) are resampled
        together. None, or labels that all differ: the test stimuli are independent examples of their kind.
    """

    subject: str
    region: str
    model_region: str
    pool: StimulusPool
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    metric: object
    load_responses: Callable[[], Responses] = field(repr=False)
    load_halves: Callable[[tuple[str, ...]], tuple[Responses, Responses]] | None = field(default=None, repr=False)
    bootstrap_groups: tuple[str, ...] | None = field(default=None, repr=False)

    def __post_init__(self):
        is_apart = rows_of_a_table_apart(self.bootstrap_groups, self.test_ids)
        for name in ("train_ids", "test_ids"):
            ids = ids_of(getattr(self, name), f"{name} of {self.subject}", StimulusKernelError)
            object.__setattr__(self, name, ids)
        self._check_parts()
        both = sorted(set(self.train_ids).intersection(self.test_ids))
        if both:
            raise StimulusKernelError(
                f"What a model is fitted on is no test; {len(both)} of {len(self.test_ids)} test stimuli of {self.subject} are "
                f"training stimuli too, the first: {both[0]!r}. Take them out of train_ids or test_ids."
            )
        if self.bootstrap_groups is not None:
            object.__setattr__(self, "bootstrap_groups", self._labels(self.bootstrap_groups, is_apart))

    def _labels(self, groups, is_apart: bool) -> tuple:
        """Labels of groups, of whatever holds them, checked."""
        if is_apart or misnamed_rows(row_indexes(groups), self.test_ids) is not None:
            raise StimulusKernelError(
                f"bootstrap_groups are those of test_ids, in their order; for {self.subject} the rows of the table have other "
                f"names, or another order. Sort it by the ids (groups.loc[list(test_ids)]), or give a list."
            )
        labels = groups if isinstance(groups, list | tuple) else np.asarray(groups)
        if isinstance(labels, np.ndarray):
            labels = (labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels).tolist()
        found = f"a {type(groups).__name__}"
        if isinstance(labels, list | tuple) and not any(isinstance(label, list) for label in labels):
            missing = sum(pd.api.types.is_scalar(label) and pd.isna(label) for label in labels)
            found = f"{len(labels)} labels{f', {missing} of them missing' if missing else ''}"
            if (
                len(labels) == len(self.test_ids)
                and not missing
                and all(isinstance(label, Hashable) for label in labels)
            ):
                return tuple(labels)
        raise StimulusKernelError(
            f"bootstrap_groups labels each test stimulus, in the order of test_ids; for the {len(self.test_ids)} of "
            f"{self.subject} received {found}. Give a list of as many labels; a stimulus by itself has one of its own."
        )

    def _check_parts(self) -> None:
        """Tasks are found by what they are made of, so that all of it has a hash."""
        if not isinstance(self.subject, str):
            raise StimulusKernelError(f"A subject is a name; received {self.subject!r}. Give {str(self.subject)!r}.")
        if not callable(self.load_responses):
            raise StimulusKernelError(
                f"load_responses of {self.subject} is a function without arguments that returns its Responses, called when its "
                f"turn comes; received a {type(self.load_responses).__name__}."
            )
        provider = getattr(self.pool, "provider", None)
        for name, part in (
            ("load_responses", self.load_responses),
            ("load_halves", self.load_halves),
            ("the provider of its pool", provider),
        ):
            try:
                hash(part)
            except TypeError as error:
                raise StimulusKernelError(
                    f"Equal tasks are evaluated once, so that what they are made of has a hash; {name} of {self.subject} is a "
                    f"{type(part).__name__} without ({error}). Where it holds arrays or dictionaries, make its class a "
                    f"dataclass(eq=False); otherwise, a dataclass(frozen=True)."
                ) from error
            if isinstance(part, ALIKE):
                raise StimulusKernelError(
                    f"Equal tasks are evaluated once, so that what they are made of is equal to nothing of another class; "
                    f"{name} of {self.subject} is a {type(part).__name__}, which equals any "
                    f"{next(kind.__name__ for kind in ALIKE if isinstance(part, kind))} of the same content. Make its class a "
                    f"dataclass(frozen=True)."
                )

    def halves(self, responses: Responses) -> tuple[Responses, Responses] | None:
        """What :attr:`load_halves` gives for the test stimuli, both in one order; None without it.

        Raises
        ------
        ResponsesError
            They are not of the subject and the neuroids of ``responses``, or not of the same test stimuli.
        """
        if self.load_halves is None:
            return None
        first, second = self.load_halves(self.test_ids)
        for half in (first, second):
            other = _other_column(half.neuroids, responses.neuroids)
            if half.subject != responses.subject or other is not None:
                raise ResponsesError(
                    f"The halves of {self.subject}'s trials in {self.region} are of the {len(responses.neuroids)} neuroids of "
                    f"its responses, in their order; received a half of {half.subject} with {len(half.neuroids)} neuroids"
                    f"{f', which are others or in another order by their {other!r}' if other else ''}. Check load_halves, and "
                    f"leave out what is another number in each half, such as a noise ceiling."
                )
        of_first, of_second = set(first.stimulus_ids), set(second.stimulus_ids)
        odd = sorted((of_first ^ of_second) | (of_first - set(self.test_ids)))
        if odd:
            raise ResponsesError(
                f"Both halves of a subject's trials have the same of the test stimuli that are asked for; those of "
                f"{self.subject} in {self.region} have {len(of_first)} and {len(of_second)} stimuli, and one of them alone, or "
                f"no test, has {odd[0]!r}. Check load_halves."
            )
        second = second.select(first.stimulus_ids)
        if len(first.values) and np.array_equal(first.values, second.values):
            raise ResponsesError(
                f"Halves are averages over different trials; those of {self.subject} in {self.region} are the same numbers. "
                f"Check load_halves."
            )
        return first, second

    def without(self, stimulus_ids: Collection[str]) -> SubjectTask:
        """The same task with some of its training and test stimuli left out."""
        if not stimulus_ids:
            return self
        left_out, groups = set(stimulus_ids), self.bootstrap_groups
        if groups is not None:
            groups = tuple(g for g, s in zip(groups, self.test_ids, strict=True) if s not in left_out)
        return replace(
            self,
            train_ids=tuple(s for s in self.train_ids if s not in left_out),
            test_ids=tuple(s for s in self.test_ids if s not in left_out),
            bootstrap_groups=groups,
        )


def _other_column(neuroids: pd.DataFrame, others: pd.DataFrame) -> str | None:
    """A column of which two tables say something else, empty for another number of rows; None where they are the same."""
    if len(neuroids) != len(others):
        return ""
    both = neuroids.columns.intersection(others.columns)
    one, other = (table[both].reset_index(drop=True).astype(object) for table in (neuroids, others))
    return next((str(column) for column in both if not one[column].equals(other[column])), None)


@dataclass(frozen=True)
class SubjectResult:
    """One subject's outcome, before it is put in relation to a ceiling.

    Attributes
    ----------
    subject : str
    n_train, n_test, n_features : int
    neuroids : pandas.DataFrame
    published_ceiling : NoiseCeiling
        Per neuroid, as published with the data.
    at_test : ExplainableVariance or None
        Per neuroid, of the test stimuli, where the metric compares neuroids.
    correlations : numpy.ndarray of float64, shape (neuroids,), or None
        Per neuroid, where the metric compares neuroids.
    similarity : float or None
        Where the metric compares representations as wholes.
    p_values : numpy.ndarray of float64, shape (neuroids,), or None
        One-sided, of each correlation; see :mod:`.statistics.bootstrap`.
    alpha : float or None
        The ridge penalty, or how many mean eigenvalues it is.
    mean_eigenvalue : float or None
        Of the centred training kernel, where ``alpha`` counts it: the penalty is their product.
    measured : object
        What the metric needs of the subject's responses to make a ceiling: nothing is read again once a result is there.
    dropped_stimuli : tuple of str
        Stimuli of the task that were left out because the model has no features for them.
    responses_sketch, training_sketch : numpy.ndarray of float64 or None
        Of the responses to the test and, where something is fitted, to the training stimuli; see :meth:`Responses.sketch`.
    features_digest : str
        Label of the features that were used; see :attr:`.features.probe.Probe.digest`.
    notes : tuple of str
        Choices and doubts that a reader of the number should know of, one sentence each.
    region : str
        That was compared.
    """

    subject: str
    n_train: int
    n_test: int
    n_features: int
    neuroids: pd.DataFrame
    published_ceiling: NoiseCeiling
    at_test: ExplainableVariance | None = None
    correlations: np.ndarray | None = None
    p_values: np.ndarray | None = None
    similarity: float | None = None
    alpha: float | None = None
    mean_eigenvalue: float | None = None
    draws: Draws | None = None
    measured: object = None
    dropped_stimuli: tuple[str, ...] = ()
    responses_sketch: np.ndarray | None = None
    training_sketch: np.ndarray | None = None
    features_digest: str = ""
    notes: tuple[str, ...] = ()
    region: str = ""


Results = Iterator[tuple[SubjectTask, SubjectResult]]
"""What a metric yields."""


def with_sorted_test(task: SubjectTask) -> SubjectTask:
    """The task with its test stimuli sorted. Their order seeds draws, which so are the same in all that is tested on them."""
    order = tuple(sorted(task.test_ids))
    if order == task.test_ids:
        return task
    groups = task.bootstrap_groups and dict(zip(task.test_ids, task.bootstrap_groups, strict=True))
    return replace(task, test_ids=order, bootstrap_groups=groups and tuple(groups[one] for one in order))
