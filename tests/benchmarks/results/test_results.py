"""The results database: Scores come back as they were, and questions are answered from what was added."""

import dataclasses
import re
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from brainscore_core.metrics import Score
from brainscore_vision.benchmark_helpers.validate_error import assert_valid_uncertainty
from plugin_testing import scored_cells
from plugin_testing.scored_cells import (
    CELLS,
    CKA,
    FOLDS,
    ONE_SUBJECT,
    RDM,
    RIDGE,
    STARTED,
    assert_same_tree,
    copied,
    facts,
    scores,
)

from brainscore_vision.benchmarks import laion_fmri_7t
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, compare
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import as_row
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    ResultsError,
    RunFacts,
    Summary,
    run_facts,
    schema,
    verify,
)

SCHEMA = schema.SCHEMA_VERSION


@pytest.fixture
def database(tmp_path):
    return ResultsDatabase(tmp_path / "results.sqlite")


@pytest.fixture
def filled(tmp_path, tiny_dataset):
    """Two models on every kind of benchmark, in the order one, two."""
    return scored_cells.filled(tiny_dataset, tmp_path / "results.sqlite")


def found(database, **query):
    return [(result.model, result.benchmark) for result in database.results(**query)]


# Scores


@pytest.mark.parametrize("cell", CELLS)
def test_a_score_comes_back_as_it_was(database, tiny_dataset, cell):
    score = scores(tiny_dataset)["one"][cell]
    number = database.add(score, facts(score))
    assert_same_tree(ResultsDatabase(database.path).score(number), score)


@pytest.mark.parametrize("cell", CELLS)
def test_the_rebuilt_score_serves_brain_score(database, tiny_dataset, cell):
    score = scores(tiny_dataset)["one"][cell]
    rebuilt = database.score(database.add(score, facts(score)))
    assert_valid_uncertainty(rebuilt)
    assert as_row(cell, rebuilt) == as_row(cell, score)
    # Brain-Score slices and copies every attribute whose name has "raw" in it along with a score
    for operation in (lambda s: s.expand_dims("benchmark"), lambda s: s.mean(), lambda s: s.squeeze()):
        ours, theirs = operation(rebuilt), operation(score)
        assert {k for k in ours.attrs if "raw" in k} == {k for k in theirs.attrs if "raw" in k} != set()
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(ours.attrs["raw"].values, theirs.attrs["raw"].values)


@pytest.mark.parametrize("cell", [RIDGE, RDM, FOLDS, ONE_SUBJECT])
def test_comparisons_are_those_of_the_originals(filled, tiny_dataset, cell):
    ids = [result.id for result in filled.results(benchmarks=[cell])]
    originals = [copied(scores(tiny_dataset)[model][cell]) for model in ("one", "two")]
    for score in originals:
        score.attrs["benchmark_identifier"] = cell  # results name their dataset elsewhere
    assert compare(*map(filled.score, ids)) == compare(*originals)


def test_notes_and_digests_are_kept(database, tiny_dataset):
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    score.attrs.update(notes=["The layer answers a tuple."], network_digest="0123456789abcdef")
    score.attrs["sub-01"].attrs["notes"] = ["The layer answers a tuple."]
    number = database.add(score, facts(score))
    assert_same_tree(database.score(number), score)
    (result,) = database.results()
    assert result.notes == ("The layer answers a tuple.",)
    assert (result.network_digest, result.features_digest) == ("0123456789abcdef", score.attrs["features_digest"])
    with sqlite3.connect(database.path) as file:
        query = "SELECT network_digest, notes FROM scores WHERE label = 'sub-01'"
        assert file.execute(query).fetchall() == [("0123456789abcdef", '["The layer answers a tuple."]')]


def test_what_was_dropped_is_kept(database, tiny_dataset):
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    score.attrs["dropped_stimuli"] = score.attrs["sub-01"].attrs["dropped_stimuli"] = ["shared-1", "shared-2"]
    number = database.add(score, facts(score))
    assert_same_tree(database.score(number), score)
    assert database.results()[0].dropped_stimuli == ("shared-1", "shared-2")


# Records


