"""What layers a network has: found out by showing it a few made images, with a hook on each of its modules.

The images are black, white and noise, and no dataset's. Two passes over them tell layers whose answers are random, a pass
over fewer tells which axis of an answer is the images'. Layers whose answers are equal on all of them, to the last bit, are
one layer with several names: dropout and identity in evaluation, a flattened answer, a container and the last module in it.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ModelOutputError, UnmappedRegionError
from ..features.answers import LayerAnswer, check_features
from ..features.as_written import AS_WRITTEN
from ..features.hooks import CALL_MARK, REFUSALS, image_axes, reads_calls, remedy
from ..features.network import pytorch_wrapper
from ..features.probe import Probe
from ..features.recording import library
from ..features.shown import ShownImages
from ..features.source_text import failure

N_IMAGES, N_FEWER = 8, 2
IMAGE_SIZE = 256
SEED = 20261126
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Layer:
    """One call of a module, as made images show it.

    Attributes
    ----------
    name : str
        Of the module; of a call before the last one, with its number: ``relu#0``.
    kind : str
        Class of the module.
    shape : tuple of int or None
        Of the answer to one image; None if it has none.
    itemsize : int
        Bytes of a number in the answer.
    n_parameters : int
        Of the module and those in it.
    problem : str
        Why it cannot be recorded; empty if it can.
    same_as : str
        A layer before it that answers alike; empty if there is none.
    digest : str
        Equal digests are equal answers.
    is_broken : bool
        Whether the problem is its numbers: nan, infinity, or others when the same images are shown again.
    started : int
        How many calls of other modules had begun before this one.
    module : torch.nn.Module
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    itemsize: int
    n_parameters: int
    problem: str
    same_as: str
    digest: str = field(repr=False)
    is_broken: bool = field(repr=False)
    started: int = field(repr=False)
    module: object = field(repr=False, compare=False)

    @property
    def n_features(self) -> int:
        return 0 if self.shape is None else math.prod(self.shape)

    @property
    def bytes_per_image(self) -> int:
        return self.n_features * self.itemsize


def network_of(model):
    """The PytorchWrapper of a model whose layers can be listed.

    Raises
    ------
    UnmappedRegionError
        The model holds no PyTorch network as Brain-Score's ModelCommitment does: pixels, lookup tables, models of models.
    """
    wrapper = pytorch_wrapper(model.activations_model) if type(model) is library().ModelCommitment else None
    if wrapper is None:
        raise UnmappedRegionError(
            f"Layers are those of a PyTorch network in a ModelCommitment; {model.identifier} is a {type(model).__name__} "
            f"without one, so there is no layer to choose. Score it as it is."
        )
    return wrapper


def list_layers(model) -> list[Layer]:
    """Every layer of a model's network, in the order in which they answer; those that are never called come last.

    Parameters
    ----------
    model : brainscore_vision.model_helpers.brain_transformation.ModelCommitment
        Of a PyTorch network.

    Returns
    -------
    list of Layer

    Raises
    ------
    UnmappedRegionError
        See :func:`network_of`.
    ModelOutputError
        The network cannot be shown images.
    """
    import torch

    wrapper = network_of(model)
    with tempfile.TemporaryDirectory() as folder:
        paths = _made_images(Path(folder))
        try:
            images = wrapper._extractor.preprocess(paths)
            first, again = _pass(wrapper, model.identifier, images), _pass(wrapper, model.identifier, images)
        except REFUSALS as error:
            raise ModelOutputError(
                f"A network answers to the images that its preprocessing makes; {model.identifier} was shown {N_IMAGES} of "
                f"them and failed with {failure(error)}. {remedy(error, wrapper._model)}"
            ) from error
        try:
            fewer = {call.key: call for call in _pass(wrapper, model.identifier, images[:N_FEWER])}
        except REFUSALS:  # a network may be made for one number of images
            fewer = {}
    n_calls: dict = {}
    for call in first:
        n_calls[call.module] = call.key[1] + 1
    second = {call.key: call for call in again}
    names = {module: name for name, module in wrapper._model.named_modules() if name}
    layers: list[Layer] = []
    reads_own = reads_calls(wrapper)

    def same_as(digest: str) -> str:
        return next((before.name for before in layers if before.digest == digest), "")

    for call in first:
        other = fewer.get(call.key)
        fingerprint, problem = call.fingerprint(None if other is None else other.shape)
        is_broken = call.is_broken
        if not problem:
            repeated = second[call.key].at(call.axis) if call.key in second else None
            if not isinstance(repeated, Probe) or not fingerprint.agrees(repeated):
                problem = "it answers otherwise when the same images are shown again (dropout or noise is on)"
                is_broken = True
        last = call.key[1] == n_calls[call.module] - 1
        if not last and not reads_own:
            problem = "its wrapper records with hooks of its own, which know no single calls"
            is_broken = False
        layers.append(
            Layer(
                name=call.name if last else f"{call.name}{CALL_MARK}{call.key[1]}",
                kind=type(call.module).__name__,
                shape=None if problem and not is_broken else call.shape[: call.axis] + call.shape[call.axis + 1 :],
                itemsize=call.itemsize,
                n_parameters=_n_parameters(call.module),
                problem=problem,
                same_as="" if problem or not reads_own else same_as(call.digest),
                digest="" if problem and not call.is_broken else call.digest,
                is_broken=is_broken,
                started=call.started,
                module=call.module,
            )
        )
    for module, name in names.items():
        if module not in n_calls:
            scripted = isinstance(module, torch.jit.ScriptModule)
            problem = "torch.jit.script lets nobody see its answers" if scripted else "it is never called in evaluation"
            layers.append(
                Layer(
                    name=name,
                    kind=type(module).__name__,
                    shape=None,
                    itemsize=0,
                    n_parameters=_n_parameters(module),
                    problem=problem,
                    same_as="",
                    digest="",
                    is_broken=False,
                    started=len(layers),
                    module=module,
                )
            )
    return layers


