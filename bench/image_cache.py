"""What a cache of prepared images would save: ten networks of one preprocessing, ahead of the network and from a file.

    python bench/image_cache.py [--images 128] [--rounds 3] [--json OUT]

Images are drawn as in images.py. The file is the best that a cache can be: all images are in it and in the page cache, as
float32, and reading them costs no look-up and no check. A processor's seconds are what other work on the machine disturbs
least: divided by the number of processors, they are the time on a machine that does nothing else.
"""

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from images import commitment, draw

NETWORKS = {  # a layer near the end: most of the network runs
    "squeezenet1_1": "features",
    "shufflenet_v2_x0_5": "conv5",
    "mobilenet_v3_small": "avgpool",
    "mnasnet0_5": "layers",
    "alexnet": "features",
    "mobilenet_v2": "features",
    "efficientnet_b0": "avgpool",
    "resnet18": "avgpool",
    "resnet34": "avgpool",
    "resnet50": "avgpool",
}


def prepare_from(file: str, positions: dict, paths) -> np.ndarray:
    """Images that were prepared before."""
    return np.load(file, mmap_mode="r")[[positions[str(path)] for path in paths]]


def main() -> None:
    from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import CommitmentRecorder
    from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import available_processors

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--pixels", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        stimuli = draw(Path(folder), given.images, given.pixels)
        paths = list(stimuli.stimulus_paths.values())
        file = Path(folder) / "prepared.npy"
        for name in given.networks:
            layer = NETWORKS[name]
            model = commitment(name, layer)
            if not file.exists():
                prepare = model.activations_model._extractor.preprocess
                np.save(file, np.concatenate([np.stack(list(prepare([path]))) for path in paths]).astype(np.float32))
            stored = commitment(name, layer)
            positions = {path: i for i, path in enumerate(paths)}
            stored.activations_model._extractor.preprocess = functools.partial(prepare_from, str(file), positions)
            recorders = {"ahead": CommitmentRecorder(model, ["V1"]), "cache": CommitmentRecorder(stored, ["V1"])}
            spent: dict = {way: [] for way in recorders}
            features: dict = {}
            for done in range(-1, given.rounds):
                for way, recorder in recorders.items():
                    kept: list = []
                    wall, busy = time.perf_counter(), time.process_time()
                    recorder.record(stimuli, [layer], lambda batch, kept=kept: kept.append(next(iter(batch.values()))))
                    if done >= 0:  # the first round warms up
                        spent[way].append((time.perf_counter() - wall, time.process_time() - busy))
                    features[way] = np.concatenate(kept)
            same = np.array_equal(*features.values())
            wall, busy = ({way: statistics.median(s[i] for s in spent[way]) for way in spent} for i in (0, 1))
            found[name] = {"wall": wall, "processor": busy, "same": same}
            print(
                f"{name:20} processor ms an image: {1e3 * busy['ahead'] / len(paths):6.1f}, from a cache "
                f"{1e3 * busy['cache'] / len(paths):6.1f}, saved {1 - busy['cache'] / busy['ahead']:4.0%} (of wall time "
                f"{1 - wall['cache'] / wall['ahead']:4.0%}); features {'equal' if same else 'DIFFER'}",
                flush=True,
            )
    total = {way: sum(one["processor"][way] for one in found.values()) for way in ("ahead", "cache")}
    print(f"all {len(found)}: saved {1 - total['cache'] / total['ahead']:.0%} of passes")
    print(f"{available_processors()} processors, load {os.getloadavg()[0]:.1f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
