"""Our plugin beside the one that brainscore-vision bundles: time, memory and agreement, measured in one go.

Both score an untrained AlexNet on the same cells of the same data: shared pool, V1 and IT, tau and ood with ridgecv and
rdm-pearson, all subjects; per-subject pool, V1 and IT, tau and ood with ridgecv, two subjects. Images with transparent
pixels are left out, because the bundled plugin shows models other pixels than people saw. Each run is a process of its
own with empty caches: ours from nothing, ours again with what the first run left on disk, and the bundled plugin, whose
caches fill as it goes. ::

    laion-score simulate FOLDER --scale full
    python bench/side_by_side.py --dataset FOLDER --json side_by_side.json
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from bundled_plugin import leave_out_transparent, pool_of_splits, publish
from measure import Measured, machine, run_measured, versions
from one_side import cells
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from plugin_testing.install_check import install_problem, installed_package  # noqa: E402

FRESH, AGAIN, BUNDLED = "ours, from nothing", "ours, kernels on disk", "bundled"
AGREEMENT = 1e-6
FEATURE_BYTES = 4 * (46656 + 9216)  # per image and copy: both recorded layers, float32

_HOMES = ("BRAINSCORE_HOME", "RESULTCACHING_HOME", "BRAINIO_HOME")
_UNSET = (
    "LAION_FMRI_7T_HOME",
    "LAION_FMRI_DATASET",
    "LAION_FMRI_STIMULI",
    "RESULTCACHING_DISABLE",
    "RESULTCACHING_CACHEDONLY",
    "BRAINSCORE_CACHE_PLUGIN_REVISION",
)

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 110)


@dataclass(frozen=True)
class Run:
    """One measured run of one side.

    Attributes
    ----------
    side : str
    repeat : int
    measured : Measured
    cells : dict of str to dict
        Finished cells: ``seconds``, and per subject ``raw``, ``ceiling``, ``score``, ``alpha``.
    """

    side: str
    repeat: int
    measured: Measured
    cells: dict[str, dict]


def main() -> int:
    """Run both sides, print the comparison, write it as JSON."""
    arguments = parse_arguments()
    problem = install_problem(REPOSITORY / "brainscore_vision", installed_package())
    if problem:
        sys.exit(problem)
    dataset = arguments.dataset.expanduser().absolute()
    everyone = tuple(sorted(path.stem for path in (dataset / "assemblies").glob("sub-*.nc")))
    some = tuple(arguments.subjects or everyone[:2])
    if not everyone or not set(some) <= set(everyone):
        sys.exit(f"{dataset} must hold assemblies/sub-XX.nc of {', '.join(some) or 'some subject'}; it has {everyone}.")
    folder = Path(tempfile.mkdtemp(prefix="side-by-side-", dir=arguments.work))
    try:
        require_space(folder, dataset, everyone, some)
        opaque = leave_out_transparent(dataset, folder / "dataset")
        out.print(f"Writing the published form of {len(everyone)} + {len(some)} assemblies to {folder}")
        publish(opaque, folder / "published", {"shared": everyone, "persubject": some})
        names, runs = [cell.name for cell in cells(everyone, some)], []
        for repeat in range(arguments.repeat):
            for side in (FRESH, AGAIN, BUNDLED):
                runs.append(run_side(side, repeat, folder, everyone, some, arguments.least_available))
                report = summarize(runs, dataset, names, everyone, some)
                if arguments.json:  # after each run: they are long, and the next one may take the machine down
                    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    finally:
        if arguments.keep:
            out.print(f"Logs, caches and data are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print_report(report)
    return 0 if report["agree"] and report["complete"] else 1


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="A dataset folder with images and splits.")
    parser.add_argument("--subjects", nargs="+", help="Of the per-subject pool; the first two by default.")
    parser.add_argument("--repeat", type=int, default=1, help="Runs of each side; medians are compared. Default: 1.")
    parser.add_argument("--json", type=Path, help="Write everything that was measured here.")
    parser.add_argument("--work", type=Path, help="Where to make the temporary folder; needs room.")
    parser.add_argument("--keep", action="store_true", help="Keep the temporary folder.")
    parser.add_argument(
        "--least-available",
        type=float,
        default=0.5,
        metavar="GB",
        help="A side is stopped when the machine has less memory left than this. Default: 0.5.",
    )
    arguments = parser.parse_args()
    if arguments.repeat < 1:
        parser.error(f"--repeat is at least 1; received {arguments.repeat}.")
    return arguments


def require_space(folder: Path, dataset: Path, everyone: tuple[str, ...], some: tuple[str, ...]) -> None:
    """End at once if the temporary folder cannot hold the published form and the larger side's features."""
    shared = len(pool_of_splits(dataset / "splits", "shared"))
    own = sum(len(pool_of_splits(dataset / "splits", subject)) for subject in some)
    assemblies = sum((dataset / "assemblies" / f"{subject}.nc").stat().st_size for subject in (*everyone, *some))
    # the bundled plugin keeps features of tau and ood apart, and of rdm-pearson for each subject anew
    needed = assemblies + FEATURE_BYTES * ((2 + len(everyone)) * shared + 2 * own)
    free = shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(f"About {needed / 1e9:.0f} GB are needed in {folder}, {free / 1e9:.0f} GB are free. Choose --work.")


