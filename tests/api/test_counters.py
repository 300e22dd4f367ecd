"""Counts kept by triggers are those of COUNT(*), whatever happens to the rows, on both databases."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.core import counters, database
from pileus.core.counters import counted, row_block, row_count
from pileus.core.database import Database, type_id

_own = sa.MetaData()
thing = counted(
    sa.Table(
        "counted_thing",
        _own,
        sa.Column("id", type_id, primary_key=True),
        sa.Column("account_id", type_id, nullable=False),
        sa.Column("removed", sa.Float),
    )
)


_ids = itertools.count(1, 1000)  # so that some blocks have many rows, and some few


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/x.db" if sqlite else request.getfixturevalue("postgres_url")
    store = Database(url)
    with store.write() as db:
        row_count.create(db)
        row_block.create(db)
        _own.create_all(db)
    yield store
    store.close()


def agree(db: sa.Connection) -> None:
    rows = db.execute(sa.select(thing.c.account_id).where(thing.c.removed.is_(None))).scalars().all()
    assert counters.live(db, thing) == len(rows)
    for account in range(4):
        assert counters.live(db, thing, [thing.c.account_id == account]) == rows.count(account)
    for condition, fits in (
        (thing.c.account_id.in_([1, 2]), lambda account: account in (1, 2)),
        (thing.c.account_id.not_in([0]), lambda account: account != 0),
        (sa.or_(thing.c.account_id == 3, thing.c.account_id == 1), lambda account: account in (3, 1)),
    ):
        assert counters.live(db, thing, [condition]) == sum(map(fits, rows))
    assert counters.live(db, thing, [thing.c.id > 3]) is None
    assert counters.live(db, thing, [thing.c.account_id == 1, sa.or_(thing.c.id == 3, thing.c.account_id == 1)]) is None

    ids = db.execute(sa.select(thing.c.id).where(thing.c.removed.is_(None)).order_by(thing.c.id)).scalars().all()
    for number in (0, 1, len(ids) // 2, len(ids) - 1):
        if 0 <= number < len(ids):
            first, further = counters.seek(db, thing, number) or (0, -1)
            assert [i for i in ids if i >= first][further] == ids[number]
    assert counters.seek(db, thing, len(ids)) is None


def test_counts_follow_every_change(store: Database) -> None:
    chance = random.Random(7)
    for _ in range(60):
        with store.write() as db:
            kind = chance.choice(["insert", "insert", "remove", "restore", "move", "delete", "touch"])
            some = thing.c.id % 3 == chance.randrange(3)
            if kind == "insert":
                rows = [{"account_id": chance.randrange(4), "id": next(_ids)} for _ in range(chance.randrange(1, 5))]
                db.execute(sa.insert(thing), rows)
            elif kind == "delete":
                db.execute(sa.delete(thing).where(some, thing.c.id % 5 == 0))
            elif kind == "move":
                db.execute(sa.update(thing).where(some).values(account_id=chance.randrange(4)))
            else:
                removed = {"remove": database.now(), "restore": None, "touch": thing.c.removed}[kind]
                db.execute(sa.update(thing).where(some).values(removed=removed))
            agree(db)


def test_a_change_that_is_rolled_back_is_not_counted(store: Database) -> None:
    def fail() -> None:
        with store.write() as db:
            db.execute(sa.insert(thing), [{"account_id": 1}])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.read() as db:
        assert counters.live(db, thing) == 0


def test_installing_counts_what_is_there(store: Database) -> None:
    with store.write() as db:
        for trigger in ("insert", "delete", "live", "gone", "rows", "changes"):
            on = " ON counted_thing" if db.dialect.name == "postgresql" else ""
            db.exec_driver_sql(f"DROP TRIGGER IF EXISTS counted_thing_counted_{trigger}{on}")
        db.execute(sa.insert(thing), [{"account_id": 2}, {"account_id": 3}])
        assert counters.live(db, thing) == 0
        counters.install(db, "counted_thing")
        agree(db)
        db.execute(sa.insert(thing), [{"account_id": 2}])
        agree(db)
