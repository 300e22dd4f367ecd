"""Jobs that take machines down: stop, reboot, destroy, expunge."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import expunging, model, settings, starting, usage
from pileus.compute.tables import machine
from pileus.compute.workflows import shown
from pileus.core import database
from pileus.core.errors import ConcurrentChange, InvalidParameter
from pileus.core.jobs import Job, JobFailed, workflow
from pileus.storage.tables import volume
from pileus.storage.volumes import DESTROY, READY

SLACK_SECONDS = 60


def still_running(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave a machine that could not be stopped as what it is: running."""
    del error
    machine_id = int(job.arguments["machine"])
    database.change(
        db, machine, machine_id, expect={"state": model.STOPPING}, state=model.RUNNING, updated=database.now()
    )


@workflow("machine.stop", on_failure=still_running)
def stop(job: Job, machine: int, forced: bool) -> None:
    """Stop a machine: by its power button, and by the plug when it does not react in time or is forced."""
    power_off(job, machine, forced=forced)

    def finish(db: Connection) -> dict[str, Any]:
        stopped(db, machine)
        return shown(db, machine, admin=job.admin)

    job.finish("stopped", finish)


def power_off(job: Job, machine_id: int, *, forced: bool) -> bool:
    """Bring a machine that runs to a halt; tell whether there was anything to do."""
    output = job.commit("begin", lambda db: begin(db, machine_id))
    if output is None:
        return False
    if output["lost"] and not forced:
        raise JobFailed(
            f"the host of virtual machine {output['label']} {output['lost']}; stop the machine with forced=true if you "
            "know that it does not run there any more",
            code=534,
        )
    if not output["lost"]:
        seconds = 0 if forced else job.services.settings.get(settings.STOP_SECONDS)
        job.call(
            "stop",
            output["host"],
            "machine.stop",
            f"machine:{output['uuid']}",
            {"name": output["name"], "force": forced, "timeout": float(seconds)},
            timeout=seconds + SLACK_SECONDS,
        )
    return True


def begin(db: Connection, machine_id: int) -> dict[str, Any] | None:
    """Mark the machine as stopping and return where it runs; None when it is stopped already."""
    row = database.one(db, machine, machine_id)
    if row.state == model.STOPPED or (row.state in (model.DESTROYED, model.ERROR) and row.host_id is None):
        return None
    if not database.change(
        db,
        machine,
        machine_id,
        expect={"state": (model.RUNNING, model.STOPPING)},
        state=model.STOPPING,
        updated=database.now(),
    ):
        raise InvalidParameter(f"virtual machine {row.name} is {row.state}; only a running one can be stopped")
    return {
        "host": row.host_id,
        "uuid": row.uuid,
        "name": row.instance_name,
        "label": row.name,
        "lost": starting.host_up(db, row.host_id),
    }


def stopped(db: Connection, machine_id: int, state: str = model.STOPPED) -> None:
    """Record that a machine is off: its room is given back."""
    row = database.one(db, machine, machine_id)
    if row.state == model.STOPPED and state == model.STOPPED:
        return
    if row.host_id is not None:
        starting.leave_host(db, row, last_host_id=row.host_id)
    if not database.change(
        db,
        machine,
        machine_id,
        expect={"state": (model.STOPPING, model.STOPPED, model.RUNNING)},
        state=state,
        power_state="PowerOff",
        power_seen=database.now(),
        vnc_port=None,
        updated=database.now(),
    ):
        raise ConcurrentChange(f"virtual machine {row.name} changed its state meanwhile")
    if row.state != model.STOPPED:
        usage.machine_changed(db, machine_id, usage.STOPPED)
    if state == model.DESTROYED:
        usage.machine_changed(db, machine_id, usage.DESTROYED)


@workflow("machine.reboot")
def reboot(job: Job, machine: int, forced: bool) -> None:
    """Restart a running machine where it is."""
    output = job.commit("look", lambda db: _running(db, machine))
    seconds = 0 if forced else job.services.settings.get(settings.STOP_SECONDS)
    job.call(
        "reboot",
        output["host"],
        "machine.reboot",
        f"machine:{output['uuid']}",
        {"name": output["name"], "force": forced, "timeout": float(seconds)},
        timeout=seconds + 2 * SLACK_SECONDS,
    )
    job.finish("rebooted", lambda db: shown(db, machine, admin=job.admin))


def _running(db: Connection, machine_id: int) -> dict[str, Any]:
    row = database.one(db, machine, machine_id)
    if row.state != model.RUNNING:
        raise InvalidParameter(f"virtual machine {row.name} is {row.state}; only a running one can be rebooted")
    return {"host": row.host_id, "uuid": row.uuid, "name": row.instance_name}


def not_destroyed(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave the machine running when it could not be stopped, in Error when it could not be expunged."""
    still_running(job, db, error)
    expunging.failed(job, db, error)


@workflow("machine.destroy", on_failure=not_destroyed)
def destroy(job: Job, machine: int, expunge: bool, volumes: list[int]) -> None:
    """Stop a machine and mark it destroyed; expunge it right away when asked to, or when it never ran properly."""
    forced = bool(job.services.settings.get(settings.FORCE_STOP))
    power_off(job, machine, forced=forced)
    if not expunge:
        job.finish("destroyed", lambda db: _destroyed(db, job, machine, volumes))
        return
    job.commit("mark", lambda db: mark(db, machine, volumes))
    expunging.run(job, machine)
    job.finish("expunged", lambda db: expunging.gone(db, machine) or shown(db, machine, admin=job.admin))


def _destroyed(db: Connection, job: Job, machine_id: int, volumes: list[int]) -> dict[str, Any]:
    mark(db, machine_id, volumes)
    return shown(db, machine_id, admin=job.admin)


def mark(db: Connection, machine_id: int, volumes: list[int]) -> None:
    """Mark a stopped machine as destroyed, and the data volumes that shall go with it."""
    row: Row[Any] = database.one(db, machine, machine_id)
    if row.state in (model.STOPPING, model.STOPPED):
        stopped(db, machine_id, model.DESTROYED)
    database.change(db, machine, machine_id, destroyed=row.destroyed or database.now())
    if volumes:
        going = [each for each in usage.volumes_of(db, machine_id, READY) if each.id in volumes]
        usage.volumes_changed(db, going, usage.VOLUME_DELETED)
        db.execute(
            sa.update(volume)
            .where(volume.c.id.in_(volumes), volume.c.machine_id == machine_id, volume.c.state == READY)
            .values(state=DESTROY, destroyed=database.now())
        )
