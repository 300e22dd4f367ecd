"""Limits and counts of whole pages of accounts and domains, for their fields; a constant number of queries."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import services
from pileus.core.calls import ADMIN
from pileus.identity.limits import amounts, checking
from pileus.identity.limits.tables import resource_count, resource_limit
from pileus.identity.limits.types import KINDS, UNLIMITED, Key, Kind
from pileus.identity.limits.types import tagged as tagged_keys
from pileus.identity.tables import account, domain

ROOT_PATH = "/"
WHOLE: tuple[Key, ...] = tuple((kind, "") for kind in KINDS)
"""Every kind, whatever its tags."""

Limits = dict[int, Mapping[Key, int]]
Counts = dict[int, dict[Key, int]]
"""Of accounts or domains by their internal ids; those without limits of their own share one mapping."""

_FIELDS = tuple(
    ((kind, ""), f"{facts.field}limit", f"{facts.field}total", f"{facts.field}available")
    for kind, facts in KINDS.items()
)


def of_accounts(db: Connection, rows: Sequence[Row[Any]], keys: Sequence[Key] = WHOLE) -> Limits:
    """Return the limits of accounts."""
    set_ = _set(db, resource_limit.c.account_id, rows)
    unset: dict[str, dict[Key, int]] = {
        type_: {key: UNLIMITED if type_ == ADMIN else checking.default(db, type_, key[0]) for key in keys}
        for type_ in {row.role_type for row in rows}
    }
    return {
        row.id: unset[row.role_type] if row.role_type == ADMIN else _held(set_.get(row.id), unset[row.role_type])
        for row in rows
    }


def of_domains(db: Connection, rows: Sequence[Row[Any]], keys: Sequence[Key] = WHOLE) -> Limits:
    """Return the limits of domains; ROOT has none."""
    set_ = _set(db, resource_limit.c.domain_id, rows)
    unset: dict[Key, int] = {key: checking.default(db, "domain", key[0]) for key in keys}
    root = dict.fromkeys(keys, UNLIMITED)
    return {row.id: root if row.path == ROOT_PATH else _held(set_.get(row.id), unset) for row in rows}


def _held(own: Mapping[Key, int] | None, unset: Mapping[Key, int]) -> Mapping[Key, int]:
    """Return the limits that hold: by a tag without a limit of its own, that of the whole kind."""
    if own is None:
        return unset
    return {key: own.get(key, own.get((key[0], ""), default)) for key, default in unset.items()}


def _set(db: Connection, column: sa.Column[Any], rows: Sequence[Row[Any]]) -> dict[int, dict[Key, int]]:
    """Return the limits that somebody has set."""
    statement = sa.select(column, resource_limit.c.type, resource_limit.c.tag, resource_limit.c.most)
    found: dict[int, dict[Key, int]] = {}
    for owner, kind, tag, most in db.execute(statement.where(column.in_([row.id for row in rows]))):
        found.setdefault(owner, {})[Kind(kind), tag] = most
    return found


def counts_of_accounts(db: Connection, rows: Sequence[Row[Any]], keys: Sequence[Key] = WHOLE) -> Counts:
    """Return what accounts have."""
    ids = [row.id for row in rows]
    if not checking.kept(db, keys):
        return amounts.of_accounts(db, ids, keys)
    found: Counts = {id_: {} for id_ in ids}
    for row in db.execute(sa.select(resource_count).where(resource_count.c.account_id.in_(ids))):
        counts = found[row.account_id]  # the slots are added up here: for the database a group costs more than a row
        counts[Kind(row.type), ""] = counts.get((Kind(row.type), ""), 0) + row.amount
    return found


def counts_of_domains(db: Connection, rows: Sequence[Row[Any]], keys: Sequence[Key] = WHOLE) -> Counts:
    """Return what the accounts in domains and below them have."""
    found: Counts = {row.id: {} for row in rows}
    if not keys:
        return found
    whole = checking.kept(db, keys)
    counted: Any = resource_count if whole else amounts.table(db, keys)
    tag: Any = sa.literal("").label("tag") if whole else counted.c.tag
    by = (counted.c.type,) if whole else (counted.c.type, counted.c.tag)
    top, below = domain.alias("top"), domain.alias("below")
    above = sa.or_(
        below.c.id == top.c.id,
        sa.and_(below.c.level > top.c.level, sa.func.substr(below.c.path, 1, sa.func.length(top.c.path)) == top.c.path),
    )
    parents = sa.select(domain.c.parent_id).where(domain.c.parent_id.in_(list(found)), domain.c.removed.is_(None))
    branches = set(db.execute(parents.distinct()).scalars())
    amount = sa.func.sum(counted.c.amount)
    own = (
        sa.select(account.c.domain_id, counted.c.type, tag, amount)
        .join(counted, counted.c.account_id == account.c.id)
        .where(account.c.domain_id.in_([id_ for id_ in found if id_ not in branches]))
        .group_by(account.c.domain_id, *by)
    )
    below_too = (
        sa.select(top.c.id, counted.c.type, tag, amount)
        .select_from(
            top.join(below, above)
            .join(account, account.c.domain_id == below.c.id)
            .join(counted, counted.c.account_id == account.c.id)
        )
        .where(top.c.id.in_(sorted(branches)))
        .group_by(top.c.id, *by)
    )
    for statement in (own, below_too):  # leaves need no look at the tree
        for id_, kind, of, much in db.execute(statement):
            found[id_][Kind(kind), of] = int(much)
    return found


def fields(limits: Mapping[Key, int], counts: Mapping[Key, int]) -> dict[str, Any]:
    """Return <kind>limit, <kind>total and <kind>available of each kind."""
    answer: dict[str, Any] = {}
    for key, limit, total, available in _FIELDS:
        answer[limit], answer[total], answer[available] = _shown(key[0], limits[key], counts.get(key, 0))
    return answer


@functools.lru_cache(maxsize=16_384)  # on a page of accounts the same numbers come again and again
def _shown(kind: Kind, most: int, has: int) -> tuple[str, float, str]:
    """Return limit, total and what is left, as fields show them."""
    unit = KINDS[kind].unit
    whole = -(-has // unit)
    total = round(has / unit, 2) if kind == Kind.SECONDARY_STORAGE else whole
    if most == UNLIMITED:
        return "Unlimited", total, "Unlimited"
    return str(most), total, str(max(0, most - whole))


def tags_of_accounts(db: Connection, rows: Sequence[Row[Any]], tag: str | None = None) -> dict[int, dict[str, Any]]:
    """Return field taggedresources of accounts (``tag``: for this one only); nothing without tags in the settings."""
    keys = tagged_keys(services.of(db).settings, tag)
    return _by_tag(keys, of_accounts(db, rows, keys), counts_of_accounts(db, rows, keys)) if keys else {}


def tags_of_domains(db: Connection, rows: Sequence[Row[Any]], tag: str | None = None) -> dict[int, dict[str, Any]]:
    """Return field taggedresources of domains (``tag``: for this one only); nothing without tags in the settings."""
    keys = tagged_keys(services.of(db).settings, tag)
    return _by_tag(keys, of_domains(db, rows, keys), counts_of_domains(db, rows, keys)) if keys else {}


def _by_tag(keys: Sequence[Key], limits: Limits, counts: Counts) -> dict[int, dict[str, Any]]:
    def one(id_: int, key: Key) -> dict[str, Any]:
        kind, tag = key
        most, has = limits[id_][key], -(-counts[id_].get(key, 0) // KINDS[kind].unit)
        return {
            "resourcetype": int(kind),
            "resourcetypename": KINDS[kind].name,
            "tag": tag,
            "limit": most,
            "total": has,
            "available": UNLIMITED if most == UNLIMITED else max(0, most - has),
        }

    return {id_: {"taggedresources": [one(id_, key) for key in keys]} for id_ in limits}
