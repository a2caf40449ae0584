"""Sweeps as users run them, in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase

from .install_check import REPOSITORY
from .sweep_models import CELLS

PATIENCE = 200
"""Seconds after which something has not happened; a busy machine takes a fraction of it."""


def until(condition, what: str):
    """Wait for a true value, and return it."""
    start = time.monotonic()
    while not (value := condition()):
        assert time.monotonic() - start < PATIENCE, f"waited {PATIENCE} s for {what}"
        time.sleep(0.05)
    return value


class Run:
    """``laion-score sweep`` in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, dataset: Path, functions, *options, cells=CELLS):
        self.results = folder / "results.db"
        self.output = folder / "output.txt"
        models = [f"{folder / 'sweep_made.py'}:{name}" for name in functions]
        benchmarks = [argument for cell in cells for argument in ("--benchmarks", cell)]
        self.arguments = ["sweep", *models, *benchmarks, "--dataset", str(dataset), "--results", str(self.results)]
        command = [sys.executable, "-m", "brainscore_vision.benchmarks.laion_fmri_7t.cli", *self.arguments, *options]
        paths = [str(REPOSITORY / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until_told(self, text: str) -> None:
        """Wait until the run has printed a text."""
        start = time.monotonic()
        while text not in self.output.read_text():
            if self.process.poll() is not None or time.monotonic() - start > PATIENCE:
                printed = self.output.read_text()
                assert text in printed, f"not told in {time.monotonic() - start:.0f} s, but:\n{printed}"
            time.sleep(0.05)

    def end(self) -> tuple[int, str]:
        """Exit code and output."""
        code = self.process.wait(timeout=PATIENCE)
        return code, self.output.read_text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def values(self) -> dict:
        if not self.results.exists():
            return {}
        return {(r.model, r.benchmark): r.value for r in ResultsDatabase(self.results).results()}

    def kill(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
