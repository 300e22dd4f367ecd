"""What offerings say of disks, all the way to the host: limits of speed, IOPS, cache mode, sizes, joined offerings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pileus.compute import audit
from pileus.drivers.simulator import state as hosts
from tests.api.test_zones import refused
from tests.support.cloud import Cloud, Refused
from tests.support.zones import simulated_zone

SIZE = {"cpunumber": 1, "cpuspeed": 500, "memory": 256}
RATES = {
    "bytesreadrate": 1_000_000,
    "bytesreadratemax": 4_000_000,
    "bytesreadratemaxlength": 30,
    "byteswriterate": 500_000,
    "iopsreadrate": 100,
    "iopswriterate": 50,
    "iopswriteratemax": 60,
}
AT_THE_HOST = {
    "read_bytes_sec": 1_000_000,
    "read_bytes_sec_max": 4_000_000,
    "read_bytes_sec_max_length": 30,
    "write_bytes_sec": 500_000,
    "read_iops_sec": 100,
    "write_iops_sec": 50,
    "write_iops_sec_max": 60,
}


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    return simulated_zone(cloud, hosts=1)


def deploy(cloud: Cloud, zone: dict[str, str], **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"zoneid": zone["zone"], "templateid": zone["template"]}
    asked |= {"serviceofferingid": zone["offering"]} | more
    made = cloud.job("deployVirtualMachine", **asked)
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []
    return made


def not_deployed(cloud: Cloud, zone: dict[str, str], **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        deploy(cloud, zone, **more)
    return caught.value


def at_host(cloud: Cloud, made: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the disks of a machine as its host was told of them."""
    with cloud.services.database.read() as db:
        (found,) = (m for m in hosts.objects(db, "machine").values() if m["spec"]["uuid"] == made["id"])
    return {disk["device"]: disk for disk in found["spec"]["disks"]}


def volumes(cloud: Cloud, made: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {v["deviceid"]: v for v in cloud.list("listVolumes", virtualmachineid=made["id"])}


def service(cloud: Cloud, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"name": "s", "displaytext": "s", **SIZE, **more}
    return cloud.api("createServiceOffering", **asked)["serviceoffering"]


def disk(cloud: Cloud, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"name": "d", "displaytext": "d", **more}
    if not more.get("customized"):
        asked.setdefault("disksize", 10)
    return cloud.api("createDiskOffering", **asked)["diskoffering"]


def test_limits_and_cache_mode_reach_the_host(cloud: Cloud, zone: dict[str, str]) -> None:
    by = service(cloud, cachemode="writeback", **RATES)
    assert (by["cacheMode"], by["diskBytesReadRate"], by["diskBytesReadRateMaxLength"]) == ("writeback", 1_000_000, 30)
    data = disk(cloud, cachemode="writethrough", iopsreadrate=7, hypervisorsnapshotreserve=20)
    assert (data["diskIopsReadRate"], data["hypervisorsnapshotreserve"]) == (7, 20)
    assert "diskIopsWriteRate" not in data
    made = deploy(cloud, zone, serviceofferingid=by["id"], diskofferingid=data["id"])
    told = at_host(cloud, made)
    assert (told[0]["throttle"], told[0]["cache"]) == (AT_THE_HOST, "writeback")
    assert (told[1]["throttle"], told[1]["cache"]) == ({"read_iops_sec": 7}, "writethrough")
    shown = volumes(cloud, made)
    assert (shown[0]["diskBytesReadRate"], shown[0]["diskIopsWriteRate"]) == (1_000_000, 50)
    assert "diskBytesReadRateMax" not in shown[0]
    assert shown[1]["diskIopsReadRate"] == 7

    changed = cloud.api("updateDiskOffering", id=data["id"], iopsreadrate=0, byteswriterate=9, cachemode="none")
    assert "diskIopsReadRate" not in changed["diskoffering"]
    cloud.job("stopVirtualMachine", id=made["id"])
    cloud.job("startVirtualMachine", id=made["id"])
    told = at_host(cloud, made)
    assert told[1]["throttle"] == {"write_bytes_sec": 9}
    assert "cache" not in told[1]  # none: left to what the host's file system can


def test_a_plain_disk_has_no_limits(cloud: Cloud, zone: dict[str, str]) -> None:
    told = at_host(cloud, deploy(cloud, zone))
    assert "throttle" not in told[0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"bytesreadrate": -1}, "bytesreadrate"),
        ({"bytesreadratemax": 5}, "bytesreadratemax"),
        ({"iopswriterate": 9, "iopswriteratemax": 8}, "iopswriteratemax"),
        ({"byteswriterate": 9, "byteswriteratemaxlength": 8}, "byteswriteratemaxlength"),
        ({"miniops": 0}, "miniops"),
        ({"miniops": 9, "maxiops": 8}, "maxiops"),
        ({"customizediops": True, "maxiops": 8}, "customizediops"),
        ({"maxiops": 8, "iopsreadrate": 8}, "maxiops"),
        ({"cachemode": "unsafe"}, "cachemode"),
        ({"hypervisorsnapshotreserve": -1}, "hypervisorsnapshotreserve"),
        ({"storagepolicy": "8c2f6c7e-3b1a-4a4e-9a55-000000000000"}, "storagepolicy"),
    ],
)
def test_refused_speeds(cloud: Cloud, wrong: dict[str, Any], named: str) -> None:
    for command, needed in (("createDiskOffering", {"disksize": 1}), ("createServiceOffering", SIZE)):
        error = refused(cloud, command, name="x", displaytext="x", **(needed | wrong))
        assert error.code == 431
        assert named in error.text
    assert cloud.list("listDiskOfferings", name="x") == cloud.list("listServiceOfferings", name="x") == []


