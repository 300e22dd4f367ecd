"""What hosts report of machines, and what follows when it is not what the records say.

A machine that runs by the records but not on its host counts as stopped once two reports in a row say so, at least
GRACE seconds apart, while no job is at work on it.  One that is off by the records but runs on the host it was last on
is running.  A machine of a host that is silent stays as it is.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import expunging, model, placement, starting, statistics, usage
from pileus.compute.tables import machine
from pileus.core import alerts, database, events
from pileus.core.database import insert, new_uuid
from pileus.core.tables import event
from pileus.network import nics, segments
from pileus.network.tables import nic
from pileus.wire.hosts import Report
from pileus.wire.machines import MachineState

log = structlog.get_logger(__name__)

GRACE = 4.0
"""Seconds that a machine may be missing from reports before it counts as off: it may be starting again."""
_MISSING = "PowerReportMissing"
_KNOWN: Any = sa.select(
    machine.c.id,
    machine.c.uuid,
    machine.c.name,
    machine.c.instance_name,
    machine.c.state,
    machine.c.host_id,
    machine.c.last_host_id,
    machine.c.account_id,
    machine.c.domain_id,
    machine.c.cpus,
    machine.c.cpu_mhz,
    machine.c.memory_mib,
    machine.c.power_state,
    machine.c.power_seen,
    machine.c.vnc_port,
    machine.c.updated,
    machine.c.removed,
)
_HERE = _KNOWN.where(machine.c.host_id == sa.bindparam("host"), machine.c.state == model.RUNNING)
_NAMED = _KNOWN.where(machine.c.uuid.in_(sa.bindparam("uuids", expanding=True)))


def observe(db: Connection, on: Row[Any], report: Report) -> None:
    """Compare a host's report with the records."""
    taken = [password for state in report.routers for password in state.passwords_taken]
    if taken:
        _forget_passwords(db, taken)
    statistics.take(db, on, report)
    reported = {state.uuid: state for state in report.machines}
    here = {row.uuid: row for row in db.execute(_HERE, {"host": on.id})}
    suspects = [row for uuid, row in here.items() if not _runs(reported.get(uuid))]
    _found_again(db, [row for uuid, row in here.items() if _runs(reported.get(uuid))], reported)
    strange = [uuid for uuid, state in reported.items() if uuid not in here and _runs(state)]
    elsewhere: list[Row[Any]] = list(db.execute(_NAMED, {"uuids": strange}).all()) if strange else []
    if not suspects and not elsewhere and not strange:
        return
    busy = expunging.busy(db, [row.id for row in (*suspects, *elsewhere)])
    for row in suspects:
        if row.id not in busy:
            _suspect(db, on, row)
    for row in elsewhere:
        if row.id not in busy:
            _runs_unexpectedly(db, on, row, reported[row.uuid])
    for uuid in set(strange) - {row.uuid for row in elsewhere}:
        _unknown(db, on, reported[uuid])


def _forget_passwords(db: Connection, ids: list[str]) -> None:
    """Forget passwords that their guests have fetched, and have routers forget them too: nobody is served one twice."""
    of = sa.select(machine.c.id).where(machine.c.password_id.in_(ids), machine.c.password.is_not(None))
    found = db.execute(of).scalars().all()
    if not found:
        return
    db.execute(sa.update(machine).where(machine.c.id.in_(found)).values(password=None))
    networks = sa.select(nic.c.network_id).where(nic.c.machine_id.in_(found), nic.c.removed.is_(None)).distinct()
    for network_id in db.execute(networks).scalars().all():
        nics.desire_router(db, network_id)


def _runs(state: MachineState | None) -> bool:
    return state is not None and state.power in ("on", "paused")


def _found_again(db: Connection, rows: list[Row[Any]], reported: dict[str, MachineState]) -> None:
    """Take note of machines that are back in the reports, and of consoles that moved."""
    for row in rows:
        port = reported[row.uuid].vnc_port or None
        if row.power_state != "PowerOn" or row.vnc_port != port:
            database.change(
                db,
                machine,
                row.id,
                expect={"state": model.RUNNING},
                power_state="PowerOn",
                power_seen=database.now(),
                vnc_port=port,
            )


