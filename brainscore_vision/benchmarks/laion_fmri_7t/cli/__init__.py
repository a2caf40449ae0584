"""The command line, ``laion-score``: one module per command, and what they share."""

from .app import main

__all__ = ["main"]
