"""Images per second from files to features: Brain-Score alone, one batch after the other, and prepared ahead.

Images are JPEGs of the release's size, 1000 pixels, which are drawn first. The limit is what the machine allows if none of its
processors ever waits: processor time of preparing an image, measured on one thread, and of the network's answer, divided by the
number of processors. On a machine with other work, compare processor seconds: those of "ahead" are to be the sum of the
two. All are measured in turn, in rounds in one process; the ratios are those of a round's own times.

    python bench/images.py --network alexnet --layer features.12 --json OUT
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torchvision
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.ahead import _use_one_processor
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import CommitmentRecorder
from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import available_processors, worker_count
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, images
from brainscore_vision.data.laion_fmri_7t.simulation.stimuli_ids import stimulus_table

BATCH = 64


def draw(folder: Path, n: int, pixels: int) -> StimulusSet:
    """Simulated JPEGs as stimuli."""
    names = [name for name in stimulus_table(SCALES["full"], 0)["stimulus_id"] if name.endswith(".jpg")]
    stimuli = StimulusSet({"stimulus_id": names[:: len(names) // n][:n]})
    stimuli.stimulus_paths = {name: str(folder / f"{i}.jpg") for i, name in enumerate(stimuli["stimulus_id"])}
    for name, path in stimuli.stimulus_paths.items():
        Path(path).write_bytes(images.encode(images.render(name, pixels, 0, with_parts=False)))
    stimuli.identifier = None
    return stimuli


def commitment(network: str, layer: str) -> ModelCommitment:
    """An untrained network, as Brain-Score commits it."""
    torch.manual_seed(0)
    module = getattr(torchvision.models, network)(weights=None).eval()
    prepare = functools.partial(load_preprocess_images, image_size=224)
    wrapper = PytorchWrapper(identifier=network, model=module, preprocessing=prepare, batch_size=BATCH)
    return ModelCommitment(network, wrapper, layers=[layer], region_layer_map={"V1": layer}, visual_degrees=8)


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="alexnet")
    parser.add_argument("--layer", default="features.12")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--pixels", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1, initializer=_use_one_processor) as one:
        stimuli = draw(Path(folder), given.images, given.pixels)
        paths = list(stimuli.stimulus_paths.values())
        model = commitment(given.network, given.layer)
        wrapper, label = model.activations_model, given.layer
        ahead, in_turn = (CommitmentRecorder(model, ["V1"]) for _ in range(2))
        in_turn._reader.images.one_by_one = False
        batch = torch.randn(BATCH, 3, 224, 224)

        def alone():
            wrapper(stimuli, layers=[label])

        def recorded(recorder):
            recorder.record(stimuli, [label], lambda _: None)

        def prepared():
            for path in paths:
                wrapper._extractor.preprocess([path])

        def answered():
            with torch.no_grad():
                for _ in range(max(1, len(paths) // BATCH)):
                    wrapper._model(batch)

        ways = {
            "Brain-Score alone": alone,
            "in turn": functools.partial(recorded, in_turn),
            "ahead": functools.partial(recorded, ahead),
            "preparing, processor": lambda: one.submit(prepared).result(),
            "answering, processor": answered,
        }
        seconds: dict[str, list[float]] = {name: [] for name in (*ways, "ahead, processor")}
        for done in range(-1, given.rounds):
            for name, way in ways.items():
                clock = time.process_time if name.endswith("processor") else time.perf_counter
                start, busy = clock(), time.process_time()
                way()
                if name == "ahead" and done >= 0:
                    seconds["ahead, processor"].append((time.process_time() - busy) / len(paths))
                if done >= 0:  # the first round warms up
                    shown = max(1, len(paths) // BATCH) * BATCH if way is answered else len(paths)
                    seconds[name].append((clock() - start) / shown)
    cores = available_processors()
    # other work on the machine only adds to processor time
    seconds["limit"] = [
        (min(seconds["preparing, processor"]) + min(seconds["answering, processor"])) / cores
    ] * given.rounds
    found = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
    for name, value in found.items():
        print(f"{name}: {value:.2f} ms an image, {1e3 / value:.1f} a second", flush=True)
    for name in ("Brain-Score alone", "in turn", "limit"):
        ratios = [a / b for a, b in zip(seconds[name], seconds["ahead"], strict=True)]
        found[f"ahead beside {name}"] = statistics.median(ratios)
        print(f"ahead beside {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"{cores} processors, {worker_count()} threads, load {os.getloadavg()[0]:.1f}")
    if given.json:
        given.json.write_text(
            json.dumps({"milliseconds": found, "load": os.getloadavg()[0], **vars(given)}, default=str)
        )


if __name__ == "__main__":
    main()
