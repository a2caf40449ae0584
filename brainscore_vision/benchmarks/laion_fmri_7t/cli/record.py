"""``laion-score record``: results into Brain-Score's own database."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from .options import JsonOption, alone
from .tables import SIGN_HIDDEN, Column, plain_console, print_table, value

DEFAULT_FILE = "leaderboard.sqlite3"
"""The name has "sqlite3" in it because Brain-Score's own code recognises a file by this word."""


def record(
    context: typer.Context,
    results: Annotated[
        Path | None, typer.Argument(help="A results file, made by `laion-score score --results`.")
    ] = None,
    db: Annotated[
        str | None,
        typer.Option(
            "--db",
            help="Brain-Score's database: a SQLite file, or postgresql://user@host:port/database (put a password into "
            f"PGPASSWORD or ~/.pgpass). Default: {DEFAULT_FILE} beside RESULTS.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Record only models that match, 'LAION_fMRI-*'; may be repeated. Default: all."),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", help="Only benchmarks that match, '*.IT-*'; may be repeated. Default: all."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="Only datasets whose name, folder or fingerprint matches; may be repeated."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            help="E-mail address of the submitter; a user is added if the database has none with this address.",
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see the models that are added.")] = False,
    allow_simulated: Annotated[
        bool,
        typer.Option("--allow-simulated", help="Record results on simulated data too, with a comment that says so."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List what would be written. It is written and taken back, so errors show."),
    ] = False,
    tree: Annotated[
        bool,
        typer.Option(
            "--tree",
            help="Record nothing: only make the nodes LAION_fMRI.V1 ... below which Brain-Score's own endpoint hangs "
            "benchmarks, and move benchmarks that hang elsewhere there. Without RESULTS.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write results to a leaderboard: Brain-Score's own database.

    For each model and benchmark, the newest result is written, and replaces one that was recorded earlier. Tables that the
    database lacks are made. Either all results are recorded, or none.

    Example: laion-score record results.db --benchmark 'LAION_fMRI.*' --dry-run
    """
    from ..leaderboard.database import open_database, place_name
    from ..leaderboard.entries import Submitter, plant
    from ..leaderboard.entries import record as record_results
    from ..leaderboard.errors import LeaderboardError
    from ..results import ResultsDatabase, is_dataset

    if tree == (results is not None) or (tree and db is None):
        raise typer.BadParameter("Give RESULTS to record, or --tree and --db without RESULTS.")
    if tree:
        alone(context, "--tree", "db", "dry_run", "as_json")
        for place in plant(open_database(db, in_memory=dry_run), keep=not dry_run):
            print(json.dumps(list(place)) if as_json else " > ".join(place))
        return
    database = ResultsDatabase(results, create=False)
    called = database.datasets()
    chosen = [
        result
        for result in database.results(model or (), benchmark or ())
        if is_dataset(dataset or (), called[result.dataset_fingerprint], result.dataset_fingerprint)
    ]
    if not chosen:
        raise LeaderboardError(
            f"Nothing to record: {results} has no results of these models, benchmarks and data. `laion-score results` lists "
            f"what it has."
        )
    place = str(results.expanduser().with_name(DEFAULT_FILE)) if db is None else db
    recorded = record_results(
        chosen,
        open_database(place, in_memory=dry_run),
        Submitter(public=public) if user is None else Submitter(email=user, public=public),
        allow_simulated=allow_simulated,
        keep=not dry_run,
        progress=True,
    )
    if as_json:
        for recording in recorded:
            print(json.dumps(_as_row(recording)))
    else:
        _print(recorded)
    counts = ", ".join(f"{n} {status}" for status, n in Counter(recording.status for recording in recorded).items())
    message = (
        f"Nothing was written to {place_name(place)}; it would be" if dry_run else f"Written to {place_name(place)}"
    )
    plain_console(stderr=True).print(f"{message}: {counts}.")


def _as_row(recording) -> dict:
    result = recording.result
    return {
        "model": recording.model,
        "benchmark": result.benchmark,
        "version": result.benchmark_version,
        "tree": list(recording.place),
        "score_raw": result.raw,
        "score_ceiled": result.value,
        "error": result.error,
        "ceiling": result.ceiling,
        "ceiling_error": result.ceiling_error,
        "status": recording.status,
    }


def _print(recorded) -> None:
    columns = [Column("model"), Column("benchmark"), Column("in the tree below")]
    columns += [*(Column(name, number=True) for name in ("raw", "ceiled", "ceiling")), Column("status")]
    rows = []
    for recording in recorded:
        result, path = recording.result, recording.place[:-1]
        ceiled = value(result.value, result.error, result.hides_sign)
        numbers = value(result.raw), ceiled, value(result.ceiling, result.ceiling_error)
        rows.append((recording.model, result.benchmark, path[-1] if path else "–", *numbers, recording.status))
    hidden = SIGN_HIDDEN if any(recording.result.hides_sign for recording in recorded) else ""
    print_table("Scores in Brain-Score's database", columns, rows, hidden)
