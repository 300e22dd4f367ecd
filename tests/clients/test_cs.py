"""The `cs` library and its command line: a zone from nothing and back, and what is used in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cs import CloudStack, CloudStackApiException

from tests.clients.conftest import Server


@pytest.fixture
def client(server: Server) -> CloudStack:
    """The client with the admin's keys."""
    key, secret = server.keys
    return CloudStack(endpoint=server.url, key=key, secret=secret, poll_interval=0.02, timeout=30)


def _zone(client: CloudStack) -> dict[str, Any]:
    zone = client.createZone(
        name="cs-zone", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53",
        guestcidraddress="10.1.1.0/24",
    )["zone"]  # fmt: skip
    physical = client.createPhysicalNetwork(
        name="cs-physical", zoneid=zone["id"], isolationmethods="VXLAN", vlan="2000-3000", fetch_result=True
    )["physicalnetwork"]
    for kind in ("Management", "Public", "Guest", "Storage"):
        client.addTrafficType(physicalnetworkid=physical["id"], traffictype=kind, fetch_result=True)
    client.updatePhysicalNetwork(id=physical["id"], state="Enabled", fetch_result=True)
    provider = client.listNetworkServiceProviders(
        physicalnetworkid=physical["id"], name="VirtualRouter", fetch_list=True
    )[0]
    element = client.listVirtualRouterElements(nspid=provider["id"], fetch_list=True)[0]
    client.configureVirtualRouterElement(id=element["id"], enabled=True, fetch_result=True)
    client.updateNetworkServiceProvider(id=provider["id"], state="Enabled", fetch_result=True)
    pod = client.createPod(
        zoneid=zone["id"], name="cs-pod", gateway="198.51.100.1", netmask="255.255.255.0", startip="198.51.100.10"
    )["pod"]
    cluster = client.addCluster(
        zoneid=zone["id"], podid=pod["id"], clustername="cs-cluster", clustertype="CloudManaged", hypervisor="Simulator"
    )["cluster"][0]
    host = client.addHost(
        zoneid=zone["id"], podid=pod["id"], clusterid=cluster["id"], hypervisor="Simulator", url="http://sim/cs/h0",
        username="root", password="unused",
    )["host"][0]  # fmt: skip
    return {"zone": zone, "physical": physical, "pod": pod, "cluster": cluster, "host": host}


def test_a_zone_comes_and_goes(client: CloudStack):
    made = _zone(client)
    assert client.updateZone(id=made["zone"]["id"], allocationstate="Enabled")["zone"]["allocationstate"] == "Enabled"
    host = client.listHosts(id=made["host"]["id"], fetch_list=True)[0]
    assert (host["state"], host["type"], bool(host["ipaddress"])) == ("Up", "Routing", True)
    with pytest.raises(CloudStackApiException) as refused:
        client.deletePod(id=made["pod"]["id"])
    assert refused.value.error["errorcode"] == 536
    client.updateHost(id=made["host"]["id"], allocationstate="Disable")
    assert client.deleteHost(id=made["host"]["id"], forced=True)["success"] is True
    assert client.deleteCluster(id=made["cluster"]["id"])["success"] is True
    assert client.deletePod(id=made["pod"]["id"])["success"] is True
    client.deletePhysicalNetwork(id=made["physical"]["id"], fetch_result=True)
    assert client.deleteZone(id=made["zone"]["id"])["success"] is True
    assert client.listZones(name="cs-zone", fetch_list=True) == []


def test_a_machine_lives_in_a_network_behind_an_address(client: CloudStack, server: Server):
    zone = server.zone
    network = client.createNetwork(
        name="cs-net", displaytext="cs-net", zoneid=zone["zone"], networkofferingid=zone["networkoffering"]
    )["network"]
    machine = client.deployVirtualMachine(
        name="cs-1", zoneid=zone["zone"], templateid=zone["template"], serviceofferingid=zone["offering"],
        networkids=[network["id"]], fetch_result=True,
    )["virtualmachine"]  # fmt: skip
    assert (machine["state"], machine["nic"][0]["networkid"]) == ("Running", network["id"])
    address = client.associateIpAddress(networkid=network["id"], fetch_result=True)["ipaddress"]
    opened = client.createFirewallRule(
        ipaddressid=address["id"], protocol="tcp", startport=80, endport=80, cidrlist=["0.0.0.0/0"], fetch_result=True
    )["firewallrule"]
    forwarded = client.createPortForwardingRule(
        ipaddressid=address["id"], virtualmachineid=machine["id"], protocol="tcp", publicport=22, privateport=22,
        fetch_result=True,
    )["portforwardingrule"]  # fmt: skip
    assert (opened["state"], forwarded["state"]) == ("Active", "Active")
    assert client.stopVirtualMachine(id=machine["id"], fetch_result=True)["virtualmachine"]["state"] == "Stopped"
    assert client.startVirtualMachine(id=machine["id"], fetch_result=True)["virtualmachine"]["state"] == "Running"
    client.deletePortForwardingRule(id=forwarded["id"], fetch_result=True)
    client.deleteFirewallRule(id=opened["id"], fetch_result=True)
    client.disassociateIpAddress(id=address["id"], fetch_result=True)
    client.destroyVirtualMachine(id=machine["id"], expunge=True, fetch_result=True)
    client.deleteNetwork(id=network["id"], fetch_result=True)
    assert client.listNetworks(keyword="cs-net", fetch_list=True) == []


def test_pages_are_fetched_one_after_another(client: CloudStack):
    everything = client.listOsTypes(fetch_list=True, page_size=7)
    assert len(everything) == client.listOsTypes()["count"]


def test_the_command_line(server: Server):
    program = Path(sys.executable).with_name("cs")
    done = subprocess.run(
        [str(program), "listZones", "name=z1"],
        capture_output=True, text=True, timeout=60, check=True, env=os.environ | server.environment,
    )  # fmt: skip
    assert json.loads(done.stdout)["zone"][0]["name"] == "z1"
