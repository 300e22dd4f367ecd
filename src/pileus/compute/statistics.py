"""What running machines use, as agents measure it; simulated machines use nothing but their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import model
from pileus.compute.tables import machine, machine_statistics
from pileus.core import database
from pileus.core.jobs.prepared import Prepared
from pileus.core.statements import Listing
from pileus.infrastructure.model import SIMULATOR
from pileus.storage import statistics as of_disks
from pileus.wire.hosts import Report
from pileus.wire.statistics import MachineStatistics

_COUNTERS = ("memory_kib", "free_kib", "received_kib", "sent_kib", "read_kib", "written_kib", "reads", "writes")
_COLUMNS = ("at", "cpu_percent", *_COUNTERS)
_KEEP = Prepared(
    f"INSERT INTO machine_statistics (machine_id, {', '.join(_COLUMNS)})"  # noqa: S608 - constants of this module
    f" VALUES (:machine, {', '.join(':' + name for name in _COLUMNS)})"
    f" ON CONFLICT (machine_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)
_STATISTICS = Listing(
    lambda among: sa.select(machine_statistics).where(among(machine_statistics.c.machine_id, "machines"))
)
_RUNNING = Listing(
    lambda among: sa.select(machine.c.id, machine.c.uuid).where(
        among(machine.c.uuid, "uuids"), machine.c.host_id == sa.bindparam("host"), machine.c.state == model.RUNNING
    )
)


def take(db: Connection, on: Row[Any], report: Report) -> None:
    """Keep what a host has measured of the machines that run there."""
    if report.statistics is None or not report.statistics.machines:
        return
    measured = {each.uuid: each for each in report.statistics.machines}
    here = {row.id: measured[row.uuid] for row in _RUNNING(db, {"uuids": list(measured), "host": on.id})}
    moment = database.now()
    _KEEP.many(db, [{"machine": id_, "at": moment, **_columns(each)} for id_, each in here.items()])
    of_disks.take(db, list(here), report)


def _columns(measured: MachineStatistics) -> dict[str, Any]:
    return {
        "cpu_percent": measured.cpu_percent,
        "memory_kib": measured.memory_kib,
        "free_kib": measured.free_kib,
        "received_kib": measured.received_kib,
        "sent_kib": measured.sent_kib,
        "read_kib": sum(disk.read_kib for disk in measured.disks),
        "written_kib": sum(disk.written_kib for disk in measured.disks),
        "reads": sum(disk.reads for disk in measured.disks),
        "writes": sum(disk.writes for disk in measured.disks),
    }


def fields(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[str, Any]]:
    """Return the numbers of those machines that run."""
    running = [row for row in rows if row.state == model.RUNNING]
    found = {row.id: _idle(row.memory_mib * 1024) for row in running if row.hypervisor == SIMULATOR}
    others = [row.id for row in running if row.id not in found]
    for row in _STATISTICS(db, {"machines": others}) if others else ():
        found[row.machine_id] = _shown(row)
    return found


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {
        "cpuused": None if row.cpu_percent is None else f"{row.cpu_percent:.2f}%",
        "networkkbsread": row.received_kib,
        "networkkbswrite": row.sent_kib,
        "diskkbsread": row.read_kib,
        "diskkbswrite": row.written_kib,
        "diskioread": row.reads,
        "diskiowrite": row.writes,
        "memorykbs": row.memory_kib,
        "memorytargetkbs": row.memory_kib,
        "memoryintfreekbs": row.free_kib,
    }


def _idle(memory: int) -> dict[str, Any]:
    nothing = ("networkkbsread", "networkkbswrite", "diskkbsread", "diskkbswrite", "diskioread", "diskiowrite")
    return {
        "cpuused": "0.00%",
        **dict.fromkeys(nothing, 0),
        "memorykbs": memory,
        "memorytargetkbs": memory,
        "memoryintfreekbs": 0,
    }
