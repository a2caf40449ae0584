"""Image files on their way to a model's eye: read strictly, and fitted to its field of view as Brain-Score does it.

Pillow's settings belong to the process. A model file that sets ``ImageFile.LOAD_TRUNCATED_IMAGES`` must not decide which
images are whole, so reading here goes by settings of its own. And a decoder forgives what it can: libjpeg paints grey
where a JPEG's data end early, PNG's checksums are not compared. What it cannot forgive is looked at here; damage that is
valid data again, such as a few changed bytes in a JPEG, can only be found by a hash that was taken before.

Brain-Score's ``place_on_screen`` crops or pads images so that a degree of visual angle stays a degree. The pixels made
here are the same (its own converter makes them), but files are named by their content and written atomically: several
processes can share them, a stimulus set needs no identifier, images that change are never confused, and a wrong ending of
a file's name makes no difference. A JPEG becomes a JPEG again, as with Brain-Score, and everything else a PNG.
"""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import struct
import tempfile
import threading
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import ImageConverter
from PIL import Image, ImageFile, UnidentifiedImageError
from tqdm.auto import tqdm

from ..errors import StimulusKernelError, StorageError
from ..files import NO_ROOM, cannot_write, make_folder
from ..parallel import worker_count

UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for files that it cannot read or write; a broken chunk of a PNG is a SyntaxError."""

MOST_PIXELS = 2 * (1024**3 // 4 // 3)
"""Largest image that is decoded: the largest that Pillow opens by default. Others are taken for an attack on memory."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF", "TGA")
"""What is read, also where a model's package has taught Pillow more."""

_ORIENTATION_TAG = 0x0112
_JPEG_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # 0xff 0x00 is a data byte
_START_OF_SCAN, _END, _RESTARTS = 0xDA, 0xD9, range(0xD0, 0xD8)
_WITHOUT_LENGTH = (0x01, 0xD8, *_RESTARTS)
_ARITHMETIC = (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)  # frames of these codes may leave out zeros at the end
_PROGRESSIVE = 0xC2
_FILLER = bytes(37 * i % 254 + 1 for i in range(128))  # no 0xff, nothing that decodes to grey

