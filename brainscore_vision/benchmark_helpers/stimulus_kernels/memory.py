"""What a run will need of memory, said before it starts: the sizes are known, and one small pass measures the model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from brainscore_vision.benchmark_helpers.memory import available_memory_gb

from .comparisons import RidgeMetric
from .engine import Run
from .kernels.compute import BYTES, Compute
from .kernels.kernel import COLUMN_BLOCK
from .options import EngineOptions
from .ridge.decomposition import BAND_WIDTH, way_to_decompose
from .ridge.fit import MIXTURES, NEUROID_BLOCK
from .tasks import SubjectTask

GIB = 1024**3
SAMPLING_SECONDS = 0.001


@dataclass(frozen=True)
class MemoryForecast:
    """Bytes that a run will need, by stage; stages follow each other.

    Attributes
    ----------
    resident : int
        What the process holds already: the program, the model, the responses.
    recording : int
        One batch of the model, as measured on a small pass.
    kernel, decomposition, evaluation : int
        Matrices of the engine, from their sizes.
    available : int
        What the machine can still give.
    """

    resident: int
    recording: int
    kernel: int
    decomposition: int
    evaluation: int
    available: int

    @property
    def additional(self) -> int:
        """Bytes beyond what the process holds already, at the largest stage."""
        return max(self.recording, self.kernel, self.decomposition, self.evaluation)

    @property
    def peak(self) -> int:
        """Expected peak of the process' resident memory."""
        return self.resident + self.additional

    def __str__(self) -> str:
        stages = ("recording", "kernel", "decomposition", "evaluation")
        detail = ", ".join(f"{stage} {getattr(self, stage) / GIB:.2f}" for stage in stages)
        return (
            f"{self.peak / GIB:.2f} GiB at the peak: {self.resident / GIB:.2f} held already, and the largest of {detail}; "
            f"{self.available / GIB:.2f} GiB more are available."
        )


def forecast(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> MemoryForecast:
    """Forecast the memory that evaluating ``tasks`` needs.

    Reads the responses and shows the model a handful of images, both of which the run would do anyway.
    """
    with Run([model], tasks, options) as run:
        run.check_data()
        with ResidentPeak() as peak:
            widths = run.n_features()
        growth, compute, tasks = run.growth(), run.compute, [job.task for job in run.jobs]
    sizes = [
        stage_bytes(task, task.load_responses().values.shape[1], compute, n_features)
        for task, n_features in zip(tasks, widths, strict=True)
    ]
    return MemoryForecast(
        resident=resident_bytes(),
        recording=int(peak.transient * growth),
        kernel=max(size[0] for size in sizes),
        decomposition=max(size[1] for size in sizes),
        evaluation=max(size[2] for size in sizes),
        available=int(available_memory_gb() * GIB),
    )


def stage_bytes(task: SubjectTask, n_neuroids: int, compute: Compute, n_features: int) -> tuple[int, int, int]:
    """Bytes that the engine's matrices take in the stages kernel, decomposition and evaluation of a task.

    Needs neither the model nor the responses, only how many features and neuroids there are.
    """
    n, n_train, n_test = len(task.pool.stimulus_ids), len(task.train_ids), len(task.test_ids)
    kernel = n * n * BYTES
    accumulation = kernel + 3 * n * COLUMN_BLOCK * BYTES
    if not isinstance(task.metric, RidgeMetric):
        return accumulation, kernel, kernel + 4 * n_test * n_test * BYTES
    square = n_train * n_train * BYTES
    way = way_to_decompose(n_train, compute, n_features)
    # a band matrix takes one, but may turn out to be singular: eigenvectors are next
    decomposition = (3 if way != "low rank" and compute.eigh_driver(n_train - 1) == "evd" else 2) * square
    factors = 2 * len(task.metric.grid) * n_train * BAND_WIDTH * BYTES if way == "band" else 0
    responses = n_train * n_neuroids * (4 + 2 * BYTES)
    products = 2 * n_train * max(MIXTURES, min(n_neuroids, NEUROID_BLOCK)) * BYTES
    return accumulation, kernel + decomposition, kernel + square + responses + max(products, factors)


class ResidentPeak:
    """Resident memory while a ``with`` block runs, sampled by a thread.

    The system's own high-water mark only tells when the block rises above all that came before it.

    Attributes
    ----------
    transient : int
        Bytes that the block held at most and gave back.
    """

    transient = 0

    def __enter__(self) -> ResidentPeak:
        self._peak, self._done = resident_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()
        self.transient = max(0, self._peak - resident_bytes())

    def _sample(self) -> None:
        while not self._done.wait(SAMPLING_SECONDS):
            self._peak = max(self._peak, resident_bytes())


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return psutil.Process().memory_info().rss
