"""Planners: in which order hosts are tried; and pools that promise IOPS."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.scheduling.test_planner import host, hosts_of, pool, request

from pileus.scheduling import planners
from pileus.scheduling.model import Disk, Plan, Refusal, Snapshot
from pileus.scheduling.planner import plan

HOSTS = [
    host(1, pod_id=1, cluster_id=1),
    host(2, pod_id=1, cluster_id=2),
    host(3, pod_id=2, cluster_id=3),
    host(4, pod_id=2, cluster_id=3),
]


def planned(planner: str, *neighbours: tuple[int, int, int]) -> list[int]:
    return hosts_of(plan(Snapshot(HOSTS, [pool(1)]), request(planner=planner, neighbours=neighbours)))


@pytest.mark.parametrize("planner", ["", *planners.NAMES])
def test_without_neighbours_the_first_host_comes_first(planner: str) -> None:
    assert planned(planner) == [1, 2, 3, 4]


def test_first_fit_does_not_look_at_neighbours() -> None:
    assert planned(planners.FIRST_FIT, (1, 1, 9)) == [1, 2, 3, 4]


def test_dispersing_prefers_the_pod_and_cluster_with_the_fewest() -> None:
    assert planned(planners.DISPERSING, (1, 1, 2)) == [3, 4, 2, 1]
    assert planned(planners.DISPERSING, (1, 1, 2), (2, 3, 5)) == [2, 1, 3, 4]


def test_concentrated_prefers_the_pod_with_the_most() -> None:
    assert planned(planners.CONCENTRATED, (1, 1, 2), (1, 2, 1), (2, 3, 4)) == [3, 4, 1, 2]


def test_hosts_that_do_not_fit_are_passed_over() -> None:
    hosts = [host(1, pod_id=1, used_memory=8192), host(2, pod_id=2)]
    neighbours = ((1, 1, 3),)
    found = plan(Snapshot(hosts, [pool(1)]), request(planner=planners.CONCENTRATED, neighbours=neighbours))
    assert hosts_of(found) == [2]


@pytest.mark.parametrize(
    ("of_pool", "asked", "fits"),
    [
        ({"iops_limit": 100, "allocated_iops": 40}, (60,), True),
        ({"iops_limit": 100, "allocated_iops": 40}, (61,), False),
        ({"iops_limit": 100, "allocated_iops": 40}, (30, 31), False),
        ({"iops_limit": 100, "allocated_iops": 100}, (0,), True),
        ({"iops_limit": None}, (10**6,), True),
    ],
)
def test_a_pool_promises_no_more_iops_than_it_has(of_pool: dict[str, Any], asked: tuple[int, ...], fits: bool) -> None:
    disks = tuple(Disk(size=1, iops=iops) for iops in asked)
    found = plan(Snapshot([host(1)], [pool(1, **of_pool)]), request(disks=disks))
    assert isinstance(found, Plan) == fits
    if isinstance(found, Refusal):
        assert found.detail == "of 1 host: 1 lacks IOPS in primary storage"


def test_another_pool_has_the_iops() -> None:
    pools = [pool(1, iops_limit=10), pool(2, iops_limit=100)]
    found = plan(Snapshot([host(1)], pools), request(disks=(Disk(size=1, iops=50), Disk(size=1, iops=10))))
    assert isinstance(found, Plan)
    assert found.places[0].pool_ids == (2, 1)
