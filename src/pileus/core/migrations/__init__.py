"""Migrations of the database, in Alembic's form; applied at every start of a server.

Developers write them with Alembic (scripts/new-migration).  A server applies them itself, in the order of their numbers
and each in one transaction: Alembic's own runner asks ``access(2)`` for its folder, which denies it to a server that
reads its code by a capability.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
import structlog
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection

from pileus.core.database import Database
from pileus.core.migrations import versions

log = structlog.get_logger(__name__)

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))
_CREATE = (
    "CREATE TABLE IF NOT EXISTS alembic_version ("
    "version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def configuration() -> Config:
    """Return Alembic's configuration for this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database: Database) -> None:
    """Bring the schema to the newest version (nothing to do when it is)."""
    with database.write() as db:
        db.exec_driver_sql(_CREATE)
        current = db.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()
    known = list(_migrations())
    numbers = [module.revision for module in known]
    if current is not None and current not in numbers:
        raise RuntimeError(
            f"the database has version {current} of the schema, which this server does not know: "
            "it was written by a newer server; start that one"
        )
    for module in known[numbers.index(current) + 1 if current is not None else 0 :]:
        with database.write() as db:
            _apply(db, module)


def version_of(db: Connection) -> str | None:
    """Return the version of the schema that a database has; None when it has none."""
    if not sa.inspect(db).has_table(_VERSION.name):
        return None
    return db.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()


def newest() -> str:
    """Return the version of the schema that this program is written for."""
    return [module.revision for module in _migrations()][-1]


def _migrations() -> Iterator[ModuleType]:
    """Yield the migrations in the order of their numbers."""
    for found in sorted(pkgutil.iter_modules(versions.__path__), key=lambda module: module.name):
        yield importlib.import_module(f"{versions.__name__}.{found.name}")


def _apply(db: Connection, module: ModuleType) -> None:
    with Operations.context(MigrationContext.configure(db)):
        module.upgrade()
    db.execute(sa.delete(_VERSION))
    db.execute(sa.insert(_VERSION).values(version_num=module.revision))
    log.info("schema was migrated", version=module.revision, what=(module.__doc__ or "").strip())
