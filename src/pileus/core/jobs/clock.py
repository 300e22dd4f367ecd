"""The clock: heartbeat and leases of this server, waking what is due, taking over what dead servers held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pileus.core.database import now
from pileus.core.jobs import convergence, registry, retention, schedule, sql
from pileus.core.jobs.courier import Courier
from pileus.core.jobs.membership import SHUTTING_DOWN, Membership, pending
from pileus.core.jobs.pool import Pool
from pileus.core.jobs.registry import Periodic
from pileus.core.jobs.runtime import Runtime, transient

log = structlog.get_logger(__name__)

POLL = 1.0


class Clock:
    """One thread that looks after time."""

    def __init__(
        self, runtime: Runtime, membership: Membership, courier: Courier, *, keep: Callable[[], float]
    ) -> None:
        self._runtime = runtime
        self._membership = membership
        self._courier = courier
        self._periodic = Pool(2, "jobs-periodic")
        self._thread = threading.Thread(target=self._run, name="jobs-clock", daemon=True)
        self._own = [Periodic("jobs.retention", 3600, lambda _: _sweep(runtime, keep()))]
        self._next_beat = 0.0
        self._due: float | None = None
        self.on_shutdown: Callable[[], object] | None = None

    def start(self) -> None:
        """Enter the list of servers, free what a former self held, and start the thread."""
        self._runtime.transact(self._enter)
        self._takeover()
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Stop the thread, give back the jobs that are still held, and leave the list of servers."""
        self._runtime.signals.clock.set()
        self._thread.join(max(0.1, deadline - time.monotonic()))
        self._periodic.stop(max(0.1, deadline - time.monotonic()))

        def leave(db: Connection) -> None:
            sql.give_back(db, owner=self._runtime.owner)
            self._membership.leave(db)

        self._runtime.transact(leave)

    def _enter(self, db: Connection) -> None:
        self._membership.join(db)
        prefix = f"{self._membership.name}:"
        sql.release_former(db, prefix=prefix, length=len(prefix))
        self._membership.refresh(db)

    def _run(self) -> None:
        runtime = self._runtime
        while not runtime.stopping.is_set():
            for duty in (self._beat, self._give_back, self._takeover, self._wake, self._schedule):
                self._do(duty)
            soonest = min(now() + POLL, self._next_beat)
            if self._due is not None:
                soonest = min(soonest, self._due)
            runtime.signals.clock.wait(max(0.01, soonest - now()))
            runtime.signals.clock.clear()

    def _do(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except Exception as error:
            if transient(error):
                log.warning("the database does not answer the clock; trying again", reason=str(error))
            else:
                log.exception("a duty of the clock failed; trying again", duty=duty.__name__)

    def _beat(self) -> None:
        """Say that this server lives and renew the leases of its jobs."""
        if now() < self._next_beat:
            return
        self._next_beat = now() + self._runtime.lease / 4

        def work(db: Connection) -> None:
            self._membership.beat(db)
            sql.renew(db, lease=now() + self._runtime.lease, owner=self._runtime.owner)
            self._membership.refresh(db)

        self._runtime.transact(work)
        self._courier.share(len(self._membership.live))
        self._runtime.draining = bool(self._membership.state and self._membership.others)
        if self._membership.state == SHUTTING_DOWN and not self._pending():
            self._shut_down()

    def _pending(self) -> bool:
        """Tell whether jobs still need this server: its own, and all of them when there is no other."""
        with self._runtime.database.read() as db:
            return pending(db, self._runtime.owner, alone=not self._membership.others) > 0

    def _shut_down(self) -> None:
        """End the process, as the server was told and nothing needs it any more."""
        if self.on_shutdown is None:
            return
        log.info("the server was told to shut down and has finished its jobs")
        ended, self.on_shutdown = self.on_shutdown, None
        ended()

    def _give_back(self) -> None:
        """Free jobs whose run ended by a fault."""
        dropped = self._runtime.dropped
        while dropped:
            job, attempt = dropped[0]
            self._runtime.transact(
                lambda db, job=job, attempt=attempt: sql.give_back_one(
                    db, job=job, owner=self._runtime.owner, attempt=attempt
                )
            )
            dropped.popleft()
            self._runtime.signals.jobs()

    def _takeover(self) -> None:
        """Free what servers held that gave no sign of life for the time of a lease."""
        since = now() - self._runtime.lease
        with self._runtime.database.read() as db:
            jobs = sql.expired(db, now=now()).one_or_none() is not None
            operations = sql.orphans(db, since=since).one_or_none() is not None
            objects = convergence.orphaned(db, since)
            keys = [] if db.dialect.name == "sqlite" else [row[0] for row in sql.stranded(db)]
        if not (jobs or operations or objects or keys):
            return

        def work(db: Connection) -> None:
            sql.release_expired(db, now=now())
            sql.requeue_orphans(db, since=since)
            convergence.release(db, since)

        self._runtime.transact(work)
        for key in keys:
            with suppress(IntegrityError):  # another server was quicker
                self._runtime.transact(lambda db, key=key: sql.promote_stranded(db, key=key))
        self._runtime.signals.all()

    def _wake(self) -> None:
        """Wake jobs whose time has come."""
        with self._runtime.database.read() as db:
            soonest: float | None = sql.next_wake(db).scalar_one()
            overdue = convergence.next_overdue(db)
        moment = now()
        if soonest is not None and soonest <= moment:
            self._runtime.transact(lambda db: sql.wake_due(db, now=moment))
            self._runtime.signals.all()
            soonest = None
        if overdue is not None and overdue <= moment:
            self._runtime.transact(convergence.expire_waiters)
            self._runtime.signals.all()
        self._due = soonest

    def _schedule(self) -> None:
        """Start periodic work that is this server's to do."""
        works = [*self._own, *registry.periodics.values()]
        due, soonest = schedule.take_due(self._runtime.database, self._runtime.owner, works, self._runtime.services)
        for work in due:
            self._periodic.submit(self._running(work))
        self._due = soonest if self._due is None else min(self._due, soonest)

    def _running(self, work: Periodic) -> Callable[[], None]:
        def run() -> None:
            try:
                work.function(self._runtime.services)
            except Exception:
                log.exception("periodic work failed; the next period tries again", work=work.name)

        return run


def _sweep(runtime: Runtime, keep: float) -> None:
    count = retention.sweep(runtime.database, keep)
    log.info("old jobs were deleted", count=count)
