"""Identity as API clients see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities, services
from pileus.core.calls import ACCOUNT_TYPES
from pileus.core.errors import InvalidParameter
from pileus.core.listing import grouped, related
from pileus.core.rendering import date
from pileus.identity import second_factor
from pileus.identity.limits import reading
from pileus.identity.store import display_path
from pileus.identity.tables import account, domain, role, user


def with_limits(details: Sequence[str]) -> bool:
    """Tell whether parameter details (all, resource, min) asks for limits and counts; so does none at all."""
    return not details or bool({"all", "resource"} & {each.lower() for each in details})


def domains(
    db: Connection, rows: Sequence[Row[Any]], *, admin: bool, limits: bool = True, tag: str | None = None
) -> list[dict[str, Any]]:
    """Return domains, with their limits and what is in them (``tag``: of the limits by tag those of this one)."""
    del admin
    if not rows:
        return []
    most = reading.of_domains(db, rows) if limits else {}
    has = reading.counts_of_domains(db, rows) if limits else {}
    tags = reading.tags_of_domains(db, rows, tag) if limits else {}
    parents = related(db, domain, (row.parent_id for row in rows))
    children = sa.select(domain.c.parent_id).where(
        domain.c.parent_id.in_([row.id for row in rows]), domain.c.removed.is_(None)
    )
    with_children = set(db.execute(children.distinct()).scalars())
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "level": row.level,
            "parentdomainid": parents[row.parent_id].uuid if row.parent_id else None,
            "parentdomainname": parents[row.parent_id].name if row.parent_id else None,
            "haschild": row.id in with_children,
            "path": display_path(row.path),
            "networkdomain": row.network_domain,
            "state": row.state,
            "created": date(row.created),
            **(reading.fields(most[row.id], has[row.id]) if limits else {}),
            **tags.get(row.id, {}),
        }
        for row in rows
    ]


def accounts(
    db: Connection, rows: Sequence[Row[Any]], *, admin: bool, limits: bool = True, tag: str | None = None
) -> list[dict[str, Any]]:
    """Return accounts with their users, limits, and what they have (``tag``: by tag those of this one)."""
    if not rows:
        return []
    most = reading.of_accounts(db, rows) if limits else {}
    has = reading.counts_of_accounts(db, rows) if limits else {}
    tags = reading.tags_of_accounts(db, rows, tag) if limits else {}
    domains_ = related(db, domain, (row.domain_id for row in rows))
    roles = related(db, role, (row.role_id for row in rows))
    zones = _zones(db, rows)
    of = grouped(db, user, user.c.account_id, (row.id for row in rows))
    everyone = [member for members in of.values() for member in members]
    rendered = dict(zip((m.id for m in everyone), users(db, everyone, admin=admin), strict=True))
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "accounttype": ACCOUNT_TYPES[row.role_type],
            "roleid": roles[row.role_id].uuid,
            "roletype": row.role_type,
            "rolename": roles[row.role_id].name,
            "domainid": domains_[row.domain_id].uuid,
            "domain": domains_[row.domain_id].name,
            "domainpath": display_path(domains_[row.domain_id].path),
            "state": row.state,
            "networkdomain": row.network_domain,
            "defaultzoneid": zones[row.default_zone_id].uuid if row.default_zone_id in zones else None,
            "apikeyaccess": access(row.api_key_access) if admin else None,
            "isdefault": bool(row.is_default),
            "accountdetails": row.details or None,
            "created": date(row.created),
            "user": [rendered[member.id] for member in of.get(row.id, [])],
            **(reading.fields(most[row.id], has[row.id]) if limits else {}),
            **tags.get(row.id, {}),
        }
        for row in rows
    ]


def users(db: Connection, rows: Sequence[Row[Any]], *, admin: bool, below: str | None = None) -> list[dict[str, Any]]:
    """Return users; the secret key is never among their fields (getUserKeys has it).

    ``below`` is the path of the caller's domain, where it is to be said whether they are in it or further down.
    """
    of = related(db, account, (row.account_id for row in rows))
    domains_ = related(db, domain, (row.domain_id for row in of.values()))
    roles = related(db, role, (row.role_id for row in of.values()))
    shown = [_user(row, of[row.account_id], domains_, roles) for row in rows]
    known = services.of(db) if rows else None
    for row, each in zip(rows, shown, strict=True):
        each["is2faenabled"] = row.two_factor_state == second_factor.ON
        each["is2famandated"] = known is not None and second_factor.mandated(known, row)
    if below is not None:
        for row, each in zip(rows, shown, strict=True):
            each["iscallerchilddomain"] = domains_[of[row.account_id].domain_id].path.startswith(below)
    if admin:
        for row, each in zip(rows, shown, strict=True):
            each["apikeyaccess"] = access(row.api_key_access)
    return shown


def access(value: bool | None) -> str:
    """Return how parameter and field apikeyaccess are spelled."""
    return "INHERIT" if value is None else "ENABLED" if value else "DISABLED"


def access_of(text: str) -> bool | None:
    """Return what parameter apikeyaccess means."""
    values = {"enabled": True, "disabled": False, "inherit": None}
    if text.lower() not in values:
        raise InvalidParameter("parameter apikeyaccess must be Enabled, Disabled or Inherit")
    return values[text.lower()]


def _zones(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, Row[Any]]:
    zone = entities.known("Zone")
    return {} if zone is None else related(db, zone.table, (row.default_zone_id for row in rows))


def _user(row: Row[Any], of: Row[Any], domains_: dict[int, Row[Any]], roles: dict[int, Row[Any]]) -> dict[str, Any]:
    return {
        "id": row.uuid,
        "username": row.username,
        "firstname": row.firstname,
        "lastname": row.lastname,
        "email": row.email,
        "created": date(row.created),
        "state": row.state,
        "account": of.name,
        "accountid": of.uuid,
        "accounttype": ACCOUNT_TYPES[of.role_type],
        "roleid": roles[of.role_id].uuid,
        "roletype": of.role_type,
        "rolename": roles[of.role_id].name,
        "domainid": domains_[of.domain_id].uuid,
        "domain": domains_[of.domain_id].name,
        "timezone": row.timezone,
        "apikey": row.api_key,
        "isdefault": bool(row.is_default),
        "usersource": row.source,
    }
