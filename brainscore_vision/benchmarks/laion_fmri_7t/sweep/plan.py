"""What a sweep has to do: models × benchmarks, less what the results database has already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, SubjectTask
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import FoldsPlan, Plan
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import plugin_revision
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import stage_bytes
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.released.features import DatasetModel, bind
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from ..benchmark import build
from ..identifiers import IdentifierError, parse
from ..networks.errors import ModelSourceError
from ..networks.finding import MADE, Made, code_revision, find_model, is_factory
from ..networks.network import AUTO, OWN
from ..networks.region_layers import check_region_names, layers_for
from ..networks.sources import with_whole_path
from ..scoring import build_all, resolve_all
from .errors import UnknownNamesError

PROGRAM_BYTES = 2 * 10**9
"""Memory of a worker before its model is known: Python with torch, a usual model, a batch of its features. A guess that
the first task of the model replaces by what it measures."""

SMALL, TOGETHER = 200, 100.0
"""Stimuli of a small pool, and how many subjects' scores on such pools one task may do: seconds of work. A task of one cell
of a few images would cost as much as the cell. Larger pools count by the cube, as their decompositions take time."""


@dataclass(frozen=True)
class Target:
    """A benchmark as the results database knows it.

    Attributes
    ----------
    identifier : str
        What builds it on any machine: names the dataset, folders with their whole path.
    name : str
        The same without the dataset, which the fingerprint stands for.
    version : int
    dataset_fingerprint : str
    """

    identifier: str
    name: str
    version: int
    dataset_fingerprint: str


@dataclass(frozen=True)
class ModelPlan:
    """One model's share.

    Attributes
    ----------
    model : str
        As :func:`~..networks.finding.find_model` takes it; files with their whole path.
    revision : str or None
        See :func:`~..networks.finding.code_revision`.
    todo, done : tuple of Target
    networks : frozenset of str
        Digests of the networks that ``done`` was scored with, as far as they are known.
    layers : dict, "auto" or None
        Region to layers, as for :func:`~..scoring.score_model`; None for the model's own.
    revisions : frozenset of (str or None)
        Of the model in the results that ``done`` has.
    """

    model: str
    revision: str | None
    todo: tuple[Target, ...]
    done: tuple[Target, ...]
    networks: frozenset[str] = frozenset()
    layers: Mapping | str | None = None
    revisions: frozenset[str | None] = frozenset()


@dataclass(frozen=True)
class SweepPlan:
    """All of a sweep.

    Attributes
    ----------
    models : tuple of ModelPlan
    """

    models: tuple[ModelPlan, ...]

    @property
    def n_todo(self) -> int:
        """Cells to score."""
        return sum(len(model.todo) for model in self.models)

    @property
    def n_done(self) -> int:
        """Cells that the results database has."""
        return sum(len(model.done) for model in self.models)


def check_names(
    models: Iterable[str] | Mapping[str, Mapping | str | None], benchmarks: Iterable[str], layers=None, **settings
) -> tuple[dict[str, Mapping | str | None], list[str]]:
    """Models and benchmarks in the form that everything else uses, each once.

    Parameters
    ----------
    models : iterable of str, or mapping of str to layers
        None: those that ``layers`` says.
    benchmarks : iterable of str
    layers : dict, "auto" or None
        For all models, or by model.
    **settings
        Options of benchmarks, as for :func:`~brainscore_vision.benchmarks.laion_fmri_7t.identifiers.parse`.

    Returns
    -------
    dict of str to layers
        Models, each with its own layers.
    list of str
        Benchmarks.

    Raises
    ------
    UnknownNamesError
        Names all that cannot be located. What goes wrong when a model is imported or made is not looked for.
    """
    problems, located, identifiers, regions, measured = [], {}, {}, {}, set()
    for name in benchmarks:
        try:
            cell = parse(name, **settings)
        except IdentifierError as error:
            problems.append(str(error))
        else:
            identifiers[cell.identifier] = regions[cell.model_region] = None
            measured.add(cell.region)
    given = models if isinstance(models, Mapping) else dict.fromkeys(models)
    for name, of_list in given.items():
        try:
            own = layers_for(layers, name) if of_list is None else of_list
            find_model(name).check_layers(own)
            check_region_names(own, regions, measured)
        except ModelSourceError as error:
            problems.append(str(error))
            continue
        except (Exception, SystemExit):  # noqa: BLE001 - code of others, run on import: recorded when a worker meets it
            pass
        located[with_whole_path(name)] = own
    if problems:
        raise UnknownNamesError(problems)
    return located, list(identifiers)


def make_plan(
    models: Mapping[str, Mapping | str | None] | Sequence[str],
    benchmarks: Sequence[str],
    results=None,
    again: bool = False,
    made: Mapping[str, Made] | None = None,
) -> SweepPlan:
    """Plan a sweep.

    Parameters
    ----------
    models : mapping of str to layers, or sequence of str
    benchmarks : sequence of str
        Both from :func:`check_names`.
    results : ResultsDatabase, optional
        What has been done; None for nothing.
    again : bool
        Plan what is done too.
    made : mapping of str to Made, optional
        What is known of models that were made: their results count as done whatever has become of the code.

    Raises
    ------
    DatasetError
        The dataset, a subject or a split is not there.
    """
    targets = [_target(identifier) for identifier in benchmarks]
    # of an earlier version of a model, results are there but not shown: when code is put back, they are scored again
    found = () if again or results is None else results.summaries()
    known: dict[tuple, list] = {}
    for result in found:
        known.setdefault(_key(result), []).append(result)
    plans, features = [], {}
    for model, layers in (models if isinstance(models, Mapping) else dict.fromkeys(models)).items():
        revision, scored, own = code_revision(model), {}, (made or {}).get(model)
        for target in targets:
            key = model, target.name, target.version, target.dataset_fingerprint
            same = [r for r in known.get(key, ()) if _has_layers(r, layers) and _is_of(r, model, revision, own)]
            same = [r for r in same if r.network_digest in (None, _features_now(model, target, r, features))]
            if same:
                scored[target] = same[-1]
        networks = frozenset(result.network_digest for result in scored.values()) - {None}
        revisions = frozenset(result.model_revision for result in scored.values())
        todo = tuple(target for target in targets if target not in scored)
        plans.append(ModelPlan(model, revision, todo, tuple(scored), networks, layers, revisions))
    return SweepPlan(tuple(plans))


def _is_of(result, model: str, code: str | None, made: Made | None) -> bool:
    """Whether a result is of the model that this code makes: of the same code, or of what was made now."""
    is_of_made = (result.model_revision or "").startswith(MADE)
    is_of_code = (result.model_code if is_of_made else result.model_revision) == code
    is_known = code is not None or not is_factory(model)  # of a function, nothing says that it is the same
    if is_of_code and is_known:
        return True
    if made is None:
        return False
    if made.revision is not None:  # results of earlier versions know the code and the weights alone: too little
        return result.model_revision == made.revision
    return made.network is not None and result.network_digest == made.network


def _features_now(model: str, target: Target, result, known: dict) -> str | None:
    """Digest of the features that come with a dataset; of any other model the result's own, which says nothing new."""
    sees_images, is_registered = result.visual_degrees is not None, plugin_revision(model) is not None
    if sees_images or not is_registered:  # tables of the user's are compared by their content
        return result.network_digest
    key = model, target.dataset_fingerprint
    if key not in known:
        made = find_model(model).model()
        try:
            dataset = open_dataset(parse(target.identifier).dataset)
            known[key] = network_digest(bind(made, dataset)) if isinstance(made, DatasetModel) else None
        except DatasetError:  # whoever scores it will say what is missing
            known[key] = None
    return known[key] or result.network_digest


