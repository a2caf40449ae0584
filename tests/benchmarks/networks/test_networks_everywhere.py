"""Networks by name in whatever takes a model, and their layers in whatever shows a score."""

import csv
import json
import sqlite3

import pytest
import timm
import xarray as xr
from plugin_testing.scored_cells import facts

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model
from brainscore_vision.benchmarks.laion_fmri_7t.cli.sweep import listed
from brainscore_vision.benchmarks.laion_fmri_7t.networks.listing import network_names
from brainscore_vision.benchmarks.laion_fmri_7t.report import write_report
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, add_scores, to_dataframe, to_xarray
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition, score_all
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import Settings, UnknownNamesError, check_names, make_plan
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.plan import _has_layers
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.tasks import Work, do

V1, IT = "LAION_fMRI.V1-ood-ridge", "LAION_fMRI.IT-ood-ridge"
SMALL = "timm:test_vit@none"
LAYERS = {"V1": "blocks.1", "IT": ["blocks.3", "blocks.5"]}
TYPED = "V1=blocks.1,IT=blocks.3,IT=blocks.5"
DEEP = "blocks.3 + blocks.5"
ENGINE = EngineOptions(store=False, progress=False)


@pytest.fixture(scope="module")
def database(tiny_dataset, tmp_path_factory):
    """An untrained network on V1 and IT, asked for in Python."""
    database = ResultsDatabase(tmp_path_factory.mktemp("layers") / "results.db")
    scores = score_all(SMALL, [V1, IT], dataset=tiny_dataset, engine=ENGINE, layers=LAYERS)
    list(add_scores(database, scores, model=SMALL, benchmarks=[V1, IT], dataset=tiny_dataset))
    return database


def test_layers_are_kept_with_results(database):
    v1, it = database.results()
    assert (v1.layers, v1.layer, v1.layer_choice) == ({"V1": "blocks.1"}, "blocks.1", "given")
    assert (it.layers, it.layer, it.model_source) == ({"IT": LAYERS["IT"]}, DEEP, SMALL)
    assert v1.network_digest == it.network_digest is not None
    score = database.score(it.id)
    assert score.attrs["layers"] == {"IT": LAYERS["IT"]}
    assert (score.attrs["layer_choice"], score.attrs["model_source"]) == ("given", SMALL)
    assert score.attrs["network_digest"] == it.network_digest
    with sqlite3.connect(database.path) as file:
        query = "SELECT json_extract(layers, '$.IT[1]'), layer_choice, model_source, network_digest FROM scores"
        rows = file.execute(f"{query} WHERE benchmark = '{IT}'").fetchall()
    assert set(rows) == {("blocks.5", "given", SMALL, it.network_digest)}


def test_layers_stand_wherever_results_are_shown(run, database, tmp_path):
    _, out, _ = run("results", database.path, "--long")
    assert "layer " in out
    assert DEEP in out
    rows = [json.loads(line) for line in run("results", database.path, "--json")[1].splitlines()]
    assert [row["layers"] for row in rows] == [{"V1": "blocks.1"}, {"IT": LAYERS["IT"]}]
    results = database.results()
    frame = to_dataframe(results)
    assert frame[frame["benchmark"] == IT]["layers"].unique().tolist() == [DEEP]
    assert frame["model_source"].unique().tolist() == [SMALL]
    assert to_xarray(results)["layers"].sel(model=SMALL, benchmark=IT).item() == DEEP
    for suffix in (".csv", ".nc", ".json"):
        assert run("results", database.path, "--export", tmp_path / f"r{suffix}")[0] == 0
    with open(tmp_path / "r.csv", encoding="utf-8") as file:
        assert {row["layers"] for row in csv.DictReader(file)} == {"blocks.1", DEEP}
    with xr.open_dataset(tmp_path / "r.nc") as read:
        assert read["layers"].sel(benchmark=V1).values.tolist() == ["blocks.1"]
    page = write_report(database, tmp_path / "page").read_text("utf-8")
    assert f"<td>V1: blocks.1; IT: {DEEP}</td>" in page
    assert f"layer {DEEP}" in page
    code, _, err = run("record", database.path, "--allow-simulated", "--db", tmp_path / "board.sqlite3")
    assert (code, "2 new" in err) == (0, True)
    with sqlite3.connect(tmp_path / "board.sqlite3") as file:
        comments = [row[0] for row in file.execute("SELECT comment FROM brainscore_score")]
    assert sum(f"layer {DEEP};" in comment for comment in comments) == 1


