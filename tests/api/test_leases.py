"""Leases: machines that end by themselves, by their offering's wish or the order's; and planners of offerings."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import audit, lease_ends
from pileus.compute.tables import machine as machines
from pileus.core.database import now
from tests.api.test_zones import refused
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone

SIZE = {"cpunumber": 1, "cpuspeed": 500, "memory": 256}
DAY = 86_400


def switch(cloud: Cloud, value: bool) -> None:
    cloud.api("updateConfiguration", name="instance.lease.enabled", value=value)


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    made = simulated_zone(cloud, hosts=1)
    switch(cloud, True)
    return made


def deploy(cloud: Cloud, zone: dict[str, str], **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"zoneid": zone["zone"], "templateid": zone["template"]}
    asked |= {"serviceofferingid": zone["offering"]} | more
    return cloud.job("deployVirtualMachine", **asked)


def shown(cloud: Cloud, made: dict[str, Any]) -> dict[str, Any]:
    (found,) = cloud.list("listVirtualMachines", id=made["id"])
    return found


def let_end(cloud: Cloud, made: dict[str, Any], seconds: float = -1) -> None:
    """Let a lease end in so many seconds, and the work that looks for such be done."""
    with cloud.services.database.write() as db:
        db.execute(sa.update(machines).where(machines.c.uuid == made["id"]).values(lease_until=now() + seconds))
    lease_ends.end(cloud.services)


def events(cloud: Cloud, kind: str) -> list[str]:
    return [event["description"] for event in cloud.list("listEvents", type=kind, listall=True)]


def offering(cloud: Cloud, **more: Any) -> dict[str, Any]:
    return cloud.api("createServiceOffering", name="leased", displaytext="l", **SIZE, **more)["serviceoffering"]


def test_a_lease_of_the_offering_stops_the_machine(cloud: Cloud, zone: dict[str, str]) -> None:
    by = offering(cloud, leaseduration=3, leaseexpiryaction="stop")
    assert (by["leaseduration"], by["leaseexpiryaction"]) == (3, "STOP")
    made = deploy(cloud, zone, serviceofferingid=by["id"])
    assert (made["leaseduration"], made["leaseexpiryaction"]) == (3, "STOP")
    assert "leaseexpirydate" in made
    free = deploy(cloud, zone, serviceofferingid=by["id"], leaseduration=-1)
    assert "leaseduration" not in free
    assert [m["id"] for m in cloud.list("listVirtualMachines", leased=True)] == [made["id"]]
    assert [m["id"] for m in cloud.list("listVirtualMachines", leased=False)] == [free["id"]]
    let_end(cloud, made, seconds=60)
    assert shown(cloud, made)["state"] == "Running"
    let_end(cloud, made)
    until(lambda: shown(cloud, made)["state"] == "Stopped", 20)
    assert "leaseduration" not in shown(cloud, made)
    (text,) = events(cloud, "VM.LEASE.EXPIRED")
    assert "stopped" in text
    assert any("its lease has ended" in text for text in events(cloud, "VM.STOP"))
    cloud.job("startVirtualMachine", id=made["id"])  # its owner may, and it runs on
    lease_ends.end(cloud.services)
    assert shown(cloud, made)["state"] == "Running"
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []


def test_a_lease_of_the_order_destroys_the_machine(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, leaseduration=1, leaseexpiryaction="DESTROY", **cloud.user.own)
    let_end(cloud, made)
    until(lambda: shown(cloud, made)["state"] == "Destroyed", 20)
    (found,) = cloud.list("listEvents", type="VM.LEASE.EXPIRED", listall=True)
    assert found["account"] == "user"


def test_a_lease_is_extended_and_cancelled(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, leaseduration=1, leaseexpiryaction="DESTROY")
    longer = cloud.api("updateVirtualMachine", id=made["id"], leaseduration=9, leaseexpiryaction="STOP")
    assert longer["virtualmachine"]["leaseduration"] == 9
    assert longer["virtualmachine"]["leaseexpiryaction"] == "STOP"
    cancelled = cloud.api("updateVirtualMachine", id=made["id"], leaseduration=-1)["virtualmachine"]
    assert "leaseduration" not in cancelled
    assert len(events(cloud, "VM.LEASE.CANCELLED")) == 1
    let_end(cloud, made)
    assert shown(cloud, made)["state"] == "Running"
    again = refused(cloud, "updateVirtualMachine", id=made["id"], leaseduration=2, leaseexpiryaction="STOP")
    assert (again.code, "no lease" in again.text) == (431, True)


def test_its_end_is_told_beforehand(cloud: Cloud, zone: dict[str, str]) -> None:
    deploy(cloud, zone, name="soon", leaseduration=2, leaseexpiryaction="STOP")
    deploy(cloud, zone, name="later", leaseduration=30, leaseexpiryaction="STOP")
    lease_ends.warn(cloud.services)
    assert events(cloud, "VM.LEASE.EXPIRING") == ["the lease of virtual machine soon ends in 2 days"]


def test_switched_off_leases_have_no_effect(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, leaseduration=1, leaseexpiryaction="DESTROY")
    by = offering(cloud, leaseduration=1, leaseexpiryaction="STOP")
    switch(cloud, False)
    let_end(cloud, made)
    assert len(events(cloud, "VM.LEASE.DISABLED")) == 1
    switch(cloud, True)
    lease_ends.end(cloud.services)
    assert shown(cloud, made)["state"] == "Running"
    switch(cloud, False)
    lease: dict[str, Any] = {"leaseduration": 1, "leaseexpiryaction": "STOP"}
    orders: tuple[tuple[str, dict[str, Any]], ...] = (
        ("createServiceOffering", {"name": "x", "displaytext": "x", **SIZE}),
        (
            "deployVirtualMachine",
            {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": by["id"]},
        ),
        ("updateVirtualMachine", {"id": made["id"]}),
    )
    for command, needed in orders:
        error = refused(cloud, command, **needed, **lease)
        assert (error.code, "instance.lease.enabled" in error.text) == (431, True)
    assert "leaseduration" not in deploy(cloud, zone, serviceofferingid=by["id"])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"leaseduration": 3}, "leaseexpiryaction"),
        ({"leaseexpiryaction": "STOP"}, "leaseduration"),
        ({"leaseduration": 0, "leaseexpiryaction": "STOP"}, "leaseduration"),
        ({"leaseduration": -1, "leaseexpiryaction": "STOP"}, "leaseduration"),
        ({"leaseduration": 36501, "leaseexpiryaction": "STOP"}, "leaseduration"),
        ({"leaseduration": 3, "leaseexpiryaction": "SELL"}, "leaseexpiryaction"),
        ({"deploymentplanner": "BareMetalPlanner"}, "deploymentplanner"),
    ],
)
def test_refused_leases_and_planners(cloud: Cloud, wrong: dict[str, Any], named: str) -> None:
    switch(cloud, True)
    error = refused(cloud, "createServiceOffering", name="x", displaytext="x", **SIZE, **wrong)
    assert error.code == 431
    assert named in error.text


def second_pod(cloud: Cloud, zone: dict[str, str]) -> str:
    """Add a pod with a cluster and a host to the zone; return the host."""
    pod = cloud.api(
        "createPod", zoneid=zone["zone"], name="p2", gateway="192.0.3.1", netmask="255.255.255.0", startip="192.0.3.10"
    )["pod"]["id"]
    cluster = cloud.api(
        "addCluster", zoneid=zone["zone"], podid=pod, clustername="c2", clustertype="CloudManaged",
        hypervisor="Simulator",
    )["cluster"][0]["id"]  # fmt: skip
    return cloud.api(
        "addHost", zoneid=zone["zone"], podid=pod, clusterid=cluster, hypervisor="Simulator", url="http://sim/p2/h0"
    )["host"][0]["id"]


def test_planners_choose_the_pod(cloud: Cloud, zone: dict[str, str]) -> None:
    names = [planner["name"] for planner in cloud.list("listDeploymentPlanners")]
    assert names == ["FirstFitPlanner", "UserDispersingPlanner", "UserConcentratedPodPlanner"]
    first, second = zone["host"], second_pod(cloud, zone)
    spread = cloud.api(
        "createServiceOffering", name="spread", displaytext="s", deploymentplanner="userdispersingplanner", **SIZE
    )["serviceoffering"]
    assert spread["deploymentplanner"] == "UserDispersingPlanner"
    own = isolated_network(cloud, zone, "own", **cloud.user.own)
    order: dict[str, Any] = {"serviceofferingid": spread["id"], "networkids": own, **cloud.user.own}
    assert [deploy(cloud, zone, **order)["hostid"] for _ in range(4)] == [first, second, first, second]
    together = {**order, "deploymentplanner": "UserConcentratedPodPlanner"}
    more = deploy(cloud, zone, **order, podid=None)
    assert more["hostid"] == first
    assert deploy(cloud, zone, **together)["hostid"] == first
    theirs = machine(cloud, zone, isolated_network(cloud, zone, "root"), "elsewhere")  # first fit, another account
    assert theirs["hostid"] == first
    cloud.api("updateConfiguration", name="vm.deployment.planner", value="UserDispersingPlanner")
    assert machine(cloud, zone, isolated_network(cloud, zone, "more"), "dispersed")["hostid"] == second
    with pytest.raises(Refused) as caught:
        cloud.api("updateConfiguration", name="vm.deployment.planner", value="ImplicitDedicationPlanner")
    assert caught.value.code == 431
