"""Expunging: what a destroyed machine still has is deleted for good; data volumes that were not named stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import model, placement, purging, settings, starting, usage
from pileus.compute.tables import machine
from pileus.core import database, events
from pileus.core.errors import InvalidParameter
from pileus.core.jobs import HostCall, Job, JobFailed, OperationFailed, periodic, submit, workflow
from pileus.core.jobs.submission import EventContext
from pileus.core.jobs.tables import ACTIVE
from pileus.core.jobs.tables import job as jobs
from pileus.infrastructure.tables import host
from pileus.network import nics
from pileus.network.tables import nic
from pileus.storage import pools
from pileus.storage.tables import storage_pool, volume
from pileus.storage.volumes import ALLOCATED, CREATING, DESTROY, EXPUNGED, EXPUNGING, READY, ROOT
from pileus.wire.operations import Failure

CALL_SECONDS = 120
_AT_ONCE = 200
LIVE = ("queued", *ACTIVE)


def failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave a machine that could not be expunged in Error: it is tried again later, or by hand."""
    del error
    machine_id = int(job.arguments["machine"])
    moved = database.change(
        db,
        machine,
        machine_id,
        expect={"state": model.EXPUNGING, "removed": None},
        state=model.ERROR,
        updated=database.now(),
    )
    if moved:
        db.execute(
            sa.update(volume)
            .where(volume.c.machine_id == machine_id, volume.c.state == EXPUNGING, volume.c.removed.is_(None))
            .values(state=DESTROY)
        )


@workflow("machine.expunge", on_failure=failed)
def expunge(job: Job, machine: int) -> None:
    """Delete all that is left of a destroyed machine."""
    run(job, machine)

    def finish(db: Connection) -> dict[str, Any]:
        gone(db, machine)
        return {"success": True}

    job.finish("expunged", finish)


def run(job: Job, machine_id: int) -> None:
    """Let the hosts forget the machine and delete its volumes."""
    calls = job.commit("expunging", lambda db: msgspec.to_builtins(_begin(db, machine_id)))
    for call, answer in zip(
        calls, job.calls("clean", [HostCall(**c) for c in calls], timeout=CALL_SECONDS), strict=True
    ):
        if answer.state != "done":
            failure = answer.failure or Failure(code=answer.state, message=f"The host did not do {call['kind']}")
            raise OperationFailed(failure, call["host"], call["kind"])


def _begin(db: Connection, machine_id: int) -> list[HostCall]:
    row = database.one(db, machine, machine_id)
    if not database.change(
        db,
        machine,
        machine_id,
        expect={"state": (model.DESTROYED, model.ERROR, model.STOPPED, model.EXPUNGING), "host_id": None},
        state=model.EXPUNGING,
        destroyed=row.destroyed or database.now(),
        updated=database.now(),
    ):
        raise InvalidParameter(f"virtual machine {row.name} is {row.state}; destroy it before it is expunged")
    if row.state == model.STOPPED:
        usage.machine_changed(db, machine_id, usage.DESTROYED)
    volumes = db.execute(sa.select(volume).where(volume.c.machine_id == machine_id, volume.c.removed.is_(None))).all()
    calls: list[HostCall] = []
    if row.last_host_id is not None and _reachable(db, row, row.last_host_id):
        name = {"name": row.instance_name}
        calls.append(HostCall(row.last_host_id, "machine.destroy", f"machine:{row.uuid}", name))
    for each in volumes:
        if each.state == ALLOCATED or each.type == ROOT or each.state in (DESTROY, EXPUNGING, CREATING):
            database.change(db, volume, each.id, state=EXPUNGING, destroyed=each.destroyed or database.now())
            if each.state not in (DESTROY, EXPUNGING):
                usage.volumes_changed(db, [each], usage.VOLUME_DELETED)
            calls.extend(delete_call(db, each, row.last_host_id))
        else:
            database.change(
                db, volume, each.id, expect={"state": READY}, machine_id=None, device_id=None, attached=None
            )
    return calls


def _reachable(db: Connection, row: Row[Any], host_id: int) -> bool:
    """Tell whether the last host is still there; raise when it is but does not answer."""
    why = starting.host_up(db, host_id)
    if why and why != "is gone":
        raise JobFailed(f"virtual machine {row.name} cannot be expunged while the host that it ran on {why}", code=534)
    return not why


