"""``laion-score networks``: which networks can be scored by name."""

from __future__ import annotations

import difflib
import json
from typing import Annotated

import typer

from .options import JsonOption
from .tables import Column, plain_console, print_table

_notes = plain_console(stderr=True)


def networks(
    pattern: Annotated[
        str | None, typer.Argument(help="Show those that match, 'resnet*' or a part of a name, resnet50.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List networks that can be scored by name: torchvision and timm.

    Parameters and the size of the input stand beside them. Score one with its name: `laion-score score torchvision:resnet50
    ... --layers IT=layer4`. Behind @ stand its weights, or none for the untrained network; without @, the first of the list
    is taken. Weights are downloaded when they are needed. Parameters of timm's networks are counted where a pattern chooses
    some of them (0.3 s each). timm comes with the extra 'timm'.

    Example: laion-score networks 'vit_b*'
    """
    from tqdm.auto import tqdm

    from ..networks.errors import ModelSourceError
    from ..networks.listing import describe, has_timm, network_names

    names = network_names(pattern)
    if not names:
        known = {name.partition(":")[2].partition(".")[0] for name in network_names()}
        nearest = difflib.get_close_matches(pattern.rpartition(":")[2], sorted(known), n=3)
        hint = f"The nearest are {', '.join(nearest)}. " if nearest else ""
        raise ModelSourceError(
            f"No network matches {pattern!r}. {hint}"
            f"`laion-score networks` lists all{'' if has_timm() else ' of torchvision'}."
        )
    bar = tqdm(names, desc="networks", unit="network", delay=2, leave=False, disable=None)
    rows = []
    for network in describe(bar, count=pattern is not None):
        if as_json:
            print(json.dumps(vars(network)), flush=True)
        size = " × ".join(map(str, network.input_size))
        millions = "–" if network.n_parameters is None else f"{network.n_parameters / 1e6:,.1f}"
        rows.append([network.name, millions, size, ", ".join(network.weights) or "none"])
    if not as_json:
        columns = [Column("network"), Column("million parameters", number=True), Column("input (pixels)")]
        print_table(f"{len(rows)} networks", [*columns, Column("weights", minor=True)], rows)
    if not has_timm():
        _notes.print("timm has more networks: pip install '.[timm]'.")
