"""Rows whose numbers are of several layers, stimuli or versions: whoever reads them is told, whatever shows them."""

import json
import re

import pytest
from plugin_testing.layered_results import FOLDS, KINDS, NOTE, OOD, OWN, TAU, V1
from plugin_testing.made_up_scores import made_up_score
from plugin_testing.models import small_network
from plugin_testing.scored_cells import facts

from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsError,
    check_properties,
    row_layers,
    row_notes,
    set_properties,
    to_dataframe,
    to_xarray,
)

# Which rows


def test_layers_of_one_region_are_said_with_what_they_were_for(mixed):
    for results in (mixed.results(), mixed.summaries(intervals=False)):
        (note,) = row_notes(results)
        assert note.model == "net"
        assert set(note.benchmarks) == {TAU, OOD, OWN}
        assert note.text.startswith(NOTE)
        assert "with one --layers" in note.text


def test_other_layers_of_other_regions_are_no_news(layered):
    assert row_notes(layered({"net": {V1: "0", TAU: "4", OOD: "4"}}).results()) == []


def test_layers_that_are_not_known_are_those_that_are(layered):
    known = layered({"net": {V1: None, TAU: "4", OOD: None}}).results()
    assert row_notes(known) == []
    assert [str(one) for one in row_layers(known)] == ["", "4"]


def test_unknown_layers_beside_several_are_said(layered):
    (note,) = row_notes(layered({"net": {OWN: None, TAU: "4", OOD: "5"}}).results())
    assert f"4 ({TAU}), 5 ({OOD}), unknown ({OWN})" in note.text


def test_layers_that_were_chosen_for_each_benchmark_are_no_mistake(layered):
    """The mean over folds names the second layer of its region ``IT (4)``, whichever it is."""
    (note,) = row_notes(layered({"net": {TAU: "3", FOLDS: {"IT": "3", "IT (4)": "4"}}}, choice="auto").results())
    assert f"3 ({FOLDS}, {TAU}), 4 ({FOLDS})" in note.text
    assert "chosen by --layers auto" in note.text
    assert "again" not in note.text


def test_layers_that_were_chosen_on_test_images_are_said(layered):
    """RDMs fit nothing, and test on all images of the pool: also where the row has one layer."""
    cells = {"LAION_fMRI.IT-rdm-pearson": "3", TAU: "3"}
    (note,) = row_notes(layered({"net": cells}, choice="auto").results())
    assert note.text == "--layers auto chose on images that LAION_fMRI.IT-rdm-pearson tests on as well."
    assert note.benchmarks == ("LAION_fMRI.IT-rdm-pearson",)
    several, said = row_notes(layered({"other": {**cells, OOD: "4"}}, choice="auto").results(["other"]))
    assert "does not test on" not in several.text
    assert said.text == note.text
    assert row_notes(layered({"third": cells}).results(["third"])) == []


def test_many_benchmarks_are_counted(layered):
    cells = {**dict.fromkeys((OWN, OOD, *KINDS), "4"), TAU: "0"}
    (note,) = row_notes(layered({"net": cells}).results())
    assert re.search(r", 4 \(\S+, \S+, \S+ and 1 more\)", note.text)


def test_models_of_one_name_have_their_own_rows(layered):
    database = layered({"net": {TAU: "0"}})
    database.add(score := made_up_score("net", OOD, 0.5), facts(score, model="another.py:net"))
    assert row_notes(database.results()) == []


def test_stimuli_and_versions(layered):
    database = layered({"net": {TAU: "0"}}, dropped_stimuli=["a", "b"])
    score = made_up_score("other", TAU, 0.3)
    database.add(score, facts(score, benchmark_version=2))
    for results in (database.results(), database.summaries()):
        assert [(note.model, note.benchmarks) for note in row_notes(results)] == [("net", (TAU,))] * 2
        left_out, older = (note.text for note in row_notes(results))
        assert left_out.startswith("2 stimuli were left out")
        assert older == f"{TAU} is version 1 here, and 2 elsewhere. Score it again."


def test_fields_of_view(layered, tiny_dataset):
    """Of a network that was made in Python, whose name and weights are the same."""
    database = layered({})
    for degrees, cell in ((8, TAU), (9.2, OOD), (8, V1)):
        model = small_network({"V1": "conv", "IT": "pool"}, seed=1, identifier="net", visual_degrees=degrees)
        score = score_model(model, cell, dataset=tiny_dataset)
        assert score.attrs["visual_degrees"] == degrees
        database.add(score, facts(score, model="net"))
    for results in (database.results(), database.summaries()):
        assert {result.model for result in results} == {"net"}
        (note,) = row_notes(results)
        assert set(note.benchmarks) == {TAU, OOD, V1}
        assert f"in degrees: 8 ({TAU}, {V1}), 9.2 ({OOD})" in note.text
    degrees = to_xarray(database.results())["visual_degrees"].sel(model="net")
    assert degrees.sel(benchmark=[TAU, OOD]).values.tolist() == [8, 9.2]
    features = score_model("LAION_fMRI-CLIP", TAU, dataset=tiny_dataset)
    assert "visual_degrees" not in features.attrs


