"""Management servers taken out of service: no new jobs, the old ones finished, then the end."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

from pileus.core import database
from pileus.core.jobs.tables import server
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def test_a_server_finishes_its_jobs_and_takes_no_new_ones(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")
    me = cloud.list("listManagementServers")[0]["id"]
    cloud.api("configureSimulator", name="machine.stop", value="wait:1500")
    stopping = cloud.api("stopVirtualMachine", id=vm["id"])["jobid"]
    told = cloud.api("prepareForShutdown", managementserverid=me)["prepareforshutdown"]
    assert (told["state"], told["pendingjobscount"], told["readyforshutdown"]) == ("PreparingForShutDown", 1, False)
    with pytest.raises(Refused, match="takes no new jobs"):
        cloud.api("startVirtualMachine", id=vm["id"])
    assert cloud.wait("stopVirtualMachine", stopping)["state"] == "Stopped"
    ready = cloud.api("readyForShutdown", managementserverid=me)["readyforshutdown"]
    assert (ready["state"], ready["readyforshutdown"]) == ("ReadyToShutDown", True)
    assert cloud.list("listManagementServers")[0]["state"] == "ReadyToShutDown"
    assert cloud.api("cancelShutdown", managementserverid=me)["cancelshutdown"]["state"] == "Up"
    cloud.job("startVirtualMachine", id=vm["id"])

    ended = threading.Event()
    cloud.engine.on_shutdown(ended.set)
    cloud.api("triggerShutdown", managementserverid=me)
    assert ended.wait(10)


def test_maintenance_needs_another_server_and_removal_a_dead_one(cloud: Cloud) -> None:
    me = cloud.list("listManagementServers")[0]["id"]
    with pytest.raises(Refused, match="no other management server"):
        cloud.api("prepareForMaintenance", managementserverid=me)
    with pytest.raises(Refused, match="is Up"):
        cloud.api("removeManagementServer", id=me)
    with cloud.services.database.write() as db:
        now = database.now()
        db.execute(server.insert().values(uuid="b:1", name="b", started=now, heartbeat=now + 60))
        db.execute(server.insert().values(uuid="c:1", name="c", started=now, heartbeat=now - 60))
    assert cloud.api("prepareForMaintenance", managementserverid=me)["prepareformaintenance"]["state"] == "Maintenance"
    zone = {"name": "z", "networktype": "Advanced", "dns1": "192.0.2.53", "internaldns1": "192.0.2.53"}
    made = cloud.api("createZone", **zone)["zone"]["id"]  # type: ignore[arg-type]
    with pytest.raises(Refused, match="takes no new jobs"):
        cloud.api("createPhysicalNetwork", zoneid=made, name="p")
    cloud.api("cancelMaintenance", managementserverid=me)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            cloud.job("createPhysicalNetwork", zoneid=made, name="p")
            break
        except Refused:
            time.sleep(0.2)
    with pytest.raises(Refused, match="algorithm"):
        cloud.api("prepareForMaintenance", managementserverid=me, algorithm="random")
    assert cloud.api("removeManagementServer", id="c")["success"]
    assert {s["name"] for s in cloud.list("listManagementServers")} == {me, "b"}


@pytest.mark.parametrize("forced", [True, False])
def test_a_maintenance_window_ends(cloud: Cloud, *, forced: bool) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")
    me = cloud.list("listManagementServers")[0]["id"]
    with cloud.services.database.write() as db:
        now = database.now()
        db.execute(server.insert().values(uuid="b:1", name="b", started=now, heartbeat=now + 60))
    cloud.api("configureSimulator", name="machine.stop", value="wait:6000")
    stopping = cloud.api("stopVirtualMachine", id=vm["id"])["jobid"]
    told = cloud.api("prepareForMaintenance", managementserverid=me, forced=forced)["prepareformaintenance"]
    assert told["maintenanceinitiated"] is True
    with cloud.services.database.write() as db:  # the other server dies, so every job waits for this one
        db.execute(server.delete().where(server.c.name == "b"))
    assert _state(cloud, me) == "PreparingForMaintenance"
    with cloud.services.database.write() as db:  # the window of management.server.maintenance.timeout has passed
        passed = sa.select(server.c.drained_by).where(server.c.name == me)
        assert 3500 < db.execute(passed).scalar_one() - now < 3700
        db.execute(server.update().where(server.c.name == me).values(drained_by=now - 1))
    wanted = "Maintenance" if forced else "Up"
    until = time.monotonic() + 5
    while (state := _state(cloud, me)) != wanted and time.monotonic() < until:
        time.sleep(0.1)
    assert state == wanted
    assert cloud.wait("stopVirtualMachine", stopping)["state"] == "Stopped"


def _state(cloud: Cloud, name: str) -> str:
    return next(each["state"] for each in cloud.list("listManagementServers") if each["id"] == name)
