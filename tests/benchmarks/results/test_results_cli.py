"""``laion-score results`` and ``laion-score score --results``."""

import csv
import dataclasses
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from plugin_testing.scored_cells import CELLS, CKA, FOLDS, ONE_SUBJECT, RDM, RIDGE, copied, facts, filled, scores
from rich.console import Console

from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS
from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import score_table
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    set_properties,
    to_dataframe,
    to_xarray,
)

NOBODY = 65534


@pytest.fixture
def file(tmp_path, tiny_dataset):
    """Two models on every kind of benchmark, and one that could not be made."""
    database = filled(tiny_dataset, tmp_path / "results.sqlite")
    score = scores(tiny_dataset)["two"][ONE_SUBJECT]
    database.add_failure(
        "broken.py:make", None, facts(score, model="broken.py:make"), "ImportError: no", "Traceback: here"
    )
    return database.path


def rows_of(output):
    return [json.loads(line) for line in output.splitlines()]


# results


def test_a_table(run, file, tiny_dataset):
    code, out, err = run("results", file, "--long")
    assert code == 0
    rows = [line for line in out.splitlines() if "LAION_fMRI" in line]
    assert len(rows) == 2 * len(CELLS)
    score = scores(tiny_dataset)["two"][RIDGE]
    (row,) = (row for row in rows if RIDGE in row and "two" in row)
    assert f"{score.item():.3f} ± {score.attrs['error']:.3f}" in row
    (alone,) = (row for row in rows if ONE_SUBJECT in row and "two" in row)
    assert "±" not in alone
    assert f"{tiny_dataset} (simulated)" in out
    assert "1 could not be scored: see them with --failures." in err


@pytest.mark.parametrize("width", [20, 64, 80, 250])
def test_names_stay_whole_in_any_terminal(run, file, monkeypatch, width):
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich: this is a terminal
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (("--long",), ("--subjects",)):
        _, out, _ = run("results", file, *arguments)
        assert ("Not shown in this width: " in out) == (width != 250)  # less important columns give way
        table = (
            out[out.index("─") :]
            .partition("\nDataset")[0]
            .partition("\nsignificant")[0]
            .partition("\n* ")[0]
            .splitlines()
        )
        # a name goes on in the lines below: its column is read from top to bottom
        columns = [slice(*found.span()) for found in re.finditer("─+", table[0])]
        texts = ["".join(line[column].strip() for line in table[1:]) for column in columns]
        assert [cell for cell in CELLS if not any(cell in text for text in texts)] == []
        assert max(map(len, table)) <= width or width == 20  # two columns of names and a number take more


def test_models_by_benchmarks(run, file, tiny_dataset):
    code, out, err = run("results", file)
    assert code == 0
    title, heading, _, *rows = out.splitlines()
    assert title == f"Ceiled scores (published) on {tiny_dataset} (simulated)"
    assert heading.split()[:2] == ["model", "mean"]
    own = scores(tiny_dataset)
    means = {model: np.mean([own[model][cell].item() for cell in CELLS]) for model in own}
    assert [row.split()[0] for row in rows[:2]] == sorted(means, key=means.get, reverse=True)
    for row in rows[:2]:
        model, mean, *values = row.replace(" *", "").split()
        assert mean == f"{means[model]:.3f}"
        assert sorted(values) == sorted(f"{own[model][cell].item():.3f}" for cell in CELLS)
    assert "1 could not be scored: see them with --failures." in err
    _, out, _ = run("results", file, "--benchmark", RIDGE)
    assert out.splitlines()[1].split() == ["model", RIDGE]


def test_sorting(run, file, tiny_dataset):
    own = scores(tiny_dataset)
    for cell in CELLS:
        _, out, _ = run("results", file, "--sort", cell)
        first = out.splitlines()[3].split()[0]
        assert own[first][cell].item() == max(row[cell].item() for row in own.values())
    assert [line.split()[0] for line in run("results", file, "--sort", "model")[1].splitlines()[3:5]] == ["one", "two"]
    code, out, err = run("results", file, "--sort", "V9")
    assert (code, out) == (2, "")
    assert "--sort is mean, model or one of the benchmarks" in " ".join(err.split())


