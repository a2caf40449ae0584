"""Results in one SQLite file, and values per voxel in a folder beside it."""

from __future__ import annotations

import fnmatch
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from brainscore_core.metrics import Score

from ..networks.sources import with_whole_path
from . import voxels
from .entry import Entry, make_entry, without_dataset
from .errors import ResultsError
from .facts import RunFacts
from .names import NAME, SHOWN_DIGITS, all_names, names_and_layers, tells_apart
from .packing import NETWORK_FACTS, Node, unpack
from .per_voxel import chosen_subjects, voxel_frames
from .result import Failure, Result, Summary
from .rows import (
    Names,
    ResultRow,
    add_rows,
    add_run,
    add_tree,
    latest_failures,
    newest,
    one_row,
    read_failures,
    read_names,
    read_results,
    read_summaries,
    read_trees,
    result_rows,
    unversioned,
)
from .schema import ResultsFile, check_or_create, define_tables, migrate, reading, writing


class ResultsDatabase:
    """A results file.

    Parameters
    ----------
    path : str or pathlib.Path
        The SQLite file. Values per voxel and draws are in the folder ``<path>.voxels``; the two are moved together.
    create : bool
        Make the file if there is none.

    Raises
    ------
    ResultsError
        No such file, or one of another application or version; also raised by the methods where the file cannot be read or
        written.

    Attributes
    ----------
    path : pathlib.Path
    connection : ResultsFile, a peewee.SqliteDatabase
    tables : types.SimpleNamespace
        Peewee's models of the tables, for queries that this class does not have; see :mod:`.tables` for transactions.

    Notes
    -----
    Any number of processes may add to one file. Who adds waits for the only right to write, and writes the rows and the file
    with values per voxel under it: a writer that is killed leaves nothing that a reader sees. Connections are opened for
    each call, so an object may be used in several threads and after a fork.
    """

    def __init__(self, path: str | Path, create: bool = True):
        self.path = Path(path).expanduser().resolve()  # also after a change of the folder, and beside what a link means
        if self.path.is_dir():
            raise ResultsError(f"Results are kept in a file; {self.path} is a folder. Name a file in it.")
        if not self.path.exists():
            if create:
                _make_folder(self.path.parent)
            else:
                raise ResultsError(
                    f"There is no results file {self.path}; `laion-score score MODEL BENCHMARK --results FILE` makes one."
                )
        self.connection = ResultsFile(self.path)
        if not self.path.exists():
            self.connection.check_locks()
        self.tables = define_tables(self.connection)
        check_or_create(self.connection, self.tables, create)

    def __repr__(self) -> str:
        return f"ResultsDatabase({str(self.path)!r})"

    def __reduce__(self):
        return ResultsDatabase, (self.path,)

    @property
    def voxel_directory(self) -> Path:
        """Folder of the files with values per voxel; made when first written to."""
        return self.path.with_name(f"{self.path.name}.voxels")

    def check_writable(self) -> None:
        """Raise ResultsError if nothing can be added; to be called before long work."""
        with writing(self.connection):
            migrate(self.connection)
        _make_folder(self.voxel_directory)

    def add(self, score: Score, run: RunFacts) -> int:
        """Add a model's Score on a benchmark.

        Parameters
        ----------
        score : Score
            As :func:`~..scoring.score_all` yields it.
        run : RunFacts

        Returns
        -------
        int
            Its id.

        Raises
        ------
        ResultsError
            A Score that lacks something, or is of other data than ``run`` says; nothing is added.
        """
        return self.add_entries([make_entry(score, run)])[0]

    def add_entries(self, entries: Sequence[Entry], properties: Mapping | None = None) -> list[int]:
        """Add what :func:`~.entry.make_entry` made of Scores, all or none; returns their ids.

        ``properties`` are those that a list of models gives their model (:func:`~.adding.set_properties`), if one does.
        """
        with writing(self.connection):
            migrate(self.connection)
            return [self._add(entry, properties) for entry in entries]

    def _add(self, entry: Entry, properties: Mapping | None) -> int:
        t, run = self.tables, entry.run
        described = {"is_simulated": bool(entry.dataset.get("simulated", False)), "description": entry.dataset}
        own = {
            "run": add_run(t, run),
            "model": one_row(t.Model, identifier=entry.model, requested=run.model, revision=run.model_revision or ""),
            "benchmark": one_row(t.Benchmark, identifier=entry.benchmark, version=run.benchmark_version),
            "dataset": one_row(t.Dataset, fingerprint=run.dataset_fingerprint, **described),
            "benchmark_as_scored": entry.benchmark_as_scored,
            "normalization": entry.normalization,
            **entry.network,
        }
        if properties:
            t.Model.update(properties=dict(properties)).where(t.Model.id == own["model"]).execute()
        result = add_rows(t.Result, own)
        add_tree(t, entry.root, result)
        if entry.content is not None:
            # last, and never taken back: once rows may refer to a file, a left-over is better than a missing one
            file = voxels.write(entry.content, self.voxel_directory, f"result-{result:06d}").name
            self.connection.execute_sql("UPDATE result SET voxel_file = ? WHERE id = ?", (file, result))
        return result

    def add_failure(self, model: str, benchmark: str | None, run: RunFacts, error: str, traceback: str) -> int:
        """Add that a model could not be scored.

        Parameters
        ----------
        model : str
            As it was asked for.
        benchmark : str or None
            None if the model could not even be made.
        run : RunFacts
        error : str
            Class and message of the exception.
        traceback : str

        Returns
        -------
        int
            Its id.
        """
        with writing(self.connection):
            migrate(self.connection)
            number = add_run(self.tables, run)
            own = {
                "run": number,
                "requested_model": model,
                "model_revision": run.model_revision,
                "benchmark": None if benchmark is None else without_dataset(benchmark),
                "benchmark_version": run.benchmark_version,
                "dataset_fingerprint": run.dataset_fingerprint,
                "error": error,
                "traceback": traceback,
            }
            add_rows(self.tables.Failure, own)
        return number

    def results(
        self, models: str | Iterable[str] = (), benchmarks: str | Iterable[str] = (), latest: bool = True
    ) -> list[Result]:
        """Results in the order of adding.

        Parameters
        ----------
        models, benchmarks : str or iterable of str
            Names or patterns (``*``, ``?``); a model is found by its name, its own identifier, what was asked for, the name
            with brackets that tells it from others (:mod:`.names`), and a digest or revision alone. None: all.
        latest : bool
            The newest of each model, benchmark and dataset alone; two sources of a model of one name are two models, and so
            are two choices of layers for a model whose code is the same.
        """
        models, benchmarks = _of_models(models), _patterns(benchmarks)
        with reading(self.connection):
            found = read_results(self.tables, *self._rows(models, benchmarks, latest))
            named = self._named(found, models, benchmarks, latest)
        return _named_as(models, [replace(one, model=name, layer_in_name=told) for one, (name, told) in named])

    def summaries(
        self,
        models: str | Iterable[str] = (),
        benchmarks: str | Iterable[str] = (),
        latest: bool = True,
        intervals: bool = True,
    ) -> list[Summary]:
        """Of :meth:`results`, what a list shows, in a tenth of the time; without ``intervals`` over subjects faster still."""
        models, benchmarks = _of_models(models), _patterns(benchmarks)
        with reading(self.connection):
            found = read_summaries(self.tables, *self._rows(models, benchmarks, latest), intervals)
            named = self._named(found, models, benchmarks, latest)
        return _named_as(models, [one._replace(model=name) for one, (name, _) in named])

    def _named(self, found: Sequence, models: Sequence[str], benchmarks: Sequence[str], latest: bool) -> list[tuple]:
        """What was found with :func:`names_and_layers`; layers are told apart as in the whole file, whatever is asked for."""
        of_file = found
        if models or benchmarks:
            of_file = read_summaries(self.tables, *self._rows((), (), latest), intervals=False)
        return list(zip(found, names_and_layers(found, of_file), strict=True))

    def _rows(self, models: Sequence[str], benchmarks: Sequence[str], latest: bool) -> tuple[list[ResultRow], Names]:
        """Rows that were asked for, and the names that they refer to."""
        names = read_names(self.tables)
        # names that tell networks apart are made when results are there
        rows = result_rows(self.tables, **_matching(names, () if any(map(tells_apart, models)) else models, benchmarks))
        if latest:
            kept = _latest(names, rows)
            rows = [row for row in rows if row.id in kept]
        return rows, names

    def failures(
        self, models: str | Iterable[str] = (), benchmarks: str | Iterable[str] = (), latest: bool = True
    ) -> list[Failure]:
        """Failures in the order of adding; parameters as for :meth:`results`.

        Of several attempts at one model, benchmark and dataset, ``latest`` gives the last if it failed. That a model could not
        be made (``benchmark`` is None) concerns every benchmark, and is past once it was scored on any.
        """
        models, benchmarks = _of_models(models), _patterns(benchmarks)
        t = self.tables
        with reading(self.connection):
            failures = [
                failure
                for failure in read_failures(t)
                if matches(models, failure.model)
                and (failure.benchmark is None or matches(benchmarks, failure.benchmark))
            ]
            if not (latest and failures):
                return failures
            names = read_names(t)
            successes = [(row.run, *_cell(names, row)[1:]) for row in result_rows(t)]
        return latest_failures(failures, successes)

    def datasets(self) -> dict[str, list[str]]:
        """Fingerprints of the datasets that there are results on, and what these are called."""
        with reading(self.connection):
            rows = read_names(self.tables).datasets.values()
        found: dict[str, list[str]] = {}
        for row in rows:  # a folder may be moved, or be on two machines
            found.setdefault(row.fingerprint, []).extend(names_of_dataset(row.description))
        return found

    def score(self, result_id: int) -> Score:
        """The Score of a result, as it was added; its benchmark's identifier without the dataset, which has its own place.

        Raises
        ------
        ResultsError
            No such result, or its file with values per voxel is missing or damaged.
        """
        row, names, root = self._find(result_id)
        score = unpack(root, {"dataset": names.datasets[row.dataset].description, "normalization": row.normalization})
        score.attrs["model_identifier"] = names.models[row.model].identifier
        score.attrs["benchmark_identifier"] = names.benchmarks[row.benchmark].identifier
        facts = {**row._asdict(), "layers": None if row.layers is None else json.loads(row.layers)}
        score.attrs.update({name: facts[name] for name in NETWORK_FACTS if facts[name] is not None})
        if row.model_code is not None:
            score.attrs["model_revision"] = names.models[row.model].revision
        return score

    def voxels(
        self,
        models: str | Iterable[str] = (),
        benchmarks: str | Iterable[str] = (),
        subjects: str | Iterable[str] = (),
        latest: bool = True,
    ) -> pd.DataFrame:
        """Values per voxel of many results in one table; :func:`~.per_voxel.voxels_to_xarray` makes arrays of it.

        Parameters
        ----------
        models, benchmarks, latest
            As for :meth:`results`.
        subjects : str or iterable of str
            None: all.

        Returns
        -------
        pandas.DataFrame
            As :func:`~.per_voxel.voxel_frames`, one below the other.

        Raises
        ------
        ResultsError
            No result that matches has values per voxel of these subjects, or a file with values per voxel is damaged.
        """
        found, subjects = self.results(models, benchmarks, latest), _patterns(subjects)
        frames = [chosen_subjects(frame, subjects) for frame in voxel_frames(self, found)]
        frames = [frame for frame in frames if len(frame)]
        if not frames:
            raise ResultsError(
                f"Values per voxel are those of ridge benchmarks; none of the {len(found)} results in {self.path} that match "
                f"has some of {', '.join(subjects) or 'any subject'}."
            )
        return pd.concat(frames, ignore_index=True)

    def tree(self, result_id: int) -> Node:
        """The numbers of a result as a tree, with values per voxel and draws; raises as :meth:`score`."""
        return self._find(result_id)[2]

    def _find(self, result_id: int) -> tuple[ResultRow, Names, Node]:
        t = self.tables
        with reading(self.connection):
            rows = result_rows(t, id=[result_id])
            if not rows:
                raise ResultsError(
                    f"A result is named by its id, which `laion-score results {self.path}` shows; there is none with "
                    f"{result_id!r}."
                )
            names, root = read_names(t), read_trees(t, [result_id])[result_id]
        row = rows[0]
        about = {
            "model": names.models[row.model].identifier,
            "benchmark": names.benchmarks[row.benchmark].identifier,
            "dataset": names.datasets[row.dataset].fingerprint,
        }
        arrays = {} if row.voxel_file is None else voxels.read(self.voxel_directory / row.voxel_file, about)
        return rows[0], names, _with_arrays(root, arrays)


