"""Kernels of one model: from the store, or from features that are recorded once and wait on disk."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from ..errors import ModelOutputError, StimulusKernelError, StorageError
from ..features.probe import Probe, probe_ids, probe_rows
from ..features.screen import place_on_model_screen
from ..options import EngineOptions
from ..pool import StimulusPart, StimulusPool
from .compute import Compute
from .identity import ModelIdentity, digest, features_key, kernel_key
from .kernel import StimulusKernel, build_kernel
from .spool import FeatureSpool, is_complete
from .store import KernelStore

LOCK_POLL_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class ModelKernels:
    """Makes, keeps and finds the kernels of one model. A context manager.

    While kernels are missing, a lock per model is held: of several processes, one records and the others wait until the
    store has what they need.
    """

    def __init__(self, model, recorder, options: EngineOptions):
        self._model, self._recorder, self._options = model, recorder, options
        self.compute = Compute.on(options.device, options.max_memory, options.exact)
        self._identity = ModelIdentity.of(model)
        self._store = KernelStore(options.kernels) if options.store else None
        self._spools: dict[tuple[str, StimulusPart], FeatureSpool] = {}
        self._probes: dict[tuple[str, StimulusPart], Probe] = {}
        self._directory: Path | None = None
        self._lock: FileLock | None = None
        self._unstable: set[str] = set()
        self._notes: dict[str, list[str]] = {}
        self._served = False

    def __enter__(self) -> ModelKernels:
        return self

    def __exit__(self, kind, *_) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        for spool in self._spools.values():
            spool.close()
        # after Ctrl-C, as after a kill, the features stay for the next run; after an error they would be left behind
        if self._directory is not None and not (interrupted and self._store is not None):
            shutil.rmtree(self._directory, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
        elif kind is None and self._store is not None and self._served:
            self._remove_leftovers()

    def prepare(self, pool: StimulusPool, labels: Sequence[str]) -> None:
        """Make sure that the kernels of a pool can be had, showing the model what it has not seen yet."""
        missing = self.missing(pool, labels)
        if not missing:
            return
        if self._store is not None:
            self._store.check_room([len(pool.stimulus_ids)] * len(missing))
            missing = self._wait_for_turn(pool, missing)
        for part in pool.parts:
            wanted = [label for label in missing if (label, part) not in self._spools]
            if wanted and part.stimulus_ids:
                self._record(pool, part, wanted)

    def kernel(self, pool: StimulusPool, label: str) -> StimulusKernel:
        """The kernel of a prepared pool."""
        key, self._served = self._key(pool, label), True
        while not self._recorded(pool, label):
            stored = self._store.load(key)
            if stored is not None and self._is_this_model(pool, label, stored[1]):
                return stored[0]
            self._store.remove(key)  # damaged, or of another model: make it again
            self.prepare(pool, [label])
        spools = [self._spools[label, part] for part in pool.parts if part.stimulus_ids]
        with self._bar(spools[0].n_features, "features", f"kernel {label}, {pool.name}") as bar:
            kernel = build_kernel(spools, pool.stimulus_ids, self.compute, on_columns=bar.update)
        if self._store is not None and label not in self._unstable:
            description = {
                "model": self._identity.identifier,
                "label": label,
                "pool": pool.name,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            self._store.save(key, kernel, self._probe(pool, label), description, owner=self._identity.key)
        return kernel

    def notes(self, label: str) -> tuple[str, ...]:
        """What a Score should say of the features recorded under ``label``, one sentence each."""
        return (*self._recorder.notes.get(label, ()), *self._notes.get(label, ()))

    def _recorded(self, pool: StimulusPool, label: str) -> bool:
        return all((label, part) in self._spools for part in pool.parts if part.stimulus_ids)

    def n_features(self, pool: StimulusPool, label: str) -> int:
        """Width of the features that are recorded under ``label``; shows the model a handful of images at first."""
        return self._probe(pool, label).n_features

    def drop(self, parts: Iterable[StimulusPart]) -> None:
        """Remove the features of parts that no later kernel needs."""
        parts = set(parts)
        for key in [key for key in self._spools if key[1] in parts]:
            self._spools.pop(key).remove()

    def _key(self, pool: StimulusPool, label: str) -> str:
        return kernel_key(self._identity, label, pool)

    def missing(self, pool: StimulusPool, labels: Sequence[str]) -> list[str]:
        """Those of ``labels`` whose kernels are not in the store; all of them where none are kept."""
        if self._store is None:
            return list(labels)
        return [label for label in labels if not self._store.has(self._key(pool, label))]

    def _wait_for_turn(self, pool: StimulusPool, missing: list[str]) -> list[str]:
        """Hold the model's lock, or return with nothing missing because another process has done the work."""
        if self._lock is not None:
            return missing
        lock, announced = self._new_lock(), False
        while missing:
            try:
                lock.acquire(timeout=LOCK_POLL_SECONDS)
            except Timeout:
                if not announced:
                    _logger.warning("Another process is making kernels of %s; waiting.", self._identity.identifier)
                    announced = True
                missing = self.missing(pool, missing)
                continue
            self._lock = lock
            return self.missing(pool, missing)
        return missing

    def _new_lock(self) -> FileLock:
        folder = self._options.kernels / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{self._identity.key}.lock")

    def _remove_leftovers(self) -> None:
        """Features of a run that was killed between writing its last kernel and removing them: all of them are complete.

        Those of a run that was killed while it recorded wait for the run that takes it up, whatever else is scored before.
        """
        leftovers = self._options.spool / self._identity.key
        if leftovers.exists() and all(is_complete(path) for path in leftovers.glob("*.features")):
            try:
                with self._new_lock().acquire(timeout=0):
                    shutil.rmtree(leftovers, ignore_errors=True)
            except Timeout:
                pass  # they belong to a process that is at work

    def _record(self, pool: StimulusPool, part: StimulusPart, labels: Sequence[str]) -> None:
        """Record the features of a part, after what an interrupted run has left."""
        for label in labels:
            self._probe(pool, label)  # the first of two passes over these stimuli; the second is the recording
        spools = {label: self._open_spool(pool, part, label) for label in labels}
        done = min(spool.n_written for spool in spools.values())
        for spool in spools.values():
            spool.rewind(done)
        done = min(spool.n_written for spool in spools.values())
        self._spools.update({(label, part): spool for label, spool in spools.items()})
        placed = self._place(pool, part.stimulus_ids)
        probed = {label: [] for label in labels}
        rows = probe_rows(part) if part is pool.parts[0] else np.array([], dtype=int)
        position = done
        with self._bar(len(part.stimulus_ids), "images", f"{self._identity.identifier} sees {part.name}") as bar:
            bar.update(done)

            def sink(batch):
                nonlocal position
                size = len(next(iter(batch.values())))
                for label, features in batch.items():
                    spools[label].append(features)
                    probed[label].extend(features[row - position] for row in rows if position <= row < position + size)
                position += size
                bar.update(size)

            if done < len(part.stimulus_ids):
                self._recorder.record(_from(placed, done), labels, sink)
        if done == 0 and len(rows):
            for label in labels:
                self._check_repeats(pool, label, Probe.of(np.stack(probed[label])))

    def _open_spool(self, pool: StimulusPool, part: StimulusPart, label: str) -> FeatureSpool:
        name = features_key(self._identity, label, part, pool)
        if self._store is not None:
            # the fingerprint is part of the name: features of a model that changed under its name are not resumed
            probe = self._probe(pool, label)
            name = f"{name}-{digest(np.round(probe.sample / max(np.abs(probe.sample).max(), 1e-300), 2).tolist())[:8]}"
        spool = FeatureSpool(self._spool_directory() / f"{name}.features", len(part.stimulus_ids), label)
        spool.resume()
        return spool

    def _spool_directory(self) -> Path:
        if self._directory is None:
            parent = self._options.spool
            try:
                parent.mkdir(parents=True, exist_ok=True)
                if self._store is None:
                    self._directory = Path(tempfile.mkdtemp(dir=parent, prefix="features-"))
                else:  # under the model's lock; a killed run's features are found here
                    self._directory = parent / self._identity.key
                    self._directory.mkdir(exist_ok=True)
                    self._store.sweep(self._identity.key)
            except OSError as error:
                raise StorageError(
                    f"Features wait on disk between the forward pass and the kernel, but {parent} cannot be written "
                    f"({error.strerror}). Choose another folder (--spool-directory)."
                ) from error
        return self._directory

    def _probe(self, pool: StimulusPool, label: str) -> Probe:
        """The model's fingerprint as it is now; one pass over a few stimuli per run, for all labels at once."""
        part = pool.parts[0]
        if (label, part) not in self._probes:
            labels = list(dict.fromkeys(self._recorder.labels.values()))
            batches: dict = {name: [] for name in labels}

            def sink(batch):
                for name, features in batch.items():
                    batches[name].append(features)

            self._recorder.record(self._place(pool, probe_ids(part)), labels, sink)
            self._probes.update({(name, part): Probe.of(np.concatenate(batches[name])) for name in labels})
        return self._probes[label, part]

    def _is_this_model(self, pool: StimulusPool, label: str, stored: Probe) -> bool:
        difference = self._probe(pool, label).difference(stored)
        if self._probe(pool, label).agrees(stored):
            return True
        _logger.warning(
            "The features of %s in %s differ from those that its stored kernel was made of (by %.2g of their size): the model "
            "has changed under the same identifier. Its kernel is made again.",
            self._identity.identifier,
            label,
            difference,
        )
        return False

    def _check_repeats(self, pool: StimulusPool, label: str, recorded: Probe) -> None:
        first = self._probe(pool, label)
        if first.agrees(recorded):
            return
        message = (
            f"A model must answer alike to the same images, but features of {self._identity.identifier} in {label} differ "
            f"between two passes by {first.difference(recorded):.2g} of their size"
        )
        if self._options.random_features == "refuse":
            raise ModelOutputError(
                f"{message}. Put the model in evaluation mode (dropout, noise), or score it once without keeping its kernels "
                f"(--accept-random-features)."
            )
        _logger.warning("%s. It is scored on one pass, and its kernels are not kept.", message)
        self._unstable.add(label)

    def _place(self, pool: StimulusPool, stimulus_ids: Sequence[str]):
        if not self._recorder.needs_images:
            named = StimulusSet({"stimulus_id": list(stimulus_ids)})
            named.stimulus_paths, named.identifier = {}, None
            return named
        placed = place_on_model_screen(
            stimuli=pool.provider.load_stimuli(stimulus_ids),
            content_hashes=pool.provider.content_hashes(stimulus_ids),
            source_degrees=pool.visual_degrees,
            target_degrees=self._identity.visual_degrees,
            directory=self._options.screen,
        )
        if list(placed["stimulus_id"]) != list(stimulus_ids):
            raise StimulusKernelError(f"The provider of {pool.name} must return the stimuli asked for, in their order.")
        return placed

    def _bar(self, total: int, unit: str, description: str) -> tqdm:
        # disable=None: silent when standard error is not a terminal
        return tqdm(
            total=total, unit=unit, desc=description, leave=False, disable=None if self._options.progress else True
        )


def _from(stimuli, start: int):
    rest = type(stimuli)(stimuli.iloc[start:].reset_index(drop=True))
    rest.stimulus_paths, rest.identifier = stimuli.stimulus_paths, None
    return rest
