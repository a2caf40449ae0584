"""Features of a Brain-Score model, a batch of stimuli at a time.

Any BrainModel is recorded through ``start_recording`` and ``look_at``. For the library's ModelCommitment two things are
done better, with the same numbers: the layers of all regions are recorded in one forward pass, and batches are taken by
a hook before Brain-Score packs them with per-feature coordinates (0.7 s for 196,608 features, however few the images).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.activations import core as activations_core
from brainscore_vision.model_helpers.activations.core import ActivationsExtractorHelper
from brainscore_vision.model_helpers.utils import make_list
from tqdm.auto import tqdm as brainscore_tqdm

from ..errors import ModelOutputError, UnmappedRegionError
from ..wording import warn_once
from .ahead import WAITING_BYTES
from .answers import TIME_BINS, check_features, features_of
from .as_written import alone_with
from .hooks import LayerReader, layer_names, nearest_layers, replaced, resolve_layer
from .kept_answers import without_kept_answers
from .lookup import LookupModel, LookupRecorder
from .network import asked, find_plugin, held_in, modules_in, pytorch_wrapper

if TYPE_CHECKING:
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

LOOK_AT_BLOCK = 64
"""Stimuli per ``look_at`` where a model's whole answer is in memory at once."""

HOOKED_BLOCK = 512
"""Stimuli per ``look_at`` where batches are taken by a hook; a multiple of usual batch sizes."""

FIRST_BLOCK = CPU_BATCH = 8
"""Stimuli that are shown first where the width of the layers is not known yet, and at once to a network on the CPU: answers to
more do not fit in the memory that is near the processor."""

GPU_BATCH = 256
"""Images that a GPU sees at once where its memory allows: for each batch, the thread that drives the network waits as often for
the interpreter's lock, which the threads that prepare images hold in turn."""

BATCH_BYTES = 64 * 2**20
"""What a batch's answer may take in a network on the CPU: the activations around a wide layer take several times as much."""

Sink = Callable[[dict], None]
"""Receives {recording label: features of shape (n_batch, n_features)} for consecutive stimuli: arrays or, where features stay
on a GPU, tensors."""


@functools.cache
def library():
    """Brain-Score's models that have regions: imported for a model, since they bring scikit-learn, 0.7 s of any command."""
    from brainscore_vision.model_helpers import brain_transformation

    return brain_transformation


def commitment() -> type | tuple:
    """ModelCommitment; while nobody has imported it, no model is one, and this is empty, which ``isinstance`` takes too."""
    return library().ModelCommitment if "brainscore_vision.model_helpers.brain_transformation" in sys.modules else ()


class RegionRecorder:
    """Records one region after the other, through the BrainModel interface alone."""

    needs_images = True
    waiting_bytes = 0

    def __init__(self, model, regions: Sequence[str]):
        self.model = model
        self.labels = {region: region for region in regions}
        self.notes: dict[str, list[str]] = {}
        self._readers = _readers(model)

    def growth(self) -> float:
        """Stimuli at once in a recording, beside those in a pass over a few before it."""
        return LOOK_AT_BLOCK / FIRST_BLOCK

    def record(self, stimuli: StimulusSet, labels: Sequence[str], sink: Sink) -> None:
        """Show ``stimuli``, and pass the features of ``labels`` to ``sink`` in the order of the stimuli."""
        with recording_alone(self.model), without_kept_answers(self.model):
            for start in range(0, len(stimuli), LOOK_AT_BLOCK):
                block = _subset(stimuli, start, LOOK_AT_BLOCK)
                sink({label: self._look_at(block, label) for label in labels})

    def _look_at(self, block: StimulusSet, region: str) -> np.ndarray:
        try:
            self.model.start_recording(region, time_bins=TIME_BINS)
            with contextlib.ExitStack() as open_readers:
                for reader in self._readers:
                    open_readers.enter_context(reader.reading())
                assembly = self.model.look_at(block, number_of_trials=1)
        except KeyError as error:
            if error.args and error.args[0] == region:
                raise _unmapped(self.model, region, ()) from error
            raise
        self.notes[region] = [note for reader in self._readers for note in reader.notes_on(reader.read)]
        return features_of(assembly, list(block["stimulus_id"]), self.model.identifier, region)


