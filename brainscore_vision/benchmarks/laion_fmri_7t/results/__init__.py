"""Results on disk: a database of scores that many processes add to, and what is read from it.

``ResultsDatabase(path).results()`` lists :class:`Result` records; ``.score(id)`` gives the whole Score again. The tables are
explained in the README of the benchmarks.
"""

from .database import ResultsDatabase
from .errors import ResultsError
from .facts import RunFacts, run_facts
from .records import Failure, FoldResult, Result, UnitResult

__all__ = [
    "Failure",
    "FoldResult",
    "Result",
    "ResultsDatabase",
    "ResultsError",
    "RunFacts",
    "UnitResult",
    "run_facts",
]
