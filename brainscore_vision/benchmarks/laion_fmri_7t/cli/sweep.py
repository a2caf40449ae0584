"""``laion-score sweep``: many models on many benchmarks, on this machine or a cluster."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .features import name_options_as_typed
from .options import (
    AlphasOption,
    DatasetOption,
    DeviceOption,
    ExactOption,
    MemoryOption,
    NormalizationOption,
    RecordOption,
    SpoolOption,
    StoreOption,
    SubjectsOption,
    ThresholdOption,
    engine_options,
    expand,
    grid,
    read_layers,
)

_COMMENT = re.compile(r"(^|\s)#.*")

errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def sweep(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Registered identifiers, torchvision:NAME, timm:NAME, module:function, file.py:function, the last two with "
            "arguments if there are any, or files with one of these per line (models.txt or @models.txt)."
        ),
    ],
    benchmarks: Annotated[
        list[str],
        typer.Option(
            "--benchmarks",
            "-b",
            help="'headline' for the registered 20, a pattern of them ('*.V1-*'), an identifier, or a file with one of "
            "these per line. May be repeated.",
        ),
    ],
    results: Annotated[
        Path, typer.Option("--results", help="Results database (SQLite); made if it is not there, continued if it is.")
    ],
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            help="As for `laion-score score`, for all models; or a JSON file with a dictionary for each of them, "
            '{"torchvision:resnet18": {"V1": "layer1"}, ...}.',
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes on this machine. Default: as cores and memory allow.", min=1),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Use the workers of this dask scheduler instead, tcp://HOST:8786."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Threads of linear algebra per worker. Default: cores / workers; with --scheduler, what its workers are "
            "set to (dask's own default is 1).",
            min=1,
        ),
    ] = None,
    allowed_deaths: Annotated[
        int,
        typer.Option(
            "--allowed-deaths",
            help="How many workers a task may kill (usually by too much memory) before it counts as failed. With --scheduler, "
            "its own setting distributed.scheduler.allowed-failures counts.",
            min=0,
        ),
    ] = 2,
    again: Annotated[
        bool, typer.Option("--again", help="Score what the results have already, too; the newest counts.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    normalization: NormalizationOption = None,
    threshold: ThresholdOption = None,
    alphas: AlphasOption = None,
    record: RecordOption = None,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
    max_memory: MemoryOption = None,
    device: DeviceOption = "cpu",
    exact: ExactOption = False,
) -> None:
    """Score many models on many benchmarks, in parallel, into a results database.

    Each model sees each image once; its kernels are kept in the store, and every cell is computed from them. What fails is
    recorded with its traceback and does not stop the rest. Stopped or killed, the same command goes on where it was;
    failures are tried again. A model whose plugin or file.py was edited since is scored again; after an edit of something
    that these import, use --again. `laion-score results FILE` shows the results.

    On a cluster, start a scheduler, and workers with `dask worker ADDRESS --nthreads 1 --memory-limit 32GB
    --resources MEMORY=30e9` (bytes; at 95 % of its limit dask ends a worker), and name it with --scheduler. Store, dataset
    and model files have to be on a disk that all machines see.

    Needs the extra 'sweep'. Exit codes: 0 all scored, 1 some failed, 2 wrong usage, 130 stopped by Ctrl-C (143 by
    SIGTERM).

    Example: laion-score sweep alexnet resnet50_tutorial --benchmarks headline --results results.db --dataset simulated
    """
    name_options_as_typed(context)
    if scheduler is not None and workers is not None:
        raise typer.BadParameter("--workers are started on this machine, --scheduler brings its own: give one of them.")
    from ..results import ResultsDatabase
    from ..sweep import Settings, UnknownNamesError, check_names, make_plan
    from ..sweep.interrupts import interrupts

    options = {
        "subjects": None if subjects is None else tuple(subjects.split(",")),
        "normalization": normalization,
        "noise_ceiling_threshold": threshold,
        "alphas": grid(alphas),
        "record": record,
    }
    try:
        names = check_names(listed(models), expand(listed(benchmarks)), read_layers(layers), dataset=dataset, **options)
    except UnknownNamesError as error:
        for problem in error.problems:
            errors.print(f"laion-score: {problem}", style="red")
        raise typer.Exit(2) from error
    engine = engine_options(False, store_directory, spool_directory, False, max_memory, device, exact)
    database = _results_so_far(results, dry_run)
    plan = make_plan(*names, results=database, again=again)
    if dry_run:
        _show(plan, engine, workers, scheduler)
        return
    if not plan.n_todo:
        errors.print(
            f"Nothing to do: all {plan.n_done} cells are in {results}. Score them once more with --again, for example if "
            f"something has changed that a model's file imports or loads: a model is known by its own file here."
        )
        return
    database = database or ResultsDatabase(results)
    database.check_writable()
    try:
        with interrupts() as check:
            summary = _run(plan, Settings(engine, threads), database, workers, scheduler, allowed_deaths, check)
    except KeyboardInterrupt as interrupt:
        errors.print(f"Stopped. What is done is in {results}; the same command goes on from there.", style="red")
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        raise typer.Exit(128 + number) from interrupt  # as shells give it
    errors.print(
        f"{summary.n_scored} cells scored now, {summary.n_done} before. See them: laion-score results {results}"
    )
    if summary.failures:
        errors.print(
            f"{len(summary.failures)} failures, with tracebacks in the results; they are tried again next time:"
        )
        for model, benchmark, message in summary.failures:
            errors.print(f"  {model if benchmark is None else f'{model}, {benchmark}'}: {' '.join(message.split())}")
        raise typer.Exit(1)


def _results_so_far(path: Path, dry_run: bool):
    """The results that are there, or None. A start that was killed at once may have left an empty file, which is none."""
    from ..results import ResultsDatabase

    path = path.expanduser()
    if not path.exists() or (dry_run and path.stat().st_size == 0):
        return None
    return ResultsDatabase(path, create=not dry_run)


def listed(names: list[str]) -> list[str]:
    """Names with files (also ``@file``) replaced by their lines; blank lines and comments (#) are left out."""
    from brainscore_vision.data.laion_fmri_7t.errors import SchemaError
    from brainscore_vision.data.laion_fmri_7t.text_files import read_lines

    found: list[str] = []
    for name in names:
        path = Path(name.removeprefix("@")).expanduser()
        if not name.startswith("@") and not path.is_file():
            found.append(name)
            continue
        try:
            lines = read_lines(path)
        except (OSError, SchemaError) as error:
            raise typer.BadParameter(f"{path} is read as a list, one name per line; it cannot be: {error}.") from error
        names_in_file = [_COMMENT.sub("", line).strip() for line in lines]
        if not any(names_in_file):
            raise typer.BadParameter(f"{path} is read as a list, one name per line; it holds none.")
        found += filter(None, names_in_file)
    return list(dict.fromkeys(found))


def _run(plan, settings, database, workers: int | None, scheduler: str | None, allowed_deaths: int, check):
    from contextlib import ExitStack
    from dataclasses import replace

    from ..sweep import run_sweep
    from ..sweep.cluster import has_dashboard, local_client, remote_client
    from ..sweep.plan import expected_bytes
    from ..sweep.progress import Board, LiveBoard

    expected = expected_bytes(plan, settings.engine)
    board = (LiveBoard if errors.is_terminal else Board)(plan, errors)
    with ExitStack() as stack:
        if scheduler is None:
            shape = _shape(plan, expected, workers)
            client = stack.enter_context(local_client(shape, allowed_deaths))
            settings = replace(settings, threads=settings.threads or shape.threads)
            where = f"{shape.n} workers of {settings.threads} threads and {shape.memory / 1e9:.1f} GB"
        else:
            client = stack.enter_context(remote_client(scheduler))
            where = f"the {len(client.nthreads())} workers of {scheduler}"
        board.line(f"{plan.n_todo} cells of {len(plan.models)} models on {where}; {plan.n_done} cells are done already")
        if has_dashboard():
            board.line(f"Dashboard: {client.dashboard_link}")
        with board.shown():
            return run_sweep(client, plan, settings, database, expected, board, check)


def _shape(plan, expected: int, workers: int | None):
    from ..sweep.cluster import local_workers, this_machine

    return local_workers(*this_machine(), expected, plan.n_todo, workers)


def _show(plan, engine, workers: int | None, scheduler: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..sweep.plan import expected_bytes

    table = Table("model", "to do", "done", title="Cells", title_justify="left")
    for model in plan.models:
        table.add_row(Text(model.model), str(len(model.todo)), str(len(model.done)))
    console = Console()
    if not console.is_terminal:
        console.width = 300
    console.print(table)
    todo = sum(1 for model in plan.models if model.todo)
    print(
        f"{todo} tasks make kernels, one per model; then {plan.n_todo} cells are scored on them, {plan.n_done} are done."
    )
    for name in dict.fromkeys(target.name for model in plan.models for target in model.todo):
        print(f"  {name}")
    if not plan.n_todo:
        return
    expected = expected_bytes(plan, engine)
    print(f"A model's first task asks for {expected / 1e9:.1f} GB of a worker, later ones for what it measured.")
    if scheduler is None:
        shape = _shape(plan, expected, workers)
        print(f"Workers: {shape.n} on this machine, of {shape.threads} threads and {shape.memory / 1e9:.1f} GB each.")
    else:
        print(f"Workers: those of {scheduler}.")
