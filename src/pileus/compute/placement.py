"""Placing machines: a cached snapshot for the plan, and the truth in guarded updates of host and pool rows."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute.tables import machine
from pileus.core import database
from pileus.core.jobs.prepared import Prepared, id_list, in_list
from pileus.infrastructure import access_groups, dedication
from pileus.infrastructure.tables import cluster, host, hypervisor_limit, pod, zone
from pileus.scheduling.filters import cpu, memory
from pileus.scheduling.model import Host, Place, Pool, Refusal, Request, Snapshot, unpack_tags
from pileus.scheduling.planner import fit, plan
from pileus.storage.tables import storage_pool

LEAST_AGE = 0.2
_SHARE = 20
"""A snapshot is used so many times longer than it took to load, at least LEAST_AGE seconds: a large cloud's costs no
more than a twentieth of a core."""

_ENABLED = "Enabled"

T = TypeVar("T")
Needs = dict[int, tuple[int, int]]
"""Pool -> bytes and IOPS."""

_take_host = Prepared(
    "UPDATE host SET used_cpu_mhz = used_cpu_mhz + :cpu, used_memory_mib = used_memory_mib + :memory"
    " WHERE id = :host AND state = 'Up' AND resource_state = 'Enabled' AND removed IS NULL"
    " AND used_cpu_mhz + :cpu <= cpus * cpu_mhz * (SELECT cpu_overcommit FROM cluster WHERE id = host.cluster_id)"
    " AND used_memory_mib + :memory <= memory_mib * (SELECT memory_overcommit FROM cluster WHERE id = host.cluster_id)"
)
_give_host = Prepared(
    "UPDATE host SET used_cpu_mhz = used_cpu_mhz - :cpu, used_memory_mib = used_memory_mib - :memory WHERE id = :host"
)
_take_pool = Prepared(
    "UPDATE storage_pool SET allocated = allocated + :size, allocated_iops = allocated_iops + :iops"
    " WHERE id = :pool AND state = 'Up' AND removed IS NULL AND allocated + :size <= capacity * overprovision"
    " AND (:iops = 0 OR capacity_iops IS NULL OR allocated_iops + :iops <= capacity_iops)"
)
_give_pool = Prepared(
    "UPDATE storage_pool SET allocated = allocated - :size, allocated_iops = allocated_iops - :iops WHERE id = :pool"
)


_guarded = in_list("SELECT access_groups FROM storage_pool WHERE access_groups <> '' AND id IN_LIST(:pools)IN_END")


class Reserved(msgspec.Struct, frozen=True):
    """A place that is taken: host with its pod and cluster, and the pool of each disk of the request."""

    host_id: int
    pod_id: int
    cluster_id: int
    pool_ids: tuple[int, ...]


class Placement:
    """The places of one database, as this process knows them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._until = 0.0

    def reserve(self, db: Connection, request: Request, use: Callable[[Reserved], T]) -> T | Refusal:
        """Take room for a machine in this transaction, or say why there is none (by the newest state of things).

        ``use`` writes what depends on the place.  It comes first, and is taken back where others were faster: the
        rows of host and pool, for which all deployments queue, are held from the last moment on.
        """
        fresh = False
        while True:
            with self._lock:
                fresh = self._refresh(db, force=False) or fresh
                snapshot = self._snapshot
                assert snapshot is not None  # noqa: S101 (refreshed above)
                planned = plan(snapshot, request)
                if isinstance(planned, Refusal):
                    if fresh:
                        return planned
                    fresh = self._refresh(db, force=True)
                    continue
                place = planned.places[0]
                needs = _needs(request, place)
                _count(snapshot, place, request, needs)
            savepoint = database.Savepoint(db)
            used = use(_reserved(snapshot, place))
            if self._take(db, snapshot, place, request, needs):
                savepoint.release()
                return used
            savepoint.roll_back()
            # Others were faster: what they took is marked as full, so the next plan has less left.

    def _refresh(self, db: Connection, *, force: bool) -> bool:
        """Load a snapshot when the one we have is too old; tell whether it was loaded just now."""
        begun = time.monotonic()
        if self._snapshot is not None and begun < self._until and not force:
            return False
        self._snapshot = load(db)
        took = time.monotonic() - begun
        self._until = begun + took + max(LEAST_AGE, _SHARE * took)
        return True

    def _take(self, db: Connection, snapshot: Snapshot, place: Place, request: Request, needs: Needs) -> bool:
        """Take a place by guarded updates; what is not free is marked as full in the snapshot."""
        target = snapshot.hosts[place.host_id]
        if not take_host(db, place.host_id, request.cpu, request.memory):
            target.used_memory = target.memory_limit  # full, or no longer up: not again from this snapshot
            return False
        if target.most_guests is not None and _guests(db, target.id) > target.most_guests:
            # Counted after the host's row is ours: whoever placed a machine before has committed it.
            target.guests = target.most_guests
            return False
        if not _let_in(db, place):
            target.used_memory = target.memory_limit
            return False
        for pool_id, (size, iops) in sorted(needs.items()):
            if not take_pool(db, pool_id, size, iops):
                pool = snapshot.pools[pool_id]
                pool.allocated = pool.limit
                return False
        return True


