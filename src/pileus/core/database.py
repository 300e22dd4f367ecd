"""The database: one engine for SQLite (WAL) and PostgreSQL, short transactions, guarded changes of state.

Every write transaction on SQLite is BEGIN IMMEDIATE behind a process-wide lock, so that threads queue in order
instead of spinning on SQLITE_BUSY; other processes wait by busy_timeout.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Table, event
from sqlalchemy.engine import Engine, Row
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.pool import NullPool, QueuePool

from pileus.core import lanes, postgres
from pileus.core.statements import Fixed, equal, on_sqlite

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_PROGRESS = 50_000
"""Steps of SQLite's machine (some milliseconds) after which a statement is asked whether it has taken too long."""

type_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Column type of internal ids: SQLite only autoincrements INTEGER."""


def identity() -> sa.Column[int]:
    """Return the column of a table's internal id."""
    return sa.Column("id", type_id, primary_key=True, autoincrement=True)


def new_uuid() -> str:
    """Return a fresh random UUID as text."""
    return str(uuid.uuid4())


def now() -> float:
    """Return the time in seconds since the epoch (UTC), as all time columns hold it."""
    return time.time()


class Database:
    """An engine with short read and write transactions.

    ``url`` is SQLAlchemy's: ``sqlite:////path/file.db`` or ``postgresql+psycopg://user@host/name``.
    """

    def __init__(self, url: str, *, pool_size: int = 16, synchronous: str = "NORMAL") -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self._lock = threading.Lock()
        self._local = threading.local()
        self._synchronous = synchronous
        self.engine = self._make_engine(url, pool_size)

    def _make_engine(self, url: str, pool_size: int) -> Engine:
        if not self.sqlite:
            return _postgresql(url, pool_size)
        pool: Any = NullPool if ":memory:" in url else QueuePool
        # Last in, first out: few connections do most of the work, with warm caches of pages and statements.
        options = (
            {} if pool is NullPool else {"pool_size": pool_size, "max_overflow": pool_size * 2, "pool_use_lifo": True}
        )
        engine = sa.create_engine(
            url,
            poolclass=pool,
            query_cache_size=4000,
            json_deserializer=msgspec.json.decode,  # several times as fast as the standard library's
            pool_reset_on_return=None,  # read and write below have ended every transaction themselves
            connect_args={"timeout": 30, "check_same_thread": False, "cached_statements": 1000},
            **options,
        )

        def connected(dbapi: Any, _record: Any) -> None:
            dbapi.isolation_level = None  # transactions are begun by hand, below
            dbapi.set_progress_handler(lanes.overdue, _PROGRESS)
            cursor = dbapi.cursor()
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={self._synchronous}",
                "busy_timeout=30000",
                "foreign_keys=ON",
                "cache_size=-16000",
                "temp_store=MEMORY",
                "wal_autocheckpoint=4000",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        event.listen(engine, "connect", connected)
        event.listen(engine, "after_cursor_execute", _fetch_whole)
        return engine

    @contextmanager
    def read(self) -> Generator[Connection]:
        """Open a connection that only reads.

        On SQLite it sees one snapshot; on PostgreSQL each statement sees what is committed when it begins, as in any
        transaction of the level READ COMMITTED, which saves two round trips.
        """
        with self.engine.connect() as connection:
            if self.sqlite:
                connection.begin()
                on_sqlite(connection, "BEGIN", ())
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def write(self) -> Generator[Connection]:
        """Open a write transaction: committed at the end, rolled back on any error; then the after-commit hooks run."""
        if getattr(self._local, "writing", False):
            raise RuntimeError("a write transaction is open in this thread already: pass its connection on instead")
        hooks: list[Callable[[], None]] = []
        if self.sqlite:
            self._lock.acquire()
        self._local.writing = True
        try:
            with self.engine.connect() as connection:
                connection.begin()
                if self.sqlite:
                    on_sqlite(connection, "BEGIN IMMEDIATE", ())
                else:
                    postgres.begin(connection)
                connection.info["after_commit"] = hooks
                try:
                    yield connection
                    if not self.sqlite:
                        postgres.commit(connection)
                    connection.commit()
                except BaseException:
                    if not self.sqlite:
                        postgres.rollback(connection)
                    connection.rollback()
                    raise
                finally:
                    connection.info.pop("after_commit", None)
        finally:
            self._local.writing = False
            if self.sqlite:
                self._lock.release()
        for hook in hooks:
            hook()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _fetch_whole(*executed: Any) -> None:
    """Take all rows at once, on SQLite.

    A cursor that is left in the middle of its rows, by an exception that somebody keeps, holds its transaction's
    snapshot over the rollback: who gets the connection next reads the past and cannot write ("database is locked").
    """
    _connection, cursor, _statement, _parameters, context, _many = executed
    if cursor.description is not None:
        context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(cursor)


_CONNECTING = {
    # psycopg's own prepared statements end with DEALLOCATE ALL after any ROLLBACK or DROP, which would take ours too.
    "prepare_threshold": None,
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 20_000,  # ms until a server that acknowledges nothing is given up
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # As long as SQLite's busy_timeout; and no statement of ours is so long that compiling it would pay.
    "options": "-c lock_timeout=30s -c jit=off",
}
"""For how long PostgreSQL may keep us waiting, among others: see libpq's connection parameters."""


