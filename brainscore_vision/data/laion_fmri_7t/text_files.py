"""Text files that people write: lists, CSV tables, JSON, in any of the encodings that editors and Excel save."""

from __future__ import annotations

import codecs
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
        Not text in UTF-8 or UTF-16, not a table, or rows with more fields than the header.
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
    return frame


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