def test_a_record_holds_the_numbers_and_the_run(database, tiny_dataset):
    score = scores(tiny_dataset)["one"][RIDGE]
    run = facts(score, model_revision="abc", started=datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2))))
    number = database.add(score, run)
    (result,) = database.results()
    assert (result.id, result.model, result.requested_model) == (number, "one", "models.py:one")
    assert result.benchmark == RIDGE  # the dataset that the score's own identifier names is told apart
    assert score.attrs["benchmark_identifier"] == f"{RIDGE}[dataset=simulated:{tiny_dataset}]"
    assert (result.value, result.error) == (score.item(), score.attrs["error"])
    for name in ("raw", "ceiling"):
        assert getattr(result, name) == score.attrs[name].item()
        assert getattr(result, f"{name}_error") == score.attrs[name].attrs["error"]
    assert result.normalization == "published"
    assert result.normalizations == score.attrs["normalizations"]
    assert result.dataset == score.attrs["dataset"]
    assert result.is_simulated
    assert result.folds == {}
    assert tuple(result.subjects) == DEFAULT_SUBJECTS
    for subject, unit in result.subjects.items():
        own = score.attrs[subject]
        assert unit.value == own.item()
        for name in ("interval", "alpha", "n_train", "n_test", "n_neuroids", "n_features", "normalizations"):
            assert getattr(unit, name) == own.attrs[name]
    assert result.started == STARTED
    for field in dataclasses.fields(RunFacts):
        if field.name != "model":
            assert getattr(result, field.name) == getattr(run, field.name), field.name


def test_folds_have_subjects(database, tiny_dataset):
    score = scores(tiny_dataset)["one"][FOLDS]
    database.add(score, facts(score))
    (result,) = database.results()
    assert list(result.folds) == [f"fold_{k}" for k in range(5)]
    assert result.subjects == {}
    for name, fold in result.folds.items():
        assert (fold.value, fold.error) == (score.attrs[name].item(), score.attrs[name].attrs["error"])
        assert fold.subjects["sub-03"].alpha == score.attrs[name].attrs["sub-03"].attrs["alpha"]
    means = result.by_subject()
    assert tuple(means) == DEFAULT_SUBJECTS
    assert np.mean([unit.value for unit in means.values()]) == pytest.approx(result.value)
    own = [fold.subjects["sub-01"] for fold in result.folds.values()]
    assert means["sub-01"].raw == np.mean([unit.raw for unit in own])
    assert means["sub-01"].n_neuroids == own[0].n_neuroids
    assert means["sub-01"].interval is means["sub-01"].alpha is None
    assert all(fold.subjects["sub-01"].n_significant_voxels is not None for fold in result.folds.values())
    assert means["sub-01"].n_significant_voxels is None  # also where folds agree: mostly those without any


def test_what_cannot_be_estimated_is_null(filled):
    (alone,) = filled.results(models=["one"], benchmarks=[ONE_SUBJECT])
    assert alone.error is alone.raw_error is alone.ceiling_error is None
    (similarity,) = filled.results(models=["one"], benchmarks=[CKA])
    own = similarity.subjects["sub-01"]
    assert own.alpha is own.mean_eigenvalue is own.n_significant_voxels is None
    assert own.interval[0] < own.value < own.interval[1]
    with sqlite3.connect(filled.path) as file:
        columns = [row[1] for row in file.execute("PRAGMA table_info(score)")]
        kept = [value for row in file.execute("SELECT * FROM score") for value in row]
        assert file.execute("SELECT COUNT(*) FROM score WHERE level = 'subject' AND error IS NULL").fetchone()[0] > 0
        assert file.execute("SELECT COUNT(*) FROM score WHERE details GLOB '*NaN*'").fetchone()[0] == 0
        (n_rows,) = file.execute("SELECT COUNT(*) FROM scores WHERE level = 'fold'").fetchone()
    assert {"error", "interval_low", "alpha"} <= set(columns)
    assert not any(isinstance(value, float) and np.isnan(value) for value in kept)
    assert n_rows == 2 * 5


# Queries


@pytest.mark.parametrize("query", [{}, {"latest": False}, {"models": ["tw*"]}, {"benchmarks": [FOLDS, ONE_SUBJECT]}])
def test_summaries_are_results_without_subjects(filled, tiny_dataset, query):
    for row in scores(tiny_dataset).values():
        filled.add(row[RIDGE], facts(row[RIDGE], number=7))  # a second time
    results, summaries = filled.results(**query), filled.summaries(**query)
    assert len(results) == len(summaries) > 0
    for result, summary in zip(results, summaries, strict=True):
        expected = {name: getattr(result, name) for name in Summary._fields}
        interval = expected.pop("interval_over_subjects")
        actual = summary._asdict()
        assert actual.pop("interval_over_subjects") == (None if interval is None else pytest.approx(interval, rel=1e-9))
        assert actual == expected
        assert summary.layer == result.layer


