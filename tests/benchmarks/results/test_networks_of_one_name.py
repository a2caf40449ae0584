"""Two networks under one identifier: told apart in whatever shows results, never merged into one row."""

import csv
import json
import re
from dataclasses import replace

import pytest
import torch
import xarray as xr
from plugin_testing.models import CountingModel, small_network
from plugin_testing.scored_cells import facts

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmarks.laion_fmri_7t import compare
from brainscore_vision.benchmarks.laion_fmri_7t.report import write_report
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    set_properties,
    tell_apart,
    to_dataframe,
    to_xarray,
)
from brainscore_vision.benchmarks.laion_fmri_7t.results.entry import make_entry
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.models.laion_fmri_7t import combine

V1, IT = "LAION_fMRI.V1-ood-ridge", "LAION_fMRI.IT-ood-ridge"
LAYERS = {"V1": "conv", "IT": "pool"}
ENGINE = EngineOptions(store=False, progress=False)


@pytest.fixture(scope="module")
def scores(tiny_dataset):
    """``scores[seed][benchmark]`` of two networks that call themselves net."""
    models = {seed: small_network(LAYERS, seed=seed, identifier="net") for seed in (1, 2)}
    return {seed: dict(score_all(m, [V1, IT], dataset=tiny_dataset, engine=ENGINE)) for seed, m in models.items()}


@pytest.fixture
def fill(tmp_path, scores):
    """``fill((seed, benchmark, requested, revision), ...) -> ResultsDatabase``."""

    def fill(*rows):
        database = ResultsDatabase(tmp_path / "results.db")
        for number, (seed, benchmark, requested, revision) in enumerate(rows):
            score = scores[seed][benchmark]
            database.add(score, facts(score, number, model=requested, model_revision=revision))
        return database

    return fill


def names(database, **query):
    return [(result.model, result.benchmark) for result in database.results(**query)]


def test_scores_say_which_network_and_which_features(scores):
    a, b = scores[1], scores[2]
    assert len({score.attrs["network_digest"] for score in a.values()}) == 1
    assert a[V1].attrs["network_digest"] != b[V1].attrs["network_digest"]
    digests = {score.attrs["features_digest"] for row in (a, b) for score in row.values()}
    assert len(digests) == 4
    assert a[V1].attrs["sub-01"].attrs["features_digest"] == a[V1].attrs["features_digest"]


def test_requests(fill):
    database = fill((1, V1, "/x/a/models.py:make", "r1"), (2, IT, "/x/b/models.py:make", "r2"))
    assert names(database) == [("net (a/models.py:make)", V1), ("net (b/models.py:make)", IT)]
    assert {result.model_identifier for result in database.results()} == {"net"}
    assert names(database, models=["net"]) == names(database)
    # called alike whatever is asked for: tables of parts of a file are put side by side
    assert names(database, models=["*/a/*"]) == [("net (a/models.py:make)", V1)]
    assert names(database, benchmarks=[IT]) == [("net (b/models.py:make)", IT)]
    assert set(to_dataframe(database.results(benchmarks=[IT]))["model"]) == {"net (b/models.py:make)"}
    registered = fill((1, V1, "net", None))
    assert "net (net)" in {name for name, _ in names(registered)}


def test_requests_with_paths_in_their_arguments(fill):
    database = fill((1, V1, "/x/a.py:make('c/1.pt')", "r1"), (2, IT, "/x/a.py:make('c/2.pt')", "r2"))
    assert names(database) == [("net (a.py:make('c/1.pt'))", V1), ("net (a.py:make('c/2.pt'))", IT)]
    again = fill((1, V1, "/y/a.py:make('c/1.pt')", "r1"))
    assert ("net (y/a.py:make('c/1.pt'))", V1) in names(again)


def test_revisions(fill):
    database = fill((1, V1, "models.py:make", "aaaa0123456"), (2, IT, "models.py:make", "bbbb0123456"))
    assert [name for name, _ in names(database)] == ["net (revision aaaa0123)", "net (revision bbbb0123)"]
    assert names(database, models=["bbbb0123", "cccc0123"]) == [("net (revision bbbb0123)", IT)]


