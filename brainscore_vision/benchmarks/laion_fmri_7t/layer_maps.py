"""Which layer of a network predicts which region, on training images alone; what was found is kept beside the kernels."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, StimulusPool, SubjectTask
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import FoldsPlan, Plan
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import (
    noticing_changes,
    preprocessing_digest,
    structure_digest,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import replacing
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import ENGINE_VERSION, ModelIdentity, digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.comparing import COMPARISONS, N_DRAWS
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import VERSION, LayerMap
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.listing import Layer, list_layers
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.mapping import committed_to
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.mapping import map_layers as map_layers_of_tasks
from brainscore_vision.data.laion_fmri_7t.constants import FOLD_FAMILIES, SUBJECTS
from brainscore_vision.data.laion_fmri_7t.source import Dataset, open_dataset

from .benchmark import make_tasks, stimulus_pool, warn_once_of_simulation
from .identifiers import DEFAULT_THRESHOLD, STORED_REGIONS, Cell, IdentifierError
from .networks.finding import find_model
from .networks.network import AUTO, Network

REGIONS = ("V1", "V2", "V4", "IT")

TOO_LARGE = "too_large"
NO_SAY = "; {} had no say, whose features need more disk than is free or allowed (--max-spool)"
BROKEN = "broken"
LEFT_OUT = "; {} had no say: {}"
CHOICE_SPLIT = "tau"
"""Layers are chosen on the training images of this split of the shared pool."""

_logger = logging.getLogger(__name__)


def map_layers(
    model,
    regions: Sequence[str] = REGIONS,
    layers: str | Sequence[str] = "blocks",
    split: str = "tau",
    pool: str = "shared",
    *,
    subjects: Sequence[str] = SUBJECTS,
    noise_ceiling_threshold: float = DEFAULT_THRESHOLD,
    metric: str = "ridgecv",
    dataset=None,
    engine: EngineOptions | None = None,
    say: Callable[[str], None] = _logger.info,
) -> LayerMap:
    """Score layers of a network on the training images of a split; no response to a test image is used.

    Parameters
    ----------
    model : str, torch.nn.Module or brainscore_vision.model_interface.BrainModel
        What :func:`score_model` takes, with a PyTorch network in it. Regions that it has layers for play no part.
    regions : sequence of str
        V1, V2, V3, V4, IT; regions of interest and their categories, which the map has under their own names (FFA1), so that
        a model commits to them with ``layers=map.best`` and a benchmark asks for them with ``record="FFA1"``.
    layers : str or sequence of str
        ``blocks`` (residual blocks, transformer layers; of other networks, what follows each layer with weights), ``all``,
        or names and patterns of names (``layer4.*``).
    split : str
        Whose training images: a split with one training side, such as ``tau``.
    pool : str
        ``shared`` or ``persubject``.
    subjects : sequence of str
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it.
    metric : str
        ``ridgecv`` (leave-one-out predictions), ``rdm`` or ``cka``; the last two for the shared pool.
    dataset : str, pathlib.Path or Dataset, optional
        As for :func:`score_model`.
    engine : EngineOptions, optional
        ``max_spool`` is the disk space that features may take at once.
    say : callable, optional
        Called with a sentence that says how many passes over the images there will be.

    Returns
    -------
    LayerMap
        From the store, without any pass, if the same network was mapped on the same data before.

    Raises
    ------
    IdentifierError
        A region, split, pool or metric that there is not.
    ModelSourceError
        No such model, or a model without a network.
    UnmappedRegionError
        A pattern that matches no layer.
    """
    engine = engine if engine is not None else EngineOptions()
    regions, subjects = _names(regions), _names(subjects)
    cells = [_cell(region, split, pool, subjects, noise_ceiling_threshold, metric) for region in dict.fromkeys(regions)]
    found = find_model(model)
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    tasks = [_as_recorded(task) for cell in cells for task in make_tasks(cell, opened)]
    recorded = {task.region: task.load_responses.region for task in tasks[::-1]}
    for task in tasks:
        if (other := recorded[task.region]) != task.load_responses.region:
            raise IdentifierError(
                f"A map has one layer for each region that models record; {other} and {task.load_responses.region} are both "
                f"recorded as {task.region}. Make a map of each."
            )
    if opened.is_simulated:
        warn_once_of_simulation(opened.name)
    about = {"split": split, "pool": pool}
    return _kept_map(found.network(), tasks, layers, metric, opened, engine, say, about)


def layers_of(model) -> tuple[str, list[Layer]]:
    """Identifier and layers of a model's network, in the order in which they answer; shows it a few made images."""
    network = find_model(model).network()
    return network.identifier, list_layers(_bare(network))


