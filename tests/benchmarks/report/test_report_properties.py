"""Reports: the sentence at the top, properties of models, and layers over depth."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from plugin_testing.made_up_scores import made_up_score
from plugin_testing.report_database import IT, TAU, fill, renamed
from plugin_testing.scored_cells import facts
from plugin_testing.svg_panels import Panel
from scipy.stats import spearmanr

from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, compare
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.report import ReportError, write_report
from brainscore_vision.benchmarks.laion_fmri_7t.report.answer import answers
from brainscore_vision.benchmarks.laion_fmri_7t.report.layer_figure import layer_figure, read_layer_maps
from brainscore_vision.benchmarks.laion_fmri_7t.report.properties import of_results, read_properties, value_text
from brainscore_vision.benchmarks.laion_fmri_7t.report.property_figures import _stem, property_figures
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study
from brainscore_vision.benchmarks.laion_fmri_7t.report.variants import Variant

pytestmark = pytest.mark.usefixtures("without_maps")

IT_OOD = "LAION_fMRI.IT-ood-ridgecv"
SHARES = {"small": 0.5, "large": 0.7, "middle": 0.6, "other": 0.4}


def made(shares=SHARES, cells=(TAU, IT, IT_OOD)):
    return [made_up_score(model, cell, share) for cell in cells for model, share in shares.items()]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("made-up") / "results.db", made())


def sentences(database, folder):
    """The first sentences of a report, without their markup."""
    text = write_report(database, folder).read_text("utf-8")
    found = re.findall(r'<p class="answer[^>]*>(.*?)</p>', text, re.DOTALL)
    return [" ".join(re.sub("<.*?>", "", sentence).split()) for sentence in found]


# The answer


def test_the_answer_is_the_best_model_and_its_lead(database, tmp_path):
    study = read_study(database)
    tau, ood = answers(study)
    assert (tau.region, tau.variant, ood.variant) == ("IT", Variant.of(parse(IT)), Variant.of(parse(IT_OOD)))
    scores = {score.attrs["model_identifier"]: score for score in made(cells=[IT])}
    expected = compare(scores["large"], scores["middle"])
    assert (tau.best, tau.second, tau.n_models) == (["large"], "middle", 4)
    assert tau.gap == pytest.approx(expected.mean.value)
    assert tau.comparison.mean.interval == pytest.approx(expected.mean.interval)
    assert tau.is_reliable
    low, high = expected.mean.interval
    between = scores["large"].item(), tau.result.interval_over_subjects
    assert sentences(database, tmp_path)[0] == (
        f"On held-out natural images, large predicts IT best: it scores {between[0]:.3f} (95 % over subjects: "
        f"{between[1][0]:.3f} to {between[1][1]:.3f}), {expected.mean.value:.3f} more than middle, the next of 4 models "
        f"(95 % over test images: {low:+.3f} to {high:+.3f}; more in 5 of 5 subjects)."
    )


def test_small_leads_are_called_so(tmp_path):
    close = made({"a": 0.6000, "b": 0.6005}, [IT])
    (answer,) = answers(read_study(fill(tmp_path / "results.db", close)))
    assert not answer.is_reliable
    assert sentences(fill(tmp_path / "again.db", close), tmp_path / "page")[0].endswith(
        "So small a lead may be chance."
    )


def test_leads_that_cannot_be_compared_are_called_so(tmp_path):
    """Of few test images there are no draws: least is known, and not nothing said."""
    without = made({"a": 0.9, "b": 0.2}, [IT])
    for score in without:
        for subject in DEFAULT_SUBJECTS:
            del score.attrs[subject].attrs["bootstrap"]
    (sentence,) = sentences(fill(tmp_path / "results.db", without), tmp_path / "page")
    assert sentence.endswith("cannot be compared draw by draw, so that the lead may be chance.")


def test_squared_negatives_are_said_of_the_best_model(tmp_path):
    scores = made({"a": 0.9, "b": 0.2}, [IT])
    scores[0].attrs["sub-03"].attrs["raw"][...] = -0.2
    folder = tmp_path / "page"
    (sentence,) = sentences(fill(tmp_path / "results.db", scores), folder)
    assert "the raw one of one or more subjects is negative, and the published normalization squares it." in sentence
    assert "a (" in (text := next(folder.rglob("index.html")).read_text("utf-8"))
    assert ", with a negative raw score squared)" in text


def test_equal_models_are_named_together(tmp_path):
    score = made_up_score("a", IT, 0.6)
    tied = [score, renamed(score, "b"), made_up_score("c", IT, 0.5)]
    (sentence,) = sentences(fill(tmp_path / "results.db", tied), tmp_path / "page")
    assert f"a and b predict IT equally well: they score {score.item():.3f}" in sentence
    assert "more than c, the next of 3 models" in sentence
    (sentence,) = sentences(fill(tmp_path / "two.db", tied[:2]), tmp_path / "page")
    assert "more than" not in sentence


def test_one_model_and_no_it(tmp_path):
    (sentence,) = sentences(fill(tmp_path / "results.db", made({"alone": 0.5}, [TAU])), tmp_path / "page")
    assert "alone is the only model with a score of V1: " in sentence
    assert "more than" not in sentence


def test_results_that_cannot_be_compared_have_a_lead_all_the_same(tmp_path):
    database = fill(tmp_path / "results.db", made(cells=[IT]))
    for path in database.voxel_directory.iterdir():
        path.write_bytes(b"damaged")
    (answer,) = answers(read_study(database))
    assert (answer.comparison, answer.second) == (None, "middle")
    (sentence,) = sentences(database, tmp_path / "page")
    assert f"{answer.gap:.3f} more than middle, the next of 4 models." in sentence


# Properties


def write(path, *lines):
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_properties_are_numbers_or_words_and_may_be_unknown(tmp_path):
    path = write(tmp_path / "m.csv", "model,family,top-1,data", "a,x,76.5,none", "b,,80,1", '"c, d",y,,', ",z,1,1")
    assert read_properties(path) == {
        "a": {"family": "x", "top-1": 76.5, "data": "none"},
        "b": {"top-1": 80.0, "data": "1"},
        "c, d": {"family": "y"},
    }
    assert [value_text(value) for value in (76.5, 25557032.0, "none", 3)] == ["76.5", "25.6 M", "none", "3"]


@pytest.mark.parametrize(("encoding", "separator"), [("utf-16", "\t"), ("utf-8-sig", ";"), ("utf-8", ",")])
def test_properties_as_spreadsheets_save_them(tmp_path, encoding, separator):
    rows = [("model", "family", "top-1"), ("a", "Å", "76.5"), ("b", "x", "80")]
    path = tmp_path / "m.csv"
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding=encoding)
    assert read_properties(path) == {"a": {"family": "Å", "top-1": 76.5}, "b": {"family": "x", "top-1": 80.0}}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["model,top-1", "a,1,", "b,2,"], "rows have more fields than the header's 2"),
        (["name,top-1", "a,1"], "names models in the column 'model'; .* has the columns name, top-1. Rename one"),
        (["model,top-1", "a,1", "a,2"], "one row per model; .* has several of a"),
        ([], "--properties names a CSV file with a column 'model'; .* is none"),
    ],
)
def test_files_that_hold_no_properties(tmp_path, lines, message):
    with pytest.raises(ReportError, match=message):
        read_properties(write(tmp_path / "m.csv", *lines))


def test_files_of_properties_are_told_apart_by_letters_and_signs():
    names = ["参数量", "准确率", "top 1 (%)", "top 1 [%]", "top-1", "top 1"]
    stems = [_stem(name) for name in names]
    assert len(set(stems[:5])) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", stem) for stem in stems)
    assert stems[4:] == ["top-1", "top-1"]


def test_infinity_is_no_property(tmp_path):
    with pytest.raises(ReportError, match="a finite number; size in .* has infinity"):
        read_properties(write(tmp_path / "m.csv", "model,size", "a,inf", "b,2"))


def test_a_missing_file_is_said_before_any_work(database, tmp_path):
    with pytest.raises(ReportError, match="--properties names a CSV file"):
        write_report(database, tmp_path / "page", properties=tmp_path / "missing.csv")
    assert not (tmp_path / "page").exists()


def test_models_may_be_named_as_they_were_asked_for(tmp_path):
    database = fill(tmp_path / "results.db", [])
    for model in ("small", "large"):
        score = made_up_score(model, IT, SHARES[model])
        database.add(score, facts(score, model=f"timm:{model}@weights"))
    given = {"timm:small@weights": {"family": "x"}, "small": {"size": 1.0}, "nobody": {"size": 3.0}}
    study = read_study(database, properties=given)
    assert study.properties == {"small": {"family": "x", "size": 1.0}}
    told = []
    path = write(tmp_path / "m.csv", "model,size", "nobody,1", "noone,2", "small ,3")
    write_report(database, tmp_path / "page", properties=path, warn=told.append)
    assert len(told) == 1
    assert "2 of 3 rows of" in told[0]
    assert "name no model of the report: 'nobody', 'noone'." in told[0]


def test_a_name_of_a_list_is_that_of_all_its_rows(database):
    """Rows of other layers are called as the list says, with the layer behind it."""
    first, second = database.results()[:2]
    rows = [
        replace(one, model=name, properties={"name": "wide", "top1": 0.7})
        for one, name in ((first, "wide"), (second, "wide (layer 5)"))
    ]
    assert of_results({"wide": {"top1": 71.2}}, rows) == {"wide": {"top1": 71.2}, "wide (layer 5)": {"top1": 71.2}}


def test_a_row_of_properties_is_of_one_model(database):
    """Tables that are called alike, and told apart by their folders."""
    first, second = database.results()[:2]
    rows = [
        replace(one, model=f"features ({folder}/a.npz)", model_identifier="features", requested_model=f"{folder}/a.npz")
        for one, folder in ((first, "resnet"), (second, "vit"))
    ]
    said = r"belongs to one model; 'features' is the name of 2: features \(resnet/a.npz\), features \(vit/a.npz\)\. Name each"
    with pytest.raises(ReportError, match=said):
        of_results({"features": {"top1": 80.0}}, rows)
    expected = {"features (vit/a.npz)": {"top1": 80.0}}
    assert of_results({"vit/a.npz": {"top1": 80.0}}, rows) == of_results(expected, rows) == expected


def test_scores_against_a_number(database):
    sizes = {"small": 11e6, "large": 86e6, "middle": 25e6, "other": 600e6}
    study = read_study(database, properties={model: {"parameters": size} for model, size in sizes.items()})
    (figure,) = property_figures(study)
    assert figure.name == "property-parameters"
    rho = spearmanr([sizes[m] for m in SHARES], [study.cells[m, Variant.of(parse(IT)), "IT"].value for m in SHARES])
    assert f"tau IT {rho.statistic:+.2f}" in figure.alt
    assert f"IT · ρ {rho.statistic:+.2f}, 4 models".replace("-", "−") in figure.svg
    value = study.cells["large", Variant.of(parse(IT)), "IT"].value
    assert f"The best of them in IT is large ({value:.3f}, parameters 86.0 M)." in figure.caption


def test_ticks_are_numbers_on_axes_of_powers_of_ten(database):
    sizes = dict(zip(SHARES, (1, 8, 64, 288), strict=True))
    (figure,) = property_figures(read_study(database, properties={m: {"width": size} for m, size in sizes.items()}))
    assert "mathdefault" not in figure.svg
    assert {"1", "10", "100"} <= set(re.findall(r"<text[^>]*>([\d.]+)</text>", figure.svg))


def test_points_lie_at_the_property_and_the_score(database):
    tops = {"small": 60.0, "large": 80.0, "middle": 70.0}
    study = read_study(database, properties={model: {"top-1": top} for model, top in tops.items()})
    (figure,) = property_figures(study)
    drawn = sorted((marker.x, marker.y) for marker in Panel(figure.svg).markers())  # of V1 on tau
    cells = [(tops[m], study.cells[m, Variant.of(parse(TAU)), "V1"].value) for m in tops]
    assert np.allclose(drawn, sorted(cells), atol=[0.05, 5e-4])


def test_scores_by_words(database):
    families = {"small": "conv", "large": "vit", "middle": "vit", "other": "conv"}
    study = read_study(database, properties={model: {"family": family} for model, family in families.items()})
    (figure,) = property_figures(study)
    labels = re.findall(r">(\w+ \(2\))<", figure.svg)
    assert labels == ["vit (2)", "conv (2)"]  # the group of the best model first
    assert "vit: large and conv: small" in figure.caption


def test_many_words_share_a_row(database, tmp_path):
    many = {f"m{n:02d}": 0.3 + n / 100 for n in range(15)}
    study = read_study(
        fill(tmp_path / "results.db", made(many, [IT])),
        properties={m: {"family": f"own-{m}", "same": "x", "two": "x" if m < "m02" else ""} for m in many},
    )
    figures = {figure.name: figure for figure in property_figures(study)}
    assert set(figures) == {"property-family", "property-two"}  # what is the same everywhere says nothing
    assert re.search(r">all others \(3\)<", figures["property-family"].svg)


def test_what_to_run_for_properties_and_layers(database, tmp_path):
    text = write_report(database, tmp_path).read_text("utf-8")
    assert "--properties models.csv" in text
    assert re.search(r"laion-score layers \S+ .*--json &gt; layers.json", text)


# Layers


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    for model, n_layers, best in (("large", 5, 3), ("small", 3, 1)):
        scores = np.full((n_layers, 1, len(DEFAULT_SUBJECTS)), 0.1)
        scores[best] = 0.4
        names = [f"block{i}" for i in range(n_layers)], ["IT"], DEFAULT_SUBJECTS
        one = LayerMap.of_arrays(model, names, scores, np.stack([scores] * 2, -1), np.stack([scores.mean(2)] * 2, -1))
        (folder / f"{model}.json").write_text(json.dumps(one.as_json()))
    return folder


def test_layers_over_depth(database, maps, tmp_path):
    figure = layer_figure(read_study(database), read_layer_maps([maps]))
    best = sorted((marker.x, marker.y) for marker in Panel(figure.svg).markers())
    assert np.allclose(best, [(1 / 2, 0.4), (3 / 4, 0.4)], atol=5e-3)
    assert "median depth of the best layers: IT 0.62" in figure.caption
    assert "Best layers of large: IT block3." in figure.caption
    text = write_report(database, tmp_path / "page", layer_maps=[maps / "large.json"]).read_text("utf-8")
    assert "How deep in a network" in text
    assert "laion-score layers" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"facts": {"dataset": {"fingerprint": "fedc"}}}, "the map of small .* is of fedc"),
        ({"facts": {"metric": "rdm"}}, "of the same metric; the map of large .* has None, that of small rdm"),
        ({"facts": {"pool": "persubject"}}, "of the same pool"),
        ({"facts": {"split": "random_0"}}, "of the same split"),
        ({"model": "large"}, "--layer-map names several of large"),
    ],
)
def test_maps_that_do_not_belong_together_are_refused(database, maps, tmp_path, changes, message):
    path = maps / "small.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ReportError, match=message):
        write_report(database, tmp_path / "page", layer_maps=[maps])
    assert not (tmp_path / "page").exists()


def test_maps_of_other_subjects_are_refused(database, maps, tmp_path):
    one = LayerMap.from_json(json.loads((maps / "small.json").read_text()))
    names = one.layers, one.regions, one.subjects[:2]
    arrays = one.scores[..., :2], one.intervals[..., :2, :], one.mean_intervals
    some = LayerMap.of_arrays("small", names, *(array.values for array in arrays))
    (maps / "small.json").write_text(json.dumps(some.as_json()))
    with pytest.raises(ReportError, match="of the same subjects; .* that of small sub-01, sub-03"):
        write_report(database, tmp_path / "page", layer_maps=[maps])


def test_files_that_are_no_maps(database, tmp_path):
    with pytest.raises(ReportError, match=r"a folder of them \(\*.json\); .* holds none"):
        read_layer_maps([tmp_path])
    with pytest.raises(
        ReportError, match="takes what `laion-score layers MODEL --json > FILE` wrote; .* is something else"
    ):
        read_layer_maps([write(tmp_path / "m.json", '{"model": "x"}')])


def test_command(run, database, maps, tmp_path):
    path = write(tmp_path / "m.csv", "model,top-1", *(f"{model},{50 + n}" for n, model in enumerate(SHARES)))
    out = tmp_path / "page"
    code, stdout, _ = run("report", database.path, "--out", out, "--properties", path, "--layer-map", maps)
    assert (code, stdout) == (0, f"{out / 'index.html'}\n")
    assert {"property-top-1.svg", "layers.svg"} <= {file.name for file in (out / "figures").iterdir()}
    code, _, stderr = run("report", database.path, "--out", out, "--properties", maps)
    assert code == 1
    assert "--properties names a CSV file" in stderr
