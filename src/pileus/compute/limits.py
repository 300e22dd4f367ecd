"""What of machines counts against limits: those that are not destroyed, running or not."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute import model
from pileus.identity.limits import checking
from pileus.identity.limits.counting import Source, register
from pileus.identity.limits.types import Kind
from pileus.storage.tables import volume
from pileus.storage.volumes import DESTROY

_GONE = ", ".join(f"'{state}'" for state in (model.DESTROYED, model.EXPUNGING, model.ERROR))


def sources() -> None:
    """Register it."""
    register(
        Source(
            table="machine",
            when=f"{{r}}.removed IS NULL AND {{r}}.state NOT IN ({_GONE})",
            amounts={Kind.MACHINES: "1", Kind.CPUS: "{r}.cpus", Kind.MEMORY: "{r}.memory_mib"},
            watched=("cpus", "memory_mib"),
            decides=("removed", "state"),
        )
    )


def claim(db: Connection, account_id: int, size: model.Size, disks: Sequence[int]) -> None:
    """Check that an account may have one more machine of this size with these disks (bytes)."""
    wanted = {
        Kind.MACHINES: 1,
        Kind.CPUS: size.cpus,
        Kind.MEMORY: size.memory_mib,
        Kind.VOLUMES: len(disks),
        Kind.PRIMARY_STORAGE: sum(disks),
    }
    checking.claim(db, account_id, wanted)


def destroyed_disks(db: Connection, machine_id: int) -> list[int]:
    """Return the sizes of the volumes that come back with a destroyed machine."""
    lost = sa.select(volume.c.size).where(
        volume.c.machine_id == machine_id, volume.c.state == DESTROY, volume.c.removed.is_(None)
    )
    return list(db.execute(lost).scalars())
