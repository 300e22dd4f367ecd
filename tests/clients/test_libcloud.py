"""Apache Libcloud's CloudStack driver: a machine, its network, addresses and rules, keys and tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from libcloud.compute.drivers.cloudstack import CloudStackNodeDriver
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from tests.clients.conftest import Server


@pytest.fixture(scope="module")
def driver(server: Server) -> CloudStackNodeDriver:
    """The driver with the admin's keys."""
    key, secret = server.keys
    made = get_driver(Provider.CLOUDSTACK)(
        key, secret, secure=False, host="127.0.0.1", port=server.port, path="/client/api"
    )
    made.connection.poll_interval = 0.02
    return made


@pytest.fixture(scope="module")
def network(driver: CloudStackNodeDriver) -> Iterator[Any]:
    """A network."""
    offering = next(o for o in driver.ex_list_network_offerings() if o.name.endswith("WithSourceNatService"))
    made = driver.ex_create_network(
        "lc-net", "lc-net", offering, driver.list_locations()[0], gateway="10.9.0.1", netmask="255.255.255.0",
        network_domain="lc.test",
    )  # fmt: skip
    yield made
    assert driver.ex_delete_network(made)


@pytest.fixture(scope="module")
def node(driver: CloudStackNodeDriver, network: Any) -> Iterator[Any]:
    """A machine in the network."""
    size = next(size for size in driver.list_sizes() if size.name == "Small Instance")
    image = driver.list_images(driver.list_locations()[0])[0]
    made = driver.create_node(
        "lc-1", size, image, networks=[network], ex_userdata="#cloud-config", ex_displayname="one",
        ex_ip_address="10.9.0.77", ex_start_vm=True,
    )  # fmt: skip
    yield made
    assert driver.destroy_node(made, ex_expunge=True)
    assert made.id not in {other.id for other in driver.list_nodes()}


def test_what_there_is(driver: CloudStackNodeDriver):
    assert [location.name for location in driver.list_locations()] == ["z1"]
    assert {"Small Instance", "Medium Instance"} <= {size.name for size in driver.list_sizes()}
    assert [image.name for image in driver.list_images()] == ["tiny"]
    assert "max_instances" in driver.ex_limits()
    assert driver.ex_list_os_types()
    assert driver.ex_list_disk_offerings()
    assert driver.ex_list_projects() == []


def test_a_machine_stops_starts_and_reboots(driver: CloudStackNodeDriver, network: Any, node: Any):
    assert node.private_ips == ["10.9.0.77"]
    assert [nic.network_id for nic in driver.ex_list_nics(node)] == [network.id]
    assert driver.ex_stop(node) == "Stopped"
    assert driver.ex_get_node(node.id).state == NodeState.STOPPED
    assert driver.ex_start(node) == "Running"
    assert driver.reboot_node(node)
    (root,) = driver.list_volumes(node)
    assert (root.extra["volume_type"], driver.ex_get_volume(root.id).id) == ("ROOT", root.id)


def test_addresses_and_rules(driver: CloudStackNodeDriver, network: Any, node: Any):
    address = driver.ex_allocate_public_ip(network_id=network.id)
    assert address.address in {known.address for known in driver.ex_list_public_ips()}
    opened = driver.ex_create_firewall_rule(address, "192.0.2.0/24", "TCP", start_port=80, end_port=81)
    assert [rule.id for rule in driver.ex_list_firewall_rules()] == [opened.id]
    outward = driver.ex_create_egress_firewall_rule(network.id, "10.9.0.0/24", "TCP", start_port=53, end_port=53)
    assert [rule.id for rule in driver.ex_list_egress_firewall_rules()] == [outward.id]
    forwarded = driver.ex_create_port_forwarding_rule(node, address, 22, 22, "TCP")
    assert [rule.id for rule in driver.ex_list_port_forwarding_rules()] == [forwarded.id]
    seen = next(other for other in driver.list_nodes() if other.id == node.id)
    assert seen.public_ips == [address.address]
    assert driver.ex_delete_port_forwarding_rule(node, forwarded)
    assert driver.ex_delete_firewall_rule(opened)
    assert driver.ex_delete_egress_firewall_rule(outward)
    assert driver.ex_release_public_ip(address)


def test_ports_of_an_address_with_static_nat(driver: CloudStackNodeDriver, server: Server, network: Any, node: Any):
    address = driver.ex_allocate_public_ip(network_id=network.id)
    server.cloud.api("enableStaticNat", ipaddressid=address.id, virtualmachineid=node.id)
    opened = driver.ex_create_ip_forwarding_rule(node, address, "TCP", 80, 81)
    assert [rule.id for rule in driver.ex_list_ip_forwarding_rules()] == [opened.id]
    assert [rule.start_port for rule in driver.ex_list_firewall_rules()] == [80]
    assert driver.ex_delete_ip_forwarding_rule(node, opened)
    assert driver.ex_list_firewall_rules() == []
    assert driver.ex_release_public_ip(address)


def test_tags_and_keys(driver: CloudStackNodeDriver, node: Any):
    assert driver.ex_create_tags([node.id], "UserVm", {"stage": "test"})
    assert driver.ex_get_node(node.id).extra["tags"] == {"stage": "test"}
    assert driver.ex_delete_tags([node.id], "UserVm", ["stage"])
    pair = driver.create_key_pair("lc-key")
    assert "PRIVATE KEY" in pair.private_key
    assert driver.get_key_pair("lc-key").fingerprint == pair.fingerprint
    driver.delete_key_pair(pair)  # says False to CloudStack's own answer too: it looks for a text, not a boolean
    assert driver.list_key_pairs() == []
