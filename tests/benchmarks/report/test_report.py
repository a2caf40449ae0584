"""Reports: what the page and its figures say is what the database holds."""

import re
import shlex
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from plugin_testing.report_database import (
    CELLS,
    CKA,
    FOLDS,
    IT,
    KINDS,
    MODELS,
    OOD,
    OWN,
    RDM,
    TAU,
    everything,
    fill,
    renamed,
    scores,
    zoo_report,
)
from plugin_testing.scored_cells import CELLS as SMALL_CELLS
from plugin_testing.scored_cells import STARTED, copied, facts
from plugin_testing.scored_cells import scores as small_scores

from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, compare
from brainscore_vision.benchmarks.laion_fmri_7t.cli.options import expand
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.report import ReportError, write_report
from brainscore_vision.benchmarks.laion_fmri_7t.report.diagnostic_figures import penalties
from brainscore_vision.benchmarks.laion_fmri_7t.report.drawing import row_labels, short_names
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import TOP, read_study
from brainscore_vision.benchmarks.laion_fmri_7t.report.variants import Variant
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """Elements of a page: (tag, attributes, own text), and what a browser would have to guess."""

    def __init__(self, text):
        super().__init__()
        self.text, self.elements, self.guesses, self._open = text, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        if self._open[-1][0] != tag:
            self.guesses.append((tag, self.getpos()))
        else:
            self._open.pop()

    def handle_data(self, data):
        if self._open:
            self.elements[self._open[-1][1]][2] += data

    def all(self, tag, **attrs):
        return [e for e in self.elements if e[0] == tag and all(e[1].get(k) == v for k, v in attrs.items())]


@pytest.fixture(scope="module")
def report(tiny_dataset, tmp_path_factory):
    """(database, folder) of a report with everything, failures included."""
    root = tmp_path_factory.mktemp("report")
    database = fill(root / "results.db", everything(tiny_dataset))
    fingerprint = scores(tiny_dataset)["pixels"][TAU].attrs["dataset"]["fingerprint"]
    run = facts(scores(tiny_dataset)["pixels"][TAU], 99, dataset_fingerprint=fingerprint)
    database.add_failure("broken", None, run, "ImportError: no module <timm>", "Traceback: line 7 of broken.py")
    database.add_failure("nan_model", OOD, run, "ModelOutputError: features are nan", "Traceback: in look_at")
    write_report(database, root / "page", progress=False)
    return database, root / "page"


@pytest.fixture(scope="module")
def page(report):
    return Page((report[1] / "index.html").read_text("utf-8"))


def figure_texts(folder, name, panel=None):
    """Words in a figure, or in one of its panels."""
    root = ElementTree.parse(folder / "figures" / f"{name}.svg").getroot()
    part = root if panel is None else next(group for group in root.iter(f"{SVG}g") if group.get("id") == panel)
    return ["".join(e.itertext()) for e in part.iter(f"{SVG}text")]


# The page


def test_every_section_has_figures_and_no_remedy(report, page):
    names = {path.stem for path in (report[1] / "figures").iterdir()}
    assert names == {
        *(
            f"{what}-LAION_fMRI-{split}"
            for what in ("scores", "compared")
            for split in ("tau-ridgecv", "ood-ridgecv", "cluster_k5-ridgecv", "rdm-pearson", "cka")
        ),
        "scores-LAION_fMRI_persubject-tau-ridgecv",
        "profile",
        "brain-LAION_fMRI-tau-ridgecv",
        "brain-difference-LAION_fMRI-tau-ridgecv",
        "ceilings",
        "gap-LAION_fMRI-tau-ridgecv",
        "categories-LAION_fMRI-ood-ridge",
        "pools-LAION_fMRI-tau-ridgecv",
        "compared-LAION_fMRI_persubject-tau-ridgecv",
        "alphas",
        "voxels",
    }  # fmt: skip
    assert len(page.all("figure")) == len(names) == len(page.all("svg"))
    commands = [e[2] for e in page.all("code") if e[2].startswith("laion-score ") and e[2] != "laion-score report"]
    assert [shlex.split(command)[1] for command in commands] == ["report", "layers"]  # --properties, --layer-map


