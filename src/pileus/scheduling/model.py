"""What placing a machine is decided on: a snapshot of hosts and pools, and a request; all of it plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a zone, pod, cluster or host is set aside."""

    domains: frozenset[int]  # the domain and all below it
    account_id: int | None = None  # None: any account of these domains


class Host(msgspec.Struct, kw_only=True):
    """A host as it was when the snapshot was taken; what is used may be counted on."""

    id: int
    name: str
    zone_id: int
    pod_id: int
    cluster_id: int
    hypervisor: str
    state: str  # Up Down Alert ...
    resource_state: str  # Enabled Disabled Maintenance ...
    enabled: bool  # its pod and cluster take machines
    cpus: int
    cpu_mhz: int  # of one core
    limits_cpu: bool = False  # it can keep machines below their MHz
    cpu_limit: int  # MHz that may be promised: all cores, times overcommit
    memory_limit: int  # MiB that may be promised, overcommit included
    used_cpu: int  # MHz
    used_memory: int  # MiB
    tags: frozenset[str] = frozenset()
    tag_rule: str | None = None  # instead of tags: which offerings' machines it takes
    access_groups: frozenset[str] = frozenset()  # of storage: its own and those of its cluster, pod and zone
    os_category_id: int | None = None  # whose guests it is preferred for
    guests: int = 0  # machines on it; counted where there is a limit
    most_guests: int | None = None
    reserved: tuple[Reservation, ...] = ()  # of itself, its cluster, pod and zone


class Pool(msgspec.Struct, kw_only=True):
    """A primary storage."""

    id: int
    name: str
    zone_id: int
    cluster_id: int | None
    host_id: int | None  # of a local one
    scope: Literal["HOST", "CLUSTER", "ZONE"]
    up: bool
    limit: int  # bytes that may be promised, overprovisioning included
    allocated: int  # bytes
    iops_limit: int | None = None  # None = not known: as many as are asked for
    allocated_iops: int = 0
    hypervisor: str | None = None
    tags: frozenset[str] = frozenset()
    tag_rule: str | None = None  # instead of tags: which offerings' volumes it takes
    access_groups: frozenset[str] = frozenset()  # none: all hosts within its scope reach it


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that the machine needs."""

    size: int  # bytes
    iops: int = 0  # that it is promised
    local: bool = False  # on the host's own storage
    tags: frozenset[str] = frozenset()
    listed_tags: tuple[str, ...] = ()  # the same in the offering's order, as tag rules want them
    pool_id: int | None = None  # it is there already; nothing more is allocated


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine asks for."""

    zone_id: int
    hypervisor: str
    cpus: int
    cpu_mhz: int  # of one core
    cpu_limited: bool = False  # it is never to have more
    memory: int  # MiB
    disks: tuple[Disk, ...] = ()
    host_tags: frozenset[str] = frozenset()
    listed_tags: tuple[str, ...] = ()  # the same in the offering's order, as tag rules want them
    os_category_id: int | None = None  # of the template's guest OS
    pod_id: int | None = None
    cluster_id: int | None = None
    host_id: int | None = None
    preferred_host_id: int | None = None  # where it ran last: first choice, no more
    avoid: frozenset[int] = frozenset()  # hosts that failed at it just now
    planner: str = ""  # in which order hosts are tried; "" = the first that fits
    neighbours: tuple[tuple[int, int, int], ...] = ()  # of the account's machines: pod, cluster, how many
    account_id: int = 0  # whose machine it is
    domain_id: int = 0

    @property
    def cpu(self) -> int:
        """Return the MHz of all its cores."""
        return self.cpus * self.cpu_mhz


class Reason(msgspec.Struct, frozen=True):
    """Why a host does not fit, for one host and for several: "lacks RAM", "lack RAM"."""

    one: str
    many: str


class Place(msgspec.Struct, frozen=True):
    """A host, and for each disk of the request the pool that it goes to."""

    host_id: int
    pool_ids: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True):
    """Places that fit, the best first."""

    places: tuple[Place, ...]


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no place: of so many hosts, how many failed at what."""

    hosts: int
    reasons: tuple[tuple[Reason, int], ...]

    @property
    def detail(self) -> str:
        """Return it for admins: "of 12 hosts: 4 lack RAM, 6 lack the tag ssd, 2 are in maintenance"."""
        if not self.hosts:
            return "the zone has no hosts"
        counted = ", ".join(f"{count} {reason.one if count == 1 else reason.many}" for reason, count in self.reasons)
        return f"of {self.hosts} host{'' if self.hosts == 1 else 's'}: {counted}"


class Snapshot:
    """Hosts and pools by zone, in the order in which they are tried."""

    def __init__(self, hosts: Sequence[Host], pools: Sequence[Pool]) -> None:
        self.hosts: Mapping[int, Host] = {host.id: host for host in hosts}
        self.pools: Mapping[int, Pool] = {pool.id: pool for pool in pools}
        self._by_zone: dict[int, list[Host]] = {}
        self._preferring: set[int] = set()  # zones with hosts that are preferred for some guest OS
        self._reach: dict[tuple[str, int], list[Pool]] = {}
        for host in sorted(hosts, key=lambda h: h.id):
            self._by_zone.setdefault(host.zone_id, []).append(host)
            if host.os_category_id is not None:
                self._preferring.add(host.zone_id)
        for pool in sorted(pools, key=lambda p: p.id):
            place = {"HOST": pool.host_id, "CLUSTER": pool.cluster_id, "ZONE": pool.zone_id}[pool.scope]
            self._reach.setdefault((pool.scope, place or 0), []).append(pool)

    def in_zone(self, zone_id: int, os_category_id: int | None = None) -> Sequence[Host]:
        """Return the zone's hosts: first those for this guest OS, last those for another one."""
        hosts = self._by_zone.get(zone_id, [])
        if zone_id not in self._preferring:
            return hosts

        def rank(host: Host) -> int:
            if host.os_category_id is None:
                return 1
            return 0 if host.os_category_id == os_category_id else 2

        return sorted(hosts, key=rank)

    def local_pools(self, host: Host) -> Sequence[Pool]:
        """Return the pools that only this host reaches."""
        return self._reach.get(("HOST", host.id), [])

    def shared_pools(self, host: Host) -> Sequence[Pool]:
        """Return the pools of the host's cluster and zone."""
        cluster = self._reach.get(("CLUSTER", host.cluster_id), [])
        zone = self._reach.get(("ZONE", host.zone_id), [])
        return [*cluster, *(p for p in zone if p.hypervisor in (None, "", "Any", host.hypervisor))]


def unpack_tags(stored: str) -> frozenset[str]:
    """Return stored tags (",ssd,gpu,") as a set."""
    return frozenset(tag for tag in stored.split(",") if tag)


def list_tags(stored: str) -> tuple[str, ...]:
    """Return stored tags in their order."""
    return tuple(tag for tag in stored.split(",") if tag)
