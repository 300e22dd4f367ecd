"""What a running engine shares between its workers, its courier and the jobs that they run."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pileus.core.database import Database
from pileus.core.jobs.hooks import Hooks
from pileus.core.jobs.pool import Pool
from pileus.core.jobs.signals import Signals
from pileus.core.jobs.sql import Record, Step
from pileus.wire.operations import Answer, Operation

log = structlog.get_logger(__name__)
T = TypeVar("T")

_CONFLICTS = {"40001", "40P01"}  # PostgreSQL: serialization failure, deadlock
_AWAY = ("08", "53", "57", "58")  # PostgreSQL: connection, resources, intervention, system
_SQLITE_AWAY = {5, 6, 10, 13, 14}  # busy, locked, I/O error, full, cannot open


class Channel(Protocol):
    """The road to the hosts."""

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Carry an operation to a host and return its final answer."""
        ...


class Dispatch(Protocol):
    """The courier, as jobs see it."""

    def reserve(self, host: int) -> bool:
        """Take a place among the operations in flight to a host, if there is one."""
        ...

    def release(self, host: int) -> None:
        """Give a place back."""
        ...

    def launch(self, outbox: int, host: int, operation: Operation) -> None:
        """Deliver an operation whose place is reserved and whose row is committed."""
        ...

    def queued(self, host: int) -> None:
        """Take note that operations for a host wait for a place."""
        ...


@dataclass
class Claimed:
    """A job that this process holds, with its recorded steps."""

    record: Record
    steps: list[Step]
    errors: dict[str, Exception] = field(default_factory=dict[str, Exception])  # of local work, not recorded


@dataclass
class Runtime:
    """One engine's parts."""

    database: Database
    owner: str
    services: Any
    hooks: Hooks
    signals: Signals
    lease: float
    undo_tries: int
    pool: Pool
    probe: Callable[[str], None] | None = None
    courier: Dispatch = field(init=False)
    ready: deque[Claimed] = field(default_factory=deque[Claimed])
    dropped: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])  # job, attempt: to be given back
    draining: bool = False  # take no more jobs: other servers do
    stopping: threading.Event = field(default_factory=threading.Event)

    def reach(self, point: str) -> None:
        """Tell the probe (of tests) where we are."""
        if self.probe is not None:
            self.probe(point)

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run a write transaction, again when PostgreSQL chose it as the victim of a deadlock."""
        return transact(self.database, work)


def transient(error: BaseException) -> bool:
    """Tell whether the database was away or in conflict: nothing is wrong with the statement itself."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeout)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_AWAY
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated
    return state in _CONFLICTS or state.startswith(_AWAY)


def transact(database: Database, work: Callable[[Connection], T], tries: int = 6) -> T:
    """Run a write transaction, again when PostgreSQL chose it as the victim of a conflict."""
    for attempt in range(1, tries + 1):
        try:
            with database.write() as db:
                return work(db)
        except DBAPIError as error:
            if attempt == tries or getattr(error.orig, "sqlstate", None) not in _CONFLICTS:
                raise
            log.info("transaction repeated after a conflict", attempt=attempt)
            time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 (spreads the repeats)
    raise RuntimeError("unreachable")