def test_html_is_valid_and_accessible(page):
    assert page.guesses == []
    assert page.text.startswith("<!doctype html>")
    assert page.all("html")[0][1]["lang"] == "en"
    levels = [int(e[0][1]) for e in page.elements if re.fullmatch("h[1-6]", e[0])]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert all(e[1].get("scope") in ("row", "col", "colgroup") for e in page.all("th"))
    assert all(len(e[1]["aria-label"]) > 40 for e in page.all("svg", role="img"))
    assert len(page.all("svg", role="img")) == len(page.all("svg"))


def test_ids_are_unique_and_references_lead_somewhere(page):
    ids = [e[1]["id"] for e in page.elements if "id" in e[1]]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]+)\)", page.text))
    wanted |= {
        v[1:] for e in page.elements for k, v in e[1].items() if k in ("href", "xlink:href") and v.startswith("#")
    }
    wanted |= {e[1]["aria-labelledby"] for e in page.elements if "aria-labelledby" in e[1]}
    assert len(wanted) > 50
    assert wanted <= set(ids)


def test_nothing_is_asked_of_the_network(page):
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0][1]["content"]
    assert policy.startswith("default-src 'none'; ")
    links = [e[1][name] for e in page.elements for name in ("src", "href", "xlink:href") if name in e[1]]
    assert all(re.match(r"#|figures/[\w.-]+\.svg$|data:(,|image/png;base64,)", link) for link in links)


def test_tables_hold_every_result(report, page):
    results = report[0].results()
    shown = sorted(float(e[1]["data-value"]) for e in page.all("td") if "data-value" in e[1])
    assert shown == sorted(result.value for result in results)
    assert {e[1]["data-benchmark"] for e in page.all("th") if "data-benchmark" in e[1]} == set(CELLS)
    assert {e[2] for e in page.all("th", **{"class": "model", "scope": "row"})} == set(MODELS)


def test_provenance_and_failures(report, page):
    text = " ".join(e[2] for e in page.elements)
    result = report[0].results()[0]
    for fact in (
        result.dataset_fingerprint,
        result.machine,
        result.versions["numpy"],
        "3.0 GB",
        f"{STARTED:%Y-%m-%d %H:%M}",
    ):
        assert fact in text
    for failed in ("broken", "nan_model", "ImportError: no module <timm>", "Traceback: in look_at", "Failures (2)"):
        assert failed in text
    assert "Simulated data." in text


def test_the_same_results_are_the_same_bytes(report, tmp_path):
    database, folder = report
    write_report(database, tmp_path, progress=False)
    for path in (folder / "figures").iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes()
    first, second = (re.sub("<time.*?</time>", "", (f / "index.html").read_text("utf-8")) for f in (folder, tmp_path))
    assert first == second


# The figures


def test_score_figure_draws_each_subject_where_it_is(report):
    """Markers of one panel, from the left, are the subjects' values: places in the file are linear in them."""
    database, folder = report
    tree = ElementTree.parse(folder / "figures" / "scores-LAION_fMRI_persubject-tau-ridgecv.svg")
    places = sorted(
        float(use.get("x")) for group in tree.iter(f"{SVG}g") if group.get("id") == "axes_1"
        for line in group if line.get("id", "").startswith("line2d")
        for use in line.iter(f"{SVG}use")
    )  # fmt: skip
    results = [r for r in database.results() if r.benchmark == OWN]
    values = sorted([u.value for r in results for u in r.subjects.values()] + [r.value for r in results])
    assert len(places) == len(values) == len(MODELS) * (len(DEFAULT_SUBJECTS) + 1)
    scale = (places[-1] - places[0]) / (values[-1] - values[0])
    assert [places[0] + scale * (v - values[0]) for v in values] == pytest.approx(places, abs=0.02)


