"""The notebook of examples: it runs, shows every kind of benchmark, and its committed outputs are those of this code."""

import json
import math
import os
import re
import shlex
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from plugin_testing.install_check import REPOSITORY
from plugin_testing.registered import REGISTERED
from plugin_testing.shown_output import difference
from run_notebook import METADATA, clean, execute, main
from typer.main import get_command

from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli
from brainscore_vision.benchmarks.laion_fmri_7t.results.entry import without_dataset
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

NOTEBOOK = REPOSITORY / "usage_examples.ipynb"

FACTORY = [
    *(f"LAION_fMRI.V4-ood_{kind}-ridgecv" for kind in OOD_TYPES),
    "LAION_fMRI.IT-cluster_k5-ridgecv",
    "LAION_fMRI.IT-cluster_k5_0-ridgecv",
    "LAION_fMRI.IT-random-ridgecv",
    "LAION_fMRI.IT_full-tau-ridgecv",
    "LAION_fMRI_persubject.V3-tau-ridgecv",
    "LAION_fMRI.V1-tau-ridgecv[subjects=sub-01]",
    "LAION_fMRI.V1-tau-ridgecv[subjects=sub-01+sub-05]",
    "LAION_fMRI.V1-tau-ridgecv[threshold=0]",
    "LAION_fMRI.V1-tau-ridgecv[threshold=60]",
    "LAION_fMRI.IT-ood-ridgecv[normalization=explained_variance]",
    "LAION_fMRI.IT-ood-ridgecv[normalization=correlation]",
    "LAION_fMRI.V1-tau-ridgecv[alphas=1.0;100.0;10000.0;1000000.0;100000000.0]",
    "LAION_fMRI.V1-tau-ridge",
    "LAION_fMRI.IT-cka",
]
"""Factory patterns that the notebook shows, beside the registered 20."""

COLLECT = """
import json

from brainscore_core.metrics import Score


def _scores(value):
    if isinstance(value, Score):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _scores(part)


print(json.dumps([
    (score.attrs["model_identifier"], score.attrs["benchmark_identifier"], score.item(), score.attrs["dataset"]["simulated"])
    for name, value in list(globals().items()) if not name.startswith("_")
    for score in _scores(value) if "model_identifier" in score.attrs  # a subject's own Score has none
]))
"""
"""Run after the last cell: every Score that the notebook holds."""


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory, shared_home):
    """(notebook with fresh outputs as `make notebook` writes them, interpreter of the kernel, scores that it held)."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in ("import sys\nprint(sys.executable)", COLLECT)]
    homes = {"LAION_FMRI_7T_HOME": str(shared_home), "BRAINSCORE_HOME": str(shared_home / "brain-score")}
    environment = {**os.environ, **homes}
    execute(notebook, tmp_path_factory.mktemp("notebook"), environment)
    clean(notebook)
    interpreter, scores = (cell.outputs[0].text for cell in notebook.cells[-2:])
    del notebook.cells[-2:]
    return notebook, Path(interpreter.strip()), json.loads(scores)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell) -> str:
    """The text of a cell's outputs; a figure is only said to be there."""
    return "\n".join(
        output.text if output.output_type == "stream" else output.data.get("text/plain", f"<{', '.join(output.data)}>")
        for output in cell.outputs
    )


@pytest.mark.slow
def test_committed_outputs_are_those_of_this_code(committed, executed):
    fresh, _, _ = executed
    pairs = zip(code_cells(committed), code_cells(fresh), strict=True)
    found = {old.id: difference(printed(old), printed(new)) for old, new in pairs}
    assert {cell: what for cell, what in found.items() if what} == {}, "run `make notebook` and look at what changed"


@pytest.mark.slow
def test_kernel_is_the_interpreter_of_the_tests(executed):
    assert executed[1] == Path(sys.executable)