class _Call:
    """One answer of a module, boiled down when it is given."""

    def __init__(self, name: str, number: int, module, output, started: int, model: str):
        self.name, self.module, self.started = name, module, started
        self.key = name, number
        answer = LayerAnswer.of(output)
        self.shape, self.digest, self.itemsize, self.axis = None, "", 0, 0
        self._problem, self._kept, self.is_broken = "", {}, False
        if answer.tensor is None:
            self._problem = f"it answers with {answer.kind}{answer.problem}, and not with real numbers in a tensor"
            return
        values = answer.tensor.numpy()
        self.shape, self.itemsize = values.shape, values.itemsize
        content = hashlib.blake2b(f"{values.dtype}".encode(), digest_size=DIGEST_BYTES)
        content.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        self.digest = content.hexdigest()
        for axis in image_axes(self.shape, None, N_IMAGES, N_FEWER):
            rows = np.moveaxis(values, axis, 0).reshape(N_IMAGES, -1)
            try:
                found = Probe.of(check_features(rows, model, name))
            except ModelOutputError as error:
                found = str(error)
            self._kept[axis] = found

    def fingerprint(self, fewer: tuple | None) -> tuple[Probe | None, str]:
        """Fingerprint of an answer with one row per image, or None and the problem; ``fewer`` is the shape for fewer images."""
        if self._problem:
            return None, self._problem
        axes = image_axes(self.shape, fewer, N_IMAGES, N_FEWER)
        if len(axes) != 1:
            also = f" and {_shape(fewer)} to {N_FEWER}" if fewer is not None else ""
            return None, f"no axis of its answer holds one row per image ({_shape(self.shape)} to {N_IMAGES}{also})"
        self.axis = axes[0]
        found = self.at(self.axis)
        self.is_broken = isinstance(found, str)
        return (None, found) if self.is_broken else (found, "")

    def at(self, axis: int) -> Probe | str | None:
        """Fingerprint of an answer whose rows lie along an axis, or what is wrong with them; None if it has no such rows."""
        return self._kept.get(axis)


def _pass(wrapper, identifier: str, images) -> list[_Call]:
    """What all modules answer to images, in the order of their answers."""
    import torch

    network, calls, counts, begun = wrapper._model, [], {}, []
    shown = ShownImages(wrapper, identifier)
    batches, failed = list(shown.in_precisions(shown.as_batch(images))), None

    def before(name, _module, _inputs):
        begun.append(name)
        open_calls.append(len(begun) - 1)

    def after(name, module, _inputs, output):
        number = counts[name] = counts.get(name, -1) + 1
        calls.append(_Call(name, number, module, output, open_calls.pop(), identifier))

    open_calls: list[int] = []
    network.eval()
    with ExitStack() as hooked, torch.no_grad(), AS_WRITTEN:
        for name, module in network.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):  # these take no hooks
                hooked.callback(module.register_forward_pre_hook(_named(before, name)).remove)
                hooked.callback(module.register_forward_hook(_named(after, name)).remove)
        for batch in batches:
            try:
                network(batch, **getattr(wrapper, "_forward_kwargs", {}))
            except Exception as error:  # noqa: BLE001 - in the other precision it may answer
                failed = failed or error
                for noted in (calls, counts, begun, open_calls):
                    noted.clear()
            else:
                return calls
    raise failed


def _named(hook, name: str):
    return lambda *arguments: hook(name, *arguments)


def _made_images(folder: Path) -> list[str]:
    """Black, white, and noise of several contrasts and scales: layers that agree on images of one kind are told apart."""
    rng, paths = np.random.default_rng(SEED), []
    for i in range(N_IMAGES):
        coarse = rng.integers(0, 256, (2 ** (1 + i % 4), 2 ** (1 + i % 4), 3), dtype=np.uint8)
        grown = np.asarray(Image.fromarray(coarse).resize((IMAGE_SIZE, IMAGE_SIZE)), dtype=float)
        noisy = 128 + (grown - 128) * (i + 1) / N_IMAGES + rng.normal(0, 8 * (i % 3), grown.shape)
        pixels = np.full_like(grown, 255 * i) if i < 2 else noisy
        path = folder / f"made-{i}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        paths.append(str(path))
    return paths


def _n_parameters(module) -> int:
    from torch.nn.parameter import is_lazy

    return sum(p.numel() for p in module.parameters() if not is_lazy(p))


def _shape(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes)) or "one number"
