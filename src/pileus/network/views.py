"""What clients see of networks and NICs; related rows are loaded once a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.core.statements import Listing
from pileus.dataplane import dhcp_options
from pileus.identity import store
from pileus.infrastructure.tables import physical_network, zone
from pileus.network import model, spans
from pileus.network.nics import static_nat_of
from pileus.network.offerings import services_of
from pileus.network.tables import network, network_offering, nic
from pileus.wire.router import PUBLIC_MTU

Things = list[dict[str, Any]]

_OF_MACHINES = Listing(
    lambda among: (
        sa.select(nic)
        .where(among(nic.c.machine_id, "machines"), nic.c.removed.is_(None))
        .order_by(nic.c.machine_id, nic.c.device_id, nic.c.id)
    )
)


def networks(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return networks; tags of segments are for root admins."""
    zones = related(db, zone, (row.zone_id for row in rows))
    offerings = related(db, network_offering, (row.offering_id for row in rows))
    physical = related(db, physical_network, (row.physical_network_id for row in rows))
    owners = store.owners(db, rows)
    services = {id_: services_of(db, list(row.services), row.capabilities) for id_, row in offerings.items()}
    return [
        _network(row, zones[row.zone_id], offerings[row.offering_id], physical[row.physical_network_id], admin=admin)
        | {"service": services[row.offering_id]}
        | store.owner_fields(owners.get(row.account_id))
        for row in rows
    ]


def _network(
    row: Row[Any], in_zone: Row[Any], offering: Row[Any], physical: Row[Any], *, admin: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": row.uuid,
        "name": row.name,
        "displaytext": row.display_text,
        "broadcastdomaintype": row.isolation.capitalize(),
        "traffictype": "Guest",
        "type": row.guest_type,
        "acltype": row.acl_type,
        "state": row.state,
        "related": row.uuid,
        "issystem": False,
        "zoneid": in_zone.uuid,
        "zonename": in_zone.name,
        "networkofferingid": offering.uuid,
        "networkofferingname": offering.name,
        "networkofferingdisplaytext": offering.display_text,
        "networkofferingconservemode": offering.conserve_mode,
        "networkofferingavailability": offering.availability,
        "egressdefaultpolicy": offering.egress_default,
        "ispersistent": offering.persistent,
        "specifyvlan": offering.specify_vlan,
        "specifyipranges": offering.specify_ip_ranges,
        "physicalnetworkid": physical.uuid,
        "restartrequired": row.restart_required,
        "canusefordeploy": True,
        "redundantrouter": False,
        "strechedl2subnet": False,
        "supportsvmautoscaling": False,
        "hasannotations": False,
        "tags": [],
        "created": date(row.created),
    }
    if row.cidr:
        found |= {
            "cidr": row.guest_cidr or row.cidr,
            "gateway": row.gateway,
            "netmask": row.netmask,
            "networkdomain": row.network_domain,
            "dns1": row.dns1 or in_zone.dns1,
            "dns2": row.dns2 if row.dns1 else in_zone.dns2,
            "internetprotocol": "IPv4",
            "privatemtu": row.private_mtu or model.DEFAULT_MTU[row.isolation],
        }
        if row.guest_cidr:
            found |= {"networkcidr": row.cidr, "reservediprange": spans.reserved(row)}
        if "SourceNat" in offering.services:
            found["publicmtu"] = row.public_mtu or PUBLIC_MTU
    if admin:
        found["displaynetwork"] = row.display
        if row.tag is not None:
            found |= {"vlan": str(row.tag), "broadcasturi": uri(row)}
    return found


def uri(row: Row[Any]) -> str | None:
    """Return a network's segment as clients know it: "vxlan://5000"."""
    return None if row.tag is None else f"{row.isolation.lower()}://{row.tag}"


def nics(db: Connection, machine_ids: Iterable[int], *, admin: bool) -> dict[int, Things]:
    """Return the NICs of machines, by machine, the first one first: in three queries for a whole page."""
    wanted = sorted(set(machine_ids))
    if not wanted:
        return {}
    rows: list[Row[Any]] = _OF_MACHINES(db, {"machines": wanted}).all()
    found: dict[int, Things] = {}
    for row, view in zip(rows, nic_list(db, rows, admin=admin), strict=True):
        found.setdefault(row.machine_id, []).append(view)
    return found


def nic_list(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return NICs; the URIs of their segments are for root admins."""
    of = related(db, network, (row.network_id for row in rows))
    mapped = static_nat_of(db, [row.id for row in rows])
    return [_nic(row, of[row.network_id], mapped.get(row.id), admin=admin) for row in rows]


def _nic(row: Row[Any], of: Row[Any], public: Row[Any] | None, *, admin: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": row.uuid,
        "networkid": of.uuid,
        "networkname": of.name,
        "macaddress": row.mac,
        "ipaddress": row.address,
        "isdefault": row.is_default,
        "deviceid": str(row.device_id),
        "traffictype": "Guest",
        "type": of.guest_type,
        "secondaryip": [],
        "extradhcpoption": _dhcp_options(row.uuid, row.dhcp_options or {}),
        "mtu": of.private_mtu or model.DEFAULT_MTU[of.isolation],
    }
    if of.cidr:
        found |= {"gateway": of.gateway, "netmask": of.netmask}
    if public is not None:
        found |= {"publicip": public.address, "publicipid": public.uuid}
    if admin and of.tag is not None:
        found |= {"broadcasturi": uri(of), "isolationuri": uri(of)}
    return found


def _dhcp_options(nic_uuid: str, chosen: dict[str, str]) -> Things:
    return [
        {
            "nicid": nic_uuid,
            "extradhcpoptioncode": int(code),
            "extradhcpoptionname": dhcp_options.name(int(code)),
            "extradhcpvalue": value,
        }
        for code, value in chosen.items()
    ]
