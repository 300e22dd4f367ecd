"""Migrations of the database, by Alembic; applied at every start of a server."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from pileus.core.database import Database


def configuration() -> Config:
    """Return Alembic's configuration for this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database: Database) -> None:
    """Bring the schema to the newest version (nothing to do when it is)."""
    config = configuration()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
