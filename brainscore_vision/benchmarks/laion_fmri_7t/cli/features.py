"""``laion-score`` for precomputed features: tables as models, and two models' shares of the explained variance."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from .options import (
    DatasetOption,
    DeviceOption,
    ExactOption,
    JsonOption,
    MemoryOption,
    NoStoreOption,
    RandomOption,
    RecordOption,
    SpoolOption,
    StoreOption,
    SubjectsOption,
    ThresholdOption,
    engine_options,
    expand,
    read_layers,
)
from .results import ResultsOption
from .tables import Column, interval, print_table

FeaturesOption = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="Score the features in this table (.h5, .npz, .npy, .csv, .tsv, .parquet) instead of a model; leave MODEL out.",
    ),
]
IdsOption = Annotated[
    str | None,
    typer.Option(
        "--ids",
        help="With --features: the key or column of the stimulus ids, or a file with one id per line. Default: image_ids, "
        "stimulus_ids, stimulus_id ...",
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="With --features: the array that holds them. Default: embedding, features ..."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="With --features and a CSV or Parquet table: its columns that are features, names or patterns joined by commas "
        "('f*'). Default: all, if they have one name and a running number.",
    ),
]
DropOption = Annotated[
    bool,
    typer.Option(
        "--drop-missing",
        help="Leave stimuli out, in training and test, that a feature table lacks, marks as not valid or has nan for; the "
        "scores say so.",
    ),
]


BELOW_ZERO = (
    "A part below 0 is no explained variance: chance where its interval reaches 0; otherwise both models together predict "
    "these test images worse than one of them alone, or one of them hides what the other explains."
)
LEFT_OUT = "0.000 [0.000, 0.000]: on the training images this model adds nothing to the other, and the joint fit leaves it out."


def _for_tables(name: str, what: str):
    text = f"For tables of features: {what} Given twice: first for MODEL_A, then for MODEL_B."
    return Annotated[list[str] | None, typer.Option(name, help=text)]


def candidate_and_names(
    model: str, benchmarks: list[str] | None, features: Path | None, ids, key, columns, drop_missing: bool
):
    """What to score, and on what: with --features, the first argument is a benchmark already."""
    if features is None:
        if any(option is not None for option in (ids, key, columns)):
            raise typer.BadParameter("--ids, --key and --columns say how to read a table: name it with --features.")
        if _is_benchmark(model):
            raise typer.BadParameter(f"The model comes first, then its benchmarks; received {model!r} as the model.")
        if not benchmarks:
            raise typer.BadParameter("Name at least one benchmark after the model.")
        return (_dropping(_made(_resolved(model))) if drop_missing else model), benchmarks
    from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

    missing = "drop" if drop_missing else "error"
    candidate = StimulusFeatureModel.from_file(features, ids=ids, key=key, missing=missing, columns=columns)
    return candidate, [model, *(benchmarks or [])]


TablesIdsOption = _for_tables("--ids", "the key or column of the stimulus ids, or a file with one id per line.")
TablesKeyOption = _for_tables("--key", "the array that holds the features.")
TablesColumnsOption = _for_tables("--columns", "of a CSV or Parquet table, the columns that are features ('f*,g1').")


def partition(
    context: typer.Context,
    model_a: Annotated[str, typer.Argument(help="A model, as for `laion-score score`, or a table of features.")],
    model_b: Annotated[str, typer.Argument(help="Likewise.")],
    benchmarks: Annotated[
        list[str], typer.Argument(help="Ridge benchmarks with one split, or patterns of registered ones ('*-tau-*').")
    ],
    layers_a: Annotated[
        str | None, typer.Option("--layers-a", help="Layers of MODEL_A, as --layers of `laion-score score`.")
    ] = None,
    layers_b: Annotated[str | None, typer.Option("--layers-b", help="Layers of MODEL_B.")] = None,
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    threshold: ThresholdOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
    ids: TablesIdsOption = None,
    key: TablesKeyOption = None,
    columns: TablesColumnsOption = None,
    drop_missing: DropOption = False,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
    no_store: NoStoreOption = False,
    accept_random_features: RandomOption = False,
    max_memory: MemoryOption = None,
    device: DeviceOption = "cpu",
    exact: ExactOption = False,
    results: ResultsOption = None,
) -> None:
    """Partition explained variance: unique to two models, shared.

    Three fits: on each model's features, and on both, with a weight for each model that leave-one-out on the training images
    chooses. Explained variance is corrected for the number of test images, and 1 is all that these could tell; intervals are
    95 % over resampled test images. Where a model adds nothing to the other on the training images, it is left out of the
    joint fit, and its own part is 0.

    Example: laion-score partition LAION_fMRI-CLIP LAION_fMRI-nouns LAION_fMRI.IT-tau-ridgecv --dataset simulated
    """
    from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import committed_layers
    from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS

    from ..identifiers import parse
    from ..networks.network import AUTO
    from ..networks.sources import table_request, with_whole_path
    from ..scoring import build_all, partition_all
    from .printing import gathered_notes, layers_by_region, left_out

    settings = {
        "subjects": None if subjects is None else tuple(subjects.split(",")),
        "noise_ceiling_threshold": threshold,
        "record": record,
    }
    name_options_as_typed(context)
    names = [parse(name, **settings).identifier for name in expand(benchmarks)]
    engine = engine_options(
        no_store, store_directory, spool_directory, accept_random_features, max_memory, device, exact
    )
    chosen = [read_layers(text) for text in (layers_a, layers_b)]
    options = {"ids": ids, "key": key, "columns": columns}
    models = _two_models((model_a, model_b), options)
    built = build_all(list(dict.fromkeys(names)), dataset)
    if AUTO in chosen and len(built) > 1:
        raise typer.BadParameter(f"Layers that are chosen ({AUTO}) depend on the benchmark: partition one at a time.")
    models = [_made(model, own, built.values(), engine) for model, own in zip(models, chosen, strict=True)]
    models = [_dropping(model) for model in models] if drop_missing else models
    a, b = (str(model.identifier) for model in models)
    layers = [committed_layers(model, [one.region for one in built.values()]) for model in models]
    done = partition_all(*models, list(built), dataset, engine)
    if results is not None:
        from ..results import ResultsDatabase, add_partitions

        asked = tuple(
            table_request(name, **_choices(options, i)) if _is_table(name) else with_whole_path(name)
            for i, name in enumerate((model_a, model_b))
        )
        done = add_partitions(ResultsDatabase(results), done, models=asked, dataset=dataset)
    rows, said_of, below, without, dropped = [], [], False, False, {}
    for name, parts in done:
        for subject, part in parts.items():
            limits = {p: part.interval(p) for p in PARTS}
            weight = getattr(part, "weight", None)
            if as_json:
                record = {"benchmark": name, "subject": subject, "models": [a, b], "layers": layers, **part.values}
                record |= {"weight": weight, "intervals": limits, "notes": part.notes}
                if part.dropped_stimuli:
                    record["dropped_stimuli"] = part.dropped_stimuli
                print(json.dumps(record), flush=True)
            shown = ("total", "unique_a", "unique_b", "shared")
            rows.append([name, subject, *(interval(part.values[p], limits[p]) for p in shown)])
            below = below or any(part.values[p] < 0 for p in shown)
            without = without or weight in (0, 1)
            dropped.setdefault(name, set()).update(part.dropped_stimuli)
            said_of.append(([subject], part.notes))
    if not as_json:
        numbers = [Column(column, number=True) for column in ("together", f"only {a}", f"only {b}", "shared")]
        said = [text for text, is_so in ((BELOW_ZERO, below), (LEFT_OUT, without)) if is_so]
        title = "Explained variance [95 % over test images]"
        print_table(title, [Column("benchmark"), Column("subject"), *numbers], rows, *said)
        for model, own in zip((a, b), layers, strict=True):
            if own:
                print(f"Layers of {model}: {layers_by_region(own)}")
        for line in left_out(f"{a} or {b}", dropped):
            print(line)
        of_subjects = {note for names, notes in said_of if names != ["mean"] for note in notes}
        own = ((names, [n for n in notes if names != ["mean"] or n not in of_subjects]) for names, notes in said_of)
        for note in gathered_notes(own):
            print(f"Note: {note}")


def _two_models(names: tuple[str, str], options: dict[str, list[str] | None]) -> list:
    """Both models; an option that is given once is for each table, one that is given twice for one model each."""
    tables = [name for name in names if _is_table(name)]
    for option, values in options.items():
        if values and not tables:
            raise typer.BadParameter(
                f"--{option} says how to read a table of features; {' and '.join(names)} are none."
            )
        if values and len(values) > 2:
            raise typer.BadParameter(
                f"--{option} is given once for both models or once for each; received {len(values)}."
            )
    chosen = [_choices(options, i) for i in range(len(names))]
    if names[0] == names[1] and chosen[0] != chosen[1]:  # two models of one table, called by what was chosen in it
        for choices in chosen:
            said = " ".join(shlex.quote(f"{option}={value}") for option, value in choices.items())
            choices["identifier"] = f"features-{Path(names[0]).stem} {said}"
    return [_resolved(name, **choices) for name, choices in zip(names, chosen, strict=True)]


def table_or_name(name: str, ids: str | None, key: str | None, columns: str | None, drop_missing: bool):
    """What a model's name stands for, if something is said of how its table is read; else the name."""
    options = {n: v for n, v in {"ids": ids, "key": key, "columns": columns}.items() if v is not None}
    if options and not _is_table(name):
        raise typer.BadParameter(f"--{next(iter(options))} says how to read a table of features; {name} is none.")
    if drop_missing:
        return _dropping(_made(_resolved(name, **options)))
    return _resolved(name, **options) if options else name


