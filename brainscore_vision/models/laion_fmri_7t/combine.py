"""Several feature spaces side by side in one model."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from itertools import chain

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.model_interface import BrainModel

from brainscore_vision.benchmark_helpers.stimulus_kernels import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.answers import features_of
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import answer_of
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel, bind


def combine(
    models: Sequence[BrainModel], weights: Sequence[float] | None = None, identifier: str | None = None
) -> BrainModel:
    """One model whose features are those of several models side by side.

    Parameters
    ----------
    models : sequence of BrainModel
        At least two, of different identifiers. Where all of them look their features up, so does the result, and needs no
        image; models that see images have one field of view in common.
    weights : sequence of float, optional
        Factor of each model's features, all 1 by default: ridge prefers the space with the larger variance, so that
        spaces on different scales are better weighted, e.g. by one over their standard deviation.
    identifier : str, optional
        The models' identifiers joined by "+" by default.

    Returns
    -------
    CombinedLookupModel or CombinedModel

    Raises
    ------
    StimulusKernelError
        Fewer than two models, a model twice, weights that are not positive, or different fields of view.
    """
    models = list(models)
    names = [str(model.identifier) for model in models]
    if len(models) < 2 or len(set(names)) < len(names):
        raise StimulusKernelError(
            f"combine takes at least two models, each once; received {', '.join(names) or 'none'}."
        )
    factors = [1.0] * len(models) if weights is None else [float(weight) for weight in weights]
    if len(factors) != len(models) or not all(np.isfinite(factor) and factor > 0 for factor in factors):
        raise StimulusKernelError(f"Each of the {len(models)} models has one positive weight; received {weights!r}.")
    if identifier is None:
        parts = [name if factor == 1 else f"{factor:g}*{name}" for name, factor in zip(names, factors, strict=True)]
        identifier = "+".join(parts)
    if all(isinstance(model, LookupModel) for model in models):
        return CombinedLookupModel(models, factors, identifier)
    degrees = {float(model.visual_degrees()) for model in models if not isinstance(model, LookupModel)}
    if len(degrees) > 1:
        raise StimulusKernelError(
            f"Models that are combined see images at one size; these see {', '.join(f'{d:g}' for d in sorted(degrees))} "
            f"degrees. Commit them with the same visual_degrees."
        )
    return CombinedModel(models, factors, identifier, degrees.pop())


class CombinedLookupModel(LookupModel, DatasetModel):
    """Feature tables side by side; made by :func:`combine`."""

    def __init__(self, models: Sequence[LookupModel], weights: Sequence[float], identifier: str):
        # what one model must have is not to be left out because another can do without
        super().__init__("drop" if all(model.missing == "drop" for model in models) else "error")
        self._models, self._weights, self._identifier = tuple(models), tuple(weights), identifier

    def bind(self, dataset) -> CombinedLookupModel:
        return type(self)([bind(model, dataset) for model in self._models], self._weights, self._identifier)

    @property
    def identifier(self) -> str:
        return self._identifier

    @property
    def features_version(self) -> str:
        versions = [(model.identifier, model.features_version) for model in self._models]
        return hashlib.sha256(repr((versions, self._weights)).encode()).hexdigest()[:32]

    @property
    def feature_names(self) -> Sequence[str]:
        """Those of all models, with their weights; none where one has none, or two have the same."""
        parts = [
            [name if weight == 1 else f"{weight:g}*{name}" for name in model.feature_names]
            for model, weight in zip(self._models, self._weights, strict=True)
        ]
        names = list(chain.from_iterable(parts))
        return names if all(parts) and len(set(names)) == len(names) else ()

    def known(self, stimulus_ids: Sequence[str]) -> Collection[str]:
        known = set.intersection(*(set(model.known(stimulus_ids)) for model in self._models))
        return [stimulus_id for stimulus_id in stimulus_ids if stimulus_id in known]

    def features_for(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        parts = zip(self._models, self._weights, strict=True)
        return np.concatenate([_weighted(model.features_for(stimulus_ids), weight) for model, weight in parts], axis=1)

    def notes(self) -> list[str]:
        return list(dict.fromkeys(note for model in self._models for note in model.notes()))

    def remedy(self, unknown: Sequence[str]) -> str:
        for model in self._models:
            lacking = set(unknown).difference(model.known(unknown))
            if lacking:
                return f"{model.identifier} lacks {len(lacking)} of them. {model.remedy(sorted(lacking))}"
        return super().remedy(unknown)


class CombinedModel(BrainModel, DatasetModel):
    """Answers of several models side by side; made by :func:`combine`."""

    def __init__(self, models: Sequence[BrainModel], weights: Sequence[float], identifier: str, visual_degrees: float):
        self._models, self._weights = tuple(models), tuple(weights)
        self._identifier, self._visual_degrees = identifier, visual_degrees

    def bind(self, dataset) -> CombinedModel:
        models = [bind(model, dataset) for model in self._models]
        return type(self)(models, self._weights, self._identifier, self._visual_degrees)

    @property
    def identifier(self) -> str:
        return self._identifier

    @property
    def features_version(self) -> str:
        """Of the weights: each model counts for itself besides."""
        return repr(self._weights)

    def visual_degrees(self) -> float:
        return self._visual_degrees

    def start_recording(self, recording_target, time_bins) -> None:
        """Every model records the region."""
        for model in self._models:
            model.start_recording(recording_target, time_bins)

    def look_at(self, stimuli, number_of_trials: int = 1) -> NeuroidAssembly:
        """Answers of all models, aligned by stimulus: (presentation × neuroid)."""
        ids = [str(stimulus_id) for stimulus_id in stimuli["stimulus_id"]]
        parts = [
            _weighted(
                features_of(
                    model.look_at(stimuli, number_of_trials=number_of_trials), ids, model.identifier, "a combination"
                ),
                weight,
            )
            for model, weight in zip(self._models, self._weights, strict=True)
        ]
        values = np.concatenate(parts, axis=1)
        spaces = np.repeat([str(model.identifier) for model in self._models], [part.shape[1] for part in parts])
        return answer_of(values, stimuli, {"space": spaces})


def _weighted(features: np.ndarray, weight: float) -> np.ndarray:
    """In single precision at least: half precision could overflow under a weight."""
    features = np.asarray(features, dtype=np.result_type(features.dtype, np.float32))
    return features if weight == 1 else features * features.dtype.type(weight)
