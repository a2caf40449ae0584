"""How long a results file of many results takes to list, in processor seconds: in Python, as a table, as JSON; and to add to.

    python bench/results_listing.py [N_MODELS [N_ADDED]]

Makes a file of N_MODELS (default 2,000) models on the 20 headline benchmarks, five subjects each, in a temporary folder, and
adds one score of tiny simulated data N_ADDED (default 1,000) times to another file.
"""

import contextlib
import io
import json
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch

from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.cli import app
from brainscore_vision.benchmarks.laion_fmri_7t.cli.options import headline
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, run_facts
from brainscore_vision.data.laion_fmri_7t.simulation import simulate

NORMALIZATIONS = ("published", "explained_variance", "correlation")
STARTED = datetime(2026, 3, 1, tzinfo=UTC)


def fill(path: Path, n_models: int) -> None:
    """Rows as scoring adds them, but made up, and by plain SQL: adding one by one would take hours."""
    ResultsDatabase(path)
    names, subjects = headline(), [f"sub-{k:02d}" for k in (1, 3, 5, 6, 7)]
    dataset = {"name": "simulated", "fingerprint": "0123456789abcdef", "simulated": True, "subjects": subjects}
    details = json.dumps({"network_digest": "0123456789abcdef", "features_digest": "0123456789abcdef"})
    layers = json.dumps({"V1": "layer1"}), "own", "models.py:network", "0123456789abcdef", None
    runs, results, scores, normalizations = [], [], [], []
    for number in range(1, n_models * len(names) + 1):
        model, benchmark = divmod(number - 1, len(names))
        value = 0.1 + 0.5 * (model % 97) / 97
        runs.append((number, (STARTED + timedelta(minutes=number)).isoformat(), 1.5, 10**9, "somewhere", "{}"))
        results.append((number, number, model + 1, benchmark + 1, 1, names[benchmark], "published", None, *layers))
        top = len(scores) + 1
        for place, label in enumerate(["mean", *subjects]):
            parent, level = (None, "mean") if label == "mean" else (top, "subject")
            numbers = (
                value,
                0.01,
                value / 2,
                0.01,
                0.5,
                0.01,
                value - 0.1,
                value + 0.1,
                100.0,
                1000,
                371,
                400,
                4096,
                300,
            )
            scores.append((top + place, number, parent, level, place, label, *numbers, None, details, "{}", "{}"))
            normalizations += [(top + place, name, value) for name in NORMALIZATIONS]
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        rows = {
            "dataset": [(1, dataset["fingerprint"], 1, json.dumps(dataset))],
            "benchmark": [(i, name, 1) for i, name in enumerate(names, start=1)],
            "model": [(i + 1, f"network_{i}", f"models.py:network_{i}", "abc") for i in range(n_models)],
            "run": runs,
            "result": results,
            "score": scores,
            "normalization": normalizations,
        }
        for table, own in rows.items():
            file.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(own[0]))})", own)


def add(folder: Path, n: int) -> None:
    """Add one score many times."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 7, 4), torch.nn.AdaptiveAvgPool2d(4)).eval()
    model = as_brain_model(network, identifier="small", layers={"V1": "0"}, image_size=64)
    dataset = simulate(folder / "data", scale="tiny", progress=False)
    score = score_model(model, headline()[0], dataset=dataset)
    fingerprint = score.attrs["dataset"]["fingerprint"]
    run = run_facts("models.py:network", started=STARTED, dataset_fingerprint=fingerprint, benchmark_version=1)
    database = ResultsDatabase(folder / "added.db")
    seconds(f"{n:,} results added", lambda: [database.add(score, run) for _ in range(n)])


def seconds(what: str, do) -> None:
    """Print the processor seconds that a call takes."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        do()
    print(f"{what}: {time.process_time() - start:.1f} s", flush=True)


def main() -> None:
    n_models, n_added = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 2000), (2, 1000)))
    with tempfile.TemporaryDirectory() as folder:
        add(Path(folder), n_added)
        path = Path(folder) / "results.db"
        fill(path, n_models)
        database = ResultsDatabase(path)
        print(f"{len(database.summaries()):,} results")
        seconds("ResultsDatabase.summaries()", database.summaries)
        seconds("the same without intervals", lambda: database.summaries(intervals=False))
        seconds("the same of one model", lambda: database.summaries(models=["network_7"]))
        seconds("ResultsDatabase.results()", database.results)
        seconds("the same of one model", lambda: database.results(models=["network_7"]))
        for options in ([], ["--subjects"], ["--json"]):
            command = ["results", str(path), *options]
            seconds(" ".join(["laion-score results", *options]), lambda c=command: app.app(c, standalone_mode=False))


if __name__ == "__main__":
    main()