def _choices(options: dict[str, list[str] | None], i: int) -> dict[str, str]:
    """Of each option, what is for the first or the second model."""
    return {option: values[min(i, len(values) - 1)] for option, values in options.items() if values}


def name_options_as_typed(context: typer.Context) -> None:
    """Until the command ends, messages name options as they are typed."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import command_line

    context.with_resource(command_line())


def _is_benchmark(name: str) -> bool:
    from ..identifiers import IdentifierError, parse

    try:
        parse(name)
    except IdentifierError:
        return False
    return True


def _is_table(name: str) -> bool:
    """Whether a name is that of a file with features; also of one that is not there, which whoever reads it says."""
    from ..networks.sources import TABLE_SUFFIXES

    path = Path(name).expanduser()
    return path.suffix.lower() in TABLE_SUFFIXES or (path.is_file() and path.suffix != ".py")


def _resolved(name: str, **options):
    """A model by its name, or a table of features by its path, read with ``options``."""
    if _is_table(name):
        from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

        return StimulusFeatureModel.from_file(Path(name).expanduser(), **options)
    from ..networks.finding import find_model

    return find_model(name)


def _made(model, layers=None, benchmarks=(), engine=None):
    """A BrainModel of what was found; tables are models already."""
    from ..networks.finding import ModelSource
    from ..networks.network import AUTO
    from ..scoring import answers_to, prepare, resolve_all

    if not isinstance(model, ModelSource):
        return model
    if layers != AUTO:
        return model.model(layers)
    made, plans = prepare(model, benchmarks, AUTO, engine)
    answers_to(made, plans, resolve_all(benchmarks))
    return made


def _dropping(model):
    from brainscore_vision.benchmark_helpers.stimulus_kernels import LookupModel

    if not isinstance(model, LookupModel):
        raise typer.BadParameter(f"--drop-missing is for tables of features; {model.identifier} sees images.")
    model.missing = "drop"
    return model
