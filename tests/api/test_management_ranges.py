"""Ranges of management addresses of pods: several of them, on VLANs, without overlap, not taken away from hosts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_zones import make_zone
from tests.support.cloud import Cloud, Refused

NETWORK = {"gateway": "192.0.2.1", "netmask": "255.255.255.0"}


def refused(cloud: Cloud, command: str, caller: Any = None, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def make_pod(cloud: Cloud) -> dict[str, Any]:
    zone = make_zone(cloud)
    given = NETWORK | {"startip": "192.0.2.10", "endip": "192.0.2.20"}
    return cloud.api("createPod", name="p1", zoneid=zone["id"], **given)["pod"]


def test_a_pod_has_several_ranges(cloud: Cloud) -> None:
    pod = make_pod(cloud)
    more = {"startip": "192.0.2.30", "endip": "192.0.2.39"}
    made = cloud.job("createManagementNetworkIpRange", podid=pod["id"], forsystemvms=True, **NETWORK, **more)
    assert made["startip"] == ["192.0.2.10", "192.0.2.30"]
    tagged = {"gateway": "10.9.0.1", "netmask": "255.255.0.0", "startip": "10.9.1.1", "endip": "10.9.1.9", "vlan": "77"}
    cloud.job("createManagementNetworkIpRange", podid=pod["id"], **tagged)
    seen = cloud.list("listPods")[0]
    assert (seen["endip"], seen["forsystemvms"]) == (["192.0.2.20", "192.0.2.39", "10.9.1.9"], ["0", "1", "0"])
    assert seen["vlanid"] == ["untagged", "untagged", "vlan://77"]
    assert seen["ipranges"][2] == {
        "startip": "10.9.1.1", "endip": "10.9.1.9", "forsystemvms": "0", "vlanid": "vlan://77", "gateway": "10.9.0.1",
        "cidr": "10.9.0.0/16",
    }  # fmt: skip
    assert (seen["gateway"], seen["netmask"]) == ("192.0.2.1", "255.255.255.0")
    capacity = cloud.list("listCapacity", type=5, podid=pod["id"])[0]
    assert capacity["capacitytotal"] == 11 + 10 + 9
    assert "2 ranges" in refused(cloud, "updatePod", id=pod["id"], endip="192.0.2.25").text
    for each in seen["ipranges"]:
        gone = {"startip": each["startip"], "endip": each["endip"], "vlan": each["vlanid"]}
        assert cloud.job("deleteManagementNetworkIpRange", podid=pod["id"], **gone) == {"success": True}
    assert "ipranges" not in cloud.list("listPods")[0]
    assert cloud.api("deletePod", id=pod["id"]) == {"success": True}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"startip": "192.0.2.20", "endip": "192.0.2.29"}, "overlaps with 192.0.2.10-192.0.2.20"),
        ({"startip": "192.0.2.40", "endip": "192.0.2.30"}, "startip"),
        ({"startip": "192.0.3.40"}, "startip"),
        ({"startip": "192.0.2.1"}, "gateway"),
        ({"gateway": "192.0.2.2"}, "gateway"),
        ({"netmask": "255.255.0.0"}, "network"),
        ({"netmask": "0.0.0.255"}, "netmask"),
        ({"vlan": "5000"}, "vlan"),
        ({"vlan": "5-9"}, "vlan"),
        ({"vlan": ","}, "vlan"),
        ({"vlan": "7"}, "overlaps with 192.0.2.0/24"),
    ],
)
def test_ranges_that_are_refused(cloud: Cloud, wrong: dict[str, str], why: str) -> None:
    pod = make_pod(cloud)
    given = {"podid": pod["id"], "startip": "192.0.2.40", "endip": None} | NETWORK | wrong
    error = refused(cloud, "createManagementNetworkIpRange", **given)
    assert (error.code, why in error.text) == (431, True), error.text
    assert len(cloud.list("listPods")[0]["startip"]) == 1


def test_a_range_is_changed_but_not_away_from_hosts(cloud: Cloud) -> None:
    pod = make_pod(cloud)
    at = {"zoneid": pod["zoneid"], "podid": pod["id"], "hypervisor": "Simulator"}
    cluster = cloud.list("addCluster", clustername="c", clustertype="CloudManaged", **at)[0]
    cloud.list("addHost", url="http://192.0.2.15/h", clusterid=cluster["id"], **at)
    current = {"podid": pod["id"], "currentstartip": "192.0.2.10", "currentendip": "192.0.2.20"}
    command = "updatePodManagementNetworkIpRange"
    assert "in use by hosts h (192.0.2.15)" in refused(cloud, command, newendip="192.0.2.14", **current).text
    assert "newstartip" in refused(cloud, command, **current).text
    wrong = current | {"currentstartip": "192.0.2", "newendip": "192.0.2.19"}
    assert "parameter currentstartip" in refused(cloud, command, **wrong).text
    assert (
        "has no range" in refused(cloud, command, **(current | {"currentendip": "192.0.2.21"}), newendip="1.1.1.1").text
    )
    assert "endip" in refused(cloud, command, newendip="192.0.3.1", **current).text
    assert cloud.job(command, newstartip="192.0.2.12", newendip="192.0.2.16", **current) == {"success": True}
    assert cloud.list("listPods")[0]["ipranges"][0]["startip"] == "192.0.2.12"
    gone = {"podid": pod["id"], "startip": "192.0.2.12", "endip": "192.0.2.16"}
    assert "in use" in refused(cloud, "deleteManagementNetworkIpRange", vlan="untagged", **gone).text
    assert "VLAN" in refused(cloud, "deleteManagementNetworkIpRange", vlan="9", **gone).text
    for person in (cloud.user, cloud.domain_admin):
        assert refused(cloud, "deleteManagementNetworkIpRange", person, vlan="untagged", **gone).code == 401


def test_a_pod_without_a_network_gets_it_with_its_first_range(cloud: Cloud) -> None:
    pod = cloud.api("createPod", name="p", zoneid=make_zone(cloud)["id"])["pod"]
    made = cloud.job("createManagementNetworkIpRange", podid=pod["id"], startip="192.0.2.9", **NETWORK)
    assert (made["gateway"], made["ipranges"][0]["cidr"], made["endip"]) == ("192.0.2.1", "192.0.2.0/24", ["192.0.2.9"])
    changed = cloud.api("updatePod", id=pod["id"], gateway="192.0.2.254")["pod"]
    assert (changed["gateway"], changed["ipranges"][0]["gateway"]) == ("192.0.2.254", "192.0.2.254")
