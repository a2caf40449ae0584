"""The look of all figures, and how one becomes SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS

from .svg import TITLE_ID, inline, standalone

CREATOR = "laion-score report"
"""Marks pages and pictures as ours."""

WIDTH = 10.0
"""Inches; the same for all figures, so that letters are as large everywhere."""

TITLE_HEIGHT = 0.34
NOTE_HEIGHT = 0.24

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A5C00")
"""Okabe and Ito's, which eyes with any kind of colour vision tell apart; their yellow is too pale on white."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
NAMED = len(MARKERS)
"""Models with a colour and marker of their own."""

GREY, INK, WARNING = "#8a8a8a", "#222222", "#B00020"
ON_LIGHT, ON_DARK = "#101010", "#fdfdfd"
"""Of numbers on a coloured cell, which is the same on dark pages."""

LONGEST_NAME = 52

COLOURS_SHOWN = 65
"""In a bar of colours: each is a shape in the file."""

_PART = re.compile(r"[-._/:\s]")

STYLE = {
    "svg.fonttype": "none",
    "image.composite_image": False,  # else an SVG has a picture of several, whose size depends on the layout's last digits
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.family": "sans-serif",
    # matplotlib lays out with the first, which it brings along; the others are as wide or narrower
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Liberation Sans", "Arial", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.grid": False,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Figure:
    """One figure of a report.

    Attributes
    ----------
    name : str
        Unique; letters, digits, dots, underscores and hyphens.
    question : str
        Its title.
    caption : str
        What points, lines and colours are.
    alt : str
        What it shows, for those who cannot see it.
    svg : str
        A file of its own.
    markup : str
        An element of the page.
    """

    name: str
    question: str
    caption: str
    alt: str
    svg: str
    markup: str


def draw(
    name: str,
    question: str,
    caption: str,
    alt: str,
    height: float,
    paint: Callable[[SubFigure], None],
    simulated: bool,
) -> Figure:
    """Make a figure; ``paint`` fills :data:`WIDTH` × ``height`` inches, below the title and above the note on simulation."""
    note = NOTE_HEIGHT if simulated else 0.0
    total = height + TITLE_HEIGHT + note
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # letters that the font lacks are for the reader's browser to find
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas = Canvas(figsize=(WIDTH, total), layout="constrained")
        # bands of their own: legends and labels of a whole figure would cover title and note
        _, middle, _ = canvas.subfigures(3, 1, height_ratios=[TITLE_HEIGHT, height, max(note, 1e-3)], hspace=0)
        title = canvas.text(0.005, 1 - 0.08 / total, question, size=11.5, weight="bold", va="top", ha="left")
        title.set(gid=TITLE_ID, in_layout=False)
        if simulated:
            text = "Simulated data: these numbers say nothing about brains."
            canvas.text(0.995, 0.06 / total, text, size=8, style="italic", color=WARNING, ha="right", in_layout=False)
        paint(middle)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": CREATOR, "Title": question})
    alt = f"Simulated data. {alt}" if simulated else alt
    drawn = buffer.getvalue()
    return Figure(
        name=name,
        question=question,
        caption=caption,
        alt=alt,
        svg=standalone(drawn, alt),
        markup=inline(drawn, f"fig-{name}", alt, title_height=72 * TITLE_HEIGHT),
    )


def subject_look(subject: str) -> dict:
    """Colour and marker of a subject, the same in all figures."""
    index = SUBJECTS.index(subject) if subject in SUBJECTS else hash_index(subject)
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def model_looks(ranked: Sequence[str], shown: Sequence[str]) -> dict[str, int]:
    """Models with a colour and marker of their own, and which: the best of all, or of ``shown`` where it has none of them."""
    looks = {model: index for index, model in enumerate(ranked[:NAMED]) if model in shown}
    return looks or {model: index for index, model in enumerate(shown[:NAMED])}


def model_look(index: int | None) -> dict:
    """Colour and marker of a model, the same in all figures; None: one of many."""
    if index is None:
        return {"marker": "o", "color": GREY, "alpha": 0.6, "markeredgewidth": 0}
    return {"marker": MARKERS[index], "color": COLOURS[index], "markeredgecolor": "white", "markeredgewidth": 0.5}


@dataclass(frozen=True)
class ModelLegend:
    """Which model is which marker, above the panels.

    Attributes
    ----------
    looks : dict of str to int
        See :func:`model_looks`.
    n_rest : int
        Models without a marker of their own.
    line : str
        Style of lines through the markers; empty for none.
    """

    looks: dict[str, int]
    n_rest: int
    line: str = ""

    @property
    def names(self) -> dict[str, str]:
        return row_labels(self.looks)

    @property
    def n_columns(self) -> int:
        return 4 if max(map(len, self.names.values()), default=0) <= 24 else 3

    def height(self, n_more: int = 0) -> float:
        """Inches, with ``n_more`` entries."""
        rows = -(-(len(self.looks) + bool(self.n_rest) + n_more) // self.n_columns)
        return (0.36 if any("\n" in name for name in self.names.values()) else 0.22) * rows

    def draw(self, canvas: SubFigure, *more: Line2D) -> None:
        names = self.names
        handles = [
            Line2D([], [], label=names[model], markersize=6, linestyle=self.line, **model_look(index))
            for model, index in self.looks.items()
        ]
        if self.n_rest:
            label = f"{self.n_rest} other model{'s' if self.n_rest > 1 else ''}"
            handles.append(Line2D([], [], label=label, markersize=4, linestyle=self.line, **model_look(None)))
        canvas.legend(
            handles=[*handles, *more],
            loc="outside upper left",
            ncols=self.n_columns,
            columnspacing=1.5,
            handletextpad=0.4,
        )


def hash_index(name: str) -> int:
    """A number that depends on the name alone."""
    return sum(name.encode())


def short_names(names: Iterable[str], longest: int = LONGEST_NAME) -> dict[str, str]:
    """Names with their middle left out where they are too long for a figure; different ones stay different."""
    short: dict[str, str] = {}
    for name in dict.fromkeys(names):
        clean = " ".join(name.split())
        text, number = _shortened(clean, longest), 2
        while text in short.values():
            ending = f" ({number})"
            text, number = _shortened(clean, longest - len(ending)) + ending, number + 1
        short[name] = text
    return short


def _shortened(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    end = (longest - 1) // 2
    return f"{name[: longest - 1 - end]}…{name[-end:]}"


def row_labels(names: Iterable[str], width: int = LONGEST_NAME // 2) -> dict[str, str]:
    """:func:`short_names` on up to two lines of about ``width`` letters, broken where a part of the name ends."""
    labels = {}
    for name, text in short_names(names, 2 * width).items():
        ends = [
            match.end()
            for match in _PART.finditer(text)
            if match.end() <= width + 2 and len(text) - match.end() <= width + 2
        ]
        middle = max(ends, default=width)
        labels[name] = text if len(text) <= width else f"{text[:middle]}\n{text[middle:]}"
    return labels


def listing(items: Iterable[str]) -> str:
    """Words in a row: a, b and c."""
    *head, last = items
    return f"{', '.join(head)} and {last}" if head else last


def tidy(axes: Axes, axis: str) -> None:
    """A panel with lines to read values off along one axis, and no ticks."""
    axes.grid(axis=axis)
    axes.tick_params(length=0)


def panel_grid(canvas: SubFigure, n_panels: int, n_columns: int, **sharing: bool) -> np.ndarray:
    """Panels in rows of up to ``n_columns``; the last row's that are too many are not seen.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (rows, columns)
    """
    n_columns = min(n_columns, n_panels)
    panels = canvas.subplots(-(-n_panels // n_columns), n_columns, squeeze=False, **sharing)
    for axes in panels.flat[n_panels:]:
        axes.set_visible(False)
    return panels


def colour_bar(canvas: SubFigure, panels: np.ndarray, norm: Normalize, colour_map: str, label: str) -> None:
    """What the colours of all panels stand for, beside them."""
    bar = canvas.colorbar(
        ScalarMappable(norm, colormaps[colour_map].resampled(COLOURS_SHOWN)),
        ax=panels,
        shrink=0.7,
        aspect=25,
        pad=0.015,
    )
    bar.solids.set(rasterized=False, edgecolor="face")
    bar.set_label(label, rotation_mode="anchor")
    bar.outline.set_visible(False)


def bare_grid(axes: Axes, grid: np.ndarray, norm: Normalize, colour_map: str) -> None:
    """A coloured cell for each number, rows from above, none for nan; no frame and no ticks."""
    axes.pcolormesh(np.ma.masked_invalid(grid), norm=norm, cmap=colour_map, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
