"""The tables of a results file, and which files are one."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import peewee
import psutil

from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from .errors import ResultsError

APPLICATION_ID = 0x4C463754
"""Marks SQLite files as ours (LF7T), in the place that SQLite provides for it."""

SCHEMA_VERSION = 5
"""Increased when tables change; also ``PRAGMA user_version`` of a file. Files of earlier versions are read as they are, and
get what is new (:data:`_ADDED`) when something is added to them."""

_ADDED = {
    "model": {"properties": "TEXT"},
    "result": dict.fromkeys(("layers", "layer_choice", "model_source", "network_digest", "model_code"), "TEXT"),
    "score": {"n_significant_voxels": "INTEGER"},
    "parts": dict.fromkeys(
        ("layers_a", "layers_b", "notes", "network_digest_a", "network_digest_b", "dropped_stimuli"), "TEXT"
    ),
}
"""Columns that version 1 does not have, by table; ``model_code`` is new in version 3, layers of ``parts`` in version 4, what
else is of ``parts``, and properties of ``model``, in version 5."""

PROPERTY = "property"
"""Table of versions before 5: properties of a model by what was asked for alone (``requested``, ``name``, ``value``)."""

BUSY_SECONDS = 300
"""How long a writer waits for others."""

UNUSED_BYTE = 2**40
"""Place of a trial lock in a file, beyond those that SQLite locks."""

OWN_LOCKS = ("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.mount-s3", "9p", "vboxsf")
"""File systems on which locks are seen by the processes of one machine alone, or of one mount."""

OWN_LOCKS_OF_NFS = frozenset(("nolock", "local_lock=all", "local_lock=posix"))
"""Options of a mount of NFS that make it such a one."""

MEAN, FOLD, SUBJECT = "mean", "fold", "subject"
"""What a row of ``score`` is of."""

_VIEW = """
CREATE VIEW scores AS SELECT
    result.id AS result, model.identifier AS model, model.requested AS requested_model, model.revision AS model_revision,
    benchmark.identifier AS benchmark, benchmark.version AS benchmark_version, dataset.fingerprint AS dataset_fingerprint,
    dataset.is_simulated, result.normalization, score.level, parent.label AS fold, score.label, score.value, score.error,
    score.raw, score.raw_error, score.ceiling, score.ceiling_error, score.interval_low, score.interval_high, score.alpha,
    json_extract(score.details, '$.mean_eigenvalue') AS mean_eigenvalue,
    score.n_train, score.n_test, score.n_neuroids, score.n_features, score.n_significant_voxels,
    run.started, run.seconds, run.peak_memory_bytes,
    run.machine, result.layers, result.layer_choice, result.model_source, result.network_digest,
    json_extract(score.details, '$.features_digest') AS features_digest, json_extract(score.details, '$.notes') AS notes
FROM score
JOIN result ON score.result_id = result.id
JOIN run ON result.run_id = run.id
JOIN model ON result.model_id = model.id
JOIN benchmark ON result.benchmark_id = benchmark.id
JOIN dataset ON result.dataset_id = dataset.id
LEFT JOIN score AS parent ON score.parent_id = parent.id AND parent.level = 'fold'
""".strip()


class JSONField(peewee.TextField):
    """Lists, dicts, strings and finite numbers, as text that SQLite's own JSON functions read too."""

    def db_value(self, value):
        return None if value is None else json.dumps(value, allow_nan=False, sort_keys=True)

    def python_value(self, value):
        return None if value is None else json.loads(value)


