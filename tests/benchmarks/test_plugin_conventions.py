"""What Brain-Score's own tooling asks of a plugin: its test file passes, its metadata are valid."""

from pathlib import Path

import pytest
import yaml
from brainscore_core.plugin_management.handle_metadata import validate_metadata_file

import brainscore_vision.benchmarks.laion_fmri_7t as plugin
from brainscore_vision.benchmarks.laion_fmri_7t.test import *  # noqa: F403 - the plugin's tests are tests of this suite too
from brainscore_vision.benchmarks.laion_fmri_7t.test import REGISTERED

PLUGIN = Path(plugin.__file__).parent


@pytest.fixture(autouse=True)
def _default_dataset(shared_home, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(shared_home))


@pytest.fixture(autouse=True)
def _without_private_access(request):
    if request.node.get_closest_marker("private_access"):
        pytest.skip("needs the released data, which come with a data use agreement")


def test_metadata_are_valid_and_complete():
    problems, metadata = validate_metadata_file(PLUGIN / "metadata.yaml")
    assert problems == []
    assert sorted(metadata["benchmarks"]) == sorted(REGISTERED)


def test_each_registration_is_a_line_that_a_text_search_finds():
    lines = (PLUGIN / "__init__.py").read_text().splitlines()
    for identifier in REGISTERED:
        assert sum(f'benchmark_registry["{identifier}"]' in line for line in lines) == 1


def test_metadata_need_no_second_reading():
    """Anchors are expanded by any YAML reader; nothing refers to what is not there."""
    metadata = yaml.safe_load((PLUGIN / "metadata.yaml").read_text())
    for parts in metadata["benchmarks"].values():
        assert set(parts) == {"stimulus_set", "data", "metric"}
