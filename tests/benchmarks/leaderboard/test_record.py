"""Recording in Brain-Score's own database: what is there afterwards, on SQLite and on a real PostgreSQL."""

import math
from dataclasses import replace

import peewee
import pytest
from brainscore_core.submission import database as recorder
from brainscore_core.submission import database_models as tables
from plugin_testing.leaderboards import content, counts, leaderboard, query, results_file
from plugin_testing.models import small_network

from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.database import open_database, writing
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.entries import Submitter, record
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.errors import LeaderboardError
from brainscore_vision.data.laion_fmri_7t.constants import BIBTEX

LAYERS = {"V1": "conv", "V2": "pool", "V3": "pool", "V4": "pool", "IT": "head"}
ALONE = "LAION_fMRI.V3-ood_gabor-ridgecv[subjects=sub-07]"
IDENTIFIERS = (
    "LAION_fMRI.V1-tau-ridgecv",
    "LAION_fMRI_persubject.IT-ood-ridgecv[record=V4]",
    "LAION_fMRI.V4-rdm-pearson",
    "LAION_fMRI.IT_full-cluster_k5-ridge",
    ALONE,
)
PARENTS = dict(zip(IDENTIFIERS, ("V1", "IT", "V4", "IT", "V3"), strict=True))

ROWS = """
SELECT t.identifier, m.name, s.score_raw, s.score_ceiled, s.error, i.ceiling, i.ceiling_error, i.version, s.comment,
       s.start_timestamp, s.end_timestamp
FROM brainscore_score s
JOIN brainscore_benchmarkinstance i ON s.benchmark_id = i.id
JOIN brainscore_benchmarktype t ON i.benchmark_type_id = t.identifier
JOIN brainscore_model m ON s.model_id = m.id
"""


@pytest.fixture(scope="module")
def results(tiny_dataset, tmp_path_factory):
    """Results of one model as they come out of a results file, but as if they were of measured responses."""
    file = tmp_path_factory.mktemp("results") / "results.db"
    database = results_file(file, small_network(LAYERS, batch_size=32), IDENTIFIERS, tiny_dataset)
    return [replace(result, is_simulated=False) for result in database.results()]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    with leaderboard(request.param, tmp_path) as place:
        yield place


def write(place, results, **options):
    return record(results, open_database(place), **options)


def rows(place):
    return {row[0]: row[1:] for row in query(place, ROWS)}


def of_another_model(results, name="another model", **changes):
    names = {"model": name, "model_identifier": name, "requested_model": f"models.py:{name}"}
    return [replace(result, **names, **changes) for result in results]


def test_numbers_read_back_unchanged(place, results):
    assert {recording.status for recording in write(place, results)} == {"new"}
    found = rows(place)
    assert sorted(found) == sorted(IDENTIFIERS)
    for result in results:
        name, raw, ceiled, error, ceiling, ceiling_error, version, *_ = found[result.benchmark]
        assert name == "small-network-seed0"
        assert (raw, ceiled, error) == (result.raw, result.value, result.error)
        assert (ceiling, ceiling_error) == (result.ceiling, result.ceiling_error)
        assert version == 1
    assert found[ALONE][3] is None  # one subject has no error over subjects
    assert found[ALONE][5] is None
    assert all(found[name][3] > 0 for name in IDENTIFIERS if name != ALONE)


def test_every_float64_survives(place, results):
    awkward = [math.pi, 1 / 3, 5e-324, 1.7976931348623157e308, -0.1, math.nextafter(0.5, 1)]
    made = [replace(results[0], benchmark=f"LAION_fMRI.V1-random_{k}-ridge") for k in range(5)]
    made = [replace(r, raw=a, value=b) for r, a, b in zip(made, awkward[:5], awkward[1:], strict=True)]
    write(place, made)
    found = rows(place)
    assert [found[r.benchmark][1:3] for r in made] == [(r.raw, r.value) for r in made]