def run_side(
    side: str, repeat: int, folder: Path, everyone: tuple[str, ...], some: tuple[str, ...], least_available: float
) -> Run:
    """Run one side in a process of its own; what it finished counts even if it does not come to its end."""
    home = folder / f"home of {'bundled' if side == BUNDLED else 'ours'}, {repeat}"
    label = f"{side}, run {repeat + 1}"
    results, log = folder / f"{label}.jsonl", folder / f"{label}.log"
    results.touch()
    environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
    environment |= {name: str(home / name.lower()) for name in _HOMES}
    environment["BS_INSTALL_DEPENDENCIES"] = "no"
    command = [sys.executable, str(HERE / "one_side.py"), "bundled" if side == BUNDLED else "ours"]
    command += ["--dataset", str(folder / "dataset"), "--published", str(folder / "published")]
    command += ["--everyone", *everyone, "--subjects", *some, "--results", str(results)]
    out.print(f"[bold]{label}[/bold]")
    seen = 0

    def tell() -> None:
        nonlocal seen
        for line in read_results(results)[seen:]:
            out.print(f"  {line['cell']:40} {line['seconds']:8.1f} s")
            seen += 1

    measured = run_measured(command, environment, log, tell, int(least_available * 1e9))
    tell()
    out.print(f"  {measured.outcome} after {measured.wall_seconds:.1f} s, peak {measured.peak_bytes / 1e9:.2f} GB")
    if measured.exit_code:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        out.print("\n".join(f"  | {line}" for line in tail), markup=False)
    if side != FRESH:
        shutil.rmtree(home, ignore_errors=True)  # many GB, and no later run may profit from it
    return Run(side, repeat, measured, {line.pop("cell"): line for line in read_results(results)})


def read_results(path: Path) -> list[dict]:
    """Finished cells; a line that is still being written has no end yet."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def summarize(
    runs: list[Run], dataset: Path, names: list[str], everyone: tuple[str, ...], some: tuple[str, ...]
) -> dict:
    """Everything that was measured, and what follows from it."""
    by_side = {side: [run for run in runs if run.side == side] for side in dict.fromkeys(run.side for run in runs)}
    sides = {
        side: {
            "complete": all(set(run.cells) == set(names) for run in of_side),
            "wall_seconds": statistics.median(run.measured.wall_seconds for run in of_side),
            "cpu_seconds": statistics.median(run.measured.cpu_seconds for run in of_side),
            "peak_bytes": max(run.measured.peak_bytes for run in of_side),
            "outcome": of_side[-1].measured.outcome,
        }
        for side, of_side in by_side.items()
    }
    agreement = {
        name: agree(name, [run for run in runs if run.side != BUNDLED], by_side.get(BUNDLED, [])) for name in names
    }
    marker = dataset / "dataset.json"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(REPOSITORY),
        "dataset": {
            "folder": dataset.name,
            **({k: v for k, v in json.loads(marker.read_text()).items() if k != "files"} if marker.is_file() else {}),
        },
        "subjects": {"shared": everyone, "persubject": some},
        "sides": sides,
        "ratio": {
            side: sides[side]["wall_seconds"] / sides[BUNDLED]["wall_seconds"]
            for side in sides
            if side != BUNDLED and BUNDLED in sides and sides[side]["complete"]
        },
        "ratio_is_upper_bound": BUNDLED in sides and not sides[BUNDLED]["complete"],
        "agreement": agreement,
        "agree": all(found["agrees"] for found in agreement.values() if found["compared"]),
        "complete": all(found["compared"] for found in agreement.values()),
        "runs": [{"side": run.side, "repeat": run.repeat, **asdict(run.measured), "cells": run.cells} for run in runs],
    }


def agree(name: str, ours: list[Run], theirs: list[Run]) -> dict:
    """Whether any run of ours differs from any run of the bundled plugin: raw scores by how much, alphas at all."""
    pairs = [
        (mine.cells[name]["subjects"][subject], expected)
        for mine in ours
        for other in theirs
        if name in mine.cells and name in other.cells
        for subject, expected in other.cells[name]["subjects"].items()
    ]
    if not pairs:
        return {"compared": 0, "max_raw_difference": None, "alphas_equal": None, "agrees": None}
    difference = max(abs(mine["raw"] - expected["raw"]) for mine, expected in pairs)
    alphas_equal = all(mine["alpha"] == expected["alpha"] for mine, expected in pairs)
    return {
        "compared": len(pairs),
        "max_raw_difference": difference,
        "alphas_equal": alphas_equal,
        "agrees": difference <= AGREEMENT and alphas_equal,
    }


def print_report(report: dict) -> None:
    """The two tables."""
    found, installed = report["machine"], report["versions"]
    out.print(f"\n{found['cpu']}, {found['cores']} cores, {found['memory_bytes'] / 1e9:.1f} GB; {report['date']}")
    out.print(f"brainscore-vision {installed['brainscore-vision']}, dataset {report['dataset']}")
    costs = Table("", "seconds", "of bundled", "CPU seconds", "peak GB", "")
    bound = "≤ " if report["ratio_is_upper_bound"] else ""
    for side, values in report["sides"].items():
        ratio = f"{bound}{report['ratio'][side]:.3f}" if side in report["ratio"] else ""
        seconds, cpu = (f"{values[name]:.1f}" for name in ("wall_seconds", "cpu_seconds"))
        costs.add_row(side, seconds, ratio, cpu, f"{values['peak_bytes'] / 1e9:.2f}", values["outcome"])
    out.print(costs)
    agreement = Table("cell", "subjects compared", "max |Δ raw|", "alphas")
    for name, values in report["agreement"].items():
        if values["compared"]:
            difference, alphas = f"{values['max_raw_difference']:.1e}", "equal" if values["alphas_equal"] else "DIFFER"
        else:
            difference, alphas = "not compared", ""
        agreement.add_row(name, str(values["compared"]), difference, alphas)
    out.print(agreement)
    if not report["agree"]:
        out.print("[bold red]The two sides do not agree.[/bold red]")
    elif report["complete"]:
        out.print("Raw scores and alphas agree.")
    else:
        out.print("A side did not finish; what could be compared agrees.")


if __name__ == "__main__":
    sys.exit(main())
