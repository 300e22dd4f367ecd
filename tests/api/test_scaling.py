"""Sizes of machines: chosen at deployment within an offering's limits, and changed while the machine is stopped."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from pileus.compute import audit
from pileus.drivers.simulator import state as hosts
from pileus.drivers.simulator.tables import sim_object
from tests.api.test_zones import refused
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    return simulated_zone(cloud, hosts=1)


def service(cloud: Cloud, **asked: Any) -> str:
    asked.setdefault("displaytext", asked["name"])
    return cloud.api("createServiceOffering", **asked)["serviceoffering"]["id"]


def constrained(cloud: Cloud, **more: Any) -> str:
    limits: dict[str, Any] = {"mincpunumber": 2, "maxcpunumber": 4, "minmemory": 256, "maxmemory": 1024}
    return service(cloud, name="constrained", cpuspeed=700, **limits, **more)


def told(cloud: Cloud, made: dict[str, Any]) -> tuple[int, int, int]:
    """Return cores, MHz and MiB of a machine as its host was told."""
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []
        (found,) = (m["spec"] for m in hosts.objects(db, "machine").values() if m["spec"]["uuid"] == made["id"])
    return found["cpus"], found["cpu_mhz"], found["memory_mib"]


def size(made: dict[str, Any]) -> tuple[int, int, int]:
    return made["cpunumber"], made["cpuspeed"], made["memory"]


def test_sizes_chosen_at_deployment(cloud: Cloud, zone: dict[str, str]) -> None:
    network = isolated_network(cloud, zone, "n")
    free = service(cloud, name="free", customized=True)
    by = zone | {"offering": free}
    made = machine(cloud, by, network, "m1", details={"cpuNumber": 3, "cpuSpeed": 600, "memory": 300})
    assert size(made) == told(cloud, made) == (3, 600, 300)
    within = zone | {"offering": constrained(cloud)}
    made = machine(cloud, within, network, "m2", details={"cpuNumber": 4, "memory": 1024})
    assert size(made) == told(cloud, made) == (4, 700, 1024)
    for chosen, details, named in (
        (within, {"cpuNumber": 5, "memory": 512}, "cpuNumber must be between 2 and 4"),
        (within, {"cpuNumber": 1, "memory": 512}, "cpuNumber must be between 2 and 4"),
        (within, {"cpuNumber": 2, "memory": 128}, "memory must be between 256 and 1024"),
        (within, {"cpuNumber": 2}, "memory"),
        (within, {"cpuNumber": 2, "memory": 512, "cpuSpeed": 9}, "cpuSpeed"),
        (by, {"cpuNumber": 2, "memory": 16, "cpuSpeed": 500}, "memory must be at least 32"),
        (by, {"cpuNumber": 0, "memory": 64, "cpuSpeed": 500}, "cpuNumber"),
        (by, {"cpuNumber": "two", "memory": 64, "cpuSpeed": 500}, "cpuNumber"),
        (zone, {"cpuNumber": 2}, "sets cpuNumber itself"),
    ):
        with pytest.raises(Refused) as caught:
            machine(cloud, chosen, network, "m3", details=details)
        assert caught.value.code == 431
        assert named in caught.value.text


def test_a_stopped_machine_gets_another_offering(cloud: Cloud, zone: dict[str, str]) -> None:
    network = isolated_network(cloud, zone, "n", **cloud.user.own)
    made = machine(cloud, zone, network, "m1", **cloud.user.own)
    large = service(cloud, name="large", cpunumber=2, cpuspeed=1000, memory=2048, iopsreadrate=77)
    error = refused(cloud, "scaleVirtualMachine", cloud.user, id=made["id"], serviceofferingid=large)
    assert (error.code, "stop it" in error.text) == (431, True)
    cloud.job("stopVirtualMachine", id=made["id"])
    scaled = cloud.job("scaleVirtualMachine", cloud.user, id=made["id"], serviceofferingid=large)
    assert (size(scaled), scaled["serviceofferingname"]) == ((2, 1000, 2048), "large")
    assert cloud.list("listVolumes", virtualmachineid=made["id"], listall=True)[0]["diskIopsReadRate"] == 77
    cloud.job("startVirtualMachine", id=made["id"])
    assert told(cloud, made) == (2, 1000, 2048)
    cloud.job("stopVirtualMachine", id=made["id"])
    custom = constrained(cloud)
    order: dict[str, Any] = {"id": made["id"], "serviceofferingid": custom}
    answer = cloud.api("changeServiceForVirtualMachine", cloud.user, **order, details={"cpuNumber": 2, "memory": 256})
    assert size(answer["virtualmachine"]) == (2, 700, 256)
    again = cloud.job("scaleVirtualMachine", cloud.user, **order, details={"cpuNumber": 3, "memory": 256})
    assert size(again) == (3, 700, 256)
    for details, named in (
        ({"cpuNumber": 3, "memory": 256}, "already"),
        ({"cpuNumber": 9, "memory": 256}, "between 2 and 4"),
        ({"cpuNumber": 3}, "memory"),
        ({"cpuNumber": 2, "memory": 256, "colour": "red"}, "colour"),
    ):
        for command in ("scaleVirtualMachine", "changeServiceForVirtualMachine"):
            error = refused(cloud, command, cloud.user, **order, details=details)
            assert error.code == 431
            assert named in error.text
    assert [e["type"] for e in cloud.list("listEvents", type="VM.UPGRADE", listall=True)][:1] == ["VM.UPGRADE"]


def test_who_and_what_is_refused(cloud: Cloud, zone: dict[str, str]) -> None:
    network = isolated_network(cloud, zone, "n", **cloud.user.own)
    made = machine(cloud, zone, network, "m1", startvm=False, **cloud.user.own)
    fixed: dict[str, Any] = {"cpunumber": 1, "cpuspeed": 500, "memory": 128}
    other = service(cloud, name="other", **fixed)
    for caller in (cloud.other, cloud.stranger):
        error = refused(cloud, "scaleVirtualMachine", caller, id=made["id"], serviceofferingid=other)
        assert error.code == 531
    private = service(cloud, name="private", domainid=cloud.domain("elsewhere")["id"], **fixed)
    assert refused(cloud, "scaleVirtualMachine", cloud.user, id=made["id"], serviceofferingid=private).code == 531
    disk = cloud.api("createDiskOffering", name="d", displaytext="d", disksize=20)["diskoffering"]["id"]
    cloud.job("startVirtualMachine", id=made["id"])
    cloud.job("stopVirtualMachine", id=made["id"])
    for wrong, named in (
        ({"storagetype": "local"}, "other storage"),
        ({"tags": "ssd"}, "other storage"),
        ({"diskofferingid": disk}, "disk offering d"),
        ({"issystem": True, "systemvmtype": "domainrouter"}, "system"),
    ):
        of = service(cloud, name="wrong", **fixed, **wrong)
        error = refused(cloud, "scaleVirtualMachine", id=made["id"], serviceofferingid=of)
        assert error.code == 431
        assert named in error.text
    cloud.api("updateServiceOffering", id=other, state="Inactive")
    assert "Inactive" in refused(cloud, "scaleVirtualMachine", id=made["id"], serviceofferingid=other).text
    error = refused(cloud, "scaleVirtualMachine", id=made["id"], serviceofferingid=zone["offering"], automigrate=True)
    assert "automigrate" in error.text


def test_limits_count_what_there_is_more_of(cloud: Cloud, zone: dict[str, str]) -> None:
    user = cloud.user
    network = isolated_network(cloud, zone, "n", **user.own)
    made = machine(cloud, zone, network, "m1", startvm=False, **user.own)  # 1 core, 512 MiB
    cloud.api("updateResourceLimit", resourcetype=8, max=2, **user.own)
    cloud.api("updateResourceLimit", resourcetype=9, max=1024, **user.own)
    three = service(cloud, name="three", cpunumber=3, cpuspeed=500, memory=512)
    much = service(cloud, name="much", cpunumber=1, cpuspeed=500, memory=1025)
    fits = service(cloud, name="fits", cpunumber=2, cpuspeed=500, memory=1024)
    for offering in (three, much):
        assert refused(cloud, "scaleVirtualMachine", user, id=made["id"], serviceofferingid=offering).code == 535
    assert size(cloud.job("scaleVirtualMachine", user, id=made["id"], serviceofferingid=fits)) == (2, 500, 1024)
    cloud.job("scaleVirtualMachine", user, id=made["id"], serviceofferingid=zone["offering"])
    counts = {c["resourcetype"]: c["resourcecount"] for c in cloud.list("updateResourceCount", **user.own)}
    assert (counts["8"], counts["9"]) == (1, 512)
    assert sound(cloud)


def sound(cloud: Cloud) -> bool:
    with cloud.services.database.read() as db:
        return audit.findings(db) == []


def test_dynamic_scaling_is_a_flag_of_the_offering(cloud: Cloud, zone: dict[str, str]) -> None:
    rigid = service(cloud, name="rigid", cpunumber=1, cpuspeed=500, memory=128, dynamicscalingenabled=False)
    (shown,) = cloud.list("listServiceOfferings", id=rigid)
    assert shown["dynamicscalingenabled"] is False
    network = isolated_network(cloud, zone, "n")
    made = machine(cloud, zone | {"offering": rigid}, network, "m1", dynamicscalingenabled=True)
    assert made["isdynamicallyscalable"] is False
    error = refused(cloud, "updateVirtualMachine", id=made["id"], isdynamicallyscalable=True)
    assert (error.code, "does not allow it" in error.text) == (431, True)


def test_a_volatile_machine_is_rebooted_with_a_new_root_disk(cloud: Cloud, zone: dict[str, str]) -> None:
    by = service(cloud, name="volatile", cpunumber=1, cpuspeed=500, memory=128, isvolatile=True)
    assert cloud.list("listServiceOfferings", id=by)[0]["isvolatile"] is True
    network = isolated_network(cloud, zone, "n")
    data = cloud.list("listDiskOfferings", name="Small")[0]["id"]
    made = machine(cloud, zone | {"offering": by}, network, "m1", diskofferingid=data)
    disks = {v["type"]: v["id"] for v in cloud.list("listVolumes", virtualmachineid=made["id"])}
    write_on(cloud, *disks.values())
    assert written(cloud) == set(disks.values())
    again = cloud.job("rebootVirtualMachine", id=made["id"])
    assert (again["state"], again["hostid"]) == ("Running", made["hostid"])
    assert again["nic"][0]["ipaddress"] == made["nic"][0]["ipaddress"]
    assert written(cloud) == {disks["DATADISK"]}
    found = cloud.list("listVolumes", virtualmachineid=made["id"])
    assert {(v["type"], v["id"], v["state"]) for v in found} == {(t, id_, "Ready") for t, id_ in disks.items()}
    assert sound(cloud)
    steady = machine(cloud, zone, network, "m2")
    (root,) = cloud.list("listVolumes", virtualmachineid=steady["id"])
    write_on(cloud, root["id"])
    cloud.job("rebootVirtualMachine", id=steady["id"])
    assert root["id"] in written(cloud)


def test_a_volatile_machine_that_cannot_start_is_stopped(cloud: Cloud, zone: dict[str, str]) -> None:
    by = service(cloud, name="volatile", cpunumber=1, cpuspeed=500, memory=128, isvolatile=True)
    made = machine(cloud, zone | {"offering": by}, isolated_network(cloud, zone, "n"), "m1")
    cloud.api("updateHost", id=zone["host"], allocationstate="Disable")
    error = refused(cloud, "rebootVirtualMachine", id=made["id"])
    assert error.code == 533
    assert cloud.list("listVirtualMachines", id=made["id"])[0]["state"] == "Stopped"
    assert sound(cloud)
    cloud.api("updateHost", id=zone["host"], allocationstate="Enable")
    assert cloud.job("startVirtualMachine", id=made["id"])["state"] == "Running"
    assert sound(cloud)


def write_on(cloud: Cloud, *uuids: str) -> None:
    """Leave a mark on simulated volumes, as a guest that writes on its disks."""
    with cloud.services.database.write() as db:
        for row in db.execute(sa.select(sim_object).where(sim_object.c.sort == "volume")).all():
            if row.key.rpartition("/")[2] in uuids:
                value = {**msgspec.json.decode(row.value), "written": True}
                text = msgspec.json.encode(value).decode()
                db.execute(sa.update(sim_object).where(sim_object.c.key == row.key).values(value=text))


def written(cloud: Cloud) -> set[str]:
    with cloud.services.database.read() as db:
        return {key.partition("/")[2] for key, value in hosts.objects(db, "volume").items() if value.get("written")}
