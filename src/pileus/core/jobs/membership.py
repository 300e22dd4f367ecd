"""Which servers are alive, and which of them looks after a host."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared
from pileus.core.jobs.tables import ACTIVE, job

_beat = Prepared(
    "INSERT INTO server (uuid, name, address, started, heartbeat) VALUES (:uuid, :name, :address, :now, :now)"
    " ON CONFLICT (uuid) DO UPDATE SET heartbeat = :now, address = :address"
)
_live = Prepared("SELECT uuid, address FROM server WHERE heartbeat > :since AND state IS NULL ORDER BY uuid")
_state = Prepared("SELECT state FROM server WHERE uuid = :uuid")
_leave = Prepared("DELETE FROM server WHERE uuid = :uuid")
_former = Prepared("DELETE FROM server WHERE name = :name AND uuid <> :uuid")
_sweep = Prepared("DELETE FROM server WHERE heartbeat < :before")


PREPARING_MAINTENANCE, MAINTENANCE = "PreparingForMaintenance", "Maintenance"
PREPARING_SHUTDOWN, SHUTTING_DOWN = "PreparingForShutDown", "ShuttingDown"
DRAINING = (PREPARING_MAINTENANCE, PREPARING_SHUTDOWN, SHUTTING_DOWN)
"""What a server can be told to be: it takes no new jobs, finishes those that it has, and in the last case ends."""


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

    def __init__(self, database: Database, name: str, *, address: str, lease: float) -> None:
        self.name = name
        self.uuid = f"{name}:{secrets.token_hex(6)}"
        self.address = address
        self._database = database
        self._lease = lease
        self.live: tuple[str, ...] = (self.uuid,)
        self.addresses: dict[str, str] = {self.uuid: address}
        self.state = ""  # one of DRAINING, or ""
        self.others = 0  # live servers that take jobs

    def join(self, db: Connection) -> None:
        """Enter the list; a former process of the same name is out of it."""
        _former(db, name=self.name, uuid=self.uuid)
        self.beat(db)

    def beat(self, db: Connection) -> None:
        """Say that this server lives."""
        moment = now()
        _beat(db, uuid=self.uuid, name=self.name, address=self.address, now=moment)
        _sweep(db, before=moment - 100 * self._lease)

    def refresh(self, db: Connection) -> None:
        """Read who lives."""
        rows = _live(db, since=now() - self._lease).all()
        self.state = _state(db, uuid=self.uuid).scalar_one_or_none() or ""
        self.others = sum(row[0] != self.uuid for row in rows)
        self.addresses = {self.uuid: self.address, **{row[0]: row[1] for row in rows}}
        self.live = tuple(sorted(self.addresses))

    def leave(self, db: Connection) -> None:
        """Leave the list."""
        _leave(db, uuid=self.uuid)

    def owner_of(self, host: int) -> str:
        """Return the server that looks after a host."""
        return owner_of(host, self.live) or self.uuid

    def owns(self, host: int) -> bool:
        """Tell whether this server looks after a host."""
        return self.owner_of(host) == self.uuid
