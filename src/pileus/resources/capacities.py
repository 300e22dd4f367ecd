"""Capacity of zones, pods and clusters by CloudStack's types: what there is and what is taken, counted from the rows.

Each type is one grouped query, whatever the number of places.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import ColumnElement, Connection, Table

from pileus.compute.tables import machine
from pileus.images import stores
from pileus.images.tables import image_store
from pileus.infrastructure.model import within
from pileus.infrastructure.tables import cluster, host, management_range, physical_network, pod, segment_tag
from pileus.network.tables import ip_range, public_address
from pileus.storage.tables import storage_pool

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
MEMORY, CPU, STORAGE, STORAGE_ALLOCATED, PUBLIC_IP, PRIVATE_IP, SECONDARY, VLAN, DIRECT_IP, LOCAL, CORES = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 90,
)  # fmt: skip

NAMES = {
    MEMORY: "MEMORY",
    CPU: "CPU",
    STORAGE: "STORAGE",
    STORAGE_ALLOCATED: "STORAGE_ALLOCATED",
    PUBLIC_IP: "VIRTUAL_NETWORK_PUBLIC_IP",
    PRIVATE_IP: "PRIVATE_IP",
    SECONDARY: "SECONDARY_STORAGE",
    VLAN: "VLAN",
    DIRECT_IP: "DIRECT_ATTACHED_PUBLIC_IP",
    LOCAL: "LOCAL_STORAGE",
    CORES: "CPU_CORE",
}
"""CloudStack's types and their names: bytes, MHz, addresses, tags or cores."""

ZONE, POD, CLUSTER = "zone_id", "pod_id", "cluster_id"


