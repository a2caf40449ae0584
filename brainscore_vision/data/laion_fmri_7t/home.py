"""Where the plugin keeps what it makes: extracted and composited images, hashes, the simulated dataset.

A home that cannot be written costs time and not the work: what is new goes to a folder of this process, which ends with it.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import cannot_write, expanded, make_folder, share
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from .errors import DatasetError

HOME_VARIABLE = "LAION_FMRI_7T_HOME"

_own_home: list[Path] = []
"""The folder of this process, once it needs one."""

_making = threading.Lock()


def laion_home() -> Path:
    """Folder for everything that this plugin writes on its own account; it need not be there, nor be writable.

    Returns
    -------
    Path
        ``$LAION_FMRI_7T_HOME`` if set, else ``laion_fmri_7t`` in ``$BRAINSCORE_HOME`` (default ``~/.brain-score``).
    """
    configured = os.environ.get(HOME_VARIABLE)
    if configured:
        return expanded(configured)
    return expanded(os.environ.get("BRAINSCORE_HOME") or "~/.brain-score") / "laion_fmri_7t"


def kept(*parts: str) -> Path | None:
    """A file or folder of that name below the home, or where this process keeps what the home does not take; else None."""
    for home in (*_own_home, laion_home()):
        if os.access(home.joinpath(*parts), os.R_OK):
            return home.joinpath(*parts)
    return None


def keep(content: bytes, *parts: str) -> Path:
    """Keep a file under the home, or for this process where the home cannot be written.

    Parameters
    ----------
    content : bytes
    *parts : str
        Its folders and name below the home.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    DatasetError
        If it cannot be written in either place.
    """
    try:
        write_atomically(laion_home().joinpath(*parts), content)
        return laion_home().joinpath(*parts)
    except OSError as error:
        with _own_home_because(error) as own:
            write_atomically(own.joinpath(*parts), content)
            return own.joinpath(*parts)


def usable(*parts: str) -> Path:
    """A folder below the home, made and writable; or one of this process where that cannot be.

    Raises
    ------
    DatasetError
        If neither can be made.
    """
    folder = laion_home().joinpath(*parts)
    if error := cannot_write(folder):
        with _own_home_because(error) as own:
            folder = own.joinpath(*parts)
            make_folder(folder)
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that other processes see whole or not at all.

    Parameters
    ----------
    path : Path
        Target; an existing file is replaced, a missing folder is made. It follows the umask and has the folder's group.
    content : bytes
    """
    make_folder(path.parent)
    temporary = path.with_name(f".part-{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            share(file.fileno(), path.parent)
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def _own_home_because(error: OSError) -> Iterator[Path]:
    """This process' own folder, to write to in place of the home, which gave ``error``."""
    try:
        with _making:  # images are looked at in threads
            if not _own_home:
                _own_home.append(Path(tempfile.mkdtemp(prefix="laion-fmri-7t-")))
                atexit.register(shutil.rmtree, _own_home[0], ignore_errors=True)
        warn_once(
            f"{laion_home()} cannot be written ({error.strerror}): images, and what is found in them, are kept in "
            f"{_own_home[0]} until this process ends. Set the environment variable {HOME_VARIABLE} to a folder that can be "
            f"written."
        )
        yield _own_home[0]
    except OSError as second:
        raise DatasetError(
            f"Images, and what is found in them, are kept in {laion_home()}, which cannot be written ({error.strerror}), or "
            f"else in a temporary folder, which cannot be written either ({second.strerror}). Set the environment variable "
            f"{HOME_VARIABLE} to a folder that can be written."
        ) from second
