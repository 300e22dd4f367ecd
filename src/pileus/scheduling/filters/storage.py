"""The pools for a machine's disks on a host: reached by it, with the tags, of the kind, and with room."""

from __future__ import annotations

from pileus.scheduling.model import Disk, Host, Pool, Reason, Request, Snapshot

_NONE = Reason("reaches no primary storage that is up", "reach no primary storage that is up")
_NO_LOCAL = Reason("has no local storage that is up", "have no local storage that is up")
_UNREACHED = Reason("does not reach the volumes", "do not reach the volumes")
_FULL = Reason("lacks room in primary storage", "lack room in primary storage")


def choose(snapshot: Snapshot, host: Host, request: Request) -> tuple[int, ...] | Reason:
    """Return a pool for each disk (first fit), or why there is none."""
    taken: dict[int, int] = {}
    chosen: list[int] = []
    for disk in request.disks:
        pool = _for(snapshot, host, disk, taken)
        if isinstance(pool, Reason):
            return pool
        chosen.append(pool.id)
        if disk.pool_id is None:
            taken[pool.id] = taken.get(pool.id, 0) + disk.size
    return tuple(chosen)


def _for(snapshot: Snapshot, host: Host, disk: Disk, taken: dict[int, int]) -> Pool | Reason:
    if disk.pool_id is not None:
        pool = snapshot.pools.get(disk.pool_id)
        return pool if pool is not None and pool.up and reaches(host, pool) else _UNREACHED
    pools = snapshot.local_pools(host) if disk.local else snapshot.shared_pools(host)
    pools = [pool for pool in pools if pool.up]
    if not pools:
        return _NO_LOCAL if disk.local else _NONE
    tagged = [pool for pool in pools if disk.tags <= pool.tags]
    if not tagged:
        named = ", ".join(sorted(disk.tags))
        return Reason(f"reaches no storage with the tags {named}", f"reach no storage with the tags {named}")
    for pool in tagged:
        if pool.allocated + taken.get(pool.id, 0) + disk.size <= pool.limit:
            return pool
    return _FULL


def reaches(host: Host, pool: Pool) -> bool:
    """Tell whether a host has access to a pool."""
    if pool.scope == "HOST":
        return pool.host_id == host.id
    if pool.scope == "CLUSTER":
        return pool.cluster_id == host.cluster_id
    return pool.zone_id == host.zone_id
