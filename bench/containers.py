"""Images shown when each headline cell has a container of its own, with and without shared kernels.

    python bench/containers.py FOLDER [--json FILE]

FOLDER is a simulated dataset of any scale. A container is a process with homes of its own; the bucket is served by moto on
this machine. The model has a layer for each region: an untrained network of a few kilobytes. Kernels are made, which is all
that shows images; what is computed from them is left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore", FutureWarning)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import boto3  # noqa: E402
import torch  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from plugin_testing.models import small_network  # noqa: E402

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, prepare_kernels  # noqa: E402
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import build_all, prepare  # noqa: E402
from brainscore_vision.benchmarks.laion_fmri_7t.test import REGISTERED  # noqa: E402

LAYERS = {"V1": "conv", "V2": "relu", "V4": "pool", "IT": "head"}
BUCKET = "activations"


def container(cells: list[str], folder: Path, told) -> None:
    """Make the kernels of cells in one process with empty homes; tell how many images were shown."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bench-container-") as home:
        os.environ["BRAINSCORE_HOME"] = f"{home}/brain-score"
        shown = []

        def see(batch: dict) -> dict:
            shown.append(len(next(iter(batch.values()))))
            return batch

        model, plans = prepare(small_network(LAYERS, batch_size=1, misbehave=see), build_all(cells, folder).values())
        prepare_kernels(model, [task for plan in plans for task in plan.tasks], EngineOptions())
    told.put(sum(shown))


def run(cells: list[list[str]], folder: Path) -> dict:
    """One container after the other."""
    context, shown = multiprocessing.get_context("fork"), []
    for of_one in cells:
        told = context.Queue()
        process = context.Process(target=container, args=(of_one, folder, told))
        process.start()
        shown.append(told.get(timeout=600))
        process.join()
        sys.stderr.write(f"{of_one[0]}: {shown[-1]} images\n")
    return {"images": sum(shown), "containers": len(cells), "most in one": max(shown)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    folder = arguments.folder.expanduser().resolve()
    logging.disable(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    os.environ.pop("RESULTCACHING_S3_BUCKET", None)
    alone, together = [[cell] for cell in REGISTERED], [list(REGISTERED)]
    result = {"one process": run(together, folder), "containers": run(alone, folder)}
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    os.environ["RESULTCACHING_S3_BUCKET"] = BUCKET
    result["containers that share"] = run(alone, folder)
    server.stop()
    text = json.dumps(result, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
