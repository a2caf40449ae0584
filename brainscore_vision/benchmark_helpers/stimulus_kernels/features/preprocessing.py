"""Which code prepares the images for a model: a digest of its source text and of its settings, and what changes meanwhile.

A change that touches few images, such as another treatment of one file format, hides from the features of a handful.
What counts is the user's: :func:`.source_text.is_own` tells it from Python and from installed packages.
:func:`preparing_state` tells whether preparing images has left something behind.
"""

from __future__ import annotations

import array
import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import inspect
import itertools
import numbers
import operator
import os
import random
import re
import sys
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from brainscore_vision.model_helpers.activations.core import ActivationsExtractorHelper
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_interface import BrainModel
from brainscore_vision.utils import LazyLoad

from .as_written import alone_with
from .generators import moved, states_of
from .held_state import read_item
from .lookup import LookupModel
from .network import add_tensor, asked, held_in, models_in, modules_in
from .source_text import imported_files, is_own, names_in, set_by, sets_outside, source_of, texts_in

DIGEST_BYTES = 8
FORM = "5:"
"""Digests begin so; those of another form cannot be compared."""

ARRAY, MODEL = b"array ", "model"
MOST_BYTES = 2**32
"""Of an array that counts by its values, which takes about a second a GB; larger ones count by type and shape."""
FEW = 64
"""Items of a list that count one by one; plain items of a longer one count together, as an array's."""

DEEPEST = 40

PLAIN = (bool, int, float, complex, str, bytes, type(None), enum.Enum, PurePath, np.generic)
TIMES = (datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)
NUMBERS = (range, slice, bytearray, array.array, decimal.Decimal, fractions.Fraction)
GETTERS = (re.Pattern, operator.attrgetter, operator.itemgetter, operator.methodcaller)
SETTINGS = (*PLAIN, *TIMES, *NUMBERS, *GETTERS)
"""What their ``repr`` tells whole."""
SEQUENCES = (list, tuple, collections.deque, collections.UserList)
OF_SETTINGS = {"argparse", "collections", "dataclasses", "functools", "optparse", "string", "types"}
"""Modules of the standard library whose objects hold settings; others are locks, files, loggers, counters ..."""
WRAPPING = {
    staticmethod | classmethod: "__func__",
    property: "fget",
    functools.cached_property | functools.singledispatchmethod: "func",
}
"""What stands for a method in a class, and the attribute that holds its function."""
GENERATORS = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)
"""Where they stand is no setting; :func:`preparing_state` asks for it."""
NETWORKS = (BrainModel, PytorchWrapper, ActivationsExtractorHelper)
"""Own what prepares images, and change while they are used."""

UNSET = object()
"""What a slot holds that nothing was put into."""

ADAPTERS = ("_active_adapter", "_disable_adapters")
"""Private attributes of peft's layers that decide what they answer."""

HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Attributes of a torch module with functions that change what it sees and answers."""

Places = dict[tuple[str, ...], bytes]
"""Where something stands (names and positions from the function inwards), and what."""

Seen = dict[int, tuple[object, tuple[str, ...]]]
"""By the id of an object, the object and the first place where it stands."""

_changing: dict[int, set] = {}
"""By the id of a model, places in what prepares its images that change while it is used."""

_steady: dict[int, set] = {}
"""By the id of a model, places in its structure that no pass has changed."""


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
    Counted are functions by their source text without comments, with the functions and classes of the user's files that
    they name, and all that is bound to them: ``functools.partial``, defaults, closures, variables of the module, the public
    attributes of objects (torchvision's and other transforms, processors), items of lists and dictionaries. Classes of
    installed packages count by their names, networks do not count.

    What changes while it is used is no setting: what a function assigns outside of itself, and what was another value after
    images were shown than before (:func:`noticing_changes`): counters, caches, the last parameters of a random transform.
    """
    with alone_with([model, *modules_in(model)]):
        found = _places(model)
    if not found:
        return None
    content, changing = hashlib.blake2b(digest_size=DIGEST_BYTES), _changing.get(id(model), set())
    for place, what in sorted(found.items()):
        counts = place[0] != MODEL or what.startswith(ARRAY)
        if counts and not any(place[:n] in changing for n in range(1, len(place) + 1)):
            content.update(repr((place, what)).encode())
    return FORM + content.hexdigest()


def same_code(digest: str | None, other: str | None) -> bool:
    """Whether two of :func:`preprocessing_digest`, or of :func:`structure_digest`, may be equal, as far as that is known."""
    known = [one for one in (digest, other) if (one or "").startswith(FORM)]
    return len(known) < 2 or known[0] == known[1]


