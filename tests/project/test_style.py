"""House rules that a machine can check: lint, format, who may import whom, no circles, paths."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_testing.install_check import REPOSITORY, plugin_files

HELPERS = "brainscore_vision.benchmark_helpers.stimulus_kernels"
BENCHMARKS = "brainscore_vision.benchmarks.laion_fmri_7t"
DATA = "brainscore_vision.data.laion_fmri_7t"
MODELS = "brainscore_vision.models.laion_fmri_7t"

MAY_IMPORT = {HELPERS: set(), DATA: {HELPERS}, BENCHMARKS: {HELPERS, DATA}, MODELS: {HELPERS, DATA}}
"""Folder of this plugin -> other folders of this plugin that it may import."""

ROOMS = {
    "features": {"errors", "files", "options", "parallel", "pool", "wording"},
    "kernels": {"errors", "files", "named_rows", "options", "parallel", "pool", "wording", "features"},
    "ridge": {"errors", "kernels"},
    "statistics": {"errors", "kernels", "named_rows"},
    "encoders": {
        "comparisons",
        "engine",
        "errors",
        "features",
        "files",
        "kernels",
        "options",
        "parallel",
        "ridge",
        "statistics",
        "tasks",
        "wording",
    },
    "layers": {
        "comparisons",
        "engine",
        "errors",
        "features",
        "files",
        "kernels",
        "options",
        "pool",
        "ridge",
        "statistics",
        "tasks",
        "wording",
    },
}
"""Room of the helpers -> what else of the helpers it may import."""

COMMAND_LINE = f"{BENCHMARKS}.cli"
"""Modules whose names start so are on top of everything: they may import the models too."""

FOREIGN = {
    "brainio": "the package index has another package of this name: use brainscore_core's brainio",
    "brainscore_vision.benchmarks.laion_fmri": "the bundled plugin is the bar to clear, not a dependency",
    "brainscore_vision.data.laion_fmri": "the bundled plugin is the bar to clear, not a dependency",
}

SOURCES = {name: path for name, path in plugin_files(REPOSITORY / "brainscore_vision").items() if name.endswith(".py")}


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff(command):
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "--output-format", "concise", "."],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"mend with `make format`:\n{run.stdout}{run.stderr}"


def module_name(name: str) -> str:
    """Dotted name of a file given below ``brainscore_vision``; a package's is that of its folder."""
    dotted = "brainscore_vision." + name.removesuffix(".py").replace("/", ".")
    return dotted.removesuffix(".__init__")


