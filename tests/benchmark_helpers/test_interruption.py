"""Killed, or run several times at once: no work is done twice, nothing wrong is trusted."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import tqdm.auto
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from threadpoolctl import threadpool_limits

from brainscore_vision.benchmark_helpers.stimulus_kernels import missing_kernels
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import recording as recorder
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI

# children are forked, so that each costs milliseconds and not the imports
FORK = multiprocessing.get_context("fork")
BLOCK = 4
N_KILLS = 50


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "LOOK_AT_BLOCK", BLOCK)
    return make_images(tmp_path / "images", N_IMAGES)


def score(folder, home, seen, result=None, pause=0.004):
    """Score in a child process; every image shown is a line in ``seen``."""
    os.environ["BRAINSCORE_HOME"] = str(home)
    # that of tqdm is shared with the parent: a child that is killed while it holds it would stop all others for ever
    for bar in (tqdm.std.tqdm, tqdm.auto.tqdm):
        bar.set_lock(threading.RLock())
    now = threading.local()  # a state, and no setting of the model's
    now.pause = pause

    def note(values, ids):
        with open(seen, "a") as file:
            file.write("".join(f"{i}\n" for i in ids))
        time.sleep(now.pause)
        return values, ids

    with threadpool_limits(1):
        value = make_benchmark(folder)(FeatureModel(pixel_features, visual_degrees=8.0, misbehave=note, identifier="m"))
    if result is not None:
        result.put((value.item(), [value.attrs[s].attrs["alpha"] for s in ("A", "B")]))


def run(*args):
    child = FORK.Process(target=score, args=args)
    child.start()
    return child


def test_a_run_killed_at_any_moment_does_no_harm(folder, tmp_path):
    rng = np.random.default_rng(1)
    undisturbed = FORK.Queue()
    start = time.monotonic()
    child = run(folder, tmp_path / "undisturbed", tmp_path / "seen", undisturbed)
    expected = undisturbed.get(timeout=120)
    child.join()
    duration = time.monotonic() - start

    home, seen = tmp_path / "killed", tmp_path / "seen by the killed"
    killed = finished = 0
    for attempt in range(4 * N_KILLS):
        # a finished run leaves nothing to interrupt: start over in a fresh home
        current = home / str(finished)
        child = run(folder, current, seen)
        child.join(timeout=float(rng.uniform(0, 1.1 * duration / (1 + attempt % 3))))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            killed += 1
        else:
            assert child.exitcode == 0
            finished += 1
        if killed >= N_KILLS and finished >= 2:
            break
    assert killed >= N_KILLS

    for home_of_run in sorted(home.iterdir()):
        result = FORK.Queue()
        child = run(folder, home_of_run, tmp_path / "seen at the end", result)
        value, alphas = result.get(timeout=120)
        child.join()
        assert value == pytest.approx(expected[0], abs=1e-12)
        assert alphas == expected[1]
        engine = home_of_run / "stimulus_kernels"
        assert not list((engine / "spool").iterdir())
        assert not list((engine / "kernels").glob(".writing-*"))


def test_a_killed_run_is_taken_up_where_it_was(folder, tmp_path):
    home, seen = tmp_path / "home", tmp_path / "seen"
    child = run(folder, home, seen, None, 0.2)
    while not seen.exists() or len(seen.read_text().splitlines()) < N_STIMULI + 4 * BLOCK:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    before = len(seen.read_text().splitlines())
    child = run(folder, home, seen, None, 0.0)
    child.join()
    assert child.exitcode == 0
    after = len(seen.read_text().splitlines()) - before
    assert after <= N_IMAGES + N_STIMULI - 3 * BLOCK


def test_looking_ahead_takes_nothing_from_a_killed_run(folder, tmp_path, monkeypatch):
    """What will be needed is asked before scoring, by Brain-Score and by sweeps."""
    monkeypatch.setenv("BRAINSCORE_HOME", str(tmp_path / "home"))
    seen, now = [], threading.local()
    now.stop_at = N_STIMULI + 4 * BLOCK

    def note(values, ids):
        seen.extend(ids)
        if len(seen) > now.stop_at:
            raise KeyboardInterrupt
        return values, ids

    benchmark = make_benchmark(folder)
    model = FeatureModel(pixel_features, visual_degrees=8.0, misbehave=note, identifier="m")
    with pytest.raises(KeyboardInterrupt):
        benchmark(model)
    left = sorted((tmp_path / "home").rglob("*.features"))
    assert left
    seen.clear()
    now.stop_at = 1000
    benchmark.preallocate_memory(model)
    assert missing_kernels(model, benchmark.resolve().tasks, benchmark.options)
    assert sorted((tmp_path / "home").rglob("*.features")) == left
    benchmark(model)
    # two looks at a handful, and what had not been seen before
    assert len(seen) <= N_IMAGES + 2 * N_STIMULI - 3 * BLOCK
    assert not list((tmp_path / "home").rglob("*.features"))


def test_four_processes_at_once_do_the_work_once(folder, tmp_path):
    results = FORK.Queue()
    seen = tmp_path / "seen"
    children = [run(folder, tmp_path / "home", seen, results, 0.01) for _ in range(4)]
    values = [results.get(timeout=120) for _ in children]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len({value for value, _ in values}) == 1
    # every process compares a handful of images; the rest is seen once
    counts = np.unique(seen.read_text().splitlines(), return_counts=True)[1]
    assert counts.sum() <= N_IMAGES + 4 * 2 * N_STIMULI
    assert np.sum(counts == 1) >= N_IMAGES - N_STIMULI