def delete_call(db: Connection, row: Row[Any], preferred: int | None) -> list[HostCall]:
    """Return the operation that deletes a volume, on a host that is up and reaches its pool (none when not made)."""
    if row.pool_id is None:
        return []
    pool = database.one(db, storage_pool, row.pool_id)
    reaching = {
        "HOST": host.c.id == pool.host_id,
        "CLUSTER": host.c.cluster_id == pool.cluster_id,
        "ZONE": host.c.zone_id == pool.zone_id,
    }[pool.scope]
    statement = (
        sa.select(host.c.id)
        .where(reaching, pools.let_in(db, pool), host.c.state == "Up", host.c.removed.is_(None))
        .order_by(host.c.id != (preferred or 0), host.c.id)
        .limit(1)
    )
    found = db.execute(statement).scalar_one_or_none()
    if found is None:
        raise JobFailed(f"volume {row.name} cannot be deleted: no host that reaches its storage is up", code=534)
    arguments = {"pool": msgspec.to_builtins(pools.wire(pool)), "uuid": row.uuid}
    return [HostCall(found, "volume.delete", f"volume:{row.uuid}", arguments)]


def gone(db: Connection, machine_id: int) -> None:
    """Record that nothing is left of the machine: addresses, room and volumes are free."""
    moment = database.now()
    for row in db.execute(
        sa.select(volume).where(
            volume.c.machine_id == machine_id, volume.c.state == EXPUNGING, volume.c.removed.is_(None)
        )
    ).all():
        volume_gone(db, row)
    networks = (
        db.execute(sa.select(nic.c.network_id).where(nic.c.machine_id == machine_id, nic.c.removed.is_(None)))
        .scalars()
        .all()
    )
    nics.release(db, machine_id)
    for network_id in sorted(set(networks)):
        nics.desire_router(db, network_id)
    database.change(db, machine, machine_id, removed=moment, updated=moment, password=None, vnc_password=None)
    purging.after_expunging(db, machine_id)


def volume_gone(db: Connection, row: Row[Any]) -> None:
    """Record that a volume is deleted: its room is free."""
    if row.pool_id is not None:
        placement.give_pool(db, row.pool_id, row.size, row.min_iops or 0)
    database.change(db, volume, row.id, state=EXPUNGED, removed=database.now(), pool_id=None, path="")


def busy(db: Connection, machine_ids: Iterable[int]) -> frozenset[int]:
    """Return the machines that have a job, running or queued."""
    keys = {f"machine:{id_}": id_ for id_ in machine_ids}
    found = db.execute(sa.select(jobs.c.key).where(jobs.c.key.in_(keys), jobs.c.state.in_(LIVE)))
    return frozenset(keys[key] for key in found.scalars())


def _expunge_interval(services: Any) -> float:
    return float(services.settings.get(settings.EXPUNGE_INTERVAL))


@periodic("machines.expunge", every=_expunge_interval)
def expunge_overdue(services: Any) -> None:
    """Expunge machines that were destroyed longer ago than can be recovered; those that failed are tried again."""
    from pileus.compute.workflows import key

    every = services.settings.get(settings.EXPUNGE_INTERVAL)
    before = database.now() - max(0, services.settings.get(settings.EXPUNGE_DELAY))
    with services.database.write() as db:
        rows = db.execute(
            sa.select(machine)
            .where(
                machine.c.destroyed < before,
                machine.c.removed.is_(None),
                sa.or_(
                    machine.c.state == model.DESTROYED,
                    sa.and_(machine.c.state == model.ERROR, machine.c.updated < database.now() - min(every, 600)),
                ),
            )
            .order_by(machine.c.destroyed)
            .limit(_AT_ONCE)
        ).all()
        waiting = busy(db, [row.id for row in rows])
        for row in rows:
            if row.id in waiting:
                continue
            submit(
                db,
                expunge,
                key=key(row.id),
                arguments={"machine": row.id},
                account_id=row.account_id,
                domain_id=row.domain_id,
                instance_type="VirtualMachine",
                instance_uuid=row.uuid,
                event=EventContext(
                    type="VM.EXPUNGE",
                    text=f"expunged virtual machine {row.name}",
                    account_id=row.account_id,
                    domain_id=row.domain_id,
                    user_id=events.SYSTEM,
                    resource_type="VirtualMachine",
                    resource_uuid=row.uuid,
                ),
                admin=True,
            )
