"""Tables in terminals of any width, and in pipes: names and numbers stay whole."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from plugin_testing.registered import REGISTERED

from brainscore_vision.benchmarks.laion_fmri_7t.cli.tables import Column, print_table

MODEL = "timm:vit_giant_patch14_reg4_dinov2.lvd142m_with_a_name_that_never_ends"


@pytest.fixture
def terminal(monkeypatch):
    """``terminal(width)``: standard output is a terminal of this width."""

    def of(width):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    return of


COLUMNS = [Column("model"), Column("benchmark"), Column("score", number=True), Column("seconds it took", number=True)]
COLUMNS += [Column("peak GB", number=True, minor=True)]
ROWS = [(MODEL, name, f"0.{i:03d} ± 0.0{i:02d}", f"{i}.5", "1.25") for i, name in enumerate(REGISTERED)]


def columns_again(lines, widths_line):
    """Each row's cells put together again from the lines that they take."""
    spans = [match.span() for match in re.finditer("─+", widths_line)]
    rows = []
    for line in lines:
        cells = [line[start:end].strip() for start, end in spans]
        if cells[2]:  # the score: of one line in a row
            rows.append(cells)
        else:
            rows[-1] = [whole + more for whole, more in zip(rows[-1], cells, strict=True)]
    return [tuple(row) for row in rows]


def test_a_pipe_gets_every_row_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_table("Title", COLUMNS, ROWS, "Below.")
    title, heading, _, *rows, below = capsys.readouterr().out.splitlines()
    assert (title, below) == ("Title", "Below.")
    assert heading.split("  ")[0].strip() == "model"
    assert [re.split(r" {2,}", row) for row in rows] == [list(row) for row in ROWS]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_shows_whole_names_and_numbers(capsys, terminal, width):
    terminal(width)
    print_table("Title", COLUMNS, ROWS)
    *lines, below = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert below == "Not shown in this width: peak GB."
    rule = next(i for i, line in enumerate(lines) if line.startswith("─"))
    assert " ".join(" ".join(lines[1:rule]).split()) == "model benchmark score seconds it took"
    assert columns_again(lines[rule + 1 :], lines[rule]) == [row[:4] for row in ROWS]


def test_a_wide_terminal_shows_all_in_single_lines(capsys, terminal):
    terminal(150)
    print_table("Title", COLUMNS, ROWS)
    _, heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.endswith("seconds it took  peak GB")
    assert [re.split(r" {2,}", row) for row in rows] == [list(row) for row in ROWS]


def test_headings_give_way_before_columns_do(capsys, terminal):
    terminal(40)
    columns = [
        Column("subject"),
        *(Column(f"used {pool} tau", number=True) for pool in ("shared", "persubject", "other")),
    ]
    print_table("Title", columns, [("sub-01", "31.1", "32.2", "33.3")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[-1].split() == ["sub-01", "31.1", "32.2", "33.3"]
    assert {"used", "persubject", "tau"} <= set(" ".join(lines[1:4]).split())


def of_a_terminal(*arguments, width=80, **environment):
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(width), "PYTHONWARNINGS": "ignore", **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "laion_score", *map(str, arguments)],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=environment,
    ):
        os.close(theirs)
        text = b""
        while True:
            try:
                text += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [("data", "describe"), ("ceilings", "--out", "OUT")],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_tables_of_data_fit_a_terminal(tiny_dataset, tmp_path, arguments):
    arguments = [str(tmp_path / "ceilings.svg") if part == "OUT" else part for part in arguments]
    text = of_a_terminal(*arguments, "--dataset", tiny_dataset)
    table = [line for line in text.splitlines() if re.match(r"sub-0\d|tau|ood|─", line)]
    assert len(table) > 2
    assert max(map(len, table)) <= 80
    assert "…" not in text
