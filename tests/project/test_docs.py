"""The site is built without a warning and needs no network; every code block of its pages and of the README runs."""

import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from plugin_testing.doc_blocks import Block, Runner, blocks, with_outputs
from plugin_testing.install_check import REPOSITORY
from plugin_testing.s3 import put_files, s3_server
from plugin_testing.shown_output import difference
from plugin_testing.sweeps_here import sweep_here
from sphinx.cmd.build import build_main

from brainscore_vision.data.laion_fmri_7t import simulation
from brainscore_vision.data.laion_fmri_7t.bucket import BUCKET
from brainscore_vision.data.laion_fmri_7t.packaging import layout

DOCS = REPOSITORY / "docs"
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if not page.relative_to(DOCS).parts[0].startswith("_")),
]
PLUGIN = REPOSITORY / "brainscore_vision"
IN_FOLDERS = {
    PLUGIN / "benchmarks" / "laion_fmri_7t" / "README.md": """
        export LAION_FMRI_DATASET=tiny
        laion-score sweep models.csv --benchmarks 'LAION_fMRI.IT-*-ridgecv' --results scores.sqlite --workers 1 --no-check
        """,
    PLUGIN / "data" / "laion_fmri_7t" / "README.md": """
        laion-fmri download-stimuli
        laion-score data get --dataset FOLDER --what embeddings,segmentations,captions
        """,
    PLUGIN / "models" / "laion_fmri_7t" / "README.md": """
        rmdir FOLDER
        ln -s tiny FOLDER
        """,
}
"""The READMEs in the plugin's folders -> what their examples find done."""

WRITE = "LAION_FMRI_WRITE_DOCS"
"""Set to 1 (`make docs-outputs`), pages are written with what their blocks print now."""


@pytest.fixture(scope="module")
def server(released):
    """The simulated release in a bucket, without the images: the endpoint's address."""
    with pytest.MonkeyPatch.context() as environment, s3_server(environment, BUCKET) as client:
        files = (path for path in released.rglob("*") if path.is_file() and path.suffix != ".json")
        put_files(BUCKET, released, (path for path in files if path.name != "task-images_stimuli.h5"))
        yield client.meta.endpoint_url


@pytest.fixture
def bucket(server, released, monkeypatch):
    """The release's folder, where the bucket is what commands ask; only for the pages that download."""
    monkeypatch.setenv("LAION_FMRI_ENDPOINT", server)
    monkeypatch.setattr(layout, "RELEASED_SESSIONS", layout.expected_sessions(released))
    return released


@pytest.fixture
def runner(run, capsys, monkeypatch, tiny_dataset, tmp_path, request):
    """Runs blocks on the tiny simulated dataset, which is also what ``simulated`` names."""
    sweep_here(monkeypatch)  # and forecast as long as people's sweeps do: a page shows what comes of it
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(simulation, "ensure_default", lambda **_: tiny_dataset)
    monkeypatch.setattr(simulation, "default_folder", lambda: tiny_dataset)
    (tmp_path / "tiny").symlink_to(tiny_dataset)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "models.csv").write_text(
        "source,layers,name,family\nmy_network.py:make,IT=2,my-resnet,resnet\npixels,,,none\n"
    )
    shutil.copy(Path(__file__).parent / "my_network.py", tmp_path)
    names = [path.name for path in sorted((tiny_dataset / "stimuli" / "images").iterdir())]
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in names))
    with h5py.File(tmp_path / "FILE.h5", "w") as file:
        file["features"] = np.random.default_rng(3).standard_normal((len(names), 5))

    def agree(*arguments):
        """What ``laion-fmri download-stimuli`` leaves, and the splits that come with the package."""
        if arguments == ("download-stimuli",):
            released = request.getfixturevalue("bucket")
            shutil.copytree(released / "splits", tmp_path / "FOLDER" / "splits")
            (tmp_path / "FOLDER" / "stimuli").mkdir()
            for file in ("task-images_stimuli.h5", "task-images_metadata.csv"):
                shutil.copy(released / "stimuli" / file, tmp_path / "FOLDER" / "stimuli")

    return Runner(run, capsys.readouterr, monkeypatch.setenv, {"laion-fmri": agree})


