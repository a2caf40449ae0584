"""Commands on machines that are not one's own: homes that cannot be written, kernels of colleagues."""

import json

import pytest
from plugin_testing.people import in_child, obey_permissions, obeys_permissions

from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.making import (
    ENCODER_SPOOL,
    private_spool,
    scratch_spool,
    unused_spools,
)

CELL = "LAION_fMRI.V1-tau-ridgecv"


@pytest.fixture
def no_home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(0o555)
    for variable in ("HOME", "BRAINSCORE_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.delenv("LAION_FMRI_7T_HOME")
    return home


@pytest.fixture
def score(run, tiny_dataset):
    """``score(*options) -> (exit code, raw value or None, standard error)``; pixels see other degrees than people did."""

    def score(*options, become=obey_permissions):
        arguments = ("score", "pixels", CELL, "--dataset", tiny_dataset, "--json", *options)
        code, out, err = in_child(lambda: run(*arguments), become)
        return code, json.loads(out)["raw"] if out else None, err

    return score


@pytest.fixture
def expected(score):
    return score("--no-store")[1]


@obeys_permissions
def test_a_home_that_cannot_be_written_is_not_needed(expected, no_home, score, tmp_path):
    spool = ("--spool-directory", tmp_path / "spool")
    assert score("--no-store", *spool)[:2] == (0, expected)
    assert score("--store-directory", tmp_path / "store", *spool)[:2] == (0, expected)
    assert not list(no_home.iterdir())


@obeys_permissions
@pytest.mark.parametrize("options", [(), ("--no-store",), ("--store-directory", "store")])
def test_where_it_is_needed_one_line_names_the_variable(no_home, score, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    code, raw, err = score(*options)
    assert (code, raw) == (1, None)
    *_, last = err.splitlines()
    assert last.startswith("laion-score: ")
    assert "cannot be written (Permission denied)" in last
    assert "BRAINSCORE_HOME" in last
    assert "Traceback" not in err


@obeys_permissions
@pytest.mark.parametrize(
    "command", [("check",), ("data", "status"), ("data", "describe"), ("data", "splits", "--pool", "shared")]
)
def test_looking_at_data_needs_no_home(no_home, run, tiny_dataset, command):
    without = in_child(lambda: run(*command, "--dataset", tiny_dataset), obey_permissions)
    assert without[0] == 0, without[2]
    assert "Traceback" not in without[2]
    no_home.chmod(0o755)
    assert run(*command, "--dataset", tiny_dataset)[1] == without[1]


@obeys_permissions
def test_kernels_that_a_colleague_keeps_closed(expected, score, run, tmp_path):
    store = tmp_path / "store"
    where = ("--store-directory", store)
    score(*where)
    (kernel,) = store.glob("*.kernel")
    code, out, _ = run("cache", "verify", *where)
    assert (code, out) == (0, f"{kernel.name}: whole\n1 kernels, 0 that cannot be used\n")
    kernel.chmod(0)
    code, out, err = in_child(lambda: run("cache", "list", *where), obey_permissions)
    assert (code, err) == (0, "")
    assert f"{kernel} cannot be read by this user." in out
    assert "and 1 that cannot be used (they will be computed again)" in out
    code, out, err = in_child(lambda: run("cache", "verify", *where), obey_permissions)
    assert (code, err) == (1, "")
    assert f"{kernel.name}: {kernel} cannot be read by this user." in out
    assert score(*where)[:2] == (0, expected)
    assert kernel.stat().st_mode & 0o777 == 0o644


@obeys_permissions
def test_what_cannot_be_removed_is_said(score, run, tmp_path):
    store, spool = tmp_path / "store", tmp_path / "spool"
    where = ("--store-directory", store, "--spool-directory", spool)
    score(*where)
    (kernel,) = store.glob("*.kernel")
    store.chmod(0o555)
    code, out, err = in_child(lambda: run("cache", "clear", *where), obey_permissions)
    assert (code, err) == (1, "")
    assert f"1 could not be removed, the first: {kernel}" in out
    store.chmod(0o755)
    assert run("cache", "clear", *where)[0] == 0
    assert not list(store.iterdir())


def test_clearing_removes_nothing_else(run, tmp_path):
    """A spool directory may hold other things."""
    mine = [tmp_path / name for name in ("thesis.tex", "screen/shot.png", "results/1.csv", "abc/def", "a" * 31)]
    ours = [
        tmp_path / name
        for name in (
            "features-x1/a.features",
            "encoder-x1/encoder.h5",
            f"{'0a' * 16}/b.features",
            "screen/source9.2-target8.0/c",
        )
    ]
    for path in (*mine, *ours):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(bytes(1000))
    used, lock = private_spool(tmp_path, ENCODER_SPOOL)
    where = ("--store-directory", tmp_path / "store", "--spool-directory", tmp_path)
    assert "encoders in 3 folders" in run("cache", "list", *where)[1]
    code, out, _ = run("cache", "clear", *where)
    assert (code, out) == (0, "Freed 0.0 MB.\n")
    assert used.exists()
    lock.release()  # as when its process is killed
    assert run("cache", "clear", *where)[0] == 0
    assert not used.exists()
    assert "Killed" not in run("cache", "list", *where)[1]
    assert [path.exists() for path in (*mine, *ours)] == [True] * len(mine) + [False] * len(ours)


def test_features_of_a_probe_are_left_alone_while_it_runs_and_gone_afterwards(tmp_path):
    parent = tmp_path / "spool"
    with scratch_spool(parent) as folder:
        (folder / "0.features").write_bytes(b"features")
        with unused_spools(parent) as left:
            assert left == []
    assert not folder.exists()
    folder.mkdir()  # as SIGKILL leaves it
    with unused_spools(parent) as left:
        assert left == [folder]
