"""Which code prepares the images for a model: a digest of its source text and of the settings bound to it.

A change that touches few images, such as another treatment of one file format, hides from the features of a handful.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import types

from .network import models_in

DIGEST_BYTES = 8
SETTINGS = (bool, int, float, complex, str, bytes, type(None))


def preprocessing_digest(model) -> str | None:
    """Digest of the functions that a model's activations models call on images.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel

    Returns
    -------
    str or None
        16 hexadecimal digits: of the functions' source text, of that of the functions of the same module that they name,
        and of numbers and text that are bound to them (``functools.partial``, defaults, closures, constants of the module).
        None where nothing says what prepares images.

    Notes
    -----
    What objects hold, such as torchvision's transforms, does not count: some change whenever they are used.
    """
    holders = [held for part in models_in(model) for held in _held_by(part).values()]
    functions = [getattr(getattr(holder, "_extractor", None), "preprocess", None) for holder in holders]
    functions = [function for function in functions if callable(function)]
    if not functions:
        return None
    content, seen = hashlib.blake2b(digest_size=DIGEST_BYTES), set()
    for function in functions:
        _add(content, function, seen)
    return content.hexdigest()


def _held_by(value) -> dict:
    """Attributes that an object itself holds."""
    return getattr(value, "__dict__", {})


def _add(content, value, seen: set[int]) -> None:
    content.update(f"\0{type(value).__qualname__}\0".encode())
    if isinstance(value, SETTINGS):
        content.update(repr(value).encode())
    elif isinstance(value, list | tuple):
        for part in value:
            _add(content, part, seen)
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            _add(content, (key, value[key]), seen)
    elif isinstance(value, functools.partial):
        _add(content, [value.func, value.args, value.keywords], seen)
    elif isinstance(value, types.MethodType):
        _add(content, value.__func__, seen)
    elif isinstance(value, types.FunctionType) and id(value) not in seen:
        seen.add(id(value))
        _add_function(content, value, seen)


def _add_function(content, function: types.FunctionType, seen: set[int]) -> None:
    try:
        content.update(inspect.getsource(function).encode())
    except (OSError, TypeError):  # typed in, or made by exec
        content.update(function.__code__.co_code)
        _add(content, function.__code__.co_consts, seen)
    _add(content, [function.__defaults__, function.__kwdefaults__], seen)
    closure = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    with contextlib.suppress(ValueError):  # a cell that nothing was put into yet
        _add(content, {name: cell.cell_contents for name, cell in closure}, seen)
    known = function.__globals__
    named = {name: known[name] for name in _names(function.__code__) if name in known}
    own = {
        name: value
        for name, value in named.items()
        if isinstance(value, SETTINGS) or getattr(value, "__module__", None) == function.__module__
    }
    _add(content, own, seen)


def _names(code: types.CodeType) -> set[str]:
    """Names that code looks up outside of itself, comprehensions and functions inside it too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)
