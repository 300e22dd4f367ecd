"""What a connection to PostgreSQL does beside plain statements: odd values, failed transactions, lost connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from pileus.core import database as store
from pileus.core.database import Database
from pileus.core.jobs.prepared import Prepared
from pileus.core.statements import Fixed, Listing, equal
from tests.support.postgres import fresh_database, postgres_server

_metadata = sa.MetaData()
_thing = sa.Table(
    "thing",
    _metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(255), unique=True),
    sa.Column("size", sa.Float),
    sa.Column("ready", sa.Boolean),
    sa.Column("facts", sa.JSON, default=dict),
    sa.Column("maybe", sa.JSON(none_as_null=True)),
)
_BY_NAME = Fixed(sa.select(_thing).where(equal(_thing.c.name, "name")))
_AMONG = Listing(lambda among: sa.select(_thing.c.name).where(among(_thing.c.name, "names")).order_by(_thing.c.id))
_AMONG_IDS = Listing(lambda among: sa.select(_thing.c.id).where(among(_thing.c.id, "ids")))

ODD = ['say "so"', "a\\b", "{x,y}", "NULL", "", "ärger 雲", "50% 'quoted' $1 :name"]


__all__ = ["postgres_server"]

pytestmark = pytest.mark.postgres


@pytest.fixture(name="database")
def _database(postgres_server: str) -> Iterator[Database]:
    with fresh_database(postgres_server, "odd") as url:
        database = Database(url)
        _metadata.create_all(database.engine)
        try:
            yield database
        finally:
            database.close()


def test_values_come_back_as_they_were(database: Database) -> None:
    facts = {"list": [1, 2.5, None, True], "text": 'a "b" \\'}
    with database.write() as db:
        for name in ODD:
            store.insert(db, _thing, name=name, size=0.1, ready=True, facts=facts, maybe=None)
        store.insert(db, _thing, name="bare")
    with database.read() as db:
        for name in ODD:
            row = _BY_NAME(db, {"name": name}).one()
            assert (row.name, row.size, row.ready, row.facts, row.maybe) == (name, 0.1, True, facts, None)
        assert _BY_NAME(db, {"name": "bare"}).one().facts == {}
        assert _AMONG(db, {"names": [*ODD, "not there"]}).scalars().all() == ODD
        assert _AMONG(db, {"names": []}).all() == []
        assert len(_AMONG_IDS(db, {"ids": [1, 2, 999]}).all()) == 2
        assert db.execute(sa.select(sa.func.count()).where(_thing.c.maybe.is_(None))).scalar_one() == len(ODD) + 1


def test_a_text_with_nul_is_refused(database: Database) -> None:
    with pytest.raises(DataError), database.write() as db:
        store.insert(db, _thing, name="a\0b")
    with database.read() as db:
        assert _AMONG(db, {"names": ["a"]}).all() == []


def _insert_all(database: Database, *names: str) -> None:
    with database.write() as db:
        for name in names:
            store.insert(db, _thing, name=name)


def _insert_and_go_on(database: Database, *names: str) -> None:
    """Insert in one transaction, without regard to the error of the last."""
    with database.write() as db:
        for name in names[:-1]:
            store.insert(db, _thing, name=name)
        with suppress(IntegrityError):
            store.insert(db, _thing, name=names[-1])


def _insert_cut_off(database: Database, *names: str) -> None:
    """Insert in one transaction, whose session is ended before the last."""
    with database.write() as db:
        for name in names[:-1]:
            store.insert(db, _thing, name=name)
        _end_other_sessions(database)
        store.insert(db, _thing, name=names[-1])


def _names(database: Database) -> list[str]:
    with database.read() as db:
        return list(db.execute(sa.select(_thing.c.name).order_by(_thing.c.id)).scalars())


def _end_other_sessions(database: Database) -> None:
    """Let the database server close every session but the one that asks it to."""
    engine = sa.create_engine(database.url)
    with engine.connect() as other:
        other.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).all()
    engine.dispose()


def test_what_failed_is_rolled_back(database: Database) -> None:
    _insert_all(database, "taken")
    with pytest.raises(IntegrityError):
        _insert_all(database, "lost", "taken")
    with pytest.raises(RuntimeError, match="rolled back"):
        _insert_and_go_on(database, "lost too", "taken")
    with database.write() as db:
        store.insert(db, _thing, name="kept")
        with pytest.raises(IntegrityError), db.begin_nested():
            store.insert(db, _thing, name="taken")
    assert _names(database) == ["taken", "kept"]


def test_connections_that_were_closed_while_they_rested_are_replaced(database: Database) -> None:
    with database.write() as db, database.engine.connect() as second:
        assert second.execute(sa.text("SELECT 1")).scalar_one() == 1
        store.insert(db, _thing, name="first")
    _end_other_sessions(database)
    _insert_all(database, "second")
    _insert_all(database, "third")
    assert _names(database) == ["first", "second", "third"]


def test_a_connection_lost_in_a_transaction_undoes_it_and_no_more(database: Database) -> None:
    with pytest.raises(OperationalError):
        _insert_cut_off(database, "lost", "lost too")
    _insert_all(database, "kept")
    assert _names(database) == ["kept"]


_add = Prepared("INSERT INTO thing (name) VALUES (:name)")


def _posted(database: Database, *names: str) -> None:
    with database.write() as db:
        _add.many(db, [{"name": name} for name in names])


def test_what_is_posted_is_there_for_the_next_statement_and_after_the_commit(database: Database) -> None:
    with database.write() as db:
        _add.post(db, name="first")
        assert _AMONG(db, {"names": ["first"]}).scalars().all() == ["first"]
        _add.post(db, name="second")
        assert db.execute(sa.select(sa.func.count()).select_from(_thing)).scalar_one() == 2, "by SQLAlchemy's own ways"
        _add.post(db, name="third")
    assert _names(database) == ["first", "second", "third"]
    many = [f"n{number}" for number in range(1000)]
    _posted(database, *many)
    assert _names(database) == ["first", "second", "third", *many]


def test_an_error_of_what_was_posted_ends_the_transaction(database: Database) -> None:
    _posted(database, "taken")
    with pytest.raises(IntegrityError):
        _posted(database, "lost", "taken", "lost too")
    with pytest.raises(IntegrityError), database.write() as db:  # noqa: PT012
        _add.post(db, name="taken")
        store.insert(db, _thing, name="lost")
    _posted(database, "kept")
    assert _names(database) == ["taken", "kept"]


def test_what_was_posted_before_an_error_of_ours_is_not_done(database: Database) -> None:
    with pytest.raises(LookupError), database.write() as db:  # noqa: PT012
        _add.post(db, name="lost")
        raise LookupError
    with database.write() as db:
        assert db.in_transaction()  # one that does nothing costs nothing
    _posted(database, "kept")
    assert _names(database) == ["kept"]


def test_a_connection_lost_before_a_pipeline_undoes_it(database: Database) -> None:
    with pytest.raises(OperationalError), database.write() as db:  # noqa: PT012
        store.insert(db, _thing, name="lost")
        _end_other_sessions(database)
        _add.many(db, [{"name": "lost too"}, {"name": "lost as well"}])
    _posted(database, "kept")
    assert _names(database) == ["kept"]


def test_savepoints_that_are_taken_back_leave_prepared_statements_alone(database: Database) -> None:
    with database.write() as db:
        for number in range(20):
            store.insert(db, _thing, name=f"kept {number}")
            with pytest.raises(IntegrityError), db.begin_nested():  # noqa: PT012
                db.execute(sa.insert(_thing).values(name=f"lost {number}"))
                _add.post(db, name=f"kept {number}")
                assert db.execute(sa.select(_thing.c.id).where(_thing.c.name == "never reached")).one()
        with suppress(LookupError), db.begin_nested():
            _add.post(db, name="kept 0")
            raise LookupError
    assert _names(database) == [f"kept {number}" for number in range(20)]
