"""The agent's journal: what was asked of this host, what became of it, and the newest fence of every object.

It is what makes an operation idempotent: a repeat finds its row, also after a crash of the agent.  SQLite in
WAL mode with full synchronisation, so that an accepted fence survives a power cut too.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
from pathlib import Path

import msgspec

from pileus.wire.operations import Answer, Failure, Operation

RETENTION_SECONDS = 7 * 86400.0

_SCHEMA = """
create table if not exists operation (
    id text primary key, kind text not null, object text not null, fence integer not null,
    deadline real not null, request text not null, state text not null,
    arguments blob, answer blob, accepted real not null, finished real);
create index if not exists operation_finished on operation (finished);
create table if not exists fence (object text primary key, fence integer not null);
"""


@dataclasses.dataclass(frozen=True)
class Accepted:
    """What the journal says to an operation that comes in: an answer that is known, or None = run it now."""

    answer: Answer | None


class Journal:
    """One file; its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma secure_delete = on")  # what is forgotten is overwritten, too
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def accept(self, operation: Operation) -> Accepted:
        """Take an operation in, unless it is known (then its answer or "running") or its fence is too old."""
        with self._lock, self._transaction():
            row = self._db.execute("select answer from operation where id = ?", (operation.id,)).fetchone()
            if row is not None:
                return Accepted(_answer(operation.id, row[0]))
            newest = self._db.execute("select fence from fence where object = ?", (operation.object,)).fetchone()
            if newest is not None and newest[0] > operation.fence:
                return Accepted(_refused(operation, newest[0]))
            self._db.execute(
                "insert into fence values (?, ?) on conflict (object) do update set fence = excluded.fence",
                (operation.object, operation.fence),
            )
            self._db.execute(
                "insert into operation values (?, ?, ?, ?, ?, ?, 'running', ?, null, ?, null)",
                (
                    operation.id,
                    operation.kind,
                    operation.object,
                    operation.fence,
                    operation.deadline,
                    operation.request,
                    msgspec.json.encode(operation.arguments),
                    time.time(),
                ),
            )
            return Accepted(None)

    def finish(self, answer: Answer) -> bool:
        """Record the final answer, once; False when there is one already (that one stays).

        The arguments are forgotten with it: they hold passwords, and nobody needs them any more.
        """
        with self._lock, self._transaction():
            changed = self._db.execute(
                "update operation set state = ?, answer = ?, finished = ?, arguments = null"
                " where id = ? and state = 'running'",
                (answer.state, msgspec.json.encode(answer), time.time(), answer.id),
            )
            return changed.rowcount == 1

    def answer(self, identifier: str) -> Answer | None:
        """Return what is known of an operation; None when this agent never accepted it."""
        with self._lock:
            row = self._db.execute("select answer from operation where id = ?", (identifier,)).fetchone()
        return None if row is None else _answer(identifier, row[0])

    def unfinished(self) -> list[Operation]:
        """Return the operations without a final answer, oldest first: what an agent's crash interrupted."""
        with self._lock:
            rows = self._db.execute(
                "select id, kind, object, fence, deadline, request, arguments from operation"
                " where state = 'running' order by rowid"
            ).fetchall()
        return [
            Operation(
                id=row[0],
                kind=row[1],
                object=row[2],
                fence=row[3],
                deadline=row[4],
                request=row[5],
                arguments=msgspec.json.decode(row[6]),
            )
            for row in rows
        ]

    def superseded(self, operation: Operation) -> bool:
        """Tell whether a newer fence than the operation's was accepted for its object meanwhile."""
        with self._lock:
            row = self._db.execute("select fence from fence where object = ?", (operation.object,)).fetchone()
        return row is not None and row[0] > operation.fence

    def prune(self, older_than: float) -> int:
        """Delete finished operations from before `older_than` (epoch); the fences stay.  Returns how many."""
        with self._lock, self._transaction():
            return self._db.execute("delete from operation where finished < ?", (older_than,)).rowcount

    def _transaction(self) -> _Immediate:
        return _Immediate(self._db)


class _Immediate:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when the block raises."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("commit" if kind is None else "rollback")


def _answer(identifier: str, stored: bytes | None) -> Answer:
    if stored is None:
        return Answer(id=identifier, state="running")
    return msgspec.json.decode(stored, type=Answer)


def _refused(operation: Operation, newest: int) -> Answer:
    message = f"fence {operation.fence} of {operation.object} is older than {newest}, which came before"
    return Answer(id=operation.id, state="refused", failure=Failure(code="stale-fence", message=message))
