"""The plugin's home: what is kept where, and what happens where nothing can be kept."""

import errno
import logging
import os
import pwd
import stat
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plugin_testing.data_factory import SHARED, write_dataset
from plugin_testing.people import in_child, obey_permissions, obeys_permissions

from brainscore_vision.data.laion_fmri_7t import home
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.home import keep, kept, laion_home, usable, write_atomically
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.stimuli.displayed import displayed_images


@pytest.fixture(params=["read only", "a file", "below a file", "a full disk", "unknown"])
def no_home(request, tmp_path, monkeypatch):
    """A home that cannot be written, for one reason or another; gives what makes the process obey it."""
    place = tmp_path / "home"
    become = obey_permissions
    if request.param == "read only":
        place.mkdir(0o555)
    elif request.param == "a full disk":
        real = home.write_atomically

        def write(path, content):
            if place in path.parents:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, content)

        monkeypatch.setattr(home, "write_atomically", write)
        monkeypatch.setattr(
            home,
            "cannot_write",
            lambda folder: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if place in folder.parents else None,
        )
    elif request.param == "unknown":
        for variable in ("LAION_FMRI_7T_HOME", "BRAINSCORE_HOME", "HOME"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setattr(pwd, "getpwuid", lambda user: (_ for _ in ()).throw(KeyError(user)))
        monkeypatch.chdir(tmp_path)
        return become
    else:
        place.touch()
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(place / "inside" if request.param == "below a file" else place))
    return become


def test_what_is_kept_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))
    assert kept("a", "b") is None
    assert keep(b"content", "a", "b") == tmp_path / "home" / "a" / "b" == kept("a", "b")
    assert kept("a", "b").read_bytes() == b"content"
    keep(b"other", "a", "b")
    assert kept("a", "b").read_bytes() == b"other"
    assert usable("c", "d") == tmp_path / "home" / "c" / "d"
    assert usable("c", "d").is_dir()


@obeys_permissions
def test_without_a_home_things_are_kept_for_the_process_and_it_is_said_once(no_home, caplog):
    def work():
        with caplog.at_level(logging.WARNING):
            first, second = keep(b"one", "a", "b"), keep(b"two", "a", "c")
            folder = usable("d")
            found = kept("a", "b").read_bytes(), kept("a", "c").read_bytes(), kept("a", "x")
        write_atomically(folder / "file", b"three")
        return first, second, found, [record.getMessage() for record in caplog.records]

    first, second, found, said = in_child(work, no_home)
    assert found == (b"one", b"two", None)
    assert first.parent == second.parent
    assert laion_home() not in first.parents
    assert len(said) == 1
    assert "cannot be written" in said[0]
    assert "LAION_FMRI_7T_HOME" in said[0]


@obeys_permissions
def test_threads_share_what_the_process_keeps(no_home, caplog):
    def work():
        start = threading.Barrier(8)

        def one(i):
            start.wait()
            return keep(b"content", "a", str(i)).parent

        with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as threads:
            folders = set(threads.map(one, range(8)))
        return len(folders), len(home._own_home), len(caplog.records)

    assert in_child(work, no_home) == (1, 1, 1)


def test_what_the_process_kept_for_itself_goes_with_it(tmp_path, monkeypatch):
    import subprocess
    import sys

    (tmp_path / "home").touch()
    code = "from brainscore_vision.data.laion_fmri_7t.home import keep; print(keep(b'content', 'a'))"
    environment = {**os.environ, "LAION_FMRI_7T_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert Path(done.stdout.strip()).name == "a", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@obeys_permissions
def test_a_home_that_can_only_be_read_is_read(tmp_path, monkeypatch):
    """As one that somebody prepared for others."""
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))
    dataset = open_dataset(write_dataset(tmp_path / "data"))
    expected = dataset.stimulus_fingerprints(SHARED)
    for path in [*(tmp_path / "home").rglob("*"), tmp_path / "home"]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def again():
        found = dataset.stimulus_fingerprints(SHARED)
        return found, len(home._own_home)

    assert in_child(again, obey_permissions) == (expected, 0)


@obeys_permissions
def test_transparent_images_are_composited_without_a_home(no_home, tmp_path):
    rng = np.random.default_rng(4)
    image = Image.fromarray(rng.integers(0, 256, (9, 9, 4), dtype=np.uint8), "RGBA")
    image.save(tmp_path / "transparent.png")

    def work():
        shown = displayed_images({"a": tmp_path / "transparent.png"})["a"]
        again = displayed_images({"a": tmp_path / "transparent.png"})["a"]
        return np.asarray(Image.open(shown.path)), shown == again

    pixels, same = in_child(work, no_home)
    grey = Image.new("RGBA", (9, 9), (128, 128, 128, 255))
    np.testing.assert_array_equal(pixels, np.asarray(Image.alpha_composite(grey, image).convert("RGB")))
    assert same


@obeys_permissions
def test_no_home_and_no_temporary_folder(no_home, tmp_path, monkeypatch):
    def mkdtemp(**options):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    def work():
        monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
        with pytest.raises(DatasetError, match="cannot be written.*No usable temporary.*LAION_FMRI_7T_HOME"):
            keep(b"content", "a")
        with pytest.raises(DatasetError, match="LAION_FMRI_7T_HOME"):
            usable("a")

    in_child(work, no_home)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a" / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "file").stat().st_mode) == mode
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]
