"""The simulated dataset as a folder: made once, complete or not there at all."""

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import LockingError, ProcessLock

from ..constants import SUBJECTS
from ..errors import DatasetError
from .build import build
from .parallel import worker_count
from .scales import Scale, get_scale

VERSION = 3
"""Goes up whenever the same seed and scale give another content."""

_MARK = "dataset.json"


def simulate(
    root: str | Path, scale: str = "small", seed: int = 0, progress: bool = True, workers: int | None = None
) -> Path:
    """Make a simulated dataset, or return the finished one that is already there.

    The content is a function of scale, seed and `VERSION`. The folder appears when it is complete, in one step; an
    interrupted build leaves nothing that looks finished. Processes that ask for the same folder at once do the work
    once.

    Parameters
    ----------
    root : str or Path
        The dataset folder to make. It may exist if it is empty.
    scale : str
        "tiny" (unit tests), "small" (the demo) or "full" (the release's counts).
    seed : int
        At least 0.
    progress : bool
        Show progress bars if standard error is a terminal.
    workers : int, optional
        Threads; all processors without it, at most 8.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    DatasetError
        If the folder holds something else, the arguments are invalid or the disk has too little room.
    """
    chosen, workers = get_scale(scale), worker_count(workers)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise DatasetError(f"The seed of a simulation is a whole number from 0; got {seed!r}.")
    root = Path(root).expanduser().absolute()
    wanted = {"name": "simulated", "version": VERSION, "seed": int(seed), "scale": scale}
    if _finished(root, wanted):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with ProcessLock(root.parent / f".{root.name}.lock"):
        if _finished(root, wanted):  # another process made it while this one waited
            return root
        under_way = root.parent / f".{root.name}.incomplete"
        if under_way.exists():  # left by a build that was killed; the lock says that nobody works on it
            shutil.rmtree(under_way)
        _require_space(root.parent, chosen)
        under_way.mkdir()
        try:
            build(under_way, chosen, int(seed), workers, progress, {"dataset": "simulated", **_attributes(wanted)})
            mark = {**wanted, "complete": True, "files": _sizes(under_way)}
            (under_way / _MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
            if root.is_dir():
                root.rmdir()  # `_finished` let only an empty folder pass
            under_way.rename(root)
        finally:
            if under_way.exists():
                shutil.rmtree(under_way)
    return root


def ensure_default() -> Path:
    """The simulated dataset of scale "small" and seed 0 under the plugin's home folder, made on first use.

    Where the home cannot be written, it is made in a temporary folder of this process.

    Returns
    -------
    Path
        Its folder.
    """
    from ..home import HOME_VARIABLE, usable

    folder = default_folder()
    try:
        return simulate(folder if folder.exists() else usable("simulated") / folder.name)
    except LockingError as error:
        raise DatasetError(f"{error} For the default dataset, set {HOME_VARIABLE}.") from error


def default_folder() -> Path:
    """Where `ensure_default` makes its dataset; it need not be there."""
    from ..home import kept, laion_home  # the environment decides it when it is asked for

    parts = "simulated", f"{VERSION}-small-seed0"
    return kept(*parts) or laion_home().joinpath(*parts)


def needed_bytes(scale: Scale) -> int:
    """About how much room a dataset of that scale takes on disk, on the large side."""
    voxels = sum(math.ceil(count * (1 + scale.voxel_spread)) for count in scale.voxels)
    rows = scale.planned_trials + scale.shared + scale.unique  # betas and truth
    numbers = len(SUBJECTS) * rows * voxels * 4
    images = scale.stimuli * (4096 + scale.image_size**2 // 2)
    splits = 12 * 64 * (scale.shared + len(SUBJECTS) * (scale.shared + scale.unique))
    embeddings = scale.stimuli * (sum(scale.embedding_widths) * 2 + 4 * 64)
    masks = scale.shared * 6 * (512 + scale.image_size**2 // 16)  # compressed
    return numbers + images + splits + embeddings + masks + 4_000_000


def _attributes(wanted: dict) -> dict[str, str | int]:
    return {f"simulation_{key}": wanted[key] for key in ("version", "seed", "scale")}


def _finished(root: Path, wanted: dict) -> bool:
    """Whether the wanted dataset is there and whole; an error if something else is in its place."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    described = ", ".join(f"{key} {wanted[key]}" for key in ("scale", "seed", "version"))
    mark = root / _MARK
    if not mark.is_file():
        raise DatasetError(
            f"A simulated dataset goes into a new or empty folder; {root} exists and holds no {_MARK}. Choose another "
            "folder, or empty this one."
        )
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{mark} is to describe a simulated dataset in JSON; got {error}. Delete {root}.") from error
    if not isinstance(found, dict) or {key: found.get(key) for key in wanted} != wanted or not found.get("complete"):
        had = {key: found.get(key) for key in wanted} if isinstance(found, dict) else found
        raise DatasetError(
            f"A folder holds one dataset; {root} was to hold a simulated one of {described}, but its {_MARK} says "
            f"{had}. Choose another folder, or delete this one."
        )
    damaged = [
        name
        for name, size in found["files"].items()
        if not (root / name).is_file() or os.path.getsize(root / name) != size
    ]
    if damaged:
        raise DatasetError(
            f"A finished dataset keeps its files; in {root}, {len(damaged)} are missing or have another size than they "
            f"were written with, the first {damaged[0]}. Delete the folder and simulate again."
        )
    return True


def _sizes(root: Path) -> dict[str, int]:
    """Bytes of every file but the images, which are too many to look at each time."""
    files = (path for folder in ("assemblies", "splits", "truth") for path in sorted((root / folder).rglob("*.*")))
    sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in files if path.is_file()}
    tables = (path for path in sorted((root / "stimuli").iterdir()) if path.is_file())
    return {**sizes, **{path.relative_to(root).as_posix(): path.stat().st_size for path in tables}}


def _require_space(folder: Path, scale: Scale) -> None:
    needed, free = needed_bytes(scale), shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(
            f"A simulated dataset of scale {scale.name!r} takes up to {needed / 1e9:.2f} GB; {folder} has "
            f"{free / 1e9:.2f} GB left. Make room, or choose a folder on another disk or a smaller scale."
        )
