"""Which servers are alive, and which of them looks after a host."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared
from pileus.core.jobs.tables import ACTIVE, job

log = structlog.get_logger(__name__)

_beat = Prepared(
    "INSERT INTO server (uuid, name, address, agents_url, started, heartbeat)"
    " VALUES (:uuid, :name, :address, :agents_url, :now, :now)"
    " ON CONFLICT (uuid) DO UPDATE SET heartbeat = :now, address = :address, agents_url = :agents_url"
)
_all = Prepared(
    "SELECT uuid, address, agents_url, heartbeat, state, algorithm, drained_by, forced FROM server ORDER BY uuid"
)
_recover = Prepared("UPDATE server SET state = NULL WHERE uuid = :uuid AND state = :state")
_leave = Prepared("DELETE FROM server WHERE uuid = :uuid")
_former = Prepared("DELETE FROM server WHERE name = :name AND uuid <> :uuid")
_sweep = Prepared("DELETE FROM server WHERE heartbeat < :before")


PREPARING_MAINTENANCE, MAINTENANCE = "PreparingForMaintenance", "Maintenance"
PREPARING_SHUTDOWN, SHUTTING_DOWN = "PreparingForShutDown", "ShuttingDown"
DRAINING = (PREPARING_MAINTENANCE, PREPARING_SHUTDOWN, SHUTTING_DOWN)
"""What a server can be told to be: it takes no new jobs, finishes those that it has, and in the last case ends."""


class Known(msgspec.Struct, frozen=True):
    """A server for agents."""

    url: str  # where agents reach it
    works: bool  # it lives, and was not told to finish


def owner_of(host: int, servers: Sequence[str]) -> str | None:
    """Return which server looks after a host (rendezvous hashing: a server that comes or goes moves few hosts)."""

    def weight(server: str) -> bytes:
        return hashlib.blake2b(f"{server}/{host}".encode(), digest_size=8).digest()

    return max(servers, key=weight, default=None)


def pending(db: Connection, server: str, *, alone: bool) -> int:
    """Return how many jobs a server still has to finish: those that it runs, and all when there is no other one."""
    statement = sa.select(sa.func.count()).select_from(job).where(job.c.state.in_(ACTIVE))
    return int(db.execute(statement if alone else statement.where(job.c.owner == server)).scalar_one())


class Membership:
    """This server among the others.

    ``uuid`` names the process: a server that starts again is another one, and what its former self held is free.
    """

    def __init__(self, database: Database, name: str, *, address: str, lease: float, agents_url: str = "") -> None:
        self.name = name
        self.uuid = f"{name}:{secrets.token_hex(6)}"
        self.address = address
        self.agents_url = agents_url
        self._database = database
        self._lease = lease
        self.live: tuple[str, ...] = (self.uuid,)
        self.addresses: dict[str, str] = {self.uuid: address}
        self.state = ""  # one of DRAINING, or ""
        self.others = 0  # live servers that take jobs
        self.known: tuple[Known, ...] = ()  # all servers that agents can reach
        self.algorithm = ""  # by which agents are spread over the others while this one is in maintenance

    def join(self, db: Connection) -> None:
        """Enter the list; a former process of the same name is out of it."""
        _former(db, name=self.name, uuid=self.uuid)
        self.beat(db)

    def beat(self, db: Connection) -> None:
        """Say that this server lives."""
        moment = now()
        _beat(db, uuid=self.uuid, name=self.name, address=self.address, agents_url=self.agents_url, now=moment)
        _sweep(db, before=moment - 100 * self._lease)

    def refresh(self, db: Connection) -> None:
        """Read who lives."""
        rows, since = _all(db).all(), now() - self._lease
        working = [row for row in rows if row[3] > since and row[4] is None]
        own = next((row for row in rows if row[0] == self.uuid), None)
        self.state = (own[4] or "") if own is not None else ""
        self.algorithm = (own[5] or "") if own is not None else ""
        self.others = sum(row[0] != self.uuid for row in working)
        self.addresses = {self.uuid: self.address, **{row[0]: row[1] for row in working}}
        self.live = tuple(sorted(self.addresses))
        self.known = tuple(Known(row[2], row[3] > since and row[4] is None) for row in rows if row[2])
        if own is not None and not own[7] and self.state == PREPARING_MAINTENANCE and now() > (own[6] or now()):
            self._give_up(db)

    def _give_up(self, db: Connection) -> None:
        """End a maintenance that was not to be forced and whose window passed with jobs still running."""
        if not pending(db, self.uuid, alone=not self.others):
            return
        _recover(db, uuid=self.uuid, state=PREPARING_MAINTENANCE)
        self.state = ""
        log.warning("maintenance was cancelled: jobs still run at the end of its window, and it was not to be forced")

    def leave(self, db: Connection) -> None:
        """Leave the list."""
        _leave(db, uuid=self.uuid)

    def owner_of(self, host: int) -> str:
        """Return the server that looks after a host."""
        return owner_of(host, self.live) or self.uuid

    def owns(self, host: int) -> bool:
        """Tell whether this server looks after a host."""
        return self.owner_of(host) == self.uuid