def test_a_name_and_properties_of_a_list(run, file):
    database = ResultsDatabase(file)
    requested = {result.model: result.requested_model for result in database.results()}
    about = {
        requested["one"]: {"name": "The One", "family": "resnet", "top1": 71.5},
        requested["two"]: {"family": "vit"},
    }
    set_properties(database, about)
    assert {result.model for result in database.results()} == {"The One", "two"}
    assert {result.model_identifier for result in database.results(["The One"])} == {"one"}

    def shown(*where):
        code, out, _ = run("results", file, "--json", *(part for text in where for part in ("--where", text)))
        assert code == 0
        return {record["model"] for record in rows_of(out)}

    assert shown("family=resnet") == shown("family=RES*") == shown("top1>=71.5") == shown("family!=vit") == {"The One"}
    assert shown("family=vit", "top1>=0") == set()
    assert shown("top1<71.5") == set()
    frame = to_dataframe(database.results())
    assert frame[frame["property_family"] == "vit"]["model"].unique().tolist() == ["two"]
    arrays = to_xarray(database.results())
    assert arrays["property_top1"].sel(model="The One").item() == 71.5
    assert arrays["property_top1"].sel(model="two").isnull()
    assert run("results", file, "--export", file.with_suffix(".nc"))[0] == 0
    set_properties(database, {requested["one"]: {"family": "resnet"}})
    assert {result.model for result in database.results()} == {"one", "two"}
    for wrong in ("family", "family>vit"):
        code, _, err = run("results", file, "--where", wrong)
        assert (code, "--where" in err) == (2, True)


def test_models_that_a_condition_cannot_judge_are_named(run, file):
    database = ResultsDatabase(file)
    requested = {result.model: result.requested_model for result in database.results()}
    set_properties(database, {requested["one"]: {"top1": 71.5}, requested["two"]: {"top1": "75,3"}})
    _, out, err = run("results", file, "--json", "--where", "top1>70")
    assert {record["model"] for record in rows_of(out)} == {"one"}
    assert "left out, are two (75,3)" in " ".join(err.split())
    assert "left out" not in run("results", file, "--json", "--where", "top1!=70")[2]
    assert "No model has the property 'top'; known are top1" in run("results", file, "--where", "top>70")[2]


def test_filters(run, file):
    code, out, _ = run("results", file, "--model", "tw*", "--benchmark", ONE_SUBJECT, "--benchmark", "*.V1-*", "--json")
    assert code == 0
    assert sorted((r["model"], r["benchmark"]) for r in rows_of(out)) == sorted(
        ("two", cell) for cell in (RIDGE, CKA, ONE_SUBJECT)
    )
    code, out, err = run("results", file, "--model", "nobody")
    assert (code, out) == (0, "")
    assert "matches" in err


def test_a_row_per_subject(run, file, tiny_dataset):
    code, out, _ = run("results", file, "--subjects", "--model", "one", "--benchmark", RIDGE, "--benchmark", FOLDS)
    assert code == 0
    rows = [line for line in out.splitlines() if "LAION_fMRI" in line]
    assert len(rows) == 2 * 5
    unit = scores(tiny_dataset)["one"][RIDGE].attrs["sub-05"]
    (row,) = (row for row in rows if "sub-05" in row and RIDGE in row)
    low, high = unit.attrs["interval"]
    assert f"{unit.item():.3f} [{low:.3f}, {high:.3f}]" in row


def test_json_has_every_number(run, file, tiny_dataset):
    _, out, _ = run("results", file, "--json", "--model", "one")
    found = {record["benchmark"]: record for record in rows_of(out)}
    assert set(found) == set(CELLS)
    score = scores(tiny_dataset)["one"][RIDGE]
    assert found[RIDGE]["score"] == score.item()
    assert found[RIDGE]["normalizations"] == score.attrs["normalizations"]
    assert found[RIDGE]["subjects"]["sub-01"]["interval"] == list(score.attrs["sub-01"].attrs["interval"])
    assert found[RIDGE]["versions"] == {"numpy": "1.26.4"}
    assert found[ONE_SUBJECT]["error"] is None
    assert found[FOLDS]["folds"]["fold_2"]["subjects"]["sub-03"]["score"] is not None