@pytest.mark.slow
def test_all_benchmarks_are_scored(executed):
    values = {}
    for model, benchmark, value, simulated in executed[2]:
        assert math.isfinite(value), (model, benchmark)
        assert simulated
        values.setdefault(without_dataset(benchmark), set()).add(model)
    assert set(REGISTERED) - values.keys() == set()
    assert set(FACTORY) - values.keys() == set()
    assert all({"pixels", "my-untrained-network"} <= values[benchmark] for benchmark in REGISTERED)
    models = set().union(*values.values())
    assert {"thumbnail-colours", "some-colours", "LAION_fMRI-CLIP+thumbnail-colours"} <= models


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("subjects", r"sub-07(\s+[\d.]+){5}\s+1e\+\d+\s+160\s+40\s+\d+"),
        ("missing", r"without 5 images"),
        ("assembly", r"median r 0\.\d+, median √NC 0\.\d+"),
        ("geometry-ceilings", r"sub-07(\s+0\.\d+){3}"),
    ],
)
def test_what_is_more_than_a_score(executed, cell, expected):
    (found,) = (each for each in code_cells(executed[0]) if each.id == cell)
    assert re.search(expected, printed(found))


def test_committed_file_is_complete(committed):
    cells = code_cells(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    silent = [cell.id for cell in cells if not cell.outputs]
    assert silent == ["network"]  # it defines a model


def test_committed_file_is_small_and_clean(committed):
    assert NOTEBOOK.stat().st_size < 60_000
    assert committed.metadata == METADATA
    outputs = [output for cell in code_cells(committed) for output in cell.outputs]
    assert len(json.dumps(outputs)) < 16_000
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    assert {form for output in outputs for form in output.get("data", ())} == {"text/plain", "image/png"}
    assert [cell.id for cell in committed.cells if cell.metadata] == []


def test_committed_file_names_no_place_of_a_machine(committed):
    texts = [cell.source for cell in committed.cells] + [printed(cell) for cell in code_cells(committed)]
    assert re.findall(r"(?<![\w.)\]-])(?:/[\w.-]+){2,}|\b[A-Z]:\\\S*|~/\S*", "\n".join(texts)) == []


def test_linked_files_exist(committed):
    links = [link for cell in committed.cells for link in re.findall(r"\]\(([^)]+)\)", cell.source)]
    assert links
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []


def shown_commands(notebook) -> list[str]:
    blocks = [block for cell in notebook.cells for block in re.findall(r"```sh\n(.*?)```", cell.source, re.DOTALL)]
    return [line for block in blocks for line in block.splitlines() if line]


def test_commands_that_are_shown_can_be_given(committed):
    lines = shown_commands(committed)
    assert {line.split()[1] for line in lines} >= {"list", "score", "report"}
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "laion-score"
        command = get_command(cli.app)
        while hasattr(command, "commands"):
            name = arguments.pop(0)
            command = command.commands[name]
        command.make_context(name, arguments)  # reads the arguments as a run would, and runs nothing


def test_a_cell_that_fails_stops_the_run(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0"), nbformat.v4.new_code_cell("2")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook, tmp_path, os.environ)


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "fails.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)\n1 / 0")]), path)
    before = path.read_bytes()
    monkeypatch.setattr(sys, "argv", ["run_notebook.py", str(path)])
    with pytest.raises(CellExecutionError):
        main()
    assert path.read_bytes() == before


def test_what_is_stripped(tmp_path):
    source = (
        "import logging, sys\nfrom IPython.display import display\nprint('a'); sys.stdout.flush()\n"
        "logging.warning('noise'); display({'application/vnd.jupyter.widget-view+json': {}, 'text/plain': 'bar'}, raw=True)\n"
        "print('b')\ndisplay({'text/html': '<b>', 'text/plain': 'table'}, raw=True)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    (cell,) = execute(notebook, tmp_path, os.environ).cells
    assert "noise" in str(cell.outputs)
    assert "widget" in str(cell.outputs)
    clean(notebook)
    assert printed(cell).split() == ["a", "b", "table"]
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data"]
    assert "noise" not in str(cell.outputs)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("V1  0.123 ± 0.010", "V1 0.124 ±  0.011", None),
        ("V1 0.123", "V1 0.133", "0.123 is now 0.133"),
        ("V1 0.123", "V2 0.123", "'V1 #' is now 'V2 #'"),
        ("0.123 0.456", "0.123", "'# #' is now '#'"),
        ("alpha 1e+09", "alpha 1e+08", "1000000000.0 is now 100000000.0"),
        ("-0.100", "+0.100", "-0.1 is now 0.1"),
    ],
)
def test_difference(old, new, expected):
    assert difference(old, new) == expected
