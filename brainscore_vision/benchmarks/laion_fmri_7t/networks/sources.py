"""Models by registered names and by functions of modules and files, and the model of the demonstration."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from brainscore_vision.model_interface import BrainModel

import brainscore_vision
from brainscore_vision import load_model
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.as_written import surround
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import find_plugin, modules_in

from .errors import ModelImportError, ModelSourceError
from .libraries import LIBRARIES, is_network_of

UNTRAINED_ALEXNET_SEED = 0
UNTRAINED_ALEXNET_LAYERS = {
    "V1": "features.2",
    "V2": "features.7",
    "V3": "features.7",
    "V4": "features.7",
    "IT": "features.12",
}


@dataclass
class Neighbourhood:
    """What the model files of a folder import that is not everybody's.

    Attributes
    ----------
    modules : dict of str to module
        Imported from the folder, or from folders that its files have put on the path: two folders may use one name.
    read : dict of Path to int
        Their files, and when these had been written last when they were imported.
    path : list of str
        ``sys.path`` as its files have left it.
    """

    modules: dict[str, ModuleType] = field(default_factory=dict)
    read: dict[Path, int | None] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)


_neighbourhoods: dict[Path, Neighbourhood] = {}
_open: list[Path] = []
_opening = threading.RLock()

NEVER_ASIDE = {"brainscore_core", "brainscore_vision", "torch", "torchvision", "numpy", "pandas", "xarray", "PIL"}
"""Packages that this one works with: a second copy of them would not know the objects of the first."""

TABLE_SUFFIXES = (".h5", ".hdf5", ".npz", ".npy", ".csv", ".tsv", ".parquet")
"""Of files with features."""

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".yaml", ".yml", ".json")
"""Of lists of models, as people call them."""

_TABLE = re.compile(
    rf"(?P<path>.+?(?:{'|'.join(map(re.escape, TABLE_SUFFIXES))}))(?: (?P<choices>--.+))?", re.IGNORECASE | re.DOTALL
)

_CALL = re.compile(r"(?P<place>.+?):(?P<function>[^\W\d]\w*)\((?P<arguments>.*)\)", re.DOTALL)


def locate_model(name: str) -> Callable:
    """What makes a model of a name; finding it loads no weights.

    Parameters
    ----------
    name : str
        A registered identifier, or ``package.module:function`` or ``file.py:function``, a function that returns a BrainModel
        or a torch.nn.Module. It is called without arguments, or with the Python literals that follow it in brackets,
        ``file.py:make(width=64)``. A file may import its neighbours: its folder is on the path while the file is imported
        and the model is made.

    Returns
    -------
    callable
        Without arguments.

    Raises
    ------
    ModelSourceError
        No such registration, module, file or function; a function that wants other arguments; arguments that are no literals.
    ModelImportError
        A file that Python cannot read, that imports what is not there, or that ends the program. The callable raises it for
        imports that fail, and for ends of the program, when it is called.
    """
    problem = _registration_problem(name)
    if problem is None:  # first: registered names may hold a colon too
        return functools.partial(_made, functools.partial(load_model, name), name, None)
    file = Path(name).expanduser()
    if file.suffix.lower() in (*TABLE_SUFFIXES, *LIST_SUFFIXES) and not file.is_file():
        raise ModelSourceError(
            f"A table of features or a list of models is named by its path; there is no file {name} (paths begin in "
            f"{Path.cwd()}; in a list of models, in the list's folder too). Check the path."
        )
    place, call = split_call(name)
    attribute, arguments, options = _literals(call, name)
    if name.endswith(".py"):
        raise ModelSourceError(f"A file may hold many functions: name the one that returns a model, {name}:FUNCTION.")
    if not place:
        raise ModelSourceError(
            f"A model is a registered Brain-Score identifier (e.g. alexnet, pixels), torchvision:NAME or timm:NAME, or "
            f"module:function or file.py:function that returns one; received {name!r} ({problem}). "
            f"{_nearest_registered(name)}"
        ) from problem
    module, folder = _module(place, name)
    if not hasattr(module, attribute):
        functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        nearest = difflib.get_close_matches(attribute, functions, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        raise ModelSourceError(f"{place} has no function {attribute!r}; received {name!r}.{hint}")
    function = getattr(module, attribute)
    _check_callable(function, attribute, name, arguments, options)
    return functools.partial(_made, functools.partial(function, *arguments, **options), name, folder)


def split_call(name: str) -> tuple[str, str]:
    """``place:function(arguments)`` as the place, empty if there is none, and the rest; arguments may hold colons."""
    match = _CALL.fullmatch(name)
    if match is not None:
        return match["place"], name[match.end("place") + 1 :]
    place, _, function = name.rpartition(":")
    return place, function


def _literals(call: str, name: str) -> tuple[str, list, dict]:
    """``function(1, width=64)`` as its name, its arguments, and its named arguments."""
    function, bracket, text = call.partition("(")
    if not bracket:
        return call, [], {}
    problem = "this is no call"
    try:
        tree = ast.parse(f"function({text}", mode="eval").body
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            given = [("", part) for part in tree.args] + [(part.arg or "**", part.value) for part in tree.keywords]
            values = []
            for key, part in given:
                problem = f"{ast.unparse(part)} is none"
                values.append((key, ast.literal_eval(part)))
            if "**" not in dict(values):
                return function, [value for key, value in values if not key], {k: value for k, value in values if k}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # the message says what is wrong
        pass
    raise ModelSourceError(
        f"Arguments are Python literals, such as {function}(width=64, name='small', sizes=[1, 2]); received {name!r}: "
        f"{problem}. For anything else, write a function that calls {function} with it."
    )


def is_table(name: str) -> bool:
    """Whether a name is that of a file with a table of features."""
    path = Path(name).expanduser()
    return path.suffix.lower() in TABLE_SUFFIXES and path.is_file()


def table_request(path: str | Path, **choices: str | None) -> str:
    """A table by its whole path and by what was chosen in it, as options: other columns of one file are another model."""
    options = [word for name, value in choices.items() if value is not None for word in (f"--{name}", str(value))]
    return " ".join([str(Path(path).expanduser().resolve()), *map(shlex.quote, options)])


def words_to_score(requested: str) -> list[str]:
    """What stands for a model in ``laion-score score``, of what was asked for."""
    table = _TABLE.fullmatch(requested)
    return [requested] if table is None else ["--features", table["path"], *shlex.split(table["choices"] or "")]


def path_and_rest(requested: str) -> tuple[str, str]:
    """The file in what was asked for, and what follows it: ``:make('a/b')`` or a table's options; nothing of other requests."""
    table = _TABLE.fullmatch(requested)
    if table is not None:
        return table["path"], requested[len(table["path"]) :]
    place, _ = split_call(requested)
    return (place, requested[len(place) :]) if place.endswith(".py") else (requested, "")


