"""Kinds of object of infrastructure that a reference can name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Caller
from pileus.infrastructure import model, tables


def may_use_zone(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether a caller may use a zone: it is not another domain's, and open to other than admins."""
    if caller.admin:
        return True
    if row.allocation_state != model.ENABLED:
        return False
    if row.domain_id is None:
        return True
    owner = db.execute(_path_of(row.domain_id)).scalar_one_or_none()
    return owner is not None and caller.domain_path.startswith(owner)


def _path_of(domain_id: int) -> Any:
    domains = entities.domains()
    return domains.select().with_only_columns(domains.c.path).where(domains.c.id == domain_id)


def register() -> None:
    """Register the kinds."""
    entities.register(
        "HypervisorCapabilities", tables.hypervisor_limit, "hypervisor's capabilities", use=entities.admin_only
    )
    entities.register("Zone", tables.zone, "zone", use=may_use_zone, manage=entities.admin_only)
    for kind, table, label in (
        ("PhysicalNetwork", tables.physical_network, "physical network"),
        ("TrafficType", tables.traffic_type, "traffic type"),
        ("Pod", tables.pod, "pod"),
        ("Cluster", tables.cluster, "cluster"),
        ("Host", tables.host, "host"),
        ("Provider", tables.service_provider, "network service provider"),
        ("VirtualRouterProvider", tables.router_element, "virtual router element"),
    ):
        entities.register(kind, table, label, use=_seen, manage=entities.admin_only)


def _seen(_db: Connection, caller: Caller, _row: Row[Any]) -> bool:
    return caller.role in {"Admin", "ResourceAdmin"}
