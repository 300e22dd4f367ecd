"""Storage's part of the server: its kinds of object, commands and jobs."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.storage import entities, limits, reports
from pileus.storage.seed import offerings

_MODULES = (
    "commands.disk_offerings",
    "commands.pools",
    "commands.access",
    "commands.capabilities",
    "commands.pool_maintenance",
    "commands.volumes",
    "attaching",
)


def load() -> None:
    """Register everything."""
    entities.register()
    limits.sources()
    for name in _MODULES:
        importlib.import_module(f"pileus.storage.{name}")
    reports.register()


def seed(db: Connection) -> None:
    """Write the disk offerings of a new cloud."""
    offerings(db)
