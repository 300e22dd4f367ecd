"""The pools for a machine's disks on a host: reached by it, with the tags, of the kind, and with room."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.scheduling import tag_rules
from pileus.scheduling.model import Disk, Host, Pool, Reason, Request, Snapshot

_NONE = Reason("reaches no primary storage that is up", "reach no primary storage that is up")
_NO_LOCAL = Reason("has no local storage that is up", "have no local storage that is up")
_UNREACHED = Reason("does not reach the volumes", "do not reach the volumes")
_RULED = Reason("reaches storage only whose tag rule forbids it", "reach storage only whose tag rule forbids it")
_NO_IOPS = Reason("lacks IOPS in primary storage", "lack IOPS in primary storage")
_FULL = Reason("lacks room in primary storage", "lack room in primary storage")


def choose(snapshot: Snapshot, host: Host, request: Request) -> tuple[int, ...] | Reason:
    """Return a pool for each disk (first fit), or why there is none."""
    taken: dict[int, tuple[int, int]] = {}  # bytes and IOPS that its own other disks take
    chosen: list[int] = []
    for disk in request.disks:
        pool = _for(snapshot, host, disk, taken)
        if isinstance(pool, Reason):
            return pool
        chosen.append(pool.id)
        if disk.pool_id is None:
            size, iops = taken.get(pool.id, (0, 0))
            taken[pool.id] = (size + disk.size, iops + disk.iops)
    return tuple(chosen)


def _for(snapshot: Snapshot, host: Host, disk: Disk, taken: Mapping[int, tuple[int, int]]) -> Pool | Reason:
    if disk.pool_id is not None:
        pool = snapshot.pools.get(disk.pool_id)
        return pool if pool is not None and pool.up and reaches(host, pool) else _UNREACHED
    pools = snapshot.local_pools(host) if disk.local else snapshot.shared_pools(host)
    pools = [pool for pool in pools if pool.up and admits(pool, host)]
    if not pools:
        return _NO_LOCAL if disk.local else _NONE
    tagged = [pool for pool in pools if takes(pool, disk)]
    if not tagged:
        if not disk.tags:
            return _RULED
        named = ", ".join(sorted(disk.tags))
        return Reason(f"reaches no storage with the tags {named}", f"reach no storage with the tags {named}")
    roomy = [pool for pool in tagged if pool.allocated + taken.get(pool.id, (0, 0))[0] + disk.size <= pool.limit]
    if not roomy:
        return _FULL
    return next((pool for pool in roomy if _has_iops(pool, disk, taken.get(pool.id, (0, 0))[1])), _NO_IOPS)


def _has_iops(pool: Pool, disk: Disk, taken: int) -> bool:
    """Tell whether a pool can promise a disk its IOPS; one that does not say how many it has can."""
    return not disk.iops or pool.iops_limit is None or pool.allocated_iops + taken + disk.iops <= pool.iops_limit


def reaches(host: Host, pool: Pool) -> bool:
    """Tell whether a host has access to a pool."""
    if not admits(pool, host):
        return False
    if pool.scope == "HOST":
        return pool.host_id == host.id
    if pool.scope == "CLUSTER":
        return pool.cluster_id == host.cluster_id
    return pool.zone_id == host.zone_id


def admits(pool: Pool, host: Host) -> bool:
    """Tell whether a pool's access groups let a host in."""
    return not pool.access_groups or not pool.access_groups.isdisjoint(host.access_groups)


def takes(pool: Pool, disk: Disk) -> bool:
    """Tell whether a pool takes volumes of an offering, by its tags or its rule."""
    if pool.tag_rule is not None:
        return tag_rules.compiled(pool.tag_rule)(disk.listed_tags)
    return disk.tags <= pool.tags
