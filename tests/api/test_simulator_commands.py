"""configureSimulator: hosts that are slow or fail, by place and count; and that it is seen by all servers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def test_hosts_fail_as_told_and_work_again(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    network = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, network, "vm0")
    mock = cloud.api(
        "configureSimulator", name="StartCommand", value="result:fail", clusterid=zone["cluster"], count=100
    )
    assert (mock["name"], mock["count"]) == ("machine.start", 100)
    with pytest.raises(Refused, match=r"told to fail at machine\.start"):
        machine(cloud, zone, network, "vm1")
    assert 90 <= cloud.api("querySimulatorMock", id=mock["id"])["count"] < 100
    assert cloud.api("cleanupSimulatorMock", id=mock["id"])["success"]
    machine(cloud, zone, network, "vm2")
    with pytest.raises(Refused, match="no fault"):
        cloud.api("querySimulatorMock", id=mock["id"])


def test_the_most_specific_counts_and_so_often(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")
    cloud.api("configureSimulator", name="machine.stop", value="result:fail", zoneid=zone["zone"])
    cloud.api("configureSimulator", name="machine.stop", value="wait:700", hostid=zone["host"], count=1)
    begun = time.monotonic()
    assert cloud.job("stopVirtualMachine", id=vm["id"])["state"] == "Stopped"
    assert time.monotonic() - begun > 0.7
    cloud.job("startVirtualMachine", id=vm["id"])
    with pytest.raises(Refused, match="told to fail"):
        cloud.job("stopVirtualMachine", id=vm["id"])
    cloud.api("cleanupSimulatorMock")
    cloud.job("stopVirtualMachine", id=vm["id"])


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("NoSuchCommand", "wait:1", "name"),
        ("machine.start", "wait:soon", "wait"),
        ("machine.start", "explode:true", "value"),
    ],
)
def test_refusals(cloud: Cloud, name: str, value: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        cloud.api("configureSimulator", name=name, value=value)
    with pytest.raises(Refused):
        cloud.api("configureSimulator", cloud.user, name="machine.start", value="wait:1")


def test_a_fault_outlives_the_server(tmp_path: Path) -> None:
    with Cloud.start(tmp_path) as cloud:
        zone = simulated_zone(cloud, hosts=1)
        network = isolated_network(cloud, zone, "n1")
        vm = machine(cloud, zone, network, "vm1")
        cloud.api("configureSimulator", name="machine.stop", value="result:fail")
        options, root = cloud.options, cloud.root
    from pileus.drivers.simulator import SimulatorConfig
    from pileus.identity.bootstrap import Credentials

    credentials = Credentials(username="admin", password="", apikey=root.apikey, secretkey=root.secretkey)
    again = Cloud(options, credentials, SimulatorConfig())
    try:
        with pytest.raises(Refused, match="told to fail"):
            again.job("stopVirtualMachine", id=vm["id"])
    finally:
        again.close()
