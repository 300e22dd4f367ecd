"""What the disks of running machines did, as agents measure it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.jobs.prepared import Prepared
from pileus.core.statements import Listing
from pileus.storage.tables import volume, volume_statistics
from pileus.wire.hosts import Report

_KEEP = Prepared(
    "INSERT INTO volume_statistics (volume_id, at, read_kib, written_kib, reads, writes)"
    " VALUES (:volume, :at, :read_kib, :written_kib, :reads, :writes)"
    " ON CONFLICT (volume_id) DO UPDATE SET at = excluded.at, read_kib = excluded.read_kib,"
    " written_kib = excluded.written_kib, reads = excluded.reads, writes = excluded.writes"
)
_STATISTICS = Listing(lambda among: sa.select(volume_statistics).where(among(volume_statistics.c.volume_id, "volumes")))
_ATTACHED = Listing(
    lambda among: sa.select(volume.c.id, volume.c.uuid).where(
        among(volume.c.machine_id, "machines"), volume.c.removed.is_(None)
    )
)


def take(db: Connection, machine_ids: Sequence[int], report: Report) -> None:
    """Keep the numbers of the machines' disks (a disk's serial number is the beginning of its volume's uuid)."""
    if report.statistics is None:
        return
    measured = {disk.volume: disk for machine in report.statistics.machines for disk in machine.disks}
    if not measured or not machine_ids:
        return
    moment = database.now()
    rows: list[dict[str, Any]] = []
    for row in _ATTACHED(db, {"machines": list(machine_ids)}):
        disk = measured.get(row.uuid.replace("-", "")[:20])
        if disk is not None:
            rows.append(
                {
                    "volume": row.id,
                    "at": moment,
                    "read_kib": disk.read_kib,
                    "written_kib": disk.written_kib,
                    "reads": disk.reads,
                    "writes": disk.writes,
                }
            )
    _KEEP.many(db, rows)


def fields(db: Connection, volumes: Sequence[Row[Any]], simulated: frozenset[int]) -> dict[int, dict[str, int]]:
    """Return the numbers of volumes; those of simulated machines do nothing."""
    found = {row.id: _shown(0, 0, 0, 0) for row in volumes if row.machine_id in simulated}
    others = [row.id for row in volumes if row.machine_id is not None and row.id not in found]
    for row in _STATISTICS(db, {"volumes": others}) if others else ():
        found[row.volume_id] = _shown(row.read_kib, row.written_kib, row.reads, row.writes)
    return found


def _shown(read: int, written: int, reads: int, writes: int) -> dict[str, int]:
    return {"diskkbsread": read, "diskkbswrite": written, "diskioread": reads, "diskiowrite": writes}
