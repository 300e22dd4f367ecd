"""How machines are ordered beyond their size: keyboard, boot, chosen id, protection from deletion, a new place."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from pileus.compute import lease_ends
from pileus.compute.tables import machine as machine_table
from pileus.core.database import now
from pileus.drivers.simulator.tables import sim_object
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone


class Site:
    """A zone with a network, and machines in it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.zone = simulated_zone(cloud)
        self.network = isolated_network(cloud, self.zone, "n1")

    def machine(self, name: str, **more: Any) -> dict[str, Any]:
        """Deploy a machine."""
        return machine(self.cloud, self.zone, self.network, name, **more)

    def refused(self, command: str, **parameters: Any) -> Refused:
        """Return the refusal of a command or of its job."""
        with pytest.raises(Refused) as caught:
            self.cloud.job(command, **parameters)
        return caught.value

    def spec(self, made: dict[str, Any]) -> dict[str, Any]:
        """Return what the simulated host was told of a machine."""
        with self.cloud.services.database.read() as db:
            values = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == "machine")).scalars().all()
        found = [json.loads(value)["spec"] for value in values]
        return next(spec for spec in found if spec["uuid"] == made["id"])


@pytest.fixture
def site(cloud: Cloud) -> Site:
    return Site(cloud)


def test_the_console_has_the_keyboard_that_was_chosen(site: Site) -> None:
    made = site.machine("m1", keyboard="de-CH")
    assert made["details"]["keyboard"] == "de-ch"
    assert site.spec(made)["keyboard"] == "de-ch"
    assert "keyboard" not in site.spec(site.machine("m2"))
    site.cloud.job("stopVirtualMachine", id=made["id"])
    site.cloud.api("updateVirtualMachine", id=made["id"], details=[{"keyboard": "fr"}])
    site.cloud.job("startVirtualMachine", id=made["id"])
    assert site.spec(made)["keyboard"] == "fr"
    with pytest.raises(Refused, match="keyboard must be one of de, "):
        site.machine("m3", keyboard="klingon")


def test_machines_boot_by_bios_only(site: Site) -> None:
    assert site.machine("m1", boottype="BIOS", bootmode="Legacy")["state"] == "Running"
    for more in ({"boottype": "UEFI", "bootmode": "LEGACY"}, {"boottype": "floppy"}, {"bootmode": "secure"}):
        with pytest.raises(Refused, match="boot") as caught:
            site.machine("m2", **more)
        assert caught.value.code == 431


def test_administrators_choose_ids(site: Site) -> None:
    chosen = str(uuid.uuid4())
    assert site.machine("m1", customid=chosen.upper())["id"] == chosen
    with pytest.raises(Refused, match="already exists"):
        site.machine("m2", customid=chosen)
    with pytest.raises(Refused, match="must be a UUID"):
        site.machine("m2", customid="mine")
    asked = {key: site.zone[key[:-2].replace("service", "")] for key in ("zoneid", "templateid", "serviceofferingid")}
    with pytest.raises(Refused) as caught:
        site.cloud.api("deployVirtualMachine", site.cloud.user, customid=str(uuid.uuid4()), **asked)
    assert caught.value.code == 531


def test_protected_machines_are_not_destroyed(site: Site) -> None:
    made = site.machine("m1")
    assert made["deleteprotection"] is False
    changed = site.cloud.api("updateVirtualMachine", id=made["id"], deleteprotection=True)["virtualmachine"]
    assert changed["deleteprotection"] is True
    for more in ({}, {"expunge": True}):
        refusal = site.refused("destroyVirtualMachine", id=made["id"], **more)
        assert refusal.code == 431
        assert "protected" in refusal.text
    assert site.cloud.list("listVirtualMachines", id=made["id"])[0]["state"] == "Running"
    site.cloud.api("updateVirtualMachine", id=made["id"], displayname="other")
    assert site.refused("destroyVirtualMachine", id=made["id"]).code == 431
    site.cloud.api("updateVirtualMachine", id=made["id"], deleteprotection=False)
    assert site.cloud.job("destroyVirtualMachine", id=made["id"])["state"] == "Destroyed"


