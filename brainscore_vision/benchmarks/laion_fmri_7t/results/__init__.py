"""Results on disk: a database of scores that many processes add to, and what is read from it.

``ResultsDatabase(path).results()`` lists them as :class:`Result`, ``.summaries()`` the same without subjects, faster;
``.score(id)`` gives the whole Score again. The tables are explained in the README of the benchmarks.
"""

from .adding import add_failures, add_scores, check_properties, set_properties
from .database import ResultsDatabase, is_dataset, matches
from .entry import Entry, make_entry
from .errors import ResultsError
from .export import SUFFIXES, VOXEL_SUFFIXES, check_suffix, export, export_voxels
from .facts import RunFacts, run_facts
from .frames import to_dataframe, to_xarray
from .maintenance import orphans, remove_orphans, verify
from .names import of_two_networks, tell_apart, what_differs
from .parts import add_partitions, read_partitions
from .per_voxel import score_to_frame, voxel_frames, voxels_to_xarray
from .result import Failure, FoldResult, Result, Summary, UnitResult, layers_text
from .row_notes import RowLayers, RowNote, row_layers, row_notes

__all__ = [
    "Entry",
    "Failure",
    "FoldResult",
    "Result",
    "ResultsDatabase",
    "ResultsError",
    "RowLayers",
    "RowNote",
    "RunFacts",
    "SUFFIXES",
    "Summary",
    "UnitResult",
    "VOXEL_SUFFIXES",
    "add_failures",
    "add_partitions",
    "add_scores",
    "check_properties",
    "check_suffix",
    "export",
    "export_voxels",
    "is_dataset",
    "layers_text",
    "make_entry",
    "matches",
    "of_two_networks",
    "orphans",
    "read_partitions",
    "remove_orphans",
    "row_layers",
    "row_notes",
    "score_to_frame",
    "set_properties",
    "run_facts",
    "tell_apart",
    "to_dataframe",
    "to_xarray",
    "verify",
    "voxel_frames",
    "voxels_to_xarray",
    "what_differs",
]
