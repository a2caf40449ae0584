"""What a report is about: the results on one dataset, ordered by what they measure."""

from __future__ import annotations

import functools
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from brainscore_core.metrics import Score

from ..identifiers import ALL_REGIONS, FAMILIES, IdentifierError, parse
from ..results import (
    Failure,
    Result,
    ResultsDatabase,
    RowLayers,
    is_dataset,
    row_layers,
    row_notes,
)
from ..results.order import adjusted_means
from .drawing import listing
from .errors import ReportError
from .properties import Properties, of_results
from .variants import Variant

TOP = 12
"""Models that a figure shows by name; more become a strip of all of them."""

ORDERED = "Models stand in the order of the leaderboard."

IT = "IT"
"""The region that a report's first sentence is about, if there are scores of it."""


MOST_LAYERED = 3
"""Models and regions of several layers that a caption names."""

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
    properties : mapping of str to mapping of str to float or str
        By model and name; see :mod:`.properties`.
    """

    path: Path
    cells: dict[tuple[str, Variant, str], Result]
    unknown: tuple[Result, ...]
    failures: tuple[Failure, ...]
    dataset: dict
    left_out: dict[str, str]
    outdated: str
    load: Callable[[Result], Score]
    properties: Properties = field(default_factory=dict)

    @cached_property
    def results(self) -> list[Result]:
        return [*self.cells.values(), *self.unknown]

    @property
    def is_simulated(self) -> bool:
        return any(result.is_simulated for result in self.results)

    @cached_property
    def models(self) -> list[str]:
        """The order of models everywhere: by their mean on the leaderboard, then those that share none of its benchmarks."""
        ranked = {model: mean for means in self._board_means for model, mean in means.items()}
        others = {(m, (v, r)): result.value for (m, v, r), result in self.cells.items() if m not in ranked}
        for means in adjusted_means(others):
            ranked |= means
        return [*ranked, *sorted({result.model for result in self.unknown} - set(ranked))]

    @property
    def means(self) -> dict[str, float]:
        """Of models on the leaderboard; a gap counts as what other scores say of it (:mod:`.order`)."""
        return self._board_means[0] if self._board_means else {}

    @cached_property
    def _board_means(self) -> list[dict[str, float]]:
        return adjusted_means({(m, (v, r)): one.value for (m, v, r), one in self.cells.items() if v in self.board})

    @property
    def property_names(self) -> list[str]:
        """Of all models, in the order of the file."""
        return list(dict.fromkeys(name for own in self.properties.values() for name in own))

    @cached_property
    def main_variants(self) -> list[Variant]:
        """Those with a figure of their own: OOD categories have a heat map, single folds the table, if there is more."""
        return [variant for variant in self.variants if not variant.is_part] or self.variants

    @cached_property
    def board(self) -> list[Variant]:
        """Variants on the leaderboard: splits of one metric, pool and settings, of those with the most results."""
        groups: dict[Variant, list[Variant]] = {}
        for variant in self.main_variants:
            groups.setdefault(variant.without_split, []).append(variant)
        counts = Counter(variant.without_split for _, variant, _ in self.cells if variant in self.main_variants)
        return max(groups.items(), key=lambda item: counts[item[0]])[1] if groups else []

    @cached_property
    def board_region(self) -> str | None:
        """What the first sentence is about: IT, or the last region with scores."""
        regions = [region for variant in self.board for region in self.regions(variant)]
        return IT if IT in regions else max(regions, key=ALL_REGIONS.index, default=None)

    @cached_property
    def variants(self) -> list[Variant]:
        return sorted({variant for _, variant, _ in self.cells}, key=lambda variant: variant.rank)

    def regions(self, *variants: Variant) -> list[str]:
        """Regions in which every one of the variants has a result."""
        found = [{region for _, own, region in self.cells if own == variant} for variant in variants]
        return [region for region in ALL_REGIONS if all(region in own for own in found)]

    def models_of(self, variants: Iterable[Variant], regions: Sequence[str]) -> list[str]:
        """Models with a result on any of the variants and regions, in the order of :attr:`models`."""
        wanted = {(variant, region) for variant in variants for region in regions}
        found = {model for model, variant, region in self.cells if (variant, region) in wanted}
        return [model for model in self.models if model in found]

    def best(self, variant: Variant, region: str) -> list[tuple[str, Result]]:
        """Models and results, the highest value first; equal ones in the order of :attr:`models`."""
        found = [(model, self.cells.get((model, variant, region))) for model in self.models]
        return sorted(((m, r) for m, r in found if r is not None), key=lambda pair: -pair[1].value)

    def winners(self, variant: Variant, regions: Iterable[str]) -> str:
        """The best model of each region, in words: V1 alexnet (0.412) and ..."""
        firsts = [(region, *self.best(variant, region)[0]) for region in regions]
        squared = {True: ", with a negative raw score squared", False: ""}
        return listing(f"{region} {model} ({r.value:.3f}{squared[r.hides_sign]})" for region, model, r in firsts)

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
    properties: Properties | None = None,
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
    properties : mapping of str to mapping, optional
        What is known of models beside their scores, by their names here or as they were asked for.

    Raises
    ------
    ReportError
        Nothing to report.
    """
    found = database.results(models=models, benchmarks=benchmarks)
    failures = database.failures(models=models, benchmarks=benchmarks)
    if not found:
        raise ReportError(_nothing(database, models, benchmarks, len(failures)))
    fingerprint = _choose(found, dataset, database.datasets())
    own, outdated = _newest_versions([result for result in found if result.dataset_fingerprint == fingerprint])
    cells, unknown = {}, []
    for result in with_row_notes(sorted(own, key=lambda result: result.id)):
        name = _benchmark(result.benchmark)
        if name is None:
            unknown.append(result)
        else:
            cells[result.model, *name] = result
    others = dict.fromkeys(r.dataset_fingerprint for r in found if r.dataset_fingerprint != fingerprint)
    return Study(
        path=Path(database.path),
        cells=cells,
        unknown=tuple(unknown),
        failures=tuple(f for f in failures if f.dataset_fingerprint in ("", fingerprint)),
        dataset=own[-1].dataset,
        left_out={other: _describe(found, other) for other in others},
        outdated=outdated,
        load=lambda result: database.score(result.id),
        properties=of_results(properties or {}, own),
    )


