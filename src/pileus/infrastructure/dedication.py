"""Dedication: zones, pods, clusters and hosts that are set aside for a domain (and all below it) or an account.

Others' machines and routers are not placed there.  Owners may use what is dedicated to them and what is open to all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.jobs import Job
from pileus.core.listing import related
from pileus.identity.tables import account as accounts
from pileus.identity.tables import domain as domains
from pileus.infrastructure.tables import cluster, dedication, host, pod, zone
from pileus.scheduling.filters.dedicated import allows
from pileus.scheduling.model import Reservation

KINDS: dict[str, Table] = {"zone": zone, "pod": pod, "cluster": cluster, "host": host}
"""What can be dedicated, the widest first."""

Occupants = Callable[[Connection, str, int], Iterable[Any]]
_occupants: list[Occupants] = []


def on_check(function: Occupants) -> None:
    """Register ``function(db, kind, id)``: rows with name, account_id and domain_id of what runs in a place."""
    _occupants.append(function)


class Reserved:
    """For whom each place is set aside, loaded once; costs a query when nothing is."""

    def __init__(self, db: Connection) -> None:
        rows = db.execute(sa.select(dedication)).all()
        trees = _trees(db, {row.domain_id for row in rows}) if rows else {}
        self._by_place: dict[tuple[str, int], Reservation] = {
            (kind, getattr(row, f"{kind}_id")): Reservation(domains=trees[row.domain_id], account_id=row.account_id)
            for row in rows
            for kind in KINDS
            if getattr(row, f"{kind}_id") is not None
        }

    def of(self, zone_id: int, pod_id: int, cluster_id: int, host_id: int) -> tuple[Reservation, ...]:
        """Return the reservations that a host is under."""
        if not self._by_place:
            return ()
        places = (("zone", zone_id), ("pod", pod_id), ("cluster", cluster_id), ("host", host_id))
        return tuple(self._by_place[place] for place in places if place in self._by_place)


def _trees(db: Connection, ids: set[int]) -> dict[int, frozenset[int]]:
    """Return each domain with all below it."""
    above = domains.alias("above")
    below = sa.select(above.c.id.label("top"), domains.c.id).where(
        # No LIKE: names of domains may hold its wildcards, and SQLite's overlooks case.
        above.c.id.in_(ids),
        sa.func.substr(domains.c.path, 1, sa.func.length(above.c.path)) == above.c.path,
    )
    found: dict[int, set[int]] = {id_: {id_} for id_ in ids}
    for row in db.execute(below):
        found[row.top].add(row.id)
    return {id_: frozenset(tree) for id_, tree in found.items()}


def dedicate(db: Connection, kind: str, row: Row[Any], domain: Row[Any], account: str | None) -> Row[Any]:
    """Set a place aside and return the dedication; InvalidParameter or InUse when others have it or use it."""
    owner = _account(db, domain, account)
    if _of(db, kind, row.id) is not None:
        raise InvalidParameter(f"parameter {kind}id: {kind} {row.name} is dedicated already; release it first")
    wanted = Reservation(domains=_trees(db, {domain.id})[domain.id], account_id=owner.id if owner is not None else None)
    _refuse_conflicts(db, kind, row, wanted, domain)
    used = [
        each.name
        for function in _occupants
        for each in function(db, kind, row.id)
        if not allows(wanted, each.account_id, each.domain_id)
    ]
    if used:
        raise InUse(f"{kind} {row.name} is used by machines of others ({', '.join(used[:3])}); stop or move them first")
    id_ = database.insert(
        db,
        dedication,
        uuid=database.new_uuid(),
        domain_id=domain.id,
        account_id=wanted.account_id,
        created=database.now(),
        **{f"{kind}_id": row.id},
    )
    if kind == "zone":
        database.change(db, zone, row.id, domain_id=domain.id)
    return database.one(db, dedication, id_)


def _account(db: Connection, domain: Row[Any], name: str | None) -> Row[Any] | None:
    if not name:
        return None
    named = sa.select(accounts).where(
        accounts.c.domain_id == domain.id, accounts.c.name == name, accounts.c.removed.is_(None)
    )
    found = db.execute(named).one_or_none()
    if found is None:
        raise InvalidParameter(f"parameter account: domain {domain.path} has no account {name!r}")
    return found


def _of(db: Connection, kind: str, id_: int) -> Row[Any] | None:
    return db.execute(sa.select(dedication).where(dedication.c[f"{kind}_id"] == id_)).one_or_none()


def _refuse_conflicts(db: Connection, kind: str, row: Row[Any], wanted: Reservation, domain: Row[Any]) -> None:
    """Refuse when a wider place is others', or something within is."""
    order = list(KINDS)
    for wider in order[: order.index(kind)]:
        found = _of(db, wider, getattr(row, f"{wider}_id"))
        if found is not None and not (found.domain_id == domain.id or _within(db, domain, found.domain_id)):
            raise InvalidParameter(
                f"parameter {kind}id: the {wider} of {kind} {row.name} is dedicated to another domain"
            )
        if found is not None and found.account_id not in (None, wanted.account_id):
            raise InvalidParameter(
                f"parameter {kind}id: the {wider} of {kind} {row.name} is dedicated to one account, which parameter "
                "account must name"
            )
    for narrower in order[order.index(kind) + 1 :]:
        table = KINDS[narrower]
        inside = (
            sa.select(dedication, table.c.name)
            .join(table, table.c.id == dedication.c[f"{narrower}_id"])
            .where(table.c[f"{kind}_id"] == row.id)
        )
        for each in db.execute(inside):
            if each.domain_id not in wanted.domains or (
                wanted.account_id is not None and each.account_id != wanted.account_id
            ):
                raise InvalidParameter(
                    f"parameter {kind}id: {narrower} {each.name} within {kind} {row.name} is dedicated to others"
                )


