"""``laion-score results``: what a results file holds, for people and for other programs."""

from __future__ import annotations

import fnmatch
import gc
import json
import operator
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from .matrix import MEAN, MODEL, by_benchmark, print_matrix
from .options import alone
from .tables import SIGN_HIDDEN, SIGN_MARK, Column, interval, plain_console, print_table, value

ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results", help="Add each score to this results file when it is done; see `laion-score results --help`."
    ),
]
SIGNIFICANT = "significant: voxels whose correlation is above 0, at 5 % of false discoveries in a subject and region."
_CONDITION = re.compile(r"([^=!<>]+)(!=|<=|>=|=|<|>)(.*)")
_COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_notes = plain_console(stderr=True)


def results(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A results file, as `laion-score score ... --results FILE` makes it.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Only models of this name or pattern ('resnet*'); may be repeated."),
    ] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option("--benchmark", help="Likewise for benchmarks ('*.IT-*'); may be repeated.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="Likewise for datasets, by name, folder or fingerprint.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="Only models with a property, as a list of models gives it: family=resnet, 'family=res*', 'top1>=75', "
            "'family!=vit'; may be repeated, and all have to hold.",
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="Best models first by 'mean', or by a benchmark; or by 'model', their names.")
    ] = MEAN,
    long: Annotated[
        bool,
        typer.Option("--long", help="A row per result, with its interval, layer and circumstances; a row per failure."),
    ] = False,
    subjects: Annotated[bool, typer.Option("--subjects", help="A row per subject.")] = False,
    failures: Annotated[
        bool, typer.Option("--failures", help="What could not be scored, and why: a line per cause.")
    ] = False,
    partitions: Annotated[
        bool, typer.Option("--partitions", help="What `laion-score partition --results` added: parts of two models.")
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="Earlier results, and partitions, of the same models, benchmark and dataset too."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line instead of a table.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Write a row per model, benchmark and subject to .csv, .parquet or .json, or arrays to .nc (xarray).",
        ),
    ] = None,
    voxels: Annotated[
        Path | None, typer.Option("--voxels", help="Write a row per voxel to .csv or .parquet (ridge benchmarks).")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything; exit code 1 if something is damaged.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove files with values per voxel that no result refers to.")
    ] = False,
) -> None:
    """Show, filter and export the results in a file.

    A row per model and a column per benchmark, best models first; --long shows a row per result. Of each model, benchmark and
    dataset the latest result counts. A line below the table explains numbers with †, which are of another layer of the region
    than their neighbours, or of fewer stimuli. Models of one name that are of several sources or networks are told apart by
    these, in brackets. The file is SQLite, its tables are explained in the README of the benchmarks; values per voxel are in
    the folder FILE.voxels.

    Example: laion-score results scores.sqlite --benchmark '*-ood-*' --export ood.csv
    """
    from .. import results as store

    if verify or clean:
        alone(context, "--verify" if verify else "--clean", "file", "verify", "clean")
    if partitions:
        alone(context, "--partitions", "file", "every", "as_json")
    if failures:
        alone(context, "--failures", "file", "model", "benchmark", "dataset", "long", "every", "as_json")
    if (as_json or subjects) and (export or voxels):
        raise typer.BadParameter(
            "--json and --subjects say what is printed; an exported file has its form by its suffix."
        )
    for path, suffixes in ((export, store.SUFFIXES), (voxels, store.VOXEL_SUFFIXES)):
        if path is not None:
            store.check_suffix(path, suffixes)
    database = store.ResultsDatabase(file, create=False)
    if verify or clean:
        _maintain(database, verify, clean)
        return
    if partitions:
        _show_partitions(database, as_json, every)
        return
    conditions = read_conditions(where or ())
    patterns = {"models": model or (), "benchmarks": benchmark or ()}
    if failures:
        _show_failures(_failures(database, dataset, **patterns, latest=not every), long, as_json)
        return
    is_long = long or every
    kept = {**patterns, "latest": not every}
    if subjects or as_json or export or voxels:
        found = database.results(**kept)
    else:
        found = database.summaries(**kept, intervals=is_long)
    gc.freeze()  # what was read is no garbage: to look for some in many results takes as long as to print them
    if dataset:
        called = database.datasets()
        found = [r for r in found if store.is_dataset(dataset, called[r.dataset_fingerprint], r.dataset_fingerprint)]
    if conditions:
        _say_uncompared(conditions, {result.model: result.properties for result in found})
        found = [result for result in found if all(holds(condition, result.properties) for condition in conditions)]
    if export is not None:
        store.export(found, export)
        _notes.print(f"{len(found)} results in {export}")
    if voxels is not None:
        n_rows = store.export_voxels(database, _watched(found, "results"), voxels)
        _notes.print(f"{n_rows} rows in {voxels}")
    if export is None and voxels is None:
        show = _print_subjects if subjects else _print_results if is_long else _print_matrices
        n_failures = 0 if as_json else len(_failures(database, dataset, **patterns))  # which JSON does not tell
        _show_results(database, found, show, sort, as_json, n_failures)


