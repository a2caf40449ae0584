"""Which network a model is: the plugin that registers it, the networks that it holds, and a digest of their weights, or of its
table of features.

Two networks may stand under one identifier: files that name their models alike, weights that were trained further, a
factory that does not seed them. Scores of the same digest come from the same weights on any machine, whatever their region.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from brainscore_core.plugin_management.import_plugin import ImportPlugin
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_interface import BrainModel
from brainscore_vision.utils import LazyLoad

import brainscore_vision

from .lookup import LookupModel

DIGEST_BYTES = 8
STATE_VALUES = 4096
"""Of each row and of each column of a weight, at most: whoever cuts out a unit writes to all of it."""

VALUES = bool | int | float | complex | str | bytes | None


def network_digest(model) -> str | None:
    """Digest of what a model's features come from, the same for all of its layers.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel

    Returns
    -------
    str or None
        16 hexadecimal digits: of the names, types and values of all parameters and buffers (and what else the modules' state
        holds), of the classes of all modules, and of ``features_version`` of models that have it, where the model, or a model
        in its attributes, holds torch modules; of ``features_version`` alone where there are no modules and all of these
        models have one. None for any other model.

    Notes
    -----
    What is no parameter or buffer does not count: preprocessing, the choice of layers, constants in the code of ``forward``.
    """
    content = hashlib.blake2b(digest_size=DIGEST_BYTES)
    if isinstance(model, LookupModel):
        content.update(str(model.features_version).encode())
        return content.hexdigest()
    modules, versions = list(modules_in(model)), [asked(part, "features_version") for part in models_in(model)]
    for version in (version for version in versions if version is not None):
        content.update(f"{version}\0".encode())
    for module in modules:
        content.update(" ".join(type(part).__qualname__ for part in module.modules()).encode())
        for name, value in sorted(module.state_dict().items()):
            add_tensor(content, name, value)
    return content.hexdigest() if modules or None not in versions else None


def weights_state(model) -> tuple:
    """What changes when weights are trained, loaded or exchanged; far quicker than a digest, which reads all of them.

    Of each parameter and buffer, where it lies, how often it was written, and a few of its values.
    """
    return tuple(
        _tensor_state(tensor)
        for module in modules_in(model)
        for tensor in itertools.chain(module.parameters(), module.buffers())
    )


def _tensor_state(tensor) -> tuple:
    torch = sys.modules["torch"]
    written = 0 if tensor.is_inference() else tensor._version
    if (
        torch.nn.parameter.is_lazy(tensor)
        or tensor.layout is not torch.strided
        or tensor.is_meta
        or tensor.is_quantized
        or tensor.is_nested
    ):
        return id(tensor), written
    values = tensor.detach()  # assignments to .data count no writing
    table = values.reshape(len(values), -1) if values.ndim and len(values) else values.reshape(1, -1)
    some = [table[:: -(-table.shape[0] // STATE_VALUES), -1:], table[:1, :: -(-table.shape[1] // STATE_VALUES) or 1]]
    some = torch.cat([part.reshape(-1) for part in some]).cpu().view(torch.uint8)
    return id(tensor), tensor.data_ptr(), written, some.numpy().tobytes()


def normalised_by_batch(model) -> int:
    """Number of a model's torch modules whose answer to an image depends on the others of its batch, also in evaluation."""
    torch = sys.modules.get("torch")
    parts = (part for module in modules_in(model) for part in module.modules())
    return sum(isinstance(p, torch.nn.modules.batchnorm._BatchNorm) and p.running_mean is None for p in parts)


def asked(value, name: str, default=None):
    """An attribute of an object of a user's, or ``default`` where it has none.

    ``getattr`` passes on what a ``__getattr__`` of theirs raises, such as the KeyError of ``__getattr__ = dict.__getitem__``.
    """
    with contextlib.suppress(Exception):
        return getattr(value, name, default)
    return default


def pytorch_wrapper(activations_model) -> PytorchWrapper | None:
    """The PytorchWrapper that answers for an activations model: itself, or the one that its extractor calls."""
    if isinstance(activations_model, PytorchWrapper):
        return activations_model
    extractor = asked(activations_model, "_extractor")
    owner = asked(asked(extractor, "get_activations"), "__self__")
    return owner if isinstance(owner, PytorchWrapper) else None


