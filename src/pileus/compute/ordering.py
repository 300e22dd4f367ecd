"""Checking what is ordered with a machine: template, networks, names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import model
from pileus.compute.tables import machine
from pileus.core import entities
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Entries
from pileus.core.statements import Listing
from pileus.identity import sharing
from pileus.images.tables import template_copy
from pileus.network.tables import network, network_permission, nic


class NicOrder(msgspec.Struct, frozen=True):
    """A network to plug the machine into; the first one is the default."""

    network: Row[Any]
    address: str | None = None
    mac: str | None = None
    parameters: tuple[str, str] = ("ipaddress", "macaddress")  # in which address and MAC address were asked for


def ready_template(db: Connection, template: Row[Any], zone: Row[Any]) -> None:
    """Check that the template can be deployed in the zone."""
    if template.kind != "template":
        raise InvalidParameter("parameter templateid names an ISO; machines are deployed from templates here")
    if template.state != "Active":
        raise InvalidParameter(f"parameter templateid: template {template.name} is {template.state.lower()}")
    found = db.execute(
        sa.select(template_copy.c.state, template_copy.c.zone_id).where(template_copy.c.template_id == template.id)
    ).all()
    states = [row.state for row in found if row.zone_id in (None, zone.id)]
    if "Ready" not in states:
        why = "is not in this zone" if not states else "is not ready yet"
        raise InvalidParameter(f"parameter templateid: template {template.name} {why}")


def nics(
    call: Call,
    zone: Row[Any],
    owner: Row[Any],
    *,
    networks: Sequence[Row[Any]],
    entries: Entries | None,
    address: str | None,
    mac: str | None,
) -> list[NicOrder]:
    """Return the networks of a machine, in their order, with the addresses that were asked for."""
    if networks and entries:
        raise InvalidParameter("parameters networkids and iptonetworklist exclude each other")
    if entries:
        if address or mac:
            raise InvalidParameter(
                "parameters ipaddress and macaddress go with networkids; name them in iptonetworklist"
            )
        orders = [_entry(call, entry) for entry in entries]
    else:
        chosen = list(networks) or [_default_network(call, zone, owner)]
        orders = [NicOrder(row) for row in chosen]
        orders[0] = NicOrder(chosen[0], address, model.mac_address(mac) if mac else None)
    seen: set[int] = set()
    for order in orders:
        check_network(call.db, order.network, zone, owner)
        if order.network.id in seen:
            raise InvalidParameter(f"network {order.network.name} is named twice")
        seen.add(order.network.id)
    return orders


def _default_network(call: Call, zone: Row[Any], owner: Row[Any]) -> Row[Any]:
    from pileus.network import nics as network_nics

    return network_nics.default_network(call, zone, owner)


def _entry(call: Call, entry: dict[str, str]) -> NicOrder:
    fields = {key.lower(): value for key, value in entry.items()}
    unknown = set(fields) - {"networkid", "ip", "mac"}
    if unknown or "networkid" not in fields:
        raise InvalidParameter(
            "parameter iptonetworklist: each entry has networkid, and may have ip and mac"
            + (f"; {', '.join(sorted(unknown))[:80]} is not supported by this server yet" if unknown else "")
        )
    row = entities.resolve(call.db, call.caller, "Network", fields["networkid"], parameter="iptonetworklist")
    mac = fields.get("mac")
    listed = "iptonetworklist"
    return NicOrder(
        row, fields.get("ip") or None, model.mac_address(mac, listed) if mac else None, parameters=(listed, listed)
    )


def check_network(db: Connection, row: Row[Any], zone: Row[Any], owner: Row[Any]) -> None:
    """Check that a machine of this owner in this zone can be in the network."""
    if row.zone_id != zone.id:
        raise InvalidParameter(f"network {row.name} is not in zone {zone.name}", uuids=((row.uuid, "networkid"),))
    if (
        row.acl_type == "Account"
        and row.account_id != owner.account_id
        and not sharing.given(db, network_permission, row.id, [owner.account_id])
    ):
        raise PermissionDenied(
            f"network {row.name} does not belong to account {owner.name}", uuids=((row.uuid, "networkid"),)
        )
    if row.state in ("Shutdown", "Destroy"):
        raise InvalidParameter(f"network {row.name} is being shut down", uuids=((row.uuid, "networkid"),))


_NAMED = Listing(
    lambda among: (
        sa.select(network.c.name)
        .select_from(
            machine.join(nic, nic.c.machine_id == machine.c.id).join(network, network.c.id == nic.c.network_id)
        )
        .where(
            sa.func.lower(machine.c.name) == sa.bindparam("name"),
            machine.c.removed.is_(None),
            machine.c.id != sa.bindparam("but"),
            among(nic.c.network_id, "networks"),
            nic.c.removed.is_(None),
        )
        .limit(1)
    )
)


def free_name(db: Connection, name: str, networks: Sequence[int], *, parameter: str, but: int = 0) -> None:
    """Check that no other machine has this host name in any of the networks (their DNS knows one of each)."""
    if not networks:
        return
    taken = _NAMED(db, {"name": name.lower(), "but": but, "networks": list(networks)}).scalar_one_or_none()
    if taken is not None:
        raise InvalidParameter(f"parameter {parameter}: network {taken} has a machine named {name!r} already")
