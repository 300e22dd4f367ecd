"""Small things that real clients asked for; tests/clients drives them through those clients."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pileus.core import database
from pileus.images.tables import template_copy
from tests.support.cloud import Cloud, Refused, signed
from tests.support.zones import isolated_network, machine, simulated_zone


def test_a_slash_behind_the_address_is_no_harm(cloud: Cloud):
    query = signed({"command": "listZones", "response": "json"}, cloud.root)
    assert cloud.send("GET", "/client/api/", params=query).json() == {"listzonesresponse": {}}
    assert cloud.send("POST", "/client/api/", data=query).status_code == 200


def test_storage_providers_are_those_that_can_be_named(cloud: Cloud):
    assert cloud.list("listStorageProviders", type="primary") == [{"name": "DefaultPrimary", "type": "PRIMARY"}]
    assert {one["name"] for one in cloud.list("listStorageProviders", type="image")} == {"directory", "NFS"}
    with pytest.raises(Refused, match="primary, image"):
        cloud.api("listStorageProviders", type="object")


def test_zones_where_one_has_a_machine(cloud: Cloud):
    zone = simulated_zone(cloud)
    assert cloud.list("listZones", available=False) == []
    machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    assert [one["id"] for one in cloud.list("listZones", available=False)] == [zone["zone"]]
    assert cloud.list("listZones", cloud.user, available=False) == []


def test_storage_goes_into_maintenance_when_nothing_runs_from_it(cloud: Cloud):
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1")
    made = machine(cloud, zone, network, "m1")
    with pytest.raises(Refused, match="m1") as refused:
        cloud.job("enableStorageMaintenance", id=zone["pool"])
    assert refused.value.code == 536
    cloud.job("stopVirtualMachine", id=made["id"])
    assert cloud.job("enableStorageMaintenance", id=zone["pool"])["state"] == "Maintenance"
    with pytest.raises(Refused):
        machine(cloud, zone, network, "m2")
    assert cloud.job("cancelStorageMaintenance", id=zone["pool"])["state"] == "Up"
    assert cloud.job("startVirtualMachine", id=made["id"])["state"] == "Running"


def test_simulated_hosts_have_an_address(cloud: Cloud):
    simulated_zone(cloud, hosts=1)
    assert cloud.list("listHosts", type="Routing")[0]["ipaddress"].startswith("172.")


def test_what_is_gone_is_told_in_the_words_that_the_go_sdk_looks_for(cloud: Cloud):
    zone = simulated_zone(cloud)
    made = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
    for command in ("listVirtualMachines", "startVirtualMachine"):
        with pytest.raises(Refused) as refused:
            cloud.api(command, id=made["id"])
        assert refused.value.code == 431
        words = f"Invalid parameter id value={made['id']} due to incorrect long value format, or entity does not exist"
        assert words in refused.value.text


def test_machines_are_found_by_a_part_of_their_name(cloud: Cloud):
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1")
    for name in ("web-1", "web-2", "db-1"):
        machine(cloud, zone, network, name)
    assert [one["name"] for one in cloud.list("listVirtualMachines", name="web")] == ["web-1", "web-2"]
    assert cloud.list("listVirtualMachines", name="w_b") == []


def test_routers_tell_that_no_checks_run_in_them(cloud: Cloud):
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, network, "m1")
    (plain,) = cloud.list("listRouters", networkid=network, fetchhealthcheckresults=False)
    assert "healthcheckresults" not in plain
    (asked,) = cloud.list("listRouters", networkid=network, fetchhealthcheckresults=True, healthchecksfailed=False)
    assert (asked["healthchecksfailed"], asked["healthcheckresults"]) == (False, [])
    assert cloud.list("listRouters", networkid=network, healthchecksfailed=True) == []


def test_objects_are_only_counted_where_no_more_is_wanted(cloud: Cloud):
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1")
    for name in ("m1", "m2"):
        machine(cloud, zone, network, name)
    for command, number in (("listVirtualMachines", 2), ("listVolumes", 2), ("listNetworks", 1)):
        assert cloud.api(command, retrieveonlyresourcecount=True) == {"count": number}
    assert cloud.api("listVirtualMachines", retrieveonlyresourcecount=True, name="m3") == {}
    assert cloud.api("listVirtualMachines", page=9, pagesize=5) == {"count": 2}


def test_filters_that_the_web_interface_always_sends(cloud: Cloud):
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, network, "m1")
    for command in ("listVirtualMachines", "listVirtualMachinesMetrics"):
        for name in ("isvnf", "gpuenabled"):
            assert len(cloud.list(command, listall=True, **{name: False})) == 1
            assert cloud.list(command, listall=True, **{name: True}) == []
    for command in ("listVolumes", "listVolumesMetrics"):
        assert len(cloud.list(command, listall=True, listsystemvms=True)) == 1
        assert len(cloud.list(command, listall=True, isencrypted=False)) == 1
        assert cloud.list(command, listall=True, isencrypted=True) == []
    for name in ("isvnf", "forcks"):
        assert len(cloud.list("listTemplates", templatefilter="all", **{name: False})) == 1
        assert cloud.list("listTemplates", templatefilter="all", **{name: True}) == []
    assert cloud.list("listServiceOfferings", gpuenabled=False)
    assert cloud.list("listServiceOfferings", gpuenabled=True) == []
    assert len(cloud.list("listHosts", outofbandmanagementenabled=False)) == 3
    assert len(cloud.list("listHosts", outofbandmanagementpowerstate="disabled")) == 3
    assert cloud.list("listHosts", outofbandmanagementenabled=True) == []
    with pytest.raises(Refused, match="outofbandmanagementpowerstate"):
        cloud.list("listHosts", outofbandmanagementpowerstate="dim")
    assert cloud.list("listVlanIpRanges", networkid=network) == []


def test_templates_are_listed_once_where_that_is_wanted(cloud: Cloud):
    first = simulated_zone(cloud)
    simulated_zone(cloud, name="z2", hosts=1)
    with cloud.services.database.write() as db:
        copies = db.execute(sa.select(template_copy)).all()
        other = next(row for row in copies if row.zone_id != copies[0].zone_id)
        database.change(db, template_copy, other.id, template_id=copies[0].template_id)  # now in both zones
    everywhere = cloud.list("listTemplates", templatefilter="all", id=first["template"])
    assert len(everywhere) == 2
    assert len(cloud.list("listTemplates", templatefilter="all", id=first["template"], showunique=True)) == 1
    for place in {one["zoneid"] for one in everywhere}:
        (found,) = cloud.list("listTemplates", templatefilter="all", zoneid=place, showunique=True)
        assert found["zoneid"] == place
