"""What clients see of zones, pods and clusters; related rows are loaded once a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities, services
from pileus.core.listing import grouped, related
from pileus.infrastructure import access_groups, capacity, management_ranges, model, mtu_settings, tables

Things = list[dict[str, Any]]


def zones(db: Connection, rows: Sequence[Row[Any]], *, admin: bool, capacities: bool = False) -> Things:
    """Return zones; addresses of name servers and the guest network are for root admins."""
    domains = related(db, entities.domains(), (row.domain_id for row in rows))
    room = capacity.of(db, tables.host.c.zone_id, [row.id for row in rows]) if capacities else {}
    found: Things = []
    of = services.of(db)
    for row in rows:
        domain = domains.get(row.domain_id)
        view: dict[str, Any] = {
            "id": row.uuid,
            "name": row.name,
            "networktype": row.network_type,
            "securitygroupsenabled": row.security_groups,
            "allocationstate": row.allocation_state,
            "localstorageenabled": row.local_storage,
            "dhcpprovider": "VirtualRouter",
            "zonetoken": row.token,
            "type": "Edge" if row.edge else "Core",
            "domainid": domain.uuid if domain else None,
            "domainname": domain.name if domain else None,
            "domain": row.network_domain,
            "tags": [],
            "routedmodeenabled": False,
            "isnsxenabled": False,
            **mtu_settings.fields(of, row.id),
        }
        if admin:
            view |= {
                "dns1": row.dns1,
                "dns2": row.dns2,
                "ip6dns1": row.ip6_dns1,
                "ip6dns2": row.ip6_dns2,
                "internaldns1": row.internal_dns1,
                "internaldns2": row.internal_dns2,
                "guestcidraddress": row.guest_cidr,
                "resourcedetails": row.details or None,
                "ismultiarch": False,
                **access_groups.fields(row),
            }
        if capacities:
            view["capacity"] = room.get(row.id, [])
        found.append(view)
    return found


def pods(db: Connection, rows: Sequence[Row[Any]], *, admin: bool, capacities: bool = False) -> Things:
    """Return pods with their ranges of management addresses."""
    in_zones = related(db, tables.zone, (row.zone_id for row in rows))
    ranges = grouped(db, tables.management_range, tables.management_range.c.pod_id, [row.id for row in rows])
    room = capacity.of(db, tables.host.c.pod_id, [row.id for row in rows]) if capacities else {}
    found: Things = []
    for row in rows:
        zone = in_zones[row.zone_id]
        view: dict[str, Any] = {
            "id": row.uuid,
            "name": row.name,
            "zoneid": zone.uuid,
            "zonename": zone.name,
            "gateway": row.gateway,
            "netmask": row.netmask,
            "allocationstate": row.allocation_state,
            **management_ranges.fields(ranges.get(row.id, [])),
            **access_groups.fields(row, zone=zone),
        }
        if capacities:
            view["capacity"] = room.get(row.id, [])
        found.append(view)
    return found


def clusters(db: Connection, rows: Sequence[Row[Any]], *, admin: bool, capacities: bool = False) -> Things:
    """Return clusters with their overcommit ratios."""
    in_zones = related(db, tables.zone, (row.zone_id for row in rows))
    in_pods = related(db, tables.pod, (row.pod_id for row in rows))
    room = capacity.of(db, tables.host.c.cluster_id, [row.id for row in rows]) if capacities else {}
    found: Things = []
    for row in rows:
        view: dict[str, Any] = {
            "id": row.uuid,
            "name": row.name,
            "zoneid": in_zones[row.zone_id].uuid,
            "zonename": in_zones[row.zone_id].name,
            "podid": in_pods[row.pod_id].uuid,
            "podname": in_pods[row.pod_id].name,
            "hypervisortype": row.hypervisor,
            "clustertype": row.cluster_type,
            "allocationstate": row.allocation_state,
            "managedstate": row.managed_state,
            "cpuovercommitratio": str(row.cpu_overcommit),
            "memoryovercommitratio": str(row.memory_overcommit),
            "arch": model.ARCHITECTURE,
            **access_groups.fields(row, pod=in_pods[row.pod_id], zone=in_zones[row.zone_id]),
        }
        if capacities:
            view["capacity"] = room.get(row.id, [])
        found.append(view)
    return found
