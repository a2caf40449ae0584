"""Sphinx's settings, and the pages and figures that are made from the code when the site is built (``_generated/``)."""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
GENERATED = DOCS / "_generated"
sys.path.insert(0, str(DOCS))

os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")

project = "LAION-fMRI 7T for Brain-Score"
html_title = project
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
pygments_style = "friendly"
default_role = "code"  # `name` in docstrings
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc says types, and shapes
napoleon_google_docstring = False
napoleon_use_ivar = True

PACKAGE = "brainscore_vision"
INCLUDED = {
    "methods": f"{PACKAGE}/benchmarks/laion_fmri_7t/METHODS.md",
    "benchmarks": f"{PACKAGE}/benchmarks/laion_fmri_7t/README.md",
    "dataset": f"{PACKAGE}/data/laion_fmri_7t/README.md",
    "feature_models": f"{PACKAGE}/models/laion_fmri_7t/README.md",
    "measurements": "bench/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
"""Page -> the file of the repository that it shows: written once, read in both places."""

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def included_page(source: str) -> str:
    """A file of the repository as a page: links to other pages go there, links to code are left as names."""
    pages = {path: f"{page}.md" for page, path in INCLUDED.items()}

    def linked(match: re.Match) -> str:
        text, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        path, hash_sign, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if path in pages:
            return f"[{text}]({pages[path]}{hash_sign}{anchor})"
        if path.startswith("docs/") and path.endswith(".md"):
            return f"[{text}](../{path.removeprefix('docs/')}{hash_sign}{anchor})"
        return text if posixpath.basename(path) == text else f"{text} (`{path}`)"

    return _LINK.sub(linked, (REPOSITORY / source).read_text("utf-8"))


def commands_page() -> str:
    """Every command of ``laion-score`` with its help, in the order of ``laion-score --help``."""
    from typer.main import get_command

    from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli

    parts = ["# Commands", "What `laion-score COMMAND --help` prints."]

    def add(command, context) -> None:
        parts.append(f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```")
        for name in getattr(command, "commands", ()):
            child = command.commands[name]
            add(child, type(context)(child, info_name=name, parent=context, terminal_width=100))

    program = get_command(cli.app)
    add(program, program.context_class(program, info_name="laion-score", terminal_width=100))
    return "\n\n".join(parts) + "\n"


def generate(app=None) -> None:
    """Write all that is made from code; files that would not change keep their time, so that they are not read again."""
    from figures import FIGURES

    GENERATED.mkdir(exist_ok=True)
    pages = {f"{page}.md": included_page(source) for page, source in INCLUDED.items()}
    pages["commands.md"] = commands_page()
    for name, text in pages.items():
        file = GENERATED / name
        if not file.is_file() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
    for name, draw in FIGURES.items():
        draw(GENERATED / f"{name}.svg")


def setup(app) -> None:
    app.connect("builder-inited", generate)
