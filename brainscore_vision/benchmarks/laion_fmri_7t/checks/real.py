"""What only a holder of the real data can check: against the published assemblies, maps and table of scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.data.laion_fmri_7t.assemblies.published import PER_SUBJECT, SHARED, fetch
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.packaging.verify import compare_assemblies
from brainscore_vision.data.laion_fmri_7t.source import Dataset

from ..networks.errors import ModelImportError
from ..scoring import score_all
from .ceilings import REPETITIONS, region_ceilings
from .rules import CheckResult

MODEL = "alexnet"

TABLE = {"V1": 0.334, "V2": 0.335, "V4": 0.277, "IT": 0.136}
"""Region -> score of `MODEL` on tau, shared pool, five subjects, in the table of brain-score/vision, pull request 2394.
Nothing there says which of `DEFINITIONS` it has: ridgecv took the place of ridge afterwards, and its text divides r, its code
r². Cells of out-of-distribution images are left out: models were shown these without their transparency."""

TABLE_TOLERANCE = 0.01
"""The table has three decimals; another version of the weights or of torch may move the last two."""

DEFINITIONS = {
    f"{name}, {metric}": (metric, power)
    for metric in ("ridge", "ridgecv")
    for name, power in (("raw / ceiling", 1), ("raw² / ceiling", 2))
}
"""What the published numbers may be -> metric, and the power of the raw score that is divided by the ceiling."""

CEILING_TOLERANCE = 10.0
"""Percent points between the medians over voxels of a map and of its estimate from the trials. Variance with ddof = 0 is off by
more (12 to 28), images that vary unequally by less (up to 8 in the simulation)."""

CEILING_CORRELATION = 0.85
"""Least correlation over voxels of a map and its estimate; in the simulation of the shared images 0.97 to 0.98 for 12
repetitions, 0.88 to 0.95 for 4."""


def real_checks(dataset: Dataset, published: Path | None = None, model: str = MODEL) -> Iterator[CheckResult]:
    """Compare a dataset with what was published of it; each result is yielded when it is there.

    Parameters
    ----------
    dataset : Dataset
    published : Path, optional
        Folder of the published files ``assy_*.nc``; by default they are downloaded, 1.3 GB a subject.
    model : str
        Scored for the comparison with the published table.

    Yields
    ------
    CheckResult
    """
    for rule, check in (
        ("assemblies are those that Brain-Score publishes", lambda: _parity(dataset, published)),
        ("noise ceilings estimated from the trials are the published ones", lambda: _ceilings(dataset)),
        (f"{model} scores as in the published table", lambda: _table(dataset, model)),
    ):
        try:
            yield CheckResult(rule, *check())
        except (DatasetError, StimulusKernelError, ModelImportError) as error:
            yield CheckResult(rule, False, str(error))


def _parity(dataset: Dataset, published: Path | None) -> tuple[bool, str]:
    if dataset.root is None:
        return True, "these are the published files; nothing was rebuilt"
    lines, passed = [], True
    for subject in dataset.subjects:
        for one in (PER_SUBJECT[subject], SHARED[subject]):
            path = fetch(one) if published is None else published / f"assy_{one.identifier}.nc"
            comparison = compare_assemblies(dataset.root / "assemblies" / f"{subject}.nc", path)
            passed &= comparison.agrees
            what = [str(difference) for difference in comparison.differences if not difference.cosmetic]
            lines.append(f"{one.identifier} {'; '.join([comparison.summary(), *what])}")
    return passed, "; ".join(lines)


def _ceilings(dataset: Dataset) -> tuple[bool, str]:
    found: dict[tuple[str, str], list] = {}  # (map, region) -> published and recovered, one array pair per subject
    for row in region_ceilings(dataset, dataset.subjects, 0.0):
        for name, recovered in row.recovered.items():
            found.setdefault((name, row.region), []).append((row.published[name], recovered))
    if not found:
        return False, f"no image was shown {' or '.join(str(n) for n in REPETITIONS.values())} times"
    lines, passed = [], True
    for (name, region), pairs in found.items():
        map_, again = (np.concatenate(part) for part in zip(*pairs, strict=True))  # n_voxels of all subjects
        r, medians = np.corrcoef(map_, again)[0, 1], (np.median(map_), np.median(again))
        good = r >= CEILING_CORRELATION and abs(medians[0] - medians[1]) <= CEILING_TOLERANCE
        passed &= bool(good)
        lines.append(f"{name} {region} {medians[0]:.1f} and {medians[1]:.1f} %, r {r:.2f}{'' if good else ' (!)'}")
    return passed, f"medians as published and from the trials: {'; '.join(lines)}"


def _table(dataset: Dataset, model: str) -> tuple[bool, str]:
    names = {
        (region, metric): f"LAION_fMRI.{region}-tau-{metric}" for region in TABLE for metric in ("ridge", "ridgecv")
    }
    subjects = "" if len(dataset.subjects) == len(PER_SUBJECT) else f"[subjects={'+'.join(dataset.subjects)}]"
    scores = dict(score_all(model, [name + subjects for name in names.values()], dataset=dataset))
    distances = {}
    for definition, (metric, power) in DEFINITIONS.items():
        values = {}
        for region in TABLE:
            score = scores[names[region, metric] + subjects]
            own = [score.attrs[subject].attrs for subject in dataset.subjects]
            values[region] = np.mean([each["raw"].item() ** power / each["ceiling"].item() for each in own])
        distances[definition] = max(abs(values[region] - TABLE[region]) for region in TABLE), values
    definition, (distance, values) = min(distances.items(), key=lambda item: item[1][0])
    cells = ", ".join(f"{region} {values[region]:.3f} (published {TABLE[region]:.3f})" for region in TABLE)
    others = ", ".join(f"{name} {d:.3f}" for name, (d, _) in distances.items() if name != definition)
    fewer = "" if not subjects else f" The table is of five subjects, these are {len(dataset.subjects)}."
    return distance <= TABLE_TOLERANCE, (
        f"nearest as {definition}: {cells}; largest difference {distance:.3f} (others: {others}).{fewer}"
    )
