"""What clients see of hosts: place, states and capacity (CloudStack's units: MHz, bytes, texts with a % sign)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.core.statements import Listing
from pileus.infrastructure import access_groups, host_servers, tables
from pileus.infrastructure.capacity import MIB, percent
from pileus.infrastructure.model import SIMULATOR, unpack_tags

GROUPS = ("all", "capacity", "events", "stats", "min")
"""What listHosts' parameter ``details`` can ask for."""


def hosts(
    db: Connection, rows: Sequence[Row[Any]], *, admin: bool, groups: frozenset[str] = frozenset({"all"})
) -> list[dict[str, Any]]:
    """Return hosts with the asked-for groups of fields."""
    zones = related(db, tables.zone, (row.zone_id for row in rows))
    pods = related(db, tables.pod, (row.pod_id for row in rows))
    clusters = related(db, tables.cluster, (row.cluster_id for row in rows))
    servers = host_servers.fields(db, rows)
    categories = _categories(db, rows)
    local = _with_local_storage(db, rows)
    found: list[dict[str, Any]] = []
    for row in rows:
        cluster, tags = clusters[row.cluster_id], row.tag_rule or unpack_tags(row.tags)
        view: dict[str, Any] = {
            "id": row.uuid,
            "name": row.name,
            "state": row.state,
            "resourcestate": row.resource_state,
            "type": "Routing",
            "zoneid": zones[row.zone_id].uuid,
            "zonename": zones[row.zone_id].name,
            "podid": pods[row.pod_id].uuid,
            "podname": pods[row.pod_id].name,
            "clusterid": cluster.uuid,
            "clustername": cluster.name,
            "clustertype": cluster.cluster_type,
            "hypervisor": row.hypervisor,
            "hypervisorversion": row.hypervisor_version,
            "ipaddress": row.address or None,
            "version": row.facts.get("version") or None,
            "arch": row.facts.get("architecture", "x86_64"),
            "created": date(row.created),
            "disconnected": date(row.disconnected),
            "lastpinged": date(row.last_report or (database.now() if _simulated_up(row) else None)),
            "hahost": False,
            "username": row.username,
            "hosttags": tags,
            "explicithosttags": tags,
            "istagarule": row.tag_rule is not None,
            "islocalstorageactive": row.id in local,
            "encryptionsupported": False,
            "instanceconversionsupported": False,
            "ueficapability": False,
            "capabilities": "hvm",
            "cpusockets": row.facts.get("cpu_sockets") or None,
            "cpunumber": row.cpus,
            "cpuspeed": row.cpu_mhz,
            "memorytotal": row.memory_mib * MIB,
            **access_groups.fields(row, cluster=cluster, pod=pods[row.pod_id], zone=zones[row.zone_id]),
            **servers.get(row.id, {}),
            **categories.get(row.os_category_id, {}),
        }
        if groups & {"all", "capacity"}:
            view |= _capacity(row, cluster)
        if groups & {"all", "stats"}:
            view |= _stats(row)
        if groups & {"all", "min"}:
            view["details"] = _details(row)
        found.append(view)
    return found


def _categories(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[str, str]]:
    """Return the fields of the OS categories that the hosts are preferred for, by category."""
    category = database.metadata.tables["os_category"]  # a later slice's
    named = related(db, category, (row.os_category_id for row in rows))
    return {id_: {"oscategoryid": row.uuid, "oscategoryname": row.name} for id_, row in named.items()}


def _with_local_storage(db: Connection, rows: Sequence[Row[Any]]) -> frozenset[int]:
    """Return the hosts that have storage of their own which is up."""
    return frozenset(_local_pools()(db, {"hosts": [row.id for row in rows]}).scalars())


@cache
def _local_pools() -> Listing:
    pool = database.metadata.tables["storage_pool"]  # a later slice's
    return Listing(
        lambda among: sa.select(pool.c.host_id).where(
            among(pool.c.host_id, "hosts"), pool.c.state == "Up", pool.c.removed.is_(None)
        )
    )


def _capacity(row: Row[Any], cluster: Row[Any]) -> dict[str, Any]:
    cpu = row.cpus * row.cpu_mhz
    cpu_over = cpu * cluster.cpu_overcommit
    memory_over = row.memory_mib * cluster.memory_overcommit
    return {
        "cpuwithoverprovisioning": f"{cpu_over:.0f}",
        "cpuallocatedvalue": row.used_cpu_mhz,
        "cpuallocated": percent(row.used_cpu_mhz, cpu) + "%",
        "cpuallocatedpercentage": percent(row.used_cpu_mhz, cpu) + "%",
        "cpuallocatedwithoverprovisioning": percent(row.used_cpu_mhz, cpu_over) + "%",
        "memorywithoverprovisioning": f"{memory_over * MIB:.0f}",
        "memoryallocated": row.used_memory_mib * MIB,
        "memoryallocatedbytes": row.used_memory_mib * MIB,
        "memoryallocatedpercentage": percent(row.used_memory_mib, memory_over) + "%",
    }


def _simulated_up(row: Row[Any]) -> bool:
    return row.hypervisor == SIMULATOR and row.state == "Up"


def _stats(row: Row[Any]) -> dict[str, Any]:
    """Return what the host uses: as measured, or of a simulated one the memory of its machines and nothing else."""
    found: dict[str, Any] = {}
    if _simulated_up(row):
        found = {"cpuloadaverage": 0.0, "cpuused": "0.00%", "networkkbsread": 0, "networkkbswrite": 0}
        found["memoryused"] = row.used_memory_mib * MIB
    if row.load is not None:
        used = row.really_used_memory_mib
        found |= {"cpuloadaverage": row.load, "memoryused": None if used is None else used * MIB}
    if row.cpu_percent is not None:
        found |= {
            "cpuused": f"{row.cpu_percent:.2f}%",
            "networkkbsread": row.received_kib,
            "networkkbswrite": row.sent_kib,
        }
    return found


def _details(row: Row[Any]) -> dict[str, str] | None:
    """Return what the agent found out about its host, as texts."""
    found = {
        "accelerator": row.accelerator,
        "cpumodel": row.facts.get("cpu_model", ""),
        "isolation": ",".join(row.facts.get("isolation", [])),
        "tunneladdress": row.tunnel_address,
    }
    return {name: value for name, value in found.items() if value} or None