def test_heat_map_says_the_numbers(report):
    texts = figure_texts(report[1], "categories-LAION_fMRI-ood-ridge", panel="axes_1")
    own = [r for r in report[0].results() if r.benchmark in KINDS]
    # of each kind by its own ceiling: published has one for all
    values = [f"{r.normalizations['explained_variance']:.2f}" for r in own if "explained_variance" in r.normalizations]
    assert len(values) > len(MODELS)
    assert sorted(t for t in texts if re.fullmatch(r"-?\d\.\d\d\*?", t)) == sorted(values)
    assert set(OOD_TYPES) <= set(texts)


def test_comparisons_are_those_of_the_scores(report, tiny_dataset):
    texts = figure_texts(report[1], "compared-LAION_fMRI-ood-ridgecv")
    ranked = read_study(report[0]).models_of([Variant.of(parse(OOD))], ["V1"])
    own = [scores(tiny_dataset)[model][OOD] for model in ranked]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        expected = compare(own[a], own[b])
        number = f"{expected.mean.value:.3f}".replace("-", "−")
        assert any(text.removesuffix(" ★") == number + "*" * expected.hides_sign for text in texts)
        assert f"{expected.n_positive} of 5" in texts


def test_figures_by_themselves_say_what_they_are(report):
    for path in (report[1] / "figures").iterdir():
        texts, root = figure_texts(report[1], path.stem), ElementTree.parse(path).getroot()
        assert "Simulated data: these numbers say nothing about brains." in texts
        assert any("?" in text for text in texts)
        assert root.get("aria-label").startswith("Simulated data. ")
        assert not list(root.iter(f"{SVG}script"))
        assert ("<image" in path.read_text("utf-8")) == path.stem.startswith("brain-")  # nothing else is a bitmap


@pytest.mark.usefixtures("without_maps")
def test_alphas_at_the_edge_are_flagged(tiny_dataset, tmp_path):
    score = copied(scores(tiny_dataset)["pixels"][TAU])
    for subject, alpha in zip(DEFAULT_SUBJECTS, (1e10, 1e9, 1e-10, 1.0, 1e10), strict=True):
        score.attrs[subject].attrs["alpha"] = alpha
    database = fill(tmp_path / "results.db", [score])
    at_edge = [p.subject for p in penalties(read_study(database)) if p.at_edge]
    assert at_edge == [DEFAULT_SUBJECTS[i] for i in (0, 2, 4)]
    text = write_report(database, tmp_path / "page").read_text("utf-8")
    assert "3 of 5 lie at the edge" in text
    assert "Penalties at the edge of their grid (3)" in text


@pytest.mark.usefixtures("without_maps")
def test_notes_and_squared_negatives_are_marked_and_explained(tiny_dataset, tmp_path):
    noted, plain = (
        renamed(scores(tiny_dataset)["pixels"][IT], "noted"),
        renamed(scores(tiny_dataset)["coarse"][IT], "plain"),
    )
    noted.attrs["notes"], plain.attrs["notes"] = ["A <first> note."], []
    for name in DEFAULT_SUBJECTS:
        plain.attrs[name].attrs["raw"].values = np.abs(plain.attrs[name].attrs["raw"].values)
        noted.attrs[name].attrs["raw"].values = -np.abs(noted.attrs[name].attrs["raw"].values)
    text = write_report(fill(tmp_path / "r.db", [plain]), tmp_path / "plain").read_text("utf-8")
    assert "†" not in text
    assert "squares it" not in text
    text = write_report(fill(tmp_path / "r.db", [noted, plain]), tmp_path / "page").read_text("utf-8")
    assert text.count('title="A &lt;first&gt; note.">†</a>') == 1
    assert text.count(">*</abbr>") == 1
    assert "the published normalization squares it" in text
    assert f"<li><strong>noted</strong>: A &lt;first&gt; note. ({IT})</li>" in text
    assert not Page(text).guesses


