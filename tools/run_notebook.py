"""Executes a notebook with this interpreter, and leaves in it what a reader needs and nothing of this run.

``python tools/run_notebook.py usage_examples.ipynb`` writes the outputs anew (``make notebook``); the tests execute the same
way and compare.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

KERNEL = "this-interpreter"
SECONDS_PER_CELL = 600
"""A bound for hangs, far above what a cell takes on a slow machine."""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""All that a viewer needs; versions and names of one machine's kernels stay out of the file."""

SHOWN = ("image/png", "text/plain")
"""Forms of an output, the best first: one is kept."""

WIDGET = "application/vnd.jupyter.widget-view+json"
"""Form of a progress bar, which is nothing without the kernel that drew it."""

COLOURS = 16

HOMES = ("LAION_FMRI_7T_HOME", "BRAINSCORE_HOME", "BRAINIO_HOME", "RESULTCACHING_HOME")
NOT_INHERITED = ("LAION_FMRI_DATASET", "LAION_FMRI_STIMULI", "LAION_FMRI_STIMULI_DIR", "RESULTCACHING_S3_BUCKET")


def execute(notebook: NotebookNode, folder: Path, environment: Mapping[str, str]) -> NotebookNode:
    """Execute all cells in order.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place.
    folder : Path
        Empty; the kernel's working directory, settings and connection files lie there.
    environment : mapping of str to str
        The kernel's environment. Jupyter's and IPython's variables are set besides: kernels and start-up files of the user
        have no say.

    Returns
    -------
    NotebookNode
        The same, with all outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed.
    """
    specification = folder / "kernels" / KERNEL / "kernel.json"
    specification.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    specification.write_text(json.dumps({"argv": command, "display_name": KERNEL, "language": "python"}), "utf-8")
    work = folder / "work"
    work.mkdir()
    client = NotebookClient(
        notebook, kernel_name=KERNEL, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(work)}}
    )
    manager = client.create_kernel_manager()
    manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
    manager.connection_file = str(folder / "connection.json")
    settings = {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    client.execute(env={**environment, **settings})
    return notebook


def clean(notebook: NotebookNode) -> NotebookNode:
    """Strip what differs between runs: warnings, progress, metadata, and all but one form of each output."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = list(_cleaned(cell.outputs))
    return notebook


def _cleaned(outputs: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    printed = None
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET in output.get("data", ()):
            continue
        if output.output_type == "stream" and printed is not None:
            printed.text += output.text  # a progress bar came between two lines
            continue
        printed = output if output.output_type == "stream" else None
        if "data" in output:
            form = next(form for form in SHOWN if form in output.data)
            shown = output.data[form]
            output.data = NotebookNode({form: _small(shown) if form == "image/png" else shown})
            output.metadata = NotebookNode()
        yield output


def _small(image: str) -> str:
    """A figure in few colours: a third of the bytes."""
    with Image.open(io.BytesIO(base64.b64decode(image))) as figure, io.BytesIO() as file:
        figure.convert("RGB").quantize(COLOURS).save(file, "PNG", optimize=True)
        return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Execute a notebook, clean its outputs, and write it in place.")
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="laion-fmri-7t-notebook-") as scratch:
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        environment |= {name: str(Path(scratch) / "homes" / name.lower()) for name in HOMES}
        execute(notebook, Path(scratch), environment)
    nbformat.write(clean(notebook), path)
    print(f"{path}: {len(notebook.cells)} cells, {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
