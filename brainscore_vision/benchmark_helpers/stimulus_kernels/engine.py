"""From models and plans to kernels, results and Scores: each image is shown once, each kernel is made once.

:class:`Run` walks over the kernels that tasks need, in the order that costs least: by pool (features of parts that later
pools need stay on disk, others go), then by recorded layer. One kernel per model is in memory at a time, so memory does not
grow with the number of layers. Scoring, preparing kernels for later and partitioning variance all walk this way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from brainscore_core.metrics import Score

from .errors import ModelOutputError, ResponsesError, StimulusKernelError
from .features.image_files import check_plain
from .features.lookup import LookupModel, check_enough, check_known
from .features.network import asked, models_in, network_digest
from .features.recording import committed_layers
from .kernels.compute import device_name
from .kernels.kernel import StimulusKernel
from .kernels.making import ModelKernels, recorder_of
from .named_rows import is_symmetric
from .options import EngineOptions
from .plan import FoldsPlan, Plan
from .pool import StimulusPart, StimulusPool
from .tasks import Responses, SubjectResult, SubjectTask
from .wording import warn_once

SOME_ROWS = 32
"""Stimuli whose responses tell one subject's or region's from another's, also where there are few neuroids or many zeros."""


@dataclass(frozen=True)
class Job:
    """A task on the stimuli that the models know.

    Attributes
    ----------
    position : int
        Of the task among those that the run was given.
    task : SubjectTask
        With the pool and the stimuli that all models have features for.
    dropped : tuple of str
        Training and test stimuli that this leaves out, sorted.
    """

    position: int
    task: SubjectTask
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelWork:
    """Jobs that need the same pool and the same layers.

    Attributes
    ----------
    pool : StimulusPool
    labels : tuple of str
        What is recorded of each model.
    jobs : tuple of Job
    """

    pool: StimulusPool
    labels: tuple[str, ...]
    jobs: tuple[Job, ...]


