"""Ranges of public addresses: how they look to clients, and the address rows that they are made of."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.identity.store import display_path, owner_fields, owners
from pileus.identity.tables import domain
from pileus.infrastructure import tables
from pileus.network.tables import public_address

MOST_ADDRESSES = 65_536
_BATCH = 5_000


def fill(db: Connection, range_id: int, zone_id: int, first: int, last: int) -> None:
    """Insert a free address row for each number from first to last: a /16 in well under a second."""
    statement = "INSERT INTO public_address (uuid, range_id, zone_id, address, state) VALUES (?, ?, ?, ?, 'Free')"
    postgres = db.dialect.name == "postgresql"
    for begin in range(first, last + 1, _BATCH):
        numbers = range(begin, min(begin + _BATCH, last + 1))
        ids = _uuids(len(numbers))
        texts = map(_dotted, numbers)
        rows = [(id_, range_id, zone_id, text) for id_, text in zip(ids, texts, strict=True)]
        if postgres:
            _fill_postgres(db, rows)
        else:
            db.exec_driver_sql(statement, rows)


def _fill_postgres(db: Connection, rows: list[tuple[str, int, int, str]]) -> None:
    """Insert by one statement with arrays: executemany would be a round trip a row."""
    db.execute(
        sa.text(
            "INSERT INTO public_address (uuid, range_id, zone_id, address, state) "
            "SELECT u, :range_id, :zone_id, a, 'Free' FROM unnest(CAST(:uuids AS text[]), CAST(:addresses AS text[])) "
            "AS t(u, a)"
        ),
        {
            "range_id": rows[0][1],
            "zone_id": rows[0][2],
            "uuids": [row[0] for row in rows],
            "addresses": [row[3] for row in rows],
        },
    )


def _uuids(count: int) -> list[str]:
    """Return fresh version-4 UUIDs (RFC 9562), several times as fast as one uuid4() after the other."""
    digits = os.urandom(16 * count).hex()
    found: list[str] = []
    for at in range(0, 32 * count, 32):
        d = digits[at : at + 32]
        variant = "89ab"[int(d[16], 16) & 3]
        found.append(f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{variant}{d[17:20]}-{d[20:]}")
    return found


def _dotted(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def bounds(row: Row[Any]) -> tuple[int, int]:
    """Return the numbers of a range's first and last address."""
    return int(ipaddress.IPv4Address(row.start_ip)), int(ipaddress.IPv4Address(row.end_ip))


def network_of(row: Row[Any]) -> ipaddress.IPv4Network:
    """Return the network in which a range lies."""
    return ipaddress.IPv4Network(f"{row.gateway}/{row.netmask}", strict=False)


def in_use(db: Connection, range_id: int, limit: int = 4) -> list[str]:
    """Return some addresses of a range that are not free."""
    statement = sa.select(public_address.c.address).where(
        public_address.c.range_id == range_id, public_address.c.state != "Free"
    )
    return list(db.execute(statement.limit(limit)).scalars())


def vlan_ip_ranges(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return ranges of public addresses, with the account or domain that one is dedicated to."""
    zones = related(db, tables.zone, (row.zone_id for row in rows))
    wires = related(db, tables.physical_network, (row.physical_network_id for row in rows))
    pods = related(db, tables.pod, (row.pod_id for row in rows))
    accounts = owners(db, [row for row in rows if row.account_id is not None])
    whole = related(db, domain, (row.domain_id for row in rows if row.account_id is None))
    return [
        {
            "id": row.uuid,
            "forvirtualnetwork": row.for_virtual_network,
            "zoneid": zones[row.zone_id].uuid,
            "vlan": row.vlan,
            "gateway": row.gateway,
            "netmask": row.netmask,
            "cidr": str(network_of(row)),
            "startip": row.start_ip,
            "endip": row.end_ip,
            "description": f"{row.start_ip}-{row.end_ip}",
            "physicalnetworkid": wires[row.physical_network_id].uuid,
            "podid": pods[row.pod_id].uuid if row.pod_id in pods else None,
            "podname": pods[row.pod_id].name if row.pod_id in pods else None,
            "forsystemvms": False,
            **(_whole_domain(whole.get(row.domain_id)) or owner_fields(accounts.get(row.account_id))),
        }
        for row in rows
    ]


def _whole_domain(of: Row[Any] | None) -> dict[str, Any]:
    if of is None:
        return {}
    return {"domainid": of.uuid, "domain": of.name, "domainpath": display_path(of.path)}