def _suspect(db: Connection, on: Row[Any], row: Row[Any]) -> None:
    """Remember that a machine does not run, or stop it in the records when that was so before."""
    moment = database.now()
    if row.power_state != _MISSING:
        database.change(db, machine, row.id, expect={"state": model.RUNNING}, power_state=_MISSING, power_seen=moment)
        return
    if moment - max(row.power_seen or 0, row.updated or 0) < GRACE:
        return
    if not database.change(
        db,
        machine,
        row.id,
        expect={"state": model.RUNNING, "host_id": on.id},
        state=model.STOPPED,
        last_host_id=on.id,
        power_state="PowerOff",
        power_seen=moment,
        vnc_port=None,
        updated=moment,
    ):
        return
    starting.leave_host(db, row)
    usage.machine_changed(db, row.id, usage.STOPPED)
    log.warning("machine is off", machine=row.instance_name, host=on.name)
    record(db, row, "VM.STOP", "WARN", f"Virtual machine {row.name} is off: host {on.name} reports it no longer")


def _runs_unexpectedly(db: Connection, on: Row[Any], row: Row[Any], state: MachineState) -> None:
    """Follow a machine that was started outside of management; one that must not run is only reported."""
    follow = row.removed is None and row.state == model.STOPPED and row.last_host_id in (None, on.id)
    cpu = row.cpus * row.cpu_mhz
    if not follow or not placement.take_host(db, on.id, cpu, row.memory_mib):
        _alert(
            db, row.uuid, on, f"machine {row.instance_name} ({row.state}) runs on host {on.name}, though it must not"
        )
        return
    if not database.change(
        db,
        machine,
        row.id,
        expect={"state": model.STOPPED, "host_id": None},
        state=model.RUNNING,
        host_id=on.id,
        pod_id=on.pod_id,
        cluster_id=on.cluster_id,
        power_state="PowerOn",
        power_seen=database.now(),
        vnc_port=state.vnc_port or None,
        updated=database.now(),
    ):
        placement.give_host(db, on.id, cpu, row.memory_mib)
        return
    networks = db.execute(sa.select(nic.c.network_id).where(nic.c.machine_id == row.id, nic.c.removed.is_(None)))
    segments.join(db, networks.scalars().all(), on.id)
    usage.machine_changed(db, row.id, usage.STARTED)
    log.warning("machine runs again", machine=row.instance_name, host=on.name)
    record(db, row, "VM.START", "WARN", f"Virtual machine {row.name} runs: host {on.name} reports it")


def _unknown(db: Connection, on: Row[Any], state: MachineState) -> None:
    _alert(db, state.uuid, on, f"host {on.name} runs machine {state.name} ({state.uuid}), which no record knows")


def _alert(db: Connection, uuid: str, on: Row[Any], text: str) -> None:
    """Tell the operator, once an hour for each machine."""
    told = db.execute(
        sa.select(event.c.id)
        .where(
            event.c.created > database.now() - 3600,
            event.c.type == "ALERT.MACHINE",
            event.c.resource_uuid == uuid,
        )
        .limit(1)
    ).first()
    if told is not None:
        return
    log.warning("a host runs a machine that it should not", machine=uuid, host=on.name, why=text)
    alerts.record(db, "ALERT.USERVM", text, zone_id=on.zone_id, pod_id=on.pod_id, cluster_id=on.cluster_id)
    _write(db, "ALERT.MACHINE", "ERROR", text, uuid=uuid, account_id=events.SYSTEM, domain_id=events.SYSTEM)


def record(db: Connection, row: Row[Any], type_: str, level: str, text: str) -> None:
    """Write an event of a machine that nobody asked for."""
    _write(db, type_, level, text, uuid=row.uuid, account_id=row.account_id, domain_id=row.domain_id)


def _write(db: Connection, type_: str, level: str, text: str, *, uuid: str, account_id: int, domain_id: int) -> None:
    insert(
        db,
        event,
        uuid=new_uuid(),
        type=type_,
        state="Completed",
        level=level,
        description=text[: events.MAX_TEXT],
        user_id=events.SYSTEM,
        account_id=account_id,
        domain_id=domain_id,
        start_id=0,
        resource_type="VirtualMachine",
        resource_uuid=uuid,
        request="",
        created=database.now(),
    )


def host_removed(db: Connection, on: Row[Any]) -> None:
    """Stop in the records what ran on a host that was removed by force."""
    for row in db.execute(_KNOWN.where(machine.c.host_id == on.id, machine.c.removed.is_(None))).all():
        starting.leave_host(db, row)
        if database.change(
            db,
            machine,
            row.id,
            expect={"state": model.RUNNING},
            state=model.STOPPED,
            power_state="PowerOff",
            updated=database.now(),
        ):
            usage.machine_changed(db, row.id, usage.STOPPED)
        record(db, row, "VM.STOP", "WARN", f"Virtual machine {row.name} is off: its host {on.name} was removed")
