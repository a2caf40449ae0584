"""All 20 headline cells for one model in one process, measured: wall time and peak memory.

    python bench/headline.py FOLDER [--model NAME] [--json FILE]

FOLDER is a simulated dataset of scale full; NAME a registered model or module:function, by default an untrained AlexNet.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from measure import machine, run_measured, versions

REPOSITORY = Path(__file__).resolve().parent.parent


def measure(folder: Path, model: str) -> dict:
    """Score the model on all headline cells in a new process with an empty home."""
    with tempfile.TemporaryDirectory(prefix="bench-headline-") as scratch:
        environment = {
            **os.environ,
            "BS_INSTALL_DEPENDENCIES": "no",
            "BRAINSCORE_HOME": f"{scratch}/brain-score",
            "LAION_FMRI_7T_HOME": f"{scratch}/laion_fmri_7t",
        }
        log = Path(scratch) / "log"
        command = [sys.executable, "-m", "brainscore_vision.benchmarks.laion_fmri_7t.cli"]
        command += ["score", model, "headline", "--dataset", str(folder), "--json"]
        run = run_measured(command, environment, log)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    if run.exit_code != 0:
        raise SystemExit("\n".join(lines[-20:]))
    return {
        "model": model,
        "cells": len(records),
        "wall_seconds": round(run.wall_seconds, 1),
        "peak_gb": round(run.peak_bytes / 1e9, 2),
        "scores": {record["benchmark"]: record["score"] for record in records},
        "machine": machine(),
        "versions": versions(REPOSITORY),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--model", default="brainscore_vision.benchmarks.laion_fmri_7t.networks.sources:untrained_alexnet"
    )
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    folder = arguments.folder.expanduser().resolve()
    text = json.dumps(measure(folder, arguments.model), indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
