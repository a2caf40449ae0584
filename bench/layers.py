"""A layer map beside what the machine allows: forward passes alone, and the products of the kernels.

    python bench/layers.py --dataset DIR [--network resnet50] [--layers blocks] [--max-spool 20] [--json OUT]

DIR is a simulated dataset with the full scale's shared pool. The map runs in a process of its own, whose peak memory and
spool are watched; rates of plain passes and products are measured before and after it, so that a shared machine's noise hits
both.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import machine, run_measured, versions
from scipy.linalg import blas

BATCH = 32
COLUMNS = 1024
REPOSITORY = Path(__file__).resolve().parent.parent


def seconds(function) -> float:
    start = time.monotonic()
    function()
    return time.monotonic() - start


def forward_seconds(name: str, dataset: str, n_images: int) -> float:
    """Per image, of a plain torch loop over the files that only keeps nothing."""
    import torch

    from brainscore_vision.benchmarks.laion_fmri_7t import find_model
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    network, opened = find_model(f"torchvision:{name}@none").network(), open_dataset(dataset)
    ids = opened.pool_stimuli("shared")[:n_images]
    stimuli = opened.stimulus_set(ids)
    paths = [str(stimuli.get_stimulus(i)) for i in ids]

    def loop():
        with torch.no_grad():
            for start in range(0, len(paths), BATCH):
                images = network.preprocessing(paths[start : start + BATCH])
                network.module(torch.from_numpy(np.asarray(images)))

    loop()  # warm: page cache, memory pools
    return seconds(loop) / n_images


def product_seconds(n: int, repeat: int = 8) -> float:
    """Per block of columns, of the symmetric product alone."""
    block = np.random.default_rng(0).standard_normal((n, COLUMNS))
    gram = np.zeros((n, n), order="F")

    def products():
        for _ in range(repeat):
            blas.dsyrk(1.0, block.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)

    products()
    return seconds(products) / repeat


def run_map(arguments: argparse.Namespace) -> None:
    """The map, in this process; prints what it took as JSON."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
    from brainscore_vision.benchmarks.laion_fmri_7t import find_model, map_layers

    said, network = [], find_model(f"torchvision:{arguments.network}@none").network()
    engine = EngineOptions(max_spool=int(arguments.max_spool * 1e9), progress=False)
    start = time.monotonic()
    found = map_layers(network, layers=arguments.layers, dataset=arguments.dataset, engine=engine, say=said.append)
    took = time.monotonic() - start
    print(
        json.dumps(
            {"seconds": took, "said": said, "layers": found.layers, "skipped": found.skipped, "best": found.best}
        )
    )


def widths(arguments: argparse.Namespace) -> dict[str, int]:
    from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.choosing import choose
    from brainscore_vision.benchmarks.laion_fmri_7t.layer_maps import layers_of

    identifier, listed = layers_of(f"torchvision:{arguments.network}@none")
    return {layer.name: layer.n_features for layer in choose(listed, arguments.layers, identifier).layers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--layers", default="blocks")
    parser.add_argument("--max-spool", type=float, default=20.0)
    parser.add_argument("--images", type=int, default=192, help="For the rate of plain passes.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--map", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.map:
        run_map(arguments)
        return
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    n = len(open_dataset(arguments.dataset).pool_stimuli("shared"))
    wide, spool_peak = widths(arguments), 0
    rates = [(forward_seconds(arguments.network, arguments.dataset, arguments.images), product_seconds(n))]
    with tempfile.TemporaryDirectory() as home:
        log, spool = Path(home) / "log", Path(home) / "stimulus_kernels" / "spool"

        def watch():
            nonlocal spool_peak
            sizes = [path.stat().st_size for path in spool.rglob("*.features")] if spool.exists() else []
            spool_peak = max(spool_peak, sum(sizes))

        command = [sys.executable, "-W", "ignore", __file__, "--map", "--dataset", arguments.dataset]
        command += [
            "--network",
            arguments.network,
            "--layers",
            arguments.layers,
            "--max-spool",
            str(arguments.max_spool),
        ]
        measured = run_measured(command, {**os.environ, "BRAINSCORE_HOME": home}, log, watch)
        text = log.read_text()
    if measured.exit_code != 0:
        sys.exit(text[-3000:])
    report = json.loads(text.strip().splitlines()[-1])
    rates.append((forward_seconds(arguments.network, arguments.dataset, arguments.images), product_seconds(n)))
    n_passes = int(report["said"][0].split(" are recorded in ")[1].split()[0])
    forward = n_passes * n * float(np.mean([rate[0] for rate in rates]))
    products = sum(-(-p // COLUMNS) for p in wide.values()) * float(np.mean([rate[1] for rate in rates]))
    result = {
        **report,
        "n_stimuli": n,
        "n_features": wide,
        "passes": n_passes,
        "forward_seconds": forward,
        "product_seconds": products,
        "ratio": report["seconds"] / (forward + products),
        "rates_before_and_after": rates,
        "peak_bytes": measured.process_peak_bytes,
        "spool_peak_bytes": spool_peak,
        "load_average": measured.load_average,
        "machine": machine(),
        "versions": versions(REPOSITORY),
    }
    print(
        f"{len(report['layers'])} layers, {sum(wide.values()):,} features of {n:,} images: {report['seconds']:.0f} s; "
        f"{n_passes} plain passes {forward:.0f} s, products {products:.0f} s, ratio {result['ratio']:.2f}\n"
        f"peak memory {measured.process_peak_bytes / 1e9:.2f} GB, spool {spool_peak / 1e9:.1f} GB"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
