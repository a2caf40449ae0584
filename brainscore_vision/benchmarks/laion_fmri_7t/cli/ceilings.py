"""``laion-score ceilings``: noise ceilings as published, as estimated again from the trials, and as used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import DatasetOption, JsonOption, SubjectsOption, writable
from .tables import Column, plain_console, print_table

PICTURES = (".svg", ".png", ".pdf")


def known_picture(path: Path | None) -> Path | None:
    """Return ``path`` if a picture can be written there, in its format."""
    if path is None:
        return None
    if path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"A picture ends in {', '.join(PICTURES)}; received {path.name!r}.")
    return writable(path)


def ceilings(
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    threshold: Annotated[float, typer.Option(help="Percent; voxels with nc_12rep above it.", min=0, max=100)] = 30.0,
    out: Annotated[
        Path, typer.Option(help="Where the picture goes: .svg, .png or .pdf.", callback=known_picture)
    ] = Path("ceilings.svg"),
    as_json: JsonOption = False,
) -> None:
    """Compare noise ceilings: published, estimated again, as used.

    They are estimated again from the single trials; each split uses them in its own way.
    """
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    from ..benchmark import check_subjects
    from ..checks.ceilings import ceiling_picture, ceiling_record, ceiling_row, region_ceilings

    opened = open_dataset(dataset)
    chosen = opened.subjects if subjects is None else tuple(subjects.split(","))
    check_subjects("ceilings", chosen, opened)
    rows, records = [], []
    for row in region_ceilings(opened, chosen, threshold):
        rows.append(row)
        records.append(ceiling_record(row))
        if as_json:
            print(json.dumps(records[-1]), flush=True)
    if not as_json:
        cells = [ceiling_row(record) for record in records]
        columns = [Column(name, name not in ("subject", "region"), name.startswith("used")) for name in cells[0]]
        title = f"Noise ceilings of voxels with nc_12rep above {threshold:g} %, in percent of variance: medians"
        used = "used: what a split uses, over all voxels and from its test images."
        print_table(title, columns, [list(row.values()) for row in cells], used)
    ceiling_picture(rows, out)
    plain_console(stderr=True).print(f"Picture in {out}")
