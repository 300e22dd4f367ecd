"""Taking hosts out of service for maintenance: routers move away, machines are stopped if the operator allows that.

Machines cannot move between hosts yet.  The setting ``host.maintenance.local.storage.strategy`` says what happens to
those that run: with Error (the default) the host ends in ErrorInPrepareForMaintenance, and reaches Maintenance by
itself once the last of them is stopped; with ForceStop they are stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import stopping, workflows
from pileus.compute.tables import machine
from pileus.core import database, events, jobs
from pileus.core.errors import InvalidParameter
from pileus.core.jobs import Job, JobFailed, periodic, workflow
from pileus.core.services import Services
from pileus.core.settings import declare
from pileus.infrastructure import host_views
from pileus.infrastructure.tables import host
from pileus.network import router_jobs
from pileus.network.tables import router

log = structlog.get_logger(__name__)

ENABLED, DISABLED, DEGRADED, MAINTENANCE = "Enabled", "Disabled", "Degraded", "Maintenance"
PREPARING, ERROR_PREPARING = "PrepareForMaintenance", "ErrorInPrepareForMaintenance"
ERROR = "ErrorInMaintenance"

ASKABLE = (ENABLED, ERROR, ERROR_PREPARING, DEGRADED)
CANCELLABLE = (MAINTENANCE, PREPARING, ERROR_PREPARING, ERROR)

STRATEGY = declare(
    "host.maintenance.local.storage.strategy",
    str,
    "Error",
    "what happens to machines that cannot leave a host which is prepared for maintenance: Error (the host waits in "
    "ErrorInPrepareForMaintenance until they are stopped) or ForceStop (they are stopped)",
    options=("Error", "ForceStop"),
)
CHECK_SECONDS = 5.0
_SHOWN = 5


def key(host_id: int) -> str:
    """Return the key of jobs that change a host's maintenance."""
    return f"host:{host_id}"


def machines_on(db: Connection, host_id: int) -> Sequence[Row[Any]]:
    """Return what runs on a host, or is about to."""
    return db.execute(sa.select(machine).where(machine.c.host_id == host_id, machine.c.removed.is_(None))).all()


def _routers_on(db: Connection, host_id: int) -> list[int]:
    there = sa.select(router.c.network_id).where(
        router.c.host_id == host_id, router.c.removed.is_(None), router.c.state.in_(("Starting", "Running"))
    )
    return list(db.execute(there.order_by(router.c.id)).scalars())


def _not_prepared(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave the host waiting for its machines."""
    del error
    host_id = int(job.arguments["host_id"])
    database.change(db, host, host_id, expect={"resource_state": PREPARING}, resource_state=ERROR_PREPARING)


@workflow("host.maintain", on_failure=_not_prepared)
def maintain(job: Job, host_id: int) -> None:
    """Empty a host that takes nothing new any more, and put it into maintenance."""
    strategy = str(job.services.settings.get(STRATEGY)).lower()
    found = job.commit("look", lambda db: _look(db, host_id, stop=strategy == "forcestop"))
    for number, machine_id in enumerate(found["machines"]):
        job.child(
            f"stop/{number}",
            stopping.stop,
            key=workflows.key(machine_id),
            arguments={"machine": machine_id, "forced": False},
        )
    for number, network_id in enumerate(found["routers"]):
        job.child(
            f"router/{number}",
            router_jobs.reboot,
            key=router_jobs.key(network_id),
            arguments={"network": network_id, "forced": found["lost"]},
        )
    job.finish("entered", lambda db: _entered(db, host_id, admin=job.admin))


def _look(db: Connection, host_id: int, *, stop: bool) -> dict[str, Any]:
    running = machines_on(db, host_id)
    if running and not stop:
        raise JobFailed(_why(database.one(db, host, host_id), running), code=530)
    return {
        "machines": [row.id for row in running],
        "routers": _routers_on(db, host_id),
        "lost": database.one(db, host, host_id).state != "Up",
    }


def _why(row: Row[Any], running: Sequence[Row[Any]]) -> str:
    names = ", ".join(each.name for each in running[:_SHOWN]) + (", …" if len(running) > _SHOWN else "")
    return (
        f"host {row.name} cannot enter maintenance yet: {len(running)} virtual machine{'s' * (len(running) > 1)} "
        f"({names}) cannot be moved to another host. Stop them (the host then enters maintenance by itself), or set "
        f"{STRATEGY.name} to ForceStop and ask again; cancelHostMaintenance takes the host back"
    )


def _entered(db: Connection, host_id: int, *, admin: bool) -> dict[str, Any]:
    left = machines_on(db, host_id)
    row = database.one(db, host, host_id)
    if left:
        raise JobFailed(_why(row, left), code=530)
    if not enter(db, host_id):
        raise InvalidParameter(f"host {row.name} is {row.resource_state}: its maintenance was cancelled meanwhile")
    return {"host": host_views.hosts(db, [database.one(db, host, host_id)], admin=admin)[0]}


def enter(db: Connection, host_id: int) -> bool:
    """Put a prepared host into maintenance; tell whether it was still prepared."""
    before = (PREPARING, ERROR_PREPARING, MAINTENANCE)
    return database.change(db, host, host_id, expect={"resource_state": before}, resource_state=MAINTENANCE)


@periodic("host.maintenance", every=CHECK_SECONDS)
def enter_when_empty(services: Services) -> None:
    """Put hosts into maintenance whose last machine has been stopped."""
    occupied = sa.select(machine.c.id).where(machine.c.host_id == host.c.id, machine.c.removed.is_(None)).exists()
    routed = (
        sa.select(router.c.id)
        .where(router.c.host_id == host.c.id, router.c.removed.is_(None), router.c.state.in_(("Starting", "Running")))
        .exists()
    )
    empty = sa.select(host.c.id, host.c.name).where(
        host.c.resource_state == ERROR_PREPARING, host.c.removed.is_(None), ~occupied
    )
    with services.database.read() as db:
        found = db.execute(empty.add_columns(routed.label("routed"))).all()
    for row in found:
        with services.database.write() as db:
            if machines_on(db, row.id):
                continue
            if row.routed:
                _again(db, row.id)
            elif enter(db, row.id):
                log.info("host has entered maintenance: its machines are stopped", host=row.name)
                events.alert(db, "ALERT.COMPUTE.HOST", f"Host {row.name} is empty and has entered maintenance")


def _again(db: Connection, host_id: int) -> None:
    """Prepare once more: only routers are left on the host."""
    if database.change(db, host, host_id, expect={"resource_state": ERROR_PREPARING}, resource_state=PREPARING):
        jobs.submit(db, maintain, key=key(host_id), arguments={"host_id": host_id}, admin=True)
