"""Rebooting volatile machines: those whose service offering gives them a new root disk each time."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute import expunging, model, placement, starting, stopping, workflows
from pileus.compute.tables import machine as machines
from pileus.core import database
from pileus.core.jobs import HostCall, Job, JobFailed, workflow
from pileus.storage.tables import volume
from pileus.storage.volumes import ALLOCATED, READY, ROOT


def _failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave the machine running when it could not be stopped, else stopped: its next start makes the root disk."""
    if database.one(db, machines, int(job.arguments["machine"])).state == model.STOPPING:
        stopping.still_running(job, db, error)
    else:
        workflows.settle(job, db, model.STOPPED)


@workflow("machine.renew", on_failure=_failed)
def renew(job: Job, machine: int, forced: bool) -> None:
    """Stop a machine, delete its root disk, and start it with a new one; its data disks stay."""
    stopping.power_off(job, machine, forced=forced)
    found: list[dict[str, Any]] = job.commit("empty", lambda db: msgspec.to_builtins(_empty(db, machine)))
    for call in found:
        job.call(
            "delete", call["host"], call["kind"], call["object"], call["arguments"], timeout=expunging.CALL_SECONDS
        )
    workflows.bring_up(job, machine, msgspec.to_builtins(starting.Where()), {})


def _empty(db: Connection, machine_id: int) -> list[HostCall]:
    """Record that the machine is stopped and its root disk not made; return what deletes the one that was."""
    stopping.stopped(db, machine_id)
    row = database.one(db, machines, machine_id)
    of = sa.select(volume).where(
        volume.c.machine_id == machine_id, volume.c.type == ROOT, volume.c.state == READY, volume.c.removed.is_(None)
    )
    calls: list[HostCall] = []
    for disk in db.execute(of).all():
        calls.extend(expunging.delete_call(db, disk, row.last_host_id))
        placement.give_pool(db, disk.pool_id, disk.size, disk.min_iops or 0)
        database.change(db, volume, disk.id, expect={"state": READY}, state=ALLOCATED, pool_id=None, path="")
    return calls
