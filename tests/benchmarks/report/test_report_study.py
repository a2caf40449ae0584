"""Reports: which results they are about, in which order, and what they propose to run."""

import shlex

import pytest
from plugin_testing.made_up_scores import made_up_score
from plugin_testing.report_database import FOLDS, IT, KINDS, OOD, OWN, RDM, TAU, fill, renamed, scores
from plugin_testing.scored_cells import facts

from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.report import ReportError, write_report
from brainscore_vision.benchmarks.laion_fmri_7t.report.comparison_figures import Correction
from brainscore_vision.benchmarks.laion_fmri_7t.report.score_tables import leaderboard, score_tables
from brainscore_vision.benchmarks.laion_fmri_7t.report.sections import section_makers
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study
from brainscore_vision.benchmarks.laion_fmri_7t.report.variants import Variant
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase

pytestmark = pytest.mark.usefixtures("without_maps")


@pytest.fixture
def database(tmp_path):
    return ResultsDatabase(tmp_path / "some results.db")


def add(database, score, number, requested, **changes):
    database.add(score, facts(score, number, model=requested, **changes))


def commands(study):
    """Section -> words of the command that it proposes."""
    sections = [make() for make in section_makers(study, Correction())]
    found = {section.anchor: shlex.split(section.remedy.command) for section in sections if section.remedy is not None}
    return {anchor: command for anchor, command in found.items() if command[1] == "score"}


def benchmarks(command):
    """Names of benchmarks in a command."""
    return command[command.index("score") + 2 : command.index("--results")]


# Versions


def test_only_the_newest_version_of_a_benchmark(tiny_dataset, database, tmp_path):
    rows, told = scores(tiny_dataset), []
    for number, (model, cell, version) in enumerate(
        [("pixels", TAU, 1), ("coarse", TAU, 2), ("edges", TAU, 1), ("pixels", OOD, 1)]
    ):
        add(database, rows[model][cell], number, model, benchmark_version=version)
    study = read_study(database)
    assert {(r.model, r.benchmark) for r in study.results} == {("coarse", TAU), ("pixels", OOD)}
    text = write_report(database, tmp_path / "page", warn=told.append).read_text("utf-8")
    assert len(told) == 1
    for part in ("2 results of older versions", f"pixels on {TAU}, version 1 where there is 2"):
        assert part in told[0]
        assert part in text
    assert ">edges<" not in text


def test_one_version_is_complete(tiny_dataset, database):
    add(database, scores(tiny_dataset)["pixels"][TAU], 0, "pixels", benchmark_version=7)
    assert read_study(database).outdated == ""


# Order


def test_a_model_alone_on_its_benchmark_is_not_the_best(tiny_dataset, database):
    rows = scores(tiny_dataset)
    shared = [renamed(rows["pixels"][TAU], "b"), renamed(rows["coarse"][TAU], "c")]
    for number, score in enumerate([renamed(rows["edges"][IT], "a"), *shared]):
        add(database, score, number, "any")
    study = read_study(database)
    better = sorted(shared, key=lambda score: -score.item())
    assert study.models == [*(score.attrs["model_identifier"] for score in better), "a"]


def test_a_model_with_a_gap_stands_where_its_values_put_it(tmp_path):
    """The best one lacks the easy region: neither its plain mean nor its place among complete models is what it deserves."""
    shares = {"best": 0.70, "middle": 0.65, "worst": 0.60}
    cells = {TAU: 0.2, IT: -0.2, OOD: 0.0}
    made = [
        made_up_score(model, cell, share + easier)
        for model, share in shares.items()
        for cell, easier in cells.items()
        if (model, cell) != ("best", TAU)
    ]
    study = read_study(fill(tmp_path / "results.db", made))
    assert study.models == list(shares)
    assert study.models_of([Variant.of(parse(TAU))], ["V1", "IT"]) == ["best", "middle", "worst"]
    assert study.models_of([Variant.of(parse(TAU))], ["V1"]) == ["middle", "worst"]
    board = leaderboard(study)
    assert [model for model, _ in board.table.rows] == list(shares)
    assert board.means["best"] > board.means["middle"] > board.means["worst"]


def test_the_leaderboard_is_what_most_results_are_of(tmp_path):
    """Splits of one metric and pool; one of other settings, or of a category, does not mix with them."""
    special = TAU + "[threshold=20]"
    made = [made_up_score(model, cell, 0.5) for model in "ab" for cell in (TAU, OOD, IT, RDM, OWN, *KINDS[:3])]
    study = read_study(fill(tmp_path / "results.db", [*made, made_up_score("a", special, 0.5)]))
    shown = [column.benchmark for group in leaderboard(study).table.groups for column in group.columns]
    assert shown == [TAU, IT, OOD]
    others = [column.benchmark for table in score_tables(study) for group in table.groups for column in group.columns]
    assert sorted(others) == sorted([RDM, OWN, special, *KINDS[:3]])


# What to run


def test_commands_are_about_the_model_that_lacks_something(tiny_dataset, database):
    rows = scores(tiny_dataset)
    add(database, rows["edges"][RDM], 0, "my models.py:edges")
    add(database, rows["pixels"][TAU], 1, "models.py:pixels")
    study = read_study(database)
    found = commands(study)
    assert study.models == ["pixels", "edges"]
    assert found["gap"][:4] == ["laion-score", "score", "models.py:pixels", OOD]
    assert found["pools"][:4] == ["laion-score", "score", "models.py:pixels", OWN]
    assert found["compared"][:4] == ["laion-score", "score", "my models.py:edges", TAU]
    assert found["categories"][2] == "models.py:pixels"
    assert {len(benchmarks(found[name])) for name in ("gap", "pools", "compared")} == {1}
    for command in found.values():
        assert command[command.index("--results") + 1] == str(database.path)


def test_folds_are_proposed_for_the_other_pool(tiny_dataset, database):
    add(database, scores(tiny_dataset)["pixels"][FOLDS], 0, "pixels")
    found = commands(read_study(database))
    assert benchmarks(found["pools"]) == [FOLDS.replace("LAION_fMRI.", "LAION_fMRI_persubject.")]
    assert benchmarks(found["gap"]) == ["LAION_fMRI.*-tau-ridgecv", "LAION_fMRI.*-ood-ridgecv"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/data/my features.h5", ["/data/my features.h5"]),
        ("layers.NPZ", ["layers.NPZ"]),
        ("embedding.parquet", ["embedding.parquet"]),
        (
            "/data/my table.tsv --ids 'my ids' --columns 'f*'",
            ["/data/my table.tsv", "--ids", "my ids", "--columns", "f*"],
        ),
    ],
)
def test_tables_of_features_are_named_with_their_options(tiny_dataset, database, name, words):
    add(database, scores(tiny_dataset)["pixels"][TAU], 0, name)
    found = commands(read_study(database))
    assert found["gap"][: len(words) + 4] == ["laion-score", "score", "--features", *words, OOD]
    assert found["compared"][2] == "alexnet"  # pixels is taken


def test_commands_in_errors_can_be_run(tiny_dataset, database):
    score = scores(tiny_dataset)["pixels"][TAU]
    with pytest.raises(ReportError) as none:
        read_study(database)
    add_command = shlex.split(str(none.value).split("`")[1])
    assert add_command == ["laion-score", "score", "MODEL", "headline", "--results", str(database.path)]
    database.add_failure("broken", None, facts(score), "ImportError", "")
    with pytest.raises(ReportError, match="lists 1 failure: ") as failed:
        read_study(database)
    assert shlex.split(str(failed.value).split("`")[1]) == ["laion-score", "results", str(database.path), "--failures"]
