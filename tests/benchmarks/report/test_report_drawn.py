"""Reports: lines, bars and markers lie where the numbers are."""

import re
from dataclasses import replace

import numpy as np
import pytest
from plugin_testing.report_database import FOLDS, MODELS, OOD, OWN, TAU, everything, fill, renamed, scores
from plugin_testing.scored_cells import ONE_SUBJECT, copied
from plugin_testing.scored_cells import scores as small_scores
from plugin_testing.svg_panels import Panel

from brainscore_vision.benchmark_helpers.stimulus_kernels.plan import standard_error
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import adjusted
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.report import ReportError, comparison_figures
from brainscore_vision.benchmarks.laion_fmri_7t.report.drawing import COLOURS, GREY, INK, NAMED, subject_look
from brainscore_vision.benchmarks.laion_fmri_7t.report.ood_figures import hardest_kind
from brainscore_vision.benchmarks.laion_fmri_7t.report.pair_figures import pool_figure, split_figure
from brainscore_vision.benchmarks.laion_fmri_7t.report.score_figures import ceiling_figure, score_figure
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study
from brainscore_vision.benchmarks.laion_fmri_7t.report.variants import Variant
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

CLOSE = 5e-4
"""Of what a hundredth of a point is worth on these axes, and more."""


@pytest.fixture(scope="module")
def study(tiny_dataset, tmp_path_factory):
    return read_study(fill(tmp_path_factory.mktemp("drawn") / "results.db", everything(tiny_dataset)))


def variant(benchmark):
    return Variant.of(parse(benchmark))


def own(study, benchmark):
    """Results on one benchmark."""
    return [result for result in study.results if result.benchmark == benchmark]


def colour(subject):
    return subject_look(subject)["color"].lower()


def same(drawn, expected):
    """Whether tuples of numbers are the same, whatever their order."""
    assert len(drawn) == len(expected)
    for a, b in zip(sorted(drawn), sorted(expected), strict=True):
        assert a == pytest.approx(b, abs=CLOSE)
    return True


# Scores


@pytest.mark.parametrize("benchmark", [TAU, OOD, OWN, FOLDS])
def test_ceiling_and_perfect_predictions(study, benchmark):
    panel = Panel(score_figure(study, variant(benchmark)).svg)
    upright = {round(line.x[0], 2): line.style for line in panel.lines() if line.x[0] == line.x[1]}
    ceiling = own(study, benchmark)[0].ceiling  # does not depend on the model
    assert sorted(upright) == pytest.approx([0, ceiling, 1], abs=0.01)
    dashes = [upright[x].get("stroke-dasharray") for x in sorted(upright)]
    assert dashes[0] is None
    assert None not in dashes[1:]
    assert dashes[1] != dashes[2]


@pytest.mark.parametrize("benchmark", [TAU, OOD])
def test_each_subject_has_its_interval(study, benchmark):
    panel = Panel(score_figure(study, variant(benchmark)).svg)
    for subject in DEFAULT_SUBJECTS:
        places = {round(marker.y, 1): marker.x for marker in panel.markers(fill=colour(subject))}
        drawn = [(places[round(line.y[0], 1)], *line.x) for line in panel.lines(stroke=colour(subject))]
        units = [result.subjects[subject] for result in own(study, benchmark)]
        assert same(drawn, [(unit.value, *unit.interval) for unit in units])


@pytest.mark.parametrize(("benchmark", "over"), [(TAU, "subjects"), (FOLDS, "folds")])
def test_bars_are_standard_errors(study, benchmark, over):
    figure = score_figure(study, variant(benchmark))
    bars = Panel(figure.svg).lines(stroke=INK, stroke_width="4")
    assert same([bar.x for bar in bars], [(r.value - r.error, r.value + r.error) for r in own(study, benchmark)])
    assert f"± standard error (bootstrap over {over})" in figure.caption


def test_no_error_no_bar(tiny_dataset, tmp_path):
    results = [row[ONE_SUBJECT] for row in small_scores(tiny_dataset).values()]
    one = read_study(fill(tmp_path / "results.db", results))
    figure = score_figure(one, variant(ONE_SUBJECT))
    assert Panel(figure.svg).lines(stroke=INK, stroke_width="4") == []
    assert "error" not in figure.caption
    assert len(Panel(figure.svg).markers(fill=colour("sub-01"))) == len(results)


