"""``laion-score ceilings``: noise ceilings as published, as recovered from the trials, and as used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .options import DatasetOption

PICTURES = (".svg", ".png", ".pdf")


def known_picture(path: Path | None) -> Path | None:
    """Return ``path`` if a picture can be written in its format."""
    if path is not None and path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"A picture ends in {', '.join(PICTURES)}; received {path.name!r}.")
    return path


def ceilings(
    dataset: DatasetOption = None,
    subjects: Annotated[
        str | None, typer.Option(help="Subjects joined by commas, sub-01,sub-03; default: all.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Percent; voxels with nc_12rep above it.", min=0, max=100)] = 30.0,
    out: Annotated[
        Path, typer.Option(help="Where the picture goes: .svg, .png or .pdf.", callback=known_picture)
    ] = Path("ceilings.svg"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line instead of a table.")] = False,
) -> None:
    """Compare noise ceilings: published maps, recovered from single trials, used at each split's repetitions."""
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    from ..benchmark import check_subjects
    from ..checks.ceilings import ceiling_picture, ceiling_record, ceiling_table, region_ceilings

    opened = open_dataset(dataset)
    chosen = opened.subjects if subjects is None else tuple(subjects.split(","))
    check_subjects("ceilings", chosen, opened)
    rows = []
    for row in region_ceilings(opened, chosen, threshold):
        rows.append(row)
        if as_json:
            print(json.dumps(ceiling_record(row)), flush=True)
    if not as_json:
        Console().print(ceiling_table(rows, threshold))
    ceiling_picture(rows, out)
    Console(stderr=True).print(f"Picture in {out}", highlight=False, markup=False)
