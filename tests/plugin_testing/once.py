"""What tests read and do not change is made once, however many processes run them."""

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """The path, at which ``make(path)`` has written a file or folder: the first process writes, others wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = path.with_name(f".{path.name}.done")
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(path)
            done.touch()
    return path


def computed_once(path: Path, compute: Callable[[], object]) -> object:
    """What ``compute()`` returns, which the first process keeps as a pickle for the others."""
    return pickle.loads(made_once(path, lambda path: path.write_bytes(pickle.dumps(compute()))).read_bytes())
