"""What a report says in tables: all scores, and where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from ..identifiers import ALL_REGIONS
from ..results import Result, row_layers
from .properties import is_number
from .study import Study, several_layers
from .variants import Variant

WIDEST = 16
"""Columns of one table of scores; more stand in tables below each other, so that each fits a window and a sheet."""


LONG_NAME = 22
"""Letters of a model's name that a narrow first column has room for."""


@dataclass(frozen=True)
class Column:
    """One benchmark."""

    label: str
    benchmark: str


@dataclass(frozen=True)
class Group:
    """Benchmarks that differ in their region alone, under one heading."""

    label: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class ScoreTable:
    """Scores of all models that have any of them.

    Attributes
    ----------
    groups : tuple of Group
    rows : tuple of (str, tuple of (Result or None))
        A model, and its result in each column.
    """

    groups: tuple[Group, ...]
    rows: tuple[tuple[str, tuple[Result | None, ...]], ...]

    @property
    def title(self) -> str:
        return "; ".join(group.label for group in self.groups)

    @property
    def n_columns(self) -> int:
        return sum(len(group.columns) for group in self.groups)

    @property
    def has_long_names(self) -> bool:
        return any(len(model) > LONG_NAME for model, _ in self.rows)


@dataclass(frozen=True)
class Leaderboard:
    """The models' scores on the splits of one metric, pool and settings, beside what is known of the models.

    Attributes
    ----------
    table : ScoreTable
    properties : list of (str, bool)
        Names of properties, and whether they are numbers.
    means : dict of str to float
        Over the table's columns, by model; see :attr:`~.study.Study.means`.
    mixed : dict of str to str
        Models whose mean is over several layers of one region, and which.
    best : list of float
        The highest value of each column.
    ceilings : list of float
        Mean over the models of each column: what raw scores are divided by.
    scale : (float, float)
        Values at which bars begin and are full.
    """

    table: ScoreTable
    properties: list[tuple[str, bool]]
    means: dict[str, float]
    mixed: dict[str, str]
    best: list[float]
    ceilings: list[float]
    scale: tuple[float, float]

    def style(self, result: Result) -> str:
        """Lengths of a cell's bar (v) and of its interval's line (w), and where in what is left that line begins (p)."""
        value, low, high = (self._share(end) for end in (result.value, *(result.interval_over_subjects or (0.0, 0.0))))
        width = high - low
        start = low / (1 - width) if width < 1 else 0.0
        return f"--v:{value:.1%};--w:{width:.1%};--p:{start:.1%}"

    def _share(self, value: float) -> float:
        """Of a bar's full length."""
        low, high = self.scale
        return min(1.0, max(0.0, (value - low) / (high - low)))


@dataclass(frozen=True)
class ModelFacts:
    """What scoring one model took.

    Attributes
    ----------
    model, requested, revision, network, layers : str
    n_results : int
    seconds : float
        Sum over its results.
    peak_memory_bytes : int
        The largest.
    newest : datetime.datetime
    machines : str
    """

    model: str
    requested: str
    revision: str
    network: str
    layers: str
    n_results: int
    seconds: float
    peak_memory_bytes: int
    newest: datetime
    machines: str


def leaderboard(study: Study) -> Leaderboard | None:
    """The table that a report opens with; None if no benchmark is known."""
    if not study.board:
        return None
    table = _table(*_groups(study, study.board), study.models)
    columns = [[own[index] for _, own in table.rows if own[index] is not None] for index in range(table.n_columns)]
    found = [result for column in columns for result in column]
    low = min(0.0, *(result.value for result in found))
    high = max(0.0, *(end for result in found for end in (result.value, *(result.interval_over_subjects or ()))))
    return Leaderboard(
        table=table,
        properties=[(name, is_number(study.properties, name)) for name in study.property_names],
        means=study.means,
        mixed=_mixed(result for _, own in table.rows for result in own if result is not None),
        best=[max(result.value for result in column) for column in columns],
        ceilings=[fmean(result.ceiling for result in column) for column in columns],
        scale=(low, high if high > low else low + 1),
    )


def _mixed(results: Iterable[Result]) -> dict[str, str]:
    """Model to the layers of each region where there are several."""
    found: dict[str, list[str]] = {}
    for one in several_layers(results):
        found.setdefault(one.model, []).append(f"{one.region}: {one}")
    return {model: "; ".join(texts) for model, texts in found.items()}


def score_tables(study: Study) -> list[ScoreTable]:
    """All results that are not on the leaderboard, split into tables of a readable width."""
    groups, cells = _groups(study, [variant for variant in study.variants if variant not in study.board])
    cells |= {(result.model, result.benchmark): result for result in study.unknown}
    names = sorted({result.benchmark for result in study.unknown})
    groups += [
        Group("other benchmarks", tuple(Column(name, name) for name in names[start : start + WIDEST]))
        for start in range(0, len(names), WIDEST)
    ]
    return [_table(part, cells, study.models) for part in _parts(groups)]


