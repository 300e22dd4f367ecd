"""Infrastructure's part of the server: its kinds of object, commands, jobs and agent routes."""

from __future__ import annotations

import importlib

from pileus.infrastructure import agents, entities

_MODULES = (
    "commands.zones",
    "commands.physical_networks",
    "commands.traffic_types",
    "commands.providers",
    "commands.pods",
    "commands.clusters",
    "commands.hosts",
    "reconnecting",
    "workflows",
)


def load() -> None:
    """Register everything."""
    entities.register()
    agents.register()
    for name in _MODULES:
        importlib.import_module(f"pileus.infrastructure.{name}")