def structure_digest(model, steady: bool = False) -> str:
    """Digest of all that decides what a model answers, besides the values of its weights and what prepares its images.

    Counted are, of each torch module, its class, its settings (a stride, a slope, a function that it calls, an attribute of any
    name, but no device), all of its buffers, its forward hooks and a ``forward`` of its own; of wrappers of networks, what they
    hand to ``forward`` and the hooks of their extractors; of wrappers and models whose classes are the user's, these and their
    attributes; methods of the user's that were set on others, hooks on all modules, torch.autocast around it all. Functions and
    the user's classes count by their source text without comments, with what these name, and the user's files that they import
    when they run, as in :func:`preprocessing_digest`; functions and classes of installed packages by their names. ``steady``:
    without what changed while images were shown (:func:`noticing_changes`), such as a counter.
    """
    content, places = hashlib.blake2b(digest_size=DIGEST_BYTES), _steady.get(id(model)) if steady else None
    with alone_with([model, *modules_in(model)]):  # the modules that its code names are those of its own folder
        found = _structure(model)
    for place, what in sorted(found.items()):
        if places is None or place in places:
            content.update(repr((place, what)).encode())
    return FORM + content.hexdigest()


def _structure(model) -> Places:
    """Parts of what :func:`structure_digest` looks at."""
    found: Places = {}
    seen: Seen = {}
    for i, module in enumerate(modules_in(model)):
        _add(found, (str(i),), module, seen, whole=True)
    holders = {id(held): held for part, value in held_in(model) for held in (part, value)}.values()
    for i, holder in enumerate(holders):
        kind = type(holder)
        extractor = asked(holder, "_extractor")
        answers = holder is model or isinstance(holder, NETWORKS) or extractor is not None
        settings = _attributes(holder, whole=True) if answers and is_own(kind.__module__) else {}
        for part in (holder, extractor) if answers else ():
            for name, value in asked(part, "__dict__", {}).items():
                is_method = callable(value) and callable(getattr(type(part), name, None))
                if is_method and is_own(asked(value, "__module__") or ""):
                    settings[f"method {name}"] = value
        if kwargs := asked(holder, "_forward_kwargs"):
            settings["kwargs"] = kwargs
        for hooks in ("_batch_activations_hooks", "_stimulus_set_hooks"):
            of_extractor = asked(extractor, hooks) or {}
            for j, hook in enumerate(of_extractor.values()):
                own_settings = {n: v for n, v in getattr(hook, "__dict__", {}).items() if isinstance(v, SETTINGS)}
                settings[f"{hooks} {j}"] = [hook, own_settings]
        if settings:
            _add(found, ("holder", kind.__qualname__, str(i)), settings, seen, whole=True)
    torch = sys.modules.get("torch")
    for name in HOOKS if torch else ():
        if hooks := list(getattr(torch.nn.modules.module, f"_global{name}").values()):
            _add(found, ("all modules", name), hooks, seen, whole=True)
    for device in ("cpu", "cuda") if torch else ():
        if torch.is_autocast_enabled(device):
            found["autocast", device] = str(torch.get_autocast_dtype(device)).encode()
    return found


@contextlib.contextmanager
def noticing_changes(model) -> Iterator[None]:
    """Show images inside this block: what it changes is left out of the digests here from then on."""
    before, structure = _places(model), _structure(model)
    yield
    after = _places(model)
    changed = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
    steady = set(structure.items() & _structure(model).items())
    if id(model) not in _changing:
        try:
            for held in (_changing, _steady):
                weakref.finalize(model, held.pop, id(model), None)
        except TypeError:  # nothing would tell when its id is another model's
            return
    _changing.setdefault(id(model), set()).update(changed)
    steady = {place for place, _ in steady}
    _steady[id(model)] = _steady.get(id(model), steady) & steady


@dataclass(frozen=True)
class PreparingState:
    """What a model's preparation of images can change: equal before and after it if nothing changed.

    Attributes
    ----------
    held : tuple
        Values of what :func:`preprocessing_digest` looks at.
    python : str
        Where Python's shared generator stands. Other threads draw from it, too: a change says nothing by itself.
    generators : tuple
        Where other random generators stand.
    """

    held: tuple
    python: str
    generators: tuple

    def has_drawn(self, before: PreparingState, calls: Sequence[str]) -> bool:
        """Whether random numbers were drawn since another state, by a thread with such :func:`~.generators.python_calls`."""
        return self.generators != before.generators or bool(calls and self.python != before.python)