def test_filters(filled, tiny_dataset):
    assert len(filled.results()) == 2 * len(CELLS)
    assert sorted(found(filled, models=["tw*"], benchmarks=["*.V1-*"])) == [("two", CKA), ("two", RIDGE)]
    assert found(filled, models=["models.py:one"], benchmarks=[RDM]) == [("one", RDM)]  # what was asked for
    assert found(filled, models=["one"], benchmarks=[ONE_SUBJECT]) == [("one", ONE_SUBJECT)]  # brackets are letters
    added = [(model, cell) for model, row in scores(tiny_dataset).items() for cell in row]
    assert found(filled, models=["two", "one"], benchmarks=[RDM, CKA]) == [
        pair for pair in added if pair[1] in (RDM, CKA)
    ]
    assert found(filled, models=["nobody"]) == []


def test_the_latest_of_each_dataset(database, tiny_dataset):
    score = scores(tiny_dataset)["one"][RIDGE]
    elsewhere = copied(score)
    elsewhere.attrs["dataset"] = {**score.attrs["dataset"], "fingerprint": "other data"}
    ids = [database.add(one, facts(one, number)) for number, one in enumerate([score, elsewhere, score])]
    assert [result.id for result in database.results(latest=False)] == ids
    assert [result.id for result in database.results()] == ids[1:]


def test_failures_last_until_a_success(database, tiny_dataset):
    score = scores(tiny_dataset)["one"][RIDGE]
    run = facts(score)

    def fail(benchmark, **changes):
        changed = dataclasses.replace(run, **changes)
        return database.add_failure(run.model, benchmark, changed, "ValueError: no", "Traceback ...")

    def failed(**query):
        return [failure.id for failure in database.failures(**query)]

    first, of_model, other = fail(RIDGE), fail(None, dataset_fingerprint=""), fail(RDM)
    elsewhere = fail(RIDGE, dataset_fingerprint="other data")
    again = fail(RIDGE)
    assert failed() == [of_model, other, elsewhere, again]
    assert failed(latest=False) == [first, of_model, other, elsewhere, again]
    assert failed(benchmarks=["*.V4-*"]) == [of_model, other]  # a model that cannot be made concerns every benchmark
    assert failed(models=["nobody"]) == []
    database.add(score, run)
    assert failed() == [other, elsewhere]
    later = fail(f"{RIDGE}[dataset={tiny_dataset}]")
    assert failed() == [other, elsewhere, later]
    failure = database.failures(benchmarks=[RIDGE])[-1]
    assert (failure.model, failure.benchmark, failure.error) == (run.model, RIDGE, "ValueError: no")
    assert (failure.traceback, failure.started, failure.versions) == ("Traceback ...", run.started, run.versions)
    assert len(database.results()) == 1


# What cannot be kept


def spoil(score, change):
    spoiled = copied(score)
    change(spoiled)
    return spoiled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.attrs.pop("model_identifier"), "lacks model_identifier"),
        (lambda s: s.attrs.pop("raw"), "lacks raw"),
        (lambda s: s.attrs["sub-05"].attrs.pop("normalizations"), "sub-05 lacks normalizations"),
        (lambda s: s.attrs["sub-05"].attrs["normalizations"].update(published=np.nan), "published of sub-05 is nan"),
        (lambda s: s.attrs["raw"].attrs.update(error=np.inf), "is inf"),
        (lambda s: s.attrs["sub-05"].attrs.update(extra={1, 2}), "'extra' of sub-05 holds a set"),
        (lambda s: s.attrs["dataset"].update(fingerprint="other"), "'other'"),
        (lambda s: s.attrs["sub-05"].attrs["ceiling"].attrs.pop("raw"), "sub-05"),
    ],
    ids=["model", "raw", "subject", "nan", "inf", "kind", "dataset", "ceilings"],
)
def test_a_score_that_cannot_be_kept_is_refused_whole(database, tiny_dataset, change, message):
    score = scores(tiny_dataset)["one"][RIDGE]
    with pytest.raises(ResultsError, match=message):
        database.add(spoil(score, change), facts(score))
    assert database.results() == []
    assert not database.voxel_directory.exists()


def test_a_bare_number_is_no_result(database, tiny_dataset):
    with pytest.raises(ResultsError, match="lacks model_identifier, benchmark_identifier, dataset, normalization"):
        database.add(Score(0.3), facts(scores(tiny_dataset)["one"][RIDGE]))


def test_numpy_numbers_are_kept_as_numbers(database, tiny_dataset):
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    score.attrs["sub-01"].attrs.update(n_test=np.int64(27), alpha=np.float32(0.5), extra=np.array([1, 2]))
    rebuilt = database.score(database.add(score, facts(score)))
    assert rebuilt.attrs["sub-01"].attrs["n_test"] == 27
    assert rebuilt.attrs["sub-01"].attrs["alpha"] == 0.5
    assert rebuilt.attrs["sub-01"].attrs["extra"] == [1, 2]


