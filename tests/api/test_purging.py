"""Purging: the records of expunged machines go, by command, regularly, and by the offering; usage stays."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import purging
from pileus.compute.tables import machine as machines
from pileus.core.database import now
from pileus.core.jobs import ledger
from pileus.core.jobs.tables import job, job_step
from pileus.core.rendering import date
from pileus.core.tables import usage_event
from pileus.network.tables import nic
from pileus.storage.tables import volume
from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone

DAY = 86_400


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def left(cloud: Cloud) -> dict[str, int]:
    """Return how many rows there are of what machines leave."""
    columns = {"machine": machines.c.id, "volume": volume.c.machine_id, "nic": nic.c.machine_id}
    with cloud.services.database.read() as db:
        return {name: db.execute(sa.select(sa.func.count(column))).scalar_one() for name, column in columns.items()}


def expunged(cloud: Cloud, *ages: float, **more: Any) -> dict[str, str]:
    """Make machines that were expunged so many days ago; return their zone with their network."""
    zone = simulated_zone(cloud) | more
    zone["network"] = isolated_network(cloud, zone, "n1", **cloud.user.own)
    for number, age in enumerate(ages):
        made = machine(cloud, zone, zone["network"], f"old{number}", **cloud.user.own)
        cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
        with cloud.services.database.write() as db:
            at = {"removed": now() - age * DAY}
            db.execute(sa.update(machines).where(machines.c.uuid == made["id"]).values(at))
    return zone


def test_records_between_two_dates_are_purged(cloud: Cloud):
    zone = expunged(cloud, 50, 20, 10, 1)
    kept = machine(cloud, zone, zone["network"], "alive", **cloud.user.own)
    with cloud.services.database.read() as db:
        billed = db.execute(sa.select(sa.func.count()).select_from(usage_event)).scalar_one()
    assert left(cloud) == {"machine": 5, "volume": 5, "nic": 5}
    found = cloud.job(
        "purgeExpungedResources",
        startdate=date(now() - 30 * DAY), enddate=date(now() - 5 * DAY), resourcetype="virtualmachine", batchsize=1,
    )  # fmt: skip
    assert found["resourcecount"] == 2
    assert left(cloud) == {"machine": 3, "volume": 3, "nic": 3}
    assert cloud.job("purgeExpungedResources")["resourcecount"] == 2
    assert cloud.job("purgeExpungedResources")["resourcecount"] == 0
    assert left(cloud) == {"machine": 1, "volume": 1, "nic": 1}
    assert [each["id"] for each in cloud.list("listVirtualMachines", listall=True)] == [kept["id"]]
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(usage_event)).scalar_one() == billed
    types = {each["type"] for each in cloud.list("listEvents", listall=True, keyword="purged")}
    assert types == {"PURGE.EXPUNGED.RESOURCES"}


def test_who_may_not_purge_what(cloud: Cloud):
    for who in (cloud.user, cloud.domain_admin):
        assert refused(cloud, "purgeExpungedResources", who).code in (401, 432)
    assert refused(cloud, "purgeExpungedResources", resourcetype="Volume").code == 431
    for size in (0, -1, 10_001):
        assert refused(cloud, "purgeExpungedResources", batchsize=size).code == 431
    assert refused(cloud, "purgeExpungedResources", startdate="2024-05-02", enddate="2024-05-01").code == 431
    assert refused(cloud, "purgeExpungedResources", startdate="yesterday").code == 431


def test_settings_say_what_is_purged_regularly(cloud: Cloud):
    expunged(cloud, 90, 40, 31, 2)

    def purge(**values: Any) -> int:
        for name, value in values.items():
            cloud.api("updateConfiguration", name=f"expunged.resources.purge.{name.replace('_', '.')}", value=value)
        before = left(cloud)["machine"]
        purging.purge_old(cloud.services)
        return before - left(cloud)["machine"]

    assert purge(start_time=date(now() - 60 * DAY)[:10], batch_size=1) == 2  # default: 30 days are kept
    assert purge(resources="VirtualMachine", start_time="") == 1
    assert purge(keep_past_days=1) == 1
    bad = {"start.time": "soon", "batch.size": "0", "keep.past.days": "-1", "interval": "0", "resources": "Volume"}
    for name, value in bad.items():
        error = refused(cloud, "updateConfiguration", name=f"expunged.resources.purge.{name}", value=value)
        assert error.code == 431


def test_regular_purges_begin_when_they_are_enabled(cloud: Cloud):
    name = "expunged.resources.purge"
    assert purging.period(cloud.services) == float("inf")
    cloud.api("updateConfiguration", name=f"{name}.enabled", value="true")
    assert purging.period(cloud.services) == float("inf")  # this server has started only just now
    cloud.api("updateConfiguration", name=f"{name}.delay", value="0")
    assert purging.period(cloud.services) == DAY
    cloud.api("updateConfiguration", name=f"{name}.interval", value="60")
    assert purging.period(cloud.services) == 60


def asleep(cloud: Cloud, statement: Any) -> Any:
    """Wait until the one job of a statement sleeps."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with cloud.services.database.read() as db:
            (found,) = db.execute(statement).all()
        if found.wake_at is not None:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"the job is {found.state} and does not sleep")


def test_machines_of_an_offering_leave_no_record_when_it_says_so(cloud: Cloud):
    size = {"cpunumber": 1, "cpuspeed": 500, "memory": 256}
    made = cloud.api("createServiceOffering", name="p", displaytext="p", purgeresources=True, **size)["serviceoffering"]
    assert made["purgeresources"] is True
    cloud.api("updateConfiguration", name="expunged.resource.purge.job.delay", value="300")
    zone = expunged(cloud, 0, offering=made["id"])
    statement = sa.select(job).where(job.c.workflow == "machine.purge").order_by(job.c.id)
    waiting = asleep(cloud, statement)
    assert 280 < waiting.wake_at - now() <= 300
    with cloud.services.database.write() as db:
        db.execute(sa.update(job_step).where(job_step.c.job_id == waiting.id).values(output=ledger.encode(now())))
        db.execute(sa.update(job).where(job.c.id == waiting.id).values(wake_at=now()))
    cloud.wait("expungeVirtualMachine", waiting.uuid)
    assert left(cloud) == {"machine": 0, "volume": 0, "nic": 0}
    changed = cloud.api("updateServiceOffering", id=made["id"], purgeresources=False)["serviceoffering"]
    assert changed["purgeresources"] is False
    gone = machine(cloud, zone, zone["network"], "kept", **cloud.user.own)
    cloud.job("destroyVirtualMachine", id=gone["id"], expunge=True)
    assert left(cloud) == {"machine": 1, "volume": 1, "nic": 1}
    with cloud.services.database.read() as db:
        assert len(db.execute(statement).all()) == 1