def preparing_state(model) -> PreparingState | None:
    """What a model's preparation of images can change, as it is now.

    None where it is known that something changes: by an earlier :func:`noticing_changes`, or by a function that assigns
    variables outside of itself.
    """
    seen: Seen = {}
    found = _places(model, seen)
    objects = [value for value, _ in seen.values()]
    functions = [value.__code__ for value in objects if isinstance(value, types.FunctionType)]
    if _changing.get(id(model)) or any(sets_outside(code) for code in functions):
        return None
    counters = [repr(value) for value in objects if isinstance(value, itertools.count)]
    pythons, *others = states_of(objects)
    return PreparingState((found, counters), pythons, tuple(others))


def generators_moved(model) -> contextlib.AbstractContextManager:
    """Random generators that preparing a model's images may use, :func:`~.generators.moved`."""
    seen: Seen = {}
    _places(model, seen)
    return moved(value for value, _ in seen.values())


def _places(model, seen: Seen | None = None) -> Places:
    """Parts of what prepares a model's images; ``seen`` receives them by their ids."""
    found: Places = {}
    seen = {} if seen is None else seen
    functions = (asked(asked(value, "_extractor"), "preprocess") for _, value in held_in(model))
    for i, function in enumerate({id(f): f for f in functions if callable(f)}.values()):
        _add(found, (str(i),), function, seen)
    if not isinstance(model, LookupModel) and next(modules_in(model), None) is None:
        for i, part in enumerate(models_in(model)):
            _add(found, (MODEL, str(i)), dict(asked(part, "__dict__", {})), seen)
            if (version := asked(part, "features_version")) is not None:  # stands for the arrays of a table
                found[MODEL, str(i), "version"] = ARRAY + str(version).encode()
    return found


def _add(found: Places, place: tuple[str, ...], value, seen: Seen, whole: bool = False) -> None:
    """Put a value and what it holds into ``found``; ``whole``: torch modules with all that they answer by but weights."""
    kind, what = type(value), b""
    inner: dict[str, object] = {}
    torch = sys.modules.get("torch")
    if kind is LazyLoad:  # to ask it for anything, even its class, loads a benchmark of Brain-Score's
        found[place] = kind.__qualname__.encode()
        return
    if whole and torch and isinstance(value, torch.device):
        pass  # where a network runs is none of its settings
    elif isinstance(value, SETTINGS) or (torch and isinstance(value, torch.dtype | torch.device)):
        what = repr(value).encode()
    elif (table := _table(value)) is not None:
        inner = table
    elif torch and isinstance(value, torch.Tensor):  # sparse ones have no nbytes, nested ones no shape
        what = ARRAY + _array(value)
    elif _is_array(value):
        what, items = ARRAY + _array(value), np.ravel(value).tolist() if value.dtype == object else ()
        if _plain(items):
            what += repr(items).encode()
        else:
            inner = {str(i): part for i, part in enumerate(items)}
    elif isinstance(value, types.ModuleType | types.BuiltinFunctionType | np.ufunc):
        what, owner = value.__name__.encode(), getattr(value, "__self__", None)
        inner = {} if owner is None or isinstance(owner, types.ModuleType) else {"self": owner}  # a generator's random
    elif id(value) in seen:  # which of those that are known: a choice from a table, say
        what = repr(seen[id(value)][1]).encode()
    elif len(place) < DEEPEST:
        if not isinstance(value, tuple):  # whether equal ones are one object says nothing
            seen[id(value)] = value, place  # kept, so that no other object gets its id
        if isinstance(value, SEQUENCES) and len(value) > FEW and _plain(value):
            what = ARRAY + repr(value).encode()
        elif isinstance(value, SEQUENCES):
            inner = {str(i): part for i, part in enumerate(value)}
        elif isinstance(value, set | frozenset):
            what = repr(sorted(repr(i) if _plain([i]) else _named(i) for i in value)).encode()
        elif isinstance(value, Mapping) and value is not os.environ:
            keys = {key: repr(key) for key in value if isinstance(key, (*SETTINGS, tuple))}
            keys |= {key: key.__qualname__ for key in value if inspect.isclass(key) or inspect.isroutine(key)}
            inner = {name: read_item(value, key) for key, name in keys.items()}
        elif isinstance(value, functools.partial):
            inner = {"func": value.func, "args": value.args, "keywords": value.keywords}
        elif isinstance(value, types.MethodType):
            inner = {"function": value.__func__, "self": value.__self__}
        elif isinstance(value, types.FunctionType) and whole and not value.__closure__ and not is_own(value.__module__):
            what = f"{value.__module__}.{value.__qualname__}".encode()
        elif isinstance(value, types.FunctionType):
            what, inner = source_of(value), _bound(value)
        elif inspect.isclass(value):
            what, inner = value.__qualname__.encode(), _own_members(value)
        elif "__wrapped__" in asked(
            value, "__dict__", {}
        ):  # functools.lru_cache, and decorators that are the user's classes
            inner = {"wrapped": value.__wrapped__, **(_attributes(value, whole) if is_own(kind.__module__) else {})}
        else:
            inner = _attributes(value, whole)
    # the names of all that it holds: a list that grows is another one, as a whole; networks may keep what they have seen
    if whole and torch and isinstance(value, torch.nn.Module):
        names = list(value._modules.keys())  # of TorchScript, it cannot be iterated
    else:  # the order of a mapping may be that of steps
        names = list(inner) if isinstance(value, Mapping) else sorted(inner)
    found[place] = b"\0".join([what, kind.__qualname__.encode(), repr(names).encode()])
    for name in sorted(inner):  # in the same order in every process: of an object in two places, the first counts
        _add(found, (*place, name), inner[name], seen, whole)


