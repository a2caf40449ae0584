"""A PyTorch network, and the BrainModel that it becomes when regions are mapped to its layers."""

from __future__ import annotations

import contextlib
import functools
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from types import SimpleNamespace

from brainscore_vision.model_interface import BrainModel

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.first_images import (
    Held,
    first_images_matter,
    learned_from_first,
    may_learn,
    same_arrays,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.hooks import (
    NOTES_ATTRIBUTE,
    LayerReader,
    layer_names,
    nearest_layers,
    resolve_layer,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import asked, network_digest, pytorch_wrapper
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import answers_by_layers, region_layers
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from .errors import ModelSourceError
from .preparing import InputSettings, check_transform, grey_image, noise_image, transformed_images

_logger = logging.getLogger(__name__)

VISUAL_DEGREES = 8
"""Brain-Score's field of view of a model."""

BATCH_SIZE = 64

OWN, GIVEN, AUTO = "own", "given", "auto"
"""Who has chosen the layers: who made the model, who scores it, or their scores on training images."""

MODEL_INTERFACE = ("identifier", "visual_degrees", "start_recording", "look_at")
"""What scoring needs of a BrainModel."""

Layers = Mapping[str, str | Sequence[str]]
"""Region to a layer's name, or to a list of names whose features are put side by side."""


@dataclass(frozen=True)
class Network:
    """A network that can see images, without layers for regions.

    Attributes
    ----------
    identifier : str
    activations_model : brainscore_vision.model_helpers.activations.pytorch.PytorchWrapper
        Holds the network and its preprocessing.
    visual_degrees : float
        Field of view: how wide the network's input is, in degrees of visual angle.
    source : str or None
        Where it was taken from, in full; None for a network that was made in Python.
    layers : mapping of str to str or list of str
        What regions are mapped to already, where it was taken from a BrainModel.
    facts : mapping of str to str
        What its Scores say besides: which code made it, and what was made (:mod:`.finding`).
    """

    identifier: str
    activations_model: object = field(repr=False)
    visual_degrees: float = VISUAL_DEGREES
    source: str | None = None
    layers: Layers = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self):
        """The torch.nn.Module."""
        return pytorch_wrapper(self.activations_model)._model

    @property
    def preprocessing(self) -> Callable:
        """From a list of paths to an array (n_images, n_channels, height, width)."""
        return self.activations_model._extractor.preprocess

    @functools.cached_property
    def revision(self) -> str:
        """Digest of the weights: a changed checkpoint is another model."""
        return network_digest(SimpleNamespace(activations_model=self.activations_model))

    @classmethod
    def of(cls, model: BrainModel, source: str | None = None) -> Network:
        """The network in a BrainModel that Brain-Score's ModelCommitment made.

        Raises
        ------
        ModelSourceError
            There is no PyTorch network in it, or several; or it does more with a layer's answer than ModelCommitment does.
        """
        activations_model = getattr(model, "activations_model", None)
        if pytorch_wrapper(activations_model) is None or not hasattr(model, "layer_model"):
            raise ModelSourceError(
                f"Layers are those of a PyTorch network; {model.identifier} is a {type(model).__name__} without one. Score it "
                f"as it is, without layers; in a sweep, name the layers by model (--layers FILE.json, or a column of a list)."
            )
        if not answers_by_layers(model):
            raise ModelSourceError(
                f"Layers are chosen of models that record as Brain-Score's ModelCommitment does; {model.identifier}, a "
                f"{type(model).__name__}, has a look_at, start_recording or layer_model of its own, whose work would be lost. "
                f"Score it as it is, without layers."
            )
        layers = dict(region_layers(model))
        return cls(model.identifier, activations_model, model.visual_degrees(), source, layers)

    def commit(self, layers: Layers, choice: str | Mapping[str, str] = OWN) -> BrainModel:
        """The BrainModel whose regions are these layers.

        Parameters
        ----------
        layers : mapping of str to str or list of str
        choice : {"own", "given", "auto"}, or mapping of str to such
            Who has chosen them, of all or by region: who made the model, who scores it, or their scores on training images.
            Scores say so.

        Raises
        ------
        ModelSourceError
            No layers, a layer that the network does not have or does not call, or a network that cannot see an image as
            its preprocessing makes it. Found by showing it one grey image.
        """
        from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

        layers = self._checked(layers)
        self.check(sorted({name for group in layers.values() for name in group}))
        candidates = list(dict.fromkeys(name for group in layers.values() for name in group))
        model = ModelCommitment(
            identifier=self.identifier,
            activations_model=self.activations_model,
            layers=candidates,
            region_layer_map={region: group[0] if len(group) == 1 else group for region, group in layers.items()},
            visual_degrees=self.visual_degrees,
        )
        model.model_source, model.layer_choice = self.source, choice
        for name, fact in self.facts.items():
            setattr(model, name, fact)
        return model

    def check(self, layers: Sequence[str] = ()) -> None:
        """Show one grey image; raise ModelSourceError if the network cannot see it, or if a layer does not answer."""
        wrapper = pytorch_wrapper(self.activations_model)
        known = layer_names(wrapper)
        for layer in layers:
            try:
                resolve_layer(wrapper, layer)
            except AssertionError as error:  # how the wrapper says that there is none
                raise ModelSourceError(
                    f"Regions are mapped to layers of the network; {self.identifier} has no {layer!r}. "
                    f"{nearest_layers(layer, known)} `laion-score layers {self.source or 'MODEL'} --list` shows all."
                ) from error
        owners = may_learn(SimpleNamespace(activations_model=self.activations_model))
        before, images = Held(owners), self._prepared(grey_image())

        def show(images) -> None:
            # what is chosen for the user in answers is said by the passes that are recorded
            LayerReader(wrapper, self.identifier, say=_logger.debug).get_activations(images, list(layers))

        def answers() -> list:
            return self._answers(show, layers, self._prepared(noise_image()))

        try:
            show(images)
            learned = learned_from_first(owners, before, answers, tuple, same_arrays)
        except StimulusKernelError as error:
            raise ModelSourceError(str(error)) from error
        except Exception as error:
            shape = " × ".join(map(str, images[0].shape))
            raise ModelSourceError(
                f"A network sees images, one tensor per batch; {self.identifier} fails on one of {shape}: "
                f"{type(error).__name__}: {' '.join(str(error).split())}. If it wants another size, give image_size; if it "
                f"wants other channels or values, give preprocessing; if it wants more than images, wrap it in a module."
            ) from error
        if learned:
            raise ModelSourceError(first_images_matter(self.identifier, learned))

    def _prepared(self, image):
        with tempfile.TemporaryDirectory(prefix="laion-fmri-7t-") as folder:
            image.save(path := f"{folder}/made.png")
            return self.preprocessing([path])

    def _answers(self, show: Callable, layers: Sequence[str], images) -> list:
        """Of layers, or of all modules without others inside if there are none, to images."""
        import torch

        found, wrapper = [], pytorch_wrapper(self.activations_model)
        modules = [resolve_layer(wrapper, layer)[0] for layer in layers] or [
            part
            for part in self.module.modules()
            if next(part.children(), None) is None and not isinstance(part, torch.jit.ScriptModule)
        ]

        def take(_module, _inputs, output):
            if isinstance(output, torch.Tensor) and output.layout is torch.strided and not output.is_quantized:
                found.append(output.detach().double().cpu().numpy())

        with contextlib.ExitStack() as hooked:
            for module in modules:
                hooked.callback(module.register_forward_hook(take).remove)
            show(images)
        return found

    def _checked(self, layers: Layers) -> dict[str, list[str]]:
        if not isinstance(layers, Mapping) or not layers:
            raise ModelSourceError(
                f"layers is a dictionary of regions and layers, {{'V1': 'LAYER', 'IT': 'LAYER'}}; received {layers!r} for "
                f"{self.identifier}. `laion-score layers {self.source or 'MODEL'} --list` shows its layers."
            )
        checked = {}
        for region, names in layers.items():
            group = [names] if isinstance(names, str) else names
            if not isinstance(group, list | tuple) or not group or not all(isinstance(name, str) for name in group):
                raise ModelSourceError(
                    f"A region is mapped to a layer's name, or to a list of names; received {region!r}: {names!r}."
                )
            checked[str(region)] = list(dict.fromkeys(group))
        return checked


def as_network(
    module,
    identifier: str | None = None,
    *,
    preprocessing: Callable | None = None,
    settings: InputSettings | None = None,
    image_size: int | tuple[int, int] | None = None,
    visual_degrees: float = VISUAL_DEGREES,
    batch_size: int = BATCH_SIZE,
    source: str | None = None,
    name: str | None = None,
) -> Network:
    """A Network of a torch.nn.Module; parameters as for :func:`as_brain_model`.

    ``settings`` is the input that the network was made for, where that is known; ``name`` stands for the class in the default
    identifier.
    """
    import torch
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

    if not isinstance(module, torch.nn.Module):
        raise ModelSourceError(
            f"A network is a torch.nn.Module; received a {type(module).__name__}{_hint(module, torch)}."
        )
    for part in module.modules():  # torch.export replaces both in the object
        if isinstance(part, torch.fx.GraphModule) and {"train", "eval"} <= vars(part).keys():
            raise ModelSourceError(
                f"A network is scored in evaluation mode, and a program of torch.export has no eval(); this "
                f"{type(module).__name__} is or holds one. Give the network as it was before it was exported."
            )
    # a frozen script has no mode any more
    training = next((name for name, part in module.named_modules() if asked(part, "training", False)), None)
    if training is not None:
        where = f"its {training!r} is" if training else "it is"
        raise ModelSourceError(
            f"A network is scored in evaluation mode: in training mode, dropout and batch normalisation answer otherwise each "
            f"time; received a {type(module).__name__}, and {where} in training mode. Call its eval() first."
        )
    empty = [name for name, part in (*module.named_parameters(), *module.named_buffers()) if part.is_meta]
    if empty:
        raise ModelSourceError(
            f"A network has its weights in memory; {len(empty)} of those of this {type(module).__name__} are on the device "
            f"meta, which keeps no values, the first: {empty[0]!r}. Make it on the CPU, or load its weights with assign=True."
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ModelSourceError(f"batch_size is a number of images, 1 or more; received {batch_size!r}.")
    if isinstance(visual_degrees, bool) or not isinstance(visual_degrees, Real) or not 0 < visual_degrees < 360:
        raise ModelSourceError(
            f"visual_degrees is how wide the network's input is, a number of degrees between 0 and 360; received "
            f"{visual_degrees!r}."
        )
    if preprocessing is not None:
        if image_size is not None:
            raise ModelSourceError(
                "preprocessing makes images of its own size: leave image_size out, or preprocessing."
            )
        check_transform(preprocessing)
        note = None
        prepare = functools.partial(transformed_images, transform=preprocessing)
    else:
        held, is_known = {} if settings else _held_settings(module), bool(settings) or image_size is not None
        settings = settings or _settings_of(held)
        if image_size is not None:
            settings = replace(settings, size=_size(image_size))
        prepare, note = settings.preprocessing(), _note(held, settings)
        if not is_known:
            note = note or _note_of_torchvision(module, settings)
    if identifier is None:
        digest = network_digest(SimpleNamespace(activations_model=SimpleNamespace(network=module)))
        identifier = f"{name or type(module).__name__}-{digest[:8]}"
    elif not isinstance(identifier, str) or not identifier.strip():
        raise ModelSourceError(f"identifier is the model's name in results; received {identifier!r}.")
    wrapper = PytorchWrapper(model=module, preprocessing=prepare, identifier=identifier, batch_size=batch_size)
    if preprocessing is None:
        wrapper.image_size = settings.size[0]  # as Brain-Score's models say it
    if note is not None:
        note = f"{identifier}: {note}"
        setattr(wrapper, NOTES_ATTRIBUTE, (note,))
        warn_once(note)
    return Network(identifier, wrapper, visual_degrees, source)


def as_brain_model(
    network,
    identifier: str | None = None,
    *,
    layers: Layers,
    preprocessing: Callable | None = None,
    image_size: int | tuple[int, int] | None = None,
    visual_degrees: float = VISUAL_DEGREES,
    batch_size: int = BATCH_SIZE,
) -> BrainModel:
    """Make a BrainModel of a PyTorch network.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. Its one input is a batch of images, a tensor (n_images, n_channels, height, width).
    identifier : str, optional
        The model's name in results and on leaderboards. Default: the class and eight digits of a digest of the weights.
    layers : dict of str to str or list of str
        Region to the layer that is recorded for it, as ``network.named_modules()`` names it; the features of several layers
        are put side by side. ``relu#0`` is the first call of a module that is called several times.
    preprocessing : callable, optional
        From one PIL image (RGB) to a tensor or an array of floating point numbers (n_channels, height, width). Default: the
        whole image is resized to the network's input and normalised as the network's own settings say, where it or a module
        in it carries them (timm's ``pretrained_cfg``), else with the mean and standard deviation of ImageNet, 224 × 224,
        bilinear.
    image_size : int or tuple of int, optional
        Height and width of the network's input in pixels, for the default preprocessing.
    visual_degrees : float
        How wide the network's input is, in degrees of visual angle. LAION-fMRI's images were shown 9.2 degrees wide: at
        Brain-Score's usual 8, the network sees their middle 8 degrees; at 9.2, all of them.
    batch_size : int
        Images at once; on the CPU, batches of wide layers are made smaller.

    Returns
    -------
    brainscore_vision.model_interface.BrainModel
        A ModelCommitment.

    Raises
    ------
    ModelSourceError
        What is given is not as said above, or the network fails on a grey image, which it is shown.
    """
    if layers == AUTO:
        raise ModelSourceError(
            "Layers are chosen on the training images of a dataset, when a network is scored: give the network itself to "
            "score_model(network, ..., layers='auto')."
        )
    made = as_network(
        network,
        identifier,
        preprocessing=preprocessing,
        image_size=image_size,
        visual_degrees=visual_degrees,
        batch_size=batch_size,
    )
    return made.commit(layers)


def _hint(value, torch) -> str:
    if isinstance(value, type) and issubclass(value, torch.nn.Module):
        return f", the class {value.__name__} itself: make one, {value.__name__}(...)"
    if isinstance(value, Mapping):
        return ": are these weights alone? Make the network and load them, network.load_state_dict(...)"
    if all(hasattr(value, name) for name in MODEL_INTERFACE):
        return ", which is a BrainModel already"
    return ""


def _held_settings(module, name: str = "") -> dict[str, InputSettings]:
    """The outermost modules that timm says an input of, by name; "" is the network itself."""
    configuration = asked(module, "pretrained_cfg")
    if isinstance(configuration, Mapping) and "input_size" in configuration:
        return {name: settings_of_timm(configuration)}
    held = {}
    for child, part in module.named_children():
        held |= _held_settings(part, f"{name}.{child}" if name else child)
    return held


def _settings_of(held: Mapping[str, InputSettings]) -> InputSettings:
    """The input that the networks of timm in a network were made for, where it is one; else what most networks were."""
    settings = set(held.values())
    return settings.pop() if len(settings) == 1 else InputSettings()


def _note(held: Mapping[str, InputSettings], settings: InputSettings) -> str | None:
    """What a Score says of an input that was chosen by what a network holds."""
    if "" in held or set(held.values()) <= {InputSettings()}:
        return None
    names = ", ".join(map(repr, held))
    if len(set(held.values())) > 1:
        return (
            f"images are {settings}; the networks of timm in it, {names}, were made for other inputs each. Give preprocessing "
            f"to show other images."
        )
    return f"images are {settings}, as timm says for its {names}. Give preprocessing to show other images."


def settings_of_timm(configuration: Mapping) -> InputSettings:
    """What a configuration of timm's says of a network's input."""
    _, height, width = configuration["input_size"]
    return InputSettings(
        (height, width), tuple(configuration["mean"]), tuple(configuration["std"]), configuration["interpolation"]
    )


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """Networks of torchvision for classification and segmentation: others see videos, pairs, or lists of images."""
    from torchvision import models

    return (*models.list_models(models), *models.list_models(models.segmentation))


def settings_of_torchvision(weights) -> InputSettings:
    """What some weights of torchvision's say of a network's input."""
    transform = weights.transforms()
    # classification resizes and cuts out the middle, segmentation only resizes
    size = transform.crop_size[0] if hasattr(transform, "crop_size") else transform.resize_size[0]
    return InputSettings((size, size), tuple(transform.mean), tuple(transform.std), transform.interpolation.value)


def untrained_settings_of_torchvision(name: str) -> InputSettings:
    """Of a network that is made without weights: of its smallest size, which its best weights may exceed (vit_h_14)."""
    from torchvision import models

    choices = models.get_model_weights(name)
    return min(map(settings_of_torchvision, (choices.DEFAULT, *choices)), key=lambda settings: settings.size)


def _note_of_torchvision(module, settings: InputSettings) -> str | None:
    """What a Score says of a network of torchvision's that may have been made for another input: it does not know its name."""
    home = type(module).__module__
    if home.split(".")[:2] != ["torchvision", "models"]:
        return None
    from torchvision import models

    alike = [name for name in torchvision_names() if models.get_model_builder(name).__module__ == home]
    others = [name for name in alike if untrained_settings_of_torchvision(name) != settings]
    if not others:
        return None
    named = f"{', '.join(others[:3])}{' and others' * (len(others) > 3)}"
    return (
        f"images are {settings}; torchvision made {named} for other ones, and a network does not know its name. If it is "
        f"one of these, name it (torchvision:{others[0]}@WEIGHTS, say), or give preprocessing."
    )


def _size(image_size) -> tuple[int, int]:
    size = (image_size, image_size) if not isinstance(image_size, tuple | list) else tuple(image_size)
    if len(size) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in size):
        raise ModelSourceError(f"image_size is a number of pixels, or height and width; received {image_size!r}.")
    return size
