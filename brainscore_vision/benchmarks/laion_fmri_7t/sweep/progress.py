"""Showing how far a sweep is: a live table in a terminal, lines in a log."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from ..networks.sources import split_call
from .plan import SweepPlan
from .tasks import Failed, Outcome, Scored, Work

MOST_ROWS = 30
"""Models in the live table; a terminal is not higher."""

NAMED = 3
"""Models that are named where many failed for one reason, and cells where many were scored at once."""

STATES = ("scoring", "kernels", "waiting", "failed", "done")
"""What a model is at, the most interesting first."""


@dataclass
class _Row:
    """One model."""

    n_todo: int
    n_before: int
    n_scored: int = 0
    n_failed: int = 0
    running: dict = field(default_factory=lambda: {"kernels": 0, "scoring": 0})

    @property
    def state(self) -> str:
        for name in ("scoring", "kernels"):
            if self.running[name]:
                return name
        if self.n_scored + self.n_failed < self.n_todo:
            return "waiting"
        return "failed" if self.n_failed else "done"


class Board:
    """What has happened, as lines on a console.

    Parameters
    ----------
    plan : SweepPlan
    console : rich.console.Console
        Lines are neither wrapped nor read as markup.
    """

    def __init__(self, plan: SweepPlan, console: Console):
        self.console = console
        self._rows = {
            model.model: _Row(len(model.todo), len(model.done)) for model in plan.models if model.todo or model.done
        }
        self._causes: dict[str, str] = {}  # cause -> what failed first for it
        self._start = time.monotonic()

    @contextmanager
    def shown(self):
        """Show until the block ends."""
        yield

    def began(self, work: Work) -> None:
        """A task was handed out."""
        self._rows[work.plan.model].running[_kind(work)] += 1

    def ended(self, work: Work) -> None:
        """A task came back, however it ended."""
        self._rows[work.plan.model].running[_kind(work)] -= 1

    def kernels_made(self, model: str, outcome: Outcome) -> None:
        """A model's kernels are in the store, as far as that could be done."""
        if outcome.labels:
            self.line(f"{model}: kernels of {', '.join(dict.fromkeys(outcome.labels.values()))} are there")

    def scored(self, model: str, scored: list[Scored]) -> None:
        """Cells of a group are in the results database."""
        self._rows[model].n_scored += len(scored)
        if scored:
            cells = [f"{s.target.name} {s.entry.root.columns['value']:.3f}" for s in scored[:NAMED]]
            if len(scored) > NAMED:
                cells.append(f"and {len(scored) - NAMED} more")
            self.line(f"{model}: {', '.join(cells)}; {self.totals()}")

    def failed(self, model: str, failed: Failed) -> None:
        """Something is recorded as a failure."""
        row = self._rows[model]
        row.n_failed = row.n_todo if failed.target is None else row.n_failed + 1
        what = model if failed.target is None else f"{model}, {failed.target.name}"
        first = self._causes.setdefault(cause(model, failed.error), what)
        why = " ".join(failed.error.split()) if first == what else f"for the same reason as {first}"
        self.line(f"{what} failed: {why}")

    def line(self, text: str) -> None:
        """Say something that has happened."""
        self.console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False, soft_wrap=True)

    def totals(self) -> str:
        """How far all models are together."""
        rows = self._rows.values()
        n_todo, n_scored, n_failed = (
            sum(getattr(r, name) for r in rows) for name in ("n_todo", "n_scored", "n_failed")
        )
        text = f"{n_scored} of {n_todo} cells scored"
        if n_failed:
            text += f", {n_failed} failed"
        left = n_todo - n_scored - n_failed
        # before a model is through, its kernels have taken time and its cells have not
        if left and n_scored and any(r.n_scored and r.n_scored + r.n_failed == r.n_todo for r in rows):
            text += f", about {_duration((time.monotonic() - self._start) / n_scored * left)} left"
        return text


class LiveBoard(Board):
    """The same as a table that is renewed in place; failures stay as lines above it."""

    def __init__(self, plan: SweepPlan, console: Console):
        super().__init__(plan, console)
        self._live = Live(console=console, get_renderable=self.table, refresh_per_second=2)

    @contextmanager
    def shown(self):
        with self._live:
            yield

    def scored(self, model: str, scored: list[Scored]) -> None:
        self._rows[model].n_scored += len(scored)

    def kernels_made(self, model: str, outcome: Outcome) -> None:
        """The table shows it."""

    def table(self) -> Table:
        """A row per model, those at work first."""
        table = Table(Column("model", overflow="fold"), "at", "done", "failed", title=self.totals())
        rows = sorted(self._rows.items(), key=lambda item: STATES.index(item[1].state))
        for model, row in rows[:MOST_ROWS]:
            done = f"{row.n_before + row.n_scored}/{row.n_before + row.n_todo}"
            table.add_row(Text(model), row.state, done, str(row.n_failed or ""))
        if len(rows) > MOST_ROWS:
            table.add_row(f"and {len(rows) - MOST_ROWS} more", "", "", "")
        return table


def cause(model: str, error: str) -> str:
    """What an error says that others of its kind say too: without the model's name, and without numbers."""
    names = sorted({model, split_call(model)[1] or model, model.rpartition(":")[2]}, key=len, reverse=True)
    text = re.sub("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names), "MODEL", error)
    return re.sub(r"(?<!\w)\d[\d.,]*", "N", " ".join(text.split()))


def by_cause(failures: Iterable[tuple[str, str | None, str]]) -> list[str]:
    """Lines that tell failures by cause, the most frequent first.

    Parameters
    ----------
    failures : iterable of (str, str or None, str)
        Model, benchmark (None: the model could not be made), error.
    """
    groups: dict[str, list[tuple[str, str | None, str]]] = {}
    for failure in failures:
        groups.setdefault(cause(failure[0], failure[2]), []).append(failure)
    lines = []
    for group in sorted(groups.values(), key=len, reverse=True):
        model, benchmark, error = group[0]
        models = list(dict.fromkeys(one[0] for one in group))
        what = model if benchmark is None else f"{model}, {benchmark}"
        if len(models) > 1:
            what = f"{len(models)} models ({', '.join(models[:NAMED])}{', ...' if len(models) > NAMED else ''})"
        elif len(group) > 1:
            what = f"{model}, {len(group)} cells"
        lines.append(f"{what}: {' '.join(error.split())}")
    return lines


def _kind(work: Work) -> str:
    return "scoring" if work.cells else "kernels"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
