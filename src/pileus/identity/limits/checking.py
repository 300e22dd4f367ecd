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
from pileus.identity.limits import amounts
from pileus.identity.limits.tables import resource_count, resource_limit
from pileus.identity.limits.types import BY_HOST_TAG, KINDS, UNLIMITED, Key, Kind, tagged
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
_COUNTED: Any = (
    sa.select(resource_count.c.type, sa.func.sum(resource_count.c.amount).label("amount"))
    .where(resource_count.c.account_id == sa.bindparam("account"))
    .group_by(resource_count.c.type)
)
_SET: Any = sa.select(resource_limit).where(
    sa.or_(
        resource_limit.c.account_id == sa.bindparam("account"),
        resource_limit.c.domain_id.in_(sa.bindparam("domains", expanding=True)),
    )
)


def claim(db: Connection, account_id: int, wanted: Mapping[Kind, int], by_tag: Mapping[Key, int] | None = None) -> None:
    """Check that an account, and the domains that it is in, may have so much more (in things, cores, MiB, bytes).

    ``by_tag``: what of it counts for host and storage tags too.  Raises ResourceAllocation (535).  To be called before
    the rows are written, in the same transaction.
    """
    more: dict[Key, int] = {(kind, ""): amount for kind, amount in wanted.items()} | dict(by_tag or {})
    more = {key: amount for key, amount in more.items() if amount > 0}
    if not more:
        return
    owner = db.execute(_OWNER, {"account": account_id}).one()
    if owner.state != "enabled":
        raise PermissionDenied(f"account {owner.name} is {owner.state}: nothing can be made for it")
    domains = db.execute(_ABOVE, {"paths": _paths(owner.path)}).all()
    limits = _limits(db, owner, domains, more)
    bounded = [row for row in domains if any(limits[("domain", row.id, key)] != UNLIMITED for key in more)]
    own = any(limits[("account", owner.id, key)] != UNLIMITED for key in more)
    _hold(db, [row.id for row in bounded], owner.id if own else None)
    if own:
        most = {key: limits[("account", owner.id, key)] for key in more}
        _check(f"account {owner.name}", _of_account(db, owner.id, _limited(most)), most, more)
    for row in bounded:
        most = {key: limits[("domain", row.id, key)] for key in more}
        _check(f"domain {('ROOT' + row.path).rstrip('/')}", in_domain(db, row.path, _limited(most)), most, more)


def _limited(most: Mapping[Key, int]) -> list[Key]:
    return [key for key, limit in most.items() if limit != UNLIMITED]


def check_move(db: Connection, moved: Row[Any], parent: Row[Any]) -> None:
    """Check that a domain with all that is in it fits below another one (ResourceAllocation)."""
    keys: list[Key] = [(kind, "") for kind in Kind] + tagged(services.of(db).settings)
    wanted = {key: amount for key, amount in in_domain(db, moved.path, keys).items() if amount}
    for row in db.execute(_ABOVE, {"paths": _paths(parent.path)}).all():
        if moved.path.startswith(row.path):
            continue  # it is below this one already
        set_ = db.execute(_SET, {"account": 0, "domains": [row.id]}).all()
        given = {(each.type, each.tag): each.most for each in set_}
        most = {key: given.get((int(key[0]), key[1]), unset(db, "domain", key)) for key in keys}
        _check(f"domain {('ROOT' + row.path).rstrip('/')}", in_domain(db, row.path, keys), most, wanted)


def _check(who: str, has: Mapping[Key, int], limits: Mapping[Key, int], wanted: Mapping[Key, int]) -> None:
    for (kind, tag), amount in wanted.items():
        limit = limits[kind, tag]
        unit = KINDS[kind].unit
        if limit == UNLIMITED or has.get((kind, tag), 0) + amount <= limit * unit:
            continue
        of = f" with tag {tag!r}" if tag else ""
        raise ResourceAllocation(
            f"maximum number of resources of type '{KINDS[kind].name}'{of} exceeded: {who} may have {limit} "
            f"{KINDS[kind].label}{of}, has {has.get((kind, tag), 0) / unit:g} and would get {amount / unit:g} more; "
            "delete some, or ask an administrator for updateResourceLimit"
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
    db: Connection, owner: Row[Any], domains: Sequence[Row[Any]], keys: Iterable[Key]
) -> dict[tuple[str, int, Key], int]:
    """Return the limits that hold: (account or domain, its id, key) -> most."""
    rows = db.execute(_SET, {"account": owner.id, "domains": [row.id for row in domains]}).all()
    given = {(_scope(row), row.account_id or row.domain_id, row.type, row.tag): row for row in rows}
    found: dict[tuple[str, int, Key], int] = {}
    for key in keys:
        for scope, id_ in (("account", owner.id), *(("domain", row.id) for row in domains)):
            row = given.get((scope, id_, int(key[0]), key[1]))
            whose = owner.role_type if scope == "account" else scope
            found[(scope, id_, key)] = row.most if row is not None else unset(db, whose, key)
        if owner.role_type == ADMIN:
            found[("account", owner.id, key)] = UNLIMITED
    return found


def unset(db: Connection, scope: str, key: Key) -> int:
    """Return what holds where nothing was set: by tag nothing of its own, the limit of the whole kind is above it."""
    return UNLIMITED if key[1] else default(db, scope, key[0])


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


def in_domain(db: Connection, path: str, keys: Iterable[Key]) -> dict[Key, int]:
    """Return what the accounts in a domain and below it have."""
    keys = list(keys)
    below = path.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    if kept(db, keys):
        rows: Any = db.execute(_in_domain(), {"below": below, "kinds": [int(kind) for kind, _ in keys]})
        return {(Kind(row.type), ""): int(row.amount) for row in rows}
    among = sa.select(account.c.id).join(domain, domain.c.id == account.c.domain_id)
    return amounts.within(db, among.where(domain.c.path.like(below, escape="!")), keys)


def _of_account(db: Connection, account_id: int, keys: Sequence[Key]) -> dict[Key, int]:
    if kept(db, keys):
        return {(Kind(row.type), ""): int(row.amount) for row in db.execute(_COUNTED, {"account": account_id})}
    return amounts.of_accounts(db, [account_id], keys)[account_id]


def kept(db: Connection, keys: Iterable[Key]) -> bool:
    """Tell whether the counts that triggers keep are all that is asked for."""
    only = amounts.running_only(db)
    return not any(tag or (only and kind in BY_HOST_TAG) for kind, tag in keys)
