"""What a report is about: the results on one dataset, ordered by what they measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from brainscore_core.metrics import Score

from ..identifiers import ALL_REGIONS, FAMILIES, FOLD_FAMILIES, POOLS, SPLITS, Cell, IdentifierError, parse
from ..results import Failure, Result, ResultsDatabase
from .errors import ReportError

TOP = 12
"""Models that a figure shows by name; more become a strip of all of them."""

OOD_PREFIX = "ood_"


@dataclass(frozen=True)
class Variant:
    """Benchmarks that differ in their region alone.

    Attributes
    ----------
    cell : Cell
        Their settings, with the first region in place of each one's own.
    """

    cell: Cell

    @classmethod
    def of(cls, cell: Cell) -> Variant:
        return cls(replace(cell, region=ALL_REGIONS[0], dataset=None))

    def with_split(self, split: str) -> Variant:
        return Variant(replace(self.cell, split=split))

    def with_pool(self, pool: str) -> Variant:
        return Variant(replace(self.cell, pool=pool))

    def identifier(self, region: str) -> str:
        """Name of the benchmark of one region."""
        return replace(self.cell, region=region).identifier

    @property
    def settings(self) -> str:
        """Settings other than the defaults, as in the identifier's brackets; empty if there are none."""
        return self.identifier(self.cell.region).partition("[")[2].removesuffix("]")

    @property
    def label(self) -> str:
        """For people: split, metric, pool and special settings."""
        pool = "shared pool" if self.cell.pool == "shared" else "per-subject pool"
        parts = [self.cell.split, self.cell.metric, pool, self.settings]
        return " · ".join(part for part in parts if part)

    @property
    def stem(self) -> str:
        """For names of files: letters, digits, dots, underscores and hyphens."""
        text = self.identifier("V1").replace(".V1-", "-")
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in text).strip("-")

    @property
    def is_single_fold(self) -> bool:
        return self.cell.split is not None and self.cell.split.rpartition("_")[0] in FOLD_FAMILIES

    @property
    def is_ood_type(self) -> bool:
        return self.cell.split is not None and self.cell.split.startswith(OOD_PREFIX)

    @property
    def rank(self) -> tuple:
        """Sorts the defaults first, then as the grammar lists them."""
        split = len(SPLITS) if self.cell.split is None else SPLITS.index(self.cell.split)
        return self.settings != "", POOLS.index(self.cell.pool), split, self.cell.metric, self.settings


@dataclass(frozen=True)
class Study:
    """Results on one dataset.

    Attributes
    ----------
    path : Path
        Of the results database.
    cells : dict of (str, Variant, str) to Result
        By model, variant and region.
    unknown : tuple of Result
        Those whose benchmark the grammar of identifiers does not know.
    failures : tuple of Failure
    dataset : dict
        As Dataset.describe() gives it.
    left_out : dict of str to str
        What was left out because it is on another dataset: fingerprint to words.
    load : callable
        Result -> Score, with draws.
    """

    path: Path
    cells: dict[tuple[str, Variant, str], Result]
    unknown: tuple[Result, ...]
    failures: tuple[Failure, ...]
    dataset: dict
    left_out: dict[str, str]
    load: Callable[[Result], Score]

    @cached_property
    def results(self) -> list[Result]:
        return [*self.cells.values(), *self.unknown]

    @property
    def is_simulated(self) -> bool:
        return any(result.is_simulated for result in self.results)

    @cached_property
    def models(self) -> list[str]:
        """The best first, by their mean rank over the benchmarks that they were scored on."""
        ranks: dict[str, list[float]] = {result.model: [] for result in self.results}
        for _, group in self._by_benchmark():
            values = np.array([result.value for result in group])
            for result in group:
                ranks[result.model].append(float((values > result.value).mean()))
        return sorted(ranks, key=lambda model: (np.mean(ranks[model]) if ranks[model] else 1.0, model))

    def _by_benchmark(self) -> list[tuple[tuple[Variant, str], list[Result]]]:
        groups: dict[tuple[Variant, str], list[Result]] = {}
        for (_, variant, region), result in self.cells.items():
            groups.setdefault((variant, region), []).append(result)
        return list(groups.items())

    @cached_property
    def variants(self) -> list[Variant]:
        return sorted({variant for _, variant, _ in self.cells}, key=lambda variant: variant.rank)

    def regions(self, *variants: Variant) -> list[str]:
        """Regions in which every one of the variants has a result."""
        found = [{region for _, own, region in self.cells if own == variant} for variant in variants]
        return [region for region in ALL_REGIONS if all(region in own for own in found)]

    def models_of(self, variants: Iterable[Variant], regions: Sequence[str]) -> list[str]:
        """Models with a result on any of the variants and regions: complete ones first, the best mean first."""
        wanted = [(variant, region) for variant in variants for region in regions]
        values: dict[str, list[float]] = {}
        for (model, variant, region), result in self.cells.items():
            if (variant, region) in wanted:
                values.setdefault(model, []).append(result.value)
        return sorted(values, key=lambda model: (-len(values[model]), -float(np.mean(values[model])), model))


