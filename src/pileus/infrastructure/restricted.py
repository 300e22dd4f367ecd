"""Offerings that are for some domains or zones only: who sees, uses and deletes them.

An offering's row has ``domain_ids`` and ``zone_ids``, JSON lists of internal ids; an empty list means all.  A domain's
offering is for everything below the domain too.  Few offerings are restricted, so these are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.engine import Row

from pileus.core import database, entities
from pileus.core.calls import Call, Caller
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import related
from pileus.identity.settings import TAGGED_OFFERINGS, may_tag_offerings
from pileus.infrastructure.tables import zone


def ancestors(db: Connection, path: str) -> frozenset[int]:
    """Return the internal ids of a domain and those above it."""
    domains = entities.domains()
    parts = path.strip("/").split("/") if path.strip("/") else []
    paths = ["/" + "".join(f"{part}/" for part in parts[:depth]) for depth in range(len(parts) + 1)]
    return frozenset(db.execute(sa.select(domains.c.id).where(domains.c.path.in_(paths))).scalars())


def may_use(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether an offering is for the caller's domain."""
    if caller.admin or not row.domain_ids:
        return True
    return bool(ancestors(db, caller.domain_path).intersection(row.domain_ids))


def may_manage(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may delete an offering: root admins, and admins of all the domains that it is for."""
    if caller.admin:
        return True
    if caller.role == "User" or not row.domain_ids:
        return False
    domains = entities.domains()
    paths = db.execute(sa.select(domains.c.path).where(domains.c.id.in_(row.domain_ids))).scalars().all()
    return bool(paths) and all(path.startswith(caller.domain_path) for path in paths)


def check_tags(call: Call, **tags: str | None) -> None:
    """Check that the caller may make offerings with these tags (by parameter): root admins, and by a setting others."""
    given = [name for name, text in tags.items() if text is not None]
    who = call.caller
    if given and not may_tag_offerings(call.services.settings, who.role, who.domain_id, who.account_id):
        raise PermissionDenied(f"parameter {given[0]}: {TAGGED_OFFERINGS.name} lets no domain admin tag offerings")


def visible(
    db: Connection,
    caller: Caller,
    table: Table,
    *,
    domain: Row[Any] | None = None,
    zone_row: Row[Any] | None = None,
) -> list[ColumnElement[bool]]:
    """Return the conditions that keep a list to what is for the caller, and for a domain or zone when one is given."""
    if domain is not None and not (caller.admin or domain.path.startswith(caller.domain_path)):
        raise PermissionDenied(f"{caller.account} may not list in the domain that parameter domainid names")
    own = None if caller.admin else ancestors(db, caller.domain_path)
    theirs = None if domain is None else ancestors(db, domain.path)
    if own is None and theirs is None and zone_row is None:
        return []
    restricted = sa.select(table.c.id, table.c.domain_ids, table.c.zone_ids).where(
        table.c.removed.is_(None),
        sa.or_(*(sa.cast(column, sa.String) != "[]" for column in (table.c.domain_ids, table.c.zone_ids))),
    )
    hidden = [
        row.id
        for row in db.execute(restricted)
        if not (
            _open(row.domain_ids, own)
            and _open(row.domain_ids, theirs)
            and (zone_row is None or not row.zone_ids or zone_row.id in row.zone_ids)
        )
    ]
    return [table.c.id.not_in(hidden)] if hidden else []


def domain_of(db: Connection, domain: Row[Any] | None, project: Row[Any] | str | None) -> Row[Any] | None:
    """Return the domain that a list of offerings is asked for: as such, or as that of a project."""
    if domain is not None or project is None or isinstance(project, str):
        return domain
    domains = entities.domains()
    return db.execute(sa.select(domains).where(domains.c.id == project.domain_id)).one()


def _open(domain_ids: Sequence[int], allowed: frozenset[int] | None) -> bool:
    return allowed is None or not domain_ids or not allowed.isdisjoint(domain_ids)


def chosen(call: Call, domains: list[Row[Any]] | None, zones: list[Row[Any]] | None) -> dict[str, list[int]]:
    """Return the columns domain_ids and zone_ids of a new offering, checked: public ones are root admins' to make."""
    picked = domains or []
    if not call.caller.admin:
        if not picked:
            raise MissingParameter("parameter domainid is needed: only root admins make offerings for everybody")
        for domain in picked:
            if not domain.path.startswith(call.caller.domain_path):
                raise PermissionDenied(f"parameter domainid: {call.caller.account} does not administer {domain.path}")
    for domain in picked:
        for other in picked:
            if domain.id != other.id and domain.path.startswith(other.path):
                raise InvalidParameter(f"parameter domainid: {domain.path} is within {other.path}; leave one out")
    return {
        "domain_ids": sorted({domain.id for domain in picked}),
        "zone_ids": sorted({row.id for row in zones or []}),
    }


def changed(call: Call, domains: str | None, zones: str | None) -> dict[str, list[int]]:
    """Return the columns domain_ids and zone_ids that an update passes: ids by commas, "public" or "all" for everybody.

    Raises PermissionDenied where somebody else than a root admin would open an offering to others.
    """
    given: dict[str, list[int]] = {}
    for parameter, text, kind, everybody in (
        ("domainid", domains, "Domain", "public"),
        ("zoneid", zones, "Zone", "all"),
    ):
        if text is None:
            continue
        if text.strip().lower() == everybody:
            found: list[Row[Any]] = []
        else:
            names = [name.strip() for name in text.split(",") if name.strip()]
            if not names:
                raise InvalidParameter(f"parameter {parameter} must be ids separated by commas, or {everybody}")
            found = [entities.resolve(call.db, call.caller, kind, name, parameter=parameter) for name in names]
        if kind == "Domain":
            given |= {"domain_ids": chosen(call, found, None)["domain_ids"]}
        else:
            given |= {"zone_ids": sorted({row.id for row in found})}
    return given


class Labels:
    """The names and ids of the domains and zones of a page of offerings, loaded once."""

    def __init__(self, db: Connection, rows: Iterable[Row[Any]]) -> None:
        listed = list(rows)
        self._domains = related(db, entities.domains(), (id_ for row in listed for id_ in row.domain_ids))
        self._zones = related(db, zone, (id_ for row in listed for id_ in row.zone_ids))

    def of(self, row: Row[Any]) -> dict[str, str]:
        """Return the fields domainid, domain, zoneid and zone (several: by commas); none when unrestricted."""
        found: dict[str, str] = {}
        domains = [self._domains[id_] for id_ in row.domain_ids if id_ in self._domains]
        zones = [self._zones[id_] for id_ in row.zone_ids if id_ in self._zones]
        if domains:
            found["domainid"] = ",".join(domain.uuid for domain in domains)
            found["domain"] = ",".join(domain.name for domain in domains)
        if zones:
            found["zoneid"] = ",".join(row.uuid for row in zones)
            found["zone"] = ",".join(row.name for row in zones)
        return found


def refuse_set(command: Any, *names: str) -> None:
    """Refuse switches that are on although what they ask for is not built yet; off is what happens anyway."""
    for name in names:
        if getattr(command, name):
            raise InvalidParameter(f"parameter {name}=true is not supported by this server yet; leave it out")


def domains_gone(db: Connection, domain_ids: Collection[int]) -> None:
    """Remove the offerings that were for deleted domains only, and take these domains out of the others."""
    gone = set(domain_ids)
    for table in database.metadata.sorted_tables:
        if "domain_ids" not in table.c:
            continue
        own = sa.select(table.c.id, table.c.domain_ids).where(
            table.c.removed.is_(None), sa.cast(table.c.domain_ids, sa.String) != "[]"
        )
        for row in db.execute(own).all():
            left = [id_ for id_ in row.domain_ids if id_ not in gone]
            if not left:
                database.change(db, table, row.id, removed=database.now(), state="Inactive")
            elif len(left) < len(row.domain_ids):
                database.change(db, table, row.id, domain_ids=left)
