"""The command line: what it prints, where, and how it ends."""

import json
import os
import re
import subprocess
import sys

import pytest
import typer
from plugin_testing.models import small_network
from plugin_testing.registered import REGISTERED
from typer.testing import CliRunner

from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import all_identifiers
from brainscore_vision.data.laion_fmri_7t import simulation

V1, IT, RDM = "LAION_fMRI.V1-ood-ridge", "LAION_fMRI_persubject.IT-tau-ridgecv", "LAION_fMRI.V2-rdm-pearson"


@pytest.fixture
def model_file(tmp_path):
    """``model_file(options) -> "file.py:make"``, a model that notes when it is made and when it looks."""

    def write(options=""):
        file = tmp_path / "own_model.py"
        file.write_text(
            "from pathlib import Path\n"
            "from plugin_testing import models\n"
            "class Noting(models.CountingModel):\n"
            "    def look_at(self, *args, **kwargs):\n"
            f"        Path({str(tmp_path / 'looked')!r}).touch()\n"
            "        return super().look_at(*args, **kwargs)\n"
            "def make():\n"
            f"    Path({str(tmp_path / 'made')!r}).touch()\n"
            f"    return Noting(identifier='own', {options})\n"
        )
        return f"{file}:make"

    return write


def records(output):
    return [json.loads(line) for line in output.splitlines()]


# list


def test_list(run):
    assert run("list") == (0, "\n".join(REGISTERED) + "\n", "")
    assert run("list", "--all") == (0, "\n".join(all_identifiers()) + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("*IT-ood*",), ["LAION_fMRI.IT-ood-ridgecv", "LAION_fMRI_persubject.IT-ood-ridgecv"]),
        (("--all", "LAION_fMRI.V3-*gab*"), ["LAION_fMRI.V3-ood_gabor-ridgecv", "LAION_fMRI.V3-ood_gabor-ridge"]),
    ],
    ids=["registered", "all"],
)
def test_list_what_matches(run, arguments, expected):
    assert run("list", *arguments) == (0, "".join(f"{name}\n" for name in expected), "")


def test_list_says_that_nothing_matches(run):
    code, output, errors = run("list", "*gabor*")
    assert (code, output) == (1, "")
    assert "no identifier matches '*gabor*'; --all searches every one" in errors


@pytest.mark.parametrize("typed", ["IT-ood", "it-ood"])
def test_list_names_the_pattern_that_was_meant(run, typed):
    code, output, errors = run("list", typed)
    assert (code, output) == (1, "")
    assert f"no identifier matches {typed!r}. The pattern '*IT-ood*' matches LAION_fMRI.IT-ood-ridgecv" in errors


def test_version(run):
    code, output, _ = run("--version")
    assert code == 0
    assert "brainscore-vision 2." in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((V1, "pixels"), "The model comes first, then its benchmarks"),
        (("pixels", "headlin"), "together are called headline; received 'headlin'"),
        (("part.py", V1, "--dataset", "simulated"), "part.py:FUNCTION"),
        (("none.npz", V1, "--dataset", "simulated"), "there is no file none.npz"),
        (("pixels", "LAION_fMRI.V1-tau"), "'LAION_fMRI.V1-tau-ridgecv'"),
        (("pixels", "all"), "together are called headline; received 'all'"),
        (("pixels", "IT-ood"), "'*IT-ood*' matches LAION_fMRI.IT-ood-ridgecv, LAION_fMRI_persubject.IT-ood-ridgecv"),
        (("pixels", "it"), "'*IT*' matches LAION_fMRI.IT-tau-ridgecv"),
        (("pixels", "*.it-ood*"), "'*.IT-ood*' matches LAION_fMRI.IT-ood-ridgecv"),
        (("pixels", "LAION_fMRI.it-tau-ridgecv"), "The nearest valid one is 'LAION_fMRI.IT-tau-ridgecv'"),
        (("pixels", "LAION_fMRI.FFA-tau-ridgecv"), "FFA is none of the regions V1, V2, V3, V4, IT, IT_full"),
        (("pixels", "FFA"), "FFA is none of the regions V1, V2, V3, V4, IT, IT_full"),
        (("pixels", V1, "--threshold", "0.3"), "0.3 looks like a fraction. Write --threshold 30."),
    ],
    ids=[
        "swapped",
        "headline",
        "file alone",
        "no file",
        "no metric",
        "all",
        "no asterisks",
        "region",
        "pattern's case",
        "case",
        "unknown region",
        "unknown region alone",
        "fraction",
    ],
)
def test_what_newcomers_type(run, arguments, message):
    code, output, errors = run("score", *arguments)
    assert (code, output) == (2, "")
    assert message in " ".join(errors.split())


# score


def test_score_as_json(run, model_file, tiny_dataset):
    code, out, _ = run("score", model_file(), V1, IT, RDM, V1, "--dataset", tiny_dataset, "--json")
    assert code == 0
    found = {record["benchmark"]: record for record in records(out)}
    assert sorted(found) == sorted([V1, IT, RDM])
    assert len(records(out)) == 3  # a name given twice is scored once
    for record in found.values():
        assert record["model"] == "own"
        assert record["dataset"]["root"] == str(tiny_dataset)
        assert set(record["subjects"]) == {"sub-01", "sub-03", "sub-05", "sub-06", "sub-07"}
        assert isinstance(record["score"], float)