def test_bursts_may_be_limited_in_length(cloud: Cloud) -> None:
    cloud.api("updateConfiguration", name="vm.disk.iops.maximum.write.length", value="10")
    burst = {"iopswriterate": 5, "iopswriteratemax": 6, "iopswriteratemaxlength": 11}
    assert (
        "vm.disk.iops.maximum.write.length" in refused(cloud, "createDiskOffering", name="x", disksize=1, **burst).text
    )
    made = disk(cloud, **(burst | {"iopswriteratemaxlength": 10}))
    assert refused(cloud, "updateDiskOffering", id=made["id"], iopswriteratemaxlength=12).code == 431
    assert "iopswriteratemax" in refused(cloud, "updateDiskOffering", id=made["id"], iopswriterate=0).text


def test_iops_are_promised_by_the_pool_and_limited_at_the_host(cloud: Cloud, zone: dict[str, str]) -> None:
    pool = cloud.api(
        "createStoragePool", name="counted", url="nfs://nas/counted", zoneid=zone["zone"], scope="zone",
        hypervisor="Simulator", capacityiops=1000, tags="counted",
    )["storagepool"]  # fmt: skip
    data = disk(cloud, miniops=400, maxiops=800, tags="counted")
    assert (data["miniops"], data["maxiops"], data["iscustomizediops"]) == (400, 800, False)
    made = deploy(cloud, zone, diskofferingid=data["id"])
    assert at_host(cloud, made)[1]["throttle"] == {"total_iops_sec": 800}
    assert (volumes(cloud, made)[1]["miniops"], volumes(cloud, made)[1]["maxiops"]) == (400, 800)
    assert cloud.list("listStoragePools", id=pool["id"])[0]["allocatediops"] == 400
    second = deploy(cloud, zone, diskofferingid=data["id"])
    error = not_deployed(cloud, zone, diskofferingid=data["id"])
    assert error.code == 533
    assert "IOPS" in error.text
    both = [v["id"] for v in cloud.list("listVolumes", type="DATADISK") if v.get("vmname") == second["name"]]
    cloud.job("destroyVirtualMachine", id=second["id"], expunge=True, volumeids=",".join(both))
    assert cloud.list("listStoragePools", id=pool["id"])[0]["allocatediops"] == 400
    third = deploy(cloud, zone, datadiskofferinglist=[{"diskofferingid": data["id"]}])
    assert third["state"] == "Running"
    assert cloud.list("listStoragePools", id=pool["id"])[0]["allocatediops"] == 800


