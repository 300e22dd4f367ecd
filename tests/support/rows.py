"""Rows made up from a table's columns alone: for tests that need somebody's object, whatever it is."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table
from sqlalchemy.engine import Row

from pileus.core.database import insert, now, one

_numbers = itertools.count(1)


class Rows:
    """Makes rows, and the rows that these refer to."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def make(self, table: Table, **given: Any) -> Row[Any]:
        """Insert a row with the given values; what must not be null beside them is made up."""
        values = given | {
            column.name: self._value(column)
            for column in table.c
            if column.name not in given and not column.nullable and not _filled(column)
        }
        return one(self._db, table, insert(self._db, table, **values))

    def _value(self, column: Column[Any]) -> Any:
        for key in column.foreign_keys:
            target = key.column.table
            known = self._db.execute(sa.select(target.c.id).limit(1)).scalar_one_or_none()
            return known if known is not None and not _alone(column) else self.make(target).id
        if column.name == "uuid":
            return str(uuid.uuid4())
        kind = column.type.python_type if not isinstance(column.type, sa.JSON) else dict
        number = next(_numbers)
        return {str: f"x{number}", int: number, float: now(), bool: False, dict: {}}.get(kind, number)


def _filled(column: Column[Any]) -> bool:
    return column.primary_key or column.server_default is not None or column.default is not None


def _alone(column: Column[Any]) -> bool:
    """Tell whether no two (live) rows may have the same value."""
    indexes = [index for index in column.table.indexes if index.unique]
    return bool(column.unique) or any([c.name for c in index.columns] == [column.name] for index in indexes)