def test_notes_are_counted_and_told(run, file, tiny_dataset):
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    score.attrs["notes"] = ["First.", "Second."]
    ResultsDatabase(file).add(score, facts(score, 9, model="noted"))
    _, out, err = run("results", file, "--long")
    (row,) = (line for line in out.splitlines() if "(noted)" in line)
    assert row.endswith("  2")
    assert "--json shows them" in err
    (found,) = rows_of(run("results", file, "--model", "noted", "--json")[1])
    assert found["notes"] == ["First.", "Second."]
    score.attrs["notes"] = []
    ResultsDatabase(file).add(score, facts(score, 9, model="silent"))
    assert "--json shows them" not in run("results", file, "--model", "silent")[2]


def test_a_squared_negative_is_marked(run, file, tiny_dataset):
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    for name in DEFAULT_SUBJECTS:
        score.attrs[name].attrs["raw"].values = np.array(0.3)
    ResultsDatabase(file).add(score, facts(score, 9, model="marked"))
    only = ("results", file, "--model", "marked", "--long")
    assert "*" not in run(*only)[1]
    assert "*" not in run(*only, "--subjects")[1]
    score.attrs["sub-05"].attrs["raw"].values = np.array(-0.1)
    ResultsDatabase(file).add(score, facts(score, 10, model="marked"))
    out = run(*only)[1]
    assert f"{score.item():.3f} ± {score.attrs['error']:.3f} *" in out
    assert "* The raw score of one or more subjects is negative" in out
    assert f" {score.item():.3f} *" in run(*only[:-1])[1]
    marked = [line for line in run(*only, "--subjects")[1].splitlines() if "] *" in line]
    assert ["sub-05" in line for line in marked] == [True]
    assert "±" not in marked[0]
    printed = Console(width=200, file=io.StringIO())
    printed.print(score_table({"one": {RIDGE: score}}))
    assert "*" in printed.file.getvalue()


