"""Results on disk: a database of scores that many processes add to, and what is read from it.

``ResultsDatabase(path).results()`` lists :class:`Result` records; ``.score(id)`` gives the whole Score again. The tables are
explained in the README of the benchmarks.
"""

from .database import ResultsDatabase, matches
from .errors import ResultsError
from .export import SUFFIXES, VOXEL_SUFFIXES, check_suffix, export, export_voxels, voxel_frames
from .facts import RunFacts, run_facts
from .frames import to_dataframe, to_xarray
from .maintenance import orphans, remove_orphans, verify
from .recording import record_failures, record_scores
from .records import Failure, FoldResult, Result, UnitResult

__all__ = [
    "Failure",
    "FoldResult",
    "Result",
    "ResultsDatabase",
    "ResultsError",
    "RunFacts",
    "SUFFIXES",
    "UnitResult",
    "VOXEL_SUFFIXES",
    "check_suffix",
    "export",
    "export_voxels",
    "matches",
    "orphans",
    "record_failures",
    "record_scores",
    "remove_orphans",
    "run_facts",
    "to_dataframe",
    "to_xarray",
    "verify",
    "voxel_frames",
]
