"""Limits: what an account or a domain may have, and the check that stands before everything that is made.

``claim`` is called in the transaction that makes the things: it holds the account, and every domain above it that has
a limit, until the end of that transaction, so that of any number at a time exactly as many get through as there is
room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import services
from pileus.core.calls import ADMIN
from pileus.core.errors import PermissionDenied, ResourceAllocation
from pileus.identity.limits.tables import resource_count, resource_limit
from pileus.identity.limits.types import KINDS, UNLIMITED, Kind
from pileus.identity.tables import account, domain

PROJECT = "Project"
"""Role type of the accounts of projects."""

_OWNER: Any = (
    sa.select(account.c.id, account.c.name, account.c.state, account.c.role_type, domain.c.path)
    .join(domain, domain.c.id == account.c.domain_id)
    .where(account.c.id == sa.bindparam("account"))
)
_ABOVE: Any = (
    sa.select(domain.c.id, domain.c.path)
    .where(domain.c.path.in_(sa.bindparam("paths", expanding=True)), domain.c.removed.is_(None))
    .order_by(domain.c.level)
)
_COUNTED: Any = sa.select(resource_count.c.type, resource_count.c.amount).where(
    resource_count.c.account_id == sa.bindparam("account")
)
_SET: Any = sa.select(resource_limit).where(
    sa.or_(
        resource_limit.c.account_id == sa.bindparam("account"),
        resource_limit.c.domain_id.in_(sa.bindparam("domains", expanding=True)),
    )
)


def claim(db: Connection, account_id: int, wanted: Mapping[Kind, int]) -> None:
    """Check that an account, and the domains that it is in, may have so much more (in things, cores, MiB, bytes).

    Raises ResourceAllocation (535).  To be called before the rows are written, in the same transaction.
    """
    wanted = {kind: amount for kind, amount in wanted.items() if amount > 0}
    if not wanted:
        return
    owner = db.execute(_OWNER, {"account": account_id}).one()
    if owner.state != "enabled":
        raise PermissionDenied(f"account {owner.name} is {owner.state}: nothing can be made for it")
    domains = db.execute(_ABOVE, {"paths": _paths(owner.path)}).all()
    limits = _limits(db, owner, domains, wanted)
    bounded = [row for row in domains if any(limits[("domain", row.id, kind)] != UNLIMITED for kind in wanted)]
    own = any(limits[("account", owner.id, kind)] != UNLIMITED for kind in wanted)
    _hold(db, [row.id for row in bounded], owner.id if own else None)
    if own:
        has = {row.type: row.amount for row in db.execute(_COUNTED, {"account": owner.id})}
        most = {kind: limits[("account", owner.id, kind)] for kind in wanted}
        _check(f"account {owner.name}", has, most, wanted)
    for row in bounded:
        has = in_domain(db, row.path, wanted)
        most = {kind: limits[("domain", row.id, kind)] for kind in wanted}
        _check(f"domain {('ROOT' + row.path).rstrip('/')}", has, most, wanted)


def check_move(db: Connection, moved: Row[Any], parent: Row[Any]) -> None:
    """Check that a domain with all that is in it fits below another one (ResourceAllocation)."""
    has = {Kind(kind): amount for kind, amount in in_domain(db, moved.path, Kind).items()}
    for row in db.execute(_ABOVE, {"paths": _paths(parent.path)}).all():
        if moved.path.startswith(row.path):
            continue  # it is below this one already
        set_ = db.execute(_SET, {"account": 0, "domains": [row.id]}).all()
        given = {each.type: each.most for each in set_}
        most = {kind: given.get(int(kind), default(db, "domain", kind)) for kind in Kind}
        wanted = {kind: amount for kind, amount in has.items() if amount}
        _check(f"domain {('ROOT' + row.path).rstrip('/')}", in_domain(db, row.path, Kind), most, wanted)


def _check(who: str, has: Mapping[int, int], limits: Mapping[Kind, int], wanted: Mapping[Kind, int]) -> None:
    for kind, amount in wanted.items():
        limit = limits[kind]
        if limit == UNLIMITED or has.get(kind, 0) + amount <= limit * KINDS[kind].unit:
            continue
        unit = KINDS[kind].unit
        raise ResourceAllocation(
            f"maximum number of resources of type '{KINDS[kind].name}' exceeded: {who} may have {limit} "
            f"{KINDS[kind].label}, has {has.get(kind, 0) / unit:g} and would get {amount / unit:g} more; delete some, "
            "or ask an administrator for updateResourceLimit"
        )


def _paths(path: str) -> list[str]:
    """Return the paths of a domain and those above it, without ROOT, which has no limits."""
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[: n + 1]) + "/" for n in range(len(parts))]


def _hold(db: Connection, domain_ids: Sequence[int], account_id: int | None) -> None:
    """Let no other transaction claim for the same account and domains before this one ends.

    SQLite has one writer at a time anyway.  The order is from the top down, the same for all.
    """
    if db.dialect.name == "sqlite":
        return
    if domain_ids:
        of = sa.select(domain.c.id).where(domain.c.id.in_(domain_ids)).order_by(domain.c.level, domain.c.id)
        db.execute(of.with_for_update(key_share=True)).all()
    if account_id is not None:
        db.execute(sa.select(account.c.id).where(account.c.id == account_id).with_for_update(key_share=True)).all()


def _limits(
    db: Connection, owner: Row[Any], domains: Sequence[Row[Any]], kinds: Iterable[Kind]
) -> dict[tuple[str, int, Kind], int]:
    """Return the limits that hold: (account or domain, its id, kind) -> most."""
    rows = db.execute(_SET, {"account": owner.id, "domains": [row.id for row in domains]}).all()
    given = {(_scope(row), row.account_id or row.domain_id, row.type): row for row in rows}
    found: dict[tuple[str, int, Kind], int] = {}
    for kind in kinds:
        for scope, id_ in (("account", owner.id), *(("domain", row.id) for row in domains)):
            row = given.get((scope, id_, int(kind)))
            found[(scope, id_, kind)] = (
                row.most if row is not None else default(db, owner.role_type if scope == "account" else scope, kind)
            )
        if owner.role_type == ADMIN:
            found[("account", owner.id, kind)] = UNLIMITED
    return found


def _scope(row: Row[Any]) -> str:
    return "account" if row.account_id is not None else "domain"


def default(db: Connection, scope: str, kind: Kind) -> int:
    """Return the limit of what nothing else is said of; ``scope``: "domain", or the role type of the account."""
    facts = KINDS[kind]
    handle = facts.domain if scope == "domain" else facts.account
    if scope == PROJECT:
        if facts.project is None:
            return UNLIMITED
        handle = facts.project
    return services.of(db).settings.get(handle)


@cache
def _in_domain() -> Any:
    within = sa.select(account.c.id).join(domain, domain.c.id == account.c.domain_id)
    within = within.where(domain.c.path.like(sa.bindparam("below"), escape="!"))
    return (
        sa.select(resource_count.c.type, sa.func.sum(resource_count.c.amount).label("amount"))
        .where(
            resource_count.c.account_id.in_(within),
            resource_count.c.type.in_(sa.bindparam("kinds", expanding=True)),
        )
        .group_by(resource_count.c.type)
    )


def in_domain(db: Connection, path: str, kinds: Iterable[Kind]) -> dict[int, int]:
    """Return what the accounts in a domain and below it have: kind -> amount."""
    below = path.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    rows: Any = db.execute(_in_domain(), {"below": below, "kinds": [int(kind) for kind in kinds]})
    return {int(row.type): int(row.amount) for row in rows}
