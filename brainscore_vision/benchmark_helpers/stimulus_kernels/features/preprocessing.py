"""Which code prepares the images for a model: a digest of its source text and of the settings bound to it.

A change that touches few images, such as another treatment of one file format, hides from the features of a handful.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import inspect
import types

from .network import held_in

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
    What may change while it is used does not count: lists, dictionaries, objects (torchvision's transforms among them), and
    variables that the functions themselves set, such as a counter.
    """
    found = (getattr(getattr(value, "_extractor", None), "preprocess", None) for _, value in held_in(model))
    functions = {id(function): function for function in found if callable(function)}
    if not functions:
        return None
    content, seen = hashlib.blake2b(digest_size=DIGEST_BYTES), set()
    for function in functions.values():
        _add(content, function, seen)
    return content.hexdigest()


def _add(content, value, seen: set[int]) -> None:
    content.update(f"\0{type(value).__qualname__}\0".encode())
    if isinstance(value, SETTINGS):
        content.update(repr(value).encode())
    elif isinstance(value, tuple):
        for part in value:
            _add(content, part, seen)
    elif isinstance(value, functools.partial):
        _add(content, (value.func, value.args), seen)
        _add_named(content, value.keywords, seen)
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
    _add(content, function.__defaults__, seen)
    _add_named(content, function.__kwdefaults__ or {}, seen)
    code, known = function.__code__, function.__globals__
    closure = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    for name in sorted(closure.keys() - _set_by(code)):
        with contextlib.suppress(ValueError):  # nothing was put into it yet
            _add(content, (name, closure[name].cell_contents), seen)
    named = {name: known[name] for name in _names(code) - _set_by(code) if name in known}
    own = {
        name: value
        for name, value in named.items()
        if isinstance(value, SETTINGS) or getattr(value, "__module__", None) == function.__module__
    }
    _add_named(content, own, seen)


def _add_named(content, values: dict, seen: set[int]) -> None:
    for name in sorted(values):
        _add(content, (name, values[name]), seen)


def _set_by(code: types.CodeType) -> set[str]:
    """Variables outside of a function that its code sets."""
    return {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "STORE_DEREF")}


def _names(code: types.CodeType) -> set[str]:
    """Names that code looks up outside of itself, comprehensions and functions inside it too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)
