"""What hosts report, and what the records make of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from pileus.compute import audit, reports
from pileus.compute.tables import machine
from pileus.core.tables import event
from pileus.drivers.simulator import state as hosts
from pileus.infrastructure.tables import host
from pileus.wire.hosts import Report
from pileus.wire.machines import MachineState
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, simulated_zone
from tests.support.zones import machine as deploy


@pytest.fixture
def made(cloud: Cloud) -> dict[str, Any]:
    zone = simulated_zone(cloud, hosts=1)
    return deploy(cloud, zone, isolated_network(cloud, zone, "n1"), "web1")


def report(cloud: Cloud, *machines: MachineState) -> None:
    """Let the only host report what it holds, or these machines."""
    with cloud.services.database.write() as db:
        on = db.execute(sa.select(host)).one()
        found = hosts.report(db, on.id, on.uuid)
        if machines:
            found = Report(host=on.uuid, sequence=1, boot="simulated", machines=list(machines))
        reports.observe(db, on, found)


def power(cloud: Cloud, name: str, power: str) -> None:
    with cloud.services.database.write() as db:
        hosts.set_power(db, 1, name, power)


def later(cloud: Cloud, seconds: float = 60) -> None:
    """Let time pass for the machine's records."""
    with cloud.services.database.write() as db:
        values = {"power_seen": machine.c.power_seen - seconds, "updated": machine.c.updated - seconds}
        db.execute(sa.update(machine).values(values))


def shown(cloud: Cloud, id_: str) -> dict[str, Any]:
    (found,) = cloud.list("listVirtualMachines", id=id_)
    return found


def alerts(cloud: Cloud) -> list[str]:
    with cloud.services.database.read() as db:
        statement = sa.select(event.c.description).where(event.c.type == "ALERT.MACHINE")
        return list(db.execute(statement).scalars())


def test_a_guest_that_shuts_itself_down_is_stopped_after_a_while(cloud: Cloud, made: dict[str, Any]) -> None:
    power(cloud, made["instancename"], "off")
    report(cloud)
    report(cloud)
    assert shown(cloud, made["id"])["state"] == "Running"
    later(cloud)
    report(cloud)
    assert shown(cloud, made["id"])["state"] == "Stopped"
    assert cloud.list("listEvents", type="VM.STOP")
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []
    assert cloud.job("startVirtualMachine", id=made["id"])["state"] == "Running"


def test_a_machine_that_is_back_in_time_goes_on(cloud: Cloud, made: dict[str, Any]) -> None:
    power(cloud, made["instancename"], "off")
    report(cloud)
    power(cloud, made["instancename"], "on")
    report(cloud)
    later(cloud)
    power(cloud, made["instancename"], "off")
    report(cloud)
    assert shown(cloud, made["id"])["state"] == "Running"


def test_a_machine_that_runs_again_on_its_host_is_running(cloud: Cloud, made: dict[str, Any]) -> None:
    cloud.job("stopVirtualMachine", id=made["id"])
    power(cloud, made["instancename"], "on")
    report(cloud)
    found = shown(cloud, made["id"])
    assert (found["state"], found["hostid"]) == ("Running", made["hostid"])
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []


def test_machines_that_must_not_run_raise_one_alert(cloud: Cloud, made: dict[str, Any]) -> None:
    stranger = MachineState(name="i-9-9-VM", uuid="0a5f2f6e-0000-4000-8000-0000000000ff", power="on")
    own = MachineState(name=made["instancename"], uuid=made["id"], power="on")
    report(cloud, own, stranger)
    report(cloud, own, stranger)
    assert len(alerts(cloud)) == 1
    assert "which no record knows" in alerts(cloud)[0]
    cloud.job("destroyVirtualMachine", id=made["id"])
    report(cloud, own)
    assert shown(cloud, made["id"])["state"] == "Destroyed"
    assert "though it must not" in alerts(cloud)[1]


def test_a_password_that_its_guest_has_taken_is_forgotten(cloud: Cloud, made: dict[str, Any]) -> None:
    def kept() -> tuple[str | None, str]:
        with cloud.services.database.read() as db:
            row = db.execute(sa.select(machine.c.password, machine.c.password_id)).one()
            return row.password, row.password_id

    password, id_ = kept()
    assert password is not None
    with cloud.services.database.write() as db:
        on = db.execute(sa.select(host)).one()
        found = hosts.report(db, on.id, on.uuid)
        (serving,) = found.routers
        taken = msgspec.structs.replace(serving, passwords_taken=[id_])
        reports.observe(db, on, msgspec.structs.replace(found, routers=[taken]))
    assert kept()[0] is None
