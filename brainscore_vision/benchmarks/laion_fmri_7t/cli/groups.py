"""Groups of commands, whose help names each command in one line, under the heading that it was registered with."""

from __future__ import annotations

from typer.core import TyperGroup

UNCUT = 1000
"""Letters of a command's line: it goes on in the next line where the terminal is narrow, and is never cut."""


class Group(TyperGroup):
    """Commands under headings (typer's ``rich_help_panel``), in plain text: paths and brackets in help stay as they are."""

    def format_commands(self, ctx, formatter) -> None:
        """Write the commands, in the order of their registration."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Commands"
                headings.setdefault(heading, []).append((name, command.get_short_help_str(UNCUT)))
        widest = max(len(name) for lines in headings.values() for name, _ in lines)
        for heading, lines in headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), line) for name, line in lines])
