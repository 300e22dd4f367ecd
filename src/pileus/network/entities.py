"""Kinds of object of networks that a reference can name."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Caller
from pileus.identity import sharing
from pileus.network import machines
from pileus.network.tables import network, network_permission, nic, public_address, router, rule


def uses_network(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may put machines into a network: the own ones, and those that are shared with it."""
    if entities.owned(db, caller, row):
        return True
    return sharing.given(db, network_permission, row.id, sharing.callers(caller))


def uses_address(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may use a public address: one that is free is nobody's."""
    return caller.admin if row.account_id is None else entities.owned(db, caller, row)


def uses_nic(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may use a NIC: as its machine, or as its network when it is a router's."""
    owner = machines.lookup(db, [row.machine_id]).get(row.machine_id) if row.machine_id is not None else None
    if owner is None:
        owner = db.execute(sa.select(network).where(network.c.id == row.network_id)).one()
    return entities.owned(db, caller, owner)


def uses_router(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may use a router: admins of its domain, and nobody else."""
    return caller.role != "User" and entities.owned(db, caller, row)


def register() -> None:
    """Register the kinds (offerings register their own)."""
    entities.register("Network", network, "network", use=uses_network, manage=entities.owned)
    sharing.register(network_permission)
    entities.register("IPAddress", public_address, "public IP address", use=uses_address)
    entities.register("FirewallRule", rule, "rule")
    entities.register("DomainRouter", router, "router", use=uses_router)
    entities.register("Nic", nic, "NIC", use=uses_nic)
