"""The simulated dataset as a folder: made once, complete or not there at all."""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import LockingError, ProcessLock
from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import available_processors

from ..constants import SUBJECTS
from ..errors import DatasetError
from ..packaging.layout import MARKER
from ..stimuli.sources import IMAGE_FOLDER
from .build import build
from .regions import POPULATIONS
from .scales import Scale, get_scale

VERSION = 6
"""Goes up whenever the same seed and scale give another content."""

CONTENT = ("version", "seed", "scale", "pixels")
"""What in a mark decides the content."""


def simulate(
    root: str | Path,
    scale: str = "small",
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
    pixels: int | None = None,
) -> Path:
    """Make a simulated dataset, or return the finished one that is already there.

    The content is a function of scale, seed, pixels and `VERSION`. The folder appears when it is complete, in one step; an
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
        Threads, or processes for many images; all processors without it, at most 16.
    pixels : int, optional
        Width and height of images; the scale's own without it. The release's are 1000.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    DatasetError
        If the folder holds something else, the arguments are invalid or the disk has too little room.
    """
    return make_once(root, describe(scale, seed, pixels), progress, workers)


def processors_of(workers: int | None) -> int:
    """The number of threads to use; None means as many as the process may use processors, at most 16.

    Raises
    ------
    DatasetError
        If it is not a whole number of at least 1.
    """
    if workers is None:
        return min(16, available_processors())
    if not isinstance(workers, int) or workers < 1:
        raise DatasetError(
            f"workers is the number of threads, a whole number from 1, or None for all processors; got {workers!r}."
        )
    return workers


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


def describe(scale: str, seed: int, pixels: int | None = None) -> dict:
    """What the mark of a simulated dataset says about its content; `pixels` stands there if it is not the scale's own.

    Raises
    ------
    DatasetError
        If there is no such scale, size of images or seed.
    """
    own_size = get_scale(scale, pixels) == get_scale(scale)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise DatasetError(f"The seed of a simulation is a whole number from 0; got {seed!r}.")
    mark = {"name": "simulated", "version": VERSION, "seed": int(seed), "scale": scale}
    return mark if own_size else {**mark, "pixels": pixels}


def make_once(
    root: str | Path, mark: dict, progress: bool, workers: int | None, change: Callable[[Path], None] | None = None
) -> Path:
    """Make the dataset that the mark describes, or return the finished one; as `simulate`.

    Parameters
    ----------
    root : str or Path
    mark : dict
        What `describe` gives, and more if the dataset is changed.
    progress : bool
    workers : int or None
    change : callable, optional
        Called with the folder when it is filled; its changes are a part of what appears in one step.
    """
    scale, workers = scale_of(mark), processors_of(workers)
    root = Path(root).expanduser().absolute()
    if _is_finished(root, mark):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with ProcessLock(root.parent / f".{root.name}.lock"):
        if _is_finished(root, mark):  # another process made it while this one waited
            return root
        under_way = root.parent / f".{root.name}.incomplete"
        if under_way.exists():  # left by a build that was killed; the lock says that nobody works on it
            shutil.rmtree(under_way)
        _require_space(root.parent, scale)
        under_way.mkdir()
        try:
            attributes = {f"simulation_{key}": mark[key] for key in CONTENT if key in mark}
            build(under_way, scale, mark["seed"], workers, progress, {"dataset": mark["name"], **attributes})
            if change is not None:
                change(under_way)
            write_mark(under_way, mark)
            if root.is_dir():
                root.rmdir()  # `_is_finished` let only an empty folder pass
            under_way.rename(root)
        finally:
            if under_way.exists():
                shutil.rmtree(under_way)
    return root


def scale_of(mark: dict) -> Scale:
    """The scale that the mark of a simulated dataset describes."""
    return get_scale(mark["scale"], mark.get("pixels"))


def write_mark(root: Path, mark: dict) -> None:
    """Say that the folder is complete, and how large every file is except the images, which are too many to check."""
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    sizes = {path.as_posix(): (root / path).stat().st_size for path in files if IMAGE_FOLDER not in path.parts}
    content = json.dumps({**mark, "complete": True, "files": sizes}, indent=1)
    (root / MARKER).write_text(content + "\n", encoding="utf-8")


def needed_bytes(scale: Scale) -> int:
    """About how much room a dataset of that scale takes on disk, on the large side."""
    counts = (*scale.voxels, *(scale.population for _ in POPULATIONS))
    voxels = sum(math.ceil(count * (1 + scale.voxel_spread)) for count in counts)
    rows = scale.planned_trials + scale.shared + scale.unique  # betas and truth
    numbers = len(SUBJECTS) * rows * voxels * 4
    # drawn in 128 pixels and then enlarged: a large image takes fewer bytes for each of its pixels
    images = scale.stimuli * (4096 + scale.image_size**2 // (2 if scale.image_size <= 256 else 5))
    splits = 12 * 64 * (scale.shared + len(SUBJECTS) * (scale.shared + scale.unique))
    embeddings = scale.stimuli * (sum(scale.embedding_widths) * 2 + 4 * 64)
    masks = scale.shared * 6 * (512 + scale.image_size**2 // 16)  # compressed
    volumes = len(SUBJECTS) * math.prod(scale.grid)  # compressed
    return numbers + images + splits + embeddings + masks + volumes + 4_000_000


def _is_finished(root: Path, wanted: dict) -> bool:
    """Whether the wanted dataset is there and whole; an error if something else is in its place."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    described = ", ".join(f"{key} {wanted[key]}" for key in ("scale", "pixels", "seed", "version") if key in wanted)
    mark = root / MARKER
    if not mark.is_file():
        raise DatasetError(
            f"A simulated dataset goes into a new or empty folder; {root} exists and holds no {MARKER}. Choose another "
            "folder, or empty this one."
        )
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{mark} is to describe a simulated dataset in JSON; got {error}. Delete {root}.") from error
    had = found
    if isinstance(found, dict):
        more = [key for key in ("layout", "pixels") if key in found and key not in wanted]
        had = {key: found.get(key) for key in [*wanted, "complete", *more]}
    if had != {**wanted, "complete": True}:
        raise DatasetError(
            f"A folder holds one dataset; {root} was to hold a simulated one of {described}, but its {MARKER} says "
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


def _require_space(folder: Path, scale: Scale) -> None:
    needed, free = needed_bytes(scale), shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(
            f"A simulated dataset of scale {scale.name!r} takes up to {needed / 1e9:.2f} GB; {folder} has "
            f"{free / 1e9:.2f} GB left. Make room, or choose a folder on another disk or a smaller scale."
        )