def test_the_comment_and_the_times(place, results):
    write(place, results)
    *_, comment, started, finished = rows(place)[IDENTIFIERS[0]]
    assert f"data {results[0].dataset_fingerprint}" in comment
    assert "model revision abc123" in comment
    assert "simulated" not in comment
    assert (str(started), str(finished)) == ("2026-03-01 12:00:00", "2026-03-01 12:00:07")


def test_the_reference_comes_from_the_bibtex_entry(place, results):
    write(place, results)
    sql = "SELECT author, year, url, bibtex, id FROM brainscore_reference"
    ((author, year, url, bibtex, number),) = query(place, sql)
    assert (author, year, url) == ("Zerbe", 2026, "https://laion-fmri.hebartlab.com")
    assert bibtex == BIBTEX
    found = query(place, "SELECT identifier, reference_id FROM brainscore_benchmarktype WHERE reference_id IS NOT NULL")
    assert sorted(found) == sorted((name, number) for name in IDENTIFIERS)


def test_benchmarks_hang_in_brain_scores_tree(place, results):
    recordings = {recording.result.benchmark: recording for recording in write(place, results)}
    parents = dict(query(place, "SELECT identifier, parent_id FROM brainscore_benchmarktype"))
    for name, region in PARENTS.items():
        path = ("average_vision", "neural_vision", region, f"LAION_fMRI.{region}", name)
        assert recordings[name].place == path
        assert [parents[node] for node in path] == [None, *path[:-1]]
    visible = "SELECT COUNT(*) FROM brainscore_benchmarktype WHERE visible"
    assert query(place, visible) == [(0,)]  # what is shown is for the leaderboard's keepers to say


def test_users_submissions_and_models(place, results):
    write(place, results, submitter=Submitter("me@example.org", public=True))
    write(place, of_another_model(results), submitter=Submitter("you@example.org"))
    users = dict(query(place, "SELECT email, id FROM brainscore_user"))
    assert len(users) == 3
    assert 2 in users.values()  # to whom brainscore_core gives benchmarks
    passwords = query(place, "SELECT password FROM brainscore_user")
    assert set(passwords) == {("!",)}
    sql = """SELECT m.name, m.domain, m.public, u.email, b.status, b.model_type FROM brainscore_model m
             JOIN brainscore_submission b ON m.submission_id = b.id JOIN brainscore_user u ON b.submitter_id = u.id
             WHERE m.owner_id = u.id ORDER BY m.id"""
    assert query(place, sql) == [
        ("small-network-seed0", "vision", True, "me@example.org", "successful", "brainmodel"),
        ("another model", "vision", False, "you@example.org", "successful", "brainmodel"),
    ]
    owners = query(place, "SELECT DISTINCT owner_id FROM brainscore_benchmarktype")
    assert owners == [(2,)]


def test_recording_twice_changes_nothing(place, results):
    write(place, results)
    before = content(place)
    assert {recording.status for recording in write(place, results)} == {"unchanged"}
    assert content(place) == before


def test_newer_scores_replace_older_ones(place, results):
    write(place, results)
    before = counts(place)
    changed = [replace(results[0], value=0.25, raw=0.125, error=None), *results[1:]]
    assert [recording.status for recording in write(place, changed)] == ["changed", *["unchanged"] * (len(results) - 1)]
    assert counts(place) == before
    assert rows(place)[results[0].benchmark][1:4] == (0.125, 0.25, None)


def test_a_new_version_of_a_benchmark_is_an_instance_of_its_own(place, results):
    write(place, results[:1])
    write(place, [replace(results[0], benchmark_version=2, ceiling=0.5)])
    found = query(place, f"{ROWS} ORDER BY i.version")
    assert [(row[7], row[5]) for row in found] == [(1, results[0].ceiling), (2, 0.5)]
    assert counts(place)["model"] == 1


