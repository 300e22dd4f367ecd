"""What clients see of physical networks, traffic types, service providers and router elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.infrastructure import tables

Things = list[dict[str, Any]]

PROVIDER = "VirtualRouter"
SERVICES = ("Dhcp", "Dns", "Firewall", "Gateway", "PortForwarding", "SourceNat", "StaticNat", "UserData")
"""What the virtual router does for guest networks."""


def physical_networks(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return physical networks."""
    zones = related(db, tables.zone, (row.zone_id for row in rows))
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "broadcastdomainrange": row.broadcast_range,
            "zoneid": zones[row.zone_id].uuid,
            "zonename": zones[row.zone_id].name,
            "state": row.state,
            "vlan": row.tag_ranges or None,
            "tags": row.tags,
            "networkspeed": row.speed,
            "isolationmethods": row.isolation,
        }
        for row in rows
    ]


def traffic_types(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return the kinds of traffic with the label of each hypervisor."""
    networks = related(db, tables.physical_network, (row.physical_network_id for row in rows))
    return [
        {
            "id": row.uuid,
            "traffictype": row.type,
            "physicalnetworkid": networks[row.physical_network_id].uuid,
            "kvmnetworklabel": row.kvm_label,
            "xennetworklabel": row.xen_label,
            "vmwarenetworklabel": row.vmware_label,
            "hypervnetworklabel": row.hyperv_label,
            "ovm3networklabel": row.ovm3_label,
        }
        for row in rows
    ]


def providers(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return network service providers."""
    networks = related(db, tables.physical_network, (row.physical_network_id for row in rows))
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "physicalnetworkid": networks[row.physical_network_id].uuid,
            "state": row.state,
            "canenableindividualservice": False,
            "servicelist": list(SERVICES),
        }
        for row in rows
    ]


def elements(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return virtual router elements."""
    found = related(db, tables.service_provider, (row.provider_id for row in rows))
    return [{"id": row.uuid, "nspid": found[row.provider_id].uuid, "enabled": row.enabled} for row in rows]
