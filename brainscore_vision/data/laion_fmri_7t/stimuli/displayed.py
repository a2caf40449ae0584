"""Images as they were on the screen: plain files as they are, copies of all others (`pictures` has the rules).

Every file is decoded once, strictly. What is found (hashes, changes, size, path of a copy) is remembered under the plugin's
home by path and state (`file_state`). Only files that are whole are remembered, and whether a file is depends on its
content alone.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import UNREADABLE
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import file_state
from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import ordered_map, worker_count

from ..errors import DatasetError
from ..home import keep, kept
from .pictures import Picture, UnclearPicture, picture

_logger = logging.getLogger(__name__)

_VERSION = 4
"""Of the index. Version 1 believed JPEGs by their last bytes, and other files by what the process had set;
version 2 knew files by size and modification time alone; version 3 believed progressive JPEGs that lack scans."""

_SHOWN = 3
_warned: set[str] = set()


@dataclass(frozen=True)
class DisplayedImage:
    """What a model is shown for one stimulus.

    Attributes
    ----------
    path : Path
        The original file where it is plain, a copy where it is not.
    sha1 : str
        Hexadecimal, of the bytes at `path`.
    file_sha1 : str
        Hexadecimal, of the original file.
    size : tuple of int
        Width and height in pixels.
    changes : tuple of str
        Why there is a copy.
    """

    path: Path
    sha1: str
    file_sha1: str
    size: tuple[int, int]
    changes: tuple[str, ...] = ()


@dataclass
class Survey:
    """What all images of a dataset are.

    Attributes
    ----------
    hashes : dict of str to str
        Stimulus id to the SHA-1 (hexadecimal) of its encoded image, readable or not.
    changes : Counter
        Why copies are shown instead of files, and for how many; a file may have several reasons.
    sizes : Counter
        (width, height) in pixels.
    copied, not_square : list of str
        Stimuli.
    unreadable : list of str
        Stimuli whose image cannot be shown, each with the reason.
    damaged_copies : list of Path
        Extracted images that are not what they were extracted from.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    changes: Counter = field(default_factory=Counter)
    sizes: Counter = field(default_factory=Counter)
    copied: list[str] = field(default_factory=list)
    not_square: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    damaged_copies: list[Path] = field(default_factory=list)


def displayed_images(files: dict[str, Path]) -> dict[str, DisplayedImage]:
    """Find or make the displayed version of images.

    Parameters
    ----------
    files : dict of str to Path
        Existing image file of each stimulus id.

    Returns
    -------
    dict of str to DisplayedImage
        In the order of `files`.

    Raises
    ------
    DatasetError
        If a file is not a readable image; names all such stimuli's count and the first ones.
    """
    index = _Index()
    found = {stimulus_id: index.get(path) for stimulus_id, path in files.items()}
    todo = {stimulus_id: files[stimulus_id] for stimulus_id, image in found.items() if image is None}
    if todo:
        _inspect_all(todo, index, len(files))
        found = {stimulus_id: index.get(path) for stimulus_id, path in files.items()}
    changing = [stimulus_id for stimulus_id, image in found.items() if image is None]
    if changing:
        raise DatasetError(
            f"Images must not change while they are used; {len(changing)} of {len(files)} did, first: "
            f"{files[changing[0]]}. Wait until they are written, and run again."
        )
    _warn_of_shapes(found)
    return found


def _inspect_all(files: dict[str, Path], index: "_Index", n_asked: int) -> None:
    """Look at files that the index does not know, of so many that were asked for, and remember what they are."""
    unreadable = []
    try:
        for stimulus_id, outcome in _in_threads(files.items(), _inspect_or_reason, len(files), "checking images"):
            if isinstance(outcome, str):
                unreadable.append(f"{stimulus_id!r} ({files[stimulus_id]}: {outcome})")
            else:
                index.put(files[stimulus_id], *outcome)
    finally:
        index.save()
    if unreadable:
        raise DatasetError(
            f"Every stimulus needs an image that can be read; {len(unreadable)} of {n_asked} cannot, "
            f"first: {'; '.join(unreadable[:_SHOWN])}. Download or extract damaged images again."
        )


def known_images(files: dict[str, Path]) -> set[str]:
    """Stimuli whose files :func:`displayed_images` would neither read nor decode: it has done so before."""
    index = _Index()
    return {stimulus_id for stimulus_id, path in files.items() if index.get(path) is not None}


def survey(contents: Iterable[tuple[str, bytes]], total: int) -> Survey:
    """Look at encoded images, all of them; nothing is remembered, and nothing that was remembered is believed.

    Parameters
    ----------
    contents : iterable of (str, bytes)
        Stimulus id and encoded image.
    total : int
        How many there are.
    """
    result = Survey()
    for stimulus_id, (sha1, shown) in _in_threads(contents, _look, total, "reading images"):
        result.hashes[stimulus_id] = sha1
        if isinstance(shown, str):
            result.unreadable.append(f"{stimulus_id!r} ({shown})")
            continue
        result.changes.update(shown.changes)
        result.sizes[shown.size] += 1
        if shown.copy is not None:
            result.copied.append(stimulus_id)
        if shown.size[0] != shown.size[1]:
            result.not_square.append(stimulus_id)
    return result