def test_the_end_of_a_lease_spares_protected_machines(site: Site) -> None:
    site.cloud.api("updateConfiguration", name="instance.lease.enabled", value=True)
    made = site.machine("m1", leaseduration=1, leaseexpiryaction="DESTROY")
    site.cloud.api("updateVirtualMachine", id=made["id"], deleteprotection=True)
    with site.cloud.services.database.write() as db:
        db.execute(sa.update(machine_table).where(machine_table.c.uuid == made["id"]).values(lease_until=now() - 1))
    lease_ends.end(site.cloud.services)
    assert site.cloud.list("listVirtualMachines", id=made["id"])[0]["state"] == "Running"
    (told,) = site.cloud.list("listEvents", type="VM.LEASE.EXPIRED", listall=True)
    assert "protected" in told["description"]


def test_the_last_host_is_preferred_unless_said_otherwise(site: Site) -> None:
    made = site.machine("m1")
    first = made["hostid"]
    others = [one["id"] for one in site.cloud.list("listHosts", type="Routing") if one["id"] != first]
    site.cloud.job("stopVirtualMachine", id=made["id"])
    moved = site.cloud.job("startVirtualMachine", id=made["id"], hostid=others[0])["hostid"]
    assert moved == others[0]
    site.cloud.job("stopVirtualMachine", id=made["id"])
    assert site.cloud.job("startVirtualMachine", id=made["id"])["hostid"] == moved
    site.cloud.job("stopVirtualMachine", id=made["id"])
    assert site.cloud.job("startVirtualMachine", id=made["id"], considerlasthost=False)["hostid"] == first
    site.cloud.job("stopVirtualMachine", id=made["id"])
    assert site.refused("startVirtualMachine", id=made["id"], deploymentplanner="Luck").code == 431


MEMORY = "<memoryBacking><hugepages/></memoryBacking>"


def test_devices_have_threads_policies_and_queues(site: Site) -> None:
    made = site.machine(
        "m1", iothreadsenabled=True, iodriverpolicy="IO_uring", nicmultiqueuenumber=4, nicpackedvirtqueuesenabled=True
    )
    spec = site.spec(made)
    assert spec["io_threads"] == 1
    assert {disk["io"] for disk in spec["disks"]} == {"io_uring"}
    assert [(nic["queues"], nic["packed"]) for nic in spec["nics"]] == [(4, True)]
    assert made["details"]["iothreads"] == "true"
    plain = site.spec(site.machine("m2", details=[{"nic.multiqueue.number": "-1"}]))
    assert plain["nics"][0]["queues"] == plain["cpus"]
    assert "io_threads" not in plain
    for wrong in (
        {"iodriverpolicy": "fast"}, {"nicmultiqueuenumber": 0}, {"nicmultiqueuenumber": 257},
        {"details": [{"io.policy": "fast"}]}, {"details": [{"iothreads": "maybe"}]},
        {"details": [{"extraconfig-1": MEMORY}]},
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            site.machine("m3", **wrong)
        assert caught.value.code == 431


def test_extra_configuration_is_for_those_who_are_let(site: Site) -> None:
    with pytest.raises(Refused, match=r"enable\.additional\.vm\.configuration") as caught:
        site.machine("m1", extraconfig=MEMORY)
    assert caught.value.code == 531
    site.cloud.api("updateConfiguration", name="enable.additional.vm.configuration", value=True)
    with pytest.raises(Refused, match="memoryBacking is not among"):
        site.machine("m1", extraconfig=MEMORY)
    site.cloud.api(
        "updateConfiguration", name="allow.additional.vm.configuration.list.kvm", value="memoryBacking, name"
    )
    made = site.machine("m1", extraconfig=quote(f"huge:\n{MEMORY}"))
    assert made["details"]["extraconfig-huge"] == MEMORY
    assert site.spec(made)["extra"] == [MEMORY]
    for wrong in ("<name>x</name>", "<memoryBacking>", "words", f"<!DOCTYPE x>{MEMORY}", f"{MEMORY} words", "<cpu/>"):
        with pytest.raises(Refused, match="extraconfig") as caught:
            site.machine("m2", extraconfig=wrong)
        assert caught.value.code == 431


def test_extra_configuration_comes_with_the_next_start(site: Site) -> None:
    site.cloud.api("updateConfiguration", name="enable.additional.vm.configuration", value=True)
    site.cloud.api("updateConfiguration", name="allow.additional.vm.configuration.list.kvm", value="memoryBacking")
    made = site.machine("m1")
    site.cloud.api("updateVirtualMachine", id=made["id"], extraconfig=MEMORY)
    site.cloud.job("stopVirtualMachine", id=made["id"])
    site.cloud.job("startVirtualMachine", id=made["id"])
    assert site.spec(made)["extra"] == [MEMORY]
    site.cloud.job("stopVirtualMachine", id=made["id"])
    changed = site.cloud.api("updateVirtualMachine", id=made["id"], details=[{"keyboard": "de"}])["virtualmachine"]
    assert changed["details"] == {"keyboard": "de", "extraconfig-1": MEMORY}
    site.cloud.api("updateVirtualMachine", id=made["id"], cleanupdetails=True)
    site.cloud.job("startVirtualMachine", id=made["id"])
    assert "extra" not in site.spec(made)


def told(site: Site, made: dict[str, Any]) -> dict[str, str]:
    """Return the DHCP options that the router was told of a machine."""
    with site.cloud.services.database.read() as db:
        values = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == "router")).scalars().all()
    hosts = [host for value in values for host in json.loads(value)["spec"]["hosts"]]
    return next(host for host in hosts if host["mac"] == made["nic"][0]["macaddress"]).get("dhcp_options", {})


