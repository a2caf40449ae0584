"""What a results database answers with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import t_interval


@dataclass(frozen=True)
class UnitResult:
    """One subject's numbers.

    Attributes
    ----------
    value, raw, ceiling : float
        The ceiled score, what was divided, and by what.
    interval : tuple of float or None
        95 % over resampled test stimuli; None for metrics that resample none.
    alpha : float or None
        The ridge penalty, or how many mean eigenvalues it is; None for metrics without one.
    mean_eigenvalue : float or None
        Of the centred training kernel, where ``alpha`` counts it: the penalty is their product.
    n_train, n_test, n_neuroids, n_features, n_significant_voxels : int or None
        None where several folds differ; the last of a mean over folds, and where the Score does not say it.
    normalizations : dict of str to float
    fold_hides_sign : bool
        Of a mean over folds, whether one of them :attr:`hides_sign`.
    """

    value: float
    raw: float
    ceiling: float
    interval: tuple[float, float] | None
    alpha: float | None
    mean_eigenvalue: float | None
    n_train: int | None
    n_test: int | None
    n_neuroids: int | None
    n_features: int | None
    normalizations: dict[str, float]
    n_significant_voxels: int | None = None
    fold_hides_sign: bool = False

    @property
    def hides_sign(self) -> bool:
        """Whether a negative raw score became a positive one: the published normalization squares it."""
        return self.fold_hides_sign or self.raw < 0 < self.value


@dataclass(frozen=True)
class FoldResult:
    """One fold's numbers: means over its subjects.

    Attributes
    ----------
    value, raw, ceiling : float
    error, raw_error, ceiling_error : float or None
        Standard errors by resampling subjects; None where they cannot be estimated.
    normalizations : dict of str to float
    subjects : dict of str to UnitResult
    """

    value: float
    error: float | None
    raw: float
    raw_error: float | None
    ceiling: float
    ceiling_error: float | None
    normalizations: dict[str, float]
    subjects: dict[str, UnitResult]

    @property
    def hides_sign(self) -> bool:
        """Whether a negative raw score of some subject was squared to a positive one."""
        return any(unit.hides_sign for unit in self.subjects.values())


@dataclass(frozen=True)
class Result:
    """One model on one benchmark.

    Attributes
    ----------
    id : int
        Of the result in its database; grows with the order of adding.
    model : str
        The model's own identifier. Where the results that were asked for have several networks of one identifier, what tells
        them apart follows in brackets (:mod:`.names`).
    model_identifier : str
        The model's own identifier, as it is.
    requested_model : str
        As it was asked for; see :class:`~.facts.RunFacts`, as for the attributes that are not explained here.
    model_source : str or None
        Where the network was taken from, in full: ``torchvision:resnet50@IMAGENET1K_V2`` where ``torchvision:resnet50`` was
        asked for. None in results of earlier versions, and for a model that was made in Python.
    layers : dict of str to str or list of str
        The layers that were scored, by model region; empty where nothing is known.
    layer_choice : {"own", "given", "auto"} or None
        Who has chosen them: who made the model, who scored it, or their scores on training images.
    network_digest, features_digest : str or None
        Of the weights, or of the whole table of features, and of the features in the layer that was scored; see
        :func:`~brainscore_vision.benchmark_helpers.stimulus_kernels.features.network.network_digest` and
        :class:`~brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe.Probe`. None where nothing is known.
    model_code : str or None
        Where ``model_revision`` is of what was made (:class:`~..networks.finding.Made`): hash of the code that made it.
    benchmark : str
        Without the dataset that the identifier may name, which ``dataset`` describes.
    value, raw, ceiling : float
        Means over subjects, or over folds.
    error, raw_error, ceiling_error : float or None
        Standard errors; None where they cannot be estimated.
    normalization : str
        Which of ``normalizations`` is the value.
    dataset : dict
        As Dataset.describe() gives it.
    subjects : dict of str to UnitResult
        Empty where there are folds.
    folds : dict of str to FoldResult
        ``fold_0`` ...; empty for benchmarks with one split.
    properties : dict of str to str or number
        What a list of models says of the model (:mod:`.properties`): ``family``, ``parameters`` ...
    visual_degrees : float or None
        How wide the model's input is; None for tables of features, and where it is not known.
    dropped_stimuli : tuple of str
        Stimuli that were left out because the model has no features for them.
    notes : tuple of str
        What a reader of the number should know, one sentence each.
    layer_in_name : bool
        Whether the layer follows the name because of other results in the file, not all of which may have been asked for.
    """

    id: int
    model: str
    model_identifier: str
    requested_model: str
    model_revision: str | None
    network_digest: str | None
    features_digest: str | None
    benchmark: str
    benchmark_version: int
    value: float
    error: float | None
    raw: float
    raw_error: float | None
    ceiling: float
    ceiling_error: float | None
    normalization: str
    normalizations: dict[str, float]
    dataset: dict
    dataset_fingerprint: str
    is_simulated: bool
    subjects: dict[str, UnitResult]
    folds: dict[str, FoldResult]
    started: datetime
    seconds: float
    peak_memory_bytes: int
    machine: str
    versions: dict[str, str]
    dropped_stimuli: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    model_source: str | None = None
    layers: dict[str, str | list[str]] = field(default_factory=dict)
    layer_choice: str | None = None
    model_code: str | None = None
    visual_degrees: float | None = None
    properties: dict[str, str | int | float | bool] = field(default_factory=dict)
    layer_in_name: bool = field(default=False, compare=False)

    @property
    def layer(self) -> str:
        """The scored layers as text: see :func:`layers_text`."""
        return layers_text(self.layers)

    @property
    def n_notes(self) -> int:
        """How many ``notes`` there are."""
        return len(self.notes)

    @property
    def n_dropped_stimuli(self) -> int:
        """How many ``dropped_stimuli`` there are."""
        return len(self.dropped_stimuli)

    @property
    def hides_sign(self) -> bool:
        """Whether a negative raw score of some subject was squared to a positive one."""
        return any(part.hides_sign for part in (*self.subjects.values(), *self.folds.values()))

    @property
    def interval_over_subjects(self) -> tuple[float, float] | None:
        """95 % by t over the subjects' values: what other people would give; None for a single subject."""
        values = np.array([unit.value for unit in self.by_subject().values()])
        return t_interval(values) if len(values) > 1 else None

    @property
    def significant_voxels(self) -> tuple[int, int] | None:
        """Voxels that are predicted (5 % of false discoveries per subject), and all that were scored; sums over subjects.

        None of a mean over folds, and where it is not known.
        """
        counts = [(unit.n_significant_voxels, unit.n_neuroids) for unit in self.by_subject().values()]
        if any(None in pair for pair in counts):
            return None
        return tuple(map(sum, zip(*counts, strict=True)))

    def by_subject(self) -> dict[str, UnitResult]:
        """Each subject's numbers: its own, or means over folds, which have neither interval nor alpha."""
        if not self.folds:
            return self.subjects
        names = next(iter(self.folds.values())).subjects
        return {name: _mean([fold.subjects[name] for fold in self.folds.values()]) for name in names}


