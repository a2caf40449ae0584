"""What a sweep of many small models costs beside the models' own work: planning, handing out, keeping results.

    python bench/sweep_overhead.py [N_MODELS] [N_PLANNED]

Scores N_MODELS (default 10) small networks on the 20 headline benchmarks of tiny simulated data, on one worker, and plans a
sweep of N_PLANNED (default 300) of them on what is done. All files are in a temporary folder.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.cli.options import headline
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import Settings, check_names, cluster, make_plan, run_sweep
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.plan import expected_bytes
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.progress import Board
from brainscore_vision.data.laion_fmri_7t.simulation import simulate

SOURCE = """
from collections import OrderedDict

import torch

from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model


def make(width):
    torch.manual_seed(width)
    layers = [("conv", torch.nn.Conv2d(3, width, 7, 4)), ("relu", torch.nn.ReLU()), ("pool", torch.nn.AdaptiveAvgPool2d(4))]
    network = torch.nn.Sequential(OrderedDict(layers)).eval()
    names = {"V1": "conv", "V2": "relu", "V4": "relu", "IT": "pool"}
    return as_brain_model(network, identifier=f"width {width}", layers=names, image_size=64)
"""


def cpu() -> float:
    """Processor seconds of this process."""
    times = psutil.Process().cpu_times()
    return times.user + times.system


def main() -> None:
    n_models, n_planned = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 10), (2, 300)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = simulate(folder / "data", scale="tiny", progress=False)
        (folder / "models.py").write_text(SOURCE)
        database = ResultsDatabase(folder / "results.db")
        engine = EngineOptions(progress=False, store_directory=folder / "kernels", spool_directory=folder / "spool")

        def planned(n: int, first: int = 4):
            start = time.perf_counter(), cpu()
            models = [f"{folder / 'models.py'}:make({width})" for width in range(first, first + n)]
            plan = make_plan(*check_names(models, headline(), dataset=str(dataset)), results=database)
            print(
                f"{n} models x 20 cells planned: {time.perf_counter() - start[0]:.1f} s, {cpu() - start[1]:.1f} s of CPU"
            )
            return plan

        first, plan = planned(1, 3), planned(n_models)
        with cluster.local_client(cluster.LocalWorkers(n=1, threads=1, memory=8 * 10**9)) as client:
            settings = Settings(engine, 1)

            def swept(plan):
                board = Board(plan, Console(file=io.StringIO()))
                return run_sweep(client, plan, settings, database, expected_bytes(plan, engine), board)

            swept(first)  # what the worker imports and reads once
            start, before = time.perf_counter(), (cpu(), sum(client.run(cpu).values()))
            summary = swept(plan)
            own, work = cpu() - before[0], sum(client.run(cpu).values()) - before[1]
            took = time.perf_counter() - start
        print(f"{summary.n_scored} cells, {len(summary.failures)} failures, {took:.1f} s")
        for failure in summary.failures[:3]:
            print(failure)
        print(f"CPU: sweep {own:.1f} s, worker {work:.1f} s, sweep / worker {own / work:.1%}")
        planned(n_planned)


if __name__ == "__main__":
    main()