def test_dhcp_options_of_a_machine_reach_its_router(site: Site) -> None:
    asked = {"networkid": site.network, "dhcp:66": "tftp.example.net", "dhcp:42": "192.0.2.1, 192.0.2.2"}
    made = site.machine("m1", dhcpoptionsnetworklist=[asked])
    assert told(site, made) == {"66": "tftp.example.net", "42": "192.0.2.1,192.0.2.2"}
    shown = {each["extradhcpoptioncode"]: each for each in made["nic"][0]["extradhcpoption"]}
    assert shown[66]["extradhcpvalue"] == "tftp.example.net"
    assert shown[42]["extradhcpoptionname"] == "ntp-server"
    other = site.machine("m2")
    assert told(site, other) == {}
    site.cloud.api(
        "updateVirtualMachine", id=other["id"], dhcpoptionsnetworklist=[{"networkid": site.network, "dhcp:114": "/x"}]
    )
    until(lambda: told(site, other) == {"114": "/x"}, 10)
    assert told(site, made)["66"] == "tftp.example.net"
    for wrong in (
        {"dhcp:3": "192.0.2.1"}, {"dhcp:42": "name"}, {"dhcp:66": "a,b"}, {"dhcp:23": "256"}, {"dhcp:x": "y"},
        {"dhcp:15": "not a domain"},
    ):  # fmt: skip
        with pytest.raises(Refused, match="DHCP option") as caught:
            site.machine("m3", dhcpoptionsnetworklist=[{"networkid": site.network} | wrong])
        assert caught.value.code == 431
    elsewhere = isolated_network(site.cloud, site.zone, "n2")
    with pytest.raises(Refused, match="none of the machine's networks"):
        site.machine("m3", dhcpoptionsnetworklist=[{"networkid": elsewhere, "dhcp:66": "x"}])


def test_administrators_choose_id_and_instance_name_before_the_first_start(site: Site) -> None:
    made = site.machine("m1", startvm=False)
    chosen = str(uuid.uuid4())
    site.cloud.api("createTags", resourceids=made["id"], resourcetype="UserVm", tags=[{"key": "a", "value": "b"}])
    changed = site.cloud.api("updateVirtualMachine", id=made["id"], customid=chosen, instancename="legacy-7")
    assert changed["virtualmachine"]["id"] == chosen
    assert changed["virtualmachine"]["tags"][0]["key"] == "a"
    started = site.cloud.job("startVirtualMachine", id=chosen)
    assert started["instancename"] == "legacy-7"
    assert site.spec(started)["name"] == "legacy-7"
    site.cloud.job("stopVirtualMachine", id=chosen)
    for late in ({"customid": str(uuid.uuid4())}, {"instancename": "legacy-8"}):
        assert site.refused("updateVirtualMachine", id=chosen, **late).code == 431
    other = site.machine("m2", startvm=False)
    for wrong in ({"customid": chosen}, {"customid": "x"}, {"instancename": "legacy-7"}, {"instancename": "i-2-1-VM"}):
        assert site.refused("updateVirtualMachine", id=other["id"], **wrong).code == 431
    assert site.cloud.list("listVirtualMachines", id=other["id"])[0]["instancename"].endswith("-VM")
