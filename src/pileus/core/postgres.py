"""Statements run on PostgreSQL by libpq's own calls, prepared once a connection.

psycopg's cursor and SQLAlchemy's execution each cost more than the statement.  Every connection is in psycopg's
autocommit mode: transactions are begun and ended here, in plain sight (``begin``, ``commit``, ``rollback``).
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

import psycopg
from psycopg import errors, pq
from psycopg.adapt import Transformer
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, DisconnectionError

Encoder = Callable[[Any], bytes]

_INT8, _FLOAT8, _BOOL, _UNKNOWN = 20, 701, 16, 0
IDLE_SECONDS = 30.0
"""A connection that has lain unused for longer is asked whether it is alive before it is used."""

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class Result:
    """What a statement gave: the rows as tuples, the names and types of their columns, and how many rows it touched."""

    __slots__ = ("_result", "rowcount", "rows")

    def __init__(self, result: Any, rows: list[tuple[Any, ...]] | None) -> None:
        self._result = result
        self.rows = rows
        count = result.command_tuples
        self.rowcount: int = -1 if count is None else count

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [self._result.fname(place).decode() for place in range(self._result.nfields)]

    @property
    def types(self) -> list[int]:
        """The columns' type OIDs."""
        return [self._result.ftype(place) for place in range(self._result.nfields)]


def _text(value: str) -> bytes:
    encoded = value.encode()
    if b"\0" in encoded:
        raise psycopg.DataError("PostgreSQL's text cannot hold the character NUL")
    return encoded


def _boolean(value: bool) -> bytes:
    return b"t" if value else b"f"


def _bytes(value: bytes) -> bytes:
    return b"\\x" + value.hex().encode()


def _array(values: Sequence[Any]) -> bytes:
    return b"{" + b",".join([_element(value) for value in values]) + b"}"


def _element(value: Any) -> bytes:
    if isinstance(value, str):
        return b'"' + _text(value).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"NULL" if value is None else _encoded(value)


def _plain(value: Any) -> bytes:
    return str(value).encode()


# Each kind of Python value: the OID of the type it is sent as (0: what the statement makes of it), and its text.
_KINDS: dict[type, tuple[int, Encoder]] = {
    bool: (_BOOL, _boolean),
    int: (_INT8, _plain),
    float: (_FLOAT8, lambda value: repr(value).encode()),
    str: (_UNKNOWN, _text),
    bytes: (_UNKNOWN, _bytes),
    list: (_UNKNOWN, _array),
    tuple: (_UNKNOWN, _array),
    Decimal: (_UNKNOWN, _plain),
}
_NOTHING = (_UNKNOWN, None)


def _kind(value: Any) -> tuple[int, Encoder]:
    """Return how a value is sent; its subclasses (enumerations) are as their base."""
    for kind in type(value).__mro__:
        found = _KINDS.get(kind)
        if found is not None:
            return found
    raise TypeError(f"a {type(value).__name__} cannot be sent to PostgreSQL")


def _encoded(value: Any) -> bytes:
    return (_KINDS.get(cast(Any, type(value))) or _kind(value))[1](value)


class _Session:
    """What is kept for a connection: its prepared statements, and what reads its results."""

    __slots__ = ("pgconn", "prepared", "transformer")

    def __init__(self, connection: Any) -> None:
        self.pgconn = connection.pgconn
        self.prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self.transformer: Any = Transformer(connection)


def _session(db: Connection) -> _Session:
    """Return the connection's own (``info`` lives as long as the driver's connection)."""
    fairy = db.connection
    session = fairy.info.get("pileus_session")
    if session is None:
        session = fairy.info["pileus_session"] = _Session(fairy.dbapi_connection)
    return session


def run(db: Connection, text: str, values: Sequence[Any]) -> Result:
    """Run a statement with numbered parameters ($1 …); errors are SQLAlchemy's, without the values."""
    session = _session(db)
    try:
        return _run(session, text, values)
    except psycopg.Error as error:
        raise _translated(db, session, text, error) from error


def _run(session: _Session, text: str, values: Sequence[Any]) -> Result:
    oids: list[int] = []
    encoded: list[bytes | None] = []
    for value in values:
        if value is None:
            oids.append(_UNKNOWN)
            encoded.append(None)
            continue
        oid, encode = _KINDS.get(cast(Any, type(value))) or _kind(value)
        oids.append(oid)
        encoded.append(encode(value))
    key = (text, tuple(oids))
    name = session.prepared.get(key)
    if name is None:
        name = b"pileus_%d" % len(session.prepared)
        _checked(session, session.pgconn.prepare(name, text.encode(), oids))
        session.prepared[key] = name
    result = _checked(session, session.pgconn.exec_prepared(name, encoded))
    if result.status == pq.ExecStatus.COMMAND_OK:
        return Result(result, None)
    session.transformer.set_pgresult(result)
    return Result(result, session.transformer.load_rows(0, result.ntuples, tuple))


def _checked(session: _Session, result: Any) -> Any:
    if result.status not in _DONE:
        error = errors.error_from_result(result, "utf-8")
        # Of a connection that broke, libpq knows no code, by which psycopg would know what kind of error it is.
        raise error if session.pgconn.status == pq.ConnStatus.OK else psycopg.OperationalError(str(error))
    return result


def _translated(db: Connection, session: _Session, text: str, error: psycopg.Error) -> BaseException:
    """Return SQLAlchemy's error for it; a connection that is lost does not go back into the pool."""
    lost = session.pgconn.status != pq.ConnStatus.OK
    if lost:
        db.invalidate(error)
    return DBAPIError.instance(
        text, (), error, psycopg.Error, hide_parameters=True, connection_invalidated=lost, dialect=db.dialect
    )


def _command(db: Connection, command: bytes) -> Any:
    session = _session(db)
    try:
        return _checked(session, session.pgconn.exec_(command))
    except psycopg.Error as error:
        raise _translated(db, session, command.decode(), error) from error


def begin(db: Connection) -> None:
    """Begin a transaction."""
    _command(db, b"BEGIN")


def commit(db: Connection) -> None:
    """Commit; RuntimeError when a failed statement had ended the transaction, which COMMIT does not call an error."""
    if _command(db, b"COMMIT").command_status == b"ROLLBACK":
        raise RuntimeError("the transaction was rolled back: a statement in it failed and its error was not passed on")


def rollback(db: Connection) -> None:
    """Roll back, unless the connection is lost, which has done so."""
    if not db.invalidated:
        _command(db, b"ROLLBACK")


def is_alive(connection: Any, unused_since: float) -> None:
    """Check a connection that the pool gives out; DisconnectionError makes the pool open another.

    A server that has gone away has closed its end, which makes the idle connection readable; no round trip is needed
    to see that nothing came.  After a long rest it is asked all the same, for a network that lost it without a word.
    """
    pgconn = connection.pgconn
    try:
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN)
        if poll.poll(0) or time.monotonic() - unused_since > IDLE_SECONDS:
            pgconn.exec_(b"")
        if pgconn.status == pq.ConnStatus.OK:
            return
        reason: object = "its server has closed it"
    except psycopg.Error as error:
        reason = error
    raise DisconnectionError(f"a connection to PostgreSQL was lost: {reason}")
