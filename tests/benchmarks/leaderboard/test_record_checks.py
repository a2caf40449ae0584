"""What is not recorded, and why: results that do not belong on one leaderboard, and places that are none."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from plugin_testing.leaderboards import content, query

from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard import database as places
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.checks import check_recordable, model_name
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.database import open_database, place_name
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.entries import record
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.errors import LeaderboardError
from brainscore_vision.benchmarks.laion_fmri_7t.results import Result, ResultsDatabase

RESULT = Result(
    id=1,
    model="a model",
    model_identifier="a model",
    requested_model="file.py:make",
    model_revision=None,
    network_digest="00aa",
    features_digest="11bb",
    benchmark="LAION_fMRI.V1-tau-ridgecv",
    benchmark_version=1,
    value=0.3,
    error=0.01,
    raw=0.4,
    raw_error=0.02,
    ceiling=0.7,
    ceiling_error=0.005,
    normalization="published",
    normalizations={"published": 0.3},
    dataset={"name": "published", "simulated": False},
    dataset_fingerprint="0123456789abcdef",
    is_simulated=False,
    subjects={},
    folds={},
    started=datetime(2026, 3, 1, tzinfo=UTC),
    seconds=1.0,
    peak_memory_bytes=10**9,
    machine="a machine",
    versions={"python": "3.11"},
)


def named(result, name, **changes):
    return replace(result, model=name, model_identifier=name, **changes)


OTHER = replace(RESULT, id=2, benchmark="LAION_fMRI.V2-tau-ridgecv")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (replace(OTHER, is_simulated=True), "1 of 2 results are of simulated data.*--allow-simulated"),
        (replace(OTHER, dropped_stimuli=("a.jpg", "b.jpg")), "was scored without 2 of them"),
        (named(RESULT, "b", dataset_fingerprint="fedcba"), "has data 0123456789abcdef, b .* has fedcba"),
        (replace(OTHER, requested_model="other.py:make"), "a model is two: .*'file.py:make', .*V2.* 'other.py:make'"),
        (replace(OTHER, network_digest="00ab"), "network 00aa, a model on LAION_fMRI.V2.*network 00ab"),
        (replace(OTHER, model_revision="2", network_digest=None), "'file.py:make', revision 2"),
        (replace(RESULT, id=2), "has several, results 1 and 2"),
        (named(OTHER, "m" * 256), "at most 255 characters.*received 256"),
        (replace(OTHER, benchmark="b" * 300), "at most 255 characters.*received 300"),
    ],
    ids=[
        "simulated",
        "dropped stimuli",
        "other data",
        "other request",
        "other weights",
        "other code",
        "twice",
        "long model",
        "long benchmark",
    ],
)
def test_refused(tmp_path, second, message):
    place = tmp_path / "scores.db"
    with pytest.raises(LeaderboardError, match=message):
        record([RESULT, second], open_database(str(place)))
    assert not place.exists()  # found out before anything is opened


def test_several_models_benchmarks_and_data_are_fine():
    check_recordable(
        [RESULT, OTHER, named(RESULT, "b", network_digest="00ab"), named(OTHER, "b", network_digest="00ab")]
    )
    check_recordable([RESULT, replace(OTHER, dataset_fingerprint="fedcba")])  # no two scores that are compared
    check_recordable([replace(RESULT, is_simulated=True)], allow_simulated=True)


def test_names_of_models():
    assert model_name(RESULT) == "a model"
    assert model_name(replace(RESULT, requested_model="pixels")) == "pixels"
    assert model_name(replace(RESULT, requested_model="no-such-model")) == "a model"
    assert model_name(replace(RESULT, properties={"name": "wide", "top1": 0.7})) == "wide"
    assert model_name(replace(RESULT, requested_model="pixels", properties={"name": "wide"})) == "pixels"


@pytest.mark.parametrize(
    "changes", [{"ceiling": 0.7001}, {"ceiling_error": 0.0051}, {"ceiling_error": None}], ids=lambda c: next(iter(c))
)
def test_a_second_ceiling_of_a_benchmark_is_refused(tmp_path, changes):
    place = str(tmp_path / "scores.db")
    record([RESULT], open_database(place))
    before = content(place)
    with pytest.raises(LeaderboardError, match=r"0\.7 ± 0\.005 for version 1 of LAION_fMRI\.V1-tau-ridgecv, b on"):
        record([named(RESULT, "b", **changes)], open_database(place))
    assert content(place) == before


def test_a_ceiling_that_differs_by_rounding_is_the_same(tmp_path):
    place = str(tmp_path / "scores.db")
    record([RESULT], open_database(place))
    record([named(RESULT, "b", ceiling=0.7 * (1 + 1e-12), ceiling_error=0.005 + 1e-14)], open_database(place))
    assert len(content(place)["benchmarkinstance"]) == 1
    assert len(content(place)["score"]) == 2


def test_simulated_data_are_said_in_the_benchmarks_name_and_in_the_comment(tmp_path):
    place = str(tmp_path / "scores.db")
    simulated = replace(RESULT, is_simulated=True, dataset={"name": "/a/folder", "simulated": True})
    record([simulated], open_database(place), allow_simulated=True)
    ((name, parent),) = query(
        place, "SELECT identifier, parent_id FROM brainscore_benchmarktype WHERE identifier LIKE '%ridgecv%'"
    )
    assert name == "LAION_fMRI.V1-tau-ridgecv[dataset=simulated:/a/folder]"
    assert parent == "LAION_fMRI.V1"
    (row,) = content(place)["score"]
    assert "simulated data: says nothing about brains; data 0123456789abcdef" in row


def test_the_comment_names_the_network_and_says_the_notes(tmp_path):
    place = str(tmp_path / "scores.db")
    record([replace(RESULT, notes=("The layer answers a tuple.", "long " * 400))], open_database(place))
    (row,) = content(place)["score"]
    assert (
        "network 00aa; request db038864; features 11bb; python 3.11; note: The layer answers a tuple.; note: long long"
        in row
    )


def test_other_weights_under_a_recorded_name_are_refused(tmp_path):
    place = str(tmp_path / "scores.db")
    record([RESULT], open_database(place))
    before = content(place)
    trained = replace(OTHER, network_digest="00ab")
    with pytest.raises(
        LeaderboardError, match="the database has a model on LAION_fMRI.V1-tau-ridgecv with network 00aa"
    ):
        record([trained], open_database(place))
    assert content(place) == before
    record([trained, replace(RESULT, network_digest="00ab")], open_database(place))  # takes the place of the other
    assert len(content(place)["score"]) == 2


def test_models_of_a_list_stand_under_its_names(tmp_path):
    """Tables of many models are often called alike, layer4.npz."""
    place = str(tmp_path / "scores.db")
    tables = [
        named(
            replace(RESULT, requested_model=f"{name}/layer4.npz", network_digest=digest, properties={"name": name}),
            "features-layer4",
        )
        for name, digest in (("resnet", "00aa"), ("vit", "00ab"))
    ]
    for one in tables:
        record([one], open_database(place))
    assert [row.status for row in record(tables, open_database(place))] == ["unchanged"] * 2
    assert len(content(place)["score"]) == 2


def test_layers_that_results_tell_apart_are_two_models(tmp_path):
    """As results name them, in one command or in two, in any order."""
    place = str(tmp_path / "scores.db")
    main = replace(RESULT, layers={"V1": "3"})
    tried = replace(RESULT, id=2, value=0.1, raw=0.2, layers={"V1": "1"}, model="a model (layer 1)", layer_in_name=True)
    for results in ([main], [tried], [main], [tried, main]):
        record(results, open_database(place))
    names = "SELECT name, score_ceiled FROM brainscore_score JOIN brainscore_model ON brainscore_model.id = model_id"
    assert sorted(query(place, names)) == [("a model", 0.3), ("a model (layer 1)", 0.1)]


def test_another_model_of_a_recorded_name_takes_no_place(tmp_path):
    """Without names of a list, one row would be written over again and again."""
    place = str(tmp_path / "scores.db")
    first, second = (
        named(replace(RESULT, requested_model=f"{folder}/layer4.npz", network_digest=digest), "features-layer4")
        for folder, digest in (("resnet", "00aa"), ("vit; two", "00ab"))
    )
    record([first], open_database(place))
    before = content(place)
    assert "resnet/" not in before["score"][0]  # somebody's paths
    said = "another one as features-layer4 on .* asked for otherwise than 'vit; two/layer4.npz'.*a name of its own in a list"
    with pytest.raises(LeaderboardError, match=said):
        record([second], open_database(place))
    assert content(place) == before
    record([replace(first, network_digest="00ac")], open_database(place))  # made anew
    record([replace(first, network_digest="00ac", requested_model="moved/layer4.npz")], open_database(place))


def test_other_code_under_a_recorded_name_is_refused(tmp_path):
    """The same weights in another function or plugin; and models without weights, of which the code alone is known."""
    made = {"model_revision": "made-1a"}, {"model_revision": "made-2b"}
    plugin = {"model_revision": "1"}, {"model_revision": "2"}
    code = tuple({"model_revision": revision, "network_digest": None} for revision in "12")
    for k, (kept, given) in enumerate((made, plugin, code)):
        place = str(tmp_path / f"{k}.db")
        kept, given = replace(RESULT, **kept), replace(OTHER, **given)
        record([kept], open_database(place))
        said = f"with model revision {kept.model_revision}, .*revision {given.model_revision}"
        with pytest.raises(LeaderboardError, match=said):
            record([given], open_database(place))
        record([replace(given, model_revision=kept.model_revision)], open_database(place))


def test_revisions_of_two_kinds_say_nothing_of_each_other(tmp_path):
    """An earlier version noted the code of what a function makes, this one what was made."""
    place = str(tmp_path / "scores.db")
    earlier, now = replace(RESULT, model_revision="1"), replace(OTHER, model_revision="made-2b")
    check_recordable([earlier, now])
    record([earlier], open_database(place))
    record([now], open_database(place))
    with pytest.raises(LeaderboardError, match="is two"):
        check_recordable([earlier, replace(now, network_digest="00ab")])


# Places


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mysql://me:secret@host/scores", "received mysql://"),
        ("postgresql://me:secret@host", "without a database"),
        ("postgresql://me:secret@[host/scores", "cannot be read"),
        ("postgresql://me:sec%retsecret@host/scores", "cannot be read"),
        ("postgresql://me:secret@host/scores?unknown=1", "cannot be read"),
        ("no/such/folder/scores.db", "received 'no/such/folder/scores.db'"),
        ("", "received ''"),
        ("FOLDER", "a SQLite file in a folder that exists"),
    ],
)
def test_no_place(tmp_path, monkeypatch, place, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LeaderboardError, match=message) as caught:
        open_database(str(tmp_path) if place == "FOLDER" else place)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_url_says_is_used():
    database = open_database("postgresql://me%40home:s%2Fecret@host:5433/scores?sslmode=require")
    assert database.database == "scores"
    assert database.connect_params == {
        "host": "host",
        "port": "5433",
        "user": "me@home",
        "password": "s/ecret",
        "sslmode": "require",
        "connect_timeout": places.CONNECT_SECONDS,
    }
    assert open_database("postgres://host/scores?connect_timeout=3").connect_params["connect_timeout"] == "3"


def test_names_of_places_hide_passwords():
    assert place_name("postgresql://me:secret@host:5433/scores?password=secret") == "postgresql://host:5433/scores"
    assert place_name("folder/scores.db") == "folder/scores.db"


def test_a_server_that_does_not_answer():
    for port, message in ((1, "nothing was recorded: .*refused"), (99999, "nothing was recorded: .*port")):
        with pytest.raises(LeaderboardError, match=message):
            record([RESULT], open_database(f"postgresql://me:secret@127.0.0.1:{port}/scores"))


def test_files_of_others_are_left_alone(tmp_path):
    ours = ResultsDatabase(tmp_path / "results.db").path
    text = tmp_path / "text.txt"
    text.write_text("some text, long enough to be taken for a header of SQLite's " * 40)
    for file, message in ((ours, "is a file of results"), (text, "not a database")):
        before = file.read_bytes()
        with pytest.raises(LeaderboardError, match=message):
            record([RESULT], open_database(str(file)))
        assert file.read_bytes() == before