def _needs(request: Request, place: Place) -> Needs:
    """Return what the request takes of each pool."""
    needs: Needs = {}
    for disk, pool_id in zip(request.disks, place.pool_ids, strict=True):
        if disk.pool_id is None:
            size, iops = needs.get(pool_id, (0, 0))
            needs[pool_id] = (size + disk.size, iops + disk.iops)
    return needs


def _count(snapshot: Snapshot, place: Place, request: Request, needs: Needs) -> None:
    """Count a place as taken, for those who plan by the same snapshot."""
    target = snapshot.hosts[place.host_id]
    target.used_cpu += request.cpu
    target.used_memory += request.memory
    target.guests += 1
    for pool_id, (size, iops) in needs.items():
        snapshot.pools[pool_id].allocated += size
        snapshot.pools[pool_id].allocated_iops += iops


def _let_in(db: Connection, place: Place) -> bool:
    """Tell whether the pools let the host in by now: their groups may have changed since the snapshot was loaded."""
    guarded: Sequence[Any] = _guarded(db, pools=id_list(db, place.pool_ids)).all() if place.pool_ids else ()
    if not guarded:
        return True
    own = access_groups.of_host(db, place.host_id)
    return all(not access_groups.split(row[0]).isdisjoint(own) for row in guarded)


def _reserved(snapshot: Snapshot, place: Place) -> Reserved:
    found = snapshot.hosts[place.host_id]
    return Reserved(found.id, found.pod_id, found.cluster_id, place.pool_ids)


_placements: weakref.WeakKeyDictionary[Any, Placement] = weakref.WeakKeyDictionary()


def of(db: Connection) -> Placement:
    """Return the placement of the connection's database."""
    found = _placements.get(db.engine)
    if found is None:
        found = _placements.setdefault(db.engine, Placement())
    return found


def take_host(db: Connection, host_id: int, cpu: int, memory: int) -> bool:
    """Take MHz and MiB of a host that is up, where it has them; tell whether it had."""
    return _take_host(db, host=host_id, cpu=cpu, memory=memory).rowcount == 1


def give_host(db: Connection, host_id: int, cpu: int, memory: int) -> None:
    """Give MHz and MiB of a host back."""
    _give_host(db, host=host_id, cpu=cpu, memory=memory)


def take_pool(db: Connection, pool_id: int, size: int, iops: int = 0) -> bool:
    """Take bytes and IOPS of a pool, where it has them; tell whether it had."""
    return _take_pool(db, pool=pool_id, size=size, iops=iops).rowcount == 1


def give_pool(db: Connection, pool_id: int, size: int, iops: int = 0) -> None:
    """Give bytes and IOPS of a pool back."""
    _give_pool(db, pool=pool_id, size=size, iops=iops)


