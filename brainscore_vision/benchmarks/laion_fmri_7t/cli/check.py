"""``laion-score check``: whether a dataset keeps the rules that scoring relies on."""

from __future__ import annotations

import typer

from .options import DatasetOption


def check(dataset: DatasetOption = None) -> None:
    """Check that a dataset keeps the rules that scoring relies on.

    One line per rule; exit code 1 if one is broken.
    """
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    from ..checks.rules import run_checks

    n_failed = 0
    for result in run_checks(open_dataset(dataset)):
        n_failed += not result.passed
        print(result, flush=True)
    if n_failed:
        raise typer.Exit(1)