def _has_layers(result, layers: Mapping | str | None) -> bool:
    """Whether a result is one of the layers that were asked for; of a region that they do not name, the model's own."""
    if layers is None or layers == AUTO:
        return (result.layer_choice or OWN) == (layers or OWN)
    return bool(result.layers) and all(
        _as_list(names) == _as_list(layers[region]) if region in layers else result.layer_choice == OWN
        for region, names in result.layers.items()
    )


def _as_list(names) -> list:
    return [names] if isinstance(names, str) else list(names or ())


def _target(identifier: str) -> Target:
    cell = parse(identifier)
    dataset = open_dataset(cell.dataset)
    cell = replace(cell, dataset=dataset.name)
    built = build(cell)
    built.resolve(dataset)  # subjects and splits are found now, not by a worker
    return Target(cell.identifier, replace(cell, dataset=None).identifier, built.version, dataset.fingerprint())


def _key(result) -> tuple:
    return (
        result.requested_model,
        result.benchmark,
        result.benchmark_version,
        result.dataset_fingerprint,
    )


def label_of(task: SubjectTask, labels: Mapping[str, str]) -> str:
    """What is recorded for a task; layers that are chosen (auto) are those of the measured region itself."""
    return labels.get(task.region) or labels.get(task.model_region, task.region)


def shared_work(
    identifiers: Sequence[str],
    plans: Sequence[Plan | FoldsPlan],
    labels: Mapping[str, str],
    together: float = TOGETHER,
) -> list[tuple[str, ...]]:
    """Identifiers in groups that share a kernel and a training set, so that an eigendecomposition serves all of a group.

    Parameters
    ----------
    identifiers : sequence of str
    plans : sequence of Plan or FoldsPlan
        Of their benchmarks, in order.
    labels : mapping of model region to what is recorded for it
        See :func:`~brainscore_vision.benchmark_helpers.stimulus_kernels.prepare_kernels`.
    together : float
        Small groups that follow each other are joined up to so much work.
    """
    groups: list[tuple[set, list[str], float]] = []
    for identifier, plan in zip(identifiers, plans, strict=True):
        needs = {(label_of(task, labels), task.pool.stimulus_ids, task.train_ids) for task in plan.tasks}
        size = sum(max(1.0, (len(task.pool.stimulus_ids) / SMALL) ** 3) for task in plan.tasks)
        sharing = [group for group in groups if group[0] & needs]
        groups = [group for group in groups if not group[0] & needs]
        names = [*(name for group in sharing for name in group[1]), identifier]
        groups.append((needs.union(*(group[0] for group in sharing)), names, size + sum(g[2] for g in sharing)))
    joined: list[list[str]] = []
    room = 0.0
    for _, names, size in groups:
        if size > room:
            joined.append([])
            room = together
        joined[-1] += names
        room -= size
    return list(map(tuple, joined))


def expected_bytes(plan: SweepPlan, engine: EngineOptions) -> int:
    """Memory of the largest task, as far as it is known before a model is made."""
    wanted = {target.identifier for model in plan.models for target in model.todo}
    tasks = [task for one in resolve_all(build_all(sorted(wanted)).values()) for task in one.tasks]
    compute = Compute(max_memory=engine.max_memory, exact=engine.exact)
    # as many features as stimuli: no shortcut for narrow layers
    sizes = (stage_bytes(task, 0, compute, len(task.pool.stimulus_ids)) for task in tasks)
    return PROGRAM_BYTES + max((max(size) for size in sizes), default=0)