def best_layers(model, regions: Sequence[str] = REGIONS, **options) -> dict[str, str]:
    """Region to the layer that :func:`map_layers` finds best on average over subjects; ``options`` as there."""
    return map_layers(model, regions, **options).best


def with_best_layers(
    network: Network,
    plans: Sequence[Plan | FoldsPlan],
    dataset: Dataset,
    engine: EngineOptions | None = None,
    layers: str | Sequence[str] = "blocks",
    say: Callable[[str], None] = _logger.warning,
):
    """Choose a layer for each benchmark without its test images.

    A layer is chosen on the shared pool's training images of the split ``tau``, without those that the benchmark at hand (of a
    mean over folds: the fold) tests on in any subject. So one layer serves a region in tau, ood and its kinds, in both pools'
    families where the images are the same, and a fold may have another one. rdm-pearson and cka test on all of these images and
    fit nothing: their layer is chosen on test images, and the Score says so.

    Parameters
    ----------
    network : Network
    plans : sequence of Plan or FoldsPlan
        On ``dataset``.
    dataset : Dataset
    engine : EngineOptions, optional
    layers, say
        As for :func:`map_layers`.

    Returns
    -------
    model : brainscore_vision.model_interface.BrainModel
    plans : list of Plan or FoldsPlan
        The same; their tasks ask the model for the layers that were chosen.
    """
    engine = engine if engine is not None else EngineOptions()
    pool, train = stimulus_pool(dataset, "shared"), tuple(dataset.split_ids("shared", CHOICE_SPLIT)[0])
    single = [fold for plan in plans for fold in (plan.folds if isinstance(plan, FoldsPlan) else (plan,))]
    choices = {id(plan): _Choice.of(plan, pool, train) for plan in single}
    together: dict = defaultdict(dict)
    for choice in choices.values():  # one map serves all regions that have the same training images
        together[choice.shared_with].setdefault(choice.region, choice.tasks)
    best = {}
    for key, of_region in together.items():
        tasks = [task for tasks in of_region.values() for task in tasks]
        about = {"split": CHOICE_SPLIT, "pool": "shared"}
        found = _kept_map(network, tasks, layers, "ridgecv", dataset, engine, say, about)
        best.update({(key, region): (layer, _no_say(found)) for region, layer in found.best.items()})
    names: dict[tuple[str, str], str] = {}  # region and layer to what the model calls them
    chosen = {}
    for plan in single:
        choice = choices[id(plan)]
        layer, no_say = best[choice.shared_with, choice.region]
        first = not any(region == choice.region for region, _ in names)
        name = names.setdefault((choice.region, layer), choice.region if first else f"{choice.region} ({layer})")
        chosen[id(plan)] = replace(
            plan,
            tasks=tuple(replace(task, model_region=name) for task in plan.tasks),
            facts={
                **plan.facts,
                "layers": {choice.region: layer},
                "layer_choice": AUTO,
                "layers_chosen": choice.says + no_say,
            },
        )
    model = network.commit({name: layer for (_, layer), name in names.items()}, AUTO)
    return model, [
        replace(plan, folds=tuple(chosen[id(fold)] for fold in plan.folds))
        if isinstance(plan, FoldsPlan)
        else chosen[id(plan)]
        for plan in plans
    ]


@dataclass(frozen=True)
class _Choice:
    """What one benchmark, or fold of one, chooses its layer on.

    Attributes
    ----------
    region : str
        As models record it; a region of interest, whose layer is its own.
    tasks : tuple of SubjectTask
    says : str
        What a Score says of it.
    """

    region: str
    tasks: tuple[SubjectTask, ...]
    says: str

    @classmethod
    def of(cls, plan: Plan, pool: StimulusPool, train: tuple[str, ...]) -> _Choice:
        region = _as_recorded(plan.tasks[0]).region
        tested = all(set(train) <= set(task.test_ids) for task in plan.tasks)
        # people's signals are alike: what one of them is tested on, no one's responses may speak for
        test = set() if tested else {stimulus_id for task in plan.tasks for stimulus_id in task.test_ids}
        kept = tuple(stimulus_id for stimulus_id in train if stimulus_id not in test)
        only_training = {"train_ids": kept, "test_ids": (), "bootstrap_groups": None, "load_halves": None}
        tasks = tuple(replace(task, region=region, pool=pool, **only_training) for task in plan.tasks)
        also = "all of which are test images here" if tested else "none of which is a test image here"
        says = f"by leave-one-out predictions of {len(kept)} shared training images of {CHOICE_SPLIT}, {also}"
        return cls(region, tasks, says)

    @property
    def shared_with(self) -> tuple:
        """Equal for choices that can be made together: of regions that are recorded as themselves, or of the same voxels."""
        return tuple(
            (
                task.subject,
                task.train_ids,
                task.load_responses.noise_ceiling_threshold,
                None if task.load_responses.region == self.region else task.load_responses.region,
            )
            for task in self.tasks
        )


