"""The part of the server that hangs things on any object and answers operators: loaded after all other slices."""

from __future__ import annotations

import importlib

_MODULES = (
    "commands.tags",
    "commands.annotations",
    "commands.icons",
    "commands.details",
    "commands.capacity",
    "commands.servers",
    "commands.service",
    "commands.overview",
    "commands.metrics",
    "sweeping",
    "watching",
)


def load() -> None:
    """Register everything."""
    from pileus.resources import attached

    attached.register()
    for name in _MODULES:
        importlib.import_module(f"pileus.resources.{name}")
