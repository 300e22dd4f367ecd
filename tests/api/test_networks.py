"""Networks: made, implemented with their first machine, restarted, changed, deleted; and what is refused."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import audit
from pileus.core import database
from pileus.drivers.simulator.tables import sim_object
from pileus.infrastructure import reports
from pileus.infrastructure.tables import host
from pileus.network.tables import network as network_table
from pileus.network.tables import nic, router, segment_member
from pileus.wire.hosts import HostFacts, Report
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    return simulated_zone(cloud)


def network(cloud: Cloud, id_: str) -> dict[str, Any]:
    (found,) = cloud.list("listNetworks", id=id_)
    return found


def held(cloud: Cloud, sort: str) -> list[str]:
    """Return what the simulated hosts hold of a sort of object."""
    with cloud.services.database.read() as db:
        return list(db.execute(sa.select(sim_object.c.key).where(sim_object.c.sort == sort)).scalars())


def healthy(cloud: Cloud) -> bool:
    with cloud.services.database.read() as db:
        return not audit.findings(db)


def offering(cloud: Cloud, name: str, **more: Any) -> str:
    made = cloud.api(
        "createNetworkOffering",
        name=name,
        displaytext=name,
        guestiptype="Isolated",
        traffictype="GUEST",
        supportedservices="Dhcp,Dns,SourceNat,Firewall,StaticNat,PortForwarding,UserData",
        enable=True,
        **more,
    )
    return made["networkoffering"]["id"]


def test_new_network_says_what_it_is(cloud: Cloud, zone: dict[str, str]) -> None:
    made = network(cloud, isolated_network(cloud, zone, "n1"))
    assert made["state"] == "Allocated"
    assert (made["cidr"], made["gateway"], made["netmask"]) == ("10.1.1.0/24", "10.1.1.1", "255.255.255.0")
    assert (made["type"], made["acltype"], made["traffictype"]) == ("Isolated", "Account", "Guest")
    assert made["broadcastdomaintype"] == "Vxlan"
    assert "vlan" not in made
    assert made["dns1"] == "192.0.2.53"
    assert made["networkdomain"].endswith(".cloud.internal")
    assert {service["name"] for service in made["service"]} >= {"Dhcp", "Dns", "SourceNat", "Firewall"}
    assert made["egressdefaultpolicy"] is False
    assert cloud.list("listRouters", listall=True) == []


def test_first_machine_implements_the_network(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1", gateway="10.5.0.1", netmask="255.255.0.0")
    first = machine(cloud, zone, id_, "m1")
    made = network(cloud, id_)
    assert (made["state"], made["vlan"], made["broadcasturi"]) == ("Implemented", "1000", "vxlan://1000")
    (found,) = cloud.list("listRouters", networkid=id_, listall=True)
    assert found["state"] == "Running"
    assert found["guestipaddress"] == "10.5.0.1"
    assert found["publicip"] == "203.0.113.10"
    assert found["hypervisor"] == "Simulator"
    (source,) = cloud.list("listPublicIpAddresses", associatednetworkid=id_)
    assert source["issourcenat"] is True
    (plug,) = cloud.list("listNics", virtualmachineid=first["id"])
    assert plug["ipaddress"].startswith("10.5.0.")
    assert plug["macaddress"].startswith("02:")
    assert plug["isdefault"] is True
    assert healthy(cloud)


def test_two_networks_get_tags_and_addresses_of_their_own(cloud: Cloud, zone: dict[str, str]) -> None:
    ids = [isolated_network(cloud, zone, f"n{i}") for i in range(2)]
    for number, id_ in enumerate(ids):
        machine(cloud, zone, id_, f"m{number}")
    assert {network(cloud, id_)["vlan"] for id_ in ids} == {"1000", "1001"}
    routers = cloud.list("listRouters", listall=True)
    assert len({each["publicip"] for each in routers}) == 2
    assert len({each["hostid"] for each in routers}) == 2, "routers are spread over hosts"


def test_persistent_network_has_its_router_at_once(cloud: Cloud, zone: dict[str, str]) -> None:
    made = cloud.api(
        "createNetwork",
        name="n1",
        zoneid=zone["zone"],
        networkofferingid=offering(cloud, "persistent", ispersistent=True),
    )["network"]
    assert made["state"] == "Implemented"
    (found,) = cloud.list("listRouters", networkid=made["id"], listall=True)
    assert found["state"] == "Running"
    assert len(held(cloud, "router")) == 1


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"gateway": "10.1.1.1"}, "netmask"),
        ({"netmask": "255.255.255.0"}, "gateway"),
        ({"gateway": "10.1.1.1", "netmask": "255.0.255.0"}, "netmask"),
        ({"gateway": "10.1.1.0", "netmask": "255.255.255.0"}, "gateway"),
        ({"gateway": "10.1.1.255", "netmask": "255.255.255.0"}, "gateway"),
        ({"gateway": "10.1.1.1", "netmask": "255.255.255.252"}, "netmask"),
        ({"gateway": "8.8.8.1", "netmask": "255.255.255.0"}, "allow.non.rfc1918"),
        ({"gateway": "fe80::1", "netmask": "255.255.255.0"}, "gateway"),
        ({"networkdomain": "not a domain"}, "networkdomain"),
        ({"networkdomain": "example.."}, "networkdomain"),
        ({"dns2": "192.0.2.1"}, "dns1"),
        ({"dns1": "name"}, "dns1"),
        ({"acltype": "Domain"}, "acltype"),
        ({"vlan": "100"}, "specifyvlan"),
        ({"privatemtu": 9000}, "privatemtu"),
        ({"vpcid": "x"}, "vpcid"),
        ({"sourcenatipaddress": "192.0.2.99"}, "sourcenatipaddress: 192.0.2.99"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    cloud: Cloud, zone: dict[str, str], parameters: dict[str, Any], named: str
) -> None:
    with pytest.raises(Refused) as refused:
        isolated_network(cloud, zone, "n1", **parameters)
    assert refused.value.code == 431
    assert named in refused.value.text
    assert cloud.list("listNetworks", listall=True) == []


def test_guest_network_may_not_overlap_with_the_public_one(cloud: Cloud, zone: dict[str, str]) -> None:
    cloud.api(
        "createVlanIpRange", zoneid=zone["zone"], physicalnetworkid=zone["physical"], vlan="untagged",
        gateway="10.9.0.1", netmask="255.255.255.0", startip="10.9.0.10", endip="10.9.0.20", forvirtualnetwork=True,
    )  # fmt: skip
    with pytest.raises(Refused, match=r"10\.9\.0\.0/24"):
        isolated_network(cloud, zone, "n1", gateway="10.9.0.1", netmask="255.255.0.0")


@pytest.mark.parametrize("begin", ["10.1.1", "10.9.7"])
def test_public_network_may_not_overlap_with_guest_ones(cloud: Cloud, zone: dict[str, str], begin: str) -> None:
    isolated_network(cloud, zone, "n1", gateway="10.9.0.1", netmask="255.255.0.0")
    with pytest.raises(Refused, match=r"parameter gateway.*guest network") as refused:
        cloud.api(
            "createVlanIpRange", zoneid=zone["zone"], physicalnetworkid=zone["physical"], vlan="untagged",
            gateway=f"{begin}.1", netmask="255.255.255.0", startip=f"{begin}.10", forvirtualnetwork=True,
        )  # fmt: skip
    assert refused.value.code == 431


def test_physical_network_without_guest_traffic_is_refused(cloud: Cloud, zone: dict[str, str]) -> None:
    other = cloud.job(
        "createPhysicalNetwork", zoneid=zone["zone"], name="physical2", isolationmethods="VXLAN", vlan="6000-7000"
    )["id"]
    cloud.job("updatePhysicalNetwork", id=other, state="Enabled")
    with pytest.raises(Refused, match="parameter physicalnetworkid: physical2 carries no guest traffic") as refused:
        isolated_network(cloud, zone, "n1", physicalnetworkid=other)
    assert refused.value.code == 431


def test_networks_without_tags_are_on_the_physical_network_without_tags(cloud: Cloud, zone: dict[str, str]) -> None:
    other = cloud.job(
        "createPhysicalNetwork", zoneid=zone["zone"], name="p2", isolationmethods="VXLAN", vlan="6000-7000", tags="fast"
    )["id"]
    cloud.job("addTrafficType", physicalnetworkid=other, traffictype="Guest")
    cloud.job("updatePhysicalNetwork", id=other, state="Enabled")
    provider = cloud.list("listNetworkServiceProviders", physicalnetworkid=other, name="VirtualRouter")[0]["id"]
    element = cloud.list("listVirtualRouterElements", nspid=provider)[0]["id"]
    cloud.job("configureVirtualRouterElement", id=element, enabled=True)
    cloud.job("updateNetworkServiceProvider", id=provider, state="Enabled")
    assert network(cloud, isolated_network(cloud, zone, "n1"))["physicalnetworkid"] == zone["physical"]
    parameters = {"zoneid": zone["zone"], "networkofferingid": offering(cloud, "fast", tags="fast")}
    assert cloud.api("createNetwork", name="n2", **parameters)["network"]["physicalnetworkid"] == other
    cloud.job("updatePhysicalNetwork", id=zone["physical"], tags="slow")
    with pytest.raises(Refused, match="physicalnetworkid is needed"):
        isolated_network(cloud, zone, "n3")


def test_explicit_tag_has_one_owner(cloud: Cloud, zone: dict[str, str]) -> None:
    tagged = offering(cloud, "tagged", specifyvlan=True)
    parameters = {"zoneid": zone["zone"], "networkofferingid": tagged}
    with pytest.raises(Refused, match="parameter vlan is needed"):
        cloud.api("createNetwork", name="n0", **parameters)
    made = cloud.api("createNetwork", name="n1", vlan="vxlan://1000", **parameters)["network"]
    assert made["vlan"] == "1000"
    with pytest.raises(Refused, match="belongs to another network"):
        cloud.api("createNetwork", name="n2", vlan="1000", **parameters)
    with pytest.raises(Refused, match="vlan"):
        cloud.api("createNetwork", name="n3", vlan="vlan://20", **parameters)
    other = isolated_network(cloud, zone, "n4")
    machine(cloud, zone, other, "m1")
    assert network(cloud, other)["vlan"] == "1001", "the lowest free tag is taken"


def test_explicit_vxlan_tag_is_of_no_other_physical_network(cloud: Cloud, zone: dict[str, str]) -> None:
    tagged = offering(cloud, "tagged", specifyvlan=True)
    cloud.job("createPhysicalNetwork", zoneid=zone["zone"], name="p2", isolationmethods="VXLAN", vlan="6000-7000")
    parameters = {"zoneid": zone["zone"], "networkofferingid": tagged, "physicalnetworkid": zone["physical"]}
    with pytest.raises(Refused, match="parameter vlan: the VXLAN tag 6500 belongs to physical network p2") as refused:
        cloud.api("createNetwork", name="n1", vlan="6500", **parameters)
    assert refused.value.code == 431
    assert cloud.api("createNetwork", name="n1", vlan="7001", **parameters)["network"]["vlan"] == "7001"
    tags = cloud.list("listCapacity", type=7)[0]
    assert (tags["capacitytotal"], tags["capacityused"]) == (5002, 0), "a tag out of no range takes none of their room"


def test_isolation_that_no_host_can_do_is_refused_at_creation(cloud: Cloud, zone: dict[str, str]) -> None:
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(hypervisor="KVM", facts={"isolation": ["vlan"]}))
    with pytest.raises(Refused, match="no host of the zone can isolate networks by VXLAN"):
        isolated_network(cloud, zone, "n1")


def test_disabled_provider_and_offering_are_refused(cloud: Cloud, zone: dict[str, str]) -> None:
    cloud.api("updateNetworkOffering", id=zone["networkoffering"], state="Disabled")
    with pytest.raises(Refused, match="not Enabled"):
        isolated_network(cloud, zone, "n1")
    cloud.api("updateNetworkOffering", id=zone["networkoffering"], state="Enabled")
    provider = cloud.list("listNetworkServiceProviders", physicalnetworkid=zone["physical"])[0]["id"]
    cloud.job("updateNetworkServiceProvider", id=provider, state="Disabled")
    with pytest.raises(Refused, match="updateNetworkServiceProvider"):
        isolated_network(cloud, zone, "n1")


def test_failing_host_is_left_for_another(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    cloud.config.fail("router.apply", retryable=True, times=3)
    machine(cloud, zone, id_, "m1")
    (found,) = cloud.list("listRouters", listall=True)
    assert found["state"] == "Running"
    assert found["hostid"] != zone["host"], "the first choice failed"
    until(lambda: len(held(cloud, "router")) == 1, 5, "nothing of the failed try is left")
    until(lambda: healthy(cloud), 5)


def test_failed_implementation_leaves_nothing(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    fault = cloud.config.fail("router.apply", message="no room on the bridge")
    with pytest.raises(Refused, match="no room on the bridge"):
        machine(cloud, zone, id_, "m1")
    made = network(cloud, id_)
    assert made["state"] == "Allocated"
    assert "vlan" not in made
    assert cloud.list("listRouters", listall=True) == []
    assert cloud.list("listPublicIpAddresses", listall=True) == []
    until(lambda: healthy(cloud), 5)
    cloud.config.remove(fault)
    machine(cloud, zone, id_, "m2")
    assert network(cloud, id_)["state"] == "Implemented"


def test_network_whose_router_lost_its_host_at_the_start_says_so(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    delay = cloud.config.delay("router.apply", seconds=1)
    parameters = {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"]}
    job = cloud.api("deployVirtualMachine", name="m1", networkids=id_, **parameters)["jobid"]
    until(lambda: "Starting" in [each["state"] for each in cloud.list("listRouters", listall=True)], 5)
    cloud.api("deleteHost", id=cloud.list("listRouters", listall=True)[0]["hostid"], forced=True)
    cloud.wait("deployVirtualMachine", job)
    assert cloud.list("listRouters", listall=True)[0]["state"] == "Stopped"
    assert network(cloud, id_)["restartrequired"] is True
    cloud.config.remove(delay)
    machine(cloud, zone, id_, "m2")
    assert cloud.list("listRouters", listall=True)[0]["state"] == "Running"
    assert network(cloud, id_)["restartrequired"] is False


def test_no_public_address_is_a_clean_533(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    with cloud.services.database.write() as db:
        db.exec_driver_sql("UPDATE public_address SET state = 'Allocated', account_id = 2, domain_id = 1")
    with pytest.raises(Refused) as refused:
        machine(cloud, zone, id_, "m1")
    assert refused.value.code == 533
    assert network(cloud, id_)["state"] == "Allocated"


def test_deleted_network_gives_everything_back(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    made = machine(cloud, zone, id_, "m1")
    address = cloud.job("associateIpAddress", networkid=id_)
    cloud.job("createFirewallRule", ipaddressid=address["id"], protocol="icmp")
    with pytest.raises(Refused) as refused:
        cloud.job("deleteNetwork", id=id_)
    assert refused.value.code == 536
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
    assert cloud.job("deleteNetwork", id=id_) == {"success": True}
    assert cloud.list("listNetworks", listall=True) == []
    assert cloud.list("listRouters", listall=True) == []
    assert cloud.list("listPublicIpAddresses", listall=True) == []
    assert held(cloud, "router") == []
    assert held(cloud, "segment") == []
    assert healthy(cloud)


def test_network_whose_router_cannot_be_removed_stays(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = cloud.api(
        "createNetwork", name="n1", zoneid=zone["zone"], networkofferingid=offering(cloud, "p", ispersistent=True)
    )["network"]["id"]
    fault = cloud.config.fail("router.destroy", message="the namespace is busy")
    with pytest.raises(Refused, match="the namespace is busy"):
        cloud.job("deleteNetwork", id=id_)
    assert network(cloud, id_)["state"] == "Implemented"
    assert cloud.list("listRouters", listall=True)[0]["state"] == "Running"
    assert cloud.job("deleteNetwork", id=id_, forced=True) == {"success": True}
    cloud.config.remove(fault)
    assert cloud.list("listNetworks", listall=True) == []


def test_network_that_was_never_implemented_is_allocated_again_when_it_cannot_be_deleted(
    cloud: Cloud, zone: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = cloud.list("listNetworkOfferings", name="DefaultL2NetworkOffering")[0]["id"]
    id_ = cloud.api("createNetwork", name="w", zoneid=zone["zone"], networkofferingid=wire)["network"]["id"]

    def broken(*_: Any) -> None:
        raise LookupError("told to fail")

    monkeypatch.setattr("pileus.network.workflows.remove", broken)
    with pytest.raises(Refused):
        cloud.job("deleteNetwork", id=id_)
    monkeypatch.undo()
    assert network(cloud, id_)["state"] == "Allocated"
    assert machine(cloud, zone, id_, "m1")["state"] == "Running"


def test_restart_makes_a_new_router(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    with pytest.raises(Refused) as refused:
        cloud.job("restartNetwork", id=id_, cleanup=True)
    assert refused.value.code == 534
    machine(cloud, zone, id_, "m1")
    (before,) = cloud.list("listRouters", listall=True)
    assert cloud.job("restartNetwork", id=id_) == {"success": True}
    assert cloud.list("listRouters", listall=True)[0]["id"] == before["id"]
    assert cloud.job("restartNetwork", id=id_, cleanup=True) == {"success": True}
    (after,) = cloud.list("listRouters", listall=True)
    assert after["id"] != before["id"]
    assert after["state"] == "Running"
    assert after["publicip"] == before["publicip"]
    assert len(held(cloud, "router")) == 1
    with pytest.raises(Refused, match="makeredundant"):
        cloud.job("restartNetwork", id=id_, makeredundant=True)
    until(lambda: healthy(cloud), 5)


def test_changes_reach_the_router(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, id_, "m1")
    changed = cloud.job("updateNetwork", id=id_, name="n2", networkdomain="Example.Test", dns1="192.0.2.7")
    assert (changed["name"], changed["networkdomain"], changed["dns1"]) == ("n2", "example.test", "192.0.2.7")
    with cloud.services.database.read() as db:
        (spec,) = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == "router")).scalars()
    assert '"domain":"example.test"' in spec
    assert '"dns_upstream":["192.0.2.7"]' in spec


def test_lists_show_what_was_asked_for(cloud: Cloud, zone: dict[str, str]) -> None:
    first, second = (isolated_network(cloud, zone, name) for name in ("alpha", "beta"))
    assert [n["id"] for n in cloud.list("listNetworks", keyword="alp")] == [first]
    assert [n["id"] for n in cloud.list("listNetworks", name="beta")] == [second]
    assert len(cloud.list("listNetworks", zoneid=zone["zone"], type="isolated", supportedservices="SourceNat,Dns")) == 2
    assert cloud.list("listNetworks", supportedservices="Lb") == []
    assert cloud.list("listNetworks", issystem=True) == []
    assert cloud.list("listNetworks", forvpc=True) == []
    assert len(cloud.list("listNetworks", forvpc=False)) == 2
    assert cloud.list("listNetworks", traffictype="Public") == []
    assert cloud.api("listNetworks", retrieveonlyresourcecount=True)["count"] == 2
    assert cloud.api("listNetworks", page=2, pagesize=1)["count"] == 2
    assert [n["id"] for n in cloud.list("listNetworks", networkfilter="Account")] == [second, first]


def test_networks_of_others_are_not_theirs(cloud: Cloud, zone: dict[str, str]) -> None:
    own = cloud.api(
        "createNetwork", cloud.user, name="mine", zoneid=zone["zone"], networkofferingid=zone["networkoffering"]
    )["network"]
    assert own["account"] == "user"
    assert "vlan" not in own
    assert cloud.list("listNetworks", cloud.other, listall=True) == []
    assert [n["id"] for n in cloud.list("listNetworks", cloud.domain_admin, listall=True)] == [own["id"]]
    for command in ("updateNetwork", "deleteNetwork", "restartNetwork"):
        with pytest.raises(Refused) as refused:
            cloud.api(command, cloud.other, id=own["id"])
        assert refused.value.code == 531, command
    made = cloud.api(
        "createNetwork", name="given", zoneid=zone["zone"], networkofferingid=zone["networkoffering"], **cloud.user.own
    )["network"]
    assert made["account"] == "user"
    with pytest.raises(Refused):
        cloud.api(
            "createNetwork", cloud.other, name="x", zoneid=zone["zone"], networkofferingid=zone["networkoffering"],
            **cloud.user.own,
        )  # fmt: skip


def test_deleted_account_takes_its_networks_along(cloud: Cloud, zone: dict[str, str]) -> None:
    made = cloud.api(
        "createNetwork", cloud.user, name="mine", zoneid=zone["zone"],
        networkofferingid=offering(cloud, "p", ispersistent=True),
    )["network"]  # fmt: skip
    cloud.job("associateIpAddress", cloud.user, networkid=made["id"])
    cloud.job("deleteAccount", id=cloud.user.account["id"])
    assert cloud.list("listNetworks", listall=True) == []
    assert held(cloud, "router") == []
    assert healthy(cloud)


def test_machine_without_network_gets_the_account_its_own(cloud: Cloud, zone: dict[str, str]) -> None:
    parameters = {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"]}
    first = cloud.job("deployVirtualMachine", cloud.user, name="m1", **parameters)
    second = cloud.job("deployVirtualMachine", cloud.user, name="m2", **parameters)
    (made,) = cloud.list("listNetworks", cloud.user)
    assert {first["nic"][0]["networkid"], second["nic"][0]["networkid"]} == {made["id"]}


def test_hosts_of_a_network_know_one_another(cloud: Cloud, zone: dict[str, str]) -> None:
    with cloud.services.database.write() as db:
        for number, row in enumerate(db.execute(sa.select(host.c.id)).scalars().all()):
            database.change(db, host, row, tunnel_address=f"192.0.2.{101 + number}")
    id_ = isolated_network(cloud, zone, "n1")
    hosts = [each["id"] for each in cloud.list("listHosts", type="Routing")]
    made = [machine(cloud, zone, id_, f"m{n}", hostid=host_id) for n, host_id in enumerate(hosts)]
    until(lambda: len(held(cloud, "segment")) == 3, 5)

    def peers() -> list[int]:
        with cloud.services.database.read() as db:
            values = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == "segment")).scalars()
            return sorted(value.count("192.0.2.1") for value in values)

    until(lambda: peers() == [2, 2, 2], 5, "every host knows the two others")
    (found,) = cloud.list("listRouters", listall=True)
    away = next(each for each in made if each["hostid"] != found["hostid"])
    cloud.job("stopVirtualMachine", id=away["id"], forced=True)
    until(lambda: len(held(cloud, "segment")) == 2, 5, "the host without a machine lets go")
    until(lambda: peers() == [1, 1], 5)
    cloud.job("startVirtualMachine", id=away["id"])
    until(lambda: peers() == [2, 2, 2], 5, "and comes back")
    facts = HostFacts(
        uuid=hosts[0],
        name="h",
        hypervisor="Simulator",
        hypervisor_version="1",
        accelerator="tcg",
        cpus=8,
        cpu_mhz=2000,
        cpu_model="simulated",
        memory_mib=65536,
        tunnel_address="192.0.2.199",
    )
    reports.write(cloud.services, [Report(host=hosts[0], sequence=1, boot="b", facts=facts)])

    def told() -> int:
        with cloud.services.database.read() as db:
            values = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == "segment")).scalars()
            return sum("192.0.2.199" in value for value in values)

    until(lambda: told() == 2, 5, "the two others know the host's new address")


def test_address_of_a_machine_is_found_at_once_in_a_large_network(cloud: Cloud, zone: dict[str, str]) -> None:
    import time

    from pileus.network import nics

    id_ = isolated_network(cloud, zone, "n1", gateway="10.0.0.1", netmask="255.255.0.0")
    with cloud.services.database.write() as db:
        row = db.execute(sa.select(network_table).where(network_table.c.uuid == id_)).one()
        took: list[float] = []
        for number in range(2_000):
            start = time.perf_counter()
            nics.allocate(db, row, number + 1, address=None, mac=None, device_id=0, is_default=True)
            took.append(time.perf_counter() - start)
        addresses = list(db.execute(sa.select(nic.c.address)).scalars())
        assert len(set(addresses)) == 2_000
        assert "10.0.0.1" not in addresses
        assert sorted(took)[1_000] < 0.003
        db.execute(sa.delete(nic))


def test_small_network_is_filled_to_the_last_address(cloud: Cloud, zone: dict[str, str]) -> None:
    from pileus.core.errors import InsufficientAddresses
    from pileus.network import nics

    id_ = isolated_network(cloud, zone, "n1", gateway="10.0.0.3", netmask="255.255.255.248")
    with cloud.services.database.write() as db:
        row = db.execute(sa.select(network_table).where(network_table.c.uuid == id_)).one()

        def take(machine_id: int) -> str:
            made = nics.allocate(db, row, machine_id, address=None, mac=None, device_id=0, is_default=True)
            return made.address

        assert {take(n) for n in range(1, 6)} == {f"10.0.0.{n}" for n in (1, 2, 4, 5, 6)}
        with pytest.raises(InsufficientAddresses):
            take(6)
        db.execute(sa.update(nic).where(nic.c.machine_id == 3).values(removed=database.now()))
        assert take(7)
        db.execute(sa.delete(nic))


def test_router_rows_are_one_for_a_network(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    jobs = [
        cloud.api(
            "deployVirtualMachine",
            name=f"m{n}",
            zoneid=zone["zone"],
            templateid=zone["template"],
            serviceofferingid=zone["offering"],
            networkids=id_,
        )["jobid"]
        for n in range(5)
    ]
    for each in jobs:
        cloud.wait("deployVirtualMachine", each)
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(router)).scalar_one() == 1
        assert db.execute(sa.select(sa.func.count()).select_from(segment_member)).scalar_one() >= 1
    assert healthy(cloud)


def test_machine_in_two_networks(cloud: Cloud, zone: dict[str, str]) -> None:
    first, second = (isolated_network(cloud, zone, name) for name in ("n1", "n2"))
    made = machine(cloud, zone, f"{first},{second}", "m1")
    assert [each["isdefault"] for each in made["nic"]] == [True, False]
    assert {each["networkid"] for each in made["nic"]} == {first, second}
    assert len(cloud.list("listRouters", listall=True)) == 2


def test_what_hangs_on_a_network_follows_it_to_another_id(cloud: Cloud) -> None:
    zone = simulated_zone(cloud)
    before, after = isolated_network(cloud, zone, "n1"), str(uuid.uuid4())
    cloud.job("createTags", resourceids=before, resourcetype="Network", tags=[{"key": "a", "value": "b"}])
    cloud.api("addAnnotation", entityid=before, entitytype="NETWORK", annotation="mind the gap")
    assert cloud.job("updateNetwork", id=before, customid=after)["id"] == after
    (found,) = cloud.list("listNetworks", id=after)
    assert [(tag["key"], tag["resourceid"]) for tag in found["tags"]] == [("a", after)]
    assert found["hasannotations"] is True
    assert [one["annotation"] for one in cloud.list("listAnnotations", entitytype="NETWORK", entityid=after)] == [
        "mind the gap"
    ]
