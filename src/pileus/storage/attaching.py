"""The job that makes a primary storage usable on its host."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection

from pileus.core import database
from pileus.core.jobs import Job, JobFailed, workflow
from pileus.storage.pools import ATTACHING, UP, storage_pools, wire
from pileus.storage.tables import storage_pool
from pileus.wire.storage import PoolState

log = structlog.get_logger(__name__)

ATTACH_SECONDS = 25.0  # the caller of createStoragePool waits for it


def _forget(job: Job, db: Connection, error: JobFailed) -> None:
    """Remove the pool that no host could use; its name is free again."""
    pool = int(job.arguments["pool"])
    database.change(db, storage_pool, pool, expect={"state": ATTACHING}, state="Removed", removed=database.now())
    log.warning("a pool could not be attached and was removed again", pool=pool, why=str(error))


@workflow("pool.attach", on_failure=_forget)
def attach(job: Job, pool: int, host: int) -> None:
    """Let the host make the storage's folders, and record its size."""
    arguments: dict[str, Any] = job.commit("place", lambda db: _arguments(db, pool))
    answer = job.call("attach", host, "pool.attach", f"pool:{arguments['uuid']}", arguments, timeout=ATTACH_SECONDS)

    def up(db: Connection) -> dict[str, Any]:
        state = msgspec.convert(answer, PoolState)
        database.change(
            db, storage_pool, pool, expect={"state": ATTACHING}, state=UP, capacity=state.capacity, used=state.used
        )
        row = database.one(db, storage_pool, pool)
        return {"storagepool": storage_pools(db, [row], admin=job.admin)[0]}

    job.finish("up", up)


def _arguments(db: Connection, pool: int) -> dict[str, Any]:
    return msgspec.to_builtins(wire(database.one(db, storage_pool, pool)))
