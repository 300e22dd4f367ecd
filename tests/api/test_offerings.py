"""Service, disk and network offerings: what a new cloud has, what can be made, who sees it; ranges of addresses."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pileus.drivers.simulator import state as hosts
from pileus.network.tables import public_address
from tests.api.test_zones import make_wire, make_zone, refused
from tests.support.cloud import Cloud
from tests.support.zones import machine, simulated_zone

SIZE = {"cpunumber": 1, "cpuspeed": 500, "memory": 256}


def test_new_cloud_has_offerings(cloud: Cloud) -> None:
    services = {offering["name"]: offering for offering in cloud.list("listServiceOfferings", cloud.user)}
    assert {"Small Instance", "Medium Instance", "Tiny Instance"} == set(services)
    small = services["Small Instance"]
    assert (small["cpunumber"], small["cpuspeed"], small["memory"], small["storagetype"]) == (1, 500, 512, "shared")
    assert "hosttags" not in small
    disks = {offering["name"]: offering["disksize"] for offering in cloud.list("listDiskOfferings", cloud.user)}
    assert disks == {"Small": 5, "Medium": 20, "Large": 100, "Custom": 0}
    assert len(cloud.list("listServiceOfferings", issystem=True, systemvmtype="domainrouter")) == 1
    assert refused(cloud, "listServiceOfferings", cloud.user, issystem=True).code == 531
    name = "DefaultIsolatedNetworkOfferingWithSourceNatService"
    default = cloud.list("listNetworkOfferings", cloud.user, name=name, state="Enabled")[0]
    assert (default["availability"], default["egressdefaultpolicy"], default["isdefault"]) == ("Required", False, True)
    assert {"Dhcp", "Dns", "Firewall", "SourceNat", "StaticNat", "PortForwarding", "UserData"} == {
        service["name"] for service in default["service"]
    }
    assert default["service"][0]["provider"] == [{"name": "VirtualRouter"}]


def test_service_offerings_are_fixed_or_chosen_at_deployment(cloud: Cloud) -> None:
    fixed = cloud.api("createServiceOffering", name="f", displaytext="F", hosttags="ssd,gpu", rootdisksize=8, **SIZE)
    assert fixed["serviceoffering"]["hosttags"] == "ssd,gpu"
    assert (fixed["serviceoffering"]["iscustomized"], fixed["serviceoffering"]["rootdisksize"]) == (False, 8)
    custom = cloud.api("createServiceOffering", name="c", displaytext="C")["serviceoffering"]
    assert custom["iscustomized"] is True
    assert "cpunumber" not in custom
    within = cloud.api(
        "createServiceOffering", name="w", cpuspeed=1000, customized=True, mincpunumber=1, maxcpunumber=2, minmemory=64
    )["serviceoffering"]
    assert within["serviceofferingdetails"]["maxcpunumber"] == "2"
    names = {offering["name"] for offering in cloud.list("listServiceOfferings", cpunumber=3)}
    assert names == {"c"}
    assert cloud.api("deleteServiceOffering", id=custom["id"]) == {"success": True}
    assert cloud.list("listServiceOfferings", id=within["id"])[0]["name"] == "w"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"memory": None}, "memory"),
        ({"memory": 16}, "memory"),
        ({"cpunumber": 0}, "cpunumber"),
        ({"mincpunumber": 1}, "mincpunumber"),
        ({"customized": True}, "customized"),
        ({"offerha": True}, "offerha"),
        ({"storagetype": "distant"}, "storagetype"),
        ({"provisioningtype": "thick"}, "provisioningtype"),
        ({"iopsreadratemax": 100}, "iopsreadratemax"),
        ({"hosttags": "a b"}, "hosttags"),
        ({"systemvmtype": "domainrouter"}, "systemvmtype"),
    ],
)
def test_service_offering_refusals(cloud: Cloud, wrong: dict[str, Any], named: str) -> None:
    error = refused(cloud, "createServiceOffering", name="x", displaytext="X", **(SIZE | wrong))
    assert error.code == 431
    assert named in error.text


def test_offerings_of_a_domain(cloud: Cloud) -> None:
    domain, zone = cloud.domain("tests"), make_zone(cloud, allocationstate="Enabled")
    mine = cloud.api("createServiceOffering", name="mine", domainid=domain["id"], zoneid=zone["id"], **SIZE)
    assert (mine["serviceoffering"]["domain"], mine["serviceoffering"]["zone"]) == ("tests", "z1")
    identity = mine["serviceoffering"]["id"]
    assert [o["name"] for o in cloud.list("listServiceOfferings", cloud.user, name="mine")] == ["mine"]
    assert cloud.list("listServiceOfferings", cloud.stranger, name="mine") == []
    assert refused(cloud, "listServiceOfferings", cloud.stranger, id=identity).code == 531
    assert cloud.list("listServiceOfferings", name="mine", domainid=cloud.domain("elsewhere")["id"]) == []
    assert refused(cloud, "deleteServiceOffering", cloud.foreign_admin, id=identity).code == 531
    assert cloud.api("deleteServiceOffering", cloud.domain_admin, id=identity) == {"success": True}


def test_domain_admins_make_offerings_for_their_domain_only(cloud: Cloud) -> None:
    chief = cloud.domain_admin
    assert "domainid" in refused(cloud, "createDiskOffering", chief, name="d", disksize=1).text
    elsewhere = cloud.domain("elsewhere")["id"]
    assert refused(cloud, "createDiskOffering", chief, name="d", disksize=1, domainid=elsewhere).code == 531
    made = cloud.api("createDiskOffering", chief, name="d", disksize=1, domainid=cloud.domain("tests")["id"])
    assert made["diskoffering"]["domain"] == "tests"
    public = cloud.list("listDiskOfferings", name="Small")[0]
    assert refused(cloud, "deleteDiskOffering", chief, id=public["id"]).code == 531


def test_disk_offerings(cloud: Cloud) -> None:
    made = cloud.api("createDiskOffering", name="d", displaytext="D", disksize=7, tags="ssd")["diskoffering"]
    assert (made["disksize"], made["iscustomized"], made["tags"]) == (7, False, "ssd")
    assert "tags" not in cloud.list("listDiskOfferings", cloud.user, id=made["id"])[0]
    for wrong, named in (
        ({}, "disksize"),
        ({"disksize": 0}, "disksize"),
        ({"disksize": 2001}, "disksize"),
        ({"customized": True, "disksize": 5}, "disksize"),
        ({"disksize": 5, "encrypt": True}, "encrypt"),
    ):
        assert named in refused(cloud, "createDiskOffering", name="x", **wrong).text
    cloud.api("deleteDiskOffering", id=made["id"])
    assert cloud.list("listDiskOfferings", name="d") == []


NETWORK = {"guestiptype": "Isolated", "traffictype": "GUEST", "displaytext": "text"}


def test_network_offering_life(cloud: Cloud) -> None:
    made = cloud.api(
        "createNetworkOffering",
        name="mine",
        supportedservices="Dhcp,Dns,SourceNat,Firewall",
        serviceproviderlist=[{"service": s, "provider": "VirtualRouter"} for s in ("Dhcp", "Dns", "SourceNat")],
        servicecapabilitylist=[
            {"service": "SourceNat", "capabilitytype": "SupportedSourceNatTypes", "capabilityvalue": "peraccount"}
        ],
        egressdefaultpolicy=True,
        **NETWORK,
    )["networkoffering"]
    assert (made["state"], made["egressdefaultpolicy"], made["isdefault"]) == ("Disabled", True, False)
    assert cloud.list("listNetworkOfferings", cloud.user, name="mine") == []
    changed = cloud.api("updateNetworkOffering", id=made["id"], state="Enabled", displaytext="new", sortkey=-5)
    assert (changed["networkoffering"]["state"], changed["networkoffering"]["displaytext"]) == ("Enabled", "new")
    assert cloud.list("listNetworkOfferings", supportedservices="sourcenat")[0]["name"] == "mine"
    assert cloud.list("listNetworkOfferings", supportedservices="StaticNat", isdefault=False) == []
    assert "SourceNat" not in str(cloud.list("listNetworkOfferings", sourcenatsupported=False))
    domain = cloud.domain("tests")["id"]
    assert cloud.api("updateNetworkOffering", id=made["id"], domainid=domain)["networkoffering"]["domain"] == "tests"
    assert cloud.list("listNetworkOfferings", cloud.stranger, name="mine") == []
    assert "domain" not in cloud.api("updateNetworkOffering", id=made["id"], domainid="public")["networkoffering"]
    assert cloud.api("deleteNetworkOffering", id=made["id"]) == {"success": True}
    default = cloud.list("listNetworkOfferings", isdefault=True)[0]
    assert "disable" in refused(cloud, "deleteNetworkOffering", id=default["id"]).text


def test_networks_let_everything_out_unless_the_offering_says_otherwise(cloud: Cloud) -> None:
    common = NETWORK | {"supportedservices": "Dhcp,Dns,SourceNat,Firewall"}
    for given, policy in (({}, True), ({"egressdefaultpolicy": False}, False)):
        made = cloud.api("createNetworkOffering", name=f"lets {policy}", **common, **given)["networkoffering"]
        assert made["egressdefaultpolicy"] is policy


def test_networks_of_layer_2(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    names = {offering["name"]: offering for offering in cloud.list("listNetworkOfferings", guestiptype="L2")}
    assert set(names) == {"DefaultL2NetworkOffering", "DefaultL2NetworkOfferingVlan"}
    default = names["DefaultL2NetworkOffering"]
    assert (default["service"], default["state"], default["isdefault"]) == ([], "Enabled", True)
    assert default["serviceofferingid"] == router_offering(cloud)  # libcloud lists no offering without
    mine = cloud.api("createNetworkOffering", name="wire", enable=True, **(NETWORK | {"guestiptype": "l2"}))
    assert mine["networkoffering"]["guestiptype"] == "L2"
    for wrong in ({"supportedservices": "Dhcp"}, {"serviceofferingid": router_offering(cloud)}):
        error = refused(cloud, "createNetworkOffering", name="x", **(NETWORK | {"guestiptype": "L2"} | wrong))
        assert next(iter(wrong)) in error.text
    wires = [
        cloud.api("createNetwork", name=name, displaytext=name, zoneid=zone["zone"], networkofferingid=of)["network"]
        for name, of in (("w1", default["id"]), ("w2", mine["networkoffering"]["id"]))
    ]
    assert refused(
        cloud, "createNetwork", name="w3", zoneid=zone["zone"], networkofferingid=default["id"], gateway="10.9.0.1",
        netmask="255.255.255.0",
    ).code == 431  # fmt: skip
    made = machine(cloud, zone, ",".join(wire["id"] for wire in wires), "m1")
    assert made["state"] == "Running"
    assert [("ipaddress" in nic, nic["networkname"], nic["type"]) for nic in made["nic"]] == [
        (False, "w1", "L2"),
        (False, "w2", "L2"),
    ]
    assert cloud.list("listRouters", listall=True) == []
    with cloud.services.database.read() as db:
        (told,) = (each["spec"]["nics"] for each in hosts.objects(db, "machine").values())
    assert [nic["address"] for nic in told] == ["", ""]
    assert told[0]["segment"]["tag"] != told[1]["segment"]["tag"]
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
    cloud.job("deleteNetwork", id=wires[0]["id"])


def router_offering(cloud: Cloud) -> str:
    return cloud.list("listServiceOfferings", issystem=True)[0]["id"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"supportedservices": ""}, "supportedservices"),
        ({"supportedservices": "Lb"}, "Lb"),
        ({"supportedservices": "Tea"}, "supportedservices"),
        ({"supportedservices": "PortForwarding"}, "SourceNat and Firewall"),
        ({"guestiptype": "Shared"}, "guestiptype"),
        ({"traffictype": "Public"}, "traffictype"),
        ({"forvpc": True}, "forvpc"),
        ({"serviceproviderlist": [{"service": "Dhcp", "provider": "Netscaler"}]}, "serviceproviderlist"),
        (
            {
                "servicecapabilitylist": [
                    {"service": "Dhcp", "capabilitytype": "DhcpAccrossMultipleSubnets", "capabilityvalue": "true"}
                ]
            },
            "servicecapabilitylist",
        ),
    ],
)
def test_network_offering_refusals(cloud: Cloud, wrong: dict[str, Any], named: str) -> None:
    given = NETWORK | {"supportedservices": "Dhcp"} | wrong
    error = refused(cloud, "createNetworkOffering", name="x", **given)
    assert error.code == 431
    assert named in error.text


def public_zone(cloud: Cloud) -> dict[str, Any]:
    zone = make_zone(cloud)
    wire = make_wire(cloud, zone)
    cloud.job("addTrafficType", physicalnetworkid=wire["id"], traffictype="Public")
    return zone


RANGE = {"gateway": "198.18.0.1", "netmask": "255.255.0.0", "vlan": "untagged"}


def test_a_wide_range(cloud: Cloud) -> None:
    zone = public_zone(cloud)
    made = cloud.api(
        "createVlanIpRange",
        zoneid=zone["id"],
        startip="198.18.0.2",
        endip="198.18.255.254",
        forvirtualnetwork=True,
        **RANGE,
    )["vlan"]
    assert (made["cidr"], made["vlan"], made["forvirtualnetwork"]) == ("198.18.0.0/16", "untagged", True)
    with cloud.services.database.read() as db:
        columns = public_address.c
        count, lowest = db.execute(
            sa.select(sa.func.count(), sa.func.min(columns.uuid)).select_from(public_address)
        ).one()
    assert count == 65533
    assert len(lowest) == 36
    assert cloud.list("listVlanIpRanges", zoneid=zone["id"], forvirtualnetwork=True)[0]["id"] == made["id"]
    with cloud.services.database.write() as db:
        db.execute(sa.update(public_address).where(columns.address == "198.18.0.9").values(state="Allocated"))
    assert "198.18.0.9" in refused(cloud, "deleteVlanIpRange", id=made["id"]).text
    with cloud.services.database.write() as db:
        db.execute(sa.update(public_address).values(state="Free"))
    assert cloud.api("deleteVlanIpRange", id=made["id"]) == {"success": True}


def test_ranges_for_an_account_and_beside_each_other(cloud: Cloud) -> None:
    zone = public_zone(cloud)
    first = {"zoneid": zone["id"], "startip": "198.18.0.10", "endip": "198.18.0.19"} | RANGE
    made = cloud.api("createVlanIpRange", **first, **cloud.user.own)["vlan"]
    assert (made["account"], made["domain"]) == ("user", "tests")
    for wrong, named in (
        ({"startip": "198.18.0.15", "endip": "198.18.0.25"}, "overlaps"),
        ({"startip": "198.18.0.30", "endip": "198.18.0.35", "vlan": "100"}, "vlan"),
        ({"startip": "198.18.0.30", "endip": "198.18.0.35", "gateway": "198.18.0.2"}, "gateway"),
        ({"startip": "198.18.0.1", "endip": "198.18.0.5"}, "gateway"),
        ({"startip": "198.18.0.9", "endip": "198.18.0.5"}, "startip"),
        ({"startip": "203.0.113.9", "endip": "203.0.113.10"}, "startip"),
        ({"netmask": "255.0.255.0"}, "netmask"),
        ({"vlan": "5000"}, "vlan"),
    ):
        assert named in refused(cloud, "createVlanIpRange", **(first | wrong)).text
    cloud.api("createVlanIpRange", **(first | {"startip": "198.18.0.20", "endip": "198.18.0.20"}))
    assert len(cloud.list("listVlanIpRanges")) == 2
    assert [r["id"] for r in cloud.list("listVlanIpRanges", **cloud.user.own)] == [made["id"]]


def test_range_needs_public_traffic(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    make_wire(cloud, zone)
    error = refused(cloud, "createVlanIpRange", zoneid=zone["id"], startip="198.18.0.10", **RANGE)
    assert "addTrafficType" in error.text


def test_wide_range_on_postgresql(postgres_url: str, tmp_path: Any) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = public_zone(cloud)
        cloud.api("createVlanIpRange", zoneid=zone["id"], startip="198.18.0.2", endip="198.18.20.254", **RANGE)
        with cloud.services.database.read() as db:
            count = sa.select(sa.func.count(sa.distinct(public_address.c.uuid)))
            assert db.execute(count).scalar_one() == 20 * 256 + 253
        made = cloud.api("createServiceOffering", name="mine", domainid=cloud.domain("tests")["id"], **SIZE)
        assert cloud.list("listServiceOfferings", cloud.stranger, name="mine") == []
        assert cloud.list("listServiceOfferings", cloud.user, cpunumber=1, id=made["serviceoffering"]["id"])
        assert cloud.list("listNetworkOfferings", supportedservices="Dhcp", sourcenatsupported=True)


def test_lists_of_network_offerings_by_tag_and_by_services_to_come(cloud: Cloud):
    """The parameter tags of this list is a word, not a map."""
    made = [
        cloud.api(
            "createNetworkOffering", name=f"o{number}", displaytext="x", guestiptype="Isolated", traffictype="Guest",
            supportedservices="Dhcp", tags=f"t{number}", enable=True,
        )["networkoffering"]
        for number in (1, 2)
    ]  # fmt: skip
    assert [one["name"] for one in cloud.list("listNetworkOfferings", tags="t1")] == ["o1"]
    assert cloud.list("listNetworkOfferings", tags="t3") == []
    assert cloud.list("listNetworkOfferings", supportedservices="Dhcp,Lb") == []
    assert "supportedservices" in refused(cloud, "listNetworkOfferings", supportedservices="Telepathy").text
    cloud.api("updateNetworkOffering", id=made[1]["id"], sortkey=-1)
    assert cloud.list("listNetworkOfferings")[0]["name"] == "o2"  # the lowest sort key comes first, as in all lists
    changes: tuple[dict[str, Any], ...] = ({"maxconnections": -1}, {"name": " "}, {"name": "o1"})
    for change in changes:
        answer = refused(cloud, "updateNetworkOffering", id=made[1]["id"], **change)
        assert (answer.code, next(iter(change)) in answer.text) == (431, True)
    shown = cloud.list("listNetworkOfferings", id=made[1]["id"])[0]
    assert (shown["name"], "maxconnections" in shown) == ("o2", False)