def kept(path: Path, scores: Iterable, model: str, benchmarks: list[str], dataset: str | None) -> Iterator:
    """``scores`` on their way into a results file; ``model`` is what was asked for."""
    from ..identifiers import IdentifierError
    from ..networks.errors import ModelSourceError
    from ..results import ResultsDatabase, add_scores

    wrong_usage = (IdentifierError, ModelSourceError)
    return add_scores(
        ResultsDatabase(path), scores, model=model, benchmarks=benchmarks, dataset=dataset, not_kept=wrong_usage
    )


def read_conditions(texts: Iterable[str]) -> list[tuple[str, str, str]]:
    """Property, sign and value of each ``--where``."""
    found = []
    for text in texts:
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise typer.BadParameter(f"--where is PROPERTY=VALUE, or with != < <= > >=; received {text!r}.")
        if match[2] not in ("=", "!=") and _number(match[3]) is None:
            raise typer.BadParameter(f"--where compares with a number; received {text!r}.")
        found.append((match[1].strip(), match[2], match[3].strip()))
    return found


def holds(condition: tuple[str, str, str], properties: dict) -> bool:
    """Whether a model has the property; one of which it is not known has not."""
    name, sign, wanted = condition
    if name not in properties:
        return False
    own, number = _number(properties[name]), _number(wanted)
    if sign in ("=", "!="):
        if None not in (own, number):
            equal = own == number
        else:
            equal = fnmatch.fnmatchcase(str(properties[name]).casefold(), wanted.casefold())
        return equal == (sign == "=")
    return own is not None and _COMPARED[sign](own, number)


def _say_uncompared(conditions: list[tuple[str, str, str]], properties: dict[str, dict]) -> None:
    """Say which models a condition leaves out because it cannot be compared with what is known of them."""
    known = list(dict.fromkeys(name for own in properties.values() for name in own))
    for name, sign, wanted in conditions:
        if properties and name not in known:
            _notes.print(f"No model has the property {name!r}; known are {', '.join(known) or 'none'}.")
        words = [
            f"{model} ({own[name]})" for model, own in properties.items() if name in own and _number(own[name]) is None
        ]
        if sign in _COMPARED and words:
            _notes.print(f"{name}{sign}{wanted} compares numbers; without one, and left out, are {', '.join(words)}.")


def _number(value) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _failures(database, dataset: list[str] | None, **patterns) -> list:
    """Those on some datasets; one that came before its dataset was known may be of any."""
    from ..results import is_dataset

    called = database.datasets() if dataset else {}
    found = [(failure, failure.dataset_fingerprint) for failure in database.failures(**patterns)]
    known = {**{own: () for _, own in found}, **called}
    if dataset and not any(is_dataset(dataset, names, own) for own, names in known.items()):
        names = ", ".join(dict.fromkeys(names[0] if names else own for own, names in called.items()))
        _notes.print(f"No dataset fits --dataset {' or '.join(dataset)}; there are results on {names or 'none'}.")
    unnamed = dict.fromkeys(fingerprint for _, fingerprint in found if dataset and fingerprint not in ("", *called))
    if unnamed:
        _notes.print(
            f"Some failed on datasets that have no results, of which the fingerprint alone is known: {', '.join(unnamed)}. "
            f"--dataset FINGERPRINT shows them."
        )
    return [f for f, own in found if own == "" or is_dataset(dataset or (), called.get(own, ()), own)]


