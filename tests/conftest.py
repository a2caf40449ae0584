"""Fixtures of the whole suite, and the guard against testing a stale install."""

import functools
import gc
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from plugin_testing.install_check import REPOSITORY, install_problem, installed_package
from plugin_testing.once import made_once
from threadpoolctl import threadpool_limits

_HOMES = {
    "LAION_FMRI_7T_HOME": "laion_fmri_7t",
    "BRAINSCORE_HOME": "brain-score",
    "BRAINIO_HOME": "brainio",
    "RESULTCACHING_HOME": "result_caching",
    "XDG_CONFIG_HOME": "config",
    "HOME": "user",
}
"""Variable -> folder of the session's temporary home: nothing is read from or written to the user's own."""

_UNSET = (
    "LAION_FMRI_DATASET",
    "LAION_FMRI_STIMULI",
    "LAION_FMRI_STIMULI_DIR",
    "BRAINSCORE_SKIP_MEMORY_CHECK",
    *(f"RESULTCACHING_{name}" for name in ("DISABLE", "CACHEDONLY", "S3_BUCKET", "S3_PREFIX", "S3_EPOCH", "S3_MAX_GB")),
    *(f"AWS_{name}" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "ENDPOINT_URL")),
    *(f"AWS_{name}" for name in ("WEB_IDENTITY_TOKEN_FILE", "CONTAINER_CREDENTIALS_FULL_URI", "CONFIG_FILE")),
    *(f"AWS_{name}" for name in ("CONTAINER_CREDENTIALS_RELATIVE_URI", "SHARED_CREDENTIALS_FILE")),
)


def pytest_configure(config):
    problem = install_problem(REPOSITORY / "brainscore_vision", installed_package())
    if problem:
        pytest.exit(problem, returncode=pytest.ExitCode.USAGE_ERROR)
    # Brain-Score and result_caching read some of these when they are imported, so fixtures would come too late.
    config.laion_home = Path(tempfile.mkdtemp(prefix="laion-fmri-7t-tests-"))
    workerinput = getattr(config, "workerinput", {})  # pytest-xdist's workers have one
    config.laion_shared = Path(workerinput.get("laion_shared", config.laion_home / "shared"))
    environment = pytest.MonkeyPatch()
    _isolate(environment, config.laion_home)
    config.add_cleanup(environment.undo)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: workers that share the files by turns then end at nearly the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Look seldom for garbage, and not among what was imported: tests that draw spend a tenth of their time on it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """What tests read and do not change is made once for all workers."""
    node.workerinput["laion_shared"] = str(node.config.laion_shared)


def pytest_unconfigure(config):
    if hasattr(config, "laion_home"):
        shutil.rmtree(config.laion_home, ignore_errors=True)


def _isolate(environment: pytest.MonkeyPatch, home: Path) -> None:
    for name in _UNSET:
        environment.delenv(name, raising=False)
    environment.setenv("BS_INSTALL_DEPENDENCIES", "no")
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    environment.setenv("OMP_NUM_THREADS", "1")  # of processes that tests start; see one_thread
    for name, folder in _HOMES.items():
        environment.setenv(name, str(home / folder))
    (home / _HOMES["HOME"]).mkdir(exist_ok=True)


@pytest.fixture(autouse=True)
def isolated_home(request, monkeypatch) -> Path:
    """The session's temporary home; each test starts with the same environment and without cached results.

    What tests may share (the default simulated dataset, extracted images) stays. Caches of scores and kernels are
    emptied: a test that counts forward passes, or uses other data under the same identifier, must not see earlier ones.
    """
    home = request.config.laion_home
    _isolate(monkeypatch, home)
    wording = sys.modules.get("brainscore_vision.benchmark_helpers.stimulus_kernels.wording")
    if wording is not None:
        wording.said.clear()  # what an earlier test was told is said again
    yield home
    for variable in ("BRAINSCORE_HOME", "RESULTCACHING_HOME"):
        shutil.rmtree(home / _HOMES[variable], ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Threads that wait for each other in matrices of a test's size cost up to a hundred times the work, beside other load."""
    import torch  # noqa: F401  its thread pools can be limited once they are loaded

    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True, scope="session")
def plugins_searched_once():
    """Brain-Score reads all plugins each time that it looks for a name; none of them changes while tests run."""
    from brainscore_core.plugin_management.import_plugin import ImportPlugin

    search, found = ImportPlugin.locate_plugin, {}

    def locate_plugin(self):
        asked = self.plugins_dir, self.registry_name, self.identifier
        if asked not in found:
            try:
                found[asked] = search(self)
            except AssertionError as error:
                found[asked] = error
        if isinstance(found[asked], AssertionError):
            raise AssertionError(*found[asked].args)
        return found[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImportPlugin, "locate_plugin", locate_plugin)
        yield


@pytest.fixture(autouse=True, scope="session")
def commands_built_once():
    """Typer reads the signatures and docstrings of all commands each time that the application is called."""
    import typer.testing

    build = functools.cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", build)
        patch.setattr(typer.testing, "_get_command", build)
        yield


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(*arguments) -> (exit code, standard output, standard error)`` of the entry point."""

    from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["laion-score", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def sweeps_here(monkeypatch):
    """Commands check and score the models of sweeps in this process; that they start others is tested where it matters."""
    from plugin_testing.sweeps_here import measure_shortly, sweep_here

    sweep_here(monkeypatch)
    measure_shortly(monkeypatch)


@pytest.fixture(scope="session")
def tiny_dataset(request) -> Path:
    """Folder of a simulated dataset of the smallest scale; tests do not write to it."""
    return _simulated(request.config, seed=0)


@pytest.fixture(scope="session")
def released(request, tiny_dataset) -> Path:
    """Folder of the release's files of `tiny_dataset`, without assemblies; tests do not write to it."""
    from brainscore_vision.data.laion_fmri_7t.simulation.raw import write_raw

    return made_once(
        request.config.laion_shared / "seed-0" / "released", lambda folder: write_raw(tiny_dataset, folder)
    )


@pytest.fixture(scope="session")
def another_dataset(request) -> Path:
    """Folder of a dataset like `tiny_dataset`, of another seed; tests do not write to it."""
    return _simulated(request.config, seed=1)


def _simulated(config, seed: int) -> Path:
    from brainscore_vision.data.laion_fmri_7t.simulation import simulate

    return simulate(config.laion_shared / f"seed-{seed}" / "dataset", "tiny", seed, progress=False, workers=2)


@pytest.fixture(scope="session")
def shared_home(request) -> Path:
    """A ``LAION_FMRI_7T_HOME`` for tests that take the default simulated dataset, so that it is made once for all."""
    return request.config.laion_shared / "home"


@pytest.fixture
def layered(tmp_path):
    """``layered({model: {benchmark: layer}})``: a results file with made-up scores."""
    from plugin_testing.layered_results import fill_layers

    return functools.partial(fill_layers, tmp_path / "results.db")


@pytest.fixture
def mixed(layered):
    """A results file with a model that was scored in several layers of a region, and another one."""
    from plugin_testing.layered_results import MIXED

    return layered({"net": MIXED, "other": dict.fromkeys(MIXED, "2")})