def test_failures(run, file):
    code, out, _ = run("results", file, "--failures")
    assert code == 0
    assert out == "broken.py:make: ImportError: no\n"
    _, out, _ = run("results", file, "--failures", "--long")
    assert "broken.py:make" in out
    assert "(the model could not be made)" in out
    assert "ImportError: no" in out
    _, out, _ = run("results", file, "--failures", "--json")
    (record,) = rows_of(out)
    assert (record["model"], record["benchmark"], record["traceback"]) == ("broken.py:make", None, "Traceback: here")
    code, out, err = run("results", file, "--failures", "--model", "one")
    assert (code, out) == (0, "")
    assert "Nothing failed" in err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_output_does_not_have(file, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "laion_score", "results", str(file), "--long"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"???" in done.stdout
    assert RIDGE.encode() in done.stdout


def test_files_are_named_from_where_the_user_is(run, file, tiny_dataset, tmp_path, monkeypatch):
    folder, database, score = tmp_path / "tables", ResultsDatabase(file), scores(tiny_dataset)["one"][RIDGE]
    folder.mkdir()
    for name in ("table.npz", "net.py:make"):
        (folder / name.partition(":")[0]).touch()
        database.add(copied(score), facts(score, 7, model=str(folder / name)))
    monkeypatch.chdir(folder)
    for name in ("table.npz", "net.py:make", "../tables/net.py:make"):
        (row,) = rows_of(run("results", file, "--model", name, "--json")[1])
        assert row["requested_model"] == str((folder / name).resolve())


def test_failures_of_a_dataset(run, file, tiny_dataset):
    """By all that its results are found by; those of another dataset, on which nothing was scored, by the fingerprint."""
    database, score = ResultsDatabase(file), scores(tiny_dataset)["two"][ONE_SUBJECT]
    elsewhere = dataclasses.replace(facts(score, model="far.py:make"), dataset_fingerprint="0123456789abcdef")
    database.add_failure("far.py:make", RIDGE, elsewhere, "ValueError: far", "Traceback: there")
    fingerprint = score.attrs["dataset"]["fingerprint"]
    for name in (
        str(tiny_dataset),
        f"{tiny_dataset}/",
        tiny_dataset.name,
        fingerprint,
        fingerprint[:8],
        f"{fingerprint[:4]}*",
    ):
        _, out, err = run("results", file, "--failures", "--dataset", name)
        assert out == "broken.py:make: ImportError: no\n"
        assert "0123456789abcdef" in err
        assert "1 could not be scored" in run("results", file, "--dataset", name)[2]
    moved = copied(score)
    moved.attrs["dataset"]["name"] = "/elsewhere/moved"
    database.add(moved, facts(moved, 9))
    for name in (str(tiny_dataset), "moved"):
        assert len(rows_of(run("results", file, "--dataset", name, "--json")[1])) == 2 * len(CELLS)
        assert run("results", file, "--failures", "--dataset", name)[1] == "broken.py:make: ImportError: no\n"
    assert (
        "No dataset fits --dataset mved; there are results on "
        in run("results", file, "--failures", "--dataset", "mved")[2]
    )
    assert "ValueError: far" in run("results", file, "--failures", "--dataset", "0123*")[1]
    assert "2 could not be scored" in run("results", file)[2]
    assert "could not be scored" not in run("results", file, "--model", "one")[2]


def test_history_and_datasets(run, file, tiny_dataset):
    database = ResultsDatabase(file)
    score = copied(scores(tiny_dataset)["one"][RDM])
    database.add(score, facts(score, 5))
    score.attrs["dataset"].update(fingerprint="0123456789abcdef", name="elsewhere")
    database.add(score, facts(score, 6))
    only = ("--model", "one", "--benchmark", RDM, "--json")
    assert len(rows_of(run("results", file, *only)[1])) == 2
    assert len(rows_of(run("results", file, *only, "--all")[1])) == 3
    for name in ("elsewhere", "0123*"):
        (record,) = rows_of(run("results", file, *only, "--dataset", name)[1])
        assert record["dataset_fingerprint"] == "0123456789abcdef"
    assert "elsewhere (simulated)" in run("results", file, *only[:-1])[1]
    code, out, err = run("results", file, "--export", file.with_suffix(".nc"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "choose one (--dataset)" in err


def test_export(run, file, tmp_path):
    table, voxels = tmp_path / "table.csv", tmp_path / "voxels.csv"
    code, out, err = run("results", file, "--model", "one", "--export", table, "--voxels", voxels)
    assert (code, out) == (0, "")
    assert f"{len(CELLS)} results in {table}" in err
    with open(table, encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["benchmark"] for row in rows} == set(CELLS)
    with open(voxels, encoding="utf-8") as opened:
        assert f"{len(list(csv.DictReader(opened)))} rows in {voxels}" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--export", "scores.xlsx"], 1, ".csv, .parquet, .json, .nc"),
        (["--voxels", "voxels.json"], 1, ".csv, .parquet; received"),
        (["--export", "a.csv", "--json"], 2, "--json and --subjects"),
        (["--export", "a.csv", "--failures"], 2, "Beside --failures, --export would do nothing"),
        (["--verify", "--json"], 2, "Beside --verify, --json would do nothing"),
    ],
)
def test_wrong_usage(run, file, arguments, code, message):
    received, out, err = run("results", file, *arguments)
    assert (received, out) == (code, "")
    assert message in " ".join(err.replace("│", " ").split())


def test_a_file_that_is_none(run, tmp_path):
    code, out, err = run("results", tmp_path / "none.sqlite")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "There is no results file" in err
    assert not (tmp_path / "none.sqlite").exists()


def test_verify_and_clean(run, file):
    assert run("results", file, "--verify")[:2] == (0, f"{2 * len(CELLS)} results read, 0 problems.\n")
    folder = ResultsDatabase(file).voxel_directory
    (folder / ".writing-0123").write_text("half")
    next(folder.glob("result-000001-*")).unlink()
    code, out, _ = run("results", file, "--verify")
    assert code == 1
    assert "result 1: " in out
    assert "1 problems" in out
    assert "--clean removes them" in out
    assert run("results", file, "--clean")[1] == "Freed 0.0 MB.\n"
    assert not (folder / ".writing-0123").exists()


def test_verify_where_nothing_can_be_written(run, file):
    """As somebody without rights to a copy; root, who has them all, gives them up."""
    run("results", file, "--verify")  # so that everything is imported: the child may not be able to read it
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        copy = Path(folder) / "copy.sqlite"
        shutil.copy(file, copy)
        shutil.copytree(f"{file}.voxels", f"{copy}.voxels")
        for path in (*Path(folder).rglob("*"), Path(folder)):
            path.chmod(0o555 if path.is_dir() else 0o444)
        child = os.fork()
        if child == 0:
            try:
                if os.getuid() == 0:
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                os.write(writer, json.dumps(run("results", copy, "--verify")).encode())
            except BaseException as error:  # noqa: BLE001 - nothing leaves the child
                os.write(writer, json.dumps(repr(error)).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
    with open(reader, encoding="utf-8") as answer:
        code, out, err = json.load(answer)
    assert (code, err) == (0, "")
    assert f"{2 * len(CELLS)} results read, 0 problems." in out
    assert "copy.sqlite cannot be locked" in out


# score --results


@pytest.fixture
def model_file(tmp_path):
    """A model per function: one is whole, one lacks its weights, one knows V1 alone."""
    file = tmp_path / "own.py"
    file.write_text(
        "from plugin_testing import models\n"
        "def make(): return models.CountingModel(identifier='own')\n"
        "def broken(): raise ImportError('no weights')\n"
        "def one_region(): return models.CountingModel(identifier='one region', regions=('V1',))\n"
    )
    return file


def test_scores_are_added(run, file, model_file, tiny_dataset, tmp_path):
    path = tmp_path / "runs" / "new.sqlite"
    code, out, _ = run(
        "score", f"{model_file}:make", RIDGE, RDM, "--dataset", tiny_dataset, "--json", "--no-store", "--results", path
    )
    assert code == 0
    printed = {record["benchmark"]: record for record in rows_of(out)}
    results = ResultsDatabase(path, create=False).results()
    assert {r.benchmark: r.value for r in results} == {cell: printed[cell]["score"] for cell in (RIDGE, RDM)}
    for result in results:
        assert (result.model, result.requested_model) == ("own", f"{model_file}:make")
        assert result.seconds > 0
        assert result.peak_memory_bytes > 2**20
        assert {"laion-fmri-7t", "brainscore-vision", "numpy", "python"} <= set(result.versions)


def test_a_run_that_fails_is_added_too(run, model_file, tiny_dataset, tmp_path, monkeypatch):
    path = tmp_path / "results.sqlite"
    code, _, err = run("score", f"{model_file}:broken", RIDGE, RDM, "--dataset", tiny_dataset, "--results", path)
    assert (code, err.count("\n")) == (1, 1)
    failures = ResultsDatabase(path).failures()
    assert [f.benchmark for f in failures] == [RIDGE, RDM]
    for failure in failures:
        assert f"own.py, line 3: ImportError: no weights; received '{model_file}:broken'." in failure.error
    # another model does one of two
    code, _, err = run("score", f"{model_file}:one_region", RIDGE, RDM, "--dataset", tiny_dataset, "--results", path)
    assert code == 1
    assert "V4" in err
    done = [result.benchmark for result in ResultsDatabase(path).results()]
    failed = [f.benchmark for f in ResultsDatabase(path).failures(models=["*one_region"])]
    assert sorted(done + failed) == sorted([RIDGE, RDM])
    assert RDM in failed


def test_wrong_names_are_no_failures(run, model_file, tiny_dataset, tmp_path):
    path = tmp_path / "results.sqlite"
    code, _, err = run("score", f"{model_file}:nothing", RIDGE, "--dataset", tiny_dataset, "--results", path)
    assert (code, err.count("\n")) == (2, 1)
    assert ResultsDatabase(path).failures() == []


def test_results_in_another_file_are_refused_before_work(run, model_file, tiny_dataset, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("text that is no database " * 100)
    code, out, err = run("score", f"{model_file}:make", RIDGE, "--dataset", tiny_dataset, "--results", path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "not a database" in err


def test_two_runs_at_once(tiny_dataset, tmp_path):
    """Two commands that add to one file."""
    path = tmp_path / "results.sqlite"
    arguments = ["--dataset", tiny_dataset, "--no-store", "--results", path]

    def score(cell):
        sys.argv = ["laion-score", "score", "LAION_fMRI-CLIP", cell, *map(str, arguments)]
        cli.main()

    # forked, so that each costs no imports
    children = [multiprocessing.get_context("fork").Process(target=score, args=(cell,)) for cell in (RIDGE, RDM)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=300)
    assert [child.exitcode for child in children] == [0, 0]
    assert sorted(r.benchmark for r in ResultsDatabase(path).results()) == sorted([RIDGE, RDM])
