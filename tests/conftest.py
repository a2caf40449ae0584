"""Fixtures of the whole suite, and the guard against testing a stale install."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from plugin_testing.install_check import REPOSITORY, install_problem, installed_package
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
    environment = pytest.MonkeyPatch()
    _isolate(environment, config.laion_home)
    config.add_cleanup(environment.undo)


def pytest_unconfigure(config):
    if hasattr(config, "laion_home"):
        shutil.rmtree(config.laion_home, ignore_errors=True)


def _isolate(environment: pytest.MonkeyPatch, home: Path) -> None:
    for name in _UNSET:
        environment.delenv(name, raising=False)
    environment.setenv("BS_INSTALL_DEPENDENCIES", "no")
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
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


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """Folder of a simulated dataset of the smallest scale; tests do not write to it."""
    from brainscore_vision.data.laion_fmri_7t.simulation import simulate

    return simulate(tmp_path_factory.mktemp("tiny") / "dataset", scale="tiny", progress=False, workers=2)
