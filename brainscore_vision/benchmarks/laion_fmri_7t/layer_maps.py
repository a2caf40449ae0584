"""Which layer of a network predicts which region, on training images alone; what was found is kept beside the kernels."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, SubjectTask
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import preprocessing_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import replacing
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.identity import ENGINE_VERSION, ModelIdentity, digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.comparing import COMPARISONS, N_DRAWS
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import VERSION, LayerMap
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.listing import list_layers, network_of
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.mapping import map_layers as map_layers_of_tasks
from brainscore_vision.data.laion_fmri_7t.constants import FOLD_FAMILIES, SUBJECTS
from brainscore_vision.data.laion_fmri_7t.dataset import Dataset
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from .benchmark import make_tasks
from .identifiers import DEFAULT_THRESHOLD, Cell, IdentifierError
from .networks.sources import locate_model
from .scoring import check_model

REGIONS = ("V1", "V2", "V4", "IT")

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
    model : str or brainscore_vision.model_interface.BrainModel
        What :func:`score_model` takes, with a PyTorch network in it. Its own region_layer_map plays no part.
    regions : sequence of str
        V1, V2, V3, V4, IT.
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
    UnmappedRegionError
        A model without a network, or a pattern that matches no layer.
    """
    engine = engine if engine is not None else EngineOptions()
    regions, subjects = _names(regions), _names(subjects)
    cells = [_cell(region, split, pool, subjects, noise_ceiling_threshold, metric) for region in dict.fromkeys(regions)]
    make = locate_model(model) if isinstance(model, str) else lambda: model
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    tasks = [_as_recorded(task) for cell in cells for task in make_tasks(cell, opened)]
    made = check_model(make())
    facts = {"split": split, "pool": pool, "dataset": opened.describe(), "threshold": noise_ceiling_threshold}
    path = _place(made, tasks, layers, metric, facts, engine)
    found = None if path is None else _read(path)
    if found is None:
        found = map_layers_of_tasks(made, tasks, layers, metric, engine, say, **facts)
        if path is not None:
            with replacing(path) as scratch:
                scratch.write_text(json.dumps(found.as_json()))
    return found


def best_layers(model, regions: Sequence[str] = REGIONS, **options) -> dict[str, str]:
    """Region to the layer that :func:`map_layers` finds best on average over subjects; ``options`` as there."""
    return map_layers(model, regions, **options).best


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
    """A layer is chosen for the region that models record."""
    return replace(task, region=task.model_region)


def _place(model, tasks, layers, metric: str, facts: dict, engine: EngineOptions) -> Path | None:
    """File that a map is kept in: its name stands for all that the map depends on. None if it is not to be kept."""
    from torch.nn.parameter import is_lazy

    network = network_of(model)._model
    if not engine.store or engine.random_features != "refuse":
        return None
    if any(is_lazy(parameter) for parameter in network.parameters()):
        list_layers(model)  # the first images that it is shown give it its weights
    described = {
        "versions": [ENGINE_VERSION, VERSION, N_DRAWS],
        "model": ModelIdentity.of(model).key,
        "network": network_digest(model),
        "preprocessing": preprocessing_digest(model),
        "layers": layers if isinstance(layers, str) else list(layers),
        "metric": metric,
        "tasks": [[task.region, task.subject] for task in tasks],
        **{**facts, "dataset": facts["dataset"]["fingerprint"]},
    }
    return engine.layer_maps / f"{digest(described)}.json"


def _read(path: Path) -> LayerMap | None:
    try:
        return LayerMap.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        _logger.warning("%s cannot be read (%s): layers are scored again.", path, error)
        return None
