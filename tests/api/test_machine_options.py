"""How machines are ordered beyond their size: keyboard, boot, chosen id, protection from deletion, a new place."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import lease_ends
from pileus.compute.tables import machine as machine_table
from pileus.core.database import now
from pileus.drivers.simulator.tables import sim_object
from tests.support.cloud import Cloud, Refused
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