def test_the_command_shows_layers(run, tiny_dataset, tmp_path):
    target = tmp_path / "r.db"
    code, out, _ = run(
        "score", SMALL, V1, IT, "--layers", TYPED, "--dataset", tiny_dataset, "--no-store", "--results", target
    )
    assert code == 0
    assert f"Layers of {SMALL}: V1=blocks.1, IT={DEEP}" in out
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({"V1": "blocks.2"}))
    code, out, _ = run(
        "score", SMALL, V1, "--layers", file, "--dataset", tiny_dataset, "--no-store", "--results", target, "--json"
    )
    row = json.loads(out)
    assert (row["layers"], row["layer_choice"], row["model_source"]) == ({"V1": "blocks.2"}, "given", SMALL)
    shown = [(r.model, r.layer) for r in ResultsDatabase(target).results(benchmarks=[V1])]
    assert shown == [(f"{SMALL} (layer {layer})", layer) for layer in ("blocks.1", "blocks.2")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([V1], "--layers V1=LAYER"),
        ([V1, "--layers", "V1"], "--layers is V1=LAYER,IT=LAYER, a JSON file"),
        ([V1, IT, "--layers", "V1=blocks.1"], "Add IT=LAYER"),
        ([V1, "--layers", "V1=blocks.99"], "has no 'blocks.99'. The nearest of its"),
        ([V1, "--layers", "V1=blocks.1,v1=blocks.2"], "received layers of 'v1', which models record as V1"),
    ],
)
def test_wrong_usage_is_one_line(run, tiny_dataset, arguments, message):
    code, _, err = run("score", SMALL, *arguments, "--dataset", tiny_dataset, "--no-store")
    lines = [line for line in err.splitlines() if line.startswith("laion-score:")]
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]


def test_the_newest_of_each_choice_of_layers(database, tmp_path):
    """With one code. Other code is a new version, and results that do not know their layers are any."""
    copy = ResultsDatabase(tmp_path / "r.db")
    score = database.score(1)
    rows = []

    def add(layer, revision="a"):
        other = score.copy()
        other.attrs = {**score.attrs, "layers": {"V1": layer}} if layer else dict(score.attrs)
        if layer is None:
            del other.attrs["layers"]
        rows.append(copy.add(other, facts(other, len(rows), model=SMALL, model_revision=revision)))
        return [r.id - rows[0] for r in copy.results()]

    assert add("x") == [0]
    assert add("y") == [0, 1]
    assert add("x") == [1, 2]
    assert add(None) == [3]
    assert add("x") == [4]
    assert add("y", revision="b") == [5]
    assert len(copy.results(latest=False)) == 6


def test_sweeps_have_layers(tiny_dataset, database, tmp_path):
    benchmarks = [V1, IT]
    dataset = str(tiny_dataset)
    names = check_names([SMALL], benchmarks, LAYERS, dataset=dataset)
    assert [t.name for t in make_plan(*names, results=database).models[0].done] == benchmarks
    other = check_names([SMALL], benchmarks, {**LAYERS, "IT": "blocks.3"}, dataset=dataset)
    (plan,) = make_plan(*other, results=database).models
    assert ([t.name for t in plan.done], [t.name for t in plan.todo]) == ([V1], [IT])
    auto = check_names([SMALL], benchmarks, "auto", dataset=dataset)
    assert make_plan(*auto, results=database).n_done == 0
    with pytest.raises(UnknownNamesError, match="--layers V1=LAYER"):
        check_names([SMALL], benchmarks, None, dataset=dataset)
    with pytest.raises(UnknownNamesError, match="none for 'timm:test_vit@none'"):
        check_names([SMALL], benchmarks, {"pixels": {"V1": "x"}}, dataset=dataset)
    with pytest.raises(UnknownNamesError, match="layers of 'face', which models record as IT"):
        check_names([SMALL], benchmarks, {"V1": "blocks.1", "face": "blocks.3"}, dataset=dataset)
    only_v1 = check_names([SMALL], [V1, IT], {"V1": "blocks.1"}, dataset=dataset)  # IT would be the model's own
    (rest,) = make_plan(*only_v1, results=database).models
    assert ([t.name for t in rest.done], [t.name for t in rest.todo]) == ([V1], [IT])
    settings = Settings(EngineOptions(store_directory=tmp_path, progress=False))
    made = do(Work(plan, cells=False, bytes=10**12), settings, "one")
    assert (made.failed, made.labels) == ([], {"IT": "blocks.3"})
    scored = do(Work(plan, cells=True, bytes=10**12), settings, "two")
    assert scored.failed == []
    (kept,) = database.add_entries([one.entry for one in scored.scored])
    assert database.score(kept).attrs["layers"] == {"IT": "blocks.3"}


