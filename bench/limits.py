"""How far each stage is from what this machine allows: forward passes, products, decompositions, the disk.

    python bench/limits.py --dataset DIR [--images 1024] [--json OUT]

DIR is a simulated dataset of full scale. Rates and stages alternate in one run, so that a shared machine's noise hits both.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import linalg


def seconds(function, *arguments) -> float:
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start


def best(function, repeat: int, *arguments) -> float:
    return min(seconds(function, *arguments) for _ in range(repeat))


def forward_rates(dataset: str, n_images: int, scratch: Path) -> dict:
    """Images per second of a plain torch loop over the files, and of the recorder with its spool."""
    import torch

    from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import recorder_for
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool
    from brainscore_vision.benchmarks.laion_fmri_7t.networks.sources import untrained_alexnet
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    opened, model = open_dataset(dataset), untrained_alexnet()
    ids = opened.pool_stimuli("sub-01")[-n_images:]
    stimuli = opened.stimulus_set(ids)
    stimuli.identifier = None
    paths = [str(stimuli.get_stimulus(i)) for i in ids]
    wrapper, recorder = model.activations_model, recorder_for(model, ["V1", "V4", "IT"])

    def plain():
        network = wrapper._model.eval()
        with torch.no_grad():
            for start in range(0, len(paths), 64):
                images = wrapper._extractor.preprocess(paths[start : start + 64])
                network(torch.from_numpy(np.asarray(images)))

    def ours():
        labels = list(dict.fromkeys(recorder.labels.values()))
        spools = {k: FeatureSpool(scratch / f"{i}.features", len(ids), k) for i, k in enumerate(labels)}

        def sink(batch):
            for label, features in batch.items():
                spools[label].append(features)

        recorder.record(stimuli, labels, sink)
        for spool in spools.values():
            spool.remove()

    plain(), ours()  # warm: page cache, memory pools
    pairs = [(seconds(plain), seconds(ours)) for _ in range(3)]
    loop, recorded = min(p[0] for p in pairs), min(p[1] for p in pairs)
    return {"allowed": n_images / loop, "reached": n_images / recorded, "unit": "images/s"}


def kernel_rates(n: int, p: int, scratch: Path) -> dict:
    """GFLOP/s of a general product, and of the kernel stage from its spool, a symmetric product counted as half."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import build_kernel
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool

    rng = np.random.default_rng(0)
    a = rng.standard_normal((4096, 4096))
    spool = FeatureSpool(scratch / "kernel.features", n, "made")
    for start in range(0, n, 64):
        spool.append(rng.standard_normal((min(64, n - start), p), dtype=np.float32))
    gemm = best(np.dot, 3, a, a)
    stage = best(lambda: build_kernel([spool], [str(i) for i in range(n)]), 2)
    spool.remove()
    return {"allowed": 2 * 4096**3 / gemm / 1e9, "reached": n * n * p / stage / 1e9, "unit": "GFLOP/s"}


def decomposition_rates(n: int) -> dict:
    """Decompositions per minute: LAPACK alone, and the stage."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.fit import decompose

    features = np.random.default_rng(0).standard_normal((n, n + 200))
    gram = np.asfortranarray(features @ features.T)
    alone = seconds(lambda: linalg.eigh(gram.copy(order="F"), driver="evd", overwrite_a=True, check_finite=False))
    stage = seconds(decompose, gram, np.arange(n))
    return {"allowed": 60 / alone, "reached": 60 / stage, "unit": "decompositions/min"}


def search_rates(n: int, n_neuroids: int) -> dict:
    """GFLOP/s of a general product, and of the search for alpha if all 21 penalties were computed in full."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels import DEFAULT_ALPHAS
    from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.fit import (
        TrainingResponses,
        decompose,
        select_alpha,
    )

    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n, 50))
    features = latent @ rng.standard_normal((50, n + 200)) + rng.standard_normal((n, n + 200))
    decomposition = decompose(features @ features.T, np.arange(n))
    responses = latent @ rng.standard_normal((50, n_neuroids)) / 7 + 2 * rng.standard_normal((n, n_neuroids))
    training = TrainingResponses(decomposition, responses)
    gemm = best(rng.standard_normal((n, n - 1)).dot, 3, training.coordinates)
    search = seconds(select_alpha, training, DEFAULT_ALPHAS)
    flops = 2 * n * n * n_neuroids
    return {"allowed": flops / gemm / 1e9, "reached": flops * len(DEFAULT_ALPHAS) / search / 1e9, "unit": "GFLOP/s"}


def reading_rates(dataset: str) -> dict:
    """MB/s of reading an assembly's file, and of averaging a region from it (both from the page cache)."""
    from brainscore_vision.data.laion_fmri_7t.assemblies.averages import read_responses
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    path = Path(dataset) / "assemblies" / "sub-01.nc"

    def read():
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass

    read()
    plain = best(read, 2)
    file = open_dataset(dataset).assembly_file("sub-01")
    averages = read_responses(file, "IT", 0.0)
    size = int(averages.n_repetitions.sum()) * averages.values.shape[1] * averages.values.itemsize
    region = best(read_responses, 2, file, "IT", 0.0)
    return {"allowed": path.stat().st_size / plain / 1e6, "reached": size / region / 1e6, "unit": "MB/s"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--stimuli", type=int, default=6204)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["BRAINSCORE_HOME"] = home
        scratch, n = Path(home), arguments.stimuli
        stages = {
            "extraction": lambda: forward_rates(arguments.dataset, arguments.images, scratch),
            "kernel": lambda: kernel_rates(n, 16384, scratch),
            "decomposition": lambda: decomposition_rates(n * 3 // 4),
            "search for alpha": lambda: search_rates(n * 3 // 4, 2000),
            "reading responses": lambda: reading_rates(arguments.dataset),
        }
        results = {}
        for name, measure in stages.items():
            r = results[name] = measure()
            print(
                f"{name:18} {r['reached']:10.1f} of {r['allowed']:10.1f} {r['unit']:20} {r['reached'] / r['allowed']:6.0%}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
