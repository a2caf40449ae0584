"""How long a sweep takes and what it needs, from what a probe of seconds measures on this machine.

What can be counted is counted: images to show, to check and to fit to a field of view, kernels to make and to read, products,
decompositions, comparisons. What it takes is measured by doing a little of it with the sweep's own code: each model is shown
images for some seconds, and of each kind of cell one subject's share is computed, on a kernel of made-up features of the true
size. As many processes as the sweep has workers measure side by side, with as many threads each.
"""

from __future__ import annotations

import heapq
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    LookupModel,
    RidgeMetric,
    missing_kernels,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import Run
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import (
    count_unfitted,
    place_on_model_screen,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import Probe
from brainscore_vision.benchmark_helpers.stimulus_kernels.free_memory import available_bytes
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import build_kernel
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.making import scratch_spool
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import forecast_of, resident_bytes
from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import PROCESSORS
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.decomposition import way_to_decompose
from brainscore_vision.data.laion_fmri_7t.source import ResponseCache

from ..identifiers import parse
from ..networks.finding import find_model
from ..scoring import build_all, prepare, resolve_all
from .cluster import LocalWorkers, offered_bytes
from .plan import ModelPlan, SweepPlan, Target, label_of, shared_work
from .tasks import Work, limited_threads

MODEL_SECONDS = 2.0
"""About how long each model is shown images, twice."""

CELL_SECONDS = 2.0
"""Kinds of cells of short work are repeated until so much has gone by."""

LOOKS = 3
"""Times that a run looks for the images of a pool: twice to check the data, once for the names of its kernels."""

FEW_IMAGES = 32
"""Images that are checked, and fitted, to know how long one takes."""


@dataclass(frozen=True)
class ModelRates:
    """What is known of a model after the probe.

    Attributes
    ----------
    make, group, once, image : float
        Seconds to make it, for what each task on it does before it compares anything, for what its first batch takes more
        than others, and for an image.
    n_shown, n_unchecked, n_unfitted : int
        Images that it will be shown, those of them that were never read here, and those to be fitted to its field of view.
    degrees : float
        Width of its field of view.
    labels : dict of str to str
        Model region to what is recorded for it.
    widths : dict of str to int
        Features, by label.
    to_make : tuple of (int, int)
        Stimuli and features of each kernel that is not in the store.
    spool_bytes : int
        Features that wait on the disk at once, at most.
    peak : int
        Memory of a worker, in bytes.
    needs_images : bool
        Features of a table do not.
    """

    make: float
    group: float
    once: float
    image: float
    n_shown: int
    n_unchecked: int
    n_unfitted: int
    degrees: float
    labels: Mapping[str, str]
    widths: Mapping[str, int]
    to_make: tuple[tuple[int, int], ...]
    spool_bytes: int
    peak: int
    needs_images: bool = True

    @property
    def products(self) -> int:
        """Multiplications for the kernels that are not in the store, a symmetric product counted as half."""
        return sum(n * n * p // 2 for n, p in self.to_make)

    @property
    def store_bytes(self) -> int:
        """What these kernels take on the disk."""
        return sum(n * (n + 1) // 2 * 8 for n, _ in self.to_make)


@dataclass(frozen=True)
class CellRates:
    """Seconds for a kind of cell: once per kernel and training set, per subject, and per neuroid of a subject."""

    n_train: int
    decomposition: float
    subject: float
    neuroid: float


@dataclass(frozen=True)
class MachineRates:
    """What does not depend on the model.

    Attributes
    ----------
    multiplication : float
        Seconds for one of :attr:`ModelRates.products`.
    save, load : float
        Seconds for a kernel's number, of which there are as many as stimuli, squared.
    neuroid, halves : float
        Seconds to average a neuroid's trials, and to average their halves.
    find, check, fit : float
        Seconds to find an image's file and see that it has not changed, to read and decode it for the first time, and to fit it
        to a field of view.
    cells : dict
        Kind of cell and way to decompose to CellRates.
    """

    multiplication: float
    save: float
    load: float
    neuroid: float
    halves: float
    find: float
    check: float
    fit: float
    cells: Mapping[tuple, CellRates] = field(default_factory=dict)

    def of(self, kind: tuple, way: str) -> CellRates:
        """Of a kind of cell; by another way where none of this one was measured: subjects' training sets differ a little."""
        own = self.cells.get((kind, way))
        return own if own is not None else next(one for (other, _), one in self.cells.items() if other == kind)

    @classmethod
    def mean(cls, rates: Sequence[MachineRates]) -> MachineRates:
        """Of several processes."""
        cells = {
            kind: CellRates(
                *(statistics.fmean(getattr(one.cells[kind], name) for one in rates) for name in _fields(CellRates))
            )
            for kind in rates[0].cells
        }
        numbers = (statistics.fmean(getattr(one, name) for one in rates) for name in _fields(cls)[:-1])
        return cls(*numbers, cells)


@dataclass(frozen=True)
class Forecast:
    """What a sweep will take.

    Attributes
    ----------
    seconds : float
        Until its last cell is scored.
    stages : dict of str to float
        Seconds of work, of all workers together.
    n_shown, n_unchecked, n_unfitted : int
        Images shown to models, and those of them that have to be checked and to be fitted first.
    peak, store_bytes, spool_bytes : int
        Memory of the largest worker; kernels that will be kept; features that wait on the disk at once, of all workers.
    """

    seconds: float
    stages: Mapping[str, float]
    n_shown: int
    n_unchecked: int
    n_unfitted: int
    peak: int
    store_bytes: int
    spool_bytes: int

    def lines(self, like: LocalWorkers, n_workers: int) -> list[str]:
        """For people."""
        work = ", ".join(f"{stage} {_in_words(seconds)}" for stage, seconds in self.stages.items() if seconds)
        first = f", of which {self.n_unchecked:,} are read and decoded for the first time" if self.n_unchecked else ""
        first += f", {self.n_unfitted:,} are fitted to a field of view" if self.n_unfitted else ""
        too_much = ", more than one has: use fewer" if like.memory and self.peak > offered_bytes(like.memory) else ""
        return [
            f"Forecast: {_in_words(self.seconds)} with as many workers as {n_workers}, each as fast as a process of "
            f"{like.threads} threads here ({like.n} side by side).",
            f"  work of all workers: {work}",
            f"  images: {self.n_shown:,} are shown to models{first}",
            f"  memory: {self.peak / 1e9:.1f} GB a worker at most{too_much}",
            f"  disk: {self.store_bytes / 1e9:.3f} GB of kernels that are kept, {self.spool_bytes / 1e9:.3f} GB of features at "
            f"once at most",
        ]


def _in_words(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def measure_model(plan: ModelPlan, engine: EngineOptions) -> ModelRates:
    """Measure one model, in this process; shows it images for about ``MODEL_SECONDS``."""
    start = time.perf_counter()
    model = find_model(plan.model).model(plan.layers)
    make = time.perf_counter() - start
    benchmarks = build_all(target.identifier for target in plan.todo).values()
    candidate, plans = prepare(model, benchmarks, None, engine)
    tasks = [task for one in plans for task in one.tasks]
    available, resident = available_bytes(), resident_bytes()
    with Run([candidate], tasks, engine) as run:
        expected = forecast_of(run, available, resident, _n_neuroids)
        labels, to_make = run.labels, run.to_make()
        # a table shows no images, and reading it takes no time beside the rest
        to_show = [] if isinstance(candidate, LookupModel) else run.to_show()
        widths = dict(zip((labels[job.task.model_region] for job in run.jobs), run.n_features(), strict=True))
        image, once = run.seconds_per_image(MODEL_SECONDS) if to_show else (0.0, 0.0)
    n_unchecked, n_unfitted = _images_to_prepare(to_show, candidate, engine)
    group = statistics.median(_seconds(_begin, plan, candidate, list(benchmarks)[:1], engine) for _ in range(3))
    recorded = {item.labels[0] for item in to_make}
    return ModelRates(
        make=make,
        group=group,
        once=once,
        image=image,
        n_shown=sum(len(part.stimulus_ids) for _, part in to_show),
        n_unchecked=n_unchecked,
        n_unfitted=n_unfitted,
        degrees=float(candidate.visual_degrees()),
        labels=labels,
        widths=widths,
        to_make=tuple((len(item.pool.stimulus_ids), widths[item.labels[0]]) for item in to_make),
        spool_bytes=4
        * sum(widths[label] for label in recorded)
        * max((len(item.pool.stimulus_ids) for item in to_make), default=0),
        peak=expected.peak + _response_bytes(tasks),
        needs_images=not isinstance(candidate, LookupModel),
    )


def _begin(plan: ModelPlan, candidate, benchmarks: Sequence, engine: EngineOptions) -> None:
    """What a task does before it compares anything, and what it says of itself."""
    model, plans = prepare(candidate, benchmarks, None, engine)
    tasks = [task for one in plans for task in one.tasks]
    with limited_threads(PROCESSORS.get()):
        missing_kernels(model, tasks, engine)
        network_digest(model)
        with Run([model], tasks, engine) as run:
            run.n_features()
        Work(plan, cells=True, bytes=0).facts(None, datetime.now(UTC))


def _images_to_prepare(to_show, candidate, engine: EngineOptions) -> tuple[int, int]:
    """How many of a model's images were never read here, and how many are not fitted to its field of view yet."""
    n_unchecked = n_unfitted = 0
    parts = {part: pool for pool, part in to_show}  # those of a part that is shown again are there by then
    for part, pool in parts.items():
        unchecked = set(pool.provider.dataset.unchecked_images(part.stimulus_ids))
        checked = [stimulus_id for stimulus_id in part.stimulus_ids if stimulus_id not in unchecked]
        degrees = pool.visual_degrees, candidate.visual_degrees()
        n_unchecked += len(unchecked)
        n_unfitted += len(unchecked) if degrees[0] != degrees[1] else 0
        if checked:
            stimuli, hashes = pool.load_stimuli(checked), pool.content_hashes(checked)
            n_unfitted += count_unfitted(stimuli, hashes, *degrees, (engine.screen, engine.spool / "screen"))
    return n_unchecked, n_unfitted


def measure_machine(plan: SweepPlan, models: Sequence[ModelRates], engine: EngineOptions) -> MachineRates:
    """Measure what does not depend on the model, in this process, for all of a sweep's benchmarks and the layers of models."""
    targets = list(dict.fromkeys(target for model in plan.models for target in model.todo))
    widths = sorted({width for one in models for width in one.widths.values()})
    degrees = next((one.degrees for one in models if one.n_unfitted), None)
    unread = any(one.n_unchecked for one in models)
    compute = Compute.on(engine.device, engine.max_memory, engine.exact)
    by_kind = _by_kind(targets)
    with scratch_spool(engine.spool) as folder:
        made_for, per_number, cells = None, {}, {}
        neuroid, halves = _seconds_to_read([task for _, *tasks in by_kind.values() for task in tasks])
        for kind, (plan, few, many) in by_kind.items():
            for way, width in _ways(few, widths, compute).items():
                if made_for != (few.pool, width):  # one at a time is in memory
                    kernel, *rates = _made_up(few, width, folder, compute)
                    made_for, per_number[len(few.pool.stimulus_ids)] = (few.pool, width), rates
                cells[kind, way] = _measure_cell(plan, few, many, kernel, compute)
        provider, ids = few.pool.provider, few.pool.stimulus_ids
        check = fit = 0.0
        if unread and (unchecked := provider.dataset.unchecked_images(ids)[:FEW_IMAGES]):
            check = _seconds(provider.content_hashes, unchecked) / len(unchecked)
        find = _seconds_to_find(provider, ids) if any(one.needs_images for one in models) else 0.0
        if degrees is not None:
            some = ids[:FEW_IMAGES]
            stimuli, hashes = provider.load_stimuli(some), provider.content_hashes(some)
            place = [stimuli, hashes, few.pool.visual_degrees, degrees, [folder / "screen"]]
            fit = _seconds(place_on_model_screen, *place) / len(some)
    return MachineRates(*per_number[max(per_number)], neuroid, halves, find, check, fit, cells)


def _seconds_to_find(provider, stimulus_ids: Sequence[str]) -> float:
    """Per image, of those that were read before."""
    unchecked = set(provider.dataset.unchecked_images(stimulus_ids))
    known = [stimulus_id for stimulus_id in stimulus_ids if stimulus_id not in unchecked]
    seconds = _seconds(provider.load_stimuli, known) + _seconds(provider.content_hashes, known)
    return seconds / 2 / max(1, len(known))


def _by_kind(targets: Sequence[Target]) -> dict:
    """Kind of cell to a plan of it, and the tasks with the fewest and the most neuroids of those that share a decomposition."""
    plans = resolve_all(build_all(target.identifier for target in targets).values())
    tasks = defaultdict(list)
    for kind, plan in zip(map(kind_of, targets), plans, strict=True):
        tasks[kind] += [(task, plan) for task in plan.tasks]
    found = {}
    for kind, of_kind in tasks.items():
        (first, plan), *_ = of_kind
        sharing = [task for task, _ in of_kind if (task.pool, task.train_ids) == (first.pool, first.train_ids)]
        found[kind] = plan, min(sharing, key=_n_neuroids), max(sharing, key=_n_neuroids)
    return found


def kind_of(target: Target) -> tuple:
    """Cells of one kind have pools and splits of about the same size, and are compared alike."""
    cell = parse(target.identifier)
    return cell.pool, cell.split, cell.metric


def _ways(task, widths: Sequence[int], compute: Compute) -> dict[str, int]:
    """Ways to decompose the task's kernel that layers of these widths lead to, each with features to measure it on."""
    n = len(task.pool.stimulus_ids)
    ways = {_way(task, width, compute): width for width in sorted(widths)}
    return {way: width if width < len(task.train_ids) else n + 64 for way, width in ways.items()}


def _way(task, width: int, compute: Compute) -> str:
    return way_to_decompose(len(task.train_ids), compute, width) if isinstance(task.metric, RidgeMetric) else ""


def _seconds_to_read(tasks: Sequence) -> tuple[float, float]:
    """Seconds to average a neuroid's trials, and to average their halves where a metric asks for them; reads all of them."""
    whole = {task.load_responses: task for task in tasks}
    in_halves = {
        (task.load_halves, task.test_ids): task
        for task in tasks
        if task.load_halves is not None and not isinstance(task.metric, RidgeMetric)
    }
    seconds = [
        sum(_seconds(task.load_responses) for task in whole.values()),
        sum(_seconds(task.load_halves, task.test_ids) for task in in_halves.values()),
    ]
    numbers = (sum(map(_n_neuroids, of.values())) for of in (whole, in_halves))
    return tuple(spent / max(1, n) for spent, n in zip(seconds, numbers, strict=True))


def _made_up(task, width: int, folder: Path, compute: Compute):
    """A kernel of a task's pool, of features that predict a part of its responses, and seconds to make, keep and read it."""
    ids, rng = task.pool.stimulus_ids, np.random.default_rng(0)
    responses = task.load_responses().select(ids).values
    signal = (responses - responses.mean(axis=0)) / responses.std(axis=0)
    mixture = rng.standard_normal((signal.shape[1], width), dtype=np.float32) / np.float32(signal.shape[1] ** 0.5)
    spool = FeatureSpool(folder / f"{width}.features", len(ids), "made up")
    for start in range(0, len(ids), 64):
        rows = signal[start : start + 64].astype(np.float32)
        spool.append(rows @ mixture + rng.standard_normal((len(rows), width), dtype=np.float32))
    start = time.perf_counter()
    kernel = build_kernel([spool], ids, compute)
    multiplication = (time.perf_counter() - start) / (len(ids) ** 2 * width / 2)
    spool.remove()
    store, probe = KernelStore(folder), Probe.of(rng.standard_normal((8, width)))
    described = {"model": "made up", "label": "made up", "pool": task.pool.name, "created": ""}
    save = _seconds(store.save, "made-up", kernel, probe, described) / len(ids) ** 2
    load = _seconds(store.load, "made-up") / len(ids) ** 2
    store.remove("made-up")
    return kernel, multiplication, save, load


def _measure_cell(plan, few, many, kernel, compute: Compute) -> CellRates:
    """Compare few, many and again few neuroids with one decomposition: three times, three unknowns."""
    n_few, n_many = _n_neuroids(few), _n_neuroids(many)
    alone = few.load_responses == many.load_responses
    runs, begun = [], time.perf_counter()
    while not runs or (time.perf_counter() - begun < CELL_SECONDS and len(runs) < 6):
        marks, results = [time.perf_counter()], []
        for _, result in few.metric.evaluate(kernel, [few] if alone else [few, many, few], compute):
            marks.append(time.perf_counter())
            results.append(result)
        spent = np.diff(marks)
        for i in range(len(results)):
            same = [replace(results[i], subject=task.subject) for task in plan.tasks]
            spent[i] += _seconds(plan.score, same) / len(same)
        runs.append(spent)
    spent = np.median(runs, axis=0)
    if alone:
        return CellRates(len(few.train_ids), 0.0, float(spent[0]), 0.0)
    neuroid = max(0.0, float(spent[1] - spent[2]) / max(1, n_many - n_few))
    subject = max(0.0, float(spent[1]) - n_many * neuroid)
    return CellRates(len(few.train_ids), max(0.0, float(spent[0] - spent[2])), subject, neuroid)


def _n_neuroids(task) -> int:
    return task.load_responses.n_neuroids


def _response_bytes(tasks) -> int:
    """What a worker keeps of responses."""
    sizes = {task.load_responses: 4 * len(task.pool.stimulus_ids) * _n_neuroids(task) for task in tasks}
    return min(ResponseCache().max_bytes, sum(sizes.values()))


def _seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def _fields(kind) -> list[str]:
    return [one.name for one in fields(kind)]


def forecast(
    plan: SweepPlan,
    models: Mapping[str, ModelRates],
    machine: MachineRates,
    engine: EngineOptions,
    n_workers: int,
    start: float,
) -> Forecast:
    """Forecast a sweep.

    Parameters
    ----------
    plan : SweepPlan
    models : mapping of str to ModelRates
        Models that have none are left out.
    machine : MachineRates
    engine : EngineOptions
    n_workers : int
        Processes side by side.
    start : float
        Seconds until a worker is there.
    """
    known = [(model, models[model.model]) for model in plan.models if model.todo and model.model in models]
    compute = Compute(engine.device, engine.max_memory, engine.exact)
    stages: dict[str, float] = defaultdict(float)
    resolved: dict[tuple, list] = {}
    n_unchecked, unfitted, work = 0, {}, []
    for model, rates in known:
        new = max(0, rates.n_unchecked - n_unchecked), max(0, rates.n_unfitted - unfitted.get(rates.degrees, 0))
        n_unchecked, unfitted[rates.degrees] = n_unchecked + new[0], unfitted.get(rates.degrees, 0) + new[1]
        names = tuple(target.identifier for target in model.todo)
        if names not in resolved:
            resolved[names] = resolve_all(build_all(names).values())
        tasks = [task for one in resolved[names] for task in one.tasks]
        of_model = {
            "checking images": new[0] * machine.check,
            "fitting images": new[1] * machine.fit,
            # memory is forecast first, which shows and finds the same once more
            "passes": rates.once + rates.n_shown * rates.image + 2 * (rates.group + _finding(tasks, rates, machine)),
            "kernels": rates.products * machine.multiplication + sum(n * n for n, _ in rates.to_make) * machine.save,
        }
        cells = [_cost(group, rates, machine, compute) for group in _groups(model, resolved[names], rates)]
        of_model["cells"] = sum(cells)
        for stage, seconds in of_model.items():
            stages[stage] += seconds
        work.append((rates.make, sum(of_model.values()) - of_model["cells"], cells))
    tasks = {task for plans in resolved.values() for one in plans for task in one.tasks}
    reading = (
        sum(_n_neuroids(task) for task in {task.load_responses: task for task in tasks}.values()) * machine.neuroid
    )
    in_halves = {task.load_responses: task for task in tasks if not isinstance(task.metric, RidgeMetric)}
    reading += sum(map(_n_neuroids, in_halves.values())) * machine.halves
    stages["reading responses"] = reading * n_workers
    seconds, n_made = _seconds_side_by_side(work, n_workers, start + reading)
    stages["making models"] = n_made
    return Forecast(
        seconds=seconds,
        stages=stages,
        n_shown=sum(rates.n_shown for _, rates in known),
        n_unchecked=n_unchecked,
        n_unfitted=sum(unfitted.values()),
        peak=max((rates.peak for _, rates in known), default=0),
        store_bytes=sum(rates.store_bytes for _, rates in known),
        spool_bytes=n_workers * max((rates.spool_bytes for _, rates in known), default=0),
    )


def _groups(model: ModelPlan, plans: Sequence, rates: ModelRates) -> Iterator[list[tuple]]:
    """The tasks that the sweep will make of a model's cells, each as a list of (kind, task)."""
    of_name = {target.identifier: (kind_of(target), plan) for target, plan in zip(model.todo, plans, strict=True)}
    for names in shared_work(list(of_name), plans, rates.labels):
        yield [(of_name[name][0], task) for name in names for task in of_name[name][1].tasks]


def _cost(group: Sequence[tuple], rates: ModelRates, machine: MachineRates, compute: Compute) -> float:
    """Seconds of one task of cells, its model made and the responses read."""
    seconds, loaded, decomposed = rates.group + _finding([task for _, task in group], rates, machine), set(), set()
    for kind, task in group:
        label = label_of(task, rates.labels)
        own = machine.of(kind, _way(task, rates.widths[label], compute))
        size = len(task.train_ids) / own.n_train if own.n_train else 1.0
        if (label, task.pool) not in loaded:
            loaded.add((label, task.pool))
            seconds += machine.load * len(task.pool.stimulus_ids) ** 2
        if (label, task.pool, task.train_ids, task.metric) not in decomposed:
            decomposed.add((label, task.pool, task.train_ids, task.metric))
            seconds += own.decomposition * size**3
        seconds += (own.subject + own.neuroid * _n_neuroids(task)) * size**2
    return seconds


def _finding(tasks: Sequence, rates: ModelRates, machine: MachineRates) -> float:
    """Seconds to find the images of the tasks' pools, as each run does before it compares anything."""
    n = sum(len(pool.stimulus_ids) for pool in {task.pool for task in tasks})
    return n * LOOKS * machine.find if rates.needs_images else 0.0


def _seconds_side_by_side(
    work: Sequence[tuple[float, float, list[float]]], n_workers: int, start: float
) -> tuple[float, float]:
    """When the last worker ends, and the seconds that all of them made models for.

    Parameters
    ----------
    work : sequence of (float, float, list of float)
        Of each model: seconds to make it, of its kernels, and of each of its tasks after that. Whoever is free takes a task
        of a model whose kernels are there, else the kernels of the next model, as a sweep hands them out.
    n_workers : int
    start : float
        When workers begin.
    """
    free = [(start, worker) for worker in range(n_workers)]
    kernels, ready, own, making, end = deque(range(len(work))), [], {}, 0.0, start
    while free and (kernels or ready):
        now, worker = heapq.heappop(free)
        following: list[float] = []
        if ready and (ready[0][0] <= now or not kernels):
            since, model, seconds = heapq.heappop(ready)
            now = max(now, since)
        else:
            model = kernels.popleft()
            _, seconds, following = work[model]
        if own.get(worker) != model:
            own[worker], making = model, making + work[model][0]
            now += work[model][0]
        now += seconds
        for one in following:
            heapq.heappush(ready, (now, model, one))
        end = max(end, now)
        heapq.heappush(free, (now, worker))
    return end, making
