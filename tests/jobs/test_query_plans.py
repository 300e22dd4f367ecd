"""Every statement of the engine finds its rows by an index: its cost does not grow with the jobs that have ended."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

from pileus.core import jobs, migrations
from pileus.core.database import Database
from pileus.core.jobs.prepared import Prepared

SHORT = {"server", "schedule"}
"""Tables with a handful of rows."""


def _statements() -> dict[str, Prepared]:
    modules = [
        importlib.import_module(f"{jobs.__name__}.{found.name}") for found in pkgutil.iter_modules(jobs.__path__)
    ]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Prepared)
    }


STATEMENTS = _statements()


@pytest.fixture(scope="module", name="database")
def _database(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("plans")
    database = Database(f"sqlite:///{folder}/plans.db")
    migrations.upgrade(database)
    yield database
    database.close()


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_table_is_read_from_end_to_end(name: str, database: Database) -> None:
    with database.read() as db:
        text, parameters = STATEMENTS[name]._for(db)
        plan = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (None,) * len(parameters)).all()
    scanned = [row[3].split() for row in plan if row[3].startswith("SCAN ") and " USING " not in row[3]]
    tables = {words[1] for words in scanned if words[1:] != ["CONSTANT", "ROW"] and "VIRTUAL" not in words}
    assert tables <= SHORT, plan
