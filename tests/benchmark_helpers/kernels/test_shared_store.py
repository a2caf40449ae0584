"""Stores and spools that several people and processes use, that cannot be written, or that lie where there are no locks."""

import errno
import fcntl
import logging
import os
import pwd
import tempfile
from pathlib import Path

import pytest
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.people import in_child, is_root, killed_child, obey_permissions, obeys_permissions, user
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels import files
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StorageError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import recording
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore, StoredKernel

GROUP = 54321


def model(**options):
    return FeatureModel(pixel_features, **{"identifier": "m", "visual_degrees": 8.0, **options})


@pytest.fixture
def folder(tmp_path):
    return make_images(tmp_path / "images", N_IMAGES)


@pytest.fixture
def expected(folder):
    return make_benchmark(folder, store=False)(model()).item()


@pytest.fixture
def shared():
    """A folder that every user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


def let_others_in(folder):
    """Every folder above can be entered by every user; pytest's own, one more for each of its workers, are closed."""
    for path in folder.parents:
        if path == Path(tempfile.gettempdir()):
            return
        path.chmod(0o755)


def scored(folder, caplog, **options):
    """Score, images shown, and warnings of this run."""
    caplog.clear()
    candidate = model()
    with caplog.at_level(logging.WARNING):
        score = make_benchmark(folder, **options)(candidate)
    return score.item(), len(candidate.shown), [record.getMessage() for record in caplog.records]


@obeys_permissions
def test_a_kernel_that_cannot_be_read_is_made_again_with_one_warning(folder, tmp_path, expected, caplog):
    store = tmp_path / "store"
    make_benchmark(folder, store_directory=store)(model())
    first, second = sorted(store.iterdir())
    first.chmod(0)
    entries, problems = in_child(
        lambda: (list(KernelStore(store).entries()), dict(KernelStore(store).verify())), obey_permissions
    )
    assert [isinstance(entry, StoredKernel) for entry in entries] == [False, True]
    assert "cannot be read by this user" in entries[0]
    assert "cannot be read by this user" in problems[first]
    assert problems[second] is None
    score, n_shown, warnings = in_child(lambda: scored(folder, caplog, store_directory=store), obey_permissions)
    assert score == expected
    assert n_shown <= N_IMAGES + N_STIMULI
    assert warnings == [f"{first} cannot be read by this user. It is computed again."]
    # it has been replaced
    assert in_child(lambda: scored(folder, caplog, store_directory=store), obey_permissions) == (
        expected,
        N_STIMULI,
        [],
    )


@obeys_permissions
def test_a_store_that_cannot_be_written_serves_what_it_has(folder, tmp_path, expected, caplog):
    store = tmp_path / "store"
    make_benchmark(folder, store_directory=store)(model())
    store.chmod(0o555)
    again = in_child(lambda: scored(folder, caplog, store_directory=store), obey_permissions)
    assert again == (expected, N_STIMULI, [])
    sorted(store.iterdir())[0].chmod(0)

    def fails():
        candidate = model()
        with pytest.raises(
            StorageError, match="cannot be written .Permission denied.*--store-directory.*BRAINSCORE_HOME"
        ):
            make_benchmark(folder, store_directory=store)(candidate)
        return len(candidate.shown)

    assert in_child(fails, obey_permissions) <= N_STIMULI
    store.chmod(0o755)


@obeys_permissions
def test_a_store_that_cannot_be_listed_is_named(tmp_path):
    tmp_path.chmod(0)

    def fails():
        for what in (KernelStore(tmp_path).entries, KernelStore(tmp_path).verify):
            with pytest.raises(StorageError, match="cannot be read by this user"):
                list(what())

    in_child(fails, obey_permissions)
    tmp_path.chmod(0o755)


@is_root
def test_colleagues_share_a_store_and_a_spool(folder, shared, expected, caplog, monkeypatch):
    """The first is killed in the middle; the second takes over; the third finds kernels."""
    let_others_in(folder)
    for name in ("home", "store", "spool"):
        (shared / name).mkdir()
        os.chown(shared / name, 0, GROUP)
        (shared / name).chmod(0o2775)
    monkeypatch.setenv("BRAINSCORE_HOME", str(shared / "home"))
    directories = {"store_directory": shared / "store", "spool_directory": shared / "spool"}

    def killed():
        append = FeatureSpool.append

        def append_some(self, features):
            if self.n_written > 12:
                os.kill(os.getpid(), 9)
            append(self, features)

        FeatureSpool.append, recording.LOOK_AT_BLOCK = append_some, 4  # of this process alone
        make_benchmark(folder, **directories)(model())

    killed_child(killed, user(1001, GROUP))
    assert list((shared / "spool").rglob("*.features"))
    score, _, warnings = in_child(lambda: scored(folder, caplog, **directories), user(1002, GROUP))
    assert (score, warnings) == (expected, [])
    assert in_child(lambda: scored(folder, caplog, **directories), user(1003, GROUP)) == (expected, N_STIMULI, [])


