"""Hosts in maintenance, degraded hosts, tags of hosts, and where a machine could go."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from pileus.infrastructure.tables import host
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def resource_state(cloud: Cloud, id_: str) -> str:
    return cloud.list("listHosts", id=id_)[0]["resourcestate"]


def test_an_empty_host_enters_maintenance_and_comes_back(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    done = cloud.job("prepareHostForMaintenance", id=zone["host"])
    assert (done["id"], done["resourcestate"]) == (zone["host"], "Maintenance")
    with pytest.raises(Refused, match="must be Enabled"):
        cloud.job("prepareHostForMaintenance", id=zone["host"])
    network = isolated_network(cloud, zone, "n1")
    with pytest.raises(Refused, match=r"maintenance|disabled"):
        machine(cloud, zone, network, "vm1")
    assert cloud.job("cancelHostMaintenance", id=zone["host"])["resourcestate"] == "Enabled"
    machine(cloud, zone, network, "vm2")
    with pytest.raises(Refused, match="no maintenance to cancel"):
        cloud.job("cancelHostMaintenance", id=zone["host"])


def test_machines_hold_a_host_back_until_they_are_stopped(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")
    at = cloud.list("listVirtualMachines", id=vm["id"])[0]["hostid"]
    with pytest.raises(Refused, match=r"1 virtual machine \(vm1\) cannot be moved"):
        cloud.job("prepareHostForMaintenance", id=at)
    assert resource_state(cloud, at) == "ErrorInPrepareForMaintenance"
    cloud.job("stopVirtualMachine", id=vm["id"])
    until = time.monotonic() + 20
    while resource_state(cloud, at) != "Maintenance" and time.monotonic() < until:
        time.sleep(0.2)
    assert resource_state(cloud, at) == "Maintenance"
    (router,) = cloud.list("listRouters", networkid=network, listall=True)
    assert (router["state"], router["hostid"] == at) == ("Running", False)
    cloud.job("startVirtualMachine", id=vm["id"])
    assert cloud.list("listVirtualMachines", id=vm["id"])[0]["hostid"] != at


def test_the_operator_may_have_machines_stopped(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")
    with pytest.raises(Refused):
        cloud.job("prepareHostForMaintenance", id=zone["host"])
    assert cloud.list("listVirtualMachines", id=vm["id"])[0]["state"] == "Running"  # by default nothing is stopped
    cloud.job("cancelHostMaintenance", id=zone["host"])
    cloud.api("updateConfiguration", name="host.maintenance.local.storage.strategy", value="ForceStop")
    with pytest.raises(Refused, match=r"in maintenance|no host can have the router"):
        cloud.job("prepareHostForMaintenance", id=zone["host"])  # the router has nowhere to go
    assert cloud.list("listVirtualMachines", id=vm["id"])[0]["state"] == "Stopped"
    cloud.job("cancelHostMaintenance", id=zone["host"])
    cloud.job("startVirtualMachine", id=vm["id"])


def test_a_lost_host_can_be_declared_degraded(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    with pytest.raises(Refused, match="is Up"):
        cloud.job("declareHostAsDegraded", id=zone["host"])
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(state="Alert"))
    assert cloud.job("declareHostAsDegraded", id=zone["host"])["resourcestate"] == "Degraded"
    assert cloud.job("cancelHostAsDegraded", id=zone["host"])["resourcestate"] == "Enabled"


def test_tags_reservations_and_places_to_go(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=3)
    first, second, third = (each["id"] for each in cloud.list("listHosts", type="Routing"))
    cloud.api("updateHost", id=first, hosttags="ssd,gpu")
    assert sorted(tag["name"] for tag in cloud.list("listHostTags")) == ["gpu", "ssd"]
    cloud.job("releaseHostReservation", id=second)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1", hostid=first)
    with pytest.raises(Refused, match="vm1"):
        cloud.job("releaseHostReservation", id=first)
    cloud.api("updateHost", id=third, allocationstate="Disable")
    found = {h["id"]: h for h in cloud.list("findHostsForMigration", virtualmachineid=vm["id"])}
    assert {id_: h["suitableformigration"] for id_, h in found.items()} == {second: True, third: False}
    assert found[third]["hasenoughcapacity"]
    assert [h["name"] for h in cloud.list("listHypervisors")] == ["KVM", "Simulator"]
    assert [h["name"] for h in cloud.list("listHypervisors", zoneid=zone["zone"])] == ["Simulator"]
