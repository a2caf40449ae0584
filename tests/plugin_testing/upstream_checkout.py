"""A checkout of brainscore-vision with this plugin's four folders in it, as a pull request would have it."""

import os
import shutil
from pathlib import Path

from plugin_testing.install_check import FOLDERS, REPOSITORY, installed_package

MODELS = """from brainscore_vision import model_registry
from plugin_testing.models import small_network

from brainscore_vision.benchmarks.laion_fmri_7t.networks.sources import untrained_alexnet

model_registry["alexnet-untrained-seed0"] = untrained_alexnet
model_registry["small-network-seed0"] = lambda: small_network({"V1": "conv", "V2": "pool", "V4": "pool", "IT": "head"})
"""
"""A plugin of models that need no download."""


def make_checkout(root: Path) -> Path:
    """Make the checkout in the folder ``root``, which must not exist, of the installed library; return the library in it."""
    library = root / "brainscore_vision"
    ours = {installed_package() / folder for folder in FOLDERS}

    def left_out(folder, names):
        return [name for name in names if name == "__pycache__" or Path(folder, name) in ours]

    shutil.copytree(installed_package(), library, ignore=left_out, copy_function=_link)
    for folder in FOLDERS:
        shutil.copytree(
            REPOSITORY / "brainscore_vision" / folder, library / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (library / "models" / "without_download").mkdir()
    (library / "models" / "without_download" / "__init__.py").write_text(MODELS)
    return library


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
