"""The questions that a report answers, in order; one without data says what to run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial

from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import UNIT_NOTE
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

from ..identifiers import ALL_REGIONS, SPLIT_METRICS
from ..networks.sources import words_to_score
from .brain_figures import brain_figures
from .comparison_figures import LEVEL, Correction, compare_models, comparison_figure
from .diagnostic_figures import Penalty, alpha_figure, penalties, voxel_figure
from .drawing import Figure
from .layer_figure import layer_figure
from .ood_figures import ood_figure, ood_groups
from .pair_figures import pool_figure, pool_pairs, split_figure, split_pairs
from .profile_figure import profile_figure, profile_variants
from .property_figures import property_figures
from .score_figures import ceiling_figure, score_figure
from .study import Study, groups_of, pool_names
from .variants import OOD_PREFIX, Variant

SECOND_MODELS = ("pixels", "alexnet")
"""What to compare a single model with: the first needs no download."""

MOST_NAMES = 8
"""Benchmarks in a command that is proposed."""


@dataclass(frozen=True)
class Remedy:
    """What to run for a section that has no data."""

    text: str
    command: str


@dataclass(frozen=True)
class Section:
    """One question.

    Attributes
    ----------
    anchor, title, text : str
    figures : tuple of Figure
    remedy : Remedy or None
        None if there are figures.
    edges : tuple of Penalty
        Alphas at the edge of their grid, for a table.
    problems : tuple of str
        What could not be shown, and why.
    """

    anchor: str
    title: str
    text: str
    figures: tuple[Figure, ...] = ()
    remedy: Remedy | None = None
    edges: tuple[Penalty, ...] = ()
    problems: tuple[str, ...] = ()


def section_makers(
    study: Study, correction: Correction, layer_maps: Sequence[LayerMap] = ()
) -> list[Callable[[], Section]]:
    """One callable per section, in the order of the page; some take seconds."""
    layers, compared = partial(_layers, maps=layer_maps), partial(_compared, correction=correction)
    order = (_properties, _scores, _gap, _categories, layers, _brain, compared, _pools, _ceilings, _checks)
    return [partial(make, study) for make in order]


def _properties(study: Study) -> Section:
    figures = tuple(property_figures(study))
    text = "What is known of the models beside their scores."
    words = ["laion-score", "report", str(study.path), "--out", "report", "--properties", "models.csv"]
    remedy = Remedy(
        "A figure needs a property that is known of three models. Give a CSV file with a column model, and one column per "
        "property (top-1, parameters, training data, family):",
        shlex.join(words),
    )
    return Section("properties", "What goes with the score", text, figures, None if figures else remedy)


def _layers(study: Study, maps: Sequence[LayerMap]) -> Section:
    title, text = (
        "Layers over depth",
        "Which layers of a network predict which region, by their scores on training images.",
    )
    if maps:
        return Section("layers", title, text, (layer_figure(study, maps),))
    networks = {model for (model, _, _), result in study.cells.items() if result.layers}  # others have no layers
    named = next((study.requested(model) for model in study.models if model in networks), "MODEL")
    words = ["laion-score", "layers", named, *_dataset_option(study), "--json"]
    remedy = Remedy(
        "No map of layers was given. Make one, and add --layer-map layers.json to the command of this report:",
        f"{shlex.join(words)} > layers.json",
    )
    return Section("layers", title, text, remedy=remedy)


def _scores(study: Study) -> Section:
    variants = study.main_variants
    left_out = len(study.variants) - len(variants)
    text = "All regions at once, then a figure per split, metric and pool with each subject's score."
    if left_out:
        text += " OOD categories have their own section, and single folds are in the table."
    text, remedy = (
        (text, None) if variants else ("", _to_run(study, "There are no scores of known benchmarks.", ["headline"]))
    )
    figures = [profile_figure(study)] if profile_variants(study) else []
    figures += [score_figure(study, v, regions) for v in variants for regions in groups_of(study.regions(v))]
    return Section("scores", "Scores by region", text, tuple(figures), remedy)


def _brain(study: Study) -> Section:
    figures, missing = brain_figures(study)
    text = "Which voxels the best model predicts, and where it is better or worse than the next one."
    return Section("brain", "Where in the brain", text, figures, None if missing is None else Remedy(*missing))


def _ceilings(study: Study) -> Section:
    text = "A ceiled score divides what a model reaches by what the measurements allow."
    if any(v.cell.metric in SPLIT_METRICS and v.cell.normalization == "published" for v in study.main_variants):
        text += (
            " The published normalization of ridge benchmarks takes what 12 repetitions allow, also for test images that were "
            "shown less often."
        )
    if not study.cells:
        return Section("ceilings", "Ceilings", text, remedy=_to_run(study, "There are no scores yet.", ["headline"]))
    drawn = {region for _, variant, region in study.cells if variant in study.main_variants}
    groups = groups_of([region for region in ALL_REGIONS if region in drawn])
    return Section("ceilings", "Ceilings", text, tuple(ceiling_figure(study, regions) for regions in groups))


def _gap(study: Study) -> Section:
    figures = tuple(split_figure(study, *pair) for pair in split_pairs(study))
    text = "The tau split tests on natural images like those of training, ood on images of nine unusual kinds."
    missing = "No model has scores on both splits."
    remedy = _second_of_pair(study, missing, _other_split, ["LAION_fMRI.*-tau-ridgecv", "LAION_fMRI.*-ood-ridgecv"])
    return Section("gap", "The out-of-distribution gap", text, figures, None if figures else remedy)


def _other_split(variant: Variant) -> Variant | None:
    other = {"tau": "ood", "ood": "tau"}.get(variant.cell.split)
    return other and variant.with_split(other)


def _other_pool(variant: Variant) -> Variant | None:
    other = {"shared": "persubject", "persubject": "shared"}[variant.cell.pool]
    return variant.with_pool(other) if variant.is_whole_split else None


def _second_of_pair(study: Study, missing: str, of: Callable[[Variant], Variant | None], both: Sequence[str]) -> Remedy:
    """What to run for the counterparts (``of``) that the best model lacks; for ``both`` of a pair if no model lacks one."""
    text = f"{missing} Score what is missing, for example:"
    for model in study.models:
        other = [(of(variant), region) for own, variant, region in study.cells if own == model]
        lacking = [(v, region) for v, region in other if v is not None and (model, v, region) not in study.cells]
        if lacking:
            names = [variant.identifier(region) for variant, region in lacking[:MOST_NAMES]]
            return _to_run(study, text, names, study.requested(model))
    return _to_run(study, text, both)


def _categories(study: Study) -> Section:
    figures = tuple(ood_figure(study, group) for group in ood_groups(study))
    text = "Each category's images were tested by themselves, with the model fitted on natural images."
    best = study.models[0]
    regions = [r for r in ALL_REGIONS if any((own, region) == (best, r) for own, _, region in study.cells)] or ["IT"]
    names = [f"{pool_names()['shared']}.{regions[-1]}-{OOD_PREFIX}{kind}-ridgecv" for kind in OOD_TYPES]
    remedy = _to_run(study, "No benchmark of a single category was scored. For one region:", names)
    return Section("categories", "Out-of-distribution categories", text, figures, None if figures else remedy)


def _pools(study: Study) -> Section:
    figures = tuple(pool_figure(study, *pair) for pair in pool_pairs(study))
    text = (
        "The shared pool has images that all subjects saw; a subject's own pool has more: in the release about five times as "
        "many to train on."
    )
    both = [f"{family}.*-ridgecv" for family in (pool_names()["shared"], pool_names()["persubject"])]
    remedy = _second_of_pair(study, "No model has scores on both pools.", _other_pool, both)
    return Section("pools", "Shared or per-subject training images", text, figures, None if figures else remedy)


def _compared(study: Study, correction: Correction) -> Section:
    compared = [compare_models(study, variant) for variant in study.main_variants]
    compared = correction.apply(compared)
    figures = tuple(comparison_figure(study, one) for one in compared if one.pairs)
    problems = tuple(dict.fromkeys(problem for one in compared for problem in one.problems))
    text = f"Differences are paired: both models' scores were resampled with the same test stimuli. Level: {LEVEL:g}."
    for one in compared:
        notes = dict.fromkeys(
            note for comparison in one.pairs.values() for note in comparison.notes if note != UNIT_NOTE
        )
        text += "".join(f" {one.variant.label}: {note}" for note in notes)
    remedy = None if figures else _second_model(study, {one.variant for one in compared})
    return Section("compared", "Models compared", text, figures, remedy, problems=problems)


def _second_model(study: Study, comparable: Set[Variant]) -> Remedy:
    """Another model of the study on what the best one was scored on; a new one where there is none."""
    text = "A comparison needs two models with scores on one benchmark. Score another one:"
    cells = {m: [(v, r) for own, v, r in study.cells if own == m and v in comparable] for m in study.models}
    first = next((model for model in study.models if cells[model]), None)
    if first is not None:
        for model in study.models:
            missing = [(variant, region) for variant, region in cells[first] if (variant, region) not in cells[model]]
            if missing:
                names = [variant.identifier(region) for variant, region in missing[:MOST_NAMES]]
                return _to_run(study, text, names, study.requested(model))
    known = {name for result in study.results for name in (result.model, result.requested_model)}
    other = next((name for name in SECOND_MODELS if name not in known), SECOND_MODELS[0])
    names = [variant.identifier(region) for variant, region in cells.get(first, ())[:MOST_NAMES]]
    return _to_run(study, text, names or ["headline"], other)


def _checks(study: Study) -> Section:
    found = penalties(study)
    figures = [alpha_figure(study, found)] if found else []
    has_counts = any(u.n_neuroids is not None for r in study.cells.values() for u in r.by_subject().values())
    if has_counts:
        figures.append(voxel_figure(study))
    edges = tuple(penalty for penalty in found if penalty.at_edge)
    text = "What to look at before believing a score."
    remedy = None
    if not figures:
        remedy = _to_run(study, "There are neither penalties nor counts of voxels. Score:", ["headline"])
    return Section("checks", "Penalties and voxels", text, tuple(figures), remedy, edges=edges)


def _to_run(study: Study, text: str, benchmarks: Sequence[str], requested: str | None = None) -> Remedy:
    """A command for the model that was asked for as ``requested``; None for the best one."""
    requested = requested or study.requested(study.models[0])
    words = ["laion-score", "score", *words_to_score(requested), *benchmarks]
    words += ["--results", str(study.path), *_dataset_option(study)]
    return Remedy(text, shlex.join(words))


def _dataset_option(study: Study) -> list[str]:
    data = study.dataset
    where = data.get("root") if data.get("name") not in ("simulated", "published") else data["name"]
    return ["--dataset", str(where)] if where else []
