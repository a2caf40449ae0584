"""Rate and memory of encoders.

``rate`` compares images per second of Encoder.encode with those of the network alone (the same module, images prepared as
tensors before), in turn, in one process. ``memory`` fits, loads and asks an encoder of ResNet-50's layer1 (802,816 features)
and prints peak memory of each step, each in a process of its own.

    python bench/encoders.py rate torchvision:resnet50@none layer4 DATASET
    python bench/encoders.py memory DATASET
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import pytorch_wrapper
from brainscore_vision.benchmarks.laion_fmri_7t import fit_encoder, load_encoder

ROUNDS, BATCH = {32: 20, 128: 5}, 32
"""Images -> rounds: as many images of both, as some passes of the first hundreds are shown whole."""

CLOCKS = {time.perf_counter: "second", time.process_time: "processor second"}
WIDE = "torchvision:resnet50@none"


def rate(source: str, layer: str, dataset: str) -> None:
    """Images per second and per processor second of few and of many images: medians of rounds in turn, and their ratios."""
    encoder = fit_encoder(source, regions=("V1", "IT"), layers={"V1": layer, "IT": layer}, train="tau", dataset=dataset)
    print(f"{source}, {layer}, {encoder.n_voxels} voxels, {torch.get_num_threads()} threads")
    for n_images, n_rounds in ROUNDS.items():
        _rate(encoder, n_images, n_rounds)


def _rate(encoder, n_images: int, n_rounds: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n_images, 3, 256, 256), dtype=np.uint8)
    network = pytorch_wrapper(encoder.model.activations_model)._model
    tensors = torch.randn(BATCH, 3, 224, 224)

    def alone():
        with torch.no_grad():
            for _ in range(n_images // BATCH):
                network(tensors)

    def encoded():
        encoder.encode(images, progress=False)

    found: dict = {(what, clock): [] for what in (alone, encoded) for clock in CLOCKS}
    for done in range(-1, n_rounds):
        for what in (alone, encoded):
            start = {clock: clock() for clock in CLOCKS}
            what()
            if done >= 0:  # the first round warms up
                for clock in CLOCKS:
                    found[what, clock].append(clock() - start[clock])
    for clock, name in CLOCKS.items():
        ratios = np.array(found[alone, clock]) / np.array(found[encoded, clock])
        total = np.sum(found[alone, clock]) / np.sum(found[encoded, clock])
        rates = [n_images / np.median(found[what, clock]) for what in (alone, encoded)]
        print(
            f"  {n_images} images, per {name}: network {rates[0]:.1f}, encoder {rates[1]:.1f}; ratio {np.median(ratios):.2f} "
            f"({ratios.min():.2f} to {ratios.max():.2f}), of all rounds {total:.2f}",
            flush=True,
        )


def memory(dataset: str) -> None:
    """Peak memory of fitting, and of loading and asking."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide.h5"
        for step in ("fit", "ask"):
            subprocess.run([sys.executable, __file__, step, dataset, str(path)], check=True)


def fit(dataset: str, path: str) -> None:
    """Fit and write the wide encoder."""
    start = time.perf_counter()
    fit_encoder(WIDE, regions="V1", layers={"V1": "layer1"}, dataset=dataset, path=Path(path))
    _print("fit", start, f"{Path(path).stat().st_size / 1e9:.2f} GB on disk")


def ask(_dataset: str, path: str) -> None:
    """Load the wide encoder and encode 100 images."""
    start = time.perf_counter()
    encoder = load_encoder(path)
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 256, 256), dtype=np.uint8)
    answer = encoder.encode(images)
    _print("load and encode 100 images", start, f"{answer.shape[1]} voxels")


def _print(what: str, start: float, more: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what}: {time.perf_counter() - start:.0f} s, peak {peak:.2f} GiB, {more}", flush=True)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"rate": rate, "memory": memory, "fit": fit, "ask": ask}[command](*arguments)
