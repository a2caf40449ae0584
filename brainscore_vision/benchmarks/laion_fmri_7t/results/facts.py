"""How a result came about: when, where, with what, and at what cost."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .errors import ResultsError

PACKAGES = ("laion-fmri-7t", "brainscore-vision", "brainscore-core", "numpy", "torch")
"""Distributions whose versions are kept with each result, beside Python's."""


@dataclass(frozen=True)
class RunFacts:
    """The circumstances of one result.

    Attributes
    ----------
    model : str
        As it was asked for: a registered identifier, ``file.py:function``, a table of features. The model's own identifier,
        which may differ, is in its Score.
    model_revision : str or None
        Which model was behind the name: of what a function made, else of its code; see :mod:`~..networks.finding`.
    dataset_fingerprint : str
        See :meth:`brainscore_vision.data.laion_fmri_7t.source.Dataset.fingerprint`; empty if the data could not be opened.
    benchmark_version : int
    started : datetime.datetime
        With a time zone; kept as UTC.
    seconds : float
        That the result took; for what a run shares, see :func:`~.adding.add_scores`.
    peak_memory_bytes : int
        Of the process, since it began.
    machine : str
    versions : dict of str to str
        By distribution, and of ``python``.
    """

    model: str
    model_revision: str | None
    dataset_fingerprint: str
    benchmark_version: int
    started: datetime
    seconds: float
    peak_memory_bytes: int
    machine: str
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "started", _with_zone(self.started).astimezone(UTC))


def run_facts(
    model: str,
    *,
    started: datetime,
    dataset_fingerprint: str,
    benchmark_version: int,
    model_revision: str | None = None,
    finished: datetime | None = None,
) -> RunFacts:
    """Facts of work that began at ``started`` and ended at ``finished`` (default: now), in this process on this machine."""
    finished = datetime.now(UTC) if finished is None else finished
    return RunFacts(
        model=model,
        model_revision=model_revision,
        dataset_fingerprint=dataset_fingerprint,
        benchmark_version=benchmark_version,
        started=started,
        seconds=(finished - _with_zone(started)).total_seconds(),
        peak_memory_bytes=peak_memory_bytes(),
        machine=machine(),
        versions=dict(versions()),
    )


def peak_memory_bytes() -> int:
    """Most memory that this process had in RAM at once so far; without its children."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux
        status = ""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024  # KiB
    # second choice: on Linux this may be of the process that started this one
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes


@functools.cache
def machine() -> str:
    """Name, system and number of processors of this machine."""
    return f"{platform.node()} ({platform.system()} {platform.machine()}, {os.cpu_count()} CPUs)"


@functools.cache
def versions() -> dict[str, str]:
    """Versions of :data:`PACKAGES`, as far as they are installed, and of Python."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a checkout on the path has no metadata
            continue
    return found


def _with_zone(started: datetime) -> datetime:
    if started.tzinfo is None:
        raise ResultsError(f"Times are kept with their zone; received started={started}. Use datetime.now(UTC).")
    return started
