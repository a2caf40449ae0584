"""Errors of maps."""

from ..results.errors import ResultsError


class MapError(ResultsError):
    """Values that have no map, or a map that cannot be drawn."""
