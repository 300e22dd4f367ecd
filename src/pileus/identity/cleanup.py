"""Cleaning up what an account owns before it is deleted: each later slice registers how it lets go of its objects."""

from __future__ import annotations

from collections.abc import Callable, Collection

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import metadata
from pileus.core.errors import InUse
from pileus.core.jobs import Job

Cleaner = Callable[[Job, int], None]
"""``clean(job, account_id)``: uses the job's steps (their names begin with the slice's own) to delete everything."""

Visits = Callable[[Connection, Collection[int]], list[tuple[int, str]]]
"""``visits(db, account_ids)``: who uses what these accounts have shared: the account and, for people, with what."""

MACHINES = 10
"""The order of the cleaner that lets go of machines."""

_cleaners: list[tuple[int, Cleaner]] = []
_pausers: list[Cleaner] = []
_visits: list[Visits] = []
_leavers: list[Callable[[Connection, Collection[int]], None]] = []
_PART_OF_THE_ACCOUNT = {"user_", "project"}


def register(order: int, clean: Cleaner) -> None:
    """Register a cleaner; lower orders run first (machines 10, networks 20, volumes 30, images 40)."""
    _cleaners.append((order, clean))
    _cleaners.sort(key=lambda pair: pair[0])


def run(job: Job, account_id: int, *, last: int | None = None) -> None:
    """Let every slice delete what the account owns; ``last``: only the slices up to this order."""
    for order, clean in _cleaners:
        if last is None or order <= last:
            clean(job, account_id)


def on_visits(visits: Visits) -> None:
    """Register how a slice tells who uses what accounts have shared with others."""
    _visits.append(visits)


def visitors(db: Connection, account_ids: Collection[int]) -> list[int]:
    """Return the accounts that use what other accounts, out of these, have shared with them."""
    return sorted({account for visits in _visits for account, _ in visits(db, account_ids)})


def refuse_visited(db: Connection, account_ids: Collection[int], what: str) -> None:
    """Raise InUse when accounts that stay use what these have shared: it cannot go before they let go of it."""
    used = [text for visits in _visits for account, text in visits(db, account_ids) if account not in account_ids]
    if used:
        more = f" and {len(used) - 3} more" if len(used) > 3 else ""
        raise InUse(f"{what} cannot be deleted while others use what it has shared: {', '.join(used[:3])}{more}")


def on_pause(pause_: Cleaner) -> None:
    """Register how a slice brings what an account runs to a halt, without deleting anything."""
    _pausers.append(pause_)


def pause(job: Job, account_id: int) -> None:
    """Bring everything that the account runs to a halt (it was suspended or disabled)."""
    for each in _pausers:
        each(job, account_id)


def on_domains_gone(function: Callable[[Connection, Collection[int]], None]) -> None:
    """Register how a slice lets go of domains: called in the transaction that removes them, with their ids."""
    _leavers.append(function)


def domains_gone(db: Connection, domain_ids: Collection[int]) -> None:
    """Let every slice forget what was for these domains only."""
    for each in _leavers:
        each(db, domain_ids)


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