def with_whole_path(model: str) -> str:
    """``file.py:function`` and tables with their file's whole path, which workers with other working directories find."""
    if is_table(model):
        return table_request(model)
    place, call = split_call(model)
    if not place.endswith(".py"):
        return model
    return f"{Path(place).expanduser().resolve()}:{call}"


def untrained_alexnet():
    """AlexNet with random weights (seeded), committed to regions: needs no download."""
    import torch
    import torchvision
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_ALEXNET_SEED)
        network = torchvision.models.alexnet(weights=None)
    identifier = f"alexnet-untrained-seed{UNTRAINED_ALEXNET_SEED}"
    activations = PytorchWrapper(
        identifier=identifier, model=network, preprocessing=functools.partial(load_preprocess_images, image_size=224)
    )
    return ModelCommitment(
        identifier=identifier,
        activations_model=activations,
        layers=list(dict.fromkeys(UNTRAINED_ALEXNET_LAYERS.values())),
        region_layer_map=dict(UNTRAINED_ALEXNET_LAYERS),
    )


def _registration_problem(name: str) -> AssertionError | None:
    """Why Brain-Score finds no model of this name; None if it does."""
    try:
        find_plugin(name)
    except AssertionError as error:  # Brain-Score's search asserts that exactly one registration exists
        return error
    return None