def _groups(study: Study, variants: Sequence[Variant]) -> tuple[list[Group], dict[tuple[str, str], Result]]:
    """A group of columns per variant, and results by model and name of the column."""
    groups, cells = [], {}
    for variant in variants:
        names = {region: variant.identifier(region) for region in study.regions(variant)}
        groups.append(Group(variant.label, tuple(Column(region, name) for region, name in names.items())))
        for (model, own, region), result in study.cells.items():
            if own == variant:
                cells[model, names[region]] = result
    return groups, cells


def _parts(groups: Sequence[Group]) -> list[list[Group]]:
    parts: list[list[Group]] = []
    width = WIDEST
    for group in groups:
        if width + len(group.columns) > WIDEST:
            parts.append([])
            width = 0
        parts[-1].append(group)
        width += len(group.columns)
    return parts


def _table(groups: Sequence[Group], cells: dict, models: Sequence[str]) -> ScoreTable:
    columns = [column for group in groups for column in group.columns]
    rows = [(model, tuple(cells.get((model, column.benchmark)) for column in columns)) for model in models]
    return ScoreTable(tuple(groups), tuple((m, own) for m, own in rows if any(cell is not None for cell in own)))


def model_facts(study: Study) -> list[ModelFacts]:
    """Time, memory and machines per model, in the order of the study."""
    facts, of_model = [], {model: [] for model in study.models}
    for result in study.results:
        of_model[result.model].append(result)
    for model, own in of_model.items():
        facts.append(
            ModelFacts(
                model=model,
                requested=", ".join(sorted({r.requested_model for r in own})),
                revision=", ".join(sorted({r.model_revision for r in own if r.model_revision})),
                network=", ".join(sorted({r.network_digest for r in own if r.network_digest})),
                layers=_layers(own),
                n_results=len(own),
                seconds=sum(r.seconds for r in own),
                peak_memory_bytes=max(r.peak_memory_bytes for r in own),
                newest=max(r.started for r in own),
                machines=", ".join(sorted({r.machine for r in own})),
            )
        )
    return facts


def _layers(results: Sequence[Result]) -> str:
    """Layers of one model: without their region if there is one alone, by region otherwise; several with what each was for."""
    regions: dict[str, list[str]] = {}
    for one in sorted(row_layers(results), key=lambda one: _place(one.region)):
        if one.known:
            regions.setdefault(str(one), []).append(one.region)
    if [len(names) for names in regions.values()] == [1]:
        return next(iter(regions))
    return "; ".join(f"{', '.join(names)}: {layers}" for layers, names in regions.items())


def _place(region: str) -> int:
    return ALL_REGIONS.index(region) if region in ALL_REGIONS else len(ALL_REGIONS)


def notes(study: Study) -> list[tuple[list[str], str, tuple[str, ...]]]:
    """Models that share a note, the note, and the benchmarks on which each of them has it, in the order of the study."""
    found: dict[str, dict[str, list[str]]] = {model: {} for model in study.models}
    for result in study.results:
        for note in result.notes:
            found[result.model].setdefault(note, []).append(result.benchmark)
    models: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for model, own in found.items():
        for note, names in own.items():
            models.setdefault((note, tuple(names)), []).append(model)
    return [(of_note, note, names) for (note, names), of_note in models.items()]


def provenance(study: Study) -> list[tuple[str, str]]:
    """Name and value of what the reader of the numbers should know about their making."""
    results = study.results
    data = study.dataset
    kind = "simulated: says nothing about brains" if study.is_simulated else "measured"
    rows = [
        ("Results database", study.path.name),
        ("Dataset", f"{data.get('name')} ({kind})"),
        ("Fingerprint of the dataset", results[0].dataset_fingerprint),
        ("Subjects", ", ".join(data.get("subjects", ())) or "unknown"),
        (
            "Results",
            f"{len(results)} of {len(study.models)} models on {len({r.benchmark for r in results})} benchmarks",
        ),
        ("Normalization", _counted(r.normalization for r in results)),
        ("Version of the benchmarks", _counted(str(r.benchmark_version) for r in results)),
        ("Scored", _period([r.started for r in results])),
        ("Time, all results", duration(sum(r.seconds for r in results))),
        ("Largest peak memory", f"{max(r.peak_memory_bytes for r in results) / 1e9:.1f} GB"),
        ("Machines", _counted(r.machine for r in results)),
    ]
    packages = sorted({name for r in results for name in r.versions})
    rows += [(name, _counted(r.versions[name] for r in results if name in r.versions)) for name in packages]
    dropped = sorted({stimulus for r in results for stimulus in r.dropped_stimuli})
    if dropped:
        rows.append(("Stimuli left out of some results", f"{len(dropped)}, such as {', '.join(dropped[:3])}"))
    return rows


def _counted(values) -> str:
    """The value, or each of several with the number of results that have it."""
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({number} results)" for value, number in sorted(counts.items()))


def _period(times: Sequence[datetime]) -> str:
    first, last = min(times), max(times)
    if first.date() == last.date():
        return f"{moment(first)} to {last:%H:%M} UTC" if first != last else f"{moment(first)} UTC"
    return f"{moment(first)} to {moment(last)} UTC"


def moment(time: datetime) -> str:
    """Date and time to the minute."""
    return f"{time:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever can be read."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
