"""Which image store of a zone a new template goes to: as the zone's selector says, else to the freest.

The zone's own stores come before those of all zones.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import alerts
from pileus.identity.tables import account, domain
from pileus.images import rooms, rules, stores
from pileus.images.tables import image_selector

log = structlog.get_logger(__name__)

TYPES = ("TEMPLATE", "ISO", "SNAPSHOT", "VOLUME")
"""What selectors can be for; of these the server stores templates so far."""
_RESOURCES = {"TEMPLATE": "template", "ISO": "iso", "SNAPSHOT": "snapshot", "VOLUME": "volume"}


def understood(type_: str, text: str) -> rules.Rule:
    """Return the rule of a selector for this type; raises RuleError."""
    return rules.compiled(text, frozenset(("secondaryStorages", "account", _RESOURCES[type_])))


def for_template(db: Connection, zone: Row[Any], owner: Row[Any], facts: dict[str, Any]) -> Row[Any] | None:
    """Return the store for a template of an owner (a row of account), or None when the zone has none that takes any.

    ``facts``: the template's name, format, hypervisorType and templateType, as rules see them.
    """
    found = stores.taking(db, zone.id)
    if not found:
        return None
    room = rooms.rooms(db, found)
    freest = min(found, key=lambda store: (store.zone_id is None, room[store.id].share, store.id))
    selector = _selector(db, zone.id, "TEMPLATE")
    if selector is None:
        return freest
    try:
        given = {
            "secondaryStorages": [_store(store, room[store.id]) for store in found],
            "account": _account(db, owner),
            "template": facts,
        }
        named = understood("TEMPLATE", selector.rule).value(given)
    except rules.RuleError as error:
        _fall_back(db, zone, selector, f"failed: {error}", freest)
        return freest
    chosen = next((store for store in found if store.uuid == named), None)
    if chosen is None and named is not None:
        _fall_back(db, zone, selector, f"named {str(named)[:60]!r}, which is no store that takes templates", freest)
    elif chosen is None:
        log.info("a selector named no image store; the freest is taken", zone=zone.name, selector=selector.name)
    return chosen or freest


def _selector(db: Connection, zone_id: int, type_: str) -> Row[Any] | None:
    columns = image_selector.c
    return db.execute(
        image_selector.select().where(columns.zone_id == zone_id, columns.type == type_, columns.removed.is_(None))
    ).one_or_none()


def _fall_back(db: Connection, zone: Row[Any], selector: Row[Any], why: str, freest: Row[Any]) -> None:
    text = (
        f"the secondary storage selector {selector.name} of zone {zone.name} {why}; "
        f"the freest image store was taken instead; mend the rule by updateSecondaryStorageSelector"
    )
    log.warning("a selector of image stores could not be followed", why=why, selector=selector.name, store=freest.name)
    alerts.record(db, "ALERT.STORAGE.MISC", text, zone_id=zone.id)


def _store(row: Row[Any], room: rooms.Room) -> dict[str, Any]:
    return {
        "id": row.uuid,
        "name": row.name,
        "usedDiskSize": float(room.held),
        "totalDiskSize": float(room.total),
        "protocol": urlsplit(str(row.url)).scheme.lower(),
    }


def _account(db: Connection, owner: Row[Any]) -> dict[str, Any]:
    row = db.execute(
        account.select()
        .with_only_columns(account.c.uuid, account.c.name, domain.c.uuid.label("of"), domain.c.name.label("within"))
        .join(domain, domain.c.id == account.c.domain_id)
        .where(account.c.id == owner.account_id)
    ).one()
    return {"id": row.uuid, "name": row.name, "domain": {"id": row.of, "name": row.within}}
