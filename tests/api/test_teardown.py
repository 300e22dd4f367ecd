"""A zone is taken apart: whatever is in use stays, the refusal names what uses it, and in the right order all goes."""

from __future__ import annotations

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def test_what_is_used_is_not_deleted_and_in_order_everything_goes(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")
    carried = cloud.list("listTrafficTypes", physicalnetworkid=zone["physical"])
    traffic = {each["traffictype"]: each["id"] for each in carried}
    images = cloud.list("listImageStores")[0]["id"]
    public = cloud.list("listVlanIpRanges")[0]["id"]
    used = [
        ("deleteZone", zone["zone"], r"zone z1 .* pod \(p1\)"),
        ("deleteZone", zone["zone"], r"physical network \(physical1\)"),
        ("deletePod", zone["pod"], r"pod p1 .* cluster \(c1\)"),
        ("deleteCluster", zone["cluster"], r"cluster c1 .* host \(z1-h0\)"),
        ("deleteHost", zone["host"], r"host z1-h0 .* machine \(vm1\)"),
        ("deletePhysicalNetwork", zone["physical"], r"physical1 .* network \(n1\)"),
        ("deleteTrafficType", traffic["Guest"], r"Guest traffic .* network \(n1\)"),
        ("deleteTrafficType", traffic["Public"], r"Public traffic .* ip range \(203.0.113.10\)"),
        ("deleteStoragePool", zone["pool"], r"primary1 .* volume \(ROOT-"),
        ("deleteImageStore", images, r"1 templates \(tiny\)"),
        ("deleteVlanIpRange", public, r"in use: 203.0.113.10"),
        ("deleteNetwork", network, r"plugged into it \(vm1\)"),
    ]
    for command, id_, why in used:
        with pytest.raises(Refused, match=why):
            _done(cloud, command, id_)
    cloud.api("deleteServiceOffering", id=zone["offering"])  # off sale; what was made from it goes on
    assert cloud.list("listVirtualMachines", id=vm["id"])[0]["serviceofferingid"] == zone["offering"]

    cloud.job("destroyVirtualMachine", id=vm["id"], expunge=True)
    assert _done(cloud, "deleteNetwork", network) == {"success": True}
    assert cloud.job("prepareHostForMaintenance", id=zone["host"])["resourcestate"] == "Maintenance"
    gone = [
        ("deleteTemplate", zone["template"]),
        ("deleteVlanIpRange", public),
        ("deleteTrafficType", traffic["Public"]),
        ("deleteImageStore", images),
        ("deleteStoragePool", zone["pool"]),
        ("deleteHost", zone["host"]),
        ("deleteCluster", zone["cluster"]),
        ("deletePod", zone["pod"]),
        ("deletePhysicalNetwork", zone["physical"]),
        ("deleteZone", zone["zone"]),
    ]
    for command, id_ in gone:
        assert _done(cloud, command, id_) == {"success": True}, command
    assert cloud.list("listZones") == []


def _done(cloud: Cloud, command: str, id_: str) -> dict[str, object]:
    answer = cloud.api(command, id=id_)
    return cloud.wait(command, answer["jobid"]) if "jobid" in answer else answer