def test_weights(fill, scores):
    """Without a revision, as of a library's network: a checkpoint that was trained further, or weights without a seed."""
    database = fill((1, V1, "package:make", None), (2, IT, "package:make", None))
    digests = [scores[seed][V1].attrs["network_digest"] for seed in (1, 2)]
    shown = [f"net (network {digest[:8]})" for digest in digests]
    assert [name for name, _ in names(database)] == shown
    assert names(database, models=shown[1:]) == [(shown[1], IT)]  # a name that is shown can be asked for
    assert len(names(database, models=["*(network*)"])) == 2
    for digest in (digests[1], digests[1][:8]):  # and so can what tells it from the other
        assert names(database, models=[digest]) == [(shown[1], IT)]
    both = fill(
        (1, IT, "package:make", None)
    )  # nothing says that one follows the other: neither takes the other's place
    assert names(both) == [(shown[0], V1), (shown[1], IT), (shown[0], IT)]
    assert {s.model for s in both.summaries()} == set(shown)
    again = fill((2, IT, "package:make", None))
    assert names(again) == [(shown[0], V1), (shown[0], IT), (shown[1], IT)]
    assert len(names(again, latest=False)) == 4


def test_what_a_list_says_is_of_the_revision_that_it_was_said_of(fill, scores):
    database = fill((1, V1, "models.py:make", "aaaa0123456"), (2, IT, "models.py:make", "bbbb0123456"))
    narrow, wide = {"name": "narrow", "width": 4}, {"name": "wide", "width": 32}
    set_properties(database, {"models.py:make": narrow})
    set_properties(database, {"models.py:make": wide}, {"models.py:make": {"bbbb0123456"}})
    assert [r.properties for r in database.results()] == [narrow, wide]
    assert names(database) == [("narrow", V1), ("wide", IT)]
    assert names(database, models=["narrow"]) == [("narrow", V1)]
    for revision, own in (("cccc0123456", {}), ("dddd0123456", {"width": 64})):
        score = scores[1][V1]
        database.add_entries([make_entry(score, facts(score, model="models.py:make", model_revision=revision))], own)
        assert database.results()[-1].properties == own  # a revision of which nothing was said has none
    assert [r.properties.get("width") for r in database.results(latest=False)] == [4, 32, None, 64]
    assert [r.properties.get("width") for r in database.summaries(latest=False)] == [4, 32, None, 64]
    set_properties(database, {"models.py:make": {"width": 1}}, {"another.py:make": {"aaaa0123456"}})
    assert [r.properties.get("width") for r in database.results(latest=False)] == [4, 32, None, 64]


def test_weights_that_are_not_known_are_those_that_are(fill):
    first, second = fill((1, V1, "m:make", None), (1, IT, "m:make", None)).results()
    old = replace(first, network_digest=None)
    assert [r.model for r in tell_apart([old, second])] == ["net", "net"]
    third = replace(second, id=3, network_digest="0123456789")
    assert len({r.model for r in tell_apart([old, second, third])}) == 3


def test_features_that_come_with_each_dataset_are_one_model(fill):
    found = fill((1, V1, "m:make", None), (2, IT, "m:make", None)).results()
    first, second = (replace(one, model="net") for one in found)
    assert [r.model for r in tell_apart([first, replace(second, dataset_fingerprint="other")])] == ["net", "net"]


