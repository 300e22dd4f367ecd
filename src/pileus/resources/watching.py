"""Alerts of capacity: told when more of something is taken than a setting says, once until it is put away."""

from __future__ import annotations

import time

import sqlalchemy as sa

from pileus.core import events
from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.core.settings import Setting, declare
from pileus.infrastructure.tables import cluster, zone
from pileus.resources import capacities
from pileus.resources.capacities import CLUSTER, ZONE, Room, Scope

_EVERY = 5.0
PERIOD_MS = declare(
    "capacity.check.period", int, 300_000, "milliseconds between the looks at how much is taken", minimum=1000
)


def _threshold(name: str, what: str, scopes: tuple[str, ...]) -> Setting[float]:
    text = f"share of {what} (0 to 1) that may be taken before operators are alerted"
    return declare(name, float, 0.75, text, scopes=scopes, minimum=0, maximum=1)


_IN_CLUSTER = ("global", "cluster")
BY_CLUSTER = {
    capacities.MEMORY: (
        _threshold("cluster.memory.allocated.capacity.notificationthreshold", "a cluster's memory", _IN_CLUSTER),
        "ALERT.MEMORY",
    ),
    capacities.CPU: (
        _threshold("cluster.cpu.allocated.capacity.notificationthreshold", "a cluster's CPU", _IN_CLUSTER),
        "ALERT.CPU",
    ),
    capacities.STORAGE: (
        _threshold("cluster.storage.capacity.notificationthreshold", "a cluster's storage, in use", _IN_CLUSTER),
        "ALERT.STORAGE",
    ),
    capacities.STORAGE_ALLOCATED: (
        _threshold("cluster.storage.allocated.capacity.notificationthreshold", "its storage, promised", _IN_CLUSTER),
        "ALERT.STORAGE.ALLOCATED",
    ),
    capacities.LOCAL: (
        _threshold("cluster.localStorage.capacity.notificationthreshold", "a cluster's local storage", ("global",)),
        "ALERT.STORAGE.LOCAL",
    ),
}
BY_ZONE = {
    capacities.PUBLIC_IP: (
        _threshold(
            "zone.virtualnetwork.publicip.capacity.notificationthreshold", "a zone's public addresses", ("global",)
        ),
        "ALERT.PUBLIC.IP",
    ),
    capacities.VLAN: (
        _threshold("zone.vlan.capacity.notificationthreshold", "a zone's tags of guest networks", ("global",)),
        "ALERT.NETWORK.VLAN",
    ),
    capacities.SECONDARY: (
        _threshold("zone.secstorage.capacity.notificationthreshold", "a zone's image stores", ("global",)),
        "ALERT.SECONDARY.STORAGE",
    ),
}


@periodic("capacity.check", every=_EVERY)
def check_capacity(services: Services) -> None:
    """Look at all clusters and zones when the period is over."""
    last = services.plugins.get("resources.capacity.checked", 0.0)
    if time.monotonic() - last < services.settings.get(PERIOD_MS) / 1000:
        return
    services.plugins["resources.capacity.checked"] = time.monotonic()
    found: list[tuple[str, str, str, int]] = []
    with services.database.read() as db:
        for level, watched in ((CLUSTER, BY_CLUSTER), (ZONE, BY_ZONE)):
            table = cluster if level == CLUSTER else zone
            names = {row.id: row for row in db.execute(sa.select(table).where(table.c.removed.is_(None)))}
            for room in capacities.of(db, Scope(level), frozenset(watched)):
                setting, type_ = watched[room.type]
                limit = services.settings.get(setting, (level.removesuffix("_id"), room.place))
                if room.place in names and room.total and room.used / room.total > limit:
                    label = level.removesuffix("_id")
                    found.append((type_, _text(room, label, names[room.place].name, limit), level, room.place))
    if found:
        with services.database.write() as db:
            for type_, text, level, place in found:
                zone_id, cluster_id = (place, None) if level == ZONE else (None, place)
                events.alert(db, type_, text, zone_id=zone_id, cluster_id=cluster_id)


def _text(room: Room, level: str, name: str, limit: float) -> str:
    what = capacities.NAMES[room.type].replace("_", " ").lower()
    return f"More than {limit:.0%} of {what} of {level} {name} is taken; add some, or move or delete what takes it"
