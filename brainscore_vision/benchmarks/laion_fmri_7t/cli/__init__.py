"""The command line, ``laion-score``: one module per command, and what they share."""

from .app import exit_code, main

__all__ = ["exit_code", "main"]
