"""Retention: jobs that ended long ago are deleted with their steps and operations, a few at a time."""

from __future__ import annotations

import time

from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared, id_list, in_list
from pileus.core.jobs.runtime import transact

KEEP_SECONDS = 7 * 86400.0
BATCH = 200

_old = Prepared(  # the newest stays: SQLite would hand its number out again, and hosts would refuse it as an old fence
    "SELECT id FROM job WHERE completed < :before AND id < (SELECT max(id) FROM job) ORDER BY completed LIMIT :count"
)
_steps = in_list("DELETE FROM job_step WHERE job_id IN_LIST(:ids)IN_END")
_operations = in_list("DELETE FROM outbox WHERE job_id IN_LIST(:ids)IN_END")
_jobs = in_list("DELETE FROM job WHERE id IN_LIST(:ids)IN_END")


def sweep(database: Database, keep: float = KEEP_SECONDS, batch: int = BATCH) -> int:
    """Delete jobs that ended more than ``keep`` seconds ago; return how many."""
    before, total = now() - keep, 0
    while True:
        with database.read() as db:
            ids = [row[0] for row in _old(db, before=before, count=batch)]
        if not ids:
            return total

        def work(db: Connection, ids: list[int] = ids) -> None:
            names = id_list(db, ids)
            _steps(db, ids=names)
            _operations(db, ids=names)
            _jobs(db, ids=names)

        transact(database, work)
        total += len(ids)
        time.sleep(0.01)  # others write meanwhile
