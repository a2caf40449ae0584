"""The command line, ``laion-score``."""

from __future__ import annotations

import fnmatch
import io
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from .cache import app as cache
from .ceilings import ceilings
from .check import check
from .compare import compare
from .data import app as data
from .encoder import app as encoder
from .features import (
    ColumnsOption,
    DropOption,
    FeaturesOption,
    IdsOption,
    KeyOption,
    candidate_and_names,
    name_options_as_typed,
    partition,
)
from .layers import layers as map_layers
from .map import map_voxels
from .networks import networks
from .options import (
    AlphasOption,
    DatasetOption,
    DeviceOption,
    ExactOption,
    Group,
    JsonOption,
    LayersOption,
    MemoryOption,
    NormalizationOption,
    NoStoreOption,
    RandomOption,
    RecordOption,
    SpoolOption,
    StoreOption,
    SubjectsOption,
    ThresholdOption,
    alike,
    alone,
    complete_benchmark,
    engine_options,
    expand,
    grid,
    headline,
    read_layers,
)
from .record import record
from .report import report
from .results import ResultsOption, kept
from .results import results as show_results
from .sweep import sweep
from .tables import plain_console


class FrontDoor(Group):
    """All commands, in the order of :data:`COMMANDS`."""

    def list_commands(self, ctx) -> list[str]:
        """Names of the commands."""
        return [name for commands in COMMANDS.values() for name in commands]


app = typer.Typer(
    cls=FrontDoor,
    help="Score vision models against the human brain on LAION-fMRI (7T, five people, 25,052 images).",
    epilog="Start with `laion-score demo`: it needs no download. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
errors = plain_console(stderr=True)
"""Nothing is wrapped or read as markup: paths have to survive."""

PACKAGES = ("laion-fmri-7t", "brainscore-vision", "brainscore-core", "numpy", "torch")
"""As in results.facts, which --version does not wait for."""


def known_scale(name: str) -> str:
    """Return ``name`` if simulations come in it: a wrong one is wrong usage."""
    from brainscore_vision.data.laion_fmri_7t.simulation import SCALES

    if name not in SCALES:
        raise typer.BadParameter(f"A scale is one of {', '.join(SCALES)}; received {name!r}.")
    return name


def known_pixels(pixels: int | None) -> int | None:
    """Return ``pixels`` if simulated images can be that wide."""
    from brainscore_vision.data.laion_fmri_7t.simulation.scales import FEWEST_PIXELS, MOST_PIXELS

    if pixels is not None and not MOST_PIXELS >= pixels >= FEWEST_PIXELS:
        raise typer.BadParameter(f"Images are {FEWEST_PIXELS} to {MOST_PIXELS} pixels wide; received {pixels}.")
    return pixels


def print_versions(wanted: bool) -> None:
    """Print what is installed, and end."""
    if wanted:
        print(*(f"{name} {version(name)}" for name in PACKAGES), f"python {platform.python_version()}", sep="\n")
        raise typer.Exit


@app.callback()
def laion_score(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print versions and exit.", callback=print_versions, is_eager=True)
    ] = False,
) -> None:
    pass


def list_benchmarks(
    context: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="Every identifier of the grammar, not only the registered 20.")
    ] = False,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions", help="Regions by category, what models record for them, and which subjects lack them."
        ),
    ] = False,
    dataset: DatasetOption = None,
    pattern: Annotated[str | None, typer.Argument(help="Show those that match, e.g. '*IT-ood*'.")] = None,
) -> None:
    """List benchmark identifiers, or the regions that can stand in them."""
    if regions:
        alone(context, "--regions", "dataset")
        print_regions(dataset)
        return
    if dataset is not None:
        raise typer.BadParameter("Benchmarks have the same names for each dataset; --dataset goes with --regions.")
    names = _whole_grammar() if every else headline()
    found = names if pattern is None else fnmatch.filter(names, pattern)
    for name in found:
        print(name)
    if not found:
        hint = f". {alike(pattern, names)}" if alike(pattern, names) else "" if every else "; --all searches every one."
        fail(ValueError(f"no identifier matches {pattern!r}{hint}"), 1)


def _whole_grammar() -> list[str]:
    from ..identifiers import all_identifiers

    return all_identifiers()


