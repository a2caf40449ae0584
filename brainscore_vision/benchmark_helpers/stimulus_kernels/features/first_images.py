"""Whether a model learns something from the first images that it is shown: then it answers by what these happened to be.

Examples are a PCA that ``look_at`` fits when it is called first, and layers whose weights the first batch sets (ActNorm). Not
so models that count images, keep the last ones, or make a grid for the size of the first: where others come first, they hold
something else and answer the same.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import PurePath

import numpy as np
from brainscore_vision.utils import LazyLoad

from .generators import shared_generators
from .network import asked, held_in, models_in, modules_in
from .preprocessing import OF_SETTINGS
from .probe import TOLERANCE
from .source_text import BRAIN_SCORE, is_own

SMALL = 2**16
"""Values of an array that is copied to be put back. What sets a larger one has a flag that says whether it did."""

CERTAIN = (str, bytes, bool, int, type(None), PurePath, enum.Enum, type, types.ModuleType)
"""Say nothing of the values of images: names, counts, switches."""

LIBRARIES = (sys.stdlib_module_names - OF_SETTINGS) | {"torch", "pandas", "xarray", *BRAIN_SCORE}
"""Packages whose objects have nothing inside that a user's model learns."""

MOST_ITEMS, MANY = 64, 1024
"""Items of a container that are asked whether they may say something, and of one that is looked into."""

MOST_NAMED = 5
TORCHS = ("_parameters", "_buffers", "_modules")

_asked: weakref.WeakSet = weakref.WeakSet()


class Held:
    """What models and networks hold now: attributes and items in them, values of small arrays, and what is drawn next.

    Parameters
    ----------
    owners : iterable of objects
        With attributes.
    """

    def __init__(self, owners: Iterable):
        self._kept: list[tuple[str, object, object]] = []
        self._generators = [(generator, generator.get()) for generator in shared_generators()]
        seen, waiting = set(), [("", owner) for owner in owners]
        own = {id(owner) for _, owner in waiting}
        while waiting:
            name, value = waiting.pop()
            if type(value) is LazyLoad or isinstance(value, CERTAIN) or id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, functools.partial):
                waiting += [(name, part) for part in (value.func, *value.args, *value.keywords.values())]
            elif isinstance(value, types.MethodType):
                waiting.append((name, value.__self__))
            elif _is_small_array(value):
                self._kept.append((name, value, _copy(value)))
            elif isinstance(value, dict | list):
                self._kept.append((name, value, _items(value)))
                few = _items(value) if len(value) <= MANY else {}  # a large one is a table
                waiting += [(_joined(name, key), part) for key, part in few.items()]
            elif isinstance(value, tuple):
                waiting += [(_joined(name, i), part) for i, part in enumerate(value)]
            elif isinstance(asked(value, "__dict__"), dict) and (id(value) in own or _has_inside(value)):
                self._kept.append((name, vars(value), _items(vars(value))))
                waiting += [(_joined(name, key), part) for key, part in vars(value).items()]

    def changed(self) -> list[str]:
        """Names of what is another value now, and may say something of images; in their order."""
        found = set()
        for name, value, kept in self._kept:
            if not isinstance(value, dict | list):
                found |= set() if _equal(value, kept) else {name}
                continue
            for key, part in _items(value).items():
                if (key not in kept or not _equal(part, kept[key])) and _may_say(part):
                    found.add(_joined(name, key))
        return sorted(found)

    def put_back(self) -> None:
        """Make it all as it was."""
        for _, value, kept in self._kept:
            if isinstance(value, list):
                value[:] = kept.values()
            elif isinstance(value, dict):
                now = _items(value)
                if list(now) != list(kept) or any(now[key] is not kept[key] for key in kept):
                    kind = OrderedDict if isinstance(value, OrderedDict) else dict  # whatever a class makes of these
                    kind.clear(value)
                    kind.update(value, kept)
            elif not _equal(value, kept):
                values = value if isinstance(value, np.ndarray) else value.data
                values[...] = kept
        for generator, state in self._generators:
            generator.put(state)


def may_learn(model) -> list:
    """Models in a model, their networks, what prepares their images, and what changes answers of a batch."""
    extractors = [asked(value, "_extractor") for _, value in held_in(model)]
    hooks = [hook for one in extractors for hook in (asked(one, "_batch_activations_hooks") or {}).values()]
    owners = [*models_in(model), *modules_in(model), *(asked(one, "preprocess") for one in extractors), *hooks]
    return list({id(owner): owner for owner in owners if owner is not None}.values())