_lock = threading.Lock()
_inside = 0
_theirs: tuple = ()


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Pillow refuses truncated files inside, in every thread, and asks nothing about size; afterwards it is as before.

    Raises
    ------
    StimulusKernelError
        If another thread changed the settings meanwhile: what was decoded may be less than the file.
    """
    global _inside, _theirs
    with _lock:
        if not _inside:
            _theirs = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        _inside += 1
    try:
        yield
        if ImageFile.LOAD_TRUNCATED_IMAGES or Image.MAX_IMAGE_PIXELS is not None:
            raise StimulusKernelError(
                "Images are checked with Pillow's own strictness; another thread set ImageFile.LOAD_TRUNCATED_IMAGES or "
                "Image.MAX_IMAGE_PIXELS meanwhile. Set these before scoring starts, or not at all."
            )
    finally:
        with _lock:
            _inside -= 1
            if not _inside:  # a value that another thread has set since is left alone
                if ImageFile.LOAD_TRUNCATED_IMAGES is False:
                    ImageFile.LOAD_TRUNCATED_IMAGES = _theirs[0]
                if Image.MAX_IMAGE_PIXELS is None:
                    Image.MAX_IMAGE_PIXELS = _theirs[1]


def open_image(source: Path | bytes) -> Image.Image:
    """Open an image, to be called and read inside `strict_decoding`.

    Raises
    ------
    ValueError
        If it has no pixels, or more than `MOST_PIXELS`.
    OSError and the like
        `UNREADABLE`, if it is no image.
    """
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]  # AVIF came late
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=known)
    except UnidentifiedImageError as error:
        raise OSError(f"not an image, or in none of the formats {', '.join(known)}") from error
    if not 0 < image.width * image.height <= MOST_PIXELS:
        size = f"{image.width:,} x {image.height:,} pixels"
        image.close()
        raise ValueError(f"an image has between 1 and {MOST_PIXELS:,} pixels; this one has {size}")
    return image


def is_turned(image: Image.Image) -> bool:
    """Whether a tag says to turn an image before it is seen, which viewers do and models' loaders do not.

    A TIFF's tag says how its rows are stored: Pillow obeys it.
    """
    try:
        return image.format != "TIFF" and image.getexif().get(_ORIENTATION_TAG, 1) != 1
    except UNREADABLE:  # tags that nobody can read turn nothing
        return False


def check_plain(stimuli: StimulusSet, pool: str) -> None:
    """Refuse images that models' loaders read otherwise than they look: they are no record of what people saw.

    Parameters
    ----------
    stimuli : StimulusSet
    pool : str
        Name of their pool, for the message.

    Raises
    ------
    StimulusKernelError
        Images of more than 8 bits, with transparent pixels, or with a tag that turns them; files that end early, where Pillow
        was told to take them as whole.
    """
    odd, is_lenient = {}, ImageFile.LOAD_TRUNCATED_IMAGES
    with strict_decoding():
        for stimulus_id in stimuli["stimulus_id"]:
            path = Path(stimuli.get_stimulus(stimulus_id))
            if is_lenient:
                try:
                    check_whole(path.read_bytes())
                except UNREADABLE as error:
                    odd[stimulus_id] = f"not whole: {error}"
                    continue
            with suppress(*UNREADABLE), open_image(path) as image:
                looks = _otherwise(image)  # what cannot be read is said when it is shown, unless Pillow is lenient
                if looks:
                    odd[stimulus_id] = looks
    if odd:
        first, looks = next(iter(odd.items()))
        raise StimulusKernelError(
            f"Images of a pool are whole and plain, RGB or grey with 8 bits, upright, without transparent pixels, as models' "
            f"loaders make others of the rest; {len(odd)} of {len(stimuli)} of {pool} are not, the first: {first!r} ({looks}). "
            f"Save them as people saw them: on the screen's grey, in 8 bits, turned."
        )


def _otherwise(image: Image.Image) -> str:
    """Why a loader that converts an image to RGB makes another one of it; empty if it does not."""
    if image.mode not in ("RGB", "L", "1", "P", "RGBX", "LA", "RGBA", "PA", "CMYK", "YCbCr"):
        return f"mode {image.mode}"
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
        if lowest < 255:
            return "transparent pixels"
    return "a tag that turns it" if is_turned(image) else ""


def check_whole(content: bytes) -> None:
    """Refuse an encoded image that is not whole; inside `strict_decoding`.

    Parameters
    ----------
    content : bytes
        A file in any format that Pillow reads. Of several frames the first is looked at, and in a PNG every chunk.

    Raises
    ------
    OSError, ValueError and the like
        `UNREADABLE`.
    """
    with open_image(content) as image:
        kind = image.format
        if kind in ("JPEG", "MPO"):
            _check_jpeg(content, image)
            return
        image.load()
    if kind == "PNG":
        with open_image(content) as image:
            image.verify()  # checksums of all chunks, which load does not compare


def is_jpeg(content: bytes) -> bool:
    """Whether these are the first bytes of a JPEG."""
    return content.startswith(_JPEG_START)


def without_application_data(content: bytes, marker: int) -> bytes:
    """A JPEG without its segments of one kind, such as 0xe1 (EXIF and XMP); pixels stay the same to the bit."""
    kept, last = [], 0
    for found, start, end in _segments(content, _marks(content)):
        if found == marker:
            kept.append(content[last:start])
            last = end
    return b"".join([*kept, content[last:]])


def _marks(content: bytes) -> np.ndarray:
    """Where a byte 0xff stands before one that makes a marker of it, in order: all at once, as a search one by one would hold
    the interpreter's lock for as long as the decoder takes."""
    values = np.frombuffer(content, dtype=np.uint8)
    found = np.flatnonzero(values[:-1] == 0xFF)
    return found[(values[found + 1] != 0) & (values[found + 1] != 0xFF)]


