"""First fit and its refusals, on plain data."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pileus.scheduling.model import Disk, Host, Place, Plan, Pool, Refusal, Request, Snapshot
from pileus.scheduling.planner import plan


def host(id_: int, **changes: Any) -> Host:
    facts: dict[str, Any] = {
        "name": f"h{id_}",
        "zone_id": 1,
        "pod_id": 1,
        "cluster_id": 1,
        "hypervisor": "KVM",
        "state": "Up",
        "resource_state": "Enabled",
        "enabled": True,
        "cpus": 4,
        "cpu_mhz": 2000,
        "cpu_limit": 8000,
        "memory_limit": 8192,
        "used_cpu": 0,
        "used_memory": 0,
    }
    return Host(id=id_, **(facts | changes))


def pool(id_: int, **changes: Any) -> Pool:
    facts: dict[str, Any] = {
        "name": f"p{id_}",
        "zone_id": 1,
        "cluster_id": None,
        "host_id": None,
        "scope": "ZONE",
        "up": True,
        "limit": 100,
        "allocated": 0,
    }
    return Pool(id=id_, **(facts | changes))


def request(**changes: Any) -> Request:
    facts: dict[str, Any] = {
        "zone_id": 1,
        "hypervisor": "KVM",
        "cpus": 1,
        "cpu_mhz": 1000,
        "memory": 1024,
        "disks": (Disk(size=10),),
    }
    return Request(**(facts | changes))


def hosts_of(found: Plan | Refusal) -> list[int]:
    assert isinstance(found, Plan)
    return [place.host_id for place in found.places]


def refusal(found: Plan | Refusal) -> str:
    assert isinstance(found, Refusal)
    return found.detail


def test_hosts_are_tried_in_their_order() -> None:
    snapshot = Snapshot([host(3), host(1), host(2, used_memory=8000)], [pool(1)])
    assert hosts_of(plan(snapshot, request())) == [1, 3]


def test_the_last_host_is_preferred_while_it_fits() -> None:
    snapshot = Snapshot([host(1), host(2), host(3)], [pool(1)])
    assert hosts_of(plan(snapshot, request(preferred_host_id=3))) == [3, 1, 2]
    snapshot = Snapshot([host(1), host(2), host(3, state="Down")], [pool(1)])
    assert hosts_of(plan(snapshot, request(preferred_host_id=3))) == [1, 2]


def test_a_refusal_counts_each_host_once_by_its_first_reason() -> None:
    hosts = [host(n, used_memory=8000, tags=frozenset({"ssd"})) for n in range(4)]
    hosts += [host(n) for n in range(4, 10)]
    hosts += [host(n, resource_state="Maintenance") for n in range(10, 12)]
    found = plan(Snapshot(hosts, [pool(1)]), request(host_tags=frozenset({"ssd"})))
    assert refusal(found) == "of 12 hosts: 6 lack the tag ssd, 4 lack RAM, 2 are in maintenance"


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({"state": "Down"}, {}, "1 is not up"),
        ({"resource_state": "Disabled"}, {}, "1 is disabled"),
        ({"enabled": False}, {}, "1 is disabled"),
        ({"hypervisor": "Simulator"}, {}, "1 is not a KVM host"),
        ({"used_cpu": 7500}, {}, "1 lacks CPU"),
        ({"cpu_limit": 80_000}, {"cpus": 5}, "1 has too few cores"),
        ({}, {"cpu_mhz": 2001}, "1 has too slow cores"),
        ({"used_memory": 7169}, {}, "1 lacks RAM"),
        ({}, {"host_id": 2}, "1 is not the host asked for"),
        ({}, {"cluster_id": 2}, "1 is not in the cluster asked for"),
        ({}, {"pod_id": 2}, "1 is not in the pod asked for"),
        ({}, {"avoid": frozenset({1})}, "1 failed just now"),
        ({}, {"disks": (Disk(size=101),)}, "1 lacks room in primary storage"),
        ({}, {"disks": (Disk(size=60), Disk(size=60))}, "1 lacks room in primary storage"),
        ({}, {"disks": (Disk(size=1, local=True),)}, "1 has no local storage that is up"),
        ({}, {"disks": (Disk(size=1, tags=frozenset({"ssd"})),)}, "1 reaches no storage with the tags ssd"),
        ({"cluster_id": 2}, {"disks": (Disk(size=1, pool_id=2),)}, "1 does not reach the volumes"),
    ],
)
def test_every_filter_says_why(changes: dict[str, Any], asked: dict[str, Any], reason: str) -> None:
    pools = [pool(1), pool(2, scope="CLUSTER", cluster_id=1, up="cluster_id" in changes)]
    assert refusal(plan(Snapshot([host(1, **changes)], pools), request(**asked))) == f"of 1 host: {reason}"


def test_a_zone_without_hosts_says_so() -> None:
    assert refusal(plan(Snapshot([], []), request())) == "the zone has no hosts"


def test_room_that_fits_exactly_is_taken() -> None:
    found = plan(Snapshot([host(1, used_cpu=7000, used_memory=7168)], [pool(1, allocated=90)]), request())
    assert found == Plan((Place(1, (1,)),))


def test_disks_go_to_pools_of_their_kind_with_room() -> None:
    pools = [
        pool(1, allocated=95),
        pool(2, scope="CLUSTER", cluster_id=1),
        pool(3, scope="HOST", host_id=1),
        pool(4, tags=frozenset({"ssd"})),
        pool(5, scope="HOST", host_id=2),
    ]
    disks = (Disk(size=10), Disk(size=10, local=True), Disk(size=10, tags=frozenset({"ssd"})), Disk(size=5))
    found = plan(Snapshot([host(1)], pools), request(disks=disks))
    assert found == Plan((Place(1, (2, 3, 4, 2)),))


def test_existing_volumes_pin_the_machine_to_hosts_that_reach_them() -> None:
    pools = [pool(1, scope="HOST", host_id=2, allocated=100)]
    found = plan(Snapshot([host(1), host(2)], pools), request(disks=(Disk(size=10, pool_id=1),)))
    assert hosts_of(found) == [2]


def test_ten_thousand_hosts_are_planned_quickly() -> None:
    full = [host(n, used_memory=8000) for n in range(10_000)]
    snapshot = Snapshot([*full, host(10_001)], [pool(1)])
    begun = time.process_time()
    assert hosts_of(plan(snapshot, request())) == [10_001]
    assert time.process_time() - begun < 0.2
