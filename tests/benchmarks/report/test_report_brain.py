"""The report's section on where in the brain: maps where they can be made, else why not and what to run."""

import shlex
import shutil
import sys
from xml.etree import ElementTree

import pytest
from plugin_testing.report_database import IT, RDM, TAU, fill, scores
from plugin_testing.scored_cells import copied

from brainscore_vision.benchmarks.laion_fmri_7t.report.brain_figures import brain_figures
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def study_of(tmp_path, *some_scores):
    return read_study(fill(tmp_path / "results.db", some_scores))


def moved(score, root):
    """The Score of a dataset that lay elsewhere."""
    score = copied(score)
    score.attrs["dataset"]["root"] = str(root)
    return score


def test_the_best_model_and_its_difference_to_the_next_one(tiny_dataset, tmp_path):
    study = study_of(tmp_path, *(row[cell] for row in scores(tiny_dataset).values() for cell in (TAU, IT, RDM)))
    (own, difference), missing = brain_figures(study)
    assert missing is None
    best, second, _ = study.models
    assert best in own.question
    assert f"{best} minus {second}" in difference.question
    for words in (TAU, IT, "One colour scale for all", "T1 image"):
        assert words in own.caption
    for figure in (own, difference):
        pictures = list(ElementTree.fromstring(figure.svg.partition("\n")[2]).iter(f"{SVG}image"))
        assert len(pictures) >= 5 * 5  # slices of five subjects
        assert all(picture.get(f"{XLINK}href").startswith("data:image/png;base64,") for picture in pictures)
        assert "data:image/png;base64," in figure.markup


def test_the_same_results_give_the_same_figure(tiny_dataset, tmp_path):
    study = study_of(tmp_path, scores(tiny_dataset)["edges"][TAU])
    ((first,), _), ((second,), _) = brain_figures(study), brain_figures(study)
    assert first.svg == second.svg


def test_without_nilearn_it_says_what_to_install(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    figures, (text, command) = brain_figures(study_of(tmp_path, scores(tiny_dataset)["edges"][TAU]))
    assert figures == ()
    assert "nilearn" in text
    assert command == "pip install '.[maps]'"


def test_without_values_per_voxel_it_says_what_to_score(tiny_dataset, tmp_path):
    figures, (text, command) = brain_figures(study_of(tmp_path, scores(tiny_dataset)["edges"][RDM]))
    assert figures == ()
    assert "ridge" in text
    assert shlex.split(command)[:2] == ["laion-score", "score"]


def test_a_dataset_that_is_elsewhere(tiny_dataset, tmp_path):
    score = moved(scores(tiny_dataset)["edges"][TAU], tmp_path / "gone")
    figures, (text, command) = brain_figures(study_of(tmp_path, score))
    assert figures == ()
    assert "not on this machine" in text
    words = shlex.split(command)
    assert words[:2] == ["laion-score", "map"]
    assert words[words.index("--benchmark") + 1] == TAU


def test_a_dataset_without_its_masks(tiny_dataset, tmp_path):
    shutil.copytree(tiny_dataset, tmp_path / "bare", ignore=shutil.ignore_patterns("derivatives"))
    score = moved(scores(tiny_dataset)["edges"][TAU], tmp_path / "bare")
    figures, (text, command) = brain_figures(study_of(tmp_path, score))
    assert figures == ()
    assert "laion-score data get" in text
    assert shlex.split(command)[:2] == ["laion-score", "map"]


def test_a_dataset_that_has_changed(tiny_dataset, tmp_path):
    shutil.copytree(tiny_dataset, tmp_path / "changed")
    (tmp_path / "changed" / "splits" / "shared" / "random_0.json").unlink()
    score = moved(scores(tiny_dataset)["edges"][TAU], tmp_path / "changed")
    figures, (text, _) = brain_figures(study_of(tmp_path, score))
    assert figures == ()
    assert "have changed since they were scored" in text


def test_a_damaged_file_of_values(tiny_dataset, tmp_path):
    study = study_of(tmp_path, scores(tiny_dataset)["edges"][TAU])
    next((tmp_path / "results.db.voxels").iterdir()).write_bytes(b"damaged")
    figures, (text, _) = brain_figures(study)
    assert figures == ()
    assert "damaged" in text


@pytest.mark.parametrize("cell", [TAU, IT])
def test_a_single_model_has_no_difference(tiny_dataset, tmp_path, cell):
    figures, _ = brain_figures(study_of(tmp_path, scores(tiny_dataset)["edges"][cell]))
    assert [figure.name for figure in figures] == ["brain-LAION_fMRI-tau-ridgecv"]
