"""Statements in SQL, compiled once for each dialect and run by the driver directly.

A job takes about twenty statements: Core's work per call would be most of the engine's cost.  ``:name`` marks a
parameter; the two databases may have different text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.statements import Rows, Shape, on_sqlite, taken


class Prepared:
    """One statement in SQL that both databases understand, or in one text for each."""

    def __init__(self, text: str, *, postgresql: str | None = None) -> None:
        self._texts = {"sqlite": text, "postgresql": postgresql or text}
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}
        self._shape: Shape | None = None

    def _for(self, db: Connection) -> tuple[str, tuple[str, ...] | None]:
        dialect = db.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled: Any = sa.text(self._texts[dialect.name]).compile(dialect=dialect)
            names = tuple(compiled.positiontup) if compiled.positional else None
            found = self._compiled[dialect.name] = (str(compiled), names)
        return found

    def __call__(self, db: Connection, **values: Any) -> Any:
        """Run it in the transaction: a CursorResult, or on SQLite ``Rows`` (as the statement says: not typed)."""
        text, names = self._for(db)
        if names is None:
            return db.exec_driver_sql(text, values)
        cursor = on_sqlite(db, text, tuple([values[name] for name in names]))
        if cursor.description is None:
            return Rows([], None, cursor.rowcount)
        rows = taken(text, cursor)
        if self._shape is None:
            self._shape = Shape([column[0] for column in cursor.description])
        return Rows(rows, self._shape, cursor.rowcount)

    def many(self, db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each row; no results."""
        if not rows:
            return
        text, names = self._for(db)
        if names is None:
            db.exec_driver_sql(text, [dict(row) for row in rows])
        else:
            db.exec_driver_sql(text, [tuple([row[name] for name in names]) for row in rows])


def id_list(db: Connection, ids: Sequence[int] | Sequence[str]) -> Any:
    """Return a list as the one parameter of ``IN_LIST`` (JSON for SQLite, an array for PostgreSQL)."""
    if db.dialect.name == "sqlite":
        return "[" + ",".join(f'"{i}"' if isinstance(i, str) else str(i) for i in ids) + "]"
    return list(ids)


def in_list(text: str) -> Prepared:
    """Return a statement in which ``IN_LIST(:name)`` stands for membership in a list parameter."""
    sqlite = text.replace("IN_LIST(", "IN (SELECT value FROM json_each(").replace(")IN_END", "))")
    postgresql = text.replace("IN_LIST(", "= ANY(").replace(")IN_END", ")")
    return Prepared(sqlite, postgresql=postgresql)