def _is_array(value) -> bool:
    """Of numpy, jax, tensorflow ...; its class says so, as dictionaries whose keys are attributes may say yes to any name."""
    has_values = not inspect.isclass(value) and hasattr(type(value), "__array__")
    return has_values and all(asked(value, name) is not None for name in ("dtype", "shape", "nbytes"))


def _plain(items) -> bool:
    """Whether ``repr`` tells all of them."""
    return all(isinstance(i, PLAIN) or (isinstance(i, tuple) and _plain(i)) for i in items)


def _named(value) -> str:
    """The name of a function or class, else that of an object's class: ``repr`` may tell where it lies in memory."""
    return asked(value, "__qualname__", type(value).__qualname__)


def _table(value) -> dict | None:
    """What a table of pandas or an array of xarray holds, with the names of its rows; None of anything else."""
    pandas, xarray = (sys.modules.get(name) for name in ("pandas", "xarray"))
    if pandas and isinstance(value, pandas.DataFrame):
        names = {"index": value.index, "columns": value.columns}
        if value.dtypes.nunique() == 1:
            return {**names, "values": value.to_numpy()}
        return names | {f"column {i}": value.iloc[:, i].to_numpy() for i in range(value.shape[1])}
    if pandas and isinstance(value, pandas.Series):
        return {"index": value.index, "values": value.to_numpy()}
    if pandas and isinstance(value, pandas.Index | pandas.api.extensions.ExtensionArray):
        return {"values": np.asarray(value)}
    if xarray and isinstance(value, xarray.DataArray):
        return {"values": value.values, **{f"coordinate {name}": part.values for name, part in value.coords.items()}}
    return None


def _array(value) -> bytes:
    content, torch = hashlib.blake2b(digest_size=DIGEST_BYTES), sys.modules.get("torch")
    is_tensor = torch and isinstance(value, torch.Tensor)
    if not (is_tensor and value.is_nested):
        content.update(f"{value.dtype} {tuple(value.shape)}".encode())
    if is_tensor:
        if value.numel() * value.element_size() <= MOST_BYTES:
            add_tensor(content, "", value)
    elif value.nbytes <= MOST_BYTES and value.dtype != object:
        content.update(np.asarray(value).tobytes())  # of jax, tensorflow or pandas too
    return content.digest()


