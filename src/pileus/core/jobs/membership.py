"""Which servers are alive, and which of them looks after a host."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared

_beat = Prepared(
    "INSERT INTO server (uuid, name, address, started, heartbeat) VALUES (:uuid, :name, :address, :now, :now)"
    " ON CONFLICT (uuid) DO UPDATE SET heartbeat = :now, address = :address"
)
_live = Prepared("SELECT uuid, address FROM server WHERE heartbeat > :since ORDER BY uuid")
_leave = Prepared("DELETE FROM server WHERE uuid = :uuid")
_former = Prepared("DELETE FROM server WHERE name = :name AND uuid <> :uuid")
_sweep = Prepared("DELETE FROM server WHERE heartbeat < :before")


def owner_of(host: int, servers: Sequence[str]) -> str | None:
    """Return which server looks after a host (rendezvous hashing: a server that comes or goes moves few hosts)."""

    def weight(server: str) -> bytes:
        return hashlib.blake2b(f"{server}/{host}".encode(), digest_size=8).digest()

    return max(servers, key=weight, default=None)


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