def test_a_layer_that_was_given_is_not_the_models_own(tiny_dataset, tmp_path):
    network = timm.create_model("test_vit", pretrained=False).eval()
    model = as_brain_model(network, "own", layers={"V1": "blocks.0", "IT": "blocks.5"})
    database = ResultsDatabase(tmp_path / "r.db")
    planned = []
    for layers in ({"IT": "blocks.3"}, {"V1": "blocks.1"}, None):
        scores = dict(score_all(model, [V1, IT], dataset=tiny_dataset, engine=ENGINE, layers=layers))
        list(add_scores(database, scores.items(), model="a.py:own", benchmarks=[V1, IT], dataset=tiny_dataset))
        planned.append([scores[name].attrs["layer_choice"] for name in (V1, IT)])
    assert planned == [["own", "given"], ["given", "own"], ["own", "own"]]
    first = database.results(latest=False)[:2]
    assert [_has_layers(result, {"V1": "blocks.1"}) for result in first] == [False, False]
    assert [_has_layers(result, {"IT": "blocks.3"}) for result in first] == [True, True]


def test_layers_are_chosen_in_scores_and_sweeps(run, tiny_dataset, tmp_path):
    target, dataset = tmp_path / "r.db", str(tiny_dataset)
    arguments = ["--layers", "auto", "--dataset", dataset, "--store-directory", tmp_path / "store", "--results", target]
    assert run("score", SMALL, V1, IT, *arguments)[0] == 0
    results = ResultsDatabase(target)
    v1, it = results.results()
    assert {v1.layer_choice, it.layer_choice} == {"auto"}
    assert all(layer.startswith("blocks.") for layer in (v1.layers["V1"], it.layers["IT"]))
    names = check_names([SMALL], [V1, IT], "auto", dataset=dataset)
    assert make_plan(*names, results=results).n_done == 2
    (plan,) = make_plan(*names).models
    settings = Settings(EngineOptions(store_directory=tmp_path / "store", progress=False))
    assert do(Work(plan, cells=False, bytes=10**12), settings, "one").failed == []
    again = ResultsDatabase(tmp_path / "again.db")
    cells = do(Work(plan, cells=True, bytes=10**12), settings, "two").scored
    kept = again.add_entries([one.entry for one in cells])
    scored = {one.target.name: again.score(number) for one, number in zip(cells, kept, strict=True)}
    assert {name: score.attrs["layers"] for name, score in scored.items()} == {V1: v1.layers, IT: it.layers}
    assert scored[IT].item() == pytest.approx(it.value)
    assert results.score(it.id).attrs["layers_chosen"] == scored[IT].attrs["layers_chosen"]


def test_lists_may_have_arguments(tmp_path):
    file = tmp_path / "models.txt"
    file.write_text("nets.py:make(width=64, note='#1')  # wide\ntorchvision:alexnet@none-3\n# nets.py:make\n")
    assert listed([str(file)]) == ["nets.py:make(width=64, note='#1')", "torchvision:alexnet@none-3"]


def test_two_networks_are_partitioned(run, tiny_dataset, tmp_path):
    cell = V1.removesuffix("ridge") + "ridgecv"
    parts = partition(
        SMALL, SMALL + "-1", cell, tiny_dataset, ENGINE, layers_a={"V1": "blocks.1"}, layers_b={"V1": "blocks.2"}
    )
    arguments = ["--layers-a", "V1=blocks.1", "--layers-b", "V1=blocks.2", "--dataset", tiny_dataset, "--no-store"]
    results = tmp_path / "results.db"
    code, out, _ = run("partition", SMALL, SMALL + "-1", cell, *arguments, "--json", "--results", results)
    assert code == 0
    rows = {row["subject"]: row for row in map(json.loads, out.splitlines())}
    assert rows["mean"]["models"] == [SMALL, SMALL + "-1"]
    assert rows["mean"]["layers"] == [{"V1": "blocks.1"}, {"V1": "blocks.2"}]
    assert rows["sub-01"]["total"] == pytest.approx(parts["sub-01"].values["total"])
    assert parts["mean"].layers == parts["sub-01"].layers == ("blocks.1", "blocks.2")
    for row in map(json.loads, run("results", results, "--partitions", "--json")[1].splitlines()):
        assert (row["layers_a"], row["layers_b"]) == ("blocks.1", "blocks.2")
    assert "blocks.2" in run("results", results, "--partitions")[1]


def test_networks_are_listed(run):
    code, out, _ = run("networks", "squeezenet")
    assert code == 0
    assert [line.split()[:5] for line in out.splitlines()[3:]] == [
        [f"torchvision:squeezenet1_{n}", "1.2", "224", "×", "224"] for n in (0, 1)
    ]
    count = sum(parameter.numel() for parameter in timm.create_model("test_vit.r160_in1k").parameters())
    rows = [json.loads(line) for line in run("networks", "timm:test_vit*in1k", "--json")[1].splitlines()]
    assert {row["name"]: row["n_parameters"] for row in rows}["timm:test_vit.r160_in1k"] == count
    assert rows[0]["input_size"] == [160, 160]
    assert run("networks", "no such network")[0] == 2
    assert len(network_names()) > 1000
    assert "torchvision:resnet50" in network_names("RESNET50")
    assert network_names("torchvision:res*50") == ["torchvision:resnet50"]
