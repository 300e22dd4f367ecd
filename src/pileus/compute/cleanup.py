"""Letting go of what an account owns, when the account is deleted: its machines, then its volumes."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute import expunging, model, stopping, usage
from pileus.compute.tables import machine
from pileus.compute.workflows import key
from pileus.core import database
from pileus.core.jobs import HostCall, Job, OperationFailed, workflow
from pileus.storage.tables import volume
from pileus.storage.volumes import DESTROY, EXPUNGED, EXPUNGING
from pileus.wire.operations import Failure


def machines(job: Job, account_id: int) -> None:
    """Expunge every machine of the account, one after another."""
    found: list[int] = job.commit("machines", lambda db: _machines(db, account_id))
    for id_ in found:
        job.child(f"machine/{id_}", clear, key=key(id_), arguments={"machine": id_})


def _machines(db: Connection, account_id: int) -> list[int]:
    statement = sa.select(machine.c.id).where(machine.c.account_id == account_id, machine.c.removed.is_(None))
    return list(db.execute(statement.order_by(machine.c.id)).scalars())


@workflow("machine.clear", on_failure=stopping.not_destroyed)
def clear(job: Job, machine: int) -> None:
    """Power a machine off and expunge it, whatever its state; one that is gone is done with."""
    if job.commit("look", lambda db: _gone(db, machine)):
        job.finish("gone", lambda _db: None)
        return
    stopping.power_off(job, machine, forced=True)
    job.commit("mark", lambda db: stopping.mark(db, machine, []))
    expunging.run(job, machine)
    job.finish("expunged", lambda db: expunging.gone(db, machine))


def _gone(db: Connection, machine_id: int) -> bool:
    row = database.get(db, machine, machine_id)
    return row is None or row.removed is not None


def halt(job: Job, account_id: int) -> None:
    """Stop every machine of the account that runs, one after another."""
    found: list[int] = job.commit("running", lambda db: _running(db, account_id))
    for id_ in found:
        job.child(f"stop/{id_}", stop_if_running, key=key(id_), arguments={"machine": id_})


def _running(db: Connection, account_id: int) -> list[int]:
    states = (model.RUNNING, model.STARTING, model.STOPPING)
    statement = sa.select(machine.c.id).where(machine.c.account_id == account_id, machine.c.state.in_(states))
    return list(db.execute(statement.order_by(machine.c.id)).scalars())


@workflow("machine.halt", on_failure=stopping.still_running)
def stop_if_running(job: Job, machine: int) -> None:
    """Stop a machine unless it has stopped or gone meanwhile."""
    if job.commit("look", lambda db: _runs(db, machine)) and stopping.power_off(job, machine, forced=False):
        job.finish("stopped", lambda db: stopping.stopped(db, machine))
        return
    job.finish("stopped-already", lambda _db: None)


def _runs(db: Connection, machine_id: int) -> bool:
    row = database.get(db, machine, machine_id)
    return row is not None and row.state in (model.RUNNING, model.STOPPING)


def volumes(job: Job, account_id: int) -> None:
    """Delete every volume of the account that no machine has any more."""
    calls: list[dict[str, Any]] = job.commit("volumes", lambda db: msgspec.to_builtins(_volumes(db, account_id)))
    for call, answer in zip(
        calls, job.calls("volume", [HostCall(**each) for each in calls], timeout=expunging.CALL_SECONDS), strict=True
    ):
        if answer.state != "done":
            failure = answer.failure or Failure(code=answer.state, message="The host did not delete the volume")
            raise OperationFailed(failure, call["host"], call["kind"])
    job.commit("volumes-gone", lambda db: _volumes_gone(db, account_id))


def _volumes(db: Connection, account_id: int) -> list[HostCall]:
    calls: list[HostCall] = []
    for row in _left(db, account_id):
        if row.state not in (DESTROY, EXPUNGING, EXPUNGED):
            usage.volumes_changed(db, [row], usage.VOLUME_DELETED)
        database.change(
            db,
            volume,
            row.id,
            expect={"state": row.state},
            state=DESTROY if row.state not in (EXPUNGING, EXPUNGED) else row.state,
            destroyed=row.destroyed or database.now(),
        )
        calls.extend(expunging.delete_call(db, row, None))
    return calls


def _left(db: Connection, account_id: int) -> list[Any]:
    statement = sa.select(volume).where(
        volume.c.account_id == account_id, volume.c.removed.is_(None), volume.c.machine_id.is_(None)
    )
    return list(db.execute(statement.order_by(volume.c.id)).all())


def _volumes_gone(db: Connection, account_id: int) -> None:
    for row in _left(db, account_id):
        if row.state in (DESTROY, EXPUNGING):
            expunging.volume_gone(db, row)
