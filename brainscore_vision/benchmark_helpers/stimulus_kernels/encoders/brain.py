"""Encoders as models: an encoder of one study is shown the images of another benchmark."""

from __future__ import annotations

from collections.abc import Collection

from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.model_interface import BrainModel

from ..errors import NotAbleError, StimulusKernelError, UnmappedRegionError
from ..features.lookup import answer_of
from .encoder import Encoder, fit_digest


class EncoderBrain(BrainModel):
    """Shows images to an encoder; each of its regions answers for the region of the same name.

    Parameters
    ----------
    encoder : Encoder
        Of images.
    identifier : str, optional
        Default: those of the network and the subject.
    """

    def __init__(self, encoder: Encoder, identifier: str | None = None):
        if encoder.about["kind"] != "images":
            raise NotAbleError(
                f"A model is shown images; the encoder of {encoder.about['identifier']} takes features. Fit one of a network."
            )
        self.encoder = encoder
        self._identifier = identifier or f"{encoder.about['identifier']}-predicted-{encoder.about['subject']}"
        self._region: str | None = None

    @property
    def identifier(self) -> str:
        return self._identifier

    @property
    def fitted_stimuli(self) -> Collection[str]:
        """Stimuli, responses to which are in the encoder: Scores say how many of them are tested on."""
        return self.encoder.metadata["encoding_model"].get("train_stimuli", ())

    @property
    def features_version(self) -> str:
        """:func:`~.encoder.fit_digest`: another fit is another model."""
        return fit_digest(self.encoder.about, self.encoder.parts)

    def visual_degrees(self) -> float:
        """Width of the images that the encoder takes; it fits them to its network's field of view itself."""
        return self.encoder.about["source_degrees"]

    def start_task(self, task, fitting_stimuli=None) -> None:
        """Passive viewing is nothing to do; NotAbleError for any other task."""
        if task != BrainModel.Task.passive:
            raise NotAbleError(
                f"{self.identifier} predicts neural responses and has no behavior; received the task {task!r}."
            )

    def start_recording(self, recording_target, time_bins=None) -> None:
        """Choose a region of the encoder; UnmappedRegionError, a KeyError, if it has none of that name."""
        if str(recording_target) not in self.encoder.metadata["roi"]:
            raise UnmappedRegionError(
                f"{self.identifier} answers for the regions all of whose voxels its encoder has, "
                f"{', '.join(self.encoder.metadata['roi'])}; received {recording_target}. Fit an encoder to it, or choose a "
                f"benchmark that records one of these."
            )
        self._region = str(recording_target)

    def look_at(self, stimuli, number_of_trials: int = 1, require_variance: bool = False) -> NeuroidAssembly:
        """Predicted responses, (presentation × neuroid); NotAbleError if they are to vary between trials."""
        if self._region is None:
            raise StimulusKernelError(f"{self.identifier} is asked to record a region before it looks at stimuli.")
        if require_variance:
            raise NotAbleError(
                f"{self.identifier} predicts the mean response to an image, which does not vary between trials."
            )
        values = self.encoder.encode(stimuli, {"roi": [self._region]}, progress=False)
        return answer_of(values, stimuli, {"region": [self._region] * values.shape[1]})