class CommitmentRecorder:
    """Records the layers of all regions of a ModelCommitment in one forward pass."""

    needs_images = True

    def __init__(self, model: ModelCommitment, regions: Sequence[str]):
        self.model = model
        self._layers = {region: _committed(model, region) for region in regions}
        self._reader = _reader(model)
        _check_layers(model, self._layers)
        self.labels = {region: _label(layers) for region, layers in self._layers.items()}
        self._answer_bytes: dict[str, int] = {}
        self._times_own = 1

    def keep_on(self, device: str) -> bool:
        """Whether features can stay on a device; they do from now on, and are tensors there."""
        keeps = self._reader is not None and self._reader.may_keep(device)
        if keeps:
            self._reader.keeps = True
        return keeps

    def enlarge_batches(self, n_bytes: int, room: int) -> int:
        """Show a GPU several of the extractor's own batches at once from now on: how many times as many images as until now.

        Parameters
        ----------
        n_bytes : int
            What the network takes to answer to a batch of the size until now.
        room : int
            What it may take.
        """
        before, own = self._times_own, self.model.activations_model._extractor._batch_size
        while 2 * self._times_own * own <= GPU_BATCH and 2 * self._times_own // before * n_bytes <= room:
            self._times_own *= 2
        return self._times_own // before

    @property
    def notes(self) -> dict[str, list[str]]:
        """Label to what was chosen for the user in the answers of its layers."""
        if self._reader is None:
            return {}
        return {self.labels[region]: self._reader.notes_on(layers) for region, layers in self._layers.items()}

    def batch_size(self, layers: Sequence[str]) -> int:
        """Images that the network sees at once when these layers are recorded.

        Usually the extractor's own batch size. PyTorch networks on the CPU, which lose by large batches, get smaller ones:
        ``CPU_BATCH`` images, or as many as fit in ``BATCH_BYTES``. GPUs may get larger ones (:meth:`enlarge_batches`).
        """
        own = self.model.activations_model._extractor._batch_size
        if not self._may_shrink():
            return own * self._times_own
        if not set(layers) <= self._answer_bytes.keys():
            return min(own, FIRST_BLOCK)
        fitting = BATCH_BYTES // sum(self._answer_bytes[layer] for layer in layers)
        return min(own, CPU_BATCH, 2 ** max(0, fitting.bit_length() - 1))

    def growth(self) -> float:
        """Images at once in a recording of all layers, beside those in a pass over a few stimuli before it.

        A batch that may not shrink is filled up, however few the stimuli: nothing grows.
        """
        if not self._may_shrink():
            return 1.0
        return self.batch_size(list(self._answer_bytes)) / min(
            FIRST_BLOCK, self.model.activations_model._extractor._batch_size
        )

    @property
    def waiting_bytes(self) -> int:
        """Of images that are prepared before the network asks for them."""
        return WAITING_BYTES if self._reader is not None and self._reader.images.one_by_one else 0

    def _may_shrink(self) -> bool:
        wrapper = pytorch_wrapper(self.model.activations_model)
        return wrapper is not None and wrapper._device.type == "cpu"

    def record(self, stimuli: StimulusSet, labels: Sequence[str], sink: Sink) -> None:
        """Show ``stimuli``, and pass the features of ``labels`` to ``sink`` in the order of the stimuli."""
        layers_of = {
            label: layers for region, layers in self._layers.items() if (label := self.labels[region]) in labels
        }
        layers = sorted({layer for group in layers_of.values() for layer in group})
        all_paths, start = [str(stimuli.get_stimulus(stimulus_id)) for stimulus_id in stimuli["stimulus_id"]], 0
        with recording_alone(self.model), self._ahead(all_paths):
            while start < len(stimuli):
                known = set(layers) <= self._answer_bytes.keys()
                block = _subset(stimuli, start, HOOKED_BLOCK if known else min(FIRST_BLOCK, self.batch_size(layers)))
                paths = all_paths[start : start + len(block)]
                start += len(block)
                # the extractor shows repeated files once, so answers have to be dealt out to the stimuli
                unique = {path: i for i, path in enumerate(dict.fromkeys(paths))}
                rows = None if len(unique) == len(paths) else np.array([unique[path] for path in paths])
                self._look_at(block, layers, layers_of, rows, len(unique), sink)

    def _ahead(self, paths: Sequence[str]):
        if self._reader is None:
            return contextlib.nullcontext()
        return self._reader.images.ahead(paths, self.model)

    def _look_at(self, block, layers, layers_of, rows, n_unique: int, sink: Sink) -> None:
        extractor, counted, held = self.model.activations_model._extractor, [], []

        def take(batch):
            unasked = [name for name in layers if name not in batch]
            if unasked:
                raise ModelOutputError(
                    f"A wrapper answers under the names of layers that it is asked for; that of {self.model.identifier} was "
                    f"asked for {unasked[0]!r} and answered {', '.join(map(repr, list(batch)[:8])) or 'nothing'}. Map the "
                    f"region to one of its names, or correct its get_activations."
                )
            lengths = {len(batch[layer]) for layer in layers}
            n_batch = max(lengths)
            if len(lengths) > 1 or n_batch > n_unique - sum(counted):
                answered = ", ".join(f"{len(batch[layer])} times in {layer}" for layer in layers)
                raise _miscounted(self.model.identifier, n_unique - sum(counted), answered)
            answers = self._reader.kept if self._reader is not None and self._reader.keeps else batch
            flat = {layer: _flat(answers[layer][:n_batch]) for layer in layers}
            self._answer_bytes.update((layer, v.shape[1] * v.itemsize) for layer, v in flat.items())
            features = {label: _joined([flat[layer] for layer in group], 1) for label, group in layers_of.items()}
            counted.append(n_batch)
            if rows is None:
                sink(
                    {label: check_features(values, self.model.identifier, label) for label, values in features.items()}
                )
            else:
                held.append(features)
            # the first layer alone, as Brain-Score packs each layer that it gets: with hundreds, longer than small networks
            # take to answer; a copy, as a view would keep the whole answer in memory until the next one is there
            return type(batch)([(layers[0], _flat(batch[layers[0]])[:, :1].copy())])

        handle = extractor.register_batch_activations_hook(take)
        own_batch_size = extractor._batch_size
        try:
            extractor._batch_size = self.batch_size(layers)
            with _quiet_extractor(), self._reader.reading() if self._reader else contextlib.nullcontext():
                self.model.activations_model(block, layers=layers, number_of_trials=1, require_variance=False)
        finally:
            extractor._batch_size = own_batch_size
            handle.remove()
        if sum(counted) != n_unique:
            raise _miscounted(self.model.identifier, n_unique, f"{sum(counted)} times")
        if rows is not None:
            for label in layers_of:
                values = _joined([features[label] for features in held], 0)
                held[0][label] = check_features(values[rows], self.model.identifier, label)
            sink(held[0])


