"""Which layer of a network is recorded for which region: as it is typed, as it is in a file, or chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from brainscore_vision.data.laion_fmri_7t.errors import SchemaError
from brainscore_vision.data.laion_fmri_7t.text_files import read_json

from ..identifiers import MODEL_REGIONS
from .errors import ModelSourceError
from .network import AUTO

_FORM = "V1=LAYER,IT=LAYER, a JSON file with regions and layers, or auto"


def parse_layers(text: str) -> dict[str, str | list[str]] | str:
    """Layers as they are typed.

    Parameters
    ----------
    text : str
        ``V1=features.2,IT=features.12``; a region that stands twice has both layers. Or the name of a JSON file with a
        dictionary of regions and layers, such as Brain-Score's ``region_layer_map`` files, or with one for each model of a
        sweep. Or ``auto``.

    Returns
    -------
    dict or "auto"

    Raises
    ------
    ModelSourceError
    """
    if text == AUTO:
        return AUTO
    path = Path(text).expanduser()
    if path.suffix == ".json" or path.is_file():
        return _read(path, text)
    layers: dict[str, str | list[str]] = {}
    for pair in text.split(","):
        region, equals, layer = (part.strip() for part in pair.partition("="))
        if not (region and equals and layer):
            named = (
                f". To score {pair.strip()!r} in V1 and IT: V1={pair.strip()},IT={pair.strip()}" if not equals else ""
            )
            raise ModelSourceError(f"--layers is {_FORM}; received {text!r}, with {pair!r} in it{named}.")
        layers[region] = layer if region not in layers else [*_as_list(layers[region]), layer]
    return layers


def layers_for(layers, model: str):
    """Those of one model, of layers that are said for all models, or by model: ``{"alexnet": {"V1": "features.2"}}``."""
    if isinstance(layers, dict) and any(isinstance(names, dict) for names in layers.values()):
        own = layers.get(model)
        if own is None:
            raise ModelSourceError(
                f"A file with layers by model names every model; received {', '.join(map(repr, layers))}, and none for "
                f"{model!r}."
            )
        return own
    return layers


def check_region_names(layers, regions: Collection[str], measured: Collection[str] = ()) -> None:
    """Raise ModelSourceError for layers of a region of the responses that models record under another name.

    Layers that a model has for the other name would be recorded instead, without a word.

    Parameters
    ----------
    layers : dict, "auto" or None
        Of one model.
    regions : collection of str
        All that benchmarks record.
    measured : collection of str
        Regions of the responses that are scored.
    """
    for given in layers if isinstance(layers, Mapping) else ():
        plain = str(given).strip().casefold()
        known = next((name for name in MODEL_REGIONS if name.casefold() == plain), None)
        if given in regions or known is None:
            continue
        recorded = MODEL_REGIONS[known]
        # one file may have those of all benchmarks of a paper
        elsewhere = recorded not in regions or recorded in layers
        if known == given and elsewhere and known not in measured:
            continue
        if recorded in regions and recorded != given and _as_list(layers[given]) == _as_list(layers.get(recorded)):
            continue  # whichever is meant
        layer = ",".join(f"{recorded}={name}" for name in _as_list(layers[given]))
        if known == recorded == given:
            raise ModelSourceError(
                f"Layers are those of the regions that models record, {', '.join(regions)} here; received layers of {given!r}, "
                f"whose benchmarks record another one (--record). Leave --record out, and put the region behind the "
                f"benchmark that it is for: NAME[record={next(iter(regions))}]."
            )
        also = (
            f", or let its benchmarks record it under its own name (NAME[record={known}], or --record {known} for all)"
        )
        raise ModelSourceError(
            f"Layers are those of the regions that models record, {', '.join(regions)} here; received layers of {given!r}, "
            f"which models record as {recorded}. Write {layer}{'' if known == recorded else also}."
        )


def _read(path: Path, text: str) -> dict[str, str | list[str]]:
    try:
        layers = read_json(path)
    except (OSError, ValueError, SchemaError) as error:  # ValueError: no JSON
        raise ModelSourceError(f"--layers is {_FORM}; {text} cannot be read: {error}.") from error
    by_model = isinstance(layers, dict) and layers and all(isinstance(own, dict) for own in layers.values())
    if not all(map(_is_region_map, layers.values() if by_model else [layers])):
        raise ModelSourceError(
            f'A file of layers holds a dictionary of regions and layers, {{"V1": "LAYER"}}, or such a dictionary for each '
            f"model of a sweep; {text} holds something else."
        )
    return layers


def _is_region_map(layers) -> bool:
    if not isinstance(layers, dict) or not layers:
        return False
    return all(isinstance(name, str) for names in layers.values() for name in _as_list(names) or [None])


def _as_list(names) -> list:
    return names if isinstance(names, list) else [names]
