"""Errors of reports."""

from ..results import ResultsError


class ReportError(ResultsError):
    """A report that cannot be made of these results, or not where it was asked for."""
