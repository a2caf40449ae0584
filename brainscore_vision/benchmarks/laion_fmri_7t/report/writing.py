"""From a results database to a folder with a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tqdm.auto import tqdm

from ..results import ResultsDatabase
from .comparison_figures import Correction
from .drawing import CREATOR, Figure
from .errors import ReportError
from .layer_figure import check_layer_maps, read_layer_maps
from .page import render_page
from .properties import read_properties, without_model
from .sections import section_makers
from .study import read_study, several_layers

PAGE = "index.html"
FIGURES = "figures"
HEAD = 4096
"""Bytes at the beginning of a file in which it says who made it."""


def write_report(
    database: ResultsDatabase,
    directory: Path,
    *,
    models: Sequence[str] = (),
    benchmarks: Sequence[str] = (),
    dataset: str | None = None,
    correction: Correction | None = None,
    properties: Path | None = None,
    layer_maps: Sequence[Path] = (),
    title: str = "LAION-fMRI scores",
    force: bool = False,
    progress: bool | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> Path:
    """Write a report: ``index.html``, which needs nothing else, and each figure by itself in ``figures/``.

    Parameters
    ----------
    database : ResultsDatabase
    directory : Path
        Made if it does not exist; an earlier report in it is replaced.
    models, benchmarks : sequence of str
        Patterns; none for all.
    dataset : str, optional
        Name of a dataset or beginning of its fingerprint; see :func:`~.study.read_study`.
    correction : Correction, optional
        Of p values; None for Benjamini and Hochberg's over each figure.
    properties : Path, optional
        CSV file of what is known of models; see :func:`~.properties.read_properties`.
    layer_maps : sequence of Path
        Files, or folders of files, that ``laion-score layers MODEL --json`` wrote.
    title : str
    force : bool
        Write into a folder that holds other things.
    progress : bool, optional
        Whether to show a bar; None: in a terminal, if it takes more than two seconds.
    warn : callable
        Told what the reader of the report should know: results that are left out.

    Returns
    -------
    Path
        The page to open.

    Raises
    ------
    ReportError
        Nothing to report, a folder that is not a report's, or maps of layers that do not belong in it.
    """
    directory = Path(directory).expanduser()
    check_directory(directory, force)
    given = {} if properties is None else read_properties(properties)
    maps = read_layer_maps(layer_maps)
    study = read_study(database, models, benchmarks, dataset, given)
    check_layer_maps(study, maps)
    if unknown := without_model(given, study.results):
        shown = ", ".join(map(repr, unknown[:3])) + (" ..." if len(unknown) > 3 else "")
        warn(f"{len(unknown)} of {len(given)} rows of {properties} name no model of the report: {shown}.")
    for fingerprint, words in study.left_out.items():
        warn(f"A report is about one dataset. Left out: {words}. Report on it with --dataset {fingerprint}")
    if study.outdated:
        warn(f"A report has one version of each benchmark, the newest. Left out: {study.outdated}. Score them again.")
    if layered := several_layers(study.results):
        more = f" Likewise {len(layered) - 1} more rows: see the report's notes." if len(layered) > 1 else ""
        warn(f"{layered[0].model}: {layered[0].note}{more}")
    makers = section_makers(study, correction or Correction(), maps)
    hidden = None if progress is None else not progress
    with tqdm(total=len(makers), desc="report: sections", unit="section", disable=hidden, delay=2, leave=False) as bar:
        sections = []
        for make in makers:
            sections.append(make())
            bar.update()
    page = render_page(study, sections, title, datetime.now(UTC))
    _write(directory, page, [figure for section in sections for figure in section.figures])
    return directory / PAGE


def check_directory(directory: Path, force: bool) -> None:
    """Raise ReportError if a report in ``directory`` would come among other things, before any work."""
    if directory.exists() and not directory.is_dir():
        raise ReportError(f"A report is a folder; {directory} is a file. Give --out another name.")
    if force or not directory.exists() or is_ours(directory / PAGE):
        return
    others = {path.name for path in directory.iterdir() if not path.name.startswith(".")}  # what a killed write left
    if others <= {FIGURES} and not any(directory.glob(f"{FIGURES}/[!.]*")):
        return
    raise ReportError(
        f"A report replaces only an earlier report; {directory} holds other things. Give --out a new folder, or write into "
        f"this one with --force."
    )


def is_ours(path: Path) -> bool:
    """Whether a page or picture was made by this command."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return CREATOR.encode() in file.read(HEAD)


def _write(directory: Path, page: str, figures: Sequence[Figure]) -> None:
    """The page comes first: it is complete by itself, and marks the folder as ours if the rest is interrupted."""
    try:
        (directory / FIGURES).mkdir(parents=True, exist_ok=True)
        _replace(directory / PAGE, page)
        kept = {f"{figure.name}.svg" for figure in figures}
        for figure in figures:
            _replace(directory / FIGURES / f"{figure.name}.svg", figure.svg)
        for old in (directory / FIGURES).glob("*.svg"):
            if old.name not in kept and is_ours(old):
                old.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(
            f"A report is written to {directory}, which failed: {error}. Give --out a folder to write in."
        ) from error


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
