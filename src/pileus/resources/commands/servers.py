"""Management servers: who is there, what they look after, and how this one does."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, jobs
from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.jobs import membership
from pileus.core.jobs.tables import ACTIVE, job, server
from pileus.core.listing import ListCommand, Query
from pileus.core.rendering import date
from pileus.identity.tables import session
from pileus.infrastructure.host_servers import ALIVE_SECONDS, looking_after
from pileus.infrastructure.tables import host

UP, DOWN = "Up", "Down"
_FINISHED = {
    membership.PREPARING_MAINTENANCE: membership.MAINTENANCE,
    membership.PREPARING_SHUTDOWN: "ReadyToShutDown",
}
"""What a server becomes once it has finished its jobs."""


def version() -> str:
    """Return the version of this program."""
    try:
        return metadata.version("pileus")
    except metadata.PackageNotFoundError:
        return "0"


class Facts:
    """What is known of all servers: loaded once a page."""

    def __init__(self, db: Connection) -> None:
        moment = database.now()
        self.servers: Sequence[Row[Any]] = db.execute(sa.select(server).order_by(server.c.name)).all()
        self.live = sorted(row.uuid for row in self.servers if row.heartbeat > moment - ALIVE_SECONDS)
        pending = sa.select(job.c.owner, sa.func.count().label("count")).where(job.c.state.in_(ACTIVE))
        self.pending: dict[str | None, int] = {row[0]: int(row[1]) for row in db.execute(pending.group_by(job.c.owner))}
        looking = sorted(row.uuid for row in looking_after(self.servers))
        self.agents: dict[str, list[str]] = {}
        for row in db.execute(sa.select(host.c.id, host.c.uuid).where(host.c.removed.is_(None), host.c.state == "Up")):
            self.agents.setdefault(jobs.owner_of(row.id, looking) or "", []).append(row.uuid)

    def view(self, row: Row[Any], *, peers: bool) -> dict[str, Any]:
        """Return a server as clients see it."""
        agents = self.agents.get(row.uuid, [])
        address = row.address.rpartition(":")[0].strip("[]") or row.address or None
        return {
            "id": row.name,
            "name": row.name,
            "state": self.state(row),
            "version": version(),
            "ipaddress": address,
            "serviceip": address,
            "lastserverstart": date(row.started),
            "agents": agents,
            "agentscount": len(agents),
            "pendingjobscount": self.pending.get(row.uuid, 0),
            "peers": [self._peer(other) for other in self.servers if other.uuid != row.uuid] if peers else None,
        }

    def state(self, row: Row[Any]) -> str:
        """Return a server's state: what it was told to be, and how far it has come."""
        if row.uuid not in self.live:
            return DOWN
        late = row.state == membership.PREPARING_MAINTENANCE and row.forced and database.now() > (row.drained_by or 0.0)
        if row.state in membership.DRAINING and (late or not self.unfinished(row)):
            return _FINISHED.get(row.state, row.state)
        return row.state or UP

    def unfinished(self, row: Row[Any]) -> int:
        """Return how many jobs keep a server from being ready: its own, and all when no other one takes jobs."""
        others = [each for each in self.servers if each.uuid in self.live and each.state is None]
        return self.pending.get(row.uuid, 0) if others else sum(self.pending.values())

    def _peer(self, row: Row[Any]) -> dict[str, Any]:
        address, _, port = row.address.rpartition(":")
        return {
            "state": UP if row.uuid in self.live else DOWN,
            "peerstate": UP if row.uuid in self.live else DOWN,
            "peerid": row.name,
            "peername": row.name,
            "peerrunid": row.uuid.partition(":")[2],
            "peerserviceip": address.strip("[]") or None,
            "peerserviceport": port or None,
            "lastupdated": date(row.heartbeat),
        }


class ServerList(ListCommand):
    """What both lists of servers have in common."""

    id: str | None = None
    name: str | None = None
    version: str | None = None
    peers: bool = False

    def query(self, call: Call) -> Query:
        """Return the servers that match."""
        c = server.c
        query = Query(server, c.name).equals(c.name, self.id).same(c.name, self.name).contains(self.keyword, c.name)
        return query if self.version in (None, version()) else query.where(sa.false())

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the servers."""
        facts = Facts(call.db)
        return [self.shown(call, row, facts.view(row, peers=self.peers)) for row in rows]

    def shown(self, call: Call, row: Row[Any], view: dict[str, Any]) -> dict[str, Any]:
        """Return the view with what this server knows of itself alone."""
        if row.name == call.services.server:
            view |= {"kernelversion": platform.release(), "osdistribution": _distribution(), "lastboottime": _boot()}
        return view


@command("listManagementServers")
class ListManagementServers(ServerList):
    """List the management servers of this cloud."""


@command("listManagementServersMetrics")
class ListManagementServersMetrics(ServerList):
    """List the management servers with numbers; those of the machine itself only for the server that is asked."""

    system: bool = False

    def shown(self, call: Call, row: Row[Any], view: dict[str, Any]) -> dict[str, Any]:
        """Return the view with the numbers."""
        view = super().shown(call, row, view)
        now = database.now()
        sessions = sa.select(sa.func.count()).select_from(session).where(session.c.expires > now)
        view |= {
            "collectiontime": date(now),
            "agentcount": view["agentscount"],
            "sessions": call.db.execute(sessions).scalar_one(),
            "dbislocal": call.services.database.sqlite or _local(call.services.database.url),
            "usageislocal": False,
        }
        if row.name == call.services.server:
            view |= _process()
            if self.system:
                view |= _system()
        return view


def _local(url: str) -> bool:
    return (sa.make_url(url).host or "localhost") in ("localhost", "127.0.0.1", "::1") or "/" in str(
        sa.make_url(url).query.get("host", "")
    )


def _process() -> dict[str, Any]:
    threads = threading.enumerate()
    return {
        "availableprocessors": len(os.sched_getaffinity(0)),
        "threadstotalcount": len(threads),
        "threadsdaemoncount": sum(thread.daemon for thread in threads),
        "systemloadaverages": list(os.getloadavg()),
    }


def _system() -> dict[str, Any]:
    memory = _memory()
    return {
        "systemmemorytotal": _bytes(memory.get("MemTotal", 0)),
        "systemmemoryfree": _bytes(memory.get("MemAvailable", 0)),
        "systemmemoryused": _bytes(memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)),
    }


def _memory() -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def _bytes(count: int) -> str:
    return f"{count / 1024**3:.2f} GiB"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _boot() -> str | None:
    line = next((line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")), "")
    return date(float(line.split()[1])) if line else None
