"""Reports on models that were scored in several layers of one region: numbers, means and figures say so."""

import re

from plugin_testing.layered_results import KINDS, MIXED, NOTE, OOD, OWN, TAU

from brainscore_vision.benchmarks.laion_fmri_7t.report import write_report
from brainscore_vision.benchmarks.laion_fmri_7t.report.comparison_figures import Correction
from brainscore_vision.benchmarks.laion_fmri_7t.report.score_tables import leaderboard, model_facts
from brainscore_vision.benchmarks.laion_fmri_7t.report.sections import section_makers
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study
from brainscore_vision.benchmarks.laion_fmri_7t.results import row_notes


def test_a_report_marks_numbers_and_means(mixed, without_maps, tmp_path):
    told = []
    page = write_report(mixed, tmp_path / "page", warn=told.append, progress=False).read_text("utf-8")
    assert told == [f"net: {row_notes(mixed.results())[0].text}"]
    board = leaderboard(read_study(mixed))
    assert board.mixed == {"net": f"IT: 0 ({TAU}), 4 ({OOD})"}  # the per-subject pool has no column there
    rows = re.findall(r'data-rank="\d+">(net|other)</th>(.*?)</tr>', page, re.DOTALL)
    assert {model: row.count('class="mark" href="#notes"') for model, row in rows} == {"net": 3, "other": 0}
    assert f'title="over several layers of one region: IT: 0 ({TAU}), 4 ({OOD})"' in page
    assert re.search(rf"<strong>net</strong>: {re.escape(NOTE)}", page)


def test_a_report_names_each_layer_of_a_model(mixed):
    layers = {one.model: one.layers for one in model_facts(read_study(mixed))}
    assert layers == {"net": f"V1: 0; IT: 0 ({TAU}), 3 ({OWN}), 4 ({OOD})", "other": "V1, IT: 2"}


def test_figures_that_set_results_against_each_other_say_it(layered):
    study = read_study(
        layered({"net": {**MIXED, **dict(zip(KINDS, "45", strict=True))}, "other": dict.fromkeys(MIXED, "2")})
    )
    sections = {section.anchor: section for section in (make() for make in section_makers(study, Correction())[:-3])}
    for anchor, layers in (("gap", "0, 4"), ("categories", "4, 5")):
        (figure,) = sections[anchor].figures
        assert f"The layer differs too: net in IT ({layers})." in figure.caption


def test_a_report_of_one_layer_per_region_says_nothing(layered, without_maps, tmp_path):
    told, database = [], layered({"net": dict.fromkeys(MIXED, "2")})
    page = write_report(database, tmp_path / "page", warn=told.append, progress=False).read_text("utf-8")
    assert told == []
    assert "†" not in page
    assert "The layer differs" not in page
