"""From a model and tasks to results: each image is shown once, each kernel is made once, memory does not grow with p.

Tasks are sorted so that what they share is computed once and held only as long as it is needed: by pool (features of
parts that later pools need stay on disk, others go), by recorded layer (one kernel in memory at a time), by training set
(one eigendecomposition at a time).
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Iterator, Sequence

from tqdm.auto import tqdm

from .errors import StimulusKernelError, StorageError
from .kernel import StimulusKernel, build_kernel
from .options import EngineOptions
from .pool import StimulusPart, StimulusPool
from .recorder import recorder_for
from .screen import place_on_model_screen
from .spool import FeatureSpool
from .tasks import SubjectResult, SubjectTask


def evaluate(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> Iterator[tuple[SubjectTask, SubjectResult]]:
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
    by_pool: dict = defaultdict(list)
    for task in tasks:
        by_pool[task.pool].append(task)
    with FeatureRecords(model, recorder, options) as records:
        for i, (pool, pool_tasks) in enumerate(by_pool.items()):
            labels = list(dict.fromkeys(recorder.labels[task.model_region] for task in pool_tasks))
            records.record(pool, labels)
            kept_parts = {part for later in list(by_pool)[i + 1 :] for part in later.parts}
            for label in labels:
                kernel = records.kernel(pool, label)
                yield from _evaluate_on(kernel, [t for t in pool_tasks if recorder.labels[t.model_region] == label])
                del kernel
            records.drop(part for part in pool.parts if part not in kept_parts)


def _evaluate_on(kernel: StimulusKernel, tasks: Sequence[SubjectTask]):
    groups: dict = defaultdict(list)
    for task in tasks:
        groups[task.metric, task.train_ids].append(task)
    for (metric, _), group in groups.items():
        # tasks of one subject and region follow each other: their responses are read once
        yield from metric.evaluate(kernel, sorted(group, key=lambda task: (task.region, task.subject)))


class FeatureRecords:
    """Features of one model on disk, by recorded label and part of a pool, while their kernels are made.

    A context manager: whatever is on disk is removed when it is left.
    """

    def __init__(self, model, recorder, options: EngineOptions):
        self._model, self._recorder, self._options = model, recorder, options
        self._spools: dict[tuple[str, StimulusPart], FeatureSpool] = {}
        self._directory: Path | None = None

    def __enter__(self) -> FeatureRecords:
        parent = self._options.spool
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self._directory = Path(tempfile.mkdtemp(dir=parent, prefix="features-"))
        except OSError as error:
            raise StorageError(
                f"Features wait on disk between the forward pass and the kernel, but {parent} cannot be written "
                f"({error.strerror}). Choose another folder (--spool-directory)."
            ) from error
        return self

    def __exit__(self, *_) -> None:
        for spool in self._spools.values():
            spool.close()
        self._spools.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    def record(self, pool: StimulusPool, labels: Sequence[str]) -> None:
        """Show the model what it has not seen yet of ``pool``, recording ``labels`` in one pass where it can."""
        for part in pool.parts:
            missing = [label for label in labels if (label, part) not in self._spools]
            if missing and part.stimulus_ids:
                self._record_part(pool, part, missing)

    def kernel(self, pool: StimulusPool, label: str) -> StimulusKernel:
        """The kernel of a pool whose parts are recorded."""
        spools = [self._spools[label, part] for part in pool.parts if part.stimulus_ids]
        with self._bar(spools[0].n_features, "features", f"kernel {label}, {pool.name}") as bar:
            return build_kernel(spools, pool.stimulus_ids, on_columns=bar.update)

    def drop(self, parts) -> None:
        """Remove the features of parts that no later kernel needs."""
        parts = set(parts)
        for key in [key for key in self._spools if key[1] in parts]:
            self._spools.pop(key).close()

    def _record_part(self, pool: StimulusPool, part: StimulusPart, labels: Sequence[str]) -> None:
        ids = part.stimulus_ids
        placed = place_on_model_screen(
            stimuli=pool.provider.load_stimuli(ids),
            content_hashes=pool.provider.content_hashes(ids),
            source_degrees=pool.visual_degrees,
            target_degrees=self._model.visual_degrees(),
            directory=self._options.screen,
        )
        if list(placed["stimulus_id"]) != list(ids):
            raise StimulusKernelError(f"The provider of {pool.name} must return the stimuli asked for, in their order.")
        spools = {
            label: FeatureSpool(self._directory / f"{len(self._spools) + i}.features", len(ids), label)
            for i, label in enumerate(labels)
        }
        self._spools.update({(label, part): spool for label, spool in spools.items()})
        with self._bar(len(ids), "images", f"{self._model.identifier} sees {part.name}") as bar:

            def sink(batch):
                for label, features in batch.items():
                    spools[label].append(features)
                bar.update(len(features))

            self._recorder.record(placed, labels, sink)

    def _bar(self, total: int, unit: str, description: str) -> tqdm:
        # disable=None: silent when standard error is not a terminal
        return tqdm(total=total, unit=unit, desc=description, leave=False, disable=None if self._options.progress else True)
