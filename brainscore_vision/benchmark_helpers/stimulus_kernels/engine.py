"""From a model and tasks to results: each image is shown once, each kernel is made once, memory does not grow with p.

Tasks are sorted so that what they share is computed once and held only as long as it is needed: by pool (features of
parts that later pools need stay on disk, others go), by recorded layer (one kernel in memory at a time), by training set
(one eigendecomposition at a time).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .errors import StimulusKernelError
from .features.lookup import narrow
from .features.recording import recorder_for
from .kernels.compute import Compute
from .kernels.kernel import StimulusKernel
from .kernels.making import ModelKernels
from .options import EngineOptions
from .pool import StimulusPool
from .tasks import SubjectResult, SubjectTask


def evaluate(
    model, tasks: Sequence[SubjectTask], options: EngineOptions
) -> Iterator[tuple[SubjectTask, SubjectResult]]:
    """Evaluate tasks of one model, in the order that costs least.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
        Repeated tasks are evaluated once.
    options : EngineOptions

    Yields
    ------
    tuple of SubjectTask and SubjectResult
        As they are done.

    Raises
    ------
    StimulusKernelError
        See :mod:`.errors`; raised before the forward pass where the cause can be seen before.
    """
    tasks = list(dict.fromkeys(tasks))
    recorder = recorder_for(model, [task.model_region for task in tasks])
    originals: dict = defaultdict(list)
    for task, narrowed, dropped in narrow(model, tasks):
        originals[narrowed].append((task, dropped))
    check_data(list(originals), images=recorder.needs_images)
    with ModelKernels(model, recorder, options) as kernels:
        for pool, label, label_tasks in _prepared(kernels, recorder.labels, list(originals)):
            for narrowed, result in _evaluate_on(kernels.kernel(pool, label), label_tasks, kernels.compute):
                for task, dropped in originals[narrowed]:
                    digest, notes = kernels.features_digest(pool, label), (*kernels.notes(label), *result.notes)
                    yield task, replace(result, dropped_stimuli=dropped, notes=notes, features_digest=digest)


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
    recorder = recorder_for(model, [task.model_region for task in tasks])
    narrowed = list(dict.fromkeys(narrowed for _, narrowed, _ in narrow(model, tasks)))
    check_data(narrowed, images=recorder.needs_images)
    with ModelKernels(model, recorder, options) as kernels:
        for pool, label, _ in _prepared(kernels, recorder.labels, narrowed):
            kernels.kernel(pool, label)  # making it keeps it
    return dict(recorder.labels)


def missing_kernels(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> list[str]:
    """Kernels that evaluating ``tasks`` would have to make with forward passes, each as "label, pool"; shows no image."""
    recorder = recorder_for(model, [task.model_region for task in tasks])
    wanted = dict.fromkeys(
        (narrowed.pool, recorder.labels[narrowed.model_region]) for _, narrowed, _ in narrow(model, tasks)
    )
    with ModelKernels(model, recorder, options) as kernels:
        return [f"{label}, {pool.name}" for pool, label in wanted if kernels.missing(pool, [label])]


def _prepared(
    kernels: ModelKernels, labels: dict[str, str], tasks: Sequence[SubjectTask]
) -> Iterator[tuple[StimulusPool, str, list[SubjectTask]]]:
    """Pool and label of each kernel with the tasks that need it; what it is made of is there, and goes after its last use."""
    by_pool: dict = defaultdict(list)
    for task in tasks:
        by_pool[task.pool].append(task)
    for n_train in {len(task.train_ids) for task in tasks if task.train_ids}:
        kernels.compute.eigh_driver(n_train - 1)  # raises if max_memory does not allow any
    for i, (pool, pool_tasks) in enumerate(by_pool.items()):
        by_label: dict = defaultdict(list)
        for task in pool_tasks:
            by_label[labels[task.model_region]].append(task)
        kernels.prepare(pool, list(by_label))
        for label, label_tasks in by_label.items():
            yield pool, label, label_tasks
        kept_parts = {part for later in list(by_pool)[i + 1 :] for part in later.parts}
        kernels.drop(part for part in pool.parts if part not in kept_parts)


def check_data(tasks: Sequence[SubjectTask], images: bool = True) -> None:
    """Read what will be compared, and find every image (if wanted), before a model is asked to look at anything.

    A forward pass over thousands of images is the long work; whatever is wrong with the data is said before it. Providers
    and loaders keep what they have read.
    """
    for pool in dict.fromkeys(task.pool for task in tasks) if images else ():
        pool.provider.load_stimuli(pool.stimulus_ids)
        pool.provider.content_hashes(pool.stimulus_ids)
    for task in sorted(tasks, key=lambda task: (task.subject, task.region)):
        responses = task.load_responses()
        for stimulus_ids in (task.train_ids, task.test_ids):
            responses.check_stimuli(stimulus_ids)


def _evaluate_on(kernel: StimulusKernel, tasks: Sequence[SubjectTask], compute: Compute):
    groups: dict = defaultdict(list)
    for task in tasks:
        groups[task.metric, task.train_ids].append(task)
    for (metric, _), group in groups.items():
        # tasks of one subject and region follow each other: their responses are read once
        yield from metric.evaluate(kernel, sorted(group, key=lambda task: (task.region, task.subject)), compute)