def test_score_as_a_table(run, model_file, tiny_dataset):
    code, out, _ = run("score", model_file(), RDM, V1, "--dataset", tiny_dataset, "--no-store")
    assert code == 0
    rows = [line for line in out.splitlines() if "LAION_fMRI" in line]
    assert [name for row in rows for name in (RDM, V1) if name in row] == [RDM, V1]  # in the order asked for
    assert all("±" in row for row in rows)
    assert "own" in out


def test_a_table_shows_names_and_numbers_whole(run, model_file, tiny_dataset):
    names = [f"{V1}[subjects=sub-01+sub-03,threshold={threshold},dataset={tiny_dataset}]" for threshold in (10, 20)]
    code, out, _ = run("score", model_file(), *names)
    assert code == 0
    rows = [line for line in out.splitlines() if "LAION_fMRI" in line]
    assert len(rows) == 2
    for name, row in zip(names, rows, strict=True):
        assert len(row) > 100
        assert name in row
        assert row.count("±") == 1


def test_score_by_pattern(run, model_file, tiny_dataset):
    code, out, _ = run("score", model_file(), "*.V4-*", V1, "--dataset", tiny_dataset, "--json")
    assert code == 0
    expected = {name for name in REGISTERED if ".V4-" in name} | {V1}
    assert {record["benchmark"] for record in records(out)} == expected


def test_headline_stands_for_all_twenty():
    assert cli.expand(["headline"]) == REGISTERED == cli.headline()
    assert cli.expand([V1, "headline", "*"]) == [V1, *REGISTERED]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("MODEL", V1, "LAION_fMRI.V1-ood-rigde"), 2, "nearest valid one is 'LAION_fMRI.V1-ood-ridge'"),
        (("MODEL", "LAION_fMRI_persubject.V1-rdm-pearson"), 2, "Use 'LAION_fMRI.V1-rdm-pearson'"),
        (("MODEL", f"{V1}[dataset=simulated]", "--dataset", "published"), 2, "A setting has one value"),
        (("MODEL", f"{V1}[threshold=101]"), 2, "in percent"),
        (("no-such-model", V1), 2, "received 'no-such-model'"),
        (("no/such/file.py:make", V1), 2, "There is no file"),
        (("MODEL", V1, "--dataset", "no/such/folder"), 1, "is not a folder"),
        (("json:JSONDecoder", V1, "--dataset", "TINY"), 2, "received a JSONDecoder, which has no identifier"),
        (("json:dumps", V1, "--dataset", "TINY"), 2, "a function that can be called without arguments; dumps(obj"),
        (("Pixels", V1), 2, "The nearest registered names are pixels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_error_is_one_line(run, model_file, tmp_path, tiny_dataset, arguments, code, message):
    places = {"MODEL": model_file(), "TINY": str(tiny_dataset)}
    got, out, err = run("score", *(places.get(argument, argument) for argument in arguments))
    assert got == code
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("laion-score: ")
    assert message in err
    assert not (tmp_path / "made").exists()  # nothing was loaded for it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "pixels"), "Missing argument|at least one benchmark"),
        (("score", "pixels", "*no match*"), r"No registered benchmark matches '\*no match\*'"),
        (("score", "pixels", V1, "--device", "gpu"), "one of cpu, cuda; received 'gpu'"),
        (("score", "pixels", V1, "--max-memory", "0"), "'--max-memory'"),
        (("score", "pixels", V1, "--jason"), "No such option"),
        (("simulate",), "Missing argument"),
        (("simulate", "folder", "--scale", "huge"), "one of tiny, small, full; received 'huge'"),
        (("simulate", "folder", "--seed", "-1"), "'--seed'"),
        (("simulate", "folder", "--pixels", "8"), "32 to 4000 pixels wide; received 8"),
        (("demo", "now"), "unexpected extra argument"),
        (("scoer",), "No such command 'scoer'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: laion-score")
    assert re.search(message, err.splitlines()[-1])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_cell_does_not_cost_those_before_it(run, model_file, tiny_dataset):
    unique = next((tiny_dataset / "stimuli" / "images").glob("unique_*")).name
    model = model_file(f"misbehave=models.not_finite({unique!r})")
    code, out, err = run("score", model, V1, IT, "--dataset", tiny_dataset, "--json")
    assert code == 1
    assert [record["benchmark"] for record in records(out)] == [V1]
    assert "Features must be finite" in err.splitlines()[-1]
    code, out, _ = run("score", model, V1, IT, "--dataset", tiny_dataset)
    assert code == 1
    assert V1 in out
    assert IT not in out


def test_an_unknown_error_keeps_its_traceback(run, model_file, tiny_dataset):
    with pytest.raises(ZeroDivisionError):
        run("score", model_file("misbehave=lambda values, ids: 1 / 0"), V1, "--dataset", tiny_dataset)


# simulate and demo


def test_simulate(run, tmp_path):
    folder = tmp_path / "made here"
    code, out, err = run("simulate", folder, "--scale", "tiny", "--seed", "3")
    assert (code, out) == (0, "")
    assert f"--dataset {folder}" in err
    assert json.loads((folder / "dataset.json").read_text())["seed"] == 3
    assert run("simulate", folder, "--scale", "tiny", "--seed", "3")[0] == 0  # it is there already
    code, out, err = run("simulate", folder, "--scale", "tiny", "--seed", "4")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "one dataset" in err


SOME = [REGISTERED[0], REGISTERED[16]]  # a metric of each kind


@pytest.fixture
def quick_demo(monkeypatch, tiny_dataset):
    """The demo on a tiny dataset, with a small network in AlexNet's place, on some of the 20."""
    layers = {"V1": "conv", "V2": "pool", "V3": "pool", "V4": "pool", "IT": "head"}
    monkeypatch.setattr(simulation, "ensure_default", lambda: tiny_dataset)
    monkeypatch.setattr(
        "brainscore_vision.benchmarks.laion_fmri_7t.networks.sources.untrained_alexnet",
        lambda: small_network(layers, batch_size=32),
    )
    monkeypatch.setattr(cli, "headline", lambda: SOME)


def test_demo(run, quick_demo):
    code, out, err = run("demo")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines() if "LAION_fMRI" in line] == SOME
    assert "pixels" in out
    assert "untrained AlexNet" in " ".join(out.split())
    assert "say nothing about brains" in err


