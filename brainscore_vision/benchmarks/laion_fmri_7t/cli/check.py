"""``laion-score check``: whether a dataset keeps the rules that scoring relies on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DatasetOption


def check(
    dataset: DatasetOption = None,
    real: Annotated[
        bool,
        typer.Option(
            "--real",
            help="Also compare with what was published of the real data: assemblies, noise ceilings, and a row of the table "
            "of scores. Ten minutes, once the published files are here (1.3 GB a subject) and the model's weights.",
        ),
    ] = False,
    published: Annotated[
        Path | None,
        typer.Option(help="With --real: folder of published files (assy_*.nc). Default: they are downloaded."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --real: the model to score. Default: alexnet.")] = None,
) -> None:
    """Check a dataset, one line per rule; exit code 1 if one is broken."""
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    from ..checks.real import MODEL, real_checks
    from ..checks.rules import run_checks

    if not real and (published is not None or model is not None):
        raise typer.BadParameter("--published and --model belong to --real: add it, or leave them out.")
    opened, n_failed = open_dataset(dataset), 0
    checks = [run_checks(opened)]
    if real:
        checks.append(real_checks(opened, published, model or MODEL))
    for results in checks:
        for result in results:
            n_failed += not result.passed
            print(result, flush=True)
    if n_failed:
        raise typer.Exit(1)