def test_ceilings_are_each_subjects(study):
    panel = Panel(ceiling_figure(study).svg)  # of V1
    results = [own(study, benchmark) for benchmark in (TAU, OOD, OWN, FOLDS)]
    best = [max(some, key=lambda result: result.value) for some in results]
    for subject in DEFAULT_SUBJECTS:
        filled = {round(m.y, 1): m.x for m in panel.markers(stroke=colour(subject)) if m.is_filled}
        hollow = {round(m.y, 1): m.x for m in panel.markers(stroke=colour(subject)) if not m.is_filled}
        units = [result.by_subject()[subject] for result in best]
        assert filled.keys() == hollow.keys()
        assert same([(x, hollow[y]) for y, x in filled.items()], [(unit.raw, unit.ceiling) for unit in units])
    assert same([bar.x for bar in panel.lines(stroke=GREY)], [(result.raw, result.ceiling) for result in best])


def test_ceilings_say_at_which_repetitions(study):
    assert "√NC at 12 repetitions, also where the test images were shown less often" in ceiling_figure(study).caption


# Pairs


@pytest.mark.parametrize("benchmark", [TAU, OOD, FOLDS])
def test_errors_are_those_of_scores(study, benchmark):
    for result in own(study, benchmark):
        units, over = (result.folds, "fold") if result.folds else (result.subjects, "subject")
        values = np.array([unit.normalizations["published"] for unit in units.values()])
        assert standard_error(values, over) == pytest.approx(result.error, rel=1e-12)


@pytest.mark.parametrize(("make", "a", "b"), [(split_figure, TAU, OOD), (pool_figure, TAU, OWN)])
def test_points_are_explained_variance(tiny_dataset, tmp_path, make, a, b):
    """The published normalization would show a gap where images were shown less often."""
    moved = [copied(scores(tiny_dataset)[model][cell]) for model in MODELS for cell in (a, b)]
    for score in moved:  # far from published, which tiny data hold by chance
        for part in (score, *(score.attrs[subject] for subject in DEFAULT_SUBJECTS)):
            part.attrs["normalizations"]["explained_variance"] += 0.1
    study = read_study(fill(tmp_path / "results.db", moved))
    figure = make(study, variant(a), variant(b))
    panel = Panel(figure.svg)
    for index, model in enumerate(study.models):
        values = {}
        for benchmark in (a, b):
            result = study.cells[model, variant(benchmark), "V1"]
            units = np.array([unit.normalizations["explained_variance"] for unit in result.subjects.values()])
            values[benchmark] = result.normalizations["explained_variance"], standard_error(units, "subject")
            assert abs(result.value - values[benchmark][0]) > 10 * CLOSE, (
                model,
                benchmark,
            )  # which is drawn can be told
        (x, x_error), (y, y_error) = values[a], values[b]
        paint = COLOURS[index].lower()
        assert same([(marker.x, marker.y) for marker in panel.markers(fill=paint)], [(x, y)])
        lines = [(*line.x, *line.y) for line in panel.lines(stroke=paint)]
        assert same(lines, [(x - x_error, x + x_error, y, y), (x, x, y - y_error, y + y_error)])
    assert (
        "explained variance, fraction of the explainable, summed over voxels, ceiling from the test" in figure.caption
    )
    assert "± one standard error of the mean over subjects" in figure.caption
    assert "explained variance, fraction of the explainable" in figure.alt
    assert "explained variance (fraction of the explainable), " in figure.svg


def test_captions_of_pairs(tiny_dataset, tmp_path):
    """Folds, pools with the same test images, and more models than markers."""
    row = dict(scores(tiny_dataset)["pixels"])
    row[FOLDS] = copied(row[FOLDS])
    for fold in (score for name, score in row[FOLDS].attrs.items() if name.startswith("fold_")):
        # the smallest folds of a tiny dataset say nothing of how much could be explained
        fold.attrs["normalizations"].setdefault("explained_variance", fold.item())
    row[FOLDS].attrs["normalizations"].setdefault("explained_variance", row[FOLDS].item())
    many = [renamed(row[cell], f"copy {n}") for cell in (TAU, OOD, FOLDS, OWN) for n in range(NAMED + 2)]
    for number in range(NAMED + 2):
        for cell in (FOLDS, OOD):
            name = cell.replace("LAION_fMRI.", "LAION_fMRI_persubject.")
            many.append(renamed(row[cell], f"copy {number}", benchmark_identifier=name))
    found = read_study(fill(tmp_path / "results.db", many))
    folds = pool_figure(found, variant(FOLDS), variant(FOLDS).with_pool("persubject")).caption
    assert "standard error of the mean over folds" in folds
    assert "test images of the cluster_k5 split differ between the pools" in folds
    assert "the other 2 are grey and have no lines" in folds
    ood = pool_figure(found, variant(OOD), variant(OOD).with_pool("persubject"))
    assert "differ between" not in ood.caption
    lines = Panel(ood.svg).lines(stroke=GREY.lower())
    assert lines == []


