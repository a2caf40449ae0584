"""``laion-score report``: a results database as a page of figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CorrectOption
from .tables import plain_console


def report(
    results: Annotated[Path, typer.Argument(help="A results file, as `laion-score score --results FILE` makes it.")],
    out: Annotated[Path, typer.Option(help="Folder of the report; an earlier report in it is replaced.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Only models that match, e.g. '*resnet*'; may be repeated.")
    ] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="Only benchmarks that match, e.g. '*.IT-*'; may be repeated.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name of a dataset or the first digits of its fingerprint, where there are results on several. Default: the "
            "one with the most results, measured before simulated."
        ),
    ] = None,
    correct: CorrectOption = "fdr",
    family: Annotated[
        str,
        typer.Option(help="What --correct takes together: the comparisons of a 'figure', or of the whole 'report'."),
    ] = "figure",
    properties: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with a column model (names as in the results) and one column per property: top-1, parameters, "
            "training data, family ... They stand on the leaderboard, and each has a figure."
        ),
    ] = None,
    layer_map: Annotated[
        list[Path] | None,
        typer.Option(
            help="What `laion-score layers MODEL --json > FILE` wrote, or a folder of such files; may be repeated."
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "LAION-fMRI scores",
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds other things.")] = False,
) -> None:
    """Make a page of figures and tables.

    index.html needs nothing else; each figure is an SVG file beside it.

    It opens with the best model and a leaderboard; then scores against properties of models, by region, out of distribution, by
    category, over layers, models compared pair by pair, pools, ceilings, checks, failures, provenance.

    Example: laion-score report results.db --out report --properties models.csv
    """
    from ..report import Correction, write_report
    from ..results import ResultsDatabase

    errors = plain_console(stderr=True)
    page = write_report(
        ResultsDatabase(results, create=False),
        out,
        models=model or (),
        benchmarks=benchmark or (),
        dataset=dataset,
        correction=Correction(correct, family),
        properties=properties,
        layer_maps=layer_map or (),
        title=title,
        force=force,
        warn=errors.print,
    )
    print(page)
