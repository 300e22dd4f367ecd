"""Numbers of hosts, clusters, zones, pools, machines and volumes: added up in the database, once a page.

CloudStack's texts: "12.50 GHz", "3.25 GB" (binary), "42.00%", "2 / 3" (up or running of all).  What an agent has not
measured yet is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.compute.tables import machine
from pileus.core.settings import Settings
from pileus.infrastructure.capacity import MIB
from pileus.infrastructure.model import SIMULATOR
from pileus.infrastructure.tables import cluster, host
from pileus.network.tables import router
from pileus.resources import capacities
from pileus.resources.watching import BY_CLUSTER

GIB = 1024**3

CPU_THRESHOLD, MEMORY_THRESHOLD, POOL_THRESHOLD, POOL_ALLOCATED_THRESHOLD = (
    BY_CLUSTER[kind][0]
    for kind in (capacities.CPU, capacities.MEMORY, capacities.STORAGE, capacities.STORAGE_ALLOCATED)
)


def gigahertz(mhz: float) -> str:
    """Return "12.50 GHz"."""
    return f"{mhz / 1000:.2f} GHz"


def gigabytes(count: float) -> str:
    """Return bytes as "3.25 GB" (of 1024³)."""
    return f"{count / GIB:.2f} GB"


def _gigabytes_of_kib(count: int | None) -> str | None:
    return None if count is None else gigabytes(count * 1024)


def _megabytes_of_kib(count: int | None) -> str | None:
    return None if count is None else f"{count / 1024:.2f} MB"


def percent(part: float, whole: float) -> str:
    """Return "42.00%"."""
    return f"{100 * part / whole if whole else 0:.2f}%"


def _counts(db: Connection, column: ColumnElement[Any], chosen: ColumnElement[bool], live: Any) -> dict[Any, str]:
    """Return "live / all" rows by the column's value."""
    good = sa.func.sum(sa.case((live, 1), else_=0))
    statement = sa.select(column.label("of"), sa.func.count().label("count"), good.label("good"))
    return {row.of: f"{row.good} / {row.count}" for row in db.execute(statement.where(chosen).group_by(column))}


