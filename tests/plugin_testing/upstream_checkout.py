"""A checkout of brainscore-vision with this plugin's four folders in it, as a pull request would have it."""

import os
import shutil
from pathlib import Path

from plugin_testing.install_check import installed_package

MODELS = """from brainscore_vision import model_registry
from plugin_testing.models import small_network

from brainscore_vision.benchmarks.laion_fmri_7t.networks.sources import untrained_alexnet

model_registry["alexnet-untrained-seed0"] = untrained_alexnet
model_registry["small-network-seed0"] = lambda: small_network({"V1": "conv", "V2": "pool", "V4": "pool", "IT": "head"})
"""
"""A plugin of models that need no download."""

BENCHMARKS = '''from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from brainscore_vision.benchmarks import BenchmarkBase
from brainscore_vision.model_interface import BrainModel

from brainscore_vision import benchmark_registry


class Other(BenchmarkBase):
    """Asks a model as other datasets' benchmarks do."""

    def __init__(self, identifier, ask):
        super().__init__(identifier, ceiling_func=lambda: Score(1.0), version=1, parent="IT")
        self._ask = ask

    def __call__(self, candidate):
        self._ask(candidate)
        stimuli = StimulusSet({"stimulus_id": ["other_1", "other_2"]})
        stimuli.stimulus_paths, stimuli.identifier = {}, "other"
        stimuli = place_on_screen(stimuli, candidate.visual_degrees(), source_visual_degrees=candidate.visual_degrees())
        candidate.look_at(stimuli, number_of_trials=3)


benchmark_registry["Other2026.IT-pls"] = lambda: Other("Other2026.IT-pls", lambda m: m.start_recording("IT", [(70, 170)]))
benchmark_registry["Other2026-i2n"] = lambda: Other(
    "Other2026-i2n", lambda m: m.start_task(BrainModel.Task.probabilities, "stimuli to fit")
)
'''
"""A plugin of benchmarks whose stimuli belong to another dataset."""


def make_checkout(root: Path) -> Path:
    """Make the checkout in the folder ``root``, which must not exist, of the installed library; return the library in it.

    The plugin's folders in it are the installed ones, which are those of this checkout (`install_check`).
    """
    library = root / "brainscore_vision"
    # with the byte code, which is that of these files
    shutil.copytree(installed_package(), library, copy_function=_link)
    for kind, text in (("models", MODELS), ("benchmarks", BENCHMARKS)):
        (library / kind / "made_up").mkdir()
        (library / kind / "made_up" / "__init__.py").write_text(text)
    return library


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
