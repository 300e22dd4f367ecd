"""Hosts that are silent: found, told to operators, and taken back."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from pileus.core import database, events
from pileus.core.errors import InvalidParameter
from pileus.core.jobs import Job, periodic, workflow
from pileus.core.services import Services
from pileus.core.settings import Settings
from pileus.infrastructure import host_views, hosts, model
from pileus.infrastructure.tables import cluster, host
from pileus.wire.hosts import HostFacts

log = structlog.get_logger(__name__)

CHECK_SECONDS = 5.0
_STARTED = time.monotonic()


def silence(settings: Settings) -> float:
    """Return after how many seconds without a report a host counts as lost."""
    return settings.get(hosts.PING_INTERVAL) * settings.get(hosts.PING_TIMEOUT)


@workflow("host.reconnect")
def reconnect(job: Job, host_id: int) -> None:
    """Ask the host for its facts and take it back."""
    answer = job.call("facts", host_id, "host.facts", f"host:{host_id}", {}, timeout=60)
    job.finish("up", lambda db: {"host": _taken_back(db, host_id, answer, admin=job.admin)})


def _taken_back(db: Connection, id_: int, answer: dict[str, Any], *, admin: bool) -> dict[str, Any]:
    take_back(db, id_, answer)
    return host_views.hosts(db, [database.one(db, host, id_)], admin=admin)[0]


def take_back(db: Connection, id_: int, answer: dict[str, Any]) -> None:
    """Take a host back that has answered with its facts; one of an unmanaged cluster stays let go."""
    row = database.one(db, host, id_)
    changes: dict[str, Any] = {"last_report": database.now()}
    if database.one(db, cluster, row.cluster_id).managed_state == "Managed":
        changes |= {"state": "Up", "disconnected": None}
    if row.hypervisor != model.SIMULATOR:
        changes |= hosts.columns_of(msgspec.convert(answer, HostFacts))
    if not database.change(db, host, id_, expect={"removed": None}, **changes):
        raise InvalidParameter(f"host {row.name} was deleted meanwhile")


@periodic("host.silence", every=CHECK_SECONDS)
def check_silence(services: Services) -> None:
    """Move hosts that are silent for too long to Alert, and tell operators."""
    limit = silence(services.settings)
    if time.monotonic() - _STARTED < limit:
        return  # while no server ran nobody could report
    before = database.now() - limit
    overdue = sa.select(host.c.id, host.c.name, host.c.last_report).where(
        host.c.state.in_(("Up", "Connecting")),
        host.c.hypervisor != model.SIMULATOR,
        host.c.removed.is_(None),
        sa.func.coalesce(host.c.last_report, host.c.created) < before,
    )
    with services.database.read() as db:
        found = db.execute(overdue).all()
    if not found:
        return
    with services.database.write() as db:
        for row in found:
            still = sa.and_(host.c.id == row.id, sa.func.coalesce(host.c.last_report, host.c.created) < before)
            lost = sa.update(host).where(still, host.c.state.in_(("Up", "Connecting")))
            if db.execute(lost.values(state="Alert", disconnected=database.now())).rowcount:
                log.warning("host is silent", host=row.name, seconds=limit)
                events.alert(
                    db,
                    "ALERT.COMPUTE.HOST",
                    f"Host {row.name} has not reported for {limit:.0f} s: look whether it and its agent run",
                )