def _no_say(found: LayerMap) -> str:
    """Which layers could not be chosen, and why."""
    too_large = found.facts.get(TOO_LARGE, ())
    said = NO_SAY.format(", ".join(too_large)) if too_large else ""
    return said + "".join(
        LEFT_OUT.format(name, found.skipped[name].rstrip(".")) for name in found.facts.get(BROKEN, ())
    )


def _bare(network: Network):
    """A BrainModel without regions."""
    return committed_to((), network.identifier, network.activations_model, network.visual_degrees)


def _kept_map(network: Network, tasks, layers, metric: str, dataset: Dataset, engine, say, about: dict) -> LayerMap:
    """The map of tasks, from the store if it is there."""
    network.check()
    model = _bare(network)
    path = _place(model, tasks, layers, metric, dataset, engine)
    found = None if path is None else _read(path)
    if found is None:
        found = map_layers_of_tasks(model, tasks, layers, metric, engine, say, dataset=dataset.describe(), **about)
        if path is not None and TOO_LARGE not in found.facts:  # there may be more disk the next time
            with replacing(path) as scratch:
                scratch.write_text(json.dumps(found.as_json()))
    return found


def _cell(region: str, split: str, pool: str, subjects, threshold: float, metric: str) -> Cell:
    if metric not in COMPARISONS:
        raise IdentifierError(f"Layers are compared by {', '.join(COMPARISONS)}; received {metric!r}.")
    if metric != "ridgecv" and pool != "shared":
        raise IdentifierError(
            f"{metric} compares all subjects on the same images and exists for the shared pool only; received {pool!r}."
        )
    if split in FOLD_FAMILIES:
        raise IdentifierError(
            f"Layers are chosen on the training images of one split, and each of {split}'s folds has its own; name one of "
            f"them, e.g. {split}_0."
        )
    return Cell(region, split, "ridgecv", pool=pool, subjects=subjects, noise_ceiling_threshold=threshold)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _as_recorded(task: SubjectTask) -> SubjectTask:
    """A layer is chosen for the region that models record, and of a region of interest for itself."""
    return replace(task, region=task.model_region) if task.region in STORED_REGIONS else task


def _place(model, tasks, layers, metric: str, dataset: Dataset, engine: EngineOptions) -> Path | None:
    """File that a map is kept in: its name stands for all that the map depends on. None if it is not to be kept."""
    if not engine.store or engine.random_features != "refuse":
        return None
    with noticing_changes(model):  # answers come first, as they give lazy layers their weights
        answers = [[layer.name, layer.digest] for layer in list_layers(model)]
    described = {
        "versions": [ENGINE_VERSION, VERSION, N_DRAWS],
        "model": ModelIdentity.of(model).key,
        "network": network_digest(model),
        "answers": answers,
        "preprocessing": preprocessing_digest(model),
        "structure": structure_digest(model, steady=True),
        "layers": layers if isinstance(layers, str) else list(layers),
        "metric": metric,
        "exact": engine.exact,
        "dataset": dataset.fingerprint(),
        "tasks": [
            [task.subject, task.pool.name, task.load_responses.region, task.load_responses.noise_ceiling_threshold]
            for task in tasks
        ],
        "training": [digest(task.train_ids) for task in tasks],
        "images": [sorted(content.items()) for content in _images(tasks)],
    }
    return engine.layer_maps / f"{digest(described)}.json"


def _images(tasks: Sequence[SubjectTask]) -> list[Mapping[str, str | None]]:
    """Hashes of the training images: a dataset's fingerprint says of images in a folder how large they are."""
    return [task.pool.content_hashes(task.train_ids) for task in {task.train_ids: task for task in tasks}.values()]


def _read(path: Path) -> LayerMap | None:
    try:
        return LayerMap.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        _logger.warning("%s cannot be read (%s): layers are scored again.", path, error)
        return None