def recording_alone(model):
    """While this is open, no other thread records a model, or another one with a network of it."""
    return alone_with([model, *modules_in(model)])


def recorder_for(model, regions: Sequence[str]) -> RegionRecorder | CommitmentRecorder | LookupRecorder:
    """The fastest recorder that gives a model's numbers for ``regions``."""
    regions = tuple(dict.fromkeys(regions))
    if isinstance(model, LookupModel):
        return LookupRecorder(model, regions)
    for part, value in held_in(model):
        _check_wrapper(part, value)
    if type(model) is commitment() and answers_by_layers(model):
        layers = [layer for region in regions for layer in _committed(model, region)]
        with recording_alone(model):
            by_batches = _gives_batches(model.activations_model, layers)
        if by_batches:
            return CommitmentRecorder(model, regions)
    if isinstance(model, commitment()):
        for region in regions:
            _committed(model, region)
    return RegionRecorder(model, regions)


def committed_layers(model, regions: Sequence[str]) -> dict[str, str | list[str]]:
    """The layers that a ModelCommitment records for regions: a name, or a list of several. Empty for other models."""
    if not isinstance(model, commitment()):
        return {}
    of_regions, layers = region_layers(model), {}
    for region in dict.fromkeys(regions):
        with contextlib.suppress(KeyError):
            layers[region] = _mapped(of_regions, region)
    return {region: names if isinstance(names, str) else list(names) for region, names in layers.items() if names}


def mapped_regions(model, regions: Sequence[str]) -> list[str]:
    """Those of some regions that a ModelCommitment's map has; asks for none, as some maps make what they are asked for."""
    of_regions = region_layers(model) if isinstance(model, commitment()) else {}
    return [region for region in dict.fromkeys(regions) if region in of_regions]


def region_layers(model: ModelCommitment) -> dict:
    """Region to layers, as a ModelCommitment looks them up when it records."""
    return getattr(model.layer_model, "_layer_model", model.layer_model).region_layer_map


def _mapped(of_regions: Mapping, region: str):
    """Layers of a region, which some maps make when they are asked; KeyError if there are none.

    Brain-Score's own map starts a download when it is asked for a region that it lacks.
    """
    if region not in of_regions and isinstance(of_regions, library().RegionLayerMap):
        raise KeyError(region)
    return of_regions[region]


