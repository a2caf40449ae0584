"""What tells models apart in a kernel's key: the files of a plugin, but for those that only describe it."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import brainscore_vision
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import store


@pytest.fixture
def revision(tmp_path, monkeypatch):
    """``revision(file, text)``: of Brain-Score's pixels, with a file changed or added."""

    def changed(name=None, text=""):
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "pixels"
        shutil.copytree(Path(brainscore_vision.__file__).parent / "models" / "pixels", folder)
        if name is not None:
            with (folder / name).open("a") as file:
                file.write(text)
        found = SimpleNamespace(plugins_dir=folder.parent, plugin_dirname="pixels")
        monkeypatch.setattr(store, "find_plugin", lambda _: found)
        return store.plugin_revision("pixels")

    return changed


@pytest.mark.parametrize("name", ["metadata.yaml", "metadata.yml", "README.md"])
def test_what_describes_a_model_does_not_change_its_revision(revision, name):
    assert revision(name, "# a comment\n") == revision()


@pytest.mark.parametrize(
    "name", ["model.py", "__init__.py", "requirements.txt", "region_layer_map/pixels.json", "new.py"]
)
def test_what_makes_a_model_does(revision, name):
    assert revision(name, "# a comment\n") != revision()