@pytest.mark.parametrize(
    "page",
    [pytest.param(PAGES[0], marks=pytest.mark.slow), *PAGES[1:], *IN_FOLDERS],
    ids=lambda page: page.relative_to(REPOSITORY).as_posix(),
)
def test_blocks_run_and_print_what_is_shown(page, runner, tmp_path):
    if not blocks(page.read_text("utf-8")):
        pytest.skip("no code")
    results = runner.run(page, tmp_path, IN_FOLDERS.get(page, ""))
    drawn = re.findall(r"!\[[^]]*\]\((\w+\.png)\)", page.read_text("utf-8"))
    assert [figure for figure in drawn if not (tmp_path / figure).is_file()] == [], "figures that no block drew"
    if os.environ.get(WRITE):
        for figure in drawn:
            shutil.copy(tmp_path / figure, page.parent)
        page.write_text(with_outputs(page.read_text("utf-8"), results), "utf-8")
        return
    shown = ((block, printed) for block, printed in results if block.output is not None)
    changed = {f"{page.name}:{block.line}": difference(block.output, printed) for block, printed in shown}
    assert {where: what for where, what in changed.items() if what} == {}, "look at `make docs-outputs; git diff docs`"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    warnings = folder / "warnings"
    arguments = ["-q", "-W", "--keep-going", "-w", warnings, "-d", folder / "doctrees", DOCS, folder / "html"]
    code = build_main([str(argument) for argument in arguments])
    assert code == 0, warnings.read_text()
    return folder / "html"


def test_readme_is_a_front_page():
    lines = PAGES[0].read_text("utf-8").splitlines()
    assert len(lines) <= 150
    for word in ("pool", "split", "cell", "ceiling", "RDMs", "kernel"):  # explained where they first stand
        assert any(f"*{word}*" in line for line in lines), word


def test_linked_files_exist():
    for page in (*PAGES, REPOSITORY / "CHANGELOG.md"):
        links = re.findall(r"\]\(([^)#\s]+)[^)\s]*\)", page.read_text("utf-8"))
        files = [link for link in links if "://" not in link and "_generated" not in link]
        assert [link for link in files if not (page.parent / link).exists()] == [], page


def test_site_is_built_whole(site):
    for page in PAGES[2:]:
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()
    commands = (site / "_generated" / "commands.html").read_text("utf-8")
    assert "laion-score data get" in commands
    api = (site / "reference" / "api.html").read_text("utf-8")
    assert "score_model" in api
    assert (site / "_images" / "ceiling.svg").is_file()


LOADS = re.compile(r"""(?:<(?:script|img|iframe|source)\b[^>]*\bsrc|<link\b[^>]*\bhref)=["'](?:https?:)?//[^"']+""")


def test_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert LOADS.findall(page.read_text("utf-8")) == [], page
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        assert re.findall(r"@import[^;]*https?:|url\(\s*[\"']?(?:https?:)?//", text) == [], style


def test_loads_are_found():
    for text in ('<script src="https://a/b.js">', "<link rel=x href='//a/b.css'>", '<img alt="" src="http://a/b">'):
        assert LOADS.findall(text)


PAGE = """\
```sh
laion-score list
```

```text
old
```

words

```text
no output
```

- a list

  ```python
  print(1)
  ```
"""


def test_blocks_and_their_outputs_are_found():
    first, second = blocks(PAGE)
    assert (first.language, first.code, first.line, first.output) == ("sh", "laion-score list\n", 2, "old\n")
    assert second == Block("python", "", "print(1)\n", 18)
    assert with_outputs(PAGE, [(first, "a\nb\n"), (second, "1\n")]) == PAGE.replace("old\n", "a\nb\n")


@pytest.mark.parametrize(
    ("code", "problem"),
    [("make nothing", "the Makefile has no"), ("laion-score nothing", "exit code 2"), ("false", "exit code 1")],
)
def test_blocks_that_fail_are_found(runner, tmp_path, code, problem):
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{code}\n```\n")
    with pytest.raises(AssertionError, match=problem):
        runner.run(page, tmp_path)