def with_row_notes(results: Sequence[Result]) -> list[Result]:
    """The results, each with what :func:`~..results.row_notes` says of it among its notes."""
    texts: dict[tuple[str, str], list[str]] = {}
    for note in row_notes(results):
        for benchmark in note.benchmarks:
            texts.setdefault((note.model, benchmark), []).append(note.text)
    return [replace(r, notes=(*texts.get((r.model, r.benchmark), ()), *r.notes)) for r in results]


def several_layers(results: Iterable[Result]) -> list[RowLayers]:
    """Models and regions with results of more than one layer."""
    return [one for one in row_layers(results) if one.are_several]


def layer_caption(results: Iterable[Result]) -> str:
    """For a figure that sets each model's results in a region against each other: whose layers differ too, if any do."""
    found = several_layers(results)
    if not found:
        return ""
    named = [f"{one.model} in {one.region} ({', '.join(one.known)})" for one in found[:MOST_LAYERED]]
    named += [f"{len(found) - MOST_LAYERED} more"] * (len(found) > MOST_LAYERED)
    return f" The layer differs too: {listing(named)}."


@functools.cache
def _benchmark(identifier: str) -> tuple[Variant, str] | None:
    """Variant and region; None for a name of a newer grammar, or of somebody's own benchmark: the table shows it."""
    try:
        cell = parse(identifier)
    except IdentifierError:
        return None
    return Variant.of(cell), cell.region


def _newest_versions(results: Sequence[Result]) -> tuple[list[Result], str]:
    """Results of each benchmark's newest version, and the others in words: their numbers do not belong in one figure."""
    newest: dict[tuple[Variant, str] | str, int] = {}
    named = [(_benchmark(result.benchmark) or result.benchmark, result) for result in results]
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


def _choose(found: Sequence[Result], dataset: str | None, called: Mapping[str, list[str]]) -> str:
    """Fingerprint of the dataset to report on; ``called`` are names by fingerprint."""
    counts = Counter(result.dataset_fingerprint for result in found)
    simulated = {result.dataset_fingerprint: result.is_simulated for result in found}
    if dataset is not None:
        named = [own for own in counts if is_dataset([dataset], called[own], own)]
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