def print_regions(dataset: str | None) -> None:
    """Regions of a dataset, a line per category."""
    from brainscore_vision.data.laion_fmri_7t.description import regions_of_interest
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    from ..identifiers import MODEL_REGIONS, STORED_REGIONS

    opened = open_dataset(dataset)
    found = regions_of_interest(opened)
    print("Every assembly: " + ", ".join(f"{region} → {MODEL_REGIONS[region]}" for region in STORED_REGIONS))
    for category, rois in found.items():
        shown = []
        for region, subjects in rois.items():
            lacking = [subject for subject in opened.subjects if subject not in subjects]
            without = f" (not {', '.join(lacking)})" if lacking else ""
            shown.append(f"{region} → {MODEL_REGIONS.get(region, 'not in the grammar')}{without}")
        print(f"{category} → {MODEL_REGIONS.get(category, 'not in the grammar')}: {', '.join(shown)}")
    if not found:
        print(
            f"The assemblies of {opened.name} were built without regions of interest: python rebuild_assemblies.py "
            f"{opened.root or 'FOLDER'} --regions all --start-over"
        )
    errors.print("→: the region that models record. A category is the union of the regions that a subject has.")


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
        typer.Argument(
            help="Identifiers, patterns of registered ones ('*.V1-*'), or 'headline' for all 20.",
            autocompletion=complete_benchmark,
        ),
    ] = None,
    layers: LayersOption = None,
    features: FeaturesOption = None,
    ids: IdsOption = None,
    key: KeyOption = None,
    columns: ColumnsOption = None,
    drop_missing: DropOption = False,
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    normalization: NormalizationOption = None,
    threshold: ThresholdOption = None,
    alphas: AlphasOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
    no_store: NoStoreOption = False,
    accept_random_features: RandomOption = False,
    max_memory: MemoryOption = None,
    device: DeviceOption = "cpu",
    exact: ExactOption = False,
    results: ResultsOption = None,
) -> None:
    """Score a model on benchmarks.

    All of them share forward passes and kernels.

    Examples: laion-score score pixels LAION_fMRI.V1-tau-ridgecv --dataset simulated;
    laion-score score torchvision:resnet18 'LAION_fMRI.IT-*' --layers IT=layer4.1 --dataset simulated
    """
    from ..identifiers import parse
    from ..networks.sources import table_request, with_whole_path
    from ..scoring import score_all
    from .printing import as_row, print_scores

    name_options_as_typed(context)
    chosen = read_layers(layers)
    candidate, names = candidate_and_names(model, benchmarks, features, ids, key, columns, drop_missing)
    identifiers = expand(names)
    settings = {
        "subjects": None if subjects is None else tuple(subjects.split(",")),
        "normalization": normalization,
        "noise_ceiling_threshold": threshold,
        "alphas": grid(alphas),
        "record": record,
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
        asked = (
            with_whole_path(model) if features is None else table_request(features, ids=ids, key=key, columns=columns)
        )
        done_scores = kept(results, done_scores, asked, identifiers, dataset)
    try:
        for identifier, result in done_scores:
            scores[identifier] = result
            if as_json:
                print(json.dumps(as_row(identifier, result)), flush=True)
    finally:  # what is done is shown even if a later cell fails
        if scores and not as_json:
            done = {identifier: scores[identifier] for identifier in identifiers if identifier in scores}
            print_scores({next(iter(done.values())).attrs["model_identifier"]: done})


def simulate(
    directory: Annotated[Path, typer.Argument(help="Folder to make the dataset in.")],
    scale: Annotated[
        str,
        typer.Option(help="tiny, small, or full (the release's counts: minutes, about 7 GB).", callback=known_scale),
    ] = "small",
    pixels: Annotated[
        int | None,
        typer.Option(
            help="Width and height of images, instead of the scale's own (64, 112, 256). The release's are 1000: at full "
            "scale 3 GB more.",
            callback=known_pixels,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another dataset.", min=0)] = 0,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The release's files instead, for rebuild_assemblies.py to make assemblies of."),
    ] = False,
) -> None:
    """Make a simulated dataset, whose truth is known."""
    start = time.monotonic()
    if raw:
        from brainscore_vision.data.laion_fmri_7t.simulation.raw import simulate_raw

        path = simulate_raw(directory, scale=scale, seed=seed, pixels=pixels)
        errors.print(f"Simulated released files ({scale}, seed {seed}) in {path}, {time.monotonic() - start:.0f} s.")
        errors.print(f"Build assemblies of them with: python rebuild_assemblies.py {path}")
        return
    from brainscore_vision.data.laion_fmri_7t.simulation import simulate as make

    path = make(directory, scale=scale, seed=seed, pixels=pixels)
    errors.print(f"Simulated dataset ({scale}, seed {seed}) in {path}, {time.monotonic() - start:.0f} s.")
    errors.print(f"Use it with --dataset {path}, or export LAION_FMRI_DATASET={path}")


def demo(as_json: JsonOption = False) -> None:
    """Score seven models on the 20 headline benchmarks: no download.

    The data are simulated: the numbers show that everything runs, and say nothing about brains.
    """
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


COMMANDS = {
    "Scores and layers": {
        "demo": demo,
        "list": list_benchmarks,
        "networks": networks,
        "score": score,
        "layers": map_layers,
        "partition": partition,
    },
    "Encoders": {"encoder": encoder},
    "Data": {"data": data, "simulate": simulate, "check": check, "ceilings": ceilings, "cache": cache},
    "Studies of many models": {
        "sweep": sweep,
        "results": show_results,
        "compare": compare,
        "report": report,
        "map": map_voxels,
        "record": record,
    },
}
"""Commands under their headings, in the order in which people meet them. Every command stands here."""

for heading, commands in COMMANDS.items():
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=heading)
        else:
            app.command(name, rich_help_panel=heading)(command)


def main() -> None:
    """Entry point: known errors are one clear message, unknown ones keep their traceback."""
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # what a terminal of other letters cannot show is ?, and ends no command
        sys.stdout.reconfigure(errors="replace")
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
    forbidden = isinstance(error, PermissionError) and error.filename is not None
    return 1 if forbidden or isinstance(error, known) else None


def fail(error: Exception, code: int) -> None:
    """End with one line on standard error, which nothing wraps."""
    text = str(error)
    if isinstance(error, PermissionError) and error.filename is not None:
        text = (
            f"{error.filename} cannot be used by this user ({error.strerror}). Ask its owner for the right to read it and the "
            f"folders above (chmod a+rX), or name a place of your own."
        )
    errors.print(f"laion-score: {' '.join(text.split())}", style="red")
    sys.exit(code)
