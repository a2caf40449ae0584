"""Which code prepares the images for a model: a digest of its source text and of its settings.

A change that touches few images, such as another treatment of one file format, hides from the features of a handful.
"""

from __future__ import annotations

import contextlib
import dis
import enum
import functools
import hashlib
import inspect
import os
import random
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from brainscore_vision.model_helpers.activations.core import ActivationsExtractorHelper
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_interface import BrainModel

from .lookup import LookupModel
from .network import add_tensor, held_in, models_in, modules_in
from .prepared import is_installed

DIGEST_BYTES = 8
FORM = "2:"
"""Digests begin so; those of another form cannot be compared."""

ARRAY, MODEL = b"array ", "model"
MOST_BYTES = 2**26
"""Of an array that counts by its values; larger ones count by type and shape."""

DEEPEST = 40

SETTINGS = (bool, int, float, complex, str, bytes, type(None), enum.Enum, Path, np.generic)
NETWORKS = (BrainModel, PytorchWrapper, ActivationsExtractorHelper)
"""Own what prepares images, and change while they are used."""

_changing: dict[int, set] = {}

Places = dict[tuple[str, ...], bytes]
"""Where something stands (names and positions from the function inwards), and what."""


def preprocessing_digest(model) -> str | None:
    """Digest of what a model's activations models do to images.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel

    Returns
    -------
    str or None
        ``FORM`` and 16 hexadecimal digits. None where nothing says what prepares images.

    Notes
    -----
    Counted are functions by their source text, with the functions and classes of the user's files that they name, and all
    that is bound to them: ``functools.partial``, defaults, closures, variables of the module, the public attributes of objects
    (torchvision's and other transforms, processors), items of lists and dictionaries. Classes of installed packages count by
    their names, networks do not count.

    What changes while it is used is no setting: what a function assigns outside of itself, and what was another value after
    images were shown than before (:func:`noticing_changes`): counters, caches, the last parameters of a random transform.
    """
    found = _places(model)
    if not found:
        return None
    content, changing = hashlib.blake2b(digest_size=DIGEST_BYTES), _changing.get(id(model), set())
    for place, what in sorted(found.items()):
        counts = place[0] != MODEL or what.startswith(ARRAY)
        if counts and not any(place[:n] in changing for n in range(1, len(place) + 1)):
            content.update(repr((place, what)).encode())
    return FORM + content.hexdigest()


@contextlib.contextmanager
def noticing_changes(model) -> Iterator[None]:
    """Show images inside this block: what it changes is left out of :func:`preprocessing_digest` from then on."""
    before = _places(model)
    yield
    after = _places(model)
    changed = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
    if id(model) not in _changing:
        try:
            weakref.finalize(model, _changing.pop, id(model), None)
        except TypeError:  # nothing would tell when its id is another model's
            return
    _changing.setdefault(id(model), set()).update(changed)


def preparing_state(model) -> tuple | None:
    """What a model's preparation of images can change: equal before and after it if it changed nothing.

    Values of what :func:`preprocessing_digest` looks at, and the states of random generators. None where it is known that
    something changes: by an earlier :func:`noticing_changes`, or by a function that assigns variables outside of itself.
    """
    seen: dict[int, object] = {}
    found = _places(model, seen)
    functions = [value.__code__ for value in seen.values() if isinstance(value, types.FunctionType)]
    if _changing.get(id(model)) or any(_sets_outside(code) for code in functions):
        return None
    _, numbers, *position = np.random.get_state()  # noqa: NPY002 - of the generator that transforms share
    torch = sys.modules.get("torch")
    return found, random.getstate(), numbers.tobytes(), position, torch and torch.get_rng_state().numpy().tobytes()


def _sets_outside(code: types.CodeType) -> bool:
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_DEREF"} & set(code.co_freevars)
    return bool(names) or any(i.opname == "STORE_GLOBAL" for i in dis.get_instructions(code))


def _places(model, seen: dict[int, object] | None = None) -> Places:
    """Parts of what prepares a model's images; ``seen`` receives them by their ids."""
    found: Places = {}
    seen = {} if seen is None else seen
    functions = (getattr(getattr(value, "_extractor", None), "preprocess", None) for _, value in held_in(model))
    for i, function in enumerate({id(f): f for f in functions if callable(f)}.values()):
        _add(found, (str(i),), function, seen)
    if not isinstance(model, LookupModel) and next(modules_in(model), None) is None:
        for i, part in enumerate(models_in(model)):
            _add(found, (MODEL, str(i)), dict(getattr(part, "__dict__", {})), seen)
    return found


