"""Models by benchmarks: headings, order, and as many tables as a terminal needs."""

import re
from types import SimpleNamespace

import pytest
import typer
from plugin_testing.registered import REGISTERED

from brainscore_vision.benchmarks.laion_fmri_7t.cli.matrix import (
    by_benchmark,
    in_order,
    print_matrix,
    ranked,
    short_names,
)
from brainscore_vision.benchmarks.laion_fmri_7t.cli.tables import Column, print_tables


def test_headings_say_what_differs():
    common, headings = short_names([name for name in REGISTERED if name.startswith("LAION_fMRI.")])
    assert common == ""
    assert headings[:2] == ["V1 tau ridgecv", "V2 tau ridgecv"]
    assert headings[-1] == "IT rdm-pearson"
    common, headings = short_names(["LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.V1-tau-ridgecv[threshold=20]"])
    assert (common, headings) == ("", ["LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.V1-tau-ridgecv[threshold=20]"])
    assert short_names(["LAION_fMRI.V1-tau-ridgecv"]) == ("", ["LAION_fMRI.V1-tau-ridgecv"])
    assert short_names(["other", "names"]) == ("", ["other", "names"])
    assert len(set(short_names(REGISTERED)[1])) == 20


def test_columns_stand_in_one_order_whichever_was_scored_first():
    names = [f"LAION_fMRI.{region}-{split}-ridgecv" for split in ("tau", "ood") for region in ("V1", "V2", "V4", "IT")]
    names += ["LAION_fMRI.V1-rdm-pearson", "LAION_fMRI_persubject.V1-tau-ridgecv", "Zerbe", "other"]
    assert in_order([*names[-3::-1], "Zerbe", "other"]) == names


VALUES = {
    **{("a", "easy"): 0.8, ("a", "hard"): 0.3},
    **{("b", "easy"): 0.7, ("b", "hard"): 0.2},
    ("c", "easy"): 0.75,
    ("d", "hard"): 0.35,
}


def test_the_best_model_by_its_mean_comes_first_whatever_is_missing():
    assert ranked("abcd", VALUES, "mean") == [["d", "a", "c", "b"]]
    assert ranked("abcd", VALUES, "easy") == [["a", "c", "b", "d"]]
    assert ranked("dcba", VALUES, "model") == [list("abcd")]
    complete = {place: value for place, value in VALUES.items() if place[0] in "ab"}
    assert ranked("ba", complete, "mean") == [["a", "b"]]
    apart = VALUES | {("e", "alone"): 0.9}
    assert ranked("abcde", apart, "mean") == [["d", "a", "c", "b"], ["e"]]


SAME = {"hides_sign": False, "layers": {}, "layer_choice": None, "benchmark_version": 1, "n_dropped_stimuli": 0}
SAME |= {"dataset_fingerprint": "0123", "visual_degrees": None, "normalization": "published"}
"""What a result says besides."""


def test_models_that_share_no_benchmark_are_said_to_have_no_common_order(capsys):
    def print_values(sort, **more):
        values = VALUES | {(name, "alone"): value for name, value in more.items()}
        found = [
            SimpleNamespace(model=model, benchmark=benchmark, value=value, **SAME)
            for (model, benchmark), value in values.items()
        ]
        print_matrix(found, sort, "Scores")
        return " ".join(capsys.readouterr().out.split())

    sentence = "have no common order: rows {} are in order each for themselves."
    assert sentence.format("1 to 4 and 5 to 6") in print_values("mean", e=0.9, f=0.1)
    assert sentence.format("1 to 4 and 5") in print_values("mean", e=0.9)
    assert "no common order" not in print_values("mean") + print_values("model", e=0.9)
    assert "stands where its other values put it" in print_values("mean")
    assert "stands where its other values put it" not in print_values("easy")


def test_a_mean_over_numbers_of_several_kinds_is_said_to_order_models_alone(capsys):
    ridge, rdm = "LAION_fMRI.IT-tau-ridgecv", "LAION_fMRI.IT-rdm-pearson"

    def shown(*cells):
        kinds = [SAME | {"benchmark": name, "normalization": normalization} for name, normalization in cells]
        print_matrix([SimpleNamespace(model="a", value=0.5, **kind) for kind in kinds], "mean", "Scores")
        return " ".join(capsys.readouterr().out.split())

    sentence = "over numbers of several kinds (ridgecv published, {}) it has no other meaning."
    assert sentence.format("rdm-pearson published") in shown((ridge, "published"), (rdm, "published"))
    of_one = f"{ridge}[normalization=correlation]"
    assert sentence.format("ridgecv correlation") in shown((ridge, "published"), (of_one, "correlation"))
    assert "several kinds" not in shown((ridge, "published"), ("LAION_fMRI.V1-ood-ridgecv", "published"))
    assert "several kinds" not in shown((ridge, "published"))


def test_a_benchmark_is_named_in_full_or_by_its_heading():
    assert by_benchmark("V1 tau", ["x-tau", "y"], ["V1 tau", "y"]) == "x-tau"
    assert by_benchmark("y", ["x-tau", "y"], ["V1 tau", "y"]) == "y"
    with pytest.raises(typer.BadParameter, match="They are V1 tau, y"):
        by_benchmark("z", ["x-tau", "y"], ["V1 tau", "y"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_twenty_benchmarks_in_a_terminal(capsys, monkeypatch, width):
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich: this is a terminal
    monkeypatch.setenv("COLUMNS", str(width))
    headings = short_names(REGISTERED)[1]
    models = ["alexnet", "timm:vit_giant_patch14_reg4_dinov2.lvd142m"]
    rows = [[model, *(f"0.{100 * (i + 1) + k}" for k in range(20))] for i, model in enumerate(models)]
    print_tables("Scores", [Column("model"), *(Column(name, number=True) for name in headings)], rows, "Below.")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    assert out.count("Below.") == 1
    shown = [re.findall(r"0\.\d{3}", line) for line in out.splitlines()]
    for row in rows:
        assert [value for line in shown for value in line if value in row] == row[1:]
    words = " ".join(out.split())
    assert all(word in words for name in headings for word in name.split())
