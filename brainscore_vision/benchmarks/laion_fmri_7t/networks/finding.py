"""One way from whatever stands for a model to a BrainModel: a name, a network, a BrainModel; and which model that is.

A model that a function makes is known by a digest of what it made, or of the code that makes it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from brainscore_vision.model_interface import BrainModel

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import (
    preprocessing_digest,
    structure_digest,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import plugin_revision
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel

from .errors import ModelSourceError
from .libraries import LIBRARIES, find_library_network
from .network import AUTO, GIVEN, MODEL_INTERFACE, OWN, Layers, Network, as_network
from .sources import is_table, locate_model, split_call, with_whole_path

MADE = "made-"
"""Revisions begin so that are of what was made; others are of code."""

DIGEST_BYTES = 8
BLOCK = 2**24

TABLES = "brainscore_vision.models.laion_fmri_7t.features:table_model"
"""Function that makes a model of a table of features."""


@dataclass(frozen=True)
class Made:
    """What tells a model that was made from others.

    Attributes
    ----------
    revision : str or None
        ``made-`` and 16 hexadecimal digits: of its weights, its structure and the settings of its layers, the user's own
        classes in it, what prepares its images, its field of view and the layers that it maps regions to itself. None where it
        has no torch network.
    network : str or None
        Of its weights, or of its table of features; see
        :func:`~brainscore_vision.benchmark_helpers.stimulus_kernels.features.network.network_digest`.
    """

    revision: str | None
    network: str | None

    @classmethod
    def of(cls, made) -> Made:
        """Of a BrainModel, or of a Network."""
        if isinstance(made, DatasetModel):
            return cls(None, None)  # another one with each dataset
        if isinstance(made, LookupModel):
            return cls(None, network_digest(made))
        is_network = isinstance(made, Network)
        holder = SimpleNamespace(activations_model=made.activations_model) if is_network else made
        network = network_digest(holder)
        if network is None:
            return cls(None, None)
        degrees = made.visual_degrees if is_network else made.visual_degrees()
        own_layers = made.layers if is_network else getattr(getattr(made, "layer_model", None), "region_layer_map", {})
        content = hashlib.blake2b(digest_size=DIGEST_BYTES)
        layers = sorted((str(region), repr(names)) for region, names in dict(own_layers).items())
        for part in (network, preprocessing_digest(holder), structure_digest(holder), float(degrees), layers):
            content.update(repr(part).encode())
        return cls(MADE + content.hexdigest(), network)


def code_revision(model: str, anew: bool = False) -> str | None:
    """Hash of the code behind a name; the model is the same as long as it is.

    Of a registered model, the files of its plugin; of ``file.py:function`` that file, without what it imports; of
    ``module:function`` all Python files of the module's outermost package, as they were when this process first asked, since
    Python imports them once (``anew``: as they are now); of a table of features, the table. None of a library's network, whose
    name says all, and where files cannot be found or read.
    """
    revision = plugin_revision(model)
    if revision is not None:
        return revision
    place, _ = split_call(model)
    if place and not place.endswith(".py") and not is_table(model):
        digest = _package_digest.__wrapped__ if anew else _package_digest
        return None if place in LIBRARIES else digest(_package(place.partition(".")[0]))
    path = Path(place if place.endswith(".py") else model).expanduser()
    content = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                content.update(block)
    except OSError:  # whoever makes the model will say so
        return None
    return content.hexdigest()[:16]


def _package(name: str) -> tuple[str, ...]:
    """Folders of a package, or the file of a module, without importing it; empty where there are none."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # whoever makes the model will say so
        return ()
    if found is None:
        return ()
    folders = found.submodule_search_locations
    return tuple(folders) if folders is not None else (found.origin,) if found.has_location else ()


@functools.lru_cache(maxsize=64)
def _package_digest(places: tuple[str, ...]) -> str | None:
    content, n_files = hashlib.sha256(), 0
    for place in map(Path, places):
        try:
            for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
                content.update(os.fsencode(path.relative_to(place.parent)))
                content.update(path.read_bytes())
                n_files += 1
        except OSError:
            return None
    return content.hexdigest()[:16] if n_files else None


def is_factory(source: str) -> bool:
    """Whether a name is that of a function in a module or a file."""
    place, _ = split_call(source)
    if place.endswith(".py"):
        return True
    return bool(place) and place not in LIBRARIES and not is_table(source) and plugin_revision(source) is None


