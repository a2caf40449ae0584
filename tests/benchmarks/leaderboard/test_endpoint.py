"""Brain-Score's own scoring endpoint, as its workflow starts it, in a checkout of the library with this plugin in it.

One thing stands in for another: the secret that names the PostgreSQL server comes from here, not from a cloud account.
"""

import json
import os
import subprocess
import sys

import psycopg2.extensions
import pytest
from brainscore_core.submission import database_models as tables
from plugin_testing.install_check import REPOSITORY
from plugin_testing.leaderboards import leaderboard, query, results_file
from plugin_testing.models import small_network
from plugin_testing.upstream_checkout import make_checkout

from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.database import open_database, writing
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all

LAYERS = {"V1": "conv", "V2": "pool", "V4": "pool", "IT": "head"}
BENCHMARKS = ("LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.V1-rdm-pearson")
MODELS = ("alexnet-untrained-seed0", "pixels", "LAION_fMRI-CLIP", "LAION_fMRI-nouns", "small-network-seed0")

ENDPOINT = """
import runpy, sys
from brainscore_core.submission import database
secret = sys.argv.pop(1)
database.get_secret = lambda name: secret
runpy.run_module("brainscore_vision.submission.endpoints", run_name="__main__")
"""

ROWS = """
SELECT t.identifier, m.name, s.score_raw, s.score_ceiled, s.error, i.ceiling, i.ceiling_error, s.comment, t.parent_id
FROM brainscore_score s
JOIN brainscore_benchmarkinstance i ON s.benchmark_id = i.id
JOIN brainscore_benchmarktype t ON i.benchmark_type_id = t.identifier
JOIN brainscore_model m ON s.model_id = m.id
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("upstream") / "vision").parent


@pytest.fixture(scope="module")
def results(tiny_dataset, tmp_path_factory):
    """A results file with the scores of one of the models."""
    path = tmp_path_factory.mktemp("results") / "results.db"
    results_file(path, small_network(LAYERS), BENCHMARKS, tiny_dataset)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """A database as Brain-Score's is before this plugin comes: users, and the regions of its tree."""
    with leaderboard(request.param, tmp_path) as url:
        place = url if "://" in url else str(tmp_path / "scores.sqlite3")
        with writing(open_database(place)):
            for number, email in ((1, "submitter@example.org"), (2, "owner@example.org")):
                tables.User.create(
                    id=number, email=email, is_active=True, is_staff=False, is_superuser=False, password="!"
                )
            common = {"domain": "vision", "owner": 2, "visible": True, "order": 0}
            tables.BenchmarkType.create(identifier="average_vision", **common)
            tables.BenchmarkType.create(identifier="neural_vision", parent="average_vision", **common)
            for region in ("V1", "V2", "V4", "IT"):
                tables.BenchmarkType.create(identifier=region, parent="neural_vision", **common)
        yield place


def endpoint(checkout, place, dataset, tmp_path, models, benchmarks=BENCHMARKS):
    """Run Brain-Score's scoring endpoint; return what it logged."""
    secret, name = "", place
    if "://" in place:
        server = psycopg2.extensions.parse_dsn(place)
        if server.get("port", "5432") != "5432":
            pytest.skip("Brain-Score's own connection knows port 5432 alone")
        names = {"dbInstanceIdentifier": "dbname", "host": "host", "username": "user"}
        secret = json.dumps({key: server[part] for key, part in names.items()} | {"password": ""})
        name = "brainscore-1-ohio-cred"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(checkout), str(REPOSITORY / "tests")]),
        "BSC_DATABASESECRET": name,
        "LAION_FMRI_DATASET": str(dataset),
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tmp_path),
        "BRAINSCORE_HOME": str(checkout.parent / "kernels"),  # all runs share them
        "OMP_NUM_THREADS": "1",
    }
    options = [
        "--user_id",
        "1",
        "--public",
        "--specified_only",
        "--new_models",
        *models,
        "--new_benchmarks",
        *benchmarks,
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ENDPOINT, secret, "1", *options],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr  # whatever happens to a pair of a model and a benchmark
    return done.stderr


def record(run, results, place):
    code, _, message = run("record", results, "--db", place, "--allow-simulated", "--user", "submitter@example.org")
    assert code == 0, message