def models_in(model) -> Iterator[BrainModel]:
    """A model, and the models in its attributes and in lists and dictionaries there, at any depth. Each once."""
    seen, waiting = set(), [model]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list | tuple | dict):
            parts = value.values() if isinstance(value, dict) else value
            waiting += [part for part in parts if issubclass(type(part), BrainModel)]
        elif (isinstance(value, BrainModel) or value is model) and id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting += _attributes(value)


def held_in(model) -> Iterator[tuple[BrainModel, object]]:
    """Each model in a model with itself, with what extracts its activations, and with each of its attributes."""
    for part in models_in(model):
        for value in (part, asked(part, "activations_model"), *_attributes(part)):
            yield part, value


def _attributes(value) -> list:
    """Values of attributes, but for those that Brain-Score loads when anything is asked of them, even their class."""
    return [part for part in asked(value, "__dict__", {}).values() if type(part) is not LazyLoad]


def modules_in(model) -> Iterator:
    """Torch modules of a model and of those in it: attributes, and those of what extracts activations. Each once."""
    torch = sys.modules.get("torch")
    if torch is None:  # a program without torch has no modules of it
        return
    seen = set()
    # in this order, which the digests of results that people have depend on
    owners = [owner for part in models_in(model) for owner in (part, asked(part, "activations_model"))]
    # and networks that another object wraps, such as Brain-Score's without cache
    owners = [*owners, *(wrapper for owner in owners if (wrapper := pytorch_wrapper(owner)) is not None)]
    for value in (held for owner in owners for held in (owner, *_attributes(owner))):
        if isinstance(value, torch.nn.Module) and id(value) not in seen:
            seen.add(id(value))
            yield value


def add_tensor(content, name: str, value) -> None:
    """Add the name, type, shape and values of a tensor to a hash; of lists, dictionaries and packed weights, all in them."""
    torch = sys.modules["torch"]
    content.update(f"\0{name}\0".encode())
    if isinstance(value, torch.ScriptObject) and hasattr(value, "__getstate__"):  # how quantised layers hold weights
        value = value.__getstate__()
    if isinstance(value, torch.Tensor) and value.is_nested:
        value = list(value.unbind())
    if isinstance(value, list | tuple | dict):
        items = sorted(value.items(), key=str) if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            add_tensor(content, f"{name} {key}", part)
        return
    if isinstance(value, VALUES | torch.dtype | torch.qscheme):
        content.update(repr(value).encode())
        return
    if not isinstance(value, torch.Tensor) or torch.nn.parameter.is_lazy(value) or value.is_meta:
        return  # without values that could differ
    content.update(f"{value.dtype} {tuple(value.shape)}".encode())
    parts = _tensors_in(value)
    if parts is not None:
        add_tensor(content, name, parts)
        return
    flat = value.detach().cpu().contiguous().reshape(-1)
    content.update(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")


def _tensors_in(value) -> list | None:
    """What a quantised or sparse tensor is made of; None of one whose values lie one after the other."""
    torch = sys.modules["torch"]
    if value.is_quantized:
        scheme = value.qscheme()
        if scheme in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            return [value.int_repr(), value.q_scale(), value.q_zero_point()]
        steps = value.q_per_channel_scales(), value.q_per_channel_zero_points(), value.q_per_channel_axis()
        return [value.int_repr(), *steps]
    if value.layout is torch.sparse_coo:
        value = value.detach().coalesce()
        return [value.indices(), value.values()]
    return None if value.layout is torch.strided else [value.to_dense()]


def find_plugin(identifier: str) -> ImportPlugin:
    """Brain-Score's own search for the plugin that registers a model, in the text of all plugins.

    It opens every plugin for every name. Hundreds of names are first looked for in one text of them all.

    Raises
    ------
    AssertionError
        Not exactly one does: Brain-Score's way to say it.
    """
    folder = Path(brainscore_vision.__file__).parent / "models"
    if f"model_registry['{identifier}']" not in _registrations(folder, folder.stat().st_mtime_ns):
        raise AssertionError(f"No registrations found for {identifier}")
    return ImportPlugin("brainscore_vision", "models", identifier)


@lru_cache(maxsize=2)
def _registrations(folder: Path, changed: int) -> str:
    """Lines of all plugins that register a model, with one kind of quotation marks."""
    texts = (path.read_text(encoding="utf-8").replace('"', "'") for path in folder.glob("*/__init__.py"))
    return "\n".join(line for text in texts for line in text.splitlines() if "model_registry['" in line)