def read_study(
    database: ResultsDatabase,
    models: Sequence[str] = (),
    benchmarks: Sequence[str] = (),
    dataset: str | None = None,
) -> Study:
    """Choose results of a database for a report.

    Parameters
    ----------
    database : ResultsDatabase
    models, benchmarks : sequence of str
        Patterns; none for all.
    dataset : str, optional
        Name of a dataset, or the beginning of its fingerprint. None for the one with the most results, a measured one
        before simulated ones: numbers on different data do not belong in one figure.

    Raises
    ------
    ReportError
        Nothing to report.
    """
    found = database.results(models=models, benchmarks=benchmarks)
    failures = database.failures(models=models, benchmarks=benchmarks)
    if not found:
        raise ReportError(_nothing(database, models, benchmarks, len(failures)))
    fingerprint = _choose(found, dataset)
    own = [result for result in found if result.dataset_fingerprint == fingerprint]
    cells, unknown = {}, []
    for result in sorted(own, key=lambda result: result.id):
        try:
            cell = parse(result.benchmark)
        except IdentifierError:  # of a newer version, or of somebody's own benchmark: the table shows it
            unknown.append(result)
        else:
            cells[result.model, Variant.of(cell), cell.region] = result
    others = {r.dataset_fingerprint: _describe(found, r.dataset_fingerprint) for r in found}
    del others[fingerprint]
    return Study(
        path=Path(database.path),
        cells=cells,
        unknown=tuple(unknown),
        failures=tuple(f for f in failures if f.dataset_fingerprint in ("", fingerprint)),
        dataset=own[-1].dataset,
        left_out=others,
        load=lambda result: database.score(result.id),
    )


def _choose(found: Sequence[Result], dataset: str | None) -> str:
    """Fingerprint of the dataset to report on."""
    counts = Counter(result.dataset_fingerprint for result in found)
    simulated = {result.dataset_fingerprint: result.is_simulated for result in found}
    if dataset is not None:
        named = [r.dataset_fingerprint for r in found if dataset in (r.dataset.get("name"), r.dataset.get("root"))]
        begun = [fingerprint for fingerprint in counts if dataset and fingerprint.startswith(dataset)]
        counts = Counter({fingerprint: counts[fingerprint] for fingerprint in {*named, *begun}})
        if len(counts) != 1:
            there = "; ".join(_describe(found, f) for f in sorted(simulated))
            raise ReportError(
                f"A report is about one dataset; {dataset!r} fits {len(counts)} of those with results: {there}. Give the "
                f"first digits of a fingerprint."
            )
    return min(counts, key=lambda fingerprint: (simulated[fingerprint], -counts[fingerprint], fingerprint))


def _describe(found: Sequence[Result], fingerprint: str) -> str:
    own = [result for result in found if result.dataset_fingerprint == fingerprint]
    made_up = ", simulated" if own[0].is_simulated else ""
    return f"{own[-1].dataset.get('name')} (fingerprint {fingerprint}{made_up}), {len(own)} results"


def _nothing(database: ResultsDatabase, models: Sequence[str], benchmarks: Sequence[str], n_failures: int) -> str:
    failed = f" It lists {n_failures} failures: `laion-score results` shows them." if n_failures else ""
    if models or benchmarks:
        asked = ", ".join(map(repr, (*models, *benchmarks)))
        return (
            f"A report needs results; none in {database.path} match {asked}.{failed} Patterns are of whole names: "
            f"'*IT-ood*', '*alexnet*'."
        )
    return (
        f"A report needs results; {database.path} has none.{failed} Add some: laion-score score MODEL headline "
        f"--results {database.path}"
    )


def pool_names() -> dict[str, str]:
    """Pool -> family of identifiers."""
    return {pool: family for family, pool in FAMILIES.items()}
