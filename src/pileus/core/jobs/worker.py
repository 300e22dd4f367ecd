"""Workers: a few threads that claim ready jobs and run them."""

from __future__ import annotations

import threading
import time

import structlog
from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.jobs import runner, sql
from pileus.core.jobs.runtime import Claimed, Runtime, transient
from pileus.core.jobs.sql import Record

log = structlog.get_logger(__name__)

BATCH = 8
POLL = 1.0


class Workers:
    """The threads; jobs that one of them claims are taken by whichever is free."""

    def __init__(self, runtime: Runtime, count: int) -> None:
        self._runtime = runtime
        self._claiming = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"jobs-worker-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, deadline: float) -> bool:
        """Wait for the threads to end; tell whether they all did."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        runtime = self._runtime
        while not runtime.stopping.is_set():
            seen = runtime.signals.count
            try:
                claimed = self._next()
            except Exception as error:
                if not transient(error):
                    log.exception("claiming jobs failed; trying again")
                else:
                    log.warning("the database does not answer; trying again", reason=str(error))
                runtime.stopping.wait(POLL)
                continue
            if claimed is None:
                runtime.signals.wait_for_jobs(seen, POLL)
            else:
                runner.run(runtime, claimed)

    def _next(self) -> Claimed | None:
        """Take a claimed job, or claim some."""
        ready = self._runtime.ready
        try:
            return ready.popleft()
        except IndexError:
            pass
        with self._claiming:
            if not ready:
                ready.extend(self._claim())
            try:
                return ready.popleft()
            except IndexError:
                return None

    def _claim(self) -> list[Claimed]:
        """Claim some ready jobs, with the steps of those that have run before."""
        runtime = self._runtime
        if runtime.draining:
            return []
        claimed = self._claim_on_sqlite() if runtime.database.sqlite else self._claim_on_postgresql()
        runtime.signals.busy = len(claimed) == BATCH
        if len(claimed) > 1:
            runtime.signals.jobs()
        return claimed

    def _claim_on_sqlite(self) -> list[Claimed]:
        """Look first: a write transaction would keep others waiting."""
        runtime = self._runtime
        with runtime.database.read() as db:
            if sql.any_ready(db).one_or_none() is None:
                return []
        return runtime.transact(lambda db: self._with_steps(db, self._taken(db)))

    def _claim_on_postgresql(self) -> list[Claimed]:
        """Claim by one statement that is a transaction of its own: most of the time there is nothing to be had."""
        runtime = self._runtime
        with runtime.database.read() as db:
            records = self._taken(db)
            try:
                return self._with_steps(db, records)
            except BaseException:
                runtime.dropped.extend((record.id, record.attempt) for record in records)
                raise

    def _taken(self, db: Connection) -> list[Record]:
        moment = now()
        runtime = self._runtime
        rows = sql.claim(db, owner=runtime.owner, lease=moment + runtime.lease, now=moment, count=BATCH).all()
        return sorted((sql.record_of(row) for row in rows), key=lambda record: record.id)

    def _with_steps(self, db: Connection, records: list[Record]) -> list[Claimed]:
        resumed = [record.id for record in records if record.attempt > 1]
        steps = sql.load_steps(db, resumed) if resumed else {}
        return [Claimed(record, steps.get(record.id, [])) for record in records]
