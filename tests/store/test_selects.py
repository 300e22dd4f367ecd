"""Selects that are put together for one call give what SQLAlchemy gives, whatever the values, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.statements import select
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

_metadata = sa.MetaData()
_thing = sa.Table(
    "thing",
    _metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(255)),
    sa.Column("size", sa.Float),
    sa.Column("ready", sa.Boolean),
    sa.Column("facts", sa.JSON),
    sa.Column("removed", sa.Float),
)
_c = _thing.c


@pytest.fixture(name="database", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def _database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield from _filled(f"sqlite:///{tmp_path}/selects.db")
        return
    with fresh_database(request.getfixturevalue("postgres_server"), "selects") as url:
        yield from _filled(url)


def _filled(url: str) -> Iterator[Database]:
    database = Database(url)
    _metadata.create_all(database.engine)
    try:
        with database.write() as db:
            rows = [
                {"id": n, "name": f"Name_{n}%", "size": n / 2, "ready": n % 2 == 0, "facts": {"n": n}, "removed": None}
                for n in range(1, 21)
            ]
            db.execute(sa.insert(_thing), rows)
        yield database
    finally:
        database.close()


def _forms(n: int) -> list[Any]:
    """Return selects of all forms that lists use, with values that depend on ``n``."""
    every = sa.select(_thing).order_by(_c.id)
    even = sa.select(_c.id).where(_c.ready.is_(True))
    return [
        every,
        every.where(_c.id == n),
        every.where(_c.id == n, _c.removed.is_(None)),
        every.where(_c.id > n).limit(n),
        every.limit(n).offset(n),
        every.where(_c.name.icontains(f"e_{n}", autoescape=True)),
        every.where(sa.or_(_c.name == f"Name_{n}%", _c.size < n / 4)),
        every.where(sa.func.lower(_c.name) == f"name_{n}%"),
        every.where(_c.id.in_([n, n + 1])),
        every.where(_c.id.in_([])),
        every.where(_c.id.in_(even.where(_c.size >= n / 3))),
        every.where(_c.id.not_in(even)),
        sa.select(sa.func.count()).select_from(_thing).where(_c.size > n),
        sa.select(_c.ready, sa.func.sum(_c.size).label("total")).group_by(_c.ready).order_by(_c.ready),
        sa.select(_c.id, (_c.size * n).label("many")).order_by(_c.id.desc()).limit(1),
        every.where(sa.literal(n) > 10),
        every.where(_c.ready.is_(n > 10)),
    ]


def test_every_form_gives_what_sqlalchemy_gives_with_all_values(database: Database):
    with database.read() as db:
        for n in (3, 11, 3):
            for statement in _forms(n):
                assert [tuple(row) for row in select(db, statement)] == [tuple(row) for row in db.execute(statement)]


def test_rows_have_names_and_typed_values(database: Database):
    with database.read() as db:
        row = select(db, sa.select(_thing).where(_c.id == 4)).one()
        assert (row.id, row.name, row.size, row.ready, row.facts, row.removed) == (
            4,
            "Name_4%",
            2.0,
            True,
            {"n": 4},
            None,
        )
        assert select(db, sa.select(sa.func.count()).select_from(_thing)).scalar_one() == 20
        assert select(db, sa.select(_c.id).where(_c.id < 3).order_by(_c.id)).scalars().all() == [1, 2]
        assert select(db, sa.select(_thing).where(_c.id == 99)).first() is None
