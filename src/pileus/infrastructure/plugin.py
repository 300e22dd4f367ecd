"""Infrastructure's part of the server: its kinds of object, commands, jobs and agent routes."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.identity import cleanup as accounts
from pileus.infrastructure import agents, dedication, entities, restricted

_MODULES = (
    "commands.zones",
    "commands.physical_networks",
    "commands.traffic_types",
    "commands.providers",
    "commands.pods",
    "commands.management_ranges",
    "commands.clusters",
    "commands.hosts",
    "commands.host_states",
    "commands.host_passwords",
    "commands.hypervisors",
    "commands.hypervisor_limits",
    "commands.dedications",
    "commands.simulator",
    "commands.certificates",
    "commands.regions",
    "reconnecting",
    "certification",
    "workflows",
)


def load() -> None:
    """Register everything."""
    entities.register()
    accounts.register(35, dedication.release_account)
    accounts.on_domains_gone(dedication.release_domains)
    accounts.on_domains_gone(restricted.domains_gone)
    agents.register()
    for name in _MODULES:
        importlib.import_module(f"pileus.infrastructure.{name}")


def seed(db: Connection) -> None:
    """Write the region that a new cloud is, and the limits of its hypervisors."""
    from pileus.infrastructure import hypervisor_limits, regions

    regions.seed(db)
    hypervisor_limits.seed(db)
