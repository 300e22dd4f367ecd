"""Compute's part of the server: its kinds of object, commands and jobs, and what it tells the slices before it."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection

from pileus.compute import entities

_MODULES = (
    "commands.service_offerings",
    "commands.deploy",
    "commands.machines",
    "commands.lists",
    "commands.access",
    "commands.maintenance",
    "commands.purging",
    "commands.planners",
    "commands.scaling",
    "scaling",
    "renewing",
    "lease_ends",
    "workflows",
    "stopping",
    "expunging",
    "template_users",
)


def load() -> None:
    """Register everything."""
    from pileus.compute import (
        cleanup,
        guests,
        limits,
        local_storage,
        occupants,
        placement,
        reports,
        running,
        starting,
        views,
    )
    from pileus.identity import cleanup as accounts
    from pileus.identity.projects.views import count_machines
    from pileus.infrastructure import candidates, dedication, hosts
    from pileus.infrastructure import reports as intake
    from pileus.network.guests import register_guest_provider
    from pileus.storage.volumes import describe_machines

    entities.register()
    limits.sources()
    for name in _MODULES:
        importlib.import_module(f"pileus.compute.{name}")
    describe_machines(views.of_volumes)
    register_guest_provider(guests.hosts)
    intake.observe(reports.observe)
    hosts.on_forced_removal(reports.host_removed)
    hosts.on_storage_given_up(local_storage.destroy)
    dedication.on_check(occupants.of)
    candidates.judged_by(lambda db, row: placement.candidates(db, starting.wish(db, row)))
    accounts.on_pause(cleanup.halt)
    count_machines(running.of_accounts)
    accounts.register(10, cleanup.machines)
    accounts.register(30, cleanup.volumes)


def seed(db: Connection) -> None:
    """Write the service offerings of a new cloud."""
    from pileus.compute.seed import offerings

    offerings(db)
