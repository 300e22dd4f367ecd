"""Zones, physical networks, providers, pods, clusters: made, changed, refused, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import simulated_zone

ZONE = {"networktype": "Advanced", "dns1": "192.0.2.1", "internaldns1": "192.0.2.2"}


def make_zone(cloud: Cloud, name: str = "z1", **more: Any) -> dict[str, Any]:
    return cloud.api("createZone", name=name, **(ZONE | more))["zone"]


def make_wire(cloud: Cloud, zone: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {"name": "wire", "zoneid": zone["id"], "isolationmethods": "VXLAN", "vlan": "1000-1999"}
    return cloud.job("createPhysicalNetwork", **(given | more))


def refused(cloud: Cloud, command: str, caller: Any = None, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def test_zone_is_made_disabled_then_enabled(cloud: Cloud) -> None:
    zone = make_zone(cloud, domain="Cloud.Example")
    assert zone["allocationstate"] == "Disabled"
    assert zone["guestcidraddress"] == "10.1.1.0/24"
    assert zone["domain"] == "cloud.example"
    assert len(zone["zonetoken"]) == 32
    assert cloud.list("listZones", cloud.user) == []
    changed = cloud.api("updateZone", id=zone["id"], allocationstate="enabled", dns2="192.0.2.9", name="z2")["zone"]
    assert (changed["allocationstate"], changed["dns2"], changed["name"]) == ("Enabled", "192.0.2.9", "z2")
    seen = cloud.list("listZones", cloud.user, available=True)[0]
    assert seen["id"] == zone["id"]
    assert "dns1" not in seen
    assert "guestcidraddress" not in seen


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"networktype": "Simple"}, "networktype"),
        ({"networktype": "Strange"}, "networktype"),
        ({"dns1": "not an address"}, "dns1"),
        ({"ip6dns1": "192.0.2.1"}, "ip6dns1"),
        ({"guestcidraddress": "10.1.1.7/24"}, "guestcidraddress"),
        ({"domain": "-bad-.example"}, "domain"),
        ({"allocationstate": "Perhaps"}, "allocationstate"),
        ({"securitygroupenabled": True, "isedge": True}, "isedge"),
        ({"internaldns1": ""}, "internaldns1"),
    ],
)
def test_zone_refusals_name_the_parameter(cloud: Cloud, wrong: dict[str, Any], named: str) -> None:
    error = refused(cloud, "createZone", name="z", **(ZONE | wrong))
    assert error.code == 431
    assert named in error.text


def test_what_a_zone_needs_is_not_emptied(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    for name in ("dns1", "internaldns1", "guestcidraddress"):
        assert f"parameter {name} " in refused(cloud, "updateZone", id=zone["id"], **{name: ""}).text


def test_zone_names_are_unique_while_they_live(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    assert "name" in refused(cloud, "createZone", name="z1", **ZONE).text
    assert cloud.api("deleteZone", id=zone["id"]) == {"success": True}
    assert make_zone(cloud)["id"] != zone["id"]


def test_zone_of_a_domain_is_seen_there_and_below_only(cloud: Cloud) -> None:
    domain = cloud.domain("tests")
    make_zone(cloud, domainid=domain["id"], allocationstate="Enabled")
    assert [zone["domainname"] for zone in cloud.list("listZones", cloud.user)] == ["tests"]
    assert cloud.list("listZones", cloud.stranger) == []
    assert len(cloud.list("listZones", domainid=domain["id"])) == 1
    assert cloud.list("listZones", domainid=cloud.domain("elsewhere")["id"]) == []


def test_only_root_admins_make_zones(cloud: Cloud) -> None:
    for person in (cloud.user, cloud.domain_admin):
        assert refused(cloud, "createZone", person, name="z", **ZONE).code == 401


def test_physical_network_life(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    wire = make_wire(cloud, zone, vlan="300-399, 100-200,201-250", tags="green", networkspeed="1G")
    assert (wire["state"], wire["vlan"], wire["isolationmethods"]) == ("Disabled", "100-250,300-399", "VXLAN")
    assert (wire["zonename"], wire["tags"], wire["broadcastdomainrange"]) == ("z1", "green", "ZONE")
    wire = cloud.job("updatePhysicalNetwork", id=wire["id"], state="Enabled", vlan="500-16777214")
    assert (wire["state"], wire["vlan"]) == ("Enabled", "500-16777214")
    for kind in ("Guest", "Public", "Management", "Storage"):
        made = cloud.job("addTrafficType", physicalnetworkid=wire["id"], traffictype=kind, kvmnetworklabel="br0")
        assert (made["traffictype"], made["kvmnetworklabel"]) == (kind, "br0")
    assert len(cloud.list("listTrafficTypes", physicalnetworkid=wire["id"])) == 4
    assert "Guest" in refused(cloud, "addTrafficType", physicalnetworkid=wire["id"], traffictype="guest").text
    assert "networkspeed" in refused(cloud, "updatePhysicalNetwork", id=wire["id"], networkspeed="1" * 17).text
    wrong = {"physicalnetworkid": wire["id"], "traffictype": "Storage", "vlan": "1" * 33}
    assert "vlan" in refused(cloud, "addTrafficType", **wrong).text
    assert "physical network (wire)" in refused(cloud, "deleteZone", id=zone["id"]).text
    assert cloud.job("deletePhysicalNetwork", id=wire["id"]) == {"success": True}
    assert cloud.list("listPhysicalNetworks", zoneid=zone["id"]) == []
    assert cloud.api("deleteZone", id=zone["id"]) == {"success": True}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"vlan": "0-10"}, "1-16777214"),
        ({"vlan": "100-16777215"}, "1-16777214"),
        ({"vlan": "100-200,150-160"}, "overlap"),
        ({"vlan": "many"}, "vlan"),
        ({"vlan": "200-100"}, "vlan"),
        ({"isolationmethods": "VLAN", "vlan": "1-4095"}, "1-4094"),
        ({"isolationmethods": "GRE"}, "isolationmethods"),
        ({"isolationmethods": "VLAN,VXLAN"}, "isolationmethods"),
        ({"broadcastdomainrange": "POD"}, "broadcastdomainrange"),
        ({"networkspeed": "as fast as it can be"}, "networkspeed"),
    ],
)
def test_physical_network_refusals(cloud: Cloud, wrong: dict[str, Any], named: str) -> None:
    zone = make_zone(cloud)
    given = {"name": "wire", "zoneid": zone["id"], "isolationmethods": "VXLAN", "vlan": "1000-1999"}
    error = refused(cloud, "createPhysicalNetwork", **(given | wrong))
    assert error.code == 431
    assert named in error.text


def test_vxlan_ranges_of_a_zone_do_not_overlap(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    make_wire(cloud, zone)
    error = refused(
        cloud, "createPhysicalNetwork", name="b", zoneid=zone["id"], isolationmethods="VXLAN", vlan="1500-2500"
    )
    assert "1500-1999" in error.text


def test_virtual_router_is_configured_before_it_is_enabled(cloud: Cloud) -> None:
    wire = make_wire(cloud, make_zone(cloud))
    provider = cloud.list("listNetworkServiceProviders", physicalnetworkid=wire["id"], name="virtualrouter")[0]
    assert provider["state"] == "Disabled"
    assert "SourceNat" in provider["servicelist"]
    error = refused(cloud, "updateNetworkServiceProvider", id=provider["id"], state="Enabled")
    assert "configureVirtualRouterElement" in error.text
    element = cloud.list("listVirtualRouterElements", nspid=provider["id"])[0]
    assert element["enabled"] is False
    assert cloud.job("configureVirtualRouterElement", id=element["id"], enabled=True)["enabled"] is True
    assert cloud.list("listVirtualRouterElements", enabled=True)[0]["id"] == element["id"]
    assert cloud.job("updateNetworkServiceProvider", id=provider["id"], state="Enabled")["state"] == "Enabled"
    assert element["id"] in refused(cloud, "createVirtualRouterElement", nspid=provider["id"]).text


def test_pods_keep_their_networks_apart(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    addresses = {"gateway": "192.0.2.1", "netmask": "255.255.255.0", "startip": "192.0.2.10", "endip": "192.0.2.20"}
    pod = cloud.api("createPod", name="p1", zoneid=zone["id"], **addresses)["pod"]
    assert pod["startip"] == ["192.0.2.10"]
    assert pod["ipranges"][0]["cidr"] == "192.0.2.0/24"
    assert "p1" in refused(cloud, "createPod", name="p1", zoneid=zone["id"]).text
    assert "overlaps" in refused(cloud, "createPod", name="p2", zoneid=zone["id"], **addresses).text
    wrong = addresses | {"endip": "192.0.3.20"}
    assert "endip" in refused(cloud, "createPod", name="p3", zoneid=zone["id"], **wrong).text
    assert [p["name"] for p in cloud.list("listPods", zoneid=zone["id"], keyword="1")] == ["p1"]
    assert cloud.api("deletePod", id=pod["id"]) == {"success": True}


def test_cluster_life(cloud: Cloud) -> None:
    zone = make_zone(cloud)
    pod = cloud.api("createPod", name="p1", zoneid=zone["id"])["pod"]
    place = {"zoneid": zone["id"], "podid": pod["id"], "clustertype": "CloudManaged"}
    cluster = cloud.list("addCluster", clustername="c1", hypervisor="simulator", **place)[0]
    assert (cluster["hypervisortype"], cluster["allocationstate"]) == ("Simulator", "Enabled")
    assert "c1" in refused(cloud, "addCluster", clustername="c1", hypervisor="KVM", **place).text
    assert "hypervisor" in refused(cloud, "addCluster", clustername="c2", hypervisor="VMware", **place).text
    changed = cloud.api("updateCluster", id=cluster["id"], clustername="c9", allocationstate="Disabled")["cluster"]
    assert (changed["name"], changed["allocationstate"]) == ("c9", "Disabled")
    assert cloud.list("listClusters", name="c9", hypervisor="simulator")[0]["id"] == cluster["id"]
    assert cloud.api("deleteCluster", id=cluster["id"]) == {"success": True}
    assert cloud.list("listClusters") == []


def test_a_zone_says_which_mtus_may_be_chosen_in_it(cloud: Cloud):
    zone = simulated_zone(cloud)["zone"]
    (seen,) = cloud.list("listZones", cloud.user, id=zone)
    assert (seen["allowuserspecifyvrmtu"], seen["routerprivateinterfacemaxmtu"]) == (False, 1500)
    cloud.api("updateConfiguration", name="vr.private.interface.max.mtu", value=1400, zoneid=zone)
    cloud.api("updateConfiguration", name="allow.end.users.to.specify.vr.mtu", value=True, zoneid=zone)
    (seen,) = cloud.list("listZones", cloud.user, id=zone)
    assert (seen["allowuserspecifyvrmtu"], seen["routerprivateinterfacemaxmtu"]) == (True, 1400)
    assert (seen["routerpublicinterfacemaxmtu"], seen["isnsxenabled"]) == (1500, False)
