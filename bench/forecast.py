"""What `laion-score sweep --dry-run` forecasts, beside a sweep that is run right after it.

    python bench/forecast.py [--dataset DIR] [--pixels PIXELS] [--workers N] [--threads N] [--models NAME ...]
                             [--cells PATTERN ...] [--subjects SUBJECTS] [--rounds N] [--json OUT]

Without DIR, a small simulated dataset is made, with images of PIXELS. Each round has a store and a home of its own, so that
nothing is left of the one before. A machine with other work is not as fast in one minute as in the next: several rounds
show how much of a ratio is due to that.
"""

import argparse
import io
import json
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

MODELS = (
    "torchvision:shufflenet_v2_x0_5@none",
    "torchvision:squeezenet1_1@none",
    "torchvision:alexnet@none",
)
LAYERS = {
    "alexnet": {"V1": "features.5", "V2": "features.7", "V4": "features.9", "IT": "features.12"},
    "squeezenet1_1": {"V1": "features.5", "V2": "features.7", "V4": "features.9", "IT": "features.12"},
    "shufflenet_v2_x0_5": {"V1": "maxpool", "V2": "stage2", "V4": "stage3", "IT": "conv5"},
    "mobilenet_v3_small": {"V1": "features.3", "V2": "features.6", "V4": "features.9", "IT": "features.12"},
    "mnasnet0_5": {"V1": "layers.8", "V2": "layers.9", "V4": "layers.10", "IT": "layers.12"},
    "resnet18": {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4"},
}


def peak_bytes() -> int:
    """Most memory that this process has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def one_round(given, dataset: Path, folder: Path) -> dict:
    """Forecast, then sweep, from nothing."""
    from rich.console import Console

    from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
    from brainscore_vision.benchmarks.laion_fmri_7t.cli.options import expand
    from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
    from brainscore_vision.benchmarks.laion_fmri_7t.sweep import Settings, check_names, cluster, make_plan, run_sweep
    from brainscore_vision.benchmarks.laion_fmri_7t.sweep.forecast import forecast
    from brainscore_vision.benchmarks.laion_fmri_7t.sweep.plan import expected_bytes
    from brainscore_vision.benchmarks.laion_fmri_7t.sweep.preflight import Preflight
    from brainscore_vision.benchmarks.laion_fmri_7t.sweep.progress import Board

    os.environ["BRAINSCORE_HOME"], os.environ["LAION_FMRI_7T_HOME"] = str(folder / "bs"), str(folder / "home")
    engine = EngineOptions(progress=False)
    models = {name: LAYERS[name.partition(":")[2].partition("@")[0]] for name in given.models}
    options = {} if given.subjects is None else {"subjects": tuple(given.subjects.split(","))}
    plan = make_plan(*check_names(models, expand(given.cells), dataset=str(dataset), **options))
    shape = cluster.local_workers(*cluster.this_machine(), expected_bytes(plan, engine), plan.n_todo, given.workers)
    shape = replace(shape, threads=given.threads or shape.threads)
    start = time.perf_counter()
    with Preflight(engine, shape) as preflight:
        checked = list(preflight.check(plan.models))
        problems = [line for one in checked for line in one.lines()]
        if problems:
            raise SystemExit("\n".join(problems))
        rates = {one.model: one.rates for one in checked}
        machine, ready = preflight.machine(plan, list(rates.values()))
        expected = forecast(plan, rates, machine, engine, shape.n, ready)
    probed = time.perf_counter() - start
    for line in expected.lines(shape, shape.n):
        print(line, flush=True)
    database = ResultsDatabase(folder / "results.db")
    start = time.perf_counter()
    with cluster.local_client(shape) as client:
        settings = Settings(engine, shape.threads)
        summary = run_sweep(
            client, plan, settings, database, expected_bytes(plan, engine), Board(plan, Console(file=io.StringIO()))
        )
        took, peak = time.perf_counter() - start, max(client.run(peak_bytes).values())
    kept = sum(path.stat().st_size for path in engine.kernels.glob("*.kernel"))
    for failure in summary.failures[:3]:
        print(failure)
    found = {
        "workers": shape.n,
        "cells scored": summary.n_scored,
        "probe": probed,
        "seconds": took,
        "seconds forecast": expected.seconds,
        "peak": peak,
        "peak forecast": expected.peak,
        "kernels": kept,
        "kernels forecast": expected.store_bytes,
        "cells": sum(result.seconds for result in database.results()),
        "cells forecast": expected.stages["cells"],
        "stages": dict(expected.stages),
    }
    print(f"probe {probed:.0f} s; sweep of {summary.n_scored} cells, load {os.getloadavg()[0]:.1f}:")
    for name in ("seconds", "cells", "peak", "kernels"):
        ratio = found[f"{name} forecast"] / found[name]
        print(f"  {name}: {found[name]:,.0f}, forecast {found[f'{name} forecast']:,.0f}, ratio {ratio:.2f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--pixels", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--threads", type=int, help="per worker; default: processors / workers")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--cells", nargs="+", default=["headline"])
    parser.add_argument("--subjects")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        dataset = given.dataset
        if dataset is None:
            from brainscore_vision.data.laion_fmri_7t.simulation import simulate

            dataset = simulate(Path(name) / "data", scale="small", pixels=given.pixels, progress=False)
        rounds = []
        for number in range(given.rounds):
            folder = Path(name) / f"round {number}"
            folder.mkdir()
            rounds.append(one_round(given, dataset, folder))
            shutil.rmtree(folder)
    if given.json:
        given.json.write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