def _show_results(database, found: list, show, sort: str, as_json: bool, n_failures: int) -> None:
    if as_json:
        for result in found:
            derived = {"hides_sign": result.hides_sign, "interval_over_subjects": result.interval_over_subjects}
            print(json.dumps(_plain(result) | derived, default=_plain))
        return
    if not found:
        _notes.print(f"No result in {shlex.quote(str(database.path))} matches.")
    else:
        show(found, sort)
        if any(result.n_notes for result in found):
            _notes.print("Notes say what a reader of the number should know: --json shows them.")
    if n_failures:
        _notes.print(f"{n_failures} could not be scored: see them with --failures.")


def _print_matrices(found: list, sort: str) -> None:
    """A table per dataset."""
    names = _dataset_names(found)
    for fingerprint, name in names.items():
        own = [result for result in found if result.dataset_fingerprint == fingerprint]
        kinds = sorted({result.normalization for result in own})
        print_matrix(own, sort, f"Ceiled scores ({', '.join(kinds)}) on {name}")


def _sorted(found: list, sort: str) -> list:
    """Rows by model, or in the order of adding, best first where a benchmark is named."""
    if sort == MODEL:
        return sorted(found, key=lambda result: result.model)
    if sort == MEAN:
        return found
    wanted = by_benchmark(sort, sorted({result.benchmark for result in found}), sorted({r.benchmark for r in found}))
    return sorted((r for r in found if r.benchmark == wanted), key=lambda result: result.value, reverse=True)


def _print_results(found: list, sort: str) -> None:
    found = _sorted(found, sort)
    datasets = _dataset_names(found)
    several = len(datasets) > 1
    noted = any(result.n_notes for result in found)
    columns = [Column("id", number=True), Column("model"), Column("benchmark")]
    layered = any(result.layers for result in found)
    columns += [Column("layer", minor=True)] * layered + [Column("dataset")] * several + [Column("score", number=True)]
    minor = ("95 % over subjects", "raw", "ceiling", "s", "peak GB", "scored (UTC)")
    columns += [Column(name, number=True, minor=True) for name in minor]
    columns += [Column("notes", number=True)] * noted

    def row(r) -> list[str]:
        dataset, notes = [datasets[r.dataset_fingerprint]] * several, [str(r.n_notes or "")] * noted
        score = value(r.value, r.error, r.hides_sign)
        took = f"{r.seconds:.1f}", f"{r.peak_memory_bytes / 1e9:.2f}", f"{r.started:%Y-%m-%d %H:%M}"
        limits = r.interval_over_subjects
        over_subjects = "–" if limits is None else f"[{limits[0]:.3f}, {limits[1]:.3f}]"
        numbers = score, over_subjects, value(r.raw), value(r.ceiling)
        return [str(r.id), r.model, r.benchmark, *[r.layer] * layered, *dataset, *numbers, *took, *notes]

    hidden = SIGN_HIDDEN if any(r.hides_sign for r in found) else ""
    dataset = "" if several else f"Dataset: {datasets[found[0].dataset_fingerprint]}"
    print_table("Ceiled score ± standard error", columns, map(row, found), hidden, dataset)


def _print_subjects(found: list, sort: str) -> None:
    found = _sorted(found, sort)
    from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import alpha_text

    columns = [Column("id", number=True), Column("model"), Column("benchmark"), Column("subject")]
    columns += [Column("score", number=True)]
    counts = ("train", "test", "voxels", "significant", "features")
    columns += [Column(name, number=True, minor=True) for name in ("raw", "ceiling", "alpha", *counts)]

    def row(r, subject, unit) -> list[str]:
        interval = "" if unit.interval is None else f" [{unit.interval[0]:.3f}, {unit.interval[1]:.3f}]"
        score = f"{value(unit.value)}{interval}{SIGN_MARK if unit.hides_sign else ''}"
        alpha = "–" if unit.alpha is None else alpha_text(unit.alpha, unit.mean_eigenvalue is not None)
        counts = unit.n_train, unit.n_test, unit.n_neuroids, unit.n_significant_voxels, unit.n_features
        numbers = ("–" if n is None else f"{n:,}" for n in counts)
        return [str(r.id), r.model, r.benchmark, subject, score, value(unit.raw), value(unit.ceiling), alpha, *numbers]

    units = [(r, subject, unit) for r in found for subject, unit in r.by_subject().items()]
    hidden = SIGN_HIDDEN if any(unit.hides_sign for _, _, unit in units) else ""
    rows = (row(*unit) for unit in units)
    print_table("Ceiled score per subject [95 % over test images]", columns, rows, hidden, SIGNIFICANT)


