"""Where the plugin keeps what it makes: extracted and composited images, hashes, the simulated dataset."""

import os
import uuid
from pathlib import Path

HOME_VARIABLE = "LAION_FMRI_7T_HOME"


def laion_home() -> Path:
    """Folder for everything that this plugin writes on its own account; made on demand.

    Returns
    -------
    Path
        ``$LAION_FMRI_7T_HOME`` if set, else ``laion_fmri_7t`` in ``$BRAINSCORE_HOME`` (default ``~/.brain-score``).
    """
    configured = os.environ.get(HOME_VARIABLE)
    if configured:
        home = Path(configured).expanduser()
    else:
        home = Path(os.environ.get("BRAINSCORE_HOME") or "~/.brain-score").expanduser() / "laion_fmri_7t"
    home.mkdir(parents=True, exist_ok=True)
    return home


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that other processes see whole or not at all.

    Parameters
    ----------
    path : Path
        Target; an existing file is replaced, a missing folder is made.
    content : bytes
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
