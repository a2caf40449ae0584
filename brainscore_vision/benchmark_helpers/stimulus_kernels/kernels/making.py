"""Kernels of one model: from the store, or from features that are recorded once and wait on disk."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from tqdm.auto import tqdm

from ..errors import ModelOutputError, StimulusKernelError, StorageError
from ..features.first_images import Held, first_images_matter, learned_from_first, may_learn
from ..features.image_files import place_on_model_screen
from ..features.network import network_digest, normalised_by_batch
from ..features.preprocessing import noticing_changes, preprocessing_digest, structure_digest
from ..features.probe import TOLERANCE, Probe, probe_ids, probe_rows
from ..features.recording import CommitmentRecorder, committed_regions, recorder_for
from ..files import LockingError, ProcessLock, cannot_write
from ..options import EngineOptions
from ..pool import StimulusPart, StimulusPool
from ..wording import warn_once
from .compute import Compute, host
from .kernel import FeatureSource, StimulusKernel, build_kernel
from .shared import SharedKernels
from .spool import DeviceFeatures, DeviceRoom, FeatureSpool, is_complete
from .store import KernelStore, ModelIdentity, content_hashes, features_key, kernel_key

LOCK_POLL_SECONDS = 0.1

SOME_BATCHES, MOST_TIMED = 192, 256
"""Images that are shown to know how long one takes: of networks that are not slow, and at most."""

LONGER = 4
"""Times the seconds that a model is to be shown images: what it may take to see some batches."""

ROOM_SHARE = 8
"""A network's pass over a batch takes this part of a GPU's free memory at most, where batches are enlarged."""

PRIVATE_SPOOL, ENCODER_SPOOL = "features-", "encoder-"
"""Folders of features that no later run finds, and of encoders without a path, begin so."""

_logger = logging.getLogger(__name__)


class ModelKernels:
    """Makes, keeps and finds the kernels of one model. A context manager.

    While kernels are missing, a lock per model is held: of several processes, one records and the others wait until the
    store has what they need. Where no lock can be had, each does the work, with features in a folder of its own.

    Labels of ``recorder`` that are in ``others`` are for other machines, which kernels are shared with (:mod:`.shared`): they
    are made together with what is wanted here, so that those machines show no image again, and may fail.
    """

    def __init__(self, model, recorder, options: EngineOptions, others: Sequence[str] = ()):
        self._model, self._recorder, self._options = model, recorder, options
        self._for_others = tuple(others)
        self._wanted = tuple(
            label for label in dict.fromkeys(recorder.labels.values()) if label not in self._for_others
        )
        self.compute = Compute.on(options.device, options.max_memory, options.exact)
        self._on_device = (
            self.compute.device != "cpu"
            and isinstance(recorder, CommitmentRecorder)
            and recorder.keep_on(self.compute.device)
        )
        self._identity = ModelIdentity.of(model)
        self._store = KernelStore(options.kernels) if options.store else None
        is_shared = self._store is not None and recorder.needs_images
        self._shared = SharedKernels.configured(self._identity.identifier) if is_shared else None
        self._asked: set[str] = set()
        self._spools: dict[tuple[str, StimulusPart], FeatureSpool | DeviceFeatures] = {}
        self._probes: dict[tuple[str, StimulusPart], Probe] = {}
        self._refused: dict[str, tuple] = {}
        self._batch_bytes = 0
        self._directory: Path | None = None
        self._lock: ProcessLock | None = None
        self._spool_lock: ProcessLock | None = None
        self._private_lock: ProcessLock | None = None
        self._unstable: set[str] = set()
        self._notes: dict[str, list[str]] = {}
        self._served = False
        self._changed: dict[str, list[str]] = {}
        self._used: dict[tuple[StimulusPool, str], Probe] = {}
        self._hashes: dict[StimulusPool, Mapping[str, str | None]] = {}

    def __enter__(self) -> ModelKernels:
        return self

    def __exit__(self, kind, *_) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)
        for spool in self._spools.values():
            spool.close()
        # after Ctrl-C, as after a kill, the features stay for the next run; after an error, or when nobody wants more
        # results, they would be left behind
        if self._directory is not None and not (interrupted and self._spool_lock is not None):
            shutil.rmtree(self._directory, ignore_errors=True)
        if kind is None and self._store is not None and self._served and self._directory is None:
            self._remove_leftovers()
        for lock in (self._private_lock, self._spool_lock, self._lock):
            if lock is not None:
                lock.release()

    def prepare(self, pool: StimulusPool, labels: Sequence[str]) -> None:
        """Make sure that the kernels of a pool can be had, showing the model what it has not seen yet."""
        missing = self.missing(pool, labels)
        if not missing:
            return
        if self._store is not None:
            self._store.check_room([len(pool.stimulus_ids)] * len(missing))
            missing = self._wait_for_turn(pool, missing)
        missing = [label for label in missing if not self._fetch(pool, label)]
        others = self._others(pool) if missing else []
        try:
            self._record_all(pool, [*missing, *others])
        except StimulusKernelError as error:
            if not others:
                raise
            self._leave_to_others(error)
            self.drop(pool.parts)
            self._record_all(pool, missing)
            return
        for label in others:
            try:
                self.kernel(pool, label)  # making it keeps and shares it
            except StimulusKernelError as error:
                self._leave_to_others(error)
                return

    def _leave_to_others(self, error: StimulusKernelError) -> None:
        _logger.warning("Kernels of %s are left to the machines that want them: %s", ", ".join(self._for_others), error)
        self._for_others = ()

    def _record_all(self, pool: StimulusPool, labels: Sequence[str]) -> None:
        for part in pool.parts:
            wanted = [label for label in labels if (label, part) not in self._spools]
            if wanted and part.stimulus_ids:
                self._record(pool, part, wanted)

    def _fetch(self, pool: StimulusPool, label: str) -> bool:
        """Whether another machine's kernel is in the store now. One that was of no use is not asked for again."""
        key = self._key(pool, label)
        if self._shared is None or key in self._asked:
            return False
        self._asked.add(key)
        return self._shared.fetch(key, self._store, _packed_bytes(pool))

    def _others(self, pool: StimulusPool) -> list[str]:
        """What other machines may want, whose kernels are nowhere yet, if the disk has room for the features."""
        if self._shared is None or not self._shared.is_up or self._options.random_features != "refuse":
            return []
        self._probe(pool, self._wanted[0])  # after it, what cannot be recorded is not among them
        wanted = [
            label
            for label in self.missing(pool, self._for_others)
            if (key := self._key(pool, label)) not in self._asked and not self._shared.holds(key)
        ]
        n_features = sum(self._probe(pool, label).n_features for label in wanted)
        needed = len(pool.stimulus_ids) * n_features * 4 + len(wanted) * _packed_bytes(pool)
        return wanted if needed < shutil.disk_usage(self._spool_directory()).free / 2 else []

    def kernel(self, pool: StimulusPool, label: str) -> StimulusKernel:
        """The kernel of a prepared pool."""
        key, self._served = self._key(pool, label), True
        while not self._recorded(pool, label):
            stored = self._store.load(key)
            if stored is not None and self._is_this_model(self._as_probed(pool, key), label, stored[1]):
                self._used[pool, label] = stored[1]
                self._note(label, *self._store.notes(key))
                return stored[0]
            self._refused[key] = self._store.state(key)  # damaged, or of another model: made again, and replaced
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
                "notes": self._changed.get(label, []),
                "probe_stimuli": probe_ids(pool.parts[0]),
            }
            self._hashes.pop(pool, None)  # an image that has changed since is one of another kernel
            key = self._key(pool, label)
            is_kept = self._store.save(key, kernel, self._probe(pool, label), description)
            if is_kept and self._shared is not None:
                self._shared.push(key, self._store, _packed_bytes(pool))
        return kernel

    def features(self, pool: StimulusPool, labels: Sequence[str]) -> list[list[FeatureSource]]:
        """The features behind the kernels of ``labels``, stacked along the pool's parts: recorded where they are not."""
        self._record_all(pool, labels)
        return [[self._spools[label, part] for part in pool.parts if part.stimulus_ids] for label in labels]

    def notes(self, label: str) -> tuple[str, ...]:
        """What a Score should say of the features recorded under ``label``, one sentence each."""
        return (*self._recorder.notes.get(label, ()), *self._notes.get(label, ()))

    def features_digest(self, pool: StimulusPool, label: str) -> str:
        """Digest of the features that a kernel was made of (:attr:`~..features.probe.Probe.digest`)."""
        return self._used.get((pool, label), self._probe(pool, label)).digest

    def _note(self, label: str, *notes: str) -> None:
        known = self._notes.setdefault(label, [])
        known += [note for note in notes if note not in known]

    def _recorded(self, pool: StimulusPool, label: str) -> bool:
        return all((label, part) in self._spools for part in pool.parts if part.stimulus_ids)

    def n_features(self, pool: StimulusPool, label: str) -> int:
        """Width of the features that are recorded under ``label``; shows the model a handful of images at first."""
        return self._probe(pool, label).n_features

    def seconds_per_image(self, pool: StimulusPool, budget: float) -> tuple[float, float]:
        """What an image takes in a recording of all labels, features to the disk included, and what comes once.

        Keeps nothing. Shows the stimuli of the fingerprint, then as many of the pool as ``budget`` seconds allow, each twice:
        networks prepare themselves for a size of batches when they first meet it. Networks that are not slow are shown some
        batches, as images of one are prepared while the network answers to the one before.
        """
        for label in self._wanted:
            self._probe(pool, label)
        few = probe_ids(pool.parts[0])
        each = [self._seconds_to_record(pool, few)[0] for _ in range(2)][1] / len(few)
        n = SOME_BATCHES if SOME_BATCHES * each < LONGER * budget else 0
        n = min(int(np.clip(budget / each, max(n, 2 * len(few)), MOST_TIMED)), len(pool.stimulus_ids))
        (first, _), (again, under_way) = (self._seconds_to_record(pool, pool.stimulus_ids[:n]) for _ in range(2))
        return again / n if under_way is None else under_way, max(0.0, first - again)

    def _seconds_to_record(self, pool: StimulusPool, stimulus_ids: Sequence[str]) -> tuple[float, float | None]:
        """Seconds for all, and for each image after the first batch; None if there is no other."""
        placed = self._place(pool, stimulus_ids)
        done = [(time.perf_counter(), 0)]
        with scratch_spool(self._options.spool) as folder:
            spools = {
                label: FeatureSpool(folder / f"{i}.features", len(stimulus_ids), label)
                for i, label in enumerate(self._wanted)
            }

            def sink(batch):
                for label, features in batch.items():
                    spools[label].append(features)
                done.append((time.perf_counter(), done[-1][1] + len(features)))

            self._recorder.record(placed, self._wanted, sink)
            for spool in spools.values():
                spool.close()
        (start, _), (first, n_first), (last, n) = done[0], done[1], done[-1]
        return last - start, (last - first) / (n - n_first) if n > n_first else None

    def drop(self, parts: Iterable[StimulusPart]) -> None:
        """Remove the features of parts that no later kernel needs."""
        parts = set(parts)
        for key in [key for key in self._spools if key[1] in parts]:
            self._spools.pop(key).remove()

    def _key(self, pool: StimulusPool, label: str) -> str:
        """Of the images as they were when the pool was first asked about: to find all of them takes a while."""
        if pool not in self._hashes:
            self._hashes[pool] = content_hashes(self._identity, pool, pool.stimulus_ids)
        return kernel_key(self._identity, label, pool, self._hashes[pool])

    def missing(self, pool: StimulusPool, labels: Sequence[str]) -> list[str]:
        """Those of ``labels`` whose kernels are not in the store; all of them where none are kept."""
        if self._store is None:
            return list(labels)
        keys = {label: self._key(pool, label) for label in labels}
        return [
            label
            for label, key in keys.items()
            if not self._store.has(key) or self._store.state(key) == self._refused.get(key)
        ]

    def _wait_for_turn(self, pool: StimulusPool, missing: list[str]) -> list[str]:
        """Hold the model's lock, or return with nothing missing because another process has done the work."""
        lock, announced = ProcessLock(_lock_of(self._store.directory / self._identity.key)), False
        while missing and self._lock is None:
            try:
                if lock.acquire(wait=False):
                    self._lock = lock
                    self._store.sweep()
                    return self.missing(pool, missing)
            except LockingError as error:
                warn_once(
                    f"{error} For kernels, that is --store-directory. This run goes on without a lock: several may "
                    f"make the same kernels."
                )
                return missing
            if not announced:
                _logger.warning("Another process is making kernels of %s; waiting.", self._identity.identifier)
                announced = True
            time.sleep(LOCK_POLL_SECONDS)
            missing = self.missing(pool, missing)
        return missing

    def _remove_leftovers(self) -> None:
        """Features of a run that was killed between writing its last kernel and removing them: all of them are complete.

        Those of a run that was killed while it recorded wait for the run that takes it up, whatever else is scored before.
        """
        leftovers = self._options.spool / self._identity.key
        is_there = leftovers.exists() or _lock_of(leftovers).exists()
        if is_there and all(is_complete(path) for path in leftovers.glob("*.features")) and self._own_spool():
            shutil.rmtree(leftovers, ignore_errors=True)

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
                    probed[label].extend(
                        host(features[row - position]) for row in rows if position <= row < position + size
                    )
                position += size
                bar.update(size)

            if done < len(part.stimulus_ids):
                self._recorder.record(_from(placed, done), labels, sink)
        if done == 0 and len(rows):
            for label in labels:
                self._check_repeats(pool, label, Probe.of(np.stack(probed[label])))

    def _open_spool(self, pool: StimulusPool, part: StimulusPart, label: str) -> FeatureSpool | DeviceFeatures:
        if self._on_device:
            n_stimuli, n_features = len(part.stimulus_ids), self._probe(pool, label).n_features
            room = DeviceRoom(self.compute, len(pool.stimulus_ids), self._batch_bytes)
            if room.fits(4 * n_stimuli * n_features):
                return DeviceFeatures(n_stimuli, n_features, label, self.compute)
        path = self._spool_directory() / f"{features_key(self._identity, label, part, pool)}.features"
        spool = FeatureSpool(path, len(part.stimulus_ids), label, self._probe(pool, label))
        spool.resume()
        return spool

    def _spool_directory(self) -> Path:
        if self._directory is None:
            parent, shared = self._options.spool, self._options.spool / self._identity.key
            if error := cannot_write(parent):
                raise StorageError(
                    f"Features wait on disk between the forward pass and the kernel, but {parent} cannot be written "
                    f"({error.strerror}). Choose another folder (--spool-directory, or the environment variable "
                    f"BRAINSCORE_HOME)."
                ) from error
            if self._store is not None and self._own_spool() and not cannot_write(shared):
                self._directory = shared  # a killed run's features are found here
            else:
                self._directory, self._private_lock = private_spool(parent, PRIVATE_SPOOL)
        return self._directory

    def _own_spool(self) -> bool:
        """Whether no other process uses the folder where a later run of the model finds features."""
        lock = ProcessLock(_lock_of(self._options.spool / self._identity.key))
        with contextlib.suppress(LockingError):
            if lock.acquire(wait=False):
                self._spool_lock = lock
        return self._spool_lock is not None

    def _probe(self, pool: StimulusPool, label: str) -> Probe:
        """The model's fingerprint as it is now; one pass over a few stimuli per run, for all labels at once."""
        part = pool.parts[0]
        if (label, part) not in self._probes:
            try:
                batches = self._first_pass(pool)
            except StimulusKernelError as error:
                if not self._for_others:
                    raise
                self._leave_to_others(error)
                batches = self._first_pass(pool)
            # after a pass: weights may be made in the first one
            network, preprocessing = network_digest(self._model), preprocessing_digest(self._model)
            digests = network, preprocessing, structure_digest(self._model, steady=True)
            self._probes.update({(name, part): Probe.of(np.concatenate(batches[name]), *digests) for name in batches})
        return self._probes[label, part]

    def _first_pass(self, pool: StimulusPool) -> dict[str, list[np.ndarray]]:
        """Features of a few stimuli of a pool's first part: label to batches."""
        batches: dict = {label: [] for label in (*self._wanted, *self._for_others)}

        def sink(batch):
            for label, features in batch.items():
                batches[label].append(host(features))

        owners = may_learn(self._model) if self._recorder.needs_images else []
        before = Held(owners)
        with noticing_changes(self._model), self.compute.measuring() as peak:
            self._recorder.record(self._place(pool, probe_ids(pool.parts[0])), list(batches), sink)
        if owners:
            self._check_first_images(pool, owners, before, list(batches))
        self._batch_bytes = peak.n_bytes
        if self._on_device:
            self._batch_bytes *= self._recorder.enlarge_batches(peak.n_bytes, self.compute.free_bytes() // ROOM_SHARE)
        return batches

    def _check_first_images(self, pool: StimulusPool, owners: list, before: Held, labels: list[str]) -> None:
        """Raise ModelOutputError if features depend on which images were shown first."""
        shown = probe_ids(pool.parts[0])
        left = set(pool.parts[0].stimulus_ids).difference(shown)
        others = [one for one in pool.parts[0].stimulus_ids if one in left][: len(shown)]

        def features(stimulus_ids) -> dict[str, Probe]:
            found = {label: [] for label in labels}

            def sink(batch):
                for label, values in batch.items():
                    found[label].append(host(values))

            self._recorder.record(self._place(pool, stimulus_ids), labels, sink)
            return {label: Probe.of(np.concatenate(batches)) for label, batches in found.items()}

        def same(one: dict[str, Probe], other: dict[str, Probe]) -> bool:
            return all(one[label].difference(other[label]) <= TOLERANCE for label in labels)

        learned = others and learned_from_first(owners, before, lambda: features(shown), lambda: features(others), same)
        if learned:
            raise ModelOutputError(first_images_matter(self._identity.identifier, learned))

    def _as_probed(self, pool: StimulusPool, key: str) -> StimulusPool:
        """A pool to compare a stored fingerprint in: of the same stimuli, also where the pool was in other parts then."""
        stimuli = self._store.probe_stimuli(key)
        if stimuli is None or stimuli == probe_ids(pool.parts[0]):
            return pool
        return replace(pool, parts=(StimulusPart(pool.parts[0].name, stimuli),))

    def _is_this_model(self, pool: StimulusPool, label: str, stored: Probe) -> bool:
        probe = self._probe(pool, label)
        if probe.agrees(stored):
            return True
        if probe.answers_as(stored):  # code and settings alone: a network that keeps what it has seen may look so, too
            _logger.warning(
                "Code or settings of %s are not those that its kernel of %s was made by. It is made again.",
                self._identity.identifier,
                label,
            )
            return False
        changed = (
            f"The features of {self._identity.identifier} in {label} differ by {probe.difference(stored):.2g} of their spread "
            f"from those that its kernel was made of"
        )
        if not probe.same_network(stored):
            changed += f" (network {stored.network} then, {probe.network} now)"
        if not probe.same_preprocessing(stored):
            changed += " (what prepares its images, or an array that it holds, has changed)"
        if self._options.changed_models == "refuse":
            raise ModelOutputError(
                f"{changed}, earlier in the same work: two networks under one name. A model is the same network each time it "
                f"is made: seed its weights (torch.manual_seed in the function that makes it), or save and load them. Two "
                f"models that differ have two identifiers."
            )
        note = f"{changed}: the network under this name has changed. The kernel was made again on {datetime.now(UTC):%Y-%m-%d}."
        if label not in self._changed:
            _logger.warning("%s", note)
            self._changed[label] = [note]
            self._note(label, note)
        return False

    def _check_repeats(self, pool: StimulusPool, label: str, recorded: Probe) -> None:
        first = self._probe(pool, label)
        if first.agrees(recorded):
            return
        message = (
            f"A model must answer alike to the same images, but features of {self._identity.identifier} in {label} differ "
            f"between two passes by {first.difference(recorded):.2g} of their spread"
        )
        if self._options.random_features == "refuse":
            by_batch = normalised_by_batch(self._model)
            if by_batch:
                message += (
                    f": {by_batch} of its modules normalise images by those that are shown with them (BatchNorm with "
                    f"track_running_stats=False). Give them running statistics"
                )
            else:
                message += (
                    ". Put the model in evaluation mode (dropout, noise); if its answer to an image depends on the others of a "
                    "batch, as that of dynamically quantised layers, show them one by one (batch_size=1)"
                )
            raise ModelOutputError(
                f"{message}, or score it once without keeping its kernels (--accept-random-features)."
            )
        note = f"{message}. It is scored on one pass, and its kernels are not kept."
        _logger.warning("%s", note)
        self._note(label, note)
        self._unstable.add(label)

    def _place(self, pool: StimulusPool, stimulus_ids: Sequence[str]):
        if not self._recorder.needs_images:
            named = StimulusSet({"stimulus_id": list(stimulus_ids)})
            named.stimulus_paths, named.identifier = {}, None
            return named
        placed = place_on_model_screen(
            stimuli=pool.load_stimuli(stimulus_ids),
            content_hashes=pool.content_hashes(stimulus_ids),
            source_degrees=pool.visual_degrees,
            target_degrees=self._identity.visual_degrees,
            folders=(self._options.screen, self._options.spool / "screen"),
            progress=self._options.progress,
        )
        if list(placed["stimulus_id"]) != list(stimulus_ids):
            raise StimulusKernelError(f"The provider of {pool.name} must return the stimuli asked for, in their order.")
        return placed

    def _bar(self, total: int, unit: str, description: str) -> tqdm:
        # disable=None: silent when standard error is not a terminal
        return tqdm(
            total=total, unit=unit, desc=description, leave=False, disable=None if self._options.progress else True
        )


def private_spool(parent: Path, prefix: str) -> tuple[Path, ProcessLock]:
    """A new folder that nobody else uses, and the lock that says so; whoever removes the folder releases it then.

    Parameters
    ----------
    parent : pathlib.Path
    prefix : {PRIVATE_SPOOL, ENCODER_SPOOL}
    """
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    lock = ProcessLock(_lock_of(folder))
    with contextlib.suppress(LockingError):
        lock.acquire(wait=False)
    return folder, lock


@contextlib.contextmanager
def scratch_spool(parent: Path) -> Iterator[Path]:
    """A private spool that is gone after the block; what a killed process leaves of it, :func:`unused_spools` finds."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, lock = private_spool(parent, PRIVATE_SPOOL)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@contextlib.contextmanager
def unused_spools(folder: Path) -> Iterator[list[Path]]:
    """Folders that killed runs left in a spool directory; nobody takes them up during a ``with`` block."""
    with contextlib.ExitStack() as locks:
        found = []
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if re.fullmatch(f"[0-9a-f]{{32}}|({PRIVATE_SPOOL}|{ENCODER_SPOOL}).+", path.name):
                lock = ProcessLock(_lock_of(path))
                locks.callback(lock.release)
                with contextlib.suppress(LockingError):
                    if not lock.acquire(wait=False):
                        continue
                found.append(path)
        yield found


def _packed_bytes(pool: StimulusPool) -> int:
    """About what a kernel takes in a file."""
    n = len(pool.stimulus_ids)
    return n * (n + 1) // 2 * 8


def _lock_of(path: Path) -> Path:
    return path.with_name(f".lock-{path.name}")


def _from(stimuli, start: int):
    rest = type(stimuli)(stimuli.iloc[start:].reset_index(drop=True))
    rest.stimulus_paths, rest.identifier = stimuli.stimulus_paths, None
    return rest


def recorder_of(model, regions: Sequence[str], options: EngineOptions):
    """Recorder of what tasks need; where kernels are shared with other machines, of all that the model is committed to."""
    if options.store and SharedKernels.configured(str(model.identifier)) is not None:
        with contextlib.suppress(StimulusKernelError):  # of a region that nobody asks for here
            return recorder_for(model, [*regions, *committed_regions(model)])
    return recorder_for(model, regions)
