"""``laion-score layers``: what layers a network has, and which of them predicts which region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .ceilings import known_picture
from .features import name_options_as_typed
from .options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    MemoryOption,
    NoStoreOption,
    RandomOption,
    SpoolOption,
    StoreOption,
    SubjectsOption,
    ThresholdOption,
    alone,
    engine_options,
)
from .tables import Column, interval, plain_console, print_table, value

errors = plain_console(stderr=True)


def layers(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="What `laion-score score` takes, with a PyTorch network in it.")],
    show: Annotated[
        bool, typer.Option("--list", help="Only list the layers, in the order of execution; needs no dataset.")
    ] = False,
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            help="'blocks' (residual blocks, transformer layers, or what follows each layer with weights), 'all', or names "
            "and patterns joined by commas ('layer4.*').",
        ),
    ] = "blocks",
    regions: Annotated[str, typer.Option("--regions", help="Regions joined by commas.")] = "V1,V2,V4,IT",
    split: Annotated[str, typer.Option("--split", help="Whose training images: tau, ood, cluster_k5_0 ...")] = "tau",
    pool: Annotated[str, typer.Option("--pool", help="shared or persubject.")] = "shared",
    metric: Annotated[
        str,
        typer.Option("--metric", help="ridgecv (leave-one-out predictions), rdm or cka."),
    ] = "ridgecv",
    per_subject: Annotated[
        bool, typer.Option("--per-subject", help="The best layer of each subject, instead of one by their mean.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write the best layers as Brain-Score's region_layer_map, a JSON file."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", help="Draw the scores over depth: .svg, .png or .pdf. Needs matplotlib.", callback=known_picture
        ),
    ] = None,
    as_json: JsonOption = False,
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    threshold: ThresholdOption = None,
    max_spool: Annotated[
        float,
        typer.Option(
            "--max-spool",
            help="GB on disk that features may take at once; with more, fewer passes over the images.",
            min=1e-3,
        ),
    ] = 20.0,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
    no_store: NoStoreOption = False,
    accept_random_features: RandomOption = False,
    max_memory: MemoryOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Find the layers of a network that predict each region best.

    Layers are compared by leave-one-out predictions of the split's training images: no response to one of its test images is
    used, so that scores of the chosen layers on these, and on ood, stay honest. Benchmarks of other splits and pools test
    images that had a say here: for them, let `laion-score score --layers auto` choose, which leaves out each benchmark's
    test images. Kernels are kept: the scores that follow need no more passes, and the same command again takes seconds.

    Example: laion-score layers my_model.py:make --save region_layer_map.json --figure layers.svg --dataset simulated
    """
    from ..identifiers import DEFAULT_THRESHOLD
    from ..layer_maps import SUBJECTS, map_layers

    name_options_as_typed(context)
    if show:
        alone(context, "--list", "model", "as_json")
        _list(model, as_json)
        return
    found = map_layers(
        model,
        [region.strip() for region in regions.split(",")],
        layers if layers in ("all", "blocks") else [pattern.strip() for pattern in layers.split(",")],
        split,
        pool,
        subjects=SUBJECTS if subjects is None else tuple(subjects.split(",")),
        noise_ceiling_threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        metric=metric,
        dataset=dataset,
        engine=engine_options(
            no_store,
            store_directory,
            spool_directory,
            accept_random_features,
            max_memory,
            device,
            max_spool=max_spool,
        ),
        say=errors.print,
    )
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        _print_map(found, per_subject)
    if save is not None:
        errors.print(f"Best layers in {found.save(save, per_subject)}")
    if figure is not None:
        found.figure().savefig(figure)
        errors.print(f"Figure in {figure}")


def _list(model: str, as_json: bool) -> None:
    from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.choosing import blocks

    from ..layer_maps import layers_of

    made, listed = layers_of(model)
    of_blocks = {layer.name for layer in blocks(listed)}
    rows = []
    for layer in listed:
        remark = layer.problem or (f"answers as {layer.same_as} does" if layer.same_as else "")
        shape = "" if layer.shape is None else " × ".join(map(str, layer.shape)) or "1"
        block = "block" if layer.name in of_blocks else ""
        rows.append((layer.name, layer.kind, shape, f"{layer.n_parameters:,}", block, remark))
        if as_json:
            described = {
                "layer": layer.name,
                "type": layer.kind,
                "shape": layer.shape,
                "parameters": layer.n_parameters,
                "block": layer.name in of_blocks,
                "same_as": layer.same_as or None,
                "problem": layer.problem or None,
            }
            print(json.dumps(described))
    if not as_json:
        columns = [
            Column("layer"),
            Column("type"),
            Column("shape of one answer", number=True),
            Column("parameters", number=True),
            Column("", minor=True),
            Column("remark", minor=True),
        ]
        print_table(f"Layers of {made}, in the order of execution", columns, rows)


def _print_map(found, per_subject: bool) -> None:
    """A row per layer, with the best one of each region marked; or the best layer of each region and subject."""
    if per_subject:
        rows = [
            (region, subject, layer, value(float(found.scores.loc[layer, region, subject])))
            for region in found.regions
            for subject, best in found.best_per_subject.items()
            for layer in [best[region]]
        ]
        columns = [Column("region"), Column("subject"), Column("best layer"), Column("score", number=True)]
    else:
        rows = [(layer, *(_cell(found, layer, region) for region in found.regions)) for layer in found.layers]
        columns = [Column("layer"), *(Column(region, number=True) for region in found.regions)]
    facts, below = found.facts, []
    if not per_subject:
        below.append("> best layer of the region, by the mean over subjects; intervals are 95 % over training images")
        nothing = [region for region in found.regions if not found.mean.loc[found.best[region], region] > 0]
        if nothing:
            below.append(f"No layer scores above 0 in {', '.join(nothing)}: what is best there says little.")
    below.append(
        f"Test images of {facts['split']} (pool {facts['pool']}) and of ood had no say. Those of other splits and pools may "
        f"have had: for these, choose by `laion-score score --layers auto`."
    )
    below += [f"Left out: {layer}: {reason}" for layer, reason in found.skipped.items()]
    below += [f"Note: {note}" for note in found.notes]
    title = f"{found.model}: {facts['score']}; training images of {facts['split']}, pool {facts['pool']}"
    print_table(title, columns, rows, *below)


def _cell(found, layer: str, region: str) -> str:
    low, high = found.mean_intervals.loc[layer, region].values
    mark = "> " if found.best[region] == layer else ""
    return f"{mark}{interval(float(found.mean.loc[layer, region]), (low, high))}"
