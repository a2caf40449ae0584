"""Where a report is written, and what it leaves alone; the command line."""

import re

import pytest
from plugin_testing.report_database import OOD, TAU, fill, scores

from brainscore_vision.benchmarks.laion_fmri_7t.report import ReportError, write_report, writing

pytestmark = pytest.mark.usefixtures("without_maps")


@pytest.fixture
def database(tiny_dataset, tmp_path):
    return fill(tmp_path / "results.db", [scores(tiny_dataset)["pixels"][cell] for cell in (TAU, OOD)])


def test_an_earlier_report_is_replaced(database, tmp_path):
    folder = tmp_path / "page"
    write_report(database, folder)
    (folder / "figures" / "mine.svg").write_text("<svg/>")
    (folder / "notes.txt").write_text("mine")
    before = {path.name for path in (folder / "figures").iterdir()}
    write_report(database, folder, benchmarks=["*-tau-*"])
    after = {path.name for path in (folder / "figures").iterdir()}
    assert before - after == {"scores-LAION_fMRI-ood-ridgecv.svg", "gap-LAION_fMRI-tau-ridgecv.svg"}
    assert (folder / "figures" / "mine.svg").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert not list(folder.rglob(".*"))


def test_other_folders_are_left_alone(database, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "index.html").write_text("<title>mine</title>")
    with pytest.raises(ReportError, match="holds other things. .* --force"):
        write_report(database, folder)
    assert (folder / "index.html").read_text() == "<title>mine</title>"
    (folder / "chapter.tex").write_text("mine")
    write_report(database, folder, force=True)
    assert "laion-score report" in (folder / "index.html").read_text()
    assert (folder / "chapter.tex").read_text() == "mine"


def test_a_file_is_no_folder(database, tmp_path):
    (tmp_path / "page").write_text("mine")
    for force in (False, True):
        with pytest.raises(ReportError, match="A report is a folder; .* is a file"):
            write_report(database, tmp_path / "page", force=force)
    assert (tmp_path / "page").read_text() == "mine"


def test_a_report_that_cannot_be_made_leaves_the_earlier_one(database, tmp_path, monkeypatch):
    page = write_report(database, tmp_path / "page")
    before = {path: path.read_bytes() for path in (tmp_path / "page").rglob("*") if path.is_file()}

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "render_page", broken)
    with pytest.raises(KeyboardInterrupt):
        write_report(database, tmp_path / "page", benchmarks=["*-tau-*"])
    assert page in before
    assert before == {path: path.read_bytes() for path in (tmp_path / "page").rglob("*") if path.is_file()}


@pytest.mark.parametrize("n_written", [0, 1, 3])
def test_an_interrupted_report_is_taken_for_one(database, tmp_path, monkeypatch, n_written):
    replace, written = writing._replace, []

    def killed(path, text):
        if len(written) == n_written:
            raise KeyboardInterrupt
        written.append(path)
        replace(path, text)

    monkeypatch.setattr(writing, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_report(database, tmp_path / "page", benchmarks=["*-tau-*"])
    monkeypatch.setattr(writing, "_replace", replace)
    assert write_report(database, tmp_path / "page", benchmarks=["*-tau-*"]).exists()


def test_figures_of_another_are_other_things(database, tmp_path):
    (tmp_path / "page" / "figures").mkdir(parents=True)
    (tmp_path / "page" / "figures" / "mine.svg").write_text("<svg/>")
    with pytest.raises(ReportError, match="holds other things"):
        write_report(database, tmp_path / "page")


def test_command(run, database, tmp_path):
    out = tmp_path / "a page"
    code, stdout, stderr = run("report", database.path, "--out", out, "--benchmark", "*tau*", "--title", "Of & V1")
    assert (code, stdout) == (0, f"{out / 'index.html'}\n")
    assert "<h1>Of &amp; V1</h1>" in (out / "index.html").read_text("utf-8")
    assert "section" not in stderr  # no bar where nobody watches


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.db", "--out", "page"), 1, r"There is no results file .*missing\.db"),
        (("{db}", "--out", "page", "--model", "resnet"), 1, "A report needs results; none in .* match 'resnet'"),
        (("{db}", "--out", "page", "--dataset", "nonsense"), 1, "A report is about one dataset; 'nonsense' fits 0"),
        (("{db}", "--out", "{db}"), 1, "A report is a folder"),
        (("{db}",), 2, "Missing option '--out'"),
    ],
    ids=["no database", "no model", "no dataset", "file", "no folder"],
)
def test_wrong_usage(run, database, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    arguments = [str(database.path) if argument == "{db}" else argument for argument in arguments]
    ended, stdout, stderr = run("report", *arguments)
    assert (ended, stdout) == (code, "")
    assert re.search(message, stderr)
    assert "Traceback" not in stderr
    assert not (tmp_path / "page").exists()