def test_pairs_without_errors(tiny_dataset, tmp_path):
    rows = []
    for cell in (TAU, OOD):
        score = copied(scores(tiny_dataset)["pixels"][cell])
        rows.append(score)
        for subject in DEFAULT_SUBJECTS[1:]:
            del score.attrs[subject]
        for part in (score, score.attrs["raw"], score.attrs["ceiling"]):
            part.attrs["raw_subjects"] = part.attrs["raw_subjects"][:1]
            part.attrs["error"] = float("nan")
    found = read_study(fill(tmp_path / "results.db", rows))
    figure = split_figure(found, variant(TAU), variant(OOD))
    assert Panel(figure.svg).lines(stroke=COLOURS[0].lower()) == []
    assert "standard error" not in figure.caption


# Comparisons


@pytest.mark.parametrize(
    ("p_values", "agreed", "adjusted", "n_stars"),
    [
        ((0.001, 0.04, 0.045), (5, 5, 4), (0.003, 0.045, 0.045), 2),
        ((0.06, 0.02, 0.04), (5, 5, 5), (0.06, 0.06, 0.06), 0),
        ((0.02, 0.3, 0.01), (5, 5, 5), (0.03, 0.3, 0.03), 2),
    ],
    ids=["one subject differs", "none is left", "two are left"],
)
def test_stars_after_benjamini_and_hochberg(study, monkeypatch, p_values, agreed, adjusted, n_stars):
    """By hand: the i-th smallest of three is multiplied by 3 / i, and none exceeds a later one."""
    compare, told = comparison_figures.compare, iter(zip(p_values, agreed, strict=True))

    def with_p_value(a, b):
        real = compare(a, b)
        p, n_positive = next(told)
        return replace(real, mean=replace(real.mean, p_value=p), n_positive=n_positive, n_negative=5 - n_positive)

    monkeypatch.setattr(comparison_figures, "compare", with_p_value)
    (compared,) = comparison_figures.Correction().apply([comparison_figures.compare_models(study, variant(OOD))])
    assert len(compared.pairs) == len(MODELS)
    assert list(compared.adjusted.values()) == pytest.approx(adjusted)
    figure = comparison_figures.comparison_figure(study, compared)
    assert len(re.findall("★</text>", figure.svg)) == n_stars
    assert f"{n_stars} of 3 differences are reliable" in figure.alt


def test_the_reader_chooses_the_correction_and_what_it_takes_together(study):
    two = [comparison_figures.compare_models(study, variant(name)) for name in (OOD, TAU)]
    p = [c.mean.p_value for one in two for c in one.pairs.values()]
    assert [q for one in two for q in one.adjusted.values()] == p
    for method in ("fdr", "holm"):
        together = comparison_figures.Correction(method, "report").apply(two)
        assert [q for one in together for q in one.adjusted.values()] == pytest.approx(adjusted(p, method))
        apart = comparison_figures.Correction(method).apply(two)
        for one, plain in zip(apart, two, strict=True):
            alone = [c.mean.p_value for c in plain.pairs.values()]
            assert list(one.adjusted.values()) == pytest.approx(adjusted(alone, method))
        assert f"the {len(p)} comparisons of this report" in together[0].corrected
    with pytest.raises(ReportError, match=r"fdr, holm, none \(--correct\) over a figure or a report"):
        comparison_figures.Correction("bonferroni")


def test_stars_in_every_figure(study):
    for one in study.main_variants:
        if one.cell.metric == "cka":
            continue
        (compared,) = comparison_figures.Correction().apply([comparison_figures.compare_models(study, one)])
        solid = [
            key
            for key, c in compared.pairs.items()
            if compared.adjusted[key] < comparison_figures.LEVEL and abs(c.n_positive - c.n_negative) == len(c.subjects)
        ]
        assert comparison_figures.comparison_figure(study, compared).svg.count("★</text>") == len(solid)


def test_a_kind_that_weak_models_alone_were_scored_on_is_not_the_hardest():
    grid = np.full((3, len(OOD_TYPES)), np.nan)
    columns = [OOD_TYPES.index(kind) for kind in ("unusual", "cropped", "illusion-classic")]
    grid[0, columns] = 0.254, 0.363, 0.232
    grid[1, columns[1]] = 0.074  # of a weak model, which makes "cropped" the lowest plain mean
    assert hardest_kind(grid) == "illusion-classic"
    grid[2, columns] = 0.1, 0.3, 0.2
    assert hardest_kind(grid) == "unusual"
    grid[:, OOD_TYPES.index("gabor")] = -5.9, 3.4, -2  # of a few images: noise
    assert hardest_kind(grid) == "unusual"
