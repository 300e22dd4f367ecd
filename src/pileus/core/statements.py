"""Statements that are compiled once and, on SQLite, run by the driver itself.

SQLAlchemy's work for each execution (contexts, cursors, result metadata) costs several times what SQLite's own does,
and a deployment takes some eighty statements.  What comes back looks as from SQLAlchemy: its rows, its ways to take
them out of a result, its errors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

Processor = Callable[[Any], Any]
_row = cast(Callable[..., Row[Any]], Row)


class Shape:
    """The columns of a result: their names, and what makes values of what the driver gives."""

    def __init__(self, names: Sequence[str], processors: Sequence[Processor | None] | None = None) -> None:
        self.metadata = cast(Any, SimpleResultMetaData(tuple(names)))
        self.processors = cast(Any, processors) if processors and any(processors) else None

    def row(self, values: tuple[Any, ...]) -> Row[Any]:
        """Return the values as a row."""
        return _row(self.metadata, self.processors, self.metadata._key_to_index, values)


class Rows:
    """All rows of a result, with the names of SQLAlchemy's results."""

    __slots__ = ("_rows", "_shape", "rowcount")

    def __init__(self, rows: list[tuple[Any, ...]], shape: Shape | None, rowcount: int) -> None:
        self._rows = rows
        self._shape = shape
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Row[Any]]:
        return iter(self.all())

    def all(self) -> list[Row[Any]]:
        """Return every row."""
        make = self._shape.row if self._shape is not None else None
        return [make(values) for values in self._rows] if make is not None else []

    def first(self) -> Row[Any] | None:
        """Return the first row, if there is one."""
        return self._shape.row(self._rows[0]) if self._rows and self._shape is not None else None

    def one_or_none(self) -> Row[Any] | None:
        """Return the only row, or None."""
        if len(self._rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return self.first()

    def one(self) -> Row[Any]:
        """Return the only row."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def scalar_one_or_none(self) -> Any:
        """Return the first value of the only row, or None."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """Return the first value of the only row."""
        return self.one()[0]

    def scalars(self) -> Scalars:
        """Return the first value of every row."""
        return Scalars([row[0] for row in self.all()])


class Scalars:
    """The first values of rows."""

    __slots__ = ("_values",)

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def all(self) -> list[Any]:
        """Return every value."""
        return self._values


def on_sqlite(db: Connection, text: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
    """Run a statement by the driver, in the connection's transaction; errors are SQLAlchemy's, without the values."""
    try:
        return cast(Any, db.connection.dbapi_connection).execute(text, values)
    except sqlite3.Error as error:
        raise _translated(text, values, error) from error


def taken(text: str, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
    """Return all rows of a cursor."""
    try:
        return cursor.fetchall()
    except sqlite3.Error as error:
        raise _translated(text, (), error) from error


def _translated(text: str, values: tuple[Any, ...], error: sqlite3.Error) -> BaseException:
    return DBAPIError.instance(text, values, error, sqlite3.Error, hide_parameters=True)


class Fixed:
    """A statement of SQLAlchemy's whose text never changes: its parameters are ``bindparam``s, none expanding."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._compiled: tuple[str, list[tuple[str, Any, Processor | None]], Shape | None] | None = None

    def __call__(self, db: Connection, parameters: Mapping[str, Any]) -> Any:
        """Run it in the transaction: a CursorResult, or on SQLite ``Rows``."""
        if db.dialect.name != "sqlite":
            return db.execute(self.statement, dict(parameters))
        if self._compiled is None:
            self._compiled = self._compile(db)
        text, binds, shape = self._compiled
        values: list[Any] = []
        for name, default, processor in binds:
            value = parameters.get(name, default)
            values.append(value if processor is None else processor(value))
        cursor = on_sqlite(db, text, tuple(values))
        if shape is None:
            return Rows([], None, cursor.rowcount)
        return Rows(taken(text, cursor), shape, cursor.rowcount)

    def _compile(self, db: Connection) -> tuple[str, list[tuple[str, Any, Processor | None]], Shape | None]:
        compiled: Any = self.statement.compile(dialect=db.dialect)
        if compiled.post_compile_params or compiled.literal_execute_params:
            raise TypeError(f"the text of this statement depends on its parameters: {compiled}")
        processors: Mapping[str, Any] = compiled._bind_processors
        binds = [(name, compiled.params[name], processors.get(name)) for name in compiled.positiontup or ()]
        shape = None
        if compiled._result_columns:
            columns = compiled._result_columns
            shape = Shape(
                [column.keyname for column in columns],
                [column.type._cached_result_processor(db.dialect, None) for column in columns],
            )
        return str(compiled), binds, shape


Among = Callable[[sa.ColumnElement[Any], str], sa.ColumnElement[bool]]
"""``among(column, name)``: the column is one of the list that is passed as this parameter."""


class Listing:
    """A statement with parameters that are lists: on SQLite each is one JSON text, so that its text never changes."""

    def __init__(self, make: Callable[[Among], Any]) -> None:
        self._expanding = make(_expanding)
        self._lists: list[str] = []
        self._fixed = Fixed(make(self._unpacked))

    def __call__(self, db: Connection, parameters: Mapping[str, Any]) -> Any:
        """Run it in the transaction: a CursorResult, or on SQLite ``Rows``."""
        if db.dialect.name != "sqlite":
            return db.execute(self._expanding, dict(parameters))
        lists = {name: msgspec.json.encode(parameters[name]).decode() for name in self._lists}
        return self._fixed(db, {**parameters, **lists})

    def _unpacked(self, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
        self._lists.append(name)
        values = sa.func.json_each(sa.bindparam(name, type_=sa.Text)).table_valued("value")
        return column.in_(sa.select(values.c.value))


def _expanding(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam(name, expanding=True, type_=column.type))


def equal(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column is a parameter."""
    return column == sa.bindparam(name, type_=column.type)
