"""Where in the brain a report's best models predict responses: maps of voxels, where the dataset's brain masks are at hand."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from brainscore_vision.data.laion_fmri_7t.constants import REGIONS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from ..identifiers import SPLIT_METRICS
from ..maps import MapError, brain_maps
from ..maps.drawing import map_caption, maps_height, paint_maps, require_nilearn
from ..results import ResultsError
from .drawing import Figure, draw
from .study import Study
from .variants import Variant

DRAWN = "correlation"


def brain_figures(study: Study) -> tuple[tuple[Figure, ...], tuple[str, str] | None]:
    """Maps of the best model with values per voxel, and of its difference to the next one; else what is missing.

    Returns
    -------
    figures : tuple of Figure
    missing : tuple of str or None
        Without figures, why, and the command that makes the map.
    """
    chosen = _chosen(study)
    if chosen is None:
        text = "Maps need values per voxel, which ridge benchmarks have, and there are none."
        return (), (text, shlex.join(["laion-score", "score", "MODEL", "headline", "--results", str(study.path)]))
    variant, models = chosen
    try:
        require_nilearn()
    except MapError as error:
        return (), (str(error), "pip install '.[maps]'")
    command = ["laion-score", "map", str(study.path), "--model", models[0]]
    command += [word for name in _names(study, models[0], variant) for word in ("--benchmark", name)]
    root = study.dataset.get("root")
    if root is None or not Path(root).is_dir():
        text = "The brain masks lie with the dataset, which is not on this machine. This command takes them from elsewhere:"
        return (), (text, shlex.join([*command, "--figure", "map.png", "--dataset", "DATASET", "--release", "FOLDER"]))
    try:
        if open_dataset(root).fingerprint() != study.dataset["fingerprint"]:
            raise MapError(f"The data in {root} have changed since they were scored. Name those that were (--dataset).")
        first = _scores(study, models[0], variant)
        figures = [_figure(study, variant, lambda: brain_maps(first, DRAWN, names=models[:1], dataset=root), models[0])]
        if len(models) > 1:
            second = _scores(study, models[1], variant)
            maps = lambda: brain_maps(first, DRAWN, minus=second, names=models, dataset=root)
            figures.append(_figure(study, variant, maps, models[0], models[1]))
    except (MapError, DatasetError, ResultsError) as error:
        return (), (f"{error}", shlex.join([*command, "--figure", "map.png"]))
    return tuple(figures), None


def _chosen(study: Study) -> tuple[Variant, list[str]] | None:
    """Of the best model with values per voxel: its variant with most regions, and it with the next one on the same regions."""
    for model in study.models:
        own = [v for m, v, _ in study.cells if m == model and v.cell.metric in SPLIT_METRICS and v.is_whole_split]
        if own:
            variant = max(dict.fromkeys(own), key=lambda v: (len(_regions(study, model, v)), -study.variants.index(v)))
            regions = set(_regions(study, model, variant))
            others = [m for m in study.models if m != model and regions <= set(_regions(study, m, variant))]
            return variant, [model, *others[:1]]
    return None


def _regions(study: Study, model: str, variant: Variant) -> list[str]:
    """Regions without a common voxel; where there is none of these, the first other one."""
    found = [region for m, v, region in study.cells if (m, v) == (model, variant)]
    return [region for region in found if region in REGIONS] or found[:1]


def _names(study: Study, model: str, variant: Variant) -> list[str]:
    return [variant.identifier(region) for region in _regions(study, model, variant)]


def _scores(study: Study, model: str, variant: Variant) -> list:
    return [study.load(study.cells[model, variant, region]) for region in _regions(study, model, variant)]


def _figure(study: Study, variant: Variant, make: Callable, model: str, other: str | None = None) -> Figure:
    maps = make()
    of = model if other is None else f"{model} minus {other}"
    regions = ", ".join(dict.fromkeys(region for one in maps for region in one.neuroids["region"]))
    return draw(
        name=f"brain-{'difference-' if other else ''}{variant.stem}",
        question=f"Where in the brain? {of}, {variant.label}",
        caption=map_caption(maps),
        alt=f"Axial slices of {len(maps)} subjects with a colour for the {DRAWN} of each voxel of {regions}: {of}.",
        height=maps_height(maps),
        paint=lambda canvas: paint_maps(canvas, maps),
        simulated=study.is_simulated,
    )