def _show_failures(found: list, long: bool, as_json: bool) -> None:
    if as_json:
        for failure in found:
            print(json.dumps(failure, default=_plain))
        return
    if not found:
        _notes.print("Nothing failed that was not scored since.")
        return
    if not long:
        from ..sweep.progress import by_cause

        for line in by_cause((f.model, f.benchmark, f.error) for f in found):
            print(line)
        _notes.print("--long shows each failure by itself, --json the tracebacks.")
        return
    print_table(
        "Not scored; --json shows the tracebacks",
        [Column(name) for name in ("model", "benchmark", "tried (UTC)", "error")],
        [
            (f.model, f.benchmark or "(the model could not be made)", f"{f.started:%Y-%m-%d %H:%M}", f.error)
            for f in found
        ],
    )


def _show_partitions(database, as_json: bool, every: bool) -> None:
    from .. import results as store

    frame = store.read_partitions(database, latest=not every)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")  # JSON has no nan
    if as_json:
        for row in rows:
            print(json.dumps(row | {"is_simulated": bool(row["is_simulated"])}))
        return
    if not rows:
        _notes.print(f"No partition is in {shlex.quote(str(database.path))}.")
        return
    names = ("model_a", "model_b", "benchmark", "subject", "part")
    layers = [name for name in ("layers_a", "layers_b") if any(row[name] for row in rows)]
    if len({row["dataset_fingerprint"] for row in rows}) > 1:
        names = (*names, "dataset_fingerprint")
    titles = [name.replace("_fingerprint", "") for name in names]
    columns = [*map(Column, titles), Column("value", number=True), Column("scored (UTC)", minor=True)]
    columns += [Column(name.replace("_", " of "), minor=True) for name in layers]
    table = [
        [
            *(row[name] for name in names),
            interval(row["value"], (row["interval_low"], row["interval_high"])),
            row["started"][:16].replace("T", " "),
            *(row[name] or "" for name in layers),
        ]
        for row in rows
    ]
    print_table("Explained variance in parts [95 % over test images]", columns, table)
    from .printing import gathered_notes, left_out

    for models in dict.fromkeys((row["model_a"], row["model_b"]) for row in rows):
        own = [row for row in rows if (row["model_a"], row["model_b"]) == models and row["subject"] != "mean"]
        dropped: dict[str, set[str]] = {}
        for row in own:
            dropped.setdefault(row["benchmark"], set()).update(row["dropped_stimuli"])
        for line in left_out(" or ".join(models), dropped):
            print(line)
        for note in gathered_notes(([row["subject"]], row["notes"]) for row in own):
            print(f"Note on {' and '.join(models)}: {note}")


def _maintain(database, verify: bool, clean: bool) -> None:
    from .. import results as store

    damaged, count = 0, -1  # the SQLite file itself is checked besides the results
    for what, problem in _watched(store.verify(database), "results") if verify else ():
        count += 1
        if problem is not None:
            damaged += 1
            print(f"{what}: {problem}")
    if verify:
        print(f"{count} results read, {damaged} problems.")
    if clean:
        print(f"Freed {store.remove_orphans(database) / 1e6:.1f} MB.")
    elif database.connection.lock_problem is not None or not os.access(database.path, os.W_OK):
        print(f"Left-over files are told from those of writers at work by a lock; {database.path} cannot be locked.")
    elif left := store.orphans(database):
        print(
            f"{len(left)} files in {database.voxel_directory} belong to no result: their writers were killed, or the database "
            f"is another than when they were written. --clean removes them."
        )
    if damaged:
        raise typer.Exit(1)


def _watched(items: Iterable, unit: str) -> Iterable:
    from tqdm.auto import tqdm

    return tqdm(items, unit=unit.removesuffix("s"), leave=False, disable=None)


def _plain(part):
    """A time, a result or a part of it for JSON: the value is called score, as ``laion-score score --json`` does."""
    if isinstance(part, datetime):
        return part.isoformat()
    return {"score" if name == "value" else name: own for name, own in vars(part).items()}


def _dataset_names(found: list) -> dict[str, str]:
    """Fingerprints of datasets to names that differ."""
    names = {
        result.dataset_fingerprint: f"{result.dataset.get('name')}{' (simulated)' if result.is_simulated else ''}"
        for result in found
    }
    shared = Counter(names.values())
    return {
        fingerprint: name if shared[name] == 1 else f"{name}, fingerprint {fingerprint}"
        for fingerprint, name in names.items()
    }
