"""The command as people meet it: quick, quiet, in order, and completed by their shell."""

import os
import re
import subprocess
import sys

import pytest
import typer
from plugin_testing.registered import REGISTERED

from brainscore_vision.benchmarks.laion_fmri_7t.cli import app, get
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, facts
from brainscore_vision.data.laion_fmri_7t import bucket

SLOW = ("brainscore_vision", "brainscore_core", "torch", "pandas", "xarray", "numpy", "scipy", "sklearn")
"""Packages that take from a tenth of a second to seconds to import."""


def front(*arguments, code="import laion_score; laion_score.main()", **environment):
    """The command in a process of its own, started as the installed script starts it."""
    environment = {"PYTHONWARNINGS": "", **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


IMPORTED = f"""
import sys, laion_score
try:
    laion_score.main()
finally:
    print(*[name for name in {SLOW} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("list",), ("list", "*IT*"), ("--version",), ("data", "get", "--help"), ("sweep", "--help")],
    ids=" ".join,
)
def test_what_needs_no_brain_imports_none(arguments):
    done = front(*arguments, code=IMPORTED)
    assert (done.returncode, done.stderr) == (0, "\n")
    assert done.stdout


def test_what_reads_results_waits_for_nothing_that_models_need(tmp_path):
    ResultsDatabase(tmp_path / "results.db")
    code = IMPORTED.replace(str(SLOW), str(("torch", "sklearn", "scipy.stats", "scipy.cluster", "matplotlib")))
    done = front("results", tmp_path / "results.db", code=code)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == ""


def test_the_check_of_imports_sees_them():
    assert front("list", "--all", code=IMPORTED).stderr.split()[:2] == list(SLOW[:2])


def test_the_first_line_is_our_own_and_the_process_ends_with_its_code():
    done = front("score", "no-such-model", REGISTERED[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("laion-score: A model is")
    assert done.stderr.count("\n") == 1


def test_warnings_are_shown_to_whoever_asks():
    warn = "import warnings, laion_score; laion_score._command_line = lambda: warnings.warn('soon', FutureWarning); "
    warn += "import contextlib\nwith contextlib.suppress(AttributeError): laion_score.main()"
    assert "soon" in front(code=warn, PYTHONWARNINGS="default").stderr
    assert front(code=warn).stderr == ""


def test_constants_that_are_kept_twice_are_the_same():
    for name in ("BUCKET", "BUCKET_VARIABLE", "ENDPOINT_VARIABLE", "KINDS"):
        assert getattr(get, name) == getattr(bucket, name)
    assert app.PACKAGES == facts.PACKAGES


# Help


@pytest.mark.parametrize(
    "words",
    [
        ("score", "--features", "t.csv", "--columns", "p1", "--columns", "p2", "LAION_fMRI.IT-ood-ridgecv"),
        ("score", "pixels", "LAION_fMRI.IT-ood-ridgecv", "--layers", "V1=a", "--layers=IT=b"),
        ("encoder", "fit", "pixels", "--regions", "V1", "--regions", "IT", "--out", "e.h5"),
        ("score", "--features", "a.csv", "--features", "b.csv", "LAION_fMRI.IT-ood-ridgecv"),
    ],
)
def test_an_option_that_takes_several_values_in_one_is_given_once(run, words):
    """The last would count, without a word."""
    repeated = next(word.partition("=")[0] for i, word in enumerate(words) if word.partition("=")[0] in words[:i])
    code, _, said = run(*words)
    assert code == 2
    assert f"Invalid value for '{repeated}': It is given once; received it 2 times" in " ".join(said.split())


def test_other_options_may_be_repeated(run):
    """The last one counts, as in other programs; and all of those that take lists by being repeated."""
    assert run("list", "--all", "--all")[0] == 0
    assert "It is given once" not in run("data", "images", "--dataset", "/no/such", "--dataset", "/none")[2]
    code, _, said = run("record", "--model", "a", "--model", "b")
    assert (code, "It is given once" in said) == (2, False)


def test_commands_stand_under_their_headings_in_order():
    text = front("--help").stdout
    places = []
    for heading, commands in app.COMMANDS.items():
        places.append(text.index(f"\n{heading}:\n"))
        places += [text.index(f"\n  {name} ", places[-1]) for name in commands]
    assert places == sorted(places)
    assert set(typer.main.get_command(app.app).commands) == {n for own in app.COMMANDS.values() for n in own}


@pytest.mark.parametrize("path", [(), ("data",), ("encoder",), ("cache",)], ids=" ".join)
@pytest.mark.parametrize("width", [60, 80])
def test_what_commands_do_is_said_to_the_end(path, width):
    group = typer.main.get_command(app.app)
    for name in path:
        group = group.commands[name]
    text = front(*path, "--help", COLUMNS=str(width)).stdout
    assert "..." not in text.replace("[ARGS]...", "")
    assert max(map(len, text.splitlines())) <= width
    flat = "".join(text.split())
    for name, command in group.commands.items():
        first = re.split(r"\.(?:\s|$)", command.help, maxsplit=1)[0]
        assert name + "".join(first.split()) in flat


# Completion, as shells ask for it


def asked(shell, words):
    """The variables by which a shell asks how words go on."""
    name = f"complete_{shell}"
    if shell == "bash":
        return {"_LAION_SCORE_COMPLETE": name, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    return {
        "_LAION_SCORE_COMPLETE": name,
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_benchmarks(shell, run, monkeypatch):
    assert re.findall(r"\bre\w+\b", front(**asked(shell, "laion-score re")).stdout)[:1] == ["results"]

    def completed(words):
        for name, value in asked(shell, words).items():
            monkeypatch.setenv(name, value)
        return run()[1]

    found = re.findall(r"LAION_fMRI[\w.-]+", completed("laion-score score pixels LAION_fMRI.IT"))
    assert found == [name for name in REGISTERED if name.startswith("LAION_fMRI.IT")]
    assert "--normalization" in completed("laion-score score --norm")
    assert "simulated" in completed("laion-score score pixels --dataset sim")