class Scope(msgspec.Struct, frozen=True):
    """What is asked for: by which kind of place (a column's name), in which one (None = all), with which tag."""

    level: str = ZONE
    place: int | None = None
    tag: str = ""

    def conditions(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions for rows with tags of their own."""
        found = [] if self.place is None else [table.c[self.level] == self.place]
        found.append(table.c[self.level].is_not(None))
        if self.tag:
            found.append(table.c.tags.contains(f",{self.tag},", autoescape=True))
        return found


class Room(msgspec.Struct, frozen=True):
    """How much of a type there is at a place."""

    type: int
    place: int
    total: int
    used: int


def of(db: Connection, scope: Scope, types: frozenset[int] = frozenset(NAMES)) -> list[Room]:
    """Return the room of these types at each place."""
    found: list[Room] = []
    for needed, load in _LOADERS:
        if needed & types and (scope.level in (ZONE, POD, CLUSTER)):
            found += [room for room in load(db, scope) if room.type in types]
    return sorted(found, key=lambda room: (room.place, room.type))


def _hosts(db: Connection, scope: Scope) -> list[Room]:
    place = host.c[scope.level]
    rows = db.execute(
        sa.select(
            place.label("place"),
            sa.func.sum(host.c.memory_mib * cluster.c.memory_overcommit).label("memory"),
            sa.func.sum(host.c.used_memory_mib).label("memory_used"),
            sa.func.sum(host.c.cpus * host.c.cpu_mhz * cluster.c.cpu_overcommit).label("cpu"),
            sa.func.sum(host.c.used_cpu_mhz).label("cpu_used"),
            sa.func.sum(host.c.cpus * cluster.c.cpu_overcommit).label("cores"),
        )
        .select_from(host.join(cluster, cluster.c.id == host.c.cluster_id))
        .where(host.c.removed.is_(None), *scope.conditions(host))
        .group_by(place)
    ).all()
    cores = sa.select(place.label("place"), sa.func.sum(machine.c.cpus).label("used")).select_from(
        machine.join(host, host.c.id == machine.c.host_id)
    )
    in_use = {
        row.place: int(row.used)
        for row in db.execute(cores.where(machine.c.removed.is_(None), *scope.conditions(host)).group_by(place))
    }
    return [
        room
        for row in rows
        for room in (
            Room(MEMORY, row.place, int(row.memory) * MIB, int(row.memory_used) * MIB),
            Room(CPU, row.place, int(row.cpu), int(row.cpu_used)),
            Room(CORES, row.place, int(row.cores), in_use.get(row.place, 0)),
        )
    ]


def _pools(db: Connection, scope: Scope) -> list[Room]:
    place = storage_pool.c[scope.level]
    local = (storage_pool.c.scope == "HOST").label("local")
    rows = db.execute(
        sa.select(
            place.label("place"),
            local,
            sa.func.sum(storage_pool.c.capacity).label("capacity"),
            sa.func.sum(storage_pool.c.used).label("used"),
            sa.func.sum(storage_pool.c.capacity * storage_pool.c.overprovision).label("promised"),
            sa.func.sum(storage_pool.c.allocated).label("allocated"),
        )
        .where(storage_pool.c.removed.is_(None), *scope.conditions(storage_pool))
        .group_by(place, local)
    )
    found: list[Room] = []
    for row in rows:
        if row.local:
            found.append(Room(LOCAL, row.place, int(row.promised), int(row.allocated)))
        else:
            found.append(Room(STORAGE, row.place, int(row.capacity), int(row.used)))
            found.append(Room(STORAGE_ALLOCATED, row.place, int(row.promised), int(row.allocated)))
    return found


def _addresses(db: Connection, scope: Scope) -> list[Room]:
    if scope.level != ZONE or scope.tag:
        return []
    taken = sa.func.sum(sa.case((public_address.c.state != "Free", 1), else_=0)).label("used")
    statement = (
        sa.select(
            public_address.c.zone_id.label("place"),
            ip_range.c.for_virtual_network.label("shared"),
            sa.func.count().label("total"),
            taken,
        )
        .select_from(public_address.join(ip_range, ip_range.c.id == public_address.c.range_id))
        .where(ip_range.c.removed.is_(None))
        .group_by(public_address.c.zone_id, ip_range.c.for_virtual_network)
    )
    if scope.place is not None:
        statement = statement.where(public_address.c.zone_id == scope.place)
    return [
        Room(PUBLIC_IP if row.shared else DIRECT_IP, row.place, int(row.total), int(row.used))
        for row in db.execute(statement)
    ]


def _private(db: Connection, scope: Scope) -> list[Room]:
    """Return the management addresses of pods: nothing takes any here, for there are no system machines."""
    if scope.level == CLUSTER or scope.tag:
        return []
    place = pod.c.zone_id if scope.level == ZONE else pod.c.id
    statement = (
        sa.select(place.label("place"), management_range.c.start_ip, management_range.c.end_ip)
        .join(pod, pod.c.id == management_range.c.pod_id)
        .where(pod.c.removed.is_(None))
    )
    if scope.place is not None:
        statement = statement.where(place == scope.place)
    totals: dict[int, int] = {}
    for row in db.execute(statement):
        size = int(ipaddress.ip_address(row.end_ip)) - int(ipaddress.ip_address(row.start_ip)) + 1
        totals[row.place] = totals.get(row.place, 0) + size
    return [Room(PRIVATE_IP, place_id, total, 0) for place_id, total in totals.items()]


def _vlans(db: Connection, scope: Scope) -> list[Room]:
    if scope.level != ZONE or scope.tag:
        return []
    wires = sa.select(physical_network.c.id, physical_network.c.zone_id, physical_network.c.tag_ranges).where(
        physical_network.c.removed.is_(None), physical_network.c.tag_ranges != ""
    )
    if scope.place is not None:
        wires = wires.where(physical_network.c.zone_id == scope.place)
    found = {row.id: (row.zone_id, _spans(row.tag_ranges)) for row in db.execute(wires)}
    totals: dict[int, int] = {}
    for zone_id, spans in found.values():
        totals[zone_id] = totals.get(zone_id, 0) + sum(high - low + 1 for low, high in spans)
    taken: dict[int, int] = {}
    c = segment_tag.c
    of_these = c.physical_network_id.in_(wires.with_only_columns(physical_network.c.id))
    for network_id, tag in db.execute(sa.select(c.physical_network_id, c.tag).where(of_these)):
        zone_id, spans = found[network_id]
        if within(spans, tag):  # others were chosen by an admin from outside of the ranges
            taken[zone_id] = taken.get(zone_id, 0) + 1
    return [Room(VLAN, zone_id, total, taken.get(zone_id, 0)) for zone_id, total in totals.items()]


def _spans(text: str) -> list[tuple[int, int]]:
    """Return the ranges of a text such as 100-200,300."""
    pieces = (part.strip().partition("-") for part in text.split(","))
    return [(int(first), int(last or first)) for first, _, last in pieces]


def _images(db: Connection, scope: Scope) -> list[Room]:
    """Return the folders of image stores; of stores that this server does not hold itself nothing is known."""
    if scope.level != ZONE or scope.tag:
        return []
    statement = sa.select(image_store).where(
        image_store.c.removed.is_(None), image_store.c.protocol == stores.DIRECTORY, image_store.c.zone_id.is_not(None)
    )
    if scope.place is not None:
        statement = statement.where(image_store.c.zone_id == scope.place)
    found: dict[int, tuple[int, int]] = {}
    for row in db.execute(statement):
        try:
            state = os.statvfs(stores.folder(row))
        except OSError as error:
            log.warning("the folder of an image store cannot be looked at", store=row.name, why=str(error))
            continue
        total, used = found.get(row.zone_id, (0, 0))
        size = state.f_blocks * state.f_frsize
        found[row.zone_id] = total + size, used + size - state.f_bavail * state.f_frsize
    return [Room(SECONDARY, zone_id, total, used) for zone_id, (total, used) in found.items()]


_LOADERS: tuple[tuple[frozenset[int], Callable[[Connection, Scope], list[Room]]], ...] = (
    (frozenset({MEMORY, CPU, CORES}), _hosts),
    (frozenset({STORAGE, STORAGE_ALLOCATED, LOCAL}), _pools),
    (frozenset({PUBLIC_IP, DIRECT_IP}), _addresses),
    (frozenset({PRIVATE_IP}), _private),
    (frozenset({VLAN}), _vlans),
    (frozenset({SECONDARY}), _images),
)
