"""Faults of simulated hosts that operators ask for through the API (configureSimulator): kept in a table.

So all servers agree on them and they outlive a restart.  Of several that befall an operation the most specific counts:
one for its host before one for its cluster, pod, zone, or for all.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.database import Database, insert, now
from pileus.drivers.simulator.config import Fault
from pileus.drivers.simulator.tables import sim_mock
from pileus.wire.operations import Failure

FRESH_SECONDS = 0.5
"""How long a server may not know of a fault that was asked for through another one."""

PLACES = ("host", "cluster", "pod", "zone")
"""Where a fault can be, the narrowest first."""

AGENT_COMMANDS = {
    "StartCommand": "machine.start",
    "StopCommand": "machine.stop",
    "RebootCommand": "machine.reboot",
    "DestroyCommand": "volume.delete",
    "CreateCommand": "volume.create",
    "CreateObjectCommand": "volume.create",
    "CopyCommand": "volume.create",
    "DeleteCommand": "volume.delete",
    "ResizeVolumeCommand": "volume.resize",
    "ReadyCommand": "host.facts",
}
"""CloudStack's names of what management tells hosts, and the operations that do the same here."""

_books: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Mocks]] = weakref.WeakKeyDictionary()


def add(
    db: Connection,
    kind: str,
    places: dict[str, int | None],
    *,
    wait: int = 0,
    timeout: int = 0,
    fails: bool = False,
    count: int | None = None,
) -> Row[Any]:
    """Store a fault: ``wait`` in ms, ``timeout`` in s without an answer, ``count``: how often (None: always)."""
    id_ = insert(
        db,
        sim_mock,
        kind=kind,
        wait=wait,
        timeout=timeout,
        fails=fails,
        left=count,
        created=now(),
        **{f"{place}_id": places.get(place) for place in PLACES},
    )
    return db.execute(sa.select(sim_mock).where(sim_mock.c.id == id_)).one()


def find(db: Connection, id_: int) -> Row[Any] | None:
    """Return a fault, if there is one of this number."""
    return db.execute(sa.select(sim_mock).where(sim_mock.c.id == id_)).one_or_none()


def remove(db: Connection, id_: int | None) -> int:
    """Remove a fault, or all of them; return how many there were."""
    statement = sa.delete(sim_mock)
    return db.execute(statement if id_ is None else statement.where(sim_mock.c.id == id_)).rowcount


def changed(db: Connection) -> None:
    """Let this process's simulators read the faults anew."""
    for book in list(_books.get(db.engine, ())):
        book.forget()


class Mocks:
    """The faults of one database, as a channel to simulated hosts knows them."""

    def __init__(self, database: Database, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._thread = thread
        self._known: Sequence[Row[Any]] = ()
        self._places: dict[int, dict[str, int]] = {}
        self._until = 0.0
        self._wanted = 0  # how often the faults were changed here: one that is read while that happens is read again
        self._lock = asyncio.Lock()
        _books.setdefault(database.engine, weakref.WeakSet()).add(self)

    def forget(self) -> None:
        """Read the faults again before the next operation."""
        self._wanted += 1
        self._until = 0.0

    async def taken(self, host: int, kind: str) -> list[Fault]:
        """Return the fault that befalls an operation, and count it."""
        loop = asyncio.get_running_loop()
        while time.monotonic() > self._until:
            async with self._lock:
                if time.monotonic() > self._until:
                    wanted = self._wanted
                    self._known = await loop.run_in_executor(self._thread, self._load)
                    if wanted == self._wanted:
                        self._until = time.monotonic() + FRESH_SECONDS
        if not any(row.kind == kind for row in self._known):
            return []
        found = await loop.run_in_executor(self._thread, self._take, host, kind)
        return [] if found is None else [_fault(found)]

    def _load(self) -> Sequence[Row[Any]]:
        with self._database.read() as db:
            return db.execute(sa.select(sim_mock)).all()

    def _take(self, host: int, kind: str) -> Row[Any] | None:
        with self._database.write() as db:
            places = self._place_of(db, host)
            rows = db.execute(
                sa.select(sim_mock).where(
                    sim_mock.c.kind == kind, sa.or_(sim_mock.c.left.is_(None), sim_mock.c.left > 0)
                )
            ).all()
            meant = sorted((rank, -row.id, row) for row in rows if (rank := _rank(row, places)) is not None)
            for _, _, row in meant:
                if row.left is None:
                    return row
                counted = sa.update(sim_mock).where(sim_mock.c.id == row.id, sim_mock.c.left > 0)
                if db.execute(counted.values(left=sim_mock.c.left - 1)).rowcount:
                    return row
        return None

    def _place_of(self, db: Connection, host: int) -> dict[str, int]:
        known = self._places.get(host)
        if known is None:
            entity = entities.known("Host")
            if entity is None:
                raise LookupError("no slice registers hosts")
            columns = entity.table.c
            place = sa.select(columns.zone_id, columns.pod_id, columns.cluster_id).where(columns.id == host)
            row = db.execute(place).one_or_none()
            known = {"host": host}
            if row is not None:
                known |= {"zone": row.zone_id, "pod": row.pod_id, "cluster": row.cluster_id}
            self._places[host] = known
        return known


def _rank(row: Row[Any], places: dict[str, int]) -> int | None:
    """Return how specific a fault is for a place (0: for the very host), or None when it is for others."""
    rank = len(PLACES)
    for number, place in reversed(list(enumerate(PLACES))):
        wanted = getattr(row, f"{place}_id")
        if wanted is None:
            continue
        if wanted != places.get(place):
            return None
        rank = number
    return rank


def _fault(row: Row[Any]) -> Fault:
    failure = None
    if row.timeout:
        failure = Failure(
            code="timeout", message=f"The simulated host did not answer in {row.timeout} s", retryable=True
        )
    elif row.fails:
        failure = Failure(code="simulated", message=f"The simulated host was told to fail at {row.kind}")
    return Fault(kind=row.kind, latency=row.wait / 1000 + row.timeout, failure=failure)