def test_demo_as_json(run, quick_demo):
    code, out, _ = run("demo", "--json")
    assert code == 0
    for model in ("pixels", "small-network-seed0"):
        own = [record["benchmark"] for record in records(out) if record["model"] == model]
        assert sorted(own) == sorted(SOME)
    assert all(record["dataset"]["simulated"] for record in records(out))


# Help


def commands(group, *path):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def test_the_promised_commands_exist():
    assert {("list",), ("score",), ("simulate",), ("demo",)} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path):
    result = CliRunner().invoke(cli.app, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(COMMANDS[path].help) > 20
    for parameter in COMMANDS[path].params:
        if "--help" not in parameter.opts:
            assert getattr(parameter, "help", None), f"{path}: {parameter.name} has no help text"


def test_no_command_shows_the_help(run):
    code, out, err = run()
    assert code in (0, 2)
    assert "laion-score demo" in out + err


# As a process of its own


@pytest.fixture
def process(tmp_path):
    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "laion_score", *map(str, arguments)],
            env={**os.environ, "PYTHONWARNINGS": "", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_process_prints_records_alone(process, tiny_dataset):
    done = process("score", "pixels", V1, "--json", LAION_FMRI_DATASET=str(tiny_dataset))
    assert done.returncode == 0
    (record,) = records(done.stdout)
    assert record["benchmark"] == V1
    assert record["model"] == "pixels"
    # no warning of a library, no bars where nobody watches, and one line that says that the data are made up
    assert "\r" not in done.stderr
    assert done.stderr.splitlines() == [f"Simulated data ({tiny_dataset}): scores on them say nothing about brains."]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("layers torchvision:alexnet@none --list --save map.json", "Beside --list, --save would do nothing"),
        ("layers torchvision:alexnet@none --list --regions V1 --figure a.svg", "--list, --regions, --figure would"),
        ("list --regions FFA*", "Beside --regions, pattern would do nothing"),
        ("list --dataset tiny", "--dataset goes with --regions"),
        ("record --tree --db a.sqlite3 --model pixels", "Beside --tree, --model would do nothing"),
        ("data splits --pool shared --name tau --ids --json", "Beside --ids, --json would do nothing"),
        ("results a.db --partitions --sort model", "Beside --partitions, --sort would do nothing"),
        ("results a.db --verify --model pixels", "Beside --verify, --model would do nothing"),
        ("results a.db --clean --json", "--clean goes with --verify"),
        ("map a.db --out maps --range 0,0.6", "--range is of a figure's colours"),
        ("results a.db --failures --where family=vit", "Beside --failures, --where would do nothing"),
    ],
)
def test_options_that_would_do_nothing_are_refused(run, command, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.db").touch()
    code, _, message = run(*command.replace("tiny", str(tmp_path)).split())
    assert code == 2
    assert said in " ".join(message.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db"]


def test_a_file_that_this_user_may_not_use_is_one_line_with_the_remedy(capsys):
    error = PermissionError(13, "Permission denied", "/shared/splits/tau.json")
    assert cli.exit_code(error) == 1
    with pytest.raises(SystemExit):
        cli.fail(error, 1)
    said = capsys.readouterr().err
    assert said.startswith(
        "laion-score: /shared/splits/tau.json cannot be used by this user (Permission denied). Ask its owner"
    )
    assert "chmod a+rX" in said
    assert cli.exit_code(PermissionError("no file is meant")) is None
