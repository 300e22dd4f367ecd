"""The part of images in the server: kinds of object, commands, jobs, the route for hosts."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.images import entities, limits, serving
from pileus.images.seed import os_types

_MODULES = (
    "commands.os_categories",
    "commands.os_mappings",
    "commands.os_types",
    "commands.stores",
    "commands.secondary_storage",
    "commands.selectors",
    "commands.store_changes",
    "commands.providers",
    "commands.template_data",
    "commands.template_permissions",
    "commands.templates",
    "commands.download_certificates",
    "downloads",
    "deletion",
    "migration",
)


def load() -> None:
    """Register everything."""
    from pileus.identity import cleanup
    from pileus.images import deletion

    entities.register()
    limits.sources()
    serving.register()
    for name in _MODULES:
        importlib.import_module(f"pileus.images.{name}")
    cleanup.register(40, deletion.of_account)


def seed(db: Connection) -> None:
    """Write what a new cloud has."""
    os_types(db)
