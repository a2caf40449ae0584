"""A pull request with this plugin's files, as Brain-Score's own tooling looks at it."""

import json

import pytest
from brainscore_core.plugin_management.parse_plugin_changes import get_scoring_info, get_testing_info
from brainscore_vision.benchmark_helpers.test_cache_contract import *  # noqa: F403 - upstream's tests, over our sources too
from plugin_testing.install_check import FOLDERS, REPOSITORY, plugin_files
from plugin_testing.registered import REGISTERED

CHANGED = [
    *(f"brainscore_vision/{name}" for name in plugin_files(REPOSITORY / "brainscore_vision")),
    *(
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("bench", "docs", "tests", "tools")
        for path in sorted((REPOSITORY / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ),
    *(path.name for path in sorted(REPOSITORY.iterdir()) if path.is_file()),
]
MODELS = ["LAION_fMRI-CLIP", "LAION_fMRI-DINOv2", "LAION_fMRI-PEcore", "LAION_fMRI-SigLIP2", "LAION_fMRI-nouns"]


@pytest.fixture
def at_the_root(monkeypatch):
    """Brain-Score's workflow runs in the root of the checkout, and names the library's folder below it."""
    monkeypatch.chdir(REPOSITORY)
    return "brainscore_vision"


@pytest.mark.parametrize("files", [CHANGED, [name for name in CHANGED if name.startswith("brainscore_vision/")]])
def test_every_changed_file_belongs_to_one_kind_of_plugin(at_the_root, capsys, files):
    get_testing_info(" ".join(files), at_the_root)
    assert capsys.readouterr().out == "True False"  # changes plugins; helpers are for a person to review


def test_what_is_scored_after_the_merge(at_the_root, capsys):
    get_scoring_info(" ".join(CHANGED), at_the_root)
    info = json.loads(capsys.readouterr().out)
    assert info["run_score"] == "True"
    assert sorted(info["new_benchmarks"].split()) == sorted(REGISTERED)
    assert sorted(info["new_models"].split()) == MODELS
    assert {f"{kind}/{name}" for kind, names in info["changed_plugins"].items() for name in names} == {
        folder for folder in FOLDERS if not folder.startswith("benchmark_helpers")
    }