def _patterns(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _of_models(names: str | Iterable[str]) -> tuple[str, ...]:
    """Patterns of models; files, which may be named from where the user is, also with their whole path."""
    given = _patterns(names)
    return tuple(dict.fromkeys([*given, *map(with_whole_path, given)]))


def _matching(names: Names, models: Sequence[str], benchmarks: Sequence[str]) -> dict[str, list[int]]:
    """Ids of the models and of the benchmarks that fit patterns, where there are any."""
    found = {}
    if models:
        found["model"] = [
            i
            for i, model in names.models.items()
            if matches(models, model.identifier, model.requested, str(names.properties[i].get(NAME, "")))
        ]
    if benchmarks:
        found["benchmark"] = [i for i, one in names.benchmarks.items() if matches(benchmarks, one.identifier)]
    return found


def _named_as(models: Sequence[str], found: list) -> list:
    """Of results or summaries, those of ``models`` as they are named now."""
    in_full = {result.model for result in found}.intersection(models)  # whose asterisks, of a table's columns, are none
    if not in_full and not any(map(tells_apart, models)):
        return found
    patterns = [pattern for pattern in models if pattern not in in_full]
    return [r for r in found if r.model in in_full or (patterns and matches(patterns, *all_names(r)))]


def _cell(names: Names, row: ResultRow) -> tuple[str, str, str, str]:
    """What a newer result takes the place of: identifier and request of the model, benchmark, fingerprint of the data."""
    model = names.models[row.model]
    benchmark, dataset = names.benchmarks[row.benchmark], names.datasets[row.dataset]
    return model.identifier, model.requested, benchmark.identifier, dataset.fingerprint


def _latest(names: Names, rows: Iterable[ResultRow]) -> set[int]:
    """Ids of rows, in the order of adding, that no newer one takes the place of."""
    revised = ((row, names.models[row.model].revision) for row in rows)
    return newest(
        (row.id, _cell(names, row), revision, (row.layers, unversioned(revision, row.network_digest)))
        for row, revision in revised
    )


def matches(patterns: Sequence[str], *names: str) -> bool:
    """Whether one of ``names`` fits one of ``patterns``, or there are none. Brackets stand for themselves."""
    escaped = [pattern.replace("[", "[[]") for pattern in patterns]
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in escaped)


def is_dataset(patterns: Sequence[str], names: Sequence[str], fingerprint: str) -> bool:
    """Whether one of the patterns is a dataset's: a name or folder, from where the user is, or digits of the fingerprint."""
    for pattern in patterns:
        folder = Path(pattern).expanduser()
        forms = [pattern, str(folder.resolve())] if folder.is_dir() else [pattern]
        if matches(forms, *names, fingerprint) or (len(pattern) >= SHOWN_DIGITS and fingerprint.startswith(pattern)):
            return True
    return not patterns


def names_of_dataset(description: Mapping) -> list[str]:
    """What people call a dataset: its name, its folder, and the last part of that."""
    names = dict.fromkeys(str(description[key]) for key in ("name", "root") if description.get(key))
    return [*names, *(Path(name).name for name in names)]


def _make_folder(folder: Path) -> None:
    """A folder that can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"Results are kept in {folder}, which cannot be written ({error.strerror}). Choose another results file, or mend "
            f"the folder."
        ) from error


def _with_arrays(node: Node, arrays: dict, place: tuple[str, ...] = ()) -> Node:
    return replace(
        node,
        children=tuple(_with_arrays(child, arrays, (*place, child.name)) for child in node.children),
        **arrays.get("/".join(place), {}),
    )
