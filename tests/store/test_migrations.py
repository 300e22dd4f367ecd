"""Migrations equal the tables, on both databases: what a new cloud gets is what the code expects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pileus.core import migrations, plugins
from pileus.core.database import Database
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path}/cloud.db")
        yield made
        made.close()
        return
    with fresh_database(request.getfixturevalue("postgres_server"), "migrations") as url:
        made = Database(url)
        yield made
        made.close()


@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_migrations_make_the_tables(database: Database) -> None:
    metadata = plugins.all_tables()
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": False, "target_metadata": metadata}
        )
        differences = [change for change in compare_metadata(context, metadata) if not _only_reflected(change)]
    assert differences == []


def _only_reflected(change: Any) -> bool:
    """Tell whether a difference is only in how SQLite reflects a partial index's condition."""
    return isinstance(change, tuple) and change[0] == "remove_index" and change[1].name is None


def test_migrating_again_changes_nothing(database: Database) -> None:
    migrations.upgrade(database)
    before = _schema(database)
    migrations.upgrade(database)
    assert _schema(database) == before


def test_constraints_are_there_too(database: Database) -> None:
    """Checks and partial unique indexes guard the records: a schema without them would pass all other tests."""
    migrations.upgrade(database)
    made = _schema(database)
    for table in plugins.all_tables().tables.values():
        names = {index.name for index in table.indexes if index.name}
        assert names <= made[table.name], f"{table.name} lacks {sorted(names - made[table.name])}"


def test_triggers_are_those_that_come_with_the_tables(database: Database, tmp_path: Path) -> None:
    migrations.upgrade(database)
    made = _triggers(database)
    database.engine.dispose()
    with database.engine.begin() as connection:
        plugins.all_tables().drop_all(connection)
    plugins.all_tables().create_all(database.engine)
    assert made == _triggers(database)
    assert made


def _triggers(database: Database) -> set[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if database.sqlite
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with database.read() as db:
        return {str(name) for name in db.execute(sa.text(query)).scalars()}


def _schema(database: Database) -> dict[str, set[str]]:
    inspector = sa.inspect(database.engine)
    return {
        table: _indexes(database, table)
        | {str(check["name"]) for check in inspector.get_check_constraints(table)}
        | {str(column["name"]) for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
    }


def _indexes(database: Database, table: str) -> set[str]:
    """Return the names of a table's indexes from the catalogue itself, which also knows those on expressions."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = :table"
        if database.sqlite
        else "SELECT indexname FROM pg_indexes WHERE tablename = :table"
    )
    with database.read() as db:
        return {str(name) for name in db.execute(sa.text(query), {"table": table}).scalars()}
