"""The part of images in the server: kinds of object, commands, jobs, the route for hosts."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.images import entities, serving
from pileus.images.seed import os_types

_MODULES = ("commands.os_types", "commands.stores", "commands.templates", "downloads", "deletion")


def load() -> None:
    """Register everything."""
    entities.register()
    serving.register()
    for name in _MODULES:
        importlib.import_module(f"pileus.images.{name}")


def seed(db: Connection) -> None:
    """Write what a new cloud has."""
    os_types(db)