def test_everything_that_is_made_of_results(run, fill, tmp_path):
    database = fill((1, V1, "a.py:make", "1"), (2, V1, "b.py:make", "2"), (2, IT, "b.py:make", "2"))
    a, b = "net (a.py:make)", "net (b.py:make)"
    _, out, _ = run("results", database.path)
    assert (out.count(a), out.count(b)) == (1, 1)
    _, out, _ = run("results", database.path, "--long")
    assert (out.count(a), out.count(b)) == (1, 2)
    rows = [json.loads(line) for line in run("results", database.path, "--json")[1].splitlines()]
    assert [(row["model"], row["model_identifier"], row["requested_model"]) for row in rows] == [
        (a, "net", "a.py:make"),
        (b, "net", "b.py:make"),
        (b, "net", "b.py:make"),
    ]
    assert len({row["network_digest"] for row in rows}) == 2
    assert len({row["features_digest"] for row in rows}) == 3
    # exports
    results = database.results()
    assert set(to_dataframe(results)["model"]) == {a, b}
    assert set(to_dataframe(results[:1])["model"]) == {a}
    arrays = to_xarray(results)
    assert arrays["requested_model"].sel(model=b).item() == "b.py:make"
    assert arrays["network_digest"].sel(model=a).item() == results[0].network_digest
    assert arrays["score"].sel(model=a, benchmark=IT).isnull()
    code, _, _ = run("results", database.path, "--export", tmp_path / "r.nc", "--voxels", tmp_path / "v.csv")
    assert code == 0
    with xr.open_dataset(tmp_path / "r.nc") as read:
        assert set(read["model"].values) == {a, b}
    with open(tmp_path / "v.csv", encoding="utf-8") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {a, b}
    # the report
    study = read_study(database)
    assert set(study.models) == {a, b}
    assert study.requested(a) == "a.py:make"
    page = write_report(database, tmp_path / "page").read_text("utf-8")
    for model in (a, b):
        assert re.search(rf'<th scope="row" class="model" data-rank="\d+">{re.escape(model)}</th>', page)
    for result in results:
        assert f"<td>{result.network_digest}</td>" in page
    # two models of a leaderboard's one name
    code, _, err = run("record", database.path, "--allow-simulated")
    assert (code, err.count("\n")) == (1, 1)
    assert "net is two" in err
    code, _, err = run("record", database.path, "--allow-simulated", "--model", "b.py:make", "--dry-run")
    assert (code, "2 new" in err) == (0, True)


def test_comparisons_name_both(scores):
    a, b = (scores[seed][V1] for seed in (1, 2))
    digests = [score.attrs["network_digest"] for score in (a, b)]
    assert compare(a, b).models == tuple(f"net (network {digest})" for digest in digests)
    assert compare(a, a).models == ("net", "net")


# Digests of networks


def test_a_digest_is_of_the_values():
    assert network_digest(small_network(LAYERS, seed=3)) == network_digest(small_network(LAYERS, seed=3))
    assert network_digest(small_network(LAYERS, seed=3)) != network_digest(small_network(LAYERS, seed=4))
    model = small_network(LAYERS, seed=3)
    before = network_digest(model)
    with torch.no_grad():
        next(model.activations_model._model.parameters()).view(-1)[5] += 1e-6
    assert network_digest(model) != before


@pytest.mark.parametrize(
    "kind", [torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool, torch.complex64]
)
def test_weights_of_any_type(kind):
    def holder(value, module=torch.nn.Identity):
        model = CountingModel()
        model.network = module()
        model.network.register_buffer("scale", torch.tensor([[1, value], [0, 1]]).to(kind))
        return model

    assert network_digest(holder(0)) == network_digest(holder(0)) != network_digest(holder(1))
    assert network_digest(holder(0)) != network_digest(holder(0, torch.nn.ReLU))  # equal weights, another network


def test_odd_state():
    model = CountingModel()
    model.network = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.ReLU())
    model.network.register_buffer("empty", torch.zeros(0))
    model.network.register_buffer("sparse", torch.eye(3).to_sparse())
    model.network.register_buffer("transposed", torch.arange(6).reshape(2, 3).T)
    model.network.get_extra_state = lambda: object()
    assert network_digest(model) == network_digest(model)


def test_models_that_are_no_torch_networks_have_none():
    assert network_digest(CountingModel()) is None
    assert network_digest(combine([CountingModel(), CountingModel(identifier="b")])) is None


def test_a_combination_has_the_digest_of_its_networks():
    def both(seed):
        return combine([small_network(LAYERS, seed=seed, identifier="net", visual_degrees=9.2), CountingModel()])

    assert network_digest(both(1)) == network_digest(both(1)) != network_digest(both(2))
