"""Where a model on the command line comes from, and the model of the demonstration."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from brainscore_core.plugin_management.import_plugin import ImportPlugin
from brainscore_vision.model_interface import BrainModel

from brainscore_vision import load_model
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.identity import plugin_revision

UNTRAINED_ALEXNET_SEED = 0
UNTRAINED_ALEXNET_LAYERS = {
    "V1": "features.2",
    "V2": "features.7",
    "V3": "features.7",
    "V4": "features.7",
    "IT": "features.12",
}


class ModelSourceError(ValueError):
    """A model that cannot be found."""


def locate_model(name: str) -> Callable[[], BrainModel]:
    """What makes a BrainModel of a name; finding it loads no weights.

    Parameters
    ----------
    name : str
        A registered identifier, or ``package.module:function`` or ``file.py:function``, a function without arguments that
        returns a BrainModel.

    Returns
    -------
    callable
        Without arguments.

    Raises
    ------
    ModelSourceError
        No such registration, module, file or function.
    """
    place, colon, attribute = name.rpartition(":")
    problem = _registration_problem(name)
    if problem is None:  # first: registered names may hold a colon too
        return functools.partial(load_model, name)
    if name.endswith(".py"):
        raise ModelSourceError(f"A file may hold many functions: name the one that returns a model, {name}:FUNCTION.")
    if not colon:
        raise ModelSourceError(
            f"A model is a registered Brain-Score identifier (e.g. alexnet, pixels), or module:function or "
            f"file.py:function that returns one; received {name!r} ({problem})."
        ) from problem
    module = _module(place, name)
    if not hasattr(module, attribute):
        raise ModelSourceError(f"{place} has no function {attribute!r}; received {name!r}.")
    return getattr(module, attribute)


def with_whole_path(model: str) -> str:
    """``file.py:function`` with the file's whole path, which workers with other working directories find."""
    place, colon, attribute = model.rpartition(":")
    if not colon or not place.endswith(".py"):
        return model
    return f"{Path(place).expanduser().resolve()}:{attribute}"


def model_revision(model: str) -> str | None:
    """Hash of the code behind a name; another one means that the model may answer otherwise.

    Of a registered model, the files of its plugin; of ``file.py:function`` that file, without what it imports. None where
    nothing says which files make the model: ``module:function``, a table of features, a file that cannot be read.
    """
    place, colon, _ = model.rpartition(":")
    revision = plugin_revision(model)
    if revision is not None or not colon or not place.endswith(".py"):
        return revision
    try:
        content = Path(place).expanduser().read_bytes()
    except OSError:  # whoever makes the model will say so
        return None
    return hashlib.sha256(content).hexdigest()[:16]


def untrained_alexnet():
    """AlexNet with random weights (seeded), committed to regions: needs no download."""
    import torch
    import torchvision
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_ALEXNET_SEED)
        network = torchvision.models.alexnet(weights=None)
    identifier = f"alexnet-untrained-seed{UNTRAINED_ALEXNET_SEED}"
    activations = PytorchWrapper(
        identifier=identifier, model=network, preprocessing=functools.partial(load_preprocess_images, image_size=224)
    )
    return ModelCommitment(
        identifier=identifier,
        activations_model=activations,
        layers=list(dict.fromkeys(UNTRAINED_ALEXNET_LAYERS.values())),
        region_layer_map=dict(UNTRAINED_ALEXNET_LAYERS),
    )


def _registration_problem(name: str) -> AssertionError | None:
    """Why Brain-Score finds no model of this name; None if it does."""
    try:
        ImportPlugin("brainscore_vision", "models", name)
    except AssertionError as error:  # Brain-Score's search asserts that exactly one registration exists
        return error
    return None


def _module(place: str, name: str):
    if place.endswith(".py"):
        path = Path(place).expanduser()
        if not path.is_file():
            raise ModelSourceError(f"There is no file {path}; received {name!r}.")
        return _module_of_file(path)
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise  # the module exists, but something that it needs does not
        raise ModelSourceError(f"There is no module {place!r}; received {name!r}.") from error


def _module_of_file(path: Path):
    # a name per path: files of one name in two folders are two modules
    name = f"laion_fmri_7t_model_{path.stem}_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up what their annotations mean
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
