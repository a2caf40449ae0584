"""The command line, ``laion-score``."""

from __future__ import annotations

import fnmatch
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import cache as cli_cache
from . import ceilings as cli_ceilings
from . import check as cli_check
from . import compare as cli_compare
from . import data as cli_data
from . import encoder as cli_encoder
from . import features as cli_features
from . import layers as cli_layers
from . import map as cli_map
from . import networks as cli_networks
from . import record as cli_record
from . import report as cli_report
from . import results as cli_results
from . import sweep as cli_sweep
from .options import (
    AlphasOption,
    DatasetOption,
    DeviceOption,
    ExactOption,
    JsonOption,
    LayersOption,
    MemoryOption,
    NormalizationOption,
    NoStoreOption,
    RandomOption,
    SpoolOption,
    StoreOption,
    SubjectsOption,
    ThresholdOption,
    alike,
    engine_options,
    expand,
    grid,
    headline,
    read_layers,
)

app = typer.Typer(
    help="Score vision models against the human brain on LAION-fMRI (7T, five people, 25,052 images).",
    epilog="Start with `laion-score demo`: it needs no download. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_cache.app, name="cache")
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_encoder.app, name="encoder")
app.command()(cli_ceilings.ceilings)
app.command()(cli_check.check)
app.command()(cli_compare.compare)
app.command()(cli_features.partition)
app.command()(cli_layers.layers)
app.command("map")(cli_map.map_voxels)
app.command()(cli_networks.networks)
app.command()(cli_record.record)
app.command()(cli_report.report)
app.command()(cli_results.results)
app.command()(cli_sweep.sweep)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Nothing is wrapped or read as markup: paths have to survive."""


def known_scale(name: str) -> str:
    """Return ``name`` if simulations come in it: a wrong one is wrong usage."""
    from brainscore_vision.data.laion_fmri_7t.simulation import SCALES

    if name not in SCALES:
        raise typer.BadParameter(f"A scale is one of {', '.join(SCALES)}; received {name!r}.")
    return name


def print_versions(wanted: bool) -> None:
    """Print what is installed, and end."""
    if wanted:
        from ..results.facts import versions

        print("\n".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit


@app.callback()
def laion_score(
    version: Annotated[
        bool, typer.Option("--version", help="Print versions and exit.", callback=print_versions, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command("list")
def list_benchmarks(
    every: Annotated[
        bool, typer.Option("--all", help="Every identifier of the grammar, not only the registered 20.")
    ] = False,
    pattern: Annotated[str | None, typer.Argument(help="Show those that match, e.g. '*IT-ood*'.")] = None,
) -> None:
    """List benchmark identifiers."""
    from ..identifiers import all_identifiers

    names = all_identifiers() if every else headline()
    found = names if pattern is None else fnmatch.filter(names, pattern)
    for name in found:
        print(name)
    if not found:
        hint = f". {alike(pattern, names)}" if alike(pattern, names) else "" if every else "; --all searches every one."
        fail(ValueError(f"no identifier matches {pattern!r}{hint}"), 1)


@app.command()
def score(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="A registered identifier (alexnet), torchvision:NAME[@WEIGHTS], timm:NAME, or file.py:function / "
            "module:function, with literals as arguments if there are any (file.py:make(width=64))."
        ),
    ],
    benchmarks: Annotated[
        list[str] | None,
        typer.Argument(help="Identifiers, patterns of registered ones ('*.V1-*'), or 'headline' for all 20."),
    ] = None,
    layers: LayersOption = None,
    features: cli_features.FeaturesOption = None,
    ids: cli_features.IdsOption = None,
    key: cli_features.KeyOption = None,
    columns: cli_features.ColumnsOption = None,
    drop_missing: cli_features.DropOption = False,
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    normalization: NormalizationOption = None,
    threshold: ThresholdOption = None,
    alphas: AlphasOption = None,
    as_json: JsonOption = False,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
    no_store: NoStoreOption = False,
    accept_random_features: RandomOption = False,
    max_memory: MemoryOption = None,
    device: DeviceOption = "cpu",
    exact: ExactOption = False,
    results: cli_results.ResultsOption = None,
) -> None:
    """Score a model on benchmarks; all of them share forward passes and kernels.

    Examples: laion-score score pixels LAION_fMRI.V1-tau-ridgecv --dataset simulated;
    laion-score score torchvision:resnet18 'LAION_fMRI.IT-*' --layers IT=layer4.1 --dataset simulated
    """
    from ..identifiers import parse
    from ..networks.sources import with_whole_path
    from ..scoring import score_all
    from .printing import as_row, print_scores

    cli_features.name_options_as_typed(context)
    chosen = read_layers(layers)
    candidate, names = cli_features.candidate_and_names(model, benchmarks, features, ids, key, columns, drop_missing)
    identifiers = expand(names)
    settings = {
        "subjects": None if subjects is None else tuple(subjects.split(",")),
        "normalization": normalization,
        "noise_ceiling_threshold": threshold,
        "alphas": grid(alphas),
    }
    for identifier in identifiers:  # an error in the last name must not cost the work for the first
        parse(identifier, dataset=dataset, **settings)
    # settings are part of a benchmark's name, and its results go under it
    identifiers = list(dict.fromkeys(parse(identifier, **settings).identifier for identifier in identifiers))
    engine = engine_options(
        no_store, store_directory, spool_directory, accept_random_features, max_memory, device, exact
    )
    scores = {}
    done_scores = score_all(candidate, identifiers, dataset=dataset, engine=engine, layers=chosen)
    if results is not None:
        asked = with_whole_path(model) if features is None else str(features.expanduser().resolve())
        done_scores = cli_results.kept(results, done_scores, asked, identifiers, dataset)
    try:
        for identifier, result in done_scores:
            scores[identifier] = result
            if as_json:
                print(json.dumps(as_row(identifier, result)), flush=True)
    finally:  # what is done is shown even if a later cell fails
        if scores and not as_json:
            done = {identifier: scores[identifier] for identifier in identifiers if identifier in scores}
            print_scores({next(iter(done.values())).attrs["model_identifier"]: done})


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(help="Folder to make the dataset in.")],
    scale: Annotated[
        str,
        typer.Option(help="tiny, small, or full (the release's counts: minutes, about 7 GB).", callback=known_scale),
    ] = "small",
    seed: Annotated[int, typer.Option(help="Another seed is another dataset.", min=0)] = 0,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The release's files instead, for rebuild_assemblies.py to make assemblies of."),
    ] = False,
) -> None:
    """Make a simulated dataset, in the real one's form, whose truth is known."""
    start = time.monotonic()
    if raw:
        from brainscore_vision.data.laion_fmri_7t.simulation.raw import simulate_raw

        path = simulate_raw(directory, scale=scale, seed=seed)
        errors.print(f"Simulated released files ({scale}, seed {seed}) in {path}, {time.monotonic() - start:.0f} s.")
        errors.print(f"Build assemblies of them with: python rebuild_assemblies.py {path}")
        return
    from brainscore_vision.data.laion_fmri_7t.simulation import simulate as make

    path = make(directory, scale=scale, seed=seed)
    errors.print(f"Simulated dataset ({scale}, seed {seed}) in {path}, {time.monotonic() - start:.0f} s.")
    errors.print(f"Use it with --dataset {path}, or export LAION_FMRI_DATASET={path}")


