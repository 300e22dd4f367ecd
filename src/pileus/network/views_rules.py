"""What clients see of public addresses and rules; related rows are loaded once a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.core.statements import Listing
from pileus.identity import store
from pileus.infrastructure.tables import physical_network, zone
from pileus.network import machines
from pileus.network.tables import ip_range, network, nic, public_address, rule

Things = list[dict[str, Any]]


def addresses(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return public addresses."""
    zones = related(db, zone, (row.zone_id for row in rows))
    ranges = related(db, ip_range, (row.range_id for row in rows))
    physical = related(db, physical_network, (row.physical_network_id for row in ranges.values()))
    networks = related(db, network, (row.network_id for row in rows))
    targets = machines.lookup(db, (row.machine_id for row in rows))
    nics = related(db, nic, (row.nic_id for row in rows))
    owners = store.owners(db, [row for row in rows if row.account_id is not None])
    ruled = _with_rules(db, [row.id for row in rows if row.account_id is not None])
    found: Things = []
    for row in rows:
        of, range_, target = networks.get(row.network_id), ranges[row.range_id], targets.get(row.machine_id)
        view: dict[str, Any] = {
            "id": row.uuid,
            "ipaddress": row.address,
            "allocated": date(row.allocated),
            "zoneid": zones[row.zone_id].uuid,
            "zonename": zones[row.zone_id].name,
            "issourcenat": row.is_source_nat,
            "isstaticnat": row.is_static_nat,
            "state": row.state,
            "forvirtualnetwork": range_.for_virtual_network,
            "physicalnetworkid": physical[range_.physical_network_id].uuid,
            "isportable": False,
            "issystem": False,
            "forsystemvms": False,
            "hasannotations": False,
            "hasrules": row.id in ruled,
            "tags": [],
            **store.owner_fields(owners.get(row.account_id)),
        }
        if of is not None:
            view |= {"associatednetworkid": of.uuid, "associatednetworkname": of.name}
        if target is not None:
            view |= {
                "virtualmachineid": target.uuid,
                "virtualmachinename": target.name,
                "virtualmachinedisplayname": target.display_name or target.name,
                "virtualmachinetype": "User",
                "vmipaddress": nics[row.nic_id].address if row.nic_id in nics else None,
            }
        if admin:
            view |= {"fordisplay": row.display, "vlanid": range_.uuid, "vlanname": range_.vlan}
        found.append(view)
    return found


_WITH_RULES = Listing(lambda among: sa.select(rule.c.address_id).where(among(rule.c.address_id, "ids")).distinct())


def _with_rules(db: Connection, ids: list[int]) -> set[int]:
    if not ids:
        return set()
    return set(_WITH_RULES(db, {"ids": ids}).scalars())


def firewall(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return firewall rules, inbound and egress."""
    of = related(db, network, (row.network_id for row in rows))
    public = related(db, public_address, (row.address_id for row in rows))
    found: Things = []
    for row in rows:
        view: dict[str, Any] = {
            "id": row.uuid,
            "protocol": row.protocol,
            "startport": row.start_port,
            "endport": row.end_port,
            "icmptype": row.icmp_type,
            "icmpcode": row.icmp_code,
            "cidrlist": ",".join(row.sources),
            "networkid": of[row.network_id].uuid,
            "state": row.state,
            "traffictype": "Ingress" if row.address_id is not None else "Egress",
            "tags": [],
        }
        if row.address_id is not None:
            view |= {"ipaddressid": public[row.address_id].uuid, "ipaddress": public[row.address_id].address}
        else:
            view["destcidrlist"] = ",".join(row.destinations)
        if admin:
            view["fordisplay"] = row.display
        found.append(view)
    return found


def forwarding(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return port-forwarding rules."""
    of = related(db, network, (row.network_id for row in rows))
    public = related(db, public_address, (row.address_id for row in rows))
    targets = machines.lookup(db, (row.machine_id for row in rows))
    nics = related(db, nic, (row.nic_id for row in rows))
    found: Things = []
    for row in rows:
        target = targets.get(row.machine_id)
        view: dict[str, Any] = {
            "id": row.uuid,
            "protocol": row.protocol,
            "publicport": str(row.start_port),
            "publicendport": str(row.end_port),
            "privateport": str(row.private_start),
            "privateendport": str(row.private_end),
            "cidrlist": ",".join(row.sources),
            "networkid": of[row.network_id].uuid,
            "ipaddressid": public[row.address_id].uuid,
            "ipaddress": public[row.address_id].address,
            "vmguestip": nics[row.nic_id].address if row.nic_id in nics else None,
            "state": row.state,
            "tags": [],
        }
        if target is not None:
            view |= {
                "virtualmachineid": target.uuid,
                "virtualmachinename": target.name,
                "virtualmachinedisplayname": target.display_name or target.name,
            }
        if admin:
            view["fordisplay"] = row.display
        found.append(view)
    return found


def ip_forwarding(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return IP forwarding rules: ports of addresses with static NAT."""
    del admin  # everybody sees the same
    public = related(db, public_address, (row.address_id for row in rows))
    targets = machines.lookup(db, (row.machine_id for row in rows))
    found: Things = []
    for row in rows:
        target = targets.get(row.machine_id)
        view: dict[str, Any] = {
            "id": row.uuid,
            "protocol": row.protocol,
            "startport": row.start_port,
            "endport": row.end_port,
            "ipaddressid": public[row.address_id].uuid,
            "ipaddress": public[row.address_id].address,
            "state": row.state,
        }
        if target is not None:
            view |= {
                "virtualmachineid": target.uuid,
                "virtualmachinename": target.name,
                "virtualmachinedisplayname": target.display_name or target.name,
            }
        found.append(view)
    return found