class Summary(NamedTuple):
    """What a list of results shows of one: a :class:`Result` without subjects and folds, read many times as fast.

    Attributes are those of :class:`Result`, and:

    Attributes
    ----------
    n_notes, n_dropped_stimuli : int
    """

    id: int
    model: str
    model_identifier: str
    requested_model: str
    model_revision: str | None
    model_source: str | None
    network_digest: str | None
    layers: dict[str, str | list[str]]
    layer_choice: str | None
    benchmark: str
    benchmark_version: int
    value: float
    error: float | None
    raw: float
    raw_error: float | None
    ceiling: float
    ceiling_error: float | None
    hides_sign: bool
    interval_over_subjects: tuple[float, float] | None
    normalization: str
    dataset: dict
    dataset_fingerprint: str
    is_simulated: bool
    started: datetime
    seconds: float
    peak_memory_bytes: int
    n_notes: int
    n_dropped_stimuli: int
    visual_degrees: float | None
    model_code: str | None
    properties: dict[str, str | int | float | bool]

    @property
    def layer(self) -> str:
        """The scored layers as text: see :func:`layers_text`."""
        return layers_text(self.layers)


@dataclass(frozen=True)
class Failure:
    """A model that could not be scored on a benchmark.

    Attributes
    ----------
    id : int
        Counts results and failures together in the order of adding.
    model : str
        As it was asked for.
    benchmark : str or None
        None if the model could not even be made.
    error : str
        Class and message of the exception.
    traceback : str
    """

    id: int
    model: str
    model_revision: str | None
    benchmark: str | None
    benchmark_version: int
    dataset_fingerprint: str
    error: str
    traceback: str
    started: datetime
    seconds: float
    peak_memory_bytes: int
    machine: str
    versions: dict[str, str]


def layers_text(layers: Mapping[str, str | Sequence[str]]) -> str:
    """Layers as text: those of one region without its name, of several as ``V1=conv1, IT=conv4 + conv5``."""
    texts = {region: names if isinstance(names, str) else " + ".join(names) for region, names in layers.items()}
    return next(iter(texts.values())) if len(texts) == 1 else ", ".join(f"{r}={text}" for r, text in texts.items())


def _mean(units: list[UnitResult]) -> UnitResult:
    return UnitResult(
        value=_average(u.value for u in units),
        raw=_average(u.raw for u in units),
        ceiling=_average(u.ceiling for u in units),
        interval=None,
        alpha=None,
        mean_eigenvalue=None,
        **{
            name: _common(getattr(u, name) for u in units) for name in ("n_train", "n_test", "n_neuroids", "n_features")
        },
        n_significant_voxels=None,  # a result: folds in which it is the same would be a biased choice
        normalizations={  # a fold without explainable variance lacks some
            name: _average(u.normalizations[name] for u in units)
            for name in units[0].normalizations
            if all(name in u.normalizations for u in units)
        },
        fold_hides_sign=any(u.hides_sign for u in units),
    )


def _average(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _common(values: Iterable):
    different = set(values)
    return different.pop() if len(different) == 1 else None