def committed_regions(model) -> tuple[str, ...]:
    """Regions that the library's ModelCommitment has layers for; none of other models, which do not say."""
    return tuple(region_layers(model)) if type(model) is commitment() else ()


def _check_wrapper(model, wrapper) -> None:
    """Raise ModelOutputError for what cannot answer to images, before any is shown."""
    size = asked(asked(wrapper, "_extractor"), "_batch_size", 1)
    if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
        raise ModelOutputError(
            f"A wrapper shows its network batches of one image or more; batch_size of {model.identifier} is {size!r}. Give "
            f"its wrapper a positive whole number."
        )
    temporal = sys.modules.get("brainscore_vision.model_helpers.activations.temporal.model.base")
    if temporal is not None and isinstance(wrapper, temporal.ActivationWrapper):
        raise ModelOutputError(
            f"Responses to images have no time course, and Brain-Score's temporal wrapper answers for time bins alone; "
            f"{model.identifier} has one. Commit its network in a PytorchWrapper whose preprocessing repeats each image as the "
            f"frames of a video (images × channels × frames × height × width)."
        )


def _reader(model) -> LayerReader | None:
    wrapper = pytorch_wrapper(asked(model, "activations_model"))
    return None if wrapper is None else LayerReader(wrapper, model.identifier)


def _readers(model) -> list[LayerReader]:
    """Of all PyTorch networks in a model: its own, those in its attributes, those of models that it is made of."""
    wrappers = {}
    for part, value in held_in(model):
        wrapper = pytorch_wrapper(value)
        if wrapper is not None:
            wrappers.setdefault(id(wrapper), LayerReader(wrapper, part.identifier))
    return list(wrappers.values())


def _committed(model: ModelCommitment, region: str) -> tuple[str, ...]:
    """Layers that a model is committed to for a region.

    Raises
    ------
    UnmappedRegionError
        None. Brain-Score can choose a layer now, on its own benchmark of the region, which is a download: it does so for
        models that it has registered, which count on it, and not for a user's own.
    """
    of_regions = region_layers(model)
    try:
        found = _mapped(of_regions, region)
    except KeyError:
        found = _chosen(model, region, of_regions)
    layers = tuple(make_list(found))
    if not layers or not all(isinstance(layer, str) for layer in layers):
        raise UnmappedRegionError(
            f"A region is mapped to a layer's name, or to a list of names; {model.identifier} maps {region} to "
            f"{found!r}. Correct its region_layer_map."
        )
    # numpy's text, as Brain-Score's choice of layers gives it, is no key of a kernel
    return tuple(dict.fromkeys(map(str, layers)))


def _chosen(model: ModelCommitment, region: str, of_regions: Mapping):
    """A layer of a region that a model is not committed to, chosen by Brain-Score; raises as :func:`_committed`."""
    if not isinstance(of_regions, library().RegionLayerMap):
        raise _unmapped(model, region, tuple(of_regions))
    if region not in of_regions.region_benchmarks or not _is_registered(model.identifier):
        raise _uncommitted(model, region)
    warn_once(
        f"{model.identifier} names no layer for {region}: Brain-Score chooses one on its public benchmark of {region}, "
        f"whose data it may have to download first."
    )
    try:
        of_regions.commit_region(region)
    except Exception as error:
        raise UnmappedRegionError(
            f"{_uncommitted(model, region)} Brain-Score could not choose one either: {type(error).__name__}: {error}"
        ) from error
    return of_regions[region]


def _check_layers(model: ModelCommitment, layers_of: dict[str, tuple[str, ...]]) -> None:
    """Raise UnmappedRegionError if a PyTorch network lacks a layer that a region is mapped to."""
    wrapper = pytorch_wrapper(model.activations_model)
    if wrapper is None:
        return
    for region, layers in layers_of.items():
        for layer in layers:
            try:
                resolve_layer(wrapper, layer)
            except AssertionError as error:  # how the wrapper says so
                raise UnmappedRegionError(
                    f"A region is mapped to a layer of the network; {model.identifier} maps {region} to {layer!r}, which it "
                    f"does not have. {nearest_layers(layer, layer_names(wrapper))}"
                ) from error


def _miscounted(model: str, n: int, answered: str) -> ModelOutputError:
    return ModelOutputError(
        f"{model} must answer once for each of {n} stimuli, but answered {answered}. Check the model's activations wrapper, "
        f"and that the first axis of its answers is the stimuli's."
    )