def learned_from_first(
    owners: Iterable,
    before: Held,
    show: Callable[[], object],
    show_others: Callable[[], object],
    same: Callable[[object, object], bool],
) -> list[str]:
    """What a model has learned from the first images and answers by.

    Parameters
    ----------
    owners : iterable of objects
        The model and its networks. They are asked once.
    before : Held
        Of them, before any image was shown; some were since.
    show : callable
        Shows images and returns the answers.
    show_others : callable
        Shows other images than those that were shown first.
    same : callable
        Whether two answers are the same.

    Returns
    -------
    list of str
        Names of attributes; empty if answers are the same whatever was shown first, and where they differ by themselves. The
        model is then as it was when this was called, and else as it was before any image.
    """
    owners, changed = list(owners), before.changed()
    known = [owner for owner in owners if _can_be_remembered(owner)]
    if not changed or (known and all(owner in _asked for owner in known)):
        return []
    after = Held(owners)
    answers = show()
    if not same(answers, show()):
        after.put_back()
        return []
    before.put_back()
    show_others()
    if same(answers, show()):
        after.put_back()
        _asked.update(known)
        return []
    before.put_back()
    return changed


def same_arrays(answers: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether arrays are the same but for rounding."""
    if [one.shape for one in answers] != [one.shape for one in others]:
        return False
    pairs = [(a, b) for a, b in zip(answers, others, strict=True) if a.size]
    return all(np.allclose(a, b, rtol=0, atol=TOLERANCE * np.nanmax(np.abs(a)), equal_nan=True) for a, b in pairs)


def first_images_matter(identifier: str, learned: list[str]) -> str:
    """The message about a model that learned something."""
    named = ", ".join(learned[:MOST_NAMED]) + (
        f" and {len(learned) - MOST_NAMED} more" if len(learned) > MOST_NAMED else ""
    )
    return (
        f"A model answers alike to an image whatever it was shown before; {identifier} learns from the first images that it "
        f"sees ({named}), and answers otherwise where others come first. Which come first here, a few of the stimuli or a grey "
        f"image, is no choice of yours: fit or initialise it before it is scored, with images of your own or with what was "
        f"saved."
    )


def _can_be_remembered(owner) -> bool:
    try:
        return hash(weakref.ref(owner)) is not None
    except TypeError:
        return False


def _torch():
    return sys.modules.get("torch")


def _items(value) -> dict:
    """Of a list, by position; of a dictionary, whatever its class makes of asking for them."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return dict((OrderedDict if isinstance(value, OrderedDict) else dict).items(value))


def _joined(name: str, key) -> str:
    if key in TORCHS:
        return name
    inside = key if isinstance(key, str) and key.replace("_", "").isalnum() else f"[{key!r}]"
    return inside if not name else f"{name}{'' if inside.startswith('[') else '.'}{inside}"


def _is_tensor(value) -> bool:
    return _torch() is not None and isinstance(value, _torch().Tensor)


def _is_small_array(value) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype != object and value.size <= SMALL and value.flags.writeable
    if (
        not _is_tensor(value)
        or _torch().nn.parameter.is_lazy(value)
        or value.is_nested
        or value.is_meta
        or value.is_quantized
    ):
        return False
    return value.layout is _torch().strided and value.numel() <= SMALL


def _copy(value):
    return value.copy() if isinstance(value, np.ndarray) else value.detach().clone()


def _equal(value, other) -> bool:
    """Whether two are one object, or equal settings or arrays; a network that went to another device is the same."""
    if value is other:
        return True
    if type(value) is type(other) and isinstance(value, (*CERTAIN, float)):
        return value == other
    arrays = [one.detach().cpu() if _is_tensor(one) else one for one in (value, other)]
    if (
        not all(map(_is_small_array, arrays))
        or arrays[0].shape != arrays[1].shape
        or arrays[0].dtype != arrays[1].dtype
    ):
        return False
    if isinstance(arrays[0], np.ndarray) or isinstance(arrays[1], np.ndarray):
        return np.asarray(arrays[0]).tobytes() == np.asarray(arrays[1]).tobytes()
    return bool(((arrays[0] == arrays[1]) | ((arrays[0] != arrays[0]) & (arrays[1] != arrays[1]))).all())


def _has_inside(value) -> bool:
    """Whether what an object holds may be learned: a module's of torch, the user's, and estimators' of packages."""
    module = type(value).__module__
    if inspect.isroutine(value):
        return False
    is_module = _torch() is not None and isinstance(value, _torch().nn.Module)
    return is_module or is_own(module) or module.partition(".")[0] not in LIBRARIES


def _may_say(value, deep: int = 3) -> bool:
    """Whether a value may say something of images."""
    if type(value) is LazyLoad or isinstance(value, CERTAIN) or inspect.isroutine(value):
        return False
    if isinstance(value, dict | list | tuple | set | frozenset):
        parts = list(dict.values(value) if isinstance(value, dict) else value)[:MOST_ITEMS]
        return deep > 0 and any(_may_say(part, deep - 1) for part in parts)
    return True
