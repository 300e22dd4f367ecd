"""Secrets of machines: whoever reads the job tables finds none in clear, while jobs run and afterwards."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.compute.tables import machine
from pileus.core.database import Database
from pileus.core.jobs import sealing
from pileus.core.jobs.tables import job, job_step, outbox
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, simulated_zone

KEPT = (job.c.arguments, job.c.result, job_step.c.output, outbox.c.arguments)


def kept(database: Database) -> str:
    """Return all that rows of jobs hold, as text."""
    with database.read() as db:
        rows = [db.execute(sa.select(sa.cast(column, sa.Text))).scalars().all() for column in KEPT]
    return "\n".join(str(value) for column in rows for value in column)


def test_rows_of_jobs_hold_no_password_in_clear(cloud: Cloud) -> None:
    zone = simulated_zone(cloud)
    made = cloud.job(
        "deployVirtualMachine",
        zoneid=zone["zone"],
        templateid=zone["template"],
        serviceofferingid=zone["offering"],
        networkids=isolated_network(cloud, zone, "n1"),
        name="vm1",
    )
    with cloud.services.database.read() as db:
        encrypted = db.execute(sa.select(machine.c.vnc_password).where(machine.c.uuid == made["id"])).scalar_one()
        left = db.execute(sa.select(outbox.c.arguments)).scalars().all()
    found = kept(cloud.services.database)
    assert made["password"] not in found
    assert cloud.services.secrets.decrypt(encrypted) not in found
    assert set(left) == {"{}"}, "operations of jobs that have ended keep their arguments"
    (shown,) = (each for each in cloud.list("listAsyncJobs") if each["cmd"].endswith("deployVirtualMachine"))
    assert shown["jobresult"]["virtualmachine"]["password"] == made["password"]


def test_operations_on_their_way_are_encrypted(cloud: Cloud) -> None:
    text = sealing.seal(cloud.services, "machine.start", {"vnc_password": "sesame"})
    assert "sesame" not in text
    assert sealing.unseal(cloud.services, text) == {"vnc_password": "sesame"}
    assert sealing.seal(cloud.services, "volume.create", {"size": 1}) == '{"size":1}'
