"""A file of models for sweeps, to be written anywhere and named file.py:function: workers make them by that name."""

from pathlib import Path

CELLS = ("LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.IT-ood-ridge", "LAION_fMRI_persubject.V1-tau-ridgecv")

SOURCE = """
import mmap
import os
import signal
import time
from pathlib import Path

import numpy as np
from plugin_testing import models
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import LOOK_AT_BLOCK
from brainscore_vision.benchmark_helpers.stimulus_kernels.free_memory import available_bytes

HERE = Path(__file__).parent


class Seen(models.CountingModel):
    def __init__(self, identifier, before_look=lambda model: None, **options):
        super().__init__(identifier=identifier, **options)
        self.before_look = before_look

    def look_at(self, stimuli, number_of_trials=1):
        self.before_look(self)
        with open(HERE / f"{self.identifier} saw", "a") as file:
            file.write("".join(f"{self._region} {i}\\n" for i in stimuli["stimulus_id"]))
        return super().look_at(stimuli, number_of_trials)


def has_recorded(model):
    # features of a block are kept when all regions saw it: here the first one is about to see more
    blocks = [region for region, ids in model.looks if len(ids) == LOOK_AT_BLOCK]
    return blocks[:1] == [model._region]


def healthy():
    return Seen("healthy")


def network():
    return models.small_network({"V1": "conv", "V2": "conv", "V4": "pool", "IT": "pool"}, identifier="network")


def unseeded():
    # another network at each call, as where a function makes weights without a seed
    seed = int.from_bytes(os.urandom(2), "little")
    return models.small_network({"V1": "conv", "V2": "conv", "V4": "pool", "IT": "pool"}, seed, identifier="unseeded")


def unseeded_features():
    seed = int.from_bytes(os.urandom(4), "little")

    def weighted(path):
        pixels = models.pixel_features(path)
        return pixels * np.random.default_rng(seed).standard_normal(pixels.shape)

    features = dict.fromkeys(models.REGIONS, weighted)
    return Seen("unseeded features", regions=features)


def late():
    if not (HERE / "weights").exists():
        raise FileNotFoundError("the weights are not there")
    return Seen("late")


def nan_in_it():
    features = {region: models.pixel_features for region in models.REGIONS}
    features["IT"] = lambda path: models.pixel_features(path) * float("nan")
    return Seen("nan in IT", regions=features)


def partial():
    return models.small_network({"V1": "conv", "V2": "conv"}, identifier="partial")


def also_partial():
    return models.small_network({"V1": "conv", "V2": "conv"}, identifier="also_partial")


def no_numbers():
    def fail(model):
        raise ZeroDivisionError("no numbers")

    return Seen("no numbers", fail)


def blocked():
    def wait(model):
        if not has_recorded(model):
            return
        (HERE / "blocked is looking").touch()
        while not (HERE / "go").exists():
            time.sleep(0.05)

    return Seen("blocked", wait)


def dies_once():
    def die(model):
        if has_recorded(model) and not (HERE / "died").exists():
            (HERE / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return Seen("dies once", die)


def waits_once(name):
    # until its process ends; the next one goes on
    note = HERE / f"{name} waits"

    def wait(model):
        if has_recorded(model) and not note.exists():
            note.write_text(str(os.getpid()))
            time.sleep(3600)

    return Seen(name, wait)


def cancelled_once():
    return waits_once("cancelled once")


def late_once():
    late = waits_once("late once")
    waits = late.before_look

    def wait(model):
        # the next process waits too, until the end of the first is told: else the sweep may be over before
        while (HERE / "late once waits").exists() and not (HERE / "late once may go on").exists():
            time.sleep(0.05)
        waits(model)

    late.before_look = wait
    return late


def hungry_once():
    note = HERE / "hungry once may take"

    def eat(model):
        if has_recorded(model) and not note.exists():
            note.write_text(str(available_bytes()))
            # at once, so that the kernel ends the worker before dask looks: it does so each 0.1 s
            mmap.mmap(-1, 4 * 10**9, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
            raise RuntimeError("the job's memory has no limit")

    return Seen("hungry once", eat)


def deadly():
    def die(model):
        os.kill(os.getpid(), signal.SIGKILL)

    return Seen("deadly", die)
"""


def write_models(folder: Path) -> Path:
    """Write the file; models note what they see beside it."""
    file = folder / "sweep_made.py"
    file.write_text(SOURCE)
    return file