def describe_sizes(found: Survey) -> str:
    """Sizes in pixels, the most frequent first."""
    alone = len(found.sizes) == 1
    sizes = [
        f"{width} x {height}" + ("" if alone else f" ({count:,})")
        for (width, height), count in found.sizes.most_common(_SHOWN)
    ]
    more = len(found.sizes) - len(sizes)
    return ", ".join(sizes) + (f" and {more} other sizes" if more else "") + " pixels"


def describe_copies(found: Survey) -> str:
    """How many files are shown as they are, how many as copies, and why."""
    if not found.copied:
        return "all shown as they are"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.changes.most_common())
    return f"{len(found.copied):,} shown as plain copies ({reasons}), the others as they are"


def _look(content: bytes) -> tuple[str, Picture | str]:
    return hashlib.sha1(content).hexdigest(), _or_reason(lambda: picture(content))


def _inspect_or_reason(path: Path) -> tuple[tuple[int, ...], DisplayedImage] | str:
    """State of the file before it is read (what is written meanwhile is another state), and what is shown."""
    return _or_reason(lambda: (file_state(path), _inspect(path)))


def _inspect(path: Path) -> DisplayedImage:
    """Check one image file, and make its copy if it needs one."""
    content = path.read_bytes()
    file_sha1, shown = hashlib.sha1(content).hexdigest(), picture(content)
    if shown.copy is None:
        return DisplayedImage(path, file_sha1, file_sha1, shown.size)
    target = keep(shown.copy, "stimuli", "displayed", f"{file_sha1}{shown.suffix}")
    return DisplayedImage(target, hashlib.sha1(shown.copy).hexdigest(), file_sha1, shown.size, shown.changes)


def _in_threads(
    items: Iterable[tuple[str, object]], function: Callable, total: int, title: str
) -> Iterator[tuple[str, object]]:
    """(stimulus id, what the function says of the item), in order; few items are held at a time.

    Decoders leave Python's lock to others, so threads do.
    """
    with tqdm(total=total, desc=title, unit="image", disable=None if total else True) as bar:
        for found in ordered_map(lambda item: (item[0], function(item[1])), items, worker_count()):
            yield found
            bar.update()


def _or_reason(function: Callable) -> object:
    """What the function returns, or in words why Pillow cannot read the image."""
    try:
        return function()
    except StimulusKernelError:  # about this process, not about the file
        raise
    except UnclearPicture as error:
        return str(error)
    except UNREADABLE as error:
        return f"{type(error).__name__}: {error}"


def _warn_of_shapes(found: dict[str, DisplayedImage]) -> None:
    """Say once in a process that pictures are stretched."""
    wide = [stimulus_id for stimulus_id, image in found.items() if image.size[0] != image.size[1]]
    if wide and wide[0] not in _warned:
        _warned.add(wide[0])
        _logger.warning(
            "People saw square images; %d of %d are not square, first %r with %d x %d pixels. Most models stretch them.",
            len(wide),
            len(found),
            wide[0],
            *found[wide[0]].size,
        )


class _Index:
    """Memory of inspected files, on disk, one file per image folder."""

    def __init__(self):
        self._folders: dict[Path, dict[str, list]] = {}
        self._changed: set[Path] = set()

    def get(self, path: Path) -> DisplayedImage | None:
        """What was found in this file, if it has not changed since and its copy still exists."""
        entry = self._entries(path.parent).get(path.name)
        if entry is None:
            return None
        state, file_sha1, size, copy = entry
        if tuple(state) != file_state(path):
            return None
        if copy is None:
            return DisplayedImage(path, file_sha1, file_sha1, tuple(size))
        name, sha1, changes = copy
        if not Path(name).is_file():
            return None
        return DisplayedImage(Path(name), sha1, file_sha1, tuple(size), tuple(changes))

    def put(self, path: Path, state: tuple[int, ...], image: DisplayedImage) -> None:
        """Remember what was found."""
        copy = None if image.path == path else [str(image.path), image.sha1, image.changes]
        self._entries(path.parent)[path.name] = [state, image.file_sha1, image.size, copy]
        self._changed.add(path.parent)

    def save(self) -> None:
        """Write what is new. Two processes may overwrite each other's findings, which are then found again."""
        for folder in self._changed:
            content = {"version": _VERSION, "images": self._folders[folder]}
            keep(json.dumps(content).encode(), *self._parts(folder))
        self._changed.clear()

    def _entries(self, folder: Path) -> dict[str, list]:
        if folder not in self._folders:
            file = kept(*self._parts(folder))
            # a copy, which takes what is put
            self._folders[folder] = dict(_read_index(file, file_state(file))) if file is not None else {}
        return self._folders[folder]

    @staticmethod
    def _parts(folder: Path) -> tuple[str, ...]:
        name = hashlib.sha1(str(folder.resolve()).encode()).hexdigest()[:16]
        return "stimuli", "index", f"{name}.json"


@lru_cache(maxsize=8)
def _read_index(file: Path, state: tuple[int, ...]) -> dict[str, list]:
    """The images of an index file in this state: reading thousands takes longer than looking whether they changed."""
    try:
        content = json.loads(file.read_text())
        return content["images"] if content.get("version") == _VERSION else {}
    except (ValueError, LookupError, AttributeError) as error:  # after a full disk; what it said is found again
        _logger.warning("%s is damaged (%s); the images are checked again", file, error)
        return {}