def test_iops_chosen_at_deployment(cloud: Cloud, zone: dict[str, str]) -> None:
    data = disk(cloud, customizediops=True)
    by = service(cloud, customizediops=True)
    assert by["iscustomizediops"] is True
    made = deploy(
        cloud, zone, serviceofferingid=by["id"], diskofferingid=data["id"],
        details={"minIops": 10, "maxIops": 20, "minIopsDo": 30, "maxIopsDo": 40},
        datadiskofferinglist=[{"diskofferingid": data["id"], "miniops": 50, "maxiops": 60}],
    )  # fmt: skip
    found = {device: (v["miniops"], v["maxiops"]) for device, v in volumes(cloud, made).items()}
    assert found == {0: (10, 20), 1: (30, 40), 2: (50, 60)}
    told = {device: d["throttle"]["total_iops_sec"] for device, d in at_host(cloud, made).items()}
    assert told == {0: 20, 1: 40, 2: 60}
    assert "details" not in made
    fixed = disk(cloud, name="fixed")["id"]
    for wrong, named in (
        ({"details": {"minIops": 1}}, "minIops"),
        ({"details": {"minIopsDo": 1}}, "minIopsDo"),
        ({"details": {"maxIopsDo": 1}, "diskofferingid": fixed}, "maxiops"),
        ({"details": {"minIops": "many"}, "serviceofferingid": by["id"]}, "whole number"),
        ({"details": {"minIops": 9, "maxIops": 8}, "serviceofferingid": by["id"]}, "miniops"),
        ({"datadiskofferinglist": [{"diskofferingid": fixed, "maxiops": 1}]}, "maxiops"),
    ):
        error = not_deployed(cloud, zone, **wrong)
        assert error.code == 431
        assert named in error.text


def test_a_service_offering_joined_to_a_disk_offering(cloud: Cloud, zone: dict[str, str]) -> None:
    disks = disk(cloud, disksize=30, cachemode="writeback", iopsreadrate=9, disksizestrictness=True)
    by = service(cloud, diskofferingid=disks["id"], diskofferingstrictness=True)
    assert (by["diskofferingid"], by["diskofferingname"], by["rootdisksize"]) == (disks["id"], "d", 30)
    assert (by["diskofferingstrictness"], by["cacheMode"], by["diskIopsReadRate"]) == (True, "writeback", 9)
    made = deploy(cloud, zone, serviceofferingid=by["id"])
    (root,) = volumes(cloud, made).values()
    assert (root["size"] >> 30, root["diskofferingid"], root["diskIopsReadRate"]) == (30, disks["id"], 9)
    assert at_host(cloud, made)[0]["throttle"] == {"read_iops_sec": 9}
    other = disk(cloud, name="other", disksize=12)["id"]
    error = not_deployed(cloud, zone, serviceofferingid=by["id"], overridediskofferingid=other)
    assert (error.code, "strict" in error.text) == (431, True)
    error = not_deployed(cloud, zone, serviceofferingid=by["id"], rootdisksize=31)
    assert (error.code, "strict" in error.text) == (431, True)
    for wrong in ({"rootdisksize": 5}, {"tags": "a"}, {"cachemode": "writeback"}, {"iopsreadrate": 3}):
        error = refused(cloud, "createServiceOffering", name="x", diskofferingid=disks["id"], **SIZE, **wrong)
        assert next(iter(wrong)) in error.text
    assert "storagetags" in refused(cloud, "updateServiceOffering", id=by["id"], storagetags="a").text
    assert refused(cloud, "deleteDiskOffering", id=disks["id"]).code == 536
    cloud.api("deleteServiceOffering", id=by["id"])
    cloud.api("deleteDiskOffering", id=disks["id"])
    cloud.job("stopVirtualMachine", id=made["id"])
    cloud.job("startVirtualMachine", id=made["id"])
    assert at_host(cloud, made)[0]["throttle"] == {"read_iops_sec": 9}


def test_another_disk_offering_for_the_root_disk(cloud: Cloud, zone: dict[str, str]) -> None:
    fixed = disk(cloud, disksize=40, byteswriterate=5)["id"]
    made = deploy(cloud, zone, overridediskofferingid=fixed)
    (root,) = volumes(cloud, made).values()
    assert (root["size"] >> 30, root["diskofferingid"], root["type"]) == (40, fixed, "ROOT")
    assert at_host(cloud, made)[0]["throttle"] == {"write_bytes_sec": 5}
    custom = disk(cloud, name="custom", customized=True)["id"]
    made = deploy(cloud, zone, overridediskofferingid=custom, rootdisksize=17)
    assert volumes(cloud, made)[0]["size"] >> 30 == 17
    made = deploy(cloud, zone, overridediskofferingid=custom)
    assert volumes(cloud, made)[0]["size"] >> 30 == 8  # the template's
    small = disk(cloud, name="small", disksize=2)["id"]
    error = not_deployed(cloud, zone, overridediskofferingid=small)
    assert (error.code, "smaller than template" in error.text) == (431, True)
    cloud.api("updateDiskOffering", id=fixed, state="Inactive")
    assert "Inactive" in not_deployed(cloud, zone, overridediskofferingid=fixed).text
    assert "Inactive" in not_deployed(cloud, zone, datadiskofferinglist=[{"diskofferingid": fixed}]).text
    private = disk(cloud, name="private", domainid=cloud.domain("elsewhere")["id"])["id"]
    with pytest.raises(Refused) as caught:
        cloud.job(
            "deployVirtualMachine", cloud.user, zoneid=zone["zone"], templateid=zone["template"],
            serviceofferingid=zone["offering"], overridediskofferingid=private,
        )  # fmt: skip
    assert caught.value.code == 531