@pytest.mark.usefixtures("without_maps")
@pytest.mark.parametrize("n_models", [2, 5])
def test_a_note_that_models_share_stands_once(tiny_dataset, tmp_path, n_models):
    names = [f"model {number}" for number in range(n_models)]
    noted = [renamed(scores(tiny_dataset)["pixels"][IT], name) for name in names]
    for one in noted:
        one.attrs["notes"] = ["Of the data."]
    noted[0].attrs["notes"] = ["Of the data.", "Of the first."]
    page = write_report(fill(tmp_path / "r.db", noted), tmp_path / "page").read_text("utf-8")
    section = page[page.index('id="notes-title"') :].partition("</section>")[0]
    assert section.count("Of the data.") == section.count("Of the first.") == 1
    assert all(name in section for name in names)
    assert (f"{n_models} models" in section) is (n_models > 3)


def test_long_names_stay_different():
    names = [f"a_network_of_a_long_name-stage{n}.blocks.0.attention.with.a.long.name.output" for n in range(20)]
    for short in (short_names(names, 30), row_labels(names)):
        assert len(set(short.values())) == 20
    assert max(len(text) for text in short_names(names, 30).values()) <= 30
    assert max(len(line) for text in row_labels(names).values() for line in text.split("\n")) <= 28


# Few results, many, and none


def test_one_cell_and_what_to_run_for_the_rest(tiny_dataset, tmp_path):
    database = fill(tmp_path / "one result.db", [scores(tiny_dataset)["pixels"][TAU]])
    page = Page(write_report(database, tmp_path / "page").read_text("utf-8"))
    assert {p.stem for p in (tmp_path / "page" / "figures").iterdir()} == {
        "scores-LAION_fMRI-tau-ridgecv", "brain-LAION_fMRI-tau-ridgecv", "ceilings", "alphas", "voxels"
    }  # fmt: skip
    commands = [shlex.split(e[2]) for e in page.all("code") if e[2].startswith("laion-score")]
    commands = [c for c in commands if c[1] == "score"]
    assert len(commands) == 4  # gap, categories, pools, comparison
    for program, _, model, *rest in commands:
        end = rest.index("--results")
        asked = [parse(name) for name in expand(rest[:end])]
        assert program == "laion-score"
        assert asked
        assert rest[end + 1] == str(database.path)
        assert rest[rest.index("--dataset") + 1] == str(tiny_dataset)
        assert model == "pixels" or model == "alexnet"
    assert parse(OOD) in [parse(name) for name in commands[0][3 : commands[0].index("--results")]]


@pytest.mark.slow
def test_a_hundred_models(tiny_dataset):
    folder = zoo_report(tiny_dataset) / "page"
    page = Page((folder / "index.html").read_text("utf-8"))
    first = [e[2] for e in page.all("th", **{"class": "model", "scope": "row"})]
    assert len(set(first)) == 100
    texts = figure_texts(folder, "scores-LAION_fMRI-tau-ridgecv")
    assert "all 100" in texts
    assert len([text for text in texts if re.match(r"network_\d+-", text)]) == TOP
    captions = [e[2] for e in page.all("figcaption")]
    assert sum(bool(re.search(r"first 12 of|other \d\d are grey|models the first 6 in", c)) for c in captions) == 7
    assert all(path.stat().st_size < 400_000 for path in (folder / "figures").iterdir())


@pytest.mark.usefixtures("without_maps")
def test_patterns_choose(report, tmp_path):
    write_report(report[0], tmp_path, models=["*els", "edge?"], benchmarks=["*V1-*"], title="Of <V1>")
    page = Page((tmp_path / "index.html").read_text("utf-8"))
    assert {e[2] for e in page.all("th", **{"class": "model", "scope": "row"})} == {"pixels", "edges"}
    assert {e[1]["data-benchmark"] for e in page.all("th") if "data-benchmark" in e[1]} == {TAU, OOD, OWN, FOLDS}
    assert page.all("h1")[0][2] == "Of <V1>"


def test_nothing_to_report(tiny_dataset, tmp_path):
    database = fill(tmp_path / "results.db", [])
    with pytest.raises(ReportError, match="has none. Add some: `laion-score score MODEL headline --results"):
        write_report(database, tmp_path / "page")
    score = scores(tiny_dataset)["pixels"][TAU]
    database.add_failure("broken", None, facts(score), "ImportError", "")
    with pytest.raises(ReportError, match="lists 1 failure: "):
        write_report(database, tmp_path / "page")
    database.add(score, facts(score))
    with pytest.raises(ReportError, match="match 'resnet'. Patterns are of whole names"):
        write_report(database, tmp_path / "page", models=["resnet"])
    assert not (tmp_path / "page").exists()


