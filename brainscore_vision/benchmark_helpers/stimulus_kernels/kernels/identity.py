"""What tells kernels apart: everything that changes one is part of its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from pathlib import Path

from ..errors import StimulusKernelError
from ..features.lookup import LookupModel
from ..features.network import find_plugin
from ..pool import StimulusPart, StimulusPool

ENGINE_VERSION = 2
"""Increased when kernels of the same model and stimuli come out differently."""

DESCRIPTIONS = ("metadata.yaml", "metadata.yml")
"""Files of a plugin that say what a model is, and cannot change what it answers."""


@dataclass(frozen=True)
class ModelIdentity:
    """A model as a kernel's key knows it.

    Attributes
    ----------
    identifier : str
    revision : str or None
        Hash of the plugin's files for registered models. Others have none: their identifier may lie, which the
        fingerprint of their features finds out (see :mod:`..features.probe`).
    visual_degrees : float
    features_version : str or None
        Of a model that looks its features up (:mod:`..features.lookup`): stands for the contents of images, which such a
        model never sees.
    """

    identifier: str
    revision: str | None
    visual_degrees: float
    features_version: str | None = None

    @classmethod
    def of(cls, model) -> ModelIdentity:
        degrees = model.visual_degrees()
        if not isinstance(degrees, Real) or not 0 < degrees < 360:
            raise StimulusKernelError(
                f"A model's field of view is a positive number of degrees below 360; {model.identifier} says {degrees!r}. "
                f"Set visual_degrees when committing the model."
            )
        version = str(model.features_version) if isinstance(model, LookupModel) else None
        return cls(str(model.identifier), plugin_revision(model.identifier), float(degrees), version)

    @property
    def key(self) -> str:
        described = {"model": self.identifier, "revision": self.revision, "degrees": self.visual_degrees}
        return digest(described if self.features_version is None else {**described, "features": self.features_version})


def features_key(model: ModelIdentity, label: str, part: StimulusPart, pool: StimulusPool) -> str:
    """Key of the features of one part of a pool."""
    return digest(_description(model, label, pool, content_hashes(model, pool, part.stimulus_ids)))


def kernel_key(model: ModelIdentity, label: str, pool: StimulusPool, hashes: Mapping[str, str | None]) -> str:
    """Key of a kernel: model and revision, layers, stimulus contents, visual degrees, dtype, engine version."""
    return digest({**_description(model, label, pool, hashes), "kernel_dtype": "float64"})


def content_hashes(model: ModelIdentity, pool: StimulusPool, stimulus_ids: Sequence[str]) -> Mapping[str, str | None]:
    """Stimulus id to the hash of what is shown, as far as the model looks at it; finds every image."""
    if model.features_version is not None:  # features that are looked up
        return dict.fromkeys(stimulus_ids)
    hashes = pool.content_hashes(stimulus_ids)
    return {stimulus_id: hashes[stimulus_id] for stimulus_id in stimulus_ids}


def plugin_revision(identifier: str) -> str | None:
    """Hash of the files of the plugin that registers a model, but for those that only describe it; None if none does."""
    try:
        importer = find_plugin(identifier)
    except AssertionError:  # how Brain-Score says that there is no registration
        return None
    return _folder_digest(importer.plugins_dir / importer.plugin_dirname)


def digest(description) -> str:
    """Short hash of something that JSON can hold."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:32]


def _description(model: ModelIdentity, label: str, pool: StimulusPool, hashes: Mapping[str, str | None]) -> dict:
    return {
        "engine": ENGINE_VERSION,
        "model": model.key,
        "layers": label,
        "stimuli": [[stimulus_id, content] for stimulus_id, content in hashes.items()],
        "source_degrees": pool.visual_degrees,
    }


@lru_cache(maxsize=64)
def _folder_digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        if path.name in DESCRIPTIONS or path.suffix == ".md":
            continue
        content.update(str(path.relative_to(folder)).encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:16]
