"""Plain tables, whatever their length, and how a score is written in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

from rich.cells import cell_len, chop_cells
from rich.console import Console

SIGN_MARK = " *"
NOTE_MARK = " †"
"""Behind numbers that a line below the table is about."""

SIGN_HIDDEN = "* The raw score of one or more subjects is negative; the published normalization squares it."


def value(number: float, error: float | None = None, marked: bool = False) -> str:
    """A number with its standard error, marked where it hides the sign of a raw score."""
    return f"{number:.3f}" + ("" if error is None else f" ± {error:.3f}") + (SIGN_MARK if marked else "")


def interval(number: float, limits: tuple[float, float]) -> str:
    """A number with its interval."""
    return f"{number:.3f} [{limits[0]:.3f}, {limits[1]:.3f}]"


@dataclass(frozen=True)
class Column:
    """Of :func:`print_table`: numbers stand at the right; ``minor`` columns give way in a narrow terminal."""

    name: str
    number: bool = False
    minor: bool = False


NARROWEST = 16
"""Letters of a column of names that goes on in further lines."""

GAP = 2


def plain_console(stderr: bool = False) -> Console:
    """Prints users' names as they are: without markup, colours for numbers, or an emoji for ``:cat:``."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *below: str) -> None:
    """Print a table whose names and numbers stay whole, and lines below it.

    Where the terminal has no room for all, headings go on in further lines, then minor columns are left out, which a line
    below says, and then names go on in further lines. Elsewhere (a pipe, a file), every row is one line. Tens of thousands
    of rows take a second.
    """
    table = [[" ".join(cell.split()) for cell in row] for row in rows]
    headings, console, shown, said = [c.name for c in columns], plain_console(), list(range(len(columns))), list(below)
    widths = [max(map(cell_len, cells)) for cells in zip(headings, *table, strict=True)]
    if console.is_terminal and _total(widths, shown) > console.width:
        words = [max(column.name.split(), key=cell_len, default="") for column in columns]
        widths = [max(map(cell_len, cells)) for cells in zip(words, *table, strict=True)]
        minor = [column.name for column in columns if column.minor and column.name]
        if minor and _total(widths, shown) > console.width:
            shown = [i for i in shown if not columns[i].minor]
            said.append(f"Not shown in this width: {', '.join(minor)}.")
        _fold(widths, shown, [i for i in shown if not columns[i].number], console.width)

    def line(cells: Sequence[str], fold=chop_cells) -> str:
        spaces = [width - cell_len(cell) for width, cell in zip(widths, cells, strict=True)]
        if any(spaces[i] < 0 for i in shown):
            parts = [fold(cell, widths[i]) for i, cell in enumerate(cells)]
            return "\n".join(map(line, zip_longest(*parts, fillvalue="")))
        padded = [" " * spaces[i] + cells[i] if columns[i].number else cells[i] + " " * spaces[i] for i in shown]
        return (" " * GAP).join(padded).rstrip()

    print(title, line(headings, _words), line(["─" * width for width in widths]), sep="\n")
    print("\n".join([line(row) for row in table] + [text for text in said if text]))


def print_tables(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], *below: str) -> None:
    """:func:`print_table` with the first column in each of several tables, where the terminal has no room for all others."""
    console = plain_console()
    if not console.is_terminal:
        print_table(title, columns, rows, *below)
        return
    words = [max(column.name.split(), key=cell_len, default="") for column in columns]
    widths = [max(map(cell_len, cells)) for cells in zip(words, *rows, strict=True)]
    first = min(widths[0], max(NARROWEST, console.width // 2))
    groups: list[list[int]] = [[]]
    for i in range(1, len(columns)):
        if groups[-1] and first + sum(widths[j] + GAP for j in (*groups[-1], i)) > console.width:
            groups.append([])
        groups[-1].append(i)
    for group in groups:
        some = [[row[i] for i in (0, *group)] for row in rows]
        print_table(title, [columns[i] for i in (0, *group)], some, *(below if group is groups[-1] else ()))


def _words(heading: str, width: int) -> list[str]:
    return wrap(heading, width, break_long_words=False, break_on_hyphens=False)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[i] for i in shown) + GAP * (len(shown) - 1)


def _fold(widths: list[int], shown: Sequence[int], names: Sequence[int], room: int) -> None:
    """Make the widest columns of names narrower until all fit, as far as that goes."""
    while names and _total(widths, shown) > room:
        widest = max(names, key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