def _nearest_registered(name: str) -> str:
    """A sentence with the models that someone who typed ``name`` may have meant: libraries' networks, or registered ones."""
    libraries = [f"{library}:{name}" for library in LIBRARIES if is_network_of(library, name)]
    if libraries:
        return f"Did you mean {' or '.join(libraries)}?"
    names = {known.casefold(): known for known in _registered_names()}
    nearest = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.6)
    if not nearest:
        return f"None of the {len(names)} registered names is near it."
    return f"The nearest registered names are {', '.join(names[known] for known in nearest)}."


def _registered_names() -> list[str]:
    """Found as Brain-Score finds them, by a search in the text of plugins: nothing is imported."""
    names = []
    for folder in sorted(Path(brainscore_vision.__file__).parent.glob("models/*/__init__.py")):
        names += re.findall(r"""model_registry\[["']([^"']+)["']\]""", folder.read_text(encoding="utf-8"))
    return names


def _check_callable(function, attribute: str, name: str, arguments: list, options: dict) -> None:
    """Raise ModelSourceError if something cannot be called with these arguments."""
    import torch

    if not callable(function) or isinstance(
        function, BrainModel | torch.nn.Module
    ):  # classes are callable, and no instances
        raise ModelSourceError(
            f"What stands behind the colon is a function that returns a model; {attribute} in {name!r} is a "
            f"{type(function).__name__}. Write a function that returns it."
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of C's functions do not say
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        if arguments or options:
            raise ModelSourceError(
                f"A function is called with the arguments that it takes; {attribute}{signature} is not called as in {name!r} "
                f"({error})."
            ) from error
        raise ModelSourceError(
            f"A model is made by a function that can be called without arguments; {attribute}{signature} in {name!r} cannot "
            f"({error}). Give them in brackets, {attribute}(NAME=VALUE), or give them default values."
        ) from error


def _made(function: Callable, name: str, folder: Path | None):
    with _beside(folder), _explained(name, folder):
        made = function()
    if folder is not None:  # what it imports when it is shown images is its own too
        opened = functools.partial(_beside, folder, is_made=True)
        surround((made, *modules_in(made)), opened)
    return made


def _module(place: str, name: str) -> tuple[ModuleType, Path | None]:
    """A module, and the folder of its file if it was named by its file."""
    if place.endswith(".py"):
        path = Path(place).expanduser().absolute()
        if not path.is_file():
            raise ModelSourceError(f"There is no file {Path(place).expanduser()}; received {name!r}.")
        folder = path.resolve().parent  # of a link, where the file is, as Python has it
        with _beside(folder), _explained(name, folder):
            return _module_of_file(path), folder
    try:
        with _explained(name, None, ModuleNotFoundError):
            return importlib.import_module(place), None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise _unimportable(name, error) from error  # the module exists, but something that it needs does not
        file = Path(*place.split(".")).with_suffix(".py")
        hint = f" Did you mean the file, {file}:{split_call(name)[1]}?" if file.is_file() else ""
        raise ModelSourceError(f"There is no module {place!r}; received {name!r}.{hint}") from error


def _module_of_file(path: Path) -> ModuleType:
    # a name per path: files of one name in two folders are two modules
    name = f"laion_fmri_7t_model_{path.stem}_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up what their annotations mean
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextlib.contextmanager
def _beside(folder: Path | None, is_made: bool = False) -> Iterator[None]:
    """Modules of a folder can be imported by their names, as Python's own ``python file.py`` has it.

    Neighbours of other model files step aside for this time, and so do other modules and packages of a neighbour's name, such
    as an installed one where a fork of it stands beside the file; the standard library and what this package works with do
    not. Folders that a model file puts on the path are on it for files of this folder alone. Afterwards everything is
    importable that was before, and what the folder gave besides. ``is_made``: a model works, which has what it imported, so
    that edited files are not read again.
    """
    with _opening:
        if folder is None or _open[-1:] == [folder]:
            yield
            return
        _open.append(folder)
        try:
            with _at_home(folder, _neighbourhoods.setdefault(folder, Neighbourhood()), is_made):
                yield
        finally:
            _open.pop()


@contextlib.contextmanager
def _at_home(folder: Path, home: Neighbourhood, is_made: bool) -> Iterator[None]:
    if not is_made and any(written != _written(file) for file, written in home.read.items()):
        for name, module in home.modules.items():  # one was edited: all are imported again
            if sys.modules.get(name) is module:
                del sys.modules[name]
        home.modules.clear()
        home.read.clear()
    others = {name for place, other in _neighbourhoods.items() if place != folder for name in other.modules}
    own = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    own = {name for name in own - sys.stdlib_module_names - NEVER_ASIDE if not _lies_in(name, {folder})}
    others |= {name for name in sys.modules if name.partition(".")[0] in own}
    aside = {name: sys.modules.pop(name) for name in others if name in sys.modules}
    sys.modules.update(home.modules)
    before, path = set(sys.modules), list(sys.path)
    sys.path[:] = [*(home.path or [str(folder)]), *(place for place in path if place not in home.path)]
    importlib.invalidate_caches()  # a file may have been written a moment ago
    try:
        yield
    finally:
        home.path, sys.path[:] = list(sys.path), path
        places = {Path(place).absolute() for place in set(home.path) - set(path)} | {folder}
        new = [name for name in sys.modules.keys() - before if _lies_in(name.partition(".")[0], places)]
        home.modules.update((name, sys.modules[name]) for name in new)
        files = [Path(file) for name in new if (file := getattr(sys.modules[name], "__file__", None))]
        home.read.update((file, _written(file)) for file in files)
        for name in home.modules:  # what others would find under its name is not this one
            package = name.partition(".")[0]
            found = importlib.machinery.PathFinder.find_spec(package)
            ours = getattr(home.modules.get(package), "__file__", None)
            if found is not None and found.origin is not None and found.origin != ours:
                sys.modules.pop(name, None)
        sys.modules.update(aside)


def _written(file: Path) -> int | None:
    """When a file was written last, in nanoseconds; None where it is no more."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def _lies_in(name: str, folders: Set[Path]) -> bool:
    """Whether an imported module or package of this name is a file or a folder directly in one of ``folders``."""
    module = sys.modules.get(name)
    file, inside = getattr(module, "__file__", None), getattr(module, "__path__", ())
    return any(Path(place).absolute().parent in folders for place in (*inside, *((file,) if file else ())))


@contextlib.contextmanager
def _explained(name: str, folder: Path | None, but: type[Exception] | tuple = ()) -> Iterator[None]:
    """A file that Python cannot read or that ends the program, and an import that fails, are one message.

    Other errors keep their traceback.
    """
    try:
        yield
    except but:
        raise
    except (SyntaxError, ImportError, SystemExit) as error:
        raise _unimportable(name, error, folder) from error


def _unimportable(name: str, error: BaseException, folder: Path | None = None) -> ModelImportError:
    if isinstance(error, SyntaxError) and error.filename is not None:
        where = f"{error.filename}, line {error.lineno}"
        return ModelImportError(f"Python cannot read {where}: {error.msg}; received {name!r}.")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    frames = [f for f in frames if Path(f.filename) != Path(__file__)]
    # the last line of the user's own files; of a library, the line that failed
    own = [f for f in frames if folder is not None and folder in Path(f.filename).parents] or frames
    where = f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""
    if isinstance(error, SyntaxError):  # of a null byte, Python does not say where
        what = f"what is imported{where}" if own else split_call(name)[0] or name
        return ModelImportError(f"Python cannot read {what}: {error.msg}; received {name!r}. Write the file again.")
    if isinstance(error, SystemExit):
        return ModelImportError(
            f"A model's code returns a model; that of {name!r} ends the program{where} ({error!r}). Keep what does so, such as "
            f"reading arguments, under `if __name__ == '__main__':`."
        )
    missing = isinstance(error, ModuleNotFoundError) and error.name
    remedy = f" Install {error.name.partition('.')[0]}, or correct its name." if missing else ""
    return ModelImportError(f"An import fails{where}: {type(error).__name__}: {error}; received {name!r}.{remedy}")
