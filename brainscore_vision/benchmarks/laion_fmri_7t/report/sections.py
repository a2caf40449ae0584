"""The questions that a report answers, in order; one without data says what to run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

from ..identifiers import ALL_REGIONS
from .comparison_figures import LEVEL, Compared, compare_models, comparison_figure
from .diagnostic_figures import Penalty, alpha_figure, penalties, voxel_figure
from .drawing import Figure
from .ood_figures import ood_figure, ood_groups
from .pair_figures import pool_figure, pool_pairs, split_figure, split_pairs
from .score_figures import ceiling_figure, drawn_variants, score_figure
from .study import OOD_PREFIX, Study, pool_names

SECOND_MODELS = ("pixels", "alexnet")
"""What to compare a single model with: the first needs no download."""


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


def section_makers(study: Study) -> list[Callable[[], Section]]:
    """One callable per section, in the order of the page; some take seconds."""
    return [
        lambda make=make: make(study) for make in (_scores, _ceilings, _gap, _categories, _pools, _compared, _checks)
    ]


def _scores(study: Study) -> Section:
    variants = drawn_variants(study)
    left_out = len(study.variants) - len(variants)
    text = "One figure per split, metric and pool; all of them share colours and markers of subjects."
    if left_out:
        text += " OOD categories have their own section, and single folds are in the table."
    text, remedy = (
        (text, None) if variants else ("", _to_run(study, "There are no scores of known benchmarks.", ["headline"]))
    )
    return Section("scores", "Scores by region", text, tuple(score_figure(study, v) for v in variants), remedy)


def _ceilings(study: Study) -> Section:
    text = "A ceiled score divides what a model reaches by what the measurements allow."
    if not study.cells:
        return Section("ceilings", "Ceilings", text, remedy=_to_run(study, "There are no scores yet.", ["headline"]))
    return Section("ceilings", "Ceilings", text, (ceiling_figure(study),))


def _gap(study: Study) -> Section:
    figures = tuple(split_figure(study, *pair) for pair in split_pairs(study))
    text = "The tau split tests on natural images like those of training, ood on images of nine unusual kinds."
    remedy = _to_run(
        study,
        "No model has scores on both splits. Score the missing one, for example:",
        _counterparts(study, "tau", "ood") or ["LAION_fMRI.*-tau-ridgecv", "LAION_fMRI.*-ood-ridgecv"],
    )
    return Section("gap", "The out-of-distribution gap", text, figures, None if figures else remedy)


def _counterparts(study: Study, *splits: str) -> list[str]:
    """Benchmarks that the first model lacks to have both splits."""
    model, missing = study.models[0], []
    for own, variant, region in study.cells:
        if own == model and variant.cell.split in splits:
            names = (variant.with_split(split) for split in splits)
            missing += [other.identifier(region) for other in names if (model, other, region) not in study.cells]
    return missing[:8]


def _categories(study: Study) -> Section:
    figures = tuple(ood_figure(study, group) for group in ood_groups(study))
    text = "Each category's images were tested by themselves, with the model fitted on natural images."
    regions = [region for region in ALL_REGIONS if any(region == own for _, _, own in study.cells)] or ["IT"]
    names = [f"{pool_names()['shared']}.{regions[-1]}-{OOD_PREFIX}{kind}-ridgecv" for kind in OOD_TYPES]
    remedy = _to_run(study, "No benchmark of a single category was scored. For one region:", names)
    return Section("categories", "Out-of-distribution categories", text, figures, None if figures else remedy)


def _pools(study: Study) -> Section:
    figures = tuple(pool_figure(study, *pair) for pair in pool_pairs(study))
    text = "The shared pool has images that all subjects saw; a subject's own pool has about five times as many."
    family = pool_names()
    remedy = _to_run(
        study,
        "No model has scores on both pools. Score both:",
        [f"{family['shared']}.*-ridgecv", f"{family['persubject']}.*-ridgecv"],
    )
    return Section("pools", "Shared or per-subject training images", text, figures, None if figures else remedy)


def _compared(study: Study) -> Section:
    compared = [compare_models(study, variant) for variant in drawn_variants(study) if variant.cell.metric != "cka"]
    figures = tuple(comparison_figure(study, one) for one in compared if one.pairs)
    problems = tuple(dict.fromkeys(problem for one in compared for problem in one.problems))
    text = f"Differences are paired: both models' scores were resampled with the same test stimuli. Level: {LEVEL:g}."
    remedy = None if figures else _second_model(study, compared)
    return Section("compared", "Models compared", text, figures, remedy, problems=problems)


def _second_model(study: Study, compared: Sequence[Compared]) -> Remedy:
    first = study.results[0]
    other = next((name for name in SECOND_MODELS if name not in (first.model, first.requested_model)), SECOND_MODELS[0])
    text = "A comparison needs two models with scores on one ridge or rdm-pearson benchmark. Score another one:"
    names = [r.benchmark for r in study.results if r.model == first.model][:4]
    names = names if compared else ["headline"]
    return _to_run(study, text, names, model=other)


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


def _to_run(study: Study, text: str, benchmarks: Sequence[str], model: str | None = None) -> Remedy:
    data = study.dataset
    where = data.get("root") if data.get("name") not in ("simulated", "published") else data["name"]
    words = ["laion-score", "score", model or study.results[0].requested_model, *benchmarks]
    words += ["--results", str(study.path), *(["--dataset", str(where)] if where else [])]
    return Remedy(text, shlex.join(words))
