"""Results as files of other programs, by the suffix of the file's name."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd

from .database import ResultsDatabase
from .errors import ResultsError
from .frames import of_one_type, to_dataframe, to_xarray
from .per_voxel import voxel_frames
from .result import Result

SUFFIXES = (".csv", ".parquet", ".json", ".nc")
VOXEL_SUFFIXES = (".csv", ".parquet")


def check_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise ResultsError for a file of unknown form, or whose form needs what is not installed."""
    if path.suffix not in suffixes:
        raise ResultsError(
            f"What is written is told by the file's suffix, one of {', '.join(suffixes)}; received {path.name!r}."
        )
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ResultsError(
            f"Parquet is written with pyarrow, which is not installed; received {path.name!r}. Install the extra: "
            f"pip install '.[parquet]' in the project's folder, or choose .csv."
        )


def export(results: Sequence[Result], path: Path) -> None:
    """Write results to a file.

    Parameters
    ----------
    results : sequence of Result
    path : pathlib.Path
        ``.csv``, ``.parquet`` and ``.json`` (a list of objects) hold the rows of :func:`~.frames.to_dataframe`, ``.nc``
        (netCDF) the arrays of :func:`~.frames.to_xarray`.

    Raises
    ------
    ResultsError
        An unknown suffix, no results, or a file that cannot be written; an existing file is then left as it was.
    """
    check_suffix(path)
    if not results:
        raise ResultsError(f"There are no results to write to {path}: nothing matches.")
    if path.suffix == ".nc":
        arrays = to_xarray(results)
        wrong = [str(name) for name in arrays.variables if "/" in str(name)]
        if wrong:
            raise ResultsError(
                f"Names in a netCDF file have no slash; received {', '.join(map(repr, wrong))}. Call the property otherwise in "
                f"the list of models, or choose .csv."
            )
        _replace(path, lambda scratch: arrays.to_netcdf(scratch, engine="netcdf4"))
        return
    frame = to_dataframe(results)
    writers = {
        ".csv": lambda scratch: frame.to_csv(scratch, index=False),
        ".parquet": lambda scratch: frame.to_parquet(scratch, index=False, engine="pyarrow"),
        ".json": lambda scratch: scratch.write_text(json.dumps(_plain_rows(frame), indent=1) + "\n", encoding="utf-8"),
    }
    _replace(path, writers[path.suffix])


def export_voxels(database: ResultsDatabase, results: Iterable[Result], path: Path) -> int:
    """Write :func:`~.per_voxel.voxel_frames` to a ``.csv`` or ``.parquet`` file, one result in memory at a time.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ResultsError
        As :func:`export`; or no result has values per voxel.
    """
    check_suffix(path, VOXEL_SUFFIXES)
    return _replace(path, lambda scratch: _write_voxels(voxel_frames(database, results), scratch, path))


def _write_voxels(frames: Iterator[pd.DataFrame], scratch: Path, path: Path) -> int:
    n_rows, columns = 0, None
    with ExitStack() as stack:
        for frame in frames:
            if columns is None:
                columns = list(frame)
                append = stack.enter_context((_csv if path.suffix == ".csv" else _parquet)(scratch, frame))
            elif list(frame) != columns:
                raise ResultsError(
                    f"Voxels in one file have the same coordinates; result {frame['result'].iloc[0]} differs in "
                    f"{', '.join(sorted(set(frame) ^ set(columns))) or 'their order'}. Write {path.name} of one dataset at a "
                    f"time."
                )
            append(frame)
            n_rows += len(frame)
    if n_rows == 0:
        raise ResultsError(
            f"There are no values per voxel to write to {path}: no result matches, or none is of a ridge benchmark (others "
            f"compare regions as wholes)."
        )
    return n_rows


@contextmanager
def _csv(scratch: Path, first: pd.DataFrame) -> Iterator[Callable[[pd.DataFrame], None]]:
    """What appends frames like ``first`` to a file."""
    with open(scratch, "w", encoding="utf-8", newline="") as file:
        first.head(0).to_csv(file, index=False)
        yield lambda frame: frame.to_csv(file, index=False, header=False)


@contextmanager
def _parquet(scratch: Path, first: pd.DataFrame) -> Iterator[Callable[[pd.DataFrame], None]]:
    import pyarrow
    import pyarrow.parquet

    def table(frame: pd.DataFrame):
        text = frame.astype({"fold": "string"})  # empty for most benchmarks, which would be another type
        text = text.assign(**{name: of_one_type(text[name]) for name in text.select_dtypes(object)})
        return pyarrow.Table.from_pandas(text, preserve_index=False).replace_schema_metadata()

    def as_before(frame: pd.DataFrame):
        new = table(frame)
        try:
            return new.cast(writer.schema)
        except pyarrow.ArrowException as error:
            kinds = zip(new.schema, writer.schema, strict=True)
            other = "; ".join(f"{a.name} is {a.type}, and {b.type} before" for a, b in kinds if a.type != b.type)
            raise ResultsError(
                f"A column of Parquet has one type; in result {frame['result'].iloc[0]}, {other}. Choose .csv, or write "
                f"results with other neuroids to a file of their own."
            ) from error

    with pyarrow.parquet.ParquetWriter(scratch, table(first).schema) as writer:
        yield lambda frame: writer.write_table(as_before(frame))


def _replace(path: Path, write):
    """Write a scratch file beside ``path`` that takes its place when it is whole."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            scratch = Path(folder) / path.name
            answer = write(scratch)
            scratch.replace(path)
            return answer
    except OSError as error:
        raise ResultsError(
            f"Results are written to a file in a folder that exists and is writable; {path}: {error.strerror or error}."
        ) from error


def _plain_rows(frame: pd.DataFrame) -> list[dict]:
    """Rows as JSON has them: what is missing is None."""
    return [
        {
            name: None if pd.isna(value) else getattr(value, "item", lambda value=value: value)()
            for name, value in row.items()
        }
        for row in frame.astype(object).to_dict(orient="records")
    ]
