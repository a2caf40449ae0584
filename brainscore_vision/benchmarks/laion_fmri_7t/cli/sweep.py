"""``laion-score sweep``: many models on many benchmarks, on this machine or a cluster."""

from __future__ import annotations

import importlib.util
import re
import signal
from pathlib import Path
from typing import Annotated

import typer

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
from .tables import Column, plain_console, print_table

_COMMENT = re.compile(r"(^|\s)#.*")

errors = plain_console(stderr=True)


def sweep(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Registered identifiers, torchvision:NAME, timm:NAME, module:function, file.py:function, the last two with "
            "arguments if there are any, tables of features (.h5, .npz ...), or lists of these: a text file with one per line, "
            "a table (.csv, .yaml, .json) with the columns source, layers, name and any properties (family, parameters ...)."
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
            help="As for `laion-score score`, for all networks; or a JSON file with a dictionary for each model, "
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
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Submit jobs to SLURM, one worker each. Needs the extra 'cluster'.")
    ] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", help="The most jobs at once (default 10).", min=1)] = None,
    cores: Annotated[int | None, typer.Option("--cores", help="Cores per job (default 8).", min=1)] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory per job (default 32GB).")] = None,
    walltime: Annotated[
        str | None, typer.Option("--walltime", help="Longest time of a job (default 12:00:00); others follow it.")
    ] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="SLURM's partition of the jobs.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="SLURM's account of the jobs.")] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option("--sbatch", help="Another option of sbatch, --sbatch=--qos=long; may be repeated."),
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option("--interface", help="Network interface by which nodes reach this machine, such as ib0."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Threads of linear algebra per worker. Default: cores / workers; with --slurm, --cores; with --scheduler, "
            "what its workers are set to (dask's own default is 1).",
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
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check the models, show what would be done, and forecast how long it takes and what it needs, from some "
            "seconds of measuring each model and each kind of benchmark on this machine. With --no-check, show the plan "
            "alone, at once. Needs no dask.",
        ),
    ] = False,
    check_models: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="First make every model and show it a few images, so that what is wrong is said now.",
        ),
    ] = True,
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
    """Score many models on many benchmarks, in parallel.

    Each model sees each image once; its kernels are kept in the store, and every cell is computed from them. What fails is
    recorded with its traceback and does not stop the rest. Stopped or killed, the same command goes on where it was;
    failures are tried again. A model is scored again if its plugin was edited, or if a file.py, or a package of a
    module:function, that was edited now makes another one (other weights, layers or settings of them, code of its classes or
    preprocessing); after an edit of something else that these import, use --again. `laion-score results FILE` shows the
    results.

    On a SLURM cluster, --slurm submits jobs, each a worker, replaces those that end before the sweep does, and ends them
    with it. Start it where sbatch is, in a terminal that stays (tmux), or in a small job of its own. What jobs print is in
    RESULTS.jobs. On other clusters, start a scheduler, and workers with `dask worker ADDRESS --nthreads 1 --memory-limit
    32GB --resources MEMORY=30e9` (bytes; at 95 % of its limit dask ends a worker), and name it with --scheduler. Store,
    dataset and model files have to be on a disk that all machines see.

    Needs the extra 'sweep'. Exit codes: 0 all scored, 1 some failed, 2 wrong usage, 130 stopped by Ctrl-C (143 by
    SIGTERM).

    Example: laion-score sweep alexnet resnet50_tutorial --benchmarks headline --results results.db --dataset simulated
    """
    name_options_as_typed(context)
    if (scheduler is not None) + (workers is not None) + slurm > 1:
        raise typer.BadParameter(
            "--workers are started on this machine, --slurm submits jobs, --scheduler brings its own: give one of them."
        )
    request = _request(
        slurm,
        results,
        jobs,
        cores,
        memory,
        walltime,
        partition=partition,
        account=account,
        sbatch=sbatch,
        interface=interface,
    )
    from ..networks.sources import with_whole_path
    from ..results import ResultsDatabase, check_properties, set_properties
    from ..sweep import Settings, UnknownNamesError, check_names, make_plan
    from ..sweep.interrupts import interrupts
    from ..sweep.preflight import record_broken, without_broken

    options = {
        "subjects": None if subjects is None else tuple(subjects.split(",")),
        "normalization": normalization,
        "noise_ceiling_threshold": threshold,
        "alphas": grid(alphas),
        "record": record,
    }
    wanted = listed_models(models)
    own_layers = {one.source: one.layers for one in wanted}
    try:
        names = check_names(own_layers, expand(listed(benchmarks)), read_layers(layers), dataset=dataset, **options)
    except UnknownNamesError as error:
        for problem in error.problems:
            errors.print(f"laion-score: {problem}", style="red")
        raise typer.Exit(2) from error
    engine = engine_options(False, store_directory, spool_directory, False, max_memory, device, exact)
    database = _results_so_far(results, dry_run)
    plan = make_plan(*names, results=database, again=again)
    properties = {with_whole_path(one.source): one.properties for one in wanted if one.properties}
    if database is not None:
        check_properties(database, properties, names[0])
    if not dry_run and (plan.n_todo or properties):
        database = database or ResultsDatabase(results)
        database.check_writable()
    if request is not None and plan.n_todo and not dry_run:
        from ..sweep.slurm import check_jobs

        check_jobs(request)
    checked: list = []
    expected: list[str] = []
    if check_models and plan.n_todo:
        try:
            with interrupts() as check:
                if dry_run:
                    like, n_workers = _workers_to_measure(plan, engine, workers, scheduler, request, threads)
                    checked, expected = _forecast(plan, engine, check, like, n_workers)
                else:
                    checked = _check(plan, engine, check)
        except KeyboardInterrupt as interrupt:
            raise _stopped(results, interrupt) from interrupt
        made = {one.model: one.made for one in checked if one.made is not None}
        names[0].update({one.model: None for one in checked if one.ignores_layers})
        plan = make_plan(*names, results=database, again=again, made=made)
    sound, n_broken = without_broken(plan, checked), sum(bool(one.problems) for one in checked)
    if dry_run:
        _show(sound, engine, workers, scheduler, request)
        for line in expected:
            print(line)
        raise typer.Exit(1 if n_broken else 0)
    if n_broken:
        record_broken(database, plan, checked)
    plan = sound
    if properties:  # of results that are there already; others get them when they are added
        set_properties(database, properties, {model.model: model.revisions for model in plan.models})
    if not plan.n_todo:
        if n_broken:
            raise typer.Exit(1)
        errors.print(
            f"Nothing to do: all {plan.n_done} cells are in {results}. Score them once more with --again, for example if "
            f"something has changed that a model's file or package imports or loads: while these are the same, its models are."
        )
        return
    try:
        with interrupts() as check:
            summary = _run(
                plan,
                Settings(engine, threads),
                database,
                workers,
                scheduler,
                request,
                allowed_deaths,
                check,
                properties,
            )
    except KeyboardInterrupt as interrupt:
        raise _stopped(results, interrupt) from interrupt
    errors.print(
        f"{summary.n_scored} cells scored now, {summary.n_done} before. See them: laion-score results {results}"
    )
    if summary.failures:
        from ..sweep.progress import by_cause

        errors.print(
            f"{len(summary.failures)} failures, with tracebacks in the results; they are tried again next time:"
        )
        for line in by_cause(summary.failures):
            errors.print(f"  {line}")
    if n_broken:
        errors.print(
            f"{n_broken} models cannot be scored on all benchmarks, as was said before the work; see them: laion-score results "
            f"{results} --failures"
        )
    if summary.failures or n_broken:
        raise typer.Exit(1)


