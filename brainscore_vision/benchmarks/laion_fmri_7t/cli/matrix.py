"""Results as a table of models × benchmarks, best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import typer

from .tables import NOTE_MARK, SIGN_HIDDEN, Column, print_tables, value

MEAN, MODEL = "mean", "model"
"""What models may be sorted by, besides a benchmark."""

NONE = "–"

MOST_NOTES = 8
"""Lines about single rows below a table."""


def print_matrix(found: Sequence, sort: str, title: str) -> None:
    """Print the results of one dataset: a row per model, a column per benchmark, their mean first.

    Parameters
    ----------
    found : sequence of Result
        One per model and benchmark.
    sort : str
        ``mean``, ``model`` or a benchmark, by its identifier or its heading.
    title : str
    """
    from ..results import row_notes

    benchmarks = in_order(dict.fromkeys(result.benchmark for result in found))
    cells = {(result.model, result.benchmark): result for result in found}
    models = list(dict.fromkeys(result.model for result in found))
    values = {place: result.value for place, result in cells.items()}
    common, headings = short_names(benchmarks)
    by = by_benchmark(sort, benchmarks, headings)
    orders = ranked(models, values, by)
    notes, rows = row_notes(found), []
    noted = {(note.model, name) for note in notes for name in note.benchmarks}
    for model in chain(*orders):
        own = [values.get((model, benchmark), math.nan) for benchmark in benchmarks]
        mean = sum(own) / len(own)
        shown = [_cell(cells.get((model, name)), (model, name) in noted) for name in benchmarks]
        rows.append([model, NONE if math.isnan(mean) else value(mean), *shown])
    several = len(benchmarks) > 1
    columns = [Column(name, number=True) for name in ([MEAN] if several else []) + headings]
    rows = rows if several else [[row[0], *row[2:]] for row in rows]
    below = [SIGN_HIDDEN] if any(result.hides_sign for result in found) else []
    if by == MEAN and several and any(row[1] == NONE for row in rows):
        below.append(f"A model with missing cells ({NONE}) stands where its other values put it among the models.")
        below += _several_orders(orders)
    kinds = list(dict.fromkeys(_kind(result) for result in found))
    if several and len(kinds) > 1:
        below.append(
            f"The mean orders models; over numbers of several kinds ({', '.join(kinds)}) it has no other meaning."
        )
    below += [f"{NOTE_MARK.strip()} {note.model}: {note.text}" for note in notes[:MOST_NOTES]]
    if len(notes) > MOST_NOTES:
        below.append(
            f"{NOTE_MARK.strip()} Likewise {len(notes) - MOST_NOTES} more; --long shows the layer of each result."
        )
    print_tables(f"{title}{f'; {common}' if common else ''}", [Column(MODEL), *columns], rows, *below)


def _several_orders(orders: Sequence[Sequence[str]]) -> list[str]:
    if len(orders) < 2:
        return []
    names, first = [], 1
    for models in orders:
        names.append(f"{first}" if len(models) == 1 else f"{first} to {first + len(models) - 1}")
        first += len(models)
    return [
        f"Models that share no benchmark, not even by way of other models, have no common order: rows {', '.join(names[:-1])} "
        f"and {names[-1]} are in order each for themselves."
    ]


def ranked(models: Sequence[str], values: Mapping[tuple[str, str], float], by: str) -> list[list[str]]:
    """Models in the order of a benchmark or of their mean, best first; those without the benchmark come last.

    Means are those of the report, which missing values do not distort (:func:`~..results.order.adjusted_means`); models that
    have none in common are lists of their own.
    """
    if by == MODEL:
        return [sorted(models)]
    if by == MEAN:
        from ..results.order import adjusted_means

        return list(map(list, adjusted_means(values)))
    return [sorted(models, key=lambda model: values.get((model, by), -math.inf), reverse=True)]


def by_benchmark(sort: str, benchmarks: Sequence[str], headings: Sequence[str]) -> str:
    """What ``--sort`` names: a benchmark in full, or one of the other two."""
    if sort in (MEAN, MODEL) or sort in benchmarks:
        return sort
    named = dict(zip(headings, benchmarks, strict=True))
    if sort in named:
        return named[sort]
    raise typer.BadParameter(
        f"--sort is {MEAN}, {MODEL} or one of the benchmarks that are shown; received {sort!r}. They are "
        f"{', '.join(headings)}."
    )


def in_order(benchmarks: Iterable[str]) -> list[str]:
    """Benchmarks as the grammar lists them, whichever was scored first; names outside it come last, as they are."""
    from ..identifiers import ALL_REGIONS, POOLS, SPLITS, IdentifierError, parse

    def place(benchmark: str) -> tuple:
        try:
            cell = parse(benchmark)
        except IdentifierError:
            return (1,)
        split = len(SPLITS) if cell.split is None else SPLITS.index(cell.split)
        return 0, POOLS.index(cell.pool), split, cell.metric, ALL_REGIONS.index(cell.region), benchmark

    return sorted(benchmarks, key=place)


def short_names(benchmarks: Sequence[str]) -> tuple[str, list[str]]:
    """What all identifiers have in common, and headings that tell them apart; identifiers as they are where they cannot."""
    parts = [_parts(benchmark) for benchmark in benchmarks]
    if len(parts) < 2 or None in parts:
        return "", list(benchmarks)
    same = [len({part[i] for part in parts}) == 1 for i in range(len(parts[0]))]
    headings = [
        " ".join(word for word, is_same in zip(part, same, strict=True) if word and not is_same) for part in parts
    ]
    if "" in headings or len(set(headings)) < len(benchmarks):
        return "", list(benchmarks)
    return " ".join(word for word, is_same in zip(parts[0], same, strict=True) if word and is_same), headings


def _parts(benchmark: str) -> tuple[str, str, str, str, str] | None:
    """Region, split, metric, pool (but the usual one) and options of an identifier; None for names outside the grammar."""
    from ..identifiers import IdentifierError, parse

    try:
        cell = parse(benchmark)
    except IdentifierError:
        return None
    _, bracket, options = benchmark.partition("[")
    pool = "" if cell.pool == "shared" else cell.pool
    return cell.region, cell.split or "", cell.metric, pool, bracket + options


def _kind(result) -> str:
    """Metric and normalisation of a result: what numbers have to share to have a mean."""
    from ..identifiers import IdentifierError, parse

    try:
        return f"{parse(result.benchmark).metric} {result.normalization}"
    except IdentifierError:
        return result.normalization


def _cell(result, noted: bool) -> str:
    return NONE if result is None else value(result.value, marked=result.hides_sign) + NOTE_MARK * noted