@is_root
def test_a_kernel_that_cannot_be_replaced_costs_no_score(folder, shared, expected, caplog, monkeypatch):
    """In a sticky folder, nobody but its owner replaces a file."""
    let_others_in(folder)
    monkeypatch.setenv("BRAINSCORE_HOME", str(shared / "home"))
    (shared / "store").mkdir()
    (shared / "store").chmod(0o1777)
    directories = {"store_directory": shared / "store", "spool_directory": shared / "spool"}
    in_child(lambda: make_benchmark(folder, **directories)(model()), lambda: os.umask(0o077))
    (shared / "spool").chmod(0o777)
    score, _, warnings = in_child(lambda: scored(folder, caplog, **directories), user(1002, GROUP))
    assert score == expected
    assert sum("cannot be read by this user" in warning for warning in warnings) == 2
    assert sum("is not kept (Operation not permitted)" in warning for warning in warnings) == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_each_run_works_for_itself(folder, tmp_path, expected, caplog, monkeypatch, number):
    def flock(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    directories = {"store_directory": tmp_path / "store", "spool_directory": tmp_path / "spool"}
    score, n_shown, warnings = scored(folder, caplog, **directories)
    assert (score, n_shown) == (expected, N_IMAGES + N_STIMULI)
    assert len(warnings) == 1
    assert f"({os.strerror(number)})" in warnings[0]
    assert "goes on without a lock" in warnings[0]
    assert len(list((tmp_path / "store").iterdir())) == 2
    assert not list((tmp_path / "spool").iterdir())
    assert scored(folder, caplog, **directories) == (expected, N_STIMULI, [])


@pytest.mark.parametrize("locks", [True, False, "of one machine"])
def test_runs_with_other_stores_do_not_share_features(folder, tmp_path, expected, monkeypatch, locks):
    """One starts while the other records, with the same spool directory."""
    spool = tmp_path / "spool"
    if locks == "of one machine":  # as of a network file system that is mounted so: others do not see them
        monkeypatch.setattr(fcntl, "flock", lambda *args: None)
    elif not locks:
        monkeypatch.setattr(
            fcntl, "flock", lambda *args: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available"))
        )
    inner = []

    def score_another(values, ids):
        if not inner and list(spool.rglob("*.features")):
            inner.append(None)
            if locks == "of one machine":
                monkeypatch.setattr(files, "MACHINE", "another")
            inner[0] = make_benchmark(folder, store_directory=tmp_path / "b", spool_directory=spool)(model()).item()
        return values, ids

    outer = make_benchmark(folder, store_directory=tmp_path / "a", spool_directory=spool)(
        model(misbehave=score_another)
    )
    assert (outer.item(), inner) == (expected, [expected])
    assert not list(spool.iterdir())


def test_a_user_without_a_home_may_score(folder, tmp_path, expected, monkeypatch):
    """As in a container that runs under some number."""
    for variable in ("BRAINSCORE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda user: (_ for _ in ()).throw(KeyError(user)))
    monkeypatch.chdir(tmp_path)
    assert make_benchmark(folder, store=False, spool_directory=tmp_path / "spool")(model()).item() == expected
    with pytest.raises(StorageError, match="cannot be written.*BRAINSCORE_HOME"):
        make_benchmark(folder)(model())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "spool"]


@obeys_permissions
def test_images_are_fitted_elsewhere_where_the_home_cannot_be_written(folder, tmp_path, monkeypatch):
    """A model with another field of view."""
    degrees = 5.0
    expected = make_benchmark(folder, store=False)(model(visual_degrees=degrees)).item()
    home = tmp_path / "home"
    home.mkdir(0o555)
    monkeypatch.setenv("BRAINSCORE_HOME", str(home))
    elsewhere = {"store": False, "spool_directory": tmp_path / "spool"}
    score = in_child(
        lambda: make_benchmark(folder, **elsewhere)(model(visual_degrees=degrees)).item(), obey_permissions
    )
    assert score == expected
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["screen"]

    def fails():
        with pytest.raises(
            StorageError, match="cannot be written .Permission denied.*BRAINSCORE_HOME.*--spool-directory"
        ):
            make_benchmark(folder, store=False)(model(visual_degrees=degrees))

    in_child(fails, obey_permissions)
