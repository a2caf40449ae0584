"""Which model a function makes: a digest of what it made, or of the code that makes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import LookupModel
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import (
    preprocessing_digest,
    structure_digest,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import plugin_revision
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel

from .libraries import LIBRARIES
from .network import Network
from .sources import is_table, split_call

MADE = "made-"
"""Revisions begin so that are of what was made; others are of code."""

DIGEST_BYTES = 8
BLOCK = 2**24


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


def code_revision(model: str) -> str | None:
    """Hash of the code behind a name; the model is the same as long as it is.

    Of a registered model, the files of its plugin; of ``file.py:function`` that file, without what it imports; of a table of
    features, the table. None where nothing says which files make the model, as for ``module:function``, or where they cannot
    be read.
    """
    revision = plugin_revision(model)
    if revision is not None:
        return revision
    place, _ = split_call(model)
    path = Path(place if place.endswith(".py") else model).expanduser()
    content = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                content.update(block)
    except OSError:  # whoever makes the model will say so
        return None
    return content.hexdigest()[:16]


def is_factory(source: str) -> bool:
    """Whether a name is that of a function in a module or a file."""
    place, _ = split_call(source)
    if place.endswith(".py"):
        return True
    return bool(place) and place not in LIBRARIES and not is_table(source) and plugin_revision(source) is None
