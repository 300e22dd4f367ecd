"""What clients see of routers; related rows are loaded once a page."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.identity import store
from pileus.infrastructure.tables import host, pod, zone
from pileus.network import model
from pileus.network.tables import ip_range, network, public_address

Things = list[dict[str, Any]]


def routers(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> Things:
    """Return routers; the host's name and hypervisor are for root admins."""
    zones = related(db, zone, (row.zone_id for row in rows))
    pods = related(db, pod, (row.pod_id for row in rows))
    hosts = related(db, host, (row.host_id for row in rows))
    networks = related(db, network, (row.network_id for row in rows))
    owners = store.owners(db, rows)
    public = _source_nat(db, [row.network_id for row in rows])
    found: Things = []
    for row in rows:
        of, place = networks[row.network_id], zones[row.zone_id]
        guest, outside = _legs(row, of, public.get(row.network_id))
        view: dict[str, Any] = {
            "id": row.uuid,
            "name": row.name,
            "role": "VIRTUAL_ROUTER",
            "state": row.state,
            "created": date(row.created),
            "zoneid": place.uuid,
            "zonename": place.name,
            "dns1": of.dns1 or place.dns1,
            "dns2": of.dns2 if of.dns1 else place.dns2,
            "gateway": outside.get("gateway"),
            "guestnetworkid": of.uuid,
            "guestnetworkname": of.name,
            "guestipaddress": of.gateway,
            "guestmacaddress": row.guest_mac,
            "guestnetmask": of.netmask,
            "networkdomain": of.network_domain,
            "publicip": outside.get("ipaddress"),
            "publicnetmask": outside.get("netmask"),
            "publicmacaddress": outside.get("macaddress"),
            "isredundantrouter": False,
            "redundantstate": row.redundant_state,
            "requiresupgrade": False,
            "healthchecksfailed": False,
            "hasannotations": False,
            "nic": [guest, outside] if outside else [guest],
            **store.owner_fields(owners.get(row.account_id)),
        }
        if row.pod_id in pods:
            view |= {"podid": pods[row.pod_id].uuid, "podname": pods[row.pod_id].name}
        if admin and row.host_id in hosts and row.state in (*model.LIVE, model.STOPPING):
            at = hosts[row.host_id]
            view |= {
                "hostid": at.uuid,
                "hostname": at.name,
                "hypervisor": at.hypervisor,
                "hostcontrolstate": at.resource_state,
            }
        found.append(view)
    return found


def _source_nat(db: Connection, network_ids: list[int]) -> dict[int, Any]:
    statement = (
        sa.select(public_address.c.network_id, public_address.c.address, ip_range.c.gateway, ip_range.c.netmask)
        .join(ip_range, ip_range.c.id == public_address.c.range_id)
        .where(public_address.c.network_id.in_(network_ids), public_address.c.is_source_nat)
    )
    return {row.network_id: row for row in db.execute(statement)}


def _legs(row: Row[Any], of: Row[Any], public: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the NICs in the guest and the public network; the second one empty when there is none."""
    guest: dict[str, Any] = {
        "networkid": of.uuid,
        "networkname": of.name,
        "ipaddress": of.gateway,
        "netmask": of.netmask,
        "macaddress": row.guest_mac,
        "traffictype": "Guest",
        "type": of.guest_type,
        "isdefault": False,
    }
    if public is None:
        return guest, {}
    return guest, {
        "ipaddress": public.address,
        "netmask": str(ipaddress.IPv4Network(f"{public.gateway}/{public.netmask}", strict=False).netmask),
        "gateway": public.gateway,
        "macaddress": row.public_mac,
        "traffictype": "Public",
        "isdefault": True,
    }
