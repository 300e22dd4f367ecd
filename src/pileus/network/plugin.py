"""Networks' part of the server: their kinds of object, commands, jobs, what they do at reports and deletions."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.network import entities

_MODULES = (
    "commands.offerings",
    "commands.ranges",
    "workflows",
    "router_jobs",
    "rule_jobs",
)


def load() -> None:
    """Register everything."""
    entities.register()
    for name in _MODULES:
        importlib.import_module(f"pileus.network.{name}")


def seed(db: Connection) -> None:
    """Write the network offerings that a new cloud has."""
    from pileus.network import offerings

    offerings.seed(db)