# Where they are said


def test_the_matrix_marks_the_numbers(run, mixed):
    code, out, _ = run("results", mixed.path)
    assert code == 0
    net, other = (next(line for line in out.splitlines() if line.startswith(name)) for name in ("net", "other"))
    assert (net.count("†"), other.count("†")) == (3, 0)
    assert f"† net: {NOTE}" in out
    values = {result.benchmark: f"{result.value:.3f}" for result in mixed.results(["net"])}
    assert [values[name] + " †" in net for name in (TAU, OOD, OWN, V1)] == [True, True, True, False]


def test_a_table_names_its_dataset_apart_from_others_of_one_name(run, layered):
    database = layered({"net": {TAU: "0"}})
    score = made_up_score("net", TAU, 0.2)
    score.attrs["dataset"] |= {"fingerprint": "fedcba9876543210"}
    database.add(score, facts(score))
    for option in ((), ("--long",)):
        _, out, _ = run("results", database.path, *option)
        for fingerprint in ("0123456789abcdef", "fedcba9876543210"):
            assert out.count(f"simulated (simulated), fingerprint {fingerprint}") == 1


def test_a_comparison_says_that_its_rows_are_of_several_layers(run, mixed):
    code, out, err = run("compare", mixed.path, "net", "other")
    assert (code, out.count("LAION_fMRI")) == (0, 4)
    assert f"Note on net: {NOTE}" in err
    assert "on other" not in err
    _, out, err = run(
        "compare", mixed.path, "net", "other", "--benchmark", "*-tau-*", "--benchmark", "*-ood-*", "--json"
    )
    assert "Note on net" in err
    _, out, err = run("compare", mixed.path, "net", "other", "--benchmark", "LAION_fMRI.*-tau-*")
    assert "Note on" not in err


def test_comparisons_on_two_datasets_are_told_apart(run, layered):
    database = layered({"net": {TAU: "0"}, "other": {TAU: "1"}})
    for model in ("net", "other"):
        score = made_up_score(model, TAU, 0.2)
        score.attrs["dataset"] |= {"fingerprint": "fedcba9876543210"}
        database.add(score, facts(score))
    _, out, _ = run("compare", database.path, "net", "other")
    assert out.count("0123456789abcdef") == out.count("fedcba9876543210") == 1
    rows = [json.loads(line) for line in run("compare", database.path, "net", "other", "--json")[1].splitlines()]
    assert [row["dataset_fingerprint"] for row in rows] == ["0123456789abcdef", "fedcba9876543210"]


def test_versions_of_a_benchmark_are_not_compared(run, layered):
    database = layered({"net": {TAU: "0", V1: "0"}, "other": {V1: "1"}})
    score = made_up_score("other", TAU, 0.3)
    database.add(score, facts(score, benchmark_version=2))
    code, out, err = run("compare", database.path, "net", "other")
    assert (code, TAU in out, V1 in out) == (0, False, True)
    assert f"Left out: {TAU}: two scores are compared on the same version of the benchmark; received 1 and 2." in err


def test_arrays_say_it_number_by_number(mixed, layered):
    database = layered({"third": {TAU: "7"}}, dropped_stimuli=["a"])
    score = made_up_score("third", OOD, 0.3)
    score.attrs["dataset"] |= {"fingerprint": "fedcba9876543210"}
    database.add(score, facts(score, benchmark_version=2))
    arrays = to_xarray(database.results())
    assert [arrays["layers"].sel(model="net", benchmark=name).item() for name in (TAU, OOD)] == ["0", "4"]
    third = arrays.sel(model="third", benchmark=[TAU, OOD])
    assert third["dataset_fingerprint"].values.tolist() == ["0123456789abcdef", "fedcba9876543210"]
    assert third["benchmark_version"].values.tolist() == [1, 2]
    assert third["n_dropped_stimuli"].values.tolist() == [1, 0]


