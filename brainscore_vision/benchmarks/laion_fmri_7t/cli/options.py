"""What commands of ``laion-score`` share: arguments and options, what their values stand for, and how help lists commands."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

UNCUT = 1000
"""Letters of a command's line: it goes on in the next line where the terminal is narrow, and is never cut."""


def headline() -> list[str]:
    """The registered identifiers, in the order of their registration.

    They are read as Brain-Score finds them, in the plugin's text: importing it would take seconds.
    """
    plugin = Path(__file__).resolve().parents[1] / "__init__.py"
    return re.findall(r'^benchmark_registry\["([^"]+)"\]', plugin.read_text(encoding="utf-8"), re.MULTILINE)


def complete_benchmark(incomplete: str) -> list[str]:
    """What a shell completes a benchmark to."""
    return [name for name in ("headline", *headline()) if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """What a shell completes --dataset to, beside folders, which it knows itself."""
    return [name for name in ("published", "simulated") if name.startswith(incomplete)]


def expand(names: list[str]) -> list[str]:
    """Identifiers from identifiers, patterns of registered ones, and 'headline'."""
    expanded: dict = {}
    for name in names:
        if name == "headline":
            found = headline()
        elif name.casefold() in ("all", "every") or difflib.get_close_matches(name.casefold(), ["headline"]):
            raise typer.BadParameter(f"The registered benchmarks together are called headline; received {name!r}.")
        elif any(character in name for character in "*?"):
            found = fnmatch.filter(headline(), name)
            if not found:
                raise typer.BadParameter(
                    f"No registered benchmark matches {name!r}. {alike(name) or 'See `laion-score list`.'}"
                )
        elif "." not in name and alike(name):
            raise typer.BadParameter(f"A benchmark is a whole identifier; received {name!r}. {alike(name)}")
        else:
            found = [name]
        expanded.update(dict.fromkeys(found))
    return list(expanded)


def alike(name: str, names: list[str] | None = None) -> str:
    """A sentence with the pattern that someone who typed ``name`` may have meant; empty if none matches ``names``.

    Asterisks may lack, and upper and lower case may differ.
    """
    from ..identifiers import renamed

    names, name = headline() if names is None else names, renamed(name)
    bare = name.strip("*")
    for pattern in (name, f"*{bare}*") if bare else ():
        matches = [known for known in names if fnmatch.fnmatchcase(known.casefold(), pattern.casefold())]
        if matches:
            literal = bare if any(bare in known for known in matches) else _spelling(bare, matches[0])
            shown = ", ".join(matches[:4]) + (f" and {len(matches) - 4} more" if len(matches) > 4 else "")
            return f"The pattern {pattern.replace(bare, literal)!r} matches {shown}."
    return ""


def _spelling(part: str, name: str) -> str:
    """How ``part`` is written in ``name``, where upper and lower case differ; itself if it does not stand there as one."""
    start = name.casefold().find(part.casefold())
    return part if start < 0 else name[start : start + len(part)]


def alone(context: typer.Context, mode: str, *allowed: str) -> None:
    """Refuse what was typed beside the option ``mode`` and would do nothing; ``allowed`` are names of parameters."""
    known = {parameter.name: max(parameter.opts, key=len) for parameter in context.command.params}
    typed = [option for name, option in known.items() if context.get_parameter_source(name).name == "COMMANDLINE"]
    beside = [known[name] for name in allowed]
    idle = [option for option in typed if option not in (mode, *beside)]
    if idle:
        options = [option for option in beside if option.startswith("-") and option != mode]
        raise typer.BadParameter(
            f"Beside {mode}, {', '.join(idle)} would do nothing: leave it out. "
            + (f"{mode} goes with {', '.join(options)}." if options else f"{mode} stands alone.")
        )


def known_device(name: str) -> str:
    """Return ``name`` if kernels can be computed there."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.options import DEVICES

    if name not in DEVICES:
        raise typer.BadParameter(f"A device is one of {', '.join(DEVICES)}; received {name!r}.")
    return name


DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="A dataset folder, 'published' (Brain-Score's files) or 'simulated'. Default: $LAION_FMRI_DATASET, else "
        "laion_fmri's configured folder, else published.",
        autocompletion=complete_dataset,
    ),
]
StoreOption = Annotated[Path | None, typer.Option("--store-directory", help="Where kernels are kept for later runs.")]
SpoolOption = Annotated[
    Path | None,
    typer.Option("--spool-directory", help="Where features wait on disk between the forward pass and the kernel."),
]
NoStoreOption = Annotated[bool, typer.Option("--no-store", help="Keep no kernels, and use none that are kept.")]
RandomOption = Annotated[
    bool,
    typer.Option(
        "--accept-random-features", help="Score a model whose features differ from pass to pass, once, unkept."
    ),
]
MemoryOption = Annotated[
    float | None,
    typer.Option(
        "--max-memory",
        help="GB that a decomposition may take: three matrices of training stimuli × training stimuli if they fit (0.8 GB "
        "for 5,833), else two, which takes longer. No score changes.",
        min=1e-3,
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu or cuda, for kernels and decompositions.", callback=known_device)
]
ExactOption = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Fit ridge the plain way, by eigenvectors and with the leave-one-out error of every penalty: slower, to check "
        "the fast ways. Kernels are the same.",
    ),
]
SubjectsOption = Annotated[
    str | None, typer.Option("--subjects", help="Subjects joined by commas, sub-01,sub-03; default: all.")
]
NormalizationOption = Annotated[
    str | None,
    typer.Option(
        "--normalization",
        help="published; for ridge also explained_variance or correlation, for rdm-pearson and cka also reliability. --json "
        "shows all of them whichever is chosen.",
    ),
]


def grid(alphas: str | None):
    """Penalties, or the word that stands for some, from an option's text."""
    if alphas is None or alphas.isalpha():
        return alphas
    try:
        return tuple(float(alpha) for alpha in alphas.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"--alphas is 'relative', or numbers joined by commas (0.1,1,10); received {alphas!r}."
        ) from error


AlphasOption = Annotated[
    str | None,
    typer.Option(
        "--alphas",
        help="Penalties of ridgecv: 'relative' (1e-6 to 1e6 times the mean eigenvalue of the training kernel, so that the unit "
        "of the features does not matter), or numbers joined by commas. Default: 1e-10 to 1e10, as published.",
    ),
]


def percent(threshold: float | None) -> float | None:
    """Return a threshold that does not look like a fraction."""
    if threshold is not None and 0 < threshold < 1:
        raise typer.BadParameter(
            f"It is in percent, and {threshold:g} looks like a fraction. Write --threshold {threshold * 100:g}."
        )
    return threshold


def writable(path: Path) -> Path:
    """Return ``path`` if a file can be written there: found out before the work for it, not after."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.files import cannot_write

    path = path.expanduser()
    if path.is_dir():
        raise typer.BadParameter(f"It is a file; {path} is a folder. Add a name to it.")
    if error := cannot_write(path.parent):
        raise typer.BadParameter(f"{path} cannot be written ({error.strerror}). Choose another folder.")
    return path


ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold", help="Percent; voxels with nc_12rep above it are scored. Default: 30.", callback=percent
    ),
]
RecordOption = Annotated[
    str | None,
    typer.Option(
        "--record",
        help="The region whose layer the model records, such as IT. Default: V1 to IT record themselves, and regions of "
        "interest what `laion-score list --regions` says.",
    ),
]
CorrectOption = Annotated[
    str,
    typer.Option(
        "--correct",
        help="Correct p values for how many are shown: 'fdr' (Benjamini and Hochberg: few of those called significant are "
        "wrong), 'holm' (not one of all is wrong), or 'none'.",
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        help="Layer of each region, V1=features.2,IT=features.12 (a region twice: both layers); a JSON file with regions and "
        "layers; or 'auto': those that predict training images best. A network needs it; of other models it comes first.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line instead of a table.")]


def read_layers(text: str | None):
    """What --layers says: a dictionary, "auto" or None."""
    from ..networks.region_layers import parse_layers

    return None if text is None else parse_layers(text)


def engine_options(
    no_store: bool = False,
    store_directory: Path | None = None,
    spool_directory: Path | None = None,
    accept_random_features: bool = False,
    max_memory: float | None = None,
    device: str = "cpu",
    exact: bool = False,
    max_spool: float = 20.0,
):
    """EngineOptions of the values that options have on the command line; ``max_memory`` and ``max_spool`` in GB."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions

    return EngineOptions(
        store=not no_store,
        store_directory=store_directory,
        spool_directory=spool_directory,
        random_features="accept" if accept_random_features else "refuse",
        max_memory=None if max_memory is None else int(max_memory * 1e9),
        max_spool=int(max_spool * 1e9),
        device=device,
        exact=exact,
    )


LISTS = frozenset(("alphas", "columns", "features", "layers", "regions", "roi", "subjects"))
"""Options that take several values in one, joined by commas, or a table."""


class Group(TyperGroup):
    """Commands under headings (typer's ``rich_help_panel``), in plain text: paths and brackets in help stay as they are.

    Options of theirs that take several values in one (:data:`LISTS`) are given once: who repeats them means all of them, and
    the last alone would count. Of other options, the last one counts, as in other programs.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for command in self.commands.values():
            if not isinstance(command, TyperGroup):
                command.parse_args = partial(_parse_once, command, command.parse_args)

    def format_commands(self, ctx, formatter) -> None:
        """Write the commands, in the order of their registration."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Commands"
                headings.setdefault(heading, []).append((name, command.get_short_help_str(UNCUT)))
        widest = max(len(name) for lines in headings.values() for name, _ in lines)
        for heading, lines in headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), line) for name, line in lines])


def _parse_once(command, parse_args, context, words: list[str]) -> list[str]:
    """In place of a command's ``parse_args``."""
    _, _, given = command.make_parser(context).parse_args(args=list(words))
    for option, n in Counter(given).items():
        if n > 1 and option.name in LISTS and not option.multiple:
            remedy = "Score one table at a time." if option.name == "features" else "Join its values by commas."
            raise typer.BadParameter(
                f"It is given once; received it {n} times, of which the last alone would count. {remedy}",
                ctx=context,
                param=option,
            )
    return parse_args(context, words)