def define_tables(database: peewee.Database) -> SimpleNamespace:
    """The tables, bound to ``database`` and to no other: several files may be open at once."""

    class Table(peewee.Model):
        class Meta:
            legacy_table_names = False

    class Schema(Table):
        version = peewee.IntegerField(primary_key=True)
        created = peewee.TextField()

    class Model(Table):
        identifier = peewee.TextField()
        requested = peewee.TextField()
        revision = peewee.TextField()  # empty where there is none: SQL takes no two NULLs for equal
        properties = JSONField(null=True)

        class Meta:
            indexes = ((("identifier", "requested", "revision"), True),)

    class Benchmark(Table):
        identifier = peewee.TextField()
        version = peewee.IntegerField()

        class Meta:
            indexes = ((("identifier", "version"), True),)

    class Dataset(Table):
        fingerprint = peewee.TextField()
        is_simulated = peewee.BooleanField()
        description = JSONField()

        class Meta:
            indexes = ((("fingerprint", "description"), True),)

    class Run(Table):
        id = peewee.AutoField()
        started = peewee.TextField()
        seconds = peewee.DoubleField()
        peak_memory_bytes = peewee.BigIntegerField()
        machine = peewee.TextField()
        versions = JSONField()

    class Result(Table):
        run = peewee.ForeignKeyField(Run, unique=True)
        model = peewee.ForeignKeyField(Model)
        benchmark = peewee.ForeignKeyField(Benchmark)
        dataset = peewee.ForeignKeyField(Dataset)
        benchmark_as_scored = peewee.TextField()
        normalization = peewee.TextField()
        voxel_file = peewee.TextField(null=True)
        layers = JSONField(null=True)
        layer_choice = peewee.TextField(null=True)
        model_source = peewee.TextField(null=True)
        network_digest = peewee.TextField(null=True)
        model_code = peewee.TextField(null=True)

    class Score(Table):
        result = peewee.ForeignKeyField(Result)
        parent = peewee.ForeignKeyField("self", null=True)
        level = peewee.TextField()
        position = peewee.IntegerField()
        label = peewee.TextField()
        value = peewee.DoubleField()
        error = peewee.DoubleField(null=True)
        raw = peewee.DoubleField()
        raw_error = peewee.DoubleField(null=True)
        ceiling = peewee.DoubleField()
        ceiling_error = peewee.DoubleField(null=True)
        interval_low = peewee.DoubleField(null=True)
        interval_high = peewee.DoubleField(null=True)
        alpha = peewee.DoubleField(null=True)
        n_train = peewee.IntegerField(null=True)
        n_test = peewee.IntegerField(null=True)
        n_neuroids = peewee.IntegerField(null=True)
        n_features = peewee.IntegerField(null=True)
        n_significant_voxels = peewee.IntegerField(null=True)
        bootstrap_stimuli = peewee.TextField(null=True)
        details = JSONField()
        raw_details = JSONField()
        ceiling_details = JSONField()

    class Normalization(Table):
        score = peewee.ForeignKeyField(Score)
        name = peewee.TextField()
        value = peewee.DoubleField()

        class Meta:
            primary_key = peewee.CompositeKey("score", "name")

    class Parts(Table):
        run = peewee.ForeignKeyField(Run)
        benchmark = peewee.ForeignKeyField(Benchmark)
        dataset = peewee.ForeignKeyField(Dataset)
        model_a = peewee.ForeignKeyField(Model)
        model_b = peewee.ForeignKeyField(Model)
        subject = peewee.TextField()
        part = peewee.TextField()
        value = peewee.DoubleField()
        interval_low = peewee.DoubleField()
        interval_high = peewee.DoubleField()
        weight = peewee.DoubleField(null=True)
        layers_a = JSONField(null=True)
        layers_b = JSONField(null=True)
        notes = JSONField(null=True)
        network_digest_a = peewee.TextField(null=True)
        network_digest_b = peewee.TextField(null=True)
        dropped_stimuli = JSONField(null=True)

    class Failure(Table):
        run = peewee.ForeignKeyField(Run, unique=True)
        requested_model = peewee.TextField()
        model_revision = peewee.TextField(null=True)
        benchmark = peewee.TextField(null=True)
        benchmark_version = peewee.IntegerField()
        dataset_fingerprint = peewee.TextField()
        error = peewee.TextField()
        traceback = peewee.TextField()

    tables = [Schema, Model, Benchmark, Dataset, Run, Result, Score, Normalization, Parts, Failure]
    database.bind(tables, bind_refs=False, bind_backrefs=False)
    return SimpleNamespace(**{table.__name__: table for table in tables})


