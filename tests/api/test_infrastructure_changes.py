"""Changing what is there: pods, zones, traffic types, offerings; and what is refused while something uses it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def test_a_pod_changes_its_name_state_and_addresses(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    changed = cloud.api("updatePod", id=zone["pod"], name="rack 1", endip="192.0.2.90")["pod"]
    assert (changed["name"], changed["startip"], changed["endip"]) == ("rack 1", ["192.0.2.10"], ["192.0.2.90"])
    refusals: tuple[tuple[dict[str, Any], str], ...] = (
        ({"netmask": "255.255.255.248"}, "startip"),
        ({"gateway": "192.0.2.20"}, "gateway"),
        ({"name": " "}, "name"),
        ({"allocationstate": "Sleepy"}, "Enabled"),
    )
    for wrong, why in refusals:
        with pytest.raises(Refused, match=why):
            cloud.api("updatePod", id=zone["pod"], **wrong)
    cloud.api("updatePod", id=zone["pod"], allocationstate="Disabled")
    with pytest.raises(Refused, match="disabled"):
        machine(cloud, zone, isolated_network(cloud, zone, "n1"), "vm1")
    cloud.api("createPod", zoneid=zone["zone"], name="rack 2")
    with pytest.raises(Refused, match="already"):
        cloud.api("updatePod", id=zone["pod"], name="rack 2")


def test_zones_of_all_kinds(cloud: Cloud) -> None:
    servers: dict[str, Any] = {"dns1": "192.0.2.53", "internaldns1": "192.0.2.53"}
    basic = cloud.api("createZone", name="basic", networktype="Basic", **servers)["zone"]
    assert (basic["networktype"], basic["securitygroupsenabled"], basic.get("guestcidraddress")) == (
        "Basic", False, None,
    )  # fmt: skip
    edge = cloud.api("createZone", name="edge", networktype="Advanced", isedge=True, **servers)["zone"]
    assert (edge["type"], edge["localstorageenabled"]) == ("Edge", True)
    changed = cloud.api(
        "updateZone", id=edge["id"], sortkey=-1, dnssearchorder="Edge.Example", dhcpprovider="VirtualRouter"
    )["zone"]
    assert changed["domain"] == "edge.example"
    assert [zone["name"] for zone in cloud.list("listZones")] == ["edge", "basic"]
    refusals: tuple[dict[str, Any], ...] = ({"dhcpprovider": "Router9"}, {"dnssearchorder": "a.example,b.example"})
    for wrong in refusals:
        with pytest.raises(Refused, match=next(iter(wrong))):
            cloud.api("updateZone", id=edge["id"], **wrong)
    with pytest.raises(Refused, match="localstorageenabled"):
        cloud.api("updateZone", id=edge["id"], localstorageenabled=False)
    with pytest.raises(Refused, match="untagged"):
        cloud.job("createPhysicalNetwork", name="p", zoneid=basic["id"], vlan="100-200")
    cloud.job("createPhysicalNetwork", name="p", zoneid=basic["id"])
    with pytest.raises(Refused, match="has its physical network: p"):
        cloud.job("createPhysicalNetwork", name="q", zoneid=basic["id"])
    isolated = cloud.list("listNetworkOfferings", name="DefaultIsolatedNetworkOfferingWithSourceNatService")[0]["id"]
    with pytest.raises(Refused, match="zone basic share networks"):
        cloud.api("createNetwork", name="n", zoneid=basic["id"], networkofferingid=isolated)
    assert cloud.api("listCapabilities")["capability"]["securitygroupsenabled"] is False
    for kind in ("Basic", "Advanced"):
        made = cloud.api("createZone", name=f"sg-{kind}", networktype=kind, securitygroupenabled=True, **servers)[
            "zone"
        ]
        assert made["securitygroupsenabled"] is True
        with pytest.raises(Refused, match="share networks"):
            cloud.api("createNetwork", name="n", zoneid=made["id"], networkofferingid=isolated)
    assert cloud.api("listCapabilities")["capability"]["securitygroupsenabled"] is True


def test_traffic_types_change_and_go(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    found = {t["traffictype"]: t["id"] for t in cloud.list("listTrafficTypes", physicalnetworkid=zone["physical"])}
    changed = cloud.job("updateTrafficType", id=found["Guest"], kvmnetworklabel="br-guest")
    assert changed["kvmnetworklabel"] == "br-guest"
    with pytest.raises(Refused, match=r"Public traffic .* is used by 1 ip range"):
        cloud.job("deleteTrafficType", id=found["Public"])
    network = isolated_network(cloud, zone, "n1")
    with pytest.raises(Refused, match=r"Guest traffic .* 1 network \(n1\)"):
        cloud.job("deleteTrafficType", id=found["Guest"])
    cloud.job("deleteNetwork", id=network)
    for kind in ("Guest", "Storage"):
        assert cloud.job("deleteTrafficType", id=found[kind])["success"]
    left = {t["traffictype"] for t in cloud.list("listTrafficTypes", physicalnetworkid=zone["physical"])}
    assert left == {"Public", "Management"}
    assert [t["traffictype"] for t in cloud.list("listTrafficTypeImplementors", traffictype="guest")] == ["Guest"]
    assert [t["traffictype"] for t in cloud.list("listTrafficTypeImplementors", keyword="stor")] == ["Storage"]


def test_offerings_change(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    changed = cloud.api(
        "updateServiceOffering", id=zone["offering"], name="Tagged", displaytext="for tests", sortkey=-5, hosttags="ssd"
    )["serviceoffering"]
    assert (changed["name"], changed["displaytext"], changed["hosttags"]) == ("Tagged", "for tests", "ssd")
    assert cloud.list("listServiceOfferings")[0]["id"] == zone["offering"]
    network = isolated_network(cloud, zone, "n1")
    with pytest.raises(Refused, match="lacks the tag ssd"):
        machine(cloud, zone, network, "vm1")
    cloud.api("updateServiceOffering", id=zone["offering"], hosttags="", state="Inactive")
    with pytest.raises(Refused, match="is Inactive"):
        machine(cloud, zone, network, "vm2")
    assert zone["offering"] not in {o["id"] for o in cloud.list("listServiceOfferings")}
    cloud.api("updateServiceOffering", id=zone["offering"], state="Active", zoneid=zone["zone"])
    vm = machine(cloud, zone, network, "vm3")
    assert vm["serviceofferingname"] == "Tagged"

    disk = cloud.list("listDiskOfferings", name="Small")[0]["id"]
    domain = cloud.user.account["domainid"]
    private = cloud.api("updateDiskOffering", id=disk, name="Mine", domainid=domain, sortkey=9)["diskoffering"]
    assert (private["name"], private["domainid"]) == ("Mine", domain)
    assert disk not in {o["id"] for o in cloud.list("listDiskOfferings", cloud.stranger)}
    assert cloud.list("listDiskOfferings", cloud.user)[-1]["id"] == disk
    assert "domainid" not in cloud.api("updateDiskOffering", id=disk, domainid="public")["diskoffering"]
    with pytest.raises(Refused, match="domainid"):
        cloud.api("updateDiskOffering", id=disk, domainid=",")
    with pytest.raises(Refused):
        cloud.api("updateDiskOffering", cloud.domain_admin, id=disk, name="Stolen")
