"""Which code is the user's, and its text: functions, files that they import, the lines where they fail."""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
import io
import linecache
import os
import sys
import sysconfig
import tokenize
import traceback
import types
from pathlib import Path

PACKAGES = {"site-packages", "dist-packages"}
BRAIN_SCORE = ("brainscore_core", "brainscore_vision")

CONSTANTS = (bool, int, float, complex, str, bytes, type(None), tuple)
"""Of those in code, what ``repr`` tells whole."""


def source_of(function: types.FunctionType) -> bytes:
    """Its text without comments; what Python made of it where no text is known that it was made of."""
    code, file = function.__code__, function.__code__.co_filename
    if file.startswith("<") and file not in linecache.cache:  # typed in, or made by exec
        return _of_code(code)
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return _text(code)
    return _text_of_file(code, file, code.co_qualname, (found.st_ino, found.st_mtime_ns, found.st_size))


@functools.lru_cache(maxsize=4096)
def _text_of_file(code: types.CodeType, *of_the_file) -> bytes:
    """`_text`, looked up once while the file stays as it is; equal code may be in several files, or twice in one."""
    return _text(code)


def _text(code: types.CodeType) -> bytes:
    made = _of_code(code)
    try:
        lines, _ = inspect.findsource(code)
    except (OSError, TypeError):
        return made
    same = [one for one in _codes_in("".join(lines)).get(code.co_qualname, ()) if _of_code(one) == made]
    if not same:  # the file has changed since it was imported
        return made
    text = _without_comments("".join(inspect.getblock(lines[same[0].co_firstlineno - 1 :])))
    return text.encode() + (made if text.count("lambda") > 1 else b"")  # several of one line


def _without_comments(text: str) -> str:
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # of a lambda, Python gives whole lines
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        text = "".join(token.string for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL))
    return text


@functools.lru_cache(maxsize=64)
def _codes_in(text: str) -> dict[str, list[types.CodeType]]:
    """Functions in a file's text, by their names with what they are in."""
    found: dict[str, list[types.CodeType]] = {}
    try:
        left = [compile(text, "", "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return found
    while left:
        code = left.pop()
        found.setdefault(code.co_qualname, []).append(code)
        left += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return found


def _of_code(code: types.CodeType) -> bytes:
    constants = [constant for constant in code.co_consts if isinstance(constant, CONSTANTS)]
    inner = [_of_code(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return code.co_code + repr((constants, code.co_names)).encode() + b"".join(inner)


def imported_files(code: types.CodeType) -> dict[Path, str]:
    """Files of the user's that code imports when it runs, and those that these import: their text without comments.

    Looked for beside the code's file and in the folders above it, so that it is the same before and after it was imported.
    """
    found, waiting = {}, [code]
    while waiting:
        code = waiting.pop()
        file = Path(code.co_filename)
        for name in _imports(code) if file.is_file() else ():
            parts = [part for part in name.split(".") if part]
            if not parts or parts[0] in (*sys.stdlib_module_names, *BRAIN_SCORE):
                continue
            places = [folder.joinpath(*parts) for folder in file.absolute().parents]
            paths = (path for place in places for path in (place.with_suffix(".py"), place / "__init__.py"))
            path = next((path for path in paths if path.is_file()), None)
            if path is not None and path not in found and not is_installed(str(path)):
                found[path], inner = _read_code(path, path.stat().st_mtime_ns)
                waiting += inner
    return found


@functools.lru_cache(maxsize=1024)
def _imports(code: types.CodeType) -> set[str]:
    """Names of modules that code imports, functions inside it too, and of what it takes from them, which may be modules."""
    found, module = set(), ""
    for i in dis.get_instructions(code):
        if i.opname == "IMPORT_NAME":
            module = i.argval
            found.add(module)
        elif i.opname == "IMPORT_FROM":
            found.add(f"{module}.{i.argval}")
    return found.union(*(_imports(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)))


@functools.lru_cache(maxsize=256)
def _read_code(path: Path, written: int) -> tuple[str, list[types.CodeType]]:
    """A file's text without comments, and its code; no code where Python cannot read it, which its import will say."""
    text = path.read_text(encoding="utf-8", errors="replace")
    with contextlib.suppress(SyntaxError, ValueError):
        return _without_comments(text), [compile(text, str(path), "exec", dont_inherit=True)]
    return text, []


@functools.lru_cache(maxsize=1024)
def set_by(code: types.CodeType) -> set[str]:
    """Variables outside of a function that its code sets."""
    return {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "STORE_DEREF")}


def texts_in(code: types.CodeType) -> set[str]:
    """Texts in code, which may be names."""
    inner = (texts_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return {constant for constant in code.co_consts if isinstance(constant, str)}.union(*inner)


def names_in(code: types.CodeType) -> set[str]:
    """Names that code looks up outside of itself, comprehensions and functions inside it too."""
    inner = (names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


@functools.lru_cache(maxsize=1024)
def sets_outside(code: types.CodeType) -> bool:
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_DEREF"} & set(code.co_freevars)
    return bool(names) or any(i.opname == "STORE_GLOBAL" for i in dis.get_instructions(code))


def failure(error: Exception) -> str:
    """An error in one line, with the last line of the user's own files that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_installed(frame.filename)]
    where = f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


@functools.lru_cache(maxsize=4096)
def is_installed(file: str) -> bool:
    """Whether a file of code belongs to Python or to an installed package; others are the user's."""
    parents = Path(file).parents
    return Path(sysconfig.get_path("stdlib")) in parents or any(map(_holds_packages, parents))


def is_own(module: str) -> bool:
    """Whether a module is the user's: neither Python's nor an installed package's.

    Of Brain-Score, which may be a checkout, models alone.
    """
    package, *inside = module.split(".")
    if package in sys.stdlib_module_names or (package in BRAIN_SCORE and inside[:1] != ["models"]):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return not (file and is_installed(file))


@functools.cache
def _holds_packages(folder: Path) -> bool:
    """Whether packages were installed into a folder: its name says so, or what an installer left there (pip's --target)."""
    return folder.name in PACKAGES or any(folder.glob("*.dist-info/RECORD"))
