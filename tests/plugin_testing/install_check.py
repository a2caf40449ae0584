"""Compares the installed plugin with the checkout: tests of a stale install would test old code."""

import hashlib
import importlib.util
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = (
    "benchmark_helpers/stimulus_kernels",
    "benchmarks/laion_fmri_7t",
    "data/laion_fmri_7t",
    "models/laion_fmri_7t",
)
"""Folders of this plugin below ``brainscore_vision``."""

ENTRY_POINT = "laion_score.py"
"""The module of the command, beside ``brainscore_vision``."""

_REMEDY = "run `make install`"


def plugin_files(package: Path) -> dict[str, Path]:
    """All files of the plugin below one ``brainscore_vision`` folder, without byte code.

    Parameters
    ----------
    package : Path
        The checkout's ``brainscore_vision`` or the installed one.

    Returns
    -------
    dict of str to Path
        By path relative to `package`, with forward slashes, sorted.
    """
    return {
        path.relative_to(package).as_posix(): path
        for folder in FOLDERS
        for path in sorted((package / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def installed_package() -> Path | None:
    """The folder that ``import brainscore_vision`` would use, found without importing it, or None."""
    spec = importlib.util.find_spec("brainscore_vision")
    if spec is None or spec.origin is None:  # without an origin it is only the checkout's folder, seen as a namespace
        return None
    return Path(spec.origin).parent


def install_problem(source: Path, installed: Path | None) -> str | None:
    """What keeps the installed plugin from being the checkout's, or None.

    Parameters
    ----------
    source : Path
        The checkout's ``brainscore_vision``.
    installed : Path or None
        The installed ``brainscore_vision``.

    Returns
    -------
    str or None
        One line with the first file concerned and the remedy.
    """
    if installed is None:
        return "brainscore-vision is not installed in this interpreter: run the tests with `make test`"
    ours, theirs = _installable(source), _installable(installed)
    if ours and not theirs:
        return f"the plugin is not installed in this interpreter: {_REMEDY}"
    states = dict.fromkeys(ours.keys() - theirs.keys(), "is not installed")
    states |= dict.fromkeys(theirs.keys() - ours.keys(), "is installed but no longer in the checkout")
    states |= {
        name: "differs from its installed copy"
        for name in ours.keys() & theirs.keys()
        if _digest(ours[name]) != _digest(theirs[name])
    }
    if not states:
        return None
    first = min(states)
    others = f" (and {len(states) - 1} more)" if len(states) > 1 else ""
    return f"the installed plugin is stale: {first} {states[first]}{others}: {_REMEDY}"


def _installable(package: Path) -> dict[str, Path]:
    """Files of the plugin and its entry point beside the package, by their path in the checkout."""
    files = {f"brainscore_vision/{name}": path for name, path in plugin_files(package).items()}
    front = package.parent / ENTRY_POINT
    return files | ({ENTRY_POINT: front} if front.is_file() else {})


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
