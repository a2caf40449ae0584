"""Errors of the results database."""


class ResultsError(ValueError):
    """A results file that cannot be used, or something that it cannot hold."""
