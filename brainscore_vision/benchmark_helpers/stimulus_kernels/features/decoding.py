"""Image files read strictly, whatever the process has set: whole, or an error.

Pillow's settings belong to the process. A model file that sets ``ImageFile.LOAD_TRUNCATED_IMAGES`` must not decide which
images are whole, so reading here goes by settings of its own. And a decoder forgives what it can: libjpeg paints grey
where a JPEG's data end early, PNG's checksums are not compared. What it cannot forgive is looked at here; damage that is
valid data again, such as a few changed bytes in a JPEG, can only be found by a hash that was taken before.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import StimulusKernelError

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

_JPEG_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # 0xff 0x00 is a data byte
_START_OF_SCAN, _END, _RESTARTS = 0xDA, 0xD9, range(0xD0, 0xD8)
_WITHOUT_LENGTH = (0x01, 0xD8, *_RESTARTS)
_ARITHMETIC = (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)  # frames of these codes may leave out zeros at the end
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


def _first_of_row(content: bytes, mark: int, least: int) -> int:
    """A marker may begin with several bytes 0xff: where they begin."""
    while mark > least and content[mark - 1] == 0xFF:
        mark -= 1
    return mark


def _check_jpeg(content: bytes, image: Image.Image) -> None:
    """Refuse a JPEG whose coded data end before all blocks of pixels have theirs.

    libjpeg goes on without a word. But it reads on, too, if there is something: filler behind the data of each scan
    changes the pixels if and only if data were missing. One eighth of the size is enough to see it, in half the time.
    """
    pieces, last, coded, marks = [], 0, True, _marks(content)
    restarts_of_all = [mark for mark in marks.tolist() if content[mark + 1] in _RESTARTS]
    for marker, start, end in _segments(content, marks):
        coded &= marker not in _ARITHMETIC
        if marker == _START_OF_SCAN:
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
    filled = b"".join([*pieces, content[last:]])
    if not coded:
        image.load()
        return
    with open_image(filled) as other:
        for each in (image, other):
            each.draft(None, (max(1, each.width // 8), max(1, each.height // 8)))
            each.load()
        if image.tobytes() != other.tobytes():
            raise OSError("data of a JPEG are missing before its end marker")