class ResultsFile(peewee.SqliteDatabase):
    """Connections to a results file; the journal is SQLite's default, which unlike others works on network filesystems.

    Attributes
    ----------
    path : pathlib.Path
    lock_problem : str or None
        Why the file cannot be locked, in the system's words. Then it is read without a lock, and not written.
    """

    def __init__(self, path: Path):
        self.path, self.lock_problem = path, lock_problem(path)
        # SQLite takes a missing lock for another's, and would wait for it
        name = str(path) if self.lock_problem is None else f"file:{quote(str(path))}?mode=ro&nolock=1"
        super().__init__(name, pragmas={"foreign_keys": 1}, timeout=BUSY_SECONDS, uri=self.lock_problem is not None)

    def check_locks(self) -> None:
        """Raise ResultsError if the file cannot be locked."""
        if self.lock_problem is not None:
            raise ResultsError(
                f"Results are added under a lock, so that writers take turns; the file system of {self.path} has no locks "
                f"({self.lock_problem}). Choose a results file in a folder of another file system, such as a local disk, and "
                f"copy it here when it is done: what is here can be read."
            )
        if self._own_locks is not None:
            warn_once(
                f"Several processes add results to one file under locks that all of them see; the file system of {self.path} "
                f"({self._own_locks}) keeps locks from other machines, and results of two that add at once are lost. Let one "
                f"process at a time add to it, or choose a file elsewhere."
            )

    @cached_property
    def _own_locks(self) -> str | None:
        return own_locks(self.path)


def own_locks(path: Path) -> str | None:
    """Kind of a file system that keeps locks to one machine, or to one of its mounts; None for others, as far as they say."""
    file = path.resolve()
    holding = [mount for mount in psutil.disk_partitions(all=True) if file.is_relative_to(mount.mountpoint)]
    if not holding:
        return None
    mount = max(reversed(holding), key=lambda mount: len(mount.mountpoint))  # of two at one place the later one is seen
    local = mount.fstype.startswith("nfs") and not OWN_LOCKS_OF_NFS.isdisjoint(mount.opts.split(","))
    return mount.fstype if local or mount.fstype in OWN_LOCKS else None


def lock_problem(path: Path) -> str | None:
    """Why files like ``path`` cannot be locked, in the system's words; None if they can."""
    try:
        # not the file itself: to close it would give up the locks that this process has on it
        file = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed below
    except OSError:
        if not path.exists():
            return None  # whoever makes the file will say what is wrong
        file = open(path, "rb")  # noqa: SIM115 - closed below
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, UNUSED_BYTE)
        except OSError as error:
            return None if error.errno in (errno.EACCES, errno.EAGAIN) else error.strerror  # another's lock is one
    return None


@contextmanager
def reading(database: ResultsFile) -> Iterator[None]:
    """One state of the file for several queries; others may write meanwhile and are seen afterwards."""
    with _own_errors(database), database.connection_context(), database.atomic("DEFERRED"):
        for table, columns in _missing_columns(database).items():
            # hides the table from this connection's queries; goes with it
            added = ", ".join(f"NULL AS {name}" for name in columns)
            database.execute_sql(f'CREATE TEMP VIEW "{table}" AS SELECT *, {added} FROM main."{table}"')
        with _no_collection():
            yield