class Run:
    """What tasks need of one or several models. A context manager: recorded features go when it ends.

    Parameters
    ----------
    models : sequence of brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
    options : EngineOptions

    Attributes
    ----------
    jobs : list of Job
        One per task, in their order.
    compute : Compute
    """

    def __init__(self, models: Sequence, tasks: Sequence[SubjectTask], options: EngineOptions):
        for model in models:
            _check_interface(model)
        regions = [task.model_region for task in tasks]
        self._recorders = [recorder_of(model, regions, options) for model in models]
        self._makers = [
            ModelKernels(model, recorder, options, _for_others(recorder, regions))
            for model, recorder in zip(models, self._recorders, strict=True)
        ]
        # models are locked while their kernels are made: always in one order, so that two processes cannot wait for each other
        self._in_order = sorted(range(len(models)), key=lambda i: str(models[i].identifier))
        self.jobs = list(_known_stimuli(models, tasks))
        self.compute = self._makers[0].compute
        self._stack = ExitStack()
        self._same_responses: dict[tuple[str, str], str] = {}
        self._of_pairs: dict[tuple[str, str], str] = {}
        self._notes_on_noise: dict[object, tuple[str, ...]] = {}
        self._hashes: dict[StimulusPool, dict[str, str]] = {}  # of images, where a model sees some

    def __enter__(self) -> Run:
        for maker in self._makers:
            self._stack.enter_context(maker)
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    @property
    def labels(self) -> dict[str, str]:
        """Model region to the label of what is recorded for it, of the first model."""
        return dict(self._recorders[0].labels)

    def check_data(self) -> None:
        """Read what will be compared, and find every image, before a model is asked to look at anything.

        A forward pass over thousands of images is the long work; whatever is wrong with the data is said before it.
        Providers and loaders keep what they have read.
        """
        if any(recorder.needs_images for recorder in self._recorders):
            for pool in dict.fromkeys(job.task.pool for job in self.jobs):
                self._hashes[pool] = pool.content_hashes(pool.stimulus_ids)
                if not getattr(pool.provider, "images_are_plain", False):
                    check_plain(pool.load_stimuli(pool.stimulus_ids), pool.name)
        alike: dict = {}
        for task in sorted({job.task for job in self.jobs}, key=lambda task: (task.subject, task.region)):
            known = set(task.pool.stimulus_ids)
            outside = [name for name in (*task.train_ids, *task.test_ids) if name not in known]
            if outside:
                raise StimulusKernelError(
                    f"A model is shown the stimuli of a task's pool; {len(outside)} of "
                    f"{len(task.train_ids) + len(task.test_ids)} training and test stimuli of {task.subject} are not in "
                    f"{task.pool.name}, the first: {outside[0]!r}. Add them to its parts."
                )
            responses = task.load_responses()
            if not isinstance(responses, Responses):
                raise ResponsesError(
                    f"A task's load_responses returns Responses; that of {task.subject} in {task.region} gives a "
                    f"{type(responses).__name__}."
                )
            if responses.subject != task.subject:
                raise ResponsesError(
                    f"A task's responses are its subject's; those that {task.subject}'s task loads for {task.region} say "
                    f"{responses.subject}. Check load_responses."
                )
            responses.check_stimuli(task.train_ids)
            responses.check_stimuli(task.test_ids)
            if len(values := responses.values) == values.shape[1] and is_symmetric(values):
                self._of_pairs[task.subject, task.region] = (
                    f"Responses of {task.subject} in {task.region} are a symmetric matrix of stimuli × stimuli: if these are "
                    f"similarities or dissimilarities (an RDM), they are not compared as one, but each row as responses to a "
                    f"stimulus."
                )
            if task.load_responses not in self._notes_on_noise:
                self._notes_on_noise[task.load_responses] = responses.notes_on_noise(task.region)
            key = values.shape, values[:: max(1, len(values) // SOME_ROWS)].tobytes()
            alike.setdefault(key, {})[task.subject, task.region] = None
        for names in alike.values():
            if len(names) > 1:
                said = " and of ".join(f"{subject} in {region}" for subject, region in names)
                note = f"Responses of {said} are the same numbers: check what loads them, unless these are the same neuroids."
                self._same_responses.update(dict.fromkeys(names, note))

    def notes_on_data(self, task: SubjectTask) -> tuple[str, ...]:
        """What Scores should say of a task's images and responses, by themselves and beside the others'."""
        of_responses = (found.get((task.subject, task.region)) for found in (self._same_responses, self._of_pairs))
        of_noise = "explained_variance" in getattr(task.metric, "normalizations", ())
        return (
            *self._copies(task, fits=of_noise),
            *filter(None, of_responses),
            *(self._notes_on_noise.get(task.load_responses, ()) if of_noise else ()),
        )

    def _copies(self, task: SubjectTask, fits: bool) -> list[str]:
        groups = dict(zip(task.test_ids, task.bootstrap_groups or (), strict=False))
        return copied_images(self._hashes.get(task.pool, {}), task.train_ids if fits else (), task.test_ids, groups)

    def work(self) -> list[KernelWork]:
        """The kernels that the jobs need, each once; those of a pool follow each other."""
        by_pool: dict = defaultdict(lambda: defaultdict(list))
        for job in self.jobs:
            labels = tuple(recorder.labels[job.task.model_region] for recorder in self._recorders)
            by_pool[job.task.pool][labels].append(job)
        return [
            KernelWork(pool, labels, tuple(jobs))
            for pool, of_pool in by_pool.items()
            for labels, jobs in of_pool.items()
        ]

    def each_kernel(self) -> Iterator[KernelWork]:
        """Walk over :meth:`work`; while an item is current, :meth:`kernels` makes what it needs.

        Raises
        ------
        StimulusKernelError
            Before the first image is shown where the cause can be seen before.
        """
        for n_train in {len(job.task.train_ids) for job in self.jobs if job.task.train_ids}:
            self.compute.eigh_driver(n_train - 1)  # raises if max_memory does not allow any
        work = self.work()
        for i, item in enumerate(work):
            if i == 0 or item.pool is not work[i - 1].pool:
                same_pool = [other for other in work if other.pool is item.pool]
                for m in self._in_order:
                    self._makers[m].prepare(item.pool, list(dict.fromkeys(other.labels[m] for other in same_pool)))
            yield item
            if i + 1 == len(work) or work[i + 1].pool is not item.pool:
                needed_later = {part for later in work[i + 1 :] for part in later.pool.parts}
                for maker in self._makers:
                    maker.drop([part for part in item.pool.parts if part not in needed_later])

    def kernels(self, item: KernelWork) -> tuple[StimulusKernel, ...]:
        """The kernel of each model for an item of :meth:`each_kernel`. Keep no reference: the next one needs the memory."""
        return tuple(maker.kernel(item.pool, label) for maker, label in zip(self._makers, item.labels, strict=True))

    def features(self, items: Sequence[KernelWork]) -> list[list]:
        """Feature sources behind the kernels of items of the current pool, of the first model, to be stacked along stimuli."""
        return self._makers[0].features(items[0].pool, [item.labels[0] for item in items])

    def notes(self, item: KernelWork) -> tuple[str, ...]:
        """What Scores should say of the features behind an item's kernels, one sentence each."""
        notes = (maker.notes(label) for maker, label in zip(self._makers, item.labels, strict=True))
        return tuple(note for of_model in notes for note in of_model)

    def features_digest(self, item: KernelWork) -> str:
        """What tells the features behind an item's kernel from others, of the first model."""
        return self._makers[0].features_digest(item.pool, item.labels[0])

    def missing(self) -> list[str]:
        """Kernels that would have to be made with forward passes, each as "label, pool"; shows no image."""
        return [
            kernel_name(label, item.pool)
            for item in self.work()
            for maker, label in zip(self._makers, item.labels, strict=True)
            if maker.missing(item.pool, [label])
        ]

    def to_make(self) -> list[KernelWork]:
        """Items of :meth:`work` whose kernel of the first model is not in the store; shows no image."""
        return [item for item in self.work() if self._makers[0].missing(item.pool, item.labels[:1])]

    def to_show(self) -> list[tuple[StimulusPool, StimulusPart]]:
        """What the first model has to be shown for :meth:`to_make`, in order; a part that pools share stands here once."""
        recorded: set = set()
        found = []
        for item in self.to_make():
            for part in item.pool.parts:
                key = item.labels[0], part
                if part.stimulus_ids and key not in recorded:
                    recorded.add(key)
                    found.append((item.pool, part))
        return list(dict.fromkeys(found))

    def seconds_per_image(self, budget: float) -> tuple[float, float]:
        """Seconds that the first model takes for an image, features to the disk included, and once; shows it images."""
        return self._makers[0].seconds_per_image(self.jobs[0].task.pool, budget)

    def n_features(self) -> list[int]:
        """Width of each job's features, of the first model; shows it a handful of images."""
        return [
            self._makers[0].n_features(job.task.pool, self._recorders[0].labels[job.task.model_region])
            for job in self.jobs
        ]

    def growth(self) -> float:
        """For the first model: batch size of the full recording, divided by that of the small pass before it."""
        return self._recorders[0].growth()

    def waiting_bytes(self) -> int:
        """For the first model: prepared images that will wait for it in the full recording; none wait in the small pass."""
        return self._recorders[0].waiting_bytes


def kernel_name(label: str, pool: StimulusPool) -> str:
    """A kernel in messages and lists."""
    return f"{label}, {pool.name}"


def _check_interface(model) -> None:
    """Raise ModelOutputError for what is no BrainModel, such as a network alone."""
    missing = [
        name for name in ("identifier", "visual_degrees", "start_recording", "look_at") if not hasattr(model, name)
    ]
    if missing:
        raise ModelOutputError(
            f"A benchmark scores a BrainModel, which has regions; received a {type(model).__name__} without "
            f"{', '.join(missing)}. Of a network, make one: as_brain_model(network, layers={{'IT': 'LAYER'}}), or commit it "
            f"with Brain-Score's ModelCommitment."
        )


def _for_others(recorder, regions: Sequence[str]) -> list[str]:
    """Labels that no task asks for."""
    wanted = {recorder.labels[region] for region in regions}
    return [label for label in dict.fromkeys(recorder.labels.values()) if label not in wanted]


def copied_images(
    hashes: Mapping[str, str], train_ids: Sequence[str], test_ids: Sequence[str], groups: Mapping[str, str]
) -> list[str]:
    """Notes on test images that are training images, or other test images, under another name.

    Parameters
    ----------
    hashes : mapping of str to str
        Of the contents of images, as far as they are known.
    train_ids, test_ids : sequence of str
        Training images are those that responses are fitted to.
    groups : mapping of str to str
        Of test images that count together.
    """
    notes = []
    for kind, names, harm in (
        ("training", train_ids, "responses to them were fitted"),
        ("other test", test_ids, "they count as independent"),
    ):
        first: dict[str, str] = {}
        for name in names:
            if name in hashes:
                first.setdefault(hashes[name], name)
        copies = [(name, first.get(hashes.get(name), name)) for name in test_ids]
        copies = [(a, b) for a, b in copies if a != b and (a not in groups or groups[a] != groups.get(b))]
        if copies:
            notes.append(
                f"{len(copies)} of {len(test_ids)} test images are copies of {kind} images under another name (the first: "
                f"{copies[0][0]} of {copies[0][1]}): {harm}. Leave them out."
            )
    return notes


def score_plans(
    model, plans: Sequence[Plan | FoldsPlan], options: EngineOptions | None = None
) -> Iterator[tuple[int, Score]]:
    """Score one model on several plans that share forward passes, kernels and decompositions.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    plans : sequence of Plan or FoldsPlan
    options : EngineOptions, optional

    Yields
    ------
    tuple of int and Score
        Position of the plan, and its Score, as soon as its last task is done: not in the order given.
    """
    places = [(i, j) for i, plan in enumerate(plans) for j in range(len(plan.tasks))]
    results: list[list] = [[None] * len(plan.tasks) for plan in plans]
    tasks = [task for plan in plans for task in plan.tasks]
    options = options if options is not None else EngineOptions()
    network, device = network_digest(model), device_name(options.device)
    for position, result in evaluate(model, tasks, options):
        i, j = places[position]
        results[i][j] = result
        if all(done is not None for done in results[i]):
            score = plans[i].score(results[i])
            results[i] = []  # values per neuroid and draws live on in the Score alone
            score.attrs["model_identifier"] = model.identifier
            score.attrs["benchmark_identifier"] = plans[i].identifier
            score.attrs.update(device=device, exact=options.exact)
            if network is not None:
                score.attrs["network_digest"] = network
            if not isinstance(model, LookupModel):  # which sees nothing
                score.attrs["visual_degrees"] = float(model.visual_degrees())
            for fact in ("model_source", "model_revision", "model_code"):
                if (value := asked(model, fact)) is not None:
                    score.attrs[fact] = value
            layers = committed_layers(model, [task.model_region for task in plans[i].tasks])
            if layers and (isinstance(plans[i], FoldsPlan) or "layers" not in score.attrs):  # folds may differ
                score.attrs["layers"] = _layers_of_folds(plans[i]) or layers
                choice = asked(model, "layer_choice", "own")  # of all regions, or by region
                score.attrs["layer_choice"] = (
                    choice.get(next(iter(layers)), "own") if isinstance(choice, Mapping) else choice
                )
            yield i, score


def _layers_of_folds(plan: Plan | FoldsPlan) -> dict[str, str]:
    """Layers that were chosen for folds, by region; of further layers of a region, with the layer behind it.

    In the order of the folds: what the model calls them depends on what else it is scored on.
    """
    found: dict[str, str] = {}
    for fold in plan.folds if isinstance(plan, FoldsPlan) else ():
        for region, layer in fold.facts.get("layers", {}).items():
            if layer not in found.values():
                found[region if region not in found else f"{region} ({layer})"] = layer
    return found


def evaluate(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> Iterator[tuple[int, SubjectResult]]:
    """Evaluate tasks of one model, in the order that costs least.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
        Equal tasks are evaluated once.
    options : EngineOptions

    Yields
    ------
    tuple of int and SubjectResult
        Position of the task, and its result, as they are done.

    Raises
    ------
    StimulusKernelError
        See :mod:`.errors`; raised before the forward pass where the cause can be seen before.
    """
    with Run([model], tasks, options) as run:
        run.check_data()
        for item in run.each_kernel():
            jobs: dict = defaultdict(list)
            for job in item.jobs:
                jobs[job.task].append(job)
            for task, result in _results(*run.kernels(item), list(jobs), run.compute):
                notes = *run.notes(item), *fitted_to(model, task), *run.notes_on_data(task), *result.notes
                about = {"notes": notes, "features_digest": run.features_digest(item)}
                for job in jobs[task]:
                    yield job.position, replace(result, dropped_stimuli=job.dropped, **about)


def fitted_to(model, task: SubjectTask) -> Iterator[str]:
    """A note of each model in a model that was fitted to responses to test stimuli."""
    for part in models_in(model):
        fitted = asked(part, "fitted_stimuli")
        seen = set(() if fitted is None else fitted).intersection(task.test_ids)
        if seen:
            note = (
                f"{part.identifier} was fitted to responses to {len(seen)} of the {len(task.test_ids)} test stimuli of "
                f"{task.subject}: this is no score of stimuli that it has not seen. Fit it to the split's training stimuli."
            )
            warn_once(note)
            yield note


def prepare_kernels(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> dict[str, str]:
    """Put every kernel that ``tasks`` need into the store, where evaluating them finds it: in this process or another.

    Does what :func:`evaluate` does before it compares anything, with as many forward passes, and checks the kernels that
    are there already.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
    options : EngineOptions
        With ``store``.

    Returns
    -------
    dict of str to str
        Model region to the label of what is recorded for it: tasks of equal labels and pools share a kernel, and those of
        equal training stimuli besides an eigendecomposition.

    Raises
    ------
    StimulusKernelError
        As :func:`evaluate`, or ``options`` keep no kernels.
    """
    if not options.store or options.random_features != "refuse":
        raise StimulusKernelError(
            f"Kernels are prepared for later runs, which find them in the store; received store={options.store}, "
            f"random_features={options.random_features!r}. Use store=True and random_features='refuse'."
        )
    with Run([model], tasks, options) as run:
        run.check_data()
        for item in run.each_kernel():
            run.kernels(item)  # making it keeps it
        return run.labels


def missing_kernels(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> list[str]:
    """Kernels that evaluating ``tasks`` would have to make with forward passes, each as "label, pool"; shows no image."""
    with Run([model], tasks, options) as run:
        return run.missing()


def _results(kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute):
    """Results of tasks on one kernel; those that share a metric and their training stimuli share a decomposition."""
    groups: dict = defaultdict(list)
    for task in tasks:
        groups[task.metric, task.train_ids].append(task)
    for (metric, _), group in groups.items():
        # tasks of one subject and region follow each other: their responses are read once
        yield from metric.evaluate(kernel, sorted(group, key=lambda task: (task.region, task.subject)), compute)


def _known_stimuli(models: Sequence, tasks: Sequence[SubjectTask]) -> Iterator[Job]:
    """Tasks on the stimuli that all models have features for. Models that look at images know every stimulus.

    Raises
    ------
    ModelOutputError
        A stimulus of a task has no features, and the model does not say that it may be left out.
    """
    lookups = [model for model in models if isinstance(model, LookupModel)]
    known_of: dict[StimulusPool, tuple[StimulusPool, frozenset]] = {}
    for position, task in enumerate(tasks):
        if task.pool not in known_of:
            known = frozenset(task.pool.stimulus_ids).intersection(
                *(model.known(task.pool.stimulus_ids) for model in lookups)
            )
            known_of[task.pool] = _restricted(task.pool, known), frozenset(task.pool.stimulus_ids) - known
        pool, unknown = known_of[task.pool]
        dropped = tuple(sorted(unknown.intersection({*task.train_ids, *task.test_ids})))
        if dropped:
            for model in lookups:
                if model.missing != "drop":
                    check_known(model, (*task.train_ids, *task.test_ids), f"stimuli of {task.pool.name}")
        left = replace(task.without(dropped), pool=pool)
        if dropped:
            both = (("training", task.train_ids, left.train_ids), ("test", task.test_ids, left.test_ids))
            sides = [(name, len(needed), len(known)) for name, needed, known in both if needed]
            for model in lookups:
                check_enough(model, task.pool.name, sides, dropped)
        yield Job(position, left, dropped)
    for model in lookups:
        for note in model.notes():
            warn_once(note)


def _restricted(pool: StimulusPool, known: frozenset) -> StimulusPool:
    if known.issuperset(pool.stimulus_ids):
        return pool
    parts = (replace(part, stimulus_ids=tuple(s for s in part.stimulus_ids if s in known)) for part in pool.parts)
    return replace(pool, parts=tuple(part for part in parts if part.stimulus_ids))
