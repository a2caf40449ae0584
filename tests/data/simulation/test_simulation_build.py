"""Making the simulated dataset: the same content always, complete or not there, and never twice."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image
from plugin_testing.people import killed_child

from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import ordered_map
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.simulation import (
    SCALES,
    VERSION,
    build,
    ensure_default,
    needed_bytes,
    simulate,
    write,
)
from brainscore_vision.data.laion_fmri_7t.simulation.scales import get_scale
from brainscore_vision.data.laion_fmri_7t.simulation.stimuli_ids import stimulus_table


def content(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def quick(monkeypatch):
    """Replace the work by writing a few bytes; gives the list of folders that were built."""
    built = []

    def pretend(root, scale, seed, workers, progress, attributes):
        built.append(root)
        for name in ("assemblies/sub-01.nc", "truth/sub-01.h5", "splits/shared/tau.json", "stimuli/manifest.csv"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(f"{scale.name} {seed}")

    monkeypatch.setattr(write, "build", pretend)
    return built


def test_content_depends_on_scale_and_seed_alone(tiny_dataset, another_dataset, tmp_path):
    """Neither on the process and what it imported, nor on the number of threads; and nothing is said without a terminal."""
    script = (
        "import sys\n"
        "from brainscore_vision.data.laion_fmri_7t.simulation import simulate\n"
        f"simulate({str(tmp_path / 'once')!r}, 'tiny', workers=1)\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout + run.stderr == ""
    once = content(tmp_path / "once")
    assert once == content(tiny_dataset)
    other = content(another_dataset)
    same = [name for name in once if once[name] == other.get(name)]
    assert [name for name in same if name.startswith(("assemblies/", "truth/"))] == []


def test_description_of_the_dataset(tiny_dataset):
    mark = json.loads((tiny_dataset / "dataset.json").read_text("utf-8"))
    assert {key: mark[key] for key in ("name", "version", "seed", "scale", "complete")} == {
        **{"name": "simulated", "version": VERSION, "seed": 0, "scale": "tiny", "complete": True},
    }


def test_images_have_the_pixels_that_were_asked_for(tmp_path):
    table = stimulus_table(SCALES["tiny"], 0)
    for number, size in enumerate((get_scale("tiny", 300).image_size, 64)):
        build.write_images(tmp_path / str(number), table.iloc[::40], size, 0, 1, False)
        for path in (tmp_path / str(number) / "images").iterdir():
            with Image.open(path) as image:
                assert image.size == (size, size)


def test_pixels_stand_in_the_description_and_keep_datasets_apart(tmp_path, quick):
    root = simulate(tmp_path / "large", "tiny", pixels=1000)
    assert json.loads((root / "dataset.json").read_text("utf-8"))["pixels"] == 1000
    assert simulate(root, "tiny", pixels=1000) == root
    with pytest.raises(DatasetError, match=r"one of scale tiny, seed 0, version \d+, but .*'pixels': 1000"):
        simulate(root, "tiny")
    own = simulate(tmp_path / "own", "tiny", pixels=64)
    assert "pixels" not in json.loads((own / "dataset.json").read_text("utf-8"))
    assert simulate(own, "tiny") == own
    with pytest.raises(DatasetError, match="pixels 100"):
        simulate(own, "tiny", pixels=100)
    assert len(quick) == 2


def test_processes_make_the_same_images_as_threads(tmp_path, monkeypatch):
    table = stimulus_table(SCALES["tiny"], 0).iloc[::4]
    monkeypatch.setattr(build, "_BLOCK", 8)
    made = {}
    for many in (10_000, 0):
        monkeypatch.setattr(build, "_MANY", many)
        features = build.write_images(tmp_path / str(many), table, 80, 0, 2, False)
        made[many] = content(tmp_path / str(many)), features.tobytes()
    assert made[0] == made[10_000]


def test_finished_dataset_is_returned_at_once(tmp_path, quick):
    root = simulate(tmp_path / "data", "tiny")
    assert simulate(tmp_path / "data", "tiny") == root
    assert len(quick) == 1
    assert root.is_absolute()


def test_empty_folder_is_filled(tmp_path, quick):
    (tmp_path / "data").mkdir()
    assert (simulate(tmp_path / "data", "tiny") / "dataset.json").is_file()


def test_folder_with_something_else_is_left_alone(tmp_path, quick):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"new or empty folder; .* holds no dataset\.json"):
        simulate(tmp_path, "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert not quick


@pytest.mark.parametrize("asked", [{"scale": "tiny", "seed": 1}, {"scale": "small", "seed": 0}])
def test_another_simulation_is_not_replaced(tmp_path, quick, asked):
    simulate(tmp_path / "data", "tiny", seed=0)
    with pytest.raises(DatasetError, match=f"scale {asked['scale']}, seed {asked['seed']}.*Choose another folder"):
        simulate(tmp_path / "data", **asked)
    assert len(quick) == 1


@pytest.mark.parametrize("mark", ["{", "[]", '{"name": "simulated", "complete": false}'])
def test_unfinished_or_unreadable_description_is_an_error(tmp_path, quick, mark):
    (simulate(tmp_path / "data", "tiny") / "dataset.json").write_text(mark)
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        simulate(tmp_path / "data", "tiny")


def test_damaged_dataset_is_an_error(tmp_path, quick):
    root = simulate(tmp_path / "data", "tiny")
    (root / "assemblies" / "sub-01.nc").write_text("")
    with pytest.raises(DatasetError, match=r"1 are missing or have another size.*assemblies/sub-01\.nc"):
        simulate(root, "tiny")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interrupted_build_leaves_nothing(tmp_path, monkeypatch, error):
    def stop(root, *_):
        assert any((root / "stimuli" / "images").iterdir()), "the images come first"
        raise error

    monkeypatch.setattr(build, "write_subject", stop)
    with pytest.raises(error):
        simulate(tmp_path / "data", "tiny", progress=False)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".data.lock"] == []


def test_remains_of_a_killed_build_are_cleared(tmp_path, quick):
    remains = tmp_path / ".data.incomplete"
    (remains / "assemblies").mkdir(parents=True)
    (remains / "assemblies" / "sub-99.nc").write_text("half")
    root = simulate(tmp_path / "data", "tiny")
    assert not remains.exists()
    assert not (root / "assemblies" / "sub-99.nc").exists()


def test_killed_process_leaves_nothing_that_looks_finished(tmp_path):
    def simulate_and_die():
        build.write_subject = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        simulate(tmp_path / "data", "tiny", progress=False)

    killed_child(simulate_and_die)
    assert not (tmp_path / "data").exists()
    assert (tmp_path / ".data.incomplete").is_dir()


def test_asked_for_twice_at_once_it_is_made_once(tmp_path, quick):
    found, barrier = [], threading.Barrier(4)

    def ask():
        barrier.wait()
        found.append(simulate(tmp_path / "data", "tiny"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == [tmp_path / "data"] * 4
    assert len(quick) == 1


def test_full_disk_is_noticed_before_the_work(tmp_path, quick, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=needed_bytes(SCALES["full"]) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match=r"'full' takes up to 7\.\d+ GB; .* has 7\.\d+ GB left"):
        simulate(tmp_path / "data", "full")
    assert not quick
    assert simulate(tmp_path / "data", "small").is_dir()


def test_needed_space_is_an_upper_bound(tiny_dataset):
    taken = sum(path.stat().st_size for path in tiny_dataset.rglob("*") if path.is_file())
    assert taken < needed_bytes(SCALES["tiny"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "huge"}, "one of tiny, small, full; got 'huge'"),
        ({"seed": -1}, "whole number from 0; got -1"),
        ({"seed": 0.5}, r"whole number from 0; got 0\.5"),
        ({"workers": 0}, "whole number from 1.*got 0"),
        ({"pixels": 31}, "32 to 4000 pixels wide and high; got 31"),
        ({"pixels": 99.5}, r"32 to 4000 pixels wide and high; got 99\.5"),
    ],
)
def test_bad_arguments(tmp_path, quick, arguments, message):
    with pytest.raises(DatasetError, match=message):
        simulate(tmp_path / "data", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_default_lies_under_the_plugins_home(tmp_path, quick, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path))
    root = ensure_default()
    assert root == tmp_path / "simulated" / f"{VERSION}-small-seed0"
    assert ensure_default() == root
    assert len(quick) == 1


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_work_keeps_its_order(workers, processes):
    assert list(ordered_map(square, range(50), workers, processes)) == [x * x for x in range(50)]


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_pass_on_errors(workers):
    done = []

    def fail_at_five(number: int) -> int:
        if number == 5:
            raise RuntimeError("five")
        done.append(number)
        return number

    with pytest.raises(RuntimeError, match="five"):
        list(ordered_map(fail_at_five, range(1_000), workers))
    assert len(done) < 20, "work goes on after an error"
