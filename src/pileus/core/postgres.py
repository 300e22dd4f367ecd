"""Statements run on PostgreSQL by libpq's own calls, prepared once a connection.

psycopg's cursor and SQLAlchemy's execution each cost more than the statement.  Every connection is in psycopg's
autocommit mode: transactions are begun and ended here, in plain sight (``begin``, ``commit``, ``rollback``).

A round trip costs both sides more than most statements do.  So BEGIN, and what nobody waits for the result of
(``post``), is kept until the transaction's next statement or its COMMIT, and sent in one pipeline with it.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, cast

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
_BEGIN, _COMMIT = "BEGIN", "COMMIT"
_MOST_WAITING = 200  # both sides block when neither reads what the other has sent: what is in flight has a limit


class Sent(NamedTuple):
    """A prepared statement with its values, as it is sent."""

    name: bytes
    values: list[bytes | None]


class Result:
    """What a statement gave: the rows as tuples, the names and types of their columns, and how many rows it touched."""

    __slots__ = ("_result", "rowcount", "rows")

    def __init__(self, result: Any, rows: list[tuple[Any, ...]] | None) -> None:
        self._result = result
        self.rows = rows
        count = result.command_tuples
        self.rowcount: int = -1 if count is None else count

    @property
    def status(self) -> bytes | None:
        """What the server says it has done: ``INSERT 0 1``."""
        return self._result.command_status

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
    """What is kept for a connection: its prepared statements, what reads its results, and what is still to be sent."""

    __slots__ = ("pgconn", "poll", "prepared", "transformer", "waiting")

    def __init__(self, connection: Any) -> None:
        self.pgconn = connection.pgconn
        self.prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self.transformer: Any = Transformer(connection)
        self.waiting: list[Sent] = []
        self.poll = select.poll()
        self.poll.register(connection.pgconn.socket, select.POLLIN)


def _session(db: Connection) -> _Session:
    """Return the connection's own (``info`` lives as long as the driver's connection)."""
    fairy = db.connection
    session = fairy.info.get("pileus_session")
    if session is None:
        session = fairy.info["pileus_session"] = _Session(fairy.dbapi_connection)
    return session


def run(db: Connection, text: str, values: Sequence[Any]) -> Result:
    """Run a statement with numbered parameters ($1 …); errors are SQLAlchemy's, without the values.

    The error may be that of a statement that was posted before.
    """
    session = _session(db)
    try:
        sent = _bound(session, text, values)
        if session.waiting:
            result = _pipelined(session, sent)
        else:
            result = _checked(session, session.pgconn.exec_prepared(sent.name, sent.values))
    except psycopg.Error as error:
        raise _translated(db, session, text, error) from error
    if result.status == pq.ExecStatus.COMMAND_OK:
        return Result(result, None)
    session.transformer.set_pgresult(result)
    return Result(result, session.transformer.load_rows(0, result.ntuples, tuple))


def post(db: Connection, text: str, values: Sequence[Any]) -> None:
    """Run a statement at the latest with the next one of the transaction, or with its COMMIT; its result is dropped."""
    session = _session(db)
    try:
        session.waiting.append(_bound(session, text, values))
        open_ = len(session.waiting) > 1 or session.pgconn.transaction_status != pq.TransactionStatus.IDLE
        if not open_ or len(session.waiting) >= _MOST_WAITING:
            _pipelined(session, None)
    except psycopg.Error as error:
        raise _translated(db, session, text, error) from error


def newest(db: Connection) -> object:
    """Return a mark for the newest statement that was posted and waits still; None when none does."""
    waiting = _session(db).waiting
    return waiting[-1] if waiting else None


def flush(db: Connection, *, done: bool = True) -> None:
    """Send what waits, before somebody else uses the connection; or drop it, as it would be taken back anyway."""
    session = _session(db)
    if not done:
        session.waiting = []
    if not session.waiting:
        return
    try:
        _pipelined(session, None)
    except psycopg.Error as error:
        raise _translated(db, session, "statements that were posted", error) from error


def _bound(session: _Session, text: str, values: Sequence[Any]) -> Sent:
    """Return a statement ready to be sent: prepared on this connection, with its values as text."""
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
    return Sent(name, encoded)


def _pipelined(session: _Session, last: Sent | None) -> Any:
    """Send what waits and one more in one go; return the last result.  The first that fails ends those after it."""
    batch = session.waiting if last is None else [*session.waiting, last]
    session.waiting = []
    pgconn = session.pgconn
    pgconn.enter_pipeline_mode()
    try:
        for sent in batch:
            pgconn.send_query_prepared(sent.name, sent.values)
        pgconn.pipeline_sync()
        results = [_awaited(session) for _ in batch]
        if _next(session) is None:  # the mark that all is done
            raise psycopg.OperationalError("the connection was lost in the middle of a pipeline")
        pgconn.exit_pipeline_mode()
    except BaseException:
        pgconn.finish()  # what is still on its way would be taken for the answer to something else
        raise
    for result in results:
        _checked(session, result)
    return results[-1]


def _awaited(session: _Session) -> Any:
    """Return the result of one statement of a pipeline: it is followed by nothing, which ends it."""
    result = _next(session)
    if result is None:
        raise psycopg.OperationalError("the connection was lost in the middle of a pipeline")
    _next(session)
    return result


def _next(session: _Session) -> Any:
    """Return the next result once it is there; other threads run meanwhile."""
    pgconn = session.pgconn
    while pgconn.is_busy():
        session.poll.poll()
        pgconn.consume_input()
    return pgconn.get_result()


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
    """Begin a transaction: with its first statement."""
    session = _session(db)
    session.waiting = [_bound(session, _BEGIN, ())]


def _untouched(session: _Session) -> bool:
    """Tell whether even BEGIN has not been sent yet."""
    return bool(session.waiting) and session.waiting[0].name == session.prepared[_BEGIN, ()]


def commit(db: Connection) -> None:
    """Commit; RuntimeError when a failed statement had ended the transaction, which COMMIT does not call an error."""
    session = _session(db)
    if len(session.waiting) == 1 and _untouched(session):
        session.waiting = []
        return
    if run(db, _COMMIT, ()).status == b"ROLLBACK":
        raise RuntimeError("the transaction was rolled back: a statement in it failed and its error was not passed on")


def rollback(db: Connection) -> None:
    """Roll back, unless the connection is lost, which has done so."""
    if db.invalidated:
        return
    session = _session(db)
    untouched = _untouched(session)
    session.waiting = []
    if not untouched:
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