def test_sizes_of_disks(cloud: Cloud, zone: dict[str, str]) -> None:
    custom = cloud.list("listDiskOfferings", name="Custom")[0]["id"]
    small = cloud.list("listDiskOfferings", name="Small")[0]["id"]
    made = deploy(cloud, zone, diskofferingid=custom, size=13, details={"rootdisksize": 11}, rootdisksize=99)
    assert {d: v["size"] >> 30 for d, v in volumes(cloud, made).items()} == {0: 11, 1: 13}
    cloud.api("updateConfiguration", name="custom.diskoffering.size.max", value="100")
    for wrong, named in (
        ({"rootdisksize": 7}, "smaller than template"),
        ({"details": {"rootdisksize": 7}}, "smaller than template"),
        ({"rootdisksize": 0}, "rootdisksize"),
        ({"details": {"rootdisksize": "big"}}, "rootdisksize"),
        ({"rootdisksize": 2001}, "2000"),
        ({"diskofferingid": custom}, "size"),
        ({"diskofferingid": custom, "size": 101}, "between 1 and 100"),
        ({"diskofferingid": custom, "size": 0}, "between 1 and 100"),
        ({"diskofferingid": small, "size": 6}, "fixed size"),
        ({"size": 6}, "diskofferingid"),
        ({"serviceofferingid": service(cloud, rootdisksize=3)["id"]}, "smaller than template"),
    ):
        error = not_deployed(cloud, zone, **wrong)
        assert (error.code, error.body["cserrorcode"]) == (431, 4350)
        assert named in error.text
    assert len(cloud.list("listVirtualMachines", listall=True)) == 1


def test_tags_that_no_storage_has(cloud: Cloud, zone: dict[str, str]) -> None:
    tagged = disk(cloud, tags="ssd,fast")["id"]
    error = not_deployed(cloud, zone, diskofferingid=tagged)
    assert error.code == 533
    assert "fast, ssd" in error.text
    (failed,) = cloud.list("listVirtualMachines")
    assert failed["state"] == "Error"
    assert {v["state"] for v in cloud.list("listVolumes", virtualmachineid=failed["id"])} == {"Allocated"}
    with pytest.raises(Refused) as caught:
        cloud.job(
            "deployVirtualMachine", cloud.user, zoneid=zone["zone"], templateid=zone["template"],
            serviceofferingid=zone["offering"], diskofferingid=tagged,
        )  # fmt: skip
    assert caught.value.code == 533
    assert "ssd" not in caught.value.text


def test_disk_offerings_that_suit(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, diskofferingid=cloud.list("listDiskOfferings", name="Small")[0]["id"])
    disk(cloud, name="tagged", tags="ssd")
    disk(cloud, name="local", storagetype="local")
    suits = {
        o["name"]: o["suitableforvirtualmachine"] for o in cloud.list("listDiskOfferings", virtualmachineid=made["id"])
    }
    assert suits == {"Small": True, "Medium": True, "Large": True, "Custom": True, "tagged": False, "local": False}
    names = {o["name"] for o in cloud.list("listDiskOfferings", storageid=zone["pool"])}
    assert names == {"Small", "Medium", "Large", "Custom"}
    of = volumes(cloud, made)[1]["id"]
    assert {o["name"] for o in cloud.list("listDiskOfferings", volumeid=of)} == {"Medium", "Large", "Custom"}
    assert refused(cloud, "listDiskOfferings", cloud.stranger, volumeid=of).code == 531
    assert refused(cloud, "listDiskOfferings", cloud.user, storageid=zone["pool"]).code == 531


