"""``laion-score compare``: the numbers of compare(), corrected over the table."""

import json

import pytest
from plugin_testing.scored_cells import RIDGE, copied, facts, filled, scores

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import adjusted
from brainscore_vision.benchmarks.laion_fmri_7t import compare
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase


@pytest.fixture
def file(tmp_path, tiny_dataset):
    return filled(tiny_dataset, tmp_path / "results.sqlite").path


def names(tiny_dataset):
    return list(scores(tiny_dataset))[:2]


def test_numbers_are_those_of_compare(run, file, tiny_dataset):
    first, second = names(tiny_dataset)
    code, out, _ = run("compare", file, first, second, "--json", "--correct", "holm")
    assert code == 0
    rows = {row["benchmark"]: row for row in map(json.loads, out.splitlines())}
    expected = compare(scores(tiny_dataset)[first][RIDGE], scores(tiny_dataset)[second][RIDGE])
    row = rows[RIDGE]
    assert row["mean"]["value"] == pytest.approx(expected.mean.value)
    assert row["mean"]["p_value"] == pytest.approx(expected.mean.p_value)
    assert row["p_of_both"] == pytest.approx(expected.p_of_both)
    p = [row["mean"]["p_value"] for row in rows.values()]
    assert [row["p_corrected"] for row in rows.values()] == pytest.approx(adjusted(p, "holm"))
    assert len(rows) > 2


def test_a_table_says_what_its_p_values_mean(run, file, tiny_dataset):
    first, second = names(tiny_dataset)
    code, out, err = run("compare", file, first, second, "--benchmark", RIDGE)
    assert code == 0
    assert "Note: penalties (alpha) are in the unit of the features here" in err
    assert "corrected (fdr)" in out
    assert "p: no difference on other images of this kind" in out
    assert sum(RIDGE in line for line in out.splitlines()) == 1


def test_a_sign_that_published_hides_is_marked(run, tmp_path, tiny_dataset):
    database, (first, second) = ResultsDatabase(tmp_path / "results.sqlite"), names(tiny_dataset)
    for model, sign in ((first, -1), (second, 1)):
        score = copied(scores(tiny_dataset)[model][RIDGE])
        for unit in (score.attrs[subject] for subject in score.attrs["raw_subjects"]["subject"].values):
            unit.attrs["raw"].values = sign * abs(unit.attrs["raw"].values)
        database.add(score, facts(score))
    _, out, _ = run("compare", database.path, first, second)
    difference = json.loads(run("compare", database.path, first, second, "--json")[1])
    assert difference["hides_sign"]
    assert f"{difference['mean']['value']:+.3f} *" in out
    assert "The raw score of one or more subjects is negative; the published normalization squares it." in out
    a, b = (database.score(database.results([model])[0].id) for model in (first, second))
    assert "published squares it" in str(compare(a, b))
    assert not compare(b, b).hides_sign


def test_a_digest_names_a_model(run, tmp_path, tiny_dataset):
    database, (first, second) = ResultsDatabase(tmp_path / "results.sqlite"), names(tiny_dataset)
    for model, digest in ((first, "made-aaaa01234567"), (second, "made-bbbb01234567")):
        score = scores(tiny_dataset)[model][RIDGE]
        database.add(score, facts(score, model_revision=digest))
    by_name = run("compare", database.path, first, second, "--json")
    assert by_name[0] == 0
    assert run("compare", database.path, "aaaa0123", "bbbb01234567", "--json") == by_name
    code, _, err = run("compare", database.path, "aaaa0123", "cccc0123")
    assert code == 1
    assert "'cccc0123' fits 0 of those" in err


def test_wrong_questions_are_refused(run, file, tiny_dataset):
    first, second = names(tiny_dataset)
    code, _, err = run("compare", file, first, "nobody")
    assert code == 1
    assert "'nobody' fits 0 of those" in err
    code, _, err = run("compare", file, first, second, "--correct", "bonferroni")
    assert code != 0
    assert "one of fdr, holm, none; received 'bonferroni'" in err
    code, _, err = run("compare", file, first, second, "--benchmark", "Zerbe*")
    assert code == 1
    assert f"{first} and {second} share none" in err