def imports(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a module imports, at any depth of its code.

    Of ``from a import b`` both ``a`` and ``a.b`` are given, since ``b`` may be a module.
    """
    package = module_name(name) if name.endswith("__init__.py") else module_name(name).rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *base.split(".")]).rstrip(".")
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def within(module: str, root: str) -> bool:
    return module == root or module.startswith(f"{root}.")


def forbidden_imports(name: str, text: str) -> list[str]:
    """What a module imports against the rules, one line each."""
    own = next(root for root in MAY_IMPORT if within(module_name(name), root))
    allowed = MAY_IMPORT[own] | ({MODELS} if module_name(name).startswith(COMMAND_LINE) else set())
    barred = MAY_IMPORT.keys() - {own} - allowed
    found = [
        f"{name}:{line} imports {module}"
        for line, module in imports(name, text)
        if any(within(module, root) for root in barred)
    ]
    return found + [
        f"{name}:{line} imports {module}: {reason}"
        for line, module in imports(name, text)
        for root, reason in FOREIGN.items()
        if within(module, root)
    ]


def test_imports_go_one_way():
    assert [line for name, path in SOURCES.items() for line in forbidden_imports(name, path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data/laion_fmri_7t/a.py", "from ...benchmarks.laion_fmri_7t import cli"),
        ("data/laion_fmri_7t/simulation/__init__.py", "from ....benchmarks import laion_fmri_7t"),
        ("data/laion_fmri_7t/a.py", "def f():\n    import brainscore_vision.models.laion_fmri_7t.nouns"),
        ("benchmark_helpers/stimulus_kernels/a.py", "from brainscore_vision.data import laion_fmri_7t"),
        ("benchmarks/laion_fmri_7t/a.py", "from brainscore_vision.models.laion_fmri_7t import b"),
        ("benchmarks/laion_fmri_7t/a.py", "from ..laion_fmri import benchmark"),
        ("benchmarks/laion_fmri_7t/a.py", "import brainio"),
    ],
)
def test_forbidden_imports_are_found(name, text):
    assert forbidden_imports(name, text)


def test_allowed_imports_are_let_through():
    text = "from ...data.laion_fmri_7t import ids\nfrom . import b\nfrom ..laion_fmri_7t import b\nimport numpy as np"
    assert forbidden_imports("benchmarks/laion_fmri_7t/a.py", text) == []
    text = "def score():\n    from brainscore_vision.models.laion_fmri_7t import b"
    assert forbidden_imports("benchmarks/laion_fmri_7t/cli/a.py", text) == []


def test_kernels_know_no_dataset():
    mentions = [
        f"{name}:{number}: {line.strip()}"
        for name, path in plugin_files(REPOSITORY / "brainscore_vision").items()
        if name.startswith("benchmark_helpers/")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if "laion" in line.lower()
    ]
    assert mentions == []


def test_rooms_import_what_they_may():
    found = []
    for name, path in SOURCES.items():
        room = module_name(name).removeprefix(f"{HELPERS}.").partition(".")[0]
        if within(module_name(name), HELPERS) and room in ROOMS:
            for line, module in imports(name, path.read_text("utf-8")):
                other = module.removeprefix(f"{HELPERS}.").partition(".")[0]
                if within(module, HELPERS) and module != HELPERS and other not in ROOMS[room] | {room}:
                    found.append(f"{name}:{line} imports {module}")
    assert found == []


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> modules of ``sources`` (file name -> text) that it imports, at any depth of its code.

    ``from .a import b`` leads to the module ``a.b`` if there is one, else to ``a``: a package's ``__init__`` is an edge only
    for what is taken from it, not because Python runs it on the way to a module.
    """
    known = {module_name(name) for name in sources}
    graph: dict[str, set[str]] = {}
    for name, text in sources.items():
        edges, by_line = set(), {}
        for line, module in imports(name, text):
            by_line.setdefault(line, []).append(module)
        for base, *names in by_line.values():
            modules = {module for module in names if module in known}
            edges |= modules | ({base} & known if len(modules) < len(names) or not names else set())
        graph[module_name(name)] = edges - {module_name(name)}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or on a way round."""

    def reached(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            for module in graph[waiting.pop()] - seen:
                seen.add(module)
                waiting.append(module)
        return seen

    reach = {module: reached(module) for module in graph}
    groups = {tuple(sorted(other for other in reach[m] if m in reach[other])) for m in graph if m in reach[m]}
    return [list(group) for group in sorted(groups)]


def test_no_import_circles():
    assert circles(import_graph({name: path.read_text("utf-8") for name, path in SOURCES.items()})) == []


def test_import_circles_are_found():
    folder = "data/laion_fmri_7t"
    sources = {
        f"{folder}/a.py": "from .b import x",
        f"{folder}/b.py": "def f():\n    from . import c",
        f"{folder}/c.py": "from .a import y\nfrom .d import z",
        f"{folder}/d.py": "import numpy",
    }
    root = "brainscore_vision.data.laion_fmri_7t"
    assert circles(import_graph(sources)) == [[f"{root}.a", f"{root}.b", f"{root}.c"]]


def text_files() -> Iterator[tuple[str, str]]:
    """Every text file that git tracks or would add: path and content."""
    if not (REPOSITORY / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout: nothing tells the project's files from others")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        content = (REPOSITORY / name).read_bytes() if (REPOSITORY / name).is_file() else b""
        if b"\0" not in content:
            yield name, content.decode("utf-8")


def test_no_path_of_one_machine():
    private = {str(folder) for folder in (Path.home(), REPOSITORY.parent) if len(folder.parts) > 2}
    pattern = re.compile(
        "|".join([r"(?<![\w.-])/(?:home|Users|root|work)/\w+", *(re.escape(f"{p}/") for p in private)])
    )
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []
