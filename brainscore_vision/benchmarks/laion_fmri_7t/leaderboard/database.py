"""Brain-Score's own database as a place to write to: a SQLite file or a PostgreSQL server.

``brainscore_core.submission.database.connect_db`` knows two places: files with "sqlite3" in their path, and the PostgreSQL
server that a secret in Brain-Score's cloud account names. Here its tables are bound to the database that the user names,
for as long as it is used, and returned to where they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import peewee
import psycopg2
import psycopg2.extensions
from brainscore_core.submission.database_models import PeeweeBase

from ..results.schema import APPLICATION_ID, lock_problem
from .errors import LeaderboardError

SCHEMES = ("postgresql", "postgres")
WAIT_SECONDS = 60
"""How long a writer waits for others, on SQLite."""

CONNECT_SECONDS = 15
"""How long a PostgreSQL server may take to answer, unless the URL says otherwise (``?connect_timeout=``)."""

_LOCK = 0x4C463754
"""Number of PostgreSQL's advisory lock that recordings take, so that two of them do not make the same entry."""


def open_database(place: str, in_memory: bool = False) -> peewee.Database:
    """The database that ``place`` names; nothing is connected, and no file made.

    Parameters
    ----------
    place : str
        A SQLite file, or ``postgresql://user@host:port/database``. Parts of the URL that are left out are libpq's
        (``PGHOST``, ``PGPASSWORD``, ``~/.pgpass`` ...); what follows ``?`` is given to it (``?sslmode=require``).
    in_memory : bool
        Use an empty SQLite database in memory where ``place`` is a file that does not exist.

    Returns
    -------
    peewee.Database

    Raises
    ------
    LeaderboardError
        Another scheme, no database in the URL, or a file that can be none.
    """
    scheme, separator, _ = place.partition("://")
    if separator:
        return _postgresql(place, scheme)
    path = Path(place).expanduser()
    if not place or path.is_dir() or not path.parent.is_dir():
        raise LeaderboardError(
            f"Brain-Score's database is a SQLite file in a folder that exists, or postgresql://user@host:port/database; "
            f"received {place!r}."
        )
    name = ":memory:" if in_memory and not path.exists() else str(path)
    if name != ":memory:" and (problem := lock_problem(path)):
        raise LeaderboardError(
            f"Brain-Score's database is written under a lock; the file system of {path} has no locks ({problem}). Choose a "
            f"file in a folder of another file system (--db), and copy it here."
        )
    return peewee.SqliteDatabase(name, pragmas={"foreign_keys": 1}, timeout=WAIT_SECONDS)


def _postgresql(url: str, scheme: str) -> peewee.PostgresqlDatabase:
    # the URL itself is not shown: it may hold a password
    rule = "The URL of Brain-Score's database is postgresql://user@host:port/database"
    if scheme not in SCHEMES:
        raise LeaderboardError(f"{rule}, or it is a SQLite file without scheme; received {scheme}://...")
    try:
        settings = psycopg2.extensions.parse_dsn(url)
    except psycopg2.ProgrammingError:
        raise LeaderboardError(f"{rule}; received one that cannot be read. Write %40 for @ in a password.") from None
    database = settings.pop("dbname", None)
    if not database:
        raise LeaderboardError(f"{rule}; received one without a database. Add its name after the last slash.")
    # for tables that are made: peewee's own choice for its FloatField is a column of single precision
    wide = {"FLOAT": "DOUBLE PRECISION"}
    return peewee.PostgresqlDatabase(database, field_types=wide, **{"connect_timeout": CONNECT_SECONDS, **settings})


def place_name(place: str) -> str:
    """``place`` for messages, without the password that a URL may hold."""
    if "://" not in place:
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def writing(database: peewee.Database, keep: bool = True) -> Iterator[None]:
    """Brain-Score's tables in ``database``, in one transaction that no other recording shares.

    Tables that are missing are made. All of what is written is kept, or nothing: nothing after an error, and nothing if
    ``keep`` is false.

    Raises
    ------
    LeaderboardError
        The database cannot be reached or written, or is a results file of this plugin.
    """
    tables = PeeweeBase.__subclasses__()
    is_sqlite = isinstance(database, peewee.SqliteDatabase)
    schemas = {table: table._meta.schema for table in tables}
    try:
        # which schema a PostgreSQL server uses is for its search path to say, and SQLite has none
        for table in tables:
            table._meta.schema = None
        with database.connection_context(), database.bind_ctx(tables):
            if is_sqlite:
                _refuse_results_file(database)
            with database.atomic(*(["IMMEDIATE"] if is_sqlite else [])) as transaction:
                if not is_sqlite:
                    database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                # not "if not exists": PostgreSQL asks for the right to make tables even where it then makes none
                present = set(database.get_tables())
                database.create_tables([table for table in tables if table._meta.table_name not in present])
                yield
                if not keep:
                    transaction.rollback()
    except peewee.PeeweeException as error:
        raise LeaderboardError(
            f"Brain-Score's database could not be written; nothing was recorded: {_first_line(error)}."
        ) from error
    finally:
        for table, schema in schemas.items():
            table._meta.schema = schema


def _refuse_results_file(database: peewee.SqliteDatabase) -> None:
    if database.execute_sql("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        raise LeaderboardError(
            f"{database.database} is a file of results, in tables of our own; Brain-Score's database is another file. "
            f"Choose another name."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
