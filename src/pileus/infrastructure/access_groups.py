"""Storage access groups: words on zones, pods, clusters and hosts that say which primary storage a host reaches.

Storage that has groups is reached only by hosts with one of them, be it their own or their cluster's, pod's or zone's;
storage without groups is reached by all hosts within its scope.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core.errors import InvalidParameter
from pileus.infrastructure.model import pack_tags, unpack_tags
from pileus.infrastructure.tables import cluster, host, pod, zone

PARAMETER = "storageaccessgroups"
WITH_PLACES = (
    sa.select(
        host.c.id,
        host.c.access_groups,
        cluster.c.access_groups.label("of_cluster"),
        pod.c.access_groups.label("of_pod"),
        zone.c.access_groups.label("of_zone"),
    )
    .select_from(
        host.join(cluster, cluster.c.id == host.c.cluster_id)
        .join(pod, pod.c.id == host.c.pod_id)
        .join(zone, zone.c.id == host.c.zone_id)
    )
    .where(host.c.removed.is_(None))
)
"""Live hosts with their groups and those of what they are in."""


def pack(groups: list[str] | str | None) -> str:
    """Return groups as they are stored."""
    return pack_tags(PARAMETER, groups)


def split(stored: str) -> frozenset[str]:
    """Return stored groups as a set."""
    return frozenset(filter(None, stored.split(",")))


def effective(row: Any) -> frozenset[str]:
    """Return the groups that a host has (a row of ``WITH_PLACES``)."""
    if not (row.access_groups or row.of_cluster or row.of_pod or row.of_zone):
        return frozenset()
    return split(row.access_groups + row.of_cluster + row.of_pod + row.of_zone)


def of_host(db: Connection, host_id: int) -> frozenset[str]:
    """Return the groups that one host has."""
    return effective(db.execute(WITH_PLACES.where(host.c.id == host_id)).one())


def carries(column: ColumnElement[str], group: str) -> ColumnElement[bool]:
    """Return the condition for objects that have a group of their own."""
    name = group.strip()
    if not name or "," in name:
        raise InvalidParameter("parameter storageaccessgroup must be the name of one group")
    return column.contains(f",{name},", autoescape=True)


def fields(row: Row[Any], **wider: Row[Any]) -> dict[str, str | None]:
    """Return what clients see of an object's groups, and of those of the wider places that it is in."""
    found = {PARAMETER: unpack_tags(row.access_groups)}
    return found | {f"{kind}{PARAMETER}": unpack_tags(place.access_groups) for kind, place in wider.items()}
