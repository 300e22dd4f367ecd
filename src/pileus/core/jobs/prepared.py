"""Statements in SQL, compiled once for each dialect and run by the driver directly.

A job takes about twenty statements: Core's work per call would be most of the engine's cost.  ``:name`` marks a
parameter; the two databases may have different text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import postgres
from pileus.core.statements import NUMBERED, Rows, Shape, on_sqlite, taken


class Prepared:
    """One statement in SQL that both databases understand, or in one text for each."""

    def __init__(self, text: str, *, postgresql: str | None = None) -> None:
        self._texts = {"sqlite": text, "postgresql": postgresql or text}
        self._compiled: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._shape: Shape | None = None

    def _for(self, db: Connection) -> tuple[str, tuple[str, ...]]:
        dialect = db.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            numbered = dialect if dialect.name == "sqlite" else NUMBERED
            compiled: Any = sa.text(self._texts[dialect.name]).compile(dialect=numbered)
            found = self._compiled[dialect.name] = (str(compiled), tuple(compiled.positiontup or ()))
        return found

    def __call__(self, db: Connection, **values: Any) -> Any:
        """Run it in the transaction: ``Rows`` of values as the driver gives them."""
        text, names = self._for(db)
        given = tuple([values[name] for name in names])
        if db.dialect.name != "sqlite":
            result = postgres.run(db, text, given)
            if result.rows is None:
                return Rows([], None, result.rowcount)
            if self._shape is None:
                self._shape = Shape(result.names)
            return Rows(result.rows, self._shape, result.rowcount)
        cursor = on_sqlite(db, text, given)
        if cursor.description is None:
            return Rows([], None, cursor.rowcount)
        rows = taken(text, cursor)
        if self._shape is None:
            self._shape = Shape([column[0] for column in cursor.description])
        return Rows(rows, self._shape, cursor.rowcount)

    def post(self, db: Connection, **values: Any) -> None:
        """Run it in the transaction, at the latest with the next statement or the commit; no result."""
        self.many(db, (values,))

    def many(self, db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each row, at the latest with the transaction's next statement or its commit; no results."""
        if not rows:
            return
        text, names = self._for(db)
        given = [tuple([row[name] for name in names]) for row in rows]
        if db.dialect.name != "sqlite":
            for each in given:
                postgres.post(db, text, each)
        elif len(given) == 1:
            on_sqlite(db, text, given[0])
        else:
            db.exec_driver_sql(text, given)


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
