"""Checking what is ordered with a machine: template, size, disks, networks, names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import model
from pileus.compute.tables import machine
from pileus.core import entities, sizes
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Entries
from pileus.core.statements import Listing
from pileus.images.tables import template_copy
from pileus.network.tables import network, nic

GIB = model.GIB


class DiskOrder(msgspec.Struct, frozen=True):
    """A data disk to make with the machine."""

    offering: Row[Any]
    size: int  # bytes
    device: int | None


class NicOrder(msgspec.Struct, frozen=True):
    """A network to plug the machine into; the first one is the default."""

    network: Row[Any]
    address: str | None = None
    mac: str | None = None


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


def root_size(call: Call, template: Row[Any], offering: Row[Any], asked: int | None) -> int:
    """Return the bytes of the root disk: as asked for (GiB), else the offering's, else the template's."""
    if asked is not None:
        if not 0 < asked <= call.services.settings.get(sizes.LARGEST_VOLUME):
            most = call.services.settings.get(sizes.LARGEST_VOLUME)
            raise InvalidParameter(f"parameter rootdisksize must be between 1 and {most} GiB, not {asked}")
        wanted, source = asked * GIB, "parameter rootdisksize"
    elif offering.root_disk_size:
        wanted, source = int(offering.root_disk_size), f"service offering {offering.name}"
    else:
        return int(template.size)
    if wanted < template.size:
        raise InvalidParameter(
            f"{source}: a root disk of {wanted / GIB:g} GiB is smaller than template {template.name} "
            f"({template.size / GIB:g} GiB)"
        )
    return wanted


def data_disks(call: Call, offering: Row[Any] | None, size: int | None, entries: Entries | None) -> list[DiskOrder]:
    """Return the data disks of diskofferingid with size, and of datadiskofferinglist."""
    if offering is None and size is not None:
        raise InvalidParameter("parameter size is the size of a data disk: parameter diskofferingid is missing")
    orders = [] if offering is None else [DiskOrder(offering, disk_size(call, offering, size), None)]
    for entry in entries or []:
        fields = {key.lower(): value for key, value in entry.items()}
        unknown = set(fields) - {"diskofferingid", "size", "deviceid"}
        if unknown or "diskofferingid" not in fields:
            raise InvalidParameter(
                "parameter datadiskofferinglist: each entry has diskofferingid, and may have size (GiB) and deviceid"
                + (f"; {', '.join(sorted(unknown))[:80]} is not supported by this server yet" if unknown else "")
            )
        row = entities.resolve(
            call.db, call.caller, "DiskOffering", fields["diskofferingid"], parameter="datadiskofferinglist"
        )
        given = number("datadiskofferinglist", fields["size"]) if "size" in fields else None
        device = number("datadiskofferinglist", fields["deviceid"]) if "deviceid" in fields else None
        orders.append(DiskOrder(row, disk_size(call, row, given), device))
    if len(orders) > model.MOST_DATA_DISKS:
        raise InvalidParameter(f"a machine can be deployed with {model.MOST_DATA_DISKS} data disks at most")
    return _with_devices(orders)


def _with_devices(orders: Sequence[DiskOrder]) -> list[DiskOrder]:
    """Give each disk a device number of its own, from 1; those that were asked for stay."""
    asked = [order.device for order in orders if order.device is not None]
    if len(set(asked)) != len(asked) or any(not 0 < device < 32 or device == 3 for device in asked):
        raise InvalidParameter("parameter datadiskofferinglist: each deviceid must be different, 1 to 31 and not 3")
    free = (device for device in range(1, 64) if device != 3 and device not in asked)  # 3 is the CD drive's
    return [
        order if order.device is not None else msgspec.structs.replace(order, device=next(free)) for order in orders
    ]


def disk_size(call: Call, offering: Row[Any], asked: int | None) -> int:
    """Return the bytes of a disk by its offering; ``asked``: GiB, for offerings of custom size."""
    if not offering.customized:
        if asked is not None:
            raise InvalidParameter(
                f"parameter size: disk offering {offering.name} has a fixed size of {offering.size / GIB:g} GiB"
            )
        return int(offering.size)
    if asked is None:
        raise InvalidParameter(f"disk offering {offering.name} is of custom size: parameter size (GiB) is missing")
    least = call.services.settings.get(sizes.SMALLEST_DISK)
    most = call.services.settings.get(sizes.LARGEST_DISK)
    if not least <= asked <= most:
        raise InvalidParameter(f"parameter size must be between {least} and {most} GiB, not {asked}")
    return asked * GIB


def number(parameter: str, text: str) -> int:
    """Return a whole number of a map's entry."""
    if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 12:
        raise InvalidParameter(f"parameter {parameter}: {text[:40]!r} is not a whole number")
    return int(text)


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
        check_network(order.network, zone, owner)
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
    return NicOrder(row, fields.get("ip") or None, model.mac_address(mac) if mac else None)


def check_network(row: Row[Any], zone: Row[Any], owner: Row[Any]) -> None:
    """Check that a machine of this owner in this zone can be in the network."""
    if row.zone_id != zone.id:
        raise InvalidParameter(f"network {row.name} is not in zone {zone.name}", uuids=((row.uuid, "networkid"),))
    if row.acl_type == "Account" and row.account_id != owner.account_id:
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
