"""What networks torchvision and timm have, with their size and input; none of them is made, except without numbers."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .errors import ModelSourceError
from .libraries import LIBRARIES, TIMM, TORCHVISION, find_library_network, import_timm, timm_names
from .network import torchvision_names


@dataclass(frozen=True)
class Listed:
    """A network that can be asked for.

    Attributes
    ----------
    name : str
        ``library:NAME``.
    weights : tuple of str
        Names of its weights, the default first; none where there is only the untrained network.
    input_size : tuple of int
        Height and width in pixels.
    n_parameters : int or None
        None where it was not counted.
    """

    name: str
    weights: tuple[str, ...]
    input_size: tuple[int, int]
    n_parameters: int | None


def network_names(pattern: str | None = None) -> list[str]:
    """Names of all networks, or of those that match: ``*``, ``?``, or a part of a name. Those of timm if it is installed."""
    names = [f"{TORCHVISION}:{name}" for name in torchvision_names()]
    if has_timm():
        names += [f"{TIMM}:{name}" for name in timm_names()]
    if pattern is None:
        return names
    wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    wanted = wanted if wanted.startswith((*(f"{library}:" for library in LIBRARIES), "*")) else f"*:{wanted}"
    return [name for name in names if fnmatch.fnmatchcase(name.casefold(), wanted.casefold())]


def has_timm() -> bool:
    """Whether timm is installed."""
    try:
        import_timm("timm")
    except ModelSourceError:
        return False
    return True


def describe(names: Iterable[str], count: bool) -> Iterator[Listed]:
    """Size and input of networks; ``count`` the parameters also where the library does not say them, about 0.3 s each."""
    for name in names:
        library, _, own = name.partition(":")
        yield (_of_torchvision(own) if library == TORCHVISION else _of_timm(own, count))


def _of_torchvision(name: str) -> Listed:
    import torchvision

    choices = torchvision.models.get_model_weights(name)
    names = dict.fromkeys([choices.DEFAULT.name, *(choice.name for choice in choices)])
    found = find_library_network(f"{TORCHVISION}:{name}")
    return Listed(f"{TORCHVISION}:{name}", tuple(names), found.settings.size, choices.DEFAULT.meta["num_params"])


def _of_timm(name: str, count: bool) -> Listed:
    _, _, tag = name.partition(".")
    found = find_library_network(f"{TIMM}:{name}@none")
    return Listed(f"{TIMM}:{name}", (tag,) if tag else (), found.settings.size, _count(name) if count else None)


@functools.cache
def _count(name: str) -> int:
    """Parameters of a network of timm, which is made without memory for them where it can be."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            network = timm.create_model(name, pretrained=False)
    except RuntimeError:  # it reads values of its own while it is made, as many do in older versions of timm
        network = timm.create_model(name, pretrained=False)
    return sum(parameter.numel() for parameter in network.parameters())
