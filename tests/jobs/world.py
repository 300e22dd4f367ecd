"""The world of the job tests: hosts that keep what they were asked, workflows that leave traces."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import Database, identity, insert, metadata, now
from pileus.core.jobs import Submission, submit, tables
from pileus.wire.operations import Answer, Failure, Operation

own = sa.MetaData()  # not the project's: these tables are of the tests only
effect = sa.Table(
    "test_effect", own, identity(), sa.Column("what", sa.String(200), nullable=False), sa.Column("at", sa.Float)
)
held = sa.Table(
    "test_held",  # what the simulated hosts hold: a journal by operation, as an agent has
    own,
    sa.Column("operation", sa.String(300), primary_key=True),
    sa.Column("host", sa.Integer),
    sa.Column("kind", sa.String(64)),
    sa.Column("times", sa.Integer),
)


def create(url: str) -> None:
    """Create the engine's tables and the tests' own."""
    database = Database(url)
    metadata.create_all(
        database.engine,
        tables=[
            tables.job,
            tables.job_step,
            tables.outbox,
            tables.convergence,
            tables.convergence_waiter,
            tables.schedule,
            tables.server,
        ],
    )
    own.create_all(database.engine)
    database.close()


def trace(what: str) -> Callable[[Connection], int]:
    """Return a step function that leaves a trace."""
    return lambda db: insert(db, effect, what=what, at=now())


class Channel:
    """Simulated hosts: idempotent by operation id, as agents are; slow, failing or silent where told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.delay: dict[str, float] = defaultdict(float)  # by kind
        self.failing: dict[tuple[int, str], Failure] = {}  # by host and kind
        self.silent: set[str] = set()  # kinds that are never answered
        self.lost: dict[str, int] = defaultdict(int)  # kind: so many deliveries are lost
        self.broken: dict[str, int] = defaultdict(int)  # kind: so many deliveries break off
        self.seen: list[Operation] = []
        self.aborted: list[str] = []
        self.now_in_flight: dict[int, int] = defaultdict(int)
        self.peak: dict[int, int] = defaultdict(int)
        self.peak_kind: dict[str, int] = defaultdict(int)
        self._in_kind: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Behave as told for the kind and the host."""
        with self._lock:
            self.seen.append(operation)
        self._enter(host, operation.object)
        try:
            if operation.kind in self.silent:
                await asyncio.sleep(3600)
            await asyncio.sleep(self.delay[operation.kind])
            if self.broken[operation.kind] > 0:
                self.broken[operation.kind] -= 1
                raise ConnectionResetError("the road is broken")
            if self.lost[operation.kind] > 0:
                self.lost[operation.kind] -= 1
                return Answer(id=operation.id, state="lost")
            failure = self.failing.get((host, operation.kind))
            if failure is not None:
                return Answer(id=operation.id, state="failed", failure=failure)
            await asyncio.to_thread(self._do, host, operation)
            return Answer(id=operation.id, state="done", result={"host": host, **operation.arguments})
        finally:
            self._leave(host, operation.object)

    def _enter(self, host: int, object_: str) -> None:
        self.now_in_flight[host] += 1
        self.peak[host] = max(self.peak[host], self.now_in_flight[host])
        self._in_kind[object_] += 1
        self.peak_kind[object_] = max(self.peak_kind[object_], self._in_kind[object_])

    def _leave(self, host: int, object_: str) -> None:
        self.now_in_flight[host] -= 1
        self._in_kind[object_] -= 1

    def _do(self, host: int, operation: Operation) -> None:
        """Leave one effect however often the operation comes."""
        with self.database.write() as db:
            found = db.execute(
                sa.update(held).where(held.c.operation == operation.id).values(times=held.c.times + 1)
            ).rowcount
            if not found:
                db.execute(sa.insert(held).values(operation=operation.id, host=host, kind=operation.kind, times=1))

    async def abort(self, host: int, operation_id: str) -> None:
        """Take note."""
        self.aborted.append(operation_id)


def start(database: Database, workflow: Callable[..., Any], key: str | None = None, **options: Any) -> Submission:
    """Submit a job; ``options`` that submit does not know are arguments of the workflow."""
    known = {"deadline_seconds", "parent", "cmd", "event", "uuid", "account_id", "request"}
    arguments = {name: value for name, value in options.items() if name not in known}
    settings = {name: value for name, value in options.items() if name in known}
    with database.write() as db:
        return submit(db, workflow, key=key, arguments=arguments, **settings)


def job(database: Database, submission: Submission) -> Any:
    """Return the job's row."""
    with database.read() as db:
        return db.execute(sa.select(tables.job).where(tables.job.c.id == submission.id)).one()


def wait(database: Database, *submissions: Submission, seconds: float = 20) -> list[Any]:
    """Wait until the jobs have ended; return their rows."""
    ids = [submission.id for submission in submissions]
    until(lambda: not _open(database, ids), seconds, lambda: f"jobs did not end: {_states(database)}")
    return [job(database, submission) for submission in submissions]


def _open(database: Database, ids: list[int]) -> int:
    with database.read() as db:
        return db.execute(
            sa.select(sa.func.count())
            .select_from(tables.job)
            .where(tables.job.c.id.in_(ids), tables.job.c.completed.is_(None))
        ).scalar_one()


def _states(database: Database) -> list[Any]:
    with database.read() as db:
        query = sa.select(tables.job.c.id, tables.job.c.state, tables.job.c.phase, tables.job.c.pending)
        return list(db.execute(query.where(tables.job.c.completed.is_(None)).limit(20)))


def until(condition: Callable[[], Any], seconds: float, text: Callable[[], str] = lambda: "it did not happen") -> None:
    """Wait for something, with a limit."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s {text()}")
        time.sleep(0.01)


def effects(database: Database) -> list[str]:
    """Return the traces in order."""
    with database.read() as db:
        return list(db.execute(sa.select(effect.c.what).order_by(effect.c.id)).scalars())


def operations(database: Database) -> list[tuple[str, int]]:
    """Return (kind, host) of what hosts have done, each once."""
    with database.read() as db:
        return [(row.kind, row.host) for row in db.execute(sa.select(held).order_by(held.c.operation))]


def steps(database: Database, submission: Submission) -> list[Any]:
    """Return the recorded steps."""
    with database.read() as db:
        step = tables.job_step
        return list(
            db.execute(sa.select(step).where(step.c.job_id == submission.id).order_by(step.c.position, step.c.at))
        )
