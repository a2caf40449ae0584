"""``laion-score`` for precomputed features: tables as models, and two models' shares of the explained variance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .options import DatasetOption, ExactOption, JsonOption, NoStoreOption, StoreOption, read_layers

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


def partition(
    context: typer.Context,
    model_a: Annotated[str, typer.Argument(help="A model, as for `laion-score score`, or a table of features.")],
    model_b: Annotated[str, typer.Argument(help="Likewise.")],
    benchmarks: Annotated[list[str], typer.Argument(help="Ridge benchmarks with one split.")],
    layers_a: Annotated[
        str | None, typer.Option("--layers-a", help="Layers of MODEL_A, as --layers of `laion-score score`.")
    ] = None,
    layers_b: Annotated[str | None, typer.Option("--layers-b", help="Layers of MODEL_B.")] = None,
    dataset: DatasetOption = None,
    as_json: JsonOption = False,
    drop_missing: DropOption = False,
    store_directory: StoreOption = None,
    no_store: NoStoreOption = False,
    exact: ExactOption = False,
) -> None:
    """Partition explained variance between two models: unique to each, and shared.

    Each model's kernel is scaled to the same total variance before they are added. Explained variance is r·|r| / NC, the
    mean over voxels; intervals are 95 % over resampled test images.

    Example: laion-score partition LAION_fMRI-CLIP LAION_fMRI-nouns LAION_fMRI.IT-tau-ridgecv --dataset simulated
    """
    from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
    from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import committed_layers
    from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS

    from ..networks.network import AUTO
    from ..scoring import build_all, partition_all
    from .printing import layers_by_region

    engine = EngineOptions(store=not no_store, store_directory=store_directory, exact=exact)
    models = [_resolved(model) for model in (model_a, model_b)]
    name_options_as_typed(
        context
    )  # after the tables are read: there is no --columns here, and Python's words lead further
    chosen = [read_layers(text) for text in (layers_a, layers_b)]
    built = build_all(benchmarks, dataset)
    if AUTO in chosen and len(built) > 1:
        raise typer.BadParameter(f"Layers that are chosen ({AUTO}) depend on the benchmark: partition one at a time.")
    models = [_made(model, own, built.values(), engine) for model, own in zip(models, chosen, strict=True)]
    models = [_dropping(model) for model in models] if drop_missing else models
    a, b = (str(model.identifier) for model in models)
    layers = [committed_layers(model, [one.model_region for one in built.values()]) for model in models]
    table = Table("benchmark", "subject", "together", f"only {a}", f"only {b}", "shared", title="Explained variance")
    for name, parts in partition_all(*models, list(built), dataset, engine):
        for subject, part in parts.items():
            limits = {p: part.interval(p) for p in PARTS}
            if as_json:
                record = {"benchmark": name, "subject": subject, "models": [a, b], "layers": layers, **part.values}
                print(json.dumps({**record, "intervals": limits}), flush=True)
            cells = [_cell(part.values[p], limits[p]) for p in ("total", "unique_a", "unique_b", "shared")]
            table.add_row(name, subject, *cells)
    if not as_json:
        Console().print(table)
        for model, own in zip((a, b), layers, strict=True):
            if own:
                print(f"Layers of {model}: {layers_by_region(own)}")


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


def _resolved(name: str):
    path = Path(name).expanduser()
    if path.is_file() and path.suffix != ".py":
        from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

        return StimulusFeatureModel.from_file(path)
    from ..networks.finding import find_model

    return find_model(name)


def _made(model, layers=None, benchmarks=(), engine=None):
    """A BrainModel of what was found; tables are models already."""
    from ..networks.finding import ModelSource
    from ..networks.network import AUTO
    from ..scoring import prepare

    if not isinstance(model, ModelSource):
        return model
    return prepare(model, benchmarks, AUTO, engine)[0] if layers == AUTO else model.model(layers)


def _dropping(model):
    from brainscore_vision.benchmark_helpers.stimulus_kernels import LookupModel

    if not isinstance(model, LookupModel):
        raise typer.BadParameter(f"--drop-missing is for tables of features; {model.identifier} sees images.")
    model.missing = "drop"
    return model


def _cell(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
