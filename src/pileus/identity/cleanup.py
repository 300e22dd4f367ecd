"""Cleaning up what an account owns before it is deleted: each later slice registers how it lets go of its objects."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import metadata
from pileus.core.jobs import Job

Cleaner = Callable[[Job, int], None]
"""``clean(job, account_id)``: uses the job's steps (their names begin with the slice's own) to delete everything."""

_cleaners: list[tuple[int, Cleaner]] = []
_pausers: list[Cleaner] = []
_PART_OF_THE_ACCOUNT = {"user_", "project"}


def register(order: int, clean: Cleaner) -> None:
    """Register a cleaner; lower orders run first (machines 10, networks 20, volumes 30, images 40)."""
    _cleaners.append((order, clean))
    _cleaners.sort(key=lambda pair: pair[0])


def run(job: Job, account_id: int) -> None:
    """Let every slice delete what the account owns."""
    for _, clean in _cleaners:
        clean(job, account_id)


def on_pause(pause_: Cleaner) -> None:
    """Register how a slice brings what an account runs to a halt, without deleting anything."""
    _pausers.append(pause_)


def pause(job: Job, account_id: int) -> None:
    """Bring everything that the account runs to a halt (it was suspended or disabled)."""
    for each in _pausers:
        each(job, account_id)


def remains(db: Connection, account_id: int) -> list[str]:
    """Return what the account still owns, for people: "2 in volume"."""
    found: list[str] = []
    for table in metadata.sorted_tables:
        if table.name in _PART_OF_THE_ACCOUNT or "account_id" not in table.c or "removed" not in table.c:
            continue
        statement = (
            sa.select(sa.func.count())
            .select_from(table)
            .where(table.c.account_id == account_id, table.c.removed.is_(None))
        )
        count = db.execute(statement).scalar_one()
        if count:
            found.append(f"{count} in {table.name}")
    return found