@app.command()
def demo(as_json: JsonOption = False) -> None:
    """Score models that need no download on all 20 headline benchmarks, on simulated data."""
    from tqdm.auto import tqdm

    from ..identifiers import parse
    from ..scoring import score_all
    from .printing import as_row, print_scores

    models = {
        "pixels": "pixels",
        "untrained AlexNet": "brainscore_vision.benchmarks.laion_fmri_7t.networks.sources:untrained_alexnet",
    }
    models |= {name: f"LAION_fMRI-{name}" for name in ("CLIP", "DINOv2", "PEcore", "SigLIP2", "nouns")}
    shared = [identifier for identifier in headline() if parse(identifier).pool == "shared"]
    table = {}
    for title, name in models.items():
        table[title] = {}
        cells = shared if title == "nouns" else headline()  # images of a single subject are not segmented
        with tqdm(total=len(cells), desc=f"{title}: cells", unit="cell", disable=None) as bar:
            for identifier, result in score_all(name, cells, dataset="simulated"):
                table[title][identifier] = result
                bar.update()
                if as_json:
                    print(json.dumps(as_row(identifier, result)), flush=True)
    if not as_json:
        print_scores({title: {i: row[i] for i in headline() if i in row} for title, row in table.items()})
        errors.print("Simulated data: these numbers show that everything runs, and say nothing about brains.")


def main() -> None:
    """Entry point: known errors are one clear message, unknown ones keep their traceback."""
    try:
        app(prog_name="laion-score")
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        fail(error, code)


def exit_code(error: Exception) -> int | None:
    """1 for known errors, 2 for known errors in what was asked for, None for others."""
    # imported when there is an error: some of these packages take a second, which help need not wait for
    from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
    from brainscore_vision.data.laion_fmri_7t.errors import DatasetError

    from ..identifiers import IdentifierError
    from ..leaderboard.errors import LeaderboardError
    from ..networks.errors import ModelImportError, ModelSourceError
    from ..results.errors import ResultsError
    from ..sweep.errors import SweepError

    if isinstance(error, (IdentifierError, ModelSourceError)):
        return 2
    known = (StimulusKernelError, DatasetError, LeaderboardError, ModelImportError, ResultsError, SweepError)
    return 1 if isinstance(error, known) else None


def fail(error: Exception, code: int) -> None:
    """End with one line on standard error, which nothing wraps."""
    errors.print(f"laion-score: {' '.join(str(error).split())}", style="red")
    sys.exit(code)