def _bound(function: types.FunctionType) -> dict:
    """What a function finds outside of its arguments, by name."""
    code, known = function.__code__, function.__globals__
    bound = {"defaults": function.__defaults__, "keyword defaults": function.__kwdefaults__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # nothing was put into it yet
            bound[name] = cell.cell_contents
    names = names_in(code)
    by_text = "globals" in names or {"modules", "__name__"} <= names  # sys.modules[__name__]
    looked_up = names | (texts_in(code) if by_text else set())
    for name in looked_up & known.keys():
        value = known[name]
        if isinstance(value, types.ModuleType):
            value = _used_of(value, names | (texts_in(code) if "getattr" in names else set()))
        elif (isinstance(value, types.FunctionType) or inspect.isclass(value)) and not (
            value.__module__ == function.__module__ or is_own(value.__module__)
        ):
            value = f"{value.__module__}.{value.__qualname__}"
        bound[f"global {name}"] = value
    for name in set_by(code):
        bound.pop(name, None)
        bound.pop(f"global {name}", None)
    if is_own(function.__module__ or ""):
        for name, value in vars(function).items():
            of_a_library = inspect.isroutine(value) and not is_own(value.__module__ or "")  # set by what decorates it
            if not name.startswith("_") and not of_a_library and not isinstance(value, types.MappingProxyType):
                bound[f"attribute {name}"] = value
        if code.co_name != "__init__" and (texts := imported_files(code)):  # what that imports is in what it makes
            bound["imports"] = sorted(texts.values())
    return bound


def _used_of(module: types.ModuleType, names: set[str], above: tuple = ()):
    """What code that looks up these names may use of a module of the user's; modules in it likewise. Others as they are."""
    if not is_own(module.__name__) or module in above:
        return module
    used = {name: part for name in sorted(names) if (part := asked(module, name, UNSET)) is not UNSET}
    return {n: _used_of(v, names, (*above, module)) if isinstance(v, types.ModuleType) else v for n, v in used.items()}


def _own_members(kind: type) -> dict:
    """Methods and constants of a class and its bases, as far as no installed package defines them; of classes of installed
    packages, methods of the user's that were set on them."""
    members = {}
    for base in reversed(kind.__mro__):
        is_users = is_own(base.__module__)
        for name, value in vars(base).items():
            for wrapping, holds in WRAPPING.items():
                if isinstance(value, wrapping):
                    value = getattr(value, holds)
            is_function = isinstance(value, types.FunctionType)
            if is_users:
                is_member = is_function or not name.startswith("__") or _is_number(name, value)
            else:
                module = value.__module__ if is_function else base.__module__
                is_member = module != base.__module__ and module in sys.modules and is_own(module)
            if is_member:
                members[name] = value
    return members


def _is_number(name: str, value) -> bool:
    return isinstance(value, numbers.Number) and name != "__firstlineno__"  # Python's own


def _attributes(value, whole: bool = False) -> dict:
    """Class and attributes of an object: the public ones, and all where its class is the user's."""
    torch = sys.modules.get("torch")
    is_module = torch is not None and isinstance(value, torch.nn.Module)
    kind = type(value)
    if isinstance(value, NETWORKS) and not (whole and is_own(kind.__module__)):
        return {}
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names - OF_SETTINGS or isinstance(value, GENERATORS):
        return {}
    if is_module and not whole and next(value.parameters(), None) is not None:
        return {}
    slots = {name: asked(value, name, UNSET) for base in kind.__mro__ for name in _slots(base)}
    held = {**{name: part for name, part in slots.items() if part is not UNSET}, **asked(value, "__dict__", {})}
    own = _own_members(kind)
    hidden = "__" if own else "_"
    kept = {
        name: part for name, part in held.items() if not name.startswith(hidden) or (own and _is_number(name, part))
    }
    if not is_module:
        # estimators keep in private what they were fitted to, and what makes something of functions these
        kept |= {name: part for name, part in held.items() if isinstance(part, np.ndarray) or _is_own_function(part)}
        if not held and kind.__getstate__ is not object.__getstate__:  # written in C, such as a fitted tree
            with contextlib.suppress(Exception):
                kept["state"] = value.__getstate__()
    if is_module:
        kept |= {name: held[name] for name in ADAPTERS if name in held}
        torchs = vars(torch.nn.Module())
        kept = {name: part for name, part in kept.items() if name not in torchs}
        kept |= {**dict(value.named_buffers(recurse=False)), **dict(value._modules.items())}
        if whole:
            kept |= {
                name: list(vars(value).get(name, {}).values()) for name in HOOKS
            }  # their keys count up in a process
            kept["program"] = _program(value)
    return {**kept, **({"class": kind} if own else {})}


def _is_own_function(value) -> bool:
    return isinstance(value, types.FunctionType) and is_own(value.__module__ or "")


def _program(module) -> str | None:
    """What a traced or scripted module computes, which no class of its tells."""
    torch = sys.modules["torch"]
    if isinstance(module, torch.jit.ScriptModule):
        text, constants = module.code_with_constants if hasattr(module, "forward") else ("", None)
        return text + repr(getattr(constants, "const_mapping", ""))
    return module.code if isinstance(module, torch.fx.GraphModule) else None


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
