"""What networks may be told beyond names and addresses: MTUs, reserved addresses, ranges, offerings taken by force."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.drivers.simulator.tables import sim_object
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone

SERVICES = "Dhcp,Dns,SourceNat,Firewall,StaticNat,PortForwarding,UserData"


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    return simulated_zone(cloud)


def offering(cloud: Cloud, name: str, services: str = SERVICES, **more: Any) -> str:
    made = cloud.api(
        "createNetworkOffering", name=name, displaytext=name, guestiptype="Isolated", traffictype="GUEST",
        supportedservices=services, enable=True, **more,
    )  # fmt: skip
    return made["networkoffering"]["id"]


def held(cloud: Cloud, sort: str) -> list[dict[str, Any]]:
    """Return what the simulated hosts were told of a sort of object."""
    with cloud.services.database.read() as db:
        values = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == sort)).scalars().all()
    return [json.loads(value)["spec"] for value in values]


def network(cloud: Cloud, id_: str) -> dict[str, Any]:
    (found,) = cloud.list("listNetworks", id=id_)
    return found


def address(made: dict[str, Any]) -> str:
    return made["nic"][0]["ipaddress"]


def test_the_mtu_of_both_sides_reaches_the_router_and_the_machines(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1", privatemtu=1300, publicmtu=1400)
    machine(cloud, zone, id_, "m1")
    assert (network(cloud, id_)["privatemtu"], network(cloud, id_)["publicmtu"]) == (1300, 1400)
    (router,) = held(cloud, "router")
    assert (router["guest"]["segment"]["mtu"], router["public_mtu"]) == (1300, 1400)
    changed = cloud.job("updateNetwork", id=id_, privatemtu=1200, publicmtu=1280)
    assert (changed["privatemtu"], changed["publicmtu"]) == (1200, 1280)
    (router,) = held(cloud, "router")
    assert (router["guest"]["segment"]["mtu"], router["public_mtu"]) == (1200, 1280)
    made = machine(cloud, zone, id_, "m2")
    assert made["nic"][0]["mtu"] == 1200
    assert {nic["segment"]["mtu"] for spec in held(cloud, "machine") for nic in spec["nics"]} == {1300, 1200}
    for wrong in ({"privatemtu": 1451}, {"privatemtu": 575}, {"publicmtu": 1501}, {"publicmtu": 0}):
        with pytest.raises(Refused, match="mtu") as caught:
            cloud.job("updateNetwork", id=id_, **wrong)
        assert caught.value.code == 431


def test_users_choose_mtus_when_they_are_let(cloud: Cloud, zone: dict[str, str]) -> None:
    asked: dict[str, Any] = {
        "name": "n1", "zoneid": zone["zone"], "networkofferingid": zone["networkoffering"], "privatemtu": 1300,
    }  # fmt: skip
    with pytest.raises(Refused, match=r"allow\.end\.users\.to\.specify\.vr\.mtu") as caught:
        cloud.api("createNetwork", cloud.user, **asked)
    assert caught.value.code == 531
    cloud.api("updateConfiguration", name="allow.end.users.to.specify.vr.mtu", value=True, zoneid=zone["zone"])
    assert cloud.api("createNetwork", cloud.user, **asked)["network"]["privatemtu"] == 1300
    cloud.api("updateConfiguration", name="vr.private.interface.max.mtu", value=1200, zoneid=zone["zone"])
    cloud.api("updateConfiguration", name="vr.public.interface.max.mtu", value=1250, zoneid=zone["zone"])
    for wrong in ({"privatemtu": 1201}, {"privatemtu": 1200, "publicmtu": 1251}):
        with pytest.raises(Refused, match="from 576 to"):
            cloud.api("createNetwork", cloud.user, **(asked | {"name": "n2"} | wrong))


def test_machines_keep_to_the_part_that_is_not_reserved(cloud: Cloud, zone: dict[str, str]) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, id_, "m1", ipaddress="10.1.1.35")
    changed = cloud.job("updateNetwork", id=id_, guestvmcidr="10.1.1.32/29")
    assert (changed["cidr"], changed["networkcidr"]) == ("10.1.1.32/29", "10.1.1.0/24")
    assert changed["reservediprange"] == "10.1.1.0-10.1.1.31, 10.1.1.40-10.1.1.255"
    (router,) = held(cloud, "router")
    assert (router["guest"]["address"], router["guest"]["prefix"]) == ("10.1.1.1", 24), "guests stay in one network"
    given = {address(machine(cloud, zone, id_, f"g{number}")) for number in range(5)}
    assert given == {f"10.1.1.{last}" for last in (33, 34, 36, 37, 38)}
    with pytest.raises(Refused, match="no free address"):
        machine(cloud, zone, id_, "m2")
    with pytest.raises(Refused, match=r"from 10\.1\.1\.33 to 10\.1\.1\.38"):
        machine(cloud, zone, id_, "m2", ipaddress="10.1.1.50")
    back = cloud.job("updateNetwork", id=id_, guestvmcidr="10.1.1.0/24")
    assert back["cidr"] == "10.1.1.0/24"
    assert "networkcidr" not in back
    assert address(machine(cloud, zone, id_, "m2", ipaddress="10.1.1.50")) == "10.1.1.50"


@pytest.mark.parametrize(
    ("part", "named"),
    [("10.1.2.0/28", "not within"), ("10.1.1.128/28", "10.1.1.35"), ("all", "CIDR"), ("10.1.1.34/31", "no room")],
)
def test_reservations_that_cannot_be(cloud: Cloud, zone: dict[str, str], part: str, named: str) -> None:
    id_ = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, id_, "m1", ipaddress="10.1.1.35", startvm=False)
    with pytest.raises(Refused, match="guestvmcidr") as caught:
        cloud.job("updateNetwork", id=id_, guestvmcidr=part)
    assert caught.value.code == 431
    assert named in caught.value.text
    assert network(cloud, id_)["cidr"] == "10.1.1.0/24"


def test_guests_are_told_the_name_servers_themselves_where_the_router_is_none(
    cloud: Cloud, zone: dict[str, str]
) -> None:
    for name, services, told in (("bare", "Dhcp,UserData", ["192.0.2.7", "192.0.2.8"]), ("full", SERVICES, None)):
        made = cloud.api(
            "createNetwork", name=name, zoneid=zone["zone"], networkofferingid=offering(cloud, name, services),
            dns1="192.0.2.7", dns2="192.0.2.8",
        )["network"]["id"]  # fmt: skip
        machine(cloud, zone, made, f"m-{name}")
        (router,) = cloud.list("listRouters", networkid=made, listall=True)
        (spec,) = (each for each in held(cloud, "router") if each["uuid"] == router["id"])
        assert spec["guest"].get("dns") == told


def test_networks_without_source_nat_have_a_range(cloud: Cloud, zone: dict[str, str]) -> None:
    inside = offering(cloud, "inside", "Dhcp,Dns,UserData")
    common = {"zoneid": zone["zone"], "networkofferingid": inside}
    whole = {"gateway": "10.9.0.1", "netmask": "255.255.255.0"}
    made = cloud.api("createNetwork", name="n1", startip="10.9.0.20", endip="10.9.0.21", **whole, **common)["network"]
    given = {address(machine(cloud, zone, made["id"], f"m{number}", startvm=False)) for number in range(2)}
    assert given == {"10.9.0.20", "10.9.0.21"}
    with pytest.raises(Refused, match="no free address"):
        machine(cloud, zone, made["id"], "m3", startvm=False)
    for wrong in (
        {"startip": "10.9.1.1"}, {"startip": "10.9.0.9", "endip": "10.9.0.2"}, {"endip": "10.9.0.2"},
        {"startip": "10.9.0.1", "endip": "10.9.0.9"}, {"startip": "x"},
    ):  # fmt: skip
        with pytest.raises(Refused, match="ip"):
            cloud.api("createNetwork", name="n2", **whole, **common, **wrong)
    with pytest.raises(Refused, match="without source NAT"):
        isolated_network(cloud, zone, "n3", startip="10.1.1.20", endip="10.1.1.30")


def test_an_offering_is_forced_upon_a_network_by_root_admins_only(cloud: Cloud, zone: dict[str, str]) -> None:
    user = cloud.user
    full, less = offering(cloud, "full"), offering(cloud, "less", "Dhcp,Dns,SourceNat,Firewall,UserData")
    id_ = cloud.api("createNetwork", user, name="n1", zoneid=zone["zone"], networkofferingid=full)["network"]["id"]
    made = cloud.job(
        "deployVirtualMachine", user, name="m1", zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=id_,
    )  # fmt: skip
    public = cloud.job("associateIpAddress", user, networkid=id_)["id"]
    cloud.job(
        "createPortForwardingRule", user, ipaddressid=public, protocol="tcp", publicport=80, privateport=80,
        virtualmachineid=made["id"],
    )  # fmt: skip
    with pytest.raises(Refused, match="PortForwarding"):
        cloud.job("updateNetwork", user, id=id_, networkofferingid=less)
    with pytest.raises(Refused, match="PortForwarding"):  # of others the parameter is not looked at
        cloud.job("updateNetwork", user, id=id_, networkofferingid=less, forced=True)
    cloud.job("updateNetwork", id=id_, networkofferingid=less, forced=True)
    assert cloud.list("listPortForwardingRules", user, ipaddressid=public) == []
    assert not held(cloud, "router")[0].get("forwards")


def test_ip_forwarding_goes_with_the_static_nat_that_a_forced_offering_takes_away(
    cloud: Cloud, zone: dict[str, str]
) -> None:
    less = offering(cloud, "less", "Dhcp,Dns,SourceNat,Firewall,UserData")
    id_ = isolated_network(cloud, zone, "n1")
    made = machine(cloud, zone, id_, "m1")
    public = cloud.job("associateIpAddress", networkid=id_)["id"]
    cloud.api("enableStaticNat", ipaddressid=public, virtualmachineid=made["id"])
    cloud.api("createIpForwardingRule", ipaddressid=public, protocol="tcp", startport=80)
    until(lambda: [each["state"] for each in cloud.list("listFirewallRules")] == ["Active"], 5)
    cloud.job("updateNetwork", id=id_, networkofferingid=less, forced=True)
    assert cloud.list("listPublicIpAddresses", isstaticnat=True) == []
    assert cloud.list("listIpForwardingRules") == []
    assert cloud.list("listFirewallRules") == [], "the one that came with it"


def test_offerings_that_a_network_could_be_changed_to(cloud: Cloud, zone: dict[str, str]) -> None:
    full, less = offering(cloud, "full"), offering(cloud, "less", "Dhcp,Dns,SourceNat,Firewall,UserData")
    persistent, inside = offering(cloud, "stays", ispersistent=True), offering(cloud, "inside", "Dhcp,Dns,UserData")
    id_ = cloud.api("createNetwork", cloud.user, name="n1", zoneid=zone["zone"], networkofferingid=full)["network"][
        "id"
    ]
    found = {each["id"] for each in cloud.list("listNetworkOfferings", cloud.user, networkid=id_)}
    assert less in found
    assert found.isdisjoint({full, persistent, inside})
    for each in found:
        cloud.job("updateNetwork", cloud.user, id=id_, networkofferingid=each)
    with pytest.raises(Refused) as caught:
        cloud.api("listNetworkOfferings", cloud.stranger, networkid=id_)
    assert caught.value.code in (431, 531)


def test_offerings_do_not_keep_connections_alive_yet(cloud: Cloud) -> None:
    made = offering(cloud, "full")
    cloud.api("updateNetworkOffering", id=made, keepaliveenabled=False)
    with pytest.raises(Refused, match="keepaliveenabled"):
        cloud.api("updateNetworkOffering", id=made, keepaliveenabled=True)


def test_labels_of_every_hypervisor_are_kept(cloud: Cloud) -> None:
    zone = cloud.api("createZone", name="z1", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53")
    physical = cloud.job(
        "createPhysicalNetwork", zoneid=zone["zone"]["id"], name="p", isolationmethods="VXLAN", vlan="1000-1009"
    )["id"]
    asked = {"physicalnetworkid": physical, "traffictype": "Guest"}
    with pytest.raises(Refused, match="isolationmethod"):
        cloud.job("addTrafficType", isolationmethod="VLAN", **asked)
    made = cloud.job("addTrafficType", ovm3networklabel="o1", hypervnetworklabel="h1", isolationmethod="vxlan", **asked)
    assert (made["ovm3networklabel"], made["hypervnetworklabel"]) == ("o1", "h1")
    changed = cloud.job("updateTrafficType", id=made["id"], ovm3networklabel="o2", hypervnetworklabel="h2")
    assert (changed["ovm3networklabel"], changed["hypervnetworklabel"]) == ("o2", "h2")
    (listed,) = cloud.list("listTrafficTypes", physicalnetworkid=physical)
    assert (listed["ovm3networklabel"], listed["hypervnetworklabel"]) == ("o2", "h2")
