"""Code blocks of Markdown files: found, run in order, their shown output compared or written anew.

A block of ``sh`` or ``python`` is run. A block of ``text`` right under it shows what it prints. Words after the
language say more: ``python FILE.py`` is the content of a file of that name,
``sh fails`` ends with an error, whose message is shown.
"""

import contextlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from markdown_it import MarkdownIt

from .install_check import REPOSITORY

RUN = ("python", "sh")


@dataclass(frozen=True)
class Block:
    """A code block that is run, and the output that is shown under it.

    Attributes
    ----------
    language : str
    word : str
        What follows the language; mostly nothing.
    code : str
    line : int
        Of the first line of the code, from 1.
    output : str or None
        None if no output is shown.
    output_lines : tuple of int
        First and last but one line of the output's content in the file, from 0; empty where none is shown.
    """

    language: str
    word: str
    code: str
    line: int
    output: str | None = None
    output_lines: tuple[int, ...] = ()


def blocks(text: str) -> list[Block]:
    """The blocks of a Markdown text that are run."""
    found: list[Block] = []
    lines, end_of_last = text.splitlines(), None
    for token in MarkdownIt().parse(text):
        if token.type != "fence":
            continue
        start, end = token.map
        language, _, word = token.info.strip().partition(" ")
        if language in RUN:
            found.append(Block(language, word, token.content, start + 2))
        elif language == "text" and end_of_last is not None and not any(map(str.strip, lines[end_of_last:start])):
            found[-1] = replace(found[-1], output=token.content, output_lines=(start + 1, end - 1))
        end_of_last = end if language in RUN else None
    return found


class Runner:
    """Runs a page's blocks in one folder and one Python namespace.

    Parameters
    ----------
    laion_score : callable
        (arguments) -> (exit code, standard output, standard error).
    printed : callable
        What was printed since it was last called, (standard output, standard error).
    setenv : callable
        Sets a variable until the page ends.
    stand_ins : dict of str to callable
        What is done in place of a program that asks the network.
    """

    def __init__(self, laion_score: Callable, printed: Callable, setenv: Callable, stand_ins: dict[str, Callable]):
        self.laion_score, self.printed, self.setenv, self.stand_ins = laion_score, printed, setenv, stand_ins

    def run(self, page: Path, folder: Path, before: str = "") -> list[tuple[Block, str]]:
        """Each block of a page, and what it prints; commands before them are not shown."""
        names: dict = {"__name__": "__page__"}
        results = []
        with contextlib.chdir(folder), self._importable(folder):
            self._sh(Block("sh", "", before, 0), f"before {page.name}")
            for block in blocks(page.read_text("utf-8")):
                where = f"{page.name}:{block.line}"
                printed = self._python(block, where, names) if block.language == "python" else self._sh(block, where)
                results.append(
                    (block, "".join(f"{_anywhere(line, folder).rstrip()}\n" for line in printed.splitlines()))
                )
        return results

    @staticmethod
    @contextlib.contextmanager
    def _importable(folder: Path):
        """Files that the page writes can be imported, as where a reader runs Python; another page has others."""
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            for file in folder.glob("*.py"):
                sys.modules.pop(file.stem, None)

    def _python(self, block: Block, where: str, names: dict) -> str:
        code = compile(block.code, where, "exec")
        if block.word:
            Path(block.word).write_text(block.code, "utf-8")
            return ""
        exec(code, names)
        return self.printed()[0]

    def _sh(self, block: Block, where: str) -> str:
        out = ""
        commands = [line for line in block.code.replace("\\\n", " ").splitlines() if shlex.split(line, comments=True)]
        for number, line in enumerate(commands, 1):
            words = shlex.split(line, comments=True)
            words, file = (words[:-2], words[-1]) if ">" in words else (words, None)
            code, stdout, stderr = self._command(words, where)
            if file is not None:
                stdout = "" if Path(file).write_text(stdout, "utf-8") else stdout
            fails = block.word == "fails" and number == len(commands)
            assert (code != 0) == fails, f"{where}: {line}: exit code {code}\n{stdout}{stderr}"
            out += stdout + (stderr if fails else "")
        return out

    def _command(self, words: list[str], where: str) -> tuple[int, str, str]:
        program, *arguments = words
        if program == "laion-score":
            return self.laion_score(*arguments)
        if program in self.stand_ins:
            self.stand_ins[program](*arguments)
            return 0, *self.printed()
        if program == "export":
            self.setenv(*arguments[0].split("=", 1))
            return 0, "", ""
        if program == "python" and Path(REPOSITORY, arguments[0]).is_file():
            main = runpy.run_path(str(REPOSITORY / arguments[0]), run_name=arguments[0])["main"]
            return main(arguments[1:]), *self.printed()
        if program == "make":
            targets = re.findall(r"^([\w.-]+):", Path(REPOSITORY, "Makefile").read_text("utf-8"), re.MULTILINE)
            asked = [word for word in arguments if "=" not in word and not word.startswith("-")]
            assert set(asked) <= set(targets), f"{where}: the Makefile has no {asked}"
            return 0, "", ""
        if program == "pip":
            extras = re.findall(r"\.\[(.*?)\]", " ".join(arguments))
            assert set(extras) <= set(metadata.metadata("laion-fmri-7t").get_all("Provides-Extra")), where
            return 0, "", ""
        if program in ("source", "git"):
            return 0, "", ""
        run = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
        return run.returncode, run.stdout, run.stderr


def _anywhere(line: str, folder: Path) -> str:
    """A printed line without the folders of this run; columns of a table stay where they are."""
    for here, there in ((str(folder), "/study"), (os.environ["BRAINSCORE_HOME"], "~/.brain-score")):
        padding = " " * (len(here) - len(there)) if "│" in line else ""
        line = re.sub(re.escape(here) + r"(\S*)", lambda match, to=there, pad=padding: to + match[1] + pad, line)
    return line


def with_outputs(text: str, results: list[tuple[Block, str]]) -> str:
    """The page with what its blocks print now, where it shows output."""
    lines = text.splitlines(keepends=True)
    for block, printed in reversed(results):
        if block.output is not None:
            lines[slice(*block.output_lines)] = printed.splitlines(keepends=True)
    return "".join(lines)
