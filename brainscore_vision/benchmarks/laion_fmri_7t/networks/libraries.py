"""Networks of torchvision and timm by name: what there is, their weights, and the input that they were made for."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import ModelSourceError
from .network import (
    Network,
    as_network,
    settings_of_timm,
    settings_of_torchvision,
    torchvision_names,
    untrained_settings_of_torchvision,
)
from .preparing import InputSettings

TORCHVISION, TIMM = "torchvision", "timm"
LIBRARIES = (TORCHVISION, TIMM)

_UNTRAINED = re.compile(r"none(?:-(\d+))?")


@dataclass(frozen=True)
class LibraryNetwork:
    """A network of a library, found but not made.

    Attributes
    ----------
    source : str
        ``library:NAME@WEIGHTS`` in full, which is also its identifier.
    settings : InputSettings
    make : callable
        Without arguments; returns the torch.nn.Module, in evaluation mode. Downloads weights that are not there.
    """

    source: str
    settings: InputSettings
    make: Callable

    def network(self) -> Network:
        """The network, with its weights."""
        return as_network(self.make(), self.source, settings=self.settings, source=self.source)


def find_library_network(source: str) -> LibraryNetwork:
    """Find ``torchvision:NAME[@WEIGHTS]`` or ``timm:NAME[@WEIGHTS]``; makes nothing and downloads nothing.

    ``@none`` is untrained, with weights that are drawn with a seed that the name gives, ``@none-3`` with seed 3.

    Raises
    ------
    ModelSourceError
        No such network or weights, a network that does not see images, or timm is not installed.
    """
    library, _, rest = source.partition(":")
    name, at, weights = rest.partition("@")
    if at and not weights:
        raise ModelSourceError(
            f"The name of weights follows @; received {source!r}. Leave @ out for the default weights."
        )
    return (_of_torchvision if library == TORCHVISION else _of_timm)(name, weights or None, source)


def _of_torchvision(name: str, weights: str | None, source: str) -> LibraryNetwork:
    import torchvision

    if name not in torchvision.models.list_models():
        raise _unknown(name, torchvision_names(), "torchvision", source)
    if name not in torchvision_names():
        kind = torchvision.models.get_model_builder(name).__module__.split(".")[2]
        raise ModelSourceError(
            f"A model sees a batch of images; {name} of torchvision, one of its networks for {kind}, does not, or only some of "
            f"its versions do. `laion-score networks` lists those that do."
        )
    choices = torchvision.models.get_model_weights(name)
    seed = _seed(f"{TORCHVISION}:{name}", weights)
    if seed is not None:
        make = functools.partial(_untrained, seed, _torchvision_module, name, None)
        return LibraryNetwork(
            f"{TORCHVISION}:{name}@{weights.casefold()}", untrained_settings_of_torchvision(name), make
        )
    named = {choice.name.casefold(): choice for choice in choices} | {"default": choices.DEFAULT}
    if weights is not None and weights.casefold() not in named:
        raise ModelSourceError(
            f"{name} of torchvision has the weights {', '.join(choice.name for choice in choices)}, and none (untrained); "
            f"received {source!r}."
        )
    chosen = choices.DEFAULT if weights is None else named[weights.casefold()]
    full = f"{TORCHVISION}:{name}@{chosen.name}"
    make = functools.partial(_with_weights, full, _torchvision_module, name, chosen)
    return LibraryNetwork(full, settings_of_torchvision(chosen), make)


def _torchvision_module(name: str, weights):
    import torchvision

    options = {}
    if weights is None and name in torchvision.models.list_models(torchvision.models.segmentation):
        options["weights_backbone"] = None  # else the backbone's are downloaded
    if weights is None and name in ("googlenet", "inception_v3"):
        options["init_weights"] = True  # what they do by default, with a warning that this will change
    return torchvision.models.get_model(name, weights=weights, **options).eval()


def _of_timm(name: str, weights: str | None, source: str) -> LibraryNetwork:
    timm = import_timm(source)
    architecture, _, tag = name.partition(".")
    if architecture not in _timm_architectures() or (tag and name not in timm_names()):
        # an architecture as it is named without a tag is nearer than one with its tag
        raise _unknown(name, timm_names() if tag else sorted(_timm_architectures()), "timm", source)
    seed = _seed(f"{TIMM}:{name}", weights)
    if weights is not None and seed is None:
        tags = [known.partition(".")[2] for known in timm_names() if known.partition(".")[0] == architecture]
        raise ModelSourceError(
            f"timm's weights follow a dot, {TIMM}:{architecture}.{tags[0] if tags else 'TAG'}, and @none is untrained; "
            f"received {source!r}."
        )
    configuration = timm.get_pretrained_cfg(name)
    settings = InputSettings() if configuration is None else settings_of_timm(configuration.to_dict())
    if seed is not None:
        make = functools.partial(_untrained, seed, _timm_module, name, False)
        return LibraryNetwork(f"{TIMM}:{name}@{weights.casefold()}", settings, make)
    if configuration is None or not configuration.has_weights:
        raise ModelSourceError(
            f"timm has no weights of {name}; received {source!r}. {TIMM}:{name}@none is the untrained network."
        )
    full = f"{TIMM}:{architecture}.{configuration.tag}" if configuration.tag else f"{TIMM}:{architecture}"
    make = functools.partial(_with_weights, full, _timm_module, full.partition(":")[2], True)
    return LibraryNetwork(full, settings, make)


def _timm_module(name: str, pretrained: bool):
    import timm

    return timm.create_model(name, pretrained=pretrained).eval()


def import_timm(source: str):
    """The package timm.

    Raises
    ------
    ModelSourceError
        It is not installed.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ModelSourceError(
            f"Networks of timm need the package timm, which is not installed; received {source!r}. Install the extra: "
            f"pip install '.[timm]'."
        ) from error
    if not hasattr(timm, "list_models"):
        raise ModelSourceError(
            f"Networks of timm need the package timm, and this process has another of that name, {timm.__file__}; "
            f"received {source!r}. Score it in a process of its own."
        )
    return timm


