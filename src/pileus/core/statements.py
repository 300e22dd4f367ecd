"""Statements that are compiled once and run by the database's driver itself.

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
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Row
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

from pileus.core import postgres

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
    """Return all rows of a cursor; one that cannot be read to its end is closed, as it would keep its snapshot."""
    try:
        return cursor.fetchall()
    except BaseException as error:
        cursor.close()
        if isinstance(error, sqlite3.Error):
            raise _translated(text, (), error) from error
        raise


def _translated(text: str, values: tuple[Any, ...], error: sqlite3.Error) -> BaseException:
    return DBAPIError.instance(text, values, error, sqlite3.Error, hide_parameters=True)


class Fixed:
    """A statement of SQLAlchemy's whose text never changes: its parameters are ``bindparam``s, none expanding."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._compiled: list[_Compiled | None] = [None, None]  # on PostgreSQL, on SQLite

    def __call__(self, db: Connection, parameters: Mapping[str, Any]) -> Any:
        """Run it in the transaction: ``Rows``."""
        sqlite = db.dialect.name == "sqlite"
        compiled = self._compiled[sqlite]
        if compiled is None:
            compiled = self._compiled[sqlite] = _Compiled(self.statement, db)
        values: list[Any] = []
        for name, default, processor in compiled.binds:
            value = parameters.get(name, default)
            values.append(value if processor is None else processor(value))
        return compiled.run(db, values)


class _Varies(TypeError):
    """A statement whose text is another one for other values."""


class _Compiled:
    """A statement's text for a database, what makes values of its parameters, and the shape of its result."""

    def __init__(self, statement: Any, db: Connection) -> None:
        dialect = db.dialect if db.dialect.name == "sqlite" else NUMBERED
        compiled: Any = statement.compile(dialect=dialect)
        if compiled.post_compile_params or compiled.literal_execute_params:
            raise _Varies(f"the text of this statement depends on its parameters: {compiled}")
        processors: Mapping[str, Any] = compiled._bind_processors if dialect is not NUMBERED else _json_binds(compiled)
        self.binds = [(name, compiled.params[name], processors.get(name)) for name in compiled.positiontup or ()]
        self._bound = compiled.binds
        self.text = str(compiled)
        self.columns: Any = compiled._result_columns
        self._shape: Shape | None = None

    def parameters(self) -> list[tuple[Any, Any, Processor | None]]:
        """Return its parameters in their order, each with its value and what makes the driver's of it."""
        return [(self._bound[name], value, processor) for name, value, processor in self.binds]

    def run(self, db: Connection, values: list[Any]) -> Rows:
        """Run it in the transaction with the values of its parameters, in their order."""
        if db.dialect.name == "sqlite":
            cursor = on_sqlite(db, self.text, tuple(values))
            if not self.columns:
                return Rows([], None, cursor.rowcount)
            return Rows(taken(self.text, cursor), self._shaped(db, None), cursor.rowcount)
        result = postgres.run(db, self.text, values)
        if result.rows is None:
            return Rows([], None, result.rowcount)
        return Rows(result.rows, self._shaped(db, result), result.rowcount)

    def _shaped(self, db: Connection, result: postgres.Result | None) -> Shape:
        """Return the shape of the result, made when the first one is there: it tells the types on PostgreSQL."""
        if self._shape is None:
            types = [None] * len(self.columns) if result is None else result.types
            self._shape = Shape(
                [column.keyname for column in self.columns],
                [
                    column.type._cached_result_processor(db.dialect, type_)
                    for column, type_ in zip(self.columns, types, strict=True)
                ],
            )
        return self._shape


NUMBERED: Any = PGDialect_psycopg(paramstyle="numeric_dollar")
"""PostgreSQL's dialect with parameters as the protocol numbers them: $1, $2 …"""


def _json_binds(compiled: Any) -> dict[str, Processor]:
    """Return what makes text of JSON parameters; all others go as they are."""
    found: dict[str, Processor] = {}
    for name, bind in compiled.binds.items():
        kind: Any = bind.type
        if isinstance(bind.type, sa.JSON):
            found[name] = _json_or_null if kind.none_as_null else _json
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _json_or_null(value: Any) -> str | None:
    return None if value is None else _json(value)


class _Plan:
    """A compiled select, and where each of its parameters' values stands in the key of a select of the same form."""

    def __init__(self, statement: Any, bound: Sequence[Any], db: Connection) -> None:
        self._compiled = _Compiled(statement, db)
        places = {id(bind): place for place, bind in enumerate(bound)}
        # What is not in the key is made while compiling (SQLite's OFFSET 0 beside a LIMIT): the same for every value.
        self._values = [
            (places.get(id(bind)), default, processor) for bind, default, processor in self._compiled.parameters()
        ]

    def run(self, db: Connection, bound: Sequence[Any]) -> Rows:
        """Run it with the values of another select of the same form."""
        values: list[Any] = []
        for place, default, processor in self._values:
            value = default if place is None else bound[place].effective_value
            values.append(value if processor is None else processor(value))
        return self._compiled.run(db, values)


_MOST_PLANS = 2_000
_plans: dict[tuple[bool, Any], _Plan | None] = {}


def select(db: Connection, statement: Any) -> Any:
    """Run a select that was put together for one call: ``Rows``; selects of the same form are compiled once.

    One whose text depends on its values (``in_`` with a list of them) is run by SQLAlchemy: a CursorResult.
    """
    key = statement._generate_cache_key()
    if key is None:
        return db.execute(statement)
    form = (db.dialect.name == "sqlite", key.key)
    try:
        plan = _plans[form]
    except KeyError:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        try:
            plan = _Plan(statement, key.bindparams, db)
        except _Varies:
            plan = None
        _plans[form] = plan
    return db.execute(statement) if plan is None else plan.run(db, key.bindparams)


Among = Callable[[sa.ColumnElement[Any], str], sa.ColumnElement[bool]]
"""``among(column, name)``: the column is one of the list that is passed as this parameter."""


class Listing:
    """A statement with parameters that are lists: one JSON text on SQLite, one array on PostgreSQL.

    So its text never changes, however many there are.
    """

    def __init__(self, make: Callable[[Among], Any]) -> None:
        self._lists: set[str] = set()
        self._on_sqlite = Fixed(make(self._unpacked))
        self._on_postgresql = Fixed(make(_any))

    def __call__(self, db: Connection, parameters: Mapping[str, Any]) -> Any:
        """Run it in the transaction: ``Rows``."""
        if db.dialect.name != "sqlite":
            return self._on_postgresql(db, parameters)
        lists = {name: msgspec.json.encode(parameters[name]).decode() for name in self._lists}
        return self._on_sqlite(db, {**parameters, **lists})

    def _unpacked(self, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
        self._lists.add(name)
        values = sa.func.json_each(sa.bindparam(name, type_=sa.Text)).table_valued("value")
        return column.in_(sa.select(values.c.value))


def _any(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.bindparam(name, type_=sa.ARRAY(column.type)))


def equal(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column is a parameter."""
    return column == sa.bindparam(name, type_=column.type)