def test_a_layer_that_is_tried_on_one_benchmark_changes_no_other_row(layered):
    """The layer with the most benchmarks of a region keeps the name, its results in other regions with it."""

    def names(*runs):
        database = None
        for run in runs:
            database = layered({"net": run})
        return {(r.benchmark, r.layer): r.model for r in database.results()}

    whole = {TAU: "2", OOD: "2", V1: "1"}
    expected = dict.fromkeys(whole.items(), "net")
    assert names(whole) == expected
    assert names({TAU: "0"}) == expected | {(TAU, "0"): "net (layer 0)"}
    both = names({OOD: "0"})
    assert both == {
        (V1, "1"): "net",
        **{(cell, layer): f"net (layer {layer})" for cell in (TAU, OOD) for layer in "20"},
    }


def test_a_name_that_somebody_gave_is_made_for_no_other_model(layered):
    layered({"net": {TAU: "2", OOD: "2"}})
    results = layered({"net": {TAU: "0"}, "net (layer 0)": {TAU: "2", OOD: "2"}}).results()
    models = {(r.model_identifier, r.layer): r.model for r in results}
    assert models[("net (layer 0)", "2")] == "net (layer 0)"
    assert len(set(models.values())) == 3
    assert re.fullmatch(r"net \(.+, layer 0\)", models["net", "0"])


def test_a_layer_beside_several_of_a_region_has_one_name_on_all_benchmarks(layered):
    layered({"net": {TAU: "2", OOD: "2"}})
    results = layered({"net": {TAU: "0", KINDS[0]: "0"}})
    assert {(r.benchmark, r.model) for r in results.results()} == {
        (TAU, "net (layer 2)"),
        (OOD, "net (layer 2)"),
        (TAU, "net (layer 0)"),
        (KINDS[0], "net (layer 0)"),
    }


def test_layers_of_folds_are_of_their_region(layered):
    """Earlier versions called the first of them by what else was scored."""
    database = layered({"net": {OWN: "0", FOLDS: {"IT (1)": "1"}}}, choice="auto")
    database = layered({"net": {FOLDS: "0", OOD: "0"}})
    assert {(r.benchmark, r.layer): r.model for r in database.results()} == {
        (OWN, "0"): "net",
        (FOLDS, "1"): "net (layer 1)",
        (FOLDS, "0"): "net",
        (OOD, "0"): "net",
    }


def test_names_are_those_of_the_whole_file_whatever_is_asked_for(layered):
    whole = {TAU: "2", OOD: "2", OWN: "2"}
    for run in (whole, {TAU: "4", KINDS[0]: "4"}, {TAU: "0"}):
        database = layered({"net": run})
    expected = {(r.benchmark, r.layer): r.model for r in database.results()}
    assert set(expected.values()) == {"net", "net (layer 4)", "net (layer 0)"}
    for benchmarks in ([TAU], [KINDS[0]], [TAU, KINDS[0]], [OOD]):
        asked = {cell: name for cell, name in expected.items() if cell[0] in benchmarks}
        for found in (database.results(benchmarks=benchmarks), database.summaries(benchmarks=benchmarks)):
            assert {(r.benchmark, r.layer): r.model for r in found} == asked
        table = to_dataframe(database.results(benchmarks=benchmarks))
        of_means = [row for row in table.itertuples() if row.level == "mean"]
        assert {(row.benchmark, row.layers): row.model for row in of_means} == asked
    assert {r.layer for r in database.results("net")} == {"2"}  # a name in full
    (one,) = database.results("net (layer 4)", [KINDS[0]])
    assert one.layer == "4"
    assert len(database.results("net*")) == 6
    assert len(database.results("*net")) == 6  # the model's own identifier


def test_what_a_list_says_of_one_layer_is_not_said_of_another(layered):
    """A list for each layer, named by it: a model has one name in a file."""
    database = layered({"net": {TAU: "2", OOD: "2", V1: "1"}})
    (requested,) = {r.requested_model for r in database.results()}
    here = {requested: {"name": "layer 2", "family": "cnn"}}
    set_properties(database, here)
    there = {requested: {"name": "layer 4", "family": "cnn"}}
    for layers in ({"IT": "4"}, {"IT": ["2", "4"]}, "auto", None):
        with pytest.raises(ResultsError, match="name 'layer 2' in .* layer 2; here it has 'layer 4', and other layers"):
            check_properties(database, there, {requested: layers})
        check_properties(database, here, {requested: layers})
        check_properties(database, {requested: {"depth": 4}}, {requested: layers})
    for layers in ({"IT": "2"}, {"IT": ["2"], "V1": "1"}, {"V2": "9"}):  # a name may change
        check_properties(database, there, {requested: layers})
    check_properties(database, {"another.py:net": {"name": "layer 4"}}, {"another.py:net": {"IT": "4"}})
