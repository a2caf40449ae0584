"""Plain tables, whatever their length, and how a score is written in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console

SIGN_MARK = " *"
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


def print_table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *below: str) -> None:
    """Print a table whose names stay whole, and lines below it.

    Minor columns are left out where the terminal has no room for them. Tens of thousands of rows take a second.
    """
    table = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(cell_len(text) for text in cells) for cells in zip([c.name for c in columns], *table, strict=True)]
    console = Console()
    everything = not console.is_terminal or sum(widths) + 2 * len(widths) <= console.width
    shown = [i for i, column in enumerate(columns) if everything or not column.minor]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for i in shown:
            space = " " * (widths[i] - cell_len(cells[i]))
            padded.append(space + cells[i] if columns[i].number else cells[i] + space)
        return "  ".join(padded).rstrip()

    print(title, line([column.name for column in columns]), line(["─" * width for width in widths]), sep="\n")
    print("\n".join([line(row) for row in table] + [text for text in below if text]))