def test_times_have_zones():
    with pytest.raises(ResultsError, match="datetime.now"):
        run_facts("m", started=datetime(2026, 1, 1), dataset_fingerprint="", benchmark_version=1)


def test_facts_of_this_process():
    run = run_facts(
        "m", started=STARTED, finished=STARTED + timedelta(seconds=2), dataset_fingerprint="", benchmark_version=1
    )
    assert run.seconds == 2
    assert 2**20 < run.peak_memory_bytes < 2**40
    assert {"python", "numpy", "torch", "brainscore-vision", "brainscore-core"} <= set(run.versions)
    assert run.machine


# Files


def test_no_such_result(filled):
    with pytest.raises(ResultsError, match="none with 99"):
        filled.score(99)


def test_arrays_that_were_exchanged_are_refused(filled):
    files = sorted(filled.voxel_directory.glob("*.h5"))
    content = [path.read_bytes() for path in files]
    files[0].write_bytes(content[-1])
    files[-1].write_bytes(content[0])
    problems = [problem for _, problem in verify(filled) if problem]
    assert len(problems) == 2
    assert "has the values of another result: model" in problems[0]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultsError, match="There is no results file"):
        ResultsDatabase(tmp_path / "none.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(ResultsError, match="is empty"):
        ResultsDatabase(tmp_path / "empty.sqlite", create=False)
    with pytest.raises(ResultsError, match="is a folder"):
        ResultsDatabase(tmp_path)


def test_other_files_are_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but longer than the header of one " * 40)
    with pytest.raises(ResultsError, match="not a database"):
        ResultsDatabase(text)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as file:
        file.execute("PRAGMA journal_mode=wal")
        file.execute("CREATE TABLE theirs (a)")
    content = foreign.read_bytes()
    with pytest.raises(ResultsError, match="another application"):
        ResultsDatabase(foreign)
    assert foreign.read_bytes() == content


@pytest.mark.parametrize(("version", "remedy"), [(SCHEMA + 1, "Update this package"), (0, "restore a copy of it")])
def test_other_versions_are_refused(database, version, remedy):
    with sqlite3.connect(database.path) as file:
        file.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(ResultsError, match=remedy) as raised:
        ResultsDatabase(database.path)
    assert f"has version {version}" in str(raised.value)


def test_the_file_says_its_version(database):
    with sqlite3.connect(database.path) as file:
        assert file.execute("SELECT version FROM schema").fetchall() == [(SCHEMA,)]
        assert file.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
        assert file.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
        assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_files_and_folder_are_moved_together(filled, tiny_dataset, tmp_path):
    moved = tmp_path / "elsewhere" / "renamed.sqlite"
    moved.parent.mkdir()
    filled.path.rename(moved)
    voxels = filled.voxel_directory.rename(moved.parent / "renamed.sqlite.voxels")
    database = ResultsDatabase(moved, create=False)
    (result,) = database.results(models=["two"], benchmarks=[RIDGE])
    assert_same_tree(database.score(result.id), scores(tiny_dataset)["two"][RIDGE])
    for path in voxels.iterdir():
        path.unlink()
    with pytest.raises(ResultsError, match="is missing. Keep the folder renamed.sqlite.voxels next to its database"):
        database.score(result.id)
    assert database.results(models=["two"], benchmarks=[RIDGE]) == [result]  # what is in the tables is still there


def test_two_databases_at_once(tmp_path, tiny_dataset):
    row = scores(tiny_dataset)["one"]
    a, b = ResultsDatabase(tmp_path / "a.sqlite"), ResultsDatabase(tmp_path / "b.sqlite")
    a.add(row[RIDGE], facts(row[RIDGE]))
    b.add(row[CKA], facts(row[CKA]))
    assert (found(a), found(b)) == ([("one", RIDGE)], [("one", CKA)])
    names = [{path.name for path in database.voxel_directory.iterdir()} for database in (a, b)]
    assert [len(one) for one in names] == [1, 1]
    assert names[0].isdisjoint(names[1])


def test_the_readme_explains_every_table_and_column(filled):
    text = (Path(laion_fmri_7t.__file__).parent / "README.md").read_text(encoding="utf-8")
    with sqlite3.connect(filled.path) as file:
        columns = [row[1] for row in file.execute("PRAGMA table_info(scores)")]
        tables = [row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        query = re.search(r'dbGetQuery\(con, "(.*?)"\)', text, re.DOTALL)[1]
        assert len(file.execute(query).fetchall()) == 2 * (3 * 5 + 1)  # subjects of cells without folds
    assert [name for name in (*columns, *tables) if f"`{name}`" not in text] == []