def _flat(answer):
    """Shape (n_batch, n_features); a batch of no answers too, whose number of features -1 could not stand for."""
    return answer.reshape((len(answer), math.prod(answer.shape[1:])))


def _joined(parts: list, axis: int):
    """Arrays as one, or tensors."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=axis)
    import torch

    return torch.cat(parts, dim=axis)


def _label(layers: Sequence[str]) -> str:
    """One name for recorded layers; a layer's own name may hold any separator."""
    return layers[0] if len(layers) == 1 else json.dumps(layers)


def answers_by_layers(model) -> bool:
    """Whether a model records as ModelCommitment does: the layers of a region, as its activations model answers them.

    Subclasses, other objects in place of its parts, and methods that were set on one of these may do anything else.
    """
    if not isinstance(model, commitment()):
        return False
    aligned = model.layer_model
    mapped = getattr(aligned, "_layer_model", None)
    kinds = library().ModelCommitment, library().TemporalAligned, library().neural.LayerMappedModel
    return all(map(_does_as, (model, aligned, mapped), kinds)) and mapped.activations_model is model.activations_model


def _does_as(value, kind: type) -> bool:
    """Whether an object looks at stimuli as those of a class do."""
    if not isinstance(value, kind):
        return False
    names = [name for name in ("look_at", "start_recording", "run_activations") if hasattr(kind, name)]
    return all(inspect.getattr_static(value, name) is inspect.getattr_static(kind, name) for name in names)


def _gives_batches(wrapper, layers: Sequence[str]) -> bool:
    """Whether the batches of a wrapper's extractor are its answer: some wrappers change it when they are called.

    The wrapper is called with an extractor that answers something that can only be handed on.
    """
    extractor, answer = asked(wrapper, "_extractor"), object()
    if type(extractor) is not ActivationsExtractorHelper:
        return False
    if any(callable(getattr(type(extractor), name, None)) for name in vars(extractor)):  # methods that were set on it
        return False
    none = StimulusSet({"stimulus_id": []})
    none.stimulus_paths, none.identifier = {}, None
    with replaced(extractor, "from_stimulus_set", lambda **_: answer), contextlib.suppress(Exception):
        return wrapper(none, layers=list(layers), number_of_trials=1, require_variance=False) is answer
    return False


def _subset(stimuli: StimulusSet, start: int, size: int) -> StimulusSet:
    block = StimulusSet(stimuli.iloc[start : start + size].reset_index(drop=True))
    block.stimulus_paths = stimuli.stimulus_paths
    block.identifier = None
    return block


def _is_registered(identifier: str) -> bool:
    try:
        find_plugin(identifier)
    except AssertionError:  # how Brain-Score says that there is no registration
        return False
    return True


def _uncommitted(model: ModelCommitment, region: str) -> UnmappedRegionError:
    committed = dict(model.layer_model.region_layer_map)
    wrapper = pytorch_wrapper(model.activations_model)
    # layers that were passed to ModelCommitment are candidates for regions
    layers = list(model.layers or (layer_names(wrapper) if wrapper else ()))
    shown = ", ".join(map(repr, layers[:8])) + (f" ... ({len(layers)} of them)" if len(layers) > 8 else "")
    known = f"of its regions, only {', '.join(committed)} have a layer" if committed else "no region has a layer yet"
    return UnmappedRegionError(
        f"A benchmark records the region that it measures, but {model.identifier} was committed without a region_layer_map, "
        f"and {known}; received {region}. Commit it with ModelCommitment(..., "
        f'region_layer_map={{"{region}": "LAYER", ...}}); its layers are {shown}. map_layers '
        f"(`layers` on the command line) finds the best ones."
    )


def _unmapped(model, region: str, mapped: Sequence[str]) -> UnmappedRegionError:
    known = f"It maps {', '.join(map(repr, mapped))}." if mapped else "It does not say which regions it maps."
    return UnmappedRegionError(
        f"A benchmark records the region that it measures, but {model.identifier} maps no layer to {region}. {known} "
        f"Add {region!r} to its layers (layers={{'{region}': 'LAYER'}}, or the region_layer_map of a ModelCommitment)."
    )


@contextlib.contextmanager
def _quiet_extractor():
    """Brain-Score's extractor shows two bars of its own per call; the engine shows one for the whole run."""
    activations_core.tqdm = functools.partial(brainscore_tqdm, disable=True)
    try:
        yield
    finally:
        activations_core.tqdm = brainscore_tqdm
