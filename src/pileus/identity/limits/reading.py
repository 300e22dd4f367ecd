"""Limits and counts of whole pages of accounts and domains, for their fields; a constant number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import ADMIN
from pileus.identity.limits import checking
from pileus.identity.limits.tables import resource_count, resource_limit
from pileus.identity.limits.types import KINDS, UNLIMITED, Kind
from pileus.identity.tables import account, domain

ROOT_PATH = "/"


def of_accounts(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[Kind, int]]:
    """Return the limits of accounts."""
    set_ = _set(db, resource_limit.c.account_id, rows)
    types = {row.role_type for row in rows}
    unset = {(type_, kind): checking.default(db, type_, kind) for type_ in types for kind in KINDS}
    return {
        row.id: {
            kind: UNLIMITED if row.role_type == ADMIN else set_.get((row.id, int(kind)), unset[row.role_type, kind])
            for kind in KINDS
        }
        for row in rows
    }


def of_domains(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[Kind, int]]:
    """Return the limits of domains; ROOT has none."""
    set_ = _set(db, resource_limit.c.domain_id, rows)
    unset = {kind: checking.default(db, "domain", kind) for kind in KINDS}
    return {
        row.id: {
            kind: UNLIMITED if row.path == ROOT_PATH else set_.get((row.id, int(kind)), unset[kind]) for kind in KINDS
        }
        for row in rows
    }


def _set(db: Connection, column: sa.Column[Any], rows: Sequence[Row[Any]]) -> dict[tuple[int, int], int]:
    statement = sa.select(column, resource_limit.c.type, resource_limit.c.most)
    found = db.execute(statement.where(column.in_([row.id for row in rows])))
    return {(owner, kind): most for owner, kind, most in found}


def counts_of_accounts(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[int, int]]:
    """Return what accounts have: account -> kind -> amount."""
    found: dict[int, dict[int, int]] = {row.id: {} for row in rows}
    wanted = resource_count.c.account_id.in_(list(found))
    for row in db.execute(sa.select(resource_count).where(wanted)):
        found[row.account_id][row.type] = row.amount
    return found


def counts_of_domains(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[int, int]]:
    """Return what the accounts in domains and below them have: domain -> kind -> amount."""
    found: dict[int, dict[int, int]] = {row.id: {} for row in rows}
    top, below = domain.alias("top"), domain.alias("below")
    above = sa.or_(
        below.c.id == top.c.id,
        sa.and_(below.c.level > top.c.level, sa.func.substr(below.c.path, 1, sa.func.length(top.c.path)) == top.c.path),
    )
    parents = sa.select(domain.c.parent_id).where(domain.c.parent_id.in_(list(found)), domain.c.removed.is_(None))
    branches = set(db.execute(parents.distinct()).scalars())
    amount = sa.func.sum(resource_count.c.amount)
    own = (
        sa.select(account.c.domain_id, resource_count.c.type, amount)
        .join(resource_count, resource_count.c.account_id == account.c.id)
        .where(account.c.domain_id.in_([id_ for id_ in found if id_ not in branches]))
        .group_by(account.c.domain_id, resource_count.c.type)
    )
    whole = (
        sa.select(top.c.id, resource_count.c.type, amount)
        .select_from(
            top.join(below, above)
            .join(account, account.c.domain_id == below.c.id)
            .join(resource_count, resource_count.c.account_id == account.c.id)
        )
        .where(top.c.id.in_(sorted(branches)))
        .group_by(top.c.id, resource_count.c.type)
    )
    for statement in (own, whole):  # leaves need no look at the tree
        for id_, kind, much in db.execute(statement):
            found[id_][int(kind)] = int(much)
    return found


def fields(
    limits: Mapping[Kind, int], counts: Mapping[int, int], *, but: frozenset[Kind] = frozenset()
) -> dict[str, Any]:
    """Return <kind>limit, <kind>total and <kind>available of each kind."""
    answer: dict[str, Any] = {}
    for kind, facts in KINDS.items():
        most, has = limits[kind], counts.get(kind, 0)
        total = has / facts.unit
        whole = round(total, 2) if kind == Kind.SECONDARY_STORAGE else -(-has // facts.unit)
        answer[f"{facts.field}limit"] = "Unlimited" if most == UNLIMITED else str(most)
        answer[f"{facts.field}total"] = whole
        left = max(0, most - -(-has // facts.unit))
        answer[f"{facts.field}available"] = "Unlimited" if most == UNLIMITED else str(left)
    return answer