def test_a_registered_model_has_its_registered_name(place, results):
    (result,) = [replace(results[0], model_identifier="own name", requested_model="pixels")]
    (recording,) = write(place, [result])
    assert recording.model == "pixels"
    assert rows(place)[result.benchmark][0] == "pixels"


def test_a_trial_run_leaves_nothing(place, results):
    recordings = write(place, results, keep=False)
    assert {recording.status for recording in recordings} == {"new"}
    if "://" in place:
        assert query(place, "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    write(place, results[:1])
    assert (2,) in query(place, "SELECT id FROM brainscore_user")  # also where numbers were used up by the trial
    before = content(place)
    assert [r.status for r in write(place, results, keep=False)] == ["unchanged", *["new"] * (len(results) - 1)]
    assert content(place) == before


def test_a_trial_run_makes_no_file(tmp_path, results):
    place = tmp_path / "scores.db"
    assert len(record(results, open_database(str(place), in_memory=True), keep=False)) == len(results)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(place, results, monkeypatch):
    write(place, results[:1])
    before = content(place)
    update_score, calls = recorder.update_score, []

    def failing(score, entry):
        update_score(score, entry)
        calls.append(entry)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(recorder, "update_score", failing)
    with pytest.raises(KeyboardInterrupt):
        write(place, results)
    assert content(place) == before


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_columns_that_lose_digits_are_noticed(place, results):
    write(place, results[:1])
    query(place, "ALTER TABLE brainscore_score ALTER COLUMN score_raw TYPE real")
    before = content(place)
    with pytest.raises(LeaderboardError, match="double precision"):
        write(place, results)
    assert content(place) == before


# A database that others keep


@pytest.fixture
def kept_by_brain_score(place):
    """Brain-Score's tables as its own tests fill them."""
    with writing(open_database(place)):
        for number, email in ((1, "test@brainscore.com"), (2, "admin@brainscore.com")):
            tables.User.create(
                id=number, email=email, is_active=True, is_staff=False, is_superuser=False, password="abcde"
            )
        common = {"domain": "vision", "owner": 2, "visible": True}
        tables.BenchmarkType.create(identifier="average_vision", order=0, **common)
        tables.BenchmarkType.create(identifier="neural_vision", parent="average_vision", order=0, **common)
        for order, region in enumerate(("V1", "V2", "V4", "IT")):
            tables.BenchmarkType.create(identifier=region, parent="neural_vision", order=order, **common)
        tables.BenchmarkType.create(identifier="Zerbe2026", parent="V1", order=1, **common)
        tables.BenchmarkType.create(identifier=IDENTIFIERS[0], parent="Zerbe2026", order=7, **common)
    return place


def test_what_is_there_is_left(kept_by_brain_score, results):
    place = kept_by_brain_score
    before = query(place, "SELECT * FROM brainscore_benchmarktype ORDER BY identifier")
    recordings = write(place, results, submitter=Submitter("test@brainscore.com"))
    places = {recording.result.benchmark: recording.place for recording in recordings}
    after = query(place, "SELECT * FROM brainscore_benchmarktype ORDER BY identifier")
    assert set(before) <= set(after)
    assert places[IDENTIFIERS[0]] == ("average_vision", "neural_vision", "V1", "Zerbe2026", IDENTIFIERS[0])
    assert places[IDENTIFIERS[1]][:-1] == ("average_vision", "neural_vision", "IT", "LAION_fMRI.IT")
    assert counts(place)["user"] == 2


def test_benchmarks_that_no_keeper_placed_are_moved(kept_by_brain_score, results):
    """Below the region, as benchmarks of earlier versions asked for, or nowhere, as without the dataset's node."""
    place = kept_by_brain_score
    with writing(open_database(place)):
        common = {"domain": "vision", "owner": 2, "order": 5, "visible": True}
        for name, parent in (
            ("LAION_fMRI.V4-ood-ridgecv", "V4"),
            ("LAION_fMRI_persubject.V4-tau-ridgecv", None),
            ("LAION_fMRI.V4-tau-ridgecv[subjects=sub-01]", "V4"),
            ("LAION_fMRI.V2-ood-ridgecv", "V2"),  # nothing of V2 is recorded
            ("LAION_fMRI.V4-from-a-later-version", "V4"),
            ("Hebart2023.V4-ridge", "V4"),
        ):
            tables.BenchmarkType.create(identifier=name, parent=parent, **common)
    write(place, results, submitter=Submitter("test@brainscore.com"))
    parents = dict(query(place, "SELECT identifier, parent_id FROM brainscore_benchmarktype"))
    assert parents["LAION_fMRI.V4-ood-ridgecv"] == "LAION_fMRI.V4"
    assert parents["LAION_fMRI_persubject.V4-tau-ridgecv"] == "LAION_fMRI.V4"
    assert parents["LAION_fMRI.V4-tau-ridgecv[subjects=sub-01]"] == "LAION_fMRI.V4"
    assert parents["LAION_fMRI.V2-ood-ridgecv"] == "V2"
    assert parents["LAION_fMRI.V4-from-a-later-version"] == parents["Hebart2023.V4-ridge"] == "V4"
    visible = "SELECT visible FROM brainscore_benchmarktype WHERE identifier = 'LAION_fMRI.V4-ood-ridgecv'"
    assert query(place, visible) == [(True,)]
    assert parents["V4"] == "neural_vision"
    write(place, results, submitter=Submitter("test@brainscore.com"))
    assert dict(query(place, "SELECT identifier, parent_id FROM brainscore_benchmarktype")) == parents


def test_the_tree_alone(place, run):
    code, out, _ = run("record", "--tree", "--db", place)
    assert code == 0
    assert out.splitlines() == [
        f"average_vision > neural_vision > {region} > LAION_fMRI.{region}" for region in ("V1", "V2", "V4", "IT")
    ]
    parents = dict(query(place, "SELECT identifier, parent_id FROM brainscore_benchmarktype"))
    assert parents["LAION_fMRI.IT"] == "IT"
    assert len(parents) == 10
    before = content(place)
    assert run("record", "--tree", "--db", place)[0] == 0
    assert content(place) == before


@pytest.mark.parametrize("arguments", [(), ("results.db", "--tree"), ("--tree",)])
def test_results_or_the_tree(run, arguments):
    code, _, message = run("record", *arguments)
    assert code == 2
    assert "RESULTS" in message


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_what_only_postgresql_holds(place, results):
    """nan for no error, as its endpoint records it, and models without a submission, as its website allows them."""
    write(place, results)
    query(place, "UPDATE brainscore_benchmarkinstance SET ceiling_error = 'NaN' WHERE ceiling_error IS NULL")
    query(place, "ALTER TABLE brainscore_model ALTER COLUMN submission_id DROP NOT NULL")
    query(place, "UPDATE brainscore_model SET submission_id = NULL")
    before = counts(place)
    assert {recording.status for recording in write(place, results)} == {"unchanged"}
    assert counts(place) == before


def test_brain_scores_own_tables_and_connections_are_as_before(place, results, tmp_path):
    database = peewee.SqliteDatabase(str(tmp_path / "other.sqlite3"))
    before = tables.database_proxy.obj
    tables.database_proxy.initialize(database)
    tables.PeeweeBase.set_schema("elsewhere")
    try:
        write(place, results)
        with pytest.raises(LeaderboardError):
            write(place, [replace(results[0], ceiling=0.1)])
        assert tables.database_proxy.obj is database
        for table in tables.PeeweeBase.__subclasses__():
            assert table._meta.database is tables.database_proxy
            assert table._meta.schema == "elsewhere"
        assert not (tmp_path / "other.sqlite3").exists()
    finally:
        tables.PeeweeBase.set_schema(None)
        tables.database_proxy.initialize(before)