def _add(found: Places, place: tuple[str, ...], value, seen: dict[int, object]) -> None:
    """Put a value and what it holds into ``found``."""
    kind, what = type(value), b""
    inner: dict[str, object] = {}
    torch = sys.modules.get("torch")
    if isinstance(value, SETTINGS) or (torch and isinstance(value, torch.dtype | torch.device)):
        what = repr(value).encode()
    elif all(hasattr(value, name) for name in ("dtype", "shape", "nbytes", "__array__")) and not inspect.isclass(value):
        what = ARRAY + _array(value)
    elif isinstance(value, types.ModuleType | types.BuiltinFunctionType | np.ufunc):
        what = value.__name__.encode()
    elif id(value) not in seen and len(place) < DEEPEST:
        seen[id(value)] = value  # kept, so that no other object gets its id
        if isinstance(value, list | tuple):
            inner = {str(i): part for i, part in enumerate(value)}
        elif isinstance(value, set | frozenset):
            what = repr(sorted(map(repr, value))).encode()
        elif isinstance(value, Mapping) and value is not os.environ:
            inner = {repr(key): part for key, part in value.items() if isinstance(key, (*SETTINGS, tuple))}
        elif isinstance(value, functools.partial):
            inner = {"func": value.func, "args": value.args, "keywords": value.keywords}
        elif isinstance(value, types.MethodType):
            inner = {"function": value.__func__, "self": value.__self__}
        elif isinstance(value, types.FunctionType):
            what, inner = _source(value), _bound(value)
        elif inspect.isclass(value):
            what, inner = value.__qualname__.encode(), _own_members(value)
        elif "__wrapped__" in getattr(value, "__dict__", {}):  # functools.lru_cache
            inner = {"wrapped": value.__wrapped__}
        else:
            inner = _attributes(value)
    # the names of all that it holds: a list that grows is another one, as a whole
    found[place] = b"\0".join([what, kind.__qualname__.encode(), repr(sorted(inner)).encode()])
    for name in sorted(inner):  # in the same order in every process: of an object in two places, the first counts
        _add(found, (*place, name), inner[name], seen)


def _array(value) -> bytes:
    content = hashlib.blake2b(f"{value.dtype} {tuple(value.shape)}".encode(), digest_size=DIGEST_BYTES)
    torch = sys.modules.get("torch")
    if torch and isinstance(value, torch.Tensor):
        if value.numel() * value.element_size() <= MOST_BYTES:
            add_tensor(content, "", value)
    elif value.nbytes <= MOST_BYTES and value.dtype != object:
        content.update(np.asarray(value).tobytes())  # of jax, tensorflow or pandas too
    return content.digest()


def _source(function: types.FunctionType) -> bytes:
    try:
        return inspect.getsource(function).encode()
    except (OSError, TypeError):  # typed in, or made by exec
        constants = [constant for constant in function.__code__.co_consts if isinstance(constant, (*SETTINGS, tuple))]
        return function.__code__.co_code + repr(constants).encode()


def _bound(function: types.FunctionType) -> dict:
    """What a function finds outside of its arguments, by name."""
    code, known = function.__code__, function.__globals__
    bound = {"defaults": function.__defaults__, "keyword defaults": function.__kwdefaults__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # nothing was put into it yet
            bound[name] = cell.cell_contents
    names = _names(code)
    for name in names & known.keys():
        value = known[name]
        if isinstance(value, types.ModuleType) and _is_own(value.__name__):
            value = {attribute: getattr(value, attribute) for attribute in names if hasattr(value, attribute)}
        elif (isinstance(value, types.FunctionType) or inspect.isclass(value)) and not (
            value.__module__ == function.__module__ or _is_own(value.__module__)
        ):
            value = f"{value.__module__}.{value.__qualname__}"
        bound[f"global {name}"] = value
    for name in _set_by(code):
        bound.pop(name, None)
        bound.pop(f"global {name}", None)
    return bound


def _own_members(kind: type) -> dict:
    """Methods and constants of a class and its bases, as far as no installed package defines them."""
    members = {}
    for base in reversed(kind.__mro__):
        if not _is_own(base.__module__):
            continue
        for name, value in vars(base).items():
            value = getattr(value, "__func__", getattr(value, "fget", value))  # static and class methods, properties
            if isinstance(value, types.FunctionType) or not name.startswith("_"):
                members[name] = value
    return members


def _is_own(module: str) -> bool:
    """Whether a module is the user's: neither Python's nor an installed package's."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module.partition(".")[0] not in sys.stdlib_module_names and not (file and is_installed(file))


def _attributes(value) -> dict:
    """Class and public attributes of an object."""
    torch = sys.modules.get("torch")
    is_module = torch is not None and isinstance(value, torch.nn.Module)
    if isinstance(value, NETWORKS) or type(value).__module__.partition(".")[0] in sys.stdlib_module_names - {"types"}:
        return {}
    if is_module and next(value.parameters(), None) is not None:
        return {}
    slots = {name for base in type(value).__mro__ for name in _slots(base) if hasattr(value, name)}
    held = {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}
    public = {name: part for name, part in held.items() if not name.startswith("_")}
    if is_module:
        public.pop("training", None)
        public |= {**value._buffers, **value._modules}
    own = _own_members(type(value))
    return {**public, **({"class": type(value)} if own else {})}


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _set_by(code: types.CodeType) -> set[str]:
    """Variables outside of a function that its code sets."""
    return {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "STORE_DEREF")}


def _names(code: types.CodeType) -> set[str]:
    """Names that code looks up outside of itself, comprehensions and functions inside it too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)
