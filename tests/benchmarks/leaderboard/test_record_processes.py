"""``laion-score record``: what it prints, several of them at once, and one that is killed in the middle."""

import json
import multiprocessing
import os
import signal
import sys
import time

import pytest
from brainscore_core.submission import database as recorder
from plugin_testing.leaderboards import content, counts, leaderboard, query, results_file
from plugin_testing.models import CountingModel
from typer.testing import CliRunner

from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.database import open_database
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.entries import record
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase

FORK = multiprocessing.get_context("fork")
V1, RDM = "LAION_fMRI.V1-ood-ridge", "LAION_fMRI.V2-rdm-pearson"


@pytest.fixture(scope="module")
def results(tiny_dataset, tmp_path_factory):
    file = tmp_path_factory.mktemp("results") / "results.db"
    for name in ("first", "second"):
        results_file(file, CountingModel(identifier=name), (V1, RDM), tiny_dataset)
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    with leaderboard(request.param, tmp_path) as place:
        yield place


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["record", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code
    return result.stdout, result.stderr


def test_a_table(results, place):
    out, err = run(results, "--db", place, "--allow-simulated")
    rows = [line for line in out.splitlines() if "LAION_fMRI." in line]
    assert len(rows) == 4
    assert all("new" in row for row in rows)
    assert sum("first" in row and V1 in row and " LAION_fMRI.V1 " in row for row in rows) == 1
    assert err.splitlines()[-1].startswith("Written to ")
    assert err.splitlines()[-1].endswith(": 4 new.")
    assert run(results, "--db", place, "--allow-simulated")[1].splitlines()[-1].endswith(": 4 unchanged.")
    assert counts(place)["score"] == 4


def test_records(results, place):
    out, _ = run(results, "--db", place, "--allow-simulated", "--json", "--model", "fir*", "--benchmark", V1)
    (found,) = map(json.loads, out.splitlines())
    (result,) = ResultsDatabase(results).results(["first"], [V1])
    recorded = f"{V1}[dataset=simulated:{result.dataset['name']}]"
    assert found == {
        "model": "first",
        "benchmark": V1,
        "version": 1,
        "tree": ["average_vision", "neural_vision", "V1", "LAION_fMRI.V1", recorded],
        "score_raw": result.raw,
        "score_ceiled": result.value,
        "error": result.error,
        "ceiling": result.ceiling,
        "ceiling_error": result.ceiling_error,
        "status": "new",
    }
    assert query(place, "SELECT score_ceiled FROM brainscore_score") == [(result.value,)]


def test_a_trial_run(results, tmp_path):
    out, err = run(results, "--db", tmp_path / "scores.db", "--allow-simulated", "--dry-run")
    assert sum("new" in line for line in out.splitlines()) == 4
    assert err.splitlines()[-1] == f"Nothing was written to {tmp_path / 'scores.db'}; it would be: 4 new."
    assert list(tmp_path.iterdir()) == []


def test_the_file_without_a_name(results):
    file = results.with_name("leaderboard.sqlite3")
    run(results, "--allow-simulated", "--dataset", ResultsDatabase(results).results()[0].dataset_fingerprint[:6] + "*")
    assert counts(str(file))["score"] == 4
    file.unlink()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 1, "4 of 4 results are of simulated data"),
        (("--model", "third"), 1, "Nothing to record"),
        (("--dataset", "published"), 1, "Nothing to record"),
        (("--allow-simulated", "--db", "mysql://host/scores"), 1, "received mysql://"),
        (("--allow-simulated", "--db", "RESULTS"), 1, "is a file of results"),
        (("--jason",), 2, "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_error_is_one_line(results, tmp_path, monkeypatch, capsys, options, code, message):
    before = content_of_folder(results.parent)
    options = [str(results) if option == "RESULTS" else option for option in options]
    monkeypatch.setattr(sys, "argv", ["laion-score", "record", str(results), *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err.splitlines()[-1]
    assert content_of_folder(results.parent) == before


def content_of_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# Processes


def recording(place, results, after_each, statuses=None):
    """A process that records, and calls ``after_each(n)`` when the nth score is written but not yet kept."""

    def work():
        update_score, calls = recorder.update_score, []

        def update(score, entry):
            update_score(score, entry)
            calls.append(entry)
            after_each(len(calls))

        recorder.update_score = update
        found = record(ResultsDatabase(results).results(), open_database(place), allow_simulated=True)
        if statuses is not None:
            statuses.put({recording.status for recording in found})

    process = FORK.Process(target=work)
    process.start()
    return process


def test_a_killed_recording_leaves_nothing(results, place):
    run(results, "--db", place, "--allow-simulated", "--model", "first", "--benchmark", RDM)
    before = content(place)
    killed = recording(place, results, lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == 3 else None)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert content(place) == before
    run(results, "--db", place, "--allow-simulated")
    assert counts(place)["score"] == 4


def test_three_at_once_make_no_entry_twice(results, place):
    statuses = FORK.Queue()
    # whoever is first takes its time, so that the others come while its entries are not yet to be seen
    slow = [recording(place, results, lambda n: time.sleep(0.3), statuses) for _ in range(3)]
    found = [statuses.get(timeout=60) for _ in slow]
    for process in slow:
        process.join()
        assert process.exitcode == 0
    assert sorted(found, key=str) == [{"new"}, {"unchanged"}, {"unchanged"}]
    rows = counts(place)
    assert (rows["score"], rows["model"], rows["submission"], rows["benchmarkinstance"]) == (4, 2, 2, 2)
    assert (rows["reference"], rows["user"]) == (1, 2)