def _within(db: Connection, domain: Row[Any], of: int) -> bool:
    return domain.path.startswith(database.one(db, domains, of).path)


def release(db: Connection, kind: str, row: Row[Any], *, must: bool = True) -> None:
    """Open a place to everybody again; InvalidParameter when it is not dedicated (unless it need not be)."""
    gone = db.execute(sa.delete(dedication).where(dedication.c[f"{kind}_id"] == row.id)).rowcount
    if must and not gone:
        raise InvalidParameter(f"parameter {kind}id: {kind} {row.name} is not dedicated to anybody")
    if kind == "zone":
        database.change(db, zone, row.id, domain_id=None)


def release_account(job: Job, account_id: int) -> None:
    """Release what is dedicated to an account that is deleted."""
    job.commit("infrastructure/dedications", lambda db: _release(db, dedication.c.account_id == account_id))


def release_domains(db: Connection, domain_ids: Collection[int]) -> None:
    """Release what is dedicated to domains that are deleted."""
    _release(db, dedication.c.domain_id.in_(domain_ids))


def _release(db: Connection, whose: sa.ColumnElement[bool]) -> None:
    zones = sa.select(dedication.c.zone_id).where(whose, dedication.c.zone_id.is_not(None))
    db.execute(sa.update(zone).where(zone.c.id.in_(zones)).values(domain_id=None))
    db.execute(sa.delete(dedication).where(whose))


def views(db: Connection, kind: str, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return dedications as clients see them."""
    places = related(db, KINDS[kind], (getattr(row, f"{kind}_id") for row in rows))
    owners = related(db, accounts, (row.account_id for row in rows))
    trees = related(db, domains, (row.domain_id for row in rows))
    found: list[dict[str, Any]] = []
    for row in rows:
        place = places[getattr(row, f"{kind}_id")]
        owner = owners.get(row.account_id)
        found.append(
            {
                "id": row.uuid,
                f"{kind}id": place.uuid,
                f"{kind}name": place.name,
                "domainid": trees[row.domain_id].uuid,
                "accountid": owner.uuid if owner is not None else None,
            }
        )
    return found
