"""Images as they were on the screen: transparent pixels on grey, everything else untouched.

People saw 116 of the release's images with grey where the file is transparent; a model that drops the alpha channel
sees other pixels. Images without transparency are handed out as the files that they are. Every file is looked at once:
what is found (hash of the displayed bytes, path of a composited copy) is remembered under the plugin's home by path,
size and modification time.
"""

import hashlib
import io
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..constants import BACKGROUND_RGB
from ..errors import DatasetError
from ..home import keep, kept

_logger = logging.getLogger(__name__)

_JPEG_END = b"\xff\xd9"
_JPEG_TAIL = 4096  # bytes; where the end marker of a whole file lies, allowing for what some writers append


@dataclass(frozen=True)
class DisplayedImage:
    """What a model is shown for one stimulus.

    Attributes
    ----------
    path : Path
        The original file where it is opaque, a composited PNG copy where it is transparent.
    sha1 : str
        Hexadecimal, of the bytes at `path`.
    """

    path: Path
    sha1: str


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
    found, unreadable = {}, []
    todo = [stimulus_id for stimulus_id, path in files.items() if index.get(path) is None]
    for stimulus_id in tqdm(todo, desc="checking images", unit="image", disable=None if todo else True):
        try:
            index.put(files[stimulus_id], _inspect(files[stimulus_id]))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises
            unreadable.append(f"{stimulus_id!r} ({files[stimulus_id]}: {type(error).__name__}: {error})")
    index.save()
    if unreadable:
        raise DatasetError(
            f"Every stimulus needs an image that can be read; {len(unreadable)} of {len(files)} cannot, "
            f"first: {'; '.join(unreadable[:3])}. Download or extract these images again."
        )
    for stimulus_id, path in files.items():
        found[stimulus_id] = index.get(path)
    return found


def _inspect(path: Path) -> DisplayedImage:
    """Check one image file and composite it if it is transparent."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        if image.format == "JPEG" and _JPEG_END in content[-_JPEG_TAIL:]:
            return DisplayedImage(path, hashlib.sha1(content).hexdigest())  # whole, and without an alpha channel
        image.load()  # raises where the file is cut short
        if not _is_transparent(image):
            return DisplayedImage(path, hashlib.sha1(content).hexdigest())
        shown = composite(image)
    buffer = io.BytesIO()
    shown.save(buffer, format="PNG")
    target = keep(buffer.getvalue(), "stimuli", "displayed", f"{hashlib.sha1(content).hexdigest()}.png")
    return DisplayedImage(target, hashlib.sha1(buffer.getvalue()).hexdigest())


def _is_transparent(image: Image.Image) -> bool:
    has_alpha = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
    return has_alpha and image.convert("RGBA").getchannel("A").getextrema()[0] < 255


def composite(image: Image.Image) -> Image.Image:
    """Put an image on the grey of the experiment's screen.

    Parameters
    ----------
    image : PIL.Image.Image
        In any mode with transparency.

    Returns
    -------
    PIL.Image.Image
        RGB, same size.
    """
    foreground = image.convert("RGBA")
    background = Image.new("RGBA", foreground.size, (*BACKGROUND_RGB, 255))
    return Image.alpha_composite(background, foreground).convert("RGB")


class _Index:
    """Memory of inspected files, on disk, one file per image folder."""

    def __init__(self):
        self._folders: dict[Path, dict[str, list]] = {}
        self._changed: set[Path] = set()

    def get(self, path: Path) -> DisplayedImage | None:
        """What was found in this file, if it has not changed since and its composited copy still exists."""
        entry = self._entries(path.parent).get(path.name)
        if entry is None:
            return None
        stat = path.stat()
        size, mtime_ns, sha1, copy = entry
        if (size, mtime_ns) != (stat.st_size, stat.st_mtime_ns) or (copy is not None and not Path(copy).is_file()):
            return None
        return DisplayedImage(path if copy is None else Path(copy), sha1)

    def put(self, path: Path, image: DisplayedImage) -> None:
        """Remember what was found."""
        stat = path.stat()
        copy = None if image.path == path else str(image.path)
        self._entries(path.parent)[path.name] = [stat.st_size, stat.st_mtime_ns, image.sha1, copy]
        self._changed.add(path.parent)

    def save(self) -> None:
        """Write what is new. Two processes may overwrite each other's findings, which are then found again."""
        for folder in self._changed:
            keep(json.dumps(self._folders[folder]).encode(), *self._parts(folder))
        self._changed.clear()

    def _entries(self, folder: Path) -> dict[str, list]:
        if folder not in self._folders:
            file = kept(*self._parts(folder))
            self._folders[folder] = self._read(file) if file is not None else {}
        return self._folders[folder]

    @staticmethod
    def _read(file: Path) -> dict[str, list]:
        try:
            return json.loads(file.read_text())
        except ValueError as error:  # after a full disk or a power cut; what it said is found again
            _logger.warning("%s is damaged (%s); the images are checked again", file, error)
            return {}

    @staticmethod
    def _parts(folder: Path) -> tuple[str, ...]:
        name = hashlib.sha1(str(folder.resolve()).encode()).hexdigest()[:16]
        return "stimuli", "index", f"{name}.json"
