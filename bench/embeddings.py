"""All 20 headline cells for one embedding, measured: wall time and peak memory of a fresh process.

    python bench/embeddings.py FOLDER [--model LAION_fMRI-CLIP] [--json FILE]
    python bench/embeddings.py FOLDER --add         # writes embeddings into a simulated folder that was made without them

FOLDER is a dataset folder with embeddings, of scale full for the figures of the README.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from measure import machine, run_measured, versions

REPOSITORY = Path(__file__).resolve().parent.parent


def add(folder: Path) -> None:
    """Compute what the simulation would have written: features from the images on disk, embeddings, segmentations."""
    from threadpoolctl import threadpool_limits

    from brainscore_vision.data.laion_fmri_7t.simulation import build, images
    from brainscore_vision.data.laion_fmri_7t.simulation.embeddings import write_embeddings
    from brainscore_vision.data.laion_fmri_7t.simulation.parallel import ordered_map, worker_count
    from brainscore_vision.data.laion_fmri_7t.simulation.scales import get_scale
    from brainscore_vision.data.laion_fmri_7t.simulation.segmentations import write_segmentations
    from brainscore_vision.data.laion_fmri_7t.simulation.visual_features import SIZE, visual_features

    mark = json.loads((folder / "dataset.json").read_text("utf-8"))
    scale, seed, workers = get_scale(mark["scale"]), mark["seed"], worker_count(None)
    table = pd.read_csv(folder / "stimuli" / "manifest.csv", dtype=str, keep_default_na=False)
    files = [folder / "stimuli" / "images" / name for name in table["filename"]]

    def look(paths: list[Path]) -> np.ndarray:
        return visual_features(np.stack([images.displayed(path, SIZE) for path in paths]))

    blocks = [files[start : start + 64] for start in range(0, len(files), 64)]
    with threadpool_limits(1):
        features = build.standardised(np.concatenate(list(ordered_map(look, blocks, workers))))
        ids = table["stimulus_id"].to_numpy(dtype=str)
        shared = np.flatnonzero((table["participant"] == "all").to_numpy())
        write_embeddings(folder / "stimuli", ids, features, scale, seed)
        write_segmentations(folder / "stimuli", ids[shared], features[shared], scale.image_size, seed, workers)


def measure(folder: Path, model: str) -> dict:
    """Score the model on all headline cells in a new process with an empty home."""
    with tempfile.TemporaryDirectory(prefix="bench-embeddings-") as scratch:
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
    parser.add_argument("--model", default="LAION_fMRI-CLIP")
    parser.add_argument("--add", action="store_true", help="write embeddings and segmentations into the folder")
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    folder = arguments.folder.expanduser().resolve()
    if arguments.add:
        add(folder)
        return
    text = json.dumps(measure(folder, arguments.model), indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