@functools.cache
def timm_names() -> tuple[str, ...]:
    """Networks of timm, those with weights with their tag, ``resnet50.a1_in1k``."""
    import timm

    trained = timm.list_pretrained()
    return tuple(sorted({*trained, *(_timm_architectures() - {name.partition(".")[0] for name in trained})}))


def is_network_of(library: str, name: str) -> bool:
    """Whether a library has a network of this name, for timm with or without a tag; False if timm is not installed."""
    if library == TORCHVISION:
        return name in torchvision_names()
    try:
        import_timm(name)
    except ModelSourceError:
        return False
    return name in _timm_architectures() or name in timm_names()


@functools.cache
def _timm_architectures() -> frozenset[str]:
    import timm

    return frozenset(timm.list_models())


def _seed(name: str, weights: str | None) -> int | None:
    """The seed of an untrained network: the one that is given, else one that its name gives. None for a trained one."""
    match = _UNTRAINED.fullmatch((weights or "").casefold())
    if match is None:
        return None
    if match[1] is not None:
        return int(match[1]) % 2**63
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


def _untrained(seed: int, make: Callable, *arguments):
    with seeded(seed):
        return make(*arguments)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers on the CPU start from a seed, and afterwards go on as if nothing had been drawn."""
    import torch

    before = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(before)


def _with_weights(source: str, make: Callable, *arguments):
    import torch

    before = torch.random.get_rng_state()  # weights are drawn before they are read
    try:
        return make(*arguments)
    except Exception as error:  # of the library's download, which raises as the network, the hub or the disk has it
        library, _, name = source.partition(":")
        untrained = f"{library}:{name.partition('@')[0]}@none"
        raise ModelSourceError(
            f"{library} cannot get the weights of {source}: {type(error).__name__}: {' '.join(str(error).split())[:300]}. They "
            f"are downloaded once, which needs a connection; {untrained} is the untrained network, without a download."
        ) from error
    finally:
        torch.random.set_rng_state(before)


def _unknown(name: str, known, library: str, source: str) -> ModelSourceError:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    nearest = nearest or [other for other in known if fnmatch.fnmatch(other, f"*{name}*")][:3]
    hint = f"The nearest are {', '.join(nearest)}." if nearest else "None is near it."
    return ModelSourceError(
        f"{library} has no network {name!r}; received {source!r}. {hint} `laion-score networks PATTERN` lists them."
    )
