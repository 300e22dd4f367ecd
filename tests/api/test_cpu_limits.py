"""Service offerings that limit CPU use, all the way to the host."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pileus.drivers.simulator import state as hosts
from pileus.infrastructure.tables import host
from tests.support.cloud import Cloud, Refused
from tests.support.zones import simulated_zone


def deploy(cloud: Cloud, zone: dict[str, str], *, limited: bool) -> dict[str, Any]:
    """Deploy a machine, and return its specification as the host has it."""
    offering = cloud.api(
        "createServiceOffering",
        name="s",
        displaytext="s",
        cpunumber=2,
        cpuspeed=500,
        memory=256,
        limitcpuuse=limited,
    )["serviceoffering"]
    assert offering["limitcpuuse"] is limited
    [shown] = cloud.list("listServiceOfferings", id=offering["id"])
    assert shown["limitcpuuse"] is limited
    made = cloud.job(
        "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"], serviceofferingid=offering["id"]
    )
    with cloud.services.database.read() as db:
        (found,) = (m for m in hosts.objects(db, "machine").values() if m["spec"]["uuid"] == made["id"])
    return found["spec"]


def test_the_host_is_told_whether_to_limit(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    assert deploy(cloud, zone, limited=True)["cpu_limited"] is True
    assert "cpu_limited" not in deploy(cloud, zone, limited=False)


def test_hosts_that_cannot_limit_are_left_out(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(limits_cpu=False))
    with pytest.raises(Refused) as caught:
        deploy(cloud, zone, limited=True)
    assert caught.value.code == 533
    assert "2 cannot limit CPU use" in caught.value.text
    deploy(cloud, zone, limited=False)
