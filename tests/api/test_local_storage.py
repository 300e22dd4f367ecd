"""A host deleted together with its own storage: what lay there is gone from the records, all else stays."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.compute import audit
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def refused(cloud: Cloud, **parameters: Any) -> str:
    with pytest.raises(Refused) as caught:
        cloud.api("deleteHost", **parameters)
    return caught.value.text


def test_a_host_goes_with_its_own_storage(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    first, second = (host["id"] for host in cloud.list("listHosts"))
    cloud.api(
        "createStoragePool", name="local", zoneid=zone["zone"], clusterid=zone["cluster"], scope="host",
        url=f"file://{first}/srv/local",
    )  # fmt: skip
    assert cloud.list("listHosts", id=first)[0]["islocalstorageactive"] is True
    assert cloud.list("listHosts", id=second)[0]["islocalstorageactive"] is False
    local = cloud.api(
        "createServiceOffering", name="l", displaytext="l", cpunumber=1, cpuspeed=500, memory=256, storagetype="local"
    )["serviceoffering"]["id"]
    network = isolated_network(cloud, zone, "n1")
    shared = cloud.list("listDiskOfferings", name="Small")[0]["id"]
    lost = machine(cloud, zone | {"offering": local}, network, "lost", diskofferingid=shared)
    stays = machine(cloud, zone, network, "stays", hostid=second)
    assert "1 storage pool (local)" in refused(cloud, id=first, forced=True)
    assert "machines with disks there run or have a job (lost)" in refused(
        cloud, id=first, forcedestroylocalstorage=True
    )
    cloud.job("stopVirtualMachine", id=lost["id"])
    done = cloud.api("deleteHost", id=first, forced=True, forcedestroylocalstorage=True)
    assert done == {"success": True}
    assert [vm["id"] for vm in cloud.list("listVirtualMachines", listall=True)] == [stays["id"]]
    assert [host["id"] for host in cloud.list("listHosts")] == [second]
    assert [pool["name"] for pool in cloud.list("listStoragePools")] == ["primary1"]
    left = {volume["type"]: volume for volume in cloud.list("listVolumes", listall=True)}
    assert left["ROOT"]["virtualmachineid"] == stays["id"]
    assert "virtualmachineid" not in left["DATADISK"]
    assert cloud.list("listVirtualMachines", id=stays["id"])[0]["state"] == "Running"
    told = cloud.list("listEvents", type="VM.EXPUNGE", resourceid=lost["id"], resourcetype="VirtualMachine")
    assert "removed with its local storage" in told[0]["description"]
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []


def test_machines_of_a_host_that_is_gone(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    cloud.api(
        "createStoragePool", name="local", zoneid=zone["zone"], clusterid=zone["cluster"], scope="host",
        url=f"file://{zone['host']}/srv/local",
    )  # fmt: skip
    local = cloud.api(
        "createServiceOffering", name="l", displaytext="l", cpunumber=1, cpuspeed=500, memory=256, storagetype="local"
    )["serviceoffering"]["id"]
    machine(cloud, zone | {"offering": local}, isolated_network(cloud, zone, "n1"), "lost")
    assert cloud.api("deleteHost", id=zone["host"], forced=True, forcedestroylocalstorage=True) == {"success": True}
    assert cloud.list("listVirtualMachines", listall=True) == cloud.list("listVolumes", listall=True) == []
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []
    with pytest.raises(Refused) as caught:
        cloud.api("deleteHost", cloud.user, id=zone["host"], forcedestroylocalstorage=True)
    assert caught.value.code == 401
