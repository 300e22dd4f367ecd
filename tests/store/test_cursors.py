"""What an exception in the middle of a result leaves of its connection: nothing that the next one would notice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import Database

_table = sa.Table("thing", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))


def _add(database: Database) -> None:
    with database.write() as db:
        db.execute(sa.insert(_table).values(name="x" * 300))


def _count(database: Database) -> int:
    with database.read() as db:
        return db.execute(sa.select(sa.func.count()).select_from(_table)).scalar_one()


def _fail_at_first_row(transaction: AbstractContextManager[Connection], statement: sa.Executable) -> None:
    with transaction as db:
        rows = iter(db.execute(statement))  # a local variable, which the exception keeps with its traceback
        raise ZeroDivisionError(next(rows).id)


@pytest.mark.parametrize("begin", [Database.read, Database.write])
@pytest.mark.parametrize("statement", [sa.select(_table), sa.text("SELECT * FROM thing")])
def test_a_result_that_is_left_open_keeps_nothing_locked(
    tmp_path: Path, begin: Callable[[Database], AbstractContextManager[Connection]], statement: sa.Executable
) -> None:
    database, other = (Database(f"sqlite:///{tmp_path}/x.db") for _ in range(2))
    try:
        _table.create(database.engine)
        for _ in range(500):
            _add(database)
        with pytest.raises(ZeroDivisionError) as kept:  # keeps the exception, and with it the result
            _fail_at_first_row(begin(database), statement)
        _add(other)
        _add(database)  # on the connection of the failure: the pool gives out the one that came back last
        assert _count(database) == _count(other) == 502
        assert kept.value
    finally:
        database.close()
        other.close()
