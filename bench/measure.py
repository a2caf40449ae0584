"""What a process and its children cost: wall time, and peak resident memory as the operating system counts it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_SECONDS = 0.2

PACKAGES = (
    "brainscore-vision",
    "brainscore-core",
    "result-caching",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "xarray",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class Measured:
    """One run of a program.

    Attributes
    ----------
    exit_code : int
        Negative for the number of the signal that ended it.
    stopped : str or None
        Why it was stopped from here, if it was.
    wall_seconds : float
        From start to exit, start of the interpreter included.
    cpu_seconds : float
        Processor time of the tree, user and system; depends less on what else the machine does.
    load_average : float
        Processes that wanted to run during the minute before the start.
    peak_bytes : int
        Resident memory of the whole process tree: the larger of `tree_peak_bytes` and `process_peak_bytes`.
    tree_peak_bytes : int
        Largest sum over the tree, sampled every `POLL_SECONDS`.
    process_peak_bytes : int
        Largest high-water mark of a single process (Linux: VmHWM), which no sampling can miss. 0 where unknown.
    processes : int
        Most processes alive at once. With one, `process_peak_bytes` is the exact answer.
    """

    exit_code: int
    stopped: str | None
    wall_seconds: float
    cpu_seconds: float
    load_average: float
    peak_bytes: int
    tree_peak_bytes: int
    process_peak_bytes: int
    processes: int

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        if self.stopped:
            return self.stopped
        if self.exit_code == -9:
            return "killed (signal 9: out of memory?)"
        return "finished" if self.exit_code == 0 else f"failed (exit code {self.exit_code})"


def run_measured(
    command: Sequence[str],
    environment: dict[str, str],
    log: Path,
    on_poll: Callable[[], None] = lambda: None,
    least_available_bytes: int = 0,
) -> Measured:
    """Run a program and measure it.

    Parameters
    ----------
    command : sequence of str
    environment : dict of str to str
        The program's whole environment.
    log : Path
        Receives its standard output and error.
    on_poll : callable
        Called every `POLL_SECONDS`.
    least_available_bytes : int
        The program is killed when the machine has less memory left: the kernel might choose another victim.
    """
    stopped, tree_peak, process_peak, most = None, 0, 0, 1
    load, cpu_before = os.getloadavg()[0], _cpu_of_children()
    with log.open("wb") as output:
        start = time.monotonic()
        process = psutil.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                tree = _tree(process)
                tree_peak = max(tree_peak, sum(_resident(member) for member in tree))
                process_peak = max(process_peak, *(high_water_mark(member.pid) for member in tree))
                most = max(most, len(tree))
                if psutil.virtual_memory().available < least_available_bytes:
                    stopped = f"stopped: less than {least_available_bytes / 1e9:.1f} GB of memory left"
                    _kill(tree)
                on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                _kill(_tree(process))
            exit_code = process.wait()
        wall = time.monotonic() - start
    return Measured(
        exit_code=exit_code,
        stopped=stopped,
        wall_seconds=wall,
        cpu_seconds=_cpu_of_children() - cpu_before,
        load_average=load,
        peak_bytes=max(tree_peak, process_peak),
        tree_peak_bytes=tree_peak,
        process_peak_bytes=process_peak,
        processes=most,
    )


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return [process]


def _kill(tree: Sequence[psutil.Process]) -> None:
    for member in reversed(tree):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue  # it ended by itself


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # ended between the listing and the question
        return 0


def high_water_mark(pid: int) -> int:
    """Most that a process ever held in memory, bytes; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # ended, or a system without /proc
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0  # kB; a zombie has no such line


def machine() -> dict:
    """Processor, cores, memory (bytes), operating system, thread settings."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.is_file()
        else []
    )
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "threads": {
            name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        },
    }


def versions(repository: Path) -> dict:
    """Python, the packages that decide about speed, and the checkout's commit."""
    found = {"python": platform.python_version(), "commit": _commit(repository)}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _commit(repository: Path) -> str | None:
    def git(*arguments: str) -> str | None:
        run = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=False)
        return run.stdout.strip() if run.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return f"{commit} with changes" if commit and git("status", "--porcelain") else commit
