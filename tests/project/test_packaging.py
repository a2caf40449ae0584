"""The wheel holds our folders and nothing else, and comes and goes without touching brainscore-vision."""

import ast
import configparser
import hashlib
import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest
import yaml
from plugin_testing.install_check import FOLDERS, REPOSITORY, install_problem, plugin_files

from brainscore_vision.data.laion_fmri_7t.constants import BIBTEX

BUILD_FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")


def pip(*arguments: object) -> None:
    """Run pip without any package index; its output is the message when it fails."""
    run = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def build_wheel(checkout: Path, folder: Path) -> Path:
    pip("wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, checkout)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """Copy of what a wheel is built from, so that building leaves the real checkout alone."""
    copy = tmp_path_factory.mktemp("checkout") / "repository"
    shutil.copytree(
        REPOSITORY / "brainscore_vision", copy / "brainscore_vision", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in BUILD_FILES:
        shutil.copy2(REPOSITORY / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    return build_wheel(checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def recorded(wheel) -> set[str]:
    """Paths in the wheel's own list of files, without its metadata folder."""
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        paths = {line.rsplit(",", 2)[0].strip('"') for line in archive.read(record).decode().splitlines()}
    return {path for path in paths if not path.split("/")[0].endswith(".dist-info")}


@pytest.fixture(scope="module")
def brainscore_files() -> set[str]:
    """Paths that the installed brainscore-vision owns, relative to site-packages."""
    files = {path.as_posix() for path in metadata.distribution("brainscore-vision").files}
    assert "brainscore_vision/benchmarks/__init__.py" in files
    return files


def modules(paths: set[str]) -> set[str]:
    """Dotted names that Python files can be imported under."""
    files = [PurePosixPath(path) for path in paths if path.endswith(".py")]
    return {".".join(file.parent.parts if file.name == "__init__.py" else file.with_suffix("").parts) for file in files}


def test_wheel_holds_every_file_of_the_plugin_and_nothing_else(recorded):
    expected = {f"brainscore_vision/{name}" for name in plugin_files(REPOSITORY / "brainscore_vision")}
    assert recorded == expected
    assert "brainscore_vision/benchmarks/laion_fmri_7t/metadata.yaml" in recorded
    assert all(path.startswith(tuple(f"brainscore_vision/{folder}/" for folder in FOLDERS)) for path in recorded)


def test_every_folder_of_the_plugin_is_a_package():
    # A folder without __init__.py would be left out of the wheel together with its modules.
    source = REPOSITORY / "brainscore_vision"
    folders = {path.parent for name, path in plugin_files(source).items() if name.endswith(".py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_file_of_brainscore_vision_is_overwritten_or_shadowed(recorded, brainscore_files):
    assert recorded & brainscore_files == set()
    assert modules(recorded) & modules(brainscore_files) == set()


def test_build_leaves_the_checkout_clean_and_forgets_removed_files(checkout, wheel, tmp_path):
    assert {path.name for path in checkout.iterdir()} == {"brainscore_vision", *BUILD_FILES}
    name = "brainscore_vision/data/laion_fmri_7t/removed_later.py"
    (checkout / name).write_text("")
    with zipfile.ZipFile(build_wheel(checkout, tmp_path / "with")) as archive:
        assert name in archive.namelist()
    (checkout / name).unlink()
    with zipfile.ZipFile(build_wheel(checkout, tmp_path / "without")) as archive:
        assert name not in archive.namelist()


def test_command_line_entry_point_exists(wheel):
    entries = configparser.ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        entries.read_string(archive.read(name).decode())
    assert list(entries["console_scripts"]) == ["laion-score"]
    module, function = entries["console_scripts"]["laion-score"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_requirements_are_what_is_imported(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = re.findall(r"^Requires-Dist: ([\w.-]+)(.*)", archive.read(name).decode(), re.MULTILINE)
    always = {normalized(name) for name, rest in lines if "extra ==" not in rest}
    on_request = {normalized(name) for name, rest in lines if "extra ==" in rest}
    installed = metadata.packages_distributions()
    owners = {module: {normalized(name) for name in names} for module, names in installed.items()}
    # One of the two is not installed for tests; the other shares its package with us.
    owners |= {"laion_fmri": {"laion-fmri"}, "brainscore_vision": {"brainscore-vision"}}
    imported = {}
    for path, file in plugin_files(REPOSITORY / "brainscore_vision").items():
        for module in imported_top_levels(file) if path.endswith(".py") else ():
            imported.setdefault(module, path)
    undeclared = {module: path for module, path in imported.items() if not owners[module] & (always | on_request)}
    assert undeclared == {}, "add them to setup.py"
    assert always - set().union(*(owners[module] for module in imported)) == set(), "take them out of setup.py"


def imported_top_levels(file: Path) -> set[str]:
    """Top-level names of the third-party modules that a file imports absolutely, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names


def digests(folder: Path, names: set[str]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def test_install_and_uninstall_leave_brainscore_vision_whole(wheel, recorded, brainscore_files, tmp_path):
    # A throwaway environment with brainscore-vision's modules and metadata; its big data files prove nothing more.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    distribution = metadata.distribution("brainscore-vision")
    kept = {path for path in brainscore_files if path.endswith(".py") or path.split("/")[0].endswith(".dist-info")}
    for name in kept:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(distribution.locate_file(name), site / name)
    everything = {path.relative_to(site).as_posix() for path in site.rglob("*")}
    before = digests(site, kept)
    assert len(before) > 1000

    pip("--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    assert all((site / path).is_file() for path in recorded)
    assert install_problem(REPOSITORY / "brainscore_vision", site / "brainscore_vision") is None
    assert digests(site, kept) == before

    pip("--python", python, "uninstall", "--quiet", "--yes", "laion-fmri-7t")
    assert digests(site, kept) == before
    assert {path.relative_to(site).as_posix() for path in site.rglob("*")} == everything


def change_content(folder: Path) -> None:
    (folder / "a.py").write_text("b = 2")


def remove_file(folder: Path) -> None:
    (folder / "a.py").unlink()


def leave_file_behind(folder: Path) -> None:
    (folder / "c.py").write_text("")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_content, "laion_fmri_7t/a.py differs from its installed copy"),
        (remove_file, "laion_fmri_7t/a.py is not installed"),
        (leave_file_behind, "laion_fmri_7t/c.py is installed but no longer in the checkout"),
    ],
)
def test_stale_install_is_named(tmp_path, change, message):
    source, installed = tmp_path / "source", tmp_path / "installed"
    for package in (source, installed):
        (package / "data/laion_fmri_7t").mkdir(parents=True)
        (package / "data/laion_fmri_7t/a.py").write_text("b = 1")
        (package / "data/laion_fmri_7t/z.py").write_text("")
        (package / "benchmarks/another_plugin").mkdir(parents=True)
        (package / "benchmarks/another_plugin/test.py").write_text(str(package))
    assert install_problem(source, installed) is None
    change(installed / "data/laion_fmri_7t")
    problem = install_problem(source, installed)
    assert message in problem
    assert "make install" in problem


def test_missing_install_is_named(tmp_path):
    (tmp_path / "source/data/laion_fmri_7t").mkdir(parents=True)
    (tmp_path / "source/data/laion_fmri_7t/a.py").write_text("")
    assert "make test" in install_problem(tmp_path / "source", None)
    assert "make install" in install_problem(tmp_path / "source", tmp_path / "empty")


def test_every_file_that_names_the_version_names_the_same(wheel):
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))
    newest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1]
    assert {citation["version"], newest, metadata.version("laion-fmri-7t")} == {wheel.name.split("-")[1]}


def test_the_dataset_is_cited_as_in_scores():
    dataset = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))["preferred-citation"]
    bibtex = re.sub(r"[{}]", "", BIBTEX)
    for text in (dataset["title"], str(dataset["year"]), dataset["url"], dataset["conference"]["name"]):
        assert text in bibtex
    for author in dataset["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in bibtex
