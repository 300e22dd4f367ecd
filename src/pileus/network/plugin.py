"""Networks' part of the server: their kinds of object, commands, jobs, what they do at reports and deletions."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.network import entities

_MODULES = (
    "commands.offerings",
    "commands.ranges",
    "commands.networks",
    "commands.network_permissions",
    "commands.routers",
    "commands.addresses",
    "commands.firewall",
    "commands.egress",
    "commands.forwarding",
    "commands.static_nat",
    "commands.ip_forwarding",
    "commands.nics",
    "workflows",
    "router_jobs",
    "rule_jobs",
)


def load() -> None:
    """Register everything."""
    from pileus.identity import cleanup
    from pileus.infrastructure import hosts, reports
    from pileus.network import limits, upkeep

    entities.register()
    limits.sources()
    for name in _MODULES:
        importlib.import_module(f"pileus.network.{name}")
    reports.observe(upkeep.observe)
    hosts.on_forced_removal(upkeep.host_removed)
    cleanup.register(20, upkeep.delete_networks)
    cleanup.on_visits(upkeep.visits)
    cleanup.on_domains_gone(upkeep.domains_gone)


def seed(db: Connection) -> None:
    """Write the network offerings that a new cloud has."""
    from pileus.network import offerings

    offerings.seed(db)
