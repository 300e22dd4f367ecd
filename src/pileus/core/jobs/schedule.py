"""Periodic work: each once in the whole cluster per period, by a row that whoever comes first moves on."""

from __future__ import annotations

import math
from typing import Any

import structlog
from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared
from pileus.core.jobs.registry import Periodic

log = structlog.get_logger(__name__)

_enter = Prepared("INSERT INTO schedule (name, next_run) VALUES (:name, :next) ON CONFLICT (name) DO NOTHING")
_rows = Prepared("SELECT name, COALESCE(last_run, 0) FROM schedule")
_take = Prepared(
    "UPDATE schedule SET next_run = :next, last_run = :now, owner = :owner"
    " WHERE name = :name AND COALESCE(last_run, 0) = :last"
)
_NEVER = 9e15
"""What stands for no next run."""


def take_due(database: Database, owner: str, works: list[Periodic], services: Any) -> tuple[list[Periodic], float]:
    """Return the work that is this server's to do now, and when to look again."""
    with database.read() as db:
        last_runs: dict[str, float] = {row[0]: row[1] for row in _rows(db)}
    moment = now()
    periods = {work.name: _period(work, services) for work in works}
    next_runs = {name: last_runs.get(name, 0.0) + period for name, period in periods.items()}
    due = [work for work in works if next_runs[work.name] <= moment]
    taken: list[Periodic] = []
    if due:
        with database.write() as db:
            for work in due:
                next_runs[work.name] = moment + periods[work.name]
                if _taken(db, work, owner, moment, last=last_runs.get(work.name, 0.0), next_=next_runs[work.name]):
                    taken.append(work)
    return taken, min(next_runs.values())


def _period(work: Periodic, services: Any) -> float:
    try:
        return work.period(services)
    except Exception:
        log.exception("the period of work cannot be told; it waits, other work goes on", work=work.name)
        return math.inf


def _taken(db: Connection, work: Periodic, owner: str, moment: float, *, last: float, next_: float) -> bool:
    """Enter that the work is done now, unless another server was quicker."""
    next_ = min(next_, _NEVER)
    _enter(db, name=work.name, next=next_)
    return _take(db, name=work.name, now=moment, next=next_, owner=owner, last=last).rowcount == 1