def test_service_offerings_that_suit(cloud: Cloud, zone: dict[str, str]) -> None:
    service(cloud, name="small", rootdisksize=3)
    service(cloud, name="joined", diskofferingid=disk(cloud, name="tiny", disksize=1)["id"])
    service(cloud, name="large", rootdisksize=30)
    names = {o["name"] for o in cloud.list("listServiceOfferings", templateid=zone["template"])}
    assert {"large", "Small Instance"} <= names
    assert not names & {"small", "joined"}
    made = deploy(cloud, zone)
    names = {o["name"] for o in cloud.list("listServiceOfferings", virtualmachineid=made["id"])}
    assert names == {"Medium Instance", "small", "joined", "large"}  # no local storage, not what it has


def test_limits_of_the_cloud_where_the_offering_has_none(cloud: Cloud, zone: dict[str, str]) -> None:
    for name, value in (("bytes_read", 900), ("iops_write", 80)):
        cloud.api("updateConfiguration", name=f"vm.disk.throttling.{name}_rate", value=value)
    mine, free = disk(cloud, bytesreadrate=5)["id"], disk(cloud, name="free", maxiops=70)["id"]
    made = deploy(cloud, zone, diskofferingid=mine, datadiskofferinglist=[{"diskofferingid": free}])
    told = {device: d["throttle"] for device, d in at_host(cloud, made).items()}
    assert told == {
        0: {"read_bytes_sec": 900, "write_iops_sec": 80},
        1: {"read_bytes_sec": 5, "write_iops_sec": 80},
        2: {"read_bytes_sec": 900, "total_iops_sec": 70},
    }


def test_provisioning_reaches_the_host(cloud: Cloud, zone: dict[str, str]) -> None:
    by, fat = service(cloud, provisioningtype="sparse"), disk(cloud, provisioningtype="FAT")
    assert (by["provisioningtype"], fat["provisioningtype"]) == ("sparse", "fat")
    made = deploy(cloud, zone, serviceofferingid=by["id"], diskofferingid=fat["id"])
    with cloud.services.database.read() as db:
        there = {key.partition("/")[2]: value.get("provisioning") for key, value in hosts.objects(db, "volume").items()}
    shown = volumes(cloud, made)
    assert {device: there[v["id"]] for device, v in shown.items()} == {0: "sparse", 1: "fat"}
    assert (shown[1]["physicalsize"], shown[1]["provisioningtype"]) == (10 << 30, "fat")
    assert shown[0]["provisioningtype"] == "sparse"


def test_the_largest_service_offering(cloud: Cloud) -> None:
    cloud.api("updateConfiguration", name="vm.serviceoffering.cpu.cores.max", value=8)
    cloud.api("updateConfiguration", name="vm.serviceoffering.ram.size.max", value=4096)
    service(cloud, cpunumber=8, memory=4096)
    for wrong, named in (
        (SIZE | {"cpunumber": 9}, "cpu.cores.max"),
        (SIZE | {"memory": 4097}, "ram.size.max"),
        ({"cpuspeed": 500, "customized": True, "maxcpunumber": 9}, "maxcpunumber"),
    ):
        error = refused(cloud, "createServiceOffering", name="x", displaytext="x", **wrong)
        assert error.code == 431
        assert named in error.text


def test_offerings_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = simulated_zone(cloud, hosts=1)
        pool = cloud.api(
            "createStoragePool", name="counted", url="nfs://nas/counted", zoneid=zone["zone"], scope="zone",
            hypervisor="Simulator", capacityiops=500, tags="counted",
        )["storagepool"]  # fmt: skip
        data = disk(cloud, miniops=400, tags="counted")
        by = service(cloud, diskofferingid=disk(cloud, name="root", disksize=20)["id"])
        made = deploy(cloud, zone, serviceofferingid=by["id"], diskofferingid=data["id"])
        assert cloud.list("listStoragePools", id=pool["id"])[0]["allocatediops"] == 400
        assert not_deployed(cloud, zone, diskofferingid=data["id"]).code == 533
        assert [o["name"] for o in cloud.list("listDiskOfferings", storageid=pool["id"], keyword="d")][-1] == "root"
        assert "s" in {o["name"] for o in cloud.list("listServiceOfferings", templateid=zone["template"])}
        assert cloud.list("listVirtualMachines", leased=True) == []
        cloud.job("stopVirtualMachine", id=made["id"])
        cloud.job("scaleVirtualMachine", id=made["id"], serviceofferingid=service(cloud, name="plain")["id"])
        with cloud.services.database.read() as db:
            assert audit.findings(db) == []