@contextmanager
def _no_collection() -> Iterator[None]:
    """Many rows make Python look for garbage in all that is in memory, again and again: half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def writing(database: ResultsFile) -> Iterator[None]:
    """A transaction that has the only right to write from its beginning: all of it is kept, or nothing."""
    database.check_locks()
    with _own_errors(database), database.connection_context(), database.atomic("IMMEDIATE"):
        yield


def migrate(database: ResultsFile) -> None:
    """Bring a file of an earlier version to this one, in the transaction of :func:`writing`, which keeps all or nothing."""
    if (
        _version(database) == SCHEMA_VERSION
    ):  # asked again: a later version may have written to the file since it was opened
        return
    missing = _missing_columns(database)
    for table, columns in missing.items():
        for name, kind in columns.items():
            database.execute_sql(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {kind}')
    if "network_digest" in missing.get("result", ()):
        database.execute_sql(
            "UPDATE result SET network_digest = (SELECT json_extract(details, '$.network_digest') FROM score "
            "WHERE score.result_id = result.id AND score.level = 'mean')"
        )
    if database.table_exists(PROPERTY):
        database.execute_sql(
            f"UPDATE model SET properties = (SELECT json_group_object(name, json(value)) FROM {PROPERTY} "
            f"WHERE {PROPERTY}.requested = model.requested) WHERE requested IN (SELECT requested FROM {PROPERTY})"
        )
        database.execute_sql(f"DROP TABLE {PROPERTY}")
    database.execute_sql("UPDATE schema SET version = ?", (SCHEMA_VERSION,))
    database.execute_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
    _renew_view(database)


def check_or_create(database: ResultsFile, tables: SimpleNamespace, create: bool) -> None:
    """Make the tables if the file is new and may be made; raise ResultsError if it is no results file, or a later one."""
    with reading(database):
        version = _version(database)
    if version is not None:
        return
    if not create:
        raise ResultsError(f"{database.path} is empty: it holds no results. Name a file that scores were added to.")
    with writing(database):
        if _version(database) is None:  # another process may have been faster
            database.create_tables(vars(tables).values())
            tables.Schema.create(version=SCHEMA_VERSION, created=datetime.now(UTC).isoformat())
            database.execute_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            _renew_view(database)


def _missing_columns(database: ResultsFile) -> dict[str, dict[str, str]]:
    """What of :data:`_ADDED` the tables in the file lack; nothing of a file that is still empty."""
    missing = {}
    for table, columns in _ADDED.items():
        known = {row[1] for row in database.execute_sql(f'PRAGMA main.table_info("{table}")')}
        lacking = {name: kind for name, kind in columns.items() if known and name not in known}
        if lacking:
            missing[table] = lacking
    return missing


def _renew_view(database: ResultsFile) -> None:
    """The view ``scores`` as this version has it, in a file that an earlier version may have made."""
    found = database.execute_sql("SELECT sql FROM sqlite_master WHERE name = 'scores'").fetchone()
    if found != (_VIEW,):
        database.execute_sql("DROP VIEW IF EXISTS scores")
        database.execute_sql(_VIEW)


def _version(database: ResultsFile) -> int | None:
    """Of the tables; None for a file that is still empty."""
    application, version, n_objects = (
        database.execute_sql(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT COUNT(*) FROM sqlite_master")
    )
    if application == APPLICATION_ID and 1 <= version <= SCHEMA_VERSION:
        return version
    if application == APPLICATION_ID:
        remedy = "Update this package" if version > SCHEMA_VERSION else "It is damaged: restore a copy of it"
        raise ResultsError(
            f"Results are kept in tables of version 1 to {SCHEMA_VERSION}; {database.path} has version {version}. {remedy}."
        )
    if n_objects or application or version:
        raise ResultsError(
            f"{database.path} is an SQLite file of another application, which is left alone. Choose another file."
        )
    return None


@contextmanager
def _own_errors(database: ResultsFile) -> Iterator[None]:
    try:
        yield
    except peewee.DatabaseError as error:
        raise ResultsError(
            f"Results are kept in an SQLite file that can be read and written; {database.path}: {error}. Is it a results "
            f"file, is its folder writable, is there room?"
        ) from error
