"""One plugin's run of the cells that `side_by_side` compares, as a program of its own, so that it can be measured.

Writes one line of JSON per finished cell, so that what was done survives a run that is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bundled_plugin import bundled_plugin
from compared import Compared, our_outcomes, their_outcomes

REGIONS = ("V1", "IT")


def cells(everyone: tuple[str, ...], some: tuple[str, ...]) -> list[Compared]:
    """The subset that is timed.

    Parameters
    ----------
    everyone : tuple of str
        Subjects of the shared pool's cells.
    some : tuple of str
        Subjects of the per-subject pool's cells.
    """
    shared = [
        Compared("shared", region, split, metric, everyone)
        for region in REGIONS
        for split, metric in (("tau", "ridgecv"), ("ood", "ridgecv"), (None, "rdm-pearson"))
    ]
    return shared + [
        Compared("persubject", region, split, "ridgecv", some) for region in REGIONS for split in ("tau", "ood")
    ]


def run_ours(compared: list[Compared], dataset: Path) -> Iterator[tuple[Compared, dict]]:
    """Our plugin's outcomes, in the order in which its engine finishes."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels import score_benchmarks
    from brainscore_vision.benchmarks.laion_fmri_7t.networks.sources import untrained_alexnet

    benchmarks = [cell.ours(dataset) for cell in compared]
    cell_of = {id(benchmark): cell for benchmark, cell in zip(benchmarks, compared, strict=True)}
    for benchmark, score in score_benchmarks(untrained_alexnet(), benchmarks):
        cell = cell_of[id(benchmark)]
        yield cell, our_outcomes(score, cell.subjects)


def run_bundled(compared: list[Compared], dataset: Path, published: Path) -> Iterator[tuple[Compared, dict]]:
    """The bundled plugin's outcomes, one cell after the other, with Brain-Score's result cache on."""
    from brainscore_vision.benchmarks.laion_fmri_7t.networks.sources import untrained_alexnet

    model = untrained_alexnet()
    with bundled_plugin(published, dataset / "splits", caching=True):
        for cell in compared:
            yield cell, their_outcomes(cell.theirs()(model), cell.subjects)


def main() -> None:
    """Run one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("ours", "bundled"))
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--everyone", nargs="+", required=True)
    parser.add_argument("--subjects", nargs="+", required=True)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines are appended here.")
    arguments = parser.parse_args()

    with contextlib.suppress(OSError):  # not every system has it, and nothing that is measured depends on it
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, let it be this process that goes
    compared = cells(tuple(arguments.everyone), tuple(arguments.subjects))
    if arguments.side == "ours":
        outcomes = run_ours(compared, arguments.dataset)
    else:
        outcomes = run_bundled(compared, arguments.dataset, arguments.published)
    with arguments.results.open("a", encoding="utf-8") as results:
        last = time.monotonic()
        for cell, of_subjects in outcomes:
            now = time.monotonic()
            line = {
                "cell": cell.name,
                "seconds": now - last,
                "subjects": {subject: asdict(outcome) for subject, outcome in of_subjects.items()},
            }
            results.write(json.dumps(line) + "\n")
            results.flush()
            last = now


if __name__ == "__main__":
    sys.exit(main())
