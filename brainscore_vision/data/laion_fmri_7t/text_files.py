"""Text files that people write: lists, CSV tables, JSON, in any of the encodings that editors and Excel save."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

import pandas as pd

from .errors import SchemaError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order mark -> the codec that takes it off."""

_HEAD = 4096
_TAIL = 2**20

_NUMBER = re.compile(r"[+-]?\d*(?:[.,](\d*))?(?:[eE][+-]?(\d*))?")


def text_encoding(path: Path) -> str:
    """The encoding of a text file: what its byte order mark says, else UTF-8 or UTF-16, which zero bytes tell apart."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # every second byte of English text in UTF-16 is zero, and none is in UTF-8
    zeros = [head[start::2].count(0) > len(head) // 4 for start in (0, 1)]
    if zeros == [False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] else "utf-8"


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark, its lines ended by a line feed.

    Raises
    ------
    SchemaError
        The bytes are no text in UTF-8 or UTF-16.
    """
    path = Path(path)
    encoding = text_encoding(path)
    try:
        text = path.read_text(encoding=encoding)
    except UnicodeError as error:
        raise SchemaError(_not_text(path, error)) from error
    if "\0" in text:
        raise SchemaError(_not_text(path, "it holds zero bytes"))
    return text


def read_json(path: Path):
    """What is in a JSON file, each of whose entries stands there once; of several, Python's reader takes the last.

    Raises
    ------
    SchemaError
        Bytes that are no text, or an entry that is repeated.
    json.JSONDecodeError
        Text that is no JSON.
    """

    def once(pairs: list[tuple]) -> dict:
        found, names = dict(pairs), [name for name, _ in pairs]
        if len(found) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise SchemaError(f"{path}: an entry stands in a file once; {repeated!r} is repeated. Keep one.")
        return found

    return json.loads(read_text(path), object_pairs_hook=once)


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without surrounding blanks; empty ones are left out. Errors as :func:`read_text`."""
    return [line.strip() for line in read_text(path).split("\n") if line.strip()]


def read_csv(path: Path, **options) -> pd.DataFrame:
    """A table separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : Path
    **options
        As for `pandas.read_csv`; without ``sep``, the header tells the separator.

    Raises
    ------
    SchemaError
        Not text in UTF-8 or UTF-16, not a table, rows with more fields than the header, or a file that was cut inside its
        last number, as far as that can be seen (:func:`ends_in_a_number`).
    """
    path = Path(path)
    options = {"sep": separator(path), **options}
    try:
        frame = pd.read_csv(path, encoding=text_encoding(path), **options)
    except UnicodeError as error:
        raise SchemaError(_not_text(path, error)) from error
    except (ValueError, pd.errors.ParserError) as error:
        raise SchemaError(
            f"{path} must be a table in CSV; reading it gave: {str(error).strip('. ')}. Save it again."
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas takes the surplus for an index, and moves every name one column on
        raise SchemaError(
            f"{path}: a row has one field per name in the header; the rows have more fields than the header's "
            f"{frame.shape[1]}. Name every column, and take separators off the ends of lines."
        )
    if "nrows" not in options and ends_in_a_number(path, options["sep"]) == CUT:
        raise SchemaError(
            f"{path}: the last number has fewer digits than any other of its column, and no line feed follows it: the file was "
            f"cut. Copy or write it again. (If it is whole, end its last line with a line feed.)"
        )
    return frame


WHOLE, UNCLEAR, CUT = "whole", "unclear", "cut"


def ends_in_a_number(path: Path, sep: str) -> str:
    """Whether a table was cut inside its last number, which reads as another number.

    Returns
    -------
    str
        ``WHOLE`` if the file ends with a line feed, or with something else than a number; ``CUT`` if its last number has fewer
        digits after the mark, or in its exponent, than every other one at the end of a line; else ``UNCLEAR``.
    """
    path = Path(path)
    encoding = text_encoding(path)
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL) // 4 * 4)  # whole letters of UTF-16 and UTF-32
        text = file.read().decode(encoding, errors="ignore")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ends = [_NUMBER.fullmatch(line.rpartition(sep)[2].strip().strip('"')) for line in lines]
    others = [end for end in ends[1:-1] if end is not None and end[0]]
    if ends[-1] is None or not ends[-1][0]:
        return WHOLE
    for digits in (1, 2):
        known = [len(end[digits]) for end in others if end[digits] is not None]
        last = ends[-1][digits]
        if last is None and len(known) == len(others) > 0:
            return CUT
        if last is not None and known and len(last) < min(known):
            return CUT
    return UNCLEAR


def separator(path: Path) -> str:
    """What stands between the columns of a table: a tab, semicolon or comma, by its header.

    Raises
    ------
    SchemaError
        The header holds commas and semicolons, or the bytes are no text.
    """
    path = Path(path)
    try:
        with path.open(encoding=text_encoding(path)) as file:
            header = next((line for line in file if line.strip()), "")
    except UnicodeError as error:
        raise SchemaError(_not_text(path, error)) from error
    unquoted = "".join(header.split('"')[::2])
    found = [mark for mark in "\t;," if mark in unquoted]
    if found == [";", ","]:
        raise SchemaError(
            f"{path}: columns are separated by commas, by semicolons or by tabs; the header has commas and semicolons. "
            f"Save the table with one of them, or quote the names."
        )
    return found[0] if found else ","


def _not_text(path: Path, found) -> str:
    return f"{path} is read as text in UTF-8 or UTF-16; it cannot be: {found}. Save it as UTF-8."
