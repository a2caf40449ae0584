"""Measured responses to stimuli, averaged over repetitions: what metrics compare a kernel with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .errors import ResponsesError
from .named_rows import in_another_order, misnamed_rows, row_indexes
from .statistics.ceilings import ExplainableVariance, NoiseCeiling

ROUNDING = 1e-13
"""Spread of values beside their size below which they count as equal."""


@dataclass(frozen=True)
class Responses:
    """One subject's responses in one region.

    Attributes
    ----------
    subject : str
    stimulus_ids : numpy.ndarray of str, shape (n,)
        Each stimulus once.
    values : numpy.ndarray, shape (n, neuroids)
        Averages over repetitions, finite.
    n_repetitions : numpy.ndarray of int, shape (n,)
    neuroids : pandas.DataFrame
        One row per neuroid; columns become coordinates of per-neuroid results.
    noise_ceiling : NoiseCeiling
        As published with the data, at the repetitions that it refers to.
    noise_variance : numpy.ndarray of float64, shape (neuroids,), optional
        σ², of a single trial around its stimulus (:func:`.statistics.ceilings.noise_variance`). Without it, what
        ``noise_ceiling`` leaves of the variance of all these ``values``.
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

    def _check_values(self) -> None:
        """Make arrays of lists and tables; refuse values that are no real and finite numbers, or hidden behind a mask."""
        if not isinstance(self.neuroids, pd.DataFrame):
            raise ResponsesError(
                f"neuroids is a DataFrame with a row for each neuroid; that of {self.subject} is a "
                f"{type(self.neuroids).__name__}. Give a number to each: pd.DataFrame({{'neuroid_id': range(N)}})."
            )
        for name in ("values", "n_repetitions"):
            self._check_rows(name, getattr(self, name))
        self._check_names_of_neuroids()
        masked = int(np.ma.count_masked(self.values)) if np.ma.is_masked(self.values) else 0
        for name in ("stimulus_ids", "values", "n_repetitions"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        counts = self.n_repetitions
        if counts.ndim != 1 or counts.dtype.kind not in "iuf" or not (np.isfinite(counts) & (counts >= 1)).all():
            raise ResponsesError(
                f"n_repetitions has a number of 1 or more for each stimulus; that of {self.subject} is {counts.dtype} of shape "
                f"{counts.shape}{f', the least of it {counts.min()}' if counts.size and counts.dtype.kind in 'iuf' else ''}."
            )
        if self.noise_variance is not None:
            object.__setattr__(self, "noise_variance", np.asarray(self.noise_variance, dtype=float))
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

    def _check_names_of_neuroids(self) -> None:
        """Refuse what calls neuroids as the table's index or one of its columns does, in another order."""
        index = self.neuroids.index
        called = [] if isinstance(index, pd.RangeIndex) else [index]  # a default index counts places
        called += [pd.Index(column) for _, column in self.neuroids.items()]
        columns = getattr(self.values, "columns", None)
        for what, given in (
            ("Columns of values", row_indexes(getattr(self.values, "T", None), ()) if columns is None else [columns]),
            ("Rows of noise_variance", row_indexes(self.noise_variance, ())),
            ("Rows of noise_ceiling", row_indexes(self.noise_ceiling.named, ())),
        ):
            same = any(names.equals(one) for names in given for one in called)
            other = any(in_another_order(names, one) for names in given for one in called)
            if other and not same:
                raise ResponsesError(
                    f"{what} are those of neuroids, in their order; for {self.subject} they are the rows of neuroids in "
                    f"another order. Sort one by the other (frame[neuroids.index]), or give an array without names."
                )

    def _check_rows(self, name: str, given) -> None:
        """Refuse a table whose rows have other names than the stimuli, or the same in another order."""
        wrong = misnamed_rows(row_indexes(given), self.stimulus_ids)
        if wrong is not None:
            i, names = wrong
            both = i < min(len(names), len(self.stimulus_ids))
            said, wanted = (names[i], str(self.stimulus_ids[i])) if both else (len(names), len(self.stimulus_ids))
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
