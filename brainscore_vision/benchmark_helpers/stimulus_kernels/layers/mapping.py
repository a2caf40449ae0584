"""From a network to layer × region × subject scores, in as few passes over the images as disk space allows.

A layer map records the images of a whole pool, those of the test side among them, because its kernels are then the ones that
scores are made of: a score with a chosen layer needs no further pass, whatever its split. Nothing of a test image reaches a
layer's score: of each kernel only the rows and columns of training stimuli are used, and of the responses only the training
stimuli's are kept when they are read.
"""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..engine import evaluate, kernel_name, missing_kernels
from ..errors import ModelOutputError, StimulusKernelError, UnmappedRegionError
from ..features.recording import library
from ..options import EngineOptions
from ..pool import StimulusPool
from ..statistics.bootstrap import percentile_interval
from ..statistics.overlap import note_on_subjects, overlap_widening
from ..tasks import Responses, SubjectResult, SubjectTask
from ..wording import asked_as
from .choosing import choose
from .comparing import COMPARISONS, values_and_draws
from .layer_map import LayerMap, NeuroidLayers

if TYPE_CHECKING:
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from .listing import Layer, list_layers

FREE_SHARE = 0.9
"""Of the free disk space, what features may take."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResponses:
    """Reads responses once, and keeps those of training stimuli alone; equal settings are equal loaders."""

    load: Callable[[], Responses]
    train_ids: tuple[str, ...]
    _kept: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self) -> Responses:
        if not self._kept:
            self._kept["responses"] = self.load().select(self.train_ids)
        return self._kept["responses"]


@dataclass(frozen=True)
class Passes:
    """Layers that are recorded together, pass by pass.

    Attributes
    ----------
    pool : StimulusPool
    groups : tuple of tuple of Layer
        Each within ``limit`` bytes on disk.
    kept : tuple of Layer
        Those whose kernels are in the store.
    too_large : tuple of Layer
        Those that need more than ``limit`` alone.
    limit : int
        Bytes.
    """

    pool: StimulusPool
    groups: tuple[tuple[Layer, ...], ...]
    kept: tuple[Layer, ...]
    too_large: tuple[Layer, ...]
    limit: int

    def __str__(self) -> str:
        n, sizes = len(self.pool.stimulus_ids), [self.bytes_of(group) for group in self.groups]
        kept = f"{len(self.kept)} layers have kernels of {self.pool.name} already. " if self.kept else ""
        if not self.groups:
            return kept.strip()
        return (
            f"{kept}{sum(map(len, self.groups))} layers are recorded in {len(self.groups)} "
            f"pass{'es' if len(self.groups) > 1 else ''} over the {n:,} images of {self.pool.name}; features wait on disk, "
            f"{sum(sizes) / 1e9:.3g} GB in all and {max(sizes) / 1e9:.3g} GB at once ({self.limit / 1e9:.3g} GB allowed)."
        )

    def bytes_of(self, layers: Sequence[Layer]) -> int:
        """Features of layers on disk."""
        return len(self.pool.stimulus_ids) * sum(layer.bytes_per_image for layer in layers)


def map_layers(
    model,
    tasks: Sequence[SubjectTask],
    layers: str | Sequence[str] = "blocks",
    metric: str = "ridgecv",
    options: EngineOptions | None = None,
    say: Callable[[str], None] = _logger.info,
    **facts,
) -> LayerMap:
    """Score a network's layers on the training stimuli of tasks.

    Parameters
    ----------
    model : brainscore_vision.model_helpers.brain_transformation.ModelCommitment
        Of a PyTorch network; its own ``region_layer_map`` plays no part.
    tasks : sequence of SubjectTask
        One per region and subject; of each, the pool, the training stimuli and the responses count.
    layers : str or sequence of str
        "all", "blocks", or names and patterns of names; see :mod:`.choosing`.
    metric : {"ridgecv", "rdm", "cka"}
        See :mod:`.comparing`.
    options : EngineOptions, optional
    say : callable, optional
        Called with a sentence before each pool is recorded: how many passes, and how much disk.
    **facts
        What the map should say of the data.

    Returns
    -------
    LayerMap

    Raises
    ------
    StimulusKernelError
        An unknown metric, no training stimuli, not one task for each region and subject.
    UnmappedRegionError
        A model without a network, a pattern that matches no layer, or no layer that can be scored.
    """
    options = options if options is not None else EngineOptions()
    comparison, tasks = _comparison(metric), list(tasks)
    regions, subjects = _check_tasks(tasks)
    tasks = [
        replace(
            task,
            test_ids=(),
            bootstrap_groups=None,
            metric=comparison,
            load_responses=TrainingResponses(task.load_responses, task.train_ids),
            load_halves=None,
        )
        for task in tasks
    ]
    for region in regions:
        comparison.check_tasks([task for task in tasks if task.region == region])
    listed = list_layers(model)
    choice = choose(listed, layers, model.identifier)
    skipped, scored = dict(choice.skipped), {}
    usable = {layer.name for layer in choice.layers}
    order, best, too_large = [layer.name for layer in choice.layers], {}, []
    results: dict[str, dict[tuple[str, str], SubjectResult]] = defaultdict(dict)
    for pool in dict.fromkeys(task.pool for task in tasks):
        of_pool = [task for task in tasks if task.pool == pool]
        left = [layer for layer in choice.layers if layer.name not in skipped]
        passes = plan_passes(model, of_pool, left, options)
        say(str(passes))
        for layer in passes.too_large:
            too_large.append(layer.name)
            needed, allowed = passes.bytes_of([layer]), passes.limit
            skipped[layer.name] = (
                f"its features need {needed / 1e9:.3g} GB on disk, where {allowed / 1e9:.3g} GB are allowed "
                f"({asked_as('max_spool', '--max-spool')})"
            )
        for group in filter(None, (passes.kept, *passes.groups)):
            for name, task, result in _evaluated(model, of_pool, [layer.name for layer in group], skipped, options):
                results[name][task.region, task.subject] = result
                if len(results[name]) == len(tasks):  # values per neuroid are not kept for each layer
                    of_layer = results.pop(name)
                    _keep_best(best, of_layer, order.index(name))
                    scored[name] = _summary(comparison, of_layer, regions, subjects)
    if too_large:
        facts["too_large"] = too_large
    broken = [layer.name for layer in listed if layer.name in skipped and (layer.is_broken or layer.name in usable)]
    if broken := [name for name in broken if name not in too_large]:
        facts["broken"] = broken
    # layers are compared on training stimuli
    compared = [replace(task, test_ids=task.train_ids, train_ids=()) for task in tasks if task.region == regions[0]]
    notes = note_on_subjects(overlap_widening(compared))
    return _layer_map(model, order, scored, skipped, best, regions, subjects, metric, facts, notes)


def plan_passes(model, tasks: Sequence[SubjectTask], layers: Sequence[Layer], options: EngineOptions) -> Passes:
    """Which layers are recorded together, of tasks of one pool: each goes where there is room for it first."""
    pool = tasks[0].pool
    folder = next(path for path in (options.spool, *options.spool.parents) if path.exists())
    limit = min(options.max_spool, int(FREE_SHARE * shutil.disk_usage(folder).free))
    kept, groups, too_large, missing = [], [], [], None
    if options.store:
        of_layers = [replace(tasks[0], model_region=layer.name) for layer in layers]
        missing = set(missing_kernels(_with_regions(model, [layer.name for layer in layers]), of_layers, options))
    for layer in layers:
        size = len(pool.stimulus_ids) * layer.bytes_per_image
        if missing is not None and kernel_name(layer.name, pool) not in missing:
            kept.append(layer)
        elif size > limit:
            too_large.append(layer)
        else:
            group = next((group for group in groups if group[0] + size <= limit), None)
            if group is None:
                groups.append(group := [0, []])
            group[0] += size
            group[1].append(layer)
    return Passes(pool, tuple(tuple(group) for _, group in groups), tuple(kept), tuple(too_large), limit)


def committed_to(names: Sequence[str], identifier: str, activations_model, visual_degrees: float) -> ModelCommitment:
    """A network with its layers as regions: each is recorded under its own name, as a layer that a region is mapped to."""
    return library().ModelCommitment(
        identifier=identifier,
        activations_model=activations_model,
        layers=list(names) or [""],
        region_layer_map={name: name for name in names},
        visual_degrees=visual_degrees,
    )


def _with_regions(model: ModelCommitment, names: Sequence[str]) -> ModelCommitment:
    return committed_to(names, model.identifier, model.activations_model, model.visual_degrees())


def _evaluated(
    model, tasks: Sequence[SubjectTask], names: list[str], skipped: dict[str, str], options: EngineOptions
) -> Iterator[tuple[str, SubjectTask, SubjectResult]]:
    """Results of layers; one that cannot be scored goes to ``skipped``, and the others are tried again without it."""
    of_layers = [(name, task) for name in names for task in tasks]
    moved, left = [replace(task, model_region=name) for name, task in of_layers], dict.fromkeys(names, len(tasks))
    try:
        for position, result in evaluate(_with_regions(model, names), moved, options):
            name, task = of_layers[position]
            left[name] -= 1
            yield name, task, result
    except (ModelOutputError, UnmappedRegionError) as error:
        # which layer it was is not known where several were recorded: halves tell, and what has a kernel needs no pass
        bad = [name for name, count in left.items() if count]
        if len(bad) == 1:
            _logger.warning("%s is left out: %s", bad[0], error)
            skipped[bad[0]] = str(error)
            return
        for half in (bad[: len(bad) // 2], bad[len(bad) // 2 :]):
            yield from _evaluated(model, tasks, half, skipped, options)


def _summary(metric, results: dict[tuple[str, str], SubjectResult], regions, subjects) -> dict:
    """Scores, intervals and intervals of means of one layer, and notes."""
    scores, intervals, of_means = [], [], []
    for region in regions:
        found = values_and_draws(metric, [results[region, subject] for subject in subjects])
        scores.append([value for value, _ in found])
        intervals.append([percentile_interval(draws) for _, draws in found])
        of_means.append(percentile_interval(np.mean([draws for _, draws in found], axis=0)))
    notes = dict.fromkeys(note for result in results.values() for note in result.notes)
    return {"scores": scores, "intervals": intervals, "mean_intervals": of_means, "notes": list(notes)}


def _keep_best(best: dict, results: dict[tuple[str, str], SubjectResult], layer: int) -> None:
    """Of each neuroid, the layer of the largest correlation so far, by region and subject; layers come in any order."""
    for key, result in results.items():
        if result.correlations is None:  # compares regions as wholes
            continue
        if key not in best:
            n = len(result.correlations)
            kinds = result.neuroids.select_dtypes(exclude="floating")
            best[key] = np.full(n, np.iinfo(int).max), np.full(n, -np.inf), kinds
        layers, correlations, _ = best[key]
        better = result.correlations > correlations
        better |= (result.correlations == correlations) & (layer < layers)
        layers[better], correlations[better] = layer, result.correlations[better]


def _layer_map(
    model, order, scored: dict, skipped: dict, best: dict, regions, subjects, metric: str, facts: dict, notes
) -> LayerMap:
    names = [name for name in order if name in scored and name not in skipped]
    if not names:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise UnmappedRegionError(f"At least one layer must be scored; of {model.identifier}, none was. {reasons}")
    arrays = (
        np.array([scored[name][kind] for name in names], dtype=float)
        for kind in ("scores", "intervals", "mean_intervals")
    )
    return LayerMap.of_arrays(
        model.identifier,
        (names, regions, subjects),
        *arrays,
        skipped=skipped,
        facts={"metric": metric, "score": COMPARISONS[metric].describes, **facts},
        notes=tuple(dict.fromkeys([*notes, *(note for name in names for note in scored[name]["notes"])])),
        neuroids=tuple(
            NeuroidLayers(*key, np.array([names.index(order[i]) for i in layers]), correlations, coordinates)
            for key, (layers, correlations, coordinates) in best.items()
        ),
    )


def _comparison(metric: str):
    if metric not in COMPARISONS:
        raise StimulusKernelError(f"Layers are compared by {', '.join(COMPARISONS)}; received {metric!r}.")
    return COMPARISONS[metric]()


def _check_tasks(tasks: Sequence[SubjectTask]) -> tuple[list[str], list[str]]:
    """Regions and subjects of tasks, in their order."""
    regions = list(dict.fromkeys(task.region for task in tasks))
    subjects = list(dict.fromkeys(task.subject for task in tasks))
    pairs = {(task.region, task.subject) for task in tasks}
    if not tasks or len(pairs) != len(tasks) or len(pairs) != len(regions) * len(subjects):
        raise StimulusKernelError(
            f"Layers are scored on one task for each region and subject; received {len(tasks)} tasks of regions "
            f"{', '.join(regions) or 'none'} and subjects {', '.join(subjects) or 'none'}."
        )
    empty = next((task for task in tasks if not task.train_ids), None)
    if empty is not None:
        raise StimulusKernelError(
            f"Layers are chosen on training stimuli; {empty.region} of {empty.subject} has none here. Choose a split that has."
        )
    return regions, subjects
