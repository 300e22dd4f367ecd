"""Plugins: the slices, loaded in their fixed order; what each brings is found by registries."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import sqlalchemy as sa
from sqlalchemy import Connection

SLICES = ("identity", "infrastructure", "images", "storage", "network", "compute", "resources")


@cache
def load_all() -> tuple[ModuleType, ...]:
    """Import every slice's plugin and let it register what it has (once a process); return the plugin modules."""
    all_tables()
    importlib.import_module("pileus.core.api").load()
    return tuple(_loaded())


def _loaded() -> Iterator[ModuleType]:
    for name in SLICES:
        plugin = f"pileus.{name}.plugin"
        if importlib.util.find_spec(plugin) is None:
            continue
        module = importlib.import_module(plugin)
        module.load()
        yield module


@cache
def all_tables() -> sa.MetaData:
    """Return the metadata with the tables of every slice and of the core in it."""
    from pileus.core.database import metadata

    parts = ("identity.projects", "identity.limits", "identity.ldap", "drivers.simulator")
    for name in ("core", "core.jobs", *SLICES, *parts):
        importlib.import_module(f"pileus.{name}.tables")
    return metadata


def seed_all(db: Connection) -> None:
    """Let every slice write the rows that a new cloud has (default roles, offerings); idempotent."""
    for module in load_all():
        seed = getattr(module, "seed", None)
        if seed is not None:
            seed(db)
