"""Brain-Score's search for the plugin of a name, for hundreds of names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from brainscore_core.plugin_management.import_plugin import ImportPlugin

import brainscore_vision


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
