"""Commands that take primary storage out of service for a while, and back."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import database, jobs
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import ConcurrentChange, InUse, InvalidParameter
from pileus.core.jobs import Job, workflow
from pileus.core.parameters import Ref
from pileus.storage import pools
from pileus.storage.tables import storage_pool, volume

MAINTENANCE = "Maintenance"
_SHOWN = 5


def _move(job: Job, db: Connection, pool: int, before: str, after: str) -> dict[str, Any]:
    row = database.one(db, storage_pool, pool)
    if row.state != after and not database.change(db, storage_pool, pool, expect={"state": before}, state=after):
        raise ConcurrentChange(f"primary storage {row.name} is {row.state} now, not {before}")
    return {"storagepool": pools.storage_pools(db, [database.one(db, storage_pool, pool)], admin=job.admin)[0]}


@workflow("storage.maintenance.enable")
def enable(job: Job, pool: int) -> None:
    """Let nothing new onto a pool, once nothing runs from it."""

    def enabled(db: Connection) -> dict[str, Any]:
        _refuse_running(db, pool)
        return _move(job, db, pool, pools.UP, MAINTENANCE)

    job.finish("enabled", enabled)


@workflow("storage.maintenance.cancel")
def cancel(job: Job, pool: int) -> None:
    """Take a pool back into service."""
    job.finish("cancelled", lambda db: _move(job, db, pool, MAINTENANCE, pools.UP))


def _refuse_running(db: Connection, pool: int) -> None:
    machine = database.metadata.tables["machine"]  # a later slice's
    running = (
        sa.select(machine.c.uuid, machine.c.name)
        .where(machine.c.id.in_(sa.select(volume.c.machine_id).where(volume.c.pool_id == pool)))
        .where(machine.c.host_id.is_not(None), machine.c.removed.is_(None))
    )
    found = db.execute(running.order_by(machine.c.id).limit(_SHOWN)).all()
    if found:
        names = ", ".join(row.name for row in found)
        raise InUse(
            f"the storage cannot go into maintenance while machines run from it ({names}); stop them first",
            uuids=tuple((row.uuid, "virtualmachine") for row in found),
        )


@command("enableStorageMaintenance", event="MAINT.PREPARE.PS")
class EnableStorageMaintenance(Command):
    """Put primary storage into maintenance: nothing new is placed on it, and no machine starts from it."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Refuse another state than Up; the job does the rest."""
        return _submit(call, self.id, pools.UP, enable)


@command("cancelStorageMaintenance", event="MAINT.CANCEL.PS")
class CancelStorageMaintenance(Command):
    """Take primary storage back into service."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Refuse another state than Maintenance; the job does the rest."""
        return _submit(call, self.id, MAINTENANCE, cancel)


def _submit(call: Call, row: Any, expected: str, what: Any) -> jobs.Submission:
    if row.state != expected:
        raise InvalidParameter(
            f"parameter id: primary storage {row.name} is {row.state}; it must be {expected} for this",
            uuids=((row.uuid, "id"),),
        )
    call.describe(f"{call.spec.name} of primary storage {row.name}")
    return call.submit(what, key=f"pool:{row.id}", instance=("StoragePool", row.uuid), pool=row.id)