def on_leaderboard(benchmark, dataset):
    """A benchmark's name where its data are simulated."""
    return f"{benchmark}[dataset=simulated:{dataset}]"


def check_tree(place, dataset):
    parents = dict(query(place, "SELECT identifier, parent_id FROM brainscore_benchmarktype"))
    for benchmark in BENCHMARKS:
        assert parents[on_leaderboard(benchmark, dataset)] == "LAION_fMRI.V1"
        assert benchmark not in parents
    assert [name for name, parent in parents.items() if parent == "V1"] == ["LAION_fMRI.V1"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["endpoint", "record"])
def test_five_models(checkout, place, results, tiny_dataset, tmp_path, run, first):
    if first == "record":
        record(run, results, place)
    models = MODELS if (first == "record") == ("://" in place) else MODELS[-1:]  # each database sees five models once
    log = endpoint(checkout, place, tiny_dataset, tmp_path, models)
    assert "Could not run" not in log
    assert log.count("already exists") == (len(BENCHMARKS) if first == "record" else 0)
    before = {row[:2]: row[2:-1] for row in query(place, ROWS)}
    assert sorted(before) == sorted((on_leaderboard(b, tiny_dataset), model) for b in BENCHMARKS for model in models)
    if first == "endpoint":  # which can make no node
        assert {row[-1] for row in query(place, ROWS)} == {None}
        record(run, results, place)
    check_tree(place, tiny_dataset)
    statuses = dict(query(place, "SELECT status, COUNT(*) FROM brainscore_submission GROUP BY status"))
    assert list(statuses) == ["successful"]
    ours = {(r.model_identifier, r.benchmark): r for r in ResultsDatabase(results).results()}
    for (name, model), (raw, ceiled, error, ceiling, ceiling_error, comment) in before.items():
        benchmark = name.partition("[")[0]
        same_ceiling = ours["small-network-seed0", benchmark]
        assert ceiling == pytest.approx(same_ceiling.ceiling, rel=1e-12)
        assert ceiling_error == pytest.approx(same_ceiling.ceiling_error, rel=1e-9)
        assert error > 0
        if model == "small-network-seed0":
            assert (raw, ceiled, error) == pytest.approx((same_ceiling.raw, same_ceiling.value, same_ceiling.error))
        if model.startswith("LAION_fMRI-") or (model, first) == ("small-network-seed0", "record"):
            assert "simulated data" in comment
        else:
            assert comment.startswith("layers: {")  # as Brain-Score writes over it
    if "pixels" in models:
        for benchmark, score in score_all("pixels", BENCHMARKS, dataset=tiny_dataset):
            kept = before[on_leaderboard(benchmark, tiny_dataset), "pixels"]
            assert kept[:3] == pytest.approx((score.raw.item(), score.item(), score.attrs["error"]), rel=1e-9)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_lookup_model_in_a_run_of_every_benchmark(checkout, place, tiny_dataset, tmp_path):
    """What it cannot do is said where Brain-Score says it of any model, and the run goes on."""
    benchmarks = (
        "Other2026.IT-pls",
        "Other2026-i2n",
        "LAION_fMRI_persubject.V1-tau-ridgecv",
        "LAION_fMRI.V1-rdm-pearson",
    )
    endpoint(checkout, place, tiny_dataset, tmp_path, ["LAION_fMRI-nouns"], benchmarks)
    comments = {row[0].partition("[")[0]: row[7] for row in query(place, ROWS)}
    assert "2 of the 2 stimuli that it is shown have no features" in comments["Other2026.IT-pls"]
    assert "so it has no behavior" in comments["Other2026-i2n"]
    assert "knows the nouns of shared images only" in comments["LAION_fMRI_persubject.V1-tau-ridgecv"]
    assert all("NotAbleError" in comments[benchmark] for benchmark in benchmarks[:3])
    assert comments["LAION_fMRI.V1-rdm-pearson"] == "simulated data: says nothing about brains"
    statuses = query(place, "SELECT status FROM brainscore_submission ORDER BY id")
    assert [status for (status,) in statuses] == ["failure"] * 3 + ["successful"]