def _postgresql(url: str, pool_size: int) -> Engine:
    """Return an engine whose transactions are begun and ended by ``Database`` alone."""
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_use_lifo=True,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        connect_args=_CONNECTING,
        query_cache_size=4000,
        json_deserializer=msgspec.json.decode,
    )

    def returned(_dbapi: Any, record: Any) -> None:
        record.info["unused_since"] = time.monotonic()

    def taken(dbapi: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get("unused_since")
        if since is not None:
            postgres.is_alive(dbapi, since)

    def others(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        # SQLAlchemy's own execution knows nothing of what waits.
        postgres.flush(connection, done=not statement.startswith("ROLLBACK TO"))

    event.listen(engine, "before_cursor_execute", others)
    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", taken)
    return engine


def after_commit(db: Connection, hook: Callable[[], None]) -> None:
    """Call the hook once the transaction has been committed; never if it is rolled back.

    The hook must not open a write transaction and must be quick (wake somebody, count something).
    """
    db.info["after_commit"].append(hook)


class Savepoint:
    """A place in a write transaction that can be gone back to; ``after_commit`` hooks since then stay."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._post("SAVEPOINT here")
        self._mark = self._newest()

    def release(self, *, checked: bool = False) -> None:
        """Keep what was done since; when checked, the errors of what was posted since are raised here, not later."""
        if checked and (self._mark is None or self._newest() is not self._mark):
            self._run("RELEASE SAVEPOINT here")
        else:
            self._post("RELEASE SAVEPOINT here")

    def roll_back(self) -> None:
        """Take back what was done since."""
        self._run("ROLLBACK TO SAVEPOINT here")

    def _newest(self) -> object:
        """Return what was posted last and waits still, if anything does."""
        return postgres.newest(self._db) if self._db.dialect.name != "sqlite" else None

    def _run(self, text: str) -> None:
        if self._db.dialect.name != "sqlite":
            postgres.run(self._db, text, ())
        else:
            on_sqlite(self._db, text, ())

    def _post(self, text: str) -> None:
        if self._db.dialect.name != "sqlite":
            postgres.post(self._db, text, ())
        else:
            on_sqlite(self._db, text, ())


def insert(db: Connection, table: Table, **values: Any) -> int:
    """Insert a row and return its internal id."""
    computed = {name: value for name, value in values.items() if isinstance(value, sa.ClauseElement)}
    given = {name: make(None) for name, make in _defaults(table) if name not in values} | values
    if computed:
        plain = {name: value for name, value in given.items() if name not in computed}
        statement = sa.insert(table).values({**plain, **computed}).returning(table.c.id)
        return int(db.execute(statement).scalar_one())
    return int(_insert(table, tuple(given))(db, given).scalar_one())


@cache
def _insert(table: Table, names: tuple[str, ...]) -> Fixed:
    """Return an insert of these columns: built once for each combination of them."""
    parameters = {name: sa.bindparam(name, type_=table.c[name].type) for name in names}
    return Fixed(sa.insert(table).values(parameters).returning(table.c.id))


@cache
def _defaults(table: Table) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return the columns that are something when nothing is said of them, and what makes it."""
    return tuple((column.name, cast(Any, column.default).arg) for column in table.columns if column.default is not None)


def change(db: Connection, table: Table, id_: int, *, expect: dict[str, Any] | None = None, **values: Any) -> bool:
    """Update one row where it still is as expected; tell whether it was.

    A list or tuple in ``expect`` means "any of these".
    """
    expected = expect or {}
    shape = tuple((name, _kind(value)) for name, value in expected.items())
    computed = {name: value for name, value in values.items() if isinstance(value, sa.ClauseElement)}
    plain = {name: value for name, value in values.items() if name not in computed}
    parameters = {f"set_{name}": value for name, value in plain.items()}
    for name, value in expected.items():
        if isinstance(value, (list, tuple)):
            parameters |= {f"is_{name}_{place}": each for place, each in enumerate(cast(Sequence[Any], value))}
        else:
            parameters[f"is_{name}"] = value
    parameters["row_id"] = id_
    statement = _change(table, shape, tuple(plain))
    if computed:
        return db.execute(statement.statement.values(computed), parameters).rowcount == 1
    return statement(db, parameters).rowcount == 1


def _kind(value: Any) -> int:
    """Return what a row's value is compared with: -1 nothing, -2 a value, otherwise so many values."""
    if isinstance(value, (list, tuple)):
        return len(cast(Sequence[Any], value))
    return -1 if value is None else -2


@cache
def _change(table: Table, expected: tuple[tuple[str, int], ...], changed: tuple[str, ...]) -> Fixed:
    """Return an update of one row: built once for each combination of columns, as building costs more than running."""
    statement = sa.update(table).where(equal(table.c.id, "row_id"))
    for name, kind in expected:
        column = table.c[name]
        if kind == -1:
            statement = statement.where(column.is_(None))
        elif kind == -2:
            statement = statement.where(equal(column, f"is_{name}"))
        else:
            choices = [equal(column, f"is_{name}_{place}") for place in range(kind)]
            statement = statement.where(sa.or_(sa.false(), *choices))
    return Fixed(statement.values({name: sa.bindparam(f"set_{name}", type_=table.c[name].type) for name in changed}))


def get(db: Connection, table: Table, id_: int) -> Row[Any] | None:
    """Return the row with this internal id, or None."""
    return _get(table)(db, {"row_id": id_}).one_or_none()


@cache
def _get(table: Table) -> Fixed:
    return Fixed(sa.select(table).where(equal(table.c.id, "row_id")))


def one(db: Connection, table: Table, id_: int) -> Row[Any]:
    """Return the row with this internal id; it must be there (LookupError otherwise)."""
    row = get(db, table, id_)
    if row is None:
        raise LookupError(f"{table.name} {id_} is not there")
    return row
