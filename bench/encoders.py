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

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.hooks import pytorch_wrapper
from brainscore_vision.benchmarks.laion_fmri_7t import fit_encoder, load_encoder

N_IMAGES, BATCH, ROUNDS = 64, 32, 5
WIDE = "torchvision:resnet50@none"


def rate(source: str, layer: str, dataset: str) -> None:
    """Images per second, as medians over rounds in turn, and the ratio of each round."""
    encoder = fit_encoder(source, regions=("V1", "IT"), layers={"V1": layer, "IT": layer}, train="tau", dataset=dataset)
    images = np.random.default_rng(0).integers(0, 256, (N_IMAGES, 3, 256, 256), dtype=np.uint8)
    network = pytorch_wrapper(encoder.model.activations_model)._model
    tensors = torch.randn(BATCH, 3, 224, 224)

    def alone():
        with torch.no_grad():
            for _ in range(N_IMAGES // BATCH):
                network(tensors)

    def encoded():
        encoder.encode(images, progress=False)

    seconds: dict = {alone: [], encoded: []}
    for done in range(-1, ROUNDS):
        for what, times in seconds.items():
            start = time.perf_counter()
            what()
            if done >= 0:  # the first round warms up
                times.append(time.perf_counter() - start)
    ratios = np.array(seconds[alone]) / np.array(seconds[encoded])
    rates = {what: N_IMAGES / np.median(times) for what, times in seconds.items()}
    print(
        f"{source}, {layer}, {encoder.n_voxels} voxels: network {rates[alone]:.1f} images/s, encoder {rates[encoded]:.1f}, "
        f"ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
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
