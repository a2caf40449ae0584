"""The page: sections and tables in one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from .answer import answers
from .drawing import CREATOR
from .properties import value_text
from .score_tables import duration, leaderboard, model_facts, moment, notes, provenance, score_tables
from .sections import Section
from .study import Study

MOST_EDGES = 200
"""Rows of the table of alphas at the edge of their grid."""

SHOWN = 20
"""Models of a table at first; its reader may ask for more."""


def render_page(study: Study, sections: Sequence[Section], title: str, made: datetime) -> str:
    """HTML of a report.

    Parameters
    ----------
    study : Study
    sections : sequence of Section
    title : str
    made : datetime.datetime
        The only thing in the page that is not from the results.
    """
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,  # names of models may hold anything
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=moment, duration=duration, known=value_text, trusted=Markup)
    return environment.get_template("page.html.j2").render(
        study=study,
        sections=sections,
        title=title,
        made=made,
        creator=CREATOR,
        style=Markup(_read("page.css")),
        script=Markup(_read("page.js")),
        answers=answers(study),
        board=leaderboard(study),
        tables=score_tables(study),
        shown=SHOWN,
        facts=provenance(study),
        models=model_facts(study),
        notes=notes(study),
        most_edges=MOST_EDGES,
    )


def _read(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
