"""The ends of leases: what is done then, and the events that tell of them before."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import expunging, leases, model, settings, stopping
from pileus.compute.tables import machine
from pileus.compute.workflows import key
from pileus.core import database, events
from pileus.core.jobs import periodic, submit
from pileus.core.jobs.submission import EventContext
from pileus.core.services import Services
from pileus.core.tables import event

log = structlog.get_logger(__name__)

_AT_ONCE = 200


@periodic("machines.leases", every=60)
def end(services: Services) -> None:
    """Stop or destroy the machines whose lease has ended; where leases are switched off, end those without effect."""
    c = machine.c
    pending = sa.select(machine).where(c.lease_state == leases.PENDING, c.removed.is_(None))
    with services.database.write() as db:
        if not services.settings.get(settings.LEASES):
            for row in db.execute(pending.limit(_AT_ONCE)).all():
                _settle(db, row, leases.DISABLED, "VM.LEASE.DISABLED", "is switched off")
            return
        due = pending.where(c.lease_until <= database.now()).order_by(c.lease_until).limit(_AT_ONCE)
        rows = db.execute(due).all()
        busy = expunging.busy(db, [row.id for row in rows])
        for row in rows:
            if row.id not in busy:
                _end(db, row)


def _end(db: Connection, row: Row[Any]) -> None:
    arguments: dict[str, Any] = {"machine": row.id}
    if row.lease_action == leases.DESTROY and row.delete_protection:
        _settle(db, row, leases.DONE, "VM.LEASE.EXPIRED", "has ended; it is protected from deletion and stays")
        return
    if row.lease_action == leases.DESTROY and row.state in (model.RUNNING, model.STOPPED, model.ERROR):
        work, kind, what = stopping.destroy, "VM.DESTROY", "destroyed"
        arguments |= {"expunge": False, "volumes": []}
    elif row.lease_action == leases.STOP and row.state == model.RUNNING:
        work, kind, what = stopping.stop, "VM.STOP", "stopped"
        arguments |= {"forced": False}
    else:
        _settle(db, row, leases.DONE, "VM.LEASE.EXPIRED", f"has ended; the machine is {row.state}")
        return
    if not _settle(db, row, leases.DONE, "VM.LEASE.EXPIRED", f"has ended; it is {what}"):
        return
    submit(
        db,
        work,
        key=key(row.id),
        arguments=arguments,
        account_id=row.account_id,
        domain_id=row.domain_id,
        instance_type="VirtualMachine",
        instance_uuid=row.uuid,
        event=EventContext(
            type=kind,
            text=f"{what} virtual machine {row.name}, as its lease has ended",
            account_id=row.account_id,
            domain_id=row.domain_id,
            user_id=events.SYSTEM,
            resource_type="VirtualMachine",
            resource_uuid=row.uuid,
        ),
        admin=True,
    )


def _settle(db: Connection, row: Row[Any], state: str, kind: str, what: str) -> bool:
    """End a lease once, and tell of it; says whether it was still pending."""
    if not database.change(db, machine, row.id, expect={"lease_state": leases.PENDING}, lease_state=state):
        return False
    tell(db, row, kind, f"the lease of virtual machine {row.name} {what}")
    log.info("a lease has ended", machine=row.uuid, state=state, action=row.lease_action)
    return True


@periodic("machines.lease-warnings", every=leases.DAY)
def warn(services: Services) -> None:
    """Tell, once a day, of the leases that end soon."""
    days = services.settings.get(settings.LEASE_WARNING)
    if not days or not services.settings.get(settings.LEASES):
        return
    c = machine.c
    moment = database.now()
    soon = sa.select(machine).where(
        c.lease_state == leases.PENDING, c.removed.is_(None), c.lease_until.between(moment, moment + days * leases.DAY)
    )
    with services.database.write() as db:
        for row in db.execute(soon).all():
            left = leases.fields(row)["leaseduration"]
            text = f"the lease of virtual machine {row.name} ends in {left} day{'' if left == 1 else 's'}"
            tell(db, row, "VM.LEASE.EXPIRING", text)


def tell(db: Connection, row: Row[Any], kind: str, text: str) -> None:
    """Write an event for the machine's owner that nobody asked for."""
    database.insert(
        db,
        event,
        uuid=database.new_uuid(),
        type=kind,
        state="Completed",
        level="INFO",
        description=text[: events.MAX_TEXT],
        user_id=events.SYSTEM,
        account_id=row.account_id,
        domain_id=row.domain_id,
        resource_type="VirtualMachine",
        resource_uuid=row.uuid,
        created=database.now(),
    )
