"""What a run will need of memory, said before it starts: the sizes are known, and one small pass measures the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainscore_vision.benchmark_helpers.memory import available_memory_gb

from .compute import BYTES, Compute
from .engine import check_data
from .kernel import COLUMN_BLOCK
from .metrics import RidgeMetric
from .options import EngineOptions
from .recorder import LOOK_AT_BLOCK, recorder_for
from .recorder_lookup import narrow
from .records import ModelKernels
from .ridge import NEUROID_BLOCK, SKETCH_SIZE
from .tasks import SubjectTask

GIB = 1024**3
FEATURE_BYTES = 4
"""Of a float32 feature, which most models give."""
ANSWER_COPIES = 3
"""A batch's answer as the extractor holds it, as it is handed on, and as it is checked and written."""


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
    recorder = recorder_for(model, [task.model_region for task in tasks])
    tasks = [narrowed for _, narrowed, _ in narrow(model, tasks)]
    check_data(tasks, images=recorder.needs_images)
    with ModelKernels(model, recorder, options) as kernels:
        before = _status("VmHWM")
        widths = [kernels.n_features(task.pool, recorder.labels[task.model_region]) for task in tasks]
    after = _status("VmHWM")
    # the small pass runs whole batches, but hands on few answers: those of a full batch, and their copies, come on top
    answers = LOOK_AT_BLOCK * sum(set(widths)) * FEATURE_BYTES * ANSWER_COPIES
    measured = answers + (after - _status("VmRSS") if after > before else 0)
    sizes = [stage_bytes(task, task.load_responses().values.shape[1], options) for task in tasks]
    return MemoryForecast(
        resident=_status("VmRSS"),
        recording=measured,
        kernel=max(size[0] for size in sizes),
        decomposition=max(size[1] for size in sizes),
        evaluation=max(size[2] for size in sizes),
        available=int(available_memory_gb() * GIB),
    )


def stage_bytes(task: SubjectTask, n_neuroids: int, options: EngineOptions) -> tuple[int, int, int]:
    """Bytes that the engine's matrices take in the stages kernel, decomposition and evaluation of a task.

    Needs neither the model nor the responses, only how many neuroids there are.
    """
    n, n_train, n_test = len(task.pool.stimulus_ids), len(task.train_ids), len(task.test_ids)
    kernel = n * n * BYTES
    accumulation = kernel + 2 * n * COLUMN_BLOCK * BYTES
    if not isinstance(task.metric, RidgeMetric):
        return accumulation, kernel, kernel + 4 * n_test * n_test * BYTES
    square = n_train * n_train * BYTES
    driver = Compute(max_memory=options.max_memory).eigh_driver(n_train - 1)
    responses = n_train * n_neuroids * (4 + 2 * BYTES)
    products = 2 * n_train * max(SKETCH_SIZE, min(n_neuroids, NEUROID_BLOCK)) * BYTES
    return accumulation, kernel + (3 if driver == "evd" else 2) * square, kernel + square + responses + products


def _status(field: str) -> int:
    """A field of this process' status, in bytes; VmRSS is what it holds, VmHWM the most it ever held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"The operating system does not report {field} in /proc/self/status.")