@pytest.mark.usefixtures("without_maps")
def test_names_are_text(tiny_dataset, tmp_path):
    name = "<script>alert(1)</script> & $x_1$ 画像 \"'"
    rows = scores(tiny_dataset)
    cells = (TAU, OOD, OWN, RDM, CKA, *KINDS)
    named = [renamed(rows["pixels"][cell], name) for cell in cells] + [rows["edges"][cell] for cell in cells]
    page = Page(write_report(fill(tmp_path / "results.db", named), tmp_path / "page").read_text("utf-8"))
    assert len(page.all("script")) == 1
    assert page.guesses == []
    assert name in {e[2] for e in page.all("th", scope="row")}
    assert any("$x_1$" in text for text in figure_texts(tmp_path / "page", "gap-LAION_fMRI-tau-ridgecv"))


# Data of several kinds


@pytest.mark.usefixtures("without_maps")
def test_special_settings_and_metrics(tiny_dataset, tmp_path):
    """One subject, so no standard error; a fixed penalty, so no alphas to check; folds; no draws."""
    rows = [score for row in small_scores(tiny_dataset).values() for score in row.values()]
    page = Page(write_report(fill(tmp_path / "results.db", rows), tmp_path / "page").read_text("utf-8"))
    assert "scores-LAION_fMRI-ood-ridge-subjects-sub-01" in {p.stem for p in (tmp_path / "page" / "figures").iterdir()}
    assert {e[1]["data-benchmark"] for e in page.all("th") if "data-benchmark" in e[1]} == set(SMALL_CELLS)
    titles = [e[2] for e in page.all("h3")]
    assert any(title.endswith("ood · ridge · shared pool · subjects=sub-01") for title in titles)


@pytest.mark.usefixtures("without_maps")
def test_one_dataset_at_a_time(tiny_dataset, tmp_path):
    score, told = scores(tiny_dataset)["pixels"][TAU], []
    real = {**score.attrs["dataset"], "name": "measured", "simulated": False, "fingerprint": "feed000000000000"}
    other = {**real, "name": "measured", "fingerprint": "feed111111111111"}
    many = [scores(tiny_dataset)["edges"][cell] for cell in (TAU, OOD)]
    measured = [renamed(score, "real", dataset=real)]
    database = fill(tmp_path / "results.db", [*many, *measured])
    text = write_report(database, tmp_path / "page", warn=told.append).read_text("utf-8")
    assert len(told) == 1
    assert f"--dataset {many[0].attrs['dataset']['fingerprint']}" in told[0]
    assert "Simulated data" not in text  # measured ones come first, though fewer
    assert ">real<" in text
    assert ">edges<" not in text
    database.add(renamed(score, "again", dataset=other), facts(score, dataset_fingerprint="feed111111111111"))
    for ambiguous in ("measured", "feed", "nonsense"):
        with pytest.raises(ReportError, match=f"about one dataset; '{ambiguous}' fits"):
            write_report(database, tmp_path / "page", dataset=ambiguous)
    assert ">again<" in write_report(database, tmp_path / "page", dataset="feed1").read_text("utf-8")


def test_unknown_benchmarks_and_damaged_draws(tiny_dataset, tmp_path):
    row = scores(tiny_dataset)
    strange = renamed(row["pixels"][TAU], "pixels", benchmark_identifier="SomeoneElse.V1-magic")
    database = fill(tmp_path / "results.db", [row["pixels"][TAU], row["edges"][TAU], row["edges"][IT], strange])
    next(iter(sorted(database.voxel_directory.iterdir()))).write_bytes(b"damaged")
    page = Page(write_report(database, tmp_path / "page").read_text("utf-8"))
    assert "SomeoneElse.V1-magic" in {e[1].get("data-benchmark") for e in page.all("th")}
    assert "Not compared (1)" in page.text
    assert not list((tmp_path / "page" / "figures").glob("compared-*"))