def _segments(content: bytes, marks: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the end marker; a scan ends where its coded data do."""
    ends = [mark for mark in marks.tolist() if content[mark + 1] not in _RESTARTS]
    position = 2
    while match := _MARKER.match(content, position):
        marker, start = match[1][0], match.start()
        if marker == _END:
            yield marker, start, match.end()
            return
        position = match.end()
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(content[position : position + 2], "big")
        if marker == _START_OF_SCAN:
            number = bisect_left(ends, position)
            position = _first_of_row(content, ends[number], position) if number < len(ends) else len(content)
        yield marker, start, position
    if position >= len(content):
        raise OSError("a JPEG is cut short: its end marker is missing")
    raise OSError(f"a JPEG is segments up to an end marker; byte {position:,} of {len(content):,} starts none")


def _body(content: bytes, start: int) -> bytes:
    """A segment's content behind its marker and its length."""
    position = _MARKER.match(content, start).end()
    return content[position + 2 : position + int.from_bytes(content[position : position + 2], "big")]


def _components(content: bytes, start: int, first: int, size: int) -> list[int]:
    """Identifiers of the components that a segment lists: their number, and ``size`` bytes for each."""
    body = _body(content, start)
    return list(body[first : first + size * body[first - 1] : size])


def _first_of_row(content: bytes, mark: int, least: int) -> int:
    """A marker may begin with several bytes 0xff: where they begin."""
    while mark > least and content[mark - 1] == 0xFF:
        mark -= 1
    return mark


def _check_jpeg(content: bytes, image: Image.Image) -> None:
    """Refuse a JPEG whose coded data end before all blocks of pixels have theirs.

    libjpeg goes on without a word. But it reads on, too, if there is something: filler behind the data of each scan
    changes the pixels if and only if data were missing. One eighth of the size is enough to see it, in half the time; not of a
    progressive one, whose later scans refine what is smaller. Of that one, whole scans may be missing, too.
    """
    pieces, last, coded, progressive, marks = [], 0, True, False, _marks(content)
    bits = {}  # of a progressive one: (component, coefficient) to the bits that are not known yet
    restarts_of_all = [mark for mark in marks.tolist() if content[mark + 1] in _RESTARTS]
    for marker, start, end in _segments(content, marks):
        coded &= marker not in _ARITHMETIC
        progressive |= marker == _PROGRESSIVE
        if marker == _PROGRESSIVE:
            bits = dict.fromkeys(product(_components(content, start, 6, 3), range(64)), 1)
        if marker == _START_OF_SCAN:
            if progressive:
                components = _components(content, start, 1, 2)
                first, final, approximation = _body(content, start)[1 + 2 * len(components) :][:3]
                bits.update(dict.fromkeys(product(components, range(first, final + 1)), approximation & 15))
            filler = _FILLER
            restarts = restarts_of_all[bisect_left(restarts_of_all, start + 2) : bisect_left(restarts_of_all, end - 1)]
            for number, restart in enumerate(restarts):
                if content[restart + 1] != _RESTARTS[number % 8]:
                    raise OSError("restart markers of a JPEG are numbered in turn; one is missing")
                first = _first_of_row(content, restart, start + 2)
                pieces += [content[last:first], _FILLER]
                last = first
            if restarts:  # a whole interval may be missing
                filler += b"".join(bytes([0xFF, marker]) + _FILLER for marker in _RESTARTS)
            pieces += [content[last:end], filler]
            last = end
    if any(bits.values()):
        raise OSError("scans of a progressive JPEG are missing before its end marker")
    filled = b"".join([*pieces, content[last:]])
    if not coded:
        image.load()
        return
    with open_image(filled) as other:
        for each in (image, other):
            if not progressive:
                each.draft(None, (max(1, each.width // 8), max(1, each.height // 8)))
            each.load()
        if image.tobytes() != other.tobytes():
            raise OSError("data of a JPEG are missing before its end marker")


def same_degrees(width: float, other: float) -> bool:
    """Whether two widths, in degrees of visual angle, are equal but for single precision."""
    return math.isclose(width, other, rel_tol=1e-6)


def check_degrees(stimuli: StimulusSet, degrees: float, of: str) -> None:
    """Raise StimulusKernelError if a StimulusSet says other widths of its images, in Brain-Score's column ``degrees``."""
    if "degrees" not in stimuli:
        return
    said = pd.to_numeric(stimuli["degrees"], errors="coerce").to_numpy(float)
    others = ~np.isclose(said, degrees, rtol=1e-6, atol=0.0)
    if others.any():
        first = int(others.argmax())
        raise StimulusKernelError(
            f"Images of {of} are {degrees:g} degrees wide; the StimulusSet's column degrees says otherwise of "
            f"{others.sum()} of {len(said)}, the first: {said[first]:g} of {stimuli['stimulus_id'].iloc[first]}. Place them on "
            f"one screen first (brainscore_vision.benchmark_helpers.screen.place_on_screen), or correct the column."
        )


def place_on_model_screen(
    stimuli: StimulusSet,
    content_hashes: dict,
    source_degrees: float,
    target_degrees: float,
    folders: Sequence[Path],
    progress: bool = False,
) -> StimulusSet:
    """Stimuli as a model with a field of view of ``target_degrees`` has to see them.

    Parameters
    ----------
    stimuli : StimulusSet
        One image file per stimulus.
    content_hashes : dict
        Stimulus id to a hash of its file's content.
    source_degrees, target_degrees : float
        Width of the images as shown to the subjects, and of the model's field of view, in degrees of visual angle.
    folders : sequence of pathlib.Path
        Where converted images are kept: those that are there are used, new ones go to the first folder that can be written.
    progress : bool
        Show a bar; silent when standard error is not a terminal.

    Returns
    -------
    StimulusSet
        The same stimuli; paths of converted images, or the given ones if both widths are equal. Its identifier is None:
        Brain-Score must not cache activations under the name of a set that may differ from call to call.
    """
    if not target_degrees > 0:
        raise StimulusKernelError(
            f"A model's field of view is a positive number of degrees, received {target_degrees!r}. "
            f"Set visual_degrees when committing the model."
        )
    ids = list(stimuli["stimulus_id"])
    paths = {stimulus_id: Path(stimuli.get_stimulus(stimulus_id)) for stimulus_id in ids}
    if not same_degrees(target_degrees, source_degrees):
        names, targets = _kept(paths, content_hashes, source_degrees, target_degrees, folders)
        pending = {}
        if missing := [i for i in ids if targets[i] is None]:
            folder = _first_writable(folders)
            targets.update({i: folder / names[i] for i in missing})
            pending = {targets[i]: paths[i] for i in missing}
        if pending:
            with (
                tqdm(
                    total=len(pending),
                    unit="images",
                    desc=f"fitting images to {target_degrees:g} degrees",
                    leave=False,
                    disable=None if progress else True,
                ) as bar,
                ThreadPoolExecutor(worker_count(), "images") as workers,
            ):
                converted = workers.map(
                    lambda item: _convert(item[1], item[0], source_degrees, target_degrees), pending.items()
                )
                for _ in converted:
                    bar.update()
        paths = targets
    placed = StimulusSet({"stimulus_id": ids})
    placed.stimulus_paths = {stimulus_id: str(path) for stimulus_id, path in paths.items()}
    placed.identifier = None
    return placed


def count_unfitted(
    stimuli: StimulusSet, content_hashes: dict, source_degrees: float, target_degrees: float, folders: Sequence[Path]
) -> int:
    """How many images :func:`place_on_model_screen` would have to convert; parameters as there."""
    if same_degrees(target_degrees, source_degrees):
        return 0
    paths = {stimulus_id: Path(stimuli.get_stimulus(stimulus_id)) for stimulus_id in stimuli["stimulus_id"]}
    _, targets = _kept(paths, content_hashes, source_degrees, target_degrees, folders)
    return sum(path is None for path in targets.values())


def _kept(
    paths: dict[str, Path], content_hashes: dict, source_degrees: float, target_degrees: float, folders: Sequence[Path]
) -> tuple[dict[str, str], dict[str, Path | None]]:
    """Name of each stimulus's converted image, and where it is; None if it is nowhere."""
    degrees = f"source{float(source_degrees)!r}-target{float(target_degrees)!r}"
    names = {i: f"{degrees}/{content_hashes[i][:2]}/{content_hashes[i]}{_suffix(path)}" for i, path in paths.items()}
    return names, {i: next((f / name for f in folders if (f / name).exists()), None) for i, name in names.items()}


def fitted_images(folder: Path) -> list[Path]:
    """Folders of converted images below one of the ``folders`` of :func:`place_on_model_screen`."""
    return list(folder.glob("source*-target*"))


def is_damaged_copy(path: Path) -> bool:
    """Whether a file is such a converted image, and cannot be read."""
    if not (len(path.parents) > 1 and path.parents[1].match("source*-target*")):
        return False
    try:
        with strict_decoding(), open_image(path) as image:
            image.load()
    except UNREADABLE:
        return True
    return False


def _first_writable(folders: Sequence[Path]) -> Path:
    errors = {}
    for folder in folders:
        errors[folder] = cannot_write(folder)
        if errors[folder] is None:
            return folder
    raise StorageError(
        f"Images fitted to a model's field of view are kept in {folders[0]}, which cannot be written "
        f"({errors[folders[0]].strerror}). Set the environment variable BRAINSCORE_HOME to a folder that can be written, or "
        f"choose one for what a run needs (--spool-directory)."
    )


def _suffix(source: Path) -> str:
    """Ending of a converted image's name, by the content of its source."""
    try:
        with source.open("rb") as file:
            return ".jpg" if is_jpeg(file.read(16)) else ".png"
    except OSError as error:
        raise _unreadable(source, error) from error


def _convert(source: Path, target: Path, source_degrees: float, target_degrees: float) -> None:
    make_folder(target.parent)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".converting-"))
    ratio = target_degrees / source_degrees
    try:
        try:
            with strict_decoding(), open_image(source) as image:
                if min(round(ratio * side) for side in image.size) < 1:
                    raise StimulusKernelError(
                        f"A model's field of view shows one pixel of an image or more; {target_degrees:g} degrees show none "
                        f"of {source}, whose {image.width} x {image.height} pixels are {source_degrees:g} degrees wide. Set "
                        f"visual_degrees when committing the model."
                    )
                ImageConverter(scratch).apply_ratio(image, ratio).save(scratch / target.name)
        except StimulusKernelError:
            raise
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise StorageError(
                    f"Images fitted to a model's field of view are kept in {target.parent}, where no space is left. "
                    f"Free some, or set BRAINSCORE_HOME to a folder on another disk."
                ) from error
            raise _unreadable(source, error) from error
        os.replace(scratch / target.name, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unreadable(source: Path, error: Exception) -> StimulusKernelError:
    return StimulusKernelError(
        f"Each stimulus must be a readable image; {source} is not ({type(error).__name__}: {error}). "
        f"Restore the file, e.g. by extracting the stimuli again."
    )