def hosts(db: Connection, settings: Settings, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return for each host its totals, what is promised and in use, and how many machines and routers it has."""
    ids = [row.id for row in rows]
    machines = _counts(
        db,
        machine.c.host_id,
        sa.and_(machine.c.host_id.in_(ids), machine.c.removed.is_(None)),
        machine.c.state == "Running",
    )
    routers = _counts(
        db,
        router.c.host_id,
        sa.and_(router.c.host_id.in_(ids), router.c.removed.is_(None)),
        router.c.state == "Running",
    )
    found: list[dict[str, Any]] = []
    for row in rows:
        simulated = row.hypervisor == SIMULATOR
        used = row.used_memory_mib if simulated and row.really_used_memory_mib is None else row.really_used_memory_mib
        busy = 0.0 if simulated and row.cpu_percent is None else row.cpu_percent
        cpu, scope = row.cpus * row.cpu_mhz, ("cluster", row.cluster_id)
        memory_limit = settings.get(MEMORY_THRESHOLD, scope)
        found.append(
            {
                "cputotalghz": gigahertz(cpu),
                "cpuusedghz": None if busy is None else gigahertz(cpu * busy / 100),
                "cputhreshold": None if busy is None else busy / 100 > settings.get(CPU_THRESHOLD, scope),
                "networkread": _gigabytes_of_kib(row.received_kib or (0 if simulated else None)),
                "networkwrite": _gigabytes_of_kib(row.sent_kib or (0 if simulated else None)),
                "cpuallocatedghz": gigahertz(row.used_cpu_mhz),
                "cpuallocatedthreshold": row.used_cpu_mhz > cpu * settings.get(CPU_THRESHOLD, scope),
                "memorytotalgb": gigabytes(row.memory_mib * MIB),
                "memoryallocatedgb": gigabytes(row.used_memory_mib * MIB),
                "memoryallocatedthreshold": row.used_memory_mib > row.memory_mib * memory_limit,
                "memoryusedgb": None if used is None else gigabytes(used * MIB),
                "memorythreshold": None if used is None else used > row.memory_mib * memory_limit,
                "instances": machines.get(row.id, "0 / 0"),
                "systeminstances": routers.get(row.id, "0 / 0"),
                "powerstate": "Disabled",  # no power management is set up
            }
        )
    return found


_SIMULATED = host.c.hypervisor == SIMULATOR
_MEMORY: Any = sa.func.coalesce(host.c.really_used_memory_mib, sa.case((_SIMULATED, host.c.used_memory_mib)))
_BUSY: Any = sa.func.coalesce(host.c.cpu_percent, sa.case((_SIMULATED, 0.0)))
_SUMS = (
    sa.func.count().label("count"),
    sa.func.sum(sa.case((host.c.state == "Up", 1), else_=0)).label("up"),
    sa.func.sum(host.c.cpus * host.c.cpu_mhz).label("cpu"),
    sa.func.sum(host.c.used_cpu_mhz).label("cpu_used"),
    sa.func.sum(host.c.memory_mib).label("memory"),
    sa.func.sum(host.c.used_memory_mib).label("memory_used"),
    sa.func.sum(_MEMORY).label("really"),
    sa.func.sum(sa.case((_MEMORY.is_not(None), host.c.memory_mib), else_=0)).label("reporting"),
    sa.func.max(_MEMORY).label("highest"),
    sa.func.avg(_MEMORY).label("mean"),
    sa.func.sum(host.c.cpus * host.c.cpu_mhz * _BUSY).label("busy"),
    sa.func.sum(sa.case((_BUSY.is_not(None), host.c.cpus * host.c.cpu_mhz), else_=0)).label("measured"),
    sa.func.max(_BUSY).label("busiest"),
    sa.func.avg(_BUSY).label("busy_mean"),
)


def _places(
    db: Connection, settings: Settings, column: ColumnElement[Any], ids: Sequence[int], scope: str
) -> dict[int, tuple[Row[Any] | None, dict[str, Any]]]:
    """Return for each zone or cluster the sums of its hosts and the fields that both have."""
    statement = sa.select(column.label("place"), *_SUMS).where(column.in_(ids), host.c.removed.is_(None))
    sums: dict[int, Any] = {row.place: row for row in db.execute(statement.group_by(column))}
    found: dict[int, tuple[Row[Any] | None, dict[str, Any]]] = {}
    for id_ in ids:
        row = sums.get(id_)
        cpu, memory = (int(row.cpu), int(row.memory)) if row is not None else (0, 0)
        cpu_used, memory_used = (int(row.cpu_used), int(row.memory_used)) if row is not None else (0, 0)
        at = ((scope, id_),) if scope == "cluster" else ()
        view: dict[str, Any] = {
            "cputotal": gigahertz(cpu),
            "cpuallocated": percent(cpu_used, cpu),
            "cpuallocatedthreshold": cpu_used > cpu * settings.get(CPU_THRESHOLD, *at),
            "memorytotal": gigabytes(memory * MIB),
            "memoryallocated": percent(memory_used, memory),
            "memoryallocatedthreshold": memory_used > memory * settings.get(MEMORY_THRESHOLD, *at),
        }
        if row is not None and row.really is not None:
            mean = float(row.mean)
            view |= {
                "memoryused": percent(int(row.really), int(row.reporting)),
                "memorythreshold": int(row.really) > int(row.reporting) * settings.get(MEMORY_THRESHOLD, *at),
                "memorymaxdeviation": percent(row.highest - mean, mean),
            }
        if row is not None and row.busy is not None and row.measured:
            busy, mean = float(row.busy) / int(row.measured), float(row.busy_mean)
            view |= {
                "cpuused": f"{busy:.2f}%",
                "cputhreshold": busy / 100 > settings.get(CPU_THRESHOLD, *at),
                "cpumaxdeviation": percent(float(row.busiest) - mean, mean),
            }
        found[id_] = (row, view)
    return found


def clusters(db: Connection, settings: Settings, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return for each cluster the sums of its hosts."""
    sums = _places(db, settings, host.c.cluster_id, [row.id for row in rows], "cluster")
    found: list[dict[str, Any]] = []
    for row in rows:
        of_hosts, view = sums[row.id]
        count = f"{of_hosts.up} / {of_hosts.count}" if of_hosts is not None else "0 / 0"
        enabled = row.allocation_state == "Enabled" and row.managed_state == "Managed"
        found.append(view | {"hosts": count, "state": "Enabled" if enabled else "Disabled"})
    return found


def zones(db: Connection, settings: Settings, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return for each zone the sums of its hosts, and how many of its clusters are enabled."""
    ids = [row.id for row in rows]
    sums = _places(db, settings, host.c.zone_id, ids, "zone")
    enabled = sa.and_(cluster.c.allocation_state == "Enabled", cluster.c.managed_state == "Managed")
    within = sa.and_(cluster.c.zone_id.in_(ids), cluster.c.removed.is_(None))
    counts = _counts(db, cluster.c.zone_id, within, enabled)
    return [sums[row.id][1] | {"clusters": counts.get(row.id, "0 / 0"), "state": row.allocation_state} for row in rows]


def pools(settings: Settings, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return for each pool its sizes as texts, and whether it is fuller than the settings want."""
    found: list[dict[str, Any]] = []
    for row in rows:
        scope = (("cluster", row.cluster_id),) if row.cluster_id is not None else ()
        limit = row.capacity * row.overprovision
        found.append(
            {
                "disksizetotalgb": gigabytes(row.capacity),
                "disksizeusedgb": gigabytes(row.used or 0),
                "disksizeallocatedgb": gigabytes(row.allocated),
                "disksizeunallocatedgb": gigabytes(max(0, limit - row.allocated)),
                "storageusagethreshold": (row.used or 0) > row.capacity * settings.get(POOL_THRESHOLD, *scope),
                "storageallocatedthreshold": row.allocated > limit * settings.get(POOL_ALLOCATED_THRESHOLD, *scope),
            }
        )
    return found


def machines(rows: Sequence[Row[Any]], views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each machine what it was promised, and as texts what it moved."""
    return [
        {
            "cputotal": gigahertz(row.cpus * row.cpu_mhz),
            "memorytotal": gigabytes(row.memory_mib * MIB),
            "networkread": _megabytes_of_kib(view.get("networkkbsread")),
            "networkwrite": _megabytes_of_kib(view.get("networkkbswrite")),
            "diskread": _megabytes_of_kib(view.get("diskkbsread")),
            "diskwrite": _megabytes_of_kib(view.get("diskkbswrite")),
            **_operations(view),
        }
        for row, view in zip(rows, views, strict=True)
    ]


def volumes(rows: Sequence[Row[Any]], views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each volume its size as text, and how many operations there were."""
    return [{"sizegb": gigabytes(row.size), **_operations(view)} for row, view in zip(rows, views, strict=True)]


def _operations(view: dict[str, Any]) -> dict[str, int]:
    return {"diskiopstotal": view["diskioread"] + view["diskiowrite"]} if "diskioread" in view else {}