def _check(plan, engine, check) -> list:
    """Make each model that has something to do, and say what is wrong: each cause in full once, and whom it concerns."""
    from ..sweep.preflight import Preflight

    with Preflight(engine) as preflight:
        return _checked(preflight, plan, check)


def _checked(preflight, plan, check) -> list:
    from tqdm.auto import tqdm

    from ..sweep.progress import cause

    models = [model for model in plan.models if model.todo]
    found, causes = [], {}
    for one in tqdm(preflight.check(models, check), "models checked", len(models), unit="model", delay=2, disable=None):
        found.append(one)
        if one.ignores_layers:
            errors.print(f"{one.model} has no network: it is scored as it is, without layers.")
        for line in one.lines():
            concerned = causes.setdefault(cause(one.model, line), [])
            if not concerned:
                errors.print(f"Cannot be scored: {line}", style="red")
            concerned.append(one.model)
    for first, *others in causes.values():
        if others:
            errors.print(f"Cannot be scored, as {first}: {', '.join(others)}", style="red")
    return found


def _workers_to_measure(plan, engine, workers: int | None, scheduler: str | None, request, threads: int | None):
    """Processes of this machine to measure, like the sweep's workers, and how many of those the sweep will have."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import available_processors

    from ..sweep.cluster import LocalWorkers
    from ..sweep.plan import expected_bytes

    cores = available_processors()
    if request is not None:
        shape, n_workers = LocalWorkers(1, min(cores, request.cores), request.memory), request.n
    elif scheduler is not None or importlib.util.find_spec("distributed") is None:
        shape, n_workers = LocalWorkers(1, cores, 0), 1
    else:
        shape = _shape(plan, expected_bytes(plan, engine), workers)
        n_workers = shape.n
    return LocalWorkers(shape.n, threads or shape.threads, shape.memory), n_workers


def _forecast(plan, engine, check, like, n_workers: int) -> tuple[list, list[str]]:
    """What :func:`_check` does, and lines of what the sweep will take."""
    from concurrent.futures.process import BrokenProcessPool

    from ..sweep.forecast import forecast
    from ..sweep.preflight import Preflight, without_broken

    with Preflight(engine, like) as preflight:
        checked = _checked(preflight, plan, check)
        sound, rates = without_broken(plan, checked), {one.model: one.rates for one in checked if one.rates}
        unknown = [model.model for model in sound.models if model.todo and model.model not in rates]
        lines = [
            f"No forecast of {name}: its layers are chosen first, or it could not be measured." for name in unknown
        ]
        if not rates:
            return checked, lines
        try:
            machine, start = preflight.machine(sound, list(rates.values()))
        except BrokenProcessPool:
            return checked, [
                *lines,
                "No forecast: the process that measured this machine ended, perhaps for lack of memory.",
            ]
    return checked, [*forecast(sound, rates, machine, engine, n_workers, start).lines(like, n_workers), *lines]


def _stopped(results: Path, interrupt: KeyboardInterrupt) -> typer.Exit:
    errors.print(f"Stopped. What is done is in {results}; the same command goes on from there.", style="red")
    number = interrupt.args[0] if interrupt.args else signal.SIGINT
    return typer.Exit(128 + number)  # as shells give it


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


def listed_models(names: list[str]) -> list:
    """Models, with lists of models replaced by what they list."""
    from ..networks.model_list import Listed, is_model_list, read_model_list
    from ..networks.sources import is_table, with_whole_path

    found: dict = {}
    for name in names:
        path = Path(name.removeprefix("@")).expanduser()
        is_list = name.startswith("@") or (path.is_file() and (not is_table(name) or is_model_list(path)))
        for one in read_model_list(path) if is_list else [Listed(name)]:
            known = found.setdefault(with_whole_path(one.source), one)
            if Listed(known.source) == known:  # named alone: a list says more
                found[with_whole_path(one.source)] = one
            elif Listed(one.source) != one and (known.layers, known.properties) != (one.layers, one.properties):
                raise typer.BadParameter(
                    f"A model stands in lists once, or with the same layers and properties; {one.source} in {path} stands in "
                    f"an earlier list with others."
                )
    return list(found.values())


def _request(slurm: bool, results: Path, jobs, cores, memory, walltime, **others):
    """The jobs to ask SLURM for; None without ``--slurm``."""
    options = {"jobs": jobs, "cores": cores, "memory": memory, "walltime": walltime, **others}
    given = [name for name, value in options.items() if value]
    if not slurm:
        if given:
            raise typer.BadParameter(f"--{given[0]} is of jobs: add --slurm, or leave it out.")
        return None
    from ..sweep.slurm import JobRequest

    results = results.expanduser().resolve()
    return JobRequest(
        n=jobs or 10,
        cores=cores or 8,
        memory=_gigabytes(memory or "32GB"),
        walltime=walltime or "12:00:00",
        logs=results.with_name(f"{results.name}.jobs"),
        partition=others["partition"],
        account=others["account"],
        directives=tuple(others["sbatch"] or ()),
        interface=others["interface"],
    )


def _gigabytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:GB?)?", text.strip(), re.IGNORECASE)
    if found is None or float(found[1]) < 1:
        raise typer.BadParameter(f"--memory is a number of GB from 1, as 32GB or 32; received {text!r}.")
    return int(float(found[1]) * 1e9)


def _run(
    plan,
    settings,
    database,
    workers: int | None,
    scheduler: str | None,
    request,
    allowed_deaths: int,
    check,
    properties,
):
    from contextlib import ExitStack
    from dataclasses import replace

    from ..sweep import run_sweep
    from ..sweep.cluster import has_dashboard, local_client, remote_client
    from ..sweep.plan import expected_bytes
    from ..sweep.progress import Board, LiveBoard
    from ..sweep.slurm import slurm_client

    keep = {}
    expected = expected_bytes(plan, settings.engine)
    board = (LiveBoard if errors.is_terminal else Board)(plan, errors)
    with ExitStack() as stack:
        if request is not None:
            client, keep["keep"] = stack.enter_context(slurm_client(request, allowed_deaths, board.line))
            settings = replace(settings, threads=settings.threads or request.cores)
            where = _of_jobs(request)
        elif scheduler is None:
            shape = _shape(plan, expected, workers)
            client = stack.enter_context(local_client(shape, allowed_deaths))
            settings = replace(settings, threads=settings.threads or shape.threads)
            where = f"{shape.n} workers of {settings.threads} threads and {shape.memory / 1e9:.1f} GB"
        else:
            client = stack.enter_context(remote_client(scheduler))
            where = f"the {len(client.nthreads())} workers of {scheduler}"
        n_models = sum(1 for model in plan.models if model.todo)
        board.line(f"{plan.n_todo} cells of {n_models} models on {where}; {plan.n_done} cells are done already")
        if has_dashboard():
            board.line(f"Dashboard: {client.dashboard_link}")
        with board.shown():
            return run_sweep(client, plan, settings, database, expected, board, check, **keep, properties=properties)


def _of_jobs(request) -> str:
    return f"up to {request.n} jobs of SLURM, of {request.cores} cores and {request.memory / 1e9:.1f} GB"


def _shape(plan, expected: int, workers: int | None):
    from ..sweep.cluster import local_workers, this_machine

    return local_workers(*this_machine(), expected, plan.n_todo, workers)


def _show(plan, engine, workers: int | None, scheduler: str | None, request) -> None:
    from ..sweep.plan import expected_bytes

    columns = [Column("model"), Column("to do", number=True), Column("done", number=True)]
    print_table("Cells", columns, [(model.model, str(len(model.todo)), str(len(model.done))) for model in plan.models])
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
    if request is not None:
        print(f"Workers: {_of_jobs(request)}.")
    elif scheduler is None:
        if importlib.util.find_spec("distributed") is None:
            print("Workers: none here. Get dask.distributed with the extra 'sweep': pip install '.[sweep]'.")
            return
        shape = _shape(plan, expected, workers)
        print(f"Workers: {shape.n} on this machine, of {shape.threads} threads and {shape.memory / 1e9:.1f} GB each.")
    else:
        print(f"Workers: those of {scheduler}.")
