"""Ranges of management addresses of pods: what they look like, what they may not overlap with, and who uses them.

Hosts have addresses out of them; no system machines do, as there are none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.errors import InUse, InvalidParameter
from pileus.infrastructure import model
from pileus.infrastructure.tables import host, management_range, pod

UNTAGGED = "untagged"
_SHOWN = 3


def vlan_name(value: str | None) -> str:
    """Return a VLAN as it is stored: "untagged" or "vlan://100"."""
    text = (value or "").strip().lower().removeprefix("vlan://")
    if text in ("", UNTAGGED):
        return UNTAGGED
    found = model.tag_ranges(text, model.VLAN)
    if len(found) != 1 or found[0][0] != found[0][1]:
        raise InvalidParameter(f"parameter vlan must be {UNTAGGED} or a number from 1 to 4094, not {text[:60]!r}")
    return f"vlan://{found[0][0]}"


def checked(gateway: str, netmask: str, start: str, end: str | None) -> tuple[ipaddress.IPv4Network, str, str]:
    """Return the network, first and last address of a range that lies in it and leaves out the gateway."""
    network = model.netmask("netmask", netmask, gateway)
    first, last = model.address_range(network, start, end or start)
    if first <= int(ipaddress.IPv4Address(gateway)) <= last:
        raise InvalidParameter(f"the range from startip to endip must leave out the gateway {gateway}")
    return network, str(ipaddress.IPv4Address(first)), str(ipaddress.IPv4Address(last))


def network_of(row: Row[Any]) -> ipaddress.IPv4Network:
    """Return the network of a pod or range."""
    return ipaddress.IPv4Network(f"{row.gateway}/{row.netmask}", strict=False)


def of_pod(db: Connection, pod_id: int) -> list[Row[Any]]:
    """Return a pod's ranges, the oldest first."""
    c = management_range.c
    return list(db.execute(sa.select(management_range).where(c.pod_id == pod_id).order_by(c.id)))


def find(
    db: Connection, place: Row[Any], start: str, end: str, *, names: tuple[str, str] = ("startip", "endip")
) -> Row[Any]:
    """Return the pod's range with these ends (passed under these names); InvalidParameter when there is none."""
    c = management_range.c
    wanted = sa.select(management_range).where(
        c.pod_id == place.id,
        c.start_ip == model.address(names[0], start),
        c.end_ip == model.address(names[1], end),
    )
    found = db.execute(wanted).one_or_none()
    if found is None:
        raise InvalidParameter(
            f"parameters {names[0]} and {names[1]}: pod {place.name} has no range {start[:40]}-{end[:40]}"
        )
    return found


def refuse_overlap(db: Connection, zone_id: int, vlan: str, first: str, last: str, *, but: int = 0) -> None:
    """Refuse a range that overlaps with another one of the zone on the same VLAN."""
    begin, end = int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last))
    others = (
        sa.select(management_range, pod.c.name)
        .join(pod, pod.c.id == management_range.c.pod_id)
        .where(pod.c.zone_id == zone_id, management_range.c.vlan == vlan, management_range.c.id != but)
    )
    for other in db.execute(others):
        if begin <= int(ipaddress.IPv4Address(other.end_ip)) and int(ipaddress.IPv4Address(other.start_ip)) <= end:
            raise InvalidParameter(
                f"parameters startip and endip: the range overlaps with {other.start_ip}-{other.end_ip} of pod "
                f"{other.name}"
            )


def add(
    db: Connection,
    place: Row[Any],
    gateway: str,
    netmask: str,
    ends: tuple[str, str],
    *,
    vlan: str = UNTAGGED,
    for_system_vms: bool = False,
) -> None:
    """Insert a range."""
    database.insert(
        db,
        management_range,
        uuid=database.new_uuid(),
        pod_id=place.id,
        gateway=gateway,
        netmask=netmask,
        start_ip=ends[0],
        end_ip=ends[1],
        vlan=vlan,
        for_system_vms=for_system_vms,
        created=database.now(),
    )


def refuse_left_out(db: Connection, row: Row[Any], keep: tuple[str, str] | None = None) -> None:
    """Refuse when hosts of the pod have addresses of a range that go; ``keep``: the ends of what stays."""
    begin, end = int(ipaddress.IPv4Address(row.start_ip)), int(ipaddress.IPv4Address(row.end_ip))
    kept = tuple(int(ipaddress.IPv4Address(address)) for address in keep) if keep else (1, 0)
    used = sa.select(host.c.name, host.c.address).where(host.c.pod_id == row.pod_id, host.c.removed.is_(None))
    found = [
        f"{each.name} ({each.address})"
        for each in db.execute(used.where(host.c.address != ""))
        if begin <= (number := _number(each.address)) <= end and not kept[0] <= number <= kept[1]
    ]
    if found:
        more = ", …" if len(found) > _SHOWN else ""
        raise InUse(
            f"addresses of the range {row.start_ip}-{row.end_ip} are in use by hosts {', '.join(found[:_SHOWN])}{more}"
        )


def _number(address: str) -> int:
    """Return an IPv4 address as a number; 0, which is in no range, for anything else."""
    try:
        return int(ipaddress.IPv4Address(address))
    except ValueError:
        return 0


def fields(rows: Iterable[Row[Any]]) -> dict[str, Any]:
    """Return the fields of a pod that its ranges fill."""
    listed = list(rows)
    if not listed:
        return {}
    return {
        "startip": [row.start_ip for row in listed],
        "endip": [row.end_ip for row in listed],
        "forsystemvms": [_flag(row) for row in listed],
        "vlanid": [row.vlan for row in listed],
        "ipranges": [
            {
                "startip": row.start_ip,
                "endip": row.end_ip,
                "forsystemvms": _flag(row),
                "vlanid": row.vlan,
                "gateway": row.gateway,
                "cidr": str(network_of(row)),
            }
            for row in listed
        ],
    }


def _flag(row: Row[Any]) -> str:
    return "1" if row.for_system_vms else "0"
