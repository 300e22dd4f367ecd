"""Capacity of zones, pods and clusters: what their hosts have and what machines hold of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from pileus.infrastructure.tables import cluster, host

MEMORY, CPU = 0, 1  # CloudStack's numbers of capacity types
MIB = 1024 * 1024


def of(db: Connection, column: ColumnElement[Any], ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Return memory (bytes) and CPU (MHz) by zone, pod or cluster: ``column`` of the host table says which.

    Totals count overcommit, as placing machines does; hosts that are disabled count too.
    """
    statement = (
        sa.select(
            column.label("place"),
            sa.func.sum(host.c.memory_mib * cluster.c.memory_overcommit).label("memory"),
            sa.func.sum(host.c.used_memory_mib).label("memory_used"),
            sa.func.sum(host.c.cpus * host.c.cpu_mhz * cluster.c.cpu_overcommit).label("cpu"),
            sa.func.sum(host.c.used_cpu_mhz).label("cpu_used"),
        )
        .select_from(host.join(cluster, cluster.c.id == host.c.cluster_id))
        .where(column.in_(ids), host.c.removed.is_(None))
        .group_by(column)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in db.execute(statement):
        found[row.place] = [
            _entry(MEMORY, "MEMORY", int(row.memory) * MIB, int(row.memory_used) * MIB),
            _entry(CPU, "CPU", int(row.cpu), int(row.cpu_used)),
        ]
    return found


def _entry(kind: int, name: str, total: int, used: int) -> dict[str, Any]:
    return {
        "type": kind,
        "name": name,
        "capacitytotal": total,
        "capacityused": used,
        "capacityallocated": used,
        "percentused": percent(used, total, digits=2),
    }


def percent(part: float, whole: float, *, digits: int = 2) -> str:
    """Return a share as text without the sign: "12.5"."""
    return f"{100 * part / whole if whole else 0:.{digits}f}".rstrip("0").rstrip(".")