@dataclass(frozen=True)
class ModelSource:
    """A model that was found, and that is made when it is asked for.

    Attributes
    ----------
    source : str or None
        Its name in full; None for an object.
    has_regions : bool or None
        Whether regions are mapped to its layers; None where only making it will show.
    """

    source: str | None
    has_regions: bool | None
    _make: Callable = field(repr=False)

    def model(self, layers: Layers | None = None) -> BrainModel:
        """The BrainModel.

        Parameters
        ----------
        layers : mapping of str to str or list of str, optional
            Region to layers; these come before those that it has.

        Raises
        ------
        ModelSourceError
            No layers for a network that says nothing about regions; what :meth:`Network.commit` raises; or no model at all.
        """
        self.check_layers(layers)
        if layers is not None:
            network = self.network()
            choices = {**dict.fromkeys(network.layers, OWN), **dict.fromkeys(layers, GIVEN)}
            return network.commit({**network.layers, **layers}, choices)
        made = self._make()
        if self._as_network(made) is not None:
            raise self._without_layers()
        model = check_model(made)
        if self.source is not None:
            with contextlib.suppress(AttributeError):  # an object that takes no attributes
                for name, fact in {"model_source": self.source, **self._facts(model)}.items():
                    setattr(model, name, fact)
        return model

    def check_layers(self, layers, regions: Sequence[str] = ()) -> None:
        """Raise ModelSourceError if layers are needed and not said, as far as that is known before the model is made.

        ``regions`` are those that will be recorded.
        """
        if layers is None and self.has_regions is False:
            raise self._without_layers()
        if layers is None or layers == AUTO:
            return
        if not isinstance(layers, Mapping) or not layers or any(isinstance(own, Mapping) for own in layers.values()):
            raise ModelSourceError(
                f"layers is a dictionary of regions and layers, {{'V1': 'LAYER', 'IT': 'LAYER'}}, or {AUTO!r}; received "
                f"{layers!r}."
            )
        missing = [region for region in regions if region not in layers]
        if missing and self.has_regions is False:
            raise ModelSourceError(
                f"A benchmark records the region that it measures, of a region of interest V1, V2, V4 or IT (--record names "
                f"another); --layers names none for {', '.join(missing)}. Add "
                f"{','.join(f'{region}=LAYER' for region in missing)}."
            )

    def network(self) -> Network:
        """The network, without layers for regions; of a BrainModel, the one that it holds."""
        made = self._make()
        network = self._as_network(made) or Network.of(check_model(made), self.source)
        return replace(network, facts=self._facts(network))

    def made(self) -> Made:
        """What tells this model from others; makes it."""
        made = self._make()
        return Made.of(self._as_network(made) or check_model(made))

    def _facts(self, made) -> dict[str, str]:
        """What Scores of a factory's model say: what was made, and by which code."""
        if self.source is None or not is_factory(self.source):
            return {}
        facts = {"model_revision": Made.of(made).revision, "model_code": code_revision(self.source)}
        return {name: fact for name, fact in facts.items() if fact is not None} if facts["model_revision"] else {}

    def _as_network(self, made) -> Network | None:
        import torch

        if isinstance(made, Network):
            return made
        if isinstance(made, torch.nn.Module) and not is_brain_model(made):
            return as_network(made, source=self.source, name=_short(self.source))
        return None

    def _without_layers(self) -> ModelSourceError:
        name = self.source or "MODEL"
        return ModelSourceError(
            f"{self.source or 'What was given'} is a network, which says nothing about brain regions: name a layer for each "
            f"region that is scored, --layers V1=LAYER,IT=LAYER (in Python layers={{'V1': 'LAYER'}}). "
            f"`laion-score layers {name} --list` shows its layers."
        )


def find_model(model) -> ModelSource:
    """Find a model; loads no weights and downloads nothing.

    Parameters
    ----------
    model : str, pathlib.Path, torch.nn.Module, Network, ModelSource or brainscore_vision.model_interface.BrainModel
        A name is an identifier that Brain-Score has registered; ``torchvision:NAME[@WEIGHTS]`` or ``timm:NAME`` (``@none``:
        untrained, the same weights everywhere; ``@none-3``: with seed 3); ``file.py:function`` or ``module:function``, with
        Python literals as arguments, ``file.py:make(width=64)``; or a file with a table of features (``.h5``, ``.npz``, ...).

    Raises
    ------
    ModelSourceError, ModelImportError
        See :func:`~.libraries.find_library_network` and :func:`~.sources.locate_model`.
    """
    if isinstance(model, ModelSource):
        return model
    model = str(model) if isinstance(model, Path) else model
    if isinstance(model, str):
        if model.partition(":")[0] in LIBRARIES:
            found = find_library_network(model)
            return ModelSource(found.source, False, found.network)
        if is_table(model):
            path = str(Path(model).expanduser().resolve())
            return ModelSource(path, True, locate_model(f"{TABLES}({path!r})"))
        return ModelSource(with_whole_path(model), None, locate_model(model))
    import torch

    is_network = isinstance(model, Network) or (isinstance(model, torch.nn.Module) and not is_brain_model(model))
    return ModelSource(getattr(model, "source", None) if is_network else None, not is_network, lambda: model)


def is_brain_model(model) -> bool:
    """Whether a thing has what scoring needs of a BrainModel."""
    return all(hasattr(model, name) for name in MODEL_INTERFACE)


def check_model(model) -> BrainModel:
    """Return ``model`` if it is a BrainModel, else raise ModelSourceError."""
    missing = [name for name in MODEL_INTERFACE if not hasattr(model, name)]
    if missing:
        raise ModelSourceError(
            f"A model is a BrainModel, a torch.nn.Module, or the name of one; received a {type(model).__name__}, which has no "
            f"{', '.join(missing)}. Return a network, or what as_brain_model makes of one."
        )
    return model


def _short(source: str | None) -> str | None:
    """A name of a function without the folders of its file."""
    if source is None:
        return None
    place, function = split_call(source)
    return f"{Path(place).name if place.endswith('.py') else place}:{function}"
