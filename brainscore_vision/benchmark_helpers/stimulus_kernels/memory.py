"""Memory that a run will need, said before it starts: the sizes are known, and one small pass measures the model."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from .comparisons import RidgeMetric
from .engine import Run
from .free_memory import available_bytes
from .kernels.compute import BYTES, Compute
from .kernels.kernel import COLUMN_BLOCK
from .options import EngineOptions
from .ridge.decomposition import BAND_WIDTH, way_to_decompose
from .ridge.fit import MIXTURES, NEUROID_BLOCK, PROBES, weighs_queries
from .statistics.bootstrap import BLOCK_BYTES
from .tasks import SubjectTask

GIB = 1024**3
STATISTICS_BLOCKS = 8
"""Blocks of ``BLOCK_BYTES`` that a thread holds at once while it computes what is known of a prediction."""

SAMPLING_SECONDS = 0.001
SKIP_VARIABLE = "BRAINSCORE_SKIP_MEMORY_CHECK"
"""Brain-Score's: 1 scores without looking at memory before."""

REMEDIES = {
    "recording": "a smaller batch size of the model takes less",
    "decomposition": "`options=EngineOptions(max_memory=BYTES)` of a benchmark object bounds the decomposition",
}
"""Stage -> what else helps if it is the largest."""


@dataclass(frozen=True)
class MemoryForecast:
    """Bytes that a run will need, by stage; stages follow each other.

    Attributes
    ----------
    resident : int
        What the process held at first: the program, the model.
    data : int
        What it has taken since and keeps: responses, hashes of images, weights that are made in the first pass.
    recording : int
        One batch of the model, as measured on a small pass, and images that are prepared before they are asked for.
    kernel, decomposition, evaluation : int
        Matrices of the engine, from their sizes.
    available : int
        What there was to be had at first, before anything was read.
    n_features : int
        Of the widest layer.
    n_stimuli : int
        Different stimuli that the model is shown.
    """

    resident: int
    data: int
    recording: int
    kernel: int
    decomposition: int
    evaluation: int
    available: int
    n_features: int
    n_stimuli: int

    @property
    def stages(self) -> dict[str, int]:
        """Stage -> bytes that it takes; each gives them back."""
        return {name: getattr(self, name) for name in ("recording", "kernel", "decomposition", "evaluation")}

    @property
    def additional(self) -> int:
        """Bytes beyond what the process held at first, at the largest stage."""
        return self.data + max(self.stages.values())

    @property
    def peak(self) -> int:
        """Expected peak of the process' resident memory."""
        return self.resident + self.additional

    @property
    def will_oom(self) -> bool:
        """Whether more is needed than there is; the name is Brain-Score's."""
        return self.additional > self.available

    @property
    def remedy(self) -> str:
        """What helps, in words of whoever calls Brain-Score: its commands have no options for memory."""
        specific = REMEDIES.get(max(self.stages, key=self.stages.get))
        return (
            f"Free memory, or give this process more{f'; {specific}' if specific else ''}. The environment variable "
            f"{SKIP_VARIABLE}=1 scores without this check."
        )

    def __str__(self) -> str:
        detail = ", ".join(f"{stage} {size / GIB:.2f}" for stage, size in self.stages.items())
        return (
            f"{self.peak / GIB:.2f} GiB at the peak: {self.resident / GIB:.2f} held already, {self.data / GIB:.2f} of data, "
            f"and the largest of {detail}; {self.available / GIB:.2f} GiB more are available."
        )


def forecast(model, tasks: Sequence[SubjectTask], options: EngineOptions) -> MemoryForecast:
    """Forecast the memory that evaluating ``tasks`` needs.

    Asks what is free, then reads the responses and shows the model a handful of images, both of which the run would do
    anyway.
    """
    available, resident = available_bytes(), resident_bytes()
    with Run([model], tasks, options) as run:
        run.check_data()
        return forecast_of(run, available, resident, lambda task: task.load_responses().values.shape[1])


def forecast_of(run: Run, available: int, resident: int, n_neuroids: Callable[[SubjectTask], int]) -> MemoryForecast:
    """:func:`forecast` of a run that is open: shows its first model a handful of images.

    Parameters
    ----------
    run : Run
    available, resident : int
        Bytes, at first.
    n_neuroids : callable
        How many neuroids a task compares: where this needs no responses, none are read, and ``data`` lacks them.
    """
    with ResidentPeak() as peak:
        widths = run.n_features()
    growth, waiting = run.growth(), run.waiting_bytes()
    compute, tasks = run.compute, [job.task for job in run.jobs]
    sizes = [
        stage_bytes(task, n_neuroids(task), compute, n_features) for task, n_features in zip(tasks, widths, strict=True)
    ]
    kernel, decomposition, evaluation = (max(stage) for stage in zip(*sizes, strict=True))
    return MemoryForecast(
        resident=resident,
        data=max(0, resident_bytes() - resident),
        recording=int(peak.transient * growth) + waiting,
        kernel=kernel,
        decomposition=decomposition,
        evaluation=evaluation,
        available=available,
        n_features=max(widths),
        n_stimuli=len({stimulus for pool in {task.pool for task in tasks} for stimulus in pool.stimulus_ids}),
    )


def preflight_line(identifier: str, kind: str, expected: MemoryForecast | None) -> str:
    """The line that Brain-Score's orchestrator looks for in a run's output, in the form of its own memory check.

    Parameters
    ----------
    identifier, kind : str
        Of the benchmark, and the name of its class.
    expected : MemoryForecast or None
        None if the check was skipped.
    """
    if expected is None:
        known = {"formula_type": "skipped", "will_oom": False, "num_features": None, "num_stimuli": None}
        why = {"reason": "env_skip", "benchmark_identifier": identifier, "benchmark_type": kind}
        said = {"estimate_gb": None, "available_gb": None, **known, **why}
    else:
        said = {
            "estimate_gb": round(expected.additional / GIB, 3),
            "available_gb": round(expected.available / GIB, 1),
            "formula_type": "stimulus_kernels",
            "will_oom": expected.will_oom,
            "num_features": expected.n_features,
            "num_stimuli": expected.n_stimuli,
        }
    return f"BRAINSCORE_PREFLIGHT {json.dumps(said)}"


def is_check_skipped() -> bool:
    """Whether the user wants no memory check, by Brain-Score's environment variable."""
    return os.environ.get(SKIP_VARIABLE) == "1"


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
    # of the fit: dual coefficients, or rows of test stimuli in three forms
    of_queries, of_responses = (weighs_queries(n_test, n_neuroids, known) for known in (False, True))
    fit = max(3 * (n_test + PROBES) if of_queries else 0, 0 if of_responses else n_neuroids)
    responses = n_train * (n_neuroids * (4 + BYTES) + fit * BYTES)
    products = 2 * n_train * max(MIXTURES, min(n_neuroids, NEUROID_BLOCK)) * BYTES
    evaluation, workers = kernel + square + responses + max(products, factors), compute.beside
    if workers > 1:  # predictions and responses to test stimuli that wait, and what each thread makes of one
        evaluation += (workers + 1) * n_test * n_neuroids * (4 + BYTES) + workers * STATISTICS_BLOCKS * BLOCK_BYTES
    return accumulation, kernel + decomposition, evaluation


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
