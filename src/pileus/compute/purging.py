"""Purging: the records of machines that were expunged, with their volumes and NICs, are deleted for good.

Usage events and events stay: they name what they are about by its id.
"""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from pileus.compute import purge_settings as settings
from pileus.compute.tables import machine, service_offering
from pileus.core import database
from pileus.core import services as registered
from pileus.core.jobs import Job, periodic, submit, workflow
from pileus.network.tables import nic
from pileus.storage.tables import volume

log = structlog.get_logger(__name__)

MACHINES = "VirtualMachine"
RESOURCES = (MACHINES,)
"""Types of resources whose records can be purged."""

LEAST_DELAY = 180
_DAY = 86_400


@workflow("resources.purge")
def purge(job: Job, since: float | None, until: float, batch: int) -> None:
    """Delete the records of machines that were expunged in a span of time, so many at a time."""
    count = number = 0
    while gone := job.commit(f"batch-{number}", lambda db: delete(db, since, until, batch)):
        count, number = count + gone, number + 1
    found = {"purgeexpungedresourcesresponse": {"resourcecount": count}}
    job.finish("purged", lambda _db: found)


def delete(db: Connection, since: float | None, until: float, limit: int) -> int:
    """Delete the records of so many machines that were expunged in a span of time, oldest first; return how many."""
    found = sa.select(machine.c.id).where(machine.c.removed <= until).order_by(machine.c.removed, machine.c.id)
    if since is not None:
        found = found.where(machine.c.removed >= since)
    ids = list(db.execute(found.limit(limit)).scalars())
    _delete(db, ids)
    return len(ids)


def _delete(db: Connection, ids: list[int]) -> None:
    for table in (nic, volume):
        db.execute(sa.delete(table).where(table.c.machine_id.in_(ids), table.c.removed.is_not(None)))
    db.execute(sa.delete(machine).where(machine.c.id.in_(ids), machine.c.removed.is_not(None)))


@workflow("machine.purge")
def purge_machine(job: Job, machine: int, delay: float) -> None:
    """Delete the records of one machine, a while after it was expunged."""
    job.sleep("delay", delay)

    def gone(db: Connection) -> dict[str, Any]:
        _delete(db, [machine])
        return {"success": True}

    job.finish("purged", gone)


def after_expunging(db: Connection, machine_id: int) -> None:
    """Submit the purge of a machine that is gone where its offering wants it."""
    wanted = sa.select(service_offering.c.purge).join(machine, machine.c.service_offering_id == service_offering.c.id)
    if db.execute(wanted.where(machine.c.id == machine_id)).scalar_one():
        delay = max(LEAST_DELAY, registered.of(db).settings.get(settings.JOB_DELAY))
        arguments = {"machine": machine_id, "delay": delay}
        submit(db, purge_machine, key=None, arguments=arguments, deadline_seconds=delay + 3600)


def period(services: Any) -> float:
    """Return the seconds between two purges; none while they are off, or this server has started only just now."""
    begun = services.plugins.setdefault("compute.purging.begun", database.now())
    get = services.settings.get
    if not get(settings.ENABLED) or database.now() < begun + get(settings.DELAY):
        return math.inf
    return float(get(settings.INTERVAL))


@periodic("machines.purge", every=period)
def purge_old(services: Any) -> None:
    """Delete the records of what was expunged long enough ago."""
    get = services.settings.get
    named = {each.strip().lower() for each in get(settings.RESOURCES).split(",") if each.strip()}
    if named and MACHINES.lower() not in named:
        return
    since = settings.moment_of(get(settings.START))
    until = database.now() - _DAY * get(settings.KEEP_DAYS)
    count, batch = 0, get(settings.BATCH)
    while True:
        with services.database.write() as db:
            gone = delete(db, since, until, batch)
        count += gone
        if gone < batch:
            break
    if count:
        log.info("records of expunged machines were purged", count=count)
