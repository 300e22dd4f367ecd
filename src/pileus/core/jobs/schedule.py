"""Periodic work: each once in the whole cluster per period, by a row that whoever comes first moves on."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared
from pileus.core.jobs.registry import Periodic

log = structlog.get_logger(__name__)

_enter = Prepared("INSERT INTO schedule (name, next_run) VALUES (:name, :next) ON CONFLICT (name) DO NOTHING")
_rows = Prepared("SELECT name, next_run FROM schedule")
_take = Prepared(
    "UPDATE schedule SET next_run = :next, last_run = :now, owner = :owner WHERE name = :name AND next_run <= :now"
)


def take_due(database: Database, owner: str, works: list[Periodic]) -> tuple[list[Periodic], float]:
    """Return the work that is this server's to do now, and when to look again."""
    with database.read() as db:
        next_runs: dict[str, float] = {row[0]: row[1] for row in _rows(db)}
    moment = now()
    due = [work for work in works if next_runs.get(work.name, 0) <= moment]
    if due:
        with database.write() as db:
            taken = [work for work in due if _taken(db, work, owner, moment)]
    else:
        taken = []
    for work in due:
        next_runs[work.name] = moment + work.every
    return taken, min(next_runs[work.name] for work in works)


def _taken(db: Connection, work: Periodic, owner: str, moment: float) -> bool:
    _enter(db, name=work.name, next=moment)
    return _take(db, name=work.name, now=moment, next=moment + work.every, owner=owner).rowcount == 1
