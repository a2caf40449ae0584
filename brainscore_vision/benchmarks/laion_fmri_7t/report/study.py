"""What a report is about: the results on one dataset, ordered by what they measure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from brainscore_core.metrics import Score

from ..identifiers import ALL_REGIONS, FAMILIES, IdentifierError, parse
from ..results import Failure, Result, ResultsDatabase
from .errors import ReportError
from .variants import Variant

TOP = 12
"""Models that a figure shows by name; more become a strip of all of them."""


MOST_REGIONS = 8
"""Regions that one figure shows side by side; of more, such as all regions of interest, there are several figures."""


def groups_of(regions: Sequence[str]) -> list[list[str]]:
    """Regions in groups that one figure shows."""
    return [list(regions[start : start + MOST_REGIONS]) for start in range(0, len(regions), MOST_REGIONS)]


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
    outdated : str
        What was left out because its benchmark has a newer version, in words; empty if nothing.
    load : callable
        Result -> Score, with draws.
    """

    path: Path
    cells: dict[tuple[str, Variant, str], Result]
    unknown: tuple[Result, ...]
    failures: tuple[Failure, ...]
    dataset: dict
    left_out: dict[str, str]
    outdated: str
    load: Callable[[Result], Score]

    @cached_property
    def results(self) -> list[Result]:
        return [*self.cells.values(), *self.unknown]

    @property
    def is_simulated(self) -> bool:
        return any(result.is_simulated for result in self.results)

    @cached_property
    def models(self) -> list[str]:
        """The best first, by their mean rank over the benchmarks that others were scored on too; then those that share none."""
        ranks: dict[str, list[float]] = {result.model: [] for result in self.results}
        for _, group in self._by_benchmark():
            values = np.array([result.value for result in group])
            for result in group if len(group) > 1 else ():
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

    def has_gaps(self, variants: Iterable[Variant], regions: Sequence[str]) -> bool:
        """Whether some model of :meth:`models_of` lacks a result that another one has."""
        wanted = [(variant, region) for variant in variants for region in regions]
        found = [(model, (variant, region)) for model, variant, region in self.cells if (variant, region) in wanted]
        return len(found) < len({model for model, _ in found}) * len({cell for _, cell in found})

    def requested(self, model: str) -> str:
        """As what a model was asked for, the last time."""
        return max(
            (result for result in self.results if result.model == model), key=lambda result: result.id
        ).requested_model


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
    own, outdated = _newest_versions([result for result in found if result.dataset_fingerprint == fingerprint])
    cells, unknown = {}, []
    for result in sorted(own, key=lambda result: result.id):
        name = _benchmark(result)
        if name is None:
            unknown.append(result)
        else:
            cells[result.model, *name] = result
    others = {r.dataset_fingerprint: _describe(found, r.dataset_fingerprint) for r in found}
    del others[fingerprint]
    return Study(
        path=Path(database.path),
        cells=cells,
        unknown=tuple(unknown),
        failures=tuple(f for f in failures if f.dataset_fingerprint in ("", fingerprint)),
        dataset=own[-1].dataset,
        left_out=others,
        outdated=outdated,
        load=lambda result: database.score(result.id),
    )


def _benchmark(result: Result) -> tuple[Variant, str] | None:
    """Variant and region; None for a name of a newer grammar, or of somebody's own benchmark: the table shows it."""
    try:
        cell = parse(result.benchmark)
    except IdentifierError:
        return None
    return Variant.of(cell), cell.region


def _newest_versions(results: Sequence[Result]) -> tuple[list[Result], str]:
    """Results of each benchmark's newest version, and the others in words: their numbers do not belong in one figure."""
    newest: dict[tuple[Variant, str] | str, int] = {}
    named = [(_benchmark(result) or result.benchmark, result) for result in results]
    for name, result in named:
        newest[name] = max(newest.get(name, result.benchmark_version), result.benchmark_version)
    own = [result for name, result in named if result.benchmark_version == newest[name]]
    older = [(newest[name], result) for name, result in named if result.benchmark_version < newest[name]]
    if not older:
        return own, ""
    version, first = older[0]
    number = "1 result of an older version" if len(older) == 1 else f"{len(older)} results of older versions"
    return own, (
        f"{number} of benchmarks: {first.model} on {first.benchmark}, version {first.benchmark_version} where there is "
        f"{version}{', and others' if len(older) > 1 else ''}"
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
    path = str(database.path)
    failed = ""
    if n_failures:
        number = "1 failure" if n_failures == 1 else f"{n_failures} failures"
        failed = f" It lists {number}: `{shlex.join(['laion-score', 'results', path, '--failures'])}` shows them."
    if models or benchmarks:
        asked = ", ".join(map(repr, (*models, *benchmarks)))
        return (
            f"A report needs results; none in {path} match {asked}.{failed} Patterns are of whole names: '*IT-ood*', "
            f"'*alexnet*'."
        )
    command = shlex.join(["laion-score", "score", "MODEL", "headline", "--results", path])
    return f"A report needs results; {path} has none.{failed} Add some: `{command}`"


def pool_names() -> dict[str, str]:
    """Pool -> family of identifiers."""
    return {pool: family for family, pool in FAMILIES.items()}
