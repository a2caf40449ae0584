"""brainscore_core's own runner of plugin tests, ``test_plugins``, in a checkout of the library with this plugin in it.

The runner makes a conda environment, installs the library in it and runs pytest there: its generic tests for the type of
plugin, then the plugin's ``test.py``. Here it does the same, but ``conda``, ``pip`` and ``python -m pip`` do nothing, so
that this environment stands for the one that it would make.
"""

import os
import sys

import pytest
from brainscore_core.plugin_management.test_plugins import PluginTestRunner, run_args
from plugin_testing.install_check import FOLDERS, REPOSITORY
from plugin_testing.upstream_checkout import make_checkout

PLUGINS = [folder for folder in FOLDERS if folder.partition("/")[0] in ("benchmarks", "data", "metrics", "models")]

PROGRAMS = {
    "conda": 'if [ "$*" = "info --base" ]; then echo "{directory}"; fi',
    "pip": "true",
    "python": 'if [ "$1 $2" != "-m pip" ]; then exec "{python}" "$@"; fi',
    "pytest": 'exec "{python}" -m pytest -p no:cacheprovider "$@"',
}

SETTINGS = {
    # as on Brain-Score's machines without private data. Of the generic tests of models, the memory-intense one shows images
    # that no installation has: it fails for every model, and one that looks features up could not know them
    "TRAVIS": "1",
    "PRIVATE_ACCESS": "0",
    "PYTEST_SETTINGS": "not memory_intense and not slow",
    "BRAINSCORE_KEEP_PLUGIN_ENV": "1",  # else it empties caches that belong to the whole machine
}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path, shared_home):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(shared_home))
    (tmp_path / "bin").mkdir()
    for name, text in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/bash\n{text.format(directory=tmp_path, python=sys.executable)}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("upstream") / "vision")


@pytest.mark.slow
@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_runner_accepts(capfd, monkeypatch, library, plugin):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(library.parent), str(REPOSITORY / "tests")]))
    run_args(library, [str(library / plugin / "test.py")])
    output = capfd.readouterr().out
    assert "Generic tests succeeded" in output
    assert "Plugin-specific tests succeeded" in output
    assert " passed" in output


@pytest.fixture
def plugin(tmp_path):
    """``plugin(test) -> folder`` of a made-up plugin with this ``test.py``."""

    def write(test):
        folder = tmp_path / "library" / "domain" / "data" / "made_up"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        if test is not None:
            (folder / "test.py").write_text(test)
        return folder

    return write


@pytest.mark.parametrize(("test", "code"), [("def test_a(): pass", 0), ("def test_a(): assert 1 == 2", 1)])
def test_the_runner_sees_failures(plugin, test, code):
    """What stands in for conda does not hide them."""
    runner = PluginTestRunner(plugin(test))
    runner.validate_plugin()
    done = runner.run_in_env(
        f"bash {runner.script_path} {runner.plugin_directory} {runner.plugin_name} False {runner.library_path} False"
    )
    assert done.returncode == code


def test_the_runner_wants_a_test_file(plugin):
    with pytest.raises(AssertionError, match="No test files"):
        PluginTestRunner(plugin(None)).validate_plugin()
