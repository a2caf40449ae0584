"""All 20 headline cells of one model: seconds, peak memory, and the share of each stage.

    python bench/headline.py FOLDER --json OUT [--model NAME] [--layers V1=LAYER,...] [--device cpu|cuda]
                             [--steps nothing stored cpu] [--pixels 1000] [--profile]

FOLDER is a simulated dataset of scale full; one that does not exist is simulated first, with images of so many pixels. The
model is an untrained AlexNet unless another one is named. The steps, each a process of its own, each reported as soon as it
is done:

- nothing: all cells on the device, from nothing
- stored: again, with the kernels on disk
- cpu: the shared pool's cells on the CPU, whose raw scores and alphas are compared with those of a GPU
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import functools
import io
import json
import os
import pstats
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from compared import our_outcomes
from measure import machine, run_measured, versions

REPOSITORY = Path(__file__).resolve().parent.parent
STEPS = ("nothing", "stored", "cpu")
TOLD_SECONDS = 1.0
ALEXNET = "brainscore_vision.benchmarks.laion_fmri_7t.networks.sources:untrained_alexnet"


def headline(shared_only: bool) -> list[str]:
    """Identifiers of the headline cells, those of the per-subject pools perhaps left out."""
    from brainscore_vision.benchmarks.laion_fmri_7t.cli.options import headline as names
    from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse

    return [name for name in names() if not shared_only or parse(name).pool == "shared"]


def stages() -> dict[str, list]:
    """Name of a stage to what it calls: (owner, name of the function)."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels import engine
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import making
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
    from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit

    return {
        "checking the data": [(engine.Run, "check_data")],
        "showing images": [(making.ModelKernels, "prepare")],
        "kernels": [(making, "build_kernel")],
        "kernels to and from the disk": [(KernelStore, "save"), (KernelStore, "load")],
        "decompositions": [(fit, "decompose")],
        "fits": [(fit, "select_alpha"), (fit.TrainingResponses, "predict")],
    }


def time_stages(spent: Counter) -> None:
    """Count the seconds of each stage from now on."""
    for stage, functions in stages().items():
        for owner, name in functions:
            setattr(owner, name, timed(getattr(owner, name), stage, spent))


def timed(function: Callable, stage: str, spent: Counter) -> Callable:
    """The function, its seconds counted; long ones are told, so that a run that is stopped has told them."""

    @functools.wraps(function)
    def counted(*arguments, **options):
        start = time.monotonic()
        try:
            return function(*arguments, **options)
        finally:
            seconds = time.monotonic() - start
            spent[stage] += seconds
            if seconds > TOLD_SECONDS:
                sys.stderr.write(f"{stage}: {seconds:.1f} s\n")

    return counted


def child(arguments: argparse.Namespace) -> None:
    """Score in this process, and write what came out."""
    start = time.monotonic()
    from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
    from brainscore_vision.benchmarks.laion_fmri_7t.networks.region_layers import parse_layers
    from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
    from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS

    spent: Counter = Counter()
    spent["imports"] = time.monotonic() - start
    time_stages(spent)
    profile = cProfile.Profile() if arguments.profile else None
    outcomes: dict = {}

    def write() -> None:
        spent["all"] = time.monotonic() - start
        arguments.json.write_text(json.dumps({"seconds": spent, "outcomes": outcomes}))

    with profile or contextlib.nullcontext():
        for name, score in score_all(
            arguments.model,
            headline(arguments.child == "cpu"),
            arguments.folder,
            EngineOptions(device=arguments.device),
            layers=parse_layers(arguments.layers) if arguments.layers else None,
        ):
            outcomes[name] = {subject: vars(outcome) for subject, outcome in our_outcomes(score, SUBJECTS).items()}
            write()  # a run that is stopped has told what it knew
            sys.stderr.write(f"{spent['all']:7.1f} s: {name} ({', '.join(f'{k} {v:.1f}' for k, v in spent.items())})\n")
    write()
    if profile:
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(70)
        pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(40)
        sys.stderr.write(text.getvalue())


def main(defaults: Mapping[str, object] = MappingProxyType({})) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--model", default=ALEXNET)
    parser.add_argument("--layers", help="as `laion-score score` takes them")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", nargs="+", default=STEPS[:2], choices=STEPS)
    parser.add_argument("--pixels", type=int, default=1000, help="of images that are simulated")
    parser.add_argument("--profile", action="store_true", help="keep a profile of each step beside the figures")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    parser.set_defaults(**defaults)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    found = {"model": arguments.model, "machine": machine(), "versions": versions(REPOSITORY), "gpu": gpu()}
    if not arguments.folder.exists():
        found["simulation"] = round(simulate(arguments.folder, arguments.pixels), 1)
        report(found, arguments.json)
    with tempfile.TemporaryDirectory(prefix="bench-headline-") as home:
        environment = {
            **os.environ,
            "BS_INSTALL_DEPENDENCIES": "no",
            "BRAINSCORE_HOME": f"{home}/brain-score",
            "LAION_FMRI_7T_HOME": f"{home}/laion_fmri_7t",
        }
        for step in arguments.steps:
            out, log = Path(home) / f"{step}.json", arguments.json.with_suffix(f".{step}.log")
            device = "cpu" if step == "cpu" else arguments.device
            command = [sys.executable, __file__, str(arguments.folder), "--json", str(out), "--child", step]
            command += ["--model", arguments.model, "--device", device]
            command += ["--layers", arguments.layers] if arguments.layers else []
            command += ["--profile"] if arguments.profile else []
            own = {"CUDA_VISIBLE_DEVICES": "", "BRAINSCORE_HOME": f"{home}/cpu"} if step == "cpu" else {}
            run = run_measured(command, {**environment, **own}, log)
            said = json.loads(out.read_text()) if out.is_file() else {}
            found[step] = {
                "outcome": run.outcome,
                "wall_seconds": round(run.wall_seconds, 1),
                "cpu_seconds": round(run.cpu_seconds, 1),
                "load_before": round(run.load_average, 1),
                "peak_gb": round(run.peak_bytes / 1e9, 2),
                "stages": {stage: round(seconds, 1) for stage, seconds in said.get("seconds", {}).items()},
                "outcomes": said.get("outcomes", {}),
            }
            if step != "nothing" and "nothing" in found:
                found[step]["beside the first"] = agreement(found["nothing"]["outcomes"], said.get("outcomes", {}))
            report(found, arguments.json)


def gpu() -> str:
    """The card's name."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def simulate(folder: Path, pixels: int) -> float:
    """Simulate a dataset of scale full; seconds."""
    from brainscore_vision.data.laion_fmri_7t.simulation import simulate

    start = time.monotonic()
    simulate(folder, "full", pixels=pixels)
    return time.monotonic() - start


def agreement(first: dict, other: dict) -> dict:
    """Largest difference of raw scores, and whether all alphas are equal."""
    pairs = [(first[cell][s], other[cell][s]) for cell in other if cell in first for s in other[cell]]
    return {
        "subject scores": len(pairs),
        "raw": max((abs(a["raw"] - b["raw"]) for a, b in pairs), default=None),
        "equal alphas": all(a["alpha"] == b["alpha"] for a, b in pairs),
    }


def report(found: dict, path: Path) -> None:
    """Write what is known, and print it without the scores."""
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    brief = {k: {n: v for n, v in x.items() if n != "outcomes"} if isinstance(x, dict) else x for k, x in found.items()}
    sys.stdout.write(json.dumps(brief) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
