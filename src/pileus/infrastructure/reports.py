"""Reports of agents: taken at once, written together about twice a second, so that 10,000 hosts stay cheap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from pileus.core import database
from pileus.core.services import Services
from pileus.core.settings import declare
from pileus.infrastructure import hosts
from pileus.infrastructure.tables import agent, cluster, host
from pileus.wire.hosts import HostFacts, Report
from pileus.wire.statistics import HostStatistics

log = structlog.get_logger(__name__)

STATS_INTERVAL = declare(
    "host.stats.interval",
    int,
    60000,
    "milliseconds between two measurements of what a host and its machines use",
    minimum=1000,
)
GATHER_SECONDS = 0.5
_CHUNK = 500  # ids in one IN list

Observer = Callable[[Connection, Row[Any], Report], None]
_observers: list[Observer] = []

_HEARD = (
    sa.update(host)
    .where(host.c.id == sa.bindparam("row"))
    .values(
        last_report=sa.bindparam("at"),
        load=sa.bindparam("average"),
        really_used_memory_mib=sa.bindparam("memory"),
        boot=sa.bindparam("run"),
    )
)
_MEASURED = (
    sa.update(host)
    .where(host.c.id == sa.bindparam("row"))
    .values(cpu_percent=sa.bindparam("cpu"), received_kib=sa.bindparam("received"), sent_kib=sa.bindparam("sent"))
)
_AGENT_HEARD = sa.update(agent).where(agent.c.uuid == sa.bindparam("of")).values(last_report=sa.bindparam("at"))


def observe(function: Observer) -> None:
    """Register ``function(db, host_row, report)``, called in the transaction that takes a host's report.

    It sees every report of every host, so it must be cheap where nothing changed.
    """
    if function not in _observers:
        _observers.append(function)


class Intake:
    """Gathers reports (the newest of each host) and writes them together."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: dict[str, Report] = {}
        self._task: asyncio.Task[None] | None = None
        self._lost: set[str] = set()  # hosts whose facts could not be written

    def lost_facts(self, host_uuid: str) -> bool:
        """Tell, once, whether a host has to send its facts again: agents send them only when they start."""
        lost = host_uuid in self._lost
        self._lost.discard(host_uuid)
        return lost

    def take(self, report: Report) -> None:
        """Take a report, on the event loop; it is written within GATHER_SECONDS."""
        former = self._waiting.get(report.host)
        if former is not None:  # facts and statistics come with few reports: the newest that came count
            report = msgspec.structs.replace(
                report, facts=report.facts or former.facts, statistics=report.statistics or former.statistics
            )
        self._waiting[report.host] = report
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_soon())

    async def _write_soon(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        while self._waiting:
            batch = list(self._waiting.values())
            self._waiting = {}
            try:
                await asyncio.to_thread(write, self._services, batch)
            except Exception:
                log.exception("reports of hosts could not be written; the next ones will be", hosts=len(batch))
                self._lost.update(each.host for each in batch if each.facts is not None)


def intake(services: Services) -> Intake:
    """Return this server's intake."""
    return services.plugins.setdefault("infrastructure.intake", Intake(services))


def write(services: Services, batch: Sequence[Report]) -> None:
    """Write reports in one transaction; a report that breaks an observer is taken alone, so that it breaks no other."""
    try:
        with services.database.write() as db:
            _write(db, batch)
    except Exception as error:
        if len(batch) == 1 or _of_database(error):
            raise
        log.exception("a batch of reports failed; taking them one by one", hosts=len(batch))
        for report in batch:
            _write_alone(services, report)


def _of_database(error: Exception) -> bool:
    """Tell whether an error is the database's fault, not that of a report whose values it cannot take."""
    return isinstance(error, DBAPIError) and not isinstance(error, DataError | IntegrityError)


def _write_alone(services: Services, report: Report) -> None:
    try:
        with services.database.write() as db:
            _write(db, [report])
    except Exception as error:
        if _of_database(error):
            raise
        log.exception("the report of a host could not be taken", host=report.host)


def _write(db: Connection, batch: Sequence[Report]) -> None:
    moment = database.now()
    rows = _rows(db, [report.host for report in batch])
    db.execute(_AGENT_HEARD, [{"of": report.host, "at": moment} for report in batch])
    heard: list[dict[str, Any]] = []
    for report in batch:
        found = rows.get(report.host)
        if found is None:  # enrolled, but not added to the cloud yet
            if report.facts is not None:
                _keep_facts(db, report.host, report.facts)
            continue
        heard.append(
            {
                "row": found.id,
                "at": moment,
                "average": report.load,
                "memory": report.memory_used_mib,
                "run": report.boot,
            }
        )
    if heard:
        db.execute(_HEARD, heard)
    measured = [_numbers(rows[r.host].id, r.statistics.host) for r in batch if r.statistics and r.host in rows]
    if measured:
        db.execute(_MEASURED, measured)
    for report in batch:
        found = rows.get(report.host)
        if found is not None:
            _take(db, found, report)


def _numbers(host_id: int, found: HostStatistics) -> dict[str, Any]:
    return {"row": host_id, "cpu": found.cpu_percent, "received": found.received_kib, "sent": found.sent_kib}


def _take(db: Connection, row: Row[Any], report: Report) -> None:
    if row.state != "Up" and row.managed_state == "Managed" and row.state != "Removed":
        changed = database.change(db, host, row.id, expect={"state": row.state}, state="Up", disconnected=None)
        if changed:
            log.info("host is up", host=row.name, was=row.state)
    if row.boot and report.boot != row.boot:
        log.warning("host was restarted", host=row.name, boot=report.boot)
    if report.facts is not None:
        _new_facts(db, row, report)
    for observer in _observers:
        observer(db, row, report)


def _new_facts(db: Connection, row: Row[Any], report: Report) -> None:
    if report.facts is None:
        return
    facts = msgspec.to_builtins(report.facts)
    if facts == row.facts:
        return
    database.change(db, host, row.id, **hosts.columns_of(report.facts))
    _keep_facts(db, report.host, report.facts)


def _keep_facts(db: Connection, host_uuid: str, facts: HostFacts) -> None:
    """Keep what a host's agent says of it, for when the host is added (again)."""
    db.execute(sa.update(agent).where(agent.c.uuid == host_uuid).values(facts=msgspec.to_builtins(facts)))


def _rows(db: Connection, uuids: Sequence[str]) -> dict[str, Row[Any]]:
    """Return the hosts' rows (with the managed state of their clusters) by uuid."""
    found: dict[str, Row[Any]] = {}
    statement = sa.select(host, cluster.c.managed_state).join(cluster, cluster.c.id == host.c.cluster_id)
    for begin in range(0, len(uuids), _CHUNK):
        chunk = uuids[begin : begin + _CHUNK]
        for row in db.execute(statement.where(host.c.uuid.in_(chunk), host.c.removed.is_(None))):
            found[row.uuid] = row
    return found