_HOSTS = (
    sa.select(
        host.c.id,
        host.c.name,
        host.c.zone_id,
        host.c.pod_id,
        host.c.cluster_id,
        host.c.hypervisor,
        host.c.state,
        host.c.resource_state,
        host.c.cpus,
        host.c.cpu_mhz,
        host.c.limits_cpu,
        host.c.memory_mib,
        host.c.used_cpu_mhz,
        host.c.used_memory_mib,
        host.c.tags,
        host.c.tag_rule,
        host.c.os_category_id,
        host.c.access_groups,
        cluster.c.access_groups.label("of_cluster"),
        pod.c.access_groups.label("of_pod"),
        zone.c.access_groups.label("of_zone"),
        cluster.c.cpu_overcommit,
        cluster.c.memory_overcommit,
        sa.and_(cluster.c.allocation_state == _ENABLED, pod.c.allocation_state == _ENABLED).label("enabled"),
    )
    .select_from(
        host.join(cluster, cluster.c.id == host.c.cluster_id)
        .join(pod, pod.c.id == host.c.pod_id)
        .join(zone, zone.c.id == host.c.zone_id)
    )
    .where(host.c.removed.is_(None))
)
_POOLS = sa.select(storage_pool).where(storage_pool.c.removed.is_(None))


def candidates(db: Connection, request: Request) -> tuple[frozenset[int], frozenset[int]]:
    """Return the hosts of the zone that fit by every filter, and those that have the CPU and memory for it."""
    snapshot = load(db)
    hosts = snapshot.in_zone(request.zone_id)
    roomy = (host.id for host in hosts if cpu.check(host, request) is None and memory.check(host, request) is None)
    return frozenset(host.id for host in hosts if isinstance(fit(snapshot, host, request), Place)), frozenset(roomy)


def load(db: Connection) -> Snapshot:
    """Load all hosts and pools."""
    reserved = dedication.Reserved(db)
    most = _most_guests(db)
    guests = _all_guests(db) if most else {}
    hosts = [
        Host(
            id=row.id,
            name=row.name,
            zone_id=row.zone_id,
            pod_id=row.pod_id,
            cluster_id=row.cluster_id,
            hypervisor=row.hypervisor,
            state=row.state,
            resource_state=row.resource_state,
            enabled=bool(row.enabled),
            cpus=row.cpus,
            cpu_mhz=row.cpu_mhz,
            limits_cpu=row.limits_cpu,
            cpu_limit=int(row.cpus * row.cpu_mhz * row.cpu_overcommit),
            memory_limit=int(row.memory_mib * row.memory_overcommit),
            used_cpu=row.used_cpu_mhz,
            used_memory=row.used_memory_mib,
            tags=unpack_tags(row.tags),
            tag_rule=row.tag_rule,
            access_groups=access_groups.effective(row),
            os_category_id=row.os_category_id,
            guests=guests.get(row.id, 0),
            most_guests=most.get(row.hypervisor),
            reserved=reserved.of(row.zone_id, row.pod_id, row.cluster_id, row.id),
        )
        for row in db.execute(_HOSTS)
    ]
    return Snapshot(hosts, _pools(db.execute(_POOLS).all()))


def _most_guests(db: Connection) -> dict[str, int]:
    """Return how many machines a host may have, by hypervisor, where that is limited."""
    limited = sa.select(hypervisor_limit.c.hypervisor, hypervisor_limit.c.guests)
    return {row.hypervisor: row.guests for row in db.execute(limited.where(hypervisor_limit.c.guests.is_not(None)))}


def _all_guests(db: Connection) -> dict[int, int]:
    counted = sa.select(machine.c.host_id, sa.func.count().label("guests")).where(machine.c.host_id.is_not(None))
    return {row.host_id: int(row.guests) for row in db.execute(counted.group_by(machine.c.host_id))}


def _guests(db: Connection, host_id: int) -> int:
    return int(db.execute(sa.select(sa.func.count()).where(machine.c.host_id == host_id)).scalar_one())


def _pools(rows: Sequence[Any]) -> list[Pool]:
    return [
        Pool(
            id=row.id,
            name=row.name,
            zone_id=row.zone_id,
            cluster_id=row.cluster_id,
            host_id=row.host_id,
            scope=row.scope,
            up=row.state == "Up",
            limit=int(row.capacity * row.overprovision),
            allocated=row.allocated,
            iops_limit=row.capacity_iops,
            allocated_iops=row.allocated_iops,
            hypervisor=row.hypervisor,
            tags=unpack_tags(row.tags),
            tag_rule=row.tag_rule,
            access_groups=access_groups.split(row.access_groups),
        )
        for row in rows
    ]
