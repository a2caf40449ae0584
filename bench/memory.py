"""Peak memory of one subject's per-subject cells for layers of different width, and the forecast beside it.

Each layer runs in a process of its own; the peak is VmHWM of /proc/self/status, from the operating system.

    python bench/memory.py --dataset DIR [--json OUT]

DIR is a simulated dataset of full scale (laion-score simulate DIR --scale full).
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import high_water_mark

LAYERS = {
    "alexnet features.12": ("alexnet", "features.12"),
    "alexnet features.2": ("alexnet", "features.2"),
    "resnet50 layer1": ("resnet50", "layer1"),
}


def committed(network: str, layer: str):
    """An untrained torchvision network that commits one layer to V1."""
    import torch
    import torchvision
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

    torch.manual_seed(0)
    wrapper = PytorchWrapper(
        identifier=f"{network}-untrained-{layer}",
        model=getattr(torchvision.models, network)(weights=None),
        preprocessing=functools.partial(load_preprocess_images, image_size=224),
    )
    return ModelCommitment(
        identifier=wrapper.identifier, activations_model=wrapper, layers=[layer], region_layer_map={"V1": layer}
    )


def one_layer(name: str, dataset: str, max_memory: float | None) -> dict:
    """Score V1 tau and ood of one subject; call in a fresh process."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, score_benchmarks
    from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import forecast
    from brainscore_vision.benchmarks.laion_fmri_7t import benchmark

    cells = [
        benchmark(f"LAION_fMRI_persubject.V1-{split}-ridgecv", subjects=("sub-01",), dataset=dataset)
        for split in ("tau", "ood")
    ]
    options = EngineOptions(max_memory=None if max_memory is None else int(max_memory * 1e9))
    model = committed(*LAYERS[name])
    expected = forecast(model, [task for cell in cells for task in cell.resolve().tasks], options)
    start = time.monotonic()
    scores = {cell.identifier: score for cell, score in score_benchmarks(model, cells, options)}
    return {
        "layer": name,
        "n_features": next(iter(scores.values())).attrs["sub-01"].attrs["n_features"],
        "seconds": time.monotonic() - start,
        "peak_bytes": high_water_mark(os.getpid()),
        "forecast_bytes": expected.peak,
        "scores": {identifier: score.item() for identifier, score in scores.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--layer", choices=LAYERS, help="measure this one in this process")
    parser.add_argument("--max-memory", type=float, help="GB")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.layer:
        print(json.dumps(one_layer(arguments.layer, arguments.dataset, arguments.max_memory)))
        return
    results = []
    for name in LAYERS:
        with tempfile.TemporaryDirectory() as home:
            command = [sys.executable, __file__, "--dataset", arguments.dataset, "--layer", name]
            if arguments.max_memory is not None:
                command += ["--max-memory", str(arguments.max_memory)]
            environment = {**os.environ, "BRAINSCORE_HOME": home, "BS_INSTALL_DEPENDENCIES": "no"}
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
            results.append(json.loads(output.splitlines()[-1]))
        r = results[-1]
        print(
            f"{r['layer']:22} {r['n_features']:>8,} features  peak {r['peak_bytes'] / 1e9:.2f} GB  "
            f"forecast {r['forecast_bytes'] / 1e9:.2f} GB ({r['forecast_bytes'] / r['peak_bytes'] - 1:+.0%})  "
            f"{r['seconds']:.0f} s",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
