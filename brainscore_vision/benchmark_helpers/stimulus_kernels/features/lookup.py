"""Models that know their features by stimulus id: scored without an image, and on the stimuli that they know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_interface import BrainModel

from ..errors import ModelOutputError, NotAbleError, StimulusKernelError
from ..wording import asked_as

LOOKUP_BLOCK = 4096
"""Stimuli per lookup: bounds memory, and is few enough reads of a table."""

MISSING = ("error", "drop")

MIN_KNOWN = 3
"""Stimuli on either side without which there is no correlation over stimuli, nor one of RDMs."""


class LookupModel(BrainModel):
    """A BrainModel whose answer to a stimulus is looked up by the stimulus' id; the image is never opened.

    The features are the same for every region. A subclass says which stimuli it knows and what their features are.

    Attributes
    ----------
    missing : {"error", "drop"}
        What to do about stimuli that are needed but not known: raise, or leave them out of training and test, which the
        Score says in ``attrs['dropped_stimuli']``.
    """

    def __init__(self, missing: str = "error"):
        if missing not in MISSING:
            raise StimulusKernelError(f"missing is one of {', '.join(MISSING)}; received {missing!r}.")
        self.missing = missing
        self._region = None

    @property
    @abstractmethod
    def identifier(self) -> str:
        """Name of the model."""

    @property
    @abstractmethod
    def features_version(self) -> str:
        """Changes with the features: part of a kernel's key, in place of the contents of images."""

    @property
    def feature_names(self) -> Sequence[str]:
        """Names of the features, where they have some."""
        return ()

    @abstractmethod
    def known(self, stimulus_ids: Sequence[str]) -> Collection[str]:
        """Those of the given stimuli that have features."""

    @abstractmethod
    def features_for(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        """Features of known stimuli in their order, shape (n, n_features), any numeric dtype, finite."""

    def remedy(self, unknown: Sequence[str]) -> str:
        """What to do about stimuli that have no features; ends the error's message."""
        if self.missing == "drop":
            return "Complete the table."
        leave_out = asked_as("missing='drop'", "--drop-missing")
        return f"Complete the table, or leave these stimuli out ({leave_out})."

    def notes(self) -> list[str]:
        """What a Score should say of the features that were looked up so far, one sentence each."""
        return []

    def visual_degrees(self) -> float:
        """Nothing is shown, so any field of view will do."""
        return 8.0

    def start_task(self, task, fitting_stimuli=None) -> None:
        """Passive viewing is nothing to do; features alone cannot do any other task.

        Raises
        ------
        NotAbleError
            Another task.
        """
        if task != BrainModel.Task.passive:
            raise NotAbleError(
                f"{self.identifier} looks up features by a stimulus' id and sees no image, so it has no behavior; received "
                f"the task {task!r}. Score it on benchmarks of neural responses to the stimuli that it knows."
            )

    def start_recording(self, recording_target, time_bins=None) -> None:
        """Every region has the same features."""
        self._region = str(recording_target)

    def look_at(self, stimuli, number_of_trials: int = 1, require_variance: bool = False) -> NeuroidAssembly:
        """Features of the stimuli, (presentation × neuroid); reads their ids alone.

        Raises
        ------
        NotAbleError
            Stimuli that have no ids or no features, such as those of another dataset's benchmark; or answers are wanted that
            vary between trials.
        """
        if self._region is None:
            raise StimulusKernelError(f"{self.identifier} is asked to record a region before it looks at stimuli.")
        if require_variance or not isinstance(stimuli, StimulusSet):
            wanted = "answers that vary between trials" if require_variance else f"a {type(stimuli).__name__} of images"
            raise NotAbleError(
                f"{self.identifier} looks up features by a stimulus' id and sees no image; received a request for {wanted}."
            )
        ids = [str(stimulus_id) for stimulus_id in stimuli["stimulus_id"]]
        unknown = sorted(set(ids).difference(self.known(ids)))
        if unknown:
            raise NotAbleError(
                f"{self.identifier} looks up features by a stimulus' id and sees no image; {len(unknown)} of the "
                f"{len(set(ids))} stimuli that it is shown have no features, the first: {unknown[:3]}. Score it on benchmarks "
                f"whose stimuli it knows."
            )
        values = self.features_for(ids)
        return answer_of(values, stimuli, {"region": [self._region] * values.shape[1]})


def answer_of(values: np.ndarray, stimuli: StimulusSet, neuroids: Mapping[str, Sequence]) -> NeuroidAssembly:
    """Values of a model that makes them itself (stimuli × units), as an answer to ``look_at``.

    As Brain-Score's own models, it has what the set says of its stimuli: metrics draw folds by their object_name.
    """
    units = {"neuroid_id": ("neuroid", np.arange(values.shape[1]))}
    units |= {name: ("neuroid", of_units) for name, of_units in neuroids.items()}
    said = {"object_name": ("presentation", [""] * len(stimuli))}  # two coordinates make the dimension a multi-index
    columns = [column for column in stimuli.columns if column not in {*units, "presentation", "neuroid"}]
    said |= {column: ("presentation", stimuli[column].values) for column in columns}
    said["stimulus_id"] = ("presentation", list(map(str, stimuli["stimulus_id"])))
    return NeuroidAssembly(values, coords=said | units, dims=["presentation", "neuroid"])


class LookupRecorder:
    """Takes the features of a LookupModel as they are: one kernel serves all regions, and no image has to exist."""

    needs_images = False
    waiting_bytes = 0
    label = "features"

    def __init__(self, model: LookupModel, regions: Sequence[str]):
        self.model = model
        self.labels = dict.fromkeys(regions, self.label)

    @property
    def notes(self) -> dict[str, list[str]]:
        """What a Score should say, by label."""
        return {self.label: self.model.notes()}

    def growth(self) -> float:
        """Features are looked up in blocks; those of a block are small beside the table."""
        return 1.0

    def record(self, stimuli: StimulusSet, labels: Sequence[str], sink) -> None:
        """Pass the features of ``stimuli`` to ``sink`` in their order."""
        ids = [str(stimulus_id) for stimulus_id in stimuli["stimulus_id"]]
        for start in range(0, len(ids), LOOKUP_BLOCK):
            block = ids[start : start + LOOKUP_BLOCK]
            features = self.model.features_for(block)
            if np.ma.is_masked(features):
                raise ModelOutputError(
                    f"Features have a number in each place; {np.ma.count_masked(features)} of those that "
                    f"{self.model.identifier} gave for {len(block)} stimuli are masked. Fill them, or leave these stimuli out."
                )
            features = np.asarray(features)
            if features.ndim != 2 or len(features) != len(block):
                raise ModelOutputError(
                    f"{self.model.identifier} must have one row of features per stimulus; for {len(block)} stimuli it gave "
                    f"shape {features.shape}."
                )
            if features.dtype.kind not in "fiub" or not np.isfinite(features).all():
                raise ModelOutputError(
                    f"Features are finite numbers; {self.model.identifier} gave {features.dtype} with "
                    f"{(~np.isfinite(features)).sum() if features.dtype.kind == 'f' else 0} values that are not finite."
                )
            sink(dict.fromkeys(labels, features))


def check_enough(model: LookupModel, pool: str, sides: Sequence[tuple[str, int, int]], dropped: Sequence[str]) -> None:
    """Raise if a model knows too few stimuli for a score.

    Parameters
    ----------
    model : LookupModel
    pool : str
        Name of the pool, for the message.
    sides : sequence of (str, int, int)
        Name of a side of the split, how many stimuli it has, and how many of them the model knows.
    dropped : sequence of str
        Stimuli that it does not know.
    """
    if all(known >= MIN_KNOWN for _, _, known in sides):
        return
    counts = " and ".join(f"{known} of {needed} {name} stimuli" for name, needed, known in sides)
    raise ModelOutputError(
        f"A score needs at least {MIN_KNOWN} {' and as many '.join(name for name, _, _ in sides)} stimuli; "
        f"{model.identifier} has features for {counts} of {pool}. {model.remedy(dropped)}"
    )


def check_known(model: LookupModel, stimulus_ids: Sequence[str], what: str) -> None:
    """Raise if a model has no features for one of the given stimuli."""
    known = set(model.known(stimulus_ids))
    unknown = [stimulus_id for stimulus_id in stimulus_ids if stimulus_id not in known]
    if unknown:
        raise ModelOutputError(
            f"{model.identifier} must have features for all {len(stimulus_ids)} {what}; {len(unknown)} have none, the first: "
            f"{unknown[:3]}. {model.remedy(unknown)}"
        )
