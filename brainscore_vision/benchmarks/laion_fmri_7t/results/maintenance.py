"""Whether a results file is whole, and what killed writers left."""

from __future__ import annotations

from collections.abc import Iterator

from . import voxels
from .database import ResultsDatabase
from .errors import ResultsError
from .schema import reading, writing


def verify(database: ResultsDatabase) -> Iterator[tuple[str, str | None]]:
    """Read everything; yields what was read and what is wrong with it, or None."""
    with reading(database.connection):
        checks = [row[0] for row in database.connection.execute_sql("PRAGMA integrity_check").fetchall()]
        dangling = database.connection.execute_sql("PRAGMA foreign_key_check").fetchall()
    problems = [check for check in checks if check != "ok"] + [f"{row[0]} refers to no {row[2]}" for row in dangling]
    yield database.path.name, "; ".join(problems) or None
    for result in database.results(latest=False):
        try:
            missing = _missing(database, result.id)
        except ResultsError as error:
            yield f"result {result.id}", str(error)
        else:
            yield f"result {result.id}", f"no values of {', '.join(missing)}" if missing else None


def orphans(database: ResultsDatabase) -> list[str]:
    """Names of files with values per voxel that no result refers to: their writers were killed."""
    with writing(database.connection):
        return _orphans(database)


def remove_orphans(database: ResultsDatabase) -> int:
    """Remove :func:`orphans`; the number of bytes that were freed.

    Writers write these files while they have the only right to write to the database. This takes the same right, so no file
    that it finds without a result is still on its way.
    """
    with writing(database.connection):
        paths = [database.voxel_directory / name for name in _orphans(database)]
        freed = sum(path.stat().st_size for path in paths)
        for path in paths:
            path.unlink()
    return freed


def _orphans(database: ResultsDatabase) -> list[str]:
    known = {row.voxel_file for row in database.tables.Result.select(database.tables.Result.voxel_file)}
    return [path.name for path in voxels.files(database.voxel_directory) if path.name not in known]


def _missing(database: ResultsDatabase, result_id: int) -> list[str]:
    """Places in the tree that have draws by their row, and none in the file."""
    nodes = database.tree(result_id).walk()
    return [place for place, node in nodes if node.columns["bootstrap_stimuli"] is not None and node.draws is None]
