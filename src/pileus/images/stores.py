"""Image stores: where they keep their files, and which hold what a zone needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.images.tables import image_store, template_copy

DIRECTORY, SIMULATED = "file", "sim"
"""Protocols: a folder of the management server, or a store that is only pretended, for simulated hosts."""


def folder(store: Row[Any]) -> Path:
    """Return the folder of a directory store."""
    return Path(str(urlsplit(str(store.url)).path))


def file_of(store: Row[Any], template: Row[Any]) -> Path:
    """Return where a directory store keeps a template."""
    return folder(store) / "templates" / f"{template.uuid}.{template.format.lower()}"


def taking(db: Connection, zone_id: int) -> Sequence[Row[Any]]:
    """Return the stores that take new templates of a zone: its own, then those of all zones."""
    return db.execute(
        sa.select(image_store)
        .where(
            image_store.c.removed.is_(None),
            image_store.c.read_only.is_(sa.false()),
            sa.or_(image_store.c.zone_id == zone_id, image_store.c.zone_id.is_(None)),
        )
        .order_by(image_store.c.zone_id.is_(None), image_store.c.id)
    ).all()


def lock(db: Connection, store_id: int) -> Row[Any]:
    """Return the store as it is now, and keep others from changing it until this transaction ends."""
    return db.execute(sa.select(image_store).where(image_store.c.id == store_id).with_for_update()).one()


def ready_copy(db: Connection, template_id: int, zone_id: int) -> Row[Any] | None:
    """Return a copy of the template that the zone can deploy from, or None."""
    return db.execute(
        sa.select(template_copy)
        .where(
            template_copy.c.template_id == template_id,
            template_copy.c.zone_id == zone_id,
            template_copy.c.state == "Ready",
        )
        .limit(1)
    ).one_or_none()
