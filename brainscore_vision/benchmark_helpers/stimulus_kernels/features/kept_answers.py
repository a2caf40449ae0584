"""Answers that a model's own code keeps on disk, by the names of model and stimuli: not while it is recorded.

Brain-Score's CORnet-S, for one, stores what ``look_at`` returns (``@store`` of result_caching) under the identifiers of model
and stimulus set. Stimuli are shown here in blocks that have no identifier, and neither weights nor regions are in that name:
what is kept for one block or region would be the answer to another.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import threading
from collections import Counter
from collections.abc import Iterator

from .network import held_in
from .source_text import is_own

VARIABLE = "RESULTCACHING_DISABLE"
"""What the names of functions begin with that result_caching neither loads nor stores, with commas between; ``1``: all."""

HELPERS = "brainscore_vision.model_helpers"
"""Brain-Score's own: they keep principal components, and no answers of stimuli without an identifier."""

INSTALLED = tuple({sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Where Python and packages usually lie."""

_lock = threading.Lock()
_modules: Counter[str] = Counter()
_before: str | None = None


@contextlib.contextmanager
def without_kept_answers(model) -> Iterator[None]:
    """While this is open, functions of a user's modules and of those of what is in a model store and load nothing."""
    kinds = {kind for _, value in held_in(model) for kind in type(value).__mro__}
    modules = {kind.__module__ for kind in kinds}.union(_own_modules())
    modules = {f"{name}." for name in modules if not f"{name}.".startswith(f"{HELPERS}.")}
    _change(modules, 1)
    try:
        yield
    finally:
        _change(modules, -1)


def _own_modules() -> Iterator[str]:
    """Names of modules of the user's. Thousands of others are told by where packages lie: each look at a path takes longer."""
    yield "__main__"  # of a notebook, in no file
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(INSTALLED) and is_own(name):
            yield name


def _change(modules: set[str], by: int) -> None:
    global _before
    with _lock:  # several threads record different models
        if not +_modules:
            _before = os.environ.get(VARIABLE)
        _modules.update(dict.fromkeys(modules, by))
        off = sorted(+_modules)
        if off and _before != "1":
            os.environ[VARIABLE] = ",".join([*filter(None, [_before if _before != "0" else None]), *off])
        elif not off and _before is None:
            os.environ.pop(VARIABLE, None)
        elif not off:
            os.environ[VARIABLE] = _before
